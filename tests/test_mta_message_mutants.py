"""Each deliberate defect about what becomes of a message shows, and only in what its rule speaks of."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_dns import DnsServer
from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.defects import Mutant
from harness.reference_mta.defects.message import MESSAGE_MUTANTS
from harness.reference_mta.greylist import Greylist, Times, Triplet
from harness.reference_mta.operator import DATABASE
from tests.fake_spamd import GTUBE
from tests.mta_here import serving_here
from tests.mta_process import FROM, LISTED_ONCE, WHITELISTED, Client, connected, world

CONFIGURATION = """
[server]
hostname = "mail.castle.example"
port = 0
proxy_protocol = true
delay = 0
state = "{state}"

[dns]
server = "{dns}"
timeout = 1
attempts = 1

[[dnsbl]]
name = "traps"
zones = ["traps.blocklist.example"]

[greylist]
whitelist_hosts = ["*.bulkmail.example"]

[delivery]
filters = "{filters}"

[[domain]]
name = "hall.example"
users = ["alice", "bruno", "carol", "gerda"]
aliases = {{ info = ["alice"], team = ["alice", "bruno"] }}

[[domain]]
name = "yard.example"
users = ["alice", "dora", "emil"]
aliases = {{ info = ["dora"], "*" = ["dora"] }}

[[domain]]
name = "files.example"
format = "mbox"
users = ["fritz"]
"""
RULES = """\
if header X-Spam-Status contains "Yes" or header X-Spam-Flag defined then save Spam
if header To contains "list@lists.example" then save List
if body contains "foobar" then save Foobar
if header X-DNSbl-Warning defined then save Listed
"""
GERDA = "gerda@hall.example"
FORM = (
    "From: <a@client.example>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: x\r\nMessage-ID: <{token}>\r\n\r\n"
)
SPAM = GTUBE.decode()
Facts = dict[str, object]
EXPECTED: Facts = {
    "delivery.alias": ({"alice@hall.example"}, {"carol@hall.example"}),
    "delivery.alias-many": {"alice@hall.example", "bruno@hall.example"},
    "delivery.catch-all": (250, {"dora@yard.example"}, {"emil@yard.example"}),
    "delivery.no-catch-all": 550,
    "delivery.per-domain": {"dora@yard.example"},
    "delivery.to-header-kept": ["To: somebody@client.example"],
    "delivery.trace-headers": [
        ["Return-path: <sender@client.example>", "Envelope-to: carol@hall.example", "Delivery-date: DATE"],
        ["Return-path: <sender@client.example>", "Envelope-to: info@hall.example", "Delivery-date: DATE"],
    ],
    "delivery.maildir": ["new"],
    "delivery.mbox": (2, ">From here\nFromage\n>>From there\n\n"),
    "filter.spam-folder": ({"/.Spam"}, {""}),
    "filter.list-folder": ({"/.List"}, {""}),
    "filter.body": ({"/.Foobar"}, {""}),
    "filter.dnsbl-folder": ({"/.Listed"}, {"/.Spam"}),
    "filter.catch-all": {""},
    "data.spam-classified": (["No", "Yes", "Yes"], 250),
    "absent.size-exempts-spam-check": ["Yes"],
}
ALSO = {  # what cannot but show elsewhere
    "delivery.alias:off": {"delivery.per-domain"},
    "delivery.alias:weak-other": {"delivery.per-domain"},
    "delivery.alias:strict-bystander": {"delivery.per-domain", "delivery.trace-headers"},
    "data.spam-classified:off": {
        "filter.spam-folder",
        "filter.dnsbl-folder",
        "absent.size-exempts-spam-check",
    },
    "data.spam-classified:weak-blind": {
        "filter.spam-folder",
        "filter.dnsbl-folder",
        "absent.size-exempts-spam-check",
    },
    "data.spam-classified:strict-ham": {rule for rule in EXPECTED if rule.startswith("filter.")},
    "data.spam-classified:strict-refused": {
        "filter.spam-folder",
        "filter.dnsbl-folder",
        "absent.size-exempts-spam-check",
    },
    "filter.spam-folder:off": {"filter.dnsbl-folder"},
    "filter.catch-all:off": {"filter.spam-folder", "filter.list-folder", "filter.body"},
    "filter.catch-all:weak-junk": {"filter.spam-folder", "filter.list-folder", "filter.body"},
}


class Probe:
    """Sends messages and looks where they have come to lie."""

    def __init__(self, mail: Path, client: Client) -> None:
        self.mail = mail
        self.client = client
        self.number = 0

    def send(
        self, *recipients: str, to: str = "somebody@client.example", subject: str = "hello", body: str = ""
    ) -> tuple[str, int]:
        """A message's token, and the code of the reply that ended its dialogue."""
        self.number += 1
        token = f"token-{self.number}@{id(self)}.client.example"
        codes = [self.client.code(FROM), *(self.client.code(f"RCPT TO:<{name}>") for name in recipients)]
        if 250 not in codes[1:]:
            return token, codes[-1]
        assert self.client.code("DATA") == 354
        self.client.send((FORM.format(to=to, subject=subject, token=token) + body + "\r\n.\r\n").encode())
        return token, int(self.client.reply()[:3])

    def copies(self, token: str) -> dict[str, str]:
        """The copies of a message by mailbox and folder."""
        found = {
            file: file.read_bytes().decode()
            for file in self.mail.rglob("*")
            if file.is_file() and file.parent.name != "tmp"
        }
        return {
            str(file.parent.parent.relative_to(self.mail)): text
            for file, text in found.items()
            if token in text
        }

    def places(self, token: str) -> set[str]:
        return set(self.copies(token))

    def folders(self, **message: str) -> set[str]:
        """The folders of a user with a filter in which a message ends."""
        token, _ = self.send(GERDA, **message)
        return {place.removeprefix(GERDA) for place in self.places(token)}


