"""Which defects of the reference MTA show in a drawn server: by construction, not by trying."""

import fnmatch
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations

from harness.reference_mta.certificate import SOUND
from harness.reference_mta.defects import MUTANTS, Mutant
from harness.reference_mta.policy.checks import Check
from harness.truth.built import INNOCENT, OFFENCE_OF, Built, check_of, differs
from harness.truth.draw import Blacklist, Draw

DISGUISED = ("percent", "bang", "route", "quoted", "two-ats")  # as the kinds of the defects are called
MARKS = ("dnsbl.none", "dnsbl.one")  # whose scenarios look for a mark whatever the profile says

Condition = Callable[[Built], bool]


def _punished(rule: str) -> Condition:
    return lambda built: built.punishes(rule)


def _told_apart(rule: str, other: str) -> Condition:
    """Whether it shows that a case of a rule is treated as one of another."""
    return lambda built: differs(built.shown(rule), built.shown(other))


def _missed(rule: str) -> Condition:
    """Whether it shows that a case of a rule is treated as an innocent one."""
    return lambda built: differs(built.shown(rule), INNOCENT)


def _always(built: Built) -> bool:
    return True


def _has_account(built: Built) -> bool:
    return built.drawn.tls and built.drawn.account != "none"


def _has_relay_hosts(built: Built) -> bool:
    return built.drawn.trusted


def _goes_by_senders(built: Built) -> bool:
    """Whether the greylist does not know a client any more by another sender, of another domain at least."""
    return not {"sender", "sender domain"}.isdisjoint(built.drawn.greylist_parts)


def _goes_by_recipients(built: Built) -> bool:
    """The same of another recipient."""
    return "recipient" in built.drawn.greylist_parts


def _counts_different_recipients(built: Built) -> bool:
    """Whether a message can have one recipient too many, all different, without a word of the greylist."""
    drawn = built.drawn
    put_off = drawn.greylist == "rcpt" and not drawn.greylist_hosts and _goes_by_recipients(built)
    return not put_off and (bool(built.boundless) or drawn.users > drawn.most_recipients)


def _refuses_beside_the_greylist(built: Built) -> bool:
    """Whether a client on all lists is refused for good, and before the greylist has its say."""
    refused = built.shown("dnsbl.two").does in ("refuse", "close") and bool(built.black)
    return refused and built.enough(*built.black) and not built.drawn.greylist_first


def _tells_unknown_users(built: Built) -> bool:
    """Whether a local part that nobody has is refused for good."""
    return bool(built.strict) and built.shown("rcpt.unknown-user").does in ("refuse", "close")


def _refuses_by_recipient(built: Built) -> bool:
    """Whether each recipient of a message is told by itself that it is refused."""
    return built.drawn.told != "data"


def _several_are_delayed(built: Built) -> bool:
    """Whether clients with different offences are seen to be delayed and let through."""
    delayed = {
        offence
        for rule, offence in OFFENCE_OF.items()
        if rule.startswith(("connect.", "helo."))
        and (shown := built.shown(rule)).late
        and not (shown.refuses or _is_marked_unseen(built, rule))
    }
    return len(delayed) > 1


def _stays_connected(built: Built) -> bool:
    """Whether a client can go on after a greeting with a bare address."""
    return built.drawn.told != "at once" or built.shown("helo.plain-ip").does != "close"


def _own_names_show_without_dots(built: Built) -> bool:
    """Whether an answer to localhost, which has no dot either, says which of the two it is for."""
    own, undotted = built.shown("helo.own-primary"), built.shown("helo.not-fqdn")
    if _is_marked_unseen(built, "helo.not-fqdn"):
        return False
    if undotted == INNOCENT or replace(own, codes=None) != replace(undotted, codes=None):
        return True
    named = own.codes and undotted.codes and built.drawn.codes != "several"
    return bool(named) and not {*map(str, own.codes or ())} & {*map(str, undotted.codes or ())}


def _is_marked_unseen(built: Built, rule: str) -> bool:
    """Whether what a case of a rule earns is a mark, in mail that cannot be read."""
    found = check_of(built.policy, rule)
    return bool(found and found.then.mark) and not built.keeps_mail


def _fails_open(built: Built) -> bool:
    """Whether it shows that a list which fails counts as a hit: alone, or where one more is one too many."""
    for entry in built.black:
        if built.shown("dnsbl.two" if built.enough(entry) else "dnsbl.one") != INNOCENT:
            return True
    if built.shown("dnsbl.one").refuses or not _told_apart("dnsbl.one", "dnsbl.two")(built):
        return False
    return any(
        built.enough(entry, *others)
        for entry in built.black
        for others in _some_of(built.black, without=entry)
        if others and not built.enough(*others)
    )


