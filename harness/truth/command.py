"""What `smtp-harness truth` does: the proof with its progress and its table, and one server again."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.progress import Progress
from harness.reference_mta.defects import UnknownMutantError, find
from harness.results.model import Status
from harness.truth.dimensions import DIMENSIONS, covering, told
from harness.truth.pool import Order, prepared
from harness.truth.proof import Case, Mistake, Proof, Tally, cases
from harness.truth.shrink import differences, reduced_to
from harness.truth.trial import Bench
from harness.wording import counted


@dataclass(frozen=True)
class Wish:
    """What is to be proved, and how."""

    seed: int
    servers: int
    broken: int
    parallel: int
    shrink: int = 0  # so many mistakes at most
    kept: Path | None = None
    first: int = 0  # the number of the first server of each sort


def prove(bench: Bench, wish: Wish) -> int:
    """Try the servers, tell what is wrong, and print the table; returns the exit status.

    When it is interrupted, or asked to end, the table is about those that were tried. Raises `ValueError`
    where there is none to try.
    """
    began = time.monotonic()
    chosen = cases(bench, wish.seed, wish.servers, wish.broken, wish.first)
    if not chosen:
        raise ValueError(
            f"--servers {wish.servers} and --broken {wish.broken} make no server to try; ask for more of "
            "either, or about other --rules"
        )
    progress = Progress("servers")
    proof = Proof(prepared(bench, wish.parallel, wish.kept), progress.say)

    def tell(done: int, of: int, mistakes: int) -> None:
        progress.tell(done, of, f", {mistakes} with a wrong verdict")

    try:
        proof.run(chosen, tell)
        mistakes = [*proof.sound.mistakes, *proof.broken.mistakes]
        for mistake in _different(mistakes)[: wish.shrink]:
            progress.say(f"the smallest server that shows {mistake.wrong[0].kind}, {mistake.wrong[0].rule}:")
            small = proof.smallest(mistake)
            names = ",".join(differences(small))
            progress.say(
                f"    {told(small)}\n    smtp-harness truth --replay {mistake.case} --reduced-to '{names}'"
            )
    finally:
        print("\n".join(_table(proof, wish, time.monotonic() - began)))
    return 1 if mistakes else 0


def replay(bench: Bench, text: str, reduced: list[str] | None, kept: Path) -> int:
    """One server again, with a report; returns the exit status. Raises `ValueError`."""
    case = Case.parse(text)
    try:
        broken = (find(case.mutant).name,) if case.mutant else ()
    except UnknownMutantError as error:
        raise ValueError(str(error)) from None
    drawn = case.drawn
    if reduced is not None:
        names = [name for name in reduced if name]
        if unknown := [name for name in names if name not in DIMENSIONS]:
            raise ValueError(
                f"--reduced-to: {unknown[0]!r} is no dimension; there are {', '.join(DIMENSIONS)}"
            )
        drawn = reduced_to(drawn, names)
    print(f"{case}: {told(drawn)}", flush=True)
    proof = Proof(prepared(bench, 1, kept))
    ((_, trial),) = proof.pool.trials(deque([Order(case, drawn, broken)]))
    wrong = proof.wrong(broken, trial)
    for one in wrong:
        print(f"WRONG {one}")
    if trial.result:
        for status in Status:
            rules = [rule.id for rule in trial.result.rules if rule.status is status]
            print(f"{len(rules):4} {status.words}" + (f": {', '.join(rules)}" if rules else ""))
    print(f"its configuration, its profile and the report: {kept}, the newest folder")
    return 1 if wrong else 0


def _different(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """One of each sort, of the same kind about the same rule."""
    return list({mistake.wrong[0].same: mistake for mistake in mistakes}.values())


def _table(proof: Proof, wish: Wish, seconds: float) -> Iterator[str]:
    sound, broken = proof.sound, proof.broken
    yield f"{'':42}{'sound':>10}{'broken':>10}"

    def row(words: str, one: object, other: object) -> str:
        return f"{words:42}{one!s:>10}{other!s:>10}"

    yield row("servers", sound.servers, broken.servers)
    for status in Status:
        yield row(f"rules {status.words}", sound.statuses[status], broken.statuses[status])
    for cause in sorted({*sound.causes, *broken.causes}):
        yield row(f"  inconclusive: {cause}", sound.causes[cause], broken.causes[cause])
    yield row("servers with a wrong verdict", len(sound.mistakes), len(broken.mistakes))
    kinds = _kinds(sound), _kinds(broken)
    for kind in sorted({*kinds[0], *kinds[1]}):
        yield row(f"  {kind}", kinds[0][kind], kinds[1][kind])
    for kind in sorted({*sound.passing, *broken.passing}):
        yield row(f"  not each time: {kind}", sound.passing[kind], broken.passing[kind])
    if proof.doubtful:
        yield f"{counted(proof.doubtful, 'server')} to be tried again and not counted yet"
    covers, tried = len(covering(wish.seed)), wish.first + max(sound.servers, broken.servers)
    rules = {name.rpartition(":")[0] for name in broken.mutants}
    needed = counted(covers, "server")
    whose = f"those before number {wish.first} elsewhere, " if wish.first else ""
    yield f"seed {wish.seed}: every pair of values occurs in {needed}; tried {whose}{min(covers, tried)}"
    yield f"{counted(len(broken.mutants), 'defect')} of {counted(len(rules), 'rule')}"
    cpu = (sound.cpu + broken.cpu) / max(1, sound.servers + broken.servers)
    yield f"{seconds:.0f} s, {counted(wish.parallel, 'trial')} at a time, {cpu:.1f} s of CPU for each server"


def _kinds(tally: Tally) -> Counter[str]:
    return Counter(str(one.kind) for mistake in tally.mistakes for one in mistake.wrong)
