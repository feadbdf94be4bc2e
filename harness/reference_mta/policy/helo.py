"""HELO and EHLO: what the name in a greeting gives away (wiki 698–706)."""

import asyncio
import ipaddress

from harness.reference_mta.policy.checks import DELAY, PASS, Check, deny, question
from harness.reference_mta.policy.transaction import Transaction

MOST_ADDRESSES = 5  # of a name that are reversed
BARE = "A bare address is no greeting"
OWN = "That is my own name, not yours"


async def stickiness(transaction: Transaction) -> str | None:
    """Whether this connection has spoilt its chance."""
    return "helo.plain-ip-sticky" if transaction.greeted_plainly else None


async def sort_greeting(transaction: Transaction) -> str:
    """The rule under which the greeting's name falls."""
    name = transaction.greeting.lower().rstrip(".")
    if _is_address(name):
        transaction.greeted_plainly = True
        return "helo.plain-ip"
    if name.startswith("[") and name.endswith("]"):
        return "helo.ip-literal"
    if name in transaction.config.own_names:
        return "helo.own-primary"
    own_domains = [domain.name.lower() for domain in transaction.config.domain]
    if name in own_domains:
        return "helo.own-domain"
    if "." not in name:
        return "helo.not-fqdn"
    confirmed = await _confirmed_by_dns(transaction, name)
    if confirmed is None and any(name.endswith(f".{domain}") for domain in own_domains):
        return "helo.own-host"
    return confirmed or "helo.dns-mismatch"


async def _confirmed_by_dns(transaction: Transaction, name: str) -> str | None:
    # Only the client's own family is asked for: what the other one answers, or does not, costs nothing.
    _, addresses = await transaction.addresses(name)
    if transaction.client in addresses:
        return "helo.forward-match"
    reversed_ones = addresses[:MOST_ADDRESSES]
    reversals = await asyncio.gather(*(transaction.names_of(address) for address in reversed_ones))
    if any(name in (found.lower() for found in names) for _, names in reversals):
        return "helo.reverse-match"
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


STICKY = question(
    stickiness,
    Check("helo.plain-ip-sticky", then=deny("You greeted with a bare address before"), off=PASS),
)
GREETING = question(
    sort_greeting,
    Check("helo.plain-ip", then=deny(BARE, late=True), off=PASS),
    Check("helo.ip-literal", then=DELAY, off=PASS),
    Check("helo.own-domain", then=deny(OWN, late=True), off=PASS),
    Check("helo.own-primary", then=deny(OWN, late=True), off=PASS),
    Check("helo.own-host", then=DELAY, off=PASS),
    Check("helo.not-fqdn", then=DELAY, off=PASS),
    Check("helo.forward-match", then=PASS, off=DELAY),
    Check("helo.reverse-match", then=PASS, off=DELAY),
    Check("helo.dns-mismatch", then=DELAY, off=PASS),
)
