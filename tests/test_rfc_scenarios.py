"""The scenarios of the RFCs, against servers that are lawful in an odd way, and that are odd and wrong."""

import contextlib
import ssl
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.grants.capability import Tools
from harness.grants.mail import MAILBOX
from harness.outcome import Stage
from harness.profile.mail_tables import Imap, MailboxTable
from harness.profile.tables import RouteName
from harness.results.model import Status
from harness.rules import Catalogue, Level
from harness.runs.assembly import Wish, open_run
from harness.runs.baseline import look
from harness.runs.play import Play
from harness.runs.run import Run
from harness.runs.trial import Plan, Vote, try_once
from harness.settings.hosts import endpoint_text
from harness.settings.secret import Secret
from harness.world.endpoints import endpoints_of
from scenarios.rfc import test_eod as eod
from scenarios.rfc import test_reply as reply
from scenarios.rfc import test_session_commands as commands
from scenarios.rfc import test_session_greeting as greeting
from scenarios.rfc import test_session_order as order
from scenarios.rfc.transactions import must_have_no_recipients, must_have_no_sender
from tests.certificate_file import self_signed
from tests.hostile_server import HostileServer, StartTls, Step, Visitor
from tests.ports import free_port
from tests.rfc_server import ASKING, LIST, ItsMailbox, OneForAll, RfcServer, Way
from tests.test_raw_dialogues import PROFILE as SMALL

ASKS = """
[dns]
listen = ["{dns}"]
[[dnsbl]]
name = "first"
zones = ["{list}"]
"""
NETWORKS = 'networks = ["127.16.0.0/12"]\nrefused = ["127.48.0.0/24"]'
PROFILE = SMALL.replace('networks = ["127.1.2.0/24"]', NETWORKS).replace("= 2.0", "= 20.0")
CATALOGUE = Catalogue.below(Path("scenarios/rfc"))
Scenario = Callable[..., None]
Given = dict[str, object]
RCPT_IN_ODD_CASE: Given = {"stage": Stage.MAIL, "line": "rCpT tO:<{recipient}>", "code": (250, 251)}
FOREIGN = "[IPv6:2001:db8::1]"
IN_CLEAR_TEXT: Given = {"covered": False}
AT_RCPT: Given = {"stage": Stage.RCPT}
MAIL_IN_ODD_CASE: Given = {"stage": Stage.HELO, "line": "mAiL fRoM:<{sender}>", "code": 250}
ASKS_FOR_TLS = "which asks for TLS or a login before anything and says nothing of this rule"
RSET_AT_ONCE: Given = {"line": "RSET", "wanted": (250,)}
XYZZY: Given = {"stage": Stage.HELO, "line": "XYZZY"}
TWICE: Given = {"verb": "EHLO", "must_have_nothing": must_have_no_sender}
UNKNOWN: Given = {"line": b"XYZZY all"}
LONG: Given = {"line": reply.ODD["long and unknown"]}
NO_SENDER: Given = {"must_have_nothing": must_have_no_sender}
NO_RECIPIENTS: Given = {"must_have_nothing": must_have_no_recipients}


@contextlib.contextmanager
def judged(
    folder: Path,
    ways: Collection[Way] = (),
    described: str = "",
    *,
    has_mailbox: bool = True,
    tls: ssl.SSLContext | None = None,
    behind: Callable[[RfcServer], Step] = lambda server: server,
) -> Iterator[Run]:
    """A run against a server with ways of its own; it is never slow. More of it may be `described`.

    Somebody else may stand before it, and serve some visitors himself.
    """
    server = RfcServer(ways, ("127.0.0.1", free_port()), tls=tls)
    with HostileServer([[behind(server)]]) as listening:
        profile = folder / "profile.toml"
        if not ASKING.isdisjoint(ways):
            described += ASKS.format(dns=endpoint_text(*server.dns), list=LIST)
        profile.write_text(PROFILE.format(port=listening.address[1]) + described, "utf-8")
        with open_run(Wish(CATALOGUE, profile)) as run:
            made = {**run.tools.made, **({MAILBOX: ItsMailbox(server)} if has_mailbox else {})}
            never = lambda since, until: 0.0  # noqa: E731
            judge = replace(run.judge, noise=never, taken=never)
            yield replace(run, tools=Tools(made), judge=judge)


