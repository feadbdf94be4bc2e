"""What a try leaves behind for the report: its dialogues and the server's DNS questions, on one clock."""

import re

from fake_dns import QueryEntry
from harness.client import Client, World
from harness.conversation import Conversation, Step
from harness.judge import Judge, Timing
from harness.results.model import Dialogue, Line, Query, ReplyFact

DATE = re.compile(r"(\w{3}, )?\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d( [+-]\d{4})?( \(\w+\))?")
IDENTIFIER = re.compile(r"\b(?=[\w.-]*\d)(?=[\w.-]*[A-Za-z])[A-Za-z0-9]{4,}(?:-[A-Za-z0-9]{2,})*\b(?!\.\w)")
SETTLE = 0.5  # seconds after the last line within which a question still belongs to the dialogue


def dialogues(world: World, judge: Judge) -> tuple[Dialogue, ...]:
    """Every conversation of a try, in order of time."""
    ordered = sorted(world.conversations, key=lambda entry: entry[2].session.started)
    return tuple(_dialogue(label, client, talk, judge) for label, client, talk in ordered)


def neutral(text: str, client: Client) -> str:
    """A reply's text with what differs from run to run taken out, so that two runs can be compared."""
    token = re.escape(client.world.internet.token)
    text = text.replace(client.address, "<client>")
    text = re.sub(rf"(mx\.)?\b[cd]\d+-{token}\.[\w.-]*\w", "<name>", text, flags=re.IGNORECASE)
    text = DATE.sub("<date>", text)
    return IDENTIFIER.sub(_hide_identifier, text)


def _hide_identifier(match: re.Match[str]) -> str:
    word = match[0]
    is_word = re.fullmatch(r"[A-Za-z]+\d{0,2}|\d+[A-Za-z]{1,2}|\d+", word)
    return word if is_word or len(word) < 6 else "<id>"


def _dialogue(label: str, client: Client, talk: Conversation, judge: Judge) -> Dialogue:
    session = talk.session
    lines = tuple(Line(line.at, line.direction.value, line.text) for line in session.transcript.lines)
    last = session.started + (lines[-1].at if lines else 0.0) + SETTLE
    return Dialogue(
        label=label,
        client_address=client.address,
        client_name=client.host,
        outcome=", ".join(f"{step.stage} {step.verdict or 'no reply'}" for step in talk.steps),
        lines=lines,
        queries=tuple(
            _query(entry, session.started)
            for entry in client.queries()
            if session.started - SETTLE <= entry.at <= last
        ),
        replies=tuple(_fact(step, client, judge) for step in talk.steps),
        ending=session.ending.value,
    )


def _query(entry: QueryEntry, started: float) -> Query:
    return Query(entry.at - started, entry.name, entry.type, entry.answer, entry.transport)


def _fact(step: Step, client: Client, judge: Judge) -> ReplyFact:
    return ReplyFact(
        stage=step.stage.value,
        code=step.code or None,
        enhanced=step.reply.enhanced if step.reply else None,
        text=neutral(step.text, client),
        seconds=round(step.seconds, 4),
        late=None if judge.delay == 0 else judge.timing(step) is Timing.LATE,
    )
