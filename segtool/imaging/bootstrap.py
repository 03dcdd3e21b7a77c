"""How sure a figure is: the bootstrap over images (Efron 1979), percentile intervals, always the same resamples."""

from collections.abc import Iterator

import numpy as np

from segtool.imaging.figures import Counts, Figures, Floats, figures, of_images
from segtool.scores import Interval

RESAMPLES = 1000
LEVEL = 0.95
SEED = 20240607
WEIGHTS_AT_ONCE = 500_000  # 4 MB, four times while they are drawn


def resamples(images: int) -> Iterator[Floats]:
    """Yields `(B, N)` weights: how often each of N images is drawn when N are drawn with replacement.

    The same for the same N, `RESAMPLES` rows in all, in blocks of bounded memory.
    """
    rng = np.random.default_rng(SEED)
    rows = max(1, min(RESAMPLES, WEIGHTS_AT_ONCE // max(1, images)))
    for first in range(0, RESAMPLES, rows):
        block = min(rows, RESAMPLES - first)
        drawn = rng.integers(0, images, (block, images)) + images * np.arange(block)[:, None]
        yield np.bincount(drawn.ravel(), minlength=block * images).reshape(block, images).astype(np.float64)


def intervals(counts: Counts) -> dict[str, Floats]:
    """Returns the 95 % interval of every figure of `(N, C, K)` counts: `(2, C)` by class, `(2,)` of the set, lower
    ends first. NaN throughout for fewer than two images, which say nothing of others.
    """
    return {key: percentiles(drawn) for key, drawn in drawn_figures(counts).items()}


def paired_intervals(before: Counts, now: Counts) -> dict[str, Floats]:
    """Returns the 95 % interval of now − before for every figure, both on the same images in each resample."""
    old, new = drawn_figures(before), drawn_figures(now)
    return {key: percentiles(new[key] - old[key]) for key in new if key in old}


def drawn_figures(counts: Counts) -> Figures:
    """Returns every figure in every resample, `(RESAMPLES, C)` or `(RESAMPLES,)`."""
    parts: list[Figures] = []
    by_image = of_images(counts)
    for weights in resamples(len(counts)):
        by_class, of_set = figures(weights, counts, by_image)
        parts.append(by_class | of_set)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def percentiles(drawn: Floats) -> Floats:
    """Returns `(2, …)` the ends of the middle 95 % of `(B, …)` draws, linear between neighbours; NaN draws (a class
    that no drawn image has) are left out.
    """
    ranked = np.sort(drawn, axis=0)  # NaN last
    last = np.maximum((~np.isnan(ranked)).sum(0) - 1, 0)
    ends = []
    for quantile in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        place = quantile * last
        low = np.floor(place).astype(np.intp)
        high = np.minimum(low + 1, last)
        below, above = (np.take_along_axis(ranked, i[None], 0)[0] for i in (low, high))
        ends.append(below + (above - below) * (place - low))
    return np.stack(ends)


def pair_of(ends: Floats) -> Interval | None:
    """Returns `(2,)` ends as an interval, None where there is none."""
    return None if np.isnan(ends).any() else (float(ends[0]), float(ends[1]))