@dataclass(frozen=True)
class UnderTls:
    """Somebody's dialogue, with TLS before it."""

    context: ssl.SSLContext
    within: Step

    def play(self, visitor: Visitor) -> None:
        StartTls(self.context).play(visitor)
        self.within.play(visitor)


@pytest.fixture
def certified(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    return context


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runs.play.QUIET", 0.3)


def said(run: Run, rule: str, scenario: Scenario, **given: object) -> Vote:
    code = scenario.__code__
    wanted = tuple(name for name in code.co_varnames[: code.co_argcount] if name not in given)
    has_twin = "offence" in wanted
    plan = Plan(run.catalogue[rule], frozenset(), lambda play: play.call(scenario, given, wanted), has_twin)
    return try_once(run, plan)[0]


@pytest.mark.parametrize(
    ("way", "rule", "scenario", "given"),
    [
        (Way.FORWARDS, "session.verb-case", commands.test_letters_of_either_case, RCPT_IN_ODD_CASE),
        (Way.FORWARDS, "session.unlisted-not-honoured", greeting.test_a_parameter_that_nobody_knows, AT_RCPT),
        (Way.FORWARDS, "session.no-effect-verbs", commands.test_commands_without_effect, {"line": "NOOP"}),
        (
            Way.LETS_DATA_PASS,
            "session.bad-argument-keeps-state",
            order.test_rcpt_without_a_path_adds_no_recipient,
            {"argument": " TO:<>"},
        ),
        (Way.FORWARDS, "reply.one-per-command", reply.test_commands_of_a_message_have_one_reply_each, {}),
        (Way.LETS_DATA_PASS, "reply.crlf-framed", reply.test_lines_of_replies_to_a_message, {}),
        (
            Way.TAKES_LOGINS,
            "session.keywords-honoured",
            greeting.test_commands_of_listed_extensions,
            IN_CLEAR_TEXT,
        ),
        (Way.HESITATES_AFTER_ERRORS, "reply.one-per-command", reply.test_a_command_has_one_reply, UNKNOWN),
        (Way.HESITATES_AFTER_ERRORS, "reply.crlf-framed", reply.test_lines_of_all_replies, UNKNOWN),
        (Way.FORWARDS, "reply.line-512", reply.test_length_of_all_lines, LONG),
        (
            Way.GREETS_ONCE,
            "session.second-ehlo-resets",
            greeting.test_a_second_greeting_drops_the_transaction,
            TWICE,
        ),
        (Way.SAYS_FAREWELL, "eod.no-sync-loss", eod.test_commands_behind_what_is_refused, {"form": b"\n.\n"}),
        (Way.FORWARDS, "eod.bare-lf-command", eod.test_command_with_a_bare_line_end, {"bare": b"\r"}),
        (Way.FORWARDS, "eod.bare-lf-command", eod.test_command_behind_a_bare_line_end, {"bare": b"\r"}),
        (Way.FORWARDS, "eod.controls-kept", eod.test_control_characters_in_a_body, {}),
        (Way.SCANS, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs, {}),
        (Way.SCANS, "eod.split-writes", eod.test_end_octet_by_octet, {}),
        (Way.SCANS, "eod.empty-data", eod.test_dot_right_behind_the_go_ahead, {}),
    ],
)
def test_a_server_is_lawful_in_its_own_way(
    tmp_path: Path, way: Way, rule: str, scenario: Scenario, given: Given
) -> None:
    with judged(tmp_path, {way}) as run:
        vote = said(run, rule, scenario, **given)
    assert vote.status is Status.PASSED, vote.reason


@pytest.mark.parametrize(
    ("ways", "rule", "scenario", "given"),
    [
        ({Way.KEEPS_SENDER}, "session.rset", commands.test_rset_drops_the_transaction, NO_SENDER),
        ({Way.KEEPS_RECIPIENTS}, "session.rset", commands.test_rset_drops_the_transaction, NO_RECIPIENTS),
        (
            {Way.KEEPS_RECIPIENTS_OF_MESSAGE},
            "session.buffers-cleared",
            order.test_nothing_is_left_of_a_message_that_was_taken,
            NO_RECIPIENTS,
        ),
        (
            {Way.KEEPS_RECIPIENTS_OF_MESSAGE},
            "session.buffers-cleared",
            order.test_a_message_goes_to_its_own_recipients,
            {},
        ),
        (
            {Way.COUNTS_WHAT_IS_NO_PATH},
            "session.bad-argument-keeps-state",
            order.test_mail_without_a_path_begins_no_transaction,
            {"argument": " FROM:<x@"},
        ),
        (
            {Way.COUNTS_WHAT_IS_NO_PATH},
            "session.bad-argument-keeps-state",
            order.test_rcpt_without_a_path_adds_no_recipient,
            {"argument": " TO:<>"},
        ),
        (
            {Way.DROPS_RECIPIENTS_AT_AN_ERROR},
            "session.bad-argument-keeps-state",
            order.test_rcpt_without_a_path_drops_no_recipient,
            {"argument": ""},
        ),
        (
            {Way.NOOP_DROPS, Way.LETS_DATA_PASS},
            "session.no-effect-verbs",
            commands.test_commands_without_effect,
            {"line": "NOOP"},
        ),
        (
            {Way.DELIVERS_HALF_AT_RESET},
            "session.half-message",
            order.test_a_message_whose_end_never_came,
            {"has_reset": True},
        ),
        (
            {Way.LISTS_WHAT_IT_HAS_NOT},
            "session.keywords-honoured",
            greeting.test_parameters_of_listed_extensions,
            IN_CLEAR_TEXT,
        ),
        (
            {Way.LISTS_WHAT_IT_HAS_NOT},
            "session.keywords-honoured",
            greeting.test_parameters_of_rcpt_of_listed_extensions,
            IN_CLEAR_TEXT,
        ),
        ({Way.SILENT_AT_UNKNOWN}, "reply.one-per-command", reply.test_a_command_has_one_reply, UNKNOWN),
        ({Way.SHOWS_THE_UNKNOWN}, "reply.line-512", reply.test_length_of_all_lines, LONG),
        (
            {Way.SAYS_TWICE},
            "reply.one-per-command",
            reply.test_commands_of_a_message_have_one_reply_each,
            {},
        ),
        ({Way.ENDS_LINES_AT_LF}, "reply.crlf-framed", reply.test_lines_of_replies_to_a_message, {}),
        (
            {Way.SHOWS_RECIPIENTS},
            "reply.no-echo-injection",
            reply.test_line_ends_in_what_is_said,
            {"line": b"RCPT TO:<a\r%b>"},
        ),
        (
            {Way.GREETS_ONCE, Way.REFUSED_GREETING_DROPS},
            "session.second-ehlo-resets",
            greeting.test_a_second_greeting_drops_the_transaction,
            TWICE,
        ),
        (
            {Way.LISTS_WHAT_IT_HAS_NOT, Way.REFUSES_PARAMETERS},
            "session.keywords-honoured",
            greeting.test_parameters_of_listed_extensions,
            IN_CLEAR_TEXT,
        ),
        (
            {Way.LISTS_WHAT_IT_HAS_NOT, Way.REFUSES_PARAMETERS},
            "session.keywords-honoured",
            greeting.test_parameters_of_rcpt_of_listed_extensions,
            IN_CLEAR_TEXT,
        ),
        ({Way.ENDS_AT_LF}, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs, {}),
        ({Way.DROPS_CONTROLS}, "eod.controls-kept", eod.test_control_characters_in_a_body, {}),
        (
            {Way.ENDS_COMMANDS_AT_CR},
            "eod.bare-lf-command",
            eod.test_command_with_a_bare_line_end,
            {"bare": b"\r"},
        ),
        (
            {Way.ENDS_COMMANDS_AT_CR},
            "eod.bare-lf-command",
            eod.test_command_behind_a_bare_line_end,
            {"bare": b"\r"},
        ),
        ({Way.ENDS_AT_LF, Way.SCANS}, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs, {}),
        (
            {Way.ENDS_AT_LF, Way.SCANS, Way.FLUSHES_COMMANDS},
            "eod.lf-dot-lf",
            eod.test_dot_between_bare_lfs,
            {},
        ),
    ],
)
def test_a_server_is_wrong_in_its_own_way(
    tmp_path: Path, ways: set[Way], rule: str, scenario: Scenario, given: Given
) -> None:
    with judged(tmp_path, ways) as run:
        vote = said(run, rule, scenario, **given)
    assert vote.status is Status.FAILED, vote.reason


@pytest.mark.parametrize(
    ("ways", "rule", "scenario", "given"),
    [
        ({Way.REFUSES_VRFY}, "session.vrfy-implemented", commands.test_vrfy_is_known, {}),
        ({Way.REFUSES_HELO}, "session.helo-plain", greeting.test_helo_lists_nothing, {}),
        (
            {Way.PUTS_SECOND_GREETING_OFF},
            "session.second-ehlo-resets",
            greeting.test_a_second_greeting_drops_the_transaction,
            TWICE,
        ),
        (
            {Way.LISTS_WHAT_IT_HAS_NOT, Way.REFUSES_MAIL},
            "session.keywords-honoured",
            greeting.test_parameters_of_listed_extensions,
            IN_CLEAR_TEXT,
        ),
        ({Way.REFUSES_CONTROLS}, "eod.controls-kept", eod.test_control_characters_in_a_body, {}),
        ({Way.REFUSES_COMMANDS_IN_MAIL}, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs, {}),
        (
            {Way.REFUSES_COMMANDS_IN_MAIL},
            "eod.no-sync-loss",
            eod.test_commands_behind_what_is_refused,
            {"form": b"\n.\n"},
        ),
    ],
)
def test_what_a_server_refuses_for_reasons_of_its_own_is_neither_kept_nor_broken(
    tmp_path: Path, ways: set[Way], rule: str, scenario: Scenario, given: Given
) -> None:
    with judged(tmp_path, ways) as run:
        vote = said(run, rule, scenario, **given)
    assert vote.status is Status.INCONCLUSIVE, vote.reason


@pytest.mark.parametrize("parts", [set(), {Way.PARTS_AT_AN_EMPTY_LINE}], ids=["goes on", "bids farewell"])
def test_where_the_end_is_taken_nothing_is_refused_that_commands_could_stand_behind(
    tmp_path: Path, parts: set[Way]
) -> None:
    scenario = eod.test_commands_behind_what_is_refused
    with judged(tmp_path, {Way.ENDS_AT_LF, *parts}) as run:
        vote = said(run, "eod.no-sync-loss", scenario, form=b"\n.\n")
    assert vote.status is Status.NOT_APPLICABLE, vote.reason
    assert run.steadiness.lost == 0


def test_a_farewell_that_nothing_asked_for_obeys_nothing(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.PARTS_BEHIND_NOOP}) as run:
        vote = said(run, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs)
    assert vote.status is Status.PASSED, vote.reason


