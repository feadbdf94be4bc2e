"""Proof of the harness: with one thing about a server broken, exactly the rule that it breaks must fail."""

import contextlib
import fnmatch
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pydantic import Field

from harness import settings
from harness.grants.registry import CAPABILITIES
from harness.grants.strain import HEAVY
from harness.progress import Progress
from harness.reference_mta.defects import MUTANTS
from harness.results.model import RuleResult, RunResult, Status, aggregate
from harness.results.store import ResultFileError, load, newest
from harness.rules import Catalogue
from harness.runs.reach import Reach, ReachFileError
from harness.wording import counted

PATIENCE = 600.0  # seconds that one run may take
CHANCES = 2  # runs without other load before a mutant counts as survivor or as hitting others
DECLARED = "collateral.toml"
REACHED = "reached.json"  # in the folder of a sound run


class Declaration(settings.Settings):
    """A mutant that other rules cannot help but notice, and why."""

    mutants: tuple[str, ...] = Field(min_length=1)  # patterns of mutant names
    rules: tuple[str, ...] = Field(min_length=1)  # patterns of rule ids
    reason: str = Field(min_length=1)


class Declarations(settings.Settings):
    """The content of `collateral.toml`."""

    pair: tuple[Declaration, ...] = ()


class BrokenRunError(Exception):
    """A run that left no result; the text has what it said."""


@dataclass(frozen=True)
class Defect:
    """One way to break a server: the rules that must fail by it."""

    name: str
    rules: tuple[str, ...]
    about: str
    parts: tuple[str, ...] = ()  # of the server that it replaces, as `Reach` knows them; empty: unknown


class Subject(Protocol):
    """A server that can be broken on purpose."""

    @property
    def title(self) -> str:
        """As the matrix calls it."""

    @property
    def scenarios(self) -> Path:
        """Where the scenarios lie."""

    @property
    def defects(self) -> Sequence[Defect]:
        """All ways to break it."""

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """The scenarios against it, broken in these respects, those that strain it if `heavy`.

        `only` are the pytest ids of those that are played; None for all. Without any defects nothing else
        goes on meanwhile: how far it is, is told on standard error. Raises `BrokenRunError` when there is no
        result.
        """

    def reach(self, folder: Path) -> Reach | None:
        """Which scenarios came to which of its parts in the sound run of that folder, if that was noted.

        Raises `BrokenRunError`.
        """

    def fits(self, defects: Sequence[Defect]) -> bool:
        """Whether one server can have them all."""

    def expects(self, defect: Defect, rule: str) -> bool:
        """Whether it is declared, with a reason, that another rule cannot help but notice."""


@dataclass(frozen=True)
class Selection:
    """Which scenarios a defect can change: those that come to what it replaces, as the sound run had it."""

    before: Mapping[str, RuleResult]  # the rules of the sound run
    reach: Reach | None  # None: each defect meets all scenarios

    @classmethod
    def of(cls, baseline: RunResult, reach: Reach | None) -> "Selection":
        """By what the sound run came to, and came to on the way."""
        return cls({rule.id: rule for rule in baseline.rules}, reach)

    def of_all(self, defects: Iterable[Defect]) -> frozenset[str] | None:
        """The pytest ids of the scenarios that some of the defects can change; None for all."""
        found: frozenset[str] = frozenset()
        for defect in defects:
            tests = self.reach.of(defect.parts) if self.reach else None
            if tests is None:
                return None
            found |= tests
        return found

    def comes_to(self, defect: Defect) -> bool:
        """Whether a scenario of its rules comes to what the defect replaces."""
        tests = self.of_all([defect])
        own = {case.test for rule in defect.rules if rule in self.before for case in self.before[rule].cases}
        return tests is None or bool(own & tests)

    def expected(self, only: Collection[str] | None) -> dict[str, RuleResult]:
        """The rules of which a run of some scenarios says something, with those of their cases."""
        if only is None:
            return {**self.before}
        parts = {
            name: tuple(case for case in rule.cases if case.test in only)
            for name, rule in self.before.items()
        }
        return {name: replace(self.before[name], cases=cases) for name, cases in parts.items() if cases}

    def told(self, chosen: Sequence[Defect]) -> str:
        """How much of the scenarios is played, in a sentence."""
        every = {case.test for rule in self.before.values() for case in rule.cases}
        each = [self.of_all([defect]) for defect in chosen]
        numbers = [len(every if tests is None else tests) for tests in each]
        whole = sum(tests is None for tests in each)
        return (
            f"of {counted(len(every), 'scenario')} a mutant can change {sum(numbers) / len(numbers):.0f} on "
            f"average; {counted(whole, 'mutant')} may change any"
        )


