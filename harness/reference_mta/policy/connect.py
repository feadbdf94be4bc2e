"""Connect: a host without a verifiable name waits for the greeting (wiki 693–697)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from harness.reference_mta.policy.checks import DELAY, PASS, Check, question
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.resolver import Lookup

MOST_NAMES = 10  # PTR names that are followed
Names = tuple[Lookup, tuple[str, ...]]


async def names_of(transaction: Transaction) -> Names:
    """The names that the client's address has."""
    return await transaction.names_of(transaction.client)


def is_one_of(client: str, addresses: Sequence[str]) -> bool:
    """Whether the client has one of the addresses of a name."""
    return client in addresses


@dataclass(frozen=True)
class HostParts:
    """How a host is verified: each part as it should be; another one may take its place."""

    names: Callable[[Transaction], Awaitable[Names]] = names_of
    is_one_of: Callable[[str, Sequence[str]], bool] = is_one_of


async def verify_host(transaction: Transaction) -> str:
    """The rule under which the client's reverse and forward lookup fall."""
    parts = transaction.policy.hosts
    lookup, names = await parts.names(transaction)
    if lookup is Lookup.FAILED:
        return "connect.rdns-temperror"
    if lookup is Lookup.NOTHING:
        return "connect.rdns-missing"
    resolved = False
    for name in names[:MOST_NAMES]:
        _, addresses = await transaction.addresses(name)
        if parts.is_one_of(transaction.client, addresses):
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