@pytest.mark.parametrize(("scan", "status"), [(None, Status.PASSED), (0.0, Status.INCONCLUSIVE)])
def test_a_slow_end_of_content_is_waited_for_before_anything_else_is_said(
    tmp_path: Path, scan: float | None, status: Status
) -> None:
    with judged(tmp_path, {Way.SCANS, Way.PUNISHES_HASTE}) as run:
        server = run.profile.server.model_copy(update={"scan": scan})  # which may be untrue
        run = replace(run, profile=run.profile.model_copy(update={"server": server}))
        vote = said(run, "eod.empty-data", eod.test_dot_right_behind_the_go_ahead)
    assert vote.status is status, vote.reason


def test_one_mailbox_for_two_recipients_shows_nothing_of_whom_a_message_is_for(tmp_path: Path) -> None:
    with judged(tmp_path, set()) as run:
        whole = run.tools.made[MAILBOX]
        run = replace(run, tools=Tools({**run.tools.made, MAILBOX: OneForAll(whole.server)}))
        vote = said(run, "session.buffers-cleared", order.test_a_message_goes_to_its_own_recipients)
        assert vote.status is Status.INCONCLUSIVE, vote.reason
        imap = Imap(user="all", password=Secret("x"), address=("127.0.0.1", 993), name="imap.example.org")
        kept = MailboxTable(imap=imap)  # which says so
        run = replace(run, profile=run.profile.model_copy(update={"mailbox": kept}))
        vote = said(run, "session.buffers-cleared", order.test_a_message_goes_to_its_own_recipients)
    assert vote.status is Status.NOT_APPLICABLE, vote.reason
    assert "have one mailbox" in vote.reason


