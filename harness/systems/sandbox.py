"""The sandbox of a system as its user sees it: it starts, commands run in it, it ends without a trace.

Everything lives in namespaces of its own (mounts, network, processes) whose first process is the warden.
When that one ends, the system kills every process inside, and mounts and network go with them; and it ends
as soon as nobody holds its standard input any more, whatever became of whoever started it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.systems import logs
from harness.systems.system import Parameters, System

TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "setpriv": "util-linux", "ip": "iproute2"}
END_WITHIN = 10.0  # seconds
PRIVILEGE = "a sandbox needs root, for namespaces with several users; a virtual machine will do"


class SandboxError(Exception):
    """The sandbox cannot be set up or a service in it did not come up; the text says what to do."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    system: System
    parameters: Parameters
    pid: int  # of its first process, as the host counts
    place: Path  # where its file system is mounted, inside

    @property
    def root(self) -> Path:
        """Its root file system, as this process sees it."""
        return Path(f"/proc/{self.pid}/root{self.place}/root")

    @property
    def enter(self) -> list[str]:
        """The words before a command that is to run inside, as root."""
        return [
            "nsenter",
            f"--target={self.pid}",
            "--mount",
            "--net",
            "--pid",
            "chroot",
            f"{self.place}/root",
        ]

    @property
    def beside(self) -> list[str]:
        """The words before a command of this host that is to see the sandbox's network, and end with us."""
        return ["setpriv", "--pdeathsig=KILL", "nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def profile(self, variant: str = "") -> str:
        """A profile of the system with its places filled in; raises `UnknownSystemError`."""
        enter = ", ".join(json.dumps(word) for word in self.enter)
        text = self.system.profile(variant).replace('"@enter@"', enter)
        return self.parameters.fill(text, {"root": str(self.root)})


def obstacle() -> str:
    """Why no sandbox can be made on this machine, with the mend; empty when one can."""
    if sys.platform != "linux":
        return "a sandbox needs Linux: its namespaces keep the server apart from this machine"
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing; install it: apt-get install {package}"
    return PRIVILEGE if os.geteuid() != 0 else ""


def namespaces(*, network: bool) -> list[str]:
    """The words before a command that is to run in namespaces of its own."""
    own = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *own, *([] if network else ["--net"])]


@contextlib.contextmanager
def running(
    system: System,
    archive: Path,
    place: Path,
    parameters: Parameters,
    without: Sequence[str] = (),
    root: Path | None = None,
) -> Iterator[Sandbox]:
    """A sandbox for the length of the context; `root` takes the place of the system's own files.

    What died in it is told on standard error. Raises `SandboxError` when it does not come up.
    """
    process = start(system, archive, place, parameters, without, root)
    try:
        yield Sandbox(system, parameters, first_process(process.pid), place)
    finally:
        end(process)
        tell_deaths(system.name, place, process.pid)


def start(
    system: System,
    archive: Path,
    place: Path,
    parameters: Parameters,
    without: Sequence[str] = (),
    root: Path | None = None,
    *,
    stay: bool = False,
) -> "subprocess.Popen[str]":
    """The process that holds the namespaces, once every service is up; with `stay` it outlives us.

    Raises `SandboxError`.
    """
    order = {
        "system": str(system.folder),
        "setup": system.setup,
        "roots": [str(folder) for folder in ([root] if root else system.roots)],
        "archive": str(archive),
        "place": str(place),
        "parameters": parameters.to_note(),
        "without": list(without),
        "stay": stay,
    }
    place.mkdir(parents=True, exist_ok=True)
    with place.with_name("warden.log").open("w") as log:  # what outlives us must not hold our own output open
        process = subprocess.Popen(  # noqa: S603 - our own module by our own interpreter
            [*namespaces(network=False), sys.executable, "-m", "harness.systems.warden"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log if stay else None,
            text=True,
            start_new_session=True,  # Ctrl-C is for the scenarios; the sandbox ends after them
        )
    try:
        if process.stdin is None or process.stdout is None:
            raise SandboxError("the sandbox has no pipes")
        left = logs.folder(place, process.pid)
        shutil.rmtree(left, ignore_errors=True)  # by another sandbox whose process had that number
        order["logs"] = str(left)
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        told = (
            json.loads(said)
            if said
            else {"error": f"it ended before it began; see {log.name if stay else 'above'}"}
        )
        if "error" in told:
            raise SandboxError(f"{system.name}: {told['error']}")
    except BaseException:
        end(process)
        raise
    return process


def tell_deaths(name: str, place: Path, process: int) -> None:
    """Say on standard error which services of a sandbox died before it ended, and where its logs are."""
    if told := logs.told(logs.folder(place, process)):
        print(f"{name}: in its sandbox {told}", file=sys.stderr, flush=True)


def first_process(unshare: int) -> int:
    """The process inside whose end is the end of everything."""
    children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text("ascii").split()
    if not children:
        raise SandboxError("the sandbox is gone")
    return int(children[0])


def end(process: "subprocess.Popen[str]") -> None:
    """End a sandbox and everything in it."""
    for stream in (process.stdin, process.stdout):
        if stream:
            with contextlib.suppress(OSError):  # it may be gone already, which is what is wanted
                stream.close()
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)  # its child is killed with it
        process.wait()
