"""The stream from files to probabilities: read -> group by shape -> predict, lazily and in bounded memory.

It is handed `predict`; it never imports a model.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Generic, TypeVar

import cv2
import numpy as np

from segtool.card import Card
from segtool.errors import DeviceMemoryError
from segtool.imaging.codec import Pixels, Size, SizeOf
from segtool.imaging.geometry import Probability, network_shape
from segtool.streaming import FailureLog, caught, grouped, ordered_map

Predict = Callable[[Pixels], Probability]  # (B, h, w, 3) uint8 -> (B, h, w, C) float32 in [0, 1]
WINDOW = 64  # pictures decoded ahead of the network, as it sees them; beside them at most a batch a shape waits

T = TypeVar("T")
Tell = Callable[[str], object]
Prepared = list[tuple[T, Pixels, Size]]  # a batch: source, network input, own height and width


@dataclass(frozen=True)
class Predictor:
    """Weights ready to run: `predict` takes sides that are multiples of the card's stride.

    It is fastest with `batch_size` pictures at once, and called from `in_flight` threads: the next batch is handed over
    before the last is fetched from a GPU. `inline`, where there is one, does the same on the thread that calls it, one
    picture after the other: it is for threads that are one a core.
    """

    predict: Predict
    card: Card
    precision: str
    device: str
    batch_size: int = 8
    in_flight: int = 1
    inline: Predict | None = None

    def wrapped(self, wrap: Callable[[Predict], Predict]) -> "Predictor":
        """Returns the predictor with all that predicts in it wrapped."""
        return replace(self, predict=wrap(self.predict), inline=self.inline and wrap(self.inline))


@dataclass(frozen=True)
class Predicted(Generic[T]):
    """One picture through the network: its source, its own height and width, and `(h, w, C)` probability."""

    source: T
    size: Size
    probability: Probability


def workers() -> ThreadPoolExecutor:
    """Returns the threads that decode and write, one a core, and run the network where it is `inline`. OpenCV gets none
    of its own.

    Threads of the network's own beside them are for TensorFlow and JAX alone: with one more a core for oneDNN, 200
    JPEGs of 12 megapixels took 7.4 s on two cores, and 7.1 s without (medians of four runs in turn). Of 336 all of
    `segtool mask` took 10.1 s with Python's six threads and OpenCV's own, 16 pictures decoded ahead and 8 masks waiting
    to be written; 9.5 s with two, 32 and 16; 9.8 s with three. Of 480 JPEGs of 640×480 a mask took 4.3 ms with 32
    decoded ahead, 4.1 with 64, in batches of 16.
    """
    cv2.setNumThreads(1)
    return ThreadPoolExecutor(cores())


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shape_of(card: Card) -> SizeOf:
    """Returns what gives `(h, w)` as the network sees a picture of a height and width."""
    return partial(network_shape, network_size=card.network_size, stride=card.stride)


def predicted(
    sources: Iterable[T], *, read: Callable[[T, SizeOf], tuple[Pixels, Size]], card: Card,
    load: Callable[[], Predictor], executor: Executor, failures: FailureLog, name: Callable[[T], object] = str,
) -> Iterator[Predicted[T]]:  # fmt: skip
    """Yields each source that `read`, as `read_resized`, can decode with its probability, batched by network shape.

    The network, whose `card` is known before, is asked for by `load` once pictures are being decoded. Sources that fail
    are noted in `failures` under `name(source)`. Only the network's input is held, never the full picture, so memory
    depends on neither the number of pictures nor, while they wait, their size.
    """
    shape = shape_of(card)

    def prepare(source: T) -> tuple[T, Pixels, Size]:
        return source, *read(source, shape)

    decoded = ordered_map(caught(prepare, failures, name=name), sources, executor, window=WINDOW)
    ready = (item for item in decoded if item)
    first = list(islice(ready, 1))  # a window of pictures is being decoded from here on, while the network loads
    if not first:
        return
    predictor = load()

    def run(batch: Prepared[T]) -> tuple[Prepared[T], Probability]:
        return batch, predictor.predict(np.stack([image for _, image, _ in batch]))

    pictures = chain(first, ready)
    if predictor.inline is not None:
        alone = partial(_predicted_alone, predictor.inline)
        yield from ordered_map(alone, pictures, executor, window=predictor.batch_size)
        return
    batches = grouped(pictures, key=lambda item: item[1].shape, size=predictor.batch_size)
    with ThreadPoolExecutor(predictor.in_flight) as calls:
        for batch, probabilities in ordered_map(run, batches, calls, window=predictor.in_flight):
            for (source, _, size), probability in zip(batch, probabilities, strict=True):
                yield Predicted(source, size, probability)


def _predicted_alone(predict: Predict, item: tuple[T, Pixels, Size]) -> Predicted[T]:
    source, image, size = item
    return Predicted(source, size, predict(image[None])[0])


def halving(predict: Predict, tell: Tell) -> Predict:
    """Returns `predict` that makes a batch which does not fit smaller, down to one picture, and keeps to that size.

    `tell` hears it once. Raises DeviceMemoryError when one picture alone does not fit.
    """
    most: int | None = None

    def halved(batch: Pixels) -> Probability:
        nonlocal most
        parts: list[Probability] = []
        begin = 0
        while begin < len(batch):
            part = batch[begin : begin + (most or len(batch))]
            try:
                parts.append(predict(part))
            except DeviceMemoryError:
                if len(part) == 1:
                    raise DeviceMemoryError(
                        f"The device has no memory for one picture of {part.shape[2]}×{part.shape[1]}: "
                        "use --device cpu, or --tile with smaller tiles."
                    ) from None
                if most is None:
                    tell(f"The device has no memory for batches of {len(part)}: they are made smaller.")
                most = len(part) // 2
            else:
                begin += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return halved
