"""DNS block lists, asked at RCPT: one hit slows and marks, two end the connection (wiki 792–927)."""

import ipaddress
from dataclasses import replace

from harness.reference_mta.addresses import reverse_pointer
from harness.reference_mta.policy.checks import DELAY, PASS, Check, Treatment, deny, question
from harness.reference_mta.policy.transaction import Hit, Listings, Transaction
from harness.reference_mta.replies import printable
from harness.reference_mta.resolver import Lookup
from harness.reference_mta.tables.policy import DnsList

CODES = ipaddress.ip_network("127.0.0.0/8")  # RFC 5782 §2.1
TEST_POINT = "127.0.0.2"  # RFC 5782 §5


async def sort_listings(transaction: Transaction) -> str | None:
    """What the lists say of the client; asked once a connection."""
    if transaction.authenticated and not transaction.quirk("dnsbl.authenticated-exempt:off"):
        return "dnsbl.authenticated-exempt"
    if transaction.trusted or (":" in transaction.client and transaction.quirk("dnsbl.one:weak-ipv4-only")):
        return None
    if transaction.listings is None:
        transaction.listings = await look_up(transaction)
    hits, threshold = transaction.listings.hits, transaction.config.dnsbl_policy.threshold
    if len(hits) >= threshold:
        return "dnsbl.test-point" if transaction.client == TEST_POINT else "dnsbl.two"
    if hits:
        return "dnsbl.group-counts-once" if hits[0].zones > 1 else "dnsbl.one"
    return "dnsbl.fail-open" if transaction.listings.failed else "dnsbl.none"


async def look_up(transaction: Transaction) -> Listings:
    """Ask list after list until enough of them agree."""
    hits: list[Hit] = []
    failed = 0
    for entry in transaction.config.dnsbl:
        enough = len(hits) >= transaction.config.dnsbl_policy.threshold
        if enough and not transaction.quirk("dnsbl.threshold-stops:off"):
            break
        found, failures = await _ask_list(transaction, entry)
        hits += found
        failed += failures
    return Listings(tuple(hits), failed)


async def _ask_list(transaction: Transaction, entry: DnsList) -> tuple[list[Hit], int]:
    hits: list[Hit] = []
    failed = 0
    for zone in entry.zones:
        name = listing_name(transaction.client, zone)
        answer = await transaction.resolver.ask(name, "A")
        if answer.lookup is Lookup.FAILED:
            failed += 1
            if not transaction.quirk("dnsbl.fail-open:off"):
                continue
        elif not any(ipaddress.ip_address(code) in CODES for code in answer.values):
            continue
        text = await transaction.resolver.ask(name, "TXT")
        hits.append(Hit(entry.name, zone, 1, " ".join(text.values)))
    if transaction.quirk("dnsbl.group-counts-once:off"):
        return hits, failed
    return [Hit(entry.name, hits[0].zone, len(hits), hits[0].text)] if hits else [], failed


def listing_name(address: str, zone: str) -> str:
    """The name of an address in a list's zone (RFC 5782 §2.1, §2.4)."""
    pointer = reverse_pointer(address)
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


def warning(transaction: Transaction) -> str:
    """What the header field says of a client that a list names."""
    hits = transaction.listings.hits if transaction.listings else ()
    where = ", ".join(hit.zone for hit in hits)
    if transaction.quirk("dnsbl.one:weak-nameless-mark"):
        where = "a block list"
    return f"{transaction.client} is listed by {where}"


def naming(transaction: Transaction) -> str:
    """What a refusal says: every list that names the client, and the list's own words."""
    hits = transaction.listings.hits if transaction.listings else ()
    lines = [f"{transaction.client} is listed by {len(hits)} block list{'s' * (len(hits) != 1)}:"]
    if transaction.quirk("dnsbl.two:weak-one-name"):
        hits = hits[:1]
    for hit in hits:
        if transaction.quirk("dnsbl.two:weak-no-text"):
            hit = replace(hit, text="")
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
