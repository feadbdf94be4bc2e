"""What a server did with a dialogue, in the words of the documented rules: stage, treatment, delay, codes."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where something happened: in the order of the dialogue, and then of what becomes of the message."""

    CONNECT = "connect"
    HELO = "helo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DELIVERY = "delivery"  # to the users of the server
    RELAY = "relay"  # to other mail hosts


DIALOGUE = tuple(stage for stage in Stage if stage not in (Stage.DELIVERY, Stage.RELAY))


def later(one: Stage, other: Stage) -> Stage:
    """The one of two stages of a dialogue that comes later."""
    return max(one, other, key=DIALOGUE.index)


class Treatment(StrEnum):
    """What a reply means for the client (RFC 5321 §4.2.1)."""

    PASS = "pass"  # noqa: S105 - 2xx or 3xx
    DEFER = "defer"  # 4xx
    DENY = "deny"  # 5xx, the connection stays open
    DROP = "drop"  # 5xx, and the server closes the connection


MARK = "mark"  # a pass that shows in the header of what is delivered
ANSWER = re.compile(r"(delay)?(?:(?(1)\+)(pass|defer|deny|drop|mark))?(?: with ([\d., ]+))?")
CODE = re.compile(r"[2-5]\d\d|[245]\.\d{1,3}\.\d{1,3}")
ANSWER_MEND = (
    "write VERDICT, one of pass, delay (let through, late), defer (put off, 4xx), deny (refused, 5xx, and "
    "the connection stays open), drop (refused, 5xx, and the server closes the connection), mark (let "
    "through, and its header says so), delay+defer, delay+deny, delay+drop, delay+mark, and if the codes "
    'matter, "with" and the codes that will do, as in: deny with 550, 554, 5.7.1'
)


@dataclass(frozen=True)
class Answer:
    """What an offence earns: a treatment, prompt or held back by the server's delay, and with which codes.

    `codes` are reply codes (RFC 5321 §4.2) and enhanced codes (RFC 3463) as they are written; of each kind
    any one will do, and without one of a kind that kind does not matter.
    """

    treatment: Treatment
    late: bool = False
    marked: bool = False  # the message that is delivered says so in its header
    codes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The notation of profiles, such as `delay+deny with 550`; a late pass reads `delay`."""
        word = MARK if self.marked else str(self.treatment)
        if self.late:
            word = "delay" if word == Treatment.PASS else f"delay+{word}"
        return f"{word} with {', '.join(self.codes)}" if self.codes else word

    @classmethod
    def parse(cls, text: str) -> "Answer":
        """Read the notation of profiles; raises `ValueError` with the notation in its text."""
        words = text.strip()
        match = ANSWER.fullmatch(words)
        if not match or not (match[1] or match[2]):
            raise ValueError(f"{text!r} is no answer to an offence; {ANSWER_MEND}")
        codes = tuple(code.strip() for code in (match[3] or "").split(",") if code.strip())
        marked = match[2] == MARK
        treatment = Treatment.PASS if marked else Treatment(match[2] or "pass")
        for code in codes:
            if not CODE.fullmatch(code):
                raise ValueError(
                    f"{text!r}: {code!r} is no reply code such as 550 and no enhanced one such as 5.7.1"
                )
            if _class_of(code) != _class_of_treatment(treatment):
                raise ValueError(f"{text!r}: {code} is not the code of a {treatment}")
        return cls(treatment, bool(match[1]), marked, codes)

    def admits(self, code: int, enhanced: str | None) -> bool:
        """Whether a reply has the codes that it must have; an enhanced code may be left out."""
        plain = [one for one in self.codes if "." not in one]
        dotted = [one for one in self.codes if "." in one]
        return (not plain or str(code) in plain) and (not dotted or enhanced is None or enhanced in dotted)


@dataclass(frozen=True)
class Outcome:
    """An answer at a stage of the dialogue."""

    treatment: Treatment
    stage: Stage
    late: bool = False
    marked: bool = False
    codes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The notation of the catalogue, such as `delay+deny at helo with 550`."""
        answer, separator, codes = str(self.answer).partition(" with ")
        return f"{answer} at {self.stage}{separator}{codes}"

    @property
    def is_felt(self) -> bool:
        """Whether it is more than to be let through at once, which takes no cause."""
        return self.treatment is not Treatment.PASS or self.late or self.marked

    @property
    def answer(self) -> Answer:
        """The same, wherever it may be told."""
        return Answer(self.treatment, self.late, self.marked, self.codes)

    @classmethod
    def of(cls, answer: Answer, stage: Stage) -> "Outcome":
        """An answer, told at a stage."""
        return cls(answer.treatment, stage, answer.late, answer.marked, answer.codes)

    @classmethod
    def parse(cls, text: str) -> "Outcome":
        """Read the notation of the catalogue; raises `ValueError` with the notation in its text."""
        answer, separator, rest = text.strip().partition(" at ")
        stage, _, codes = rest.partition(" with ")
        stages = [str(stage) for stage in DIALOGUE]  # after it nobody is given an answer
        if not separator or stage not in stages:
            raise ValueError(
                f"{text!r} is no outcome; write VERDICT at STAGE, with STAGE one of {', '.join(stages)}; "
                f"{ANSWER_MEND}"
            )
        try:
            return cls.of(Answer.parse(f"{answer} with {codes}" if codes else answer), Stage(stage))
        except ValueError as error:
            raise ValueError(f"{text!r} is no outcome: {error}") from None


def _class_of(code: str) -> str:
    return code[0] if code[0] != "3" else "2"


def _class_of_treatment(treatment: Treatment) -> str:
    return {Treatment.PASS: "2", Treatment.DEFER: "4"}.get(treatment, "5")
