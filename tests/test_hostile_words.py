"""What a server says never reaches a terminal, a log or JUnit XML but in characters that print."""

import json
import re
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.commands import rules
from harness.printable import printable_json
from harness.results.compare import compare
from harness.results.compare_text import render
from harness.results.formats import filed
from harness.results.model import Status
from harness.results.store import save
from harness.results.streams import PrintableStream, printable_output
from harness.rules import Catalogue
from harness.runs.showing import Showing
from harness.settings.secret import DOTS
from tests.hostile_server import HostileServer
from tests.result_builder import SERVER, case, dialogue, reply, rule, run
from tests.test_baseline import Politely

pytest_plugins = ["pytester"]

TURNING = "\u202e\u2066\u200b\u2028\x85\x9b2J"  # what a sound reply may have, for all that anybody checks
MOVING = "\x1b[32mPASSED\x1b[0m\x1b[2J\x1b]0;owned\x07\0\x7f\r\x08\x9b3J"
WORDS = f"hark {TURNING} kroc"
SHOWN_WORDS = r"hark \u202e\u2066\u200b\u2028\x85\x9b2J kroc"
ALL_SHOWN = r"\x1b[32mPASSED\x1b[0m\x1b[2J\x1b]0;owned\x07\x00\x7f\r\x08\x9b3J" + SHOWN_WORDS
PAINT = re.compile(r"\x1b\[[0-9;]*m")  # of pytest itself

PROFILE = """
name = "odd"
server = {{ address = "127.0.0.1", port = {port}, hostname = "mx.example.org", reply_timeout = 5.0 }}
policy = {{ delay = 0.0 }}
clients = {{ route = "bind", networks = ["127.0.0.0/8"] }}
rules = {{ claim = ["{claim}"] }}
domain = [{{ name = "example.org", users = ["ann", "ben", "postmaster"] }}]
auth = {{ user = "ann", password = "open-sesame" }}
"""
RULES = """
suite = "mine"
[rule."mine.first"]
stage = "helo"
source = "our handbook, section 3"
statement = "A greeting is refused."
expect = "deny at helo"
"""
SCENARIOS = """
import base64
import logging
import warnings
from harness.scenario import Stage, rule

def said(client):
    with client.conversation() as talk:
        talk.connect()
        talk.ehlo(client.host)
        reply = talk.session.command("VRFY ann")
        talk.quit()
    return reply.text

@rule("mine.first")
def test_expected(client, expect):
    expect(client.attempt(upto=Stage.HELO))

@rule("mine.first")
def test_own_words(client, record_property):
    words = said(client)
    user, secret = client.account()
    revealed = secret.reveal()
    blob = base64.b64encode(f"\\0{user}\\0{revealed}".encode())
    print("printed", words)
    record_property("words", words)
    logging.getLogger("mine").warning("logged %s", words)
    warnings.warn(f"warned {words}")
    assert not words, f"asserted {words}"

@rule("mine.first")
def test_compared(client):
    assert said(client) == "as it was\\nwith another line"

@rule("mine.first")
def test_broken(client):
    try:
        raise KeyError(said(client))
    except KeyError as error:
        logging.getLogger("mine").exception("caught")
        raise RuntimeError(f"raised {error.args[0]}") from error

@rule("mine.first")
def test_skipped(client):
    import pytest
    pytest.skip(f"skipped {said(client)}")
"""


ONE_FAILS = """
@rule("mine.first")
def test_expected(client, expect):
    expect(client.attempt(upto=Stage.HELO))
"""


def hostile(said: bytes) -> bytes:
    """It serves everybody; each reply has words that are allowed, and that to VRFY has others."""
    codes = {b"": 220, b"QUIT": 221, b"STARTTLS": 454}
    code = codes.get(said, 354 if said == b"DATA" else 250)
    return f"{code} {MOVING + WORDS if said.startswith(b'VRFY') else WORDS}".encode()


def shown(pytester: pytest.Pytester, *options: str) -> str:
    """All that pytest prints when it runs the scenarios above against that server."""
    pytester.makefile(".toml", rules=RULES)
    pytester.makepyfile(test_mine=SCENARIOS)
    with HostileServer([[Politely(hostile)]]) as server:
        pytester.makefile(".toml", profile=PROFILE.format(port=server.address[1], claim="*"))
        common = ["-p", "no:hypothesispytest", "--sut=profile.toml"]
        pytester.runpytest_subprocess(*common, *options, timeout=120)
    return "".join((pytester.path / name).read_bytes().decode("utf-8") for name in ("stdout", "stderr"))


