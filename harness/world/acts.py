"""What is done within one scenario beside its dialogues, each act with its time."""

import time
from dataclasses import dataclass, field
from enum import StrEnum

from fake_dns import Behaviour, FakeDns

MOST_ACTS = 500  # of one play that are kept


class Who(StrEnum):
    """In what part something is done."""

    CLOCK = "clock"  # of the greylist
    DNS = "DNS"  # what is published, withdrawn, scripted
    MAILBOX = "mailbox"
    MAIL_HOST = "mail host"  # of somebody else, played by the harness
    OPERATOR = "operator"  # of the server's queue and greylist
    OUTAGE = "outage"  # of the greylist
    SERVER = "server"  # what the server itself does while no dialogue is held


@dataclass(frozen=True)
class Act:
    """Something that was done or looked up."""

    at: float  # time.monotonic()
    who: Who
    text: str
    shown: str = ""  # what was seen, if the act is to see something
    tells: str = ""  # of what is shown, what makes it another answer


@dataclass
class Acts:
    """The acts of one play, in order of time."""

    noted: list[Act] = field(default_factory=list)
    dropped: int = 0  # how many more there were than are kept

    def note(self, who: Who, text: str, shown: str = "", tells: str = "", *, at: float | None = None) -> None:
        """Keep an act of now, or of `at`; one that is repeated until it tells something else is kept once."""
        before = (act for act in reversed(self.noted) if act.who is who)
        last = next(before, None)
        if tells and last and (last.text, last.tells) == (text, tells):
            return
        if len(self.noted) >= MOST_ACTS:
            self.dropped += 1
            return
        self.noted.append(Act(time.monotonic() if at is None else at, who, text, shown, tells))


@dataclass(frozen=True)
class DnsInHand:
    """The fake DNS as one scenario changes it: every change is an act of that scenario.

    All methods do as those of `FakeDns` do, and raise what they raise.
    """

    dns: FakeDns
    acts: Acts

    def publish(self, name: str, record_type: str, data: str) -> None:
        """Add a record."""
        self.dns.publish(name, record_type, data)
        self.acts.note(Who.DNS, f"{record_type} of {name} is published: {data}")

    def publish_ptr(self, address: str, host: str) -> None:
        """Let the reverse name of an address point to a host."""
        self.dns.publish_ptr(address, host)
        self.acts.note(Who.DNS, f"PTR of {address} is published: {host}")

    def withdraw(self, name: str, record_type: str) -> None:
        """Take the records and the script of a name and type away."""
        self.dns.withdraw(name, record_type)
        self.acts.note(Who.DNS, f"{record_type} of {name} is withdrawn")

    def script(self, name: str, record_type: str, behaviour: Behaviour) -> None:
        """Answer that name and type so, whatever is published."""
        self.dns.script(name, record_type, behaviour)
        self.acts.note(Who.DNS, f"{record_type} of {name} is answered with {behaviour} from now on")

    def list_address(self, zone: str, address: str, code: str, text: str | None) -> None:
        """Put an address on a block list, until it is taken off again: no resolver is to keep the answer.

        What the zone says of it already stays: several lists may read different answers of one zone.
        """
        self.dns.list_address(zone, address, code, text=text, beside=True, ttl=0)
        self.acts.note(Who.DNS, f"{address} is put on {zone} as {code}")

    def unlist_address(self, zone: str, address: str) -> None:
        """Take an address off a block list."""
        self.dns.unlist_address(zone, address)
        self.acts.note(Who.DNS, f"{address} is taken off {zone}")
