"""What the server does not do: each is done only by a mutant, to see that it is noticed (wiki 728–738)."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from harness.reference_mta.addresses import split
from harness.reference_mta.defects.kinds import Case, Mutant
from harness.reference_mta.policy import Policy
from harness.reference_mta.policy.checks import PASS, Check, Classify, Question, Treatment, deny, question
from harness.reference_mta.policy.transaction import Transaction

PATIENCE = 0.5  # seconds for a callout: far from any delay of a policy, where nobody answers
EXCLUDED = deny("The sender's policy names other hosts", status="7.23")
PROGRAM = deny("Programs are not accepted")


def _at_rcpt(policy: Policy, asked: Question) -> Policy:
    return replace(policy, rcpt=(asked, *policy.rcpt))


def _at_data(policy: Policy, asked: Question) -> Policy:
    return replace(policy, bounces=(*policy.bounces, asked))


def _everywhere(_: Transaction) -> bool:
    return True


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


async def _sender_called(transaction: Transaction) -> str | None:
    await _call_sender(transaction)
    return None


async def _recipient_called(transaction: Transaction) -> str | None:
    await _call(transaction, transaction.mailbox.domain, transaction.recipient)
    return None


async def _by_spf(transaction: Transaction) -> str | None:
    return "absent.spf-reject" if await _excluded_by_spf(transaction) else None


def _has_a_program(transaction: Transaction) -> bool:
    return b'.exe"' in transaction.content


async def _by_program(transaction: Transaction) -> str | None:
    return "absent.mime-checks" if _has_a_program(transaction) else None


def _asking(
    rule: str,
    kind: str,
    description: str,
    place: Callable[[Policy, Question], Policy],
    classify: Classify,
    then: Treatment = PASS,
    where: Case = _everywhere,
) -> Mutant:
    """One more question is asked, in its place; `where` says when its answer would show."""
    name = f"{rule}:{kind}"

    async def note(transaction: Transaction) -> str | None:
        if where(transaction):
            transaction.policy.note(name)
        return None

    return Mutant(
        rule,
        kind,
        description,
        lambda policy: place(policy, question(classify, Check(rule, then=then, off=PASS))),
        parts=(name,),
        watch=lambda policy: place(policy, question(note)),
    )


ABSENT_MUTANTS: tuple[Mutant, ...] = (
    _asking("absent.sender-callout", "off", "the sender's mail host is called", _at_rcpt, _sender_called),
    _asking(
        "absent.sender-callout",
        "weak-at-data",
        "its mail host is called at the end of DATA",
        _at_data,
        _sender_called,
    ),
    _asking(
        "absent.recipient-callout",
        "off",
        "the recipient's mail host is called",
        _at_rcpt,
        _recipient_called,
    ),
    _asking("absent.spf-reject", "off", "a sender is refused by SPF", _at_rcpt, _by_spf, EXCLUDED),
    _asking(
        "absent.spf-reject",
        "weak-at-data",
        "a sender is refused by SPF when the message is there",
        _at_data,
        _by_spf,
        EXCLUDED,
    ),
    _asking(
        "absent.mime-checks",
        "off",
        "an attached program is refused",
        _at_data,
        _by_program,
        PROGRAM,
        _has_a_program,
    ),
)
