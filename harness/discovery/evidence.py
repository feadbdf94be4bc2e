"""What says something about a server: replies that speak of what was asked.

Silence, a lost connection, a 421, a 530, garbage and what is no answer to what was asked, such as a 2yz to
DATA, say nothing: they are neither a yes nor a no, so a dialogue in which there is one is played again, and
when none is any better, what it was about stays a question.
"""

from collections.abc import Callable

from harness.world.conversation import SERVICE_ENDS, Attempt, Step

WANTS_MORE = 530
CHANCES = 3  # dialogues at most, for one that says something


def says(step: Step) -> bool:
    """Whether there is a reply that speaks of what was asked.

    Who answers DATA by taking a message has been sent none (RFC 5321 §4.3.2), and did not understand; who
    wants TLS or an account first did not look at it.
    """
    unsaid = step.reply is None or step.mangled or step.misplaced
    return not (unsaid or step.code == SERVICE_ENDS or wants_more(step))


def wants_more(step: Step) -> bool:
    """Whether it wants TLS (RFC 3207 §4) or an account (RFC 4954 §6) before it looks at what was asked."""
    return step.code == WANTS_MORE


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
