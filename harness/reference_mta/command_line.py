"""The command line of the reference MTA: `smtp-harness mta …`.

    mta CONFIG.toml                      the server
    mta greylist ACTION CONFIG.toml …    its lists: list, add, remove
    mta queue ACTION CONFIG.toml …       its queue: list, remove, thaw, run
    mta check-filter FILE, mta hash-password

What an action needs is imported when it is run.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import TypeAlias

from harness.reference_mta.greylist import LISTS
from harness.reference_mta.verifiers import Mechanism
from harness.settings.arguments import Parser, examples, path, text, utf8

PROGRAM = "smtp-harness mta"
PARTS = ("greylist", "queue", "check-filter", "hash-password")
DONE = "0 done, 1 there was no such {what}, 2 it could not be done"
SERVER = examples(
    (f"{PROGRAM} --example > mta.toml && {PROGRAM} mta.toml", f"{PROGRAM} mta.toml --json | jq -r .rules[]"),
    "0 it was stopped, 2 it could not be started",
)
Act = Callable[[argparse.Namespace], int]
Parsers: TypeAlias = "argparse._SubParsersAction[Parser]"


def is_part(words: Sequence[str]) -> bool:
    """Whether these words, which follow `mta`, are about a part of a server, and not about running one."""
    return bool(words) and words[0] in PARTS


def fill(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """What may stand after `mta` where these words follow it."""
    if is_part(words):
        _fill_parts(parser)
    else:
        _fill_server(parser)


def _fill_server(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the reference MTA: a mail server that keeps every documented rule.\n\n"
        "Standard error tells each of its decisions: time, client, stage, what the client said, the rules\n"
        "that the case falls under, the delay in seconds, the reply. Of a client that makes more than a\n"
        "thousand lines the rest is only counted, until nothing comes of it for a minute.\n\n"
        "Its greylist and queue are worked on by commands of their own, also while it runs:\n"
        f"  {PROGRAM} greylist --help\n"
        f"  {PROGRAM} queue --help\n"
        f"  {PROGRAM} check-filter --help     says what is wrong with a user's filter\n"
        f"  {PROGRAM} hash-password --help    makes an entry of [auth.users]"
    )
    parser.epilog = SERVER
    what = parser.add_mutually_exclusive_group(required=True)
    first = what.add_argument(
        "config", type=path, nargs="?", metavar="CONFIG.toml", help="the server's configuration"
    )
    first.completer = _complete_part  # type: ignore[attr-defined]
    what.add_argument("--example", action="store_true", help="print a configuration that explains itself")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell trouble only, and no decisions")
    parser.add_argument(
        "--json", action="store_true", help="tell everything on standard output, an object of JSON a line"
    )
    parser.add_argument("--control", action="store_true", help="be steered by JSON on standard input")
    parser.add_argument("--note-reached", action="store_true", help=argparse.SUPPRESS)  # for the proof
    parser.set_defaults(act=_serve)


def _complete_part(prefix: str, **_: object) -> list[str]:
    """The parts that begin so; where none does the shell offers files."""
    return [part for part in PARTS if part.startswith(prefix)]


def _fill_parts(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(title="parts", metavar="PART", required=True, parser_class=Parser)
    _greylist(parts.add_parser("greylist", help="work on its lists"))
    _queue(parts.add_parser("queue", help="work on its queue"))
    example = f"{PROGRAM} check-filter filters/ann@example.org"
    checking = _action(parts, "check-filter", _check_filter, "say what is wrong with a user's filter")
    checking.epilog = examples((example,), "0 nothing is wrong, 2 something is, or it cannot be read")
    checking.add_argument("file", type=path, metavar="FILE", help="of the folder that delivery.filters names")
    example = f"{PROGRAM} hash-password < password.txt"
    hashing = _action(parts, "hash-password", _hash_password, "make an entry of [auth.users]")
    hashing.description = (
        "Print what stands in [auth.users] in place of a password: for PLAIN and LOGIN its scrypt hash, for\n"
        "SCRAM-SHA-256 the keys that are made of it, for CRAM-MD5 the password itself in base64, as that\n"
        "can do with nothing less. An account that is to have several stands there with a list of them.\n"
        "A terminal is asked for the password and does not show it; otherwise the first line of standard\n"
        "input is the password."
    )
    other = f"{PROGRAM} hash-password --mechanism SCRAM-SHA-256"
    statuses = "0 done, 2 there was no password, or none that can be used"
    hashing.epilog = examples((f"{PROGRAM} hash-password", example, other), statuses)
    hashing.add_argument(
        "--mechanism",
        type=str.upper,
        choices=list(map(str, Mechanism)),
        default=str(Mechanism.PLAIN),
        metavar="NAME",
        help=f"of AUTH, that it is for: {', '.join(Mechanism)}",
    )


def _greylist(parser: argparse.ArgumentParser) -> None:
    parser.description = "Work on the greylist of a reference MTA, which may be running."
    parser.epilog = examples(
        (
            f"{PROGRAM} greylist list mta.toml grey",
            f"{PROGRAM} greylist add mta.toml black 192.0.2.7 a@b.example c@d.example",
        ),
        DONE.format(what="entry"),
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, parser_class=Parser)
    line = "mta.toml black"
    listing = _of_server(
        actions, "greylist", "list", "what is on a list", line, "0 done, 2 it could not be done"
    )
    _list_of(listing)
    _client(listing, nargs="?")
    _for_programs(listing)
    for action, summary in (("add", "put an entry on a list"), ("remove", "take an entry off a list")):
        words = f"{line} 192.0.2.7 a@b.example c@d.example"
        changing = _of_server(actions, "greylist", action, summary, words, DONE.format(what="entry"))
        _list_of(changing)
        _client(changing)
        shown = "envelope sender; '' for the null sender"
        changing.add_argument("sender", type=utf8, metavar="SENDER", help=shown)
        changing.add_argument("recipient", type=text, metavar="RECIPIENT", help="envelope recipient")


def _queue(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Work on the queue of a reference MTA, which may be running.\n"
        "thaw and run let a running server try at once; one that is started later tries then."
    )
    lines = (f"{PROGRAM} queue list mta.toml", f"{PROGRAM} queue thaw mta.toml ID")
    parser.epilog = examples(lines, DONE.format(what="message"))
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, parser_class=Parser)
    done = "0 done, 2 it could not be done"
    _for_programs(_of_server(actions, "queue", "list", "what has not been sent yet", "mta.toml", done))
    missing = DONE.format(what="message")
    for action, summary in (("remove", "forget a message"), ("thaw", "try a frozen message again")):
        changing = _of_server(actions, "queue", action, summary, "mta.toml ID", missing)
        changing.add_argument("id", type=text, metavar="ID", help="of the message, as list shows it")
    _of_server(actions, "queue", "run", "try every message that is not frozen now", "mta.toml", done)


def _of_server(
    actions: Parsers, part: str, name: str, summary: str, words: str, statuses: str
) -> argparse.ArgumentParser:
    """An action on a part of a server, which its configuration names."""
    act = _work_on_greylist if part == "greylist" else _work_on_queue
    parser = _action(actions, name, act, summary)
    parser.epilog = examples((f"{PROGRAM} {part} {name} {words}",), statuses)
    parser.add_argument("config", type=path, metavar="CONFIG.toml", help="the server's configuration")
    parser.set_defaults(action=name)
    return parser


def _action(actions: Parsers, name: str, act: Act, summary: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(act=act)
    return parser


def _list_of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("list", choices=LISTS, metavar="LIST", help=f"one of {', '.join(LISTS)}")


def _client(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    words = "address, or the network or host domain that the server goes by instead"
    shown = f"{words}; without one all of them" if nargs else words
    parser.add_argument("client", type=text, nargs=nargs, metavar="CLIENT", help=shown)


def _for_programs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")


def _serve(options: argparse.Namespace) -> int:
    from harness.reference_mta import server

    return server.serve(options)


def _work_on_greylist(options: argparse.Namespace) -> int:
    from harness.reference_mta import operator

    return operator.work_on_greylist(options)


def _work_on_queue(options: argparse.Namespace) -> int:
    from harness.reference_mta import operator

    return operator.work_on_queue(options)


def _check_filter(options: argparse.Namespace) -> int:
    from harness.reference_mta import operator

    return operator.check_filter(options.file)


def _hash_password(options: argparse.Namespace) -> int:
    from harness.reference_mta import operator

    return operator.print_hash(options.mechanism)
