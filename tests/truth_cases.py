"""Servers about which something false was once said, each as small as it can be.

Run as a program it tries them all, since trials are forked from a process of their own, and prints what is
wrong.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from harness.rules import Catalogue
from harness.truth.draw import Answer, Draw
from harness.truth.pool import Order, prepared
from harness.truth.proof import Proof
from harness.truth.trial import Bench

AT_ONCE = 4
ACCEPT, HELD = Answer("accept"), Answer("accept", held=True)
MARK, HELD_MARK = Answer("accept", marked=True), Answer("accept", held=True, marked=True)
DEFER, REFUSE, CLOSE = Answer("defer"), Answer("refuse"), Answer("close")
RULES = (
    "connect.rdns-confirmed",
    "connect.rdns-temperror",
    "helo.plain-ip",
    "helo.plain-ip-sticky",
    "helo.own-domain",
    "bounce.legal",
    "dnsbl.*",
    "greylist.first-defer",
    "greylist.early-retry",
    "greylist.retry-accept",
    "greylist.whitelisted",
    "greylist.daemon-down",
    "greylist.null-*",
    "greylist.postmaster-at-rcpt",
    "greylist.after-other-checks",
    "delay.no-early-reject",
    "auth.unknown-user",
)


@dataclass(frozen=True)
class Server:
    """One of them, and the defect that it has, if any."""

    drawn: Draw
    mutant: str = ""


FOUND = {
    "DNS that does not answer is no delay": Server(Draw(failed_lookup=REFUSE, delay=1.0)),
    "a delay that comes again behind DNS that does not answer": Server(
        Draw(failed_lookup=Answer("close", held=True), told="rcpt")
    ),
    "a list that is enough alone": Server(Draw(weights="twos", listed=MARK, listed_enough=REFUSE)),
    "everybody is greylisted, in dialogues by hand as well": Server(
        Draw(told="rcpt", greylist_hosts=False, bare_address_greeting=HELD_MARK)
    ),
    "a wrong password is put off": Server(Draw(wrong_password=DEFER)),
    "a mark in place of a refusal that names lists": Server(Draw(listed_enough=HELD_MARK)),
    "the first two lists are enough together": Server(
        Draw(weights="the first two", listed=MARK, listed_enough=CLOSE)
    ),
    "a white list and no other": Server(Draw(lists=0, white="first")),
    "whoever greets with an address is hung up on": Server(Draw(bare_address_greeting=CLOSE)),
    "no list of senders, and no bounce is taken": Server(Draw(senders="none")),
    "no list of senders, and bounces are delayed": Server(Draw(senders="none", bounce_without_list=HELD)),
    "bounces are put off at the end of DATA": Server(Draw(greylist="data", greylist_hosts=False)),
    "the greylist is asked first": Server(Draw(greylist_first=True, listed_enough=REFUSE)),
    "a delay that does not come again": Server(Draw(repeated="mail")),
    "a delay at the greeting where refusals are told later": Server(
        Draw(told="data"), "connect.rdns-confirmed:off"
    ),
    "a rule that hits its own innocent twins": Server(
        Draw(own_name_greeting=CLOSE), "helo.own-domain:strict-prefix"
    ),
    "a host that is refused on its next connection, later": Server(
        Draw(told="data", bare_address_greeting=REFUSE), "helo.plain-ip-sticky:strict-address"
    ),
    "lists that are not asked about IPv6": Server(Draw(listed=CLOSE), "dnsbl.one:weak-ipv4-only"),
    "everybody's mail is marked": Server(Draw(bare_address_greeting=MARK), "dnsbl.none:off"),
    "strangers are put off with another code": Server(
        Draw(greylist="data", greylist_hosts=False), "greylist.first-defer:weak-450"
    ),
    "strangers are not put off at first": Server(
        Draw(told="rcpt", greylist_hosts=False), "greylist.first-defer:off"
    ),
    "bounces are put off at RCPT, and strangers are no exception": Server(
        Draw(greylist_hosts=False), "greylist.null-not-at-rcpt:off"
    ),
    "a delay that is a fifth too short": Server(Draw(greylist="data"), "greylist.early-retry:weak-hasty"),
    "a time-out that is a fifth too short": Server(
        Draw(greylist_hosts=False), "greylist.retry-accept:strict-early-timeout"
    ),
    "a lifetime that is a fifth too short": Server(
        Draw(greylist_unit="network"), "greylist.whitelisted:strict-lifetime"
    ),
    "a greylist that works on while it should not": Server(
        Draw(greylist_lost="defer"), "greylist.daemon-down:weak-unnoticed"
    ),
    "a greylist by networks": Server(Draw(greylist_unit="network", greylist_hosts=False)),
    "bounces of known clients are not put off": Server(Draw(), "greylist.null-at-data:weak-any"),
}


def main() -> None:
    """Try them and print, by name, what is wrong."""
    scenarios = Path("scenarios")
    proof = Proof(prepared(Bench(scenarios, Catalogue.below(scenarios), RULES), AT_ONCE))
    orders = [Order(name, one.drawn, (one.mutant,) if one.mutant else ()) for name, one in FOUND.items()]
    said = {judged.order.key: [str(wrong) for wrong in judged.wrong] for judged in proof.judged(orders)}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
