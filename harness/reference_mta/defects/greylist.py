"""Mutants of the rules about the greylist."""

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.reference_mta.defects.kinds import (
    Mutant,
    clear_only,
    moved,
    no_case,
    off,
    prompt_refusals,
    replaced,
    resorted,
    treated,
)
from harness.reference_mta.defects.parts import Part, always, exchanged
from harness.reference_mta.greylist import PARTS, Greylist, Standing, Times, Triplet
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Classify, Question, deny
from harness.reference_mta.policy.greylisting import EXEMPT, exempt, of_bounces, of_strangers, spared, unit
from harness.reference_mta.policy.transaction import Transaction


def _by_times(
    rule: str, kind: str, description: str, where: Standing, other: Callable[[Times], Times]
) -> Mutant:
    """Triplets of a standing are looked at again, by other times."""

    def looking_again(sound: Part) -> Part:
        def look(store: Greylist, triplet: Triplet) -> Standing:
            found: Standing = sound(store, triplet)
            return store.look(triplet, other(store.times)) if found is where else found

        return look

    shows = lambda found, *_: found is where  # noqa: E731
    return exchanged(rule, kind, description, "greylisting.look", looking_again, shows)


def _named_by_ptr(sound: Classify) -> Classify:
    """Nobody is greylisted whose address has a name on the host whitelist, wherever that leads."""

    async def classify(transaction: Transaction) -> str | None:
        _, names = await transaction.names_of(transaction.client)
        return None if any(map(transaction.whitelists, names)) else await sound(transaction)

    return classify


def _knowing_without(*ignored: str) -> Callable[[Part], Part]:
    """Who is new is known when a triplet is that agrees in all but one of these parts."""

    def other(sound: Part) -> Part:
        def stand(transaction: Transaction, sender: str, recipient: str) -> str:
            found: str = sound(transaction, sender, recipient)
            if found != "greylist.first-defer" or not sender:
                return found
            triplet = transaction.policy.greylisting.triplet(unit(transaction), sender, recipient)
            known = any(transaction.greylist.known_but_for(part, triplet) for part in ignored)
            return "greylist.whitelisted" if known else found

        return stand

    return other


def _is_new(found: str, transaction: Transaction, sender: str, recipient: str) -> bool:
    return bool(sender) and found == "greylist.first-defer"


def _keeping_nothing(rule: str, kind: str, description: str, where: Standing) -> Mutant:
    """Attempts of a standing leave no trace."""

    def but_for_these(sound: Part) -> Part:
        def keep(store: Greylist, triplet: Triplet, standing: Standing) -> None:
            if standing is not where:
                sound(store, triplet, standing)

        return keep

    shows = lambda found, store, triplet, standing: standing is where  # noqa: E731
    return exchanged(rule, kind, description, "greylisting.keep", but_for_these, shows)


def _beginning_anew(sound: Part) -> Part:
    def keep(store: Greylist, triplet: Triplet, standing: Standing) -> None:
        if standing is Standing.EARLY:
            store.add("grey", triplet)
        else:
            sound(store, triplet, standing)

    return keep


def _leaving_triplets_behind() -> Mutant:
    """The greylist keeps the triplet of a refused recipient, as one does that is asked before the rest."""
    rule, kind = "greylist.after-other-checks", "off"

    def change(policy: Policy, behind: Callable[[Transaction], object]) -> Policy:
        def changed(question: Question) -> Question:
            async def classify(transaction: Transaction) -> str | None:
                found = await question.classify(transaction)
                if question.treatment(found).code >= 500:
                    behind(transaction)
                return found

            return replace(question, classify=classify)

        rcpt, user, listed = (tuple(map(changed, each)) for each in (policy.rcpt, policy.user, policy.listed))
        return replace(policy, rcpt=rcpt, user=user, listed=listed)

    return Mutant(
        rule,
        kind,
        "a refused recipient leaves a triplet behind",
        lambda policy: change(policy, _leave_behind),
        parts=(f"{rule}:{kind}",),
        watch=lambda policy: change(policy, lambda _: policy.note(f"{rule}:{kind}")),
    )


def _leave_behind(transaction: Transaction) -> None:
    mailbox = str(transaction.mailbox)
    if transaction.sender and not exempt(transaction) and not spared(transaction, mailbox):
        transaction.policy.greylisting.stand(transaction, transaction.sender, mailbox)