@dataclass(frozen=True)
class MutantResult:
    """What the scenarios made of one defect."""

    defect: Defect
    survived: tuple[str, ...]  # rules that did not fail and should have
    collateral: Mapping[str, RuleResult]  # by rule id; undeclared ones only
    declared: tuple[str, ...] = ()
    failure: str = ""  # why the run itself did not come to an end
    seconds: float = 0.0
    unreached: bool = False  # whether no scenario of its rules comes to what it replaces

    @property
    def killed(self) -> bool:
        """Whether every rule that it breaks has failed."""
        return not self.survived and not self.failure

    @property
    def sound(self) -> bool:
        """Killed, and nothing else was hit."""
        return self.killed and not self.collateral

    def __str__(self) -> str:
        """One line of the kill matrix."""
        if self.failure:
            return f"BROKEN    {self.defect.name}: {self.failure}"
        line = f"{'killed  ' if self.killed else 'SURVIVED'}  {self.defect.name}"
        if self.survived and self.unreached:
            line += "  (never reached: no scenario of its rules comes to the part that it replaces)"
        if self.collateral:
            line += "  COLLATERAL " + ", ".join(
                f"{rule} {result.status}" for rule, result in self.collateral.items()
            )
        if self.declared:
            line += f"  (declared: {', '.join(self.declared)})"
        return line


@dataclass(frozen=True)
class ReferenceMta:
    """The embedded reference MTA, whose mutants it knows itself."""

    scenarios: Path
    title: str = "reference MTA"

    @property
    def defects(self) -> list[Defect]:
        """Each mutant breaks one rule."""
        return [Defect(mutant.name, (mutant.rule,), mutant.description, mutant.parts) for mutant in MUTANTS]

    def run(
        self, defects: Sequence[Defect], folder: Path, *, heavy: bool, only: Collection[str] | None = None
    ) -> RunResult:
        """One run with the mutants switched on; a sound one notes what is reached."""
        folder.mkdir(parents=True, exist_ok=True)
        options = [f"--smtp-mutant={defect.name}" for defect in defects]
        options += [] if heavy else ["--smtp-skip-heavy"]
        options += [] if defects else [f"--smtp-reached-to={folder / REACHED}"]
        if only is not None:
            chosen = folder / "only.txt"
            chosen.write_text("".join(f"{test}\n" for test in sorted(only)), "utf-8")
            options.append(f"--smtp-only={chosen}")
        return run_pytest(self.scenarios, folder, options, progress=not defects)

    def reach(self, folder: Path) -> Reach | None:
        """As the sound run noted it."""
        try:
            return Reach.read(folder / REACHED)
        except ReachFileError as error:
            raise BrokenRunError(str(error)) from error

    def fits(self, defects: Sequence[Defect]) -> bool:
        """Each is a switch of its own."""
        return True

    def expects(self, defect: Defect, rule: str) -> bool:
        """By the pairs in every `collateral.toml` beside the scenarios."""
        return any(
            any(fnmatch.fnmatchcase(defect.name, pattern) for pattern in pair.mutants)
            and any(fnmatch.fnmatchcase(rule, pattern) for pattern in pair.rules)
            for pair in self._declarations
        )

    @functools.cached_property
    def _declarations(self) -> list[Declaration]:
        files = self.scenarios.rglob(DECLARED)
        return [pair for file in files for pair in settings.read(file, Declarations).pair]


