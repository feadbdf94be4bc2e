"""How a policy is broken: another treatment, other cases sorted under a rule, another part."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.reference_mta import reached
from harness.reference_mta.certificate import SOUND, Flaws
from harness.reference_mta.greeting import KEYWORDS, Offer
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Check, Classify, Question, Treatment, deny
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.protocol.parts import ProtocolParts

Change = Callable[[Policy], Policy]
Case = Callable[[Transaction], bool]
SHORT = 0.4  # share of the delay that is far too short


async def no_case(transaction: Transaction) -> str | None:
    """Nobody is a case of any rule, whoever it is."""
    return None


def unchanged(policy: Policy) -> Policy:
    """The policy as it is."""
    return policy


@dataclass(frozen=True)
class Mutant:
    """One defect: `RULE:KIND`, where the kind is off, strict-… (hits the innocent) or weak-…"""

    rule: str
    kind: str
    description: str
    change: Change
    flaws: Flaws = SOUND
    parts: tuple[str, ...] = ()  # that it replaces, see `reached.py`; empty: those that all come to
    watch: Change = unchanged  # a sound policy that notes where the defect would show

    @property
    def name(self) -> str:
        """As `--smtp-mutant` and the configuration call it."""
        return f"{self.rule}:{self.kind}"


def off(rule: str, description: str) -> Mutant:
    """The check is switched off."""
    return treated(rule, "off", description, lambda check: check.off)


def treated(rule: str, kind: str, description: str, treat: Callable[[Check], Treatment]) -> Mutant:
    """The cases of the rule are treated otherwise."""
    return Mutant(
        rule,
        kind,
        description,
        lambda policy: policy.with_treatment(rule, lambda check: replace(check, then=treat(check))),
        parts=(reached.answer(rule),),
    )


def claiming(rule: str, kind: str, description: str, innocent: Case) -> Mutant:
    """The rule also claims a neighbour that is innocent."""
    return moved(rule, f"strict-{kind}", description, lambda about, _: innocent(about), rule)


def sparing(rule: str, kind: str, description: str, spared: Case, instead: str | None = None) -> Mutant:
    """The rule leaves some of its own cases to another one, or to none."""
    return moved(
        rule, f"weak-{kind}", description, lambda about, found: found == rule and spared(about), instead
    )


def moved(
    rule: str,
    kind: str,
    description: str,
    meant: Callable[[Transaction, str | None], bool],
    instead: str | None,
    *,
    asked: str = "",
) -> Mutant:
    """The cases that are meant are sorted under another rule, `instead`, by the question that knows `asked`.

    `meant` gets the rule as well under which they fall; sound servers ask it too, and it changes nothing.
    """

    async def sort(transaction: Transaction, found: str | None) -> str | None:
        return instead if meant(transaction, found) else found

    mutant = resorted(rule, kind, description, sort, asked=asked)

    async def look(transaction: Transaction, found: str | None) -> str | None:
        if meant(transaction, found) and found != instead:
            transaction.policy.note(mutant.name)
        return found

    watched = resorted(rule, kind, description, look, asked=asked)
    return replace(mutant, parts=(mutant.name,), watch=watched.change)


def resorted(
    rule: str,
    kind: str,
    description: str,
    sort: Callable[[Transaction, str | None], Awaitable[str | None]],
    *,
    asked: str = "",
    of: Sequence[str] = (),
) -> Mutant:
    """Cases are sorted otherwise in the question that knows the rule, or the one that is `asked`.

    `sort` gets the rule under which they fall; with `of` only the cases of these rules are sorted again.
    """

    def other(sound: Classify) -> Classify:
        async def classify(transaction: Transaction) -> str | None:
            found = await sound(transaction)
            return await sort(transaction, found) if not of or found in of else found

        return classify

    mutant = replaced(rule, kind, description, other, asked=asked)
    return replace(mutant, parts=tuple(map(reached.answer, of))) if of else mutant


def replaced(
    rule: str,
    kind: str,
    description: str,
    other: Callable[[Classify], Classify],
    *,
    asked: str | Sequence[str] = "",
    where: Case | None = None,
) -> Mutant:
    """The questions that know the rule, or those that are `asked`, are answered in another way.

    `where` says of which clients; it is asked in sound servers too, and changes nothing.
    """
    known = [asked or rule] if isinstance(asked, str) else asked
    name = f"{rule}:{kind}"

    def noting(sound: Classify) -> Classify:
        async def classify(transaction: Transaction) -> str | None:
            transaction.policy.note(name)
            return await sound(transaction)

        return classify

    mutant = Mutant(rule, kind, description, _answered(known, other, where))
    if where is None:
        return replace(mutant, parts=tuple(map(reached.question, known)))
    return replace(mutant, parts=(name,), watch=_answered(known, noting, where))


def _answered(known: Sequence[str], other: Callable[[Classify], Classify], where: Case | None) -> Change:
    """Another answer to the questions that know these rules."""

    def change(question: Question) -> Question:
        if not {*known} & {*question.checks}:
            return question
        changed = other(question.classify)

        async def classify(transaction: Transaction) -> str | None:
            is_meant = where is None or where(transaction)
            return await (changed if is_meant else question.classify)(transaction)

        return replace(question, classify=classify)

    return lambda policy: policy.with_questions(change)


def delivering(rule: str, kind: str, description: str, **other: Callable[..., Any]) -> Mutant:
    """Another part takes the place of one of `MailParts`: by its name, a function of the sound one's type."""
    return Mutant(
        rule,
        kind,
        description,
        lambda policy: replace(policy, delivery=replace(policy.delivery, **other)),
        parts=tuple(other),
    )


