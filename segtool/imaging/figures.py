"""What counts mean: every figure, over any weighting of the images, so that a score and its resamples are one code.

A figure of a class is `(B, C)`, of the set `(B,)`: a row a weighting. NaN where there is nothing to divide by.
"""

import numpy as np
import numpy.typing as npt

from segtool.scores import COUNTS

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Figures = dict[str, Floats]

HITS, TRUTH, FOUND, BAND_HITS, BAND_TRUTH, BAND_FOUND, EDGE_TRUTH, TRUTH_NEAR, EDGE_FOUND, FOUND_NEAR = range(
    len(COUNTS)
)
# What is empty on both sides, and so has no figure: the class' pixels, its bands, or its outlines.
SIDES = {
    "iou": (TRUTH, FOUND), "dice": (TRUTH, FOUND), "precision": (TRUTH, FOUND), "recall": (TRUTH, FOUND),
    "boundary_iou": (BAND_TRUTH, BAND_FOUND), "boundary_f1": (EDGE_TRUTH, EDGE_FOUND),
}  # fmt: skip


def figures(
    weights: Floats, counts: Counts, by_image: tuple[Figures, Figures] | None = None
) -> tuple[Figures, Figures]:
    """Returns the figures by class, then those of the set, of `(N, C, K)` counts of images weighted by `(B, N)`.

    The keys are those of `scores.METRICS` and `SET_METRICS`, each also with `_image`; boundary figures only where
    counts have them. Pooled figures weight the pixels, `_image` figures the images:

    `iou` TP / (TP + FP + FN) (Jaccard 1901); `dice` 2 TP / (2 TP + FP + FN) (Dice 1945); `precision` TP / (TP + FP);
    `recall` TP / (TP + FN); `boundary_iou`, `boundary_f1` as in `imaging.boundary`, the latter from pooled shares.
    In an image that has the class in neither truth nor prediction, each is 1 of two classes and left out of more; where
    only one has it, each is 0. An image without any pixel that counts is left out.

    `miou`, `mdice`, `mboundary_iou`, `mboundary_f1`: the mean over the classes that are in truth or prediction, or the
    foreground's of two. `accuracy`: pixels right; `mean_accuracy`: the mean of recall over the classes in the truth,
    background too; `fwiou`: IoU weighted by the class' share of the truth (both Long et al. 2015). Of an image they
    follow the same formulas; `_image` is their mean.

    `by_image` is `of_images(counts)` where that is known already.
    """
    class_images, set_images = by_image or of_images(counts)
    pooled = np.tensordot(weights, counts.astype(np.float64), axes=1)
    by_class, of_set = class_ratios(pooled), {}
    for metric, values in class_images.items():
        by_class[f"{metric}_image"] = _weighted_mean(weights, values)
    present = ~np.isnan(by_class["iou"])
    for metric in [m for m in ("iou", "dice", "boundary_iou", "boundary_f1") if m in by_class]:
        of_set[f"m{metric}"] = _over_classes(by_class[metric], present)
        of_set[f"m{metric}_image"] = _over_classes(by_class[f"{metric}_image"], present)
    of_set |= _set_ratios(pooled)
    for key, value in set_images.items():
        of_set[f"{key}_image"] = _weighted_mean(weights, value[:, None])[:, 0]
    return by_class, of_set


def of_images(counts: Counts) -> tuple[Figures, Figures]:
    """Returns the figures of each image by class, `(N, C)`, and over all classes, `(N,)`, of `(N, C, K)` counts."""
    return image_figures(counts), _set_ratios(counts.astype(np.float64))


def class_ratios(counts: Floats) -> Figures:
    """Returns the pooled figures by class, `(…, C)`, of `(…, C, K)` counts."""
    hits, truth, found = (counts[..., i] for i in (HITS, TRUTH, FOUND))
    ratios = {
        "iou": _ratio(hits, truth + found - hits),
        "dice": _ratio(2 * hits, truth + found),
        "precision": _ratio(hits, found),
        "recall": _ratio(hits, truth),
    }
    if counts.shape[-1] == len(COUNTS):
        both = counts[..., BAND_HITS]
        ratios["boundary_iou"] = _ratio(both, counts[..., BAND_TRUTH] + counts[..., BAND_FOUND] - both)
        precision = _ratio(counts[..., FOUND_NEAR], counts[..., EDGE_FOUND])
        recall = _ratio(counts[..., TRUTH_NEAR], counts[..., EDGE_TRUTH])
        none = np.isnan(precision) & np.isnan(recall)
        precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)  # outlines on one side only: all wrong
        harmonic = np.nan_to_num(_ratio(2 * precision * recall, precision + recall))
        ratios["boundary_f1"] = np.where(none, np.nan, harmonic)
    return ratios


def image_figures(counts: Counts) -> Figures:
    """Returns each metric by image and class, `(N, C)`, of `(N, C, K)` counts; NaN where an image is left out."""
    numbers = counts.astype(np.float64)
    judged = numbers[:, :, TRUTH].sum(1, keepdims=True) > 0
    figures_of = {}
    for metric, ratio in class_ratios(numbers).items():
        one, other = SIDES[metric]
        neither = numbers[..., one] + numbers[..., other] == 0
        of_neither = np.where(judged, 1.0 if counts.shape[1] == 2 else np.nan, np.nan)
        figures_of[metric] = np.where(neither, of_neither, np.nan_to_num(ratio))
    return figures_of


def image_means(counts: Counts) -> tuple[Floats, Floats]:
    """Returns the `miou` and the accuracy of each image, `(N,)`, of `(N, C, K)` counts; NaN where nothing counts."""
    ious = image_figures(counts)["iou"]
    return _over_classes(ious, ~np.isnan(ious)), _set_ratios(counts.astype(np.float64))["accuracy"]


def _set_ratios(counts: Floats) -> Figures:
    hits, truth, found = (counts[..., i] for i in (HITS, TRUTH, FOUND))
    iou, recall, total = _ratio(hits, truth + found - hits), _ratio(hits, truth), truth.sum(-1)
    return {
        "accuracy": _ratio(hits.sum(-1), total),
        "mean_accuracy": _mean(recall, ~np.isnan(recall)),
        "fwiou": _ratio((truth * np.nan_to_num(iou)).sum(-1), total),
    }


def _over_classes(values: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    return values[..., 1] if values.shape[-1] == 2 else _mean(values, present & ~np.isnan(values))


def _weighted_mean(weights: Floats, values: Floats) -> Floats:
    known = ~np.isnan(values)
    return _ratio(weights @ np.where(known, values, 0), weights @ known.astype(np.float64))


def _mean(values: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    return _ratio(np.where(known, values, 0).sum(-1), known.sum(-1).astype(np.float64))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
