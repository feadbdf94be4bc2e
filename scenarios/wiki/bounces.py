"""What scenarios have in common that send a bounce which is to be taken."""

from harness.scenario import Client, Expect, NotTestableError, Offence, Sut, Treatment


def takes_bounces(sut: Sut, expect: Expect) -> str:
    """A recipient to whom a bounce is taken at once, as long as the greylist has nothing against it."""
    without_lists = all(domain.bounce_recipients is None for domain in sut.profile.domain)
    if without_lists and expect.claimed(Offence.BOUNCE_WITHOUT_LIST):
        (earned,) = expect.earnings(Offence.BOUNCE_WITHOUT_LIST)
        expect.needed(
            earned.treatment is Treatment.PASS and not earned.late,
            f"no [[domain]] has a list of senders, so a bounce earns «{earned}»",
        )
    return sut.legal_bounce


def taking_bounces(client: Client, sut: Sut, expect: Expect) -> str:
    """The same, for a case that is one of several: without one it is not applicable, and the others tell.

    So it is where a bounce to that recipient is refused to other hosts as well.
    """
    try:
        recipient = takes_bounces(sut, expect)
    except NotTestableError as lacking:
        expect.applicable(False, str(lacking))
        raise
    plain = client.another("a bounce of another host").attempt(sender="", recipient=recipient, patient=False)
    refused = any(step.treatment in (Treatment.DENY, Treatment.DROP) for step in plain.staged)
    expect.applicable(not refused, f"a bounce to {recipient} is refused to everybody")
    return recipient
