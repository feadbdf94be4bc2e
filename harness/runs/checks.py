"""The doctor's checks: each looks at one foundation, in the order in which they rest on each other."""

import contextlib
import re
import secrets
from dataclasses import replace
from threading import Barrier

from fake_dns import QueryEntry, Truncated, reverse_name
from harness.grants.addresses import ADDRESS, DNS, REFUSED_ADDRESS, TRUSTED_ADDRESS
from harness.grants.greylist import CLOCK, GREYLIST_OPERATOR
from harness.grants.mail import MAILBOX
from harness.grants.sending import SINK
from harness.outcome import Stage, Treatment
from harness.profile.tables import Greylist
from harness.profile.values import neighbourhoods_in, room_in
from harness.runs.diagnosis import Check, Finding, Patient, State
from harness.runs.run import Run, ailing
from harness.smtp.host_name import host_name, words_of
from harness.smtp.session import Ending, Session, SessionEnded
from harness.verdicts import CameLateError, ScenarioEnd
from harness.wording import counted
from harness.world.client import GREYLIST_SLACK, Client, message
from harness.world.conversation import Attempt, Step
from harness.world.internet import Kind

CLIENTS_OF_A_RULE = 4  # on the average, each with an address that nobody else has in the run
MOST_AT_ONCE = 100  # connections that the last check opens


def reachable(patient: Patient) -> Finding:
    """A greeting, and the right one."""
    client, attempt = patient.innocent
    if attempt.ending is Ending.NOT_INTRODUCED:
        return Finding(State.BAD, ailing(attempt), "introduction")
    if attempt.connect.misplaced:
        return Finding(State.BAD, ailing(attempt), "misplaced")
    if attempt.connect.treatment is not Treatment.PASS:
        return Finding(State.BAD, ailing(attempt), "refused" if attempt.connect.reply else "reachable")
    named = patient.run.profile.server.hostname
    naming = [step for step in (attempt.connect, attempt.helo) if named.lower() in words_of(step.text)]
    if not naming:
        others = host_name(attempt.helo.text, attempt.connect.text, [client.host, client.identity.domain])
        if not others:
            saw = f"it says «{attempt.connect}» and does not name itself, so it may be {named} or not"
            return Finding(State.UNTOLD, saw)
        return Finding(State.BAD, f"it says «{attempt.connect}» and nowhere {named}", "another-server")
    return Finding(State.GOOD, f"it says {named} at {naming[0].stage}: «{naming[0]}»")


def sees_address(patient: Patient) -> Finding:
    """The server asks our DNS about the address that we play."""
    client, attempt = patient.innocent
    if patient.run.profile.dns is None:
        return Finding(
            State.SKIPPED, "the profile has no [dns]: rules about names and lists are not testable"
        )
    asked = client.queries()
    labels = reverse_name(client.address).removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
    bearing = [entry.name for entry in asked if entry.name.startswith(f"{labels}.")]
    if bearing:
        return Finding(
            State.GOOD, f"it asked for {bearing[0]}: that is {client.address}, the address that we play"
        )
    whole = re.compile(rf"(?<![\w.:]){re.escape(client.address)}(?![\w:]|\.\d)")
    told = [step.stage for step in attempt.staged if whole.search(step.text)]
    if asked and told:
        return Finding(State.GOOD, f"it asked for {asked[0].name}, and names {client.address} at {told[0]}")
    if asked:
        saw = f"it asked for {asked[0].name}, and said nothing of {client.address}, so which address it sees"
        return Finding(State.UNTOLD, f"{saw} cannot be told")
    others = _questions(patient.run)
    if others and not patient.run.profile.clients.networks:
        return Finding(State.GOOD, f"it asks our DNS, and no address can be chosen here: {others}")
    if others:
        saw = f"it asks our DNS, but not about {client.address}: {others}"
        return _of_a_whole(patient, client, attempt, Finding(State.BAD, saw, "address", ADDRESS.name))
    saw = f"it asked our DNS nothing in a whole dialogue ({_last(attempt)})"
    if not (patient.run.profile.looks_names_up or patient.run.profile.dnsbl):
        why = "by XCLIENT it is told its client's name, and the profile has no list that it would ask"
        return Finding(
            State.UNTOLD, f"{saw}; {why}, so whether it would ask ours cannot be told", without=DNS.name
        )
    return _of_a_whole(patient, client, attempt, Finding(State.BAD, saw, "resolver", DNS.name))


