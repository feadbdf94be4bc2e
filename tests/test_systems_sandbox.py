"""The sandbox of a system: what runs in it, what is said when it does not come up, that nothing is left."""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from harness.cli import main
from harness.systems import commands, sandbox
from harness.systems.image import Image
from harness.systems.sandbox import Sandbox, SandboxError
from harness.systems.system import Parameters, System

PATIENCE = 10.0  # seconds for something that must happen
needs_root = pytest.mark.skipif(bool(sandbox.obstacle()), reason=sandbox.obstacle() or "it can be made")
DESCRIPTION = """
about = "next to nothing"
packages = ["none"]
own = [{ path = "/etc/toy.conf", user = "daemon", group = "daemon", mode = "0640" }]
prepare = [{ command = ["sh", "-c", "PREPARE"] }]
[[service]]
name = "sleeper"
command = ["sh", "-c", "SERVICE"]
ready = { command = ["test", "-e", "/run/up"] }
within = 5
"""
STARTS = "touch /run/up; echo up; exec sleep 1000"


def toy(folder: Path, *, prepare: str = "true", service: str = STARTS) -> System:
    system = folder / "toy"
    (system / "root" / "etc").mkdir(parents=True)
    (system / "root" / "etc" / "toy.conf").write_text("delay = @delay@, a@b.example\n", "utf-8")
    (system / "system.toml").write_text(
        DESCRIPTION.replace("PREPARE", prepare).replace("SERVICE", service), "utf-8"
    )
    (system / "profile.toml").write_text('add = ["@enter@", "x"]\nfile = "@root@/etc"\n', "utf-8")
    return System.at(system)


def parts(folder: Path) -> tuple[Path, Path]:
    """An image without packages, and a mount point."""
    archive, place = folder / "image.tar", folder / "place"
    tarfile.open(archive, "w").close()
    place.mkdir()
    return archive, place


def inside(box: Sandbox, *command: str) -> str:
    done = subprocess.run(
        [*box.enter, *command], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return (done.stdout + done.stderr).strip()


def end_the_service(box: Sandbox) -> None:
    """It waits at /run/end; back when nothing is left of it."""
    process = inside(box, "cat", "/run/up")
    inside(box, "sh", "-c", ": > /run/end")
    inside(box, "tail", f"--pid={process}", "--sleep-interval=0.05", "-f", "/dev/null")


@needs_root
def test_what_runs_inside(tmp_path: Path) -> None:
    with sandbox.running(toy(tmp_path), *parts(tmp_path), Parameters(delay=7)) as box:
        assert (box.root / "etc" / "toy.conf").read_text("utf-8") == "delay = 7, a@b.example\n"
        assert inside(box, "stat", "-c", "%U %a", "/etc/toy.conf") == "daemon 640"
        assert inside(box, "cat", "/etc/resolv.conf") == "nameserver 127.0.0.1"
        assert "local 198.18.0.0/15" in inside(box, "ip", "route", "show", "table", "local")
        assert inside(box, "ip", "-o", "link").count("\n") == 0  # loopback alone
        assert (box.root / "var/log/sandbox/sleeper.log").read_text("utf-8") == "up\n"
        assert f'"--target={box.pid}"' in box.profile()
        assert not Path("/etc/toy.conf").exists()
        assert not Path("/run/up").exists()
    assert not Path(f"/proc/{box.pid}").exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text("utf-8")


@needs_root
def test_a_set_up_lays_its_files_over_the_usual_ones(tmp_path: Path) -> None:
    folder = toy(tmp_path).folder
    (folder / "root-other" / "etc").mkdir(parents=True)
    (folder / "root-other" / "etc" / "other.conf").write_text("delay = @delay@\n", "utf-8")
    (folder / "system-other.toml").write_text(
        'root = ["root", "root-other"]\nprepare = [{ command = ["cp", "/etc/other.conf", "/etc/copy"] }]\n',
        "utf-8",
    )
    with sandbox.running(System.at(folder, "other"), *parts(tmp_path), Parameters(delay=7)) as box:
        assert (box.root / "etc" / "toy.conf").read_text("utf-8") == "delay = 7, a@b.example\n"
        assert (box.root / "etc" / "copy").read_text("utf-8") == "delay = 7\n"


def test_a_profile_of_another_set_up_than_the_one_that_is_up_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ours = os.getpid()
    began = Path(f"/proc/{ours}/stat").read_text("ascii").rpartition(")")[2].split()[19]
    commands.Up.note("exim").parent.mkdir(parents=True)
    commands.Up(ours, began, Parameters(), "page").write("exim")
    with pytest.raises(SandboxError, match="up in the set-up 'page', and that needs its usual set-up"):
        commands.run("exim", "dry-run", 1, Path("scenarios"), [])
    with pytest.raises(SandboxError, match="that needs the set-up 'debian'; smtp-harness system down exim"):
        commands.doctor("exim", "debian", 1)


@needs_root
@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"service": "echo out of luck; exit 3"}, "sleeper ended with 3: out of luck"),
        ({"service": "echo busy; exec sleep 1000"}, "sleeper was not ready in 5 s: busy"),
        ({"service": r"printf '\\033[2Jcleared'; exit 3"}, r"sleeper ended with 3: \\x1b\[2Jcleared$"),
        ({"service": "printf %05000d 0; exit 3"}, "sleeper ended with 3: 0{1500}$"),
        ({"prepare": "echo no disk; exit 1"}, "ended with 1: no disk"),
        ({"prepare": r"printf '\\033[2Jcleared'; exit 1"}, r"ended with 1: \\x1b\[2Jcleared$"),
    ],
)
def test_what_does_not_come_up_is_told(tmp_path: Path, broken: dict[str, str], said: str) -> None:
    with (
        pytest.raises(SandboxError, match=said),
        sandbox.running(toy(tmp_path, **broken), *parts(tmp_path), Parameters()),
    ):
        pass


