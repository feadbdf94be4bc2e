"""Mutants of the rules at connect, HELO and MAIL."""

import asyncio
from dataclasses import replace

from harness.reference_mta import reached
from harness.reference_mta.defects.kinds import (
    Mutant,
    claiming,
    clear_only,
    delays,
    first_mail_only,
    joined,
    late_refusals,
    off,
    owed_by_half,
    replaced,
    resorted,
    sparing,
    treated,
)
from harness.reference_mta.defects.parts import Part, always, exchanged
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import Classify, Question
from harness.reference_mta.policy.connect import Names
from harness.reference_mta.policy.helo import MOST_ADDRESSES
from harness.reference_mta.policy.transaction import Transaction
from harness.reference_mta.resolver import Answer, Lookup

SOON = 0.2  # seconds


def _last_name(sound: Part) -> Part:
    async def names(transaction: Transaction) -> Names:
        lookup, found = await sound(transaction)
        return lookup, found[-1:]

    return names


def _names_soon(sound: Part) -> Part:
    """The names, or `TimeoutError`."""

    async def names(transaction: Transaction) -> Names:
        found: Names = await asyncio.wait_for(sound(transaction), SOON)
        return found

    return names


def _verified_without_an_answer(sound: Classify) -> Classify:
    async def classify(transaction: Transaction) -> str | None:
        try:
            return await sound(transaction)
        except TimeoutError:
            return "connect.rdns-confirmed"

    return classify


def _name(transaction: Transaction) -> str:
    return transaction.greeting.lower()


def _own_domains(transaction: Transaction) -> list[str]:
    return [domain.name.lower() for domain in transaction.config.domain]


def _begins_with_digits(transaction: Transaction) -> bool:
    label = _name(transaction).partition(".")[0]
    return label[:1].isdigit() and "-" in label


def _begins_with_own_domain(transaction: Transaction) -> bool:
    return any(_name(transaction).startswith(f"{own}.") for own in _own_domains(transaction))


async def _only_by_reversal(transaction: Transaction, found: str | None) -> str | None:
    if found != "helo.forward-match":
        return found
    _, names = await transaction.names_of(transaction.client)
    given_back = _name(transaction) in [name.lower() for name in names]
    return "helo.reverse-match" if given_back else "helo.dns-mismatch"


CONFIRMED = ("helo.forward-match", "helo.reverse-match")
UNCONFIRMED = ("helo.dns-mismatch", "helo.own-host")  # names that DNS was asked about in vain


async def _by_any_address(transaction: Transaction, found: str | None) -> str | None:
    return "helo.reverse-match" if await _addresses(transaction) else found


async def _by_any_ptr(transaction: Transaction, found: str | None) -> str | None:
    addresses = await _addresses(transaction)
    reversals = await asyncio.gather(*(transaction.names_of(address) for address in addresses))
    return "helo.reverse-match" if any(names for _, names in reversals) else found


async def _only_with_the_other_family(transaction: Transaction, found: str | None) -> str | None:
    answer = await _ask_for_the_other_family(transaction)
    if answer.lookup is not Lookup.FAILED:
        return found
    ours = any(_name(transaction).endswith(f".{domain}") for domain in _own_domains(transaction))
    return "helo.own-host" if ours else "helo.dns-mismatch"


async def _after_the_other_family(transaction: Transaction, found: str | None) -> str | None:
    for _ in range(2):
        await _ask_for_the_other_family(transaction)
    return found


async def _ask_for_the_other_family(transaction: Transaction) -> Answer:
    other = "AAAA" if transaction.address_type == "A" else "A"
    return await transaction.resolver.ask(_name(transaction).rstrip("."), other)


async def _addresses(transaction: Transaction) -> tuple[str, ...]:
    _, addresses = await transaction.addresses(_name(transaction).rstrip("."))
    return addresses[:MOST_ADDRESSES]