def _counts_again(built: Built) -> bool:
    """Whether a listing that counts at each recipient is enough at the second, and refused for only there."""
    second = built.drawn.users > 1 or built.drawn.domains > 1
    twice = any(2 * entry.weight >= built.drawn.threshold for entry in built.single)
    there = second and built.drawn.most_recipients > 1 and twice
    return there and not built.shown("dnsbl.one").refuses and built.shown("dnsbl.two").refuses


def _is_boundless_before_the_last(built: Built) -> bool:
    """Whether another domain than the last takes every local part."""
    return any(domain.name != built.drawn.hosted[-1].name for domain in built.boundless)


def _reads_some_answers(built: Built) -> bool:
    """Whether some answer of a list that counts for none of its zone's shows when it does count."""
    return any(entry.answers and built.punishes(_earned(built, entry)) for entry in built.black)


def _earned(built: Built, *lists: Blacklist) -> str:
    """The rule about a client on these lists."""
    return "dnsbl.two" if built.enough(*lists) else "dnsbl.one"


def _is_one_short(built: Built) -> bool:
    """Whether one hit less than enough, by a list or by as many as are not enough, shows to be too many."""
    below = built.drawn.threshold - 1
    heaviest = max(
        (weight for weight in _weights(built) if weight <= below),
        default=0,
    )
    return heaviest == below > 0 and _told_apart("dnsbl.one", "dnsbl.two")(built)


def _is_just_enough(built: Built) -> bool:
    """Whether lists that are enough, as they are tried together, would not be for one hit more."""
    threshold = built.drawn.threshold
    tried = [[entry.weight] for entry in built.black]
    tried += [[one.weight, other.weight] for one, other in built.pairs]
    tried.append([entry.weight for entry in built.black])
    for last in built.single:
        if not any(last in pair for pair in built.pairs):
            others = _some_of(built.single, without=last)
            below = (sum(one.weight for one in some) for some in others if not built.enough(*some))
            tried.append([max(below), last.weight])
    return any(sum(weights) == threshold for weights in tried) and _told_apart("dnsbl.two", "dnsbl.one")(
        built
    )


def _weights(built: Built) -> Iterator[int]:
    """What some of the block lists weigh together, whichever these are."""
    numbers = range(1, len(built.black) + 1)
    chosen = chain.from_iterable(combinations(built.black, number) for number in numbers)
    return (sum(entry.weight for entry in lists) for lists in chosen)


def _some_of(lists: list[Blacklist], without: Blacklist) -> Iterator[tuple[Blacklist, ...]]:
    """Every choice of some of the other lists, none among them."""
    others = [entry for entry in lists if entry != without]
    return chain.from_iterable(combinations(others, number) for number in range(len(others) + 1))


def _stops(built: Built) -> bool:
    """Whether there is a list that is not asked any more, and what enough of them earn is seen."""
    if built.drawn.asks != "in order" or built.drawn.white != "none" or _is_marked_unseen(built, "dnsbl.two"):
        return False
    weight = 0
    lists = list({entry.zones: entry for entry in reversed(built.black)}.values())  # the first of each zone
    for number, entry in enumerate(sorted(lists, key=lambda entry: entry.weight), 1):
        weight += entry.weight
        if weight >= built.drawn.threshold:
            return number < len(lists)
    return False


def _counts_zones(built: Built) -> bool:
    """Whether a group would reach the threshold if each of its zones counted, with other lists or alone."""
    return any(
        not built.enough(group, *others) and built.enough(*[group] * len(group.zones), *others)
        for group in built.black
        if len(group.zones) > 1
        for others in _some_of(built.black, without=group)
    )


