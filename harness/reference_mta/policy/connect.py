"""Connect: a host without a verifiable name waits for the greeting (wiki 693–697)."""

from harness.reference_mta.policy.checks import DELAY, PASS, Check, question
from harness.reference_mta.policy.transaction import HostStanding, Transaction
from harness.reference_mta.resolver import Lookup

MOST_NAMES = 10  # PTR names that are followed

RULES = {
    HostStanding.CONFIRMED: "connect.rdns-confirmed",
    HostStanding.NAMELESS: "connect.rdns-missing",
    HostStanding.UNKNOWN: "connect.rdns-temperror",
    HostStanding.ADDRESSLESS: "connect.rdns-unresolvable",
    HostStanding.CONTRADICTED: "connect.rdns-mismatch",
}


async def verify_host(transaction: Transaction) -> str:
    """Look the client's name up, and its name's addresses."""
    transaction.standing = await _standing(transaction)
    return RULES[transaction.standing]


async def _standing(transaction: Transaction) -> HostStanding:
    lookup, names = await transaction.names_of(transaction.client)
    if lookup is not Lookup.FOUND:
        return HostStanding.UNKNOWN if lookup is Lookup.FAILED else HostStanding.NAMELESS
    resolved = False
    for name in names[:MOST_NAMES]:
        _, addresses = await transaction.addresses(name)
        resolved = resolved or bool(addresses)
        if transaction.client in addresses:
            transaction.host_names = (name,)
            return HostStanding.CONFIRMED
    return HostStanding.CONTRADICTED if resolved else HostStanding.ADDRESSLESS


HOST = question(
    verify_host,
    Check("connect.rdns-confirmed", then=PASS, off=DELAY),
    Check("connect.rdns-missing", then=DELAY, off=PASS),
    Check("connect.rdns-temperror", then=DELAY, off=PASS),
    Check("connect.rdns-unresolvable", then=DELAY, off=PASS),
    Check("connect.rdns-mismatch", then=DELAY, off=PASS),
)
