"""What `smtp-harness system` does: list, install, up, down and run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.mutants.matrix import run_matrix
from harness.settings.secret import Secret
from harness.systems import sandbox
from harness.systems.image import Image, cache, mount_point
from harness.systems.mutants import BrokenSystem
from harness.systems.sandbox import Sandbox, SandboxError
from harness.systems.system import Parameters, System, names

SERVER = "127.0.0.1"  # of every system, inside
ENDED_WITHIN = 10.0  # seconds
LOOK = 0.05  # seconds between two looks at a process that is ending


@dataclass(frozen=True)
class Up:
    """A sandbox that stays up between commands: the process that holds it, and when that began."""

    process: int
    began: str
    parameters: Parameters
    setup: str  # the profile whose set-up it is; empty: the usual one

    @staticmethod
    def note(name: str) -> Path:
        """Where it is written down."""
        return cache(name) / "up.json"

    @classmethod
    def find(cls, name: str) -> "Up | None":
        """The one that is up; None when there is none, or no longer."""
        try:
            noted = json.loads(cls.note(name).read_text("utf-8"))
        except FileNotFoundError:
            return None
        up = cls(
            noted["process"], noted["began"], Parameters.noted(noted["parameters"]), noted.get("setup", "")
        )
        if _began(up.process) != up.began:  # it is gone; the number may be somebody else's by now
            cls.note(name).unlink()
            return None
        return up

    def write(self, name: str) -> None:
        """Keep it for later commands; the account's password is in it."""
        note = self.note(name)
        note.touch(mode=0o600)
        content = {
            "process": self.process,
            "began": self.began,
            "parameters": self.parameters.to_note(),
            "setup": self.setup,
        }
        note.write_text(json.dumps(content), "utf-8")


def show_all() -> int:
    """A line for each system."""
    for name in names():
        system = System.named(name)
        state = "up" if Up.find(name) else "not installed" if Image(system).missing else "installed"
        print(f"{name:12} {state:14} {system.description.about}")
        for variant, about in system.variants.items():
            print(f"{'':27} --profile {variant}: {about}")
    return 0


def install(name: str) -> int:
    """Make the image of a system; raises `SandboxError`."""
    _require_sandboxes()
    Image(System.named(name)).make(lambda line: print(line, flush=True))
    return 0


def up(name: str, variant: str, delay: int) -> int:
    """Start a system as a profile needs it, and leave it running; raises `SandboxError`."""
    system = _ready_to_start(name, variant)
    if Up.find(name):
        raise SandboxError(f"{name} is up already; smtp-harness system down {name} ends it")
    parameters = _parameters(delay)
    process = sandbox.start(system, Image(system).archive, mount_point(name), parameters, stay=True)
    Up(process.pid, _began(process.pid), parameters, system.setup).write(name)
    box = Sandbox(system, parameters, sandbox.first_process(process.pid), mount_point(name))
    print(f"{name} is up; its log files: {box.root}/var/log")
    print(f"a shell inside: {' '.join(box.enter)} sh")
    print(f"the scenarios:  {' '.join(['smtp-harness system run', name, *_option(variant)])}")
    return 0


def down(name: str) -> int:
    """End a system that is up; raises `SandboxError`."""
    System.named(name)
    found = Up.find(name)
    if found is None:
        raise SandboxError(f"{name} is not up")
    os.kill(sandbox.first_process(found.process), signal.SIGTERM)  # with it everything inside ends
    if not _has_ended(found):
        os.kill(found.process, signal.SIGKILL)  # and its first process inside with it
        if not _has_ended(found):
            raise SandboxError(f"{name}: process {found.process} does not end")
    Up.note(name).unlink(missing_ok=True)
    sandbox.tell_deaths(name, mount_point(name), found.process)
    return 0


def _has_ended(up: Up) -> bool:
    deadline = time.monotonic() + ENDED_WITHIN
    while _began(up.process) == up.began:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK)
    return True


def run(name: str, variant: str, delay: int, scenarios: Path, arguments: Sequence[str]) -> int:
    """Run the scenarios against a system, which is started for that unless it is up; pytest's exit status."""
    with _somewhere(name, variant, delay) as box:
        return run_scenarios(box, scenarios, arguments, variant)


def doctor(name: str, variant: str, delay: int) -> int:
    """Examine a system; the doctor's exit status."""
    with _somewhere(name, variant, delay) as box:
        return _with_profile(box, lambda profile: ["harness.cli", "doctor", str(profile)], variant)


