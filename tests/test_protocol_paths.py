"""Paths of MAIL and RCPT: by the grammar of RFC 5321, whatever comes."""

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.reference_mta.addresses import split
from harness.reference_mta.protocol.paths import LONGEST_PATH, NULL, Path, read_mailbox, read_path

ODD = st.text(st.sampled_from('<>@"\\:, .a-\u00e9\0\r\n\udc80%![]'), max_size=30)
ANYTHING = st.one_of(st.text(max_size=400), ODD, ODD.map(lambda text: f"<{text}> {text}"))
ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"  # RFC 5322 §3.2.3
ATOMS = st.lists(st.text(ATEXT, min_size=1, max_size=8), min_size=1, max_size=4)
LABELS = st.from_regex(r"[a-z0-9]+(-+[a-z0-9]+)*", fullmatch=True).filter(lambda label: len(label) < 20)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@settings(deadline=None)
@given(ANYTHING, st.booleans())
@example("<" * 10_000, False)
@example("<" + "a" * 10_000 + ">", True)
@example('<"' + "\\" * 10_001 + '">', False)
@example("<a@" + "-" * 10_000 + ">", False)
@example("<" + "a@" * 100 + ">", True)
def test_whatever_comes_is_a_whole_path_or_none(text: str, almost: bool) -> None:
    found = read_path(text, almost=almost)
    if found is None:
        return
    path, rest = found
    assert text.startswith("<")
    assert text.endswith(">" + rest)
    assert len(str(path)) <= LONGEST_PATH
    assert str(path).isprintable()
    assert path == NULL or path.domain or path.local_part.lower() == "postmaster"


@settings(deadline=None)
@given(ATOMS, DOMAINS)
def test_a_dot_string_is_kept_as_it_is(atoms: list[str], domain: str) -> None:
    name = ".".join(atoms)
    assert read_path(f"<{name}@{domain}> X") == (Path(name, domain), " X")


@settings(deadline=None)
@given(ATOMS, DOMAINS)
def test_quotes_that_are_not_needed_make_no_other_mailbox(atoms: list[str], domain: str) -> None:
    name = ".".join(atoms)
    spelled = "".join(f"\\{char}" for char in name)
    assert read_mailbox(f'"{name}"@{domain}') == read_mailbox(f'"{spelled}"@{domain}') == Path(name, domain)


@settings(deadline=None)
@given(PRINTABLE, DOMAINS)
def test_one_content_has_one_spelling(content: str, domain: str) -> None:
    least = content.replace("\\", "\\\\").replace('"', '\\"')
    most = "".join(f"\\{char}" for char in content)
    path = read_mailbox(f'"{least}"@{domain}')
    assert path is not None
    assert read_mailbox(f'"{most}"@{domain}') == path
    assert read_mailbox(str(path)) == path
    mailbox = split(str(path))
    assert (mailbox.local_part, mailbox.domain) == (path.local_part, path.domain)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<alice@castle.example>", "alice@castle.example"),
        ("<>", ""),
        ("<Postmaster>", "Postmaster"),
        ('<"Postmaster"@castle.example>', "Postmaster@castle.example"),
        ("<@relay.example,@other.example:a@b.example>", "a@b.example"),
        ('<"a > b"@c.example>', '"a > b"@c.example'),
        ('<"a\\">"@c.example>', '"a\\">"@c.example'),
        ('<"a..b"@c.example>', '"a..b"@c.example'),
        ('<""@c.example>', '""@c.example'),
        ("<Alice@CASTLE.example>", "Alice@CASTLE.example"),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("<a@localhost>", "a@localhost"),
        ("<\u00e9@\u00e9.example>", "\u00e9@\u00e9.example"),
    ],
)
def test_what_is_a_path(text: str, expected: str) -> None:
    found = read_path(text)
    assert found is not None
    assert str(found[0]) == expected


NO_PATHS = """
alice@castle.example
 <a@b.example>
<alice@castle.example
<a@b.example>SIZE=3
<@relay.example>
<@relay.example:>
<@relay.example:postmaster>
<@relay.example:@a@b.example>
<<a@b.example>>
<"a@b.example>
<a..b@c.example>
<a.@c.example>
<a b@c.example>
<a@b c>
<x>
<@>
<@c.example>
<a@>
<a@c.example.>
<a@.c.example>
<a@c..example>
<a@-c.example>
<a@c-.example>
<a@c_d.example>
<a(comment)@c.example>
<a"b"@c.example>
<"a"b@c.example>
<a\\b@c.example>
<a@[]>
<a@[192.0.2]>
<a@[300.0.2.1]>
<a@[IPv6:192.0.2.1]>
<a@[2001:db8::1]>
<a@[IPv6:x]>
<a@192.0.2.1]>
"""


@pytest.mark.parametrize(
    "text", [*NO_PATHS.strip("\n").split("\n"), "", "<a\r@b.example>", "<a\0@b.example>"]
)
@pytest.mark.parametrize("almost", [False, True])
def test_what_is_none(text: str, almost: bool) -> None:
    assert read_path(text, almost=almost) is None


@pytest.mark.parametrize("local_part", [".a", "a@b", "a@b.example@c", ".a@b"])
def test_what_is_almost_one_is_told_apart(local_part: str) -> None:
    assert read_path(f"<{local_part}@d.example>") is None
    assert read_path(f"<{local_part}@d.example>", almost=True) == (
        Path(local_part, "d.example", almost=True),
        "",
    )