def run_matrix(
    subject: Subject,
    patterns: list[str],
    *,
    parallel: int,
    together: int = 1,
    whole: bool = False,
    list_only: bool = False,
) -> int:
    """Run the chosen defects and print the kill matrix; returns the exit status.

    Each defect meets the scenarios that come to what it replaces, or with `whole` all of them. What is not as
    expected is run by itself, and then with all of them.

    `together` are put into one server at a time: quicker, and not the whole proof, since a defect that no
    scenario sees could hide behind another that hits its rule. Whatever is not as expected is run alone.
    """
    known = subject.defects
    chosen = [one for one in known if any(fnmatch.fnmatchcase(one.name, pattern) for pattern in patterns)]
    if not chosen:
        mend = settings.nearest(patterns[0], [one.name for one in known])
        raise settings.SettingsError("mutants", [f"--only {' '.join(patterns)} chooses none; {mend}"])
    if list_only:
        for one in chosen:
            print(f"{one.name}\n    {one.about}")
        print(f"{counted(len(chosen), 'mutant')} of {_count_rules(chosen)}")
        return 0
    return _prove(subject, chosen, parallel, together, whole=whole)


def _prove(subject: Subject, chosen: list[Defect], parallel: int, together: int, *, whole: bool) -> int:
    began = time.monotonic()
    print(f"first the unbroken {subject.title}", flush=True)
    with tempfile.TemporaryDirectory(prefix="smtp-harness-mutants-") as folder:
        try:
            baseline, place = _baseline(subject, chosen, Path(folder))
            reach = None if whole else subject.reach(place)
        except BrokenRunError as error:
            print(f"the unbroken {subject.title} could not be tested: {error}")
            return 1
        if troubled := _troubled(baseline, chosen):
            for rule in troubled:
                print(f"{rule.status} {rule.id}: {rule.reason}")
            print(f"the unbroken {subject.title} does not pass these rules, so its mutants prove nothing")
            return 1
        catalogue = Catalogue.below(subject.scenarios, CAPABILITIES.names)
        heavy = frozenset(rule.id for rule in catalogue if HEAVY.name in rule.needs)
        passed = sum(rule.status is Status.PASSED for rule in baseline.rules)
        print(
            f"unbroken: {counted(passed, 'rule')} passed; {counted(len(chosen), 'mutant')}, "
            f"{counted(parallel, 'run')} at a time",
            flush=True,
        )
        selection = Selection.of(baseline, reach)
        if reach is not None:
            print(selection.told(chosen), flush=True)

        def judge(
            defects: Sequence[Defect], turn: str, selection: Selection = selection
        ) -> list[MutantResult]:
            strain = any(heavy & {*defect.rules} for defect in defects)
            place = Path(folder) / turn / defects[0].name
            return _judge(subject, defects, selection, place, catalogue, strain=strain)

        def judge_whole(defects: Sequence[Defect], turn: str) -> list[MutantResult]:
            return judge(defects, turn, Selection.of(baseline, None))

        verdicts: list[MutantResult] = []
        left, progress = chosen, Progress("mutants judged")
        for size in dict.fromkeys((together, 1)):
            with _workers(parallel) as pool:
                groups = _groups(subject, left, size, heavy, catalogue)
                futures = [pool.submit(judge, group, f"by-{size}") for group in groups]
                left = []
                for future in as_completed(futures):
                    for verdict in future.result():
                        if size > 1 and not verdict.sound:
                            left.append(verdict.defect)
                            progress.say(f"[by itself, later] {verdict}")
                            continue
                        verdicts.append(verdict)
                        progress.say(f"[{len(verdicts)}/{len(chosen)}] {verdict}")
                        progress.tell(len(verdicts), len(chosen))
        progress.clear()
        verdicts = [verdict if verdict.sound else _alone(verdict, judge_whole) for verdict in verdicts]
    return _summary(verdicts, time.monotonic() - began)


