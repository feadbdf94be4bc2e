"""Mutants of the rules about block lists."""

from dataclasses import replace

from harness.reference_mta.defects.kinds import (
    Mutant,
    clear_only,
    delays,
    late_refusals,
    no_case,
    off,
    replaced,
    resorted,
    treated,
)
from harness.reference_mta.defects.parts import Part, exchanged
from harness.reference_mta.policy.checks import DELAY, Classify, Treatment
from harness.reference_mta.policy.dnsbl import by_lists, look_up, naming, warning
from harness.reference_mta.policy.transaction import Listings, Transaction
from harness.reference_mta.resolver import Answer, Lookup
from harness.reference_mta.tables.policy import DnsList


async def _zone_by_zone(transaction: Transaction, found: str | None) -> str | None:
    listings = transaction.listings or Listings()
    hits = tuple(replace(hit, zones=1) for hit in listings.hits for _ in range(hit.zones))
    transaction.listings = replace(listings, hits=hits)
    return await by_lists(transaction)


async def _with_a_text(transaction: Transaction, found: str | None) -> str | None:
    listings = transaction.listings or Listings()
    transaction.listings = replace(listings, hits=tuple(hit for hit in listings.hits if hit.text))
    return await by_lists(transaction)


async def _at_each_recipient(transaction: Transaction, found: str | None) -> str | None:
    weight = (transaction.listings or Listings()).weight * transaction.recipients
    return "dnsbl.two" if weight >= transaction.config.dnsbl_policy.threshold else found


async def _at_each_mail(transaction: Transaction, found: str | None) -> str | None:
    weight = (transaction.listings or Listings()).weight * transaction.mails
    return "dnsbl.two" if weight >= transaction.config.dnsbl_policy.threshold else found


async def _at_one_more(transaction: Transaction, found: str | None) -> str | None:
    weight = (transaction.listings or Listings()).weight
    return found if weight > transaction.config.dnsbl_policy.threshold else "dnsbl.one"


async def _at_one_less(transaction: Transaction, found: str | None) -> str | None:
    weight = (transaction.listings or Listings()).weight
    return "dnsbl.two" if weight >= transaction.config.dnsbl_policy.threshold - 1 else found


def _any_answer(sound: Part) -> Part:
    def is_listed(entry: DnsList, answer: Answer) -> bool:
        return bool(sound(entry.model_copy(update={"answers": None}), answer))

    return is_listed


def _nameless(transaction: Transaction) -> str:
    return f"{transaction.client} is listed by a block list"


def _without_texts(transaction: Transaction) -> str:
    lines = naming(transaction).split("\n")
    return "\n".join("  (it gives no reason)" if line.startswith("  ") else line for line in lines)


def _naming_one(transaction: Transaction) -> str:
    """How many they are, and the zone and the text of the first."""
    return "\n".join(naming(transaction).split("\n")[:3])


def _first_answer(sound: Part) -> Part:
    def is_listed(entry: DnsList, answer: Answer) -> bool:
        first = entry.answers and entry.answers[:1]
        return bool(sound(entry.model_copy(update={"answers": first}), answer))

    return is_listed


def _asking_before(sound: Classify) -> Classify:
    async def classify(transaction: Transaction) -> str | None:
        transaction.listings = await look_up(transaction)
        return await sound(transaction)

    return classify


async def _asking_about_strangers(transaction: Transaction, found: str | None) -> str | None:
    if not transaction.whitelisted_host:
        transaction.listings = await look_up(transaction)
    return found


async def _look_up_accounts(transaction: Transaction, found: str | None) -> str | None:
    if transaction.authenticated:
        transaction.listings = await look_up(transaction)
    return found


DNSBL = (
    treated(
        "dnsbl.none",
        "off",
        "the message of a client on no list is marked",
        lambda check: Treatment(mark=warning),
    ),
    exchanged(
        "dnsbl.none",
        "strict-any-answer",
        "whatever a list answers is a listing",
        "lists.is_listed",
        _any_answer,
    ),
    *delays("dnsbl.one", "one hit has no effect"),
    treated("dnsbl.one", "weak-no-mark", "the message is not marked", lambda check: DELAY),
    treated(
        "dnsbl.one",
        "weak-nameless-mark",
        "the mark does not name the list",
        lambda check: replace(check.then, mark=check.then.mark and _nameless),
    ),
    exchanged(
        "dnsbl.one",
        "weak-first-answer",
        "of the answers of a list only the first counts",
        "lists.is_listed",
        _first_answer,
    ),
    replaced(
        "dnsbl.one",
        "weak-ipv4-only",
        "clients on IPv6 are not looked up",
        lambda _: no_case,
        where=lambda transaction: ":" in transaction.client,
    ),
    resorted(
        "dnsbl.one", "weak-textless", "who is listed without a text is not", _with_a_text, of=("dnsbl.one",)
    ),
    resorted(
        "dnsbl.one",
        "strict-adds-up",
        "a listing counts again at each recipient",
        _at_each_recipient,
        of=("dnsbl.one",),
    ),
    resorted(
        "dnsbl.one",
        "strict-adds-up-by-mails",
        "a listing counts again at each mail of a connection",
        _at_each_mail,
        of=("dnsbl.one",),
    ),
    resorted(
        "dnsbl.one",
        "strict-one-less",
        "one hit less than the threshold is enough",
        _at_one_less,
        of=("dnsbl.one",),
    ),
    *late_refusals("dnsbl.two", "two hits have no effect"),
    resorted(
        "dnsbl.two",
        "weak-one-more",
        "it takes one hit more than the threshold",
        _at_one_more,
        of=("dnsbl.two",),
    ),
    clear_only("dnsbl.two"),
    resorted(
        "dnsbl.two", "weak-textless", "who is listed without a text is not", _with_a_text, of=("dnsbl.two",)
    ),
    replaced(
        "dnsbl.two",
        "weak-no-bounces",
        "bounces are taken from everybody",
        lambda _: no_case,
        where=lambda transaction: not transaction.sender,
    ),
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
    exchanged(
        "dnsbl.threshold-stops",
        "off",
        "all lists are always asked",
        "lists.enough",
        lambda _: lambda hits, threshold: False,
    ),
    exchanged(
        "dnsbl.threshold-stops",
        "weak-one-more",
        "one list more is asked than it takes",
        "lists.enough",
        lambda sound: lambda hits, threshold: sound(hits[:-1], threshold),
    ),
    replaced(
        "dnsbl.not-before-rcpt",
        "off",
        "the lists are asked at connect",
        _asking_before,
        asked="connect.rdns-confirmed",
    ),
    resorted(
        "dnsbl.not-before-rcpt",
        "weak-strangers",
        "they are asked at connect about unknown hosts",
        _asking_about_strangers,
        asked="connect.rdns-confirmed",
    ),
    replaced(
        "dnsbl.authenticated-exempt",
        "off",
        "accounts are looked up as well",
        lambda _: by_lists,
        where=lambda transaction: transaction.authenticated,
    ),
    resorted(
        "dnsbl.authenticated-exempt",
        "weak-message",
        "accounts are looked up when their message is there",
        _look_up_accounts,
        asked="data.header-syntax",
    ),
    off("dnsbl.test-point", "the test entry is ignored"),
    exchanged(
        "dnsbl.fail-open",
        "off",
        "a list that fails counts as a hit",
        "lists.is_listed",
        lambda sound: lambda entry, answer: answer.lookup is Lookup.FAILED or sound(entry, answer),
    ),
)

LIST_MUTANTS: tuple[Mutant, ...] = DNSBL
