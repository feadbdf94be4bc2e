"""Which defects of the reference MTA show in a drawn server: by construction, not by trying."""

import fnmatch
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.mutations import MUTANTS, Mutant
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Check, Treatment
from harness.reference_mta.policy.dialect import spoken
from harness.truth.draw import Blacklist, Draw
from harness.truth.server import CHECKS, Site, configuration

OFFENCE_OF: Mapping[str, str] = {check: offence for offence, checks in CHECKS.items() for check in checks}
NOWHERE = Site(Path("state"), "127.0.0.1:53", hash_password("", cost=16))


@dataclass(frozen=True)
class Shown:
    """What a client sees of a treatment, as precisely as the profile describes it."""

    does: str
    late: bool = False
    marked: bool = False
    codes: tuple[int, str] | None = None


INNOCENT = Shown("accept")


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
        found = _check(policy or self.policy, rule)
        return self._seen(rule, found.then) if found else INNOCENT

    def _seen(self, rule: str, treatment: Treatment) -> Shown:
        late = treatment.delay >= 0.5 and self.drawn.delay > 0
        if not treatment.refuses:
            return Shown("accept", late, bool(treatment.mark) and self.drawn.mailbox != "none")
        kind = "defer" if treatment.code < 500 else "close" if treatment.drop else "refuse"
        offence = OFFENCE_OF.get(rule)
        named = offence is not None and self.drawn.refusal(offence) is not None
        status = treatment.status if self.drawn.codes in ("status", "several") else ""
        return Shown(kind, late, codes=(treatment.code, status) if named else None)

    def punishes(self, rule: str) -> bool:
        """Whether a client sees a difference to an innocent one whose case falls under a rule."""
        return self.shown(rule) != INNOCENT

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
        """Whether two lists, or one, are enough."""
        return bool(self.pairs) or len(self.single) < len(self.black)


Condition = Callable[[Built], bool]


def _check(policy: Policy, rule: str) -> Check | None:
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
    )
    found = [question.checks[rule] for question in questions if rule in question.checks]
    found += [check for check in (policy.header, *policy.bounces.values()) if check.rule == rule]
    return found[0] if found else None


def _punished(rule: str) -> Condition:
    return lambda built: built.punishes(rule)


def _told_apart(one: str, other: str) -> Condition:
    return lambda built: built.shown(one) != built.shown(other)


def _stays_connected(built: Built) -> bool:
    """Whether a client can go on after a greeting with a bare address."""
    return built.drawn.told != "at once" or built.shown("helo.plain-ip").does != "close"


def _fails_open(built: Built) -> bool:
    """Whether it shows that a list which fails counts as a hit: only by a refusal."""
    one, two = (built.shown(rule).does != "accept" for rule in ("dnsbl.one", "dnsbl.two"))
    alone = (one and bool(built.single)) or (two and len(built.single) < len(built.black))
    return alone or (two and not one and bool(built.pairs))


def _stops(built: Built) -> bool:
    """Whether there is a list that is not asked any more."""
    if built.drawn.asks != "in order" or built.drawn.white != "none":
        return False
    weight = 0
    for number, entry in enumerate(sorted(built.black, key=lambda entry: entry.weight), 1):
        weight += entry.weight
        if weight >= built.drawn.threshold:
            return number < len(built.black)
    return False


def _counts_zones(built: Built) -> bool:
    """Whether a group would reach the threshold if each of its zones counted."""
    groups = [entry for entry in built.single if len(entry.zones) > 1]
    return any(entry.weight * len(entry.zones) >= built.drawn.threshold for entry in groups)