def assert_harmless(text: str) -> None:
    odd = {character for character in text if not character.isprintable()} - {"\n", "\t"}
    assert not odd, text


def test_nothing_that_pytest_shows_is_raw(pytester: pytest.Pytester) -> None:
    xml_of_all = ("--junitxml=out.xml", "-o", "junit_family=xunit1", "-o", "junit_logging=all")
    logs = ("--log-cli-level=DEBUG", "--log-file=log.txt")
    heard = shown(pytester, "-v", "-rA", "--tb=long", "-l", *logs, *xml_of_all)
    assert_harmless(heard)
    for how in ("printed", "logged", "warned", "asserted"):
        assert f"{how} {ALL_SHOWN}" in heard, how
    assert r"skipped \x1b[32mPASSED" in heard
    assert f"at helo the server said 250 {SHOWN_WORDS[:20]}" in heard
    assert re.search(r"E +\+ \\x1b\[32mPASSED", heard)  # the difference of two texts
    assert r"KeyError: '\x1b[32mPASSED" in heard
    xml = (pytester.path / "out.xml").read_text("utf-8")
    assert_harmless(xml)
    assert f'name="words" value="{ALL_SHOWN}"' in xml
    for how in ("printed", "logged", "asserted", "raised", "skipped"):
        assert f"{how} {ALL_SHOWN}" in xml, how
    for place in (heard, xml):  # which name every variable
        assert re.search(rf"secret += {DOTS}", place)
        assert re.search(r"revealed += '\*\*\*'", place)
        assert re.search(r"blob += b'\w*\*\*\*[\w=]*'", place)
        assert "open-sesame" not in place
    for written in ("log.txt", "reports/latest.json", "reports/latest.html"):
        assert_harmless((pytester.path / written).read_text("utf-8"))


def test_nor_in_colour(pytester: pytest.Pytester) -> None:
    heard = shown(pytester, "-vv", "--color=yes")
    assert len(PAINT.findall(heard)) > 20
    assert_harmless(PAINT.sub("", heard))
    assert "\x1b[32mPASSED" not in heard  # which is what the server says
    escaped = set(re.findall(r"\\x1b\[[\d;]*m", heard))
    assert escaped == {r"\x1b[32m", r"\x1b[0m"}  # the server's, and none of pytest's own
    assert ALL_SHOWN in heard


