"""`smtp-harness spf-suite`: brings the server up, runs the suite, shows and keeps what came of it."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.grants.registry import CAPABILITIES
from harness.progress import Progress
from harness.results.filing import REPORTS_LOST, Filing
from harness.results.formats import shown
from harness.results.model import RunResult, Status
from harness.results.report_format import View
from harness.results.store import prepare
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.result_builder import of_a_broken_server
from harness.spf_suite.run import Playing, subject
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
    """The exit status: 0 every case passed, 1 one did not or none was tested, 6 the reports are not whole.

    Raises `ReportError`, when nothing was tried yet, `settings.SettingsError`, `UnfitProfileError`,
    `EmbeddedError` or `DnsServerError`.
    """
    prepare(order.reports)
    suite = load(order.suite)
    rehearse(order.suite, suite)
    wish = Wish(
        Catalogue.below(order.scenarios, CAPABILITIES.names),
        order.profile,
        order.mutants,
        embedded=checking_mta,
    )
    with open_run(wish) as everything:
        run, facts = begin(subject(everything, suite))
        playing = Playing.begin(run, facts, suite)
        try:
            playing.play(Progress("cases").tell)
        finally:
            status = _report(order, playing)
    return status


def _report(order: Order, playing: Playing) -> int:
    """What is decided by now, told and kept."""
    result = playing.result
    if order.mutants:
        result = replace(result, caveats=(*result.caveats, of_a_broken_server(order.mutants)))
    print(shown(result, View(shutil.get_terminal_size().columns, sys.stdout.isatty())))
    counts = result.counts
    tested = counts[Status.PASSED] + counts[Status.FAILED] + counts[Status.INCONCLUSIVE]
    print(f"{counts[Status.PASSED]} of {counted(len(playing.suite.cases), 'case')} passed, {tested} tested")
    filing = Filing(order.reports)
    filing.take(result)
    print(*filing.told(result), sep="\n")
    if filing.trouble:
        return REPORTS_LOST
    return exit_status(result)


def exit_status(result: RunResult) -> int:
    """0 when every tested case passed and there was one, otherwise 1."""
    counts = result.counts
    bad = counts[Status.FAILED] or counts[Status.INCONCLUSIVE]
    return 0 if counts[Status.PASSED] and not bad else 1
