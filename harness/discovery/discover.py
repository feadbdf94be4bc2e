"""Talks to a server that nobody has described, one look after the other; what is seen is for `draft`."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fake_dns import DnsServer, DnsServerError, FakeDns
from harness.discovery.comparison import Usual
from harness.discovery.dialect import speech_of
from harness.discovery.dialogues import Dialogues
from harness.discovery.facts import (
    ASKED_NOTHING,
    NOBODY_ASKS,
    Face,
    HostedDomain,
    ListSeen,
    ListsSeen,
    Seen,
    Sighting,
)
from harness.discovery.greylist import introduce
from harness.discovery.limits import look_at_recipients
from harness.discovery.lists import look_at_lists, zones_asked
from harness.discovery.names import likely_domains, look_at_face
from harness.discovery.offences import look_at_innocents, look_at_oddities, oddities
from harness.discovery.place import DiscoveryError, Known, Place, Telling
from harness.discovery.reach import as_a_stranger, find_way
from harness.discovery.recipients import (
    ELSEWHERE,
    look_at_domains,
    look_at_users,
    passed_in_time,
    verified_first_unless_shown,
)
from harness.discovery.refusals import refusals_take, without
from harness.outcome import Stage
from harness.profile.tables import RouteName
from harness.rules import Catalogue
from harness.settings.hosts import is_domain_name
from harness.wording import counted
from harness.world.internet import FAR_AWAY, publish_domain

__all__ = ["DiscoveryError", "Known", "Place", "Telling", "explore"]

WATCHED = 2  # clients about whom it may ask lists
INTRODUCED = 160  # clients that one wait for a greylist makes known to it
UNTRIED = "nobody could be put on it, for no client's address can be chosen: how does it count"


def explore(place: Place, known: Known, catalogue: Catalogue, telling: Telling) -> Seen:
    """Talk to the server; `known` is what its owner said of it, `telling` hears what is looked at and seen.

    Raises `DiscoveryError`.
    """
    known = replace(known, users=_once_each(known.users))
    with _internet(place) as (dns, deaf):
        if deaf:
            telling.say(f"{NOBODY_ASKS}: {deaf}")
        way = find_way(place, dns, telling)
        first = Dialogues.by(place, way, dns)
        dialogues, of_relaying = as_a_stranger(first, telling, heard_out=bool(known.users))
        face = look_at_face(dialogues, telling)  # which it may show to strangers only
        notes = [f"{NOBODY_ASKS}: {deaf}"] if deaf else []
        if not way.extended:
            notes.append("it does not know EHLO, with which scenarios greet, so no verdict could be had")
        dialogues = replace(dialogues, hostname=face.hostname or "unknown")
        _publish_server(dns, place, face, known)
        return _look(dialogues, face, known, catalogue, telling, [*notes, *of_relaying], deaf=deaf)


def _once_each(users: Iterable[str]) -> tuple[str, ...]:
    """Each user as named first: whatever the case, that is one mailbox."""
    first: dict[str, str] = {}
    for user in users:
        first.setdefault(user.lower(), user)
    return tuple(first.values())


def _look(
    dialogues: Dialogues,
    face: Face,
    known: Known,
    catalogue: Catalogue,
    telling: Telling,
    notes: list[str],
    *,
    deaf: str,
) -> Seen:
    welcome = look_at_users(dialogues, known.users, known.wait, telling)
    goal = Stage.DATA if welcome.recipient else Stage.MAIL
    if not welcome.recipient:
        if closed := face.closed or welcome.closed:
            notes.append(
                f"it takes no mail in clear text without more: «{closed}»; scenarios speak clear text"
            )
        notes.append(
            "no message of an innocent client got through to an ordinary user"
            + ("" if known.users else " (name one with --user)")
            + ", so nothing is said of what shows only there"
        )
        telling.say(notes[-1])
    further = replace(dialogues, goal=goal, greylist=passed_in_time(welcome.deferral))
    if welcome.recipient:
        further = replace(further, recipient=welcome.recipient)
    introduce(further, INTRODUCED, telling)
    names = [*known.domains, *likely_domains(face.hostname)]
    to_rcpt = replace(further, goal=max(goal, Stage.RCPT, key=list(Stage).index))
    domains, of_domains = look_at_domains(to_rcpt, names, welcome.users, telling)
    deferral = verified_first_unless_shown(welcome.deferral, domains)
    usual = look_at_innocents(further, telling)
    if usual.stopped:
        notes.append(_stopped(usual, welcome.recipient))
        telling.say(notes[-1])
    asked = (entry.name for entry in dialogues.dns.queries())
    by_its_own = not dialogues.chooses_addresses
    resolves = any(dialogues.internet.is_about_somebody(one, or_any_address=by_its_own) for one in asked)
    if not resolves:
        telling.say(
            f"{NOBODY_ASKS if deaf else ASKED_NOTHING}, so nothing is said of names, lists and delays"
        )
    wait = None if further.greylist else known.wait
    sightings = _look_at_offences(further, face, domains, usual, telling, resolves=resolves, wait=wait)
    limit = look_at_recipients(further, telling) if welcome.recipient and not usual.stopped else None
    looked_for = resolves and welcome.recipient
    lists = _lists(further, usual, telling, wait) if looked_for else ListsSeen()
    take = refusals_take([*sightings, *lists.sightings])
    if take:
        telling.say(f"every refusal came {take:.1f} s late, whatever it was for")
    sightings = [without(one, take) for one in sightings]
    lists = replace(lists, sightings=tuple(without(one, take) for one in lists.sightings))
    return Seen(
        way=dialogues.way,
        face=face,
        resolves=resolves,
        deaf=deaf,
        domains=tuple(domains),
        recipient=welcome.recipient,
        deferral=deferral,
        sightings=tuple(sightings),
        speech=speech_of([*sightings, *lists.sightings], usual.pause, catalogue, take),
        lists=lists,
        limit=limit,
        reading=usual.seconds.get(Stage.DATA, 0.0),
        notes=(*notes, *welcome.notes, *of_domains),
        stopped=usual.stopped,
    )


def _publish_server(dns: FakeDns, place: Place, face: Face, known: Known) -> None:
    """What the world knows of the server itself, as in a run: else its names would be none."""
    hostname = face.hostname
    if not is_domain_name(hostname):
        return
    dns.publish(hostname, "AAAA" if ":" in place.address else "A", place.address)
    of_users = (user.rpartition("@")[2] for user in known.users)
    for domain in dict.fromkeys(
        name.lower() for name in (*known.domains, *of_users, *likely_domains(hostname))
    ):
        if is_domain_name(domain):
            publish_domain(dns, domain, hostname, place.address)


def _stopped(usual: Usual, recipient: str) -> str:
    """That innocent clients do not get through, and whether they did before."""
    before = " by now, as they did at first (does it slow down or ban who comes often?)" if recipient else ""
    return f"innocent clients do not get through{before}: {usual.stopped}"


def _lists(dialogues: Dialogues, usual: Usual, telling: Telling, wait: float | None) -> ListsSeen:
    """The lists that it asks about its clients, and how they count where addresses can be chosen."""
    zones: dict[str, None] = {}
    for _ in range(WATCHED):  # what was not asked about one of them may have been lost on its way
        client = dialogues.client()
        zones |= dict.fromkeys(zones_asked(dialogues, client, dialogues.attempt(client)))
    if dialogues.chooses_addresses:
        return look_at_lists(dialogues, list(zones), usual, telling, wait=wait)
    return ListsSeen(tuple(ListSeen((zone,), question=UNTRIED) for zone in zones))


def _look_at_offences(
    dialogues: Dialogues,
    face: Face,
    domains: list[HostedDomain],
    usual: Usual,
    telling: Telling,
    *,
    resolves: bool,
    wait: float | None,
) -> list[Sighting]:
    if dialogues.way.trusted or usual.reached in (None, Stage.CONNECT):
        return []
    strict = [domain.name for domain in domains if domain.ordinary and domain.catch_all is False]
    chosen = oddities(dialogues, face.hostname, [domain.name for domain in domains], strict)
    seen = [one for one in chosen if resolves or not one.by_name]
    if dialogues.way.route is RouteName.XCLIENT:  # by which it is told names, and looks none up
        seen = [one for one in seen if not one.did.startswith("has ")]
    telling.say(f"trying {counted(len(seen), 'thing')} that a server may hold against a client")
    return look_at_oddities(dialogues, seen, usual, telling, by_time=resolves, wait=wait)


@contextlib.contextmanager
def _internet(place: Place) -> Iterator[tuple[FakeDns, str]]:
    """Our DNS, and why nobody can ask it; empty where it listens."""
    dns = FakeDns()
    publish_domain(dns, ELSEWHERE, f"mx.{ELSEWHERE}", FAR_AWAY[0])
    dns.publish(f"mx.{ELSEWHERE}", "A", FAR_AWAY[0])
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(DnsServer(dns, addresses=[place.dns], loopback_only=False))
        except DnsServerError as error:
            yield dns, str(error)
            return
        yield dns, ""
