"""Classification of content: spam is marked, and passes all the same."""

import re

from harness.scenario import Client, Delivered, Expect, Mailbox, Sut, message, rule

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
LARGE = 600_000  # bytes; spamc's own default limit is 500 kB


@rule("data.spam-classified")
def test_spam_is_marked(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    spam, ham = both(client, sut, mailbox, expect)
    classified(spam, ham)


@rule("absent.size-exempts-spam-check")
def test_large_spam_is_marked(client: Client, sut: Sut, mailbox: Mailbox, expect: Expect) -> None:
    line = "This message goes on for a while, because it is about something.\r\n"
    spam, ham = both(client, sut, mailbox, expect, line * (LARGE // len(line)))
    classified(spam, ham)


def both(
    client: Client, sut: Sut, mailbox: Mailbox, expect: Expect, text: str = "Hello.\r\n"
) -> tuple[Delivered, Delivered]:
    """Two messages that differ in the test string of all spam filters, as they were delivered."""
    twin = client.twin()
    attempt = client.attempt(message=message(client, sut.recipient, body=GTUBE + text))
    expect(attempt, twin=twin.attempt(message=message(twin, sut.recipient, body=text)))
    return mailbox.find(sut.recipient, client.token), mailbox.find(sut.recipient, twin.token)


def classified(spam: Delivered, ham: Delivered) -> None:
    """Both say that they were looked at, and one says that it is spam: by X-Spam-Flag or X-Spam-Status."""
    for found in (spam, ham):
        assert any(name.lower().startswith("x-spam-") for name in found.message), "no X-Spam- field"
    assert "yes" in verdicts(spam), "spam has neither X-Spam-Flag: YES nor X-Spam-Status: Yes"
    assert "no" not in verdicts(spam), "the X-Spam- fields of spam contradict each other"
    assert "yes" not in verdicts(ham), "ham is marked as spam"


def verdicts(found: Delivered) -> list[str]:
    """What the fields say, `yes` or `no` each (Mail::SpamAssassin::Conf, add_header)."""
    said = [*found.headers("X-Spam-Flag"), *found.headers("X-Spam-Status")]
    return [re.split(r"[\W_]", value.lower(), maxsplit=1)[0] for value in said]
