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

AT_ONCE = 8
ACCEPT, HELD = Answer("accept"), Answer("accept", held=True)
MARK, HELD_MARK = Answer("accept", marked=True), Answer("accept", held=True, marked=True)
DEFER, REFUSE, CLOSE = Answer("defer"), Answer("refuse"), Answer("close")
HELD_REFUSE = Answer("refuse", held=True)
RULES = (
    "connect.rdns-confirmed",
    "connect.rdns-missing",
    "connect.rdns-temperror",
    "mail.delay-repeated",
    "rcpt.delay-repeated",
    "helo.not-fqdn",
    "helo.plain-ip",
    "helo.plain-ip-sticky",
    "helo.own-domain",
    "helo.own-host",
    "helo.own-primary",
    "helo.forward-match",
    "helo.no-aaaa-stall",
    "bounce.legal",
    "bounce.postmaster-legal",
    "dnsbl.*",
    "greylist.first-defer",
    "greylist.host-whitelist",
    "greylist.relay-exempt",
    "greylist.early-retry",
    "greylist.retry-accept",
    "greylist.whitelisted",
    "greylist.other-triplet",
    "greylist.case",
    "greylist.daemon-down",
    "greylist.null-*",
    "greylist.postmaster-at-rcpt",
    "greylist.after-other-checks",
    "delay.no-early-reject",
    "rcpt.illegal-chars",
    "rcpt.leading-dot",
    "rcpt.relay-trusted",
    "rcpt.too-many",
    "bounce.bogus",
    "auth.unknown-user",
    "delivery.alias*",
    "delivery.catch-all",
    "delivery.mbox",
    "delivery.per-domain",
    "delivery.trace-headers",
)


@dataclass(frozen=True)
class Server:
    """One of them, and the defect that it has, if any."""

    drawn: Draw
    mutant: str = ""


