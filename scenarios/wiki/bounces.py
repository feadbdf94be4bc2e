"""What scenarios have in common that send a bounce which is to be taken."""

from harness.scenario import Expect, Offence, Sut, Treatment


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
