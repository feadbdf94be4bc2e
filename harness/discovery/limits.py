"""How many recipients of one message a server takes."""

from harness.discovery.dialogues import Dialogues
from harness.discovery.evidence import heard, says
from harness.discovery.facts import RecipientLimit
from harness.discovery.place import Telling
from harness.outcome import Outcome, Stage, Treatment
from harness.world.conversation import Step

MANY = 101  # RFC 5321 §4.5.3.1.8 has servers take a hundred
CLIENTS = 2  # that must agree


def look_at_recipients(dialogues: Dialogues, telling: Telling) -> RecipientLimit | None:
    """Name the same recipient again and again, and send nothing.

    None when clients met different things, when the last reply says nothing of recipients (a 421 ends the
    service for whatever reason), or when a client with one recipient fares no better by then.
    """
    found = telling.over("clients with many recipients", lambda _: _count(dialogues), list(range(CLIENTS)))
    met = {(taken, step.treatment) for taken, step in found}
    taken, step = next(((taken, step) for taken, step in found if not says(step)), found[0])
    if len(met) > 1 or not says(step) or taken == 0:
        why = "not the same each time" if says(step) and taken else "nothing follows from that"
        telling.say(f"of many recipients {taken} were taken, then: {step}; {why}")
        return None
    outcome = None if step.treatment in (Treatment.PASS, None) else Outcome(step.treatment, Stage.RCPT)
    beside = heard(dialogues.innocent_attempt).step(Stage.RCPT)
    if outcome and beside.treatment is not Treatment.PASS:
        telling.say(f"of many recipients {taken} were taken, but a single one is not either: {beside}")
        return None
    telling.say(f"of {MANY} recipients of one message {taken} were taken; the last said: {step}")
    return RecipientLimit(taken, outcome, str(step))


def _count(dialogues: Dialogues) -> tuple[int, Step]:
    """How many recipients were taken, and the answer to the last."""
    client = dialogues.client()
    if dialogues.greylist:
        dialogues.attempt(client)  # which waits until it is known
    taken = 0
    with client.conversation() as talk:
        talk.connect()
        (talk.ehlo if dialogues.way.extended else talk.helo)(client.host)
        step = talk.mail(client.sender)
        while step.treatment is Treatment.PASS and taken < MANY:
            step = talk.rcpt(dialogues.recipient)
            taken += step.treatment is Treatment.PASS
        talk.quit()
        return taken, talk.staged[-1]  # which knows by now whether the connection was closed