@contextlib.contextmanager
def _workers(parallel: int) -> Iterator[ThreadPoolExecutor]:
    """When we are stopped, only the runs under way are waited for; those behind them never begin."""
    with ThreadPoolExecutor(parallel) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _groups(
    subject: Subject, chosen: Sequence[Defect], size: int, heavy: frozenset[str], catalogue: Catalogue
) -> list[list[Defect]]:
    """The defects in groups that do not get in each other's way.

    They are of other rules, none of which rests on another one of them or notices another's defect.
    """

    def apart(one: Defect, other: Defect) -> bool:
        return not (
            {*one.rules} & {*other.rules}
            or catalogue.rest_on(one.rules, other.rules)
            or catalogue.rest_on(other.rules, one.rules)
            or any(subject.expects(one, rule) for rule in other.rules)
            or any(subject.expects(other, rule) for rule in one.rules)
        )

    groups: list[list[Defect]] = []
    for defect in chosen:
        strains = bool(heavy & {*defect.rules})
        room = (
            group
            for group in groups
            if len(group) < size
            and not strains
            and all(apart(defect, member) for member in group)
            and subject.fits([*group, defect])
        )
        found = next(room, None)
        if found is None:
            groups.append([defect])
        else:
            found.append(defect)
    return groups


def _baseline(subject: Subject, chosen: list[Defect], folder: Path) -> tuple[RunResult, Path]:
    """The run of the unbroken server, and its folder; a machine that was busy gets another chance."""
    for attempt in range(CHANCES):
        place = folder / f"baseline-{attempt}"
        result = subject.run([], place, heavy=True)
        if not _troubled(result, chosen):
            break
    return result, place


def _troubled(baseline: RunResult, chosen: list[Defect]) -> list[RuleResult]:
    """Rules that fail or waver on the unbroken server, and those to be broken that do not pass on it."""
    broken = {rule for defect in chosen for rule in defect.rules}
    wavering = (Status.FAILED, Status.INCONCLUSIVE)
    return [
        rule
        for rule in baseline.rules
        if rule.status in wavering or (rule.id in broken and rule.status is not Status.PASSED)
    ]


def _alone(found: MutantResult, judge: Callable[[Sequence[Defect], str], list[MutantResult]]) -> MutantResult:
    """A mutant that stood out among others is judged by runs of its own, without their load."""
    for attempt in range(CHANCES):
        (verdict,) = judge([found.defect], f"alone-{attempt}")
        verdict = replace(verdict, unreached=found.unreached)
        print(f"[alone] {verdict}", flush=True)
        if verdict.sound:
            break
    return verdict


def _summary(verdicts: list[MutantResult], seconds: float) -> int:
    survivors = [verdict for verdict in verdicts if not verdict.killed]
    hits = [verdict for verdict in verdicts if verdict.killed and verdict.collateral]
    print(
        f"{len(verdicts) - len(survivors)} of {counted(len(verdicts), 'mutant')} of "
        f"{_count_rules([verdict.defect for verdict in verdicts])} killed, "
        f"{len(hits)} with undeclared collateral, in {seconds:.0f} s"
    )
    for verdict in [*survivors, *hits]:
        print(f"  {verdict}\n      {verdict.defect.about}")
        for rule, result in verdict.collateral.items():
            print(f"      {rule}: {result.reason}")
    return 1 if survivors or hits else 0


def _count_rules(defects: list[Defect]) -> str:
    return counted(len({rule for defect in defects for rule in defect.rules}), "rule")


def _is_blocked(result: RuleResult, notice: Collection[str], catalogue: Catalogue) -> bool:
    """Whether a rule cannot be told because of those that notice a defect, or of what innocents meet."""
    by = result.blocked_by
    if result.status is not Status.INCONCLUSIVE or not by:
        return False
    return by not in catalogue.rules or by in notice or catalogue.rest_on([by], notice)


