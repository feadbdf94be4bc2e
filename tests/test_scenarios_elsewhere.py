"""What scenarios say of servers that speak otherwise than the document."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.outcome import Outcome
from harness.profile.tables import Override
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, open_run
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.trial import Plan, Vote, try_once
from harness.world.sut import Sut
from scenarios.wiki import test_greylist_bounces as bounces
from scenarios.wiki import test_rcpt as recipients
from scenarios.wiki import test_tls as tls

CATALOGUE = Catalogue.below(Path("scenarios"))


def said(
    run: Run, rule: str, scenario: Callable[..., None], *wanted: str, twin: bool = True, **given: object
) -> Vote:
    def play(play: Play) -> None:
        play.call(scenario, given, wanted)

    return try_once(run, Plan(run.catalogue[rule], frozenset(), play, has_twin=twin))[0]


def promising(run: Run, outcome: str, *rules: str) -> Run:
    """The run, with a profile that has another outcome for some rules."""
    override = Override(outcome=(Outcome.parse(outcome),), reason="it is one sender like any other")
    claims = run.profile.rules.model_copy(update={"expect": dict.fromkeys(rules, override)})
    return replace(run, profile=run.profile.model_copy(update={"rules": claims}))


def test_bounces_that_are_put_off_at_rcpt() -> None:
    rule, mutant = "greylist.null-at-data", "greylist.null-not-at-rcpt:off"
    with open_run(Wish(CATALOGUE, mutants=[mutant])) as sound:
        run = promising(sound, "defer at rcpt with 451", rule)
        for scenario in (
            bounces.test_bounce_is_greylisted_at_data,
            bounces.test_bounce_is_keyed_without_a_sender,
            bounces.test_bounce_to_another_recipient,
        ):
            vote = said(run, rule, scenario, "stranger", "offence", "sut", "expect")
            assert vote.status is Status.PASSED, vote.reason


def test_a_forgotten_greeting_where_none_is_needed() -> None:
    rule = "tls.state-reset"
    with open_run(Wish(CATALOGUE, mutants=["mail.no-helo:off"])) as sound:
        run = promising(sound, "pass at mail", rule)
        vote = said(
            run,
            rule,
            tls.test_greeting_is_forgotten_after_starttls,
            "client",
            "offence",
            "sut",
            "expect",
        )
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "nothing shows" in vote.reason


def of_too_many(run: Run, **tables: object) -> Vote:
    """What is said of one recipient too many, where the profile has these tables."""
    other = replace(run, profile=run.profile.model_copy(update=tables))
    scenario = recipients.test_one_recipient_too_many
    return said(other, "rcpt.too-many", scenario, "client", "offence", "sut", "expect")


def test_one_recipient_again_and_again_may_count_once() -> None:
    with open_run(Wish(CATALOGUE, mutants=["rcpt.too-many:off"])) as run:
        vote = of_too_many(run)
        assert vote.status is Status.FAILED, vote.reason  # all of them are different
        strict = tuple(domain for domain in run.profile.domain if not domain.takes_everyone)
        assert len(strict) < len(run.profile.domain)
        vote = of_too_many(run, domain=strict)
        assert vote.status is Status.INCONCLUSIVE, vote.reason
        assert "may count a repeated recipient once; what decides it is" in vote.reason
        many = strict[0].model_copy(update={"users": [f"user{number}" for number in range(30)]})
        assert not run.profile.greylist or run.profile.greylist.whitelist_hosts
        assert len({*Sut(run.profile.model_copy(update={"domain": (many,)})).recipients(21)}) == 21


def test_a_limit_holds_for_one_recipient_again_and_again() -> None:
    with open_run(Wish(CATALOGUE)) as run:
        strict = tuple(domain for domain in run.profile.domain if not domain.takes_everyone)
        for tables in ({}, {"domain": strict}):
            vote = of_too_many(run, **tables)
            assert vote.status is Status.PASSED, vote.reason
