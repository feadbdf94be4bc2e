"""One pytest session with scenarios: holds the run while the items go by, and writes its reports."""

import contextlib
import datetime
import functools
import os
import warnings
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fake_dns import DnsServerError
from harness import settings
from harness.embedded.process import EmbeddedError, running
from harness.embedded.servers import reference_mta
from harness.failing import RuleFailure
from harness.plugin.described import require_described
from harness.plugin.keys import EMBEDDED, OUTCOME, SELECTION
from harness.plugin.progress import RunProgress
from harness.plugin.scenarios import Scenario, argument_names, catalogue_of, scenario_of
from harness.plugin.selection import Selection
from harness.plugin.showing import SHOWN, STATUS, rule_lines, tell, write_lines
from harness.printable import printable
from harness.profile.deviations import Deviation, unknown_cases
from harness.results.filing import REPORTS_LOST, BaselineError, Filing
from harness.results.formats import shown
from harness.results.model import BAD, DECIDED, RunResult, Status
from harness.results.report_format import View
from harness.results.store import ReportError, ResultFileError
from harness.runs.assembly import Embedded, Wish, begin, open_run
from harness.runs.course import CaseResult
from harness.runs.deviations import held_against
from harness.runs.ending import heeding_requests, why
from harness.runs.reach import attributed
from harness.runs.result_builder import Planned, ResultBuilder, RuleCase, of_a_broken_server
from harness.runs.run import Run
from harness.runs.scheduler import Scheduler
from harness.runs.showing import Showing
from harness.runs.trial import Plan
from harness.verdicts import NotTestableError

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter  # pytest has no public name for it before 9.1

FORKED = (
    "this scenario has fixtures of its own, and so cannot be played in a process that was forked for it: "
    "run the scenarios without that (pytest-forked: leave out --forked)"
)
SHOWING = ("collectonly", "setuponly", "setupplan")  # options with which nothing is run
NOTHING_TESTED = 5  # the exit status that pytest itself uses for «no tests»
FINISHED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
BAD_INPUT = (
    settings.SettingsError,
    DnsServerError,
    EmbeddedError,
    NotTestableError,
    ReportError,
    ResultFileError,
    BaselineError,
)