def trace(text: str) -> list[str]:
    lines = re.sub(r",\r\n\t", ",", text).split("\r\n")
    dated = [re.sub(r"^(Delivery-date:) .*", r"\1 DATE", line) for line in lines]
    return [line for line in dated if line.startswith(("Return-path", "Envelope-to", "Delivery-date"))]


def statuses(copies: dict[str, str]) -> list[str]:
    return [found for text in copies.values() for found in re.findall(r"\r\nX-Spam-Status: (\w+)", text)]


def facts(mail: Path, probe: Probe, listed: Probe) -> Facts:
    """What a client and the owners of mailboxes see, by the rule that speaks of it."""
    alias, _ = probe.send("info@hall.example")
    many, _ = probe.send("team@hall.example")
    both, _ = probe.send("info@hall.example", "carol@hall.example")
    plain, _ = probe.send("carol@hall.example")
    rest, rest_code = probe.send("anybody@yard.example")
    own, _ = probe.send("emil@yard.example")
    other_info, _ = probe.send("info@yard.example")
    assert probe.client.code(FROM) == 250
    refused = probe.client.code("RCPT TO:<nobody@hall.example>")
    assert probe.client.code("RSET") == 250
    for _ in range(2):
        probe.send("fritz@files.example", body="From here\r\nFromage\r\n>From there")
    mbox = (mail / "fritz@files.example").read_text("utf-8")
    spam, spam_code = probe.send("carol@hall.example", body=SPAM)
    forged, _ = probe.send("carol@hall.example", subject="hello\r\nX-Spam-Status: No", body=SPAM)
    large, _ = probe.send("carol@hall.example", body=SPAM + "\r\n" + ("x" * 70 + "\r\n") * 16000)
    one = next(iter(probe.copies(alias).values()))
    return {
        "delivery.alias": (probe.places(alias), probe.places(plain)),
        "delivery.alias-many": probe.places(many),
        "delivery.catch-all": (rest_code, probe.places(rest), probe.places(own)),
        "delivery.no-catch-all": refused,
        "delivery.per-domain": probe.places(other_info),
        "delivery.to-header-kept": re.findall(r"^To: .*(?=\r)", one, re.MULTILINE),
        "delivery.trace-headers": sorted(
            {str(trace(text)): trace(text) for text in probe.copies(both).values()}.values()
        ),
        "delivery.maildir": [
            file.parent.name for file in mail.rglob("*") if file.is_file() and plain in file.read_text()
        ],
        "delivery.mbox": (
            len(re.findall("^From ", mbox, re.MULTILINE)),
            mbox.rpartition("client.example>\n\n")[2],
        ),
        "filter.spam-folder": (probe.folders(body=SPAM), probe.folders(subject="Yes")),
        "filter.list-folder": (
            probe.folders(to="List@lists.example"),
            probe.folders(to="other@lists.example"),
        ),
        "filter.body": (probe.folders(body="x" * 400 + "Foobar"), probe.folders(body="x" * 500 + "foobar")),
        "filter.dnsbl-folder": (listed.folders(), listed.folders(body=SPAM)),
        "filter.catch-all": probe.folders(),
        "data.spam-classified": (
            [status for token in (plain, spam, forged) for status in statuses(probe.copies(token))],
            spam_code,
        ),
        "absent.size-exempts-spam-check": statuses(probe.copies(large)),
    }


def observed(folder: Path, dns: tuple[str, int], mutant: Mutant | None = None) -> Facts:
    state, filters = folder / "state", folder / "filters"
    state.mkdir()
    filters.mkdir()
    (filters / GERDA).write_text(RULES, "utf-8")
    (folder / "mta.toml").write_text(
        CONFIGURATION.format(state=state, filters=filters, dns=f"{dns[0]}:{dns[1]}"), "utf-8"
    )
    config = settings.read(folder / "mta.toml", Config)
    times = config.greylist
    greylist = Greylist(state / DATABASE, Times(times.delay, times.timeout, times.lifetime))
    greylist.add("white", Triplet.of(LISTED_ONCE, "sender@client.example", GERDA))
    greylist.close()
    with (
        serving_here(config, mutant) as address,
        connected(address, WHITELISTED) as client,
        connected(address, LISTED_ONCE) as suspect,
    ):
        for connection in (client, suspect):
            connection.greet()
        return facts(state / "mail", Probe(state / "mail", client), Probe(state / "mail", suspect))


@pytest.fixture(scope="module")
def dns() -> Iterator[tuple[str, int]]:
    with DnsServer(world()) as server:
        yield server.addresses[0]


def test_the_server_without_a_defect(tmp_path: Path, dns: tuple[str, int]) -> None:
    assert observed(tmp_path, dns) == EXPECTED


@pytest.mark.parametrize("mutant", MESSAGE_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_defect_shows_where_it_belongs(tmp_path: Path, dns: tuple[str, int], mutant: Mutant) -> None:
    found = observed(tmp_path, dns, mutant)
    different = {rule for rule in EXPECTED if found[rule] != EXPECTED[rule]}
    assert mutant.rule in different
    assert different - {mutant.rule} <= ALSO.get(mutant.name, set())
