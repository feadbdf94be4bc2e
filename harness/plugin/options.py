"""The options of a run."""

import argparse

import pytest


def add_options(parser: pytest.Parser) -> None:
    """All that pytest takes for the scenarios."""
    group = parser.getgroup("smtp-harness", "mail server under test")
    group.addoption(
        "--sut", metavar="PROFILE.toml", help="the server under test; without it the reference MTA"
    )
    group.addoption("--progress-to", type=int, metavar="FD", help=argparse.SUPPRESS)  # beside the dots
    group.addoption("--to-the-end", action="store_true", help=argparse.SUPPRESS)  # of DATA, in all dialogues
    group.addoption("--doctor", metavar="COMMAND", help=argparse.SUPPRESS)  # that examines the server instead
    group.addoption(
        "--jobs", type=int, help="dialogues that wait side by side (1: one by one in the main thread)"
    )
    group.addoption("--reports", metavar="DIR", help="where the reports go (default: reports/)")
    group.addoption("--allow-heavy", action="store_true", help="run scenarios that strain a shared server")
    group.addoption("--skip-heavy", action="store_true", help="do not run them against the reference MTA")
    group.addoption("--lean", action="store_true", help="keep no dialogues and write no HTML, only verdicts")
    group.addoption(
        "--mutant",
        action="append",
        default=[],
        metavar="RULE:KIND",
        help="break the reference MTA in one respect (repeat for more)",
    )
