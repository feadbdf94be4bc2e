"""What scenarios have in common that send a bounce which is to be taken."""

from harness.scenario import Client, Expect, Offence, Sut, Treatment


def takes_bounces(sut: Sut, expect: Expect) -> str:
    """A recipient to whom a bounce is taken at once, as long as the greylist has nothing against it."""
    without_lists = all(domain.bounce_recipients is None for domain in sut.profile.domain)
    if without_lists and expect.claimed(Offence.BOUNCE_WITHOUT_LIST):
        earned = expect.earnings(Offence.BOUNCE_WITHOUT_LIST)
        for one in earned:
            expect.needed(
                one.treatment is Treatment.PASS and not one.late,
                f"no [[domain]] has a list of senders, so a bounce earns «{one}»",
            )
    return sut.legal_bounce


def taking_bounces(client: Client, sut: Sut, expect: Expect) -> str:
    """The same, for a case that is one of several: without one, the others tell of the rule.

    So they do where a bounce to that recipient is refused to other hosts as well.
    """
    with expect.one_of_several():
        recipient = takes_bounces(sut, expect)

    def is_refused() -> bool:
        other = client.another("a bounce of another host")
        return other.attempt(sender="", recipient=recipient, patient=False).refused_for_good

    expect.applicable(not (is_refused() and is_refused()), f"a bounce to {recipient} is refused to everybody")
    return recipient
