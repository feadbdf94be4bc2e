"""Runs a suite set by set, the cases of a set side by side, and makes a result of it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

from harness import suites
from harness.outcome import Outcome, Stage
from harness.profile.tables import Claims, RouteName
from harness.results.model import Case as CaseResult
from harness.results.model import RuleResult, RunResult, ServerFacts
from harness.rules import Capability, Catalogue, Level, Rule
from harness.runs.course import run_scenario
from harness.runs.result_builder import ResultBuilder, RuleCase
from harness.runs.run import Run
from harness.runs.trial import Plan
from harness.smtp.routes import ProxyV1, ProxyV2, Route, XClient
from harness.spf_suite.play import SpfDialogue
from harness.spf_suite.suite import Case, Suite
from harness.spf_suite.zones import published
from harness.world.internet import Internet

ROUTES: Mapping[RouteName, Callable[[Internet], Route]] = {
    RouteName.PROXY_V1: lambda _: ProxyV1(),
    RouteName.PROXY_V2: lambda _: ProxyV2(),
    RouteName.XCLIENT: lambda internet: XClient(internet.host_at),
}
NOTE = (
    "The cases name addresses of strangers: they stood only in what the server was told of its clients by "
    "{route}, and in DNS answers; nothing was sent there."
)
Progress = Callable[[int, int], None]  # how many cases are done, of how many


class UnfitProfileError(Exception):
    """A profile with which the suite cannot be run; the text says why and how to mend it."""


def subject(run: Run, suite: Suite) -> Run:
    """The run as the suite needs it: its cases as rules, and the server that checks SPF.

    Raises `UnfitProfileError`.
    """
    profile = run.profile
    if profile.spf is None:
        raise UnfitProfileError(
            'there is no [spf]; write mode = "mark" or "reject" where the server checks it'
        )
    name = profile.spf.route or profile.clients.route
    if name not in ROUTES:
        raise UnfitProfileError(
            f"{'spf' if profile.spf.route else 'clients'}.route is {name}, and the cases come from addresses "
            "that nobody has here: the server can only be told of them; set spf.route to "
            f"{', '.join(ROUTES)}"
        )
    if reason := profile.lacks(Capability.DNS):
        raise UnfitProfileError(reason)
    if run.tools.mailbox is None:
        raise UnfitProfileError("there is no [mailbox], and most results stand in delivered messages")
    address, port = profile.spf.server or (profile.server.address, profile.server.port)
    server = profile.server.model_copy(update={"address": address, "port": port})
    clients = profile.clients.model_copy(update={"route": name})
    rules = [rule_of(case, suite) for case in suite.cases]
    return replace(
        run,
        profile=profile.model_copy(update={"server": server, "clients": clients, "rules": Claims()}),
        catalogue=Catalogue(
            {rule.id: rule for rule in rules}, {suite.name: suites.Suite(suite.name, suite.name)}
        ),
        route=ROUTES[name](run.internet),
    )


def rule_of(case: Case, suite: Suite) -> Rule:
    """A case as a rule of its own."""
    return Rule(
        id=f"spf-suite.{case.name}",
        suite=suite.name,
        stage=Stage.MAIL,
        level=Level.OPTIONAL,
        source=case.sections,
        statement=case.statement,
        expect=(Outcome.parse("pass at data"),),
        needs=frozenset(),
    )


def play(run: Run, facts: ServerFacts, suite: Suite, progress: Progress) -> RunResult:
    """Every case of the suite, whose zone data was rehearsed."""
    result_builder = ResultBuilder.begin(facts)
    done, total = 0, len(suite.cases)
    for number, cases in enumerate(suite.sets, 1):
        where = f"set {number}: {cases.title or 'untitled'}"
        with published(run.internet.dns, cases), _pool(run, len(cases.cases)) as pool:
            under_way = {}
            for case in cases.cases:
                plan = Plan(rule_of(case, suite), frozenset(), SpfDialogue(case, cases), has_twin=False)
                under_way[pool.submit(run_scenario, run, plan)] = (case, plan)
            for future in as_completed(under_way):
                case, plan = under_way[future]
                result_builder.add(RuleCase(plan.rule, where, f"{suite.name}::{case.name}", future.result()))
                done += 1
                progress(done, total)
    return _worded(result_builder.finish(run), suite)


@contextlib.contextmanager
def _pool(run: Run, cases: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for the cases of a set; when the run is broken off, they are not waited for to the end."""
    pool = ThreadPoolExecutor(min(cases, run.profile.server.jobs), thread_name_prefix="case")
    try:
        yield pool
    except BaseException:
        run.break_off()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _worded(result: RunResult, suite: Suite) -> RunResult:
    """The result with what each case expects in the suite's own words."""
    expected = {f"spf-suite.{case.name}": _expectation(case) for case in suite.cases}
    rules = tuple(_rule(rule, expected[rule.id]) for rule in result.rules)
    return replace(result, rules=rules, notes=(*result.notes, NOTE.format(route=result.route)))


def _rule(rule: RuleResult, expected: str) -> RuleResult:
    cases: tuple[CaseResult, ...] = tuple(replace(case, expected=expected) for case in rule.cases)
    return replace(rule, expectation=expected, cases=cases)


def _expectation(case: Case) -> str:
    words = " or ".join(case.results)
    if case.explanation is None:
        return words
    return f"{words}, explained as {case.explanation!r}"
