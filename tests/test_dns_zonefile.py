"""Zone files of both kinds: what they publish, and where they are wrong."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dns import FakeDns, ZoneFileError, load_zone_file, reverse_name
from fake_dns.answer import Transport
from fake_dns.masterfile import LineError, entries, tokens_of
from fake_dns.names import ROOT, RecordError, lineage, name_text, wire_name
from fake_dns.zonemaster import apply_master
from fake_dns.zonetoml import apply_toml
from harness.cli import main
from tests.dns_asking import Question, answers, ask, result

MASTER = r"""
; a comment, then everything the format has
$ORIGIN k3.example.
$TTL 1h
@       IN SOA ns1 hostmaster.k3.example. ( 7   ; serial
                1h 10m
                1d 60 )
        NS  ns1
        300 IN MX 10 mx7
        IN 400 mx 20 mx8.other.example.
mx7     A   198.18.0.7
        AAAA 2001:db8::7
txt     TXT "a b" "semi;colon" plain \"quoted\" "back\\slash" "\065"
$ORIGIN sub
www     CNAME mx7.k3.example.
*       60 A 198.18.0.8
a\.b    A 198.18.0.9
$ORIGIN .
else.example TYPE65280 \# 4 0a0b (
    0c0d )
@ 30 TXT root
last.example 5 A 198.18.0.10"""

TOML = """
zones = ["k3.example", "bl.example"]
ttl = 90

[[record]]
name = "k3.example"
type = "MX"
data = ["10 mx7.k3.example.", "20 mx8.k3.example."]

[[record]]
name = "k3.example"
type = "TXT"
data = "v=spf1 mx -all"
ttl = 5

[[ptr]]
address = "2001:db8::7"
host = "mx7.k3.example"

[[listing]]
zone = "bl.example"
address = "198.18.0.9"

[[listing]]
zone = "bl.example"
address = "198.18.0.8"
code = "127.0.0.4"
text = "an open relay"

[[script]]
name = "mx7.k3.example"
behaviour = "servfail"

[[script]]
name = "mx8.k3.example"
type = "A"
sequence = ["refused", { data = "198.18.0.1", ttl = 3 }, { late = 2, then = "servfail" }]

