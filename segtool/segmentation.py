"""From jobs to class indices at each picture's own size: seen whole, or in tiles.

Both give the same stream, as masks made before do (`painting`), so that what is written does not depend on where the
masks came from.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from segtool.card import Card, ClassInfo
from segtool.imaging.codec import Pixels, Size, SizeOf
from segtool.imaging.geometry import Probability, Rows, confidence, flipped, to_mask, to_soft
from segtool.imaging.regions import clean, next_best_in, next_best_of
from segtool.imaging.tiles import TiledMask, tiled_mask
from segtool.imaging.tiling import tiling_of
from segtool.options import Cleaning, MaskOptions, WriteOptions
from segtool.pipeline import Predictor, Tell, halving, predicted
from segtool.plan import Job
from segtool.streaming import FailureLog, caught, ordered_map

Read = Callable[[Job], Pixels]
HALF = 128  # of soft values: where foreground begins
TILE_OVERLAP = 0.25  # of a tile's side
AHEAD, LARGE_AHEAD = 16, 2  # masks made and written beside the network


@dataclass(frozen=True)
class Mask:
    """The mask of one picture: `(H, W)` uint8 class indices at its own size, and how sure the network was, in [0, 1].

    `soft(classes)` gives `(H, W)` uint8, 255 times the probability that a pixel is one of `classes` (none given: of the
    foreground, or of the likeliest class where there are more than two). It and `probability`, `(h, w, C)` float32 as
    the network gave it, are None where there is none to give. `image` is the picture itself, where it was decoded whole
    on the way.
    """

    indices: Pixels
    confidence: float | None = None
    soft: Callable[[tuple[int, ...]], Pixels] | None = None
    probability: Probability | None = None
    image: Pixels | None = None


@dataclass(frozen=True)
class Reading:
    """How a job's picture is read: `whole`, `resized` and its own size, or that and what hands out its rows, where a
    whole one may not fit.
    """

    whole: Read
    resized: Callable[[Job, SizeOf], tuple[Pixels, Size]]
    by_rows: Callable[[Job], tuple[Size, Rows]]


@dataclass(frozen=True)
class Segmented:
    """One job and its mask, which is made when `mask()` is called: on the thread that writes it."""

    job: Job
    mask: Callable[[], Mask]


Stream = Callable[[Iterable[Job], Reading, Executor, FailureLog], Iterator[Segmented]]


@dataclass(frozen=True)
class Segmenter:
    """Where masks come from: the classes their indices stand for, and the stream itself.

    `precision` says what a network runs in once it gave a mask. At most `ahead` masks are to be held until they are
    written.
    """

    classes: tuple[ClassInfo, ...]
    precision: Callable[[], str | None]
    stream: Stream
    ahead: int

    @property
    def binary(self) -> bool:
        """Whether there are just background and foreground."""
        return len(self.classes) == 2


def segmenter_of(
    load: Callable[[], Predictor], card: Card, options: WriteOptions, *, tile: int | None, tell: Tell
) -> Segmenter:
    """Returns the masks of the network that `load` gives; `tell` hears which it is and how it runs, and when batches
    had to be made smaller.
    """

    @cache
    def ready() -> Predictor:
        predictor = load()
        batch_size = options.engine.batch_size or predictor.batch_size
        weights = f"weights {card.name}{': ' + card.licence if card.licence else ''}"
        seen = f"tiles of {tile} pixels, batches of {batch_size}" if tile else f"batches of {batch_size}"
        tell(f"{predictor.device}, {predictor.precision}, {seen}, {weights}")
        predictor = predictor.wrapped(partial(halving, tell=tell))
        predictor = predictor.wrapped(flipped) if options.predicting.tta else predictor
        return replace(predictor, batch_size=batch_size)

    return Segmenter(
        classes=card.classes,
        precision=lambda: ready().precision,
        stream=partial(_tiled, ready, card, options, tile) if tile else partial(_whole, ready, card, options),
        ahead=LARGE_AHEAD if tile else AHEAD,
    )


def _whole(
    load: Callable[[], Predictor], card: Card, options: WriteOptions,
    jobs: Iterable[Job], reading: Reading, executor: Executor, failures: FailureLog,
) -> Iterator[Segmented]:  # fmt: skip
    items = predicted(
        jobs, read=reading.resized, card=card, load=load, executor=executor, failures=failures, name=_itself
    )
    threshold = card.cut(options.predicting.threshold)
    for item in items:
        yield Segmented(item.source, partial(_mask_of, item.probability, item.size, threshold, options.cleaning))


def _tiled(
    load: Callable[[], Predictor], card: Card, options: WriteOptions, tile: int,
    jobs: Iterable[Job], reading: Reading, executor: Executor, failures: FailureLog,
) -> Iterator[Segmented]:  # fmt: skip
    binary = card.binary
    wants_soft = isinstance(options, MaskOptions) and (options.values == "soft" or options.cutouts is not None)

    def opened(job: Job) -> tuple[Job, tuple[int, int], Rows]:
        return job, *reading.by_rows(job)

    def segment(found: tuple[Job, tuple[int, int], Rows]) -> Segmented:
        job, size, rows = found
        tiling = tiling_of(size, network_size=card.network_size, stride=card.stride, tile=tile, overlap=TILE_OVERLAP)
        made = tiled_mask(
            rows, tiling, threshold=card.cut(options.predicting.threshold),
            predict=load().predict, batch_size=load().batch_size, soft=wants_soft,
            second=options.cleaning.removes and not binary,
        )  # fmt: skip
        return Segmented(job, partial(_mask_of_tiles, made, binary, options.cleaning))

    # One picture at a time: of those that are worth tiling, two may be more than there is memory for.
    loaded = ordered_map(caught(opened, failures, name=_itself), jobs, executor, window=1)
    safe = caught(segment, failures, name=lambda found: found[0])
    for found in loaded:
        segmented = safe(found) if found else None
        if segmented:
            yield segmented


def _mask_of_tiles(made: TiledMask, binary: bool, cleaning: Cleaning) -> Mask:
    indices = made.indices
    if cleaning.asked:
        indices = clean(indices, cleaning, next_best=None if made.runner_up is None else next_best_in(made.runner_up))

    def soft(classes: tuple[int, ...]) -> Pixels:
        assert made.soft is not None
        if binary:
            return _settled(made.soft, indices) if cleaning.asked else made.soft
        if not classes:
            return made.soft
        # Of a picture in tiles only the likeliest class' probability is kept: to all others falls what it leaves.
        chosen = np.isin(indices, classes)
        return np.where(chosen, made.soft, np.minimum(255 - made.soft, HALF - 1)).astype(np.uint8)

    return Mask(indices, made.confidence, soft)


def _mask_of(probability: Probability, size: tuple[int, int], threshold: float, cleaning: Cleaning) -> Mask:
    indices = to_mask(probability, *size, threshold=threshold)
    if cleaning.asked:
        indices = clean(indices, cleaning, next_best=next_best_of(probability, *size))

    def soft(classes: tuple[int, ...]) -> Pixels:
        if classes and probability.shape[2] > 1:
            chosen = probability[..., list(classes)].sum(axis=2, keepdims=True)
            return to_soft(np.minimum(chosen, 1), *size)
        plane = to_soft(probability, *size)
        return _settled(plane, indices) if cleaning.asked and probability.shape[2] == 1 else plane

    return Mask(indices, confidence(probability), soft, probability)


def _settled(soft: Pixels, indices: Pixels) -> Pixels:
    """Returns the foreground's soft values, true to a cleaned mask: what was removed from it is below half."""
    return np.where(indices == 0, np.minimum(soft, HALF - 1), np.maximum(soft, HALF)).astype(np.uint8)


def _itself(job: Job) -> Job:
    return job
