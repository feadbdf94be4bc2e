"""Refusals of clients that block lists name, with words that came from DNS."""

from collections.abc import Callable

from harness.scenario import (
    Client,
    Expect,
    NotApplicableError,
    Offence,
    Raw,
    Stage,
    Step,
    Sut,
    Talk,
    replies_must_be_sound,
)
from scenarios.rfc.reply_sets import ANY
from scenarios.rfc.transactions import content


def must_be_sound_when_listed(
    client: Client,
    offence: bool,
    raw: Raw,
    sut: Sut,
    expect: Expect,
    text: str,
    wrong: Callable[[bytes], str],
) -> None:
    """Nothing is `wrong` with the replies to a client that all block lists name with a text of theirs.

    Its twin is listed with a plain text. Where no list is asked, or the client is not refused, nothing is
    shown; where lists are not asked for their texts, or who is listed gets through, as with a server that
    only marks its mail, the case is not applicable.
    """
    lists = [blocklist for blocklist in sut.dnsbl if blocklist.weight > 0]
    expect.applicable(
        bool(lists), "no [[dnsbl]] list counts against a client, so no reply has the words of one"
    )
    earned = sut.earned_by(*lists)
    gets_through = "who is listed gets through, so no reply has the words of a list"
    if earned is None:
        raise NotApplicableError(gets_through)
    is_told = expect.claimed(earned)  # by a rule that is played beside these
    expect.applicable(not (is_told and expect.lets_through_if(earned)), gets_through)
    for blocklist in lists:
        client.list_on(blocklist, text=text if offence else "listed for testing")
    refused: list[Step] = []

    def say(talk: Talk) -> None:
        step = talk.hears(*ANY).step
        for line in (
            f"EHLO {client.host}",
            f"MAIL FROM:<{client.sender}>",
            f"RCPT TO:<{sut.recipient}>",
            "DATA",
        ):
            if step.code < 400:
                step = talk.says(line).hears(*ANY).step
        if step.code == 354:
            step = talk.says(content(client), replies=1, stage=Stage.DATA).hears(*ANY).step
        if step.code >= 400:
            refused.append(step)

    replies_must_be_sound(raw, client, offence, say, wrong)
    if not (refused or offence or is_told):
        expect.applicable(False, "who is listed was let through, so no reply has the words of a list")
    expect.given(len(refused) == 2, "who is listed was not refused each time, so no list was quoted")
    queries = [entry for one in lists for entry in client.queries_for(one)]
    if not any(entry.type == "TXT" for entry in queries):
        unquoted = "no list was asked for its words, so no reply has them"
        # Else they may be put off for something else, before a list would have been asked for them.
        for_that = queries and all(_may_be_for(expect, earned if is_told else None, step) for step in refused)
        expect.applicable(not for_that, unquoted)
        expect.given(False, unquoted)


def _may_be_for(expect: Expect, earned: Offence | None, step: Step) -> bool:
    """Whether a refusal is what an offence earns; where that is not known (None), whether it is for good."""
    if earned is None:
        return step.code >= 500
    enhanced = step.reply.enhanced if step.reply else None
    return any(
        one.treatment is step.treatment and one.answer.admits(step.code, enhanced)
        for one in expect.earnings(earned)
    )
