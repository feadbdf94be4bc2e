"""The options of a run: each says whose it is, and has an older name for as long as nobody else has that."""

import argparse
import copy
from collections.abc import Sequence

import pytest

from harness.filled import filled
from harness.plugin.marks import LEVELS

OURS = "--smtp-"
OLDER = tuple(
    f"--{name}"
    for name in (
        "sut",
        "jobs",
        "reports",
        "baseline",
        "allow-heavy",
        "skip-heavy",
        "lean",
        "mutant",
    )
)


def add_options(parser: pytest.Parser) -> None:
    """All that pytest takes for the scenarios."""
    group = parser.getgroup("smtp-harness", "mail server under test, by scenarios (smtp-harness)")
    group.addoption(
        "--smtp-sut",
        type=filled("a profile, or leave the option out for the reference MTA"),
        metavar="PROFILE.toml",
        help="the server under test; without it the reference MTA",
    )
    group.addoption("--smtp-progress-to", type=int, metavar="FD", help=argparse.SUPPRESS)  # beside the dots
    file = filled("a file, or leave the option out")
    # Scenarios, an id a line.
    group.addoption("--smtp-only", type=file, metavar="FILE", help=argparse.SUPPRESS)
    # See `runs/reach.py`.
    group.addoption("--smtp-reached-to", type=file, metavar="FILE", help=argparse.SUPPRESS)
    group.addoption("--smtp-to-the-end", action="store_true", help=argparse.SUPPRESS)  # of DATA, always
    group.addoption(
        "--smtp-doctor", type=filled("a command"), metavar="COMMAND", help=argparse.SUPPRESS
    )  # that examines the server instead
    group.addoption(
        "--smtp-jobs",
        type=int,
        metavar="N",
        help="dialogues that wait side by side (1: one by one in the main thread)",
    )
    group.addoption(
        "--smtp-rule",
        action="append",
        type=filled("the id of a rule, or leave the option out"),
        default=[],
        metavar="PATTERN",
        help="run the scenarios of these rules only, as 'GROUP.*' (repeat for more)",
    )
    group.addoption(
        "--smtp-level",
        action="append",
        type=filled(f"one of {', '.join(LEVELS)}, or leave the option out"),
        default=[],
        metavar="LEVEL",
        help=f"run the scenarios of rules of this level only: {', '.join(LEVELS)} (repeat for more)",
    )
    group.addoption(
        "--smtp-reports",
        type=filled("a folder, or leave the option out for reports/"),
        metavar="DIR",
        help="where the reports go (default: reports/)",
    )
    group.addoption(
        "--smtp-baseline",
        type=filled("the result file of an earlier run, or leave the option out"),
        metavar="RESULT.json",
        help="an earlier run: fail for what is worse than there or no longer tested, and for nothing else",
    )
    group.addoption(
        "--smtp-allow-heavy", action="store_true", help="run scenarios that strain a shared server"
    )
    group.addoption(
        "--smtp-skip-heavy", action="store_true", help="do not run them against the reference MTA"
    )
    group.addoption(
        "--smtp-lean", action="store_true", help="keep no dialogues and write no HTML, only verdicts"
    )
    group.addoption(
        "--smtp-mutant",
        action="append",
        type=filled("the name of a mutant, or leave the option out"),
        default=[],
        metavar="RULE:KIND",
        help="break the reference MTA in one respect (repeat for more)",
    )


def by_own_names(parser: pytest.Parser, words: Sequence[str], options: argparse.Namespace) -> list[str]:
    """A command line in which our options have their own names.

    An older name is taken for ours only where nobody else knows it: another plugin's `--jobs` is its own.
    """
    known = words[: words.index("--")] if "--" in words else words
    if not any(_older(word) for word in known):
        return list(words)
    _, strange = parser.parse_known_and_unknown_args(list(known), namespace=copy.copy(options))
    ours = {word for word in strange if _older(word)}
    return [
        f"{OURS}{word.removeprefix('--')}" if at < len(known) and word in ours else word
        for at, word in enumerate(words)
    ]


def _older(word: str) -> bool:
    return word.partition("=")[0] in OLDER