def _differ(before: RuleResult, after: RuleResult) -> bool:
    """Whether a rule came to something else by those cases that the second run did not spare.

    Of both only those are given that the second run was to play.
    """
    spared = {case.test for case in after.cases if case.lacks == HEAVY.name}
    one, other = (
        aggregate(case for case in rule.cases if case.test not in spared) for rule in (before, after)
    )
    return one is not other


def _judge(
    subject: Subject,
    defects: Sequence[Defect],
    selection: Selection,
    folder: Path,
    catalogue: Catalogue,
    *,
    strain: bool,
) -> list[MutantResult]:
    """One run; cases that strain a server are spared unless one of the mutants is about them.

    A rule that is blocked by what is broken has noticed nothing of its own.
    """
    began = time.monotonic()
    unreached = {defect for defect in defects if not selection.comes_to(defect)}
    only = selection.of_all(defects)
    if only is not None and not only:
        return [MutantResult(defect, defect.rules, collateral={}, unreached=True) for defect in defects]
    before = selection.expected(only)
    try:
        result = subject.run(defects, folder, heavy=strain, only=only)
    except (BrokenRunError, subprocess.TimeoutExpired) as error:
        return [MutantResult(defect, defect.rules, collateral={}, failure=str(error)) for defect in defects]
    after = {rule.id: rule for rule in result.rules}
    if missing := [rule for rule in before if rule not in after]:
        said = f"the run says nothing of {', '.join(missing)}"
        return [MutantResult(defect, defect.rules, collateral={}, failure=said) for defect in defects]
    broken = {rule for defect in defects for rule in defect.rules}
    changed = {
        name: after[name]
        for name, rule in before.items()
        if name not in broken and _differ(rule, after[name])
    }
    declared = {defect: {rule for rule in changed if subject.expects(defect, rule)} for defect in defects}
    notice = broken.union(*declared.values())
    accounted = {rule for rule, found in changed.items() if _is_blocked(found, notice, catalogue)} | notice
    return [
        MutantResult(
            defect,
            survived=tuple(
                rule for rule in defect.rules if rule not in before or after[rule].status is not Status.FAILED
            ),
            collateral={name: rule for name, rule in changed.items() if name not in accounted},
            declared=tuple(
                sorted(name for name in declared[defect] if changed[name].status is Status.FAILED)
            ),
            seconds=time.monotonic() - began,
            unreached=defect in unreached,
        )
        for defect in defects
    ]


def run_pytest(
    scenarios: Path,
    folder: Path,
    options: Sequence[str],
    before: Sequence[str] = (),
    *,
    patience: float = PATIENCE,
    progress: bool = False,
) -> RunResult:
    """One run of the scenarios, verdicts only; raises `BrokenRunError` when it leaves no result.

    `before` are words that go before the command. It may take `patience` seconds. With `progress` our
    standard error tells how far it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *before,
        sys.executable,
        "-m",
        "pytest",
        str(scenarios),
        "-q",
        "-p",
        "no:cacheprovider",
        "--smtp-lean",
        "--tb=line",
    ]
    command += [f"--smtp-reports={folder}", *options]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    with (folder / "output.txt").open("w") as output, os.fdopen(os.dup(2), "w") as told:
        passed = [told.fileno()] if progress else []
        command += [f"--smtp-progress-to={number}" for number in passed]
        try:
            subprocess.run(  # noqa: S603 - pytest on our own scenarios
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=patience,
                env=environment,
                check=False,
                pass_fds=passed,
            )
        except subprocess.TimeoutExpired:
            raise BrokenRunError(f"the run was not over after {patience:.0f} s") from None
    try:
        return load(newest(folder))
    except ResultFileError as error:
        said = (folder / "output.txt").read_text("utf-8", "replace")[-600:]
        raise BrokenRunError(f"{error}; the run said: {said}") from error
