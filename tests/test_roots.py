"""Which rule a refusal is laid at the door of, where several failed; and that two defects are told as two."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.judge import ContradictionError
from harness.outcome import Stage
from harness.profile.dialect import Dialect
from harness.profile.model import Profile
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.course import CaseResult
from harness.runs.foundations import refusal
from harness.runs.roots import Roots
from harness.runs.trial import Plan
from harness.smtp.reply import Reply
from harness.verdicts import FailedError
from harness.world.refusal import Refusal
from harness.world.step import Step

Case = tuple[str, BaseException] | tuple[str, BaseException, BaseException]  # of a rule; what was met also


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


def said(stage: Stage, text: str, *, by_greylist: bool = False) -> ContradictionError:
    """A reply that is not as documented."""
    code = int(text[:3])
    reply = Reply(code, (text[4:],), text.encode(), 0.0, 0.0)
    step = Step(stage, str(stage).upper(), (reply,), 0.0, 0.0)
    reason = f"at {stage} the server said {text}"
    return ContradictionError(reason, step, in_greylist_words=by_greylist)


def met(errors: Iterable[BaseException]) -> Iterator[Refusal]:
    for error in errors:
        if found := refusal(error):
            yield found


def looked_at(
    catalogue: Catalogue, told: str, *failed: Case, holds: tuple[str, ...] = ()
) -> Iterator[tuple[str, CaseResult]]:
    """What is told of the cases of each rule that failed, where refusals are `told`."""
    dialect = Dialect.model_validate({"told": told})

    def expectation(rule: object) -> tuple[object, str]:
        return tuple(dialect.outcome(rule.offence, one) for one in rule.expect), ""  # type: ignore[attr-defined]

    profile = cast(
        Profile,
        SimpleNamespace(
            dialect=dialect,
            expectation=expectation,
            greylist=None,
            claims=lambda rule: rule.id != "rcpt.too-many",
        ),
    )
    came = {
        f"{case[0]}#{number}": CaseResult(
            Status.FAILED, str(case[1]), error=case[1], refusals=frozenset(met(case[1:]))
        )
        for number, case in enumerate(failed)
    }
    came |= {f"{rule}#holds": CaseResult(Status.PASSED, "") for rule in holds}
    plans = {key: Plan(catalogue[key.split("#")[0]], frozenset(), lambda play: None) for key in came}
    roots = Roots(catalogue, profile, plans, plans, came.__getitem__, {})
    return ((plans[key].rule.id, roots.of(key)) for key in came)


def blamed(
    catalogue: Catalogue, told: str, *failed: Case, holds: tuple[str, ...] = ()
) -> Mapping[str, set[str]]:
    """Whom the cases of each rule that failed are blocked by; "" for none."""
    by: dict[str, set[str]] = {}
    for rule, outcome in looked_at(catalogue, told, *failed, holds=holds):
        by.setdefault(rule, set()).add(outcome.blocked_by)
    return by


NO = "550 5.7.1 No"
LATE = said(Stage.RCPT, NO)
HELO = "helo.not-fqdn"


@pytest.mark.parametrize(
    ("told", "failed"),
    [
        pytest.param(
            "rcpt",
            [("helo.plain-ip", said(Stage.RCPT, "250 fine"))] * 3
            + [("rcpt.relay-trusted", said(Stage.RCPT, "554 5.7.1 Relay access denied"))],
            id="one lets through, one refuses",
        ),
        pytest.param(
            "rcpt",
            [("reply.no-internals", FailedError("it names its files"))] * 2
            + [("dnsbl.one", said(Stage.RCPT, "554 5.7.1 blocked"))],
            id="one says too much, one refuses",
        ),
        pytest.param(
            "rcpt",
            [("absent.sender-callout", AssertionError("the server called"))]
            + [(HELO, said(Stage.RCPT, "504 5.5.2 <box>: need fully-qualified hostname"))] * 4,
            id="one calls, one refuses",
        ),
        pytest.param(
            "data",
            [("eod.lf-dot-lf", said(Stage.DATA, "250 taken")), (HELO, said(Stage.DATA, "504 what?"))],
            id="one takes too much, one refuses",
        ),
        pytest.param(
            "rcpt",
            [("spf.softfail", said(Stage.RCPT, "551 5.7.23 SPF"))]
            + [(HELO, said(Stage.RCPT, "504 5.5.2 need a name"))] * 2,
            id="each refuses with a code of its own",
        ),
        pytest.param(
            "rcpt",
            [("rcpt.relay-trusted", said(Stage.RCPT, "554 5.7.1 <friend@d1.example>: Relay access denied"))]
            + [(HELO, said(Stage.RCPT, "554 5.7.1 <box>: Helo command rejected"))] * 2,
            id="each refuses in words of its own",
        ),
    ],
)
def test_what_fails_by_itself_is_told_by_itself(catalogue: Catalogue, told: str, failed: list[Case]) -> None:
    assert blamed(catalogue, told, *failed) == {rule: {""} for rule, *_ in failed}


@pytest.mark.parametrize("beside", [[], [("spf.softfail", said(Stage.RCPT, "551 5.7.23 SPF"))]])
def test_who_was_delayed_is_refused_by_the_rule_that_delays_again(
    catalogue: Catalogue, beside: list[Case]
) -> None:
    delays, victims = "rcpt.delay-repeated", (HELO, "connect.rdns-missing")
    found = blamed(catalogue, "rcpt", *[(delays, LATE)] * 2, *[(one, LATE) for one in victims], *beside)
    assert found == {
        delays: {""},
        **{one: {delays} for one in victims},
        **{rule: {""} for rule, *_ in beside},
    }


def test_who_has_done_nothing_is_not_refused_by_the_rule_that_delays_again(catalogue: Catalogue) -> None:
    own, delayed = "helo.forward-match", ("mail.delay-repeated", "connect.rdns-missing")
    refused = said(Stage.MAIL, NO)
    found = blamed(catalogue, "mail", (own, refused), *[(one, refused) for one in delayed])
    assert found == {own: {""}, **{one: {own} for one in delayed}}


def test_who_was_delayed_is_refused_by_the_rule_that_does_not_delay_again(catalogue: Catalogue) -> None:
    own, prompt = "mail.delay-repeated", said(Stage.MAIL, "250 fine")
    later = said(Stage.DATA, NO)
    delayed = (HELO, "connect.rdns-missing")
    found = blamed(catalogue, "data", *[(own, prompt, later)] * 2, *[(one, later) for one in delayed])
    assert found == {own: {""}, **{one: {own} for one in delayed}}


def test_those_who_were_delayed_are_a_sort_of_clients(catalogue: Catalogue) -> None:
    own, delayed, refused = "helo.forward-match", "mail.delay-repeated", said(Stage.DATA, NO)
    found = blamed(catalogue, "data", (delayed, refused), (own, refused))
    assert found == {delayed: {own}, own: {""}}


def test_who_is_refused_before_its_stage_is_so_by_a_rule_of_the_stage_where_it_was(
    catalogue: Catalogue,
) -> None:
    early = said(Stage.HELO, "554 5.7.0 Not accepted")
    found = blamed(catalogue, "at once", ("mail.delay-repeated", early), ("helo.forward-match", early))
    assert found == {"mail.delay-repeated": {"helo.forward-match"}, "helo.forward-match": {""}}
    other = said(Stage.HELO, "421 4.3.2 Too busy")
    found = blamed(catalogue, "at once", ("mail.delay-repeated", other), ("helo.forward-match", early))
    assert found == {"mail.delay-repeated": {""}, "helo.forward-match": {""}}


def test_mail_for_as_many_as_may_be_is_refused_by_the_rule_about_that(catalogue: Catalogue) -> None:
    too_many = said(Stage.RCPT, "550 5.5.3 Too many recipients")
    found = blamed(catalogue, "at once", ("delivery.alias-many", too_many), ("rcpt.too-many", too_many))
    assert found == {"delivery.alias-many": {"rcpt.too-many"}, "rcpt.too-many": {""}}


def test_who_is_put_off_again_is_so_by_the_rule_about_that(catalogue: Catalogue) -> None:
    put_off = said(Stage.RCPT, "451 4.7.1 I do not know you yet", by_greylist=True)
    failed = ("delivery.alias-many", put_off), ("greylist.whitelisted", put_off)
    for order in (failed, failed[::-1]):
        found = blamed(catalogue, "at once", *order)
        assert found == {"delivery.alias-many": {"greylist.whitelisted"}, "greylist.whitelisted": {""}}


def test_whom_nobody_knows_is_refused_by_the_rule_that_says_who_is_a_recipient(catalogue: Catalogue) -> None:
    for told, stage in (("at once", Stage.RCPT), ("data", Stage.DATA)):
        unknown = said(stage, "550 5.1.1 No such user here")
        found = blamed(catalogue, told, ("rcpt.leading-dot", unknown), ("delivery.catch-all", unknown))
        assert found == {"rcpt.leading-dot": {"delivery.catch-all"}, "delivery.catch-all": {""}}


def test_names_and_addresses_of_clients_make_no_difference(catalogue: Catalogue) -> None:
    def refused(client: str) -> ContradictionError:
        address = f"198.18.0.{len(client)}"
        return said(
            Stage.RCPT, f"550 5.7.1 <{client}>: {address} [{address}] mx.{client}.example, you were slow"
        )

    cases = [("rcpt.delay-repeated", refused("mx.c1.example")), ("rcpt.delay-repeated", refused("c22"))]
    found = blamed(catalogue, "rcpt", *cases, (HELO, refused("localbox")))
    assert found == {"rcpt.delay-repeated": {""}, HELO: {"rcpt.delay-repeated"}}


def test_a_rule_of_which_a_case_holds_is_not_to_blame_for_others(catalogue: Catalogue) -> None:
    found = blamed(
        catalogue,
        "rcpt",
        *[("rcpt.delay-repeated", LATE)] * 2,
        (HELO, LATE),
        holds=("rcpt.delay-repeated",),
    )
    assert found[HELO] == {""}


@pytest.mark.parametrize(
    ("rule", "holds", "untried"),
    [
        ("bounce.tag-in-front", (), "bounce.bogus, delivery.catch-all"),
        ("bounce.tag-in-front", ("bounce.bogus",), "delivery.catch-all"),
        ("bounce.tag-in-front", ("bounce.bogus", "delivery.catch-all"), ""),
        ("delivery.alias", (), ""),  # what it rests on is not claimed
    ],
)
def test_a_rule_that_is_played_without_those_on_which_it_rests_says_so(
    catalogue: Catalogue, rule: str, holds: tuple[str, ...], untried: str
) -> None:
    found = dict(looked_at(catalogue, "at once", (rule, said(Stage.RCPT, "250 fine")), holds=holds))
    assert found[rule].status is Status.FAILED
    said_so = f"it rests on {untried}, of which nothing was tried by then: play that as well"
    assert ("nothing was tried" in found[rule].reason) is bool(untried)
    assert not untried or found[rule].reason.endswith(said_so)
