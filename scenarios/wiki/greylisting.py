"""What scenarios of the greylist have in common: to be put off, to be known, and when."""

import math
import time
from collections.abc import Callable

from harness.scenario import (
    Attempt,
    Client,
    Clock,
    Expect,
    GreylistPart,
    Kind,
    NewClient,
    Stage,
    Sut,
    Treatment,
)

TOO_SLOW = "more time has passed meanwhile than the scenario allows for"
FIRST = "the first attempt of an unknown triplet was not deferred, so nothing can be retried"
AFTER = 1.0  # seconds after a moment that the profile names
ROUNDING = 1.0  # seconds: servers keep whole ones
LOOK_BACK = 5.0  # seconds in which the slowness was surely measured


def unheard_of(
    new_client: NewClient,
    offence: bool,
    sut: Sut,
    clock: Clock | None,
    expect: Expect,
    *,
    strange: Kind = Kind.STRANGER,
    known: Kind = Kind.KNOWN,
) -> Client:
    """A stranger; or, innocent, a host that is on the whitelist, or else waits and comes again."""
    must_be_greylisted(sut, expect)
    client = new_client(strange if offence else known)
    expect.needed(
        offence or clock is not None or sut.whitelists(client.host),
        "the profile has no [clock], so no time can pass, and no greylist.whitelist_hosts of reserved names: "
        "nobody's mail would be taken",
    )
    return client


def must_be_greylisted(sut: Sut, expect: Expect, recipient: str | None = None) -> None:
    recipient = recipient or sut.recipient
    expect.needed(
        not sut.greylist.exempts(recipient),
        f"{recipient} is one of greylist.exempt_recipients, as is everybody else; add a user",
    )


def now(client: Client, clock: Clock | None) -> float:
    """The time in seconds as the server sees that client."""
    return clock.reading(client.address) if clock else time.monotonic()


def put_off(attempt: Attempt, sut: Sut) -> bool:
    return attempt.step(sut.greylist.stage).treatment is Treatment.DEFER


def passed(attempt: Attempt, sut: Sut) -> bool:
    return attempt.step(sut.greylist.stage).treatment is Treatment.PASS


def unless_refused(once: Callable[[], Attempt], who: str, expect: Expect) -> Attempt:
    """An attempt; what is refused for good, and so when it is tried again, is no matter of the greylist."""
    attempt = once()
    if expect.offence:
        expect.applicable(
            not (attempt.refused_for_good and once().refused_for_good),
            f"{who} is refused for good: {attempt.reached}",
        )
        expect.given(not attempt.refused_for_good, f"{who} was refused for good once: {attempt.reached}")
    return attempt


def told_at(attempt: Attempt, client: Client, sut: Sut, clock: Clock | None) -> float:
    """The reading when an attempt that has just ended told the server of its triplet."""
    return now(client, clock) - (time.monotonic() - attempt.step(sut.greylist.stage).began)


def first_attempt(client: Client, sut: Sut, expect: Expect) -> Attempt:
    """A stranger's attempt, which is put off."""
    must_be_greylisted(sut, expect)
    first = client.attempt(label="first attempt of a stranger")
    expect.given(put_off(first, sut), FIRST)
    return first


def retry_in_time(client: Client, sut: Sut, clock: Clock, expect: Expect, seconds: float) -> None:
    """A first attempt, and a retry so many seconds later."""
    told = told_at(first_attempt(client, sut, expect), client, sut, clock)
    clock.advance(client.address, seconds)
    retry = client.attempt(label="retry")
    expect.given(clock.reading(client.address) - told < sut.greylist.timeout, TOO_SLOW)
    expect(retry)


def just_before(
    edge: float, last: Attempt, client: Client, sut: Sut, clock: Clock, expect: Expect
) -> tuple[float, float]:
    """Seconds to let pass so that the next attempt is judged just before a time is over.

    The time is counted from the `last` attempt, which has just ended. With it comes the reading of the clock
    by which the next one must have ended. As long before the edge as that attempt took, and the machine, the
    server's whole seconds and the clock's own lag may take; not less than half way, where that is too much.
    """
    told = told_at(last, client, sut, clock)
    step = last.step(sut.greylist.stage)
    took = step.ended - last.connect.began
    slow = expect.slowness(last.connect.began - LOOK_BACK, time.monotonic())
    margin = AFTER + ROUNDING + took + clock.lag(client.address) + (slow if math.isfinite(slow) else took)
    moment = max(edge - margin, edge / 2)
    left = max(0.0, told + moment - clock.reading(client.address))
    return left, told + edge - min(ROUNDING, edge / 10)


def make_known(client: Client, sut: Sut, expect: Expect, recipient: str | None = None) -> Attempt:
    """The client comes, is put off, and comes again as any mail server would: this attempt is accepted."""
    must_be_greylisted(sut, expect, recipient)
    first = client.attempt(recipient=recipient, label="first attempt")
    expect.given(put_off(first, sut), FIRST)
    again = client.after_greylist(
        first, lambda: client.attempt(recipient=recipient, label="retry"), whatever_code=True
    )
    expect.given(passed(again, sut), f"the retry was not accepted: {again.step(sut.greylist.stage)}")
    return again


def known_unless_it_counts(
    part: GreylistPart, attempt: Attempt, sut: Sut, expect: Expect, stage: Stage | None = None
) -> None:
    """What differs from a known triplet in that part alone is put off where it counts, and else taken."""
    if sut.greylist.counts(part) or expect.rule.id in sut.profile.rules.expect:
        expect(attempt)
    else:
        expect.outcome(f"{Treatment.PASS} at {stage or sut.greylist.stage}", attempt)
