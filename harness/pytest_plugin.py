"""The pytest plugin: finds the scenarios, lets them wait side by side, reports each by its rule.

A scenario is a test function marked with `harness.scenario.rule`. Tests without that mark are left alone.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from fake_dns import DnsServerError
from harness import settings
from harness.embedded.process import EmbeddedError
from harness.embedded.servers import PROFILE, reference_mta
from harness.profile.model import Profile
from harness.results import terminal
from harness.results.filing import REPORTS_LOST, BaselineError, Filing
from harness.results.model import RunResult, Status
from harness.results.store import ReportError, ResultFileError
from harness.results.visible import visible
from harness.rules import Catalogue, Rule, UnknownRuleError
from harness.runs.assembly import Embedded, Wish, begin, open_run
from harness.runs.course import Outcome
from harness.runs.ending import heeding_requests, why
from harness.runs.gathering import Gathering, Planned, RuleCase, of_a_broken_server
from harness.runs.play import FIXTURES, TWIN, Play
from harness.runs.run import Run
from harness.runs.scheduler import Scheduler
from harness.runs.trial import Plan
from harness.selection import NAME as SELECTION
from harness.selection import Selection, rules_file
from harness.verdicts import FailedError, NotTestableError, ScenarioEnd
from harness.world.cast import each_of
from harness.world.sut import Sut

SHOWN: dict[Status, tuple[str, str, dict[str, bool]]] = {
    Status.PASSED: (".", "PASSED", {"green": True}),
    Status.FAILED: ("F", "FAILED", {"red": True}),
    Status.INCONCLUSIVE: ("?", "INCONCLUSIVE", {"yellow": True}),
    Status.NOT_TESTABLE: ("t", "NOT TESTABLE", {"cyan": True}),
    Status.NOT_APPLICABLE: ("-", "NOT APPLICABLE", {"light": True}),
}
NAME = "smtp-harness-scenarios"  # of the plugin of one session
STATUS = "scenario_status"  # where a report carries the status of its scenario
TENTHS = 10  # of a run, each told once
SILENT = 15.0  # seconds after which it is told all the same how far the run is
NOTHING_TESTED = 5  # the exit status that pytest itself uses for «no tests»
DECIDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
BAD_INPUT = (
    settings.SettingsError,
    DnsServerError,
    EmbeddedError,
    NotTestableError,
    ReportError,
    ResultFileError,
    BaselineError,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of a run."""
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
    group.addoption(
        "--baseline",
        metavar="RESULT.json",
        help="an earlier run: fail for what is worse than there or no longer tested, and for nothing else",
    )
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case for each thing that the profile describes, where a scenario is to try all of them."""
    for mark in metafunc.definition.iter_markers("each"):
        sut = metafunc.config.stash[SUT]
        for name in mark.args:
            named = each_of(name, sut)
            metafunc.parametrize(name, [thing for _, thing in named], ids=[text for text, _ in named])


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Scenarios are collected for what the profile describes; a mistake in it ends the session here."""
    session.config.stash.setdefault(SUT, _described(session.config))


def _described(config: pytest.Config) -> Sut:
    """The server as its profile describes it; raises `pytest.UsageError` when that cannot be read."""
    file = Path(config.option.sut) if config.option.sut else PROFILE
    try:
        return Sut(settings.read(file, Profile))
    except settings.SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_configure(config: pytest.Config) -> None:
    """The marks of a scenario."""
    config.addinivalue_line("markers", "rule(id): the documented rule that this scenario proves or refutes")
    config.addinivalue_line(
        "markers", "each(name, ...): try every thing of that name that the profile describes"
    )
    config.addinivalue_line("markers", "needs(capability, ...): what this case needs beyond its rule")
    selection = Selection(config)
    config.pluginmanager.register(selection, SELECTION)
    config.pluginmanager.register(ScenarioPlugin(config, selection), NAME)


def _fixture(name: str) -> Callable[[pytest.FixtureRequest], object]:
    def provide() -> object:
        # A stand-in: every try of a scenario gets fresh ones when it is called.
        return FIXTURES[name]

    return pytest.fixture(name=name)(provide)


for _name in FIXTURES:
    globals()[f"_fixture_{_name}"] = _fixture(_name)


