"""DNS block lists, asked at RCPT: what the lists that name a client weigh decides (wiki 792–927)."""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.reference_mta.addresses import reverse_pointer
from harness.reference_mta.policy.checks import DELAY, PASS, Check, Treatment, deny, question
from harness.reference_mta.policy.transaction import Hit, Listings, Transaction
from harness.reference_mta.replies import printable
from harness.reference_mta.resolver import Answer, Lookup
from harness.reference_mta.tables.policy import DnsList
from harness.settings.hosts import LISTINGS

NO_LISTINGS = (  # what a list says that is asked wrongly, or cannot be asked
    ipaddress.IPv4Network("127.0.0.1/32"),
    ipaddress.IPv4Network("127.255.255.0/24"),
)
TEST_POINT = "127.0.0.2"  # RFC 5782 §5


async def sort_listings(transaction: Transaction) -> str | None:
    """What the lists say of the client; asked once a connection."""
    return "dnsbl.authenticated-exempt" if transaction.authenticated else await by_lists(transaction)


async def by_lists(transaction: Transaction) -> str | None:
    """The same for whoever has no account."""
    if transaction.trusted:
        return None
    if transaction.listings is None:
        transaction.listings = await look_up(transaction)
    weight = transaction.listings.weight
    if weight >= transaction.config.dnsbl_policy.threshold:
        return "dnsbl.test-point" if transaction.client == TEST_POINT else "dnsbl.two"
    if weight > 0:
        grouped = any(hit.zones > 1 for hit in transaction.listings.against)
        return "dnsbl.group-counts-once" if grouped else "dnsbl.one"
    return "dnsbl.fail-open" if transaction.listings.failed else "dnsbl.none"


async def look_up(transaction: Transaction) -> Listings:
    """Ask all lists at once, or list after list until those that name the client weigh enough.

    While a white list is still to be asked, nothing is enough: the rest is asked as well.
    """
    lists, policy = transaction.config.dnsbl, transaction.config.dnsbl_policy
    if policy.order == "parallel":
        found = await asyncio.gather(*(_ask_list(transaction, entry) for entry in lists))
        return Listings(
            tuple(hit for hits, _ in found for hit in hits), sum(failures for _, failures in found)
        )
    hits: list[Hit] = []
    failed = 0
    goes_on = False
    for number, entry in enumerate(lists):
        if not goes_on and transaction.policy.lists.enough(hits, policy.threshold):
            if all(other.weight > 0 for other in lists[number:]):
                break
            goes_on = True
        found_here, failures = await _ask_list(transaction, entry)
        hits += found_here
        failed += failures
    return Listings(tuple(hits), failed)


async def _ask_list(transaction: Transaction, entry: DnsList) -> tuple[list[Hit], int]:
    """The hits of a list, all of its zones asked at once, and how many of them gave no usable answer."""
    found = await asyncio.gather(*(_ask_zone(transaction, entry, zone) for zone in entry.zones))
    hits = [hit for hit, _ in found if hit]
    failed = sum(failure for _, failure in found)
    return [replace(hits[0], zones=len(hits))] if hits else [], failed


async def _ask_zone(transaction: Transaction, entry: DnsList, zone: str) -> tuple[Hit | None, bool]:
    """The hit in one zone, if there is one, and whether it gave no usable answer."""
    name = listing_name(transaction.client, zone)
    answer = await transaction.resolver.ask(name, "A")
    failed = answer.lookup is Lookup.FAILED
    if not transaction.policy.lists.is_listed(entry, answer):
        return None, failed
    text = await transaction.resolver.ask(name, "TXT")
    return Hit(entry.name, zone, 1, " ".join(text.values), entry.weight), failed


def _is_listing(entry: DnsList, value: str) -> bool:
    """Whether an answer of a list says that the client is on it."""
    address = ipaddress.IPv4Address(value)
    if entry.answers is not None:
        return any(address in network for network in entry.answers)
    return address in LISTINGS and not any(address in network for network in NO_LISTINGS)


def enough(hits: Sequence[Hit], threshold: int) -> bool:
    """Whether so many listings decide."""
    return Listings(tuple(hits)).weight >= threshold


def is_listed(entry: DnsList, answer: Answer) -> bool:
    """Whether a list's answer about a client says that it is on the list."""
    return answer.lookup is not Lookup.FAILED and any(_is_listing(entry, value) for value in answer.values)


@dataclass(frozen=True)
class ListParts:
    """How lists are asked: each part as it should be; another one may take its place."""

    enough: Callable[[Sequence[Hit], int], bool] = enough
    is_listed: Callable[[DnsList, Answer], bool] = is_listed


def listing_name(address: str, zone: str) -> str:
    """The name of an address in a list's zone (RFC 5782 §2.1, §2.4)."""
    pointer = reverse_pointer(address)
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


def warning(transaction: Transaction) -> str:
    """What the header field says of a client that a list names."""
    hits = transaction.listings.against if transaction.listings else ()
    where = ", ".join(hit.zone for hit in hits)
    return f"{transaction.client} is listed by {where}"


def naming(transaction: Transaction) -> str:
    """What a refusal says: every list that names the client, and the list's own words."""
    hits = transaction.listings.against if transaction.listings else ()
    lines = [f"{transaction.client} is listed by {len(hits)} block list{'s' * (len(hits) != 1)}:"]
    for hit in hits:
        lines += [hit.zone, f"  {printable(hit.text) or '(it gives no reason)'}"]
    return "\n".join(lines)


MARKED = Treatment(delay=1.0, mark=warning)
TWO = deny(naming, late=True, drop=True)
LISTED = question(
    sort_listings,
    Check("dnsbl.none", then=PASS, off=MARKED),
    Check("dnsbl.one", then=MARKED, off=PASS),
    Check("dnsbl.group-counts-once", then=MARKED, off=TWO),
    Check("dnsbl.two", then=TWO, off=PASS),
    Check("dnsbl.test-point", then=TWO, off=PASS),
    Check("dnsbl.fail-open", then=PASS, off=TWO),
    Check("dnsbl.authenticated-exempt", then=PASS, off=DELAY),
)
