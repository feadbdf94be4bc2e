"""The running server: its parts started in order, and ended together."""

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.reference_mta.authentication import Accounts
from harness.reference_mta.certificate import SOUND, own_certificate, server_context
from harness.reference_mta.config import Config
from harness.reference_mta.connection import Connection, Crowd
from harness.reference_mta.decoys import kept_key
from harness.reference_mta.defects import MUTANTS, Mutant
from harness.reference_mta.dialogue import Site
from harness.reference_mta.greylist import Greylist, Times
from harness.reference_mta.listening import Listener
from harness.reference_mta.mail.acceptance import Acceptance
from harness.reference_mta.mail.attempt import Attempts
from harness.reference_mta.mail.delivery import Mailboxes
from harness.reference_mta.mail.files import make_folder, sync_folder
from harness.reference_mta.mail.filters import Filters
from harness.reference_mta.mail.hosts import Finder
from harness.reference_mta.mail.queue import QUEUE, Queue
from harness.reference_mta.mail.sending import Sender
from harness.reference_mta.mail.srs import Srs
from harness.reference_mta.mail.storage import Storage
from harness.reference_mta.mail.waking import WAKER_FILE, Waker
from harness.reference_mta.operator import DATABASE
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.dialect import spoken
from harness.reference_mta.reached import Reached
from harness.reference_mta.resolver import Resolver
from harness.reference_mta.tables.listener import Listening
from harness.reference_mta.verifiers import Mechanism

log = logging.getLogger(__name__)


class FolderError(Exception):
    """A folder that the configuration names cannot be used; the text says which and what to do."""


class ListenError(Exception):
    """The address is not to be had; the text says which and what to do."""


@dataclass(frozen=True)
class Service:
    """A server that listens; `further` are its other addresses and ports, as the configuration has them."""

    site: Site
    address: str
    port: int
    further: tuple[tuple[str, int], ...] = ()


@contextlib.asynccontextmanager
async def serving(
    config: Config, mutants: Sequence[Mutant] = (), reached: Reached | None = None
) -> AsyncIterator[Service]:
    """The server, listening for as long as the context lasts; in `reached` it notes which parts were.

    Raises `ListenError`, `FolderError`, `CertificateError`, `UnreachableError` (of the database) and
    `OSError`.
    """
    state = _state(config)
    _check_filters(config)
    async with contextlib.AsyncExitStack() as stack:
        times = config.greylist
        greylist = Greylist(
            state / DATABASE, Times(times.delay, times.timeout, times.lifetime), unit=times.unit
        )
        stack.callback(greylist.close)
        greylist.purge()
        resolver = Resolver(config.dns.server, config.dns.timeout, config.dns.attempts)
        await resolver.start()
        stack.callback(resolver.close)
        context = _context(config, mutants)
        policy = _policy(config, mutants, reached)
        waker = Waker(state / WAKER_FILE)
        stack.callback(waker.close)
        queue = Queue(state / QUEUE)
        stack.callback(queue.close)
        storage = Storage()
        stack.callback(storage.close)
        mailboxes = Mailboxes(config, Filters(config.delivery.filters), policy.delivery, policy.filing)
        srs = Srs(config, policy.srs)
        acceptance = Acceptance(
            config, storage, mailboxes, queue, waker, srs, policy.routing, policy.forwarding, policy.reports
        )
        finder = Finder(config, resolver, policy.finding)
        sender = Sender(config, acceptance, Attempts(finder, policy.delivery), policy.retrying)
        await stack.enter_async_context(running(sender.run()))
        site = Site(config, policy, resolver, greylist, Accounts.of(config, _decoys_key(config)), acceptance)
        listeners = _Listeners(site, Crowd.of(config), context, stack)
        address, port = "", config.server.port
        for host in policy.addresses(config):
            found = listeners.open(f"server.listen {host}, server.port {port}", host, Listening(port=port))
            address, port = address or found[0], found[1]
        further = [
            listeners.open(f"listener.{number}: port {each.port}", each.address or config.server.listen, each)
            for number, each in enumerate(config.listener)
        ]
        yield Service(site, address, port, tuple(further))


@contextlib.asynccontextmanager
async def running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Work that goes on for as long as the context lasts."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell_of_a_defect)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _state(config: Config) -> Path:
    state = config.server.state
    try:
        for folder in make_folder(state):
            sync_folder(folder)
    except OSError as error:
        raise FolderError(
            f"server.state {state}: {os.strerror(error.errno or 0)}; name a folder that this server may make"
        ) from error
    return state


def _decoys_key(config: Config) -> bytes:
    """Only with SCRAM does a decoy show itself to those who try a name."""
    return kept_key(config.server.state) if Mechanism.SCRAM_SHA_256 in config.auth.mechanisms else b""


def _check_filters(config: Config) -> None:
    folder = config.delivery.filters
    if folder is not None and not folder.is_dir():
        what = "is no folder" if folder.exists() else "is not there"
        raise FolderError(
            f"delivery.filters {folder}: {what}; name the folder with a filter for each user, or make it"
        )


def _tell_of_a_defect(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("work has ended that should go on: %s", error, exc_info=error)


def _policy(config: Config, mutants: Sequence[Mutant], reached: Reached | None) -> Policy:
    """The policy as the configuration has it, with what the mutants break."""
    policy = spoken(config)
    if reached is not None:
        policy = replace(
            policy,
            note=reached.note,
            protocol=replace(policy.protocol, note=reached.note),
            delivery=policy.delivery.noting(reached.note),
        )
        for mutant in MUTANTS:
            policy = mutant.watch(policy)
    for mutant in mutants:
        policy = mutant.change(policy)
    return policy


def _context(config: Config, mutants: Sequence[Mutant]) -> ssl.SSLContext:
    tls = config.tls
    if tls.certificate and tls.key:
        return server_context(tls.certificate, tls.key)
    flaws = next((mutant.flaws for mutant in mutants if mutant.flaws != SOUND), SOUND)
    return server_context(*own_certificate(config.server.state, config.tls_names, flaws))


@dataclass(frozen=True)
class _Listeners:
    """What all ports share, and where they are closed together."""

    site: Site
    crowd: Crowd
    context: ssl.SSLContext
    stack: contextlib.AsyncExitStack

    def open(self, key: str, host: str, listening: Listening) -> tuple[str, int]:
        """Listen at an address; `key` is what the configuration calls it. Raises `ListenError`."""
        try:
            listener = Listener.on(
                host,
                listening.port,
                lambda: Connection(self.site, self.crowd, self.context, listening).driver,
            )
        except OSError as error:
            raise ListenError(
                f"{key}: {error.strerror or error}; "
                "stop what listens there, or choose another port (0: any that is free)"
            ) from error
        self.stack.callback(listener.close)
        return listener.address
