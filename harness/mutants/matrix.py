"""The kill matrix: each defect by itself or a few together, and what is not as expected once more alone."""

import fnmatch
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import settings
from harness.grants.registry import CAPABILITIES
from harness.mutants.judgement import Judging, MutantResult
from harness.mutants.selection import Selection
from harness.mutants.subject import Defect, Subject
from harness.progress import Progress
from harness.pytest_runs.commanded import BrokenRunError
from harness.results.model import RuleResult, RunResult, Status
from harness.rules import Catalogue
from harness.wording import counted

CHANCES = 2  # runs without other load before a mutant counts as survivor or as hitting others


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

    Raises `SettingsError` for a pattern that chooses none.

    Each defect meets the scenarios that come to what it replaces, or with `whole` all of them. What is not as
    expected is run by itself, and then with all of them.

    `together` are put into one server at a time: quicker, and not the whole proof, since a defect that no
    scenario sees could hide behind another that hits its rule. Whatever is not as expected is run alone.
    """
    known = subject.defects
    if problems := settings.misfits(patterns, [one.name for one in known], "mutant"):
        raise settings.SettingsError("mutants", [f"--only {problem}" for problem in problems])
    chosen = [one for one in known if any(fnmatch.fnmatchcase(one.name, pattern) for pattern in patterns)]
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
        passed = sum(rule.status is Status.PASSED for rule in baseline.rules)
        print(
            f"unbroken: {counted(passed, 'rule')} passed; {counted(len(chosen), 'mutant')}, "
            f"{counted(parallel, 'run')} at a time",
            flush=True,
        )
        catalogue = Catalogue.below(subject.scenarios, CAPABILITIES.names)
        judging = Judging(subject, catalogue, Selection.of(baseline, reach))
        if reach is not None:
            print(judging.selection.told(chosen), flush=True)
        verdicts = _side_by_side(judging, chosen, Path(folder), parallel, together)
        by_all = replace(judging, selection=Selection.of(baseline, None))
        verdicts = [one if one.sound else _alone(one, by_all, Path(folder)) for one in verdicts]
    return _summary(verdicts, time.monotonic() - began)


def _side_by_side(
    judging: Judging, chosen: Sequence[Defect], folder: Path, parallel: int, together: int
) -> list[MutantResult]:
    """Each defect once; those that were together in a server and are not as expected, by themselves too."""
    verdicts: list[MutantResult] = []
    left, progress = [*chosen], Progress("mutants judged")
    for size in dict.fromkeys((together, 1)):
        groups = _groups(judging, left, size)
        orders = [judging.order(group, folder / f"by-{size}" / group[0].name) for group in groups]
        left = []
        for found in judging.results(orders, parallel):
            for verdict in found:
                if size > 1 and not verdict.sound:
                    left.append(verdict.defect)
                    progress.say(f"[by itself, later] {verdict}")
                    continue
                verdicts.append(verdict)
                progress.say(f"[{len(verdicts)}/{len(chosen)}] {verdict}")
                progress.tell(len(verdicts), len(chosen))
    progress.clear()
    return verdicts


def _groups(judging: Judging, chosen: Sequence[Defect], size: int) -> list[list[Defect]]:
    """The defects in groups that do not get in each other's way.

    They are of other rules, none of which rests on another one of them or notices another's defect.
    """

    subject, catalogue, heavy = judging.subject, judging.catalogue, judging.straining

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
        result = subject.sound(place)
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


def _alone(found: MutantResult, judging: Judging, folder: Path) -> MutantResult:
    """A mutant that stood out among others is judged by runs of its own, without their load."""
    for attempt in range(CHANCES):
        order = judging.order([found.defect], folder / f"alone-{attempt}" / found.defect.name)
        ((verdict,),) = judging.results([order], 1)
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
