"""Before a verdict means anything: is the server there, is it the right one, does it see what we play?

Each check looks at one foundation, in the order in which they rest on each other, and says what it saw,
what is wrong, and how to mend it (`mends.toml`).
"""

import itertools
import secrets
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fake_dns import QueryEntry, Truncated, reverse_name
from harness.outcome import Verdict
from harness.profile.values import room_in
from harness.results.visible import visible
from harness.rules import Capability
from harness.runs.run import Run, ailing
from harness.smtp.session import Ending, Session, SessionEnded
from harness.verdicts import FailedError, ScenarioEnd
from harness.world.client import GREYLIST_SLACK, Client, message
from harness.world.conversation import Attempt
from harness.world.internet import Kind

MENDS = Path(__file__).with_name("mends.toml")
RESET = "\033[0m"
SENT_WITHIN = 20.0  # seconds in which mail for others must have been sent
CLIENTS_OF_A_RULE = 4  # on the average, each with an address that nobody else has in the run
MOST_AT_ONCE = 100  # connections that the last check opens


class State(Enum):
    """What a check came to."""

    GOOD = "good"
    BAD = "wrong"
    SKIPPED = "not asked for"  # the profile does not grant it, so nothing rests on it
    UNKNOWN = "not looked at"  # something that it rests on is wrong


SHADES = {
    State.GOOD: ("\033[32m", "good"),
    State.BAD: ("\033[31m", "WRONG"),
    State.SKIPPED: ("\033[2m", "-"),
    State.UNKNOWN: ("\033[33m", "?"),
}


@dataclass(frozen=True)
class Finding:
    """What a check saw; `mend` is the key of the advice in `mends.toml`."""

    state: State
    saw: str
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """A foundation: what must be true, and how that is found out."""

    title: str
    look: Callable[["Patient"], Finding]
    basic: bool = False  # without it nothing else can be looked at


@dataclass
class Patient:
    """The server of a run; what an innocent client meets is looked at once."""

    run: Run

    @property
    def innocent(self) -> tuple[Client, Attempt]:
        """An innocent client, and its dialogue."""
        met = self.run.baseline.plainest
        return met.client, met.attempt


def examine(run: Run, *, short: bool = False) -> Iterator[tuple[Check, Finding]]:
    """Every check and its finding, in order; in the short form those without which there is no verdict."""
    patient = Patient(run)
    fallen = ""
    for check in CHECKS:
        if short and not check.basic:
            continue
        if fallen:
            yield check, Finding(State.UNKNOWN, f"it rests on what is wrong above: {fallen}")
            continue
        try:
            finding = check.look(patient)
        except ScenarioEnd as ending:
            finding = Finding(State.BAD, str(ending))
        fallen = check.title if check.basic and finding.state is State.BAD else ""
        yield check, finding


def report(run: Run, say: Callable[[str], None], *, colour: bool) -> bool:
    """Say what every check saw, and how to mend what is wrong; whether nothing is."""
    well = True
    for check, finding in examine(run):
        shade, mark = SHADES[finding.state]
        say(f"{shade if colour else ''}{mark:>8}{RESET if colour else ''}  {check.title}")
        say(f"          {visible(finding.saw)}")
        if finding.state is State.BAD:
            well = False
            for whom, what in advice(finding.mend, run).items():
                for line in (
                    [what] if whom == "all" else [f"{whom}:", *(f"  {one}" for one in what.splitlines())]
                ):
                    say(f"          {line}")
    return well


def advice(key: str, run: Run) -> dict[str, str]:
    """How to mend it: a sentence under `all`, and the configuration lines of each MTA."""
    with MENDS.open("rb") as file:
        known: dict[str, dict[str, str]] = tomllib.load(file)
    dns = run.profile.dns.listen[0][0] if run.profile.dns else "the address of the harness"
    places = {"{address}": run.profile.server.address, "{dns}": dns}
    return {whom: _filled(what, places) for whom, what in known.get(key, {}).items()}


# The checks


def reachable(patient: Patient) -> Finding:
    """A greeting, and the right one."""
    _, attempt = patient.innocent
    if attempt.ending is Ending.NOT_INTRODUCED:
        return Finding(State.BAD, ailing(attempt), "introduction")
    if attempt.connect.verdict is not Verdict.PASS:
        return Finding(State.BAD, ailing(attempt), "refused" if attempt.connect.reply else "reachable")
    named = patient.run.profile.server.hostname
    if named.lower() not in f"{attempt.connect.text} {attempt.helo.text}".lower():
        return Finding(State.BAD, f"it says «{attempt.connect}» and nowhere {named}", "another-server")
    return Finding(State.GOOD, f"it says «{attempt.connect}»")


def serves_the_innocent(patient: Patient) -> Finding:
    """Known clients, strangers, relay hosts and accounts, in every way of being innocent."""
    baseline = patient.run.baseline
    if baseline.findings:
        return Finding(State.BAD, "; ".join(one.statement for one in baseline.findings), "innocent")
    lost = [one for one in baseline.meetings if one.lost]
    if lost:
        saw = f"{len(lost)} of {len(baseline.meetings)} dialogues were lost: {lost[0].deviation}"
        return Finding(State.BAD, saw, "innocent")
    return Finding(State.GOOD, f"{len(baseline.meetings)} of them, such as {baseline.meetings[0].innocent}")


