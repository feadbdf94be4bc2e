"""What ends the content of a message, and what must not: judged with silence behind it, text, by effect."""

from dataclasses import replace

from harness.outcome import Stage
from harness.runs.raw import Raw
from harness.runs.talk import Talk
from harness.verdicts import FailedError, InconclusiveError, NeverCameError
from harness.world.client import Client, message
from harness.world.conversation import FAREWELL, REFUSES, SERVICE_ENDS
from harness.world.reply_set import CLOSED, SILENCE, Wanted
from harness.world.step import Step

FIRST = b"This is the first part."
SECOND = b"This is the second part."
END = b"\r\n.\r\n"
ANY = ("2xx", "4xx", "5xx")
WHATEVER = (*ANY, CLOSED)


def must_not_end_data(raw: Raw, client: Client, offence: bool, form: bytes) -> None:
    """A form such as LF . LF does not end the content; refusing it, or the connection's end, is as good.

    It is played on two connections, with silence behind it and with a whole second message behind it in the
    same write. A positive reply in the silence contradicts, and so does one to what stands behind a message
    that was refused, and a copy in the mailbox that ends there, whatever was said; an error that text behind
    it earns proves nothing. The twin's message has no such form in it, is taken and comes whole. Raises what
    `Talk.must_hear` and a mailbox raise.
    """
    silent = replace(client, word="silence", label="with silence behind it")
    with raw(silent, offence) as talk:
        _begins(talk, silent)
        seen = talk.fault(form, stage=Stage.DATA).must_hear(SILENCE, CLOSED, "4xx", "5xx").seen
        answered: Step | None = None
        if seen is SILENCE or not offence:  # what follows must not make another form of this one
            talk.says(SECOND + END, replies=1, stage=Stage.DATA)
            answered = _answered(talk, form, offence)
    texts = replace(client, word="text", label="with text behind it")
    with raw(texts, offence) as talk:
        _begins(talk, texts)
        behind = _commands(texts) + SECOND + END
        talk.fault(form + behind, instead=(b"\r\n" + behind,), replies=1, stage=Stage.DATA)
        also_answered = _answered(talk, form, offence)
    if raw.mailbox:
        for one, step in ((silent, answered), (texts, also_answered)):
            if offence:
                _is_not_cut(raw, one, form, taken=step is not None and step.code < REFUSES)
            else:
                _comes_whole(raw, one)
    elif offence:
        _is_told_in_time(raw, answered, also_answered)


def must_end_data(talk: Talk, *wanted: Wanted) -> None:
    """What was said last ends the content: it has a reply of its own, and needs no other dot to get it.

    The reply is one of those `wanted`, or any where none is named; the twin's message is taken.
    Where nothing comes for as long as a reply may take, a command is sent, and then another dot. A server
    that is still reading content answers the dot alone, which contradicts; one that is only slow answers
    each. Nothing is said before, for some servers punish whoever does not wait for a reply. Raises what
    `Talk.must_hear` raises.
    """
    these = wanted or ANY
    if talk.must_hear(*these, SILENCE, twin="2xx").seen is not SILENCE:
        return
    if talk.still_hears(*these):
        return
    probed = talk.says("NOOP")
    come = talk.all_that_comes()
    if not come and talk.is_open:
        probed = talk.says(b".\r\n", replies=1, stage=Stage.DATA)
        first = talk.hears_anything(patiently=True)
        come = [first, *talk.all_that_comes()] if isinstance(first, Step) else []
        if len(come) == 1 and talk.is_open:
            talk.must_not_be_slow()
            raise FailedError(
                f"it did not end the content: only another dot behind it was answered, by {come[0]}"
            )
    if len(come) < 2 or not talk.is_open:  # 2: the reply that came late, and that to what was said since
        raise InconclusiveError(
            f"nothing was said at the end of the content, and at {probed.step.name} behind it there was "
            f"{come[0] if come else 'nothing'}"
        )


def _begins(talk: Talk, client: Client) -> None:
    talk.comes_to(Stage.DATA)
    recipient = client.world.sut.recipient
    talk.says(message(client, recipient, body=FIRST.decode()), stage=Stage.DATA)


def _answered(talk: Talk, form: bytes, offence: bool) -> Step | None:
    """The true end of the message, where it is answered, with one reply and no more; the twin's is taken.

    What was refused may have been refused wherever: no command is obeyed that stands behind it.
    """
    seen = talk.hears(*WHATEVER if offence else ("2xx",)).seen
    if not isinstance(seen, Step):
        return None
    is_taken = seen.code < REFUSES
    if is_taken:
        talk.says("NOOP")
    come = talk.all_that_comes() or (talk.all_before_quit() if is_taken else [])
    come = [step for step in (*come, *talk.strays) if step.code not in (FAREWELL, SERVICE_ENDS)]
    if not is_taken:
        if obeyed := next((step for step in come if step.code < REFUSES), None):
            raise _unasked(form, obeyed, offence)
        talk.expect.by_absence = True
        if talk.is_open:
            talk.must_not_be_slow()
        return seen
    if not come or (come[0].code >= REFUSES and not offence):
        raise InconclusiveError("NOOP after the message has no positive reply")
    if len(come) > 1:  # errors as well: nothing was said but NOOP since the message was taken
        odd = next((step for step in come if step.code >= REFUSES), come[-1])  # one of them is NOOP's
        raise _unasked(form, odd, offence)
    return seen


def _unasked(form: bytes, step: Step, offence: bool) -> FailedError | InconclusiveError:
    """What stood in a message has a reply; without the form the server says what nobody has asked for."""
    said = f"nothing had asked for {step}"
    return (
        FailedError(f"what stood behind {form!r} was taken for commands: {said}")
        if offence
        else InconclusiveError(said)
    )


def _is_told_in_time(raw: Raw, *answered: Step | None) -> None:
    """Where only silence tells that something is no end, a true one must be answered sooner than that."""
    slowest = max((step.seconds for step in answered if step), default=0.0)
    if slowest >= raw.quiet:
        raise InconclusiveError(
            f"the end of a message is answered after {slowest:.2f} s, so {raw.quiet:g} s of silence behind "
            "what is none show nothing; set server.scan to the seconds that it may take"
        )


def _commands(client: Client) -> bytes:
    """A second message, as it would be sent behind the first one, up to its last line."""
    recipient = client.world.sut.recipient
    lines = f"MAIL FROM:<{client.sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
    return lines.encode() + message(client, recipient, subject="behind")


def _is_not_cut(raw: Raw, client: Client, form: bytes, *, taken: bool) -> None:
    """What is in the mailbox is one message with both parts, whatever the server said of it."""
    recipient = client.world.sut.recipient
    try:
        copies = [raw.must_deliver(client)] if taken else []
    except NeverCameError as ending:
        raise InconclusiveError(f"{ending}; what became of it shows nothing") from None
    copies += raw.copies(client)
    for copy in copies:
        if copy.has(FIRST) != copy.has(SECOND):
            raise FailedError(f"the message that was delivered to {recipient} ends at {form!r}")


def _comes_whole(raw: Raw, client: Client) -> None:
    """Without the form a message comes as it was sent, or nothing can be told by what is delivered."""
    found = raw.must_deliver(client)
    if not found.has(FIRST) or not found.has(SECOND):
        raise InconclusiveError("a message without such a form in it is not delivered as it was sent")
