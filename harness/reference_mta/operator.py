"""The operator's hand: on the greylist (wiki 1139–1145), on filters, on the queue (wiki 1612–1620)."""

import argparse
import contextlib
import datetime
import getpass
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.defects import broken
from harness.reference_mta.greylist import Greylist, GreylistEntry, Times, Triplet
from harness.reference_mta.greylist_unit import unit_named
from harness.reference_mta.mail.filters import read_filter
from harness.reference_mta.mail.queue import QUEUE
from harness.reference_mta.mail.queue_commands import QueueCommands, facts, lines
from harness.reference_mta.policy import Policy
from harness.reference_mta.protocol.saslprep import PreparationError
from harness.reference_mta.replies import escaped
from harness.reference_mta.verifiers import Mechanism, made

DATABASE = "greylist.sqlite"  # in the state directory
ANY_TIMES = Times(60, 28800, 5184000)  # play no part in adding, removing and listing


class OperatorError(Exception):
    """What the operator asked for cannot be done; the text says why and what can."""


def work_on_greylist(options: argparse.Namespace) -> int:
    """`mta greylist list|add|remove`; returns the exit status.

    Raises `OperatorError`, `SettingsError`, `UnreachableError`.
    """
    config = _config(options.config, DATABASE)
    store = Greylist(config.server.state / DATABASE, ANY_TIMES)
    with contextlib.closing(store):
        client = _client(store, options.client)
        if options.action == "list":
            entries = store.entries(options.list, client)
            for line in [json.dumps([_facts(each) for each in entries])] if options.json else _lines(entries):
                print(line)
            return 0
        triplet = Triplet.of(client, options.sender, options.recipient)
        if options.action == "add":
            store.add(options.list, triplet)
            return 0
        if store.remove(options.list, triplet):
            return 0
    print(f"no such entry on the {options.list} list")
    return 1


def work_on_queue(options: argparse.Namespace) -> int:
    """`mta queue list|remove|thaw|run`; returns the exit status.

    Raises `OperatorError`, `SettingsError`, `QueueError`.
    """
    config = _config(options.config, QUEUE)
    policy = broken(Policy(), config.mutation.names if config.mutation else ())
    queue_commands = QueueCommands(config.server.state, policy.queue)
    match options.action:
        case "list":
            entries = queue_commands.entries()
            for line in [json.dumps([facts(each) for each in entries])] if options.json else lines(entries):
                print(line)
            return 0
        case "run":
            print(f"to be tried by the server now: {queue_commands.run()}")
            return 0
        case action:
            if (queue_commands.remove if action == "remove" else queue_commands.thaw)(options.id):
                return 0
            print(f"no {'frozen ' if action == 'thaw' else ''}message {escaped(options.id)} in the queue")
            return 1


def check_filter(file: Path) -> int:
    """`mta check-filter FILE`; returns the exit status. Raises `SettingsError` that names what is wrong."""
    rules = len(read_filter(file).rules)
    print(f"{file}: {rules} {'rule' if rules == 1 else 'rules'}, nothing wrong")
    return 0


def print_hash(mechanism: str) -> int:
    """`mta hash-password`, for a mechanism of AUTH; returns the exit status.

    Raises `OperatorError` without a password, or with one that the mechanism cannot do with.
    """
    try:
        password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    except EOFError:
        password = ""
    except UnicodeDecodeError:
        raise OperatorError("the password on standard input is not in UTF-8") from None
    if not password:
        raise OperatorError("there was no password; type one, or give it on standard input")
    try:
        print(made(password, Mechanism(mechanism)))
    except PreparationError as error:
        raise OperatorError(f"the password {error}; choose another one for {mechanism}") from None
    return 0


def _config(file: Path, database: str) -> Config:
    """The configuration of a server that has run, and so has that database."""
    config = settings.read(file, Config)
    if not (config.server.state / database).is_file():
        raise OperatorError(
            f"{config.server.state} has no {database}; start the server once with this configuration"
        )
    return config


def _client(store: Greylist, given: str | None) -> str:
    """The client as the server's triplets have it; empty for none."""
    try:
        return unit_named(store.unit, given) if given else ""
    except ValueError as error:
        raise OperatorError(f"CLIENT: {error}") from None


def _facts(entry: GreylistEntry) -> dict[str, object]:
    """An entry for other programs; times in seconds of the epoch."""
    return {"list": entry.list, **vars(entry.triplet), "first": entry.first, "last": entry.last}


def _lines(entries: list[GreylistEntry]) -> Iterator[str]:
    """Entries for people."""
    for entry in entries:
        since = datetime.datetime.fromtimestamp(entry.first, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        triplet = entry.triplet
        yield escaped(
            f"{entry.list} {triplet.client} <{triplet.sender}> <{triplet.recipient}> since {since} UTC"
        )