def sees_address(patient: Patient) -> Finding:
    """The server asks our DNS about the address that we play."""
    client, attempt = patient.innocent
    if patient.run.profile.dns is None:
        return Finding(
            State.SKIPPED, "the profile has no [dns]: rules about names and lists are not testable"
        )
    asked = client.queries()
    if any(entry.name == reverse_name(client.address) for entry in asked):
        return Finding(State.GOOD, f"it asked for the PTR of {client.address}, the address that we play")
    if asked:
        return Finding(State.GOOD, f"it asked for {asked[0].name}, not for the PTR of {client.address}")
    if others := _questions(patient.run):
        return Finding(State.BAD, f"it asks our DNS, but not about {client.address}: {others}", "address")
    return Finding(State.BAD, f"it asked our DNS nothing in a whole dialogue ({attempt.rcpt})", "resolver")


def resolves_over_tcp(patient: Patient) -> Finding:
    """A truncated answer is asked for again over TCP (RFC 7766)."""
    if patient.run.profile.dns is None:
        return Finding(State.SKIPPED, "the profile has no [dns]")
    client = _observe(patient.run)
    client.script(reverse_name(client.address), "PTR", Truncated())
    client.script(client.host, "A", Truncated())
    client.attempt()
    ways = {entry.transport for entry in client.queries()}
    if "tcp" in ways:
        return Finding(State.GOOD, "asked over UDP, and over TCP after a truncated answer")
    if not ways:
        return Finding(State.SKIPPED, "it asked nothing about this client, so it cannot be told")
    return Finding(State.BAD, "a truncated answer was not asked for again over TCP", "tcp")


def accepts_its_domains(patient: Patient) -> Finding:
    """A user of each domain is taken, or greylisted where that is known."""
    met: dict[Verdict | None, list[str]] = {}
    for domain in patient.run.profile.domain:
        recipient = f"{domain.users[0]}@{domain.name}"
        step = _observe(patient.run).attempt(recipient=recipient).rcpt
        met.setdefault(step.verdict, []).append(f"{recipient}: {step}")
    taken, deferred = met.pop(Verdict.PASS, []), met.pop(Verdict.DEFER, [])
    if met:
        return Finding(State.BAD, "; ".join(itertools.chain(*met.values())), "domains")
    if deferred and patient.run.profile.greylist is None:
        return Finding(State.BAD, f"{'; '.join(deferred)}; the profile has no [greylist]", "deferred")
    return Finding(State.GOOD, f"{len(taken + deferred)} domains take mail for the first of their users")


def has_addresses(patient: Patient) -> Finding:
    """Enough addresses for the clients of those rules that need a choice of them."""
    run, short = patient.run, []
    clients = run.profile.clients
    for key, networks, need in (
        ("networks", [one for one in clients.networks if one.version == 4], Capability.ADDRESS),
        ("trusted", clients.trusted, Capability.TRUSTED_ADDRESS),
    ):
        rules = sum(need in rule.needs and run.profile.claims(rule) for rule in run.catalogue)
        wanted, there = rules * CLIENTS_OF_A_RULE, sum(room_in(network) for network in networks)
        if networks and there < wanted:
            short.append(f"clients.{key} has {there}, and scenarios of {rules} rules need about {wanted}")
    if short:
        return Finding(
            State.BAD, f"{'; '.join(short)}; those that find none left are not testable", "addresses"
        )
    if not clients.networks:
        return Finding(State.SKIPPED, "with route direct no address can be chosen")
    return Finding(State.GOOD, "for each client of each scenario one of its own")


def logs_in(patient: Patient) -> Finding:
    """The account works, under TLS."""
    if patient.run.profile.auth is None:
        return Finding(State.SKIPPED, "the profile has no [auth] account")
    client = _observe(patient.run)
    with client.conversation() as talk:
        talk.connect()
        step = client.log_in(talk)
        talk.quit()
        if step.verdict is Verdict.PASS:
            return Finding(State.GOOD, f"{patient.run.profile.auth.user} is let in under TLS")
        fault = talk.tls_fault or step
    return Finding(State.BAD, f"{patient.run.profile.auth.user}: {fault}", "credentials")


def delivers(patient: Patient) -> Finding:
    """A message arrives where the profile says."""
    if patient.run.tools.mailbox is None:
        return Finding(State.SKIPPED, "the profile has no [mailbox]")
    client, recipient = _observe(patient.run), patient.run.sut.recipient
    token = secrets.token_hex(8)
    attempt = client.attempt(message=message(client, recipient, body=f"{token}\r\n"))
    if attempt.data.verdict is not Verdict.PASS:
        return Finding(State.BAD, f"a message to {recipient} was not taken: {_last(attempt)}", "innocent")
    try:
        found = patient.run.tools.mailbox.find(recipient, token)
    except ScenarioEnd as ending:
        return Finding(State.BAD, str(ending), "mailbox")
    return Finding(State.GOOD, f"a message to {recipient} was found: {found.where}")