@needs_root
@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("echo out of memory; exit 7", "ended with 7: up\nout of memory\n"),
        ("kill -9 $$", "was killed by signal 9: up\n"),
    ],
)
def test_a_service_that_dies_leaves_its_logs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str, told: str
) -> None:
    dies = f"mkfifo /run/end; echo $$ > /run/up; echo up; cat /run/end; rm /run/up; {ending}"
    with sandbox.running(toy(tmp_path, service=dies), *parts(tmp_path), Parameters()) as box:
        (box.root / "var/log/toy").mkdir()
        (box.root / "var/log/toy/more.log").write_text("every detail\n", "utf-8")
        end_the_service(box)
        where = tmp_path / "logs"
        assert not where.exists()
    said = capfd.readouterr().err
    assert said.startswith(f"toy: in its sandbox sleeper {told}")
    (kept,) = where.iterdir()
    assert f"the logs of that sandbox are in {kept}/\n" in said
    assert (kept / "sandbox/sleeper.log").read_text("utf-8").startswith("up\n")
    assert (kept / "toy/more.log").read_text("utf-8") == "every detail\n"
    assert kept.stat().st_mode & 0o077 == 0


@needs_root
def test_who_was_replaced_has_not_died(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replaced = "mkfifo /run/end; echo $$ > /run/up; cat /run/end"
    with sandbox.running(toy(tmp_path, service=replaced), *parts(tmp_path), Parameters()) as box:
        end_the_service(box)
    assert capfd.readouterr().err == ""
    assert not (tmp_path / "logs").exists()


@needs_root
def test_nothing_is_left_when_the_starter_is_killed(tmp_path: Path) -> None:
    toy(tmp_path)
    archive, place = parts(tmp_path)
    program = f"""
import sys
from pathlib import Path
from harness.systems import sandbox
from harness.systems.system import Parameters, System
system, archive, place = map(Path, {[str(path) for path in (tmp_path / "toy", archive, place)]!r})
with sandbox.running(System.at(system), archive, place, Parameters()) as box:
    print(box.pid, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"process {pid} is left"
        time.sleep(0.02)


def test_too_little_privilege_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where none is up
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["system", "run", "exim"]) == 2
    assert "needs root" in capsys.readouterr().err


def test_a_missing_tool_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "ip" else f"/usr/bin/{tool}")
    assert sandbox.obstacle() == "ip is missing; install it: apt-get install iproute2"


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sandbox, "obstacle", lambda: "")
    assert Image(System.named("exim")).missing.endswith("run: smtp-harness system install exim")
    with pytest.raises(SandboxError, match="smtp-harness system install exim"):
        commands.run("exim", "", 1, Path("scenarios"), [])


def test_what_is_installed_already_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sandbox, "obstacle", lambda: "")
    archive = Image(System.named("exim")).archive
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"the image")
    assert main(["system", "install", "exim"]) == 0
    assert f"exim is installed already: {archive}" in capsys.readouterr().out
    assert archive.read_bytes() == b"the image"


@needs_root
def test_a_run_that_gives_up_names_the_doctor_of_the_system(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    system = toy(tmp_path)
    (system.folder / "profile.toml").write_text(
        'name = "toy"\nserver = { address = "127.0.0.1", port = 9, hostname = "mx.example.org" }\n'
        'policy = { delay = 1.0 }\ndomain = [{ name = "example.org", users = ["ann"] }]\n'
        'rules = { claim = ["rcpt.*"] }\n',
        "utf-8",
    )
    only = ["-k", "test_rcpt", f"--reports={tmp_path}", "-p", "no:cacheprovider"]
    with sandbox.running(system, *parts(tmp_path), Parameters()) as box:
        assert commands.run_scenarios(box, Path("scenarios"), only) != 0
    assert "how to mend it: smtp-harness system doctor toy\n" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["system", "run", "exmi"], "did you mean 'exim'"),
        (["system", "run"], "name a system"),
        (["system", "install", "exim", "--profile", "ldap"], "--profile chooses nothing there"),
        (["system", "run", "exim", "--profile", "dry", "--", "-q"], "did you mean 'dry-run'"),
    ],
)
def test_what_cannot_be_run_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_the_list_shows_every_system(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["system", "list"]) == 0
    assert "exim" in capsys.readouterr().out
