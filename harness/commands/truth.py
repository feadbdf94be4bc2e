"""The proof by construction: verdicts about drawn servers, of which the truth is known."""

import argparse
import os
from pathlib import Path

from harness import settings
from harness.commands.base import Commands, UsageError, add_command, default_scenarios
from harness.settings.arguments import path, text, whole

AT_ONCE = 6  # trials for each core: most of their time they wait, and one begins when a core is free


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "truth",
        run,
        "prove the harness on drawn servers, sound and broken ones, of which the truth is known",
        "smtp-harness truth --servers 1000 --broken 1000 --seed 7",
        "exit status: 0 no wrong verdict, 1 wrong verdicts, 2 it could not be run",
    )
    parser.add_argument(
        "--servers", type=whole(0), default=100, metavar="N", help="sound ones (default: 100)"
    )
    parser.add_argument("--broken", type=whole(0), default=0, metavar="N", help="those with one check broken")
    parser.add_argument(
        "--first", type=whole(0), default=0, metavar="N", help="number of the first of each: a proof in parts"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, other servers")
    parser.add_argument(
        "--rules",
        action="append",
        type=text,
        metavar="PATTERN",
        help="of ids, such as 'GROUP.*' (repeat for more)",
    )
    parser.add_argument(
        "--parallel",
        type=whole(1),
        metavar="N",
        help="trials at a time, at most (default: six for each core)",
    )
    parser.add_argument(
        "--replay",
        type=text,
        metavar="SEED:NUMBER[:MUTANT]",
        help="try that server again, and keep what is said of it",
    )
    parser.add_argument(
        "--reduced-to",
        metavar="NAME,...",
        help="with --replay: all but these of its dimensions as by default; empty for all of them",
    )
    parser.add_argument(
        "--keep", type=path, metavar="DIR", help="where the files and reports of each trial stay"
    )
    parser.add_argument(
        "--shrink", type=whole(0), default=5, metavar="N", help="so many wrong verdicts at most (default: 5)"
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.grants.registry import CAPABILITIES
    from harness.rules import Catalogue
    from harness.truth.command import Wish, prove, replay
    from harness.truth.trial import Bench

    scenarios = default_scenarios()
    catalogue = Catalogue.below(scenarios, CAPABILITIES.names)
    drawn = tuple(rule.id for rule in catalogue if rule.group.drawn)
    if problems := settings.misfits(options.rules or (), list(catalogue.rules), "rule"):
        raise UsageError("; ".join(f"--rules {problem}" for problem in problems))
    if options.reduced_to is not None and not options.replay:
        raise UsageError("--reduced-to is about one server; name it with --replay, or leave the option out")
    bench = Bench(scenarios, catalogue, tuple(options.rules or drawn))
    if not bench.files:
        raise UsageError(f"--rules {' '.join(options.rules)}: no scenarios are about these; name others")
    parallel = options.parallel or AT_ONCE * (os.cpu_count() or 1)
    try:
        if options.replay:
            reduced = None if options.reduced_to is None else options.reduced_to.split(",")
            return replay(bench, options.replay, reduced, options.keep or Path("reports") / "truth")
        wish = Wish(
            options.seed,
            options.servers,
            options.broken,
            parallel,
            options.shrink,
            options.keep,
            options.first,
        )
        return prove(bench, wish)
    except ValueError as error:
        raise UsageError(str(error)) from None
