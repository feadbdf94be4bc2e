"""Whether a transaction is still there: what DATA shows of it, and what becomes of its message."""

from harness.scenario import Client, Stage, Talk, message
from scenarios.rfc.reply_sets import REFUSED

END = b".\r\n"  # behind content that ends with a line end


def content(client: Client, recipient: str = "") -> bytes:
    """A message of a client, and its end."""
    return message(client, recipient or client.world.sut.recipient) + END


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
