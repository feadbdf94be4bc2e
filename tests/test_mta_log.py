"""What the reference MTA tells whoever started it."""

import asyncio
import logging
from pathlib import Path

import pytest

from fake_dns import DnsServer, FakeDns, NoAnswer
from harness.reference_mta.resolver import Lookup, Resolver
from tests.mta_process import FROM, MESSAGE, NAME, STRANGER, TO, TRUSTED, running_mta


def test_the_log_says_where_accepted_mail_is(tmp_path: Path) -> None:
    with running_mta(tmp_path, steered=False) as mta, mta.connect(TRUSTED) as client:
        client.greet()
        for line in (FROM, TO, "RCPT TO:<friend@elsewhere.example>"):
            assert client.code(line) == 250
        assert client.code("DATA") == 354
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith("250")
    said = (tmp_path / "mta.log").read_text("utf-8")
    where = "in the inbox of alice@castle.example, queued for <friend@elsewhere.example>"
    assert f"mail from <sender@client.example>: {where}\n" in said


def test_a_dns_server_that_does_not_answer_is_told_once_until_it_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dns = FakeDns()
    dns.publish(NAME, "A", STRANGER)
    dns.script("silent.client.example", "A", NoAnswer())

    async def ask(server: tuple[str, int]) -> list[Lookup]:
        resolver = Resolver(server, 0.2, 1)
        await resolver.start()
        try:
            silent = "silent.client.example"
            return [(await resolver.ask(name, "A")).lookup for name in (silent, silent, NAME, silent)]
        finally:
            resolver.close()

    with DnsServer(dns) as server, caplog.at_level(logging.WARNING):
        (address,) = server.addresses
        failed, found = Lookup.FAILED, Lookup.FOUND
        assert asyncio.run(ask(address)) == [failed, failed, found, failed]
    told = [record.getMessage() for record in caplog.records if record.name.endswith("resolver")]
    assert (
        told
        == [f"the DNS server at {address[0]}:{address[1]} does not answer; lookups fail until it does"] * 2
    )
