"""The end of DATA: what the server makes of the message itself."""

import pytest

from harness.scenario import (
    Attempt,
    Client,
    Expect,
    Kind,
    Mailbox,
    NewClient,
    Stage,
    Sut,
    Treatment,
    message,
    needs,
    rule,
)

from .manners import WHOEVER
from .recipients import is_delivered

PROGRAM = b"TVqQAAMAAAAEAAAA"  # as base64 has the beginning of one
BROKEN = "<broken@@example..com"  # no address under any reading of RFC 5322

FORMS = {  # of a field, in which an address that is none may go unseen
    "second address": "To: <friend@{domain}>, {last}",
    "folded": "To: <friend@{domain}>,\r\n {last}",
    "lower case": "to: {last}",
}


@rule("data.header-syntax")
@pytest.mark.parametrize("header", ["From", "To", "Cc", "Bcc", "Reply-To", "Sender"])
def test_address_header_that_does_not_parse(
    client: Client, offence: bool, sut: Sut, expect: Expect, header: str
) -> None:
    value = BROKEN if offence else f'"A. Friend" <friend@{client.identity.domain}>'
    expect(client.attempt(message=with_header(client, sut.recipient, header, value)))


@rule("data.header-syntax")
@pytest.mark.parametrize("form", list(FORMS))
def test_address_header_in_another_form_that_does_not_parse(
    client: Client, offence: bool, sut: Sut, expect: Expect, form: str
) -> None:
    domain = client.identity.domain
    field = FORMS[form].format(domain=domain, last=BROKEN if offence else f"<fellow@{domain}>")
    name, _, value = field.partition(": ")
    expect(client.attempt(message=with_header(client, sut.recipient, name, value)))


@rule("data.header-syntax")
def test_group_without_members(client: Client, sut: Sut, expect: Expect) -> None:
    def told(host: Client, value: str) -> Attempt:
        return host.attempt(message=with_header(host, sut.recipient, "To", value))

    group = told(client, "undisclosed-recipients:;")  # which some refuse for what it is
    if group.reached and group.reached.treatment is not Treatment.PASS:
        broken = told(client.another("a header that does not parse"), BROKEN)
        again = told(client.another("a header that does not parse, once more"), BROKEN)
        by_words = broken.said == again.said  # which differ where each message has a number, say
        expect.applicable(
            group.said == broken.said or (not by_words and group.reached.code == reached_with(broken)),
            f"it is refused, and not as what does not parse: {group.reached}",
        )
        another = told(client.another("another group without members"), "fellows:;")
        expect.applicable(
            another.reached is not None and another.reached.treatment is not Treatment.PASS,
            f"it is refused for its name, for another group without members is taken: {another.reached}",
        )
    expect.accepted(group, Stage.DATA)


@rule("data.header-syntax")
@needs("tls")
def test_address_header_that_does_not_parse_under_tls(
    client: Client, offence: bool, sut: Sut, expect: Expect
) -> None:
    value = BROKEN if offence else f"<friend@{client.identity.domain}>"
    expect(client.attempt(message=with_header(client, sut.recipient, "To", value), covered=True))


@rule("absent.mime-checks")
@WHOEVER
def test_attached_program(
    new_client: NewClient,
    offence: bool,
    sut: Sut,
    mailbox: Mailbox | None,
    expect: Expect,
    who: Kind,
) -> None:
    client, name = new_client(who), "setup.exe" if offence else "notes.txt"
    expect(client.attempt(message=with_attachment(client, sut.recipient, name)))
    found = is_delivered(client, sut.recipient, mailbox, expect)
    assert found is None or found.has(PROGRAM), "the message that was delivered is without its attachment"


@rule("absent.size-limit")
def test_message_of_40_megabytes(client: Client, offence: bool, sut: Sut, expect: Expect) -> None:
    line = b"x" * 998 + b"\r\n"
    size = 40_000_000 if offence else 4_000
    content = message(client, sut.recipient) + line * (size // len(line))
    expect(client.attempt(message=content), whenever=True)


def reached_with(attempt: Attempt) -> int:
    """The code of its last reply; 0 without one."""
    return attempt.reached.code if attempt.reached else 0


def with_header(client: Client, recipient: str, name: str, value: str) -> bytes:
    content = message(client, recipient).decode()
    lines = [line for line in content.split("\r\n") if not line.lower().startswith(f"{name.lower()}:")]
    return "\r\n".join([f"{name}: {value}", *lines]).encode()


def with_attachment(client: Client, recipient: str, name: str) -> bytes:
    parts = [
        'Content-Type: multipart/mixed; boundary="part"',
        "MIME-Version: 1.0",
        message(client, recipient, body="").decode(),
        "--part",
        "Content-Type: text/plain",
        "",
        "Hello.",
        "--part",
        "Content-Type: application/octet-stream",
        f'Content-Disposition: attachment; filename="{name}"',
        "Content-Transfer-Encoding: base64",
        "",
        PROGRAM.decode(),
        "--part--",
        "",
    ]
    return "\r\n".join(parts).encode()
