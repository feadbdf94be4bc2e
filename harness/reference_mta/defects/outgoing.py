"""Mutants of the rules about mail for others: where it goes, what is tried again, what comes back.

Each is for one way of sending, the [outgoing] route of the servers that its rule is about, and shows there.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from harness.reference_mta.config import Config
from harness.reference_mta.defects.kinds import Mutant, joined
from harness.reference_mta.defects.parts import Part, always, exchanged
from harness.reference_mta.mail.delivery_result import DeliveryResult, State, later
from harness.reference_mta.mail.hosts import NOT_SUPPORTED, Finder, Host, mx_records
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import QueueEntry
from harness.reference_mta.mail.reports import ReportParts
from harness.reference_mta.mail.retrying import Results
from harness.reference_mta.mail.routing import Routes, RoutingParts
from harness.reference_mta.resolver import Lookup

OUTSIDE = "127.63.0.2"  # stands for an address that strangers can reach
Hosts = tuple[Host, ...]
Find = Callable[[Finder, str], Awaitable[Hosts]]


# Where it goes


def _finding(
    rule: str,
    kind: str,
    description: str,
    route: str,
    other: Callable[[Find, Finder, str], Awaitable[Hosts]],
    *,
    ours: bool = False,
) -> Mutant:
    """Mail that is sent by that route goes to other hosts: that for others, or with `ours` for us."""

    def meant(finder: Finder, domain: str) -> bool:
        return finder.config.outgoing.route == route and bool(finder.config.hosted(domain)) == ours

    def misleading(sound: Find) -> Find:
        async def hosts(finder: Finder, domain: str) -> Hosts:
            return await (other(sound, finder, domain) if meant(finder, domain) else sound(finder, domain))

        return hosts

    return exchanged(
        rule, kind, description, "finding.hosts", misleading, lambda found, *given: meant(*given)
    )


async def _by_dns(_: Find, finder: Finder, domain: str) -> Hosts:
    return await finder.parts.by_dns(finder, domain)


async def _by_dns_where_it_has_mx(sound: Find, finder: Finder, domain: str) -> Hosts:
    answer = await finder.resolver.ask(domain, "MX")
    found = answer.lookup is Lookup.FOUND
    return await (finder.parts.by_dns if found else sound)(finder, domain)


async def _to_the_smarthost(sound: Find, finder: Finder, domain: str) -> Hosts:
    smarthost = finder.config.outgoing.smarthost
    return (Host(smarthost[0], *smarthost),) if smarthost else await sound(finder, domain)


async def _put_off(sound: Find, finder: Finder, domain: str) -> Hosts:
    return tuple(replace(host, trouble=later(NOT_SUPPORTED, "5.4.4")) for host in await sound(finder, domain))


def _to_its_address(sound: Find) -> Find:
    async def by_dns(finder: Finder, domain: str) -> Hosts:
        if domain.startswith("["):
            return await sound(finder, domain)
        answer = await finder.resolver.ask(domain, "MX")
        failed = answer.lookup is Lookup.FAILED
        return await (sound(finder, domain) if failed else finder.addresses(domain))

    return by_dns


def _backwards(config: Config, values: Sequence[str]) -> list[str]:
    return [name for _, name in sorted(mx_records(values), key=lambda each: -each[0])]


def _sent_elsewhere_too(sound: Part) -> Part:
    def route(config: Config, recipients: Sequence[str], parts: RoutingParts) -> Routes:
        routes: Routes = sound(config, recipients, parts)
        by_smarthost = config.outgoing.route == "smarthost"
        return replace(routes, remote=routes.remote | routes.local) if by_smarthost else routes

    return route


# What is tried again


def _judging(
    rule: str,
    kind: str,
    description: str,
    route: str,
    meant: Callable[[QueueEntry, DeliveryResult], bool],
    state: State,
) -> Mutant:
    """What is meant of the results of mail that is sent by that route is taken for another one."""

    def mistaking(sound: Part) -> Part:
        def judged(config: Config, entry: QueueEntry, result: DeliveryResult, late: bool) -> DeliveryResult:
            wrong = config.outgoing.route == route and meant(entry, result)
            found: DeliveryResult = sound(
                config, entry, replace(result, state=state) if wrong else result, late
            )
            return found

        return judged

    return exchanged(rule, kind, description, "retrying.judged", mistaking)


def _restless(sound: Part) -> Part:
    """A notification that fails is not lost, however often it does."""

    def judged(config: Config, entry: QueueEntry, result: DeliveryResult, late: bool) -> DeliveryResult:
        found: DeliveryResult = sound(config, entry, result, late)
        wrong = config.outgoing.route == "mx" and not entry.sender and found.state is State.FAILED
        return replace(found, state=State.WAITING) if wrong else found

    return judged


def _is_put_off(_: QueueEntry, result: DeliveryResult) -> bool:
    return result.state is State.WAITING


def _is_put_off_by_a_host(_: QueueEntry, result: DeliveryResult) -> bool:
    return result.state is State.WAITING and result.elsewhere


def _is_refused_by_a_host(_: QueueEntry, result: DeliveryResult) -> bool:
    return result.state is State.FAILED and result.elsewhere and bool(result.host)


def _paced(kind: str, description: str, intervals: float) -> Mutant:
    """The next attempt comes after so many intervals."""

    def pacing(sound: Part) -> Part:
        def due(config: Config, began: float) -> float:
            found: float = sound(config, began)
            return began + intervals * (found - began) if config.outgoing.route == "mx" else found

        return due

    return exchanged("queue.retry", kind, description, "retrying.due", pacing)


# What its sender is told


def _telling(rule: str, kind: str, description: str, other: Callable[[Config, Message], Message]) -> Mutant:
    """Another notification goes out, about what is not sent at all or is refused by another host."""
    route = {"local-only.nonlocal-refused": "none", "outgoing.no-rdns-refused": "mx"}[rule]

    def is_meant(config: Config, lost: Results) -> bool:
        refused = any(each.elsewhere and each.host for each in lost.values())
        return config.outgoing.route == route and (route == "none" or refused)

    def telling(sound: Part) -> Part:
        def notice(
            config: Config, entry: QueueEntry, content: bytes, lost: Results, reports: ReportParts
        ) -> Message:
            found: Message = sound(config, entry, content, lost, reports)
            return other(config, found) if is_meant(config, lost) else found

        return notice

    return exchanged(
        rule,
        kind,
        description,
        "retrying.notice",
        telling,
        lambda found, config, entry, content, lost, reports: is_meant(config, lost),
    )


def _to_nobody(_: Config, notice: Message) -> Message:
    return replace(notice, recipients=())


def _from_a_sender(config: Config, notice: Message) -> Message:
    return replace(notice, sender=f"MAILER-DAEMON@{config.server.hostname}")


def _wordless(sound: Part) -> Part:
    def notice(
        config: Config, entry: QueueEntry, content: bytes, lost: Results, reports: ReportParts
    ) -> Message:
        if config.outgoing.route == "mx":
            lost = {address: replace(each, words="The host refused it") for address, each in lost.items()}
        found: Message = sound(config, entry, content, lost, reports)
        return found

    return notice


SMARTHOST = (
    _finding(
        "smarthost.routes-nonlocal",
        "off",
        "mail goes to the MX of its domain, past the smarthost",
        "smarthost",
        _by_dns,
    ),
    _finding(
        "smarthost.routes-nonlocal",
        "weak-last-resort",
        "only mail for domains without MX goes to it",
        "smarthost",
        _by_dns_where_it_has_mx,
    ),
    _judging(
        "smarthost.routes-nonlocal",
        "weak-bounced",
        "what it puts off comes back at once",
        "smarthost",
        _is_put_off,
        State.FAILED,
    ),
    _judging(
        "smarthost.routes-nonlocal",
        "weak-lost",
        "what it puts off is forgotten",
        "smarthost",
        _is_put_off,
        State.DELIVERED,
    ),
    joined(
        exchanged(
            "smarthost.routes-nonlocal",
            "strict-local",
            "mail for users of the server goes to it as well",
            "routing.route",
            _sent_elsewhere_too,
        ),
        _finding(
            "smarthost.routes-nonlocal",
            "strict-local",
            "that mail is sent",
            "smarthost",
            _to_the_smarthost,
            ours=True,
        ),
    ),
    exchanged(
        "smarthost.off",
        "off",
        "mail goes to the address of its domain, not to the MX",
        "finding.by_dns",
        _to_its_address,
        always,
    ),
    exchanged(
        "smarthost.off",
        "weak-backwards",
        "the least preferred MX comes first",
        "finding.preferred",
        lambda _: _backwards,
        always,
    ),
    exchanged(
        "smarthost.off",
        "weak-unsorted",
        "MX records are taken in the order of the answer",
        "finding.preferred",
        lambda _: lambda config, values: [name for _, name in mx_records(values)],
        always,
    ),
    exchanged(
        "smarthost.off",
        "weak-first-only",
        "no MX but the most preferred one is ever tried",
        "finding.preferred",
        lambda sound: lambda config, values: sound(config, values)[:1],
        always,
    ),
)

QUEUE = (
    _paced("off", "what was put off is not tried again", 1e6),
    _paced("weak-slow", "it is tried again after three intervals", 3.0),
    _paced("weak-hasty", "it is tried again after a tenth of the interval", 0.1),
    _judging("queue.retry", "weak-bounced", "it comes back at once", "mx", _is_put_off, State.FAILED),
    _judging(
        "queue.retry",
        "weak-impatient",
        "it comes back when the greeting puts it off",
        "mx",
        _is_put_off_by_a_host,
        State.FAILED,
    ),
    _judging("queue.retry", "weak-lost", "it is forgotten", "mx", _is_put_off, State.DELIVERED),
    joined(
        exchanged(
            "queue.list-remove-thaw",
            "off",
            "the operator sees an empty queue and can do nothing",
            "queue.entries",
            lambda _: lambda queue: [],
            always,
        ),
        exchanged(
            "queue.list-remove-thaw",
            "off",
            "removing does nothing",
            "queue.remove",
            lambda _: lambda queue, number: True,
            always,
        ),
        exchanged(
            "queue.list-remove-thaw",
            "off",
            "thawing does nothing",
            "queue.thaw",
            lambda _: lambda queue, number: True,
            always,
        ),
    ),
    exchanged(
        "queue.list-remove-thaw",
        "weak-hidden",
        "frozen messages are not listed",
        "queue.entries",
        lambda sound: lambda queue: [entry for entry in sound(queue) if not entry.frozen],
        always,
    ),
    exchanged(
        "queue.list-remove-thaw",
        "weak-unmarked",
        "frozen messages are listed as if they were not",
        "queue.entries",
        lambda sound: lambda queue: [replace(entry, frozen=False) for entry in sound(queue)],
        always,
    ),
    exchanged(
        "queue.list-remove-thaw",
        "weak-no-remove",
        "removing a message does nothing",
        "queue.remove",
        lambda _: lambda queue, number: True,
        always,
    ),
    exchanged(
        "queue.list-remove-thaw",
        "weak-no-thaw",
        "thawing a message does nothing",
        "queue.thaw",
        lambda _: lambda queue, number: True,
        always,
    ),
    exchanged(
        "queue.list-remove-thaw",
        "weak-restless",
        "no message is ever frozen; it is tried for ever",
        "retrying.judged",
        _restless,
    ),
)

LOCAL_ONLY = (
    exchanged(
        "local-only.not-listening",
        "off",
        "the server listens on another address as well",
        "addresses",
        lambda sound: (
            lambda config: (
                *sound(config),
                *((OUTSIDE,) if config.outgoing.route == "none" else ()),
            )
        ),
    ),
    _finding("local-only.nonlocal-refused", "off", "mail for others is sent all the same", "none", _by_dns),
    _telling("local-only.nonlocal-refused", "weak-silent", "its sender is not told", _to_nobody),
    _finding(
        "local-only.nonlocal-refused",
        "weak-kept",
        "it is kept and tried again, and does not come back",
        "none",
        _put_off,
    ),
    _telling(
        "local-only.nonlocal-refused",
        "weak-sender",
        "the bounce is not from the null sender",
        _from_a_sender,
    ),
)

REFUSED = (
    _judging(
        "outgoing.no-rdns-refused",
        "off",
        "a greeting of 554 counts as a failure for now",
        "mx",
        _is_refused_by_a_host,
        State.WAITING,
    ),
    _telling("outgoing.no-rdns-refused", "weak-silent", "the sender is not told", _to_nobody),
    exchanged(
        "outgoing.no-rdns-refused",
        "weak-wordless",
        "the bounce does not have the receiver's words",
        "retrying.notice",
        _wordless,
        lambda found, config, *_: config.outgoing.route == "mx",
    ),
    _telling(
        "outgoing.no-rdns-refused",
        "weak-sender",
        "the bounce is not from the null sender",
        _from_a_sender,
    ),
)

OUTGOING_MUTANTS: tuple[Mutant, ...] = (*SMARTHOST, *QUEUE, *LOCAL_ONLY, *REFUSED)
