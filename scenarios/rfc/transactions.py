"""Whether a transaction is still there, and what is left of one: what the next commands show of it."""

import pytest

from harness.scenario import Client, Stage, Talk, message
from scenarios.rfc.reply_sets import REFUSED

END = b".\r\n"  # behind content that ends with a line end


def content(client: Client, recipient: str = "") -> bytes:
    """A message of a client, and its end."""
    return message(client, recipient or client.world.sut.recipient) + END


def must_have_transaction(talk: Talk, client: Client) -> None:
    """Sender and recipient are still there: their message is taken.

    The 354 shows nothing of that where a server lets DATA pass without a recipient (RFC 5321 §3.3).
    """
    talk.says("DATA").must_hear(354)
    talk.says(content(client), replies=1, stage=Stage.DATA).must_hear("2xx")


def must_have_no_transaction(talk: Talk, client: Client, offence: bool) -> None:
    """Nothing is left to send a message with: DATA is refused, or what comes behind its 354 is.

    A server may let DATA pass without a recipient (RFC 5321 §3.3), so the 354 shows nothing yet. The twin has
    a transaction, and its message is taken: one that is refused for its own sake shows nothing.
    """
    data = talk.says("DATA").must_hear(354, *REFUSED, twin=354)
    if data.step.code == 354:
        end = talk.says(content(client), replies=1, stage=Stage.DATA)
        if offence:
            end.must_hear(*REFUSED)
        else:
            end.hears("2xx")


def must_have_no_sender(talk: Talk, client: Client, offence: bool) -> None:
    """No sender is left: a recipient is refused, and another one of the twin's transaction is not.

    It is the same one, which a server may refuse the second time: that shows nothing.
    """
    rcpt = talk.says(f"RCPT TO:<{client.world.sut.recipient}>")
    if offence:
        rcpt.must_hear(*REFUSED)
    else:
        talk.shows(rcpt.hears("25x").step)


def must_have_no_recipients(talk: Talk, client: Client, offence: bool) -> None:
    """No recipients are left: behind a sender, who is taken, there are none to send a message to."""
    if offence:
        talk.says(f"MAIL FROM:<{client.sender}>").hears(250)
    must_have_no_transaction(talk, client, offence)


nothing_is_left = pytest.mark.parametrize(
    "must_have_nothing",
    [must_have_no_transaction, must_have_no_sender, must_have_no_recipients],
    ids=["DATA", "RCPT", "MAIL and DATA"],
)
