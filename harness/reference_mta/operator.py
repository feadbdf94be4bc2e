"""The operator's hand: on the greylist (wiki 1139–1145), on filters, on the queue (wiki 1612–1620)."""

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.greylist import LISTS, Entry, Greylist, Times, Triplet
from harness.reference_mta.greylist_unit import unit_named
from harness.reference_mta.mail.desk import ACTIONS, Desk, facts, lines
from harness.reference_mta.mail.filters import read_filter
from harness.reference_mta.mail.queue import QUEUE
from harness.reference_mta.mutations import quirks_of
from harness.reference_mta.passwords import hash_password

DATABASE = "greylist.sqlite"
ANY_TIMES = Times(60, 28800, 5184000)  # play no part in adding, removing and listing

__all__ = ["DATABASE", "check_filter_main", "greylist_main", "hash_password", "queue_main"]


def greylist_main(arguments: Sequence[str]) -> int:
    """`mta greylist add|remove|list STATE LIST …`; returns the exit status. Raises `UnreachableError`."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.action != "list" and options.recipient is None:
        parser.error("an entry needs client, sender and recipient")
    store = Greylist(options.state / DATABASE, ANY_TIMES)
    try:
        if options.action == "list":
            for entry in store.entries(options.list, _client(parser, store, options.client)):
                print(_line(entry))
            return 0
        client = _client(parser, store, options.client)
        triplet = Triplet.of(client, options.sender, options.recipient)
        if options.action == "add":
            store.add(options.list, triplet)
            return 0
        if store.remove(options.list, triplet):
            return 0
        print(f"no such entry on the {options.list} list")
        return 1
    finally:
        store.close()


def check_filter_main(file: Path) -> int:
    """`mta check-filter FILE`; returns the exit status. Raises `SettingsError` that names what is wrong."""
    rules = len(read_filter(file).rules)
    print(f"{file}: {rules} {'rule' if rules == 1 else 'rules'}, nothing wrong")
    return 0


def queue_main(arguments: Sequence[str]) -> int:
    """`mta queue CONFIG.toml list|remove ID|thaw ID|run`; returns the exit status.

    Raises `SettingsError`, `QueueError`.
    """
    parser = argparse.ArgumentParser(
        "smtp-harness mta queue",
        description="Work on the queue of a reference MTA, which may be running.",
        epilog="thaw and run let a running server try at once; one that is started later tries then.",
    )
    parser.add_argument("config", type=Path, help="the server's configuration")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("id", nargs="?", help="of the message, as list shows it")
    parser.add_argument("--json", action="store_true", help="list for programs")
    options = parser.parse_args(arguments)
    if (options.action in ("remove", "thaw")) != (options.id is not None):
        parser.error("remove and thaw need the id of a message, and only they do")
    config = settings.read(options.config, Config)
    if not (config.server.state / QUEUE).is_file():
        parser.error(f"{config.server.state} has no {QUEUE}; start the server once with this configuration")
    desk = Desk(config.server.state, quirks_of(config.mutation.names if config.mutation else ()))
    match options.action:
        case "list":
            entries = desk.entries()
            for line in [json.dumps([facts(each) for each in entries])] if options.json else lines(entries):
                print(line)
            return 0
        case "run":
            print(f"to be tried by the server now: {desk.run()}")
            return 0
        case action:
            if (desk.remove if action == "remove" else desk.thaw)(options.id):
                return 0
            print(f"no {'frozen ' if action == 'thaw' else ''}message {options.id} in the queue")
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "smtp-harness mta greylist",
        description="Work on the greylist of a reference MTA, which may be running.",
        epilog="example: smtp-harness mta greylist add mta-state black 192.0.2.7 a@b.example c@d.example",
    )
    parser.add_argument("action", choices=("add", "remove", "list"))
    parser.add_argument("state", type=_state, help="the server's state directory")
    parser.add_argument("list", choices=LISTS)
    parser.add_argument(
        "client",
        nargs="?",
        help="client address, or the network or host domain that the server goes by instead",
    )
    parser.add_argument("sender", nargs="?", help="envelope sender; '' for the null sender")
    parser.add_argument("recipient", nargs="?")
    return parser


def _client(parser: argparse.ArgumentParser, store: Greylist, given: str | None) -> str:
    """The client as the server's triplets have it; empty for none."""
    try:
        return unit_named(store.unit, given) if given else ""
    except ValueError as error:
        parser.error(f"client: {error}")


def _state(text: str) -> Path:
    folder = Path(text)
    if not (folder / DATABASE).is_file():
        raise argparse.ArgumentTypeError(
            f"{folder} has no {DATABASE}; name the state directory of the server"
        )
    return folder


def _line(entry: Entry) -> str:
    since = datetime.datetime.fromtimestamp(entry.first, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    triplet = entry.triplet
    return f"{entry.list} {triplet.client} <{triplet.sender}> <{triplet.recipient}> since {since} UTC"
