"""Proof of the harness: with one check of the reference MTA broken, exactly its own rule must fail."""

import fnmatch
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from harness import settings
from harness.reference_mta.mutations import MUTANTS, Mutant
from harness.results.model import RunResult, Status
from harness.results.store import ResultFileError, load

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
class Verdict:
    """What the scenarios made of one mutant."""

    mutant: Mutant
    killed: bool
    collateral: dict[str, str]  # rule id -> its status; undeclared ones only
    declared: tuple[str, ...] = ()
    failure: str = ""  # why the run itself did not come to an end
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Killed, and nothing else was hit."""
        return self.killed and not self.collateral and not self.failure

    def __str__(self) -> str:
        """One line of the kill matrix."""
        if self.failure:
            return f"BROKEN    {self.mutant.name}: {self.failure}"
        line = f"{'killed  ' if self.killed else 'SURVIVED'}  {self.mutant.name}"
        if self.collateral:
            line += "  COLLATERAL " + ", ".join(
                f"{rule} {status}" for rule, status in self.collateral.items()
            )
        if self.declared:
            line += f"  (declared: {', '.join(self.declared)})"
        return line


def run_matrix(scenarios: Path, patterns: list[str], *, parallel: int, list_only: bool) -> int:
    """Run the chosen mutants and print the kill matrix; returns the exit status."""
    chosen = [mutant for mutant in MUTANTS if any(fnmatch.fnmatchcase(mutant.name, p) for p in patterns)]
    if not chosen:
        known = settings.nearest(patterns[0], [mutant.name for mutant in MUTANTS])
        raise settings.SettingsError("mutants", [f"--only {' '.join(patterns)} chooses none; {known}"])
    if list_only:
        for mutant in chosen:
            print(f"{mutant.name}\n    {mutant.description}")
        print(f"{len(chosen)} mutants of {len({mutant.rule for mutant in chosen})} rules")
        return 0
    return _prove(scenarios, chosen, parallel or 2 * (os.cpu_count() or 1))


def _prove(scenarios: Path, chosen: list[Mutant], parallel: int) -> int:
    began = time.monotonic()
    declarations = [
        pair for file in scenarios.rglob(DECLARED) for pair in settings.read(file, Declarations).pair
    ]
    with tempfile.TemporaryDirectory(prefix="smtp-harness-mutants-") as folder:
        try:
            baseline = _baseline(scenarios, Path(folder))
        except BrokenRunError as error:
            print(f"the unbroken reference MTA could not be tested: {error}")
            return 1
        troubled = [rule for rule in baseline.rules if rule.status is not Status.PASSED]
        if troubled:
            for rule in troubled:
                print(f"{rule.status} {rule.id}: {rule.reason}")
            print("the unbroken reference MTA does not pass every rule, so its mutants prove nothing")
            return 1
        print(
            f"unbroken: {len(baseline.rules)} rules passed; {len(chosen)} mutants, {parallel} at a time",
            flush=True,
        )

        def judge(mutant: Mutant, turn: str) -> Verdict:
            return _judge(scenarios, mutant, baseline, declarations, Path(folder) / turn / mutant.name)

        verdicts: list[Verdict] = []
        with ThreadPoolExecutor(parallel) as pool:
            futures = [pool.submit(judge, mutant, "together") for mutant in chosen]
            for future in as_completed(futures):
                verdicts.append(future.result())
                print(f"[{len(verdicts)}/{len(chosen)}] {verdicts[-1]}", flush=True)
        verdicts = [verdict if verdict.sound else _alone(verdict.mutant, judge) for verdict in verdicts]
    return _summary(verdicts, len(chosen), time.monotonic() - began)


def _baseline(scenarios: Path, folder: Path) -> RunResult:
    """The run of the unbroken server; a machine that was busy for a moment gets another chance."""
    for attempt in range(CHANCES):
        result = _run(scenarios, "", folder / f"baseline-{attempt}")
        if all(rule.status is Status.PASSED for rule in result.rules):
            break
    return result


def _alone(mutant: Mutant, judge: Callable[[Mutant, str], Verdict]) -> Verdict:
    """A mutant that stood out among others is judged by runs of its own, without their load."""
    for attempt in range(CHANCES):
        verdict = judge(mutant, f"alone-{attempt}")
        print(f"[alone] {verdict}", flush=True)
        if verdict.sound:
            break
    return verdict


def _summary(verdicts: list[Verdict], chosen: int, seconds: float) -> int:
    survivors = [verdict for verdict in verdicts if not verdict.killed]
    hits = [verdict for verdict in verdicts if verdict.killed and verdict.collateral]
    rules = {verdict.mutant.rule for verdict in verdicts}
    print(
        f"{chosen - len(survivors)} of {chosen} mutants of {len(rules)} rules killed, "
        f"{len(hits)} with undeclared collateral, in {seconds:.0f} s"
    )
    for verdict in [*survivors, *hits]:
        print(f"  {verdict}\n      {verdict.mutant.description}")
    return 1 if survivors or hits else 0


def _judge(
    scenarios: Path, mutant: Mutant, baseline: RunResult, declarations: list[Declaration], folder: Path
) -> Verdict:
    began = time.monotonic()
    try:
        result = _run(scenarios, mutant.name, folder)
    except (BrokenRunError, subprocess.TimeoutExpired) as error:
        return Verdict(mutant, killed=False, collateral={}, failure=str(error))
    before = {rule.id: rule.status for rule in baseline.rules}
    after = {rule.id: rule.status for rule in result.rules}
    changed = {
        rule: str(after.get(rule, "missing"))
        for rule, status in before.items()
        if after.get(rule) is not status and rule != mutant.rule
    }
    declared = {rule for rule in changed if _is_declared(mutant, rule, declarations)}
    return Verdict(
        mutant,
        killed=after.get(mutant.rule) is Status.FAILED,
        collateral={rule: status for rule, status in changed.items() if rule not in declared},
        declared=tuple(sorted(declared)),
        seconds=time.monotonic() - began,
    )


def _is_declared(mutant: Mutant, rule: str, declarations: list[Declaration]) -> bool:
    return any(
        any(fnmatch.fnmatchcase(mutant.name, pattern) for pattern in pair.mutants)
        and any(fnmatch.fnmatchcase(rule, pattern) for pattern in pair.rules)
        for pair in declarations
    )


def _run(scenarios: Path, mutant: str, folder: Path) -> RunResult:
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pytest", str(scenarios), "-q", "-p", "no:cacheprovider", "--lean"]
    command += ["--reports", str(folder), "--mutant", mutant]
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    with (folder / "output.txt").open("w") as output:
        subprocess.run(  # noqa: S603 - pytest on our own scenarios
            command, stdout=output, stderr=subprocess.STDOUT, timeout=PATIENCE, env=environment, check=False
        )
    try:
        return load(folder / "latest.json")
    except ResultFileError as error:
        said = (folder / "output.txt").read_text("utf-8", "replace")[-600:]
        raise BrokenRunError(f"{error}; the run said: {said}") from error
