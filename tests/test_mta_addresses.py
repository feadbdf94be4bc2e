"""Paths and mailboxes: whatever comes, they are read without an error and without a change."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.reference_mta.addresses import LONGEST, MailAddress, read_path, split
from harness.reference_mta.mail.files import folder_name

ODD = st.text(st.sampled_from('<>@"\\:, .a\u00e9\0\r\n\udc80%!'), max_size=30)
ANYTHING = st.one_of(st.text(max_size=400), ODD, ODD.map(lambda text: f"<{text}> {text}"))


@given(ANYTHING)
@example("<" * 10_000)
@example("<" + "a" * 10_000 + ">")
@example('<"' + "\\" * 10_001 + '">')
def test_a_path_is_read_as_it_stands_or_not_at_all(argument: str) -> None:
    found = read_path(argument)
    if found is None:
        return
    address, parameters = found
    assert f"{address}>" in argument
    assert parameters in argument
    assert len(address) <= LONGEST
    assert address.isprintable()


@given(ANYTHING)
def test_a_mailbox_is_divided_and_not_rewritten(address: str) -> None:
    mailbox = split(address)
    assert address in (str(mailbox), f"{mailbox.local_part}@")
    assert "@" not in mailbox.domain


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("<alice@castle.example>", ("alice@castle.example", "")),
        ("  <alice@castle.example>  ", ("alice@castle.example", "")),
        ("<>", ("", "")),
        ("<a@b.example> SIZE=3 BODY=8BITMIME", ("a@b.example", "SIZE=3 BODY=8BITMIME")),
        ("<@relay.example,@other.example:a@b.example>", ("a@b.example", "")),
        ('<"a > b"@c.example>', ('"a > b"@c.example', "")),
        ('<"a\\">"@c.example>', ('"a\\">"@c.example', "")),
        ("<Alice@CASTLE.example>", ("Alice@CASTLE.example", "")),
        ("alice@castle.example", None),
        ("<alice@castle.example", None),
        ("<a@b.example>SIZE=3", None),
        ("<@relay.example>", None),
        ("<<a@b.example>>", None),
        ('<"a@b.example>', None),
        ("<a\r@b.example>", None),
        ("<a\0@b.example>", None),
        ("<\udcff@b.example>", None),
        ("", None),
    ],
)
def test_paths(argument: str, expected: tuple[str, str] | None) -> None:
    assert read_path(argument) == expected


@pytest.mark.parametrize(
    ("address", "local_part", "domain"),
    [
        ("alice@castle.example", "alice", "castle.example"),
        ("a@b@castle.example", "a@b", "castle.example"),
        ('"a@b"@castle.example', '"a@b"', "castle.example"),
        ('"a"@b"@castle.example', '"a"@b"', "castle.example"),
        ('"a@b.example"', '"a@b.example"', ""),
        ("postmaster", "postmaster", ""),
        ("", "", ""),
    ],
)
def test_mailboxes(address: str, local_part: str, domain: str) -> None:
    assert split(address) == MailAddress(local_part, domain)


@given(ANYTHING)
@example("..")
@example("../../etc/passwd")
@example("é" * 300)
def test_a_folder_is_named_by_one_plain_word(address: str) -> None:
    name = folder_name(address)
    assert name
    assert not name.startswith(".")
    assert name.isascii()
    assert name.isprintable()
    assert not set(name) & set("/\\ \"'*?$`;&|<>")
    assert len(name) <= 255


@given(ANYTHING, ANYTHING)
@example(".alice@castle.example", "alice@castle.example")
@example("o'neil@castle.example", "o_neil@castle.example")
@example("a#b@castle.example", "a%23b@castle.example")
@example("", "%")
def test_no_two_addresses_share_a_folder(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one.lower() == other.lower())
