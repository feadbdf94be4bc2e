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
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field

from harness import settings
from harness.grants.registry import CAPABILITIES
from harness.grants.strain import HEAVY
from harness.progress import Progress
from harness.reference_mta.mutations import MUTANTS
from harness.results.model import RuleResult, RunResult, Status, aggregate
from harness.results.store import ResultFileError, load, newest
from harness.rules import Catalogue
from harness.wording import counted

PATIENCE = 600.0  # seconds that one run may take
CHANCES = 2  # runs without other load before a mutant counts as survivor or as hitting others
DECLARED = "collateral.toml"


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

    def run(self, defects: Sequence[Defect], folder: Path, *, heavy: bool) -> RunResult:
        """The scenarios against it, broken in these respects, those that strain it if `heavy`.

        Without any, nothing else goes on meanwhile: how far it is, is told on standard error.
        Raises `BrokenRunError` when there is no result.
        """

    def fits(self, defects: Sequence[Defect]) -> bool:
        """Whether one server can have them all."""

    def expects(self, defect: Defect, rule: str) -> bool:
        """Whether it is declared, with a reason, that another rule cannot help but notice."""


@dataclass(frozen=True)
class MutantResult:
    """What the scenarios made of one defect."""

    defect: Defect
    survived: tuple[str, ...]  # rules that did not fail and should have
    collateral: Mapping[str, RuleResult]  # by rule id; undeclared ones only
    declared: tuple[str, ...] = ()
    failure: str = ""  # why the run itself did not come to an end
    seconds: float = 0.0

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
        return [Defect(mutant.name, (mutant.rule,), mutant.description) for mutant in MUTANTS]

    def run(self, defects: Sequence[Defect], folder: Path, *, heavy: bool) -> RunResult:
        """One run with the mutants switched on."""
        options = [f"--smtp-mutant={defect.name}" for defect in defects]
        options += [] if heavy else ["--smtp-skip-heavy"]
        return run_pytest(self.scenarios, folder, options, progress=not defects)

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
    subject: Subject, patterns: list[str], *, parallel: int, together: int = 1, list_only: bool = False
) -> int:
    """Run the chosen defects and print the kill matrix; returns the exit status.

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
    return _prove(subject, chosen, parallel, together)


def _prove(subject: Subject, chosen: list[Defect], parallel: int, together: int) -> int:
    began = time.monotonic()
    print(f"first the unbroken {subject.title}", flush=True)
    with tempfile.TemporaryDirectory(prefix="smtp-harness-mutants-") as folder:
        try:
            baseline = _baseline(subject, chosen, Path(folder))
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

        def judge(defects: Sequence[Defect], turn: str) -> list[MutantResult]:
            strain = any(heavy & {*defect.rules} for defect in defects)
            place = Path(folder) / turn / defects[0].name
            return _judge(subject, defects, baseline, place, catalogue, strain=strain)

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
        verdicts = [verdict if verdict.sound else _alone(verdict.defect, judge) for verdict in verdicts]
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
            or _rests_on(catalogue, one.rules, other.rules)
            or _rests_on(catalogue, other.rules, one.rules)
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


def _baseline(subject: Subject, chosen: list[Defect], folder: Path) -> RunResult:
    """The run of the unbroken server; a machine that was busy for a moment gets another chance."""
    for attempt in range(CHANCES):
        result = subject.run([], folder / f"baseline-{attempt}", heavy=True)
        if not _troubled(result, chosen):
            break
    return result


def _troubled(baseline: RunResult, chosen: list[Defect]) -> list[RuleResult]:
    """Rules that fail or waver on the unbroken server, and those to be broken that do not pass on it."""
    broken = {rule for defect in chosen for rule in defect.rules}
    wavering = (Status.FAILED, Status.INCONCLUSIVE)
    return [
        rule
        for rule in baseline.rules
        if rule.status in wavering or (rule.id in broken and rule.status is not Status.PASSED)
    ]


def _alone(defect: Defect, judge: Callable[[Sequence[Defect], str], list[MutantResult]]) -> MutantResult:
    """A mutant that stood out among others is judged by runs of its own, without their load."""
    for attempt in range(CHANCES):
        (verdict,) = judge([defect], f"alone-{attempt}")
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


def _rests_on(catalogue: Catalogue, rules: Iterable[str], others: Iterable[str]) -> bool:
    """Whether one of some rules rests on one of the others, by whatever detour."""
    known = (catalogue.rules[rule] for rule in rules if rule in catalogue.rules)
    return any({*catalogue.foundations(rule)} & {*others} for rule in known)


def _is_blocked(result: RuleResult, notice: Collection[str], catalogue: Catalogue) -> bool:
    """Whether a rule cannot be told because of those that notice a defect, or of what innocents meet."""
    by = result.blocked_by
    if result.status is not Status.INCONCLUSIVE or not by:
        return False
    return by not in catalogue.rules or by in notice or _rests_on(catalogue, [by], notice)


def _differ(before: RuleResult, after: RuleResult) -> bool:
    """Whether a rule came to something else by those cases that the second run did not spare."""
    spared = {case.test for case in after.cases if case.lacks == HEAVY.name}
    one, other = (
        aggregate(case for case in rule.cases if case.test not in spared) for rule in (before, after)
    )
    return one is not other


def _judge(
    subject: Subject,
    defects: Sequence[Defect],
    baseline: RunResult,
    folder: Path,
    catalogue: Catalogue,
    *,
    strain: bool,
) -> list[MutantResult]:
    """One run; cases that strain a server are spared unless one of the mutants is about them.

    A rule that is blocked by what is broken has noticed nothing of its own.
    """
    began = time.monotonic()
    try:
        result = subject.run(defects, folder, heavy=strain)
    except (BrokenRunError, subprocess.TimeoutExpired) as error:
        return [MutantResult(defect, defect.rules, collateral={}, failure=str(error)) for defect in defects]
    after = {rule.id: rule for rule in result.rules}
    if missing := [rule.id for rule in baseline.rules if rule.id not in after]:
        said = f"the run says nothing of {', '.join(missing)}"
        return [MutantResult(defect, defect.rules, collateral={}, failure=said) for defect in defects]
    broken = {rule for defect in defects for rule in defect.rules}
    changed = {
        rule.id: after[rule.id]
        for rule in baseline.rules
        if rule.id not in broken and _differ(rule, after[rule.id])
    }
    declared = {defect: {rule for rule in changed if subject.expects(defect, rule)} for defect in defects}
    notice = broken.union(*declared.values())
    accounted = {rule for rule, found in changed.items() if _is_blocked(found, notice, catalogue)} | notice
    return [
        MutantResult(
            defect,
            survived=tuple(rule for rule in defect.rules if after[rule].status is not Status.FAILED),
            collateral={name: rule for name, rule in changed.items() if name not in accounted},
            declared=tuple(
                sorted(name for name in declared[defect] if changed[name].status is Status.FAILED)
            ),
            seconds=time.monotonic() - began,
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
