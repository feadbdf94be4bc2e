"""What the server does not do: a server that does it breaks its own document."""

from harness.scenario import Attempt, Client, Expect, Mailbox, MailHosts, Stage, Sut, message, needs, rule

SEEN = "a mail host is played here, so that a call is seen and lookups need not be judged"


@rule("absent.sender-callout")
@needs("sink")
def test_host_of_the_sender_is_not_called(
    client: Client, sut: Sut, sink: MailHosts, mailbox: Mailbox | None, expect: Expect
) -> None:
    host = sink.host(client.identity.domain)
    attempt = send(client, sut)
    expect(attempt, twin=send(client.twin(), sut))
    expect.through(attempt, Stage.DATA, who="the client")
    if mailbox:
        mailbox.find(sut.recipient, client.token)  # it has had time to call by then
    assert not host.dialogues, f"the server called {host.name}, the mail host of the sender"


@rule("absent.sender-callout")
def test_host_of_the_sender_is_not_looked_up(client: Client, sink: MailHosts | None, expect: Expect) -> None:
    expect.applicable(sink is None, SEEN)
    host = client.name("callout-target")
    client.withdraw(client.identity.domain, "MX")
    client.publish(client.identity.domain, "MX", f"10 {host}.")
    client.publish(host, "A", client.address)
    expect(client.attempt(), twin=client.twin().attempt())
    looked_up = [entry for entry in client.queries() if entry.name == host]
    expect.given(not looked_up, "the sender's host was looked up; whether it was called is not known")


@rule("absent.recipient-callout")
@needs("sink", "trusted-address")
def test_host_of_a_recipient_elsewhere_is_not_called(
    trusted_client: Client, sink: MailHosts, expect: Expect
) -> None:
    host = sink.host()
    attempt = trusted_client.attempt(recipient=f"friend@{host.domain}")
    expect(attempt, twin=trusted_client.twin().attempt())
    assert not host.dialogues, f"the server called {host.name}, the mail host of the recipient"


@rule("absent.recipient-callout")
def test_host_of_the_recipient_is_not_looked_up(
    client: Client, sut: Sut, sink: MailHosts | None, expect: Expect
) -> None:
    expect.applicable(sink is None, SEEN)
    expect(client.attempt(), twin=client.twin().attempt())
    began = client.world.conversations[0][2].session.started
    queries = client.world.internet.dns.queries(under=sut.home.name, type="MX", since=began)
    asked = [entry for entry in queries if entry.name == sut.home.name]  # for whoever talks at the time
    expect.given(not asked, "the recipient's mail host was looked up; whether it was called is not known")


@rule("absent.spf-reject")
def test_sender_whose_policy_names_others(client: Client, sut: Sut, expect: Expect) -> None:
    client.publish(client.identity.domain, "TXT", '"v=spf1 ip4:192.0.2.1 -all"')
    attempt, twin = send(client, sut), send(client.twin(), sut)
    expect(attempt, twin=twin)
    expect.through(twin, Stage.DATA)
    expect.through(attempt, Stage.DATA, who="the client")


def send(client: Client, sut: Sut) -> Attempt:
    """A whole message: servers check senders at its end as well."""
    return client.attempt(message=message(client, sut.recipient))