@dataclass(frozen=True)
class Scenario:
    """A collected item that tests a rule, and how it is called."""

    item: pytest.Function
    rule: Rule
    wanted: tuple[str, ...]  # of the harness's fixtures
    ahead: bool  # whether it can run before its turn, on a thread of its own

    @property
    def case(self) -> str:
        """The name of this case among those of its rule."""
        callspec = getattr(self.item, "callspec", None)
        function = self.item.originalname.removeprefix("test_").replace("_", " ")
        return f"{function} [{callspec.id}]" if callspec else function

    def plan_ahead(self) -> Plan:
        """The scenario for a thread of its own: all that is given are its parameters."""
        callspec = getattr(self.item, "callspec", None)
        return self.plan(dict(callspec.params) if callspec else {})

    def plan(self, given: dict[str, Any]) -> Plan:
        """The scenario for the scheduler, with what others provide already given."""
        needs = frozenset(need for mark in self.item.iter_markers("needs") for need in mark.args)

        def play(play: Play) -> None:
            with _what_pytest_says():
                play.call(self.item.obj, given, self.wanted)

        return Plan(self.rule, needs, play, has_twin=TWIN in self.wanted)


@contextlib.contextmanager
def _what_pytest_says() -> Generator[None]:
    """A scenario may use pytest's own words: `pytest.fail` for an assertion, `pytest.skip` for no test."""
    try:
        yield
    except pytest.skip.Exception as said:
        raise NotTestableError(str(said)) from said
    except pytest.fail.Exception as said:
        raise FailedError(str(said)).with_traceback(said.__traceback__) from None


def scenario_of(item: pytest.Item, catalogue: Catalogue) -> Scenario | None:
    """The scenario in an item; raises `pytest.UsageError` when its mark names no rule."""
    mark = item.get_closest_marker("rule")
    if mark is None or not isinstance(item, pytest.Function):
        return None
    if len(mark.args) != 1:
        raise pytest.UsageError(f"{item.nodeid}: write @rule('id') with the id of one rule")
    try:
        rule = catalogue[mark.args[0]]
    except UnknownRuleError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None
    arguments = _argument_names(item)
    wanted = tuple(name for name in arguments if name in FIXTURES)
    others = set(item.fixturenames) - set(wanted) - _direct_parameters(item)
    conditional = any(item.get_closest_marker(name) for name in ("skip", "skipif", "xfail", "usefixtures"))
    return Scenario(item, rule, wanted, ahead=not others and not conditional)


def _argument_names(item: pytest.Function) -> tuple[str, ...]:
    return tuple(item._fixtureinfo.argnames)


def _direct_parameters(item: pytest.Function) -> set[str]:
    """Parameters whose values come with the item itself, not from a fixture."""
    direct: set[str] = set()
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        indirect = mark.kwargs.get("indirect", mark.args[2] if len(mark.args) > 2 else False)
        if indirect is not True:
            direct |= set(names) - set(indirect or ())
    for mark in item.iter_markers("each"):
        direct |= set(mark.args)
    return direct


