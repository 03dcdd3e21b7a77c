"""Curves over thresholds against masks cut there, and average precision against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from segtool.imaging.codec import Pixels
from segtool.imaging.curves import average_precision, curve_of, histogram, probability_bins, tally_at
from segtool.imaging.geometry import Probability
from segtool.imaging.metrics import ImageCounts, Tally, class_counts, confusion, scores_of

NAMES = ("background", "person")


def images(seed: int, count: int = 5) -> list[tuple[Pixels, Probability]]:
    """Returns truths, some ignored, one empty, and probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        truth = (rng.random((12, 17)) < (0.4 if number else 0)).astype(np.uint8)
        probability = np.clip(0.3 + 0.4 * truth + rng.normal(0, 0.25, truth.shape), 0, 1).astype(np.float32)
        truth[rng.random(truth.shape) < 0.1] = 255
        made.append((truth, probability))
    return made


def tally_of(some: list[tuple[Pixels, Probability]], threshold: float = 0.5) -> Tally:
    parts = []
    for number, (truth, probability) in enumerate(some):
        matrix = confusion(truth, (probability >= threshold).astype(np.uint8), 2)
        bins = histogram(truth, probability_bins(probability))
        parts.append(Tally(matrix, (ImageCounts(class_counts(matrix), "val", str(number), truth.shape, bins),)))
    return Tally.total(2, parts)


@pytest.mark.parametrize("place", [0, 1, 77, 512, 800, 1023])
def test_figures_at_a_threshold_are_those_of_masks_cut_there(place: int) -> None:
    some = images(0)
    threshold = place / 1024
    curve = curve_of(tally_of(some))
    assert curve
    scores = scores_of(tally_of(some, threshold), NAMES, threshold=threshold)
    person = scores.classes[1].figures
    for metric in ("iou", "iou_image", "precision", "recall"):
        assert curve.at(threshold, metric) == pytest.approx(person[metric], abs=1e-12), metric


@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.75])
def test_a_tally_at_a_threshold_is_that_of_masks_cut_there(threshold: float) -> None:
    some = images(1)
    cut, swept = tally_of(some, threshold), tally_at(tally_of(some), threshold)
    assert np.array_equal(cut.confusion, swept.confusion)
    assert np.array_equal(cut.counts(), swept.counts())


def test_the_best_threshold_is_the_highest_of_the_curve() -> None:
    curve = curve_of(tally_of(images(2)))
    assert curve
    for metric, threshold in curve.best.items():
        values = [v for v in getattr(curve, metric)[1:] if v is not None]
        assert curve.at(threshold, metric) == max(values)
    assert curve.best["iou"] != curve.best["iou_image"]  # they are two questions


def test_of_many_best_thresholds_it_is_the_one_nearest_a_half() -> None:
    truth = np.array([[0, 1]], np.uint8)
    curve = curve_of(tally_of([(truth, np.array([[0.1, 0.9]], np.float32))]))
    assert curve and curve.best["iou"] == 0.5


def test_average_precision_is_that_of_scikit_learn_on_rounded_probabilities() -> None:
    some = images(3)
    truth = np.concatenate([t.ravel() for t, _ in some])
    bins = np.concatenate([probability_bins(p).ravel() for _, p in some])
    wanted = average_precision_score(truth[truth < 2], bins[truth < 2])
    curve = curve_of(tally_of(some))
    assert curve and curve.average_precision == pytest.approx(wanted, abs=1e-9)
    low, high = curve.average_precision_interval or (1, 0)
    assert low < wanted < high


def test_average_precision_without_foreground_is_undefined() -> None:
    assert np.isnan(average_precision(np.ones((1, 2, 1024)) * [[1], [0]]))
    assert curve_of(tally_of(images(0, count=1))) is None


def test_curves_are_the_same_in_any_order() -> None:
    some = tally_of(images(4))
    assert curve_of(Tally(some.confusion, some.images[::-1])) == curve_of(some)


def test_the_ends_of_the_range_fall_into_the_first_and_the_last_bin() -> None:
    assert probability_bins(np.array([[0, 1 / 1024, 0.9995, 1]], np.float32)).tolist() == [[0, 1, 1023, 1023]]
