"""Mutants of the rules about block lists and the greylist."""

from dataclasses import replace

from harness.reference_mta.defects.kinds import (
    Mutant,
    defective,
    delays,
    late_refusals,
    off,
    prompt_refusals,
    replaced,
    resorted,
    treated,
)
from harness.reference_mta.policy.checks import DELAY, Treatment, deny
from harness.reference_mta.policy.dnsbl import by_lists, naming, warning
from harness.reference_mta.policy.greylisting import EXEMPT, exempt, of_strangers
from harness.reference_mta.policy.transaction import Listings, Transaction


async def _no_case(transaction: Transaction) -> str | None:
    return None


async def _zone_by_zone(transaction: Transaction, found: str | None) -> str | None:
    listings = transaction.listings or Listings()
    hits = tuple(replace(hit, zones=1) for hit in listings.hits for _ in range(hit.zones))
    transaction.listings = replace(listings, hits=hits)
    return await by_lists(transaction)


def _nameless(transaction: Transaction) -> str:
    return f"{transaction.client} is listed by a block list"


def _without_texts(transaction: Transaction) -> str:
    lines = naming(transaction).split("\n")
    return "\n".join("  (it gives no reason)" if line.startswith("  ") else line for line in lines)


def _naming_one(transaction: Transaction) -> str:
    """How many they are, and the zone and the text of the first."""
    return "\n".join(naming(transaction).split("\n")[:3])


DNSBL = (
    treated(
        "dnsbl.none",
        "off",
        "the message of a client on no list is marked",
        lambda check: Treatment(mark=warning),
    ),
    *delays("dnsbl.one", "one hit has no effect"),
    treated("dnsbl.one", "weak-no-mark", "the message is not marked", lambda check: DELAY),
    treated(
        "dnsbl.one",
        "weak-nameless-mark",
        "the mark does not name the list",
        lambda check: replace(check.then, mark=check.then.mark and _nameless),
    ),
    defective("dnsbl.one", "weak-first-answer", "of the answers of a list only the first counts"),
    replaced(
        "dnsbl.one",
        "weak-ipv4-only",
        "clients on IPv6 are not looked up",
        lambda _: _no_case,
        where=lambda transaction: ":" in transaction.client,
    ),
    *late_refusals("dnsbl.two", "two hits have no effect"),
    treated(
        "dnsbl.two",
        "weak-deny",
        "refused, and the connection left open",
        lambda check: replace(check.then, drop=False),
    ),
    treated(
        "dnsbl.two",
        "weak-no-text",
        "the reply does not give the lists' texts",
        lambda check: replace(check.then, words=_without_texts),
    ),
    treated(
        "dnsbl.two",
        "weak-one-name",
        "the reply names one list only",
        lambda check: replace(check.then, words=_naming_one),
    ),
    resorted(
        "dnsbl.group-counts-once",
        "off",
        "each zone of a group counts",
        _zone_by_zone,
        of=("dnsbl.group-counts-once",),
    ),
    defective("dnsbl.threshold-stops", "off", "all lists are always asked"),
    defective("dnsbl.threshold-stops", "weak-one-more", "one list more is asked than it takes"),
    defective("dnsbl.not-before-rcpt", "off", "the lists are asked at connect"),
    defective("dnsbl.not-before-rcpt", "weak-strangers", "they are asked at connect about unknown hosts"),
    replaced(
        "dnsbl.authenticated-exempt",
        "off",
        "accounts are looked up as well",
        lambda _: by_lists,
        where=lambda transaction: transaction.authenticated,
    ),
    off("dnsbl.test-point", "the test entry is ignored"),
    defective("dnsbl.fail-open", "off", "a list that fails counts as a hit"),
)

TRIPLETS = (
    off("greylist.first-defer", "an unknown triplet is accepted"),
    treated(
        "greylist.first-defer", "weak-450", "deferred with 450", lambda check: replace(check.then, code=450)
    ),
    treated(
        "greylist.first-defer", "strict-deny", "a stranger is refused for good", lambda check: deny("No")
    ),
    off("greylist.early-retry", "a retry is accepted at once"),
    defective("greylist.early-retry", "weak-short", "a retry is accepted after less than half of the delay"),
    defective("greylist.early-retry", "weak-hasty", "a retry is accepted after four fifths of the delay"),
    off("greylist.retry-accept", "a retry is never accepted"),
    defective(
        "greylist.retry-accept",
        "strict-timeout",
        "a stranger who comes back in time, after nine tenths of the time-out, starts over",
    ),
    defective(
        "greylist.retry-accept",
        "strict-early-timeout",
        "a stranger who comes back in time, after four fifths of the time-out, starts over",
    ),
    off("greylist.whitelisted", "a known triplet is deferred again"),
    defective(
        "greylist.whitelisted",
        "strict-lifetime",
        "a known triplet that is used again in time, after four fifths of its lifetime, starts over",
    ),
    off("greylist.expired", "a retry after the time-out is accepted"),
    off("greylist.lifetime-expiry", "a known triplet stays known for ever"),
    defective("greylist.lifetime-extended", "off", "the use of a triplet does not move its expiry on"),
    defective("greylist.other-triplet", "off", "whoever agrees with a known triplet in two parts is known"),
    *(
        defective("greylist.other-triplet", f"weak-no-{part}", f"triplets are known without the {part}")
        for part in ("client", "sender", "recipient")
    ),
    *prompt_refusals("greylist.blacklisted", "the black list has no effect"),
    defective("greylist.after-other-checks", "off", "a refused recipient leaves a triplet behind"),
    defective("greylist.case", "off", "triplets are compared with regard to letter case"),
)


def _not_exempting(rule: str, description: str) -> Mutant:
    """A rule exempts nobody at RCPT, or where others are greylisted instead."""

    def only_by_it(transaction: Transaction) -> bool:
        return EXEMPT[rule](transaction) and not exempt(transaction, but_for=rule)

    return replaced(
        rule, "off", description, lambda _: of_strangers, asked="greylist.first-defer", where=only_by_it
    )


EXEMPTIONS = (
    _not_exempting("greylist.host-whitelist", "the host whitelist has no effect"),
    _not_exempting("greylist.relay-exempt", "relay hosts are greylisted"),
    _not_exempting("greylist.authenticated-exempt", "accounts are greylisted"),
    defective("greylist.null-not-at-rcpt", "off", "the null sender is deferred at RCPT"),
    off("greylist.postmaster-at-rcpt", "a postmaster sender is treated as the null sender"),
    off("greylist.null-at-data", "bounces are not greylisted"),
    defective("greylist.null-at-data", "weak-any", "a client that is known for any mail may bounce"),
    off("greylist.null-blacklisted", "the black list has no effect on bounces"),
    treated(
        "greylist.null-blacklisted",
        "weak-4xx",
        "deferred instead of refused",
        lambda check: check.then.temporary(),
    ),
    off("greylist.daemon-down", "mail is refused while the store is out of reach"),
    defective("greylist.daemon-down", "weak-unnoticed", "a store out of reach is asked as if it were not"),
    defective("greylist.manual", "off", "entries cannot be removed"),
)

LIST_MUTANTS: tuple[Mutant, ...] = (*DNSBL, *TRIPLETS, *EXEMPTIONS)
