"""What scenarios of delivery say of servers with limits, and with clocks of their own."""

import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from harness.capabilities.mailbox import Delivered
from harness.grants.mail import MAILBOX
from harness.outcome import Stage
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.play import Play
from harness.verdicts import NotTestableError
from harness.world.client import message
from harness.world.internet import Kind
from scenarios.wiki.test_delivery import is_itself, is_traced, reaches

CATALOGUE = Catalogue.below(Path("scenarios"))
USERS = ("alice", "bruno", "newsletter")


def test_more_recipients_than_one_transaction_may_have() -> None:
    with open_run(Wish(CATALOGUE)) as run:
        policy = run.profile.policy.model_copy(update={"max_recipients": 2})
        limited = replace(run, profile=run.profile.model_copy(update={"policy": policy}))
        play = Play(limited, run.catalogue["delivery.alias-many"], offence=False)
        client, users = play.new_client(Kind.KNOWN), [f"{user}@castle.example" for user in USERS]
        mailbox = play.tool(MAILBOX)
        assert mailbox
        reaches(client, users, users, (), mailbox, play.expect)
        said = [[step.stage for step in talk.staged] for _, _, talk in play.world.conversations]
        assert [one.count(Stage.RCPT) for one in said] == [2, 1, 2, 1]
        with pytest.raises(NotTestableError, match=r"policy\.max_recipients is 2"):
            client.attempt(recipient=users, message=message(client, users[0]))


HOURS = 5 * 3600.0
NEVER = "Mon, 1 Jan 999999999999 00:00:00 +0000"


def traced(delivered: float | str, received: float | None = None) -> None:
    """Hold a message against the rule that was delivered so many seconds from now, by its fields."""
    date = delivered if isinstance(delivered, str) else formatdate(time.time() + delivered)
    trace = [f"Return-path: <a@b.example>\nEnvelope-to: c@d.example\nDelivery-date: {date}"]
    if received is not None:
        trace.append(f"Received: from b.example by d.example; {formatdate(time.time() + received)}")
    content = "\n".join([*trace, "", "Hello."]).encode()
    is_traced(Delivered("c@d.example", "", "file", content), "a@b.example", "c@d.example")


@pytest.mark.parametrize("received", [None, 0.0, HOURS, -HOURS])
def test_a_clock_that_is_wrong_makes_no_date_of_delivery_wrong(received: float | None) -> None:
    traced(received or 0.0, received)
    with pytest.raises(AssertionError, match=r"is (1800.|1799.) s away from the (server|harness)'s clock"):
        traced((received or 0.0) + HOURS, received)


@pytest.mark.parametrize("date", ["yesterday", NEVER])
def test_what_is_no_date_is_said_to_be_none(date: str) -> None:
    with pytest.raises(AssertionError, match="is no date"):
        traced(date)


BODY = "Hello.\r\n\r\n>From me to you\r\n"


def kept(name: str, body: str) -> Delivered:
    """A message of that name as it lies in a mailbox."""
    return Delivered("c@d.example", "", "file", f"Message-ID: <{name}@b.example>\n\n{body}".encode())


@pytest.mark.parametrize("before", ["", "[EXTERNAL] Beware.\n\n"])
@pytest.mark.parametrize("after", ["", "\n-- \nThis mail was scanned.\n"])
def test_words_that_a_server_adds_to_a_body_are_no_flaw(before: str, after: str) -> None:
    is_itself(kept("one", before + BODY + after), kept("other", BODY), BODY)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("Hello.\n\n", "was delivered as"),
        (BODY.replace(">From", "From"), "was delivered as"),
        (BODY.replace("\r\n\r\n", "\n\n[EXTERNAL]\n"), "was delivered as"),
        (BODY + "\nMessage-ID: <other@b.example>\n\n" + BODY, "goes on with another message"),
    ],
    ids=["cut", "another line", "torn", "not divided"],
)
def test_a_body_that_is_not_itself(body: str, wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        is_itself(kept("one", body), kept("other", BODY), BODY)