TRIPLETS = (
    off("greylist.first-defer", "an unknown triplet is accepted"),
    treated(
        "greylist.first-defer", "weak-450", "deferred with 450", lambda check: replace(check.then, code=450)
    ),
    treated(
        "greylist.first-defer", "strict-deny", "a stranger is refused for good", lambda check: deny("No")
    ),
    clear_only("greylist.first-defer"),
    replaced(
        "greylist.first-defer",
        "weak-greeting",
        "whoever greets with a name on the host whitelist is accepted",
        lambda _: no_case,
        where=lambda transaction: not exempt(transaction) and transaction.whitelists(transaction.greeting),
    ),
    replaced(
        "greylist.first-defer",
        "weak-unconfirmed",
        "whoever has a PTR record with a name on the host whitelist is accepted, wherever that name leads",
        _named_by_ptr,
        where=lambda transaction: not (exempt(transaction) or transaction.host_name),
    ),
    replaced(
        "greylist.first-defer",
        "weak-ipv4-only",
        "an IPv6 client is never greylisted",
        lambda _: no_case,
        where=lambda transaction: not exempt(transaction) and ":" in transaction.client,
    ),
    off("greylist.early-retry", "a retry is accepted at once"),
    _by_times(
        "greylist.early-retry",
        "weak-short",
        "a retry is accepted after less than half of the delay",
        Standing.EARLY,
        lambda times: replace(times, delay=0.4 * times.delay),
    ),
    _by_times(
        "greylist.early-retry",
        "weak-hasty",
        "a retry is accepted after four fifths of the delay",
        Standing.EARLY,
        lambda times: replace(times, delay=0.8 * times.delay),
    ),
    off("greylist.retry-accept", "a retry is never accepted"),
    _by_times(
        "greylist.retry-accept",
        "strict-timeout",
        "a stranger who comes back in time, after nine tenths of the time-out, starts over",
        Standing.RIPE,
        lambda times: replace(times, timeout=0.5 * times.timeout),
    ),
    _by_times(
        "greylist.retry-accept",
        "strict-early-timeout",
        "a stranger who comes back in time, after four fifths of the time-out, starts over",
        Standing.RIPE,
        lambda times: replace(times, timeout=0.8 * times.timeout),
    ),
    exchanged(
        "greylist.retry-accept",
        "strict-restarts",
        "a stranger whose retry came too early waits for the whole delay once more",
        "greylisting.keep",
        _beginning_anew,
        lambda found, store, triplet, standing: standing is Standing.EARLY,
    ),
    off("greylist.whitelisted", "a known triplet is deferred again"),
    _by_times(
        "greylist.whitelisted",
        "strict-lifetime",
        "a known triplet that is used again in time, after four fifths of its lifetime, starts over",
        Standing.KNOWN,
        lambda times: replace(times, lifetime=0.8 * times.lifetime),
    ),
    off("greylist.expired", "a retry after the time-out is accepted"),
    _keeping_nothing(
        "greylist.expired",
        "strict-stuck",
        "a stranger who has come back too late once is deferred for ever",
        Standing.EXPIRED,
    ),
    off("greylist.lifetime-expiry", "a known triplet stays known for ever"),
    _keeping_nothing(
        "greylist.lifetime-expiry",
        "strict-stuck",
        "a client whose triplet was unused for too long once is deferred for ever",
        Standing.LAPSED,
    ),
    _keeping_nothing(
        "greylist.lifetime-extended",
        "off",
        "the use of a triplet does not move its expiry on",
        Standing.KNOWN,
    ),
    exchanged(
        "greylist.other-triplet",
        "off",
        "whoever agrees with a known triplet in two parts is known",
        "greylisting.stand",
        _knowing_without(*PARTS),
        _is_new,
    ),
    *(
        exchanged(
            "greylist.other-triplet",
            f"weak-no-{part}",
            f"triplets are known without the {part}",
            "greylisting.stand",
            _knowing_without(part),
            _is_new,
        )
        for part in PARTS
    ),
    moved(
        "greylist.other-triplet",
        "weak-first-only",
        "who is known by the first recipient of a message is by the others",
        lambda about, found: found == "greylist.first-defer" and about.recipients > 1,
        "greylist.whitelisted",
        asked="greylist.first-defer",
    ),
    *prompt_refusals("greylist.blacklisted", "the black list has no effect"),
    _leaving_triplets_behind(),
    exchanged(
        "greylist.case",
        "off",
        "triplets are compared with regard to letter case",
        "greylisting.triplet",
        lambda _: Triplet,
    ),
)