def _of_a_whole(patient: Patient, client: Client, attempt: Attempt, finding: Finding) -> Finding:
    """What to say of a whole dialogue; one that was stopped by something else says nothing of questions."""
    stopped = not attempt.staged or attempt.staged[-1].treatment is not Treatment.PASS
    return replace(patient.unsaid(client, attempt, finding), without=finding.without) if stopped else finding


def resolves_over_tcp(patient: Patient) -> Finding:
    """A truncated answer is asked for again over TCP (RFC 7766)."""
    if patient.run.profile.dns is None:
        return Finding(State.SKIPPED, "the profile has no [dns]")
    client = _observe(patient.run)
    client.script(reverse_name(client.address), "PTR", Truncated())
    client.script(client.host, "A", Truncated())
    attempt = client.attempt()
    asked = client.queries()
    truncated = {entry.name for entry in asked if entry.transport == "udp" and "truncated" in entry.answer}
    if not truncated:
        saw = f"it asked nothing to which a truncated answer was given, in a dialogue to {_last(attempt)}"
        return patient.unsaid(client, attempt, Finding(State.UNTOLD, saw))
    if truncated & {entry.name for entry in asked if entry.transport == "tcp"}:
        return Finding(State.GOOD, "asked over UDP, and over TCP after a truncated answer")
    again = Finding(State.BAD, "a truncated answer was not asked for again over TCP", "tcp")
    return again if attempt.staged and attempt.staged[-1].reply else patient.unsaid(client, attempt, again)


def has_addresses(patient: Patient) -> Finding:
    """Enough addresses for the clients of those rules that need a choice of them."""
    run, short, enough = patient.run, list[str](), list[str]()
    clients = run.profile.clients
    for key, networks, need in (
        ("networks", [one for one in clients.networks if one.version == 4], ADDRESS.name),
        ("trusted", clients.trusted, TRUSTED_ADDRESS.name),
        ("refused", clients.refused, REFUSED_ADDRESS.name),
    ):
        rules = sum(need in rule.needs and run.profile.claims(rule) for rule in run.catalogue)
        wanted, there = rules * CLIENTS_OF_A_RULE, sum(room_in(network) for network in networks)
        if networks:
            told = f"clients.{key} has {there}, and scenarios of {counted(rules, 'rule')} need about {wanted}"
            (short if there < wanted else enough).append(told)
    if shortage := _too_few_networks(run):
        short.append(shortage)
    if short:
        return Finding(
            State.BAD, f"{'; '.join(short)}; those that find none left are not testable", "addresses"
        )
    if not clients.networks:
        return Finding(State.SKIPPED, "with route direct no address can be chosen")
    if not enough:
        return Finding(State.UNTOLD, "clients.networks has no IPv4 network, of which addresses are counted")
    return Finding(State.GOOD, "; ".join(enough))


def _too_few_networks(run: Run) -> str:
    """What is missing where the greylist goes by networks; empty when nothing is."""
    if run.profile.greylist is None or run.profile.greylist.key != "network":
        return ""
    rules = sum(rule.about_greylist and run.profile.claims(rule) for rule in run.catalogue)
    networks = [one for one in run.profile.clients.networks if one.version == 4]
    wanted, there = rules * CLIENTS_OF_A_RULE, neighbourhoods_in(networks)
    if not networks or there >= wanted:
        return ""
    return f"clients.networks has {there} of /24, and strangers to a greylist by networks need about {wanted}"


