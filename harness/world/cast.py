"""What a profile describes several of, so that scenarios try each: lists, zones, domains, characters."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from harness.offence import Offence
from harness.world.internet import known_patterns
from harness.world.sut import BlockList, Sut
from harness.world.unfit_aliases import why_none


@dataclass(frozen=True)
class NothingDescribed:
    """Stands for the one that would be tried if the profile described any."""

    reason: str
    is_missed: bool = True  # or else other cases tell of the rule as well


@dataclass(frozen=True)
class Zone:
    """One zone of a block list."""

    blocklist: BlockList
    number: int  # among the list's zones

    def __str__(self) -> str:
        """Its name."""
        return self.blocklist.zones[self.number]


Parts = Iterable[tuple[str, object]]  # what each is called, and the thing itself


def _blocklists(sut: Sut) -> Parts:
    return ((entry.name, entry) for entry in sut.dnsbl if entry.weight > 0)


def _white_lists(sut: Sut) -> Parts:
    return ((entry.name, entry) for entry in sut.dnsbl if entry.weight < 0)


def _zones(sut: Sut) -> Parts:
    """Every zone, and the first of a list for each further answer of it that counts."""
    for entry in sut.dnsbl:
        if entry.weight > 0:
            zones = [Zone(entry, number) for number in range(len(entry.zones))]
            yield from ((str(zone), zone) for zone in zones)
            for answer in entry.further:
                yield f"{entry.zones[0]} with {answer}", Zone(replace(entry, answer=answer), 0)


def _groups(sut: Sut) -> Parts:
    return ((entry.name, entry) for entry in sut.dnsbl if entry.weight > 0 and len(entry.zones) > 1)


def _last_straws(sut: Sut) -> Parts:
    """Lists that are enough together and not without the last: every such pair, and for each list some.

    Of a list that makes no pair those stand before it which weigh most without being enough.
    """
    lists = [entry for entry in sut.dnsbl if entry.weight > 0 and sut.earned_by(entry) is Offence.LISTED]
    paired = set()
    for one, other in itertools.combinations(lists, 2):
        if sut.earned_by(one, other) is Offence.LISTED_ENOUGH:
            paired |= {one, other}
            yield f"{one.name} and {other.name}", (one, other)
    threshold = sut.profile.dialect.threshold
    shown = set()
    for last in [one for one in lists if one not in paired]:
        others = sut.most_below([one for one in lists if one != last], threshold)
        together = (*others, last)
        if sut.earned_by(*together) is Offence.LISTED_ENOUGH and frozenset(together) not in shown:
            shown.add(frozenset(together))
            yield " and ".join(one.name for one in together), together


def _just_below(sut: Sut) -> Parts:
    """The lists, several of them, that weigh most together without being enough."""
    lists = sut.most_below([entry for entry in sut.dnsbl if entry.weight > 0], sut.profile.dialect.threshold)
    if len(lists) > 1:
        yield " and ".join(one.name for one in lists), lists


def _selective_lists(sut: Sut) -> Parts:
    """The block lists some of whose answers say nothing."""
    return ((entry.name, entry) for entry in sut.dnsbl if entry.weight > 0 and entry.unread)


def _domains(sut: Sut) -> Parts:
    return ((domain.name, domain) for domain in sut.profile.domain)


def _strict_domains(sut: Sut) -> Parts:
    return ((domain.name, domain) for domain in sut.profile.domain if not domain.takes_everyone)


def _bounce_domains(sut: Sut) -> Parts:
    return ((domain.name, domain) for domain in sut.profile.domain if domain.bounce_recipients is not None)


def _listless_domains(sut: Sut) -> Parts:
    listless = [one for one in sut.profile.domain if one.bounce_recipients is None]
    return ((domain.name, domain) for domain in listless if sut.no_postmaster(domain))


def _plain_domains(sut: Sut) -> Parts:
    """Those that refuse unknown users; that one with aliases does is a rule of its own, if others do."""
    strict = [domain for domain in sut.profile.domain if not domain.takes_everyone]
    return ((domain.name, domain) for domain in [one for one in strict if not one.aliases] or strict)


def _themselves(addresses: Callable[[Sut], Iterable[str]]) -> Callable[[Sut], Parts]:
    return lambda sut: ((address, address) for address in addresses(sut))


def _trusted_networks(sut: Sut) -> Parts:
    return ((str(network), network) for network in sut.profile.clients.trusted)


def _known_patterns(sut: Sut) -> Parts:
    return ((pattern, pattern) for pattern in known_patterns(sut.profile))


def _boundless_domains(sut: Sut) -> Parts:
    return ((domain.name, domain) for domain in sut.profile.domain if domain.takes_everyone)


def _illegal_characters(sut: Sut) -> Parts:
    return ((NAMES.get(one, one), one) for one in dict.fromkeys(sut.profile.policy.illegal_characters))


def _aliases(sut: Sut) -> Parts:
    return ((alias.address, alias) for alias in sut.mail.aliases)


def _aliases_for_many(sut: Sut) -> Parts:
    return ((alias.address, alias) for alias in sut.mail.aliases_for_many)


def _leading(sut: Sut) -> Parts:
    rest = sut.mail.catch_alls  # whose addresses are others in each run
    return ((f"the rest of {one.domain}" if one in rest else one.address, one) for one in sut.mail.leading)


def _catch_alls(sut: Sut) -> Parts:
    return ((rest.domain, rest) for rest in sut.mail.catch_alls)


def _without_catch_alls(sut: Sut) -> Parts:
    return ((nobody.rpartition("@")[2], (known, nobody)) for known, nobody in sut.mail.without_catch_alls)


def _outsiders(sut: Sut) -> Parts:
    directory = sut.profile.directory
    return ((account.user, account) for account in (directory.other_class if directory else ()))


def _odd_accounts(sut: Sut) -> Parts:
    directory = sut.profile.directory
    return ((account.user, account) for account in (directory.odd_name if directory else ()))


def _namesakes(sut: Sut) -> Parts:
    return ((f"{one} and {other}", (one, other)) for one, other in sut.mail.namesakes)


NAMES = {
    "@": "at",
    "%": "percent",
    "!": "bang",
    "/": "slash",
    "|": "pipe",
    "#": "hash",
    "*": "star",
    "?": "query",
}

SERIES: Mapping[str, tuple[Callable[[Sut], Parts], str | Callable[[Sut], str]]] = {
    "blocklist": (_blocklists, "the profile has no [[dnsbl]] list with a weight above 0"),
    "white_list": (_white_lists, "no [[dnsbl]] of the profile has a weight below 0, as a white list has"),
    "zone": (_zones, "the profile has no [[dnsbl]] list with a weight above 0"),
    "group": (_groups, "no [[dnsbl]] of the profile is a group of several zones"),
    "selective_list": (_selective_lists, "no [[dnsbl]] of the profile has answers that count for none"),
    "last_straw": (_last_straws, "no [[dnsbl]] lists weigh enough together and less without one of them"),
    "just_below": (_just_below, "no two [[dnsbl]] lists together weigh less than dialect.threshold"),
    "domain": (_domains, "the profile has no [[domain]]"),
    "strict_domain": (
        _strict_domains,
        'every [[domain]] takes every local part (catch_all, or an alias "*"), so nobody is unknown here',
    ),
    "plain_domain": (
        _plain_domains,
        'every [[domain]] takes every local part (catch_all, or an alias "*"), so nobody is unknown here',
    ),
    "boundless_domain": (
        _boundless_domains,
        "no [[domain]] has catch_all = true, so a refused local part may just be an unknown user",
    ),
    "trusted_network": (_trusted_networks, "clients.trusted names no relay host"),
    "known_pattern": (_known_patterns, "greylist.whitelist_hosts has no pattern of a reserved name"),
    "bounce_domain": (_bounce_domains, "no [[domain]] of the profile has bounce_recipients"),
    "who_sends": (
        _themselves(lambda sut: sut.who_sends),
        "no user of any [[domain]] is in its bounce_recipients, postmaster apart; add one",
    ),
    "who_never_sends": (
        _themselves(lambda sut: sut.who_never_sends),
        "every user of a [[domain]] with bounce_recipients is in some of them; add one who is not",
    ),
    "who_sends_elsewhere": (
        _themselves(lambda sut: sut.who_sends_elsewhere),
        "no user of a [[domain]] has a name that is in the bounce_recipients of another one only",
    ),
    "postmaster": (
        _themselves(lambda sut: sut.postmasters),
        "no [[domain]] has postmaster among its users and its bounce_recipients",
    ),
    "listless_domain": (
        _listless_domains,
        "every [[domain]] has bounce_recipients, or nobody but postmaster; describe one without, and a user",
    ),
    "alias": (_aliases, lambda sut: why_none(sut.mail, many=False)),
    "alias_for_many": (_aliases_for_many, lambda sut: why_none(sut.mail, many=True)),
    "leading": (_leading, lambda sut: why_none(sut.mail, many=False)),
    "catch_all": (
        _catch_alls,
        'no [[domain]] takes every local part, by an alias "*" for one of its users or by catch_all',
    ),
    "without_catch_all": (_without_catch_alls, "every [[domain]] has no aliases, or takes every local part"),
    "namesakes": (
        _namesakes,
        "no alias of one name leads to users in two [[domain]]s who have different mailboxes",
    ),
    "outsider": (_outsiders, "the profile has no [[directory.other_class]]"),
    "odd_account": (
        _odd_accounts,
        "the profile has no [[directory.odd_name]]; describe an account whose name has such characters",
    ),
    "illegal_character": (_illegal_characters, "policy.illegal_characters names none"),
}


NEVER_MISSED = frozenset({"white_list", "selective_list", "just_below"})  # they vary what others show


def each_of(name: str, sut: Sut) -> list[tuple[str, object]]:
    """Everything of that name that the profile describes, or what stands for it when there is nothing."""
    describe, without = SERIES[name]
    if found := list(describe(sut)):
        return found
    reason = without if isinstance(without, str) else without(sut)
    return [("none described", NothingDescribed(reason, name not in NEVER_MISSED))]
