"""Mail for others: to the smarthost or the MX, kept while it cannot be sent, returned when it never can."""

import ipaddress
import socket
import time
from enum import Enum

import pytest

from harness.scenario import (
    Arrival,
    Attempt,
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
    trusted_client: Client, sut: Sut, sink: MailHosts, mailbox: Mailbox | None, expect: Expect
) -> None:
    smarthost, elsewhere = sink.smarthost(), sink.host()
    trusted_client.server = sut.mail.smarthost.server
    twin = trusted_client.twin()
    local = twin.attempt(message=message(twin, sut.recipient))
    expect(send(trusted_client, elsewhere), twin=local)
    if mailbox:
        mailbox.find(sut.recipient, twin.token)
    as_sent(smarthost.arrival(trusted_client.token), trusted_client, elsewhere)
    assert not elsewhere.dialogues, f"the server called {elsewhere.name}, not only the smarthost"
    assert not smarthost.arrived(twin.token), "mail for a user of the server went to the smarthost"


@rule("smarthost.routes-nonlocal")
@needs("queue")
def test_smarthost_that_fails_for_now(
    trusted_client: Client, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    interval = short_interval(sut, expect)
    smarthost, elsewhere = sink.smarthost(), sink.host()
    smarthost.says(Stage.RCPT, LATER, about=trusted_client.identity.domain)
    trusted_client.server = sut.mail.smarthost.server
    twin = trusted_client.twin()
    attempt = send(trusted_client, elsewhere)
    expect(attempt, twin=send(twin, elsewhere))
    smarthost.arrival(twin.token)
    smarthost.dialogue(1, about=trusted_client.identity.domain)
    smarthost.takes_mail(about=trusted_client.identity.domain)
    as_sent(smarthost.arrival(trusted_client.token, patience(interval)), trusted_client, elsewhere)
    assert not elsewhere.dialogues, f"the server went past the smarthost to {elsewhere.name}"


@rule("smarthost.off")
def test_mail_for_others_goes_to_their_mx(trusted_client: Client, sink: MailHosts, expect: Expect) -> None:
    host, other = sink.host(), sink.host()
    trusted_client.publish(host.domain, "A", other.address)  # a web server, say
    twin = trusted_client.twin()
    expect(send(trusted_client, host), twin=send(twin, other))
    as_sent(host.arrival(trusted_client.token), trusted_client, host)
    other.arrival(twin.token)
    assert not other.about(host.domain), f"the server called {other.name}, the address of the domain itself"
    assert not host.about(other.domain), f"mail for {other.domain} came to {host.name} too"


@rule("smarthost.off")
@pytest.mark.parametrize("first", ["takes", "fails"])
def test_the_mx_with_the_lowest_preference_comes_first(
    trusted_client: Client, sink: MailHosts, expect: Expect, first: str
) -> None:
    host, second = sink.host(), sink.host()
    trusted_client.publish(host.domain, "MX", f"20 {second.name}.")
    if first == "fails":
        host.closes(Stage.CONNECT)
    twin = trusted_client.twin()
    expect(send(trusted_client, host), twin=send(twin, second))
    taking = second if first == "fails" else host
    as_sent(taking.arrival(trusted_client.token), trusted_client, host)
    second.arrival(twin.token)
    if first == "takes":
        assert not second.about(trusted_client.identity.domain), (
            f"the server called {second.name}, the last one"
        )
    else:
        assert host.dialogues, f"the server did not call {host.name} first"


@rule("queue.retry")
@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.MAIL, Stage.RCPT, Stage.DATA], ids=str)
def test_mail_that_is_put_off_is_tried_again(
    trusted_client: Client, sut: Sut, sink: MailHosts, expect: Expect, stage: Stage
) -> None:
    interval = short_interval(sut, expect)
    host = sink.host()
    host.says(stage, "421 4.3.0 Come back later" if stage is Stage.CONNECT else LATER)
    attempt = send(trusted_client, host)
    expect.through(attempt, Stage.DATA, who="the client")
    calls = [host.dialogue(number, patience(interval)) for number in (1, 2, 3)]
    host.takes_mail()
    as_sent(host.arrival(trusted_client.token, patience(interval)), trusted_client, host)
    twin = trusted_client.twin()
    expect(attempt, twin=send(twin, host))
    host.arrival(twin.token)
    assert len(host.arrived(trusted_client.token)) == 1, "the message came twice"
    first, second, third = (call.started for call in calls)
    noise = expect.slowness(first, third)
    for gap, least in ((second - first, 0.0), (third - second, interval / 2)):
        expect.given(gap >= least or noise < interval / 4, f"it was too noisy to measure {gap:.2f} s")
        wrong = f"it was tried again after {gap:.1f} s, and the interval is {interval:g} s"
        assert least <= gap <= 2 * interval + SLACK + noise, wrong
        expect.given(
            gap <= interval + SLACK + noise,
            f"{wrong}; set queue.interval to the longest wait, where the queue runs at times of its own",
        )


