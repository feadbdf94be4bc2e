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
    Sut,
    dkim_results,
    message,
    named,
    refusal,
    rule,
)

from .filters import is_looked_at

SILENT = (
    "this server refuses what is false, and its messages show no result by which others could be told apart"
)


@rule("dkim.pass")
@pytest.mark.parametrize("canonical", Canonical)
@pytest.mark.parametrize("algorithm", Algorithm)
def test_true_signature(
    client: Client,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    algorithm: Algorithm,
    canonical: Canonical,
) -> None:
    signer, plain = with_key(client, algorithm), message(client, sut.recipient)
    attempt = send(client, sut, signer.signed(plain, canonical) if offence else plain)
    expect(attempt)
    found = results(attempt, client, mailbox, sut)
    if not offence:
        assert not found, f"a message without a signature has the result {named(found)} for one"
        return
    is_looked_at(client, signer.key_name, expect)
    expect.needed(bool(found) or sut.mail.dkim.mode == "mark", SILENT)
    assert found, "nothing in Authentication-Results is about the signature"
    assert set(found) == {"pass"}, f"a true signature is said to be {named(found)}"
    was_held_against(signer, client, expect)


@rule("dkim.broken")
@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("what", ["body", "subject", "more body"])
def test_message_that_is_not_what_was_signed(
    client: Client,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox,
    expect: Expect,
    algorithm: Algorithm,
    what: str,
) -> None:
    signed = with_key(client, algorithm).signed(message(client, sut.recipient))
    changed = {
        "body": signed.replace(b"Hello.", b"Hullo."),
        "subject": signed.replace(b"Subject: smtp-harness", b"Subject: something else"),
        "more body": signed + b"And more.\r\n",
    }[what]
    assert changed != signed, "the message that was signed has nothing that could be changed"
    known_as_false(changed if offence else signed, client, offence, sut, mailbox, expect)


@rule("dkim.wrong-key")
@pytest.mark.parametrize("algorithm", Algorithm)
def test_signature_by_another_key(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, algorithm: Algorithm
) -> None:
    signer = with_key(client, algorithm)
    signs = Signer(client.identity.domain, algorithm, forged=True) if offence else signer
    signed = signs.signed(message(client, sut.recipient))
    known_as_false(signed, client, offence, sut, mailbox, expect)
    was_held_against(signer, client, expect)


@rule("dkim.no-key")
@pytest.mark.parametrize("key", ["none", "revoked"])
def test_signature_without_a_key(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, key: str
) -> None:
    signer = Signer(client.identity.domain)
    record = {"none": (), "revoked": ("v=DKIM1; p=",)}[key] if offence else (signer.record,)
    client.publish(signer.key_name, "TXT", *record)
    attempt = send(client, sut, signer.signed(message(client, sut.recipient)))
    expect(attempt)
    found = results(attempt, client, mailbox, sut)
    if offence:
        assert "pass" not in found, "a signature without a key passes"
    was_held_against(signer, client, expect)


def known_as_false(
    content: bytes, client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    """A false signature is refused or marked, as the profile says; a true one is taken."""
    attempt = send(client, sut, content)
    expect(attempt)
    found = results(attempt, client, mailbox, sut)
    if not offence:
        return
    if sut.mail.dkim.mode == "reject":
        assert refusal(attempt), "the false signature was marked at most, and the profile says it is refused"
    elif not refusal(attempt):
        assert found, "nothing in Authentication-Results is about the signature"
        assert "pass" not in found, "a false signature passes"


def was_held_against(signer: Signer, client: Client, expect: Expect) -> None:
    """The key of the signature was looked for in DNS."""
    looked = client.looked_up_text(signer.key_name)
    expect.given(looked.seen, looked.missing)


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
