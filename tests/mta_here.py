"""The reference MTA on a thread of this process, which starts sooner than a process of its own."""

import asyncio
import contextlib
import functools
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from harness.reference_mta.config import Config
from harness.reference_mta.mutations import Mutant
from harness.reference_mta.service import serving
from tests.mta_process import PATIENCE


@contextlib.contextmanager
def serving_here(config: Config, mutant: Mutant | None) -> Iterator[tuple[str, int]]:
    """The address of a server that runs as long as the context lasts."""
    ready: queue.SimpleQueue[tuple[tuple[str, int], Callable[[], object]]] = queue.SimpleQueue()

    async def serve() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        async with serving(config, mutant) as service:
            ready.put(
                ((service.address, service.port), functools.partial(loop.call_soon_threadsafe, stopped.set))
            )
            await stopped.wait()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, serve())
        address, stop = ready.get(timeout=PATIENCE)
        try:
            yield address
        finally:
            stop()
            running.result(PATIENCE)
