"""Streams: bounded parallel maps, batches, and the failures that travel beside them. Nothing here knows images."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import takewhile
from types import FrameType, TracebackType
from typing import Any, TypeVar

from segtool.errors import OutputError, SegtoolError

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K")


class FailureLog:
    """The failures of single files, kept beside the stream so that one bad file never ends a run.

    `tell` hears of each as it happens, with what failed and why.
    """

    def __init__(self, tell: Callable[[Any, str], object] = lambda source, reason: None) -> None:
        self.failures: list[tuple[str, str]] = []
        self._tell = tell

    def add(self, source: object, reason: object) -> None:
        """Notes that `source` failed because of `reason`; safe from any thread."""
        self.failures.append((str(source), str(reason)))
        self._tell(source, str(reason))


def ordered_map(function: Callable[[T], R], items: Iterable[T], executor: Executor, *, window: int) -> Iterator[R]:
    """Yields `function(item)` in the order of `items`, with at most `window` items taken ahead.

    `Executor.map` submits everything at once, which holds every decoded picture in memory.
    """
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def grouped(items: Iterable[T], key: Callable[[T], K], size: int) -> Iterator[list[T]]:
    """Yields lists of up to `size` items of one key; at most `size - 1` items a key wait, rest flushed at the end."""
    waiting: dict[K, list[T]] = {}
    for item in items:
        group = waiting.setdefault(key(item), [])
        group.append(item)
        if len(group) == size:
            yield waiting.pop(key(item))
    yield from waiting.values()


class Interrupt:
    """Turns the first SIGINT or SIGTERM inside the `with` into a polite request to stop; a second one kills.

    `exit_code` is 130 or 143 once asked, else 0.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():  # signal handlers live only there
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # typeshed cannot say what signal() returned

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = 128 + number
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)

    def until(self, items: Iterable[T]) -> Iterator[T]:
        """Yields `items` until an interrupt is asked for."""
        return takewhile(lambda _: not self.exit_code, items)


def caught(
    function: Callable[[T], R], failures: FailureLog, *, name: Callable[[T], object] = str
) -> Callable[[T], R | None]:
    """Returns `function` made safe for a stream: a failure is noted under `name(item)` and gives None.

    So is what nobody expected, since one picture that meets a bug must not end a night's run. A place that cannot be
    written, or a reader of stdout that went away, is no failure of one file: OutputError and BrokenPipeError pass.
    """

    def safe(item: T) -> R | None:
        try:
            return function(item)
        except (OutputError, BrokenPipeError):
            raise
        except SegtoolError as error:
            failures.add(name(item), error)
        except MemoryError:
            failures.add(name(item), f"{name(item)} needs more memory than there is.")
        except Exception as error:
            failures.add(name(item), f"{name(item)} met a bug in segtool ({type(error).__name__}: {error}).")
        return None

    return safe
