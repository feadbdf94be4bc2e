"""Each deliberate defect about mail for others shows in what its rule speaks of."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from fake_dns import DnsServer, FakeDns
from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.defects import Mutant
from harness.reference_mta.defects.outgoing import OUTGOING_MUTANTS, OUTSIDE
from harness.reference_mta.defects.srs import SRS_MUTANTS
from harness.reference_mta.mail.queue_commands import QueueCommands
from harness.reference_mta.mail.srs import Srs
from harness.reference_mta.policy import Policy
from tests.mta_here import serving_here
from tests.mta_process import MESSAGE, TRUSTED, WHITELISTED, connected, world
from tests.receiving_host import ReceivingHost, Taken, receiving

INTERVAL = 1.0  # seconds
NETWORK = "127.0.7"  # where nobody else sends by mistake
AT_ONCE = 12  # servers
SOON = 3.0 * INTERVAL  # within which what is due has come
CONFIGURATION = """
[server]
hostname = "mail.castle.example"
port = 0
proxy_protocol = true
delay = 0
state = "{state}"

[dns]
server = "{dns}"

[relay]
from_hosts = ["203.0.113.0/24"]

[greylist]
whitelist_hosts = ["*.bulkmail.example"]

[outgoing]
route = "{route}"
port = {port}
interval = {interval}
{smarthost}

[srs]
secret = "hush"

[[domain]]
name = "castle.example"
users = ["alice", "bruno"]
aliases = {{ far = ["friend@elsewhere.example"] }}
bounce_recipients = ["alice"]
"""
ALICE, BRUNO = "alice@castle.example", "bruno@castle.example"
FRIEND = "friend@elsewhere.example"
MUTANTS = (*OUTGOING_MUTANTS, *SRS_MUTANTS)
Seen = TypeVar("Seen")


@dataclass
class Hosts:
    """Other mail hosts: the first two have MX records for elsewhere.example, the third its address."""

    first: ReceivingHost
    second: ReceivingHost
    third: ReceivingHost
    dns: tuple[str, int]

    def __iter__(self) -> Iterator[ReceivingHost]:
        return iter((self.first, self.second, self.third))


@dataclass
class Probe:
    """A running server, and the hosts around it."""

    config: Config
    address: tuple[str, int]
    hosts: Hosts
    queue_commands: QueueCommands
    srs: Srs = field(init=False)

    def __post_init__(self) -> None:
        self.srs = Srs(self.config)

    def send(self, sender: str, recipient: str, client: str = TRUSTED) -> int:
        """The code of the last reply."""
        with connected(self.address, client) as connection:
            connection.greet()
            codes = [connection.code(line) for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>")]
            if codes != [250, 250]:
                return codes[-1]
            assert connection.code("DATA") == 354
            connection.send(MESSAGE + b".\r\n")
            return int(connection.reply()[:3])

    def mailbox(self, name: str) -> list[bytes]:
        return [file.read_bytes() for file in (self.config.server.state / "mail" / name).glob("new/*")]

    def returned(self) -> tuple[bytes, bool] | None:
        """Of the bounce in alice's mailbox: its Return-path, and whether the other side's words are in it."""
        found = soon(lambda: self.mailbox(ALICE))
        words = (b"Mailing to remote domains not supported", b"no DNS Reverse")
        return (found[0].partition(b"\r\n")[0], any(word in found[0] for word in words)) if found else None

    def tried(self, times: int = 1) -> None:
        """Until a message has been tried so many times, or there is none."""
        queue = QueueCommands(self.config.server.state)
        soon(lambda: all(to.attempts >= times for each in queue.entries() for to in each.recipients))

    def idle(self) -> None:
        """Until there is nothing in the queue."""
        soon(lambda: not QueueCommands(self.config.server.state).entries())

    def taken(self, number: int = 1) -> Taken | None:
        """The first host's message of that number."""
        found = soon(lambda: self.hosts.first.taken[number - 1 :])
        return found[0] if found else None

    def sender_of(self, number: int = 1) -> str:
        """Of a message that the first host took: what its envelope sender looks like."""
        taken = self.taken(number)
        return f"{taken.sender[:5]}…{taken.sender[-15:]}" if taken else "nothing came"

    def code_at_rcpt(self, recipient: str) -> int:
        return self.send("", recipient, WHITELISTED)