def test_errors_behind_a_message_that_was_taken_are_what_stood_behind_a_false_end(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.ENDS_AT_LF, Way.SCANS, Way.WANTS_GREETING_AGAIN}, has_mailbox=False) as run:
        vote = said(run, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs)
    assert vote.status is Status.FAILED, vote.reason
    assert "was taken for commands: nothing had asked for 5" in vote.reason


def test_silence_tells_nothing_where_a_true_end_is_answered_later_than_that(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.SCANS}, has_mailbox=False) as run:
        vote = said(run, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs)
    assert vote.status is Status.INCONCLUSIVE
    assert "of silence behind what is none show nothing; set server.scan" in vote.reason


@pytest.mark.parametrize(
    ("ways", "status", "why"),
    [
        ({Way.REFUSES_BARE_LF}, Status.PASSED, ""),
        ({Way.REFUSES_BARE_LF, Way.ENDS_AT_LF}, Status.FAILED, "nothing had asked for 250 fine"),
        ({Way.REFUSES_BARE_LF, Way.SCANS}, Status.INCONCLUSIVE, "set server.scan"),
    ],
)
def test_who_refuses_a_message_at_a_false_end_obeys_nothing_that_stands_behind(
    tmp_path: Path, ways: set[Way], status: Status, why: str
) -> None:
    with judged(tmp_path, ways, has_mailbox=False) as run:
        vote = said(run, "eod.lf-dot-lf", eod.test_dot_between_bare_lfs)
    assert vote.status is status, vote.reason
    assert why in vote.reason


