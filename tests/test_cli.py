"""The command line as a whole: help, version, mistakes, completion."""

import argparse
import importlib.metadata
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.commands import compare
from harness.settings.arguments import CUT_OFF

QUEUE = ["list", "remove", "thaw", "run"]
GREYLIST = ["list", "add", "remove"]
COMMANDS = [
    *([name] for name in ("compare", "rules", "mta", "dns", "mutants", "truth")),
    *([name] for name in ("spf-suite", "doctor", "discover", "system")),
    ["mta", "greylist"],
    ["mta", "queue"],
    ["mta", "check-filter"],
    ["mta", "hash-password"],
    *(["mta", "queue", action] for action in QUEUE),
    *(["mta", "greylist", action] for action in GREYLIST),
]


def ended(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """Exit status, standard output and standard error of a command line."""
    capsys.readouterr()
    try:
        status: object = cli.main(words)
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    installed = importlib.metadata.version("smtp-harness")
    assert ended(["--version"], capsys) == (0, f"smtp-harness {installed}\n", "")


def test_a_bare_call_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, shown, said = ended([], capsys)
    assert (status, said) == (2, "")
    assert "pytest scenarios/" in shown
    assert all(command[0] in shown for command in COMMANDS)
    status, shown, said = ended(["mta"], capsys)
    assert status == 2
    assert "CONFIG.toml" in said


def test_the_package_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "harness"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout.startswith("usage: smtp-harness ")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, shown, said = ended([*command, "--help"], capsys)
    assert (status, said) == (0, "")
    assert shown.startswith(f"usage: smtp-harness {' '.join(command)} ")
    assert f"smtp-harness {' '.join(command)}" in shown.partition("example")[2]
    assert "exit status: 0 " in shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unknown_option_ends_in_a_sentence(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, shown, said = ended([*command, "--no-such-option"], capsys)
    assert (status, shown) == (2, "")
    assert said.count("\n") == 1
    assert said.startswith("smtp-harness")
    assert "--help tells more" in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nonsense"], "nonsense"),
        (["mutants", "--parallel", "0"], "--parallel: '0' is no whole number from 1 on"),
        (["mutants", "--together", "x"], "--together: 'x' is no whole number from 1 on"),
        (["mutants", "--only", "no-such-mutant", "--list"], "--only 'no-such-mutant' matches no mutant"),
        (
            ["mutants", "--only", "helo.plain-ip:off", "--only", "helo.plain-ip:of", "--list"],
            "--only 'helo.plain-ip:of' matches no mutant; did you mean 'helo.plain-ip:off'?",
        ),
        (["truth", "--servers", "-1"], "--servers: '-1' is no whole number from 0 on"),
        (["truth", "--seed", "x"], "--seed"),
        (["truth", "--servers", "0", "--broken", "0"], "--servers 0 and --broken 0 make no server to try"),
        (["truth", "--rules", "helo.*", "--rules", "helo.plain-pi"], "did you mean 'helo.plain-ip'?"),
        (["truth", "--reduced-to", "x"], "name it with --replay"),
        (["system", "up", "exim", "--delay", "0"], "--delay: '0' is no whole number from 1 on"),
        (["system", "up", "exim", "--delay", "0.5"], "--delay: '0.5' is no whole number from 1 on"),
        (["system", "up"], "name a system"),
        (["system", "run", "exim", "--only", "x"], "system run: --only chooses nothing there; leave it out"),
        (["system", "install", "exim", "--delay", "1"], "system install: --delay chooses nothing there"),
        (["system", "up", "exim", "--", "-k", "x"], "system up: what follows (-k x) chooses nothing there"),
        (["system", "list", "exim"], "leave exim out"),
        (["discover", "127.0.0.1", "--wait", "nan"], "--wait: 'nan' is no number of seconds"),
        (["discover", "127.0.0.1", "--wait=-1"], "--wait: '-1' is no number of seconds"),
        (
            ["discover", "127.0.0.1", "-o", "/no/such/draft.toml"],
            "/no/such/draft.toml: there is no such folder",
        ),
        (["rules", "/no/such/folder"], "/no/such/folder"),
        (["compare", "/no/such.json", "/no/such.json"], "/no/such.json"),
        (["dns", "/no/such.toml"], "/no/such.toml"),
        (["doctor", "/no/such.toml"], "/no/such.toml"),
        (["spf-suite", "/no/such.yml"], "/no/such.yml"),
        (["mta", "/no/such.toml"], "/no/such.toml"),
        (["mta", "check-filter", "/no/such"], "/no/such"),
        (["mta", "queue", "sing", "x.toml"], "sing"),
        (["mta", "greylist", "list", "x.toml", "pink"], "pink"),
        (
            ["mta", "greylist", "add", "x.toml", "grey", "\udcff", "a@b.example", "c"],
            r"CLIENT: '\udcff' is not in UTF-8",
        ),
        (
            ["mta", "greylist", "add", "x.toml", "grey", "1.2.3.5", "\udcff", "c"],
            r"SENDER: '\udcff' is not in UTF-8",
        ),
        (
            ["mta", "greylist", "remove", "x.toml", "grey", "1.2.3.5", "", "\udcff"],
            r"RECIPIENT: '\udcff' is not in",
        ),
        (["mta", "greylist", "add", "x.toml", "grey", "", "a", "b"], "CLIENT: is empty"),
        (["mta", "greylist", "add", "x.toml", "grey", "1.2.3.5", "a", ""], "RECIPIENT: is empty"),
        (["mta", "queue", "remove", "x.toml", "\udcff"], r"ID: '\udcff' is not in UTF-8"),
        (["mta", "queue", "thaw", "x.toml", "\udcff"], r"ID: '\udcff' is not in UTF-8"),
    ],
)
def test_a_wrong_value_ends_in_a_sentence(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown, said = ended(words, capsys)
    assert (status, shown) == (2, "")
    assert named in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "a.json", ""],
        ["rules", ""],
        ["dns", ""],
        ["dns", "--origin="],
        ["mutants", "--only="],
        ["truth", "--rules="],
        ["truth", "--replay="],
        ["truth", "--keep="],
        ["spf-suite", ""],
        ["spf-suite", "a.yml", "--sut="],
        ["spf-suite", "a.yml", "--reports="],
        ["spf-suite", "a.yml", "--mutant="],
        ["doctor", ""],
        ["doctor", "a.toml", " "],
        ["discover", "127.0.0.1", "--domain="],
        ["discover", "127.0.0.1", "--user="],
        ["discover", "127.0.0.1", "-o", ""],
        ["system", "up", ""],
        ["system", "up", "exim", "--profile="],
        ["system", "mutants", "exim", "--only="],
        ["mta", ""],
        ["mta", "check-filter", ""],
        ["mta", "queue", "list", ""],
    ],
    ids=" ".join,
)
def test_what_a_variable_left_empty_is_no_argument(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, shown, said = ended(words, capsys)
    assert (status, shown) == (2, "")
    assert "is empty; write what belongs there" in said


def test_queue_and_greylist_share_their_words(capsys: pytest.CaptureFixture[str]) -> None:
    for part, actions in (("queue", QUEUE), ("greylist", GREYLIST)):
        for action in actions:
            _, shown, _ = ended(["mta", part, action, "--help"], capsys)
            usage = " ".join(shown.partition("\n\n")[0].split())
            options = "[-h] [--json]" if action == "list" else "[-h]"
            assert usage.startswith(f"usage: smtp-harness mta {part} {action} {options} CONFIG.toml"), usage


@pytest.mark.parametrize("given", [b"", b"\n", b"\xff\n"])
def test_there_is_no_hash_without_a_password(
    given: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
    status, shown, said = ended(["mta", "hash-password"], capsys)
    assert (status, shown) == (2, "")
    assert "password" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("trouble", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "stopped\n"),
        (
            OSError(28, "No space left on device", "out.toml"),
            2,
            "smtp-harness: out.toml: No space left on device\n",
        ),
    ],
)
def test_what_ends_a_command_is_told_in_a_line(
    trouble: BaseException,
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def troubled(options: argparse.Namespace) -> int:
        raise trouble

    monkeypatch.setattr(compare, "run", troubled)
    assert ended(["compare", "a", "b"], capsys) == (status, "", said)


@pytest.mark.parametrize(
    ("words", "status"), [(["rules"], CUT_OFF), (["mta", "--example"], CUT_OFF), (["--help"], 0), ([], 2)]
)
def test_a_reader_who_has_seen_enough_is_no_error(words: list[str], status: int) -> None:
    unread, written = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "harness", *words]
    done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, text=True)
    os.close(written)
    assert (done.returncode, done.stderr) == (status, "")


