"""A network scored on pairs: one stream for `evaluate` and for the end of `train`."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segtool.data.classes import MaskCoding, join_classes
from segtool.data.layout import Pair, pair_name
from segtool.data.truth import read_truth
from segtool.imaging.codec import Pixels, Size, SizeOf, read_resized
from segtool.imaging.curves import probability_bins
from segtool.imaging.geometry import scaled, to_mask
from segtool.imaging.metrics import Tally
from segtool.pipeline import Predicted, Predictor, predicted, workers
from segtool.scoring.counting import WINDOW, Asked, Counted, Tick, count_pair, tallied
from segtool.streaming import FailureLog, caught, ordered_map

CONFUSION_ONLY = Asked()


def tally_pairs(
    pairs: Sequence[Pair], coding: MaskCoding, *, predictor: Predictor, threshold: float | None, batch_size: int | None,
    failures: FailureLog, tick: Tick = lambda: None, asked: Asked = CONFUSION_ONLY,
) -> Tally:  # fmt: skip
    """Returns the counts of `predictor` on `pairs`, each mask at its own size. Pairs that cannot be read are noted.

    `threshold` None is the card's, `batch_size` None the predictor's own.
    Raises ModelError when the weights' classes are not the dataset's.
    """
    to_dataset = np.array(join_classes(predictor.card, coding), np.uint8)
    cut = predictor.card.cut(threshold)
    sized = replace(predictor, batch_size=batch_size or predictor.batch_size)
    classes = len(coding.classes)

    def read(pair: Pair, size_of: SizeOf) -> tuple[Pixels, Size]:
        return read_resized(pair.image, size_of)

    def count(item: Predicted[Pair]) -> Counted:
        truth = read_truth(item.source, coding, item.size)
        found = to_dataset[to_mask(item.probability, *truth.shape, threshold=cut)]  # the mask `segtool mask` makes
        bins = probability_bins(scaled(item.probability[..., 0], *truth.shape)) if asked.histogram else None
        return count_pair(item.source, truth, found, classes=classes, asked=asked, bins=bins)

    def name_of(item: Predicted[Pair]) -> str:
        return pair_name(item.source)

    with workers() as pool:
        stream = predicted(
            pairs, read=read, card=predictor.card, load=lambda: sized, executor=pool, failures=failures,
            name=pair_name,
        )  # fmt: skip
        counted = ordered_map(caught(count, failures, name=name_of), stream, pool, window=WINDOW)
        return tallied(counted, classes=classes, asked=asked, tick=tick)
