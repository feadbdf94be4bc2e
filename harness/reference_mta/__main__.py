"""Runs the reference MTA: `smtp-harness mta CONFIG.toml`, or with `--control` for whoever starts it."""

import asyncio
import contextlib
import getpass
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import settings
from harness.hosts import endpoint_text
from harness.reference_mta.certificate import CertificateError
from harness.reference_mta.config import EXAMPLE, Config
from harness.reference_mta.control import Control
from harness.reference_mta.greylist import UnreachableError
from harness.reference_mta.mail.desk import Desk
from harness.reference_mta.mutations import Mutant, UnknownMutantError, find
from harness.reference_mta.operator import check_filter_main, greylist_main, queue_main
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.service import FolderError, ListenError, Service, serving

USAGE = (
    "usage: smtp-harness mta CONFIG.toml [--control] | --example | "
    "greylist … | queue … | check-filter FILE | hash-password"
)
TROUBLE = (
    settings.SettingsError,
    UnknownMutantError,
    UnreachableError,
    CertificateError,
    ListenError,
    FolderError,
    OSError,
)


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; returns the exit status."""
    match list(arguments):
        case ["--example"]:
            print(EXAMPLE, end="")
            return 0
        case ["hash-password"]:
            password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
            print(hash_password(password))
            return 0
        case ["check-filter", file] if not file.startswith("-"):
            return _guarded(lambda: check_filter_main(Path(file)))
        case ["greylist", *rest]:
            return _guarded(lambda: greylist_main(rest))
        case ["queue", *rest]:
            return _guarded(lambda: queue_main(rest))
        case [file, *rest] if not file.startswith("-") and rest in ([], ["--control"]):
            return _guarded(lambda: _serve_file(Path(file), control=bool(rest)))
    print(USAGE, file=sys.stderr)
    return 2


def _guarded(act: Callable[[], int]) -> int:
    try:
        return act()
    except BrokenPipeError:  # whoever reads has seen enough
        raise
    except TROUBLE as error:
        print(f"smtp-harness mta: {_told(error)}", file=sys.stderr)
        return 2


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _serve_file(file: Path, *, control: bool) -> int:
    config = settings.read(file, Config)
    try:
        mutants = [find(name) for name in config.mutation.names] if config.mutation else []
    except UnknownMutantError as error:
        raise settings.SettingsError(file, [f"mutation.names: {error}"]) from error
    # Whoever steers it sees for himself what becomes of mail.
    level = logging.WARNING if control else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the engine's own chatter has the client's secrets
    asyncio.run(_run(config, mutants, control=control))
    return 0


async def _run(config: Config, mutants: Sequence[Mutant], *, control: bool) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(config, mutants) as service:
        where = {"ready": True, "address": service.address, "port": service.port}
        if control:
            print(json.dumps(where), flush=True)
            await _steered(service, stopped)
        else:
            listening = f"{config.server.hostname} on {endpoint_text(service.address, service.port)}"
            print(f"reference MTA {listening}; stop it with Ctrl-C", flush=True)
            await stopped.wait()


async def _steered(service: Service, stopped: asyncio.Event) -> None:
    """Until the control channel ends, or a signal comes."""
    site = service.site
    desk = Desk(site.config.server.state, site.policy.quirks)
    control = Control(
        site.greylist,
        desk,
        site.post.srs,
        site.host_name,
        keeps_removed="greylist.manual:off" in site.policy.quirks,
    )
    steering = asyncio.create_task(control.serve())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({steering, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in (steering, waiting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