def test_that_quit_is_answered_late_does_not_make_it_lost(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.SLOW_TO_QUIT}) as run:
        vote = said(run, "eod.split-writes", eod.test_end_in_one_piece_with_the_next_command)
    assert vote.status is Status.INCONCLUSIVE
    assert "QUIT was answered after 0.3 s and more: 221 bye" in vote.reason


def test_what_the_rfc_lets_a_server_do_with_data_is_no_missing_reply(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.LETS_DATA_PASS}) as run:
        vote = said(run, "reply.one-per-command", reply.test_a_command_has_one_reply, line=b"DATA")
    assert vote.status is Status.NOT_APPLICABLE
    assert "lets DATA pass without a recipient" in vote.reason


def test_mail_that_is_refused_to_everybody_shows_nothing_of_a_refused_greeting(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.REFUSED_GREETING_COUNTS, Way.REFUSES_MAIL}) as run:
        vote = said(run, "session.refused-ehlo-keeps-state", greeting.test_a_refused_greeting_is_none)
    assert vote.status is Status.INCONCLUSIVE
    assert "expected 250 at mail, and there was 550 no mail" in vote.reason


@pytest.mark.parametrize(
    ("stage", "status"), [(Stage.HELO, Status.PASSED), (Stage.MAIL, Status.NOT_APPLICABLE)]
)
def test_a_transaction_that_has_failed_may_be_over(tmp_path: Path, stage: Stage, status: Status) -> None:
    with judged(tmp_path, {Way.FAILS_WITHOUT_RECIPIENTS}) as run:
        vote = said(run, "session.out-of-order-503", order.test_refused_data_changes_nothing, stage=stage)
    assert vote.status is status, vote.reason


@pytest.mark.parametrize("covered", [False, True], ids=["in clear text", "under TLS"])
@pytest.mark.parametrize(
    ("way", "rule", "scenario"),
    [
        (
            Way.LISTS_WHAT_IT_HAS_NOT,
            "session.keywords-honoured",
            greeting.test_commands_of_listed_extensions,
        ),
        (
            Way.LISTS_WHAT_IT_HAS_NOT,
            "session.keywords-honoured",
            greeting.test_parameters_of_listed_extensions,
        ),
        (
            Way.LISTS_WHAT_IT_HAS_NOT,
            "session.keywords-honoured",
            greeting.test_parameters_of_rcpt_of_listed_extensions,
        ),
        (
            Way.LISTS_NO_KEYWORD,
            "session.ehlo-first-line",
            greeting.test_each_line_of_the_reply_to_ehlo,
        ),
    ],
)
def test_what_is_listed_under_tls_only_is_looked_at_there(
    tmp_path: Path, certified: ssl.SSLContext, way: Way, rule: str, scenario: Scenario, covered: bool
) -> None:
    with judged(tmp_path, {way}, tls=certified) as run:
        vote = said(run, rule, scenario, covered=covered)
    assert (vote.status is Status.FAILED) is covered, vote.reason