NO_ROOM = "standard output: No space left on device"
CLOSED = "standard output: it is closed"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rules >/dev/full", NO_ROOM),
        ("--help >/dev/full", NO_ROOM),
        ("--version >/dev/full", NO_ROOM),
        ("mta --example >/dev/full", NO_ROOM),
        ("rules >&-", CLOSED),
        ("--help >&-", CLOSED),
        ("mta --example >&-", CLOSED),
        ("compare nosuch.json nosuch.json 2>&-", ""),
        ("compare nosuch.json nosuch.json 2>/dev/full", ""),
        ("nosuch 2>/dev/full", ""),
        ("mta nosuch.toml 2>&-", ""),
        ("--help >&- 2>&-", ""),
        ("mta hash-password <&-", "there was no password"),
        ("mta hash-password <&- >&- 2>&-", ""),
    ],
)
def test_a_stream_that_takes_nothing_is_no_success(line: str, said: str) -> None:
    command = ["/bin/sh", "-c", f'"{sys.executable}" -m harness {line}']
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == bool(said)


def test_what_a_stream_cannot_encode_is_escaped() -> None:
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    for words in (["rules"], ["rules", "--json"]):
        command = [sys.executable, "-m", "harness", *words]
        done = subprocess.run(command, env=ascii_only, capture_output=True, check=True)
        assert done.stdout.isascii()
        assert rb"\u00a7" in done.stdout
        if "--json" in words:
            assert any("§" in rule["source"] for rule in json.loads(done.stdout))


def completed(line: str, folder: Path) -> list[str]:
    """What a shell is offered at the end of a line."""
    answers = folder / "answers"
    variables = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answers),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    subprocess.run(
        [sys.executable, "-m", "harness"], env=os.environ | variables, capture_output=True, check=True
    )
    return answers.read_text("utf-8").split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("smtp-harness mut", ["mutants"]),
        ("smtp-harness mutants --to", ["--together"]),
        ("smtp-harness mta queue ", QUEUE),
        ("smtp-harness mta greylist list mta.toml b", ["black"]),
        ("smtp-harness mta gr", ["greylist"]),
    ],
)
def test_a_shell_completes_the_line(line: str, offered: list[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    assert set(offered) <= set(completed(line, tmp_path))


def test_completion_is_no_need(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    assert ended(["--version"], capsys)[0] == 0