def _not_exempting(rule: str, description: str, bouncing: str) -> Iterable[Mutant]:
    """A rule exempts nobody at RCPT, or where others are greylisted instead; or none who is `bouncing`."""

    def only_by_it(transaction: Transaction) -> bool:
        return EXEMPT[rule](transaction) and not exempt(transaction, but_for=rule)

    yield replaced(
        rule, "off", description, lambda _: of_strangers, asked="greylist.first-defer", where=only_by_it
    )
    yield replaced(
        rule,
        "weak-bounces",
        bouncing,
        lambda _: of_bounces,
        asked="greylist.null-at-data",
        where=lambda transaction: not transaction.sender and only_by_it(transaction),
    )


def _is_known_by_a_later_pattern(transaction: Transaction) -> bool:
    first = transaction.config.greylist.whitelist_hosts[:1]
    return transaction.whitelisted_host and not any(
        fnmatch.fnmatchcase(transaction.host_name.lower(), one.lower()) for one in first
    )


async def _stand_at_rcpt(transaction: Transaction, _: str | None) -> str | None:
    return transaction.policy.greylisting.stand(transaction, transaction.sender, str(transaction.mailbox))


def _known_for_any_mail(sound: Classify) -> Classify:
    async def classify(transaction: Transaction) -> str | None:
        known = transaction.greylist.entries("white", unit(transaction))
        return None if known else await sound(transaction)

    return classify


def _back_in_reach(sound: Part) -> Part:
    def stand(transaction: Transaction, sender: str, recipient: str) -> str:
        found: str = sound(transaction, sender, recipient)
        if found != "greylist.daemon-down":
            return found
        transaction.greylist.cut(unit(transaction), off=False)
        again: str = sound(transaction, sender, recipient)
        return again

    return stand


EXEMPTIONS = (
    *_not_exempting(
        "greylist.host-whitelist",
        "the host whitelist has no effect",
        "the host whitelist has no effect on bounces",
    ),
    replaced(
        "greylist.host-whitelist",
        "weak-first-pattern",
        "only the first pattern of the host whitelist has an effect",
        lambda _: of_strangers,
        asked="greylist.first-defer",
        where=_is_known_by_a_later_pattern,
    ),
    *_not_exempting(
        "greylist.relay-exempt", "relay hosts are greylisted", "the bounces of relay hosts are greylisted"
    ),
    *_not_exempting(
        "greylist.authenticated-exempt", "accounts are greylisted", "the bounces of accounts are greylisted"
    ),
    resorted(
        "greylist.null-not-at-rcpt",
        "off",
        "the null sender is deferred at RCPT",
        _stand_at_rcpt,
        of=("greylist.null-not-at-rcpt",),
    ),
    off("greylist.postmaster-at-rcpt", "a postmaster sender is treated as the null sender"),
    off("greylist.null-at-data", "bounces are not greylisted"),
    replaced(
        "greylist.null-at-data",
        "weak-any",
        "a client that is known for any mail may bounce",
        _known_for_any_mail,
        where=lambda transaction: not transaction.sender and not exempt(transaction),
    ),
    off("greylist.null-blacklisted", "the black list has no effect on bounces"),
    treated(
        "greylist.null-blacklisted",
        "weak-4xx",
        "deferred instead of refused",
        lambda check: check.then.temporary(),
    ),
    off("greylist.daemon-down", "mail is refused while the store is out of reach"),
    exchanged(
        "greylist.daemon-down",
        "weak-unnoticed",
        "a store out of reach is asked as if it were not",
        "greylisting.stand",
        _back_in_reach,
        lambda found, *_: found == "greylist.daemon-down",
    ),
    exchanged(
        "greylist.manual",
        "off",
        "entries cannot be removed",
        "greylisting.remove",
        lambda _: lambda store, which, triplet: False,
        always,
    ),
)

GREYLIST_MUTANTS: tuple[Mutant, ...] = (*TRIPLETS, *EXEMPTIONS)
