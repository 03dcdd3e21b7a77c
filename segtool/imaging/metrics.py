"""Scores as pure functions of counts that add; the definitions are those of DESIGN section 2.

A confusion matrix is `(C, C)` int64 pixel counts, truth in rows, prediction in columns.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels
from segtool.results import ClassScore, Scores

Counts = npt.NDArray[np.int64]


def confusion(truth: Pixels, prediction: Pixels, classes: int) -> Counts:
    """Returns the confusion matrix of two `(H, W)` uint8 masks of class indices; truths from `classes` up (the ignore
    id) are left out.
    """
    valid = truth < classes
    pairs = truth[valid].astype(np.int64) * classes + prediction[valid]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou_of(counts: Counts) -> npt.NDArray[np.float64]:
    """Returns TP / (TP + FP + FN) of each class (Jaccard 1901), NaN where the class is in neither."""
    hits = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


@dataclass(frozen=True)
class Tally:
    """Counts over images, added with `plus`: the pooled matrix, and each class' IoU summed over `images` of them."""

    confusion: Counts
    iou_sum: npt.NDArray[np.float64]
    images: npt.NDArray[np.int64]
    pairs: int = 0

    @staticmethod
    def empty(classes: int) -> "Tally":
        """Returns the tally of no images."""
        return Tally(np.zeros((classes, classes), np.int64), np.zeros(classes), np.zeros(classes, np.int64))

    def with_image(self, counts: Counts) -> "Tally":
        """Returns the tally with one more image.

        Truth and prediction both empty is 1 for two classes and left out for more; so is an image wholly ignored.
        """
        iou = iou_of(counts)
        seen = ~np.isnan(iou)
        if len(iou) == 2 and counts.any():
            iou, seen = np.where(seen, iou, 1.0), np.ones(2, bool)
        return Tally(self.confusion + counts, self.iou_sum + np.where(seen, iou, 0), self.images + seen, self.pairs + 1)

    def plus(self, other: "Tally") -> "Tally":
        """Returns the tally of the images of both."""
        return Tally(
            self.confusion + other.confusion, self.iou_sum + other.iou_sum, self.images + other.images,
            self.pairs + other.pairs,
        )  # fmt: skip


def scores_of(tally: Tally, names: tuple[str, ...], *, threshold: float | None) -> Scores:
    """Returns all figures of a tally. Means go over the classes that are in truth or prediction; for two classes they
    are the foreground's.
    """
    counts = tally.confusion
    hits, truths, found = np.diagonal(counts), counts.sum(1), counts.sum(0)
    total = max(int(counts.sum()), 1)
    ious = iou_of(counts)
    classes = tuple(
        ClassScore(
            name=name,
            iou=_maybe(ious[i]),
            iou_image=_ratio(tally.iou_sum[i], tally.images[i]),
            dice=_ratio(2 * hits[i], truths[i] + found[i]),
            precision=_ratio(hits[i], found[i]),
            recall=_ratio(hits[i], truths[i]),
            share=truths[i] / total,
            images=int(tally.images[i]),
        )
        for i, name in enumerate(names)
    )
    present = [c for c in (classes[1:] if len(names) == 2 else classes) if c.iou is not None]
    return Scores(
        pairs=tally.pairs,
        threshold=threshold,
        miou=_mean([c.iou for c in present]),
        miou_image=_mean([c.iou_image for c in (classes[1:] if len(names) == 2 else present)]),
        accuracy=float(hits.sum() / total),
        baseline_class=names[int(truths.argmax())] if len(names) > 2 else names[0],
        baseline_accuracy=float((truths.max() if len(names) > 2 else truths[0]) / total),
        classes=classes,
        absent=tuple(c.name for c in classes if c.iou is None),
        confusion=tuple(tuple(int(v) for v in row) for row in counts),
    )


def _maybe(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