@dataclass(eq=False)  # pytest before 9.1 wants plugins to be hashable
class ScenarioPlugin:
    """One pytest session: holds the run while the items go by."""

    config: pytest.Config
    selection: Selection = field(init=False)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    result_builder: ResultBuilder | None = None
    scheduler: Scheduler | None = None
    run: Run | None = None
    showing: Showing = field(default_factory=Showing)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    filing: Filing | None = None
    result: RunResult | None = None  # when the run is over
    told: set[str] = field(default_factory=set)  # items that pytest is through with
    others_failed: bool = False  # something that is no verdict
    progress: RunProgress = field(init=False)
    process: int = field(default_factory=os.getpid)  # of the run

    def __post_init__(self) -> None:
        """It tells how far it is."""
        self.progress = RunProgress(self.config)
        self.selection = self.config.stash.get(SELECTION, None) or Selection(self.config)

    def find(self, items: list[pytest.Item]) -> None:
        """Know the scenarios among the items that were chosen, and hold each against the catalogue."""
        self.selection.choose(items)
        self.catalogue = catalogue_of(items)
        found = [scenario_of(item, self.catalogue) for item in items]
        self.scenarios = {one.item.nodeid: one for one in found if one}
        if self.scenarios:
            require_described(self.config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """With `--collect-only`, which rule each scenario tests."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter and self.config.option.collectonly and self.config.option.verbose >= 0:
            reporter.section("rules")
            for line in rule_lines([(one.rule.id, key) for key, one in self.scenarios.items()]):
                reporter.write_line(line)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Bring the server up, start all scenarios, let pytest go through its items, write the reports."""
        only_shown = any(self.config.getoption(name, False) for name in SHOWING)
        selected = [item for item in session.items if item.nodeid in self.scenarios]
        if not selected or only_shown:
            return (yield)
        with heeding_requests():
            ending: BaseException | None = None
            try:
                self._begin(selected)
                with self.showing.around(self.config):
                    return (yield)
            except BaseException as error:
                ending = error
                raise
            finally:
                self._end(selected, ending)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """What runs ahead is waited for here: nothing is captured yet, and assertions are explained already.

        Whoever plays the item again, or in a process of its own, finds the outcome with it.
        """
        scenario = self.scenarios.get(item.nodeid)
        if scenario and scenario.ahead and self.scheduler:
            self._collect(scenario, scenario.plan_ahead())
        return (yield)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        """A scenario has no time-out of pytest-timeout: it waits for others, and has bounds of its own."""
        return True if item.nodeid in self.scenarios else None

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> bool | None:
        """None was set."""
        return True if item.nodeid in self.scenarios else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Tell a scenario's outcome instead of calling the function."""
        scenario = self.scenarios.get(pyfuncitem.nodeid)
        if scenario is None or self.scheduler is None:
            return None
        outcome = pyfuncitem.stash.get(OUTCOME, None)
        if outcome is None:
            if os.getpid() != self.process:
                pytest.fail(FORKED, pytrace=False)
            wanted = argument_names(pyfuncitem.obj)
            given = {name: value for name, value in pyfuncitem.funcargs.items() if name in wanted}
            outcome = self._collect(scenario, scenario.plan(given))
        tell(outcome)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # so that nobody adds to a report after it
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A scenario's duration is its own, not that of waiting for it; what it quotes is made harmless."""
        report = yield
        if item.nodeid in self.scenarios:
            self.showing.report(report)
        outcome = item.stash.get(OUTCOME, None)
        if outcome and report.when == "call":
            report.duration = outcome.seconds
            setattr(report, STATUS, outcome.status.value)  # in a form that goes from process to process
            if report.failed and report.longrepr:
                rule = self.scenarios[item.nodeid].rule
                shown: Any = RuleFailure(rule, outcome.expected, report.longrepr)
                report.longrepr = shown
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What pytest is through with, wherever it was run: in a process of its own as well."""
        if report.when == "call" or not report.passed:
            self.told.add(report.nodeid)
        is_verdict = getattr(report, STATUS, None) is not None and report.when == "call"
        self.others_failed |= report.failed and not is_verdict

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: object) -> None:
        """A fault of the harness may quote a server, too."""
        self.showing.part(excrepr)

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """So may a warning."""
        self.showing.warning(warning_message)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Any] | None:
        """A letter and a word for each status."""
        value: str | None = getattr(report, STATUS, None)
        if value is None or report.when != "call" or hasattr(report, "wasxfail"):
            return None
        status = Status(value)
        letter, word, markup = SHOWN[status]
        return status.value.replace("_", " "), letter, (word, markup)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Nothing tested, or anything failed or inconclusive, never ends with 0; nor a run without reports.

        Where there is a baseline, what is worse than there takes the place of what failed.
        """
        if self.result is None or self.filing is None:
            return
        counts, passed = self.result.counts, session.exitstatus == pytest.ExitCode.OK
        decided = sum(counts[status] for status in DECIDED)
        if self.filing.before and not self.others_failed and session.exitstatus in FINISHED:
            better = pytest.ExitCode.OK if decided else NOTHING_TESTED
            well = self.filing.is_no_worse and not counts[Status.STALE]
            session.exitstatus = better if well else pytest.ExitCode.TESTS_FAILED
        elif passed and any(counts[status] for status in BAD):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif passed and not decided:
            session.exitstatus = NOTHING_TESTED
        if session.exitstatus == pytest.ExitCode.OK and self.filing.trouble:
            session.exitstatus = REPORTS_LOST

    def pytest_terminal_summary(self, terminalreporter: "TerminalReporter") -> None:
        """The table of rules, and where the reports lie."""
        if self.result is None or self.run is None or self.filing is None:
            return
        result = self.result
        terminalreporter.section("rules")
        colour = terminalreporter._tw.hasmarkup
        write_lines(terminalreporter, shown(result, View(terminalreporter._tw.fullwidth, colour)))
        doctor = self.config.option.smtp_doctor or f"smtp-harness doctor {self.config.option.smtp_sut}"
        if self.run.unusable and self.config.option.smtp_sut:
            write_lines(
                terminalreporter,
                f"Not everything was tried: {printable(self.run.given_up)}.\n"
                f"What is wrong and how to mend it: {printable(doctor)}",
                yellow=True,
            )
        if not any(result.counts[status] for status in DECIDED):
            write_lines(
                terminalreporter,
                "No rule was proved or refuted: see the reasons above; the profile says what can be tested.",
                yellow=True,
            )
        for line in self.filing.told(result):
            write_lines(terminalreporter, line, red=line == self.filing.trouble)
        if compared := self.filing.compared(colour=colour):
            terminalreporter.section(printable(f"held against {self.filing.baseline}"))
            write_lines(terminalreporter, compared)

    def _begin(self, selected: list[pytest.Item]) -> None:
        options = self.config.option
        sut = Path(options.smtp_sut) if options.smtp_sut else None
        if options.smtp_mutant and sut:
            raise pytest.UsageError("--smtp-mutant breaks the reference MTA; it does not go with --smtp-sut")
        if options.smtp_jobs is not None and options.smtp_jobs < 1:
            raise pytest.UsageError("--smtp-jobs takes a number from 1 on")
        if options.smtp_mutant and options.smtp_baseline:
            raise pytest.UsageError(
                "a server that --smtp-mutant broke is held against nothing: drop --smtp-baseline"
            )
        self.filing = Filing(
            Path(options.smtp_reports) if options.smtp_reports else self.config.rootpath / "reports",
            data_alone=options.smtp_lean,
            baseline=Path(options.smtp_baseline) if options.smtp_baseline else None,
        )
        embedded: Embedded = reference_mta
        if options.smtp_reached_to:
            if sut:
                raise pytest.UsageError("--smtp-reached-to is about the reference MTA: drop --smtp-sut")
            noting = functools.partial(running, note_reached=True)
            embedded = functools.partial(reference_mta, started=noting)
        heavy = options.smtp_allow_heavy or not (sut or options.smtp_skip_heavy)
        wish = Wish(
            self.catalogue,
            sut,
            tuple(options.smtp_mutant),
            heavy,
            options.smtp_lean,
            to_the_end=options.smtp_to_the_end,
            embedded=self.config.stash.get(EMBEDDED, embedded),
        )
        try:
            self.filing.prepare()
            run = self.stack.enter_context(open_run(wish))
            run, facts = begin(run)
        except BAD_INPUT as error:
            raise pytest.UsageError(str(error)) from None
        self.result_builder = ResultBuilder.begin(facts)
        part = self.selection.caveat(self.catalogue)
        self._hold_against_cases(run.profile.deviation, part.rules if part else ())
        if part:
            self.result_builder.caveats.append(part)
        if options.smtp_mutant:
            self.result_builder.caveats.append(of_a_broken_server(options.smtp_mutant))
        self.run = run
        self.showing = Showing(run.profile.secrets)
        self.scheduler = Scheduler(run, options.smtp_jobs or run.profile.server.jobs)
        self.scheduler.start(
            {
                item.nodeid: self.scenarios[item.nodeid].plan_ahead()
                for item in selected
                if self.scenarios[item.nodeid].ahead
            }
        )

    def _hold_against_cases(self, listed: Sequence[Deviation], left_out: Collection[str]) -> None:
        """Each known deviation is one of a case that there is; raises `pytest.UsageError`.

        `left_out` are the rules of which not all cases are there.
        """
        cases: dict[str, list[str]] = {}
        for one in self.scenarios.values():
            if one.rule.id not in left_out:
                cases.setdefault(one.rule.id, []).append(one.case)
        if problems := unknown_cases(listed, cases):
            raise pytest.UsageError(f"{self.config.option.smtp_sut}: {'; '.join(problems)}")

    def _reported(self, scenario: Scenario, outcome: CaseResult) -> CaseResult:
        """An outcome beside what the profile lists as known deviations."""
        if self.run is None:
            return outcome
        today = datetime.datetime.now(datetime.UTC).date()
        listed = self.run.profile.deviation
        return held_against(listed, scenario.rule.id, scenario.case, outcome, today)

    def _collect(self, scenario: Scenario, plan: Plan) -> CaseResult:
        """What a scenario came to, as it is told, kept and reported once, however often its item is run."""
        item = scenario.item
        if OUTCOME in item.stash:
            return item.stash[OUTCOME]
        if self.scheduler is None or self.result_builder is None:
            raise RuntimeError("no run has begun")
        outcome = self._reported(scenario, self.scheduler.collect(item.nodeid, plan, self.progress.tell))
        self.progress.clear()
        item.user_properties.extend(
            [
                ("suite", scenario.rule.suite),
                ("rule", scenario.rule.id),
                ("level", scenario.rule.level.value),
                ("status", outcome.status.value),
            ]
        )
        item.stash[OUTCOME] = outcome
        self.result_builder.add(RuleCase(scenario.rule, scenario.case, item.nodeid, outcome))
        return outcome

    def _end(self, selected: list[pytest.Item], ending: BaseException | None) -> None:
        """Keep all that was decided, and then let go of the server: who is in a hurry loses nothing."""
        try:
            if self.scheduler and self.result_builder and self.run and self.filing:
                self._take_the_rest(selected, self.scheduler, self.result_builder, ending)
                self.result = self.result_builder.finish(self.run)
                self._note_reached(self.result_builder, self.run)
                self.filing.take(self.result)
        finally:
            try:
                if self.scheduler:
                    self.scheduler.stop()
            finally:
                self.stack.close()

    def _note_reached(self, result_builder: ResultBuilder, run: Run) -> None:
        """Which scenarios came to which parts of the server, for who asked for that."""
        if file := self.config.option.smtp_reached_to:
            given = {case.test: case.outcome.given for case in result_builder.cases}
            reached = run.reached() if run.reached else {}
            attributed(reached, given, run.internet.has_given).write(Path(file))

    def _take_the_rest(
        self,
        selected: list[pytest.Item],
        scheduler: Scheduler,
        result_builder: ResultBuilder,
        ending: BaseException | None,
    ) -> None:
        """What pytest did not come to: the verdicts that stand by now, and what has none."""
        done = self.told | {case.test for case in result_builder.cases}
        left = [self.scenarios[item.nodeid] for item in selected if item.nodeid not in done]
        decided = scheduler.decided() if left else {}
        undecided = []
        for one in left:
            if outcome := decided.get(one.item.nodeid):
                told = self._reported(one, outcome)
                result_builder.add(RuleCase(one.rule, one.case, one.item.nodeid, told))
            else:
                undecided.append(Planned(one.rule, one.case, one.item.nodeid))
        if undecided:
            result_builder.interrupted(why(ending), undecided)
