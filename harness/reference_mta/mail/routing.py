"""From envelope recipients to mailboxes here and addresses elsewhere, by the domains' aliases (wiki 570–600).

The `To:` field plays no part, and is left as it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.reference_mta.addresses import MailAddress, split
from harness.reference_mta.config import Config
from harness.reference_mta.domains import REST, Domain

LONGEST_CHAIN = 50  # aliases that lead to one another; what comes after is a mailbox

Destinations = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Routes:
    """Where one message goes. Both tables say which envelope recipients led to a destination, in their order.

    A mailbox is `user@domain` in lower case. An address elsewhere whose recipients are others than itself is
    one that mail is forwarded to. `remote` has the names as well that nobody has here: mail to them cannot be
    delivered, which its sender is told.
    """

    local: Destinations = field(default_factory=dict)
    remote: Destinations = field(default_factory=dict)


def targets(domain: Domain, entry: str | None) -> tuple[str, ...]:
    """What an alias leads to; empty for a mailbox. The entry is that of a user or alias, None for neither."""
    return domain.aliases.get(entry or REST, ())


def domain_of(config: Config, mailbox: MailAddress) -> Domain | None:
    """The hosted domain of an address."""
    return config.hosted(mailbox.domain)


def route(config: Config, recipients: Iterable[str], parts: "RoutingParts | None" = None) -> Routes:
    """Where a message for these envelope recipients goes.

    Each recipient leads somewhere; an alias that leads back to itself is a mailbox of its own.
    """
    routes = Routes()
    for recipient in dict.fromkeys(recipients):
        _Way(config, parts or RoutingParts(), routes, recipient).follow(recipient)
    return routes


@dataclass(frozen=True)
class RoutingParts:
    """Each as it should be; another one may take its place."""

    route: Callable[[Config, Iterable[str], "RoutingParts"], Routes] = route
    targets: Callable[[Domain, str | None], tuple[str, ...]] = targets
    domain_of: Callable[[Config, MailAddress], Domain | None] = domain_of


@dataclass
class _Way:
    """The way of one envelope recipient through the aliases; no alias is followed twice."""

    config: Config
    parts: RoutingParts
    routes: Routes
    recipient: str
    _followed: set[str] = field(default_factory=set)

    def follow(self, address: str, chain: tuple[str, ...] = ()) -> None:
        """Add where an address leads; `chain` are the aliases that led to it."""
        mailbox = split(address)
        domain = self.parts.domain_of(self.config, mailbox)
        if domain is None:
            self._arrive(self.routes.remote, f"{mailbox.local_part}@{mailbox.domain.lower()}")
            return
        entry = domain.entry(mailbox.local_part)
        here = f"{entry or mailbox.local_part.lower()}@{domain.name.lower()}"
        targets = self.parts.targets(domain, entry)
        if not domain.takes(mailbox.local_part):  # a relay host's recipients are not verified
            self._arrive(self.routes.remote, here)
        elif not targets or here in chain or len(chain) == LONGEST_CHAIN:
            self._arrive(self.routes.local, here)
        elif here not in self._followed:
            self._followed.add(here)
            for target in targets:
                self.follow(target if "@" in target else f"{target}@{domain.name}", (*chain, here))

    def _arrive(self, table: Destinations, where: str) -> None:
        led = table.get(where, ())
        table[where] = led if self.recipient in led else (*led, self.recipient)
