"""One thing after the other in the main thread, where a pool of threads would be used otherwise."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InTurn(Executor):
    """Does one thing after the other, where and when it is told to go on: in the main thread."""

    def __init__(self) -> None:
        """Nothing is waiting."""
        self._waiting: deque[Callable[[], object]] = deque()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """When its turn comes."""
        future: Future[T] = Future()
        self._waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def do_next(self) -> bool:
        """What comes next, from its beginning to its end; whether there was anything."""
        if not self._waiting:
            return False
        self._waiting.popleft()()
        return True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing goes on by itself."""
        self._waiting.clear()
