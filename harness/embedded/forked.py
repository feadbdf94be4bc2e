"""A reference MTA in a process that is forked from this one, which has read all modules already.

It starts within milliseconds. Only a process with one thread may fork, so it is started before anything else
is, and waits for its configuration.
"""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO

from harness.embedded.process import ReferenceMta, log_of, stop
from harness.reference_mta.__main__ import main

FORKING = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class ForkedProcess:
    """A forked process as `ReferenceMta` needs it."""

    process: BaseProcess
    stdin: IO[str]
    stdout: IO[str]

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; raises `subprocess.TimeoutExpired`."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0.0)
        return self.process.exitcode

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()


@dataclass
class WaitingMta:
    """A reference MTA that has not been told yet how it is configured."""

    _process: ForkedProcess
    _orders: Connection

    def begin(self, config: Path) -> ReferenceMta:
        """The server with that configuration, once it listens; raises `EmbeddedError`."""
        self._orders.send(str(config))
        mta = ReferenceMta(self._process, config)
        mta.wait_until_ready()
        return mta


@contextlib.contextmanager
def waiting_mta() -> Iterator[WaitingMta]:
    """A forked reference MTA, for as long as the context lasts; there may be no second thread yet."""
    orders, told = FORKING.Pipe(duplex=False)
    reads, asks = os.pipe()
    answered, answers = os.pipe()
    ours = (told.fileno(), asks, answered)
    process = FORKING.Process(target=_serve, args=(orders, reads, answers, ours))
    process.start()
    orders.close()
    os.close(reads)
    os.close(answers)
    forked = ForkedProcess(process, os.fdopen(asks, "w"), os.fdopen(answered))
    try:
        yield WaitingMta(forked, told)
    finally:
        told.close()
        stop(forked)


def _serve(orders: Connection, requests: int, answers: int, not_ours: tuple[int, ...]) -> None:
    """The server's side: its control channel becomes standard input and output, as of any program."""
    for number in not_ours:
        os.close(number)
    os.dup2(requests, 0)
    os.dup2(answers, 1)
    os.close(requests)
    os.close(answers)
    try:
        config = Path(orders.recv())
    except EOFError:
        return  # it was not needed
    with log_of(config).open("w") as log:
        os.dup2(log.fileno(), 2)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.exit(main([str(config), "--control"]))
