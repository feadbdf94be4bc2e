"""Classification of content: a message is marked, never refused, and no size is exempt (wiki 686, 725, 738).

SpamAssassin decides where its daemon is configured; a message that it does not answer for in time passes
without marks. Otherwise a few tests decide that are built in:

    GTUBE             1000  the test string that every spam filter knows, as it stands, anywhere
    MISSING_SUBJECT    1.8  no Subject
    MISSING_DATE       1.4  no Date
    MISSING_FROM       1.0  no From
    MISSING_MID        0.5  no Message-ID
    SUBJ_ALL_CAPS      0.5  a Subject of ten characters or more in capitals

Marks are X-Spam-Status (`Yes` or `No`, score and threshold), X-Spam-Score, X-Spam-Level (a star a point),
X-Spam-Tests, X-Spam-Checker-Version, and for spam X-Spam-Flag. The tests have a field of their own because
names such as BAYES_00 would meet a filter that looks for "Yes". X-Spam- fields of a client are removed,
whoever it is. Mail of relay hosts and accounts is not classified.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.reference_mta.earned import Refusal
from harness.reference_mta.mail.header import LARGEST, decoded, fields_named, parted, read, without
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.spamd import Judgement, SpamdError, judge

if TYPE_CHECKING:
    from harness.reference_mta.policy.transaction import Transaction

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
EMBEDDED = "smtp-harness reference MTA (GTUBE and header tests, no SpamAssassin)"
FOREIGN = fields_named(("X-Spam-*",))
MOST_STARS = 50
MOST_TESTS = 900  # characters
FLAG = "X-Spam-Flag: YES"
log = logging.getLogger(__name__)

Fields = dict[str, list[str]]
HEADER_TESTS: tuple[tuple[str, float, Callable[[Fields], bool]], ...] = (
    ("MISSING_SUBJECT", 1.8, lambda fields: "subject" not in fields),
    ("MISSING_DATE", 1.4, lambda fields: "date" not in fields),
    ("MISSING_FROM", 1.0, lambda fields: "from" not in fields),
    ("MISSING_MID", 0.5, lambda fields: "message-id" not in fields),
    (
        "SUBJ_ALL_CAPS",
        0.5,
        lambda fields: any(map(_shouts, decoded(fields.get("subject", [])))),
    ),
)


async def classified(about: "Transaction", message: Message) -> tuple[Refusal, Message]:
    """The message with this server's marks, and without those that the client put there; it is not refused.

    The refusal's rule is the one that spam falls under.
    """
    message = replace(message, content=without(message.content, FOREIGN))
    judgement = None if about.vouched else await about.policy.spam.judgement(about, message)
    if judgement is None:
        return Refusal(""), message
    marks = marks_of(judgement, about.config.spam.threshold)
    rule = "data.spam-classified" if FLAG in marks else ""
    return Refusal("", rule=rule), replace(message, annotations=(*marks, *message.annotations))


def marks_of(judgement: Judgement, threshold: float) -> tuple[str, ...]:
    """The header lines of a judgement."""
    score, spam = judgement.score, judgement.score >= threshold
    stars = "*" * min(int(max(score, 0.0)), MOST_STARS)
    tests = ",".join(judgement.tests)[:MOST_TESTS] or "none"
    return (
        f"X-Spam-Checker-Version: {judgement.checker}",
        *([FLAG] if spam else []),
        *([f"X-Spam-Level: {stars}"] if stars else []),
        f"X-Spam-Score: {score:.1f}",
        f"X-Spam-Status: {'Yes' if spam else 'No'}, score={score:.1f} required={threshold:.1f}",
        f"X-Spam-Tests: {tests}",
    )


async def judgement_of(about: "Transaction", message: Message) -> Judgement | None:
    """What decides about spam says of a message; None where it says nothing in time."""
    spam = about.config.spam
    if spam.spamd is None:
        return embedded(message.content)
    whole = f"Return-Path: <{message.sender}>\r\n".encode("utf-8", "replace") + message.text
    try:
        return await judge(spam.spamd, whole, within=spam.timeout)
    except (SpamdError, TimeoutError, OSError) as error:
        where = f"{spam.spamd[0]}:{spam.spamd[1]}"
        log.warning("spamd at %s: no verdict, the message passes: %s", where, error or type(error).__name__)
        return None


@dataclass(frozen=True)
class SpamParts:
    """Each as it should be; another one may take its place."""

    classified: Callable[["Transaction", Message], Awaitable[tuple[Refusal, Message]]] = classified
    judgement: Callable[["Transaction", Message], Awaitable[Judgement | None]] = judgement_of


def embedded(content: bytes) -> Judgement:
    """The judgement of the built-in tests."""
    fields = read(parted(content[:LARGEST])[0])
    met = [(name, score) for name, score, test in HEADER_TESTS if test(fields)]
    if GTUBE in content:
        met.insert(0, ("GTUBE", 1000.0))
    return Judgement(sum(score for _, score in met), tuple(name for name, _ in met), EMBEDDED)


def _shouts(subject: str) -> bool:
    return len(subject) >= 10 and subject.isupper()