async def _once(transaction: Transaction, found: str | None) -> str | None:
    transaction.greeted_plainly = False
    return found


def _sticking_to_the_address() -> Mutant:
    rule, plain = "helo.plain-ip-sticky", "helo.plain-ip"

    def remembering(policy: Policy) -> Policy:
        spoilt: set[str] = set()  # addresses, of all connections of a server

        def change(question: Question) -> Question:
            async def classify(transaction: Transaction) -> str | None:
                found = await question.classify(transaction)
                if found == plain:
                    spoilt.add(transaction.client)
                return rule if rule in question.checks and transaction.client in spoilt else found

            return replace(question, classify=classify) if {rule, plain} & {*question.checks} else question

        return policy.with_questions(change)

    return Mutant(
        rule,
        "strict-address",
        "the same host with a good greeting on a new connection is refused as well",
        remembering,
        parts=(reached.answer(plain),),
    )


CONNECT = (
    off("connect.rdns-confirmed", "a host with a verified name is delayed"),
    exchanged(
        "connect.rdns-confirmed",
        "weak-one-address",
        "one address of the name is compared, the last",
        "hosts.is_one_of",
        lambda sound: lambda client, addresses: sound(client, addresses[-1:]),
    ),
    exchanged(
        "connect.rdns-confirmed",
        "weak-one-name",
        "one PTR name is followed, the last",
        "hosts.names",
        _last_name,
        lambda found, _: len(found[1]) > 1,
    ),
    *delays("connect.rdns-missing", "a host without a name is not delayed", may_refuse=False),
    sparing(
        "connect.rdns-missing",
        "ipv4-only",
        "a host on IPv6 needs no name",
        lambda transaction: ":" in transaction.client,
    ),
    *delays("connect.rdns-temperror", "a failed lookup of the name is let pass", may_refuse=False),
    joined(
        exchanged(
            "connect.rdns-temperror",
            "weak-unanswered",
            "whose name is not told soon is greeted at once",
            "hosts.names",
            _names_soon,
            always,
        ),
        replaced("connect.rdns-temperror", "weak-unanswered", "", _verified_without_an_answer),
    ),
    *delays("connect.rdns-unresolvable", "a name without an address is let pass", may_refuse=False),
    *delays("connect.rdns-mismatch", "a name with other addresses is let pass", may_refuse=False),
)

PLAIN_IP = (
    *late_refusals("helo.plain-ip", "a bare address is taken"),
    claiming(
        "helo.plain-ip",
        "digits",
        "a host that greets with a name of its own such as 2-mx.example.net is taken for an address",
        _begins_with_digits,
    ),
    sparing(
        "helo.plain-ip",
        "own-only",
        "only the client's own address is noticed",
        lambda transaction: _name(transaction) != transaction.client,
        "helo.forward-match",
    ),
    off("helo.plain-ip-sticky", "a second greeting is taken as if nothing had been"),
    resorted(
        "helo.plain-ip-sticky",
        "weak-once",
        "the next greeting is refused, the one after it taken",
        _once,
        of=("helo.plain-ip-sticky",),
    ),
    treated(
        "helo.plain-ip-sticky",
        "weak-4xx",
        "later greetings are refused for the moment only",
        lambda check: check.then.temporary(),
    ),
    _sticking_to_the_address(),
)

OWN_NAMES = (
    *late_refusals("helo.own-domain", "a stranger may greet as one of the server's domains"),
    sparing(
        "helo.own-domain",
        "case",
        "the domain is compared with regard to letter case",
        lambda transaction: transaction.greeting not in _own_domains(transaction),
        "helo.forward-match",
    ),
    sparing(
        "helo.own-domain",
        "first-only",
        "only the first of the server's domains is known",
        lambda transaction: _name(transaction) != _own_domains(transaction)[0],
        "helo.forward-match",
    ),
    claiming(
        "helo.own-domain",
        "prefix",
        "a host that greets with a name of its own, beginning with a domain of the server, is refused",
        _begins_with_own_domain,
    ),
    *delays("helo.own-host", "a host name in one of the server's domains is not delayed"),
    *late_refusals("helo.own-primary", "a stranger may greet as the server itself"),
    sparing(
        "helo.own-primary",
        "case",
        "the server's name is compared with regard to letter case",
        lambda transaction: transaction.greeting != transaction.greeting.lower(),
        "helo.forward-match",
    ),
    sparing(
        "helo.own-primary",
        "localhost",
        "localhost is not among the local domains",
        lambda transaction: _name(transaction) == "localhost",
        "helo.forward-match",
    ),
)

