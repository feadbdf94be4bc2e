"""What scenarios have in common about recipients that are refused in whatever words, and about the second."""

from collections.abc import Callable

from harness.scenario import (
    Attempt,
    Client,
    Delivered,
    Domain,
    Expect,
    Mailbox,
    MailHost,
    Stage,
    Sut,
    Treatment,
    message,
)


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
        all(outcome.stage is not Stage.DATA for outcome in expect.expected),
        "that is told at the end of DATA here, where all recipients of a message share one reply",
    )

    def both(host: Client) -> Attempt:
        return host.attempt(sender=sender, recipient=(first, second))

    attempt = both(client)
    if not expect.offence:
        may_name_two(attempt, lambda: both(client.another("two recipients once more")), expect)
    elif not attempt.taken:
        alone = client.another("a message to the first recipient").attempt(sender=sender, recipient=first)
        expect.applicable(not alone.refused_for_good, f"{first} is refused by itself: {alone.rcpt}")
        expect.given(False, f"not even the first recipient was taken: {attempt.rcpt}")
    expect.turned_away(attempt, Stage.RCPT)


def may_name_two(attempt: Attempt, plain: Callable[[], Attempt], expect: Expect) -> None:
    """A server may take recipients one at a time, whatever it holds against a client or a recipient.

    `plain` is a message of another host, against whom there is nothing, to two recipients as good.
    """
    expect.applicable(
        attempt.taken != 1 or plain().taken != 1,
        f"the second recipient of a message is refused to everybody: {attempt.rcpt}",
    )


def comes_there(
    host: MailHost, later: Client, recipient: str, expect: Expect, *, authenticated: bool
) -> None:
    """What a client that may relay sends comes to a mail host by now, so what has not come never will."""
    attempt = later.attempt(
        authenticated=authenticated, recipient=recipient, message=message(later, recipient)
    )
    expect.given(
        attempt.data.treatment is Treatment.PASS and host.reached_by(later.token),
        f"what may be relayed did not come to {host.name}: {attempt.reached}",
    )


def is_delivered(client: Client, recipient: str, mailbox: Mailbox | None, expect: Expect) -> Delivered | None:
    """A message that was taken, as it was delivered: it may have been thrown away, or sent back.

    Without a mailbox that does not show, and with an offence it must.
    """
    expect.needed(
        mailbox is not None or not expect.offence,
        "whether what was taken reaches its recipient shows in a mailbox, and the profile has no [mailbox]",
    )
    return mailbox.find(recipient, client.token) if mailbox else None


def two_at(domain: Domain, sut: Sut, expect: Expect) -> tuple[str, str]:
    """Two recipients of a domain, so that no server minds two domains in one message."""
    first = sut.ordinary_user(domain)
    others = [name for name in domain.users if name != first]
    if domain.takes_everyone:
        others.append(sut.nobody)
    expect.applicable(bool(others), f"{first} is the only user of {domain.name}")
    return f"{first}@{domain.name}", f"{others[0]}@{domain.name}"