@pytest.mark.parametrize(
    ("rule", "scenario", "given"),
    [
        ("session.keywords-honoured", greeting.test_commands_of_listed_extensions, {"covered": True}),
        ("session.ehlo-first-line", greeting.test_each_line_of_the_reply_to_ehlo, {"covered": True}),
        ("session.half-message", order.test_a_message_whose_end_never_came_under_tls, {}),
    ],
)
@pytest.mark.parametrize("from_the_start", [False, True], ids=["STARTTLS", "from the start"])
def test_who_greets_once_is_greeted_once_under_tls(
    tmp_path: Path,
    certified: ssl.SSLContext,
    rule: str,
    scenario: Scenario,
    given: Given,
    from_the_start: bool,
) -> None:
    def behind(server: RfcServer) -> Step:
        return UnderTls(certified, server) if from_the_start else server

    tls = None if from_the_start else certified
    with judged(tmp_path, {Way.GREETS_ONCE, Way.TAKES_LOGINS}, behind=behind, tls=tls) as run:
        first = replace(run.endpoints.first, tls_name="mx.example.org" if from_the_start else "")
        run = replace(run, endpoints=replace(run.endpoints, first=first))
        vote = said(run, rule, scenario, **given)
    assert vote.status is Status.PASSED, vote.reason


@pytest.mark.parametrize(
    ("way", "literal", "status"),
    [
        (Way.FORWARDS, "", Status.PASSED),
        (Way.REFUSES_LITERALS, "", Status.INCONCLUSIVE),
        (Way.REFUSES_LITERALS, FOREIGN, Status.INCONCLUSIVE),
        (Way.REFUSES_LITERALS_WITHOUT_A_REASON, "", Status.FAILED),
        (Way.REFUSES_LITERALS_WITHOUT_A_REASON, FOREIGN, Status.INCONCLUSIVE),
        (Way.MISREADS_LITERALS, "", Status.FAILED),
        (Way.MISREADS_LITERALS, FOREIGN, Status.FAILED),
    ],
)
def test_a_literal_is_refused_for_its_syntax_only_where_that_is_told(
    tmp_path: Path, way: Way, literal: str, status: Status
) -> None:
    scenario = greeting.test_an_address_literal_is_no_syntax_error
    with judged(tmp_path, {way}) as run:
        vote = said(run, "session.ehlo-literal", scenario, literal=literal)
    assert vote.status is status, vote.reason


@pytest.mark.parametrize(
    ("scenario", "argument", "status"),
    [
        (order.test_mail_without_a_path, order.NOT_CLOSED, Status.NOT_APPLICABLE),
        (order.test_mail_without_a_path, f" FROM{order.WITH_MORE}", Status.NOT_APPLICABLE),
        (
            order.test_mail_without_a_path_begins_no_transaction,
            order.NOT_CLOSED,
            Status.NOT_APPLICABLE,
        ),
        (order.test_rcpt_without_a_path, f" TO{order.WITH_MORE}", Status.NOT_APPLICABLE),
        (
            order.test_rcpt_without_a_path_adds_no_recipient,
            f" TO{order.WITH_MORE}",
            Status.NOT_APPLICABLE,
        ),
        (
            order.test_rcpt_without_a_path_drops_no_recipient,
            f" TO{order.WITH_MORE}",
            Status.NOT_APPLICABLE,
        ),
        (order.test_rcpt_without_a_path, " TO:", Status.PASSED),
        (order.test_rcpt_without_a_path, " TO:<>", Status.FAILED),
    ],
)
def test_what_is_a_path_is_as_the_server_reads_it_but_not_where_there_is_none(
    tmp_path: Path, scenario: Scenario, argument: str, status: Status
) -> None:
    ways = {Way.READS_PATHS_OUT_OF_ANYTHING, *([Way.TAKES_NOBODY] if status is Status.FAILED else [])}
    with judged(tmp_path, ways) as run:
        vote = said(run, "session.bad-argument-keeps-state", scenario, argument=argument)
    assert vote.status is status, vote.reason


def test_a_recipient_who_is_refused_the_second_time_shows_nothing_of_the_sender(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.TAKES_ONE_RECIPIENT}) as run:
        vote = said(run, "session.rset", commands.test_rset_drops_the_transaction, **NO_SENDER)
    assert vote.status is Status.INCONCLUSIVE, vote.reason
    assert "the innocent twin" in vote.reason
    assert "expected 25x at rcpt, and there was 451 one at a time" in vote.reason


