"""Mailboxes and their folders: whatever comes is divided without an error and without a change."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.reference_mta.addresses import MailAddress, split
from harness.reference_mta.mail.files import folder_name

ODD = st.text(st.sampled_from('<>@"\\:, .a\u00e9\0\r\n\udc80%!'), max_size=30)
ANYTHING = st.one_of(st.text(max_size=400), ODD, ODD.map(lambda text: f"<{text}> {text}"))


@given(ANYTHING)
def test_a_mailbox_is_divided_and_not_rewritten(address: str) -> None:
    mailbox = split(address)
    assert address in (str(mailbox), f"{mailbox.local_part}@")
    assert "@" not in mailbox.domain


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
@example("é" * 300 + "\udc80")
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