# What must be so for a rule to be told at all, by patterns of ids, or for a defect of it. What none fits can
# always be told.
TOLD: Mapping[str, Condition] = {
    "helo.plain-ip-sticky": lambda built: _stays_connected(built) and _missed("helo.plain-ip-sticky")(built),
    "*.delay-repeated": lambda built: built.delays_any,
    # Where refusals are told later than they are earned, it must show who refuses those that were delayed:
    # not the rule about their one offence, and not the other one of these two, where no delay comes before.
    "mail.delay-repeated:strict-deny": lambda built: (
        built.drawn.told == "at once"
        or (_several_are_delayed(built) and (built.drawn.told != "rcpt" or built.repeats("mail")))
    ),
    "rcpt.delay-repeated:strict-deny": lambda built: (
        built.drawn.told in ("at once", "mail")
        or (_several_are_delayed(built) and (built.drawn.told != "data" or built.repeats("mail")))
    ),
    "delay.no-early-reject": lambda built: built.delays("helo"),
    "rcpt.relay-trusted": _has_relay_hosts,
    "rcpt.relay-authenticated": _has_account,
    "rcpt.illegal-chars": lambda built: bool(built.boundless),
    "rcpt.leading-dot": lambda built: bool(built.boundless),
    "rcpt.too-many:off": _counts_different_recipients,
    "rcpt.unknown-user": lambda built: bool(built.strict),
    "delivery.no-catch-all": lambda built: any(domain.aliases for domain in built.strict),
    "delivery.alias": lambda built: built.keeps_mail and built.drawn.aliases != "none",
    "delivery.alias-many": lambda built: built.keeps_mail and built.names_several,
    "delivery.catch-all": lambda built: built.keeps_mail and built.leads_the_rest,
    "delivery.per-domain": lambda built: (
        built.keeps_mail and built.drawn.aliases != "none" and built.drawn.domains > 1
    ),
    "delivery.to-header-kept": lambda built: (
        built.keeps_mail and (built.drawn.aliases != "none" or built.leads_the_rest)
    ),
    "delivery.trace-headers": lambda built: built.keeps_mail,
    "delivery.maildir": lambda built: built.drawn.mailbox == "maildir",
    "delivery.mbox": lambda built: built.drawn.mailbox == "mbox",
    "bounce.bogus": lambda built: built.some_never_send,
    "bounce.postmaster-sender": lambda built: (
        built.some_never_send and _missed("bounce.postmaster-sender")(built)
    ),
    "bounce.legal": lambda built: built.some_send,
    "bounce.case-insensitive": lambda built: built.some_send,
    "bounce.tag*": lambda built: built.some_send,
    "bounce.postmaster-legal": lambda built: built.postmaster_sends,
    "bounce.tag-in-front": _missed("bounce.tag-in-front"),
    "bounce.per-domain": lambda built: built.some_send_elsewhere and _missed("bounce.per-domain")(built),
    "bounce.no-list": lambda built: any(domain.senders is None for domain in built.drawn.hosted),
    "dnsbl.*": lambda built: bool(built.black),
    "dnsbl.one": lambda built: bool(built.single),
    "dnsbl.two": lambda built: built.reaches,
    "dnsbl.group-counts-once": _counts_zones,
    "dnsbl.threshold-stops": _stops,
    "dnsbl.authenticated-exempt": _has_account,
    "dnsbl.test-point": lambda built: built.enough(*built.black),
    "dnsbl.fail-open": _fails_open,
    "greylist.*": lambda built: built.drawn.greylist != "none",
    "greylist.host-whitelist": lambda built: built.drawn.greylist_hosts,
    "greylist.relay-exempt": _has_relay_hosts,
    "greylist.authenticated-exempt": _has_account,
    "greylist.null-*": lambda built: built.bounces_are_taken,
    "greylist.null-not-at-rcpt": lambda built: built.drawn.greylist == "rcpt",
    "greylist.postmaster-at-rcpt": lambda built: built.bounces_are_taken,
    "greylist.after-other-checks": _refuses_beside_the_greylist,
    "tls.*": lambda built: built.drawn.tls,
    "auth.*": lambda built: built.drawn.tls,
    "auth.pla*": _has_account,
    "auth.wrong-password": _has_account,
    "auth.unknown-user": _has_account,
    "auth.from-anywhere": lambda built: _has_account(built) and built.drawn.trusted,
}

