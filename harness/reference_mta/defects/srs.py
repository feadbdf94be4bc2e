"""Mutants of the rules about senders that are rewritten, and find their way back."""

from collections.abc import Iterable
from dataclasses import replace

from harness.reference_mta.addresses import MailAddress, split
from harness.reference_mta.config import Config
from harness.reference_mta.defects.kinds import Mutant, treated
from harness.reference_mta.defects.parts import Part, exchanged
from harness.reference_mta.mail.forwarding import Origins
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.routing import Destinations
from harness.reference_mta.mail.srs import OURS1, THEIRS, Origin, Srs, quoted, unquoted


def _without_a_sender(_: Part) -> Part:
    def forwarded(srs: Srs, sender: str, domain: str, days: int) -> str:
        rewrites = srs.config.srs.secret and not srs.config.hosted(split(sender).domain)
        return "" if rewrites else sender

    return forwarded


def _with_a_sender(sound: Part) -> Part:
    def forwarded(srs: Srs, sender: str, domain: str, days: int) -> str:
        if not sender and srs.config.srs.secret:
            return srs.parts.rewritten(srs, MailAddress("MAILER-DAEMON", domain), domain, days)
        found: str = sound(srs, sender, domain, days)
        return found

    return forwarded


def _relayed_with_another(sound: Part) -> Part:
    def senders(
        config: Config, srs: Srs, message: Message, destinations: Destinations, known: Origins
    ) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for sender, addresses in sound(config, srs, message, destinations, known).items():
            other = srs.forwarded(sender, config.domain[0].name)
            found.setdefault(other, []).extend(addresses)
        return found

    return senders


def _leads_back(recipient: str, known: Origins) -> bool:
    """Whether mail for a recipient is a bounce to a sender that was rewritten here, and nowhere before."""
    return known[recipient] != recipient and not OURS1.match(known[recipient])


def _losing_bounces(sound: Part) -> Part:
    def senders(
        config: Config, srs: Srs, message: Message, destinations: Destinations, known: Origins
    ) -> dict[str, list[str]]:
        kept = {
            address: led
            for address, led in destinations.items()
            if not any(_leads_back(each, known) for each in led)
        }
        found: dict[str, list[str]] = sound(config, srs, message, kept, known)
        return found

    return senders


def _keeping_bounces(sound: Part) -> Part:
    def origins(config: Config, srs: Srs, recipients: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for recipient in recipients:
            found |= sound(config, srs, [recipient]) if OURS1.match(recipient) else {recipient: recipient}
        return found

    return origins


def _only_over_two_hops(sound: Part) -> Part:
    def origin(srs: Srs, address: str) -> Origin | None:
        found: Origin | None = sound(srs, address)
        return found if OURS1.fullmatch(unquoted(split(address).local_part)) else None

    return origin


def _not_over_two_hops(sound: Part) -> Part:
    def origin(srs: Srs, address: str) -> Origin | None:
        found: Origin | None = sound(srs, address)
        later = OURS1.fullmatch(unquoted(split(address).local_part))
        return Origin("", "srs.bad-hash") if found and later else found

    return origin


def _whatever_the_later_hash(sound: Part) -> Part:
    def origin(srs: Srs, address: str) -> Origin | None:
        found: Origin | None = sound(srs, address)
        later = OURS1.fullmatch(unquoted(split(address).local_part))
        return replace(found, flaw="") if found and later else found

    return origin


def _always_as_the_first(_: Part) -> Part:
    def rewritten(srs: Srs, mailbox: MailAddress, domain: str, days: int) -> str:
        return f"{quoted(srs.first(mailbox, days), like=mailbox.local_part)}@{domain}"

    return rewritten


def _never_again(sound: Part) -> Part:
    def forwarded(srs: Srs, sender: str, domain: str, days: int) -> str:
        name = unquoted(split(sender).local_part)
        by_another = THEIRS.fullmatch(name) or OURS1.fullmatch(name)
        found: str = sound(srs, sender, domain, days)
        return sender if by_another else found

    return forwarded


SRS_MUTANTS: tuple[Mutant, ...] = (
    exchanged(
        "srs.forward",
        "off",
        "forwarded mail keeps its sender",
        "srs.forwarded",
        lambda _: lambda srs, sender, domain, days: sender,
    ),
    exchanged(
        "srs.forward", "weak-null", "forwarded mail gets the null sender", "srs.forwarded", _without_a_sender
    ),
    exchanged(
        "srs.forward",
        "strict-null",
        "a bounce that is forwarded gets a sender",
        "srs.forwarded",
        _with_a_sender,
    ),
    exchanged(
        "srs.forward",
        "strict-relayed",
        "mail that is only relayed gets another sender too",
        "forwarding.senders",
        _relayed_with_another,
    ),
    exchanged(
        "srs.bounce-back",
        "off",
        "a bounce to a rewritten address is refused",
        "srs.origin",
        _only_over_two_hops,
    ),
    exchanged(
        "srs.bounce-back",
        "weak-lost",
        "a bounce to a rewritten address is taken and lost",
        "forwarding.senders",
        _losing_bounces,
    ),
    exchanged(
        "srs.bounce-back",
        "weak-kept",
        "a bounce to a rewritten address is kept here",
        "forwarding.origins",
        _keeping_bounces,
    ),
    exchanged(
        "srs.second-hop",
        "off",
        "the address of another forwarder is wrapped as any sender is",
        "srs.rewritten",
        _always_as_the_first,
    ),
    exchanged(
        "srs.second-hop",
        "weak-kept",
        "the address of another forwarder stays the sender",
        "srs.forwarded",
        _never_again,
    ),
    exchanged(
        "srs.second-hop",
        "weak-one-way",
        "a bounce to the address of a second hop is refused",
        "srs.origin",
        _not_over_two_hops,
    ),
    exchanged(
        "srs.bad-hash",
        "off",
        "the hash is not looked at",
        "srs.is_same",
        lambda _: lambda given, expected: True,
    ),
    exchanged(
        "srs.bad-hash",
        "weak-beginning",
        "only the first character of the hash is compared",
        "srs.is_same",
        lambda sound: lambda given, expected: sound(given[:1], expected[:1]),
    ),
    exchanged(
        "srs.bad-hash",
        "weak-second-hop",
        "the hash of an address that leads over two forwarders is not looked at",
        "srs.origin",
        _whatever_the_later_hash,
    ),
    exchanged(
        "srs.bad-hash",
        "strict-case",
        "a hash that comes back in lower case is refused",
        "srs.is_same",
        lambda sound: lambda given, expected: given == given.upper() and sound(given, expected),
    ),
    treated("srs.bad-hash", "weak-4xx", "refused for the moment only", lambda check: check.then.temporary()),
    exchanged(
        "srs.expired",
        "off",
        "the timestamp is not looked at",
        "srs.is_expired",
        lambda _: lambda day, now, lifetime: False,
    ),
    exchanged(
        "srs.expired",
        "strict-short",
        "an address of yesterday is refused",
        "srs.is_expired",
        lambda sound: lambda day, now, lifetime: sound(day, now, 0),
    ),
    treated("srs.expired", "weak-4xx", "refused for the moment only", lambda check: check.then.temporary()),
)
