"""What says something about a server: replies that speak of what was asked.

Silence, a lost connection, a 421 and garbage say nothing: they are neither a yes nor a no, so a dialogue in
which there is one is played again, and when none is any better, what it was about stays a question.
"""

from collections.abc import Callable

from harness.world.conversation import SERVICE_ENDS, Attempt, Step

CHANCES = 3  # dialogues at most, for one that says something


def says(step: Step) -> bool:
    """Whether there is a reply that speaks of what was asked."""
    return step.reply is not None and not step.mangled and step.code != SERVICE_ENDS


def says_all(attempt: Attempt) -> bool:
    """Whether every step of a dialogue says something."""
    return bool(attempt.staged) and all(says(step) for step in attempt.staged)


def heard(play: Callable[[], Attempt]) -> Attempt:
    """The first dialogue that says something throughout, or the last one that was played."""
    attempt = play()
    for _ in range(CHANCES - 1):
        if says_all(attempt):
            break
        attempt = play()
    return attempt
