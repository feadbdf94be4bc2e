"""Sender rewriting: mail that is forwarded comes from the forwarder, and a bounce finds its way back."""

import re

import pytest

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
    named,
    rule,
)

SRS0 = re.compile(r"(?i)SRS0[=+-]([^=@]+)=([a-z2-7]{2})=([^=@]+)=([^@]+)@([^@]+)")
SRS1 = re.compile(r"(?i)SRS1[=+-]([^=@]+)=([^=@]+)=([=+-][^@]+)@([^@]+)")


@rule("srs.forward")
def test_sender_of_forwarded_mail(
    trusted_client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    target, elsewhere = sink.forward_target(), sink.host()
    forwarded = sut.mail.forward
    recipient = forwarded.recipient if offence else f"friend@{elsewhere.domain}"
    expect(trusted_client.attempt(recipient=recipient, message=message(trusted_client, recipient)))
    arrival = (target if offence else elsewhere).arrival(trusted_client.token)
    wanted = forwarded.target if offence else recipient
    assert arrival.recipients == (wanted,), f"it came to {named(arrival.recipients)}, expected {wanted}"
    if offence:
        is_rewritten(arrival.sender, trusted_client.sender, sut)
    else:
        assert arrival.sender == trusted_client.sender, f"mail that is relayed comes from <{arrival.sender}>"


@rule("srs.forward")
def test_bounce_that_is_forwarded_keeps_the_null_sender(
    client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    target = sink.forward_target()
    attempt = forward(client, sut, sender="" if offence else client.sender)
    if offence and not sut.mail.forwards_bounces:
        refused = "forward.recipient takes no bounces; put it into bounce_recipients"
        expect.needed(attempt.rcpt.code < 500 and attempt.data.code < 500, refused)
    expect(attempt)
    arrival = target.arrival(client.token)
    if offence:
        assert arrival.sender == "", f"a bounce was forwarded from <{arrival.sender}>"
    else:
        is_rewritten(arrival.sender, client.sender, sut)


@rule("srs.bounce-back")
def test_bounce_to_a_rewritten_sender(
    client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    user = sut.mail.takes_bounces
    expect.needed(
        bool(user), "no user is in any bounce_recipients, so the profile does not say who gets bounces"
    )
    home = sink.host(client.identity.domain)
    rewritten = forwarded(client, sut, sink, expect).sender
    bouncing = client.another("a client that bounces")
    expect(bounce(bouncing, rewritten if offence else user, whole=True))
    if offence:
        is_back(home.arrival(bouncing.token), client.sender)


@rule("srs.second-hop")
def test_sender_that_somebody_else_has_rewritten(
    client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    target, first = sink.forward_target(), sink.host()
    domain, rest = client.identity.domain, f"=ab12=XY={client.identity.domain}=sender"
    home = first if offence else sink.host(domain)
    before = f"SRS0{rest}@{first.domain}" if offence else client.sender
    expect(forward(client, sut, sender=before))
    sender = target.arrival(client.token).sender
    if offence:
        parts = SRS1.fullmatch(sender)
        assert parts, f"<{before}> was not rewritten as SRS1 but as <{sender}>"
        said, forwarder = (parts[2].lower(), parts[3], parts[4].lower()), sut.mail.srs.domain.lower()
        assert said == (first.domain, rest, forwarder), f"<{before}> was rewritten as <{sender}>"
    bouncing = client.another("a client that bounces")
    expect.accepts(bounce(bouncing, sender, whole=True), Stage.DATA)
    is_back(home.arrival(bouncing.token), before)


@rule("srs.bad-hash")
@pytest.mark.parametrize("forged", ["hash", "domain", "user"])
def test_bounce_to_a_sender_that_was_forged(
    client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect, forged: str
) -> None:
    rewritten = forwarded(client, sut, sink, expect).sender
    parts = SRS0.fullmatch(rewritten)
    expect.given(parts is not None, f"the sender was not rewritten as SRS0 but as <{rewritten}>")
    assert parts, "a sender that is not rewritten has no hash"
    hashed, day, domain, user, forwarder = parts.groups()
    forgery = {
        "hash": f"SRS0={another(hashed)}={day}={domain}={user}",
        "domain": f"SRS0={hashed}={day}=other.{domain}={user}",
        "user": f"SRS0={hashed}={day}={domain}=somebody-else",
    }[forged]
    address = f"{forgery}@{forwarder}"
    expect(bounce(client.another("a client that bounces"), address if offence else rewritten))


@rule("srs.bad-hash")
@pytest.mark.parametrize("forged", ["hash", "forwarder"])
def test_bounce_to_a_sender_of_a_second_hop_that_was_forged(
    client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect, forged: str
) -> None:
    target, first = sink.forward_target(), sink.host()
    expect.accepts(
        forward(client, sut, sender=f"SRS0=ab12=XY={client.identity.domain}=sender@{first.domain}"),
        Stage.DATA,
    )
    rewritten = target.arrival(client.token).sender
    parts = SRS1.fullmatch(rewritten)
    expect.applicable(parts is not None, f"what somebody else has rewritten becomes <{rewritten}>, no SRS1")
    assert parts, "a sender that is not rewritten has no hash"
    hashed, before, rest, forwarder = parts.groups()
    forgery = {
        "hash": f"SRS1={another(hashed)}={before}={rest}",
        "forwarder": f"SRS1={hashed}=other.{before}={rest}",
    }[forged]
    address = f"{forgery}@{forwarder}"
    expect(bounce(client.another("a client that bounces"), address if offence else rewritten))


@rule("srs.bad-hash")
def test_bounce_to_a_rewritten_sender_in_lower_case(
    client: Client, offence: bool, sut: Sut, sink: MailHosts, expect: Expect
) -> None:
    home = sink.host(client.identity.domain)
    rewritten = forwarded(client, sut, sink, expect).sender
    bouncing = client.another("a client that bounces")
    address = rewritten.lower() if offence else rewritten
    expect.accepted(bounce(bouncing, address, whole=True), Stage.RCPT)
    is_back(home.arrival(bouncing.token), client.sender)


@rule("srs.expired")
def test_bounce_to_a_sender_that_is_too_old(
    client: Client, offence: bool, sut: Sut, rewriter: Rewriter | None, expect: Expect
) -> None:
    expect.needed(rewriter is not None, "the profile has no srs.make command to make an old sender with")
    assert rewriter, "without srs.make there is no old sender"
    days = sut.mail.srs.lifetime + (1 if offence else -1)
    expect(bounce(client, rewriter.aged(client.sender, days)))


def another(hashed: str) -> str:
    """Another hash, which differs in its last character."""
    return hashed[:-1] + ("a" if hashed[-1].lower() != "a" else "b")


def is_rewritten(sender: str, original: str, sut: Sut) -> None:
    """It is an SRS0 address of the forwarder, in which the original one stands."""
    parts = SRS0.fullmatch(sender)
    assert parts, f"{original} was not rewritten as SRS0 but as <{sender}>"
    user, _, domain = original.partition("@")
    said, forwarder = (parts[3].lower(), parts[4], parts[5].lower()), sut.mail.srs.domain.lower()
    assert said == (domain.lower(), user, forwarder), f"{original} was rewritten as <{sender}>"


def is_back(arrival: Arrival, sender: str) -> None:
    """A bounce has come to the one from whom the message was."""
    assert arrival.sender == "", f"the bounce comes from <{arrival.sender}>"
    assert arrival.recipients == (sender,), f"the bounce came to {named(arrival.recipients)}"


def forward(client: Client, sut: Sut, sender: str | None = None) -> Attempt:
    """A message to the recipient whose mail goes elsewhere."""
    recipient = sut.mail.forward.recipient
    return client.attempt(sender=sender, recipient=recipient, message=message(client, recipient))


def forwarded(client: Client, sut: Sut, sink: MailHosts, expect: Expect) -> Arrival:
    """The same, as it came there."""
    target = sink.forward_target()
    expect.accepts(forward(client, sut), Stage.DATA)
    return target.arrival(client.token)


def bounce(client: Client, recipient: str, *, whole: bool = False) -> Attempt:
    """A bounce, the `whole` message or as far as the server must be heard to tell the verdict."""
    content = message(client, recipient) if whole else None
    return client.attempt(sender="", recipient=recipient, message=content)
