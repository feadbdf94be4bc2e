"""Trials of drawn servers from end to end: what is true is found true, and a writer that errs is found."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.store import newest
from harness.rules import Catalogue
from harness.truth.dimensions import draw
from harness.truth.proof import cases
from harness.truth.trial import Bench

ROOT = Path(__file__).parent.parent
WRONG_WRITER = """
import sys
from harness import cli
from harness.truth import profile
profile.VERDICTS["close"] = "deny"  # the connection may stay open, it thinks
sys.exit(cli.main(sys.argv[1:]))
"""
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has its background ignore
from harness import cli
from harness.progress import Progress
def tell(progress, done, of, more=""):
    if done == 1:
        os.kill(os.getpid(), {number})
Progress.tell = tell
sys.exit(cli.main(sys.argv[1:]))
"""
BREAKING_OFF = """
import sys
from harness import cli
from harness.runs.scheduler import Scheduler
def stop(scheduler):
    raise RuntimeError("a defect of ours")
Scheduler.stop = stop
sys.exit(cli.main(sys.argv[1:]))
"""


def _truth(*arguments: str, before: tuple[str, ...] = ("-m", "harness.cli")) -> tuple[int, str]:
    command = [sys.executable, *before, "truth", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_sound_and_broken_servers() -> None:
    status, said = _truth(
        "--servers", "3", "--broken", "3", "--seed", "2", "--rules", "helo.not-fqdn", "--parallel", "6"
    )
    assert status == 0, said
    table = {line[:42].strip(): line[42:].split() for line in said.splitlines()}
    assert table["servers"] == ["3", "3"]
    assert table["servers with a wrong verdict"] == ["0", "0"]
    assert table["rules failed"] == ["0", "3"]
    assert "6 of 6 servers, 0 with a wrong verdict" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_proof_that_is_interrupted_tells_what_it_has(number: signal.Signals) -> None:
    interrupted = INTERRUPTED.format(number=number.value)
    status, said = _truth(
        "--servers", "3", "--seed", "2", "--rules", "helo.not-fqdn", before=("-c", interrupted)
    )
    assert status == 128 + number, said
    table = {line[:42].strip(): line[42:].split() for line in said.splitlines()}
    assert table["servers"] == ["1", "0"]
    assert table["servers with a wrong verdict"] == ["0", "0"]


def test_a_run_that_a_defect_of_ours_breaks_off_is_no_verdict() -> None:
    status, said = _truth("--servers", "1", "--rules", "helo.not-fqdn", before=("-c", BREAKING_OFF))
    assert status != 0, said
    assert "pytest ended with" in said
    assert "a defect of ours" in said


def test_a_proof_in_parts_is_of_the_same_servers() -> None:
    scenarios = ROOT / "scenarios"
    bench = Bench(scenarios, Catalogue.below(scenarios))
    whole = cases(bench, 2, 5, 5)
    assert len(whole) == 10
    assert [*cases(bench, 2, 2, 2), *cases(bench, 2, 3, 3, first=2)] == whole


def test_a_writer_that_errs_is_found_out_and_the_smallest_server_that_shows_it() -> None:
    closes = next(
        number
        for number, drawn in ((number, draw(2, number)) for number in range(100))
        if drawn.unqualified_greeting and drawn.unqualified_greeting.does == "close"
    )
    wish = ("--servers", "1", "--first", str(closes), "--seed", "2", "--rules", "helo.not-fqdn")
    status, said = _truth(*wish, before=("-c", WRONG_WRITER))
    assert status == 1
    assert "helo.not-fqdn: failed a rule that is kept" in said
    smallest = said.partition("the smallest server that shows")[2].splitlines()[1].strip()
    assert smallest in ("unqualified_greeting=close", "unqualified_greeting=held+close")


def test_one_server_again(tmp_path: Path) -> None:
    arguments = ("--replay", "2:1:helo.not-fqdn:off", "--rules", "helo.not-fqdn", "--keep", str(tmp_path))
    status, said = _truth(*arguments)
    assert status == 0, said
    assert "   1 failed: helo.not-fqdn" in said
    (folder,) = tmp_path.iterdir()
    assert {"server.toml", "profile.toml"} <= {file.name for file in folder.iterdir()}
    assert newest(folder).with_suffix(".html").exists()


def test_what_is_no_server_is_told_with_the_mend() -> None:
    for case, sentence in (
        ("12", "write SEED:NUMBER"),
        ("1:2:helo.not-fqdn:of", "did you mean 'helo.not-fqdn:off'?"),
    ):
        status, said = _truth("--replay", case)
        assert status == 2
        assert sentence in said
        assert "Traceback" not in said
