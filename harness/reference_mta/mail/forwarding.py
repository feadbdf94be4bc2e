"""What forwarding makes of an envelope: whoever forwards puts itself into the sender (see `srs.py`)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from harness.reference_mta.addresses import split
from harness.reference_mta.config import Config
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.routing import Destinations
from harness.reference_mta.mail.srs import Srs

Origins = Mapping[str, str]  # by the address that a message is for, the recipient that the envelope names


def origins(config: Config, srs: Srs, recipients: Iterable[str]) -> dict[str, str]:
    """Where mail for recipients belongs: a bounce to a sender that was rewritten here, to that sender."""
    return {_origin(config, srs, recipient): recipient for recipient in recipients}


def senders(
    config: Config, srs: Srs, message: Message, destinations: Destinations, known: Origins
) -> dict[str, list[str]]:
    """By envelope sender the addresses elsewhere: what is forwarded has one of the forwarding domain."""
    named = {recipient.lower() for recipient in message.recipients}
    found: dict[str, list[str]] = {}
    for address, led in destinations.items():
        sender = message.sender
        returned = not sender and any(known[each] != each for each in led)
        if address.lower() not in named and not returned:
            sender = srs.forwarded(sender, _forwarder(config, (known[each] for each in led)))
        found.setdefault(sender, []).append(address)
    return found


@dataclass(frozen=True)
class ForwardingParts:
    """Each as it should be; another one may take its place."""

    origins: Callable[[Config, Srs, Iterable[str]], dict[str, str]] = origins
    senders: Callable[[Config, Srs, Message, Destinations, Origins], dict[str, list[str]]] = senders


def _origin(config: Config, srs: Srs, recipient: str) -> str:
    origin = srs.origin(recipient) if config.hosted(split(recipient).domain) else None
    return recipient if not origin or origin.flaw else origin.address


def _forwarder(config: Config, recipients: Iterable[str]) -> str:
    """The domain that the envelope named, when an alias led elsewhere."""
    domains = (config.hosted(split(recipient).domain) for recipient in recipients)
    return next((domain.name for domain in domains if domain), config.domain[0].name)
