"""The profile: what is known of a server under test, read from TOML and checked as a whole."""

import fnmatch
import itertools
from dataclasses import replace
from typing import Self

from pydantic import Field, PrivateAttr, model_validator

from harness.offence import Offence
from harness.outcome import Outcome, Stage, Treatment, later
from harness.profile.deviations import Deviation
from harness.profile.dialect import TOLD_THERE, Dialect
from harness.profile.mail_tables import Account, MailboxTable, MailTables
from harness.profile.tables import (
    Claims,
    Clients,
    DnsList,
    Domain,
    EndpointTable,
    Policy,
    RouteName,
    Server,
    ServerTables,
    SuiteClaims,
    TlsBegins,
)
from harness.profile.values import is_of_this_host
from harness.rules import Catalogue, Expectation, Rule
from harness.settings.hosts import twice
from harness.settings.secret import Secret
from harness.smtp.command import Command
from harness.smtp.endpoint import CombinationError, check
from harness.smtp.identity import Argument, Bind, Identity, Own, ProxyV1, ProxyV2, XClient
from harness.smtp.transport import Tcp, Transport, UnixSocket

NAMES_ARE_TOLD = "by XCLIENT the server is told its client's name and does not look it up; name another route"
DIALECT = "follows from the profile's [dialect] and [greylist]"

IDENTITIES: dict[RouteName, type[Identity]] = {
    RouteName.DIRECT: Own,
    RouteName.BIND: Bind,
    RouteName.PROXY_V1: ProxyV1,
    RouteName.PROXY_V2: ProxyV2,
    RouteName.XCLIENT: XClient,
    RouteName.COMMAND: Argument,
}

BY_GREYLIST = (Offence.UNKNOWN_TRIPLET, Offence.BLACKLISTED_TRIPLET)  # what its word is about