def sends(patient: Patient) -> Finding:
    """What a trusted client sends elsewhere arrives at a mail host that we play."""
    run = patient.run
    if run.tools.sink is None:
        return Finding(State.SKIPPED, "the profile has no [sink] at which other mail hosts could be played")
    if reason := run.profile.lacks(Capability.TRUSTED_ADDRESS):
        return Finding(State.SKIPPED, reason)
    host = run.tools.sink.open(run.internet.foreign_domain())
    try:
        client, recipient = run.client(run.world(), Kind.TRUSTED, "trusted"), f"friend@{host.domain}"
        attempt = client.attempt(recipient=recipient, message=message(client, recipient))
        if attempt.data.verdict is not Verdict.PASS:
            return Finding(State.BAD, f"a message to {recipient} was not taken: {_last(attempt)}", "relay")
        arrival = host.arrival(client.token, SENT_WITHIN)
    except FailedError as ending:
        return Finding(State.BAD, str(ending), "sink")
    finally:
        run.tools.sink.close(host)
    return Finding(State.GOOD, f"a message for others arrived at {host.address}, from {arrival.client}")


def clock_moves(patient: Patient) -> Finding:
    """Time passes for the greylist."""
    greylist, clock = patient.run.profile.greylist, patient.run.tools.clock
    if greylist is None or clock is None:
        return Finding(State.SKIPPED, f"the profile has no {'[clock]' if greylist else '[greylist]'}")
    stranger = patient.run.client(patient.run.world(), Kind.STRANGER, "stranger")
    first = stranger.attempt().rcpt
    if first.verdict is not Verdict.DEFER:
        return Finding(State.BAD, f"a stranger is not greylisted: {first}", "greylist")
    clock.advance(stranger.address, greylist.delay + GREYLIST_SLACK)
    then = stranger.attempt().rcpt
    if then.verdict is not Verdict.PASS:
        return Finding(State.BAD, f"deferred, and after {greylist.delay:g} s again: {then}", "clock")
    return Finding(State.GOOD, f"deferred, and taken after {greylist.delay:g} s")


def changes_lists(patient: Patient) -> Finding:
    """The operator's commands work."""
    operator = patient.run.tools.operator
    if operator is None:
        return Finding(State.SKIPPED, "the profile has no [operator]")
    stranger = patient.run.client(patient.run.world(), Kind.STRANGER, "stranger")
    triplet = (stranger.address, stranger.sender, patient.run.sut.recipient)
    operator.add("white", *triplet)
    shown = operator.listed("white", *triplet)
    taken = stranger.attempt().rcpt
    operator.remove("white", *triplet)
    if not shown or taken.verdict is not Verdict.PASS:
        seen = "shown" if shown else "not shown by operator.list"
        return Finding(State.BAD, f"a triplet added to the white list is {seen}, and met {taken}", "operator")
    return Finding(State.GOOD, "a triplet was added to the white list, shown, honoured and removed")


def leaves_room(patient: Patient) -> Finding:
    """As many connections at once as the profile allows."""
    wanted = min(patient.run.profile.server.jobs, MOST_AT_ONCE)
    sessions = [_observe(patient.run).session() for _ in range(wanted)]
    try:
        with ThreadPoolExecutor(wanted) as pool:
            greeted = list(pool.map(_greets, sessions))
    finally:
        for session in sessions:
            session.close()
    refused = [said for said in greeted if said]
    if refused:
        return Finding(
            State.BAD, f"{len(refused)} of {wanted} connections at once: {refused[0]}", "connections"
        )
    return Finding(State.GOOD, f"{wanted} connections at once were greeted")


CHECKS = (
    Check("the server answers, and is the one that the profile describes", reachable, basic=True),
    Check("innocent clients meet what the profile says", serves_the_innocent),
    Check("it sees the client address that we play, and asks our DNS", sees_address, basic=True),
    Check("it resolves over TCP too", resolves_over_tcp),
    Check("its own domains accept mail", accepts_its_domains),
    Check("there are addresses enough to play", has_addresses),
    Check("the account works under TLS", logs_in),
    Check("delivered mail can be read", delivers),
    Check("what is for others arrives at the mail hosts that we play", sends),
    Check("the clock moves", clock_moves),
    Check("the operator's commands work", changes_lists),
    Check("its limits leave room for our connections", leaves_room),
)


def _observe(run: Run) -> Client:
    return run.observer(run.world())


def _greets(session: Session) -> str:
    try:
        reply = session.open()
        session.quit_politely()
    except SessionEnded as ended:
        return ended.reason
    return "" if reply.code == 220 else f"{reply.code} {reply.text}"


def _last(attempt: Attempt) -> str:
    return f"{attempt.steps[-1].stage}: {attempt.steps[-1]}" if attempt.steps else "nothing was said"


def _questions(run: Run) -> str:
    asked: list[QueryEntry] = run.internet.dns.queries()
    names = list(dict.fromkeys(entry.name for entry in asked if entry.name != "pulse.invalid"))
    return ", ".join(names[-3:])


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text
