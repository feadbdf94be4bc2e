"""Before a verdict means anything: is the server there, is it the right one, does it see what we play?

First comes what innocent clients met that the profile does not say. Then each check looks at one foundation,
in the order in which they rest on each other, and says what it saw, what is wrong, and how to mend it
(`mends.toml`). What the server gave no occasion to see cannot be told, and stops nothing.
"""

import ipaddress
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.judge import Timing
from harness.outcome import Stage, Treatment
from harness.printable import printable
from harness.runs.baseline import Finding as Deviation
from harness.runs.baseline import Meeting, meet
from harness.runs.checks import CHECKS
from harness.runs.diagnosis import Check, Finding, Patient, State
from harness.runs.run import Run, own_address
from harness.verdicts import FailedError, ScenarioEnd
from harness.wording import counted
from harness.world.conversation import REFUSES, WANTS_MORE, Step
from harness.world.internet import Kind

MENDS = Path(__file__).with_name("mends.toml")
DNS_PORT = 53
ELSEWHERE = (
    " That listens on port {port}, and most servers ask port 53 only: let [dns] listen on 53, or forward 53 "
    "to {port}, by UDP and TCP."
)
RESET = "\033[0m"
EACH_TIME = "a server that does the same each time would decide it"
CAN_JUDGE = "a run can judge this server"
ABOUT_MAILBOXES = re.compile(r"[45]\.(1\.(1|2|10)|2\.\d+)")  # enhanced codes (RFC 3463 §3, RFC 7505 §4.2)
UNKNOWN_VERB = (500, 502)
AS_PROMISED = "innocent clients meet what the profile says"

SHADES = {
    State.GOOD: ("\033[32m", "good"),
    State.BAD: ("\033[31m", "WRONG"),
    State.SKIPPED: ("\033[2m", "-"),
    State.UNKNOWN: ("\033[33m", "?"),
    State.UNTOLD: ("\033[33m", "untold"),
}


def examine(run: Run, *, short: bool = False) -> Iterator[tuple[Check, Finding]]:
    """Every check and its finding, in order; in the short form those without which there is no verdict."""
    patient = Patient(run)
    fallen = ""
    for check in CHECKS:
        if short and not check.basic:
            continue
        if fallen and not check.asks_nobody:
            yield check, Finding(State.UNKNOWN, f"it rests on what is wrong above: {fallen}")
            continue
        try:
            finding = check.look(patient)
        except FailedError as ending:
            finding = Finding(State.BAD, str(ending))
        except ScenarioEnd as ending:  # it says why there was no occasion
            finding = Finding(State.UNTOLD, str(ending))
        if check.basic and finding.state is State.BAD and not finding.without:
            fallen = check.title
        yield check, finding


def of_innocents(run: Run) -> Iterator[tuple[str, Finding]]:
    """What innocent clients met that the profile does not say, each with a title; or that all was well."""
    baseline = run.baseline
    for one in baseline.findings:
        yield one.statement, Finding(State.BAD, f"the server says: «{one.said}»", _mend_of(one))
    lost = [one for one in baseline.meetings if one.lost]
    well = [one for one in baseline.meetings if not one.deviation]
    if lost:
        dialogues = counted(len(baseline.meetings), "dialogue")
        saw = f"lost: {len(lost)} of {dialogues}, as this one: {lost[0].deviation}"
        yield AS_PROMISED, Finding(State.UNTOLD, saw)
    if baseline.findings or len(lost) == len(baseline.meetings):
        return
    odd = [one for one in baseline.meetings if one.deviation and not one.lost]
    if odd:  # nothing came of it, so clients of that kind are asked once more
        yield AS_PROMISED, Finding(State.UNTOLD, _undecided(run, odd[0], meet(run, odd[0].innocent)))
    if well and not odd and not lost:
        kinds = ", ".join(dict.fromkeys(str(one.innocent) for one in well))
        recipients = {one.innocent.recipient for one in well}
        domains = {recipient.rpartition("@")[2] for recipient in recipients}
        of_all = len({f"{user}@{domain.name}" for domain in run.profile.domain for user in domain.users})
        of_domains = f"{len(domains)} of {counted(len(run.profile.domain), 'domain')}"
        saw = f"{kinds}; {len(recipients)} of {counted(of_all, 'user')} in {of_domains}"
        yield AS_PROMISED, Finding(State.GOOD, saw)


def _undecided(run: Run, first: Meeting, again: Meeting) -> str:
    """What clients of one kind met each time, and what would decide whether that is as promised."""
    if again.lost:
        then = f"a later dialogue was lost: {again.deviation}"
        return f"{first.innocent}: {first.deviation}; {then}; a network that loses nothing would decide it"
    if again.deviation and not first.step and not again.step:
        times = "that cannot be told, nor could it be later"
        return f"{first.innocent}: {first.deviation}; {times}: {again.deviation}; {_decides(run, again)}"
    if first.step and again.step and _place(first.step) == _place(again.step):
        times = "two clients of three met that"
        return f"{first.innocent}: {first.deviation}; {times}; {EACH_TIME}"
    then = f"and later {again.deviation or 'met what the profile says'}"
    decides = EACH_TIME if first.step else _decides(run, first)
    return f"{first.innocent}, not the same each time: {first.deviation}; {then}; {decides}"


