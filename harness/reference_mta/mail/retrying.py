"""What becomes of mail that could not be sent: when it is tried again, and what its sender is told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.reference_mta.config import Config
from harness.reference_mta.mail.delivery_result import DeliveryResult, State
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import QueueEntry
from harness.reference_mta.mail.reports import About, Action, Fate, ReportParts

Results = Mapping[str, DeliveryResult]  # by recipient


def judged(config: Config, entry: QueueEntry, result: DeliveryResult, late: bool) -> DeliveryResult:
    """What an attempt has come to for one recipient; `late`: the lifetime of the message is over.

    A temporary failure is one for good then (RFC 3463 §3.5: X.4.7).
    """
    given_up = late and result.state is State.WAITING
    return replace(result, state=State.FAILED, status="5.4.7") if given_up else result


def due(config: Config, began: float) -> float:
    """When the next attempt is due; times are in seconds of the epoch, as that when the last one began."""
    return began + config.outgoing.interval


def notice(config: Config, entry: QueueEntry, content: bytes, lost: Results, reports: ReportParts) -> Message:
    """What the sender is told of the recipients that failed, all of which he wants to be told of."""
    return told(config, entry, content, Action.FAILED, lost, reports)


def told(
    config: Config, entry: QueueEntry, content: bytes, action: Action, results: Results, reports: ReportParts
) -> Message:
    """What the sender is told when attempts to send a message have come to something."""
    about = About(entry.sender, content, entry.arrived, entry.requests, entry.international)
    until = entry.arrived + config.outgoing.lifetime if action is Action.DELAYED else None
    fates = [Fate(address, action, result.status, result, until) for address, result in results.items()]
    return reports.written(config.server.hostname, about, fates, reports)


@dataclass(frozen=True)
class RetryingParts:
    """Each as it should be; another one may take its place."""

    judged: Callable[[Config, QueueEntry, DeliveryResult, bool], DeliveryResult] = judged
    due: Callable[[Config, float], float] = due
    notice: Callable[[Config, QueueEntry, bytes, Results, ReportParts], Message] = notice
