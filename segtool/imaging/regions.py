"""Masks cleaned by region, at the picture's own size: `--keep-largest`, `--min-area`, `--fill-holes`.

Regions of a class are 8-connected, holes in them 4-connected background, so that no line is crossed by another.
"""

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability, sampler
from segtool.options import Cleaning

# One labelling a class within the class' bounding box, and a lookup over labels in place of a loop over regions.
# All three cleanings of 12 megapixels, seconds of one core of an EPYC (tests/benchmarks/regions.py; a quarter of it at
# 3 megapixels): network-like mask, 1 class 0.23, 11 classes 3.9; salt and pepper, 1 class 1.5, 11 classes 8.8.

Where = npt.NDArray[np.intp]
NextBest = Callable[[Where, Where, Pixels], Pixels]  # rows, columns, classes there now (n,) -> classes instead (n,)

ROUNDS = 2  # moves of a pixel; each is another labelling of every class, and the third would move next to none
ROWS = 1024  # of a mask looked up at once: a lookup of 400 megapixels is 400 MB
LOOKUPS = 1 << 14  # pixels whose probabilities are sampled at once, within the processor's cache


def clean(indices: Pixels, cleaning: Cleaning, *, background: int = 0, next_best: NextBest | None = None) -> Pixels:
    """Returns `(H, W)` uint8 class indices, cleaned; cleaning the result again changes nothing.

    Every class but the background is treated. First regions are removed: with `keep_largest` all but the largest of a
    class (of equals the one found first), with `min_area` all of fewer pixels, holes not counted. Their pixels become
    what `next_best` says, the background without it. Where that forms regions to be removed in turn, their
    pixels move on to the class after; what is still unwanted after `ROUNDS` such moves becomes background.
    Then holes are filled: background that neither touches the picture's edge nor borders on two classes takes
    the one class that it borders on; between two classes there is no telling, so such a hole stays.
    """
    cleaned = indices.copy()
    if cleaning.removes:
        _remove_regions(cleaned, cleaning, background, next_best)
    # Last, since a filled hole only makes a region larger: nothing removed before comes to be wanted, or the reverse.
    if cleaning.fill_holes:
        _fill_holes(cleaned, background)
    return cleaned


def next_best_of(probability: Probability, height: int, width: int, *, background: int = 0) -> NextBest | None:
    """Returns what `clean` asks for the likeliest class below the present one at a pixel of the `(height, width)` mask,
    from `(h, w, C)` probability scaled linearly at the asked pixels only; None for one channel.

    Below the least likely class comes the background; of equals the first goes before.
    """
    if probability.shape[2] == 1:
        return None
    planes = np.ascontiguousarray(np.moveaxis(probability, 2, 0))

    def next_best(rows: Where, columns: Where, present: Pixels) -> Pixels:
        chosen = np.empty(len(rows), np.uint8)
        for start in range(0, len(rows), LOOKUPS):
            part = slice(start, start + LOOKUPS)
            value_of = sampler(planes, rows[part], columns[part], height, width)
            chosen[part] = _best_below(value_of, len(planes), present[part], background)
        return chosen

    return next_best


def next_best_in(second: Pixels, *, background: int = 0) -> NextBest:
    """Returns the same from the second likeliest class of every pixel `(H, W)` uint8 (`TiledMask.runner_up`), where
    the probabilities of a large picture are long gone: after the second comes the background.
    """

    def next_best(rows: Where, columns: Where, present: Pixels) -> Pixels:
        chosen = second[rows, columns]
        chosen[chosen == present] = background
        return chosen

    return next_best


def _remove_regions(cleaned: Pixels, cleaning: Cleaning, background: int, next_best: NextBest | None) -> None:
    classes = _classes_in(cleaned) - {background}
    if next_best is not None:
        for _ in range(ROUNDS):
            # Losing whole regions a class keeps the others as they are: only what gained pixels is looked at again.
            classes = _move(cleaned, _unwanted(cleaned, classes, cleaning), next_best) - {background}
            if not classes:
                return
    np.copyto(cleaned, background, where=_unwanted(cleaned, classes, cleaning), casting="unsafe")