HELO = (
    sparing(
        "helo.ip-literal",
        "ipv4-only",
        "a literal of an IPv6 address is taken for a name",
        lambda transaction: ":" in transaction.greeting,
        "helo.forward-match",
    ),
    sparing(
        "helo.plain-ip",
        "ipv4-only",
        "a bare IPv6 address is taken for a name",
        lambda transaction: ":" in transaction.greeting,
        "helo.forward-match",
    ),
    *delays("helo.not-fqdn", "an unqualified name is not delayed"),
    clear_only("helo.not-fqdn"),
    *PLAIN_IP,
    *delays("helo.ip-literal", "an address literal is not delayed"),
    *OWN_NAMES,
    resorted(
        "helo.forward-match",
        "off",
        "a name that resolves to the client is delayed unless the client's PTR gives it back",
        _only_by_reversal,
    ),
    off("helo.reverse-match", "a name that is consistent in itself is delayed"),
    *delays("helo.dns-mismatch", "a name that DNS does not confirm is not delayed"),
    sparing(
        "helo.dns-mismatch",
        "ipv4-only",
        "names of clients on IPv6 are not looked up",
        lambda transaction: ":" in transaction.client,
        "helo.forward-match",
    ),
    resorted(
        "helo.dns-mismatch",
        "weak-any-address",
        "a name passes that has an address, whosever it is",
        _by_any_address,
        of=UNCONFIRMED,
    ),
    resorted(
        "helo.dns-mismatch",
        "weak-any-ptr",
        "a name passes whose address has a PTR, whatever it says",
        _by_any_ptr,
        of=UNCONFIRMED,
    ),
    resorted(
        "helo.no-aaaa-stall",
        "off",
        "a failing AAAA lookup spoils a name whose A record matches",
        _only_with_the_other_family,
        asked="helo.forward-match",
        of=CONFIRMED,
    ),
    resorted(
        "helo.no-aaaa-stall",
        "weak-stall",
        "a name whose A record matches waits for its AAAA as well",
        _after_the_other_family,
        asked="helo.forward-match",
        of=(*CONFIRMED, *UNCONFIRMED),
    ),
)

EITHER_VERB = (
    "helo.not-fqdn",
    "helo.plain-ip",
    "helo.ip-literal",
    "helo.own-domain",
    "helo.own-host",
    "helo.own-primary",
    "helo.dns-mismatch",
)
BY_HELO = tuple(
    sparing(
        rule,
        "ehlo-only",
        "whoever says HELO instead of EHLO is not looked at",
        lambda transaction: not transaction.extended,
        "helo.forward-match",
    )
    for rule in EITHER_VERB
)

MAIL = (
    *late_refusals("mail.no-helo", "MAIL without a greeting is taken"),
    exchanged(
        "mail.no-helo",
        "weak-refused",
        "a greeting that was refused counts as one",
        "session.take_greeting_back",
        lambda _: lambda about, before: None,
        lambda found, about, before: not before[0],
    ),
    *delays("mail.delay-repeated", "the earned delay does not come again at MAIL"),
    *owed_by_half("mail.delay-repeated"),
    first_mail_only("mail.delay-repeated"),
)

GREETING_MUTANTS: tuple[Mutant, ...] = (*CONNECT, *HELO, *BY_HELO, *MAIL)
