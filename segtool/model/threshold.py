"""The threshold of two-class weights, chosen on a split."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import numpy.typing as npt

from segtool.data.classes import MaskCoding
from segtool.data.layout import Pair, pair_name
from segtool.data.truth import read_truth
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predicted, Predictor, predicted
from segtool.streaming import FailureLog, caught, ordered_map

STEPS = 100  # candidates are hundredths
LOWEST, HIGHEST = 5, 95  # beyond, a picture of another kind would turn all foreground, or all background

Histogram = npt.NDArray[np.int64]  # (2, STEPS + 1): pixels by truth and by ⌊p · STEPS⌋


def best_threshold(
    codings: Mapping[Pair, MaskCoding], predictor: Predictor, *, batch_size: int,
    tick: Callable[[], object] = lambda: None,
) -> float:  # fmt: skip
    """Returns the threshold in hundredths at which the pooled foreground IoU over all pairs is best, masks at their own
    size; of equals, that nearest to 0.5. Pairs that cannot be read are left out.
    """
    failures = FailureLog()  # whoever scores the pairs names them

    def read(pair: Pair) -> Pixels:
        return read_image(pair.image)

    def count(item: Predicted[Pair]) -> Histogram:
        truth = read_truth(item.source, codings[item.source], item.size)
        return histogram(item.probability, truth)

    total = np.zeros((2, STEPS + 1), np.int64)
    with ThreadPoolExecutor() as pool:
        stream = predicted(
            list(codings), read=read, predictor=predictor, batch_size=batch_size, executor=pool, failures=failures,
            name=pair_name,
        )  # fmt: skip
        counted = ordered_map(caught(count, failures, name=lambda p: pair_name(p.source)), stream, pool, window=8)
        for one in counted:
            total = total if one is None else total + one
            tick()
    return best_of(total)


def histogram(probability: Probability, truth: Pixels) -> Histogram:
    """Returns how many pixels of background and of foreground have each hundredth of `(h, w, 1)` probability, scaled to
    the truth's size; ignored ones left out.
    """
    height, width = truth.shape
    plane = cv2.resize(probability[..., 0], (width, height), interpolation=cv2.INTER_LINEAR)
    bins = np.clip(plane * STEPS, 0, STEPS).astype(np.int64)
    return np.stack([np.bincount(bins[truth == index], minlength=STEPS + 1) for index in (0, 1)])


def best_of(counts: Histogram) -> float:
    """Returns the best threshold of a pooled histogram."""
    found = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels at or above each threshold, by truth
    union = counts[1].sum() + found[0]
    iou = found[1] / np.maximum(union, 1)
    steps = range(LOWEST, HIGHEST + 1)
    best = max(steps, key=lambda k: (round(float(iou[k]), 6), -abs(k - STEPS // 2)))
    return best / STEPS
