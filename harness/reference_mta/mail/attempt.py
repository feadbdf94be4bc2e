"""One attempt to send a queued message: to every address of every host, until its recipients are settled."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.reference_mta.addresses import split
from harness.reference_mta.mail.client import Session
from harness.reference_mta.mail.delivery_result import Delivered, DeliveryResult, State, failed, later
from harness.reference_mta.mail.header import parted, read
from harness.reference_mta.mail.hosts import Finder, Host, permitted
from harness.reference_mta.mail.parts import AS_IT_SHOULD_BE, MailParts
from harness.reference_mta.mail.queue import QueueEntry

MOST_HOPS = 100  # Received fields of a message that is not in a loop (RFC 5321 §6.3)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempts:
    """Makes attempts; knows what this server is called, how long it waits and where it may connect."""

    finder: Finder
    parts: MailParts = AS_IT_SHOULD_BE

    async def attempt(
        self, entry: QueueEntry, content: bytes, delivered: Delivered
    ) -> dict[str, DeliveryResult]:
        """What each waiting recipient came to; those that have the same hosts share a session.

        `delivered` hears of it as soon as a host has taken the message: other hosts may take their time.
        """
        recipients = entry.waiting
        if len(read(parted(content)[0]).get("received", ())) > MOST_HOPS:
            return dict.fromkeys(recipients, failed("The message goes round in circles", "5.4.6"))
        groups: dict[tuple[Host, ...], list[str]] = {}
        hosts: dict[str, tuple[Host, ...]] = {}
        for address in recipients:
            domain = split(address).domain.lower()
            if domain not in hosts:
                hosts[domain] = await self.finder.hosts(domain)
            groups.setdefault(hosts[domain], []).append(address)
        found = await asyncio.gather(
            *(self._to_hosts(each, entry, group, content, delivered) for each, group in groups.items())
        )
        return {address: outcome for each in found for address, outcome in each.items()}

    async def _to_hosts(
        self,
        hosts: Sequence[Host],
        entry: QueueEntry,
        recipients: Sequence[str],
        content: bytes,
        delivered: Delivered,
    ) -> Mapping[str, DeliveryResult]:
        """From host to host with those that are not settled; one that may serve later is waited for."""
        outcomes: dict[str, DeliveryResult] = {}
        rest = list(recipients)
        for host in hosts:
            found = await self._to_host(host, entry, rest, content, delivered)
            for address, outcome in found.items():
                before = outcomes.get(address)
                if before is None or outcome.settled or before.state is not State.WAITING:
                    outcomes[address] = outcome
            rest = [address for address in rest if not outcomes[address].settled]
            if not rest:
                break
        return outcomes

    async def _to_host(
        self, host: Host, entry: QueueEntry, recipients: Sequence[str], content: bytes, delivered: Delivered
    ) -> Mapping[str, DeliveryResult]:
        config = self.finder.config
        if host.trouble:
            return dict.fromkeys(recipients, host.trouble)
        if not permitted(host.address, allow_public=config.server.allow_public):
            words = (
                f"{host.name} has the address {host.address}, and this server connects to loopback and "
                "reserved addresses only; set [server] allow_public = true if it is to reach others"
            )
            return dict.fromkeys(recipients, failed(words, "5.7.1", elsewhere=True))
        session = Session(host, config.server.hostname, config.outgoing.timeout, delivered, self.parts)
        try:
            return await session.send(
                entry.sender,
                recipients,
                content,
                international=entry.international,
                requests=entry.requests,
            )
        except Exception:  # a defect: what the other hosts said counts all the same
            log.exception("the session with %s failed", host.name)
            return dict.fromkeys(recipients, later("This server failed to send it", "4.3.0", in_doubt=True))
