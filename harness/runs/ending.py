"""How a run comes to its end before its time: who asks for that, and what is said of it."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import pytest

REQUESTS = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def heeding_requests() -> Iterator[None]:
    """A request to end does what Ctrl-C does, in the main thread, unless somebody else sees to it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {one: signal.signal(one, leave) for one in REQUESTS if signal.getsignal(one) is signal.SIG_DFL}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def why(ending: BaseException | None) -> str:
    """What ended a run, as a clause about it."""
    if isinstance(ending, pytest.Session.Failed | pytest.Session.Interrupted):
        return f"it was ended early ({ending})"
    if isinstance(ending, KeyboardInterrupt):
        return f"it was interrupted by {ending if ending.args else 'Ctrl-C'}"
    return f"it broke off ({type(ending).__name__})" if ending else "it ended early"
