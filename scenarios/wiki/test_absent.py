"""What the server does not do: a server that does it breaks its own document."""

from harness.scenario import Callouts, Client, Expect, Sut, rule


@rule("absent.sender-callout")
def test_host_of_the_sender_is_not_called(client: Client, callouts: Callouts | None, expect: Expect) -> None:
    host = client.name("callout-target")
    client.withdraw(client.identity.domain, "MX")
    client.publish(client.identity.domain, "MX", f"10 {host}.")
    client.publish(host, "A", callouts.address if callouts else client.address)
    expect(client.attempt(), twin=client.twin().attempt())
    looked_up = [entry for entry in client.queries() if entry.name == host]
    if callouts:
        called = callouts.mentions(client.identity.domain)
        assert not called, f"the server called the mail host of {client.identity.domain}"
    else:
        expect.given(not looked_up, "the sender's host was looked up; whether it was called is not known")


@rule("absent.recipient-callout")
def test_host_of_the_recipient_is_not_called(
    client: Client, sut: Sut, callouts: Callouts | None, expect: Expect
) -> None:
    expect(client.attempt(), twin=client.twin().attempt())
    if callouts:
        assert not callouts.mentions(sut.recipient), f"the server called the mail host of {sut.recipient}"
    else:
        began = client.world.conversations[0][2].session.started
        queries = client.world.internet.dns.queries(under=sut.home.name, type="MX", since=began)
        asked = [entry for entry in queries if entry.name == sut.home.name]  # for whoever talks at the time
        expect.given(not asked, "the recipient's mail host was looked up; whether it was called is not known")


@rule("absent.spf-reject")
def test_sender_whose_policy_names_others(client: Client, expect: Expect) -> None:
    client.publish(client.identity.domain, "TXT", '"v=spf1 ip4:192.0.2.1 -all"')
    expect(client.attempt(), twin=client.twin().attempt())
