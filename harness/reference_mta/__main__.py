"""Runs the reference MTA: `smtp-harness mta CONFIG.toml`, or with `--control` for whoever starts it."""

import asyncio
import contextlib
import getpass
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness import settings
from harness.reference_mta.certificate import SOUND, server_context
from harness.reference_mta.config import EXAMPLE, Config
from harness.reference_mta.control import Control
from harness.reference_mta.greylist import Greylist, Times, UnreachableError
from harness.reference_mta.mta import Connection, Site
from harness.reference_mta.mutations import Mutant, UnknownMutantError, find
from harness.reference_mta.operator import DATABASE, greylist_main
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.greylisting import unreachable
from harness.reference_mta.resolver import Resolver

BACKLOG = 2048  # connections that may wait to be accepted
USAGE = "usage: smtp-harness mta CONFIG.toml [--control] | --example | greylist … | hash-password"


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
        case ["greylist", *rest]:
            return _guarded(lambda: greylist_main(rest))
        case [file, *rest] if not file.startswith("-") and rest in ([], ["--control"]):
            return _guarded(lambda: _serve_file(Path(file), control=bool(rest)))
    print(USAGE, file=sys.stderr)
    return 2


def _guarded(act: Callable[[], int]) -> int:
    try:
        return act()
    except (settings.SettingsError, UnknownMutantError, UnreachableError, OSError) as error:
        print(f"smtp-harness mta: {error}", file=sys.stderr)
        return 2


def _serve_file(file: Path, *, control: bool) -> int:
    config = settings.read(file, Config)
    mutant = find(config.mutation.name) if config.mutation else None
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the engine's own chatter has the client's secrets
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(config, mutant, control=control))
    return 0


async def _serve(config: Config, mutant: Mutant | None, *, control: bool) -> None:
    state = config.server.state
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    times = config.greylist
    greylist = Greylist(state / DATABASE, Times(times.delay, times.timeout, times.lifetime))
    resolver = Resolver(config.dns.server, config.dns.timeout, config.dns.attempts)
    await resolver.start()
    policy = mutant.change(_policy(config)) if mutant else _policy(config)
    names = config.tls.names or (config.server.hostname, f"*.{config.server.hostname.partition('.')[2]}")
    context = server_context(state, names, mutant.flaws if mutant else SOUND)
    site = Site(config, policy, resolver, greylist, context, decoy=hash_password(""))
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(
        lambda: Connection(site, loop), config.server.listen, config.server.port, backlog=BACKLOG
    )
    address, port = server.sockets[0].getsockname()[:2]
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(greylist.close)
        stack.callback(resolver.close)
        stack.callback(server.close)
        if not control:
            print(
                f"reference MTA {config.server.hostname} on {address}:{port}; stop it with Ctrl-C", flush=True
            )
            await stopped.wait()
            return
        print(json.dumps({"ready": True, "address": address, "port": port}), flush=True)
        keeps = bool(mutant) and "greylist.manual:off" in policy.quirks
        steering = asyncio.create_task(Control(greylist, keeps_removed=keeps).serve())
        waiting = asyncio.create_task(stopped.wait())
        done, _ = await asyncio.wait({steering, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        waiting.cancel()


def _policy(config: Config) -> Policy:
    """The documented policy, with what the configuration chooses."""
    policy = Policy()
    down = unreachable(config.greylist.when_unreachable)
    greylisted = policy.rcpt[-1]
    check = replace(greylisted.checks["greylist.daemon-down"], then=down)
    chosen = replace(greylisted, checks={**greylisted.checks, check.rule: check})
    return replace(policy, rcpt=(*policy.rcpt[:-1], chosen), bounces={**policy.bounces, check.rule: check})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
