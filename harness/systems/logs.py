"""What a sandbox leaves behind when a service of it died: its logs, and a note of who died and how."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.printable import printable

KEPT = 10  # sandboxes whose logs are there at a time
MOST = 200  # files of one sandbox
LARGEST = 2**20  # bytes of one file; the end of a larger one is kept
TAIL = 1500  # characters of a log in a sentence
NOTE = "died.json"


@dataclass(frozen=True)
class Death:
    """A service that ended before its sandbox did, and that nobody replaced."""

    service: str
    status: int  # its exit status, or the number of the signal that killed it, below 0
    log: str  # the end of what it printed, made visible

    def __str__(self) -> str:
        """As in `greylistd ended with 1: out of memory`."""
        how = f"was killed by signal {-self.status}" if self.status < 0 else f"ended with {self.status}"
        return f"{self.service} {how}: {self.log}"


def folder(place: Path, process: int) -> Path:
    """Where the logs of a sandbox go, by its mount point and the process that holds it."""
    return place.with_name("logs") / str(process)


def tail(log: Path) -> str:
    """The end of a log, made visible, for a sentence."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4 * TAIL))  # bytes: a character has four at most
        text = file.read().decode("utf-8", "replace").strip()[-TAIL:]
    return printable(text, "\n") or "it printed nothing"


def keep(written: Path, where: Path, deaths: list[Death]) -> None:
    """Copy the logs that lie below `written`, the end of each, and note who died; raises `OSError`."""
    where.mkdir(parents=True, mode=0o700)
    others = sorted(
        (one for one in where.parent.iterdir() if one != where), key=lambda one: one.stat().st_mtime
    )
    for outdated in others[: max(0, len(others) + 1 - KEPT)]:
        shutil.rmtree(outdated, ignore_errors=True)
    files = [file for file in sorted(written.rglob("*")) if file.is_file() and not file.is_symlink()]
    for file in files[:MOST]:
        target = where / file.relative_to(written)
        target.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as source:
            source.seek(max(0, file.stat().st_size - LARGEST))
            target.write_bytes(source.read(LARGEST))
    whole = where / f"{NOTE}.part"
    whole.write_text(json.dumps([asdict(death) for death in deaths]), "utf-8")
    whole.rename(where / NOTE)


def told(where: Path) -> str:
    """A line for each service that died, and where the logs are; empty when none did."""
    try:
        noted = json.loads((where / NOTE).read_text("utf-8"))
    except FileNotFoundError:
        return ""
    lines = [str(Death(**death)) for death in noted]
    return "\n".join([*lines, f"the logs of that sandbox are in {where}{os.sep}"])
