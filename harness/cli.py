# PYTHON_ARGCOMPLETE_OK
"""The command line: everything beside the scenarios themselves, which `pytest scenarios/` runs."""

import argparse
import contextlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from harness import settings
from harness.commands import compare, discover, dns, doctor, mta, mutants, rules, spf_suite, system, truth
from harness.commands.base import Command, UsageError
from harness.printable import LINES, printable
from harness.results.streams import given_input, printable_output
from harness.settings.arguments import CUT_OFF, WRONG, Parser, bare

PROGRAM = "smtp-harness"
DESCRIPTION = """\
Conformance and anti-spam testing of mail servers.

The scenarios themselves are run by pytest:
  pytest scenarios/                          against the reference MTA
  pytest scenarios/ --smtp-sut PROFILE.toml  against the server of that profile
"""
COMPLETION = """\
Each command has a --help of its own. Shells complete all of this with argcomplete
(pip install 'smtp-harness[completion]'), once they have been told:
  eval "$(register-python-argcomplete smtp-harness)"
"""

COMMANDS = (compare, rules, dns, mutants, truth, spf_suite, doctor, discover, system)


@given_input()
@printable_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. What the user got wrong ends in a sentence and 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    status, ending = 0, None
    try:
        try:
            with _tidy_end():
                status = _run(words)
        except SystemExit as end:  # of argparse, which has printed a help or a mistake, or on request
            ending = end
        sys.stdout.flush()
    except KeyboardInterrupt:
        _tell("stopped")
        return 130
    except (settings.SettingsError, UsageError) as error:
        return _wrong(str(error))
    except BrokenPipeError:
        status = status or CUT_OFF
    except OSError as error:
        if status == WRONG:  # which has been told
            return status
        return _wrong(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    if ending:
        raise ending
    return status


def _run(words: list[str]) -> int:
    ours, theirs = _parted(words)
    parser = _parser(ours)
    _complete()
    if not ours:
        return bare(parser)
    options = parser.parse_args(ours)
    if theirs:
        options.pytest = theirs
    command: Command = options.command
    return command(options)


def _wrong(sentence: str) -> int:
    _tell(f"{PROGRAM}: {sentence}")
    return WRONG


def _tell(line: str) -> None:
    """Where nobody can hear it, the exit status says it all the same."""
    with contextlib.suppress(OSError):
        print(printable(line, keep=LINES), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _tidy_end() -> Iterator[None]:
    """A request to end raises `SystemExit`, so that neither folders nor processes are left behind."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what `system` passes on: argparse knows no options between a name and «--»."""
    cut = words.index("--") if words[:1] == ["system"] and "--" in words else len(words)
    return words[:cut], words[cut + 1 :]


def _complete() -> None:
    """Answer a shell that asks what may come next, where argcomplete is installed; that ends the process."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:
        return
    asked = os.environ.get("COMP_LINE", "").split()[1:]  # the words decide what `mta` may be followed by
    argcomplete.autocomplete(_parser(asked), always_complete_options="long")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a line of these words: those after `mta` decide what it is about."""
    parser = Parser(PROGRAM, description=DESCRIPTION, epilog=COMPLETION)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for one in COMMANDS:
        one.add(commands)
    mta.add(commands, words[1:] if words[:1] == ["mta"] else ())
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("smtp-harness")
    except importlib.metadata.PackageNotFoundError:
        return "that is not installed, and so has no version"


if __name__ == "__main__":
    sys.exit(main())