def _move(cleaned: Pixels, unwanted: npt.NDArray[np.bool_], next_best: NextBest) -> set[int]:
    """Puts the next best class wherever `unwanted`, and returns the classes that gained pixels."""
    gained: set[int] = set()
    for part in _chunks(len(cleaned)):
        rows, columns = np.nonzero(unwanted[part])
        rows += part.start
        if rows.size:
            chosen = next_best(rows, columns, cleaned[rows, columns])
            cleaned[rows, columns] = chosen
            gained |= _classes_in(chosen[:, None])
    return gained


def _classes_in(indices: Pixels) -> set[int]:
    return set(np.flatnonzero(cv2.calcHist([indices], [0], None, [256], [0, 256])).tolist())


def _unwanted(indices: Pixels, classes: Iterable[int], cleaning: Cleaning) -> npt.NDArray[np.bool_]:
    """Returns where `(H, W)` the regions to be removed lie."""
    unwanted = np.zeros(indices.shape, bool)
    for index in classes:
        plane = (indices == index).view(np.uint8)
        left, top, width, height = cv2.boundingRect(plane)
        box = (slice(top, top + height), slice(left, left + width))
        count, labels = cv2.connectedComponents(plane[box], connectivity=8)
        # Counted here: boxes and centroids of connectedComponentsWithStats double the time of the whole.
        areas = np.zeros(count, np.int64)
        for rows in _chunks(height):
            areas += np.bincount(labels[rows].ravel(), minlength=count)
        drop = areas < cleaning.min_area
        if cleaning.keep_largest and count > 1:
            drop[np.arange(count) != 1 + areas[1:].argmax()] = True
        drop[0] = False  # label 0 is what belongs to no region
        if drop.any():
            for rows in _chunks(height):
                unwanted[box][rows] |= drop[labels[rows]]
    return unwanted


def _fill_holes(cleaned: Pixels, background: int) -> None:
    left, top, width, height = cv2.boundingRect((cleaned != background).view(np.uint8))
    if not width:
        return
    # Beyond the box all is background and reaches the picture's edge: what touches the box's edge is no hole.
    view = cleaned[top : top + height, left : left + width]
    count, labels = cv2.connectedComponents((view == background).view(np.uint8), connectivity=4)
    low, high = _neighbours(np.asarray(labels, np.int32), view, count)
    fill = np.where(low == high, low, background).astype(np.uint8)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        fill[edge] = background
    if (fill != background).any():
        for rows in _chunks(height):
            value = fill[labels[rows]]
            np.copyto(view[rows], value, where=value != background)


def _neighbours(labels: npt.NDArray[np.int32], view: Pixels, count: int) -> tuple[Pixels, Pixels]:
    """Returns the lowest and highest class that each labelled piece of background borders on, 4-connected: 255 and 0
    for what borders on none, as for label 0.
    """
    low, high = np.full(count, 255, np.uint8), np.zeros(count, np.uint8)
    for rows in _chunks(len(labels)):
        shifted = slice(rows.start + 1, rows.stop + 1)
        here, solid, below, under = labels[rows], view[rows], labels[shifted], view[shifted]
        for piece, other, value in (
            (here[:, :-1], here[:, 1:], solid[:, 1:]),
            (here[:, 1:], here[:, :-1], solid[:, :-1]),
            (here[: len(below)], below, under),
            (below, here[: len(below)], solid[: len(below)]),
        ):
            border = (piece > 0) & (other == 0)
            np.minimum.at(low, piece[border], value[border])
            np.maximum.at(high, piece[border], value[border])
    return low, high


def _best_below(
    value_of: Callable[[Pixels | int], Probability], classes: int, present: Pixels, background: int
) -> Pixels:
    own = value_of(present)
    best = np.full(len(present), -1, np.float32)
    chosen = np.full(len(present), background, np.uint8)
    for index in range(classes):
        value = value_of(index)
        lower = (value < own) | ((value == own) & (index > present))
        better = lower & (value > best)
        chosen[better] = index
        best[better] = value[better]
    return chosen


def _chunks(height: int) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, height, ROWS))
