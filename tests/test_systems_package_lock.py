"""Packages are installed while those of the host stand still: who changes them is waited for, and named."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cli import main
from harness.systems import package_lock, sandbox
from harness.systems.sandbox import SandboxError

HOLDS = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


IS_FREE = """
import fcntl, sys
with open(sys.argv[1], "w") as lock:
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("it is held")
"""


@contextmanager
def held_by_another(lock: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.stdin.close()


def is_free(lock: Path) -> bool:
    probe = [sys.executable, "-c", IS_FREE, str(lock)]
    return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0


def ignored(line: str) -> None:
    """What is said here is another test's."""


def letting_go(process: "subprocess.Popen[str]", said: list[str]) -> Callable[[str], None]:
    def say(line: str) -> None:
        said.append(line)
        assert process.stdin
        process.stdin.close()

    return say


def test_who_changes_packages_is_named_and_waited_for(tmp_path: Path) -> None:
    lock, said = tmp_path / "lock", list[str]()
    with (
        held_by_another(lock, "dist-upgrade", "\x1b[2J") as other,
        package_lock.held(letting_go(other, said), [lock], patience=60),
    ):
        assert said[0].startswith(f"waiting, for 60 s at most: process {other.pid} ({sys.executable} -c")
        assert f"holds {lock}, the lock of this host's packages" in said[0]
        assert said[0].isprintable()
        assert len(said[0]) < 400
        assert not is_free(lock)
    assert len(said) == 1
    assert is_free(lock)


def test_who_does_not_let_go_is_named(tmp_path: Path) -> None:
    free, lock = tmp_path / "free", tmp_path / "lock"
    with (
        held_by_another(lock) as other,
        pytest.raises(SandboxError, match=rf"process {other.pid} .* held {lock} for 0 s; wait until it has"),
        package_lock.held(ignored, [free, lock], patience=0),
    ):
        pass
    assert is_free(free)


def test_a_host_without_such_packages_has_nothing_to_lock(tmp_path: Path) -> None:
    with package_lock.held(ignored, [tmp_path / "none" / "lock"], patience=0):
        assert not (tmp_path / "none").exists()


def test_a_lock_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(SandboxError, match="lock cannot be locked: Is a directory; nothing is installed"),
        package_lock.held(ignored, [tmp_path / "lock"], patience=0),
    ):
        pass


def test_nothing_is_installed_while_packages_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sandbox, "obstacle", lambda: "")
    monkeypatch.setattr(package_lock, "LOCKS", [lock])
    monkeypatch.setattr(package_lock, "PATIENCE", 0.0)
    with held_by_another(lock) as other:
        assert main(["system", "install", "exim"]) == 2
    told = capsys.readouterr()
    assert f"this host's packages are locked: process {other.pid} (" in told.err
    assert "installing" not in told.out
