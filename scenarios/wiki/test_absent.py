"""What the server does not do: a server that does it breaks its own document."""

import time

from harness.scenario import (
    SKIPS_LOOPBACK,
    Attempt,
    Client,
    Expect,
    Kind,
    Mailbox,
    MailHost,
    MailHosts,
    NewClient,
    NotApplicableError,
    Stage,
    Sut,
    message,
    rule,
)

from .manners import WHOEVER
from .recipients import is_delivered

SEEN = "a mail host is played here, so that a call is seen and lookups need not be judged"
UNSEEN = "a call would not be seen here ([sink], clients.trusted), so lookups are judged"


@rule("absent.sender-callout")
@WHOEVER
def test_host_of_the_sender_is_not_called(
    new_client: NewClient, sut: Sut, sink: MailHosts | None, expect: Expect, who: Kind
) -> None:
    if sink is None:
        raise NotApplicableError(UNSEEN)
    client = new_client(who)
    host = sink.host(client.identity.domain)
    attempt = send(client, sut)
    ended = time.monotonic()
    expect(attempt)
    expect.through(attempt, Stage.DATA)
    assert not called(host, until=ended), f"the server called {host.name}, the mail host of the sender"


@rule("absent.sender-callout")
def test_host_of_the_sender_is_not_looked_up(
    client: Client, sut: Sut, sink: MailHosts | None, expect: Expect
) -> None:
    expect.applicable(sink is None, SEEN)
    host = client.name("callout-target")
    client.withdraw(client.identity.domain, "MX")
    client.publish(client.identity.domain, "MX", f"10 {host}.")
    client.publish(host, "A", client.address)
    attempt = send(client, sut)
    expect.needed(
        not client.looked_up(host).seen,
        "the sender's mail host was looked up, and the profile has no [sink] at which a call would be seen",
    )
    expect(attempt)
    expect.through(attempt, Stage.DATA)


@rule("absent.recipient-callout")
def test_host_of_a_recipient_elsewhere_is_not_called(
    new_client: NewClient, sut: Sut, sink: MailHosts | None, expect: Expect
) -> None:
    if sink is None or not sut.profile.clients.trusted:
        raise NotApplicableError(UNSEEN)
    host = sink.host()
    attempt = new_client(Kind.TRUSTED).attempt(recipient=f"friend@{host.domain}")
    data = attempt.at(Stage.DATA)  # when the message is there it is called to get it
    ended = data.began if data else time.monotonic()
    expect(attempt)
    assert not called(host, until=ended), f"the server called {host.name}, the mail host of the recipient"
    keeps_mail_here(sut, expect)


@rule("absent.recipient-callout")
def test_host_of_the_recipient_is_not_looked_up(
    client: Client, sut: Sut, sink: MailHosts | None, expect: Expect
) -> None:
    expect.applicable(sink is None or not sut.profile.clients.trusted, SEEN)
    began = time.monotonic()
    attempt = client.attempt()
    domain = sut.home.name
    queries = client.world.internet.dns.queries(under=domain, type="MX", since=began)
    expect.needed(
        all(entry.name != domain for entry in queries),  # for whoever talks at the time
        f"{domain}'s mail host was looked up, and without [sink] and clients.trusted a call is not seen",
    )
    expect(attempt)
    keeps_mail_here(sut, expect)


@rule("absent.spf-reject")
@WHOEVER
def test_sender_whose_policy_names_others(
    new_client: NewClient,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox | None,
    expect: Expect,
    who: Kind,
) -> None:
    spf = sut.profile.spf
    expect.applicable(
        spf is None or spf.server is not None or spf.mode != "reject",
        'the server refuses by SPF, as [spf] has it with mode = "reject"',
    )
    client = new_client(who)
    if offence:
        client.publish(client.identity.domain, "TXT", '"v=spf1 ip4:192.0.2.1 -all"')
    attempt = send(client, sut)
    expect(attempt)
    expect.through(attempt, Stage.DATA)
    looked = client.looked_up_text(client.identity.domain)
    may_be_skipped = offence and client.is_in_local_network and not looked.seen
    expect.needed(not may_be_skipped, f"{looked.missing}; {SKIPS_LOOPBACK}")
    is_delivered(client, sut.recipient, mailbox, expect)


def send(client: Client, sut: Sut) -> Attempt:
    """A whole message: servers check senders at its end as well."""
    return client.attempt(message=message(client, sut.recipient))


def keeps_mail_here(sut: Sut, expect: Expect) -> None:
    """Mail for its own users goes to no other host, which might be called without any question."""
    table = sut.home.mailbox or sut.profile.mailbox
    expect.needed(
        table is not None and table.imap is None,
        "mail for its own users may go to another host, which is called without a question where a table "
        "names it; a [mailbox] of files shows that it stays here",
    )


def called(host: MailHost, *, until: float) -> bool:
    """Whether the server has called a mail host by then."""
    return any(call.started < until for call in host.dialogues)
