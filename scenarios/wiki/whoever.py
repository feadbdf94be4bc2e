"""Who sends what the server is to take from anybody, and where that is seen."""

from harness.scenario import Client, Clock, Expect, Kind, NewClient, Sut

UNREAD = "whether what was taken reaches its recipient shows in a mailbox, and the profile has no [mailbox]"
LOCAL_NETWORK = (
    "many filters look at no client of 127.0.0.0/8; clients of another network (clients.networks) decide it"
)


def whoever(who: Kind, new_client: NewClient, sut: Sut, clock: Clock | None, expect: Expect) -> Client:
    """A client of that kind; an ordinary one where others have names for which they may be spared more."""
    if who is Kind.ORDINARY:
        expect.applicable(
            sut.whitelists(new_client(Kind.KNOWN).host),
            "no host is spared for its name (greylist.whitelist_hosts), so all are ordinary",
        )
        expect.applicable(clock is not None, "an ordinary host would be greylisted, and there is no [clock]")
    return new_client(who)


def is_looked_at(client: Client, name: str, expect: Expect) -> None:
    """A filter that was to look a name up for a client has done so, if it is one that many filters skip."""
    looked = client.looked_up_text(name)
    expect.given(looked.seen or not client.is_in_local_network, f"{looked.missing}; {LOCAL_NETWORK}")
