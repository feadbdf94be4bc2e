"""A drawn server as the reference MTA would have it: what a client sees whose case falls under a rule."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Check, Treatment
from harness.reference_mta.policy.dialect import spoken
from harness.settings.secret import Secret
from harness.truth.draw import Blacklist, Draw, HostedDomain
from harness.truth.server import CHECKS, Site, configuration

OFFENCE_OF: Mapping[str, str] = {check: offence for offence, checks in CHECKS.items() for check in checks}
NOWHERE = Site(Path("state"), "127.0.0.1:53", Secret(hash_password("", cost=16)))


@dataclass(frozen=True)
class Shown:
    """What a client sees of a treatment, as precisely as the profile describes it."""

    does: str
    late: bool = False
    marked: bool = False
    codes: tuple[int, str] | None = None

    @property
    def refuses(self) -> bool:
        """Whether the client is told no."""
        return self.does != "accept"


INNOCENT = Shown("accept")
POSTMASTER = "postmaster"
CAUSES = {  # of a delay that comes again: the rule that it is earned by
    "connect": "connect.rdns-missing",
    "helo": "helo.not-fqdn",
    "literal": "helo.ip-literal",
    "unconfirmed": "helo.dns-mismatch",
}


def differs(promised: Shown, met: Shown) -> bool:
    """Whether it shows that a client meets something else than is promised; a mark is not looked for then."""
    return replace(met, marked=met.marked and promised.marked) != promised


@dataclass(frozen=True)
class Built:
    """A drawn server as the reference MTA would have it."""

    drawn: Draw
    policy: Policy

    @classmethod
    def of(cls, drawn: Draw) -> "Built":
        """Its policy, from its configuration."""
        content = tomllib.loads(configuration(drawn, NOWHERE))
        return cls(drawn, spoken(settings.check("server.toml", content, Config)))

    def shown(self, rule: str, policy: Policy | None = None) -> Shown:
        """What a client sees whose case falls under a rule."""
        found = check_of(policy or self.policy, rule)
        return self._seen(rule, found.then) if found else INNOCENT

    def _seen(self, rule: str, treatment: Treatment) -> Shown:
        late = treatment.delay >= 0.5 and self.drawn.delay > 0
        if not treatment.refuses:
            return Shown("accept", late, bool(treatment.mark) and self.drawn.mailbox != "none")
        kind = "defer" if treatment.code < 500 else "close" if treatment.drop else "refuse"
        offence = OFFENCE_OF.get(rule)
        if rule.startswith("greylist.") and offence is None:  # the code of what is put off is always named
            return Shown(kind, late, codes=(treatment.code, ""))
        named = offence is not None and self.drawn.refusal(offence) is not None
        status = treatment.status if self.drawn.codes in ("status", "several") else ""
        return Shown(kind, late, codes=(treatment.code, status) if named else None)

    def punishes(self, rule: str) -> bool:
        """Whether it shows that an innocent client's case falls under a rule."""
        return differs(INNOCENT, self.shown(rule))

    def delays(self, cause: str) -> bool:
        """Whether an offence by which scenarios earn a delay earns that and nothing worse."""
        shown = self.shown(CAUSES[cause])
        return shown.does == "accept" and shown.late

    @property
    def delays_any(self) -> bool:
        """Whether any of them does."""
        return any(map(self.delays, CAUSES))

    def repeats(self, stage: str) -> bool:
        """Whether a delay that was earned before comes again at that stage."""
        return self.shown(f"{stage}.delay-repeated").late

    # Domains

    @property
    def boundless(self) -> list[HostedDomain]:
        """The domains that take every local part."""
        return [one for one in self.drawn.hosted if one.takes_all or "*" in dict(one.aliases)]

    @property
    def strict(self) -> list[HostedDomain]:
        """The domains that do not."""
        return [one for one in self.drawn.hosted if one not in self.boundless]

    @property
    def _listed(self) -> list[tuple[HostedDomain, tuple[str, ...]]]:
        """The domains with a list of senders, and that."""
        return [(one, one.senders) for one in self.drawn.hosted if one.senders is not None]

    @property
    def some_send(self) -> bool:
        """Whether anybody but postmaster is on a list of senders; all who are have a mailbox."""
        return any(name != POSTMASTER for _, senders in self._listed for name in senders)

    @property
    def some_never_send(self) -> bool:
        """Whether a domain with a list takes mail for anybody who is on no list."""
        return any(map(self._some_never_send_at, (one for one, _ in self._listed)))

    @property
    def some_send_and_some_never_do(self) -> bool:
        """Whether such a domain takes mail, and so bounces, for one who is on its list as well."""
        return any(
            self._some_never_send_at(one) and (one in self.boundless or {*one.users} & {*senders})
            for one, senders in self._listed
        )

    def _some_never_send_at(self, domain: HostedDomain) -> bool:
        sending = {name for _, senders in self._listed for name in senders}
        return domain in self.boundless or bool({*domain.users} - sending - {POSTMASTER})

    @property
    def has_second_users(self) -> bool:
        """Whether each domain has two users, postmaster among them."""
        return self.drawn.users > 1 or self.drawn.postmaster

    @property
    def some_send_elsewhere(self) -> bool:
        """Whether anybody but postmaster is on the list of another domain, and not on that of his own."""
        return any(
            name not in senders and name != POSTMASTER
            for _, senders in self._listed
            for _, others in self._listed
            for name in others
        )

    @property
    def postmaster_sends(self) -> bool:
        """Whether a postmaster is on his domain's list, and known to be there."""
        known = [one for one, senders in self._listed if POSTMASTER in senders]
        return any(one in self.boundless or POSTMASTER in one.users for one in known)

    @property
    def bounces_are_taken(self) -> bool:
        """Whether there is anybody, postmaster aside, who gets bounces, and at once."""
        without_list = self.shown("bounce.no-list")
        return self.some_send or not (self._listed or without_list.refuses or without_list.late)

    # Mail that is delivered

    @property
    def keeps_mail(self) -> bool:
        """Whether its mailboxes can be read."""
        return self.drawn.mailbox != "none"

    @property
    def names_several(self) -> bool:
        """Whether there is an alias for several users."""
        return any(len(targets) > 1 for one in self.drawn.hosted for _, targets in one.aliases)

    @property
    def leads_the_rest(self) -> bool:
        """Whether a domain says who gets what nobody has."""
        return any(name == "*" for one in self.drawn.hosted for name, _ in one.aliases)

    @property
    def has_bystanders(self) -> bool:
        """Whether each domain has a user beside the one whom its aliases lead to."""
        return len(self.drawn.hosted[0].users) > 1

    # Block lists

    @property
    def black(self) -> list[Blacklist]:
        """The lists that speak against a client."""
        return [entry for entry in self.drawn.asked if entry.weight > 0]

    def enough(self, *lists: Blacklist) -> bool:
        """Whether these lists together reach the threshold."""
        return sum(entry.weight for entry in lists) >= self.drawn.threshold

    @property
    def single(self) -> list[Blacklist]:
        """Those that are not enough by themselves."""
        return [entry for entry in self.black if not self.enough(entry)]

    @property
    def pairs(self) -> list[tuple[Blacklist, Blacklist]]:
        """Two that are enough together, and neither of them alone."""
        return [pair for pair in combinations(self.single, 2) if self.enough(*pair)]

    @property
    def reaches(self) -> bool:
        """Whether all lists together are enough."""
        return self.enough(*self.black)


def check_of(policy: Policy, rule: str) -> Check | None:
    """What a policy does about the cases of a rule; None where it has no check of it."""
    questions = (
        *policy.connect,
        *policy.helo,
        *policy.credentials,
        *policy.mail_first,
        *policy.mail,
        *policy.rcpt_first,
        *policy.rcpt,
        *policy.user,
        *policy.listed,
        *policy.greylist,
        *policy.content,
        *policy.bounces,
    )
    found = [question.checks[rule] for question in questions if rule in question.checks]
    return found[0] if found else None
