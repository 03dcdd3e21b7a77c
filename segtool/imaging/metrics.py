"""What is counted in every image, how counts add, and the scores they give by the formulas of `imaging.figures`.

A confusion matrix is `(C, C + 1)` int64 pixel counts, truth in rows, prediction in columns; the last column is for
pixels that the prediction calls no class.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from segtool.imaging.bootstrap import intervals, pair_of
from segtool.imaging.codec import Pixels
from segtool.imaging.figures import Counts, Figures, figures, image_figures, image_means
from segtool.scores import SET_METRICS, ClassScore, ImageScore, Interval, Scores, figure_names

Raw = npt.NDArray[np.integer]
BINS = 1024  # of a probability: a power of two, so that masks cut at i / 1024 and histograms agree to the pixel
FLOAT_EXACT = 2**24  # OpenCV counts in float32, which loses single pixels from here


def joint_counts(truth: Pixels, prediction: Pixels, classes: int) -> Counts:
    """Returns `(C + 1, C + 1)` pixel counts of two `(H, W)` uint8 masks; the last of each is all from `classes` up."""
    true, found, lengths = runs(truth, prediction)
    size = classes + 1
    codes = np.minimum(true, classes).astype(np.int64) * size + np.minimum(found, classes)
    return _weighted(codes, lengths, size * size).reshape(size, size)


def runs(first: Raw, second: Raw) -> tuple[Raw, Raw, Counts]:
    """Returns the values, and the lengths in pixels, of the runs in which neither of two masks changes, row by row.

    Masks are mostly runs: counting by them takes 0.2 ms at 640×480, counting by pixels 0.6 (np.bincount) or 0.5
    (cv2.calcHist, which is exact to 2²⁴ only).
    """
    one, other = first.ravel(), second.ravel()
    ends = np.flatnonzero((one[1:] != one[:-1]) | (other[1:] != other[:-1]))
    ends = np.append(ends, one.size - 1)
    return one[ends], other[ends], np.diff(ends, prepend=-1)


def _weighted(codes: Counts, lengths: Counts, size: int) -> Counts:
    # Sums of whole numbers below 2⁵³ are exact in float64.
    return np.bincount(codes, weights=lengths, minlength=size).astype(np.int64)


def value_counts(values: npt.NDArray[np.uint16], where: npt.NDArray[np.bool_], below: int) -> Counts:
    """Returns how often each value below `below` occurs in `(H, W)` uint16 where `where` is true."""
    chosen = where.view(np.uint8)
    rows = max(1, FLOAT_EXACT // max(1, values.shape[1]))
    total = np.zeros(below, np.int64)
    for top in range(0, len(values), rows):
        part = slice(top, top + rows)
        total += cv2.calcHist([values[part]], [0], chosen[part], [below], [0, below]).ravel().astype(np.int64)
    return total


def confusion(truth: Pixels, prediction: Pixels, classes: int) -> Counts:
    """Returns the confusion matrix of two `(H, W)` uint8 masks of class indices; truths from `classes` up (the ignore
    id) are left out, predictions from `classes` up are no class.
    """
    return joint_counts(truth, prediction, classes)[:classes]


def class_counts(matrix: Counts) -> Counts:
    """Returns `(C, 3)`, the first columns of `scores.COUNTS`: pixels right, true and predicted, from a confusion matrix
    of one image.
    """
    classes = len(matrix)
    return np.stack([np.diagonal(matrix), matrix.sum(1), matrix.sum(0)[:classes]], axis=1)


@dataclass(frozen=True)
class ImageCounts:
    """What one image adds: `(C, 3)` or, with boundaries, `(C, 10)` counts with the columns of `scores.COUNTS`.

    `histogram` is `(2, BINS)` uint32 pixels by truth and probability, where there is one.
    """

    counts: Counts
    split: str = ""
    name: str = ""
    size: tuple[int, int] = (0, 0)
    histogram: npt.NDArray[np.uint32] | None = None


@dataclass(frozen=True)
class Tally:
    """Counts over images, added with `plus`: the pooled confusion matrix, and what each image adds to the rest."""

    confusion: Counts
    images: tuple[ImageCounts, ...] = ()

    @staticmethod
    def empty(classes: int) -> "Tally":
        """Returns the tally of no images."""
        return Tally(np.zeros((classes, classes + 1), np.int64))

    @staticmethod
    def total(classes: int, parts: Iterable["Tally"]) -> "Tally":
        """Returns the tally of the images of all `parts`, which are taken one by one."""
        confused = np.zeros((classes, classes + 1), np.int64)
        images: list[ImageCounts] = []
        for part in parts:
            confused += part.confusion
            images += part.images
        return Tally(confused, tuple(images))

    def with_image(self, matrix: Counts) -> "Tally":
        """Returns the tally with one more image, of which only the confusion matrix is known."""
        return self.plus(Tally(matrix, (ImageCounts(class_counts(matrix)),)))

    def plus(self, other: "Tally") -> "Tally":
        """Returns the tally of the images of both."""
        return Tally(self.confusion + other.confusion, self.images + other.images)

    @property
    def pairs(self) -> int:
        """How many images there are."""
        return len(self.images)

    @cached_property
    def ordered(self) -> tuple[ImageCounts, ...]:
        """Returns the images in one order, whatever the order they were added in."""
        return tuple(sorted(self.images, key=lambda i: (i.split, i.name, i.size, i.counts.tolist())))

    def labels(self) -> list[str]:
        """Returns what people call each image, in order: its name, with the split where there are several."""
        several = len({image.split for image in self.images}) > 1
        labels = [f"{image.split}/{image.name}" if several else image.name for image in self.ordered]
        return [label.encode("utf-8", "backslashreplace").decode() for label in labels]  # some names are no Unicode

    def counts(self) -> Counts:
        """Returns `(N, C, K)` counts of all images, in order."""
        if not self.images:
            return np.zeros((0, len(self.confusion), 3), np.int64)
        return np.stack([image.counts for image in self.ordered])


def scores_of(tally: Tally, names: Sequence[str], *, threshold: float | None, with_intervals: bool = False) -> Scores:
    """Returns all figures of a tally, the same to the last bit whatever the order its images were added in.

    `with_intervals` adds the bootstrap 95 % interval of each, where there are two images or more.
    """
    counts = tally.counts()
    by_class, of_set = figures(np.ones((1, len(counts))), counts)
    entered = (~np.isnan(image_figures(counts)["iou"])).sum(0)
    truths = tally.confusion.sum(1)
    total = max(int(truths.sum()), 1)
    classes = tuple(
        ClassScore(name, float(truths[i] / total), int(entered[i]), {k: number(v[0, i]) for k, v in by_class.items()})
        for i, name in enumerate(names)
    )
    common = int(truths.argmax()) if len(names) > 2 else 0
    return Scores(
        pairs=tally.pairs,
        threshold=threshold,
        figures={key: number(of_set[key][0]) for key in figure_names(SET_METRICS) if key in of_set},
        baseline_class=names[common],
        baseline_accuracy=float(truths[common] / total),
        classes=classes,
        absent=tuple(c.name for c in classes if c.iou is None),
        confusion=tuple(tuple(row[:-1]) for row in tally.confusion.tolist()),
        undecided=tuple(tally.confusion[:, -1].tolist()),
        intervals=dict(_named(intervals(counts), names)) if with_intervals and len(counts) > 1 else {},
    )


def image_scores(tally: Tally) -> tuple[ImageScore, ...]:
    """Returns the figures of each image, in order."""
    counts = tally.counts()
    by_class = {metric: values.tolist() for metric, values in image_figures(counts).items()}
    mious, accuracies = image_means(counts)
    labels = tally.labels()
    return tuple(
        ImageScore(
            split=image.split, name=image.name, label=labels[i], height=image.size[0], width=image.size[1],
            counts=tuple(tuple(row) for row in image.counts.tolist()),
            miou=number(mious[i]), accuracy=number(accuracies[i]),
            figures={metric: tuple(number(v) for v in values[i]) for metric, values in by_class.items()},
        )
        for i, image in enumerate(tally.ordered)
    )  # fmt: skip


def number(value: float) -> float | None:
    """Returns a figure as results carry it: None for NaN."""
    return None if np.isnan(value) else float(value)


def _named(ends: Figures, names: Sequence[str]) -> Iterator[tuple[str, Interval]]:
    """Yields key and interval of every figure that has one."""
    for key, values in ends.items():
        if values.ndim == 1:
            found = [(key, pair_of(values))]
        else:
            found = [(f"{key}:{name}", pair_of(values[:, i])) for i, name in enumerate(names)]
        yield from ((k, pair) for k, pair in found if pair)
