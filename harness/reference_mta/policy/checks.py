"""How policy is written down: a question sorts a case under one rule, and the rule says what is done."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.reference_mta import reached

if TYPE_CHECKING:
    from harness.reference_mta.policy.transaction import Transaction

Words = str | Callable[["Transaction"], str]


@dataclass(frozen=True)
class Treatment:
    """What is done with a client; without a code nothing is held against it."""

    code: int = 0
    words: Words = ""
    status: str = "7.1"  # enhanced status without its class, which the code gives (RFC 3463)
    delay: float = 0.0  # share of the configured delay by which the reply is held back
    drop: bool = False
    mark: Words = ""  # what a header field of the accepted message is to say

    @property
    def refuses(self) -> bool:
        """Whether the command is not accepted."""
        return self.code >= 400

    def temporary(self) -> "Treatment":
        """The same refusal, for the moment only."""
        return replace(self, code=450)


PASS = Treatment()
DELAY = Treatment(delay=1.0)


def deny(
    words: Words, *, code: int = 550, status: str = "7.1", late: bool = False, drop: bool = False
) -> Treatment:
    """A permanent refusal."""
    return Treatment(code, words, status, delay=1.0 if late else 0.0, drop=drop)


def defer(words: Words, *, status: str = "7.1") -> Treatment:
    """Not now: 451."""
    return Treatment(451, words, status)


@dataclass(frozen=True)
class Answer:
    """What a question comes to: the documented rule that decides, empty for none, and its treatment."""

    rule: str
    treatment: Treatment


NO_CASE = Answer("", PASS)
Classify = Callable[["Transaction"], Awaitable[str | None]]


@dataclass(frozen=True)
class Check:
    """One rule's answer to the cases that are sorted under it, and the answer while it is switched off.

    Off, an offence goes unpunished and a promise is not kept; no other check takes the case over.
    """

    rule: str
    then: Treatment
    off: Treatment


@dataclass(frozen=True)
class Question:
    """An exclusive question of a stage: the rule that a case is sorted under decides it.

    A refusal `at_once` is told where it is earned, also by a server that tells others later.
    """

    classify: Classify
    checks: Mapping[str, Check] = field(default_factory=dict)
    at_once: bool = False

    async def ask(self, transaction: "Transaction") -> Answer:
        """What is to be done with this transaction, and by which rule."""
        for known in self.checks:
            transaction.policy.note(reached.question(known))
        rule = await self.classify(transaction)
        if rule:
            transaction.policy.note(reached.answer(rule))
        return Answer(rule if rule in self.checks else "", self.treatment(rule)) if rule else NO_CASE

    def treatment(self, rule: str | None) -> Treatment:
        """What is to be done with a case that is sorted under a rule, or under none."""
        check = self.checks.get(rule) if rule else None
        return check.then if check else PASS


def question(classify: Classify, *checks: Check, at_once: bool = False) -> Question:
    """A question and the checks that answer it."""
    return Question(classify, {check.rule: check for check in checks}, at_once)
