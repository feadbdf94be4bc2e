"""What a sound server notes of its parts: where a defect would show, what it replaces was reached."""

import asyncio
from pathlib import Path

import pytest

from fake_dns import DnsServer
from harness.reference_mta.certificate import SOUND
from harness.reference_mta.decisions import CLIENT
from harness.reference_mta.defects import MUTANTS, find
from harness.reference_mta.greeting import BANNER, KEYWORDS
from harness.reference_mta.reached import Reached, on_behalf_of
from tests.mta_here import Spoken, configured, serving_here
from tests.mta_process import (
    LISTED_ONCE,
    LISTED_TWICE,
    NAMELESS,
    STRANGER,
    TRUSTED,
    WHITELISTED,
    world,
)

RCPT = "RCPT TO:<{}@castle.example>"
INNOCENT: dict[str, str] = {}
BARE = {"helo": "EHLO 192.0.2.1"}
KNOWN = '[answers."greylist.first-defer"]\naction = "accept"\n'


@pytest.mark.parametrize(
    ("mutant", "shows", "silent"),
    [
        ("connect.rdns-missing:off", (NAMELESS, INNOCENT), (WHITELISTED, INNOCENT)),
        ("connect.rdns-confirmed:off", (WHITELISTED, INNOCENT), (NAMELESS, INNOCENT)),
        ("helo.plain-ip:off", (WHITELISTED, BARE), (WHITELISTED, INNOCENT)),
        ("helo.plain-ip:weak-ehlo-only", (WHITELISTED, {"helo": "HELO 192.0.2.1"}), (WHITELISTED, BARE)),
        (
            "helo.plain-ip:strict-digits",
            (WHITELISTED, {"helo": "EHLO 1-2.x.example"}),
            (WHITELISTED, INNOCENT),
        ),
        ("helo.dns-mismatch:weak-any-ptr", (STRANGER, {"helo": "EHLO x.example"}), (WHITELISTED, BARE)),
        (
            "rcpt.unknown-user:weak-4xx",
            (WHITELISTED, {"recipient": RCPT.format("no")}),
            (WHITELISTED, INNOCENT),
        ),
        (
            "rcpt.illegal-chars:weak-no-bang",
            (WHITELISTED, {"recipient": RCPT.format("a!b")}),
            (WHITELISTED, INNOCENT),
        ),
        (
            "rcpt.relay-denied:weak-percent",
            (STRANGER, {"recipient": RCPT.format("a%b.example")}),
            (STRANGER, INNOCENT),
        ),
        ("dnsbl.one:off", (LISTED_ONCE, INNOCENT), (LISTED_TWICE, INNOCENT)),
        ("dnsbl.two:weak-no-text", (LISTED_TWICE, INNOCENT), (LISTED_ONCE, INNOCENT)),
        ("greylist.relay-exempt:off", (TRUSTED, INNOCENT), (STRANGER, INNOCENT)),
        ("greylist.null-not-at-rcpt:off", (STRANGER, {"sender": "MAIL FROM:<>"}), (STRANGER, INNOCENT)),
        (
            "data.header-syntax:off",
            (WHITELISTED, {"content": "From: <<<>>\r\n\r\nx\r\n"}),
            (WHITELISTED, INNOCENT),
        ),
        (
            "data.header-syntax:weak-no-From",
            (WHITELISTED, {"content": "From: <<<>>\r\n\r\nx\r\n"}),
            (WHITELISTED, INNOCENT),
        ),
        (
            "reply.code-range:off",
            (WHITELISTED, {"helo": "EHLO a\x1b.example"}),
            (WHITELISTED, {"helo": "EHLO"}),
        ),
        (
            "eod.bare-lf-command:off",
            (WHITELISTED, {"helo": "EHLO x.example\nNOOP"}),
            (WHITELISTED, INNOCENT),
        ),
        ("delivery.maildir:off", (WHITELISTED, INNOCENT), (WHITELISTED, BARE)),
        ("delivery.trace-headers:off", (WHITELISTED, INNOCENT), (WHITELISTED, BARE)),
        ("data.spam-classified:off", (WHITELISTED, INNOCENT), (TRUSTED, INNOCENT)),
    ],
)
def test_where_a_defect_would_show_its_part_is_reached(
    tmp_path: Path, mutant: str, shows: tuple[str, dict[str, str]], silent: tuple[str, dict[str, str]]
) -> None:
    parts = find(mutant).parts
    for (client, words), expected in ((shows, True), (silent, False)):
        reached, dns = Reached(CLIENT.get), world()
        with DnsServer(dns) as server:
            config = configured(tmp_path / str(expected), KNOWN, dns=server.addresses[0])
            with serving_here(config, None, reached) as address:
                Spoken(address, dns, config.server.state).play(client, **words)
        names = {name for part in parts for name in reached.names.get(part, ())}
        assert names == ({client} if expected else set())


def test_what_the_server_says_of_itself_is_noted_when_it_is_said(tmp_path: Path) -> None:
    reached, dns = Reached(CLIENT.get), world()
    with DnsServer(dns) as server:
        config = configured(tmp_path, KNOWN, dns=server.addresses[0])
        with serving_here(config, None, reached) as address:
            client = Spoken(address, dns, config.server.state)
            assert not {BANNER, KEYWORDS} & reached.names.keys()
            client.play(WHITELISTED)
    assert reached.names[BANNER] == reached.names[KEYWORDS] == {WHITELISTED}


def test_every_mutant_says_what_it_replaces() -> None:
    assert [one.name for one in MUTANTS if not one.parts] == [
        one.name for one in MUTANTS if one.flaws != SOUND
    ]


def test_work_for_nobody_known_is_anybodys() -> None:
    reached = Reached(lambda: "")
    reached.note("keywords")
    assert reached.names == {"keywords": {""}}


def test_a_message_is_worked_on_for_those_on_its_envelope() -> None:
    reached = Reached(lambda: "192.0.2.1")

    async def work() -> None:
        with on_behalf_of("", "a@client.example"):
            await asyncio.create_task(part("inside"))
        await part("outside")

    async def part(name: str) -> None:
        reached.note(name)

    asyncio.run(work())
    assert reached.names == {"inside": {"a@client.example"}, "outside": {"192.0.2.1"}}
