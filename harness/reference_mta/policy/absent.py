"""What the server does not do: each is done only by a mutant, to see that it is noticed (wiki 728–738)."""

import asyncio
import contextlib

from harness.reference_mta.addresses import split
from harness.reference_mta.policy.transaction import Transaction

PATIENCE = 2.0  # seconds for a callout
EXCLUDED = "550 5.7.23 The sender's policy names other hosts"


async def refusal(transaction: Transaction) -> str:
    """A reply that refuses the recipient for a reason that the rules rule out; empty as it should be."""
    if transaction.quirk("absent.spf-reject:off") and await _excluded_by_spf(transaction):
        return EXCLUDED
    if transaction.quirk("absent.sender-callout:off"):
        await _call_sender(transaction)
    if transaction.quirk("absent.recipient-callout:off"):
        await _call(transaction, transaction.mailbox.domain, transaction.recipient)
    return ""


async def refusal_of_message(transaction: Transaction, content: bytes) -> str:
    """The same for a whole message."""
    if b'.exe"' in content and transaction.quirk("absent.mime-checks:off"):
        return "550 5.7.1 Programs are not accepted"
    if transaction.quirk("absent.spf-reject:weak-at-data") and await _excluded_by_spf(transaction):
        return EXCLUDED
    if transaction.quirk("absent.sender-callout:weak-at-data"):
        await _call_sender(transaction)
    return ""


async def _call_sender(transaction: Transaction) -> None:
    if transaction.sender:
        await _call(transaction, split(transaction.sender).domain, transaction.sender)


async def _excluded_by_spf(transaction: Transaction) -> bool:
    answer = await transaction.resolver.ask(split(transaction.sender).domain, "TXT")
    records = [value for value in answer.values if value.startswith("v=spf1 ")]
    return any(record.endswith("-all") and transaction.client not in record for record in records)


async def _call(transaction: Transaction, domain: str, mailbox: str) -> None:
    """Ask the domain's mail host whether it knows a mailbox."""
    exchange = await transaction.resolver.ask(domain, "MX")
    for value in exchange.values[:1]:
        _, _, host = value.partition(" ")
        answer = await transaction.resolver.ask(host, "A")
        for address in answer.values[:1]:
            with contextlib.suppress(OSError, TimeoutError):  # an unreachable host is a callout all the same
                async with asyncio.timeout(PATIENCE):
                    await _dialogue(transaction, address, mailbox)


async def _dialogue(transaction: Transaction, address: str, mailbox: str) -> None:
    reader, writer = await asyncio.open_connection(address, transaction.config.outgoing.port)
    try:
        await reader.readline()
        for command in (
            f"HELO {transaction.config.server.hostname}",
            "MAIL FROM:<>",
            f"RCPT TO:<{mailbox}>",
            "QUIT",
        ):
            writer.write(command.encode() + b"\r\n")
            await reader.readline()
    finally:
        writer.close()
