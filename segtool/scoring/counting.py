"""What is counted of one pair, whoever made the prediction."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from segtool.data.layout import Pair
from segtool.imaging.boundary import boundary_counts
from segtool.imaging.codec import Pixels
from segtool.imaging.curves import Bins, histogram
from segtool.imaging.figures import image_means
from segtool.imaging.gallery import Shortlist, Sketch, sketch
from segtool.imaging.metrics import ImageCounts, Tally, class_counts, confusion, number

WINDOW = 8  # pairs counted ahead
Tick = Callable[[], object]


@dataclass(frozen=True)
class Asked:
    """What is wanted beside the confusion of each image: boundaries, histograms of probability (two classes), sketches
    of up to `side` pixels for `shortlist`. `split_of` names the split of each pair.
    """

    boundary: bool = False
    histogram: bool = False
    shortlist: Shortlist | None = None
    side: int = 0
    split_of: Mapping[Pair, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Counted:
    """One pair counted, and drawn small where that was asked for."""

    tally: Tally
    sketch: Sketch | None


def count_pair(
    pair: Pair, truth: Pixels, found: Pixels, *, classes: int, asked: Asked, bins: Bins | None = None
) -> Counted:
    """Returns what one pair of `(H, W)` uint8 class indices adds; truths from `classes` up are ignored, predictions
    from there are no class. `bins` are the probability bins of the prediction, where there are any.
    """
    matrix = confusion(truth, found, classes)
    counts = class_counts(matrix)
    if asked.boundary:
        counts = np.concatenate([counts, boundary_counts(truth, found, classes)], axis=1)
    image = ImageCounts(
        counts, asked.split_of.get(pair, ""), pair.name, (truth.shape[0], truth.shape[1]),
        None if bins is None else histogram(truth, bins),
    )  # fmt: skip
    small = None
    if asked.shortlist:
        score = number(image_means(counts[None])[0][0])
        small = sketch(image, truth, found, score=score, side=asked.side)
    return Counted(Tally(matrix, (image,)), small)


def tallied(stream: Iterable[Counted | None], *, classes: int, asked: Asked, tick: Tick) -> Tally:
    """Returns the tally of all pairs of a stream; None is a pair that failed."""

    def tallies() -> Iterator[Tally]:
        for one in stream:
            tick()
            if one:
                if asked.shortlist and one.sketch:
                    asked.shortlist.add(one.sketch)
                yield one.tally

    return Tally.total(classes, tallies())