class Profile(ServerTables, MailTables):
    """Everything that is known of one server under test."""

    name: str = Field(min_length=1)
    server: Server
    clients: Clients = Clients()
    endpoint: tuple[EndpointTable, ...] = ()  # beside that of [server]
    policy: Policy
    dialect: Dialect = Dialect()
    _refuses_until: Stage = PrivateAttr(Stage.CONNECT)  # as far as overrides say
    _followed: dict[str, str] = PrivateAttr(default_factory=dict)  # by rules without one: whose override
    domain: tuple[Domain, ...] = Field(min_length=1)
    dnsbl: tuple[DnsList, ...] = ()
    deviation: tuple[Deviation, ...] = ()
    suites: SuiteClaims = SuiteClaims()
    rules: Claims = Claims()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if foreign := self._foreign(self.clients.route):
            raise ValueError(
                f"{foreign} is not of this host, so route bind cannot use it; "
                f"anywhere only parts of 127.0.0.0/8 can be bound"
            )
        if self.clients.route is not RouteName.DIRECT and not self.clients.networks:
            raise ValueError(
                "clients.networks: the route can choose addresses, so name the networks to choose from"
            )
        elsewhere = [net for net in self.sink.networks if not is_of_this_host(net)] if self.sink else []
        if elsewhere:
            raise ValueError(
                f"sink.networks: {elsewhere[0]} is not of this host, so no mail host can be played there; "
                "anywhere only parts of 127.0.0.0/8 can be bound, in a sandbox what is routed to loopback"
            )
        if self.clients.route is RouteName.DIRECT and self.clients.all_networks:
            raise ValueError(
                "clients: with route direct no address can be chosen; name another route or no networks"
            )
        if self.clients.route is RouteName.COMMAND and (told := self._after_a_dry_run):
            raise ValueError(
                f"clients.route is command, a dry run that delivers nothing; leave out {', '.join(told)}"
            )
        return self

    def _foreign(self, route: RouteName) -> str:
        """A network of clients that route `bind` cannot use here, with its key; or nothing."""
        bound = self.clients.all_networks if route is RouteName.BIND else ()
        return next(
            (f"clients.{key}: {network}" for key, network in bound if not is_of_this_host(network)), ""
        )

    @model_validator(mode="after")
    def _endpoints_can_be_reached(self) -> Self:
        for table in self.endpoint:
            route = table.route_beside(self.clients.route)
            try:
                check(_transport(table), IDENTITIES[route], tls=table.tls is TlsBegins.IMPLICIT)
            except CombinationError as error:
                raise ValueError(f"endpoint: {table.name}: {error}") from None
            if route is not RouteName.DIRECT and not self.clients.networks:
                raise ValueError(
                    f"endpoint: {table.name}: route {route} can choose addresses, so name those to choose "
                    "from in clients.networks"
                )
            if foreign := self._foreign(route):
                raise ValueError(
                    f"endpoint: {table.name}: {foreign} is not of this host, so route bind cannot use it; "
                    "name another route"
                )
        return self

    @property
    def tls_name(self) -> str:
        """The name by which clients ask for TLS: that of [tls], or the server's own."""
        return self.tls.name if self.tls else self.server.hostname

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        named = (("domain", self.domain), ("dnsbl", self.dnsbl), ("endpoint", self.endpoint))
        for key, entries in named:
            if name := twice([entry.name for entry in entries]):
                raise ValueError(f"{key}: {name!r} is there twice, letter case aside; merge the two")
        for one, other in itertools.combinations(self.dnsbl, 2):
            if (zone := one.shares(other)) is not None:
                raise ValueError(
                    f"dnsbl: {zone} is a zone of {one.name!r} and of {other.name!r}, and one answer would "
                    "count for both; leave one out, or give each list the answers that count for it"
                )
        return self

    @model_validator(mode="after")
    def _users_are_hosted(self) -> Self:
        hosted = [domain.name for domain in self.domain]
        for key, address in (
            ("filter.user", self.filter and self.filter.user),
            ("forward.recipient", self.forward and self.forward.recipient),
        ):
            if address and address.rpartition("@")[2] not in hosted:
                raise ValueError(f"{key}: {address} is in no [[domain]]; known here: {', '.join(hosted)}")
        return self

    @property
    def _after_a_dry_run(self) -> list[str]:
        """The tables about what becomes of mail, which a dry run never shows."""
        tables = {
            "mailbox": self.mailbox,
            "sink": self.sink,
            "queue": self.queue,
            "local_only": self.local_only,
        }
        return [f"[{name}]" for name, table in tables.items() if table]

    @property
    def logins(self) -> tuple[Account, ...]:
        """The accounts that log in to the server."""
        return (*([self.auth] if self.auth else ()), *(self.directory.accounts if self.directory else ()))

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The passwords that it knows: what is kept of a run is kept without them."""
        accounts = [*self.logins, *(table.imap for table in self._mailboxes)]
        return tuple(account.secret for account in accounts if account)

    @property
    def _mailboxes(self) -> list[MailboxTable]:
        return [table for table in (self.mailbox, *(entry.mailbox for entry in self.domain)) if table]

    def claims(self, rule: Rule) -> bool:
        """Whether the server documents the rule at all."""
        claimed = matches(rule.id, self.rules.claim) and not matches(rule.id, self.rules.without)
        return claimed and self.claims_suite(rule)

    def claims_suite(self, rule: Rule) -> bool:
        """Whether it documents the suite of the rule."""
        by_default = rule.claimed_by_default and rule.suite not in self.suites.without
        return by_default or rule.suite in self.suites.claim

    def expectation(self, rule: Rule) -> tuple[Expectation, str]:
        """What this server documents for a rule, and where it says so (empty: in the rule's own source).

        An override of the profile decides, or else one of the rule whose offence this one borrows; without
        any the catalogue's outcome is put into the dialect.
        """
        override = self.rules.expect.get(rule.id)
        if override:
            return override.outcome, override.reason
        if rule.id in self._followed:
            return self._follows(rule, self._followed[rule.id])
        follows = tuple(dict.fromkeys(self.earns(rule.offence, outcome) for outcome in rule.expect))
        return follows, "" if follows == rule.expect else DIALECT

    def _follows(self, rule: Rule, first: str) -> tuple[Expectation, str]:
        """The override of another rule, for one that may leave open whether a refusal comes late.

        Where offenders may get through as well, it is those who do not that show the other rule.
        """
        override = self.rules.expect[first]
        felt = [one for one in override.outcome if one.is_felt] or override.outcome
        late_or_not = len({outcome.late for outcome in rule.expect}) > 1
        found: dict[Outcome, None] = {}
        for one in felt:
            either = late_or_not and one.treatment is not Treatment.PASS
            for late in (False, True) if either else (one.late,):
                found[replace(one, late=late)] = None
        return tuple(found), f"as {first}: {override.reason}"

    def earns(self, offence: Offence | None, documented: Outcome) -> Outcome:
        """What an offence earns here where a document has `documented`; None stands for an innocent act.

        The greylist tells at a stage of its own, wherever other refusals are told.
        """
        outcome = self.dialect.outcome(offence, documented)
        if offence in BY_GREYLIST and self.greylist:
            told = replace(outcome, stage=later(documented.stage, self.greylist.stage))
            by_default = (
                offence is Offence.UNKNOWN_TRIPLET and told.treatment is Treatment.DEFER and not told.codes
            )
            return replace(told, codes=tuple(map(str, self.greylist.codes))) if by_default else told
        if outcome.treatment is Treatment.PASS and not outcome.late:
            return replace(outcome, stage=self.settles(outcome.stage))
        return outcome

    def shows(self, outcome: Outcome) -> Stage:
        """The stage by which it shows whether something came out so: a mark shows in the message."""
        if outcome.marked:
            return Stage.DATA
        return self.settles(outcome.stage) if outcome.treatment is Treatment.PASS else outcome.stage

    def beside(self, catalogue: Catalogue) -> "Profile":
        """The same, which knows what its overrides are overrides of.

        Where one has a refusal come later than the catalogue, who is let through is known only then. Where
        one is of the rule that says what an offence earns, rules that borrow that offence follow it.
        """
        found = self.model_copy()
        leading = {rule.id: catalogue.leads(rule) for rule in catalogue}
        found._followed = {
            rule: first.id for rule, first in leading.items() if first and first.id in self.rules.expect
        }
        overrides = ((one, told) for one, told in self.rules.expect.items() if one in catalogue.known)
        for rule_id, override in overrides:
            documented = [outcome.stage for outcome in catalogue.known[rule_id].expect]
            for outcome in override.outcome:
                refuses = outcome.treatment is not Treatment.PASS
                if refuses and all(later(stage, outcome.stage) is not stage for stage in documented):
                    found._refuses_until = later(found._refuses_until, outcome.stage)
        return found

    def settles(self, stage: Stage) -> Stage:
        """The stage from which on a client that was let through at `stage` is not refused for it any more."""
        if stage in TOLD_THERE:
            return stage
        told = later(self.dialect.tells(stage), self._refuses_until)
        greylisted = self.greylist is not None and told is Stage.RCPT
        return later(told, self.greylist.stage) if greylisted and self.greylist else told

    @property
    def patience(self) -> float:
        """Seconds in which a reply must have come: what one may take, beyond what this server holds back."""
        longest = max(self.server.reply_timeout, self.server.scan or 0.0)
        return longest + self.dialect.pause + self.dialect.refusals_take + self.policy.delay

    @property
    def looks_names_up(self) -> bool:
        """Whether the server finds its clients' names by itself: by XCLIENT it is told them."""
        return self.clients.route is not RouteName.XCLIENT


def _transport(table: EndpointTable) -> type[Transport]:
    if table.command:
        return Command
    return UnixSocket if table.socket else Tcp


def matches(rule_id: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns is about that rule."""
    return any(fnmatch.fnmatchcase(rule_id, pattern) for pattern in patterns)
