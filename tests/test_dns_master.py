"""What master files have beyond plain records: an origin, inclusion, generation, every type, aliases."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dns import FakeDns, ZoneFileError, load_zone_file
from fake_dns.answer import Transport
from fake_dns.masterfile import LineError
from fake_dns.zonemaster import apply_master
from tests.dns_asking import Question, answers, ask, ask_raw, parse, rcode, result

QUICK = settings(deadline=None, derandomize=True, max_examples=60)
ZONE = "$ORIGIN k3.example.\n"


def load(tmp_path: Path, text: str, origin: str | None = None) -> FakeDns:
    file = tmp_path / "test.zone"
    file.write_text(text, "utf-8")
    dns = FakeDns()
    load_zone_file(file, dns, origin)
    return dns


def complaint(tmp_path: Path, text: str, origin: str | None = None) -> str:
    with pytest.raises(ZoneFileError) as caught:
        load(tmp_path, text, origin)
    return str(caught.value).removeprefix(f"{tmp_path}/")


# The origin


@pytest.mark.parametrize(
    "line",
    ["mx7 A 198.18.0.7", "a. MX 10 mx7", "a. NSEC mx7 A", "@ A 198.18.0.7", "$ORIGIN k3", "a. SVCB 1 mx7"],
)
def test_a_relative_name_needs_an_origin(tmp_path: Path, line: str) -> None:
    told = complaint(tmp_path, f"\n{line}\n")
    assert told.startswith("test.zone:2: ")
    assert "$ORIGIN example.org." in told
    assert "--origin" in told
    load(tmp_path, f"\n{line}\na.k3.example. A 198.18.0.1\n", origin="k3.example")


def test_the_origin_may_be_given_and_changed(tmp_path: Path) -> None:
    dns = load(tmp_path, "mx7 A 198.18.0.7\n$ORIGIN sub\na\\. MX 10 mx7.k3.example.\n", origin="k3.example.")
    assert answers(dns, "mx7.k3.example") == ["198.18.0.7"]
    head = Question("k3.example", "MX").packet()[:12]
    reply = ask_raw(dns, head + b"\x02a.\x03sub\x02k3\x07example\0\0\x0f\0\1")  # the dot is of the label
    assert reply.endswith(b"\x00\x0a\x03mx7\x02k3\x07example\0")


def test_a_toml_file_takes_no_origin(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('zones = ["k3.example"]')
    with pytest.raises(ZoneFileError, match="leave the origin out"):
        load_zone_file(tmp_path / "a.toml", FakeDns(), "k3.example")


# Inclusion


def test_an_included_file_has_its_own_origin_and_leaves_ours(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "hosts").write_text("mx7 A 198.18.0.7\n$ORIGIN deeper\nx A 198.18.0.8\n")
    dns = load(tmp_path, f"{ZONE}@ TXT x\n$INCLUDE lists/hosts sub\n MX 10 mx7\n")
    assert answers(dns, "mx7.sub.k3.example") == ["198.18.0.7"]
    assert answers(dns, "x.deeper.sub.k3.example") == ["198.18.0.8"]
    assert answers(dns, "k3.example", "MX") == ["10 mx7.k3.example."]


def test_an_error_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("mx7 A 198.18.0.7\nmx8 A 198.18\n")
    assert complaint(tmp_path, f"{ZONE}$INCLUDE hosts\n").startswith("hosts:2: A address")
    (tmp_path / "hosts").write_text("mx7 A 198.18.0.7\n\nmx7 CNAME mx8\n")
    assert complaint(tmp_path, f"{ZONE}$INCLUDE hosts\n").startswith("hosts:3: mx7.k3.example has a CNAME")


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "link", "sub/../../outside"])
def test_no_file_of_another_folder_is_included(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_text("secret.k3.example. A 198.18.0.7\n")
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "link").symlink_to("../outside")
    told = complaint(tmp_path / "zones", f"$INCLUDE {name}\n")
    assert told.startswith(f"test.zone:1: '{name}' is not in the folder of the zone file")
    assert "secret" not in told


def test_inclusion_ends(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("$INCLUDE test.zone\n")
    assert complaint(tmp_path, "$INCLUDE other\n").startswith("other:1: 'test.zone' includes itself")
    for number in range(20):
        (tmp_path / f"f{number}").write_text(f"$INCLUDE f{number + 1}\n")
    assert "one file too many" in complaint(tmp_path, "$INCLUDE f0\n")
    (tmp_path / "short").write_text("a. A 198.18.0.1\n")
    assert "test.zone:1001: " in complaint(tmp_path, "$INCLUDE short\n" * 1001)


@pytest.mark.parametrize(
    "line", ["$INCLUDE", "$INCLUDE a b c", "$INCLUDE .", "$INCLUDE a\\000", "$INCLUDE ~"]
)
def test_odd_inclusions_are_a_sentence(tmp_path: Path, line: str) -> None:
    assert complaint(tmp_path, line).startswith("test.zone:1: ")


# Generation


def test_one_line_generates_many_records(tmp_path: Path) -> None:
    dns = load(
        tmp_path,
        f"{ZONE}own A 198.18.9.9\n$GENERATE 1-3 h$ 300 IN A 198.18.0.$\n TXT x\n"
        '$GENERATE 0-10/5 m${0,3} MX "10 h${1,2,x}"\n'
        "$GENERATE 8-9 ${-8,7,n} CNAME p$$\\$\n"
        '$GENERATE 1-2 t TXT "number $"\n',
    )
    assert [answers(dns, f"h{number}.k3.example") for number in (1, 3, 4)] == [
        ["198.18.0.1"],
        ["198.18.0.3"],
        [],
    ]
    assert [answers(dns, f"m{number:03d}.k3.example", "MX") for number in (0, 5, 10)] == [
        ["10 h01.k3.example."],
        ["10 h06.k3.example."],
        ["10 h0b.k3.example."],
    ]
    assert answers(dns, "1.0.0.0.k3.example", "CNAME") == ["p$$.k3.example."]
    assert answers(dns, "t.k3.example", "TXT") == ['"number 1"', '"number 2"']
    assert answers(dns, "own.k3.example", "TXT") == ['"x"']


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("$GENERATE 1-2 a A", "is written as"),
        ("$GENERATE 2-1 a$ A 198.18.0.$", "is empty"),
        ("$GENERATE 1-2/0 a$ A 198.18.0.$", "is empty"),
        ("$GENERATE one a$ A 198.18.0.$", "no range"),
        ("$GENERATE 1-9999999999 a$ A 198.18.0.$", "at most 65536"),
        ("$GENERATE 1-2 a${-2} A 198.18.0.$", "not negative"),
        ("$GENERATE 1-2 a${0,999} A 198.18.0.$", "cannot be"),
        ("$GENERATE 1-2 a${0 A 198.18.0.$", "never closed"),
        ("$GENERATE 255-256 a$ A 198.18.0.$", "not an IPv4 address"),
    ],
)
def test_what_cannot_be_generated(tmp_path: Path, line: str, told: str) -> None:
    assert complaint(tmp_path, f"{ZONE}{line}\n").startswith("test.zone:2: ")
    assert told in complaint(tmp_path, f"{ZONE}{line}\n")


@QUICK
@given(st.integers(0, 300), st.integers(0, 30), st.integers(1, 9), st.sampled_from("doxX"), st.integers(0, 9))
def test_any_range_generates_its_numbers(start: int, more: int, step: int, base: str, width: int) -> None:
    dns = FakeDns()
    line = f"$GENERATE {start}-{start + more}/{step} h$ TXT ${{0,{width},{base}}}"
    apply_master(f"{ZONE}{line}\n", dns)
    for number in range(start, start + more + 1, step):
        text = format(number, base).rjust(width, "0")
        assert answers(dns, f"h{number}.k3.example", "TXT") == [f'"{text}"']


@QUICK
@given(
    st.lists(st.sampled_from(["$", "${", "}", "0", "-1", ",", "n", "x", "\\", "a", "$$", "\\$"])).map("".join)
)
def test_any_template_generates_or_is_a_line_error(template: str) -> None:
    try:
        apply_master(f"{ZONE}$GENERATE 1-2 h$ TXT {template or 'x'}\n", FakeDns())
    except LineError as error:
        line = error.line
    else:
        line = 2
    assert line == 2


# Every type


@pytest.mark.parametrize(
    ("line", "octets"),
    [  # as dig prints them: RFC 9460 appendix D, and what a public name has
        ('HTTPS 1 . alpn="h3,h2" ipv4hint=192.0.2.1', "0001000001000602683302683200040004c0000201"),
        ("SVCB 0 foo.example.com.", "000003666f6f076578616d706c6503636f6d00"),
        ('SVCB 1 foo. key667="hello\\210qoo"', "000103666f6f00029b000968656c6c6fd2716f6f"),
        ("TYPE64 \\# 3 000100", "000100"),
        ('URI 10 1 "ftp://ftp1.example.com/public"', "000a0001" + b"ftp://ftp1.example.com/public".hex()),
        ("EUI48 00-00-5e-00-53-2a", "00005e00532a"),
        ("SMIMEA 3 1 1 aabb", "030101aabb"),
        ("DS 1 8 2 aabb", "00010802aabb"),
        ("APL 1:192.0.2.0/24", "00011803c00002"),
        ("NULL \\# 1 ff", "ff"),
        ("CLASS1 TYPE65280 \\# 0", ""),
    ],
    ids=lambda value: value.split()[0] if " " in value else "",
)
def test_unusual_types_are_carried(tmp_path: Path, line: str, octets: str) -> None:
    dns = load(tmp_path, f"{ZONE}@ {line}\n")
    number = {"CLASS1": 65280, "HTTPS": 65, "SVCB": 64, "TYPE64": 64, "URI": 256, "EUI48": 108, "SMIMEA": 53}
    number |= {"DS": 43, "APL": 42, "NULL": 10}
    wire = number[line.split()[0]].to_bytes(2, "big")
    question = Question("k3.example").packet()[:-4] + wire + b"\0\1"
    reply = ask_raw(dns, question)
    length = len(octets) // 2
    assert reply.endswith(length.to_bytes(2, "big") + bytes.fromhex(octets))


def test_one_unusual_record_keeps_no_zone_from_loading(tmp_path: Path) -> None:
    file = tmp_path / "test.zone"
    file.write_text(f"{ZONE}a A 198.18.0.1\nb ZONEMD 1 1 1 ab\nc SVCB one two\nd A 198.18.0.2\n")
    dns = FakeDns()
    left_out = load_zone_file(file, dns)
    assert [(one.path, one.line) for one in left_out] == [(file, 3), (file, 4)]
    assert all("RFC 3597" in one.problem for one in left_out)
    assert answers(dns, "d.k3.example") == ["198.18.0.2"]
    assert result(dns, "b.k3.example") == "NXDOMAIN"


# Aliases


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a CNAME b\na A 198.18.0.1\n", "test.zone:3: a.k3.example has a CNAME (line 2) and A data (line 3)"),
        (
            "a A 198.18.0.1\n\na CNAME b\n",
            "test.zone:4: a.k3.example has a CNAME (line 4) and A data (line 2)",
        ),
        ("a CNAME b\nA CNAME c\n", "test.zone:3: a.k3.example has another CNAME already (line 2)"),
        ("a DNAME b\na DNAME c\n", "test.zone:3: a.k3.example has another DNAME already (line 2)"),
        (
            "x.a A 198.18.0.1\na DNAME b\n",
            "test.zone:2: x.a.k3.example is below the DNAME of a.k3.example (line 3)",
        ),
    ],
)
def test_what_cannot_stand_together_is_refused(tmp_path: Path, lines: str, told: str) -> None:
    assert complaint(tmp_path, ZONE + lines).startswith(told)


def test_what_may_stand_beside_a_cname_does(tmp_path: Path) -> None:
    load(tmp_path, f"{ZONE}a CNAME b\na CNAME B\na NSEC b CNAME\n")


def test_the_toml_form_knows_it_too(tmp_path: Path) -> None:
    record = '[[record]]\nname = "a"\ntype = "{}"\ndata = "{}"\n'
    file = tmp_path / "a.toml"
    file.write_text(record.format("A", "198.18.0.1") + record.format("CNAME", "b"))
    with pytest.raises(ZoneFileError, match=r"a\.toml:5: a has a CNAME"):
        load_zone_file(file, FakeDns())


def test_a_dname_redirects_all_below_it_and_not_itself(tmp_path: Path) -> None:
    dns = load(tmp_path, f"{ZONE}old DNAME new.example.\nold A 198.18.0.1\nmx.new.example. A 198.18.0.2\n")
    reply = ask(dns, Question("mx.old.k3.example"))
    assert [(str(record.rname), record.rtype) for record in reply.rr] == [
        ("old.k3.example.", 39),
        ("mx.old.k3.example.", 5),
        ("mx.new.example.", 1),
    ]
    assert str(reply.rr[1].rdata) == "mx.new.example."
    assert answers(dns, "old.k3.example") == ["198.18.0.1"]
    assert rcode(ask(dns, Question("no.old.k3.example"))) == "NXDOMAIN"
    assert [record.rtype for record in ask(dns, Question("mx.old.k3.example", "CNAME")).rr] == [39, 5]
    assert dns.withdraw("old.k3.example", "DNAME") == 1
    assert result(dns, "mx.old.k3.example") == "NXDOMAIN"


def test_redirections_end() -> None:
    dns = FakeDns()
    dns.publish("a.example", "DNAME", "x.a.example")
    dns.publish("long.example", "DNAME", ".".join(["x" * 60] * 4))
    reply = parse(ask_raw(dns, Question("b.a.example").packet(), Transport.TCP))
    assert len(reply.rr) <= 2 * 17
    overlong = ask(dns, Question("y" * 20 + ".long.example"))
    assert overlong.header.rcode == 6
