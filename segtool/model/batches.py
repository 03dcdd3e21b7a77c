"""Pairs on disk to batches in memory: decoded once, kept at the scale training needs, augmented in the background.

Any Keras backend: NumPy arrays come out. Images are `(B, h, w, 3)` uint8, truths `(B, h, w, 1)` uint8 class indices;
what a teacher says of the images follows as more channels.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segtool.data.classes import MaskCoding
from segtool.data.layout import Pair, pair_name
from segtool.data.truth import read_pair
from segtool.imaging.augment import augment, paste
from segtool.imaging.codec import Pixels, Size
from segtool.imaging.geometry import network_shape
from segtool.model.cache import DiskCache, Place, Sample
from segtool.model.teacher import Teacher
from segtool.pipeline import workers
from segtool.streaming import FailureLog, caught, ordered_map

HEADROOM = 1.25  # stored pixels a network pixel: zooming in must not only blur
MEMORY_SHARE = 0.4  # of what is available when training starts
ONE_SHAPE_SHARE = 0.9


@dataclass(frozen=True)
class SampleStore:
    """Decoded pairs by position: `samples[i]` in memory, where not `places[i]` in `cache`, where not read every time.

    `sizes[i]` is the height and width of what `read` gives for it.
    """

    pairs: tuple[Pair, ...]
    sizes: tuple[tuple[int, int], ...]
    samples: tuple[Sample | None, ...]
    read: Callable[[Pair], Sample]
    cache: DiskCache | None = None
    places: Mapping[int, Place] = field(default_factory=dict)

    def __getitem__(self, index: int) -> Sample:
        kept = self.samples[index]
        if kept is not None:
            return kept
        place = self.places.get(index)
        return self.cache.get(place) if self.cache and place else self.read(self.pairs[index])

    def __len__(self) -> int:
        return len(self.pairs)


def training_reader(codings: Mapping[Pair, MaskCoding], *, network_size: int) -> Callable[[Pair], Sample]:
    """Returns a reader of pairs at their own aspect, shrunk to what zooming in can use."""

    def size_of(height: int, width: int) -> Size:
        scale = min(1.0, HEADROOM * network_size / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def read(pair: Pair) -> Sample:
        return read_pair(pair, codings[pair], size_of)

    return read


def validation_reader(
    codings: Mapping[Pair, MaskCoding], *, network_size: int, stride: int
) -> Callable[[Pair], Sample]:
    """Returns a reader of pairs exactly as the network will see pictures, the truth beside them."""
    shape_of = partial(network_shape, network_size=network_size, stride=stride)

    def read(pair: Pair) -> Sample:
        return read_pair(pair, codings[pair], shape_of)

    return read


def load_samples(
    pairs: Iterable[Pair], read: Callable[[Pair], Sample], failures: FailureLog, *, memory: int,
    tick: Callable[[], object], cache: DiskCache | None = None,
) -> SampleStore:  # fmt: skip
    """Decodes every pair once, and keeps as many as fit into `memory` bytes, the rest in `cache` as far as that goes.

    Pairs that fail are noted and left out.
    """

    def read_named(pair: Pair) -> tuple[Pair, Sample]:
        return pair, read(pair)

    safe = caught(read_named, failures, name=pair_name)
    kept: list[Pair] = []
    sizes: list[tuple[int, int]] = []
    samples: list[Sample | None] = []
    places: dict[int, Place] = {}
    with workers() as pool:
        for loaded in ordered_map(safe, pairs, pool, window=16):
            tick()
            if loaded is None:
                continue
            pair, (image, mask) = loaded
            memory -= image.nbytes + mask.nbytes
            kept.append(pair)
            sizes.append(mask.shape)
            samples.append((image, mask) if memory >= 0 else None)
            place = cache.put((image, mask)) if cache and memory < 0 else None
            if place is not None:
                places[len(kept) - 1] = place
    return SampleStore(tuple(kept), tuple(sizes), tuple(samples), read, cache, places)


def available_memory() -> int:
    """Returns the bytes of memory that can be had without swapping, within the container's limit if there is one."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return 4 << 30
    try:
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{kind}").read_text()) for kind in ("max", "current"))
    except (OSError, ValueError):  # no control group, or one without a limit, which says "max"
        return free
    return min(free, max(limit - used, 0))


def training_shape(shapes: Sequence[tuple[int, int]], *, network_size: int, crop_size: int | None) -> tuple[int, int]:
    """Returns the one shape all training batches have: that of nearly all pictures, else a square; sides longer than
    `crop_size` are cut to it.

    One shape means one compilation, and batches that mix all pictures; normalisation suffers where batches are sorted
    by shape, since shape tells the sets apart.
    """
    [(shape, count)] = Counter(shapes).most_common(1)
    height, width = shape if count >= ONE_SHAPE_SHARE * len(shapes) else (network_size, network_size)
    longest = crop_size or network_size
    return min(height, longest), min(width, longest)


