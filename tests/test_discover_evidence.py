"""What discovery makes of noise: what came to nothing is a question, and never a fact."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fake_dns import DnsServer, FakeDns
from harness.discovery import lists, names
from harness.discovery.comparison import Came, Usual, agreed, nothing_follows
from harness.discovery.dialect import speech_of
from harness.discovery.dialogues import Dialogues
from harness.discovery.draft import draft
from harness.discovery.facts import HostedDomain, ListsSeen, Seen, Sighting, Way
from harness.discovery.greylist import look_at_deferral
from harness.discovery.limits import look_at_recipients
from harness.discovery.lists import look_at_lists
from harness.discovery.names import look_at_face
from harness.discovery.offences import Oddity, look_at_innocents, look_at_oddities, oddities
from harness.discovery.place import AT_ONCE, WAITING_AT_ONCE, Place, Telling
from harness.discovery.reach import as_a_stranger, find_way
from harness.discovery.recipients import look_at_domains, look_at_users
from harness.discovery.refusals import refusals_take, without
from harness.offence import Offence
from harness.outcome import Outcome, Stage, Treatment
from harness.profile.tables import RouteName
from harness.reference_mta.certificate import SOUND, Flaws, own_certificate, server_context
from harness.rules import Catalogue
from harness.smtp.reply import Reply
from harness.world.conversation import Step
from tests.hostile_server import Hear, HostileServer, Say, StartTls, Visitor
from tests.hostile_server import Step as Play
from tests.test_baseline import Politely
from tests.test_discover import ALICE, ANN, NO_GREYLIST, checked, impatient, no_dns, reference, seen_of

__all__ = ["impatient"]

PROXIED = Way(RouteName.PROXY_V2, ("198.18.0.0/15", "2001:db8::/32"))
SILENT = Telling(lambda _: None)
REFUSED, PASSED = Outcome(Treatment.DENY, Stage.HELO), Outcome(Treatment.PASS, Stage.DATA)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


@contextlib.contextmanager
def asking(folder: Path, tables: str) -> Iterator[Dialogues]:
    """Dialogues with a reference MTA that asks our DNS."""
    with reference(folder, tables) as (address, resolver):
        dns = FakeDns()
        with DnsServer(dns, addresses=[resolver], loopback_only=False):
            first = Dialogues.by(Place(*address, resolver), PROXIED, dns)
            yield replace(first, recipient=ALICE, goal=Stage.DATA)


@contextlib.contextmanager
def served_by(server: Politely) -> Iterator[Dialogues]:
    """Dialogues with a server that asks nobody."""
    with HostileServer([[server]]) as listening:
        place = Place(*listening.address, no_dns())
        first = Dialogues.by(place, Way(RouteName.DIRECT, ()), FakeDns())
        yield replace(first, recipient=ANN, goal=Stage.DATA)


# Lists

TWO_LISTS = f"""
{NO_GREYLIST}
[[dnsbl]]
name = "first"
zones = ["first.bl.example"]
answers = ["127.0.0.10"]
[[dnsbl]]
name = "second"
zones = ["second.bl.example"]
answers = ["127.0.0.10"]
[dnsbl_policy]
threshold = 1
"""
ZONES = ("first.bl.example", "second.bl.example")


def lists_where(
    folder: Path, monkeypatch: pytest.MonkeyPatch, comes_to_nothing: Callable[[int], bool]
) -> ListsSeen:
    """What is seen of two lists when some looks at single answers, counted from 1, come to nothing."""
    looks = [0]

    def noisy(dialogues: Dialogues, oddities: Sequence[Oddity], *rest: Any, **words: Any) -> list[Sighting]:
        seen = look_at_oddities(dialogues, oddities, *rest, **words)
        if len(oddities) > 1:
            return seen
        looks[0] += 1
        return [replace(one, outcome=None) for one in seen] if comes_to_nothing(looks[0]) else seen

    monkeypatch.setattr(lists, "look_at_oddities", noisy)
    with asking(folder, TWO_LISTS) as dialogues:
        return look_at_lists(dialogues, ZONES, look_at_innocents(dialogues, SILENT), SILENT)


def test_a_look_that_comes_to_nothing_does_not_turn_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = lists_where(tmp_path, monkeypatch, lambda number: number % 2 == 1)
    assert [(one.zones[0], one.weight, one.answers) for one in seen.lists] == [
        (zone, 1.0, ("127.0.0.10",)) for zone in ZONES
    ]
    assert seen.question == ""


@pytest.mark.parametrize("from_look", [1, 5, 8])
def test_an_answer_that_nothing_confirms_is_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue, from_look: int
) -> None:
    seen = lists_where(tmp_path, monkeypatch, lambda number: number >= from_look)
    assert "no one of its answers was seen to count by itself" in seen.lists[0].question
    assert all(one.answers == () for one in seen.lists)
    assert seen.sightings == ()
    text = draft(Place("127.0.0.1", 25, no_dns()), seen_of(recipient=ALICE, lists=seen), catalogue)
    assert checked(text, catalogue).dnsbl == ()
    assert "# [[dnsbl]]            # ? no one of its answers was seen to count by itself" in text


def test_who_cannot_ask_over_tcp_is_shown_the_usual_answer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def by_tcp(*_: Any) -> Any:
        raise OSError("no way over TCP")

    monkeypatch.setattr("harness.reference_mta.resolver.Resolver._by_tcp", by_tcp)
    with asking(tmp_path, TWO_LISTS.replace('answers = ["127.0.0.10"]\n', "")) as dialogues:
        seen = look_at_lists(dialogues, ZONES, look_at_innocents(dialogues, SILENT), SILENT)
    assert [(one.zones[0], one.weight, one.answers) for one in seen.lists] == [
        (zone, 1.0, ()) for zone in ZONES
    ]
    assert (seen.threshold, seen.question) == (1.0, "")


@pytest.mark.parametrize("wait", [0.0, 0.1, None], ids=["no time", "time", "a greylist that is known"])
def test_who_is_listed_and_put_off_may_only_be_greylisted(
    tmp_path: Path, catalogue: Catalogue, wait: float | None
) -> None:
    put_off = TWO_LISTS.replace('answers = ["127.0.0.10"]\n', "")
    for rule in ("dnsbl.one", "dnsbl.two"):
        put_off += f'[answers."{rule}"]\naction = "refuse"\ncode = 450\n'
    with asking(tmp_path, put_off) as dialogues:
        usual = look_at_innocents(dialogues, SILENT)
        seen = look_at_lists(dialogues, ZONES, usual, SILENT, wait=wait)
    outcomes = {one.outcome.treatment for one in seen.sightings if one.outcome}
    assert bool(seen.question) is (wait == 0.0)
    assert outcomes == (set() if seen.question else {Treatment.DEFER})


# Recipients


def counting(said_then: bytes, *, single_too: bool = False) -> Callable[[bytes], bytes]:
    """Takes five recipients of a dialogue; after two such dialogues not a single one, or five again."""
    count = {"here": 0, "over": 0}

    def answer(said: bytes) -> bytes:
        if said[:4] == b"MAIL":
            count["here"] = 0
        if said[:4] != b"RCPT":
            return b""
        count["here"] += 1
        count["over"] += count["here"] > 5
        return said_then if count["here"] > 5 or (single_too and count["over"] > 1) else b""

    return answer


def test_a_limit_of_recipients() -> None:
    with served_by(Politely(counting(b"452 too many"))) as dialogues:
        limit = look_at_recipients(dialogues, one_by_one())
    assert limit is not None
    assert (limit.taken, limit.outcome) == (5, Outcome(Treatment.DEFER, Stage.RCPT))


@pytest.mark.parametrize(
    ("said", "single_too"), [(b"421 too busy", False), (b"452 no room", True)], ids=["421", "single ones too"]
)
def test_what_is_no_limit_of_recipients(said: bytes, single_too: bool) -> None:
    with served_by(Politely(counting(said, single_too=single_too))) as dialogues:
        assert look_at_recipients(dialogues, one_by_one()) is None


class OneByOne(Telling):
    """Plays one dialogue after the other, so that a server can count in them."""

    def over(self, what: str, act: Any, things: Sequence[Any], **words: Any) -> list[Any]:
        return [act(thing) for thing in things]


def one_by_one() -> Telling:
    return OneByOne(lambda _: None)


# Odd clients


UNDOTTED = Oddity(
    Offence.UNQUALIFIED_GREETING,
    "greets without a dot",
    lambda dialogues, client: dialogues.attempt(client, helo="localbox"),
)


def met_by_odd_clients(server: Politely, *, wait: float | None = None) -> Sighting:
    with served_by(server) as dialogues:
        usual = look_at_innocents(dialogues, one_by_one())
        (seen,) = look_at_oddities(dialogues, [UNDOTTED], usual, one_by_one(), by_time=False, wait=wait)
    return seen


def test_what_everybody_meets_by_then_is_nothing_about_odd_clients() -> None:
    server = Politely()
    server.answers = lambda said: b"550 enough" if said[:4] == b"MAIL" and len(server.visits) > 4 else b""
    seen = met_by_odd_clients(server)
    assert seen.outcome is None
    assert "an innocent client beside it met mail: 550 enough" in seen.said


def test_what_only_odd_clients_meet_is_a_fact() -> None:
    seen = met_by_odd_clients(Politely(lambda said: b"504 no dot" if b"localbox" in said else b""))
    assert seen.outcome == REFUSED


@pytest.mark.parametrize(
    ("bad", "stopped"),
    [((2,), ""), ((2, 6), ""), ((2, 4, 5, 7), "rcpt: 451 not now"), (range(1, 5), "rcpt: 451 not now")],
    ids=["once", "twice", "each second time", "each time"],
)
def test_an_innocent_client_that_came_at_a_bad_moment_stops_nothing(bad: Sequence[int], stopped: str) -> None:
    server = Politely()
    server.answers = lambda said: b"451 not now" if said[:4] == b"RCPT" and len(server.visits) in bad else b""
    with served_by(server) as dialogues:
        usual = look_at_innocents(dialogues, one_by_one())
    assert usual.stopped.removesuffix(" after 0.00 s") == stopped
    assert usual.reached is (Stage.RCPT if stopped else Stage.DATA)


@pytest.mark.parametrize(("pause", "at_once"), [(0.0, AT_ONCE), (20.0, WAITING_AT_ONCE)])
def test_more_clients_wait_at_once_where_everybody_waits_to_be_greeted(pause: float, at_once: int) -> None:
    asked: list[int] = []

    class Noting(OneByOne):
        def over(self, what: str, act: Any, things: Sequence[Any], **words: Any) -> list[Any]:
            asked.append(words["at_once"])
            return super().over(what, act, things, **words)

    with served_by(Politely()) as dialogues:
        usual = Usual(Stage.DATA, {Stage.CONNECT: pause}, {Stage.CONNECT: pause})
        look_at_oddities(dialogues, [UNDOTTED], usual, Noting(lambda _: None), by_time=False)
    assert asked[0] == at_once


@pytest.mark.parametrize("greeting", [b"", b"554 enough"], ids=["late", "refused"])
def test_what_comes_before_an_offence_is_not_its_doing(greeting: bytes) -> None:
    server, never = Politely(), threading.Event()

    def greets(said: bytes) -> bytes:
        if said or len(server.visits) not in (5, 7, 9, 11):  # odd clients, after and beside innocent ones
            return b""
        never.wait(0 if greeting else 0.6)
        return greeting

    server.answers = greets
    with served_by(server) as dialogues:
        (undotted,) = [one for one in oddities(dialogues, "", [], []) if one.did == "greets without a dot"]
        usual = look_at_innocents(dialogues, one_by_one())
        (seen,) = look_at_oddities(dialogues, [undotted], usual, one_by_one(), by_time=True)
    assert (seen.outcome, seen.waited) == (None if greeting else PASSED, 0.0)


def test_a_retry_that_comes_to_nothing_leaves_a_question() -> None:
    greeted: list[bytes] = []

    def greylisting(said: bytes) -> bytes:
        if said[:4] == b"EHLO":
            greeted.append(said)
        odd = [one for one in greeted if b"localbox" in one]
        if said[:4] != b"RCPT" or b"localbox" not in greeted[-1]:
            return b""
        return b"451 later" if len(odd) in (1, 2, 3, 5) else b"hang up"  # 4 and 6 are the retries

    seen = met_by_odd_clients(Politely(greylisting), wait=0.1)
    assert seen.outcome is None
    assert "at first rcpt: 451 later" in seen.said


@pytest.mark.parametrize(
    ("times", "waited"), [(1, False), (2, False), (4, True)], ids=["once", "twice", "always"]
)
def test_a_short_wait_that_was_not_seen_each_time_is_no_delay(times: int, waited: bool) -> None:
    left, never = [times], threading.Event()

    def slow(said: bytes) -> bytes:
        if b"localbox" in said and left[0]:
            left[0] -= 1
            never.wait(0.6)
        return b""

    with served_by(Politely(slow)) as dialogues:
        to_mail = replace(dialogues, goal=Stage.MAIL)
        usual = look_at_innocents(to_mail, one_by_one())
        (seen,) = look_at_oddities(to_mail, [UNDOTTED], usual, one_by_one(), by_time=True)
    assert seen.outcome is None  # it was not heard out
    assert (seen.waited > 0) is waited


def came(code: int, *, waited: float = 0.0, longer: float = 0.0) -> Came:
    """What came of a dialogue that ended at HELO, after so many seconds more than for the quickest."""
    step = Step(Stage.HELO, "EHLO localbox", (Reply(code, ("text",), b"", 0.0, longer),), 0.0, longer)
    return Came(
        Outcome(step.treatment or Treatment.DENY, Stage.HELO, late=waited > 0),
        step,
        waited,
        {Stage.HELO: longer},
    )


@pytest.mark.parametrize(
    ("odd", "beside", "late"),
    [
        ([1.0] * 4, [0.0, 0.1], True),
        ([1.0] * 4, [0.0, 0.7], None),
        ([1.0, 1.0, 0.0, 0.0], [0.0, 0.7], False),
        ([0.5] * 4, [0.0, 0.2], None),
        ([0.5] * 4, [0.0, 0.6], False),
    ],
    ids=["clear", "as slow", "two are clear", "not seen as late", "no slower than an innocent one"],
)
def test_a_wait_is_held_against_the_slowest_innocent_client_beside_it(
    odd: list[float], beside: list[float], late: bool | None
) -> None:
    """Who waited longer than that, and not clearly so, has no say: nothing follows."""
    usual = Usual(Stage.HELO, {Stage.HELO: 0.3}, {Stage.HELO: 0.0})
    seen = [came(550, waited=one if one >= 0.7 else 0.0, longer=one) for one in odd]
    innocent = [came(250, longer=one) for one in beside]
    blank = Sighting(Offence.UNQUALIFIED_GREETING, "greets without a dot", None, "")
    found = agreed(blank, seen, innocent, usual)
    assert (found and found.outcome and found.outcome.late) is late
    if found is None:
        said = nothing_follows(blank, seen, innocent, usual).said
        assert "whether it was held back at helo is not clear" in said


def test_what_is_known_of_some_is_not_documented_of_all(catalogue: Catalogue) -> None:
    offence, did = Offence.UNVERIFIED_HOST, ("has no PTR record", "has a PTR name without an address")
    untold = Sighting(offence, did[0], None, "no reply: reset")
    passed = Sighting(offence, did[1], PASSED, "data: 250 fine")
    assert speech_of([passed], 0.0, catalogue).answers.keys() == {offence}
    assert speech_of([untold, passed], 0.0, catalogue).answers == {}
    seen: Seen = seen_of(recipient=ANN, sightings=(untold, passed))
    text = draft(Place("127.0.0.1", 25, no_dns()), seen, catalogue, [])
    checked(text, catalogue)
    assert "# ? what becomes of a client that has no PTR record: nothing follows from what was seen" in text


def refused(offence: Offence, waited: float) -> Sighting:
    outcome = Outcome(Treatment.DENY, Stage.RCPT, late=waited > 0)
    return Sighting(offence, offence.value, outcome, "rcpt: 550 no", waited)


@pytest.mark.parametrize(
    ("waits", "take"),
    [
        ({Offence.UNKNOWN_USER: 5.0, Offence.RELAYING: 5.1}, 5.0),
        ({Offence.UNKNOWN_USER: 5.0, Offence.RELAYING: 25.0, Offence.LISTED: 5.2}, 5.0),
        ({Offence.UNKNOWN_USER: 5.0, Offence.RELAYING: 25.0}, 0.0),  # two delays, perhaps
        ({Offence.UNKNOWN_USER: 0.0, Offence.RELAYING: 5.0, Offence.LISTED: 5.0}, 0.0),
        ({Offence.UNKNOWN_USER: 25.0, Offence.RELAYING: 5.0, Offence.LISTED: 5.0}, 0.0),
        ({Offence.UNKNOWN_USER: 5.0, Offence.RELAYING: 5.0, Offence.LISTED: 0.0}, 0.0),
        ({Offence.LISTED: 5.0, Offence.RELAYING: 5.0}, 0.0),
    ],
)
def test_what_all_refusals_wait_is_no_delay_of_one(waits: dict[Offence, float], take: float) -> None:
    sightings = [refused(offence, waited) for offence, waited in waits.items()]
    assert refusals_take(sightings) == take
    for before, after in zip(sightings, (without(one, take) for one in sightings), strict=True):
        assert after.outcome
        assert after.outcome.late is (before.waited - take > 1)
        assert after.waited == pytest.approx(before.waited - take if after.outcome.late else 0.0)
    passed = Sighting(Offence.UNVERIFIED_HOST, "", PASSED, "data: 250 fine", 20.0)
    assert without(passed, take) == passed


# What it says of itself


class OneAfterTheOther:
    """Answers whose first lines of one kind come to nothing."""

    def __init__(self, start: bytes, *replies: bytes, otherwise: bytes = b"") -> None:
        self.start, self.replies, self.otherwise = start, list(replies), otherwise

    def __call__(self, said: bytes) -> bytes:
        if not said.startswith(self.start):
            return b""
        return self.replies.pop(0) if self.replies else self.otherwise


def test_a_greeting_that_was_lost_is_no_want_of_extensions() -> None:
    offering = b"250-mx.example.org\r\n250 SIZE 1000"
    with served_by(Politely(OneAfterTheOther(b"EHLO", b"hang up", otherwise=offering))) as dialogues:
        face = look_at_face(dialogues, SILENT)
    assert (face.hostname, face.keywords, face.unseen) == ("mx.example.org", {"SIZE": "1000"}, "")


@pytest.mark.parametrize(("times", "extended"), [(1, True), (1000, False)], ids=["once", "each time"])
def test_who_closes_the_connection_at_ehlo_is_greeted_with_helo(times: int, extended: bool) -> None:
    ehlo = OneAfterTheOther(b"EHLO", *[b"hang up"] * times, otherwise=b"250 mx.example.org")
    with HostileServer([[Politely(ehlo)]]) as listening:
        way = find_way(Place(*listening.address, no_dns()), FakeDns(), SILENT)
    assert way.extended is extended


def test_what_is_offered_in_clear_text_is_not_offered_under_tls(catalogue: Catalogue) -> None:
    answers = {b"EHLO": b"250-mx.example.org\r\n250 STARTTLS", b"STAR": b"454 TLS is not available"}
    with served_by(Politely(lambda said: answers.get(said[:4], b""))) as dialogues:
        face = look_at_face(dialogues, SILENT)
    assert face.keywords_tls == {}
    assert "454 TLS is not available" in face.unseen
    text = draft(Place("127.0.0.1", 25, no_dns()), seen_of(recipient=ANN, face=face), catalogue)
    checked(text, catalogue)
    assert "it offers no AUTH" not in text
    assert "what it offers under TLS was not to be seen: no reply: no TLS handshake took place" in text


@pytest.mark.parametrize(
    ("flaws", "trusted", "key"),
    [
        (SOUND, False, "ca_file"),
        (Flaws(other_name=True), True, "name"),
        (Flaws(expired=True), True, ""),
        (SOUND, True, ""),
    ],
    ids=["unknown issuer", "another name", "expired", "sound"],
)
def test_what_is_wrong_with_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flaws: Flaws, trusted: bool, key: str
) -> None:
    files = own_certificate(tmp_path, ("mx.example.org",), flaws)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    script: list[Play] = [
        Say(b"220 mx.example.org\r\n"),
        Hear(),
        Say(b"250 mx.example.org\r\n"),
        Hear(),
        Say(b"220 go on\r\n"),
        StartTls(server_context(*files)),
    ]
    with HostileServer([script]) as server:
        way = Way(RouteName.DIRECT, ())
        client = Dialogues.by(Place(*server.address, no_dns()), way, FakeDns()).client()
        said, found = names._distrusted(client, "mx.example.org")
    assert found == key
    assert bool(said) is not (trusted and flaws == SOUND)
    assert not said.endswith(".")


# Who gets mail


def to(local_part: bytes, *replies: bytes, otherwise: bytes = b"") -> OneAfterTheOther:
    return OneAfterTheOther(b"RCPT TO:<" + local_part + b"@", *replies, otherwise=otherwise)


def hosted_by(
    answers: Callable[[bytes], bytes], users: Sequence[str] = ()
) -> tuple[list[HostedDomain], list[str]]:
    def strict(said: bytes) -> bytes:
        return b"550 no relaying" if said.endswith(b"elsewhere.example>") else answers(said)

    with served_by(Politely(strict)) as dialogues:
        named = replace(dialogues, nobody="nobody-of-that-name")
        return look_at_domains(named, ["example.org"], users, one_by_one())


@pytest.mark.parametrize(
    ("replies", "catch_all"),
    [
        ((b"550 no", b"550 no"), False),
        ((b"hang up", b"550 no", b"421 busy", b"550 no"), False),
        ((), True),
        ((b"550 no", b""), None),
        ((b"421 busy",) * 6, None),
    ],
    ids=["refused", "lost, then refused", "taken", "not alike", "lost"],
)
def test_whether_everybody_is_taken(replies: tuple[bytes, ...], catch_all: bool | None) -> None:
    hosted, _ = hosted_by(to(b"nobody-of-that-name", *replies), [ANN])
    assert [domain.catch_all for domain in hosted] == [catch_all]


def test_a_foreign_postmaster_that_is_put_off_is_not_taken() -> None:
    words = b"454 4.7.1 Relay access denied"
    refusing = Politely(lambda said: words if said.endswith(b"elsewhere.example>") else b"")
    with served_by(refusing) as dialogues:
        hosted, notes = look_at_domains(dialogues, ["example.org"], (), one_by_one())
    assert not hosted
    assert [note.partition(" (")[0] for note in notes] == [
        "example.org: its postmaster is taken, and that of elsewhere.example is put off"
    ]


def test_a_postmaster_of_whom_nothing_was_heard_is_looked_at_again() -> None:
    hosted, notes = hosted_by(to(b"postmaster", b"hang up", b"421 busy"))
    assert ([domain.name for domain in hosted], notes) == (["example.org"], [])
    hosted, notes = hosted_by(to(b"postmaster", otherwise=b"421 busy"))
    assert hosted == []
    assert notes[0].startswith(
        "example.org: what becomes of mail to its postmaster was not to be seen: rcpt: 421 busy"
    )


@pytest.mark.parametrize("stop", [b"554 go away", b"530 5.7.0 Must issue a STARTTLS command first"])
def test_what_stops_a_dialogue_before_the_recipient_says_nothing_of_it(stop: bytes) -> None:
    hosted, notes = hosted_by(lambda said: stop if said[:4] == b"MAIL" else b"")
    assert hosted == []
    unseen = f"what becomes of mail to its postmaster was not to be seen: mail: {stop.decode()}"
    assert notes[0].startswith(f"example.org: {unseen}")


def test_who_wants_tls_first_does_not_refuse_a_user() -> None:
    wanting = to(b"nobody-of-that-name", otherwise=b"530 5.7.0 Must issue a STARTTLS command first")
    hosted, _ = hosted_by(wanting, users=[ANN])
    assert [domain.catch_all for domain in hosted] == [None]


@pytest.mark.parametrize(
    ("command", "reply"), [(b"DATA", b"250 fine"), (b".", b"354 go on"), (b".", b"150 so")]
)
def test_a_message_that_was_never_sent_was_not_taken(command: bytes, reply: bytes) -> None:
    with served_by(Politely(lambda said: reply if said == command else b"")) as dialogues:
        welcome = look_at_users(dialogues, [ANN], 0.0, SILENT)
    assert welcome.recipient == ""
    refused = f"mail of an innocent client to {ANN} did not get through: data: {reply.decode()}"
    assert welcome.notes[0].startswith(refused)


def test_mail_for_others_of_which_nothing_was_heard_is_not_refused() -> None:
    with served_by(Politely(OneAfterTheOther(b"RCPT", otherwise=b"421 busy"))) as dialogues:
        _, (note,) = as_a_stranger(dialogues, SILENT, heard_out=False)
    assert note.startswith("whether it relays for us was not to be seen: rcpt: 421 busy")


@dataclass
class Introduced(Politely):
    """Takes mail of whom XCLIENT names, for everybody; one network hears something else."""

    network: str = "192.0.2."
    hears: Callable[[bytes], bytes] = lambda said: b""  # nothing was said yet: the greeting behind XCLIENT

    def play(self, visitor: Visitor) -> None:
        here = False

        def answer(said: bytes) -> bytes:
            nonlocal here
            if said.startswith(b"XCLIENT"):
                here = f"ADDR={self.network}".encode() in said
                return (self.hears(b"") if here else b"") or b"220 mx.example.org go on"
            if said.startswith(b"EHLO"):
                return b"250-mx.example.org\r\n250 XCLIENT NAME ADDR"
            return self.hears(said) if here else b""

        Politely(answer).play(visitor)


@pytest.mark.parametrize(
    ("start", "reply", "strange"),
    [
        (b"RCPT", b"550 5.7.1 no relaying", True),
        (b"RCPT", b"454 4.7.1 Relay access denied", True),
        (b".", b"550 5.7.1 no relaying", True),
        (b"", b"554 5.7.1 your network is not welcome", False),
        (b"MAIL", b"550 5.7.1 not from there", False),
        (b"RCPT", b"451 4.7.1 Greylisted", False),
    ],
    ids=["refused", "put off by Postfix", "refused at the end", "banned", "refused early", "greylisted"],
)
def test_a_network_whose_mail_for_others_is_refused_is_a_strange_one(
    start: bytes, reply: bytes, strange: bool
) -> None:
    server = Introduced(hears=lambda said: reply if said[:4] == start else b"")
    with HostileServer([[server]]) as listening:
        way = Way(RouteName.XCLIENT, ("198.18.0.0/15",))
        dialogues = Dialogues.by(Place(*listening.address, no_dns()), way, FakeDns())
        dialogues, notes = as_a_stranger(dialogues, SILENT, heard_out=True)
    others = ("198.18.0.0/15", "203.0.113.0/24", "198.51.100.0/24")
    assert dialogues.way.relayed == others
    assert (dialogues.way.networks == ("192.0.2.0/24",)) is strange
    assert ("RELAYS FOR US" in notes[0]) is dialogues.way.trusted is not strange
    for note in notes[1:]:
        assert note.startswith("whether it relays for 192.0.2.0/24 was not to be seen: ")
        assert reply.decode() in note
    assert len(notes) == (1 if strange else 2)


def test_networks_from_which_nobody_is_greeted_are_a_question(catalogue: Catalogue) -> None:
    def answers(said: bytes) -> bytes:
        if said.startswith(b"XCLIENT"):
            return b"501 5.5.4 Bad XCLIENT address" if b"IPV6:" in said else b"220 mx.example.org go on"
        return b"250-mx.example.org\r\n250 XCLIENT NAME ADDR" if said.startswith(b"EHLO") else b""

    with HostileServer([[Politely(answers)]]) as listening:
        place = Place(*listening.address, no_dns())
        way = find_way(place, FakeDns(), SILENT)
    assert (way.route, way.networks) == (RouteName.XCLIENT, ("198.18.0.0/15",))
    text = draft(place, seen_of(way=way), catalogue)
    assert [str(one) for one in checked(text, catalogue).clients.networks] == ["198.18.0.0/15"]
    assert "# ? a client from 2001:db8::/32 was not greeted (" in text
    assert "501 5.5.4 Bad XCLIENT address" in text


# Whom a greylist takes for one client


@dataclass
class Greylisting(Politely):
    """Puts each address off once; neighbours of one that is known are told something of their own."""

    neighbours_hear: bytes = b""
    known: dict[str, float] = field(default_factory=dict)

    def play(self, visitor: Visitor) -> None:
        address = visitor.socket.getpeername()[0]

        def answer(said: bytes) -> bytes:
            if said[:4] != b"RCPT":
                return b""
            near = any(one.rpartition(".")[0] == address.rpartition(".")[0] for one in self.known)
            if address not in self.known and near:
                return self.neighbours_hear
            since = self.known.setdefault(address, time.monotonic())
            early = time.monotonic() - since < 0.2
            return b"451 later" if early else b""

        Politely(answer).play(visitor)


@pytest.mark.parametrize(
    ("neighbours_hear", "key"),
    [(b"", "network"), (b"451 later", "address"), (b"550 who are you", ""), (b"421 busy", "")],
)
def test_what_a_neighbour_hears(neighbours_hear: bytes, key: str) -> None:
    assert key_of(Greylisting(neighbours_hear=neighbours_hear)) == key


def key_of(server: Greylisting) -> str:
    with HostileServer([[server]]) as listening:
        place = Place(*listening.address, no_dns())
        first = Dialogues.by(place, Way(RouteName.BIND, ("127.3.0.0/16",)), FakeDns())
        dialogues = replace(first, recipient=ANN, goal=Stage.DATA)
        put_off = dialogues.attempt(patient=False).rcpt
        deferral = look_at_deferral(dialogues, put_off, 0.5, SILENT)
    assert deferral.greylist is not None
    return deferral.greylist.key


@pytest.mark.parametrize(
    ("seconds", "pause"),
    [(0.4, 0.0), (1.0, 1.0), (1.6, 1.6), (2.7, 2.7), (2.97, 3.0), (6.02, 6.0), (20.4, 20.0)],
)
def test_a_pause_is_not_drafted_longer_than_it_was(
    seconds: float, pause: float, catalogue: Catalogue
) -> None:
    assert speech_of([], seconds, catalogue).pause == pause
