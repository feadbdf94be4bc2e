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
from harness.commands.base import Command, UsageError, cut_off
from harness.results.streams import printable_output
from harness.settings.arguments import WRONG, Parser, bare

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


@printable_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. What the user got wrong ends in a sentence and 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    status = 0
    try:
        with _tidy_end():
            status = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (settings.SettingsError, UsageError) as error:
        return _wrong(str(error))
    except SystemExit as ending:  # of argparse, which has printed a help or a mistake
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            raise
        cut_off(status)
        raise ending from None
    except BrokenPipeError:
        return cut_off(status)
    except OSError as error:
        return _wrong(f"{error.filename}: {error.strerror}" if error.filename else str(error))
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
    print(f"{PROGRAM}: {sentence}", file=sys.stderr)
    return WRONG


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