def logs_in(patient: Patient) -> Finding:
    """The account works, under TLS."""
    if patient.run.profile.auth is None:
        return Finding(State.SKIPPED, "the profile has no [auth] account")
    client = _observe(patient.run)
    with client.conversation() as talk:
        talk.connect()
        step = client.log_in(talk)
        facts = talk.session.tls if talk.session.encrypted else None
        attempt = talk.quit()
    user = patient.run.profile.auth.user
    if step.misplaced:
        return Finding(State.UNTOLD, f"AUTH is answered {step}, {step.misplaced}")
    if step.treatment is Treatment.PASS and facts:
        return Finding(State.GOOD, f"{user} is let in under {facts.version}: {step}")
    if talk.lost and not talk.tls_fault:
        return Finding(State.UNTOLD, f"a dialogue was lost: {talk.lost}")
    if not facts:
        return Finding(State.BAD, f"{user}: {talk.tls_fault or step}", "tls")
    if step.treatment is Treatment.DEFER:
        return patient.unsaid(client, attempt, Finding(State.UNTOLD, f"{user} is put off: {step}", "put-off"))
    return Finding(State.BAD, f"{user}: {step}", "credentials")


def delivers(patient: Patient) -> Finding:
    """A message arrives where the profile says."""
    mailbox = patient.run.tools.get(MAILBOX)
    if mailbox is None:
        return Finding(State.SKIPPED, "the profile has no [mailbox]")
    client, recipient = _observe(patient.run), patient.run.sut.recipient
    token = secrets.token_hex(8)
    attempt = client.attempt(message=message(client, recipient, body=f"{token}\r\n"))
    if attempt.data.treatment is not Treatment.PASS:
        return _not_taken(patient, client, attempt, "innocent")
    try:
        found = mailbox.find(recipient, token)
    except CameLateError:  # whereupon nothing follows
        raise
    except ScenarioEnd as ending:
        return Finding(State.BAD, str(ending), "mailbox")
    return Finding(State.GOOD, f"a message to {recipient} was found: {found.where}")


def _not_taken(patient: Patient, client: Client, attempt: Attempt, mend: str) -> Finding:
    """What to say of a message that was not taken; that it was put off is neither a yes nor a no."""
    saw = f"a message to {attempt.recipient} was not taken: {_last(attempt)}"
    put_off = attempt.staged and attempt.staged[-1].treatment is Treatment.DEFER
    found = Finding(State.UNTOLD, saw, "put-off") if put_off else Finding(State.BAD, saw, mend)
    return patient.unsaid(client, attempt, found)


def sends(patient: Patient) -> Finding:
    """What a trusted client sends elsewhere arrives at a mail host that we play."""
    run = patient.run
    sink = run.tools.get(SINK)
    if sink is None:
        return Finding(State.SKIPPED, SINK.lacking(run.profile))
    if reason := TRUSTED_ADDRESS.lacking(run.profile):
        return Finding(State.SKIPPED, reason)
    host = sink.open(run.internet.foreign_domain())
    try:
        client, recipient = run.client(run.world(), Kind.TRUSTED, "trusted"), f"friend@{host.domain}"
        attempt = client.attempt(recipient=recipient, message=message(client, recipient))
        if attempt.data.treatment is not Treatment.PASS:
            return _not_taken(patient, client, attempt, "relay")
        arrival = host.arrival(client.token)
    except CameLateError:  # whereupon nothing follows
        raise
    except ScenarioEnd as ending:
        return Finding(State.BAD, str(ending), "sink")
    finally:
        sink.close(host)
    return Finding(State.GOOD, f"a message for others arrived at {host.address}, from {arrival.client}")


