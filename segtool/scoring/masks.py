"""Masks on disk scored against true ones: what values mean is decided over all of them, yet each is read but once."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segtool.data.classes import MaskCoding, decide_coding
from segtool.data.layout import Pair, pair_name
from segtool.data.readings import UNKNOWN, Reading, Seen, first_look, look, prediction_reading, truth_reading
from segtool.data.truth import ASPECT_TOLERANCE
from segtool.errors import DataError
from segtool.imaging.codec import Pixels
from segtool.imaging.curves import probability_bins
from segtool.imaging.masks import read_raw_mask, resize_mask
from segtool.imaging.metrics import Tally
from segtool.scoring.counting import WINDOW, Asked, Counted, Tick, count_pair, tallied
from segtool.streaming import FailureLog, caught, ordered_map

NOTHING = Seen()
BIN_OF_BYTE = probability_bins(np.linspace(0, 1, 256, dtype=np.float32))


@dataclass(frozen=True)
class Found:
    """The counts of masks on disk, and how they and their truths were read."""

    tally: Tally
    coding: MaskCoding
    reading: Reading


@dataclass(frozen=True)
class Strange:
    """Raw values that the readings do not explain, in truths and in predictions."""

    truths: Seen = NOTHING
    predictions: Seen = NOTHING


def score_masks(
    prediction_of: Mapping[Pair, Path], others: Sequence[Pair], *, root: Path, folder: Path, threshold: float,
    failures: FailureLog, progress: Callable[[], AbstractContextManager[Any]], asked: Asked,
) -> Found:  # fmt: skip
    """Returns the counts of predictions in `folder` against the truths of the dataset at `root`.

    A first look at a few masks says how to read all; should later ones hold values that this does not explain, all are
    read once more. `others` are pairs not scored, whose truths too decide what values mean where there is no
    `classes.json`. Soft masks are cut at `threshold`. Raises DataError when values cannot be understood.
    """
    truths = first_look([pair.mask for pair in prediction_of])
    if not (root / "classes.json").is_file():
        truths = truths.plus(look([pair.mask for pair in others]))
    predictions = first_look(list(prediction_of.values()))
    while True:
        coding = decide_coding(truths.values, root=root, any_jpeg=truths.any_jpeg, colors=truths.colors)
        reading = prediction_reading(predictions, coding, folder=folder, threshold=threshold)
        if asked.shortlist:
            asked.shortlist.clear()
        attempt = FailureLog()
        with progress() as bar:
            tally, strange = tally_masks(
                prediction_of, truth_reading(coding), reading, classes=len(coding.classes), failures=attempt,
                tick=bar.update, asked=replace(asked, histogram=reading.soft),
            )  # fmt: skip
        if strange == Strange():
            failures.failures += attempt.failures
            return Found(tally, coding, reading)
        truths, predictions = truths.plus(strange.truths), predictions.plus(strange.predictions)


def tally_masks(
    prediction_of: Mapping[Pair, Path], truth: Reading, prediction: Reading, *, classes: int, failures: FailureLog,
    tick: Tick = lambda: None, asked: Asked,
) -> tuple[Tally, Strange]:  # fmt: skip
    """Returns the counts of masks on disk, each at its truth's size, and the values the readings do not explain; pairs
    with such values are not counted.

    Pairs that cannot be read, or whose masks differ in shape by more than scale, are noted.
    """
    seen: list[Strange] = []

    def count(pair: Pair) -> Counted | None:
        path = prediction_of[pair]
        raw_truth, raw_found = read_raw_mask(pair.mask), read_raw_mask(path)
        true, found = truth.indices(raw_truth), prediction.indices(raw_found)
        if UNKNOWN in (true.max(), found.max()):
            seen.append(Strange(truth.unexplained(raw_truth), prediction.unexplained(raw_found)))
            return None
        _check_shape(found, true, pair, path)
        bins = BIN_OF_BYTE[resize_mask(raw_found.astype(np.uint8), *true.shape)] if asked.histogram else None
        return count_pair(
            pair, true, resize_mask(found, *true.shape), classes=classes, asked=asked, bins=bins
        )  # fmt: skip

    with ThreadPoolExecutor() as pool:
        counted = ordered_map(caught(count, failures, name=pair_name), prediction_of, pool, window=WINDOW)
        tally = tallied(counted, classes=classes, asked=asked, tick=tick)
    strange = Strange()
    for one in seen:
        strange = Strange(strange.truths.plus(one.truths), strange.predictions.plus(one.predictions))
    return tally, strange


def _check_shape(found: Pixels, true: Pixels, pair: Pair, path: Path) -> None:
    """Raises DataError when a prediction differs from its truth by more than scale."""
    (height, width), (tall, wide) = found.shape, true.shape
    if found.shape != true.shape and abs(height * wide / (width * tall) - 1) > ASPECT_TOLERANCE:
        raise DataError(
            f"{path} is {width}×{height} but the true mask {pair.mask} is {wide}×{tall}: the shapes differ by more "
            "than 1 %, so they are no pair."
        )
