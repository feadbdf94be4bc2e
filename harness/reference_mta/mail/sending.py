"""Sends what is queued: at once, then each interval, until its lifetime is over; then its sender is told.

At least once: a recipient is settled as soon as the other host has taken the message, so a server that is
killed in between sends it again; one that is stopped notes it first. An interval counts from the beginning of
one attempt to that of the next.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace

from harness.reference_mta.config import Config
from harness.reference_mta.mail.acceptance import Acceptance
from harness.reference_mta.mail.attempt import Attempts
from harness.reference_mta.mail.delivery_result import State
from harness.reference_mta.mail.message import Message
from harness.reference_mta.mail.queue import Queue, QueueEntry, QueueError
from harness.reference_mta.mail.reports import Action
from harness.reference_mta.mail.requests import Occasion
from harness.reference_mta.mail.retrying import Results, RetryingParts, told
from harness.reference_mta.reached import on_behalf_of
from harness.reference_mta.replies import escaped

AT_ONCE = 100  # messages that are under way
BREATH = 1.0  # seconds after the queue could not be read or written
log = logging.getLogger(__name__)


class Sender:
    """The part of a server that sends; one message is never under way twice."""

    def __init__(
        self, config: Config, acceptance: Acceptance, attempts: Attempts, parts: RetryingParts
    ) -> None:
        """`acceptance` has the queue, and takes the notifications."""
        self._config = config
        self._acceptance = acceptance
        self._queue: Queue = acceptance.queue
        self._storage = acceptance.storage
        self._attempts = attempts
        self._waker = acceptance.waker
        self._parts = parts
        self._reports = acceptance.reports
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    async def run(self) -> None:
        """Until it is cancelled; what is under way then is tried again when the server runs again."""
        try:
            while True:
                self._waker.reset()
                await self._waker.wait(await self._start_what_is_due())
        finally:
            self._stopping = True
            tasks = tuple(self._under_way.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start_what_is_due(self) -> float | None:
        """Seconds until there is more to do; None when only the waker can tell."""
        try:
            upcoming = await self._storage.run(lambda: self._queue.upcoming(2 * AT_ONCE + 1))
        except OSError as error:
            log.error("the queue cannot be read: %s", error)
            return BREATH
        now = self._queue.clock()
        for number, next_try in upcoming:
            if number in self._under_way:
                continue
            if next_try > now:
                return next_try - now
            if len(self._under_way) >= AT_ONCE:
                return None
            self._under_way[number] = asyncio.create_task(self._try(number))
        return None

    async def _try(self, number: str) -> None:
        try:
            if found := await self._storage.run(lambda: self._queue.message(number)):
                entry, content = found
                with on_behalf_of(entry.sender, *(each.address for each in entry.recipients)):
                    await self._send(entry, content)
        except Exception as error:
            defect = not isinstance(error, OSError)  # which is what the system lacks, and no news of the code
            log.error("the attempt to send %s failed, it is tried again: %s", number, error, exc_info=defect)
            await asyncio.sleep(self._config.outgoing.interval)  # or it would be tried at once, for ever
        finally:
            del self._under_way[number]
            self._waker.wake()

    async def _send(self, entry: QueueEntry, content: bytes) -> None:
        """One attempt, and what becomes of the message after it."""
        began = self._queue.clock()

        async def delivered(outcomes: Results) -> None:
            _log(outcomes)
            await _whole(self._settle(entry, content, outcomes))

        outcomes = await self._attempts.attempt(entry, content, delivered)
        rest = {each: one for each, one in outcomes.items() if one.state is not State.DELIVERED}
        await _whole(self._note(entry, content, rest, began))

    async def _settle(self, entry: QueueEntry, content: bytes, taken: Results) -> None:
        """Keep for whom a host has taken the message; one that lists no DSN tells nobody more of it.

        So the sender is told that it was handed on (RFC 3461 §5.2.2); a report that cannot be kept is logged.
        """
        unaware = {address: result for address, result in taken.items() if not result.informed}
        try:
            if wanting := self._wanting(entry, unaware, Occasion.SUCCESS):
                notice = told(self._config, entry, content, Action.RELAYED, wanting, self._reports)
                await self._tell(entry, notice)
        except Exception:  # a defect: what is taken is not to be sent again all the same
            log.exception("the sender of %s cannot be told", entry.id)
        await self._surely(lambda: self._queue.settle(entry.id, taken))

    async def _note(self, entry: QueueEntry, content: bytes, outcomes: Results, began: float) -> None:
        """Keep what those came to who have not got it; the sender hears of what is lost, or takes long.

        Without a sender the message is frozen once nobody waits for it.
        """
        _log(outcomes)
        now, outgoing = self._queue.clock(), self._config.outgoing
        end = entry.arrived + outgoing.lifetime
        known = {
            address: self._parts.judged(self._config, entry, each, now >= end)
            for address, each in outcomes.items()
        }
        lost = {address: outcome for address, outcome in known.items() if outcome.state is State.FAILED}
        others_wait = any(outcome.state is State.WAITING for outcome in known.values())
        failures = bool(lost) or any(each.state is State.FAILED for each in entry.recipients)
        frozen = failures and not (entry.sender or others_wait)
        delayed = await self._tell_of_delay(entry, content, known, now)
        if wanting := self._wanting(entry, lost, Occasion.FAILURE):
            notice = self._parts.notice(self._config, entry, content, wanting, self._reports)
            if not await self._tell(entry, notice):
                known |= {address: replace(each, state=State.WAITING) for address, each in wanting.items()}
        due = self._parts.due(self._config, began)
        next_try = max(now, min(due, end) if now < end else due)  # the last attempt comes at the very end
        await self._surely(
            lambda: self._queue.note(entry.id, known, next_try, frozen=frozen, delay_told=delayed)
        )

    async def _tell_of_delay(
        self, entry: QueueEntry, content: bytes, known: Results, now: float
    ) -> Collection[str]:
        """The recipients of which the sender is told, once, that they wait longer than is usual."""
        patience = self._config.outgoing.delay_report
        if patience is None or now < entry.arrived + patience:
            return ()
        told_of = {each.address for each in entry.recipients if each.delay_told}
        waiting = {
            address: result
            for address, result in known.items()
            if result.state is State.WAITING and address not in told_of
        }
        wanting = self._wanting(entry, waiting, Occasion.DELAY)
        if not wanting:
            return ()
        notice = told(self._config, entry, content, Action.DELAYED, wanting, self._reports)
        return wanting.keys() if await self._tell(entry, notice) else ()

    def _wanting(self, entry: QueueEntry, results: Results, occasion: Occasion) -> Results:
        """Those of which there is a sender who wants to be told."""
        requests = entry.requests
        return {
            address: result
            for address, result in results.items()
            if entry.sender and self._reports.wanted(requests.of(address), occasion)
        }

    async def _surely(self, note: Callable[[], None]) -> None:
        """Keep it however long that takes: what is not noted would be sent, or told its sender, once more."""
        while True:
            try:
                return await self._storage.run(note)
            except QueueError as error:
                log.error("what became of a message cannot be noted, and it is not tried before: %s", error)
            if self._stopping:
                return None  # it is sent, or told its sender, once more when the server runs again
            await asyncio.sleep(BREATH)

    async def _tell(self, entry: QueueEntry, notice: Message) -> bool:
        """Whether the sender has been told, or nobody wants to know."""
        try:
            if not await self._storage.run(lambda: self._queue.entries(entry.id)):
                return True  # an operator has removed it meanwhile
            await self._acceptance.take(notice)
        except OSError as error:
            log.error("the sender of %s cannot be told: %s", entry.id, error)
            return False
        return True


async def _whole(work: Coroutine[None, None, None]) -> None:
    """Work that is not broken off: who is cancelled meanwhile waits for its end."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _log(outcomes: Results) -> None:
    for address, each in outcomes.items():
        log.info("queued mail to <%s>: %s: %s", escaped(address), each.state, escaped(each.words))