def test_how_long_lines_are_is_told_of_servers_whose_clients_cannot_be_chosen_too() -> None:
    rule = CATALOGUE["reply.line-512"]
    assert not rule.needs
    assert rule.level is Level.SHOULD  # RFC 5321 §4.5.3.1


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        (b"214 see https://mx.firma.pl:8443/help", False),
        (b"214 see mx.empresa.com.py:587", False),
        (b"214 submit at firma.pl:587", False),
        (b"451 4.4.1 firma.pl:587: connection refused", False),
        (b"451 4.4.1 no route to smtp://mx.firma.pl:25/", False),
        (b"500 /srv/smtpd.py:12: what?", True),
        (b"500 what? (Handler.java:12)", True),
        (b"451 runtime error: index out of range [3], smtp/conn.go:512", True),
        (b"451 panic at src/smtp.rs:12", True),
        (b"451 died at /x/Smtp.pm line 12.", True),
        (b"214 see https://mx.example/x.js and mx.example:25", False),
    ],
)
def test_the_port_of_a_host_is_no_line_of_a_file(text: bytes, shows: bool) -> None:
    assert bool(reply.telling_of_itself(text + b"\r\n")) is shows


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        (b"451 4.3.0 java.lang.NullPointerException", True),
        (b"451 4.3.0 NullPointerException", True),
        (b"451 KeyError", True),
        (b"500 Error: (BadCommandError) what?", True),
        (b"451 TypeError at Connection.cmd (/app/haraka/connection.js:412:12)", True),
        (b"451 at Connection.cmd (/app/haraka/connection.js:412:12)", True),
        (b"451 System.NullReferenceException at C:\\Mail\\Smtp.cs:line 12", True),
        (b"451 at C:\\Mail\\Smtp", True),
        (b"451 cannot reach /tmp/x.sock", True),
        (b'451 File "smtpd", line 12, in cmd', True),
        (b"451-oops\r\n451 /usr/lib/mta", True),
        (b"500 Error: what?", False),
        (b"550 5.1.1 No such user: Error", False),
        (b"451 4.3.0 an in-process error, no exception", False),
        (b"550 5.7.23 SPF PermError: more than 10 look-ups", False),
        (b"451 4.4.3 (SPF TempError)", False),
        (b"550 5.6.0 Syntax error in line 3, in the field To", False),
        (b"550 5.7.1 (see https://mx.example/usr/help/MailboxError)", False),
        (b"550 5.7.1 see https://mx.example/?to=/home/help", False),
        (b"554 the client/server program is at fault: and/or ask", False),
        (b"220 ESMTP Node.js Haraka/3.0 ASP.NET", False),
    ],
)
def test_what_anybody_may_write_shows_nothing_of_a_server(text: bytes, shows: bool) -> None:
    assert bool(reply.telling_of_itself(text + b"\r\n")) is shows


@pytest.mark.parametrize(
    ("rule", "scenario", "given"),
    [
        ("session.no-close-on-error", commands.test_one_error_does_not_end_the_connection, XYZZY),
        ("session.bad-argument-keeps-state", order.test_mail_without_a_path, {"argument": ""}),
        ("session.arguments-on-argless", commands.test_rset_with_an_argument, {}),
        ("reply.one-per-command", reply.test_a_command_has_one_reply, UNKNOWN),
    ],
)
@pytest.mark.parametrize(
    ("described", "statuses"),
    [
        ("[dialect]\nmax_errors = 1\n", {Status.NOT_APPLICABLE}),
        ("[dialect]\nmax_errors = 2\n", {Status.FAILED, Status.INCONCLUSIVE}),
        ("", {Status.FAILED, Status.INCONCLUSIVE}),
    ],
)
def test_what_follows_the_errors_that_end_a_connection_by_its_profile_is_not_to_be_seen(
    tmp_path: Path, rule: str, scenario: Scenario, given: Given, described: str, statuses: set[Status]
) -> None:
    with judged(tmp_path, {Way.ENDS_AFTER_ONE_ERROR}, described) as run:
        vote = said(run, rule, scenario, **given)
    assert vote.status in statuses, vote.reason
    assert ("1 refused command may end a connection here" in vote.reason) is ("= 1" in described)


@pytest.mark.parametrize(
    ("way", "described", "status", "why"),
    [
        (Way.SERVES_NO_MORE_AFTER_ONE_ERROR, "", Status.FAILED, "after XYZZY had 421 4.7.0 no more of that"),
        (Way.SERVES_NO_MORE_AFTER_ONE_ERROR, "max_errors = 1\n", Status.NOT_APPLICABLE, "1 refused command"),
        (Way.TAKES_ONE_COMMAND, "", Status.INCONCLUSIVE, "421 4.7.0 no more of that"),
    ],
)
def test_who_ends_the_service_at_one_error_ends_the_connection_for_it(
    tmp_path: Path, way: Way, described: str, status: Status, why: str
) -> None:
    with judged(tmp_path, {way}, f"[dialect]\n{described}") as run:
        vote = said(
            run, "session.no-close-on-error", commands.test_one_error_does_not_end_the_connection, **XYZZY
        )
    assert vote.status is status, vote.reason
    assert why in vote.reason