def discover(name: str, variant: str, delay: int, arguments: Sequence[str]) -> int:
    """Discover a system, set up as a profile needs it, as if nothing were known of it; the exit status."""
    with _somewhere(name, variant, delay) as box:
        address = f"{SERVER}:25"
        return _with_profile(box, lambda profile: ["harness.cli", "discover", address, *arguments])


def spf_suite(name: str, delay: int, arguments: Sequence[str]) -> int:
    """Run a suite of SPF cases against a system; the exit status of `smtp-harness spf-suite`."""
    with _somewhere(name, "", delay) as box:
        return _with_profile(
            box, lambda profile: ["harness.cli", "spf-suite", *arguments, f"--sut={profile}"]
        )


def mutants(
    name: str, variant: str, delay: int, scenarios: Path, only: list[str], *, parallel: int, together: int
) -> int:
    """Break a system, set up as a profile needs it, in one respect after the other; the exit status.

    Prints the kill matrix; raises `SandboxError` where the profile has no mutants.
    """
    subject = BrokenSystem(_ready_to_start(name, variant), _parameters(delay), scenarios, variant)
    if not subject.defects:
        raise SandboxError(f"{name}: its mutants.toml has none with profile = {json.dumps(variant)}")
    return run_matrix(subject, only, parallel=parallel, together=together)


def run_scenarios(box: Sandbox, scenarios: Path, arguments: Sequence[str], variant: str = "") -> int:
    """pytest in the sandbox's network, with a profile of the system; its exit status."""
    told = ["--smtp-doctor", " ".join(["smtp-harness system doctor", box.system.name, *_option(variant)])]
    return _with_profile(
        box,
        lambda profile: ["pytest", str(scenarios), f"--smtp-sut={profile}", *told, *arguments],
        variant,
    )


def _option(variant: str) -> list[str]:
    return ["--profile", variant] if variant else []


def _with_profile(box: Sandbox, words: Callable[[Path], list[str]], variant: str = "") -> int:
    with tempfile.TemporaryDirectory(prefix="smtp-harness-") as folder:
        profile = Path(folder) / f"{box.system.name}.toml"
        profile.touch(mode=0o600)
        profile.write_text(box.profile(variant), "utf-8")
        command = [*box.beside, sys.executable, "-m", *words(profile)]
        with subprocess.Popen(command) as process:  # noqa: S603
            while True:
                try:
                    return process.wait()
                except KeyboardInterrupt:  # it has it too: let it write its report
                    continue
                except SystemExit:  # and this was for us alone
                    process.terminate()
                    process.wait()
                    raise


@contextlib.contextmanager
def _somewhere(name: str, variant: str, delay: int) -> Iterator[Sandbox]:
    system = System.named(name, variant)
    if found := Up.find(name):
        if found.setup != system.setup:
            raise SandboxError(
                f"{name} is up in {_called(found.setup)}, and that needs {_called(system.setup)}; "
                f"smtp-harness system down {name} ends it"
            )
        yield Sandbox(system, found.parameters, sandbox.first_process(found.process), mount_point(name))
        return
    _ready_to_start(name, variant)
    with sandbox.running(system, Image(system).archive, mount_point(name), _parameters(delay)) as box:
        yield box


def _called(setup: str) -> str:
    return f"the set-up {setup!r}" if setup else "its usual set-up"


def _ready_to_start(name: str, variant: str = "") -> System:
    system = System.named(name, variant)
    _require_sandboxes()
    if missing := Image(system).missing:
        raise SandboxError(missing)
    return system


def _require_sandboxes() -> None:
    if obstacle := sandbox.obstacle():
        raise SandboxError(obstacle)


def _parameters(delay: int) -> Parameters:
    parameters = Parameters(delay)
    openssl = ["openssl", "passwd", "-6", "-stdin"]
    password = parameters.password.reveal()
    hashed = subprocess.run(openssl, input=password, capture_output=True, text=True, check=True)  # noqa: S603
    return replace(parameters, hash=Secret(hashed.stdout.strip()))


def _began(process: int) -> str:
    """When a process began, as the system tells it; empty when there is none."""
    try:
        told = Path(f"/proc/{process}/stat").read_text("ascii")
    except FileNotFoundError:
        return ""
    state, *rest = told.rpartition(")")[2].split()
    return "" if state == "Z" else rest[18]
