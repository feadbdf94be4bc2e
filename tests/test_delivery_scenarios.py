"""What scenarios of delivery say of servers with limits."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.grants.mail import MAILBOX
from harness.outcome import Stage
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.play import Play
from harness.verdicts import NotTestableError
from harness.world.client import message
from harness.world.internet import Kind
from scenarios.wiki.test_delivery import reaches

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