# What must be so for a rule to be told at all. A rule that is not here can always be told.
TOLD: Mapping[str, Condition] = {
    "helo.plain-ip-sticky": _stays_connected,
    "dnsbl.none": lambda built: bool(built.black),
    "dnsbl.one": lambda built: bool(built.single),
    "dnsbl.two": lambda built: built.reaches,
    "dnsbl.group-counts-once": _counts_zones,
    "dnsbl.threshold-stops": _stops,
    "dnsbl.not-before-rcpt": lambda built: bool(built.black),
    "dnsbl.authenticated-exempt": lambda built: (
        bool(built.black) and built.drawn.tls and built.drawn.account != "none"
    ),
    "dnsbl.test-point": lambda built: bool(built.black) and built.enough(*built.black),
    "dnsbl.fail-open": _fails_open,
}

# What must be so for a defect to show that does not merely treat the cases of its rule otherwise.
SHOWS: Mapping[str, Condition] = {
    "connect.rdns-confirmed:weak-*": _punished("connect.rdns-mismatch"),
    "helo.*:weak-ehlo-only": lambda built: True,
    "helo.plain-ip:strict-digits": _punished("helo.plain-ip"),
    "helo.plain-ip:weak-own-only": _punished("helo.plain-ip"),
    "helo.plain-ip-sticky:weak-once": _punished("helo.plain-ip-sticky"),
    "helo.plain-ip-sticky:strict-address": _punished("helo.plain-ip-sticky"),
    "helo.own-domain:weak-case": _punished("helo.own-domain"),
    "helo.own-domain:weak-first-only": lambda built: (
        built.punishes("helo.own-domain") and built.drawn.domains > 1
    ),
    "helo.own-domain:strict-prefix": _punished("helo.own-domain"),
    "helo.own-primary:weak-localhost": _punished("helo.own-primary"),
    "helo.forward-match:off": _punished("helo.dns-mismatch"),
    "helo.dns-mismatch:weak-any-address": _told_apart("helo.dns-mismatch", "helo.reverse-match"),
    "helo.dns-mismatch:weak-any-ptr": _told_apart("helo.dns-mismatch", "helo.reverse-match"),
    "helo.no-aaaa-stall:off": _punished("helo.dns-mismatch"),
    "dnsbl.one:weak-nameless-mark": lambda built: built.shown("dnsbl.one").marked,
    "dnsbl.one:weak-ipv4-only": lambda built: built.drawn.ipv6 and built.punishes("dnsbl.one"),
    "dnsbl.two:weak-no-text": lambda built: built.shown("dnsbl.two").does != "accept",
    "dnsbl.two:weak-one-name": lambda built: built.shown("dnsbl.two").does != "accept" and bool(built.pairs),
    "dnsbl.group-counts-once:off": _told_apart("dnsbl.group-counts-once", "dnsbl.two"),
    "dnsbl.threshold-stops:off": lambda built: True,
    "dnsbl.not-before-rcpt:off": lambda built: True,
    "dnsbl.authenticated-exempt:off": lambda built: True,
    "dnsbl.fail-open:off": lambda built: True,
}


def showing(drawn: Draw) -> Iterator[Mutant]:
    """The defects that show in such a server."""
    built = Built.of(drawn)
    for mutant in MUTANTS:
        if _shows(built, mutant):
            yield mutant


def _shows(built: Built, mutant: Mutant) -> bool:
    offence = OFFENCE_OF.get(mutant.rule)
    answer = built.drawn.answer(offence) if offence else None
    if answer and answer.marked and built.drawn.mailbox == "none":
        return False  # nothing of such a rule can be told without a mailbox
    if mutant.rule in TOLD and not TOLD[mutant.rule](built):
        return False
    broken = mutant.change(built.policy)
    before, after = _check(built.policy, mutant.rule), _check(broken, mutant.rule)
    if before != after:
        return built.shown(mutant.rule) != built.shown(mutant.rule, broken)
    conditions = [shows for name, shows in SHOWS.items() if fnmatch.fnmatchcase(mutant.name, name)]
    if mutant.kind == "weak-ehlo-only":
        conditions.append(_punished(mutant.rule))
    return bool(conditions) and all(shows(built) for shows in conditions)
