"""Results for tests: made of as few words as a test needs, and a full one that resembles a real run."""

from dataclasses import replace
from typing import Any

from harness.results.model import (
    Case,
    Dialogue,
    Line,
    Query,
    ReplyFact,
    RuleResult,
    RunResult,
    ServerFacts,
    Status,
    StepFact,
    Suite,
    Try,
    aggregate,
)

SERVER = ServerFacts(
    greeting="mail.example.org ESMTP",
    keywords=("8BITMIME", "SIZE 52428800", "STARTTLS"),
    keywords_tls=("8BITMIME", "AUTH PLAIN", "SIZE 52428800"),
    tls={
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "subject": "CN=mail.example.org",
        "names": "mail.example.org, *.example.org",
        "not_after": "2027-01-31T12:00:00Z",
        "issuer": "CN=mail.example.org",
        "key": "EC secp256r1",
        "fingerprint": "5f" * 32,
    },
)


def reply(stage: str, code: int | None = 250, text: str = "OK", **more: Any) -> StepFact:
    """A step with a prompt reply, or with none."""
    sent = "" if stage == "connect" else COMMANDS.get(stage, stage.upper())
    facts = {"enhanced": None, "seconds": 0.002, "late": False, **more}
    return StepFact(stage, sent, None, () if code is None else (ReplyFact(**facts, code=code, text=text),))


def dialogue(*steps: StepFact, label: str = "offence", **more: Any) -> Dialogue:
    """A dialogue whose lines follow from its steps."""
    lines: list[Line] = []
    queries: list[Query] = []
    at = 0.0
    known: list[StepFact] = []
    for fact in steps:
        if fact.stage == "connect":
            queries.append(Query(0.0011, "7.0.18.198.in-addr.arpa", "PTR", "mx.c1.example.org", "udp"))
        else:
            lines.append(Line(round(at, 4), "C", fact.sent))
        if fact.stage == "rcpt":
            queries.append(Query(round(at + 0.001, 4), "7.0.18.198.bl1.example", "A", "NXDOMAIN", "udp"))
        asked, replies = at, []
        for said in fact.replies:
            at += said.seconds
            replies.append(replace(said, line=len(lines)))
            *first, last = said.text.split("\n")
            lines += [Line(round(at, 4), "S", f"{said.code}-{part}") for part in first]
            lines.append(Line(round(at, 4), "S", f"{said.code} {last}"))
        known.append(replace(fact, at=round(asked, 4), replies=tuple(replies)))
    facts: dict[str, Any] = {
        "label": label,
        "client_address": "198.18.0.7",
        "client_name": "mx.c1.example.org",
        "outcome": ", ".join(f"{fact.stage} {fact.reply and fact.reply.code}" for fact in steps),
        "lines": (*lines, Line(round(at, 4), "*", "connection closed by the client")),
        "queries": tuple(queries),
        "steps": tuple(known),
        "ending": "quit",
    }
    return Dialogue(**facts | more)


COMMANDS = {
    "helo": "EHLO mx.c1.example.org",
    "mail": "MAIL FROM:<ann@c1.example.org>",
    "rcpt": "RCPT TO:<ben@example.org>",
}


def case(status: Status = Status.PASSED, *dialogues: Dialogue, name: str = "", **more: Any) -> Case:
    """A case of one try."""
    reason = "" if status is Status.PASSED else f"it came out {status.words}"
    facts: dict[str, Any] = {
        "test": f"scenarios/wiki/test_x.py::test_x[{name}]",
        "reason": reason,
        "expected": "deny at rcpt",
        "observed": "rcpt: 550",
        "seconds": 0.5,
        "tries": (Try(status, reason, dialogues),),
    }
    return Case(**facts | more, name=name, status=status)


