"""The form of all that a server says: wrong where the same is seen at the same place on two connections.

What no server says is said by a bad network now and then, and there it is no evidence. No network garbles the
same reply of two connections alike.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from harness.printable import printable, shortened
from harness.runs.raw import Raw
from harness.runs.talk import LEFT, Talk
from harness.smtp.transcript import Direction
from harness.verdicts import FailedError, InconclusiveError
from harness.world.client import Client

GOES_ON = re.compile(rb"[0-9]{3}-")
SHOWN = 200  # characters of a reply in a reason

Say = Callable[[Talk], None]
Wrong = Callable[[bytes], str]


def replies_must_be_sound(raw: Raw, client: Client, offence: bool | None, say: Say, wrong: Wrong) -> None:
    """Nothing is `wrong` with the bytes of any reply of a dialogue in which the client says something.

    `wrong` gives what is wrong with a reply, its line ends among it, or nothing; the last reply may be one
    that the server did not finish. It is played on two connections, without a fault where `offence` is None.
    Raises `FailedError` for what is seen on both, and `InconclusiveError` for what is seen on one, or where a
    dialogue does not come to its end.
    """
    talks: list[Talk] = []
    doubt: InconclusiveError | None = None
    for word in ("first", "second"):
        one = replace(client, word=word, label=f"{client.label}, on its {word} connection")
        try:
            with raw(one, offence) as talk:
                talks.append(talk)
                say(talk)
        except InconclusiveError as ending:
            doubt = doubt or ending
    flaws = [[wrong(reply) for reply in replies_of(talk)] for talk in talks]
    for place, (flaw, other) in enumerate(zip(*flaws, strict=False)):
        if flaw and flaw == other:
            for talk in talks:
                talk.conversation.takes_the_form_for_an_answer()
            said = shortened(
                printable(replies_of(talks[-1])[place].decode("utf-8", "backslashreplace")), SHOWN
            )
            raise FailedError(f"reply {place + 1} of the dialogue {flaw}: {said}")
    if found := next((flaw for each in flaws for flaw in each if flaw), ""):
        raise InconclusiveError(f"on one connection a reply {found}, and on another none does at that place")
    if doubt:
        raise doubt
    first, *others = [[step.mangled for step in talk.conversation.staged] for talk in talks]
    if all(other == first for other in others):  # it is how this server replies, and no network's doing
        for talk in talks:
            talk.conversation.takes_the_form_for_an_answer()
    raw.expect.observed = f"{sum(map(len, flaws))} replies are sound"
    raw.expect.proven = True


def replies_of(talk: Talk) -> list[bytes]:
    """Every reply as it came, one that ended with the connection as well, by the server's doing."""
    found: list[bytes] = []
    come = b""
    session = talk.conversation.session
    for line in session.transcript.lines:
        if line.direction is Direction.SERVER:
            come += line.data
            if not GOES_ON.match(line.data):
                found.append(come)
                come = b""
    whole = come.endswith(b"\n") and session.ending in LEFT
    return [*found, come] if whole else found
