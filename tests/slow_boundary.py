"""Boundary counts written out plainly, pixel by pixel, to hold the quick ones against."""

from math import hypot

import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels

Flags = npt.NDArray[np.bool_]


def slow_boundary_counts(truth: Pixels, prediction: Pixels, classes: int) -> npt.NDArray[np.int64]:
    """Returns what `boundary_counts` returns, by the definitions in its docstring."""
    diagonal = hypot(*truth.shape)
    distance, radius = max(1, round(0.02 * diagonal)), max(1, round(0.0075 * diagonal))
    judged = truth < classes
    rows = []
    for index in range(classes):
        true, found = (truth == index) & judged, (prediction == index) & judged
        bands = [_band(mask, judged, distance) for mask in (true, found)]
        (true_must, true_may), (found_must, found_may) = (_outline(mask, judged) for mask in (true, found))
        rows.append(
            [
                (bands[0] & bands[1]).sum(), bands[0].sum(), bands[1].sum(),
                true_must.sum(), _with_partner(true_must, found_may, radius),
                found_must.sum(), _with_partner(found_must, true_may, radius),
            ]
        )  # fmt: skip
    return np.array(rows)


def _window(values: Flags, y: int, x: int, reach: int) -> Flags:
    return values[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]


def _band(mask: Flags, judged: Flags, distance: int) -> Flags:
    height, width = mask.shape
    band = np.zeros(mask.shape, bool)
    for y, x in np.argwhere(mask):
        at_edge = min(y, x, height - 1 - y, width - 1 - x) < distance
        band[y, x] = at_edge or bool((_window(judged, y, x, distance) & ~_window(mask, y, x, distance)).any())
    return band


def _outline(mask: Flags, judged: Flags) -> tuple[Flags, Flags]:
    must, may = np.zeros((2, *mask.shape), bool)
    for y, x in np.argwhere(mask):
        must[y, x] = (_window(judged, y, x, 1) & ~_window(mask, y, x, 1)).any()
        may[y, x] = must[y, x] or not _window(judged, y, x, 1).all()
    return must, may


def _with_partner(ours: Flags, theirs: Flags, radius: int) -> int:
    a, b = np.argwhere(ours), np.argwhere(theirs)
    if not len(b):
        return 0
    return sum(int(((b - place) ** 2).sum(1).min() <= radius**2) for place in a)
