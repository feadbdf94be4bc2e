"""What scenarios have in common that send a bounce which is to be taken."""

from harness.scenario import Expect, NotTestableError, Offence, Sut, Treatment


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


def may_take_bounces(sut: Sut, expect: Expect) -> str:
    """The same; without one a case that is one of several is not applicable, and the others tell."""
    try:
        return takes_bounces(sut, expect)
    except NotTestableError as lacking:
        expect.applicable(False, str(lacking))
        raise
