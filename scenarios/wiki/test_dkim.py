"""DKIM: signatures of messages, and keys in DNS that they are held against."""

import pytest

from harness.scenario import (
    Algorithm,
    Attempt,
    Canonical,
    Client,
    Expect,
    Mailbox,
    Signer,
    Stage,
    Sut,
    dkim_results,
    message,
    refusal,
    rule,
)

TROUBLE = (0, 421, 452)  # of the server as a whole, or no reply


@rule("dkim.pass")
@pytest.mark.parametrize("canonical", Canonical)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_true_signature(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, algorithm: Algorithm, canonical: Canonical
) -> None:
    signer = with_key(client, algorithm)
    attempt = send(client, sut, signer.signed(message(client, sut.recipient), canonical))
    twin = client.twin()
    unsigned = send(twin, sut, message(twin, sut.recipient))
    expect(attempt, twin=unsigned)
    assert results(attempt, client, mailbox, sut) == ["pass"]
    assert results(unsigned, twin, mailbox, sut) == [], "a message without a signature has a result for one"


@rule("dkim.broken")
@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("what", ["body", "subject", "more body"])
def test_message_that_is_not_what_was_signed(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, algorithm: Algorithm, what: str
) -> None:
    signed = with_key(client, algorithm).signed(message(client, sut.recipient))
    changed = {
        "body": signed.replace(b"Hello.", b"Hullo."),
        "subject": signed.replace(b"Subject: smtp-harness", b"Subject: something else"),
        "more body": signed + b"And more.\r\n",
    }[what]
    assert changed != signed
    judge(send(client, sut, changed), client, mailbox, sut, expect)


@rule("dkim.wrong-key")
@pytest.mark.parametrize("algorithm", Algorithm)
def test_signature_by_another_key(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, algorithm: Algorithm
) -> None:
    with_key(client, algorithm)
    forger = Signer(client.identity.domain, algorithm, forged=True)
    judge(send(client, sut, forger.signed(message(client, sut.recipient))), client, mailbox, sut, expect)


@rule("dkim.no-key")
@pytest.mark.parametrize("key", ["none", "revoked"])
def test_signature_without_a_key(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, key: str
) -> None:
    signer = Signer(client.identity.domain)
    if key == "revoked":
        client.publish(signer.key_name, "TXT", "v=DKIM1; p=")
    attempt = send(client, sut, signer.signed(message(client, sut.recipient)))
    twin = true_twin(client, sut)
    expect(attempt, twin=twin)
    assert "pass" not in results(attempt, client, mailbox, sut), "a signature without a key passes"


def judge(attempt: Attempt, client: Client, mailbox: Mailbox, sut: Sut, expect: Expect) -> None:
    """A false signature is refused or marked, as the profile says; a true one of the twin is taken."""
    if sut.mail.dkim.mode == "reject":
        step = refusal(attempt)
        assert step, "the false signature was marked at most, and the profile says that it is refused"
        if step.stage is Stage.DATA and step.code not in TROUBLE:
            assert step.code >= 500, f"the false signature is no matter of time: {step}"
    expect(attempt, twin=true_twin(client, sut))
    if sut.mail.dkim.mode == "mark":
        found = results(attempt, client, mailbox, sut)
        assert found, "nothing in Authentication-Results is about the signature"
        assert "pass" not in found, "a false signature passes"


def true_twin(client: Client, sut: Sut) -> Attempt:
    """Another client, whose signature is true."""
    twin = client.twin()
    signed = with_key(twin, Algorithm.RSA).signed(message(twin, sut.recipient))
    return send(twin, sut, signed)


def with_key(client: Client, algorithm: Algorithm) -> Signer:
    """A signer for the client's domain, whose key is in DNS."""
    signer = Signer(client.identity.domain, algorithm)
    client.publish(signer.key_name, "TXT", signer.record)
    return signer


def send(client: Client, sut: Sut, content: bytes) -> Attempt:
    """A message to the server that checks signatures, from a client that SPF has nothing against."""
    client.server = sut.mail.dkim.server
    client.publish(client.identity.domain, "TXT", f"v=spf1 ip4:{client.address} -all")
    return client.attempt(message=content)


def results(attempt: Attempt, client: Client, mailbox: Mailbox, sut: Sut) -> list[str]:
    """What the server found out about signatures of the client's domain, by the delivered message."""
    if refusal(attempt):
        return []
    return dkim_results(mailbox.find(sut.recipient, client.token), client.identity.domain)