def soon(look: Callable[[], Seen]) -> Seen:
    """What `look` sees when it sees something, or when it might have."""
    deadline = time.monotonic() + SOON
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


def to_the_smarthost(probe: Probe) -> object:
    smarthost = probe.hosts.third
    smarthost.replies = {"RCPT": "451 Later"}
    probe.send(ALICE, FRIEND)
    probe.tried()
    smarthost.replies = {}
    probe.send(ALICE, BRUNO)
    probe.idle()
    return [each.recipients for each in smarthost.taken], len(probe.hosts.first.sessions)


def to_the_mx(probe: Probe) -> object:
    probe.send(ALICE, FRIEND)
    probe.idle()
    probe.hosts.first.replies = {"GREETING": "421 Later"}
    probe.send(ALICE, FRIEND)
    probe.tried()
    return [len(host.taken) for host in probe.hosts]


def tried_again(probe: Probe) -> object:
    first, second = probe.hosts.first, probe.hosts.second
    first.replies = second.replies = {"RCPT": "451 Later"}
    probe.send(ALICE, FRIEND)
    probe.tried(2)
    gap = first.sessions[1] - first.sessions[0] if len(first.sessions) > 1 else 0.0
    first.replies = second.replies = {"GREETING": "421 Later"}
    probe.tried(3)
    first.replies = {}
    probe.idle()
    return 0.5 < gap / INTERVAL < 2.5, len(first.taken), probe.mailbox(ALICE)


def operated(probe: Probe) -> object:
    first, second, queue_commands = probe.hosts.first, probe.hosts.second, probe.queue_commands
    first.replies = {"RCPT": "550 No"}
    probe.send("", FRIEND)
    soon(lambda: [each for each in queue_commands.entries() if each.frozen])
    probe.tried()
    seen = [each.frozen for each in queue_commands.entries()]
    met = len(first.sessions)
    time.sleep(1.5 * INTERVAL)  # a frozen message is one that is not tried
    rested = len(first.sessions) == met
    first.replies = second.replies = {"RCPT": "451 Later"}
    probe.send(ALICE, FRIEND)
    probe.tried()
    waiting = [each for each in queue_commands.entries() if each.sender]
    gone = [queue_commands.remove(each.id) for each in waiting]
    left = [each.sender for each in queue_commands.entries()]
    first.replies = {}
    thawed = [queue_commands.thaw(each.id) for each in queue_commands.entries() if each.sender == ""]
    taken = probe.taken()
    return seen, rested, gone, left, thawed, taken and taken.sender


def closed_outside(probe: Probe) -> object:
    with contextlib.suppress(OSError), connected((OUTSIDE, probe.address[1])):
        return "open"
    return "closed"


def not_sent(probe: Probe) -> object:
    probe.send(ALICE, FRIEND)
    return probe.returned(), len(probe.hosts.first.sessions)


def refused_at_the_greeting(probe: Probe) -> object:
    for host in probe.hosts:
        host.replies = {"GREETING": "554 Not available (no DNS Reverse)"}
    probe.send(ALICE, FRIEND)
    return probe.returned()


def forwarded(probe: Probe) -> object:
    senders = []
    for number, (sender, recipient) in enumerate(
        [
            ("a@client.example", "far@castle.example"),
            ("", "far@castle.example"),
            ("a@client.example", FRIEND),
        ],
        1,
    ):
        probe.send(sender, recipient)
        senders.append(probe.sender_of(number))
    return senders


def sent_back(probe: Probe) -> object:
    code = probe.code_at_rcpt(probe.srs.forwarded("a@client.example", "castle.example"))
    taken = probe.taken()
    return code, taken and taken.recipients


def over_two_hops(probe: Probe) -> object:
    probe.send("SRS0=HHHH=TT=client.example=a@elsewhere.example", "far@castle.example")
    sender = probe.sender_of()
    back = probe.srs.forwarded("SRS0=HHHH=TT=client.example=a@elsewhere.example", "castle.example")
    code = probe.code_at_rcpt(back)
    taken = probe.taken(2)
    return sender, code, taken and taken.recipients


def forged(probe: Probe) -> object:
    first, later = (
        probe.srs.forwarded(sender, "castle.example")
        for sender in ("a@client.example", "SRS0=HHHH=TT=client.example=a@elsewhere.example")
    )
    tried = (first.lower(), _with_another_hash(first), _with_another_hash(later))
    return [probe.code_at_rcpt(address) for address in tried]


