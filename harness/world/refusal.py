"""What a refusal has in common with others of the same source, whoever was refused."""

import re
from dataclasses import dataclass

from harness.outcome import Stage, Treatment
from harness.world.internet import is_reserved
from harness.world.step import Step

DIFFERS = re.compile(r"[0-9@]")  # in names and addresses of clients
MARKS = ".,;:()"  # around a word
QUOTES = ("<", "[", '"', "'")  # before what a client has said, or where it comes from


@dataclass(frozen=True)
class Refusal:
    """What was said at a stage, without what differs from client to client."""

    stage: Stage
    code: int
    words: tuple[str, ...]


def refusal_of(step: Step) -> Refusal | None:
    """The refusal in the last reply of a step; None where it is none."""
    if step.tag is None or step.treatment in (None, Treatment.PASS):
        return None
    words = (word.strip(MARKS).lower() for word in step.prose.split() if not word.startswith(QUOTES))
    kept = tuple(word for word in words if not (DIFFERS.search(word) or is_reserved(word)))
    return Refusal(step.tag, step.code, kept)
