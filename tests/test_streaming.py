"""Streams: order, windows, groups, failures beside the stream, and polite interrupts."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest

from segtool.errors import DataError, ImageError, ModelError, OutputError
from segtool.streaming import FailureLog, Interrupt, caught, grouped, ordered_map


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


class Counted:
    """Yields 0, 1, … and remembers how many were taken."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    def __iter__(self) -> Iterator[int]:
        for item in range(self.count):
            self.taken += 1
            yield item


def fail_at_3(item: int) -> int:
    if item == 3:
        raise ImageError("three")
    return item


def test_ordered_map_keeps_order_when_later_items_finish_first(pool: Executor) -> None:
    second_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_done.wait(10)
        if item == 1:
            second_done.set()
        return item * 10

    assert list(ordered_map(work, range(5), pool, window=3)) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("window", [1, 2, 5, 100])
def test_ordered_map_yields_every_item_whatever_the_window(pool: Executor, window: int) -> None:
    assert list(ordered_map(str, range(7), pool, window=window)) == list("0123456")


def test_ordered_map_of_nothing_is_nothing(pool: Executor) -> None:
    assert list(ordered_map(str, [], pool, window=2)) == []


@pytest.mark.parametrize("window", [1, 3, 8])
def test_ordered_map_takes_at_most_window_items_ahead(pool: Executor, window: int) -> None:
    items = Counted(20)
    ahead = [items.taken - given for given, _ in enumerate(ordered_map(str, items, pool, window=window))]
    assert max(ahead) == window


def test_ordered_map_takes_nothing_before_it_is_asked(pool: Executor) -> None:
    items = Counted(20)
    ordered_map(str, items, pool, window=4)
    assert items.taken == 0


def test_ordered_map_raises_what_the_function_raised_after_the_results_before_it(pool: Executor) -> None:
    results: list[int] = []
    with pytest.raises(ImageError, match="three"):
        results.extend(ordered_map(fail_at_3, range(9), pool, window=2))
    assert results == [0, 1, 2]


def test_ordered_map_raises_what_the_items_raised(pool: Executor) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        list(ordered_map(str, items(), pool, window=2))


def test_ordered_map_cancels_what_waits_when_it_is_closed() -> None:
    release, started = threading.Event(), []

    def work(item: int) -> int:
        started.append(item)
        if item:
            release.wait(10)
        return item

    with ThreadPoolExecutor(1) as one:
        stream = ordered_map(work, range(9), one, window=9)
        assert next(stream) == 0
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        release.set()
    assert set(started) <= {0, 1}


def test_grouped_gives_a_list_as_soon_as_it_is_full() -> None:
    items = Counted(10)
    assert next(grouped(items, key=lambda i: i % 2, size=2)) == [0, 2]
    assert items.taken == 3


def test_grouped_keeps_one_key_a_list_and_flushes_the_rest_at_the_end() -> None:
    words = ["a1", "b1", "a2", "c1", "b2", "a3"]
    assert list(grouped(words, key=lambda w: w[0], size=2)) == [["a1", "a2"], ["b1", "b2"], ["c1"], ["a3"]]


def test_grouped_by_one_gives_every_item_at_once_and_in_order() -> None:
    assert list(grouped(range(4), key=lambda i: 0, size=1)) == [[0], [1], [2], [3]]


@pytest.mark.parametrize("error", [ImageError("bad"), DataError("bad"), ModelError("bad")])
def test_an_expected_failure_is_noted_and_gives_none(error: Exception) -> None:
    def fail(item: int) -> int:
        raise error

    log = FailureLog()
    assert caught(fail, log)(7) is None
    assert log.failures == [("7", "bad")]


def test_a_failure_is_noted_under_the_name_asked_for() -> None:
    log = FailureLog()
    safe = caught(fail_at_3, log, name=lambda item: f"picture {item}")
    assert [safe(item) for item in range(5)] == [0, 1, 2, None, 4]
    assert log.failures == [("picture 3", "three")]


def test_a_full_disk_passes_through() -> None:
    def fail(item: int) -> int:
        raise OutputError("disk full")

    log = FailureLog()
    with pytest.raises(OutputError):
        caught(fail, log)(7)
    assert log.failures == []


@pytest.mark.parametrize(
    ("error", "told"), [(ZeroDivisionError("by 0"), r"ZeroDivisionError: by 0"), (MemoryError(), "needs more memory")]
)
def test_a_bug_and_a_lack_of_memory_fail_one_item_and_are_told_with_its_name(error: Exception, told: str) -> None:
    def fail(item: int) -> int:
        raise error

    log = FailureLog()
    assert caught(fail, log, name=lambda item: f"picture {item}")(7) is None
    ((name, reason),) = log.failures
    assert name == "picture 7"
    assert "picture 7" in reason and told in reason


def test_a_failure_is_told_when_it_happens_with_what_failed() -> None:
    told: list[tuple[int, str]] = []
    safe = caught(fail_at_3, FailureLog(lambda item, why: told.append((item, why))), name=lambda item: item)
    assert [safe(item) for item in range(5)] == [0, 1, 2, None, 4]
    assert told == [(3, "three")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_the_stream_after_the_current_item(number: int, code: int) -> None:
    seen = []
    with Interrupt() as interrupt:
        for item in interrupt.until(range(9)):
            seen.append(item)
            if item == 2:
                _send(number)
                assert signal.getsignal(number) is signal.SIG_DFL  # a second one kills
    assert seen == [0, 1, 2]
    assert interrupt.exit_code == code


def test_without_a_signal_all_items_pass_and_the_exit_code_is_zero() -> None:
    with Interrupt() as interrupt:
        assert list(interrupt.until(range(3))) == [0, 1, 2]
    assert interrupt.exit_code == 0


@pytest.mark.parametrize("signalled", [False, True])
def test_leaving_restores_the_handlers_of_before(signalled: bool) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
        if signalled:
            _send(signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_error_inside_restores_the_handlers_as_well() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(DataError), Interrupt():
        raise DataError("inside")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_an_interrupt_changes_no_handler_and_lets_all_pass() -> None:
    def inside() -> tuple[list[int], object]:
        with Interrupt() as interrupt:
            return list(interrupt.until(range(3))), signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as one:
        assert one.submit(inside).result() == ([0, 1, 2], signal.getsignal(signal.SIGINT))


def _send(number: int) -> None:
    """Signals this process and waits until Python has run the handler."""
    before = signal.getsignal(number)
    os.kill(os.getpid(), number)
    until = time.monotonic() + 10
    while signal.getsignal(number) == before and time.monotonic() < until:
        time.sleep(0.001)
