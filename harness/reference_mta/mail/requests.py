"""What the sender of a message asks to be told of it (RFC 3461): kept and handed on with the message."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.reference_mta.protocol.parameters import LONGEST_ORIGINAL, Parameters, read_xtext
from harness.reference_mta.replies import printable

EXTENSION = "DSN"  # the keyword of hosts to which requests can be handed on
NEVER = "NEVER"
FULL = "FULL"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


class Occasion(StrEnum):
    """When a sender may want to be told, by the words of NOTIFY (RFC 3461 §4.1)."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@dataclass(frozen=True)
class Request:
    """What is asked for one recipient. Both values are as they were given, since they go on unchanged."""

    notify: str = ""  # the value of NOTIFY; empty where there was none
    original: str = ""  # that of ORCPT, its address in xtext

    @property
    def occasions(self) -> frozenset[Occasion]:
        """Those that are meant; without NOTIFY failures and delays (RFC 3461 §4.1)."""
        if not self.notify:
            return frozenset((Occasion.FAILURE, Occasion.DELAY))
        words = self.notify.upper().split(",")
        return frozenset(occasion for occasion in Occasion if occasion in words)

    @property
    def original_recipient(self) -> str:
        """Type and address of the original recipient as reports name it (RFC 3461 §6.3): decoded, ASCII."""
        kind, _, address = in_ascii(self.original).partition(";")
        return printable(f"{kind};{read_xtext(address) or address}", LONGEST_ORIGINAL) if address else ""

    def without_success(self) -> "Request":
        """The same, but for deliveries; who asked for nothing else asks for nothing (RFC 3461 §5.2.7.3)."""
        if Occasion.SUCCESS not in self.occasions:
            return self
        rest = [word for word in self.notify.split(",") if word.upper() != Occasion.SUCCESS]
        return replace(self, notify=",".join(rest) or NEVER)


NOTHING = Request()


@dataclass(frozen=True)
class Requests:
    """What is asked with one message, as it was given."""

    ret: str = ""  # the value of RET, FULL or HDRS in any letter case; empty where there was none
    envelope_id: str = ""  # that of ENVID, in xtext
    of_recipients: Mapping[str, Request] = field(default_factory=dict)  # by address

    def of(self, recipient: str) -> Request:
        """What is asked for one recipient."""
        return self.of_recipients.get(recipient, NOTHING)

    @property
    def original_envelope_id(self) -> str:
        """The envelope's id as reports name it (RFC 3461 §6.3): decoded, printable."""
        return printable(read_xtext(self.envelope_id) or "")

    @property
    def full(self) -> bool:
        """Whether the whole message is to come back with what is told of a failure (RFC 3461 §4.3)."""
        return self.ret.upper() == FULL


NONE = Requests()


def requests_of(of_sender: Parameters, of_recipients: Iterable[tuple[str, Parameters]]) -> Requests:
    """What the parameters of MAIL ask for, and those that came with each recipient.

    One that was named several times has asked for all.
    """
    asked: dict[str, list[Request]] = {}
    for recipient, parameters in of_recipients:
        request = Request(parameters.values.get("NOTIFY", ""), parameters.values.get("ORCPT", ""))
        asked.setdefault(recipient, []).append(request)
    return Requests(
        of_sender.values.get("RET", ""),
        of_sender.values.get("ENVID", ""),
        {recipient: merged(requests) for recipient, requests in asked.items()},
    )


def merged(requests: Iterable[Request]) -> Request:
    """One request in place of several for the same destination: for every occasion that any of them names.

    The original recipient is that of the first that wants to be told anything and has one.
    """
    given = list(dict.fromkeys(requests))
    if len(given) < 2:
        return given[0] if given else NOTHING
    wanted = frozenset(occasion for each in given for occasion in each.occasions)
    notify = ",".join(occasion for occasion in Occasion if occasion in wanted) or NEVER
    original = next((each.original for each in given if each.occasions and each.original), "")
    return Request(notify, original)


def with_several(*tables: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The recipients of the envelope that have several destinations; each has those that led to it."""
    counted = Counter(recipient for table in tables for led in table.values() for recipient in led)
    return frozenset(recipient for recipient, times in counted.items() if times > 1)


def forwarded(
    requests: Requests, destinations: Mapping[str, Iterable[str]], several: Collection[str]
) -> Requests:
    """What goes on with a message to its destinations, each with the recipients that led to it.

    To the only destination of a recipient its request goes on as it is; for one with `several`, SUCCESS has
    been answered with "expanded" (RFC 3461 §5.2.7.2, §5.2.7.3 c).
    """

    def request(recipient: str) -> Request:
        given = requests.of(recipient)
        return given.without_success() if recipient in several else given

    return replace(
        requests, of_recipients={address: merged(map(request, led)) for address, led in destinations.items()}
    )


def passed_on(requests: Requests, keywords: Collection[str], international: bool) -> Requests:
    """What of the requests a host is told that lists these keywords; one without DSN is told nothing.

    Without `international` the message goes without SMTPUTF8, and all has to be ASCII (RFC 6533 §3); an
    original recipient that is too long in that form is left out, or the host would refuse the recipient.
    """
    if EXTENSION not in keywords:
        return NONE
    if international:
        return requests
    of_recipients = {
        address: replace(request, original=original if len(original) <= LONGEST_ORIGINAL else "")
        for address, request in requests.of_recipients.items()
        for original in [in_ascii(request.original)]
    }
    return replace(requests, of_recipients=of_recipients)


def wanted(request: Request, occasion: Occasion) -> bool:
    """Whether the sender wants to be told."""
    return occasion in request.occasions


def in_ascii(original: str) -> str:
    r"""An original recipient without anything beyond ASCII, which stands as `\x{20AC}` then (RFC 6533 §3)."""
    return _BEYOND_ASCII.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", original)
