"""The first process of a sandbox: mounts its file system, starts its services, and ends all by ending.

It runs in namespaces of its own (see `sandbox`), reads one order from its standard input, answers with one
line of JSON, and stays until that input is closed.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.printable import printable
from harness.systems import logs
from harness.systems.system import Parameters, Ready, Service, System

OUTSIDE = "192.0.2.1"  # the host's own: a resolver that knows loopback only asks for no addresses
NETWORKS = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32")
SETTINGS = {"net/ipv6/ip_nonlocal_bind": "1", "net/core/somaxconn": "4096"}
LOOK = 0.05  # seconds between two looks at a service that is coming up
PATIENCE = 120.0  # seconds for a command that prepares something
ANSWER = 3.0  # seconds for a command that tells whether somebody has taken a dead service's place
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
WRITTEN = "var/log"
LOGS = f"{WRITTEN}/sandbox"
TAIL = 1500  # characters of what a command printed in an error


class WardenError(Exception):
    """Something inside did not work; the text says what, and what it printed."""


@dataclass
class Warden:
    """One sandbox from inside."""

    system: System
    roots: Sequence[Path]
    parameters: Parameters
    place: Path
    services: dict[int, Service] = field(default_factory=dict)
    ended: list[tuple[Service, int]] = field(default_factory=list)  # and with which status

    @property
    def root(self) -> Path:
        """The root file system of the services."""
        return self.place / "root"

    def mount(self, archive: Path) -> None:
        """The host's file system below, the packages above; what is written is kept in memory only."""
        upper, work = self.place / "upper", self.place / "work"
        _do("mount", "-t", "tmpfs", "-o", "mode=0755", "sandbox", str(self.place))
        for folder in (upper, work, self.root):
            folder.mkdir()
        _do("tar", "-C", str(upper), "--xattrs", "--xattrs-include=*", "--acls", "-xpf", str(archive))
        layers = f"lowerdir=/,upperdir={upper},workdir={work}"
        _do("mount", "-t", "overlay", "-o", layers, "overlay", str(self.root))
        _do("mount", "-t", "proc", "proc", str(self.root / "proc"))
        _do("mount", "--rbind", "/dev", str(self.root / "dev"))
        for name, mode in (("run", "0755"), ("tmp", "1777")):
            _do("mount", "-t", "tmpfs", "-o", f"mode={mode}", name, str(self.root / name))

    def connect(self) -> None:
        """Loopback, with every address that a client may have."""
        _do("ip", "link", "set", "lo", "up")
        _do("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
        for network in NETWORKS:
            _do("ip", "route", "add", "local", network, "dev", "lo")
        for name, value in SETTINGS.items():
            Path("/proc/sys", name).write_text(value, "ascii")

    def furnish(self) -> None:
        """The system's own files, with the run's parameters filled in."""
        for folder in self.roots:
            for source in sorted(folder.rglob("*")):
                target = self.root / source.relative_to(folder)
                if source.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                elif source.is_file():
                    self._copy(source, target)
        resolver = self.root / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.write_text("nameserver 127.0.0.1\n", "ascii")
        (self.root / LOGS).mkdir(parents=True, exist_ok=True)
        for own in self.system.description.own:
            inside = own.path
            self.run(["chown", f"{own.user}:{own.group}", inside])
            self.run(["chmod", own.mode, inside])

    def _copy(self, source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)  # a link would lead elsewhere
        content = source.read_bytes()
        with contextlib.suppress(UnicodeDecodeError):  # no text, so no places
            content = self.parameters.fill(content.decode("utf-8")).encode("utf-8")
        target.write_bytes(content)
        shutil.copymode(source, target)

    def prepare(self) -> None:
        """What has to be done once."""
        for step in self.system.description.prepare:
            self.run(step.command)

    def run(self, command: Sequence[str]) -> None:
        """A command inside, as root; raises `WardenError` with what it printed."""
        filled = [self.parameters.fill(word) for word in command]
        done = subprocess.run(  # noqa: S603
            self._inside("root", {}, filled),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            said = printable((done.stdout + done.stderr).strip()[-TAIL:], "\n")
            raise WardenError(f"{' '.join(filled)} ended with {done.returncode}: {said}")

    def serve(self, service: Service) -> None:
        """Start a service and wait until it is ready; raises `WardenError` with the end of its log."""
        place = service.ready.tcp or service.ready.socket
        if place and self._is_ready(service.ready, service.within):  # or that one would be tested instead
            raise WardenError(f"{service.name} was not started: somebody else listens at {place} already")
        log = self.root / LOGS / f"{service.name}.log"
        command = [self.parameters.fill(word) for word in service.command]
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603
                self._inside(service.user, service.environment, command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.services[process.pid] = service
        deadline = time.monotonic() + service.within
        while not self._is_ready(service.ready, service.within):
            ended = process.poll()
            if ended is not None or time.monotonic() > deadline:
                what = (
                    f"ended with {ended}" if ended is not None else f"was not ready in {service.within:g} s"
                )
                raise WardenError(f"{service.name} {what}: {logs.tail(log)}")
            time.sleep(LOOK)

    def _inside(self, user: str, environment: dict[str, str], command: Sequence[str]) -> list[str]:
        words = [f"{name}={value}" for name, value in (ENVIRONMENT | environment).items()]
        return ["chroot", f"--userspec={user}", str(self.root), "/usr/bin/env", "-i", *words, *command]

    def _is_ready(self, ready: Ready, patience: float) -> bool:
        if ready.command:
            inside = self._inside("root", {}, ready.command)
            try:
                done = subprocess.run(inside, capture_output=True, timeout=patience, check=False)  # noqa: S603
            except subprocess.TimeoutExpired:
                return False
            return done.returncode == 0
        try:
            if ready.tcp:
                host, _, port = ready.tcp.rpartition(":")
                socket.create_connection((host, int(port)), timeout=1.0).close()
            else:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(self.root / ready.socket.lstrip("/")))
        except OSError:
            return False
        return True

    def watch(self, *, stay: bool) -> None:
        """Stay until nobody holds our standard input, or until told to end; bury the dead meanwhile."""
        while True:
            if select.select([] if stay else [sys.stdin], [], [], 0.5)[0] and not sys.stdin.readline():
                return
            self._bury()

    def _bury(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return  # every service is gone
            if pid == 0:
                return
            if service := self.services.pop(pid, None):
                self.ended.append((service, os.waitstatus_to_exitcode(status)))

    def leave_logs(self, where: Path) -> None:
        """If a service has died, what was written into logs is kept at a place outside."""
        self._bury()
        deaths = [
            logs.Death(service.name, status, logs.tail(self.root / LOGS / f"{service.name}.log"))
            for service, status in self.ended
            if not self._is_ready(service.ready, ANSWER)  # or somebody has started it again
        ]
        if deaths:
            logs.keep(self.place / "upper" / WRITTEN, where, deaths)


def main() -> int:
    """Follow the order on standard input."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # the first process ignores it otherwise
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    system = System.at(Path(order["system"]), order["setup"])
    roots = [Path(folder) for folder in order["roots"]]
    warden = Warden(system, roots, Parameters.noted(order["parameters"]), Path(order["place"]))
    try:
        warden.mount(Path(order["archive"]))
        warden.connect()
        warden.furnish()
        warden.prepare()
        for service in system.description.service:
            if service.name not in order["without"]:
                warden.serve(service)
    except (WardenError, OSError, subprocess.SubprocessError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps({"ready": True}), flush=True)
    try:
        warden.watch(stay=order["stay"])
    finally:
        try:
            warden.leave_logs(Path(order["logs"]))
        except OSError as error:
            print(f"{system.name}: the logs of its sandbox could not be kept: {error}", file=sys.stderr)
    return 0


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    if done.returncode:
        raise WardenError(f"{' '.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