def turns_away(patient: Patient) -> Finding:
    """A client that is to be refused in place of the greeting is."""
    run = patient.run
    if reason := REFUSED_ADDRESS.lacking(run.profile):
        return Finding(State.SKIPPED, reason)
    client = run.client(run.world(), Kind.REFUSED, "refused")
    attempt = client.attempt(upto=Stage.CONNECT)
    opening = attempt.connect
    if opening.treatment is Treatment.PASS:
        saw = f"{client.address} is greeted: «{opening}»"
        return Finding(State.BAD, saw, "refused-hosts", REFUSED_ADDRESS.name)
    if opening.treatment is Treatment.DEFER:
        saw = f"{client.address} is put off, and not refused: «{opening}»"
        return patient.unsaid(client, attempt, Finding(State.BAD, saw, "refused-hosts", REFUSED_ADDRESS.name))
    return patient.unsaid(client, attempt, Finding(State.GOOD, f"{client.address} hears «{opening}»"))


def clock_moves(patient: Patient) -> Finding:
    """Time passes for the greylist."""
    greylist, clock = patient.run.profile.greylist, patient.run.tools.get(CLOCK)
    if greylist is None or clock is None:
        return Finding(State.SKIPPED, f"the profile has no {'[clock]' if greylist else '[greylist]'}")
    recipient = patient.run.sut.recipient
    if not patient.run.profile.clients.networks:
        return Finding(State.UNTOLD, "no address can be chosen, so nobody is a stranger")
    if greylist.exempts(recipient):
        return Finding(State.UNTOLD, f"{recipient} is exempt, and no user is known who is not")
    stranger = _stranger(patient.run)
    first = stranger.attempt(upto=greylist.stage)
    put_off = first.staged[-1]
    if put_off.stage is not greylist.stage or put_off.code not in greylist.codes:
        saw = f"a stranger is not greylisted: {_last(first)}"
        return patient.unsaid(stranger, first, Finding(State.BAD, saw, "greylist"))
    clock.advance(stranger.address, greylist.delay + GREYLIST_SLACK)
    then = stranger.attempt(upto=greylist.stage)
    if then.step(greylist.stage).treatment is Treatment.PASS:
        return _by_time_alone(patient.run, greylist, then.step(greylist.stage))
    saw = f"deferred, and after {greylist.delay:g} s again: {_last(then)}"
    return patient.unsaid(stranger, then, Finding(State.BAD, saw, "clock"))


def _by_time_alone(run: Run, greylist: Greylist, taken: Step) -> Finding:
    """Whether a stranger for whom no time passes is not taken when it tries again."""
    hasty = _stranger(run)
    for _ in range(2):
        early = hasty.attempt(upto=greylist.stage)
        step = early.staged[-1]
        if step.stage is not greylist.stage or step.code not in greylist.codes:
            saw = f"taken after {greylist.delay:g} s, but a stranger that did not wait was not put off twice"
            return Finding(State.UNTOLD, f"{saw}, so whether time passed cannot be told: {_last(early)}")
    saw = f"a stranger was deferred, and taken after {greylist.delay:g} s ({taken})"
    return Finding(State.GOOD, f"{saw}; one that tried again at once was not: {_last(early)}")


def changes_lists(patient: Patient) -> Finding:
    """The operator's commands work."""
    operator = patient.run.tools.get(GREYLIST_OPERATOR)
    if operator is None:
        return Finding(State.SKIPPED, "the profile has no [operator]")
    stranger, greylist = _stranger(patient.run), patient.run.profile.greylist
    stage, recipient = greylist.stage if greylist else Stage.RCPT, patient.run.sut.recipient
    triplet = (stranger.address, stranger.sender, recipient)
    without = _stranger(patient.run).attempt(upto=stage)
    operator.add("white", *triplet)
    try:
        shown = operator.listed("white", *triplet)
        met = stranger.attempt(upto=stage)
    finally:
        operator.remove("white", *triplet)
    if not shown:
        saw = "a triplet added to the white list is not shown by operator.list"
        return Finding(State.BAD, saw, "operator")
    if operator.listed("white", *triplet):
        saw = "a triplet that was removed from the white list is still shown by operator.list"
        return Finding(State.BAD, saw, "operator")
    seen = "a triplet was added to the white list and shown, and after it was removed shown no more"
    if met.step(stage).treatment is not Treatment.PASS:
        saw = f"a triplet on the white list met {_last(met)}"
        return patient.unsaid(stranger, met, Finding(State.BAD, saw, "operator"))
    put_off = without.staged[-1] if without.staged else None
    if greylist and put_off and put_off.stage is stage and put_off.code in greylist.codes:
        saw = f"{seen}; it was taken ({met.step(stage)}), and a stranger without it put off"
        return Finding(State.GOOD, f"{saw}: {_last(without)}")
    saw = f"{seen}; whether it is honoured cannot be told, for a stranger without it was not put off"
    return Finding(State.UNTOLD, f"{saw} either: {_last(without)}")


