"""What a play leaves behind for the report: dialogues, DNS questions, mail, and all else that was done."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.capabilities.mail_host import Call, MailHost
from harness.capabilities.mailbox import Delivered
from harness.judge import ContradictionError, Timing
from harness.results import timeline
from harness.results.model import Delivery, Dialogue, Event, Line, ReplyFact, StepFact
from harness.runs import questions
from harness.runs.play import Play
from harness.smtp.masking import Masker
from harness.smtp.reply import Reply
from harness.smtp.transcript import Direction
from harness.world.acts import Act, Who
from harness.world.client import Client
from harness.world.conversation import Conversation, Step
from harness.world.world import World

DATE = re.compile(r"(\w{3}, )?\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d( [+-]\d{4})?( \(\w+\))?")
IDENTIFIER = re.compile(r"\b(?=[\w.-]*\d)(?=[\w.-]*[A-Za-z])[A-Za-z0-9]{4,}(?:-[A-Za-z0-9]{2,})*\b(?!\.\w)")
MOST_HEADERS = 100  # fields of a delivered message
LONGEST_HEADER = 2000  # characters
SHOWN_CONTENT = 16384  # bytes of a delivered message
SHOWN_PLACES = 5  # at which mail was found


@dataclass(frozen=True)
class Evidence:
    """What one play leaves behind, on the clock of its try: `zero` is a moment of `time.monotonic()`."""

    play: Play
    zero: float

    @property
    def dialogues(self) -> Iterator[Dialogue]:
        """Every conversation in order of time, then what the server said to other mail hosts."""
        world = self.play.world
        ordered = sorted(world.conversations, key=lambda entry: entry[2].session.started)
        for label, client, talk in ordered:
            yield self._dialogue(label, client, talk)
        for host, call in _calls(world):
            yield self._call(host, call)

    @property
    def deliveries(self) -> Iterator[Delivery]:
        """The messages that were found."""
        return (_delivery(found, self._masker) for found in self.play.world.deliveries)

    @property
    def events(self) -> Iterator[Event]:
        """What was done and happened beside the dialogues, in order of time."""
        world, acts = self.play.world, [*self.play.world.acts.noted]
        acts += [Act(at, Who.MAIL_HOST, f"{host.name} {text}") for host, at, text in _turns(world)]
        acts += [
            Act(self.zero + query.at, Who.SERVER, f"asks DNS {timeline.spoken(query)}")
            for query in questions.told(self._asked.beside, self.zero)
        ]
        for act in sorted(acts, key=lambda act: act.at):
            yield Event(
                at=self._on_clock(act.at),
                who=act.who.value,
                text=_masked(self._masker, act.text),
                shown=_masked(self._masker, act.shown)[:SHOWN_CONTENT],
                is_of_twin=not self.play.offence,
            )
        if world.acts.dropped:
            last = max(act.at for act in acts)
            text = f"{world.acts.dropped} further acts are not kept"
            yield Event(self._on_clock(last), "harness", text, is_of_twin=not self.play.offence)

    @cached_property
    def _asked(self) -> questions.Asked:
        return questions.questions(self.play.world, self.zero)

    @cached_property
    def _masker(self) -> Masker:
        return Masker(self.play.world.sut.profile.secrets)

    def _on_clock(self, at: float) -> float:
        return round(max(0.0, at - self.zero), 4)

    def _dialogue(self, label: str, client: Client, talk: Conversation) -> Dialogue:
        session = talk.session
        recorded = session.transcript.lines
        lines = tuple(Line(line.at, line.direction.value, line.text) for line in recorded)
        places = [place for place, line in enumerate(recorded) if line.direction is Direction.SERVER]
        return Dialogue(
            label=label,
            client_address=client.address,
            client_name=client.host,
            outcome=", ".join(f"{step.stage} {_came_to(step)}" for step in talk.staged),
            lines=lines,
            queries=tuple(questions.told(self._asked.of(talk), session.started)),
            steps=tuple(self._step(step, client, session.started, places) for step in talk.steps),
            ending=session.ending.value,
            began=self._on_clock(session.started),
            is_of_twin=not self.play.offence,
        )

    def _call(self, host: MailHost, call: Call) -> Dialogue:
        return Dialogue(
            label=f"the server calls {host.name}",
            client_address=call.client,
            client_name=call.helo,
            outcome=call.outcome,
            lines=tuple(Line(line.at, line.direction.value, line.text) for line in call.record),
            queries=(),
            steps=(),
            ending="it has ended" if call.ended else "still open",
            began=self._on_clock(call.started),
            is_of_twin=not self.play.offence,
            called=host.name,
        )

    def _step(self, step: Step, client: Client, started: float, places: Sequence[int]) -> StepFact:
        """A step; `places` are those of the server's lines among all lines of the dialogue."""
        return StepFact(
            stage=step.tag.value if step.tag else "",
            sent=step.command,
            at=round(max(0.0, step.began - started), 4),
            replies=tuple(self._fact(step, reply, client, places) for reply in step.replies),
        )

    def _fact(self, step: Step, reply: Reply, client: Client, places: Sequence[int]) -> ReplyFact:
        """A reply; the last one of a step is what the judge looks at."""
        judge, ending = self.play.run.judge, self.play.ended_with
        is_last = reply is step.reply
        wrong = ending if isinstance(ending, ContradictionError) and ending.step is step else None
        return ReplyFact(
            code=reply.code,
            enhanced=reply.enhanced,
            text=neutral(reply.text, client),
            seconds=round(step.seconds if is_last else reply.seconds, 4),
            late=None if judge.delay == 0 else is_last and judge.timing(step) is Timing.LATE,
            missed=wrong.missed if wrong and is_last else None,
            line=places[reply.line] if reply.line < len(places) else None,
        )


def _came_to(step: Step) -> str:
    return "no answer to that" if step.misplaced else str(step.treatment or "no reply")


def clock_zero(plays: Iterable[Play]) -> float:
    """The moment of `time.monotonic()` at which the first thing happened in any of these plays."""
    moments = [
        at
        for play in plays
        for at in (
            *(act.at for act in play.world.acts.noted),
            *(talk.session.started for _, _, talk in play.world.conversations),
        )
    ]
    return min(moments, default=0.0)


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


def _turns(world: World) -> Iterator[tuple[MailHost, float, str]]:
    """How the mail hosts changed what they do; of those that all share, what is about our clients."""
    for host in world.hosts:
        for turn in host.turns:
            if not host.shared or turn.about in world.client_domains:
                yield host, turn.at, turn.text


def _delivery(found: Delivered, masker: Masker) -> Delivery:
    shown = masker.mask(found.content)
    headers = [(name, _masked(masker, str(value))) for name, value in found.header.items()[:MOST_HEADERS]]
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