[[script]]
name = "mx9.k3.example"
type = "A"
sequence = ["nxdomain", { data = ["198.18.0.1", "198.18.0.2"] }]
again = true
"""


def load(tmp_path: Path, text: str, name: str = "test.zone") -> FakeDns:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    dns = FakeDns()
    load_zone_file(file, dns)
    return dns


def test_a_master_file_with_everything(tmp_path: Path) -> None:
    dns = load(tmp_path, MASTER)
    assert answers(dns, "k3.example", "SOA") == ["ns1.k3.example. hostmaster.k3.example. 7 3600 600 86400 60"]
    assert answers(dns, "k3.example", "NS") == ["ns1.k3.example."]
    assert answers(dns, "k3.example", "MX") == ["10 mx7.k3.example.", "20 mx8.other.example."]
    assert answers(dns, "mx7.k3.example", "AAAA") == ["2001:db8::7"]
    texts = ask(dns, Question("txt.k3.example", "TXT")).rr[0].rdata.data
    assert texts == [b"a b", b"semi;colon", b"plain", b'"quoted"', b"back\\slash", b"A"]
    assert answers(dns, "www.sub.k3.example") == ["mx7.k3.example.", "198.18.0.7"]
    assert answers(dns, "any.sub.k3.example") == ["198.18.0.8"]
    assert answers(dns, "last.example") == ["198.18.0.10"]
    assert answers(dns, "else.example", "TYPE65280") == [r"\# 4 0A0B0C0D"]
    assert answers(dns, ".", "TXT") == ['"root"']
    assert dns.queries(under=r"a\.b.sub.k3.example") == []


def test_the_time_to_live_is_the_records_the_directives_or_the_last(tmp_path: Path) -> None:
    def ttl(dns: FakeDns, name: str) -> int:
        return int(ask(dns, Question(name)).rr[0].ttl)

    with_directive = load(tmp_path, "a.example. 5 A 198.18.0.1\n$TTL 1h30m\nb.example. A 198.18.0.1\n")
    assert (ttl(with_directive, "a.example"), ttl(with_directive, "b.example")) == (5, 5400)
    without = load(tmp_path, "c.example. A 198.18.0.1\na.example. 5 A 198.18.0.1\nb.example. A 198.18.0.1\n")
    assert [ttl(without, f"{name}.example") for name in "cab"] == [60, 5, 5]


def test_the_log_shows_names_whole(tmp_path: Path) -> None:
    dns = load(tmp_path, MASTER)
    ask(dns, Question("www.sub.k3.example", "MX"))
    ask(dns, Question("k3.example", "MX"))
    assert dns.queries()[-1].answer == "NOERROR 10 mx7.k3.example, 20 mx8.other.example"


def test_a_toml_file_with_everything(tmp_path: Path) -> None:
    dns = load(tmp_path, TOML, "test.toml")
    assert answers(dns, "k3.example", "SOA")
    assert answers(dns, "k3.example", "MX") == ["10 mx7.k3.example.", "20 mx8.k3.example."]
    assert ask(dns, Question("k3.example", "MX")).rr[0].ttl == 90
    assert ask(dns, Question("k3.example", "TXT")).rr[0].ttl == 5
    assert answers(dns, "k3.example", "TXT") == ['"v=spf1 mx -all"']
    assert answers(dns, reverse_name("2001:db8::7"), "PTR") == ["mx7.k3.example."]
    assert answers(dns, "9.0.18.198.bl.example") == ["127.0.0.2"]
    assert answers(dns, "8.0.18.198.bl.example") == ["127.0.0.4"]
    assert answers(dns, "8.0.18.198.bl.example", "TXT") == ['"an open relay"']
    assert result(dns, "mx7.k3.example", "TXT") == "SERVFAIL"
    assert result(dns, "mx8.k3.example") == "REFUSED"
    assert answers(dns, "mx8.k3.example") == ["198.18.0.1"]
    packet = Question("mx8.k3.example").packet()
    assert dns.respond(packet, "127.0.0.1", Transport.UDP).delay == 2
    assert [len(answers(dns, "mx9.k3.example")) for _ in range(4)] == [0, 2, 0, 2]


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (
            "a.example. A 198.18.0.1\nb.example. A 198.18.0\n",
            2,
            "A address: '198.18.0' is not an IPv4 address",
        ),
        ("\n\na.example. 60 IN\n", 3, "the type is missing"),
        ("a.example. MAX 10 b\n", 1, "no record type"),
        ("a.example. CH TXT x\n", 1, "only IN is"),
        ("a.example. ANY x\n", 1, "questions only"),
        ("  A 198.18.0.1\n", 1, "needs an owner"),
        ("a.example. A 198.18.0.1\n$INCLUDE other\n", 2, "'other': there is no such file"),
        ("$TTL\n", 1, "$TTL takes one value"),
        ("$TTL soon\n", 1, "not a time"),
        ("$TTL 9999999999\n", 1, "cannot be"),
        ("a.example. SOA a. b. (\n 1 2 3\n", 1, "never closed"),
        ("a.example. A 198.18.0.1 )\n", 1, "does not belong"),
        ("a.example. ( ( A\n", 1, "does not belong"),
        ('a.example. TXT "x\n', 1, "without its closing"),
        ("a.example. TXT x\\", 1, "nothing behind it"),
        ("a..example A 198.18.0.1\n", 1, "empty label"),
        ("a.example. MX 10 (\n\n mx..example )\n", 1, "MX host"),
        ("a.example. A 198.18.0.1\n\x00\n", 2, ""),
    ],
)
def test_errors_of_a_master_file_name_the_line(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    with pytest.raises(ZoneFileError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'test.zone'}:{line}: ")
    assert complaint in caught.value.problem


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ('zones = ["a"\n\n[x]', 3, "not valid TOML"),
        ("ttl = 60\nzone = 5\n", 2, "zone: unknown key; known here: zones, ttl, record"),
        ('zones = [\n"a..b"]\n', 1, "empty label"),
        ('ttl = "60"\n', 1, "ttl: "),
        ('[[record]]\nname = "a"\ntype = "A"\n', 1, "data: is required"),
        ('[[record]]\nname = "a"\ntype = "A"\ndata = 5\n', 4, "data is a string"),
        ('# [[record]]\n[[record]]\nname = "a"\ntype = "A"\n\ndata = "x"\n', 2, "not an IPv4 address"),
        (
            '[[ptr]]\naddress = "198.18.0.7"\nhost = "a"\n[[ptr]]\nhost = "a"\nadress = "198.18.0.7"\n',
            6,
            "adress: unknown key; known here: address, host",
        ),
        (
            '[[record]]\nname = "a"\ntype = "A"\ndata = """\n[[record]]\nname = 5\n"""\n'
            '[[record]]\nname = "b"\n',
            8,
            "type: is required",
        ),
        ('[[listing]]\nzone = "bl.example"\naddress = "198.18.0"\n', 1, "neither an IPv4"),
        ('[[script]]\nname = "a"\nbehaviour = "servfial"\n', 3, "'servfial' is no behaviour"),
        ('[[script]]\nname = "a"\nbehaviour = { late = "x" }\n', 3, "late is a number of seconds, not 'x'"),
        ('[[script]]\nname = "a"\nbehaviour = { late = 1, than = "lame" }\n', 3, "is no behaviour"),
        ('[[script]]\nname = "a"\nbehaviour = { late = -1 }\n', 3, "delay"),
        ('[[script]]\nname = "a"\nbehaviour = { data = 5 }\n', 3, "data is a string"),
        ('[[script]]\nname = "a"\nbehaviour = { data = "x", ttl = "5" }\n', 3, "a ttl is a number"),
        ('[[script]]\nname = "a"\nsequence = ["lame", "x"]\n', 3, "'x' is no behaviour"),
        ('[[script]]\nname = "a"\nsequence = []\n', 1, "at least one step"),
        ('[[script]]\nname = "a"\n', 1, "either a behaviour or a sequence"),
        ('[[script]]\nname = "a"\nbehaviour = { data = "198.18.0.7" }\n', 1, "one type at a time"),
        ('zones = ["a.example"]\nttl = -1\n', 2, "ttl: a TTL of -1 s cannot be"),
        ('zones = ["a.example"]\nttl = 99999999999999999999\n', 2, "ttl: a number has 64 bits at most"),
        ('[[record]]\nname = "a"\ntype = "A"\ndata = "198.18.0.1"\nttl = -1\n', 5, "ttl: a TTL of -1 s"),
        ('[[record]]\nname = "a"\ntype = "A"\ndata = []\n', 4, "data: without data there is no record"),
        (f'[[script]]\nname = "a"\nbehaviour = {{ late = {"9" * 400} }}\n', 3, "late: a number has 64 bits"),
        ('[[script]]\nname = "a"\nbehaviour = { late = true }\n', 3, "late is a number of seconds, not True"),
        ('[[script]]\nname = "a"\nbehaviour = { data = "x", ttl = true }\n', 3, "seconds, not True"),
        ('[[script]]\nname = "a"\nbehaviour = { data = "x", ttl = -1 }\n', 3, "a TTL of -1 s cannot be"),
        ('[[script]]\nname = "a"\nbehaviour = "lame"\nagain = true\n', 1, "again is about a sequence"),
        (
            '[[script]]\nname = "a"\nbehaviour = "lame"\n'
            '[[script]]\nname = "A."\ntype = "ANY"\nbehaviour = "refused"\n',
            4,
            "A. has such a script already (line 1); make them a sequence",
        ),
        (
            '\n[[ptr]]\naddress = "fe80::1%eth0"\nhost = "a"\n',
            2,
            "'fe80::1%eth0' names an interface, and DNS knows none; write fe80::1",
        ),
        ('[[listing]]\nzone = "a"\naddress = "fe80::%eth0/64"\n', 1, "names an interface"),
        ('[[listing]]\nzone = "a"\naddress = "fe80::1%eth0"\n', 1, "names an interface"),
    ],
)
def test_errors_of_a_toml_file_name_the_line(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    with pytest.raises(ZoneFileError) as caught:
        load(tmp_path, text, "test.toml")
    assert str(caught.value).startswith(f"{tmp_path / 'test.toml'}:{line}: ")
    assert complaint in caught.value.problem


@pytest.mark.parametrize(
    ("value", "complaint"),
    [(f" = 0x{'f' * 5000}", "64 bits at most"), (f"{'.x' * 5000} = 1", "nested too deep")],
    ids=["digits", "tables"],
)
def test_a_toml_file_has_its_bounds_where_tomllib_has_none(
    tmp_path: Path, value: str, complaint: str
) -> None:
    with pytest.raises(ZoneFileError, match=rf"test\.toml:3: .*{complaint}"):
        load(tmp_path, f'[[script]]\nname = "a"\nbehaviour{value}\n', "test.toml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ZoneFileError, match="no such file"):
        load_zone_file(tmp_path / "missing.zone", FakeDns())
    with pytest.raises(ZoneFileError, match="is not a file"):
        load_zone_file(tmp_path, FakeDns())
    (tmp_path / "large.zone").write_bytes(b"; 345678")
    with mock.patch("fake_dns.zonesource.MAX_FILE", 7), pytest.raises(ZoneFileError, match="split it"):
        load_zone_file(tmp_path / "large.zone", FakeDns())


def test_octets_of_any_encoding_do_no_harm_in_comments_and_strings(tmp_path: Path) -> None:
    file = tmp_path / "latin.zone"
    file.write_bytes(b'\xef\xbb\xbf; gr\xfc\xdfe\na. TXT "gr\xfc\xdfe" "\xc3\xbc"\n')
    dns = FakeDns()
    load_zone_file(file, dns)
    assert ask(dns, Question("a", "TXT")).rr[0].rdata.data == [b"gr\xfc\xdfe", b"\xc3\xbc"]
    assert dns.queries()[-1].answer.isprintable()


@pytest.mark.parametrize(
    ("name", "octets", "complaint"),
    [
        ("a.zone", b"a. A 198.18.0.1\ngr\xfc. A 198.18.0.1\n", ":2: 'gr\\udcfc.' is not ASCII"),
        ("a.zone", "a. A 198.18.0.1".encode("utf-16"), ": is in UTF-16; save it in UTF-8"),
        ("a.toml", b'zones = ["a"]\n# gr\xfc\n', ":2: the octet 0xfc is not UTF-8"),
        (
            "a.toml",
            b"ttl = 5\nx = " + b"[" * 10_000 + b"]" * 10_000,
            ":2: lists or tables are nested too deep",
        ),
        ("a.toml", b"# 1\n\nttl = " + b"1" * 10_000, ":3: there is a number of thousands of digits"),
    ],
)
def test_odd_octets_are_told_with_their_line(
    tmp_path: Path, name: str, octets: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(octets)
    with pytest.raises(ZoneFileError) as caught:
        load_zone_file(tmp_path / name, FakeDns())
    assert str(caught.value).startswith(f"{tmp_path / name}{complaint}")


def test_a_toml_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert answers(load(tmp_path, f"\ufeff{TOML}", "test.toml"), "k3.example", "MX")


def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "test.zone"
    file.write_text("a.example. A 198.18.0.1\nb.example A broken\n", "utf-8")
    dns = FakeDns()
    with pytest.raises(ZoneFileError):
        load_zone_file(file, dns)
    assert result(dns, "a.example") == "NXDOMAIN"


# Properties

QUICK = settings(deadline=None, derandomize=True)
WORDS = (
    *(
        "a.example",
        "@",
        "A",
        "198.18.0.1",
        "TXT",
        '"x',
        '"',
        "\\",
        "(",
        ")",
        ";",
        "\n",
        " ",
        "$TTL",
        "1h",
        "$ORIGIN",
    ),
    *("$INCLUDE", "$GENERATE", "1-3", "h$", "${1,2,n}", "DNAME", "CNAME", "SVCB", 'alpn="h2"'),
    *("\\# 1 ff", "IN", "MX", "10", "NAPTR", "LOC", "HTTPS", "RRSIG", "NSEC", "CAA", "\\065"),
)
MASTER_TEXT = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS)).map(" ".join))
TOML_LINES = st.sampled_from([*TOML.splitlines(), "[[x]]", "ttl = -1", "name = 5"])


def line_of_error(apply: Callable[[str, FakeDns], object], text: str) -> int:
    """Where a text is wrong; 1 when it is not."""
    try:
        apply(text, FakeDns())
    except LineError as error:
        return error.line
    return 1


@QUICK
@given(MASTER_TEXT)
def test_any_text_is_a_master_file_or_a_line_error(text: str) -> None:
    for origin in (None, ROOT):
        line = line_of_error(lambda text, dns: apply_master(text, dns, None, origin), text)  # noqa: B023
        assert 1 <= line <= text.count("\n") + 1


@QUICK
@given(st.one_of(st.text(max_size=100), st.lists(TOML_LINES).map("\n".join)))
def test_any_text_is_a_toml_zone_or_a_line_error(text: str) -> None:
    assert 1 <= line_of_error(apply_toml, text) <= text.count("\n") + 1


@QUICK
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8))
def test_names_survive_being_written_and_read(labels: list[bytes]) -> None:
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    text = name_text(wire)
    assert wire_name(text) == wire
    assert text.isascii()
    assert text.isprintable()
    assert len(list(lineage(wire))) == len(labels) + 1


@QUICK
@given(st.text(max_size=80))
def test_any_text_is_a_name_or_a_record_error(text: str) -> None:
    try:
        wire = wire_name(text)
    except RecordError:
        return
    assert wire_name(name_text(wire)) == wire


@QUICK
@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters='"\\\n'), max_size=20), max_size=6))
def test_strings_survive_being_quoted(texts: list[str]) -> None:
    line = " ".join(f'"{text}"' for text in texts)
    assert [token.text for token in tokens_of(line)] == texts
    assert [entry.line for entry in entries(f"\n{line}")] == ([2] if texts else [])


@pytest.mark.parametrize(
    ("name", "text"), [("zone.toml", ""), ("zone.toml", "ttl = 5\n# [[record]]\n"), ("zone", "; a comment\n")]
)
def test_a_file_that_says_nothing(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    with pytest.raises(ZoneFileError, match="has no zone, record or script in it"):
        load_zone_file(file, FakeDns())


def test_the_help_shows_a_zone_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dns", "--help"])
    shown = textwrap.dedent(capsys.readouterr().out.partition("a zone file in TOML:\n\n")[2])
    (tmp_path / "zone.toml").write_text(shown, "utf-8")
    dns = FakeDns()
    load_zone_file(tmp_path / "zone.toml", dns)
    assert answers(dns, "mail.example", "MX") == ["10 mx.mail.example."]
    assert shown.count("\n") <= 30
