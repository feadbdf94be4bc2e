"""What a try leaves behind for the report: dialogues, DNS questions, mail, the operator's acts."""

import math
import re
from collections.abc import Iterator

from fake_dns import QueryEntry
from harness.capabilities.mail_host import Call, MailHost
from harness.capabilities.mailbox import Delivered
from harness.judge import Judge, Timing
from harness.results.model import Delivery, Dialogue, Line, OperatorAct, Query, ReplyFact
from harness.smtp.masking import Masker
from harness.world.client import Client
from harness.world.conversation import Conversation, Step
from harness.world.world import World

DATE = re.compile(r"(\w{3}, )?\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d( [+-]\d{4})?( \(\w+\))?")
IDENTIFIER = re.compile(r"\b(?=[\w.-]*\d)(?=[\w.-]*[A-Za-z])[A-Za-z0-9]{4,}(?:-[A-Za-z0-9]{2,})*\b(?!\.\w)")
MOST_HEADERS = 100  # fields of a delivered message
LONGEST_HEADER = 2000  # characters
SHOWN_CONTENT = 16384  # bytes of a delivered message
SHOWN_PLACES = 5  # at which mail was found
SETTLE = 0.5  # seconds after the last line within which a question still belongs to the dialogue


def dialogues(world: World, judge: Judge, *, twin: bool = False) -> tuple[Dialogue, ...]:
    """Every conversation of a play, in order of time; those of the innocent `twin` are labelled so."""
    ordered = sorted(world.conversations, key=lambda entry: entry[2].session.started)
    return tuple(
        _dialogue(f"twin: {label}" if twin else label, client, talk, judge) for label, client, talk in ordered
    )


def with_others(world: World) -> tuple[Dialogue, ...]:
    """What the server said to other mail hosts."""
    return tuple(_call(host, call) for host, call in _calls(world))


def deliveries(world: World) -> tuple[Delivery, ...]:
    """The messages that were found."""
    masker = Masker(world.sut.profile.secrets)
    return tuple(_delivery(found, masker) for found in world.deliveries)


def operator(world: World) -> tuple[OperatorAct, ...]:
    """What was done and seen as the server's operator."""
    masker = Masker(world.sut.profile.secrets)
    began = min((talk.session.started for _, _, talk in world.conversations), default=math.inf)
    return tuple(
        OperatorAct(
            at=round(max(0.0, act.at - began), 3),
            act=_masked(masker, act.text),
            shown=_masked(masker, act.shown)[:SHOWN_CONTENT],
        )
        for act in world.operator
    )


def aftermath(world: World) -> str:
    """What became of the mail, in a line: where it was found, and what other mail hosts got of it."""
    found = [f"found in {copy.folder or 'the inbox'} of {copy.recipient}" for copy in world.deliveries]
    calls = [f"at {host.name}: {call.outcome}" for host, call in _calls(world)]
    places = list(dict.fromkeys([*found, *calls]))
    more = f", and {len(places) - SHOWN_PLACES} more" if len(places) > SHOWN_PLACES else ""
    return ", ".join(places[:SHOWN_PLACES]) + more


def _calls(world: World) -> Iterator[tuple[MailHost, Call]]:
    """Every dialogue with another mail host, host after host; of those that all share, what is ours."""
    for host in world.hosts:
        for call in host.dialogues:
            if not host.shared or any(call.mentions(domain) for domain in world.client_domains):
                yield host, call


def _call(host: MailHost, call: Call) -> Dialogue:
    return Dialogue(
        label=f"the server calls {host.name}",
        client_address=call.client,
        client_name=call.helo,
        outcome=call.outcome,
        lines=tuple(Line(line.at, line.direction.value, line.text) for line in call.record),
        queries=(),
        replies=(),
        ending="it has ended" if call.ended else "still open",
    )


def _delivery(found: Delivered, masker: Masker) -> Delivery:
    shown = masker.mask(found.content)
    headers = [(name, _masked(masker, str(value))) for name, value in found.message.items()[:MOST_HEADERS]]
    return Delivery(
        recipient=found.recipient,
        folder=found.folder,
        where=found.where,
        headers=tuple((name, " ".join(value.split())[:LONGEST_HEADER]) for name, value in headers),
        content=shown[:SHOWN_CONTENT].decode("utf-8", "backslashreplace"),
    )


def _masked(masker: Masker, text: str) -> str:
    return masker.mask(text.encode("utf-8", "replace")).decode("utf-8", "replace")


def neutral(text: str, client: Client) -> str:
    """A reply's text with what differs from run to run taken out, so that two runs can be compared."""
    token = re.escape(client.world.internet.token)
    text = text.replace(client.address, "<client>")
    text = re.sub(rf"(mx\.)?\b[cd]\d+-{token}\.[\w.-]*\w", "<name>", text, flags=re.IGNORECASE)
    text = DATE.sub("<date>", text)
    return IDENTIFIER.sub(_hide_identifier, text)


def _hide_identifier(match: re.Match[str]) -> str:
    word = match[0]
    is_word = re.fullmatch(r"[A-Za-z]+\d{0,2}|\d+[A-Za-z]{1,2}|\d+|8BITMIME", word)
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
