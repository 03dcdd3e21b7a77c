"""Intervals: the same every time, of the width they should have, and paired where two evaluations are compared."""

import numpy as np
import pytest

from segtool.imaging.bootstrap import RESAMPLES, drawn_figures, intervals, paired_intervals, percentiles, resamples
from segtool.imaging.figures import Counts


def binary_counts(images: int, seed: int, *, right: float = 0.9) -> Counts:
    """Returns `(N, 2, 3)` counts of images of 1000 pixels of which about `right` are."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(100, 900, images)
    hits = rng.binomial(truth, right)
    wrong = rng.binomial(1000 - truth, 1 - right)
    background = np.stack([1000 - truth - wrong, 1000 - truth, 1000 - wrong - hits], axis=1)
    return np.stack([background, np.stack([hits, truth, hits + wrong], axis=1)], axis=1)


@pytest.mark.parametrize("images", [1, 2, 30, 5000])
def test_each_resample_draws_as_many_images_as_there_are(images: int) -> None:
    blocks = list(resamples(images))
    assert sum(len(block) for block in blocks) == RESAMPLES
    assert all((block.sum(1) == images).all() for block in blocks)
    assert all(block.size <= 500_000 for block in blocks)


def test_resamples_are_the_same_every_time() -> None:
    assert all(np.array_equal(a, b) for a, b in zip(resamples(40), resamples(40), strict=True))


def test_every_resampled_figure_is_that_of_the_images_drawn() -> None:
    counts = binary_counts(7, 0)
    drawn = drawn_figures(counts)
    weights = np.concatenate(list(resamples(7)))
    for row in (0, 1, 999):
        chosen = np.repeat(counts, weights[row].astype(int), axis=0)
        hits, truth, found = chosen[:, 1].sum(0)
        assert drawn["iou"][row, 1] == pytest.approx(hits / (truth + found - hits), abs=1e-12)
        ious = chosen[:, 1, 0] / (chosen[:, 1, 1] + chosen[:, 1, 2] - chosen[:, 1, 0])
        assert drawn["iou_image"][row, 1] == pytest.approx(ious.mean(), abs=1e-12)


def test_percentiles_are_those_of_numpy_and_leave_out_what_is_undefined() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.random((1000, 4))
    drawn[rng.random(drawn.shape) < 0.3] = np.nan
    drawn[:, 3] = np.nan
    ends = percentiles(drawn)
    assert ends[:, :3] == pytest.approx(np.nanpercentile(drawn[:, :3], [2.5, 97.5], axis=0), abs=1e-12)
    assert np.isnan(ends[:, 3]).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = binary_counts(20000, 99)[:, 1].sum(0)
    iou = truth[0] / (truth[1] + truth[2] - truth[0])
    held = 0
    for seed in range(200):
        low, high = intervals(binary_counts(60, seed))["iou"][:, 1]
        held += low <= iou <= high
    assert 0.89 <= held / 200 <= 0.99


def test_a_change_that_every_image_shares_is_seen_through_the_spread_of_images() -> None:
    before = binary_counts(50, 3)
    now = before.copy()
    now[:, 1, 0] -= 10  # ten pixels fewer right in each
    now[:, 1, 2] -= 10
    low, high = paired_intervals(before, now)["iou"][:, 1]
    assert high < 0
    spread = intervals(before)["iou"][:, 1]
    assert high - low < (spread[1] - spread[0]) / 2


def test_no_change_has_an_interval_of_nothing() -> None:
    counts = binary_counts(20, 4)
    assert all((ends == 0).all() for ends in paired_intervals(counts, counts).values())
