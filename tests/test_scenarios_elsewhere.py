"""What scenarios say of servers that speak otherwise than the document."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.capabilities.clock import SteeredClock
from harness.grants.capability import Tools
from harness.grants.greylist import CLOCK
from harness.grants.sending import SINK
from harness.outcome import Outcome
from harness.profile.tables import Override, Spf
from harness.results.model import Status
from harness.rules import Catalogue
from harness.runs.assembly import Wish, begin, open_run
from harness.runs.course import run_scenario
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.steadiness import MORE_TRIES, TRIES
from harness.runs.trial import Plan, Vote, try_once
from harness.settings.secret import Secret
from harness.verdicts import InconclusiveError
from harness.world.internet import Kind
from harness.world.sut import Sut
from scenarios.wiki import test_absent as absent
from scenarios.wiki import test_auth as login
from scenarios.wiki import test_data as data
from scenarios.wiki import test_dnsbl as lists
from scenarios.wiki import test_greylist as greylisting
from scenarios.wiki import test_greylist_bounces as bounces
from scenarios.wiki import test_helo as greeting
from scenarios.wiki import test_mail as letters
from scenarios.wiki import test_rcpt as recipients
from scenarios.wiki import test_spam as spam
from scenarios.wiki import test_tls as tls
from scenarios.wiki.greylisting import TOO_SLOW
from scenarios.wiki.recipients import comes_there
from tests.hostile_server import HostileServer
from tests.ports import free_port
from tests.rfc_server import ItsMailbox, RfcServer, Way
from tests.test_baseline import Politely
from tests.test_raw_dialogues import PROFILE as SMALL

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


def test_a_server_that_refuses_by_spf_claims_no_mail_in_spite_of_it() -> None:
    rule, scenario = "absent.spf-reject", absent.test_sender_whose_policy_names_others
    wanted = "new_client", "offence", "sut", "mailbox", "expect"
    with open_run(Wish(CATALOGUE)) as run:
        refusing = replace(run, profile=run.profile.model_copy(update={"spf": Spf(mode="reject")}))
        vote = said(refusing, rule, scenario, *wanted, who=Kind.KNOWN)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        marking = replace(run, profile=run.profile.model_copy(update={"spf": Spf(mode="mark")}))
        vote = said(marking, rule, scenario, *wanted, who=Kind.KNOWN)
        assert vote.status is Status.PASSED, vote.reason


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


@contextlib.contextmanager
def small(folder: Path, *ways: Way, described: str = "", server: RfcServer | None = None) -> Iterator[Run]:
    """A run against a small server with ways of its own."""
    with HostileServer([[server or RfcServer(ways, ("127.0.0.1", free_port()))]]) as listening:
        profile = folder / "profile.toml"
        text = SMALL.format(port=listening.address[1]).replace("delay = 0.0", "delay = 20.0")
        profile.write_text(f'{text}{described}\n[rules]\nwithout = ["*"]\n', "utf-8")
        with open_run(Wish(CATALOGUE, profile)) as run:
            yield run


LISTS = """
[[dnsbl]]
name = "first"
zones = ["list.example"]
[dialect]
threshold = 2
"""


def test_a_server_that_takes_recipients_one_at_a_time_hits_nobody(tmp_path: Path) -> None:
    with small(tmp_path, Way.TAKES_ONE_RECIPIENT, described=LISTS) as run:
        scenario: Callable[..., None] = recipients.test_second_recipient_is_in_a_foreign_domain
        vote = said(run, "rcpt.relay-denied", scenario, "client", "offence", "sut", "internet", "expect")
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "is refused to everybody: 451 one at a time" in vote.reason
        (entry,) = Sut(run.profile).dnsbl
        scenario = lists.test_one_listing_is_no_second_one_at_the_next_recipient
        vote = said(run, "dnsbl.one", scenario, "client", "offence", "sut", "expect", blocklist=entry)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "is refused to everybody: 451 one at a time" in vote.reason


def test_a_group_that_is_refused_for_what_it_is_says_nothing_of_syntax(tmp_path: Path) -> None:
    rule, scenario = "data.header-syntax", data.test_group_without_members
    with small(tmp_path, Way.REFUSES_GROUPS) as run:
        vote = said(run, rule, scenario, "client", "sut", "expect", twin=False)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "not as what does not parse: 550 nobody hides here" in vote.reason
    with small(tmp_path, Way.REFUSES_IN_STOCK_WORDS) as run:
        vote = said(run, rule, scenario, "client", "sut", "expect", twin=False)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "it is refused for its name" in vote.reason
    with open_run(Wish(CATALOGUE, mutants=["data.header-syntax:strict-group"])) as run:
        vote = said(run, rule, scenario, "client", "sut", "expect", twin=False)
        assert vote.status is Status.FAILED, vote.reason


def test_a_name_without_a_dot_may_be_the_servers_own(tmp_path: Path) -> None:
    with small(tmp_path) as run:
        server = run.profile.server.model_copy(update={"hostname": "localbox"})
        own = replace(run, profile=run.profile.model_copy(update={"server": server}))
        scenario = greeting.test_greeting_without_a_dot_under_tls
        vote = said(own, "helo.not-fqdn", scenario, "client", "offence", "sut", "expect")
        assert vote.status is Status.NOT_APPLICABLE, vote.reason


def test_what_needs_a_clock_leaves_a_rule_told_by_its_other_cases() -> None:
    with open_run(Wish(CATALOGUE)) as sound:
        timeless = {one: tool for one, tool in sound.tools.made.items() if one is not CLOCK}
        run = replace(sound, tools=Tools(timeless))
        wanted = ("trusted_client", "new_client", "sut", "expect")
        scenario = bounces.test_bounce_of_a_relay_host
        vote = said(run, "greylist.relay-exempt", scenario, *wanted, twin=False)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "no [clock]" in vote.reason


def test_where_tls_does_not_begin_nothing_follows_from_what_was_said_before(tmp_path: Path) -> None:
    wanted = ("client", "offence", "sut", "expect")
    cases: tuple[tuple[str, Callable[..., None], tuple[str, ...], dict[str, bool]], ...] = (
        ("helo.not-fqdn", greeting.test_greeting_without_a_dot_under_tls, wanted, {}),
        (
            "rcpt.relay-denied",
            recipients.test_stranger_writes_to_a_foreign_domain,
            (*wanted, "internet"),
            {"covered": True},
        ),
        ("data.header-syntax", data.test_address_header_that_does_not_parse_under_tls, wanted, {}),
    )
    with small(tmp_path) as run:  # STARTTLS has 454
        for rule, scenario, names, given in cases:
            vote = said(run, rule, scenario, *names, **given)
            assert vote.status is Status.INCONCLUSIVE, f"{rule}: {vote.reason}"
            assert "no TLS handshake took place" in vote.reason


@pytest.mark.parametrize(
    ("mutant", "later", "status", "reason"),
    [
        ("greylist.early-retry:off", 0.0, Status.NOT_APPLICABLE, "an early retry is taken"),
        ("greylist.retry-accept:strict-restarts", 0.0, Status.FAILED, "expected pass at rcpt"),
        ("greylist.retry-accept:strict-restarts", 60.0, Status.INCONCLUSIVE, TOO_SLOW),
    ],
)
def test_only_an_early_retry_can_begin_the_delay_anew(
    mutant: str, later: float, status: Status, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(Wish(CATALOGUE, mutants=[mutant])) as run:
        advance, more = SteeredClock.advance, iter([later])  # with the first time that passes
        monkeypatch.setattr(
            SteeredClock,
            "advance",
            lambda clock, address, seconds: advance(clock, address, seconds + next(more, 0.0)),
        )
        wanted = ("stranger", "sut", "clock", "expect")
        scenario = greylisting.test_early_retry_does_not_begin_the_delay_anew
        vote = said(run, "greylist.retry-accept", scenario, *wanted, twin=False)
        assert vote.status is status, vote.reason
        assert reason in vote.reason


ACCOUNT_IN_CLEAR = login.test_account_in_clear_text_where_nothing_covers_it


@pytest.mark.parametrize(
    ("mutants", "status"), [([], Status.PASSED), (["auth.plaintext-refused:off"], Status.FAILED)]
)
def test_an_account_in_clear_text_is_tried_where_there_is_no_tls(mutants: list[str], status: Status) -> None:
    wanted = ("client", "sut", "expect")
    with open_run(Wish(CATALOGUE, mutants=mutants)) as run:
        bare = replace(run, profile=run.profile.model_copy(update={"tls": None}))
        vote = said(bare, "auth.plaintext-refused", ACCOUNT_IN_CLEAR, *wanted, twin=False)
        assert vote.status is status, vote.reason
        vote = said(run, "auth.plaintext-refused", ACCOUNT_IN_CLEAR, *wanted, twin=False)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason


def test_what_an_account_is_refused_as_a_wrong_password_shows_nothing() -> None:
    with open_run(Wish(CATALOGUE, mutants=["auth.plaintext-refused:off"])) as run:
        assert run.profile.auth
        wrong = run.profile.auth.model_copy(update={"password": Secret("another")})
        bare = replace(run, profile=run.profile.model_copy(update={"tls": None, "auth": wrong}))
        wanted = ("client", "sut", "expect")
        vote = said(bare, "auth.plaintext-refused", ACCOUNT_IN_CLEAR, *wanted, twin=False)
        assert vote.status is Status.INCONCLUSIVE, vote.reason


def test_a_host_of_the_sender_that_is_called_when_the_message_is_there_is_no_pass_without_a_sink() -> None:
    with open_run(Wish(CATALOGUE, mutants=["absent.sender-callout:weak-at-data"])) as run:
        rule, scenario = "absent.sender-callout", absent.test_host_of_the_sender_is_not_looked_up
        vote = said(run, rule, scenario, "client", "sut", "expect", twin=False, sink=None)
        assert vote.status is Status.NOT_TESTABLE, vote.reason


def test_of_two_recipients_the_second_is_not_told_apart_where_its_rule_is_told_at_the_end() -> None:
    with open_run(Wish(CATALOGUE)) as sound:
        run = promising(sound, "deny at data", "rcpt.unknown-user")
        scenario = recipients.test_second_recipient_is_one_that_nobody_knows
        vote = said(run, "rcpt.unknown-user", scenario, "client", "offence", "sut", "expect")
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "share one reply" in vote.reason


def test_each_recipient_may_take_longer_than_the_one_before() -> None:
    """As where many recipients slow a client down: any reply is late for this judge."""
    with open_run(Wish(CATALOGUE)) as run:
        never: Callable[[float, float], float] = lambda since, until: 0.0  # noqa: E731
        hasty = replace(run, judge=replace(run.judge, delay=1e-6, noise=never, taken=never))
        vote = of_too_many(hasty)
        assert vote.status is Status.PASSED, vote.reason


@pytest.mark.parametrize("mutants", [[], ["rcpt.relay-trusted:off"]])
def test_mail_that_has_not_come_never_will_where_what_was_sent_later_has(mutants: list[str]) -> None:
    with open_run(Wish(CATALOGUE, mutants=mutants)) as run:
        play = Play(run, run.catalogue["rcpt.relay-denied"])
        with play.world.place():
            sink = play.tool(SINK)
            assert sink
            host = sink.host()
            client = play.new_client(Kind.KNOWN)
            later, logs_in = recipients.who_may_relay(client, play.new_client, play.world.sut, play.expect)
            with pytest.raises(InconclusiveError) if mutants else contextlib.nullcontext():
                to = f"friend@{host.domain}"
                comes_there(host, later, to, play.expect, authenticated=logs_in)


def test_a_program_that_is_taken_and_thrown_away_is_no_pass(tmp_path: Path) -> None:
    rule, wanted = "absent.mime-checks", ("new_client", "offence", "sut", "expect")
    for ways, status in ((set(), Status.PASSED), ({Way.THROWS_PROGRAMS_AWAY}, Status.FAILED)):
        server = RfcServer(ways, ("127.0.0.1", free_port()))
        with small(tmp_path, server=server) as run:
            mailbox, who = ItsMailbox(server), Kind.KNOWN
            vote = said(run, rule, data.test_attached_program, *wanted, mailbox=mailbox, who=who)
            assert vote.status is status, vote.reason


def test_whose_mailbox_shows_a_mark_must_be_known() -> None:
    rule = "dnsbl.two"
    with open_run(Wish(CATALOGUE, mutants=["dnsbl.two:off", "bounce.bogus:off"])) as sound:
        run = promising(sound, "mark at data", rule)
        home, *others = run.profile.domain
        bounced = home.model_copy(update={"bounce_recipients": ("info",)})  # which is an alias
        domains = (bounced, *(one.model_copy(update={"bounce_recipients": ()}) for one in others))
        run = replace(run, profile=run.profile.model_copy(update={"domain": domains}))
        scenario = lists.test_bounce_of_a_client_on_all_lists
        vote = said(run, rule, scenario, "client", "offence", "sut", "expect")
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "info@castle.example is no user of a [[domain]]" in vote.reason


def test_who_passes_on_a_slow_machine_comes_as_often_as_that_takes() -> None:
    rule = "helo.not-fqdn"

    def play(play: Play) -> None:
        play.call(greeting.test_greeting_without_a_dot_under_tls, {}, ("client", "offence", "sut", "expect"))

    with open_run(Wish(CATALOGUE)) as run:
        (earned,) = run.profile.expectation(run.catalogue[rule])[0]
        for number in range(100):
            late = earned.stage if number < 3 else None
            run.steadiness.timed(f"another.rule-{number}", [earned.stage], late)
        needed = run.steadiness.lateness(rule, earned.stage).votes
        assert TRIES < needed <= MORE_TRIES
        outcome = run_scenario(run, Plan(run.catalogue[rule], frozenset(), play))
        assert outcome.status is Status.PASSED, outcome.reason
        assert len(outcome.tries) == needed


@pytest.mark.parametrize(
    ("overridden", "outcome", "mutant", "rule", "scenario", "wanted"),
    [
        (
            "mail.no-helo",
            "pass at mail",
            "mail.no-helo:off",
            "tls.state-reset",
            tls.test_greeting_is_forgotten_after_starttls,
            ("client", "offence", "sut", "expect"),
        ),
        (
            "helo.plain-ip",
            "pass at helo",
            "helo.plain-ip:off",
            "helo.plain-ip-sticky",
            greeting.test_good_greeting_after_a_bare_address,
            ("client", "offence", "expect"),
        ),
        (
            "helo.not-fqdn",
            "pass at helo",
            "helo.not-fqdn:off",
            "delay.no-early-reject",
            letters.test_dialogue_goes_on_after_every_delay,
            ("client", "offence", "expect"),
        ),
    ],
)
def test_what_is_held_against_nobody_by_an_override_is_held_so_by_rules_that_borrow_it(
    overridden: str,
    outcome: str,
    mutant: str,
    rule: str,
    scenario: Callable[..., None],
    wanted: tuple[str, ...],
) -> None:
    with open_run(Wish(CATALOGUE, mutants=[mutant])) as sound:
        run = promising(sound, outcome, overridden)
        vote = said(replace(run, profile=run.profile.beside(CATALOGUE)), rule, scenario, *wanted)
        assert vote.status is Status.NOT_APPLICABLE, vote.reason


def test_a_group_shows_nothing_where_two_lists_earn_no_more_than_one() -> None:
    with open_run(Wish(CATALOGUE, mutants=["dnsbl.two:off"])) as sound:
        run = promising(sound, "delay at rcpt", "dnsbl.two")
        run = replace(run, profile=run.profile.beside(CATALOGUE))
        group = next(one for one in run.sut.dnsbl if len(one.zones) > 1)
        scenario: Callable[..., None] = lists.test_several_zones_of_one_group
        vote = said(
            run, "dnsbl.group-counts-once", scenario, "client", "offence", "sut", "expect", group=group
        )
        assert vote.status is Status.NOT_APPLICABLE, vote.reason
        assert "makes no difference here" in vote.reason


def test_an_ipv6_host_that_is_not_greylisted_is_seen() -> None:
    scenario: Callable[..., None] = greylisting.test_unknown_triplet_of_an_ipv6_host
    wanted = ("new_client", "offence", "sut", "clock", "expect")
    for mutants, status in (([], Status.PASSED), (["greylist.first-defer:weak-ipv4-only"], Status.FAILED)):
        with open_run(Wish(CATALOGUE, mutants=mutants)) as run:
            vote = said(run, "greylist.first-defer", scenario, *wanted)
            assert vote.status is status, vote.reason


def ending_data(reply: Callable[[], bytes]) -> Politely:
    """A server that takes all until the end of the message."""
    return Politely(lambda said: reply() if said == b"." else b"")


@contextlib.contextmanager
def serving(folder: Path, server: Politely) -> Iterator[Run]:
    with HostileServer([[server]]) as listening:
        profile = folder / "profile.toml"
        text = SMALL.format(port=listening.address[1])
        profile.write_text(f'{text}\n[rules]\nwithout = ["*"]\n', "utf-8")
        with open_run(Wish(CATALOGUE, profile)) as run:
            yield run


def test_who_refuses_the_test_string_for_itself_may_deliver_spam(tmp_path: Path) -> None:
    refusals = iter([b"550 5.7.1 Gtube pattern", b"250 taken"] * 9)
    with serving(tmp_path, ending_data(lambda: next(refusals))) as run:
        run = replace(run, side_by_side=False)  # the offence before its twin
        mailbox = ItsMailbox(RfcServer(set(), ("127.0.0.1", free_port())))
        wanted = ("client", "offence", "sut", "expect")
        vote = said(run, "data.spam-classified", spam.test_spam_is_marked, *wanted, mailbox=mailbox)
    assert vote.status is Status.INCONCLUSIVE
    assert "refused for itself" in vote.reason


@pytest.mark.parametrize(
    ("said_each_time", "status"),
    [
        (["550 5.6.0 what is that"], Status.FAILED),
        (["550 5.6.0 what is that; id 1", "550 5.6.0 what is that; id 2"], Status.FAILED),
        (
            ["554 5.7.1 no groups; id 1", "550 5.6.0 what; id 2", "550 5.6.0 what; id 3"],
            Status.NOT_APPLICABLE,
        ),
        (["550 5.7.1 no groups", "550 5.6.0 what", "550 5.6.0 what"], Status.NOT_APPLICABLE),
    ],
    ids=["alike", "numbered", "numbered, with another code", "in other words"],
)
def test_a_refused_group_is_told_by_its_code_where_refusals_are_numbered(
    tmp_path: Path, said_each_time: list[str], status: Status
) -> None:
    replies = itertools.cycle(said_each_time)
    with serving(tmp_path, ending_data(lambda: next(replies).encode())) as begun:
        run = replace(begun)
        run.trouble = lambda server=None, like=None: ""  # type: ignore[method-assign]
        scenario: Callable[..., None] = data.test_group_without_members
        vote = said(run, "data.header-syntax", scenario, "client", "sut", "expect", twin=False)
    assert vote.status is status, vote.reason


def test_clients_of_loopback_who_are_not_greylisted_may_only_be_skipped(tmp_path: Path) -> None:
    described = "[greylist]\ndelay = 60\n"
    with HostileServer([[Politely()]]) as listening:
        profile = tmp_path / "profile.toml"
        text = SMALL.format(port=listening.address[1])
        profile.write_text(f'{text}{described}[clock]\nlimit = 65\n[rules]\nwithout = ["*"]\n', "utf-8")
        with open_run(Wish(CATALOGUE, profile)) as opened:
            run = begin(opened)[0]
            wanted = ("new_client", "offence", "sut", "clock", "expect")
            scenario: Callable[..., None] = greylisting.test_unknown_triplet
            vote = said(run, "greylist.first-defer", scenario, *wanted, covered=False)
    assert (vote.status, vote.blocked_by) == (Status.INCONCLUSIVE, "baseline.stranger.rcpt"), vote.reason
    assert "many filters look at no client of 127.0.0.0/8" in vote.reason