def _of_the_scenario(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of the harness."""
    if traceback is None:
        return None
    rest = _of_the_scenario(traceback.tb_next)
    if traceback.tb_frame.f_globals.get("__name__", "").startswith("harness."):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)


def catalogue_of(items: list[pytest.Item]) -> Catalogue:
    """The rules of every `rules.toml` beside or above a collected scenario."""
    files: dict[Path, None] = {}
    for item in items:
        if item.get_closest_marker("rule") and (file := rules_file(item)):
            files[file] = None
    return Catalogue.load(files)


@dataclass
class ScenarioPlugin:
    """One pytest session: holds the run while the items go by."""

    config: pytest.Config
    selection: Selection
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    gathering: Gathering | None = None
    scheduler: Scheduler | None = None
    run: Run | None = None
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    filing: Filing | None = None
    result: RunResult | None = None  # when the run is over
    told: set[str] = field(default_factory=set)  # items that pytest is through with
    others_failed: bool = False  # something that is no verdict
    tenths_told: int = 0
    began: float = field(default_factory=time.monotonic)
    told_at: float = 0.0  # time.monotonic()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Know the scenarios among the items, and hold each against the catalogue."""
        try:
            self.catalogue = catalogue_of(items)
        except settings.SettingsError as error:
            raise pytest.UsageError(str(error)) from None
        found = [scenario_of(item, self.catalogue) for item in items]
        self.scenarios = {one.item.nodeid: one for one in found if one}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Bring the server up, start all scenarios, let pytest go through its items, write the reports."""
        options = self.config.option
        selected = [item for item in session.items if item.nodeid in self.scenarios]
        if not selected or options.collectonly or options.setuponly or options.setupplan:
            return (yield)
        if getattr(options, "numprocesses", None) or hasattr(self.config, "workerinput"):
            raise pytest.UsageError("scenarios already wait side by side; drop -n and set --jobs instead")
        with heeding_requests():
            ending: BaseException | None = None
            try:
                self._begin(selected)
                return (yield)
            except BaseException as error:
                ending = error
                raise
            finally:
                self._end(selected, ending)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Collect a scenario's outcome instead of calling the function."""
        scenario = self.scenarios.get(pyfuncitem.nodeid)
        if scenario is None or self.scheduler is None or self.gathering is None:
            return None
        values = {name: pyfuncitem.funcargs[name] for name in _argument_names(pyfuncitem)}
        given = {name: value for name, value in values.items() if name not in FIXTURES}
        plan = scenario.plan(given)
        outcome = self.scheduler.collect(pyfuncitem.nodeid, plan, self._progress)
        self._clear_progress()
        pyfuncitem.user_properties.extend([("rule", scenario.rule.id), ("status", outcome.status.value)])
        pyfuncitem.stash[OUTCOME] = outcome
        self.gathering.add(RuleCase(scenario.rule, scenario.case, pyfuncitem.nodeid, outcome))
        self._raise(outcome)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A scenario's duration is its own, not the time that pytest waited for it."""
        report = yield
        outcome = item.stash.get(OUTCOME, None)
        if outcome and report.when == "call":
            report.duration = outcome.seconds
            setattr(report, STATUS, outcome.status)
        if report.when == "call" or not report.passed:
            self.told.add(item.nodeid)
        self.others_failed |= report.failed and (outcome is None or report.when != "call")
        return report

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, Any] | None:
        """A letter and a word for each status."""
        status: Status | None = getattr(report, STATUS, None)
        if status is None or report.when != "call" or hasattr(report, "wasxfail"):
            return None
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
        decided = counts[Status.PASSED] + counts[Status.FAILED]
        if self.filing.before and not self.others_failed and session.exitstatus in DECIDED:
            better = pytest.ExitCode.OK if decided else NOTHING_TESTED
            session.exitstatus = better if self.filing.is_no_worse else pytest.ExitCode.TESTS_FAILED
        elif passed and (counts[Status.FAILED] or counts[Status.INCONCLUSIVE]):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif passed and not counts[Status.PASSED]:
            session.exitstatus = NOTHING_TESTED
        if session.exitstatus == pytest.ExitCode.OK and self.filing.trouble:
            session.exitstatus = REPORTS_LOST

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table of rules, and where the reports lie."""
        if self.result is None or self.run is None or self.filing is None:
            return
        result = self.result
        terminalreporter.section("rules")
        colour = terminalreporter._tw.hasmarkup
        terminalreporter.write_line(terminal.table(result, terminalreporter._tw.fullwidth, colour))
        doctor = self.config.option.doctor or f"smtp-harness doctor {self.config.option.sut}"
        if self.run.unusable and self.config.option.sut:
            terminalreporter.write_line(
                f"Not everything was tried: {visible(self.run.unusable)}.\n"
                f"What is wrong and how to mend it: {doctor}",
                yellow=True,
            )
        if not any(result.counts.get(status) for status in (Status.PASSED, Status.FAILED)):
            terminalreporter.write_line(
                "No rule was proved or refuted: see the reasons above; the profile says what can be tested.",
                yellow=True,
            )
        for line in self.filing.told(result):
            terminalreporter.write_line(line, red=line == self.filing.trouble)
        if compared := self.filing.compared(colour=colour):
            terminalreporter.section(f"held against {self.filing.baseline}")
            terminalreporter.write_line(compared)

    def _begin(self, selected: list[pytest.Item]) -> None:
        options = self.config.option
        sut = Path(options.sut) if options.sut else None
        if options.mutant and sut:
            raise pytest.UsageError("--mutant breaks the reference MTA; it does not go with --sut")
        if options.jobs is not None and options.jobs < 1:
            raise pytest.UsageError("--jobs takes a number from 1 on")
        if options.mutant and options.baseline:
            raise pytest.UsageError("a server that --mutant broke is held against nothing: drop --baseline")
        self.filing = Filing(
            Path(options.reports) if options.reports else self.config.rootpath / "reports",
            page=not options.lean,
            baseline=Path(options.baseline) if options.baseline else None,
        )
        heavy = options.allow_heavy or not (sut or options.skip_heavy)
        wish = Wish(
            self.catalogue,
            sut,
            tuple(options.mutant),
            heavy,
            options.lean,
            to_the_end=options.to_the_end,
            embedded=self.config.stash.get(EMBEDDED, reference_mta),
        )
        try:
            self.filing.prepare()
            run = self.stack.enter_context(open_run(wish))
            run, facts = begin(run)
        except BAD_INPUT as error:
            raise pytest.UsageError(str(error)) from None
        self.gathering = Gathering.begin(facts)
        if part := self.selection.caveat(self.catalogue):
            self.gathering.caveats.append(part)
        if options.mutant:
            self.gathering.caveats.append(of_a_broken_server(options.mutant))
        self.run = run
        self.scheduler = Scheduler(run, options.jobs or run.profile.server.jobs)
        self.scheduler.start(
            {
                item.nodeid: self.scenarios[item.nodeid].plan_ahead()
                for item in selected
                if self.scenarios[item.nodeid].ahead
            }
        )

    def _end(self, selected: list[pytest.Item], ending: BaseException | None) -> None:
        """Keep all that was decided, and then let go of the server: who is in a hurry loses nothing."""
        try:
            if self.scheduler and self.gathering and self.run and self.filing:
                self._take_the_rest(selected, self.scheduler, self.gathering, ending)
                self.result = self.gathering.finish(self.run)
                self.filing.take(self.result)
        finally:
            try:
                if self.scheduler:
                    self.scheduler.stop()
            finally:
                self.stack.close()

    def _take_the_rest(
        self,
        selected: list[pytest.Item],
        scheduler: Scheduler,
        gathering: Gathering,
        ending: BaseException | None,
    ) -> None:
        """What pytest did not come to: the verdicts that stand by now, and what has none."""
        done = self.told | {case.test for case in gathering.cases}
        left = [self.scenarios[item.nodeid] for item in selected if item.nodeid not in done]
        decided = scheduler.decided() if left else {}
        undecided = []
        for one in left:
            if outcome := decided.get(one.item.nodeid):
                gathering.add(RuleCase(one.rule, one.case, one.item.nodeid, outcome))
            else:
                undecided.append(Planned(one.rule, one.case, one.item.nodeid))
        if undecided:
            gathering.interrupted(why(ending), undecided)

    def _raise(self, outcome: Outcome) -> None:
        if outcome.status in (Status.NOT_TESTABLE, Status.NOT_APPLICABLE):
            pytest.skip(outcome.reason)
        if isinstance(outcome.error, ScenarioEnd):  # its text says it all; where in the harness does not help
            raise outcome.error.with_traceback(_of_the_scenario(outcome.error.__traceback__))
        if outcome.error is not None:
            raise outcome.error

    def _progress(self, done: int, of: int) -> None:
        self._beside_the_dots(f"  {done} of {of} scenarios done")
        now = time.monotonic()
        due = TENTHS * done // of > self.tenths_told or now - max(self.told_at, self.began) >= SILENT
        if self.config.option.progress_to is not None and due:
            self.tenths_told, self.told_at = TENTHS * done // of, now
            gone = now - self.began
            left = f", about {gone / done * (of - done):.0f} s left" if 0 < done < of else ""
            os.write(self.config.option.progress_to, f"  {done} of {of} scenarios done{left}\n".encode())

    def _clear_progress(self) -> None:
        self._beside_the_dots("")

    def _beside_the_dots(self, text: str) -> None:
        """Write behind the cursor and leave it where it is; pytest's own output goes on from there."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and reporter.isatty:
            out = reporter._tw._file
            out.write(f"\0337{text}\033[K\0338")
            out.flush()


OUTCOME = pytest.StashKey[Outcome]()
SUT = pytest.StashKey[Sut]()  # as its profile describes it; what has cases for each thing needs it first
EMBEDDED = pytest.StashKey[Embedded]()  # what is judged without --sut, if not the reference MTA
