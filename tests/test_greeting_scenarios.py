"""With which names scenarios of the greeting come."""

import re
from pathlib import Path

from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.play import Play
from harness.world.internet import Kind
from scenarios.wiki import test_helo as greeting

DYNAMIC = re.compile(r"(\d{1,3}[.-]){2}\d")  # as filters know the names of dynamic addresses by


def test_an_innocent_name_that_begins_with_a_digit_looks_like_no_dynamic_one() -> None:
    """Many a server refuses those, whatever it does about bare addresses."""
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        play = Play(run, run.catalogue["helo.plain-ip"], offence=False)
        client = play.new_client(Kind.KNOWN)
        greeting.test_greeting_with_a_bare_foreign_address(
            client, offence=False, internet=play.world.internet, expect=play.expect
        )
        ((_, _, talk),) = play.world.conversations
        (greeted,) = [step.command for step in talk.steps if step.command.startswith("EHLO ")]
        name = greeted.removeprefix("EHLO ")
        assert name[0].isdigit()
        assert not DYNAMIC.search(name)
