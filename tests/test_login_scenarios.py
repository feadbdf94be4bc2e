"""What scenarios of AUTH hold against refusals that are slow, or name whom they refuse."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.play import Play
from harness.world.internet import Kind
from scenarios.wiki import test_auth as login
from scenarios.wiki.test_auth import says_the_name

WRONG = "5.7.8 Authentication failed for Alice"


@pytest.mark.parametrize(
    ("text", "name", "alike"),
    [
        ("5.7.8 Authentication failed for nobody", "nobody", True),
        ("5.7.8 Authentication failed for", "", True),
        ("5.7.8 Authentication failed for (", "(", True),
        ("5.7.8 There is no nobody", "nobody", False),
        ("5.7.8 Authentication failed for somebody", "nobody", False),
        ("5.7.8 Authentication failed", "nobody", False),
    ],
)
def test_a_name_that_is_said_back_gives_nothing_away(text: str, name: str, alike: bool) -> None:
    assert says_the_name(text, name, WRONG, "alice") is alike


def test_white_space_tells_names_apart_where_none_is_said_back() -> None:
    assert not says_the_name("5.7.8 Authentication  failed", "nobody", "5.7.8 Authentication failed", "alice")


SCENARIOS: tuple[tuple[str, Callable[[Play], None]], ...] = (
    (
        "auth.wrong-password",
        lambda play: login.test_wrong_password(
            play.new_client(Kind.STRANGER), offence=True, expect=play.expect
        ),
    ),
    (
        "auth.unknown-user",
        lambda play: login.test_empty_password(
            play.new_client(Kind.KNOWN), offence=True, expect=play.expect, name="account"
        ),
    ),
    (
        "auth.plaintext-refused",
        lambda play: login.test_account_in_clear_text(
            play.new_client(Kind.KNOWN), offence=True, expect=play.expect
        ),
    ),
    (
        "auth.plaintext-refused",
        lambda play: login.test_wrong_password_in_clear_text(play.new_client(Kind.KNOWN), play.expect),
    ),
)


def test_whoever_is_not_let_in_may_be_kept_waiting_where_no_document_says_how_long() -> None:
    """As Dovecot and PAM do for two seconds or so: any reply is late for this judge."""
    with open_run(Wish(Catalogue.below(Path("scenarios")))) as run:
        hasty = replace(run, judge=replace(run.judge, delay=1e-6, noise=lambda since, until: 0.0))
        for rule, scenario in SCENARIOS:
            play = Play(hasty, run.catalogue[rule])
            scenario(play)
            assert play.expect.proven, rule