def _with_another_hash(address: str) -> str:
    return address[:12] + ("A" if address[12] != "A" else "B") + address[13:]


def aged(probe: Probe) -> object:
    made = (probe.srs.forwarded("a@client.example", "castle.example", days) for days in (1, 20, 22))
    return [probe.code_at_rcpt(address) for address in made]


RULES: dict[str, tuple[str, Callable[[Probe], object], object]] = {  # route, what is seen, what is to be seen
    "smarthost.routes-nonlocal": ("smarthost", to_the_smarthost, ([[FRIEND]], 0)),
    "smarthost.off": ("mx", to_the_mx, [1, 1, 0]),
    "queue.retry": ("mx", tried_again, (True, 1, [])),
    "queue.list-remove-thaw": ("mx", operated, ([True], True, [True], [""], [True], "")),
    "local-only.not-listening": ("none", closed_outside, "closed"),
    "local-only.nonlocal-refused": ("none", not_sent, ((b"Return-path: <>", True), 0)),
    "outgoing.no-rdns-refused": ("mx", refused_at_the_greeting, (b"Return-path: <>", True)),
    "srs.forward": (
        "mx",
        forwarded,
        ["SRS0=…@castle.example", "…", "a@cli…@client.example"],
    ),
    "srs.bounce-back": ("mx", sent_back, (250, ["a@client.example"])),
    "srs.second-hop": (
        "mx",
        over_two_hops,
        ("SRS1=…@castle.example", 250, ["SRS0=HHHH=TT=client.example=a@elsewhere.example"]),
    ),
    "srs.bad-hash": ("mx", forged, [250, 550, 550]),
    "srs.expired": ("mx", aged, [250, 250, 550]),
}


@contextlib.contextmanager
def other_hosts(dns: tuple[str, int]) -> Iterator[Hosts]:
    with (
        receiving(f"{NETWORK}.1") as first,
        receiving(f"{NETWORK}.2", first.port) as second,
        receiving(f"{NETWORK}.3", first.port) as third,
    ):
        yield Hosts(first, second, third, dns)


def observed(folder: Path, dns: tuple[str, int], rule: str, mutant: Mutant | None = None) -> object:
    route, look, _ = RULES[rule]
    folder.mkdir()
    with other_hosts(dns) as hosts:
        port = hosts.first.port
        content = CONFIGURATION.format(
            state=folder / "state",
            dns=f"{dns[0]}:{dns[1]}",
            route=route,
            port=port,
            interval=INTERVAL,
            smarthost=f'smarthost = "{NETWORK}.3:{port}"' if route == "smarthost" else "",
        )
        (folder / "mta.toml").write_text(content, "utf-8")
        config = settings.read(folder / "mta.toml", Config)
        policy = mutant.change(Policy()) if mutant else Policy()
        queue_commands = QueueCommands(config.server.state, policy.queue)
        with serving_here(config, mutant) as address:
            return look(Probe(config, address, hosts, queue_commands))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], object]]:
    """What is seen of a rule or a mutant, by its name; all at once, since each mostly waits."""
    dns: FakeDns = world()
    for number, name in ((2, "second"), (1, "first")):  # the best is not the first of an answer
        dns.publish(f"{name}.example", "A", f"{NETWORK}.{number}")
        dns.publish("elsewhere.example", "MX", f"{number}0 {name}.example")
    dns.publish("elsewhere.example", "A", f"{NETWORK}.3")
    dns.publish("client.example", "MX", "10 first.example")
    folder = tmp_path_factory.mktemp("mutants")
    cases: list[tuple[str, Mutant | None]] = [(rule, None) for rule in RULES]
    cases += [(mutant.rule, mutant) for mutant in MUTANTS]
    with DnsServer(dns) as server, ThreadPoolExecutor(AT_ONCE) as pool:
        found = {
            mutant.name if mutant else rule: pool.submit(
                observed, folder / str(number), server.addresses[0], rule, mutant
            )
            for number, (rule, mutant) in enumerate(cases)
        }
        yield lambda name: found[name].result()


@pytest.mark.parametrize("rule", RULES)
def test_the_server_without_a_defect(seen: Callable[[str], object], rule: str) -> None:
    assert seen(rule) == RULES[rule][2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_defect_shows(seen: Callable[[str], object], mutant: Mutant) -> None:
    assert seen(mutant.name) != RULES[mutant.rule][2]
