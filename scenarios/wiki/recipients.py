"""What scenarios have in common about recipients that are refused in whatever words, and about the second."""

from harness.scenario import Client, Domain, Expect, Stage, Sut, Treatment

FOR_GOOD = (Treatment.DENY, Treatment.DROP)


def must_refuse(expect: Expect) -> None:
    expect.applicable(not expect.lets_through, "the profile says that whoever does that is let through")


def second_is_turned_away(
    client: Client, first: str, second: str, expect: Expect, *, sender: str | None = None
) -> None:
    """Of two recipients of one message the first is taken; for the second there may be further reasons."""
    must_refuse(expect)
    profile = client.world.sut.profile
    expect.applicable(profile.policy.max_recipients > 1, "a message may have one recipient here")
    expect.applicable(
        profile.dialect.tells(Stage.RCPT) is Stage.RCPT,
        "refusals are told at the end of DATA here, where all recipients of a message share one reply",
    )
    attempt = client.attempt(sender=sender, recipient=(first, second))
    if expect.offence and not attempt.taken:
        alone = client.another("a message to the first recipient").attempt(sender=sender, recipient=first)
        expect.applicable(alone.rcpt.treatment not in FOR_GOOD, f"{first} is refused by itself: {alone.rcpt}")
        expect.given(False, f"not even the first recipient was taken: {attempt.rcpt}")
    expect.turned_away(attempt, Stage.RCPT)


def two_at(domain: Domain, sut: Sut, expect: Expect) -> tuple[str, str]:
    """Two recipients of a domain, so that no server minds two domains in one message."""
    first = sut.ordinary_user(domain)
    others = [name for name in domain.users if name != first]
    if domain.takes_everyone:
        others.append(sut.nobody)
    expect.applicable(bool(others), f"{first} is the only user of {domain.name}")
    return f"{first}@{domain.name}", f"{others[0]}@{domain.name}"