UNDELAYED = Draw(
    delay=0.0,
    unverified_host=ACCEPT,
    failed_lookup=ACCEPT,
    unqualified_greeting=ACCEPT,
    bare_address_greeting=REFUSE,
    address_literal_greeting=ACCEPT,
    own_name_greeting=REFUSE,
    own_host_greeting=ACCEPT,
    unconfirmed_greeting=ACCEPT,
    borrowed_greeting=ACCEPT,
    no_greeting=REFUSE,
    relaying=REFUSE,
    listed=MARK,
    listed_enough=REFUSE,
)
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
    "a server that is called www": Server(Draw(hostname="www.castle.example")),
    "a list that fails counts, and shows as a mark only": Server(
        Draw(threshold=3, lists=2, zones="one each", listed=MARK),
        "dnsbl.fail-open:off",
    ),
    "a list that fails counts, and shows as lateness only": Server(
        Draw(threshold=3, lists=2, zones="one each", mailbox="none"), "dnsbl.fail-open:off"
    ),
    "a list that fails is one too many beside two others": Server(
        Draw(threshold=3, zones="one each", mailbox="none", listed=MARK, listed_enough=REFUSE),
        "dnsbl.fail-open:off",
    ),
    "each zone of a group counts, which takes another list to be enough": Server(
        Draw(threshold=3, lists=2, zones="two each"), "dnsbl.group-counts-once:off"
    ),
    "a server that delays nobody waits for an answer that it does not need": Server(
        UNDELAYED, "helo.no-aaaa-stall:weak-stall"
    ),
    "localhost has no dot either, and earns the same for both": Server(
        Draw(own_name_greeting=REFUSE, unqualified_greeting=REFUSE)
    ),
    "localhost is not among its own names": Server(
        Draw(unqualified_greeting=HELD), "helo.own-primary:weak-localhost"
    ),
    "a list whose further answers do not count": Server(
        Draw(answers="a network"), "dnsbl.one:weak-first-answer"
    ),
    "a list that is enough by itself, and whose further answers do not count": Server(
        Draw(answers="a network", weights="the last three", lists=4, zones="two each"),
        "dnsbl.one:weak-first-answer",
    ),
    "one list more is asked than it takes, where the first is enough": Server(
        Draw(weights="the first two"), "dnsbl.threshold-stops:weak-one-more"
    ),
    "everybody's mail is marked": Server(Draw(bare_address_greeting=MARK), "dnsbl.none:off"),
    "everybody's mail is marked, and for no list": Server(
        Draw(borrowed_greeting=MARK), "helo.forward-match:off"
    ),
    "who should be marked is refused where the delay comes again": Server(
        Draw(failed_lookup=HELD_MARK), "rcpt.delay-repeated:strict-deny"
    ),
    "who should be marked is refused by a rule that rests on his": Server(
        Draw(unqualified_greeting=HELD_MARK), "mail.delay-repeated:strict-deny"
    ),
    "who should be marked is refused by the greylist": Server(
        Draw(failed_lookup=HELD_MARK), "greylist.first-defer:strict-deny"
    ),
    "everybody is refused by the greylist, where others are refused for want of a name": Server(
        Draw(told="rcpt", greylist_hosts=False, unverified_host=CLOSE), "greylist.first-defer:strict-deny"
    ),
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
    "a greylist that knows clients, whoever writes to whom": Server(Draw(greylist_parts=("client",))),
    "a greylist by the domains of senders, asked at the end": Server(
        Draw(greylist="data", greylist_hosts=False, greylist_parts=("client", "sender domain"))
    ),
    "any sender will do, where the domain of one should be the same": Server(
        Draw(greylist_parts=("client", "sender domain", "recipient")), "greylist.other-triplet:weak-no-sender"
    ),
    "a lifetime that is a fifth too short, where clients are known whoever writes to whom": Server(
        Draw(greylist_parts=("client",)), "greylist.whitelisted:strict-lifetime"
    ),
    "an mbox in which messages are not told apart": Server(Draw(mailbox="mbox"), "delivery.mbox:off"),
    "no retry is taken, and who loses an exemption by an offence is put off": Server(
        Draw(greylist="data", told="rcpt", repeated="rcpt"), "greylist.retry-accept:off"
    ),
    "nobody gets what is for the rest of a domain, which no user is known of": Server(
        Draw(rest="all have a *", users=2), "delivery.catch-all:off"
    ),
    "a user's own mail comes to whoever gets the rest, beside what is for him": Server(
        Draw(rest="all have a *", users=2), "delivery.catch-all:strict-users"
    ),
    "a user's own mail comes to whoever gets the rest, and it was the twin of mail for an alias": Server(
        Draw(rest="all have a *", aliases="of many"), "delivery.catch-all:strict-users"
    ),
    "a user's own mail comes to whoever gets the rest, also where his alias is another's elsewhere": Server(
        Draw(rest="all have a *", domains=2, users=3), "delivery.catch-all:strict-users"
    ),
    "who comes again with a bare address is refused at once, for what he did before": Server(
        Draw(told="data", greylist_hosts=False, delay=1.0), "helo.plain-ip-sticky:strict-address"
    ),
    "bounces to postmaster are refused, who gets all the bounces that there are": Server(
        Draw(told="data", sending="postmaster", domains=1, users=1), "bounce.postmaster-legal:off"
    ),
    "nobody gets what is for the rest of a domain, and postmaster is among them": Server(
        Draw(rest="the last has a *", domains=1, users=2, postmaster=False), "delivery.catch-all:off"
    ),
    "everybody's greeting is refused, where those without a name are marked": Server(
        Draw(unverified_host=MARK, unconfirmed_greeting=REFUSE), "helo.forward-match:off"
    ),
    "every refusal is held back, for longer than the delay": Server(
        Draw(refusals_take=0.7, bare_address_greeting=REFUSE, unqualified_greeting=HELD_REFUSE)
    ),
    "who should be refused is not, where every refusal is held back": Server(
        Draw(refusals_take=0.7, bare_address_greeting=REFUSE), "helo.plain-ip:off"
    ),
    "who should wait before he is refused waits as all who are refused do": Server(
        Draw(refusals_take=0.7, delay=1.0, bare_address_greeting=HELD_REFUSE), "helo.plain-ip:weak-prompt"
    ),
    "who should be marked is refused where all refusals are told, by a rule that rests on his": Server(
        Draw(told="data"), "mail.delay-repeated:strict-deny"
    ),
    "everybody's greeting is held back, where those whose look-up fails are marked": Server(
        Draw(failed_lookup=MARK, told="data"), "helo.forward-match:off"
    ),
    "who greeted with a bare address is put off at RCPT, in the words of the greylist": Server(
        Draw(told="rcpt", bare_address_greeting=DEFER)
    ),
    "who was delayed is hung up on, where his mark is told later": Server(
        Draw(unqualified_greeting=HELD_MARK), "delay.no-early-reject:off"
    ),
    "who was delayed at the connection is refused at MAIL, where all is told that was earned before": Server(
        Draw(told="mail", delay=1.0, unqualified_greeting=ACCEPT), "mail.delay-repeated:strict-deny"
    ),
    "who was delayed at the greeting is refused at RCPT, where all is told that was earned before": Server(
        Draw(told="rcpt", delay=1.0, unverified_host=REFUSE), "rcpt.delay-repeated:strict-deny"
    ),
    "who was delayed at the greeting is refused where all is told, and no delay is to come again": Server(
        Draw(told="data", delay=1.0, repeated="neither", unverified_host=REFUSE),
        "mail.delay-repeated:strict-deny",
    ),
    "a wait at MAIL may repeat one that nobody should have had": Server(
        Draw(told="mail", delay=1.0, failed_lookup=HELD_REFUSE), "helo.forward-match:off"
    ),
    "who was delayed is refused where all is told, beside those whose own name it is": Server(
        Draw(told="mail", unverified_host=CLOSE, unconfirmed_greeting=CLOSE, borrowed_greeting=ACCEPT),
        "helo.forward-match:off",
    ),
    "who was delayed is refused where delays come again, beside those whose own name it is": Server(
        Draw(
            told="mail",
            delay=1.0,
            unverified_host=HELD_MARK,
            unqualified_greeting=ACCEPT,
            unconfirmed_greeting=REFUSE,
            borrowed_greeting=ACCEPT,
        ),
        "helo.forward-match:off",
    ),
    "localhost is let through, and what has no dot is marked": Server(
        Draw(told="rcpt", own_name_greeting=CLOSE, unqualified_greeting=MARK),
        "helo.own-primary:weak-localhost",
    ),
    "relay hosts are known by one of their network that came again": Server(
        Draw(greylist_unit="network", greylist_parts=("client",)), "greylist.relay-exempt:off"
    ),
    "a message has as many recipients as one may have": Server(
        Draw(most_recipients=3, users=4, aliases="of many", rest="the last takes all"),
        "rcpt.too-many:strict-one-less",
    ),
    "delays come again to whoever greets by a name that is theirs": Server(
        Draw(unconfirmed_greeting=HELD_REFUSE, borrowed_greeting=ACCEPT), "helo.forward-match:off"
    ),
    "who is known is put off again, and mail for several with it": Server(
        Draw(greylist_parts=("client",), greylist_hosts=False, aliases="of many"), "greylist.whitelisted:off"
    ),
    "nobody gets what is for the rest of a domain, which is told at the end": Server(
        Draw(told="data", rest="all have a *", unknown_user=DEFER), "delivery.catch-all:off"
    ),
    "who was delayed is refused at the end, and nobody else is but those whose own name it is": Server(
        Draw(
            told="data",
            repeated="mail",
            mailbox="none",
            unverified_host=HELD_MARK,
            failed_lookup=HELD_REFUSE,
            unqualified_greeting=DEFER,
            bare_address_greeting=HELD_MARK,
            own_name_greeting=DEFER,
            own_host_greeting=CLOSE,
            unconfirmed_greeting=REFUSE,
            borrowed_greeting=ACCEPT,
        ),
        "helo.forward-match:off",
    ),
    "no list was asked, and there is no mark": Server(Draw(listed=MARK), "dnsbl.one:weak-ipv4-only"),
    "known clients are put off before lists are asked about them": Server(
        Draw(greylist_first=True), "greylist.host-whitelist:off"
    ),
    "bounces of known clients are not put off": Server(Draw(), "greylist.null-at-data:weak-any"),
    "two lists read different answers of one zone": Server(Draw(zones="the first two share one")),
    "it takes three lists, and two of them read one zone": Server(
        Draw(zones="the first two share one", lists=4, threshold=3)
    ),
    "a white list is asked last": Server(Draw(white="last", zones="the first two share one")),
    "it should take three lists, and takes four": Server(
        Draw(lists=4, threshold=3, asks="at once"), "dnsbl.two:weak-one-more"
    ),
    "it should take three lists, and takes two": Server(
        Draw(lists=4, threshold=3, asks="at once"), "dnsbl.one:strict-one-less"
    ),
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
