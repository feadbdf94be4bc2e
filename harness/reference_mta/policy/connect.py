"""Connect: a host without a verifiable name waits for the greeting (wiki 693–697)."""

import asyncio

from harness.reference_mta.policy.checks import DELAY, PASS, Check, question
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.resolver import Lookup

MOST_NAMES = 10  # PTR names that are followed
SOON = 0.2  # seconds for which a defect waits for an answer


async def verify_host(transaction: Transaction) -> str:
    """The rule under which the client's reverse and forward lookup fall."""
    patience = SOON if transaction.quirk("connect.rdns-temperror:weak-unanswered") else None
    try:
        lookup, names = await asyncio.wait_for(transaction.names_of(transaction.client), patience)
    except TimeoutError:
        return "connect.rdns-confirmed"
    if lookup is Lookup.FAILED:
        return "connect.rdns-temperror"
    if lookup is Lookup.NOTHING:
        return "connect.rdns-missing"
    if len(names) > 1 and transaction.quirk("connect.rdns-confirmed:weak-one-name"):
        names = names[-1:]
    resolved = False
    for name in names[:MOST_NAMES]:
        _, addresses = await transaction.addresses(name)
        if len(addresses) > 1 and transaction.quirk("connect.rdns-confirmed:weak-one-address"):
            addresses = addresses[-1:]
        if transaction.client in addresses:
            transaction.host_name = name
            return "connect.rdns-confirmed"
        resolved = resolved or bool(addresses)
    return "connect.rdns-mismatch" if resolved else "connect.rdns-unresolvable"


HOST = question(
    verify_host,
    Check("connect.rdns-confirmed", then=PASS, off=DELAY),
    Check("connect.rdns-missing", then=DELAY, off=PASS),
    Check("connect.rdns-temperror", then=DELAY, off=PASS),
    Check("connect.rdns-unresolvable", then=DELAY, off=PASS),
    Check("connect.rdns-mismatch", then=DELAY, off=PASS),
)
