"""A notation for raw dialogues: what is sent to the byte, what may come back as a set, one fault at most."""

import time
from dataclasses import dataclass, field

from harness.judge import GreylistWordError
from harness.outcome import Stage
from harness.runs.expect import EndedError, Expect
from harness.smtp.channel import UNSOLICITED
from harness.smtp.session import Ending
from harness.verdicts import EndedAsDocumentedError, InconclusiveError
from harness.wording import counted
from harness.world.client import Client
from harness.world.conversation import FAREWELL, REFUSES, SERVICE_ENDS, Conversation, Step
from harness.world.reply_set import CLOSED, SILENCE, THROUGH, NoReply, ReplySet, Wanted

QUIET = 2.0  # seconds, beyond what the server may hold a reply back, after which there is silence
SOON = 5.0  # seconds within which a connection is closed that is to be closed now
ANY = ReplySet.of("2xx", "3xx", "4xx", "5xx")
ANYTHING = ReplySet.of("2xx", "3xx", "4xx", "5xx", SILENCE, CLOSED)
LEFT = (Ending.SERVER_CLOSED, Ending.RESET, Ending.QUIT)


_STAGES = {
    "EHLO": Stage.HELO,
    "HELO": Stage.HELO,
    "STARTTLS": Stage.TLS,
    "AUTH": Stage.AUTH,
    "MAIL": Stage.MAIL,
    "RCPT": Stage.RCPT,
    "DATA": Stage.DATA,
    "BDAT": Stage.DATA,
}


class NotationError(Exception):
    """A scenario says what a raw dialogue cannot have; the text is the reason and the mend."""


