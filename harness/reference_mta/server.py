"""Runs the server of a configuration until it is stopped; its log tells of it, its control channel steers."""

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness import settings
from harness.reference_mta.bounds import Bounds
from harness.reference_mta.config import EXAMPLE, Config
from harness.reference_mta.control import Control
from harness.reference_mta.decisions import CLIENT
from harness.reference_mta.defects import Mutant, UnknownMutantError, find
from harness.reference_mta.mail.queue_commands import QueueCommands
from harness.reference_mta.reached import Reached
from harness.reference_mta.service import Service, running, serving
from harness.reference_mta.watching import Lines, form_for
from harness.settings.arguments import CUT_OFF
from harness.settings.hosts import endpoint_text

TELL = 10.0  # seconds between two looks at what was left out of the log


@dataclass(frozen=True)
class Wish:
    """How the server is watched and steered."""

    quiet: bool  # trouble only
    as_json: bool
    control: bool
    note_reached: bool = False  # which parts, for whom, which the control channel tells


def serve(options: argparse.Namespace) -> int:
    """Run what the options ask for; returns the exit status.

    Raises `SettingsError` and what `serving` does.
    """
    if options.example:
        print(EXAMPLE, end="")
        return 0
    config = settings.read(options.config, Config)
    try:
        mutants = [find(name) for name in config.mutation.names] if config.mutation else []
    except UnknownMutantError as error:
        raise settings.SettingsError(options.config, [f"mutation.names: {error}"]) from error
    wish = Wish(options.quiet, options.json and not options.control, options.control, options.note_reached)
    return asyncio.run(_run(config, mutants, wish))


async def _run(config: Config, mutants: Sequence[Mutant], wish: Wish) -> int:
    loop, stopped, unread = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)

    def nobody_reads() -> None:
        unread.set()
        stopped.set()

    reached = Reached(CLIENT.get) if wish.note_reached else None
    with _log(wish, nobody_reads) as lines:
        async with serving(config, mutants, reached) as service, running(_tell_now_and_then(lines)):
            _say_ready(config, service, wish)
            if wish.control:
                await _steered(service, stopped, reached)
            else:
                await stopped.wait()
    return CUT_OFF if unread.is_set() else 0


@contextlib.contextmanager
def _log(wish: Wish, unread: Callable[[], None]) -> Iterator[Lines]:
    """The log of this process, for as long as the context lasts."""
    stream = sys.stdout if wish.as_json else sys.stderr
    lines = Lines(stream, form_for(stream, as_json=wish.as_json), Bounds(), unread)
    # Whoever steers it sees for himself what becomes of mail.
    level = logging.WARNING if wish.control or wish.quiet else logging.INFO
    logging.basicConfig(level=level, handlers=[lines], force=True)
    try:
        yield lines
    finally:
        logging.getLogger().removeHandler(lines)
        lines.close()


async def _tell_now_and_then(lines: Lines) -> None:
    while True:
        await asyncio.sleep(TELL)
        lines.tell_what_was_left_out()


def _say_ready(config: Config, service: Service, wish: Wish) -> None:
    if wish.control or wish.as_json:
        further = [{"address": address, "port": port} for address, port in service.further]
        facts = {"ready": True, "address": service.address, "port": service.port, "further": further}
        print(json.dumps(facts), flush=True)
        return
    places = [endpoint_text(service.address, service.port)]
    for place, listening in zip(service.further, config.listener, strict=True):
        places.append(f"{endpoint_text(*place)}{f' ({listening})' if str(listening) else ''}")
    print(f"reference MTA {config.server.hostname} on {', '.join(places)}; stop it with Ctrl-C", flush=True)


async def _steered(service: Service, stopped: asyncio.Event, reached: Reached | None) -> None:
    """Until the control channel ends, or a signal comes."""
    site = service.site
    queue_commands = QueueCommands(site.config.server.state, site.policy.queue)
    control = Control(
        site.greylist,
        queue_commands,
        site.acceptance.srs,
        site.host_name,
        parts=site.policy.greylisting,
        reached=reached,
    )
    steering = asyncio.create_task(control.serve())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({steering, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in (steering, waiting):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
