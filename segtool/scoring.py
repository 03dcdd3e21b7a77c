"""Scores of a predictor on pairs: one stream for `evaluate` and for the end of `train`."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segtool.data.classes import MaskCoding, join_classes
from segtool.data.layout import Pair, pair_name
from segtool.data.truth import read_truth
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.geometry import to_mask
from segtool.imaging.metrics import Tally, confusion
from segtool.pipeline import Predicted, Predictor, predicted
from segtool.streaming import FailureLog, caught, ordered_map


def tally_pairs(
    pairs: Sequence[Pair], coding: MaskCoding, *, predictor: Predictor, threshold: float | None, batch_size: int,
    failures: FailureLog, tick: Callable[[], object] = lambda: None,
) -> Tally:  # fmt: skip
    """Returns the counts of `predictor` on `pairs`, each mask at its own size. Pairs that cannot be read are noted.

    `threshold` None is the card's.
    Raises ModelError when the weights' classes are not the dataset's.
    """
    to_dataset = np.array(join_classes(predictor.card, coding), np.uint8)
    cut = predictor.card.threshold if threshold is None else threshold
    classes = len(coding.classes)

    def read(pair: Pair) -> Pixels:
        return read_image(pair.image)

    def count(item: Predicted[Pair]) -> Tally:
        truth = read_truth(item.source, coding, item.size)
        found = to_dataset[to_mask(item.probability, *truth.shape, threshold=cut)]
        return Tally.empty(classes).with_image(confusion(truth, found, classes))

    def name_of(item: Predicted[Pair]) -> str:
        return pair_name(item.source)

    total = Tally.empty(classes)
    with ThreadPoolExecutor() as pool:
        stream = predicted(
            pairs, read=read, predictor=predictor, batch_size=batch_size, executor=pool, failures=failures,
            name=pair_name,
        )  # fmt: skip
        for counted in ordered_map(caught(count, failures, name=name_of), stream, pool, window=8):
            total = total.plus(counted) if counted else total
            tick()
    return total
