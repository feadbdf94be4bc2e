"""Classification of content: spam is marked, and passes all the same."""

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
    attempt = client.attempt(message=message(client, sut.recipient, body=text + GTUBE))
    expect(attempt, twin=twin.attempt(message=message(twin, sut.recipient, body=text)))
    return mailbox.find(sut.recipient, client.token), mailbox.find(sut.recipient, twin.token)


def classified(spam: Delivered, ham: Delivered) -> None:
    """Both say that they were looked at, and one says that it is spam."""
    for found, word in ((spam, "yes"), (ham, "no")):
        status = found.headers("X-Spam-Status")
        assert len(status) == 1, f"{len(status)} X-Spam-Status fields"
        assert status[0].lower().startswith(word), f"X-Spam-Status: {status[0]}"
    assert [flag.upper() for flag in spam.headers("X-Spam-Flag")] == ["YES"], "spam has no X-Spam-Flag: YES"
    assert not any(flag.upper() == "YES" for flag in ham.headers("X-Spam-Flag")), "ham is flagged as spam"
