"""What memory has no room for is kept on disk, without a name, as long as the disk has room."""

from pathlib import Path

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
from segtool.data.layout import Pair
from segtool.model import cache
from segtool.model.batches import SampleStore, load_samples
from segtool.model.cache import DiskCache, Sample
from segtool.streaming import FailureLog


def sample(index: int) -> Sample:
    rng = np.random.default_rng(index)
    shape = (3 + index, 7)
    return rng.integers(0, 256, (*shape, 3), np.uint8), rng.integers(0, 5, shape, np.uint8)


def load(count: int, folder: Path, *, memory: int) -> tuple[SampleStore, list[str]]:
    decoded: list[str] = []

    def read(pair: Pair) -> Sample:
        decoded.append(pair.name)
        return sample(int(pair.name))

    pairs = [Pair(str(i), Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(count)]
    store = load_samples(
        pairs, read, FailureLog(), memory=memory, tick=lambda: None, cache=DiskCache(folder)
    )  # fmt: skip
    return store, decoded


def check(store: SampleStore) -> None:
    for index in [*range(len(store)), 0]:
        for found, wanted in zip(store[index], sample(index), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("memory", [0, 3 * 7 * 4, 10**9])
def test_every_pair_is_decoded_once_whatever_the_memory(memory: int, tmp_path: Path) -> None:
    store, decoded = load(5, tmp_path, memory=memory)
    check(store)
    assert sorted(decoded) == list("01234")


def test_the_file_has_no_name_that_a_killed_run_could_leave(tmp_path: Path) -> None:
    store, _ = load(5, tmp_path, memory=0)
    check(store)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("share", "again"), [(0, 5), (1.0, 0)])
def test_what_the_disk_has_no_room_for_is_decoded_again(
    share: float, again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "DISK_SHARE", share)
    store, decoded = load(5, tmp_path, memory=0)
    decoded.clear()
    for index in range(5):
        store[index]
    assert len(decoded) == again


def test_a_disk_that_fills_up_keeps_what_was_there_before(tmp_path: Path) -> None:
    kept = DiskCache(tmp_path)
    first = kept.put(sample(0))

    class Full:
        def seek(self, at: int) -> None:
            raise OSError(28, "No space left on device")

    whole, kept._file = kept._file, Full()  # type: ignore[assignment]
    assert kept.put(sample(1)) is None
    kept._file = whole
    assert kept.put(sample(2)) is None
    assert first is not None
    np.testing.assert_array_equal(kept.get(first)[0], sample(0)[0])
