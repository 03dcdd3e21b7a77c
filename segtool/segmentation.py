"""From jobs to class indices at each picture's own size: seen whole, or in tiles.

Both give the same stream, as masks made before do (`painting`), so that what is written does not depend on where the
masks came from.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from segtool.card import ClassInfo
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability, confidence, flipped, to_mask, to_soft
from segtool.imaging.regions import clean, next_best_of
from segtool.options import Cleaning, WriteOptions
from segtool.pipeline import Predictor, Tell, halving, predicted
from segtool.plan import Job
from segtool.streaming import FailureLog

Read = Callable[[Job], Pixels]
Stream = Callable[[Iterable[Job], Read, Executor, FailureLog], "Iterator[Segmented]"]
HALF = 128  # of soft values: where foreground begins


@dataclass(frozen=True)
class Mask:
    """The mask of one picture: `(H, W)` uint8 class indices at its own size, and how sure the network was, in [0, 1].

    `soft(classes)` gives `(H, W)` uint8, 255 times the probability that a pixel is one of `classes` (none given: of the
    foreground, or of the likeliest class where there are more than two). It and `probability`, `(h, w, C)` float32 as
    the network gave it, are None where there is none to give.
    """

    indices: Pixels
    confidence: float | None = None
    soft: Callable[[tuple[int, ...]], Pixels] | None = None
    probability: Probability | None = None


@dataclass(frozen=True)
class Segmented:
    """One job and its mask, which is made when `mask()` is called: on the thread that writes it."""

    job: Job
    mask: Callable[[], Mask]


@dataclass(frozen=True)
class Segmenter:
    """Where masks come from: the classes their indices stand for, the notice that says so, and the stream itself."""

    classes: tuple[ClassInfo, ...]
    notice: str
    precision: str | None
    stream: Stream

    @property
    def binary(self) -> bool:
        """Whether there are just background and foreground."""
        return len(self.classes) == 2


def segmenter_of(predictor: Predictor, options: WriteOptions, *, tile: int | None, tell: Tell) -> Segmenter:
    """Returns the masks of a network; `tell` hears when batches had to be made smaller."""
    predict = halving(predictor.predict, tell)
    ready = replace(predictor, predict=flipped(predict) if options.predicting.tta else predict)
    card, batch_size, threshold = predictor.card, options.engine.batch_size, options.predicting.threshold
    threshold = card.threshold if threshold is None else threshold
    licence = f": {card.licence}" if card.licence else ""
    seen = f"tiles of {tile} pixels, " if tile else ""
    seen += f"batches of {batch_size}, "
    return Segmenter(
        classes=card.classes,
        notice=f"{predictor.device}, {predictor.precision}, {seen}weights {card.name}{licence}",
        precision=predictor.precision,
        stream=partial(_whole, ready, batch_size, threshold, options.cleaning),
    )


def _whole(
    predictor: Predictor, batch_size: int, threshold: float, cleaning: Cleaning,
    jobs: Iterable[Job], read: Read, executor: Executor, failures: FailureLog,
) -> Iterator[Segmented]:  # fmt: skip
    items = predicted(
        jobs, read=read, predictor=predictor, batch_size=batch_size, executor=executor, failures=failures,
        name=lambda job: job,
    )  # fmt: skip
    for item in items:
        yield Segmented(item.source, partial(_mask_of, item.probability, item.size, threshold, cleaning))


def _mask_of(probability: Probability, size: tuple[int, int], threshold: float, cleaning: Cleaning) -> Mask:
    indices = to_mask(probability, *size, threshold=threshold)
    if cleaning.asked:
        indices = clean(indices, cleaning, next_best=next_best_of(probability, *size))

    def soft(classes: tuple[int, ...]) -> Pixels:
        if classes and probability.shape[2] > 1:
            chosen = probability[..., list(classes)].sum(axis=2, keepdims=True)
            return to_soft(np.minimum(chosen, 1), *size)
        plane = to_soft(probability, *size)
        if cleaning.asked and probability.shape[2] == 1:  # what was removed or filled is no longer in doubt
            plane = np.where(indices == 0, np.minimum(plane, HALF - 1), np.maximum(plane, HALF)).astype(np.uint8)
        return plane

    return Mask(indices, confidence(probability), soft, probability)