def leaves_room(patient: Patient) -> Finding:
    """As many connections at once as the profile allows; what is wrong is so twice."""
    first = _room(patient)
    if first.state is not State.BAD:
        return first
    again = _room(patient)
    if again.state is State.BAD:
        return again
    return Finding(State.UNTOLD, f"not the same each time: {first.saw}; then {again.saw}")


def _room(patient: Patient) -> Finding:
    """Each connection is held until all were greeted, or were not."""
    allowed = patient.run.profile.server.jobs
    wanted = min(allowed, MOST_AT_ONCE)
    sessions = [_observe(patient.run).session() for _ in range(wanted)]
    all_came = Barrier(wanted)

    def comes(session: Session) -> str:
        try:
            patient.run.pace.take_turn(session)
            said = _greets(session)
        finally:
            all_came.wait()
        with contextlib.suppress(SessionEnded):
            session.quit_politely()
        return said

    try:
        with patient.run.threads(wanted, "room") as pool:
            greeted = list(pool.map(comes, sessions))
    finally:
        for session in sessions:
            session.close()
    if refused := [said for said in greeted if said]:
        saw = f"{len(refused)} of {wanted} connections at once: {refused[0]}"
        with _observe(patient.run).conversation() as talk:
            alone = talk.connect()
            talk.quit()
        if alone.treatment is Treatment.PASS:
            return Finding(State.BAD, saw, "connections")
        mend = "refused" if alone.reply else "reachable"
        return Finding(State.BAD, f"{saw}; and one that came alone after them: {alone}", mend)
    more = f"; server.jobs is {allowed}, and more than {wanted} were not tried" if allowed > wanted else ""
    return Finding(State.GOOD, f"{wanted} connections at once were greeted and held{more}")


CHECKS = (
    Check("the server answers, and is the one that the profile describes", reachable, basic=True),
    Check("it sees the client address that we play, and asks our DNS", sees_address, basic=True),
    Check("it resolves over TCP too", resolves_over_tcp),
    Check("there are addresses enough to play", has_addresses, asks_nobody=True),
    Check("the account works under TLS", logs_in),
    Check("delivered mail can be read", delivers),
    Check("what is for others arrives at the mail hosts that we play", sends),
    Check("who is to be refused at once is", turns_away),
    Check("the clock moves", clock_moves),
    Check("the operator's commands work", changes_lists),
    Check("its limits leave room for our connections", leaves_room),
)


def _observe(run: Run) -> Client:
    return run.observer(run.world())


def _stranger(run: Run) -> Client:
    return run.client(run.world(), Kind.STRANGER, "stranger")


def _greets(session: Session) -> str:
    try:
        reply = session.open()
    except SessionEnded as ended:
        return ended.reason
    return "" if reply.code == 220 else f"{reply.code} {reply.text}"


def _last(attempt: Attempt) -> str:
    if not attempt.staged:
        return "nothing was said"
    step = attempt.staged[-1]
    return f"{step.stage}: {step}{f', {step.misplaced}' if step.misplaced else ''}"


def _questions(run: Run) -> str:
    asked: list[QueryEntry] = run.internet.dns.queries()
    internet = run.internet
    about_us = (one.name for one in asked if internet.is_about_somebody(one.name, or_any_address=True))
    names = list(dict.fromkeys(about_us))
    return ", ".join(names[-3:])