def listing(rule: str, kind: str, description: str, other: Callable[[list[str], Offer], list[str]]) -> Mutant:
    """EHLO lists other keywords: what `other` makes of the right ones."""

    def change(policy: Policy) -> Policy:
        sound = policy.greeting.keywords
        return replace(
            policy, greeting=replace(policy.greeting, keywords=lambda offer: other(sound(offer), offer))
        )

    return Mutant(rule, kind, description, change, parts=(KEYWORDS,))


def joined(*mutants: Mutant) -> Mutant:
    """One defect that shows in several places: the first mutant, with what the others change."""

    def change(policy: Policy) -> Policy:
        for mutant in mutants:
            policy = mutant.change(policy)
        return policy

    def watch(policy: Policy) -> Policy:
        for mutant in mutants:
            policy = mutant.watch(policy)
        return policy

    everywhere = any(not mutant.parts for mutant in mutants)
    parts = () if everywhere else tuple(part for mutant in mutants for part in mutant.parts)
    return replace(mutants[0], change=change, parts=parts, watch=watch)


def speaking(
    rule: str,
    kind: str,
    description: str,
    other: Callable[[ProtocolParts], ProtocolParts],
    *parts: str,
) -> Mutant:
    """The protocol has other parts; `parts` are their names, none where every dialogue comes to them."""
    return Mutant(
        rule,
        kind,
        description,
        lambda policy: replace(policy, protocol=other(policy.protocol)),
        parts=parts,
    )


def delays(rule: str, unpunished: str, *, may_refuse: bool = True) -> Iterable[Mutant]:
    """What can be wrong with an answer that is held back; `may_refuse` where a refusal is possible."""
    yield off(rule, unpunished)
    yield treated(rule, "weak-short", "held back for less than half of the delay", _for_less)
    if may_refuse:
        yield treated(
            rule,
            "strict-deny",
            "refused after the delay, not only slowed",
            lambda check: deny("No", late=True),
        )


def owed_by_half(rule: str) -> Iterable[Mutant]:
    """What can be wrong with a delay that comes again: where, or by what, it was earned plays a part."""
    not_at = "a delay that was earned at {} is not repeated".format
    yield sparing(rule, "connect-only", not_at("HELO"), lambda about: not about.unverified)
    yield sparing(rule, "helo-only", not_at("connect"), lambda about: not about.suspect)
    not_for = "a delay that was earned by {} is not repeated".format
    yield sparing(rule, "no-literal", not_for("an address literal"), _greeted_with_a_literal)
    yield sparing(rule, "no-unconfirmed", not_for("a name that DNS does not confirm"), _greeted_with_a_name)


def _greeted_with_a_literal(about: Transaction) -> bool:
    return not about.unverified and about.greeting.startswith("[")


def _greeted_with_a_name(about: Transaction) -> bool:
    return not about.unverified and "." in about.greeting and not about.greeting.startswith("[")


def clear_only(rule: str) -> Mutant:
    """A check that is made in clear text, and forgotten under TLS."""
    return sparing(rule, "clear-only", "who comes under TLS is not looked at", lambda about: about.covered)


def first_only(rule: str) -> Mutant:
    """A check that the first recipient of a message meets, and none after it."""
    return sparing(
        rule,
        "first-only",
        "only the first recipient of a message is looked at",
        lambda about: about.recipients > 1,
    )


def first_mail_only(rule: str) -> Mutant:
    """A check that the first mail of a connection meets, and none after it."""
    return sparing(
        rule,
        "first-mail-only",
        "only the first mail of a connection is looked at",
        lambda about: about.mails > 1,
    )


def late_refusals(rule: str, unpunished: str) -> Iterable[Mutant]:
    """What can be wrong with a refusal that is held back."""
    yield off(rule, unpunished)
    yield treated(rule, "weak-short", "held back for less than half of the delay", _for_less)
    yield treated(
        rule, "weak-prompt", "refused without the delay", lambda check: replace(check.then, delay=0.0)
    )
    yield treated(
        rule, "weak-delay-only", "delayed and then accepted", lambda check: Treatment(delay=check.then.delay)
    )
    yield treated(rule, "weak-4xx", "refused for the moment only", _for_now)


def prompt_refusals(rule: str, unpunished: str) -> Iterable[Mutant]:
    """What can be wrong with a refusal that comes at once and leaves the connection open."""
    yield off(rule, unpunished)
    yield treated(rule, "weak-4xx", "refused for the moment only", _for_now)
    yield treated(
        rule,
        "strict-late",
        "refused after a delay that is not documented",
        lambda check: replace(check.then, delay=1.0),
    )
    yield treated(
        rule,
        "strict-drop",
        "refused, and the connection closed",
        lambda check: replace(check.then, drop=True),
    )


def _for_less(check: Check) -> Treatment:
    return replace(check.then, delay=SHORT * check.then.delay)


def _for_now(check: Check) -> Treatment:
    return check.then.temporary()
