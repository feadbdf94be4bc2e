"""How treatments reach the client: refusals at once or where this server tells them, delays, marks."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from harness.reference_mta.config import Config
from harness.reference_mta.decisions import Deciding
from harness.reference_mta.earned import TOLD, Refusal, Stage
from harness.reference_mta.policy.checks import Answer, Question, Words
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.replies import reply


class ReplyWriter(Protocol):
    """What a dialogue needs of its connection."""

    def hang_up(self) -> None:
        """Close the connection behind the reply that is about to be sent."""


@dataclass(frozen=True)
class Faced:
    """What the questions of a stage came to."""

    reply: str = ""  # of a refusal that is told now
    code: int = 0  # of a refusal, told now or later
    held: bool = False  # the client was kept waiting, and not refused


@dataclass(frozen=True)
class Teller:
    """Does to one client what policy says."""

    config: Config
    about: Transaction
    deciding: Deciding
    phrase: Callable[[int, str, str], str] = reply  # code, status and words of a refusal as its reply

    async def face(self, stage: Stage, questions: Iterable[Question], line: ReplyWriter) -> Faced:
        """Ask one question after the other until one refuses; delays are imposed as they come.

        Marks count when nothing refuses: a recipient's mark belongs to messages that it gets.
        """
        held, marks = False, []
        for question in questions:
            answer = await question.ask(self.about)
            treatment = answer.treatment
            self.deciding.rests_on(answer.rule)
            if treatment.refuses:
                refusal = self._refusal(answer)
                told = await (self.tell if question.at_once else self.refuse)(refusal, line, stage)
                return Faced(told, treatment.code)
            await self.hold(treatment.delay * self.config.server.delay)
            held = held or treatment.delay > 0
            marks += [self._said(treatment.mark)] if treatment.mark else []
        for mark in marks:
            self.about.earned.note(stage, f"{self.config.speech.mark_field}: {mark}")
        return Faced(held=held)

    async def refuse(self, refusal: Refusal, line: ReplyWriter, stage: Stage) -> str:
        """The reply of a refusal that is told at this stage; empty where it is kept for a later one."""
        if stage < TOLD[self.config.speech.told]:
            self.about.earned.remember(stage, refusal)
            self.deciding.kept(refusal)
            return ""
        return await self.tell(refusal, line, stage)

    async def owed(self, stage: Stage, line: ReplyWriter) -> str:
        """The reply of the refusal that was earned earlier and is told at this stage; empty without one.

        Whom somebody answers for by now is spared what he has earned before his recipients.
        """
        if stage < TOLD[self.config.speech.told]:
            return ""
        refusal = self.about.earned.refusal(Stage.RECIPIENT if self.about.vouched else Stage.CONNECT)
        return await self.tell(refusal, line, stage) if refusal else ""

    async def tell(self, refusal: Refusal, line: ReplyWriter, stage: Stage) -> str:
        """The reply of a refusal, after its delay; the connection ends behind it where that is meant."""
        self.deciding.rests_on(refusal.rule)
        await self.hold(refusal.delay * self.config.server.delay)
        if refusal.close:
            line.hang_up()
        return refusal.reply

    async def hold(self, seconds: float) -> None:
        """Keep the client waiting."""
        if seconds:
            self.deciding.held(seconds)
            await asyncio.sleep(seconds)

    def _refusal(self, answer: Answer) -> Refusal:
        treatment = answer.treatment
        text = self.phrase(treatment.code, treatment.status, self._said(treatment.words))
        return Refusal(text, treatment.delay, treatment.drop, answer.rule)

    def _said(self, words: Words) -> str:
        return words(self.about) if callable(words) else words
