"""Which defects show in a drawn server: those that make a difference there, and no others."""

import dataclasses
import fnmatch
from pathlib import Path

import pytest

from harness.reference_mta.defects import MUTANTS
from harness.rules import Catalogue
from harness.truth.defects import showing
from harness.truth.draw import Answer, Draw

DEFER, REFUSE, CLOSE = Answer("defer"), Answer("refuse"), Answer("close")
MARK, HELD_MARK = Answer("accept", marked=True), Answer("accept", held=True, marked=True)
ACCEPT = Answer("accept")
ONE_IS_DELAYED = Draw(
    failed_lookup=ACCEPT,
    unqualified_greeting=ACCEPT,
    bare_address_greeting=ACCEPT,
    address_literal_greeting=ACCEPT,
    own_name_greeting=ACCEPT,
    own_host_greeting=ACCEPT,
    unconfirmed_greeting=ACCEPT,
    borrowed_greeting=ACCEPT,
)


def names(drawn: Draw) -> set[str]:
    return {mutant.name for mutant in showing(drawn)}


@pytest.mark.parametrize(
    ("drawn", "name"),
    [
        (Draw(bare_address_greeting=DEFER), "helo.plain-ip:weak-4xx"),
        (Draw(bare_address_greeting=REFUSE), "helo.plain-ip:weak-short"),
        (Draw(unqualified_greeting=REFUSE), "helo.not-fqdn:weak-short"),
        (Draw(own_name_greeting=Answer("accept")), "helo.own-domain:off"),
        (Draw(bounce=CLOSE), "bounce.bogus:strict-drop"),
        (Draw(broken_header=Answer("accept")), "data.header-syntax:weak-no-From"),
        (Draw(no_greeting=Answer("accept")), "tls.state-reset:off"),
        (Draw(bare_address_greeting=Answer("accept")), "helo.plain-ip-sticky:weak-4xx"),
        (Draw(bounce=Answer("accept")), "bounce.postmaster-sender:strict-late"),
        (Draw(bounce=Answer("accept")), "bounce.tag-in-front:weak-4xx"),
        (Draw(unqualified_greeting=MARK, mailbox="none"), "helo.own-primary:weak-localhost"),
        (Draw(told="rcpt", repeated="neither"), "mail.delay-repeated:strict-deny"),
        (Draw(told="data", repeated="neither"), "rcpt.delay-repeated:strict-deny"),
        (dataclasses.replace(ONE_IS_DELAYED, told="rcpt"), "rcpt.delay-repeated:strict-deny"),
        (
            dataclasses.replace(ONE_IS_DELAYED, told="rcpt", failed_lookup=HELD_MARK, mailbox="none"),
            "rcpt.delay-repeated:strict-deny",
        ),
        (dataclasses.replace(ONE_IS_DELAYED, told="data"), "mail.delay-repeated:strict-deny"),
        (Draw(listed_enough=MARK, mailbox="none"), "dnsbl.threshold-stops:weak-one-more"),
        (Draw(lists=1, zones="two each", threshold=3), "dnsbl.group-counts-once:off"),
        (Draw(listed_enough=MARK), "dnsbl.one:strict-adds-up"),
        (Draw(users=1, domains=1), "dnsbl.one:strict-adds-up"),
        (Draw(senders="none"), "dnsbl.two:weak-no-bounces"),
        (
            Draw(senders="none", bounce_without_list=Answer("accept", held=True)),
            "greylist.null-at-data:off",
        ),
        (Draw(greylist_hosts=False), "greylist.first-defer:weak-greeting"),
        (Draw(borrowed_greeting=REFUSE), "greylist.first-defer:weak-greeting"),
        (Draw(greylist_hosts=False), "greylist.first-defer:weak-unconfirmed"),
        (Draw(unverified_host=DEFER), "greylist.first-defer:weak-unconfirmed"),
        (
            Draw(senders="none", bounce_without_list=Answer("accept", held=True)),
            "greylist.relay-exempt:weak-bounces",
        ),
        (Draw(account="bound"), "greylist.authenticated-exempt:weak-bounces"),
    ],
)
def test_a_defect_that_does_what_the_server_does_anyway_is_none(drawn: Draw, name: str) -> None:
    assert name in names(Draw())
    assert name not in names(drawn)


@pytest.mark.parametrize(
    ("drawn", "rules"),
    [
        (Draw(lists=0), "dnsbl.*"),
        (Draw(lists=1), "dnsbl.two"),
        (Draw(greylist="none"), "greylist.*"),
        (Draw(account="none"), "auth.plain-*"),
        (Draw(trusted=False), "rcpt.relay-trusted"),
        (Draw(senders="none"), "bounce.legal"),
        (Draw(rest="none"), "rcpt.illegal-chars"),
        (Draw(rest="all take all"), "rcpt.unknown-user"),
        (Draw(mailbox="none"), "delivery.alias"),
        (Draw(bare_address_greeting=CLOSE), "helo.plain-ip-sticky"),
        (dataclasses.replace(ONE_IS_DELAYED, unverified_host=REFUSE), "mail.delay-repeated"),
    ],
)
def test_a_rule_that_cannot_be_told_of_a_server_has_no_defects_there(drawn: Draw, rules: str) -> None:
    def broken(drawn: Draw) -> set[str]:
        return {mutant.rule for mutant in showing(drawn) if fnmatch.fnmatchcase(mutant.rule, rules)}

    assert broken(Draw())
    assert not broken(drawn)


def test_another_code_shows_where_codes_are_documented() -> None:
    drawn = Draw(own_name_greeting=DEFER)
    assert drawn.refusal("own_name_greeting") is None
    precise = dataclasses.replace(drawn, codes="code")
    refusal = precise.refusal("own_name_greeting")
    assert refusal
    assert refusal.code != 450
    assert "helo.own-domain:weak-4xx" not in names(drawn)
    assert "helo.own-domain:weak-4xx" in names(precise)


def test_a_mark_shows_only_in_mail_that_can_be_read() -> None:
    marked = Draw(unqualified_greeting=Answer("accept", marked=True))
    assert "helo.not-fqdn:off" in names(marked)
    assert "helo.not-fqdn:off" not in names(dataclasses.replace(marked, mailbox="none"))


def test_nearly_all_defects_of_the_rules_show_in_some_server() -> None:
    servers = (
        Draw(),
        Draw(greylist_code=450),
        Draw(answers="a network"),
        Draw(mailbox="mbox", aliases="of many", sending="each another"),
        Draw(rest="all take all"),
    )
    shown = set().union(*map(names, servers))
    rules = Catalogue.below(Path("scenarios")).rules
    tried = {mutant.name for mutant in MUTANTS if rules[mutant.rule].group.drawn}
    assert {name.partition(":")[0] for name in tried - shown} == {
        "absent.sender-callout",  # seen by a mail host that is called
        "absent.recipient-callout",
        "absent.size-limit",  # takes a message of 40 MB
        "absent.size-exempts-spam-check",  # not described
        "data.spam-classified",
        "delivery.alias-many",
    }


def test_what_is_so_anyway_is_no_defect() -> None:
    server = Draw(relaying=Answer("defer"))  # promptly, whatever a document has
    assert "rcpt.relay-denied:weak-prompt" not in {mutant.name for mutant in showing(server)}
    assert "rcpt.relay-denied:weak-prompt" in {mutant.name for mutant in showing(Draw())}
