"""What a server did with a dialogue, in the words of the documented rules: stage, verdict, late or not."""

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


class Verdict(StrEnum):
    """What a reply means for the client (RFC 5321 §4.2.1)."""

    PASS = "pass"  # noqa: S105 - 2xx or 3xx
    DEFER = "defer"  # 4xx
    DENY = "deny"  # 5xx, the connection stays open
    DROP = "drop"  # 5xx, and the server closes the connection


@dataclass(frozen=True)
class Outcome:
    """A verdict at a stage, prompt or held back by the server's configured delay."""

    verdict: Verdict
    stage: Stage
    late: bool = False

    def __str__(self) -> str:
        """The notation of the catalogue, such as `delay+deny at helo`; a late pass reads `delay`."""
        if self.late:
            word = "delay" if self.verdict is Verdict.PASS else f"delay+{self.verdict}"
        else:
            word = str(self.verdict)
        return f"{word} at {self.stage}"

    @classmethod
    def parse(cls, text: str) -> "Outcome":
        """Read the notation of the catalogue; raises `ValueError` with the notation in its text."""
        match = re.fullmatch(r"(delay)?\+?(pass|defer|deny|drop)? at (\w+)", text.strip())
        stages = [str(stage) for stage in DIALOGUE]  # after it nobody is given an answer
        if not match or not (match[1] or match[2]) or match[3] not in stages:
            raise ValueError(
                f"{text!r} is no outcome; write VERDICT at STAGE, with VERDICT one of pass, delay, defer, "
                f"deny, drop, delay+defer, delay+deny, delay+drop and STAGE one of {', '.join(stages)}"
            )
        if text.strip().startswith("delay") != bool(match[1]) or ("+" in text) != bool(match[1] and match[2]):
            raise ValueError(f"{text!r} is no outcome; a delay and a verdict are joined as in delay+deny")
        return cls(Verdict(match[2] or "pass"), Stage(match[3]), late=bool(match[1]))
