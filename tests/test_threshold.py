"""The threshold chosen on val: that of the best pooled foreground IoU."""

import numpy as np
import pytest

from segtool.imaging.geometry import to_mask
from segtool.model.threshold import best_of, histogram


def drawn(seed: int, height: int = 20, width: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random((height, width)) < 0.3).astype(np.uint8)
    probability = np.clip(0.25 + 0.2 * truth + rng.normal(0, 0.1, truth.shape), 0, 1).astype(np.float32)
    truth[0] = 255
    return probability[..., None], truth


def pooled_iou(samples: list[tuple[np.ndarray, np.ndarray]], threshold: float) -> float:
    found = [(to_mask(p, *t.shape, threshold=threshold)[t != 255] == 1, t[t != 255] == 1) for p, t in samples]
    return float(sum((f & t).sum() for f, t in found) / sum((f | t).sum() for f, t in found))


def test_no_other_hundredth_has_a_better_pooled_iou() -> None:
    samples = [drawn(seed) for seed in range(5)]
    best = best_of(sum((histogram(p, t) for p, t in samples), np.zeros((2, 101), np.int64)))
    every = {k / 100: pooled_iou(samples, k / 100) for k in range(5, 96)}
    assert every[best] == pytest.approx(max(every.values()), abs=2e-3)  # a hundredth's rounding may move a pixel
    assert 0.25 < best < 0.45


def test_of_equal_thresholds_it_is_the_one_nearest_to_a_half() -> None:
    truth = np.array([[0, 1]], np.uint8)
    assert best_of(histogram(np.array([[[0.1], [0.9]]], np.float32), truth)) == 0.5
    assert best_of(histogram(np.array([[[0.1], [0.3]]], np.float32), truth)) == 0.3
    assert best_of(histogram(np.array([[[0.7], [0.9]]], np.float32), truth)) == pytest.approx(0.71)


def test_a_split_without_foreground_keeps_a_half() -> None:
    assert best_of(histogram(np.full((4, 4, 1), 0.02, np.float32), np.zeros((4, 4), np.uint8))) == 0.5


def test_probability_is_scaled_to_the_size_of_the_truth_and_ignored_pixels_do_not_count() -> None:
    truth = np.zeros((8, 8), np.uint8)
    truth[:, 4:] = 255
    assert histogram(np.full((2, 2, 1), 0.5, np.float32), truth).sum() == 32