# What must be so for a defect to show that does not merely treat the cases of its rule otherwise.
SHOWS: Mapping[str, Condition] = {
    "connect.rdns-confirmed:weak-*": _punished("connect.rdns-mismatch"),
    "connect.rdns-missing:weak-ipv4-only": lambda built: (
        built.drawn.ipv6 and _missed("connect.rdns-missing")(built)
    ),
    "connect.rdns-temperror:weak-unanswered": _missed("connect.rdns-temperror"),
    "rcpt.*:weak-first-only": _refuses_by_recipient,
    "rcpt.relay-denied:weak-ipv6": lambda built: built.drawn.ipv6 and _missed("rcpt.relay-denied")(built),
    "rcpt.relay-denied:weak-first-only": lambda built: built.has_second_users or not built.strict,
    "rcpt.unknown-user:weak-first-only": lambda built: built.has_second_users,
    "bounce.bogus:weak-first-only": lambda built: (
        _refuses_by_recipient(built)
        and built.shown("bounce.bogus").refuses
        and built.some_send_and_some_never_do
    ),
    "*:weak-first-mail-only": _always,
    "bounce.bogus:weak-first-mail-only": _missed("bounce.bogus"),
    "rcpt.relay-denied:weak-first-mail-only": _missed("rcpt.relay-denied"),
    "rcpt.unknown-user:weak-first-mail-only": _missed("rcpt.unknown-user"),
    "mail.delay-repeated:weak-first-mail-only": lambda built: built.delays("helo") and built.repeats("mail"),
    "rcpt.delay-repeated:weak-first-mail-only": lambda built: built.delays("helo") and built.repeats("rcpt"),
    "*:weak-clear-only": lambda built: built.drawn.tls,
    "bounce.bogus:weak-clear-only": _missed("bounce.bogus"),
    "dnsbl.two:weak-clear-only": _missed("dnsbl.two"),
    "helo.not-fqdn:weak-clear-only": _missed("helo.not-fqdn"),
    "helo.dns-mismatch:weak-ipv4-only": lambda built: (
        built.drawn.ipv6 and _missed("helo.dns-mismatch")(built)
    ),
    "helo.*:weak-ehlo-only": _always,
    "helo.plain-ip:strict-digits": _punished("helo.plain-ip"),
    "helo.plain-ip:weak-own-only": _missed("helo.plain-ip"),
    "helo.plain-ip-sticky:weak-once": _missed("helo.plain-ip-sticky"),
    "helo.plain-ip-sticky:strict-address": _punished("helo.plain-ip-sticky"),
    "helo.own-domain:weak-case": _missed("helo.own-domain"),
    "helo.own-domain:weak-first-only": lambda built: (
        _missed("helo.own-domain")(built) and built.drawn.domains > 1
    ),
    "helo.own-domain:strict-prefix": _punished("helo.own-domain"),
    "helo.own-primary:weak-case": _missed("helo.own-primary"),
    "helo.ip-literal:weak-ipv4-only": lambda built: built.drawn.ipv6 and _missed("helo.ip-literal")(built),
    "helo.plain-ip:weak-ipv4-only": lambda built: built.drawn.ipv6 and built.shown("helo.plain-ip").refuses,
    "helo.own-primary:weak-localhost": lambda built: (
        _missed("helo.own-primary")(built) and _own_names_show_without_dots(built)
    ),
    # Where a borrowed name is held against the client, this defect hits everybody.
    "helo.forward-match:off": lambda built: (
        built.punishes("helo.dns-mismatch") and not built.punishes("helo.reverse-match")
    ),
    "helo.dns-mismatch:weak-any-address": _told_apart("helo.dns-mismatch", "helo.reverse-match"),
    "helo.dns-mismatch:weak-any-ptr": _told_apart("helo.dns-mismatch", "helo.reverse-match"),
    "helo.no-aaaa-stall:off": _punished("helo.dns-mismatch"),
    "helo.no-aaaa-stall:weak-stall": _always,
    "mail.no-helo:weak-refused": lambda built: (
        built.drawn.told == "at once"
        and built.shown("helo.own-domain").does in ("refuse", "defer")
        and built.shown("mail.no-helo").refuses
    ),
    "mail.delay-repeated:weak-connect-only": lambda built: built.delays("helo") and built.repeats("mail"),
    "mail.delay-repeated:weak-helo-only": lambda built: built.delays("connect") and built.repeats("mail"),
    "mail.delay-repeated:weak-no-literal": lambda built: built.delays("literal") and built.repeats("mail"),
    "mail.delay-repeated:weak-no-unconfirmed": lambda built: (
        built.delays("unconfirmed") and built.repeats("mail")
    ),
    "rcpt.delay-repeated:weak-connect-only": lambda built: built.delays("helo") and built.repeats("rcpt"),
    "rcpt.delay-repeated:weak-helo-only": lambda built: built.delays("connect") and built.repeats("rcpt"),
    "rcpt.delay-repeated:weak-no-literal": lambda built: built.delays("literal") and built.repeats("rcpt"),
    "rcpt.delay-repeated:weak-no-unconfirmed": lambda built: (
        built.delays("unconfirmed") and built.repeats("rcpt")
    ),
    "delay.no-early-reject:off": _always,
    # Whether a disguised address is taken at home or sent on shows where nobody is unknown otherwise.
    "rcpt.relay-denied:weak-own-sender": _always,
    "rcpt.relay-denied:weak-postmaster": _always,
    "rcpt.relay-denied:weak-null-sender": _always,
    **{f"rcpt.relay-denied:weak-{trick}": _tells_unknown_users for trick in DISGUISED},
    "rcpt.relay-trusted:weak-ipv4-only": _punished("rcpt.relay-denied"),
    "rcpt.relay-authenticated:weak-verified": lambda built: bool(built.strict),
    "rcpt.illegal-chars:weak-no-at": lambda built: "@" in built.drawn.illegal,
    "rcpt.illegal-chars:weak-no-percent": lambda built: "%" in built.drawn.illegal,
    "rcpt.illegal-chars:weak-no-bang": lambda built: "!" in built.drawn.illegal,
    "rcpt.illegal-chars:weak-no-slash": lambda built: "/" in built.drawn.illegal,
    "rcpt.illegal-chars:weak-no-pipe": lambda built: "|" in built.drawn.illegal,
    "rcpt.leading-dot:weak-quoted": _always,
    "rcpt.illegal-chars:weak-one-domain": _is_boundless_before_the_last,
    "rcpt.leading-dot:weak-one-domain": _is_boundless_before_the_last,
    "rcpt.too-many:strict-one-less": _punished("rcpt.too-many"),
    "bounce.postmaster-sender:weak-case": _missed("bounce.postmaster-sender"),
    "bounce.postmaster-sender:strict-prefix": _punished("bounce.postmaster-sender"),
    "bounce.tagged:weak-last": _punished("bounce.bogus"),
    "dnsbl.one:weak-nameless-mark": lambda built: (
        built.shown("dnsbl.one").marked and built.drawn.listed is None
    ),
    "dnsbl.one:weak-first-answer": lambda built: (
        built.drawn.answers == "a network" and _missed("dnsbl.one")(built)
    ),
    "dnsbl.one:weak-ipv4-only": lambda built: built.drawn.ipv6 and _missed("dnsbl.one")(built),
    "dnsbl.one:weak-textless": _missed("dnsbl.one"),
    "dnsbl.one:strict-adds-up": _counts_again,
    "dnsbl.one:strict-adds-up-by-mails": lambda built: (
        any(2 * entry.weight >= built.drawn.threshold for entry in built.single)
        and not built.shown("dnsbl.one").refuses
        and built.shown("dnsbl.two").refuses
    ),
    "dnsbl.none:strict-any-answer": _reads_some_answers,
    "dnsbl.one:strict-one-less": _is_one_short,
    "dnsbl.two:weak-one-more": _is_just_enough,
    "dnsbl.two:weak-textless": _missed("dnsbl.two"),
    "dnsbl.two:weak-no-bounces": lambda built: _missed("dnsbl.two")(built) and built.bounces_are_taken,
    "dnsbl.two:weak-no-text": lambda built: built.shown("dnsbl.two").does != "accept" and bool(built.pairs),
    "dnsbl.two:weak-one-name": lambda built: built.shown("dnsbl.two").does != "accept" and bool(built.pairs),
    "dnsbl.group-counts-once:off": _told_apart("dnsbl.group-counts-once", "dnsbl.two"),
    "dnsbl.threshold-stops:*": _always,
    "dnsbl.not-before-rcpt:*": _always,
    "dnsbl.authenticated-exempt:*": _always,
    "dnsbl.fail-open:off": _always,
    "greylist.first-defer:weak-greeting": lambda built: (
        built.drawn.greylist_hosts and not built.shown("helo.reverse-match").refuses
    ),
    "greylist.first-defer:weak-unconfirmed": lambda built: (
        built.drawn.greylist_hosts and not built.shown("connect.rdns-mismatch").refuses
    ),
    "greylist.first-defer:weak-ipv4-only": lambda built: built.drawn.ipv6,
    "greylist.early-retry:weak-short": _always,
    "greylist.early-retry:weak-hasty": _always,
    "greylist.retry-accept:strict-*timeout": _always,
    "greylist.retry-accept:strict-restarts": _always,
    "greylist.whitelisted:strict-lifetime": _always,
    "greylist.expired:strict-stuck": _always,
    "greylist.lifetime-expiry:strict-stuck": _always,
    "greylist.lifetime-extended:off": _always,
    "greylist.other-triplet:off": _always,
    "greylist.other-triplet:weak-no-client": _always,
    "greylist.other-triplet:weak-no-sender": _goes_by_senders,
    "greylist.other-triplet:weak-no-recipient": lambda built: (
        _goes_by_recipients(built) and (built.drawn.users > 1 or built.drawn.domains > 1)
    ),
    "greylist.other-triplet:weak-first-only": lambda built: (
        built.drawn.greylist == "rcpt"
        and _goes_by_recipients(built)
        and (built.drawn.users > 1 or built.drawn.domains > 1)
    ),
    "greylist.after-other-checks:off": _always,
    "greylist.case:off": lambda built: _goes_by_senders(built) or _goes_by_recipients(built),
    "greylist.host-whitelist:off": _always,
    "greylist.host-whitelist:weak-first-pattern": _always,
    "greylist.host-whitelist:weak-bounces": lambda built: built.bounces_are_taken,
    "greylist.relay-exempt:off": _always,
    "greylist.relay-exempt:weak-bounces": lambda built: built.bounces_are_taken,
    "greylist.authenticated-exempt:off": _always,
    "greylist.authenticated-exempt:weak-bounces": lambda built: (
        built.bounces_are_taken and built.drawn.account == "free"
    ),
    "greylist.null-not-at-rcpt:off": _always,
    "greylist.null-at-data:weak-any": _goes_by_senders,
    "greylist.daemon-down:weak-unnoticed": _always,
    "greylist.manual:off": _always,
    "data.header-syntax:weak-*": _missed("data.header-syntax"),
    "data.header-syntax:strict-*": _punished("data.header-syntax"),
    "data.header-syntax:strict-group": lambda built: built.shown("data.header-syntax").refuses,
    "tls.starttls-offered:*": _always,
    "tls.certificate:*": _always,
    "tls.state-reset:off": _missed("mail.no-helo"),
    "auth.*": _always,
    "absent.spf-reject:*": _always,
    "absent.mime-checks:off": _always,
    "delivery.no-catch-all:off": _missed("rcpt.unknown-user"),
    "delivery.alias:off": _always,
    "delivery.alias:weak-other": _always,
    "delivery.alias:strict-bystander": lambda built: built.has_bystanders,
    "delivery.alias-many:off": _always,
    "delivery.alias-many:weak-last": _always,
    "delivery.catch-all:off": _always,
    "delivery.catch-all:weak-*": _always,
    "delivery.catch-all:strict-users": lambda built: built.has_bystanders,
    "delivery.per-domain:off": _always,
    "delivery.to-header-kept:off": _always,
    "delivery.trace-headers:off": _always,
    "delivery.trace-headers:weak-no-*": _always,
    "delivery.trace-headers:weak-mailbox": lambda built: built.drawn.aliases != "none",
    "delivery.trace-headers:weak-everybody": lambda built: (
        built.drawn.aliases != "none" and built.has_bystanders
    ),
    "delivery.maildir:*": _always,
    "delivery.mbox:*": _always,
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
    if not all(told(built) for name in (mutant.rule, mutant.name) for told in _fitting(TOLD, name)):
        return False
    broken = mutant.change(built.policy)
    if broken == built.policy and mutant.flaws == SOUND:
        return False  # such a server is like that anyway
    before, after = check_of(built.policy, mutant.rule), check_of(broken, mutant.rule)
    if before and after and before != after and not _is_only_said_otherwise(before, after):
        promised, met = built.shown(mutant.rule), built.shown(mutant.rule, broken)
        return promised != met if mutant.rule in MARKS else differs(promised, met)
    conditions = [*_fitting(SHOWS, mutant.name)]
    if mutant.kind == "weak-ehlo-only":
        conditions.append(_missed(mutant.rule))
    return bool(conditions) and all(shows(built) for shows in conditions)


def _is_only_said_otherwise(before: Check, after: Check) -> bool:
    """Whether nothing differs but the words of a refusal, or of a mark."""
    marks = bool(before.then.mark) == bool(after.then.mark)
    same = replace(after.then, words=before.then.words, mark=before.then.mark)
    return marks and same == before.then


def _fitting(table: Mapping[str, Condition], name: str) -> Iterator[Condition]:
    return (condition for pattern, condition in table.items() if fnmatch.fnmatchcase(name, pattern))
