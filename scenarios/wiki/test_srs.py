"""Sender rewriting: mail that is forwarded comes from the forwarder, and a bounce finds its way back."""

import re

from harness.scenario import (
    Arrival,
    Attempt,
    Client,
    Expect,
    MailHosts,
    Rewriter,
    Stage,
    Sut,
    message,
    rule,
)

SRS0 = re.compile(r"(?i)SRS0[=+-]([^=@]+)=([a-z2-7]{2})=([^=@]+)=([^@]+)@([^@]+)")
SRS1 = re.compile(r"(?i)SRS1[=+-]([^=@]+)=([^=@]+)=([=+-][^@]+)@([^@]+)")


@rule("srs.forward")
def test_sender_of_forwarded_mail(
    client: Client, trusted_client: Client, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    target, elsewhere = sink.forward_target(), sink.host()
    friend = f"friend@{elsewhere.domain}"
    attempt = forward(client, sut)
    relayed = trusted_client.attempt(recipient=friend, message=message(trusted_client, friend))
    expect(attempt, twin=relayed)
    arrival = target.arrival(client.token)
    assert arrival.recipients == (sut.mail.forward.target,), arrival.recipients
    parts = SRS0.fullmatch(arrival.sender)
    assert parts, f"{client.sender} was not rewritten as SRS0 but as <{arrival.sender}>"
    user, _, domain = client.sender.partition("@")
    assert (parts[3].lower(), parts[4], parts[5].lower()) == (
        domain.lower(),
        user,
        sut.mail.srs.domain.lower(),
    )
    sender = elsewhere.arrival(trusted_client.token).sender
    assert sender == trusted_client.sender, f"mail that is not forwarded comes from <{sender}>"


@rule("srs.forward")
def test_bounce_that_is_forwarded_keeps_the_null_sender(
    client: Client, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    target = sink.forward_target()
    attempt = forward(client, sut, sender="")
    expect.needed(
        attempt.rcpt.code < 500, "forward.recipient takes no bounces; put it into bounce_recipients"
    )
    expect(attempt, twin=forward(client.twin(), sut))
    sender = target.arrival(client.token).sender
    assert sender == "", f"a bounce was forwarded from <{sender}>"


@rule("srs.bounce-back")
def test_bounce_to_a_rewritten_sender(client: Client, sut: Sut, sink: MailHosts, expect: Expect) -> None:
    home = sink.host(client.identity.domain)
    rewritten = forwarded(client, sut, sink, expect).sender
    bouncing, twin = client.twin(), client.twin()
    attempt = bounce(bouncing, rewritten)
    ordinary = twin.attempt(sender="", recipient=sut.legal_bounce, message=message(twin, sut.legal_bounce))
    expect(attempt, twin=ordinary)
    arrival = home.arrival(bouncing.token)
    assert arrival.sender == "", f"the bounce comes from <{arrival.sender}>"
    assert arrival.recipients == (client.sender,), arrival.recipients


@rule("srs.second-hop")
def test_sender_that_somebody_else_has_rewritten(
    client: Client, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    target, first = sink.forward_target(), sink.host()
    before = f"SRS0=ab12=XY={client.identity.domain}=sender@{first.domain}"
    attempt = forward(client, sut, sender=before)
    expect(attempt, twin=forward(client.twin(), sut))
    sender = target.arrival(client.token).sender
    parts = SRS1.fullmatch(sender)
    assert parts, f"<{before}> was not rewritten as SRS1 but as <{sender}>"
    rest, _, _ = before.removeprefix("SRS0").partition("@")
    assert (parts[2].lower(), parts[3], parts[4].lower()) == (first.domain, rest, sut.mail.srs.domain.lower())
    bouncing = client.twin()
    answer = bounce(bouncing, sender)
    expect.outcome("pass at data", answer)
    arrival = first.arrival(bouncing.token)
    assert (arrival.sender, arrival.recipients) == ("", (before,)), (arrival.sender, arrival.recipients)


@rule("srs.bad-hash")
def test_bounce_to_a_sender_that_was_forged(
    client: Client, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    rewritten = forwarded(client, sut, sink, expect).sender
    parts = SRS0.fullmatch(rewritten)
    expect.given(parts is not None, f"the sender was not rewritten as SRS0 but as <{rewritten}>")
    assert parts
    hashed = parts[1]
    forged = hashed[:-1] + ("a" if hashed[-1].lower() != "a" else "b")
    for address in (
        rewritten.replace(hashed, forged, 1),
        rewritten.replace(f"={parts[4]}@", "=somebody-else@"),
    ):
        expect(bounce(client.twin(), address, Stage.RCPT), twin=bounce(client.twin(), rewritten, Stage.RCPT))
    lowered = bounce(client.twin(), rewritten.lower(), Stage.RCPT)
    expect.through(lowered, Stage.RCPT, who="who writes to the address in lower case")


@rule("srs.expired")
def test_bounce_to_a_sender_that_is_too_old(
    client: Client, sut: Sut, rewriter: Rewriter | None, expect: Expect
) -> None:
    expect.needed(rewriter is not None, "the profile has no srs.make command to make an old sender with")
    assert rewriter
    lifetime = sut.mail.srs.lifetime
    old, young = (rewriter.aged(client.sender, days) for days in (lifetime + 1, lifetime - 1))
    expect(bounce(client, old, Stage.RCPT), twin=bounce(client.twin(), young, Stage.RCPT))


def forward(client: Client, sut: Sut, sender: str | None = None) -> Attempt:
    """A message to the recipient whose mail goes elsewhere."""
    recipient = sut.mail.forward.recipient
    return client.attempt(sender=sender, recipient=recipient, message=message(client, recipient))


def forwarded(client: Client, sut: Sut, sink: MailHosts, expect: Expect) -> Arrival:
    """The same, as it came there."""
    target = sink.forward_target()
    attempt = forward(client, sut)
    expect.outcome("pass at data", attempt)
    return target.arrival(client.token)


def bounce(client: Client, recipient: str, upto: Stage = Stage.DATA) -> Attempt:
    """A bounce to a rewritten sender."""
    content = message(client, recipient) if upto is Stage.DATA else None
    return client.attempt(sender="", recipient=recipient, message=content)