def rule(
    rule_id: str = "helo.plain-ip", *cases: Case, status: Status | None = None, **more: Any
) -> RuleResult:
    """A rule with the status of its cases, or with one case of that status."""
    cases = cases or (case(status or Status.PASSED),)
    worst = aggregate(cases)
    facts: dict[str, Any] = {
        "stage": rule_id.partition(".")[0],
        "suite": "wiki",
        "level": "documented",
        "source": "wiki 700",
        "statement": f"The statement of {rule_id}.",
        "expectation": "delay+deny at helo",
        "expectation_from": "catalogue",
        "expectation_reason": "",
        "status": worst,
        "reason": next((one.reason for one in cases if one.status is worst), ""),
    }
    return RuleResult(**facts | more, id=rule_id, cases=cases)


def run(*rules: RuleResult, **more: Any) -> RunResult:
    """A run of these rules, and no others in the catalogue."""
    facts: dict[str, Any] = {
        "name": "embedded",
        "started": "2026-01-31T12:00:00Z",
        "seconds": 4.25,
        "harness_version": "0.1.0",
        "sut_name": "embedded",
        "sut_address": "127.0.0.1:2525",
        "route": "proxy-v2",
        "delay": 1.0,
        "suites": (Suite(name="wiki", title="The page", rules=tuple(rule.id for rule in rules)),),
        "server": SERVER,
        "notes": (),
    }
    return RunResult(**facts | more, rules=rules)


def full_run(rules: int = 80, cases: int = 4) -> RunResult:
    """A run as large as a real one, with every status and every kind of evidence in it."""
    stages = ("connect", "helo", "mail", "rcpt", "data", "tls", "auth")
    made = []
    for number in range(rules):
        status = {
            3: Status.FAILED,
            17: Status.INCONCLUSIVE,
            22: Status.STALE,
            26: Status.KNOWN_DEVIATION,
            30: Status.NOT_TESTABLE,
            41: Status.NOT_APPLICABLE,
        }
        made.append(
            rule(
                f"{stages[number * len(stages) // rules]}.rule-{number}",
                *(_full_case(status.get(number, Status.PASSED), variant) for variant in range(cases)),
                statement="A greeting with a bare address (no brackets) is refused, and late.",
                weakness="a client can borrow any consistent name" if number == 5 else "",
                expectation_from="profile" if number % 20 == 3 else "catalogue",
                expectation_reason="Postfix refuses it at RCPT" if number % 20 == 3 else "",
            )
        )
    return run(*made)


def _full_case(status: Status, variant: int) -> Case:
    name = f"variant {variant}" if variant else ""
    if status in (Status.NOT_TESTABLE, Status.NOT_APPLICABLE):
        reason = "the profile does not grant the capability clock; set [clock] to allow waiting"
        return case(status, name=name, tries=(), reason=reason, observed="")
    whole = [
        reply("connect", 220, "mail.example.org ESMTP"),
        reply("helo", 250, "mail.example.org\nSIZE 52428800\n8BITMIME\nPIPELINING\nSTARTTLS\nHELP"),
        reply("mail", 250, "2.1.0 sender <ann@c1.example.org> OK", enhanced="2.1.0"),
        reply("rcpt", 250, "2.1.5 recipient OK", enhanced="2.1.5"),
        reply("data", 354, "go on"),
        reply("quit", 221, "bye"),
    ]
    offence = [whole[0], reply("helo", 250, "mail.example.org\nHELP", seconds=1.003, late=True), whole[2]]
    offence.append(
        reply("rcpt", 550, "5.7.1 greeting of <client> is a bare address", seconds=1.002, late=True)
    )
    talks = (dialogue(*offence), dialogue(*whole, label="twin"), dialogue(*whole, label="observer"))
    made = case(status, *talks, name=name, observed="rcpt: 550 5.7.1 greeting refused after 1.00 s")
    if status is Status.FAILED:
        reason = "expected delay+deny at helo, but it was prompt: 550 5.7.1 refused after 0.01 s"
        return replace(made, reason=reason, tries=(replace(made.tries[0], reason=reason),) * 2)
    return made