def epoch_order(sizes: Sequence[int], shares: Sequence[float], length: int, *, seed: int, epoch: int) -> list[int]:
    """Returns `length` positions drawn from data sets laid end to end, `shares[k]` of them from set k.

    Within a set every picture comes once before any comes twice. A pure function of its arguments, so that a resumed
    run sees what an undisturbed one would have.
    """
    rng = np.random.default_rng((seed, epoch))
    # A set of which no picture could be read gives its share to the others.
    shares = [share if size else 0 for share, size in zip(shares, sizes, strict=True)]
    total = sum(shares)
    drawn: list[int] = []
    start = 0
    bounds = np.rint(np.cumsum([0.0, *shares]) / total * length).astype(int)
    for size, count in zip(sizes, np.diff(bounds), strict=True):
        if count:
            rounds = [rng.permutation(size) for _ in range(-(-int(count) // size))]
            drawn += (np.concatenate(rounds)[:count] + start).tolist()
        start += size
    return [drawn[i] for i in rng.permutation(len(drawn))]


class TrainingBatches(keras.utils.PyDataset):
    """Augmented batches of one shape; the last of an epoch is full as well."""

    def __init__(
        self, store: SampleStore, order: Callable[[int], list[int]], *, shape: tuple[int, int], network_size: int,
        batch_size: int, seed: int, grey: bool = False, paste: float = 0.0, teacher: Teacher | None = None,
    ) -> None:  # fmt: skip
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=6)
        self.store, self.order_of, self.shape, self.grey, self.paste = store, order, shape, grey, paste
        self.network_size, self.batch_size, self.seed, self.epoch = network_size, batch_size, seed, 0
        self.teacher = teacher
        self.order = order(0)

    def __len__(self) -> int:
        return max(1, len(self.order) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Pixels, Pixels]:
        first = index * self.batch_size
        places = [(first + i) % len(self.order) for i in range(self.batch_size)]
        views = [self._pasted(place) for place in places]
        images, truths = np.stack([image for image, _ in views]), np.stack([mask for _, mask in views])[..., None]
        return images, np.concatenate([truths, self.teacher(images)], axis=-1) if self.teacher else truths

    def on_epoch_end(self) -> None:
        """Draws the next epoch."""
        self.go_to(self.epoch + 1)

    def go_to(self, epoch: int) -> None:
        """Draws the epoch of that number, from 0."""
        self.epoch, self.order = epoch, self.order_of(epoch)

    def at_epoch(self, epoch: int) -> "TrainingBatches":
        """Returns the same batches standing at an epoch, which no other reader moves on."""
        other = self.in_batches_of(self.batch_size)
        other.go_to(epoch)
        return other

    def in_batches_of(self, batch_size: int) -> "TrainingBatches":
        """Returns the same pictures in the same order, in batches of another size."""
        return TrainingBatches(
            self.store, self.order_of, shape=self.shape, network_size=self.network_size, batch_size=batch_size,
            seed=self.seed, grey=self.grey, paste=self.paste, teacher=self.teacher,
        )  # fmt: skip

    def names(self, epoch: int, index: int) -> list[str]:
        """Returns what the pictures of a batch are called."""
        order = self.order_of(epoch)  # not self.order: reading ahead may have drawn the next epoch already
        first = index * self.batch_size
        return [self.store.pairs[order[(first + i) % len(order)]].name for i in range(self.batch_size)]

    def _pasted(self, place: int) -> Sample:
        """Returns the view at a place of the epoch, with the objects of another where chance has it."""
        image, mask = self._view(place, place)
        rng = np.random.default_rng((self.seed, self.epoch, place, 1))
        if rng.random() >= self.paste:
            return image, mask
        # Its own number: another view of that picture than the epoch has already.
        other = self._view(int(rng.integers(len(self.order))), len(self.order) + place)
        return paste(image, mask, *other)

    def _view(self, place: int, index: int) -> Sample:
        image, mask = self.store[self.order[place]]
        scale = self.network_size / max(image.shape[:2])
        return augment(
            image, mask, shape=self.shape, scale=scale, seed=self.seed, epoch=self.epoch, index=index, grey=self.grey
        )


class ValidationBatches(keras.utils.PyDataset):
    """Whole pictures in the shape the network sees them, batches of one shape each."""

    def __init__(self, store: SampleStore, *, batch_size: int) -> None:
        super().__init__(workers=1)
        self.store = store
        by_shape: dict[tuple[int, int], list[int]] = {}
        for index, shape in enumerate(store.sizes):
            by_shape.setdefault(shape, []).append(index)
        by_aspect = [by_shape[shape] for shape in sorted(by_shape, key=lambda hw: hw[0] / hw[1])]
        # Keras infers from the first two batches which sides vary: let those be of the widest and the tallest shape.
        groups = [by_aspect[0], by_aspect[-1], *by_aspect[1:-1]] if len(by_aspect) > 1 else by_aspect
        batches = [[group[i : i + batch_size] for i in range(0, len(group), batch_size)] for group in groups]
        self.batches = [group[0] for group in batches] + [batch for group in batches for batch in group[1:]]

    def __len__(self) -> int:
        return len(self.batches)

    def in_batches_of(self, batch_size: int) -> "ValidationBatches":
        """Returns the same pictures in batches of another size."""
        return ValidationBatches(self.store, batch_size=batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        samples = [self.store[i] for i in self.batches[index]]
        return np.stack([image for image, _ in samples]), np.stack([mask for _, mask in samples])[..., None]