@rule("queue.list-remove-thaw")
def test_message_that_is_removed(
    trusted_client: Client, sut: Sut, sink: MailHosts, queue: QueueOperator, expect: Expect
) -> None:
    interval = short_interval(sut, expect)
    host, twin = sink.host(), trusted_client.twin()
    host.says(Stage.RCPT, LATER)
    attempt = send(trusted_client, host)
    expect.through(attempt, Stage.DATA, who="the client")
    tried = host.dialogue(1)
    (entry,) = listed(queue, friend(host), expect)
    queue.remove(entry.id)
    in_time = time.monotonic() - tried.started < interval / 2
    expect.given(in_time, "the next try may have begun before the message was removed")
    assert not queue.entries(friend(host)), "the removed message is still listed"
    ordinary = send(twin, host)
    expect(attempt, twin=ordinary)
    host.dialogue(2, patience(interval), about=twin.identity.domain)  # which was due later
    assert len(host.about(trusted_client.identity.domain)) == 1, "the removed message was tried again"
    host.takes_mail()
    host.arrival(twin.token, patience(interval))


@rule("queue.list-remove-thaw")
def test_message_that_is_thawed(
    trusted_client: Client, sut: Sut, sink: MailHosts, queue: QueueOperator, expect: Expect
) -> None:
    expect.applicable(sut.mail.queue.freezes, "queue.thaw names no command: this server freezes nothing")
    interval = short_interval(sut, expect)
    host, twin = sink.host(), trusted_client.twin()
    lost = f"lost@{host.domain}"
    host.says(Stage.RCPT, "550 5.1.1 No such user", about="lost@")
    host.says(Stage.RCPT, LATER, about="friend@")
    attempt = trusted_client.attempt(sender="", recipient=lost, message=message(trusted_client, lost))
    expect(attempt, twin=send(twin, host))
    host.dialogue(1, about="lost@")
    frozen = listed(queue, lost, expect, frozen=True)
    host.dialogue(2, patience(interval), about=twin.identity.domain)  # which was due later
    assert len(host.about("lost@")) == 1, "a frozen message was tried again"
    host.takes_mail()
    queue.thaw(frozen[0].id)
    host.arrival(trusted_client.token, patience(interval))
    host.arrival(twin.token, patience(interval))


@rule("local-only.not-listening")
def test_nobody_listens_outside(client: Client, sut: Sut, expect: Expect) -> None:
    local_only = sut.mail.local_only
    expect.needed(bool(local_only.closed), "local_only.closed names no address")
    client.server = local_only.server
    expect.whenever(client.attempt(upto=Stage.CONNECT), twin=client.twin().attempt(upto=Stage.CONNECT))
    _, port = local_only.server or client.world.server
    for address in local_only.closed:
        answer = knock(address, port)
        assert answer is not Answer.LISTENS, f"the server listens on {address} too"
        known = answer is Answer.REFUSES or is_of_this_host(ipaddress.ip_network(address))
        expect.given(known, f"nothing answers at {address}; whether it is the server's is not known")


@rule("local-only.nonlocal-refused")
def test_mail_for_others_is_returned(
    trusted_client: Client, sut: Sut, sink: MailHosts, mailbox: Mailbox, expect: Expect
) -> None:
    elsewhere, sender = sink.host(), sut.legal_bounce
    trusted_client.server = sut.mail.local_only.server
    twin = trusted_client.twin()
    content = message(trusted_client, friend(elsewhere))
    attempt = trusted_client.attempt(sender=sender, recipient=friend(elsewhere), message=content)
    expect(attempt, twin=twin.attempt(sender=sender, message=message(twin, sut.recipient)))
    mailbox.find(sut.recipient, twin.token)
    if expect.lets_through:
        returned = mailbox.find(sender, friend(elsewhere))
        assert returned.headers("Return-path") in ([], ["<>"]), "the bounce has a sender"
    assert not elsewhere.dialogues, f"the server called {elsewhere.name}"


@rule("outgoing.no-rdns-refused")
def test_receiver_that_greets_with_a_refusal(trusted_client: Client, sink: MailHosts, expect: Expect) -> None:
    host, home = sink.host(), sink.host(trusted_client.identity.domain)
    twin = trusted_client.twin()
    host.says(Stage.CONNECT, NO_REVERSE)
    expect(send(trusted_client, host), twin=send(twin, home))
    returned = home.arrival(friend(host))  # a bounce names the recipient, and need not quote the message
    assert returned.sender == "", f"the bounce has the sender {returned.sender}"
    assert returned.recipients == (trusted_client.sender,), returned.recipients
    words = b" ".join(returned.content.split())  # a bounce may wrap what it quotes
    assert b"no DNS Reverse" in words, "the bounce does not have the receiver's words"
    home.arrival(twin.token)
    host.takes_mail()
    assert not host.arrived(trusted_client.token), "the message was returned and sent all the same"


def friend(host: MailHost) -> str:
    """A recipient of another mail host."""
    return f"friend@{host.domain}"


def send(client: Client, host: MailHost) -> Attempt:
    """A message from a client to a recipient of another mail host."""
    return client.attempt(recipient=friend(host), message=message(client, friend(host)))


def as_sent(arrival: Arrival, client: Client, host: MailHost) -> None:
    """What arrived is the message, from its sender to its recipient, and no notification about it."""
    came = (arrival.sender, arrival.recipients)
    assert came == (client.sender, (friend(host),)), f"the message came from <{came[0]}> to {came[1]}"


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