def test_what_ends_a_session_is_told_visibly(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", rules=RULES, profile='"\\u202ekey" = 1\n')
    pytester.makepyfile(test_mine=SCENARIOS)
    pytester.runpytest_subprocess("-p", "no:hypothesispytest", "--sut=profile.toml", timeout=120)
    said = (pytester.path / "stderr").read_text("utf-8")
    assert_harmless(said)
    assert r"\u202ekey: unknown key" in said


def test_the_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = tmp_path / "profile.toml"
    with HostileServer([[Politely(lambda said: f"554 {WORDS}".encode())]]) as server:
        profile.write_text(PROFILE.format(port=server.address[1], claim="tls.*"), "utf-8")
        assert main(["doctor", str(profile)]) == 1
    shown = capsys.readouterr()
    assert_harmless(shown.out + shown.err)
    assert SHOWN_WORDS[:20] in shown.out


@pytest.mark.parametrize("words", [WORDS, MOVING])
def test_discovery(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.discovery.reach.HEAD_START", 0.3)
    monkeypatch.setattr("harness.discovery.reach.GRACE", 0.1)
    monkeypatch.setattr("harness.discovery.dialogues.RATE", 500.0)
    with HostileServer([[Politely(lambda said: f"554 {words}".encode())]]) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        address = f"127.0.0.1:{server.address[1]}"
        assert main(["discover", address, "--no-rules", "--wait=0", f"--dns=127.0.0.1:{port}"]) == 2
    shown = capsys.readouterr()
    assert_harmless(shown.out + shown.err)
    assert r"\u202e" in shown.err or r"\x1b[2J" in shown.err


def test_compared_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = WORDS + MOVING
    odd = dialogue(reply("connect", 220, words), reply("rcpt", 550, words))
    first = run(rule("a.one", case(Status.PASSED, odd, name=words)), name=words)
    failed = case(Status.FAILED, dialogue(reply("connect", 554, words)), name=words, reason=words)
    second = run(
        rule("a.one", failed), rule(f"a.{words}"), server=replace(SERVER, greeting=words), notes=(words,)
    )
    old, new = (save(one, tmp_path / name, filed())[0] for name, one in (("old", first), ("new", second)))
    for options in ([], ["--json"]):
        assert main(["compare", str(old), str(new), *options]) == 1
        shown = capsys.readouterr()
        assert_harmless(shown.out + shown.err)
    assert json.loads(shown.out)["exit_status"] == 1
    painted = render(compare(first, second), colour=True)
    assert_harmless(PAINT.sub("", painted))
    assert "\x1b[32mPASSED" not in painted
    assert_harmless(new.read_text("utf-8"))
    assert json.loads(new.read_text("utf-8"))["notes"] == [words]  # nothing is lost for who reads it


def test_files_of_others_that_a_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone = tmp_path / "zone.toml"
    zone.write_text('["\\u202e.example"]\nA = "\\u001b[2J"\n', "utf-8")
    assert main(["dns", str(zone), "--listen", "127.0.0.1:0"]) == 2
    result = tmp_path / "result.json"
    result.write_text('{"format": "smtp-harness/results", "version": 2, "\u202e": 1}', "utf-8")
    assert main(["compare", str(result), str(result)]) == 2
    assert main(["compare", "\x1b[2J", str(result)]) == 2
    said = capsys.readouterr().err
    assert_harmless(said)
    assert r"\u202e" in said


SAID = "Hark \\u001b[31mred\\u202e\\u0007, it is refused."
SAID_SHOWN = r"Hark \x1b[31mred\u202e\x07, it is refused."


def test_what_a_rule_says(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", rules=RULES.replace("A greeting is refused.", SAID))
    pytester.makepyfile(test_mine=SCENARIOS.partition("@rule")[0] + ONE_FAILS)
    words = ("-p", "no:hypothesispytest", "--junitxml=out.xml", "--smtp-reports=\x1b[31mred")
    pytester.runpytest_subprocess(*words, timeout=120)
    heard = (pytester.path / "stdout").read_text("utf-8")
    assert_harmless(heard)
    assert f"mine.first: {SAID_SHOWN}" in heard
    assert r"report: \x1b[31mred/" in heard
    assert f"mine.first: {SAID_SHOWN}" in (pytester.path / "out.xml").read_text("utf-8")


def test_rules_of_others_in_colour(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES.replace("A greeting is refused.", SAID), "utf-8")
    table = rules._as_table(Catalogue.below(tmp_path), colour=True)
    assert SAID_SHOWN in table
    assert_harmless(PAINT.sub("", table))
    assert "\x1b[31m" not in table


def test_a_key_that_is_refused_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "\x1b[31mprofile.toml"
    file.write_text('"\\u001b[31mkey" = 1\n', "utf-8")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["doctor", str(file)]) == 2
    assert_harmless(terminal.written)
    assert r"\x1b[31mprofile.toml: \x1b[31mkey: unknown key" in terminal.written


def test_an_argument_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "--\x1b[2J"])
    assert_harmless(capsys.readouterr().err)


class Terminal:
    """A stream that says that it is a terminal, and keeps what is written."""

    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31;1mfailed\x1b[0m", "\x1b[31;1mfailed\x1b[0m"),
        ("\r3 of 5\x1b[K", "\r3 of 5\x1b[K"),
        ("one\ttwo\n", "one\ttwo\n"),
        ("\x1b[8mhidden", r"\x1b[8mhidden"),
        ("said\rover\x1b[Kit", r"said\rover\x1b[Kit"),
        ("\x1b[1;1Hx", r"\x1b[1;1Hx"),
        ("\u202e\x9b2J", r"\u202e\x9b2J"),
    ],
)
def test_our_own_paint_stays_on_a_terminal(text: str, shown: str) -> None:
    terminal = Terminal()
    PrintableStream(terminal).write(text)  # type: ignore[arg-type]
    assert terminal.written == shown


def test_a_fault_that_ends_a_command_is_told_visibly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(RuntimeError) as fault, printable_output():
        raise RuntimeError(MOVING)
    sys.excepthook(fault.type, fault.value, fault.tb)
    said = capsys.readouterr().err
    assert_harmless(said)
    assert r"RuntimeError: \x1b[32mPASSED" in said


@pytest.mark.parametrize("text", ["\x7f\x9b\u202e\U000e0001", "plain", "two\nlines", "\ud800"])
def test_visible_json_reads_back_the_same(text: str) -> None:
    shown = printable_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(shown) == {"text": text}
    assert "\ud800" in text or shown.isprintable()


def test_a_fault_of_the_harness_that_quotes_a_server() -> None:
    with pytest.raises(RuntimeError) as fault:
        raise RuntimeError(MOVING)
    told = fault.getrepr(showlocals=True, chain=True)
    Showing().part(told)
    assert_harmless(str(told))
    assert r"\x1b[2J" in str(told)
