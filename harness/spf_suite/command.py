"""`smtp-harness spf-suite`: brings the server up, runs the suite, shows and keeps what came of it."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.progress import Progress
from harness.results.model import RunResult, Status
from harness.results.store import save
from harness.results.terminal import table
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.spf_suite.run import play, subject
from harness.spf_suite.server import checking_mta
from harness.spf_suite.suite import load
from harness.spf_suite.zones import rehearse
from harness.wording import counted


@dataclass(frozen=True)
class Order:
    """What the user asked for; without a profile the reference MTA is judged."""

    suite: Path
    profile: Path | None
    reports: Path
    scenarios: Path
    mutants: Sequence[str] = ()


def run_suite(order: Order) -> int:
    """The exit status: 0 every case passed, 1 one did not or none was tested.

    Raises `settings.SettingsError`, `UnfitProfileError`, `EmbeddedError` or `DnsServerError`.
    """
    suite = load(order.suite)
    rehearse(order.suite, suite)
    wish = Wish(Catalogue.below(order.scenarios), order.profile, order.mutants, embedded=checking_mta)
    with open_run(wish) as everything:
        run, facts = begin(subject(everything, suite))
        result = play(run, facts, suite, Progress("cases").tell)
    print(table(result, shutil.get_terminal_size().columns, sys.stdout.isatty()))
    counts = result.counts
    tested = counts[Status.PASSED] + counts[Status.FAILED] + counts[Status.INCONCLUSIVE]
    print(f"{counts[Status.PASSED]} of {counted(len(suite.cases), 'case')} passed, {tested} tested")
    print(f"report: {', '.join(map(str, reversed(save(result, order.reports))))}")
    return exit_status(result)


def exit_status(result: RunResult) -> int:
    """0 when every tested case passed and there was one, otherwise 1."""
    counts = result.counts
    bad = counts[Status.FAILED] or counts[Status.INCONCLUSIVE]
    return 0 if counts[Status.PASSED] and not bad else 1
