"""The packages of a system, installed once beside the host: an archive of what they add to its files.

The packages are installed into an overlay over the host's own file system, in a mount namespace of its own,
by Debian's own tools. What the overlay caught is kept as one archive; the host has nothing of it.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.printable import printable
from harness.systems import package_lock
from harness.systems.sandbox import PRIVILEGE, SandboxError, namespaces
from harness.systems.system import System

SAID = 3000  # characters of what an installer said last
DPKG_STATUS = Path("/var/lib/dpkg/status")


def cache(name: str) -> Path:
    """Where what belongs to a system is kept on this host."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "smtp-harness" / "systems" / name


@dataclass(frozen=True)
class Image:
    """What the packages of a system add to this host's file system."""

    system: System

    @property
    def archive(self) -> Path:
        """The archive, named by the packages and by the state of the host that they were installed over."""
        words = [*self.system.description.packages, hashlib.sha256(_installed()).hexdigest()]
        return cache(self.system.name) / f"{hashlib.sha256(' '.join(words).encode()).hexdigest()[:16]}.tar"

    @property
    def missing(self) -> str:
        """Why there is no image, with the command that makes one; empty when there is."""
        if self.archive.is_file():
            return ""
        older = any(cache(self.system.name).glob("*.tar"))
        why = "this host's packages have changed since" if older else "its packages are not here yet"
        return f"{self.system.name}: {why}; run: smtp-harness system install {self.system.name}"

    def make(self, say: Callable[[str], None]) -> None:
        """Install the packages, unless they are here; `say` gets a line now and then.

        The packages of this host do not change meanwhile: who is at that is waited for. Raises
        `SandboxError`.
        """
        if self.missing:
            with package_lock.held(say, package_lock.LOCKS, patience=package_lock.PATIENCE):
                self._make(say)
        else:
            self._is_here(say)

    def _is_here(self, say: Callable[[str], None]) -> None:
        say(f"{self.system.name} is installed already: {self.archive}; remove that to install it anew")

    def _make(self, say: Callable[[str], None]) -> None:
        if not self.missing:  # somebody else was at that as well, and was waited for
            self._is_here(say)
            return
        folder = cache(self.system.name)
        folder.mkdir(parents=True, exist_ok=True)
        packages = self.system.description.packages
        say(f"installing {' '.join(packages)} beside this host, for {self.system.name}")
        command = [
            *namespaces(network=True),
            "sh",
            "-eu",
            "-c",
            INSTALL,
            "install",
            str(mount_point(self.system.name)),
            str(self.archive.with_suffix(".part")),
            *packages,
        ]
        done = subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            said = printable("\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])[-SAID:], "\n")
            raise SandboxError(
                f"{self.system.name}: the packages could not be installed:\n{said}\n{PRIVILEGE}"
            )
        for outdated in folder.glob("*.tar"):
            outdated.unlink()
        self.archive.with_suffix(".part").rename(self.archive)
        say(f"{self.archive} ({self.archive.stat().st_size // 2**20} MiB)")


def _installed() -> bytes:
    return DPKG_STATUS.read_bytes() if DPKG_STATUS.is_file() else b""


def mount_point(name: str) -> Path:
    """Where a sandbox of the system has its file system, each in its own mount namespace."""
    place = cache(name) / "sandbox"
    place.mkdir(parents=True, exist_ok=True)
    return place


# Arguments: a mount point, the archive to write, the packages. Everything but the archive is gone afterwards.
INSTALL = """
place=$1 archive=$2; shift 2
mount -t tmpfs -o mode=0755 sandbox "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
mount -t proc proc "$place/root/proc"
mount --rbind /dev "$place/root/dev"
resolver=$(cat /etc/resolv.conf)
rm -f "$place/root/etc/resolv.conf"
printf '%s\\n' "$resolver" > "$place/root/etc/resolv.conf"
printf '#!/bin/sh\\nexit 101\\n' > "$place/root/usr/sbin/policy-rc.d"   # nothing is started
chmod 755 "$place/root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chroot "$place/root" apt-get update -q
chroot "$place/root" apt-get install -q -y --no-install-recommends "$@"
chroot "$place/root" apt-get clean
rm -rf "$place/root/var/lib/apt/lists" "$place/root/var/cache/apt" "$place/root/etc/resolv.conf"
umount --recursive --lazy "$place/root"   # an agent that a package left running may still hold /dev/null
tar -C "$place/upper" --xattrs --xattrs-include='*' --acls -cf "$archive" .
"""
