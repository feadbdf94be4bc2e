"""From envelope recipients to mailboxes here and addresses elsewhere, by the domains' aliases (wiki 570–600).

The `To:` field plays no part, and is left as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.reference_mta.addresses import MailAddress, split
from harness.reference_mta.config import Config
from harness.reference_mta.domains import REST, Domain
from harness.reference_mta.reached import SOUND, Quirks

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


def route(config: Config, recipients: Iterable[str], quirks: Quirks = SOUND) -> Routes:
    """Where a message for these envelope recipients goes.

    Each recipient leads somewhere; an alias that leads back to itself is a mailbox of its own.
    """
    routes = Routes()
    for recipient in dict.fromkeys(recipients):
        _Way(config, quirks, routes, recipient).follow(recipient)
    return routes


@dataclass
class _Way:
    """The way of one envelope recipient through the aliases; no alias is followed twice."""

    config: Config
    quirks: Quirks
    routes: Routes
    recipient: str
    _followed: set[str] = field(default_factory=set)

    def follow(self, address: str, chain: tuple[str, ...] = ()) -> None:
        """Add where an address leads; `chain` are the aliases that led to it."""
        mailbox = split(address)
        domain = self._domain(mailbox)
        if domain is None:
            self._arrive(self.routes.remote, f"{mailbox.local_part}@{mailbox.domain.lower()}")
            return
        entry = domain.entry(mailbox.local_part)
        here = f"{entry or mailbox.local_part.lower()}@{domain.name.lower()}"
        targets = self._targets(domain, entry)
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

    def _domain(self, mailbox: MailAddress) -> Domain | None:
        """The hosted domain of an address."""
        domain = self.config.hosted(mailbox.domain)
        if domain is None:
            return None
        name = mailbox.local_part.lower()
        first = next((other for other in self.config.domain if name in other.aliases), domain)
        return first if first is not domain and "delivery.per-domain:off" in self.quirks else domain

    def _targets(self, domain: Domain, entry: str | None) -> tuple[str, ...]:
        """What an alias leads to; empty for a mailbox."""
        targets = domain.aliases.get(entry or REST, ())
        return _mistaken(self.quirks, domain, entry, targets)


def _mistaken(quirks: Quirks, domain: Domain, entry: str | None, targets: tuple[str, ...]) -> tuple[str, ...]:
    """What a deliberate defect makes of the targets of an alias or a user."""
    bystanders = tuple(user for user in domain.users if user.lower() not in map(str.lower, targets))
    everybody_else = domain.aliases.get(REST, ())
    if not targets:
        strict = bool(everybody_else) and "delivery.catch-all:strict-users" in quirks
        return everybody_else if strict else targets
    if entry is None:
        rule, wrong = "delivery.catch-all", {"weak-own": (), "weak-other": bystanders[:1]}
    elif len(targets) == 1:
        rule = "delivery.alias"
        wrong = {"off": (), "weak-other": bystanders[:1], "strict-bystander": (*targets, *bystanders)}
    else:
        rule = "delivery.alias-many"
        wrong = {"off": targets[:1], "weak-last": targets[-1:], "strict-bystander": (*targets, *bystanders)}
    return next((found for kind, found in wrong.items() if f"{rule}:{kind}" in quirks), targets)
