"""Classification of content: spam is marked, and passes all the same."""

import re

import pytest

from harness.scenario import Client, Delivered, Expect, Mailbox, Sut, Treatment, message, needs, rule

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
REFUSED = (Treatment.DENY, Treatment.DROP, Treatment.DEFER)
HAM = b"X-Spam-Flag: NO\r\nX-Spam-Status: No, score=-9.9 required=5.0\r\n"  # as others say it
SIZES = (  # bytes, above the limits that are usual: 256 kB, 500 kB (spamc), 1 MB, 5 MB
    600_000,
    2_000_000,
    pytest.param(12_000_000, marks=needs("heavy")),
)


@rule("data.spam-classified")
def test_spam_is_marked(client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    classified(delivered(client, offence, sut, mailbox, expect, "Hello.\r\n"), spam=offence)


@rule("data.spam-classified")
def test_spam_that_says_it_is_none(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect
) -> None:
    found = delivered(client, offence, sut, mailbox, expect, "Hello.\r\n", header=HAM)
    if offence:  # what the client wrote may stand beside it
        assert "yes" in verdicts(found), "spam that brings fields that say it is none has no others"
    else:
        classified(found, spam=False)


@rule("absent.size-exempts-spam-check")
@pytest.mark.parametrize("size", SIZES)
def test_large_spam_is_marked(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, size: int
) -> None:
    with client.conversation("what it takes") as talk:
        talk.connect()
        greeted = talk.ehlo(client.host)
        talk.quit()
    expect.replied(greeted, 250)
    most = greeted.keywords.get("SIZE", "")  # RFC 1870 §4: 0 is no limit
    expect.applicable(
        not most.isdecimal() or not 0 < int(most) < size + 2000, f"it takes no more than {most} bytes"
    )
    line = "This message goes on for a while, because it is about something.\r\n"
    found = delivered(client, offence, sut, mailbox, expect, line * (size // len(line)))
    classified(found, spam=offence)


def delivered(
    client: Client, offence: bool, sut: Sut, mailbox: Mailbox, expect: Expect, text: str, header: bytes = b""
) -> Delivered:
    """A message as it was delivered; spam is what the test string of all filters stands before."""
    body = (GTUBE if offence else "") + text
    attempt = client.attempt(message=header + message(client, sut.recipient, body=body))
    told = attempt.data.prose.lower() if attempt.data.treatment in REFUSED else ""
    expect.given("gtube" not in told, f"the test string is refused for itself, as no spam is: {attempt.data}")
    expect(attempt)
    return mailbox.find(sut.recipient, client.token)


def classified(found: Delivered, *, spam: bool) -> None:
    """It says that it was looked at, and whether it is spam, by X-Spam-Flag or X-Spam-Status."""
    assert any(name.lower().startswith("x-spam-") for name in found.header), "no X-Spam- field"
    if spam:
        assert "yes" in verdicts(found), "spam has neither X-Spam-Flag: YES nor X-Spam-Status: Yes"
        assert "no" not in verdicts(found), "the X-Spam- fields of spam contradict each other"
    else:
        assert "yes" not in verdicts(found), "ham is marked as spam"


def verdicts(found: Delivered) -> list[str]:
    """What the fields say, `yes` or `no` each (Mail::SpamAssassin::Conf, add_header)."""
    said = [*found.headers("X-Spam-Flag"), *found.headers("X-Spam-Status")]
    return [re.split(r"[\W_]", value.lower(), maxsplit=1)[0] for value in said]