@dataclass
class Talk:
    """A raw dialogue, connected. What is said is a line when it is `str`, and bytes as they are otherwise.

    `hears` is for what the dialogue needs to come to its point: where something else comes, nothing follows.
    `must_hear` is for what the rule says: where a sound reply says something else, that contradicts it;
    silence, a lost connection and a 421 prove nothing unless they are among what may come. Where the end of
    the connection (`CLOSED`) may come, a 421 is one.
    """

    client: Client
    conversation: Conversation
    expect: Expect
    offence: bool | None  # None: it has no twin, so it has no fault
    quiet: float  # seconds without a reply that are silence
    _faults: int = 0
    _fault_began: float = 0.0  # time.monotonic() when the fault was said; 0: it was not
    _due: int = 0  # replies that were asked for and not heard
    _greeted: bool = False  # whether the greeting has been looked at
    _last: "Said" = field(init=False)

    def __post_init__(self) -> None:
        """The greeting answers the connection."""
        self._last = Said(self)

    def says(
        self,
        *what: str | bytes,
        apart: float | None = None,
        replies: int | None = None,
        stage: Stage | None = None,
    ) -> "Said":
        """Send all of it in one write, or each part in a write of its own, so many seconds `apart`.

        Each line asks for a reply, and bytes for none, unless told how many `replies` all of it asks for. A
        single command belongs to its stage; all else belongs to none, or to the `stage` that is named.
        Raises `NotationError` for a `str` that is no line.
        """
        if not what:
            raise NotationError("nothing is said; name a line, or bytes")
        parts = [one if isinstance(one, bytes) else _line(one) for one in what]
        asks = sum(isinstance(one, str) for one in what) if replies is None else replies
        verb = what[0].partition(" ")[0].upper() if len(what) == 1 and isinstance(what[0], str) else ""
        self._greeted = True
        self._due += asks
        writes = [b"".join(parts)] if apart is None else parts
        tag = stage or _STAGES.get(verb)
        self.conversation.write(*writes, tag=tag, replies=asks, apart=apart or 0.0)
        self._last = Said(self)
        return self._last

    def fault(
        self,
        *what: str | bytes,
        instead: tuple[str | bytes, ...] = (),
        apart: float | None = None,
        replies: int | None = None,
        stage: Stage | None = None,
    ) -> "Said":
        """The one thing that the rule is about, said in the play with the offence only.

        The twin says what stands `instead`, or nothing, and then nothing is heard. Raises `NotationError` for
        a second one: servers cut off who makes several, and what follows a fault is another dialogue.
        """
        if self.offence is None:
            raise NotationError("a dialogue with a fault has a twin: open it with raw(client, offence)")
        if self._faults:
            raise NotationError("a connection has one fault: open another one for the second")
        self._faults += 1
        said = what if self.offence else instead
        if not said:
            self._last = Said(self, is_left_out=True)
            return self._last
        heard = self.says(*said, apart=apart, replies=replies, stage=stage)
        self._fault_began = heard.step.began if self.offence else 0.0
        return heard

    def hears(self, *wanted: Wanted) -> "Said":
        """What must come for the dialogue to be the one that is meant, in answer to what was said last."""
        return self._last.hears(*wanted)

    def must_hear(self, *wanted: Wanted, twin: Wanted | None = None) -> "Said":
        """What the rule says that comes, in answer to what was said last."""
        return self._last.must_hear(*wanted, twin=twin)

    def begins_tls(self) -> None:
        """Greeting, EHLO, STARTTLS and the handshake; `comes_to` goes on from there, under TLS.

        Where TLS is on since before the greeting, that is all: EHLO comes once. Raises `InconclusiveError`
        where it does not come to that.
        """
        if self.conversation.session.encrypted:
            self.comes_to(Stage.CONNECT)
            return
        self.comes_to(Stage.HELO)
        self.conversation.starttls(self.client.tls_context(), self.client.world.sut.hostname)
        if not self.conversation.session.encrypted:
            raise InconclusiveError(f"no TLS began: {self.conversation.attempt.tls}")

    def comes_to(self, stage: Stage, recipient: str = "", sender: str | None = None) -> None:
        """An innocent dialogue up to a stage, which has its usual reply; DATA has 354.

        It begins with the greeting, or with EHLO where that has come before.
        """
        recipient = recipient or self.client.world.sut.recipient
        sender = self.client.sender if sender is None else sender
        stages = [Stage.CONNECT, Stage.HELO, Stage.MAIL, Stage.RCPT, Stage.DATA]
        if stage not in stages:
            raise NotationError(f"a raw dialogue does not come to {stage} by itself; say what leads there")
        if not self._greeted:
            self.hears(220)
        self.conversation.recipient = recipient
        wanted: tuple[Wanted, ...] = (250, 250, (250, 251), 354)
        for one, line, code in zip(
            stages[1:],
            (f"EHLO {self.client.host}", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"),
            wanted,
            strict=True,
        ):
            if stages.index(one) <= stages.index(stage):
                self.says(line).hears(code)

    def breaks_off(self) -> None:
        """The client resets the connection; nothing is said or heard on it any more."""
        self.conversation.session.reset()

    def must_go_on(self) -> None:
        """The connection is still there: NOOP has a reply, after all those that are due."""
        self.says("NOOP")
        while self._due:
            seen = self.look_at(ANY)
            self.must_not_have_ended_as_documented()
            if seen is CLOSED and (not self._put_off or self._fault_ended_it):
                self.conversation.takes_the_end_for_an_answer()
                after = f", after {self._put_off[0].name} had {self._put_off[0]}" if self._put_off else ""
                raise EndedError(f"the connection did not go on: {self.conversation.broken}{after}")
            if not isinstance(seen, Step):
                raise InconclusiveError(
                    f"whether the connection goes on was not seen: {self.conversation.broken}"
                )
            self.expect.judge.heard(self.conversation.attempt, seen, ANY)
            self.shows(seen)

    def must_end(self, within: float = SOON) -> None:
        """The server closes the connection now; one that answers NOOP after so many seconds has not."""
        talk = self.conversation
        if talk.broken:
            if talk.session.ending not in LEFT:
                raise InconclusiveError(
                    f"whether the server closes the connection was not seen: {talk.broken}"
                )
        elif not talk.session.closed_by_server(within):
            self._due = 0
            seen = self.says("NOOP").listen(ANY)
            if isinstance(seen, Step) and seen.code != SERVICE_ENDS:
                talk.takes_the_end_for_an_answer()
                raise EndedError(f"the connection was not closed within {within:g} s: NOOP has {seen}")
            raise InconclusiveError(
                f"the connection was not closed within {within:g} s, and nothing came on it"
            )
        talk.takes_the_end_for_an_answer()
        self.expect.proven = self.expect.by_absence = True

    def all_that_comes(self) -> list[Step]:
        """Every reply that still comes until there is silence, or the connection ends, each as a step.

        Behind 221 the end is what has to come.
        """
        come: list[Step] = []
        while isinstance(seen := self.look_at(ANYTHING), Step):
            come.append(seen)
        if seen is CLOSED and any(step.code == FAREWELL for step in (self._last.step, *self.strays)):
            self.conversation.takes_the_end_for_an_answer()
        return come

    def all_before_quit(self) -> list[Step]:
        """Every reply that still comes before that to QUIT, however slow the server is: none is missing.

        Raises `InconclusiveError` where QUIT is not answered with 221.
        """
        self.says("QUIT")
        come: list[Step] = []
        while isinstance(seen := self.look_at(ANY), Step):
            if seen.code == FAREWELL:
                self.conversation.takes_the_end_for_an_answer()
                return come
            come.append(seen)
        self.must_not_have_ended_as_documented()
        raise InconclusiveError(f"QUIT was not answered with {FAREWELL}: {self.conversation.broken}")

    def must_not_have_ended_as_documented(self) -> None:
        """What follows as many refused commands as the profile says end a connection is not to be seen.

        Raises `EndedAsDocumentedError` where the server has ended the dialogue, and had refused so many.
        """
        most = self.expect.profile.dialect.max_errors
        replies = (reply for step in self.conversation.steps for reply in step.replies)
        refused = sum(reply.code >= REFUSES for reply in replies)
        if 0 < most <= refused and self.conversation.session.ending in LEFT:
            raise EndedAsDocumentedError(
                f"{counted(most, 'refused command')} may end a connection here (dialect.max_errors), and "
                "did: what would have followed is not seen"
            )

    def hears_anything(self, *, patiently: bool = False) -> Step | NoReply:
        """Whatever comes next, of whatever code, or that nothing does; raises `InconclusiveError` if lost.

        It is waited for `patiently` for as long as a reply may take, and then it is lost.
        """
        seen = self.look_at(ANY if patiently else ANYTHING)
        if seen is None:
            raise InconclusiveError(f"what is said was not heard: {self.conversation.broken}")
        return seen

    def still_hears(self, *wanted: Wanted) -> bool:
        """Whether a reply comes all the same, where there was silence; it is one of those `wanted`.

        It is waited for until a reply may have taken its time; not at all where the profile says how long a
        message is looked at. Raises `ContradictionError` for another one.
        """
        profile, step = self.expect.profile, self._last.step
        left = profile.patience - (time.monotonic() - step.began)
        if profile.server.scan is not None or left <= 0 or not self.conversation.hear(left):
            return False
        self._due = max(0, self._due - 1)
        heard = self.conversation.last_written or step
        self.expect.judge.heard(self.conversation.attempt, heard, ReplySet.of(*wanted))
        self.shows(heard)
        return True

    @property
    def is_open(self) -> bool:
        """Whether the connection is there, as far as is known."""
        return not self.conversation.broken and self.conversation.session.connected

    def must_not_be_slow(self) -> None:
        """That nothing more comes says something; raises `InconclusiveError` where everything is slow."""
        self._last.doubt_slowness()

    @property
    def strays(self) -> list[Step]:
        """The replies so far that nothing had asked for."""
        return [step for step in self.conversation.steps if step.reply and UNSOLICITED in step.reply.flaws]

    @property
    def _put_off(self) -> list[Step]:
        """Where the server has said that it has no more time, for whatever reason."""
        return [step for step in self.conversation.steps if step.code == SERVICE_ENDS]

    @property
    def _fault_ended_it(self) -> bool:
        """Whether that was the answer to the one fault, of a host that had come to the server with no other.

        A server that limits how often a client errs or comes says so to whom it has seen before; where no
        address can be chosen all of them are one client. One that limits how much is said would have said so
        to the twin's next command as well, which stands in the place of the fault.
        """
        is_a_stranger = bool(self.client.world.sut.profile.clients.networks)
        return is_a_stranger and [step.began for step in self._put_off] == [self._fault_began]

    def look_at(self, wanted: ReplySet) -> "Step | NoReply | None":
        """What comes in answer to what was said last; None: nothing that says anything."""
        talk = self.conversation
        if not self._greeted:
            self._greeted = True
            greeting = talk.steps[0]
            return greeting if greeting.reply else CLOSED if talk.session.ending in LEFT else None
        may_be_silent = SILENCE in wanted.instead
        if talk.hear(self.quiet if may_be_silent else None):
            self._due = max(0, self._due - 1)
            return talk.last_written
        if talk.broken:
            return CLOSED if talk.session.ending in LEFT else None
        return SILENCE if may_be_silent else None

    def shows(self, step: Step | NoReply) -> None:
        """Keep what the rule came to, for the report."""
        name = f"{step.name}: " if isinstance(step, Step) else ""
        self.expect.observed = f"{name}{step}"
        self.expect.proven = True


@dataclass
class Said:
    """Something that was said in a raw dialogue; each look at what comes takes the next reply to it."""

    talk: Talk
    is_left_out: bool = False  # a fault in the twin's play
    seen: Step | NoReply | None = None  # what came last, or was there instead

    @property
    def step(self) -> Step:
        """What was sent, the replies so far, and their times."""
        talk = self.talk.conversation
        return talk.last_written or talk.steps[0]

    def listen(self, wanted: ReplySet) -> Step | NoReply | None:
        """The next reply, in its step, or what is there instead; None: nothing that says anything."""
        self.seen = self.talk.look_at(wanted)
        return self.seen

    def hears(self, *wanted: Wanted) -> "Said":
        """What must come for the dialogue to go on as it is meant; raises `InconclusiveError` otherwise."""
        if not self.is_left_out:
            these = ReplySet.of(*wanted)
            seen = self.listen(these)
            self._accept_the_end(seen, these)
            if not (self._is_the_end(seen, these) or self._is_among(seen, these)):
                self.talk.must_not_have_ended_as_documented()
                reason = (
                    f"the dialogue did not come to its point: expected {these} at {self.step.name}, "
                    f"and there was {seen if isinstance(seen, Step) else self._nothing(seen)}"
                )
                # Where the greylist says so, its rules are asked whether they keep this one from being told.
                raise (
                    GreylistWordError(reason) if self._says_the_greylist(seen) else InconclusiveError(reason)
                )
        return self

    def must_hear(self, *wanted: Wanted, twin: Wanted | None = None) -> "Said":
        """What the rule says; `twin`: what comes in the play without the offence, where that is another.

        Where nothing is named it is what the profile promises for the rule, or its entry, prompt or late; and
        the twin gets through. Raises `ContradictionError` for a reply that is none of these, and
        `InconclusiveError` where nothing came that says anything.
        """
        if self.is_left_out:
            self.talk.expect.proven = True  # the twin came as far as this
            return self
        expect, is_twin = self.talk.expect, self.talk.offence is False
        if is_twin and (twin is not None or not wanted):
            these = ReplySet.of(THROUGH if twin is None else twin)
        else:
            these = ReplySet.of(*wanted) if wanted else ReplySet.promised(expect.expected)
        seen = self.listen(these)
        ends = self._is_the_end(seen, these)
        if isinstance(seen, Step) and not ends:
            expect.observed = f"{seen.name}: {seen}"
            expect.judge.heard(self.talk.conversation.attempt, seen, these)
        elif not isinstance(seen, Step) and (seen is None or seen not in these.instead):
            self.talk.must_not_have_ended_as_documented()
            raise InconclusiveError(
                f"expected {these} at {self.step.name}, and there was {self._nothing(seen)}"
            )
        elif seen is SILENCE:
            self.doubt_slowness()
        self._accept_the_end(seen, these)
        self.talk.shows(seen)
        expect.by_ending = expect.by_ending or ends
        expect.by_absence = expect.by_absence or ends or not isinstance(seen, Step)
        return self

    def _says_the_greylist(self, seen: Step | NoReply | None) -> bool:
        judge, attempt = self.talk.expect.judge, self.talk.conversation.attempt
        return isinstance(seen, Step) and judge.says_the_greylist(seen, attempt)

    def _is_among(self, seen: Step | NoReply | None, these: ReplySet) -> bool:
        return these.has(seen.code) if isinstance(seen, Step) else seen in these.instead

    def _is_the_end(self, seen: Step | NoReply | None, these: ReplySet) -> bool:
        """Whether the server ends the connection where it may, with a 421 or without a word."""
        ends = seen is CLOSED or (isinstance(seen, Step) and seen.code == SERVICE_ENDS)
        return ends and CLOSED in these.instead

    def _accept_the_end(self, seen: Step | NoReply | None, these: ReplySet) -> None:
        if self._is_the_end(seen, these) or (
            isinstance(seen, Step) and seen.code == SERVICE_ENDS and these.has(seen.code)
        ):
            self.talk.conversation.takes_the_end_for_an_answer()

    def doubt_slowness(self) -> None:
        """Silence is no answer of a server that is slow; raises `InconclusiveError`."""
        step = self.step
        slow = self.talk.expect.slowness(step.began, time.monotonic())
        if slow >= QUIET:
            raise InconclusiveError(
                f"nothing was said at {step.name} within {self.talk.quiet:g} s, but everything was slow then"
            )

    def _nothing(self, seen: NoReply | None) -> str:
        return self.talk.conversation.broken or (seen.value if seen else "nothing that says anything")


def _line(text: str) -> bytes:
    if "\r" in text or "\n" in text:
        raise NotationError(f"{text[:80]!r} is more than a line; write bytes for what goes out as it is")
    return text.encode("utf-8", "backslashreplace") + b"\r\n"