def test_who_limits_the_errors_of_a_client_is_not_failed_where_all_are_one(tmp_path: Path) -> None:
    rule = "session.no-close-on-error"
    with judged(tmp_path, {Way.SERVES_NO_MORE_AFTER_ONE_ERROR}) as run:
        clients = run.profile.clients.model_copy(update={"networks": (), "route": RouteName.DIRECT})
        profile = run.profile.model_copy(update={"clients": clients})
        internet = replace(run.internet, profile=profile)
        alike = replace(run, profile=profile, internet=internet, endpoints=endpoints_of(profile, internet))

        def scenario(play: Play) -> None:
            with play.raw(play.run.observer(play.world), play.offence) as talk:
                talk.comes_to(Stage.HELO)
                talk.fault("XYZZY").hears("5xx", 421)
                talk.must_go_on()
            play.expect.proven = True

        vote, _ = try_once(alike, Plan(run.catalogue[rule], frozenset(), scenario))
        apart, _ = try_once(run, Plan(run.catalogue[rule], frozenset(), scenario))
    assert vote.status is Status.INCONCLUSIVE, vote.reason
    assert apart.status is Status.FAILED, apart.reason


def test_a_server_that_goes_on_is_judged_whatever_its_profile_allows(tmp_path: Path) -> None:
    with judged(tmp_path, {Way.NOOP_DROPS}, "[dialect]\nmax_errors = 1\n") as run:
        vote = said(
            run, "session.no-close-on-error", commands.test_one_error_does_not_end_the_connection, **XYZZY
        )
        assert vote.status is Status.PASSED, vote.reason
        vote = said(run, "session.no-effect-verbs", commands.test_commands_without_effect, line="NOOP")
        assert vote.status is Status.FAILED, vote.reason


@pytest.mark.parametrize("way", [Way.REFUSES_LISTED_AT_CONNECT, Way.REFUSES_LISTED_AT_END])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        ((), Status.PASSED),
        ((Way.SAYS_WORDS_AS_THEY_CAME,), Status.FAILED),
        ((Way.HAS_WORDS_OF_ITS_OWN,), Status.NOT_APPLICABLE),
        ((Way.HAS_WORDS_OF_ITS_OWN, Way.PUTS_LISTED_OFF), Status.INCONCLUSIVE),  # for whatever reason
    ],
)
def test_who_is_listed_may_be_refused_at_any_stage(
    tmp_path: Path, way: Way, how: tuple[Way, ...], status: Status
) -> None:
    text = "a\x1b[1mb\x7f"
    with judged(tmp_path, {way, *how}) as run:
        vote = said(
            run, "reply.crlf-framed", reply.test_lines_of_a_refusal_with_the_words_of_a_list, text=text
        )
    assert vote.status is status, vote.reason


@pytest.mark.parametrize(
    ("rule", "scenario", "given", "why"),
    [
        ("session.helo-plain", greeting.test_helo_lists_nothing, {}, ASKS_FOR_TLS),
        ("session.before-ehlo", commands.test_commands_that_need_no_greeting, RSET_AT_ONCE, ASKS_FOR_TLS),
        ("session.unknown-command", commands.test_a_command_that_nobody_knows, {}, ASKS_FOR_TLS),
        ("session.vrfy-implemented", commands.test_vrfy_is_known, {}, ASKS_FOR_TLS),
        (
            "session.verb-case",
            commands.test_letters_of_either_case,
            MAIL_IN_ODD_CASE,
            "what innocent clients",
        ),
        ("session.refused-ehlo-keeps-state", greeting.test_a_refused_greeting_is_none, {}, "expected 250"),
    ],
)
def test_a_server_that_wants_tls_before_anything_is_not_judged_without(
    tmp_path: Path, rule: str, scenario: Scenario, given: Given, why: str
) -> None:
    with judged(tmp_path, {Way.WANTS_TLS}) as run:
        vote = said(replace(run, baseline=look(run)), rule, scenario, **given)
    assert vote.status is Status.INCONCLUSIVE, vote.reason
    assert why in vote.reason
