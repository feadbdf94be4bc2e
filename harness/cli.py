"""The command line: everything beside the scenarios themselves, which `pytest scenarios/` runs."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence

from harness import settings
from harness.commands import compare, discover, dns, doctor, mta, mutants, rules, spf_suite, system, truth
from harness.commands.base import Command, UsageError, cut_off
from harness.results.streams import visible_output

DESCRIPTION = """\
Conformance and anti-spam testing of mail servers.

The scenarios themselves are run by pytest:
  pytest scenarios/                          against the reference MTA
  pytest scenarios/ --smtp-sut PROFILE.toml  against the server of that profile
"""

COMMANDS = (compare, rules, mta, dns, mutants, truth, spf_suite, doctor, discover, system)


@visible_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. What the user got wrong ends in a sentence and 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["mta"] and words[1:] and words[1] not in ("-h", "--help"):
        options = argparse.Namespace(command=mta.run, arguments=words[1:])  # it has a command line of its own
    else:
        ours, theirs = _parted(words)
        options = _parser().parse_args(ours)
        if theirs:
            options.pytest = theirs
    command: Command = options.command
    status = 0
    try:
        with _tidy_end():
            status = command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except (settings.SettingsError, UsageError) as error:
        print(f"smtp-harness: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return cut_off(status)
    return status


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "smtp-harness", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    for one in COMMANDS:
        one.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
