"""The SPF suite: its format, its zone data, what it reads from servers, and its verdicts over live SMTP."""

import json
import os
from pathlib import Path

import pytest

from harness.capabilities.mailbox import Delivered
from harness.cli import main
from harness.progress import Progress
from harness.results.store import load as load_result
from harness.results.store import newest
from harness.sender_authentication import in_message
from harness.settings import SettingsError
from harness.spf_suite.play import wire_form
from harness.spf_suite.suite import load
from harness.spf_suite.zones import rehearse

PUBLIC_SUITE = os.environ.get("SMTP_HARNESS_SPF_SUITE", "")
SUITE = """\
# Sets of our own
---
description: who may send
tests:
  permitted:
    description: A client in the network passes.
    spec: 5.6
    helo: mail.example.net
    host: 192.0.2.3
    mailfrom: ann@net.example.net
    result: pass
  stranger:
    spec: [5.1, 6.2]
    helo: "a greeting"
    host: 2001:db8::9
    mailfrom: A B@net.example.net
    result: [fail]
    explanation: "A B is not ours: 2001:db8::9"
  quiet:
    helo: mail.example.net
    host: 192.0.2.3
    mailfrom: ann@included.example.net
    result: fail
    explanation: DEFAULT
  null-sender:
    helo: nobody.example.net
    host: 192.0.2.3
    mailfrom: ""
    result: temperror
zonedata:
  net.example.net:
    - SPF: v=spf1 ip4:192.0.2.0/24 exp=why.example.net -all
  why.example.net:
    - TXT: ["%{l} is not", " ours: %{c}"]
  included.example.net:
    - SPF: "v=spf1 include:strict.example.net -all"
  strict.example.net:
    - SPF: v=spf1 -all exp=why.example.net
  nobody.example.net:
    - TIMEOUT
---
description: the same name says something else
tests:
  included:
    helo: mail.example.net
    host: 192.0.2.3
    mailfrom: ann@net.example.net
    result: pass
zonedata:
  net.example.net:
    - SPF: v=spf1 include:other.example.net -all
  other.example.net:
    - SPF: v=spf1 mx -all
    - MX: [10, mx.example.net]
  mx.example.net:
    - A: 192.0.2.3
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    file = tmp_path / "suite.yml"
    file.write_text(SUITE, "utf-8")
    return file


def run(suite: Path, *more: str) -> tuple[int, dict[str, dict[str, object]]]:
    """The exit status, and the cases by name."""
    reports = suite.with_name("reports")
    status = main(["spf-suite", str(suite), "--reports", str(reports), *more])
    result = json.loads(newest(reports).read_text("utf-8"))
    return status, {rule["id"].removeprefix("spf-suite."): rule for rule in result["rules"]}


def test_every_case_of_a_suite_is_played(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, rules = run(suite)
    assert [rule["status"] for rule in rules.values()] == ["passed"] * 5, rules
    assert status == 0
    assert "5 of 5 cases passed, 5 tested" in capsys.readouterr().out
    assert rules["stranger"]["source"] == "RFC 7208 §5.1, 6.2"
    assert rules["permitted"]["statement"] == "A client in the network passes."
    assert rules["stranger"]["expectation"] == "fail, explained as 'A B is not ours: 2001:db8::9'"


def test_half_a_character_is_told_with_its_place(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite.write_text(SUITE.replace('"a greeting"', '"a \\ud800 greeting"'), "utf-8")
    assert main(["spf-suite", str(suite)]) == 2
    assert f"{suite}: set 1: tests.stranger.helo: has half of a character" in capsys.readouterr().err


def test_what_a_server_does_otherwise_fails(suite: Path) -> None:
    wrong = SUITE.replace("result: pass\nzonedata:\n  net", "result: [softfail, none]\nzonedata:\n  net")
    wrong = wrong.replace('explanation: "A B is', 'explanation: "A C is')
    wrong = wrong.replace("v=spf1 include:strict.example.net -all", "v=spf1 exp=why.example.net -all")
    wrong = wrong.replace("ours: %{c}", "ours and a friend of nobody").replace("%{l} is", "Whoever is")
    suite.write_text(wrong, "utf-8")
    status, rules = run(suite)
    assert status == 1
    assert {name: rule["status"] for name, rule in rules.items()} == {
        "permitted": "passed",
        "stranger": "failed",
        "quiet": "failed",
        "null-sender": "passed",
        "included": "failed",
    }
    assert "expected softfail or none, but the server found pass" in str(rules["included"]["reason"])


def test_what_is_decided_is_kept_when_the_suite_is_interrupted(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(progress: Progress, done: int, of: int, more: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "tell", interrupt)
    status, rules = run(suite)
    assert status == 130
    assert [rule["status"] for rule in rules.values()] == ["passed"] * 2
    reports = suite.with_name("reports")
    assert not (reports / "latest.json").exists()
    (caveat,) = load_result(next(reports.glob("*.json"))).caveats
    assert caveat.said == "it was interrupted by Ctrl-C, and 3 of 5 scenarios were not decided by then"
    assert {*caveat.rules, *(f"spf-suite.{name}" for name in rules)} == {
        f"spf-suite.{name}" for name in ("permitted", "stranger", "quiet", "null-sender", "included")
    }
    assert "2 of 5 cases passed, 2 tested" in capsys.readouterr().out


def test_a_broken_server_is_seen(suite: Path) -> None:
    status, rules = run(suite, "--mutant", "spf.include:off")
    assert status == 1
    assert not (suite.with_name("reports") / "latest.json").exists()
    assert [name for name, rule in rules.items() if rule["status"] == "failed"] == ["included"]


@pytest.mark.skipif(not PUBLIC_SUITE, reason="SMTP_HARNESS_SPF_SUITE names no rfc7208-tests.yml")
def test_the_public_suite_passes_as_a_whole(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    assert main(["spf-suite", PUBLIC_SUITE, "--reports", str(reports)]) == 0
    result = json.loads((reports / "latest.json").read_text("utf-8"))
    assert {rule["status"] for rule in result["rules"]} == {"passed"}
    assert len(result["rules"]) == 203


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (
            "host: 192.0.2.3\n    mailfrom: ann@net",
            "host: 192.0.2\n    mailfrom: ann@net",
            "is no IP address",
        ),
        ("result: pass\n  stranger", "result: maybe\n  stranger", "set 1: tests.permitted.result"),
        ("    helo: mail.example.net\n", "", "set 1: tests.permitted.helo: is required"),
        ("  included:\n    helo", "  quiet:\n    helo", "set 2: tests.quiet is in set 1 as well"),
        ("- TIMEOUT", "- SILENCE", "set 1: zonedata.nobody.example.net: 'SILENCE' is no record"),
        (
            "zonedata:\n  net.example.net:\n    - SPF: v=spf1 inc",
            "zones:\n  x:\n    - SPF: v=spf1 inc",
            "set 2",
        ),
        ("description: who", "description: [who", "line 4"),
        (SUITE, "- a list", "set 1: is no table"),
        ("helo: mail.example.net", 'helo: "mail\\r\\nRSET"', "permitted.helo: 'mail\\r\\nRSET' has a line"),
        ("mailfrom: ann@net.example.net", 'mailfrom: "a\\nb@x"', "set 1: tests.permitted.mailfrom"),
        ("helo: mail.example.net", "helo: [mail]", "set 1: tests.permitted.helo: must be a text in quotes"),
        ("tests:", "tests: 5\nothers:", "set 1: tests: must be a table"),
        ("- TIMEOUT", "- A: {a: b}", "set 1: zonedata.nobody.example.net.0: A is neither a text nor"),
        ("- TIMEOUT", "- [A]", "set 1: zonedata.nobody.example.net.0: is no record"),
        ("host: 192.0.2.3", "host: fe80::1%eth0", "has a zone"),
        ("stranger:", "permitted:", "line 12: 'permitted' is there twice"),
        (SUITE, "a: &x 1\nb: *x", "line 2: an alias (*name); write the value out"),
        (SUITE, "[" * 5000, "line 1: more than 20 levels"),
        (SUITE, "- " * 5000, "line 1: more than 20 levels"),
        (SUITE, "a: " + "9" * 10000, "set 1: tests: is required"),
        (SUITE, "? [a]\n: b", "line 1: found unhashable key"),
        (SUITE, "!!python/object:os.system x", "set 1: is no table"),
        (SUITE, "", "has no tests"),
    ],
)
def test_mistakes_in_a_suite_are_named(suite: Path, old: str, new: str, named: str) -> None:
    assert old in SUITE
    suite.write_text(SUITE.replace(old, new, 1), "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(suite)
    assert named in str(caught.value)
    assert "suite.yml" in str(caught.value)


def test_a_suite_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spf-suite", str(tmp_path / "gone.yml")]) == 2
    assert "gone.yml: there is no such file; rfc7208-tests.yml is in" in capsys.readouterr().err


def test_zone_data_that_dns_cannot_carry(suite: Path) -> None:
    suite.write_text(SUITE.replace("A: 192.0.2.3", "A: 192.0.2"), "utf-8")
    with pytest.raises(SettingsError) as told:
        rehearse(suite, load(suite))
    assert str(told.value) == (
        f"{suite}: set 2: zonedata.mx.example.net: A address: '192.0.2' is not an IPv4 address"
    )


def test_records_of_type_spf_are_told_as_txt_unless_txt_is_spelt_out(suite: Path) -> None:
    suite.write_text(
        SUITE.replace("    - TIMEOUT", "    - SPF: v=spf1 -all\n    - TXT: NONE\n    - TIMEOUT"), "utf-8"
    )
    zones = {zone.name: zone for zone in load(suite).sets[0].zones}
    assert zones["nobody.example.net"].records == (("SPF", ("v=spf1 -all",)),)
    assert zones["nobody.example.net"].silent
    assert [kind for kind, _ in zones["strict.example.net"].records] == ["SPF", "TXT"]


PROFILE = """\
name = "unfit"
[server]
address = "127.0.0.1"
hostname = "mail.castle.example"
[policy]
delay = 0
[rules]
claim = ["absent.*"]
[[domain]]
name = "castle.example"
users = ["alice"]
"""


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ('[spf]\nmode = "mark"\n', "clients.route is direct"),
        (
            '[clients]\nroute = "bind"\nnetworks = ["127.0.0.0/8"]\n[spf]\nmode = "mark"\n',
            "can only be told of them; set spf.route to proxy-v1",
        ),
        ('[spf]\nmode = "mark"\nroute = "bind"\n', "spf.route is bind"),
        ('[clients]\nroute = "xclient"\nnetworks = ["198.18.0.0/15"]\n', "there is no [spf]"),
        (
            '[clients]\nroute = "xclient"\nnetworks = ["198.18.0.0/15"]\n[spf]\nmode = "mark"\n',
            "has no [dns]",
        ),
        (
            '[clients]\nroute = "xclient"\nnetworks = ["198.18.0.0/15"]\n[spf]\nmode = "mark"\n'
            '[dns]\nlisten = ["127.0.0.1:0"]\n',
            "there is no [mailbox]",
        ),
    ],
)
def test_profiles_that_do_not_fit(
    suite: Path, capsys: pytest.CaptureFixture[str], more: str, named: str
) -> None:
    profile = suite.with_name("unfit.toml")
    profile.write_text(PROFILE + more, "utf-8")
    assert main(["spf-suite", str(suite), "--sut", str(profile)]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert "unfit.toml" in error


@pytest.mark.parametrize(
    ("sender", "wire"),
    [
        ("", ""),
        ("ann@a.example", "ann@a.example"),
        ("~a&b=c_d3.e@a.example", "~a&b=c_d3.e@a.example"),
        ("@a.example", '""@a.example'),
        ("A B@a.example", '"A B"@a.example'),
        ('A"B\\@a.example', '"A\\"B\\\\"@a.example'),
    ],
)
def test_local_parts_are_quoted_where_smtp_needs_it(sender: str, wire: str) -> None:
    assert wire_form(sender) == wire


@pytest.mark.parametrize(
    ("header", "null", "result", "explanation"),
    [
        ("Received-SPF: Pass (mailfrom) identity=mailfrom; client-ip=192.0.2.1", False, "pass", None),
        ("Received-SPF: unknown (x)", False, "permerror", None),
        (
            "Received-SPF: pass identity=helo\nReceived-SPF: softfail identity=mailfrom",
            False,
            "softfail",
            None,
        ),
        ("Received-SPF: pass identity=mailfrom\nReceived-SPF: none identity=helo", True, "none", None),
        ('Received-SPF: fail; explanation="it\'s (not) \\"x\\""', False, "fail", 'it\'s (not) "x"'),
        (
            "Authentication-Results: a.example; dkim=pass;\n spf=fail (no) smtp.mailfrom=x",
            False,
            "fail",
            None,
        ),
        (
            "Authentication-Results: a.example; spf=none smtp.helo=h; spf=pass smtp.mailfrom=x@y.example",
            False,
            "pass",
            None,
        ),
        (
            "Authentication-Results: a.example; spf=pass smtp.mailfrom=x; spf=none smtp.helo=h.example",
            True,
            "none",
            None,
        ),
        ("Authentication-Results: a.example; spf=none smtp.helo=h.example", False, "", None),
        ("Authentication-Results: a.example; spf=neutral", False, "neutral", None),
        ("Authentication-Results: a.example; dkim=pass (x; spf=fail)", False, "", None),
        ("Authentication-Results: a.example; spf=(invalid) smtp.mailfrom=x", False, "", None),
        ("Subject: spf=pass", False, "", None),
    ],
)
def test_results_are_read_from_headers(header: str, null: bool, result: str, explanation: str | None) -> None:
    found = in_message(Delivered("alice", "", "here", f"{header}\n\n".encode()), null_sender=null)
    assert (found.result if found else "", found.explanation if found else None) == (result, explanation)


def test_a_place_where_reports_cannot_go_is_told_before_anything_is_played(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spf-suite", str(suite), "--reports", str(suite)]) == 2
    said = capsys.readouterr()
    assert f"reports go to a folder, and {suite} is none" in said.err
    assert said.out == ""
