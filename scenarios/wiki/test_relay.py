"""Mail for others: to the smarthost or the MX, kept while it cannot be sent, returned when it never can."""

import ipaddress
import math
import socket
import time
from collections.abc import Sequence
from enum import Enum

import pytest

from harness.scenario import (
    Arrival,
    Attempt,
    Call,
    Client,
    Expect,
    FailedError,
    Mailbox,
    MailHost,
    MailHosts,
    Queued,
    QueueOperator,
    Stage,
    Sut,
    is_of_this_host,
    message,
    named,
    needs,
    rule,
)

LATER = "451 4.3.0 Come back later"
NO_REVERSE = "554 mail.example ESMTP server not available (no DNS Reverse)"
LONGEST_INTERVAL = 30.0  # seconds that a scenario waits for one
SLACK = 1.0  # seconds
SWITCHED_OFF = 2.0  # seconds without an answer: nobody listens, or nobody is let in


@rule("smarthost.routes-nonlocal")
def test_mail_for_others_goes_to_the_smarthost(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    smarthost, elsewhere = sink.smarthost(), sink.host()
    if not offence:
        its_mx_is(trusted_client, elsewhere, smarthost)
    trusted_client.server = sut.mail.smarthost.server
    expect(send(trusted_client, elsewhere))
    as_sent(arrival(trusted_client, smarthost, past=[elsewhere]), elsewhere)


@rule("smarthost.routes-nonlocal")
@needs("mailbox")
def test_mail_for_a_user_does_not_go_to_the_smarthost(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, mailbox: Mailbox, expect: Expect
) -> None:
    smarthost, elsewhere = sink.smarthost(), sink.host()
    trusted_client.server = sut.mail.smarthost.server
    recipient = sut.recipient if offence else friend(elsewhere)
    expect(trusted_client.attempt(recipient=recipient, message=message(trusted_client, recipient)))
    if offence:
        mailbox.find(recipient, trusted_client.token)
    second = trusted_client.another("a client that comes later")
    expect.accepts(send(second, elsewhere), Stage.DATA)
    smarthost.arrival(second.token)
    if offence:
        strayed = smarthost.arrived(trusted_client.token)
        assert not strayed, "mail for a user of the server went to the smarthost"
    else:
        smarthost.arrival(trusted_client.token)


@rule("smarthost.routes-nonlocal")
@needs("queue")
def test_smarthost_that_fails_for_now(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    interval = short_interval(sut, expect)
    smarthost, elsewhere = sink.smarthost(), sink.host()
    domain = trusted_client.identity.domain
    trusted_client.server = sut.mail.smarthost.server
    if offence:
        smarthost.says(Stage.RCPT, LATER, about=domain)
    expect(send(trusted_client, elsewhere))
    smarthost.dialogue(1, about=domain)
    smarthost.takes_mail(about=domain)
    as_sent(arrival(trusted_client, smarthost, patience(interval), past=[elsewhere]), elsewhere)


@rule("smarthost.off")
def test_mail_for_others_goes_to_their_mx(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    sends_by_mx(sut, expect)
    host, other = sink.host(), sink.host()
    trusted_client.publish(host.domain, "A", (other if offence else host).address)  # of a web server, say
    expect(send(trusted_client, host))
    as_sent(arrival(trusted_client, host, past=[other]), host)


@rule("smarthost.off")
def test_the_mx_with_the_lowest_preference_comes_first(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    sends_by_mx(sut, expect)
    host, second = sink.host(), sink.host()
    if offence:  # the best is neither the first nor the last of the answer
        worse = (second.name, f"nearer.{second.domain}", f"farther.{second.domain}")
        for name in worse[1:]:
            trusted_client.publish(name, "A", second.address)
        trusted_client.withdraw(host.domain, "MX")
        for mx in (f"30 {worse[0]}.", f"20 {worse[1]}.", f"10 {host.name}.", f"40 {worse[2]}."):
            trusted_client.publish(host.domain, "MX", mx)
    expect(send(trusted_client, host))
    as_sent(arrival(trusted_client, host, past=[second]), host)


@rule("smarthost.off")
def test_the_next_mx_follows_when_the_first_fails(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    sends_by_mx(sut, expect)
    host, second = sink.host(), sink.host()
    trusted_client.publish(host.domain, "MX", f"20 {second.name}.")
    if offence:
        host.closes(Stage.CONNECT)
    expect(send(trusted_client, host))
    taking, past = (second, []) if offence else (host, [second])
    as_sent(arrival(trusted_client, taking, past=past), host)
    assert host.dialogues, f"the server did not call {host.name} first"


@rule("queue.retry")
@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.MAIL, Stage.RCPT, Stage.DATA], ids=str)
def test_mail_that_is_put_off_is_tried_again(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect, stage: Stage
) -> None:
    sends_by_mx(sut, expect)
    interval = short_interval(sut, expect)
    host = sink.host()
    if offence:
        host.says(stage, "421 4.3.0 Come back later" if stage is Stage.CONNECT else LATER)
    expect(send(trusted_client, host))
    calls = [host.dialogue(number, patience(interval)) for number in ((1, 2, 3) if offence else (1,))]
    host.takes_mail()
    as_sent(host.arrival(trusted_client.token, patience(interval)), host)
    assert len(host.arrived(trusted_client.token)) == 1, "the message came twice"
    if offence:
        in_time(calls, interval, expect)


@rule("queue.list-remove-thaw")
def test_message_that_is_removed(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, queue: QueueOperator, expect: Expect
) -> None:
    sends_by_mx(sut, expect)
    interval = short_interval(sut, expect)
    host, ordinary = sink.host(), trusted_client.another("a client that comes later")
    host.says(Stage.RCPT, LATER)
    expect(send(trusted_client, host))
    tried = host.dialogue(1)
    (entry,) = listed(queue, friend(host), expect)
    if offence:
        queue.remove(entry.id)
        soon = time.monotonic() - tried.started < interval / 2
        expect.given(soon, "the next try may have begun before the message was removed")
        assert not queue.entries(friend(host)), "the removed message is still listed"
    expect.accepts(send(ordinary, host), Stage.DATA)
    host.dialogue(2, patience(interval), about=ordinary.identity.domain)  # which was due later
    if offence:
        assert len(host.about(trusted_client.identity.domain)) == 1, "the removed message was tried again"
    host.takes_mail()
    host.arrival(ordinary.token, patience(interval))
    if not offence:
        host.arrival(trusted_client.token, patience(interval))


@rule("queue.list-remove-thaw")
def test_message_that_is_thawed(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, queue: QueueOperator, expect: Expect
) -> None:
    sends_by_mx(sut, expect)
    expect.applicable(sut.mail.queue.freezes, "queue.thaw names no command: this server freezes nothing")
    interval = short_interval(sut, expect)
    host, ordinary = sink.host(), trusted_client.another("a client that comes later")
    lost = f"lost@{host.domain}"
    host.says(Stage.RCPT, "550 5.1.1 No such user" if offence else LATER, about="lost@")
    host.says(Stage.RCPT, LATER, about="friend@")
    expect(trusted_client.attempt(sender="", recipient=lost, message=message(trusted_client, lost)))
    host.dialogue(1, about="lost@")
    (entry,) = listed(queue, lost, expect, frozen=offence)
    expect.accepts(send(ordinary, host), Stage.DATA)
    host.dialogue(2, patience(interval), about=ordinary.identity.domain)  # which was due later
    if offence:
        assert len(host.about("lost@")) == 1, "a frozen message was tried again"
    host.takes_mail()
    if offence:
        queue.thaw(entry.id)
    host.arrival(trusted_client.token, patience(interval))
    host.arrival(ordinary.token, patience(interval))


@rule("local-only.not-listening")
def test_nobody_listens_outside(client: Client, sut: Sut, expect: Expect) -> None:
    local_only = sut.mail.local_only
    expect.needed(bool(local_only.closed), "local_only.closed names no address")
    client.server = local_only.server
    expect(client.attempt(), whenever=True)
    _, port = client.reached_at.server
    for address in local_only.closed:
        answer = knock(address, port)
        assert answer is not Answer.LISTENS, f"the server listens on {address} too"
        known = answer is Answer.REFUSES or is_of_this_host(ipaddress.ip_network(address))
        expect.given(known, f"nothing answers at {address}; whether it is the server's is not known")


@rule("local-only.nonlocal-refused")
def test_mail_for_others_is_returned(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, mailbox: Mailbox, expect: Expect
) -> None:
    elsewhere, sender = sink.host(), sut.mail.takes_bounces
    expect.needed(
        bool(sender), "no user is in any bounce_recipients, so the profile does not say who gets bounces"
    )
    trusted_client.server = sut.mail.local_only.server
    recipient = friend(elsewhere) if offence else sut.recipient
    content = message(trusted_client, recipient)
    expect(trusted_client.attempt(sender=sender, recipient=recipient, message=content))
    if not offence:
        mailbox.find(recipient, trusted_client.token)
    elif expect.lets_through:
        try:
            returned = mailbox.find(sender, recipient)
        finally:
            assert not elsewhere.dialogues, f"the server called {elsewhere.name}"
        assert returned.headers("Return-path") in ([], ["<>"]), "the bounce has a sender"
    assert not elsewhere.dialogues, f"the server called {elsewhere.name}"


@rule("outgoing.no-rdns-refused")
def test_receiver_that_greets_with_a_refusal(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    sends_by_mx(sut, expect)
    host, home = sink.host(), sink.host(trusted_client.identity.domain)
    if offence:
        host.says(Stage.CONNECT, NO_REVERSE)
    expect(send(trusted_client, host))
    if not offence:
        as_sent(host.arrival(trusted_client.token), host)
        return
    # A bounce names the recipient, and need not quote the message; it is sent when the queue is run again.
    returned = home.arrival(friend(host), runs=2)
    assert returned.sender == "", f"the bounce has the sender {returned.sender}"
    assert returned.recipients == (trusted_client.sender,), (
        f"the bounce came to {named(returned.recipients)}, expected {trusted_client.sender}"
    )
    assert "no DNS Reverse" in text_of(returned), "the bounce does not have the receiver's words"
    host.takes_mail()
    assert not host.arrived(trusted_client.token), "the message was returned and sent all the same"


def friend(host: MailHost) -> str:
    """A recipient of another mail host."""
    return f"friend@{host.domain}"


def send(client: Client, host: MailHost) -> Attempt:
    """A message from a client to a recipient of another mail host."""
    return client.attempt(recipient=friend(host), message=message(client, friend(host)))


def arrival(
    client: Client, host: MailHost, patience: float | None = None, *, past: Sequence[MailHost]
) -> Arrival:
    """The client's message as it came to a host, past others that the server does not call for it."""
    try:
        return host.arrival(client.token, patience)
    finally:
        for other in past:
            called = other.about(client.identity.domain)
            assert not called, f"the server called {other.name}, the host of {other.domain}"


def as_sent(arrival: Arrival, host: MailHost) -> None:
    """What arrived is the message for that host's friend, and no notification about it."""
    assert arrival.sender, "what came is a notification, not the message"
    assert arrival.recipients == (friend(host),), f"the message came to {named(arrival.recipients)}"


def text_of(arrival: Arrival) -> str:
    """All text of a message, decoded, its white space as single spaces: what is quoted may be wrapped."""
    parts = [part for part in arrival.message.walk() if not part.is_multipart()]
    text = b" ".join(bytes(part.get_payload(decode=True) or b"") for part in parts)
    return " ".join(text.decode("utf-8", "replace").split())


def its_mx_is(client: Client, host: MailHost, other: MailHost) -> None:
    """DNS names another host for the domain of a host."""
    client.withdraw(host.domain, "MX")
    client.publish(host.domain, "MX", f"10 {other.name}.")


def sends_by_mx(sut: Sut, expect: Expect) -> None:
    """The server under test asks DNS where to send mail."""
    expect.applicable(
        sut.mail.sends_by_mx, "this server sends nothing by MX records: see [smarthost] or [local_only]"
    )


def in_time(calls: Sequence[Call], interval: float, expect: Expect) -> None:
    """Three tries that follow each other by the queue's interval."""
    first, second, third = (call.started for call in calls)
    noise = expect.slowness(first, third)
    # The first wait may be short, where the queue runs at times of its own; the next after one that was late.
    for gap, least in ((second - first, 0.0), (third - second, interval / 2)):
        wrong = f"it was tried again after {gap:.1f} s, and the interval is {interval:g} s"
        expect.given(gap >= least or noise < interval / 4, f"it was too noisy to measure {gap:.2f} s")
        assert least / 2 <= gap <= 2 * interval + SLACK + noise, wrong
        expect.given(gap >= least, f"{wrong}; the try before may have been late")
        expect.given(
            gap <= interval + SLACK + (noise if math.isfinite(noise) else 0.0),
            f"{wrong}; set queue.interval to the longest wait, where the queue runs at times of its own",
        )


def short_interval(sut: Sut, expect: Expect) -> float:
    """The documented queue interval, if a scenario can wait for it."""
    interval = sut.mail.queue.interval
    expect.needed(
        interval <= LONGEST_INTERVAL,
        f"queue.interval is {interval:g} s, more than a scenario waits ({LONGEST_INTERVAL:g} s); shorten it",
    )
    return interval


def patience(interval: float) -> float:
    """Seconds within which a try must have come that is due after an interval."""
    return 2 * interval + 10.0


def listed(queue: QueueOperator, word: str, expect: Expect, *, frozen: bool = False) -> list[Queued]:
    """The one entry of the queue that mentions a word, as soon as it is (frozen) there."""
    deadline = time.monotonic() + 10.0
    while True:
        found = queue.entries(word)
        if [entry.frozen for entry in found] == [frozen]:
            return found
        if time.monotonic() > deadline:
            state = "frozen" if frozen else "waiting"
            raise FailedError(f"the queue does not show one {state} message for {word}, but {found}")
        time.sleep(0.05)


class Answer(Enum):
    """What comes of a try to connect."""

    LISTENS = "somebody listens"
    REFUSES = "the host is there, and nobody listens"
    NOTHING = "no answer: it is filtered, or there is no such host"


def knock(address: str, port: int) -> Answer:
    """Try to connect."""
    try:
        socket.create_connection((address, port), SWITCHED_OFF).close()
    except ConnectionRefusedError:
        return Answer.REFUSES
    except OSError:
        return Answer.NOTHING
    return Answer.LISTENS