def _place(step: Step) -> tuple[Stage, int]:
    return step.stage, step.code


def _decides(run: Run, met: Meeting) -> str:
    """What would decide whether replies were held back that were neither clearly prompt nor clearly late."""
    slow = next((one for one in met.attempt.staged if run.judge.timing(one) is not Timing.PROMPT), None)
    if slow and slow.stage is Stage.CONNECT and not run.profile.dialect.pause:
        return (
            f"if everybody waits for the greeting, dialect.pause = {slow.seconds:.1f} decides it, otherwise "
            "a quieter machine, or a longer policy.delay"
        )
    if slow and slow.code >= REFUSES and not run.profile.dialect.refusals_take:
        return (
            f"if every refusal is held back so long, dialect.refusals_take = {slow.seconds:.1f} decides it, "
            "otherwise a quieter machine, or a longer policy.delay"
        )
    if slow and slow.stage is Stage.DATA and run.profile.server.scan is None:
        return "server.scan decides it: the seconds that it may look at a message (0: not at all)"
    return "a quieter machine, or a longer policy.delay, would decide it"


def _mend_of(found: Deviation) -> str:
    """The key of the advice about something that innocent clients met."""
    step, kind = found.step, found.innocent.kind
    if found.misses:
        return found.misses
    if step.misplaced:
        return "misplaced"
    if step.stage is Stage.TLS:
        return "tls"
    if step.code == WANTS_MORE:
        return "clear-text"
    if found.innocent.authenticated and (mend := _mend_of_account(step)):
        return mend
    if step.treatment is Treatment.PASS:
        unknown = kind.is_strange and step.stage in (Stage.RCPT, Stage.DATA)
        return "greylist" if unknown else "waiting"
    if found.late:
        return "waiting"
    if step.treatment is Treatment.DEFER:
        return "deferred"
    if step.stage is Stage.CONNECT:
        return "refused"
    if step.stage is Stage.RCPT:
        return "relay" if kind is Kind.TRUSTED else _mend_of_recipient(found)
    if step.command.startswith("EHLO") and step.code in UNKNOWN_VERB:
        return "extended"
    return "innocent"


def _mend_of_account(step: Step) -> str:
    """The same of what accounts alone met; empty where it does not come of their being one."""
    if step.stage is Stage.AUTH:
        return "put-off" if step.treatment is Treatment.DEFER else "credentials"
    return "account-mail" if step.treatment in (Treatment.DENY, Treatment.DROP) else ""


def _mend_of_recipient(found: Deviation) -> str:
    """Whose doing a refusal at RCPT is: the recipient's where others are taken, or where its code says so."""
    code = found.step.reply.enhanced if found.step.reply else None
    if found.only_recipient or (code and ABOUT_MAILBOXES.fullmatch(code)):
        return "domains"
    return "innocent" if code else "recipients"


def report(run: Run, say: Callable[[str], None], *, colour: bool) -> bool:
    """Say what innocent clients met and every check saw, and how to mend what is wrong; whether nothing is.

    The run has its baseline.
    """
    wrong: list[str] = []
    checks = ((check.title, finding) for check, finding in examine(run))
    for title, finding in itertools.chain(of_innocents(run), checks, _of_verdicts(run, wrong)):
        shade, mark = SHADES[finding.state]
        say(f"{shade if colour else ''}{mark:>8}{RESET if colour else ''}  {printable(title)}")
        say(f"          {printable(finding.saw)}")
        if finding.state is State.BAD:
            wrong.append(finding.saw)
        for whom, what in advice(finding.mend, run).items():
            for line in [what] if whom == "all" else [f"{whom}:", *(f"  {one}" for one in what.splitlines())]:
                say(f"          {line}")
    return not wrong


def _of_verdicts(run: Run, wrong: Sequence[str]) -> Iterator[tuple[str, Finding]]:
    """That a run would judge nothing, where the reason is none of what is known to be wrong by then."""
    if run.unusable and not any(run.unusable.startswith(one) for one in wrong):
        yield CAN_JUDGE, Finding(State.BAD, run.unusable, "unusable")


def advice(key: str, run: Run) -> dict[str, str]:
    """How to mend it: a sentence under `all`, and the configuration lines of each MTA."""
    with MENDS.open("rb") as file:
        known: dict[str, dict[str, str]] = tomllib.load(file)
    ours = own_address(run.profile.server.address)
    dns, port = run.profile.dns.listen[0] if run.profile.dns else (ours, DNS_PORT)
    if ipaddress.ip_address(dns).is_unspecified:
        dns = ours
    forward = "" if port in (0, DNS_PORT) else ELSEWHERE.format(port=port)
    places = {"{address}": ours, "{dns}": dns, "{forward}": forward}
    return {whom: _filled(what, places) for whom, what in known.get(key, {}).items()}


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text
