"""What scenarios have in common about filters that look at who sends."""

from harness.scenario import SKIPS_LOOPBACK, Client, Expect


def is_looked_at(client: Client, name: str, expect: Expect) -> None:
    """A filter that was to look a name up for a client has done so, if it is one that many filters skip."""
    looked = client.looked_up_text(name)
    expect.given(looked.seen or not client.is_in_local_network, f"{looked.missing}; {SKIPS_LOOPBACK}")
