"""Losses and running scores against their definitions in plain NumPy, float64."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import tensorflow as tf

from segtool.imaging.metrics import Tally, confusion, scores_of
from segtool.model.losses import PooledScores, binary_loss, multiclass_loss

Array = npt.NDArray[Any]
SHAPE = (3, 5, 4)
ALL, SOME, NOTHING = 1.0, 0.7, 0.0  # shares of the pixels that count


def draw(classes: int, *, counted: float = SOME, seed: int = 0, spread: float = 3.0) -> tuple[Array, Array]:
    """Returns truth `(B, h, w, 1)` uint8 with the ignore id, and logits `(B, h, w, C)` float32."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (*SHAPE, 1)).astype(np.uint8)
    truth[rng.random(truth.shape) >= counted] = 255
    return truth, rng.normal(0, spread, (*SHAPE, 1 if classes == 2 else classes)).astype(np.float32)


def binary_definition(truth: Array, logits: Array) -> float:
    valid, target = truth != 255, (truth == 1).astype(np.float64)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    cross_entropy = -(target * np.log(p) + (1 - target) * np.log1p(-p))
    dice = (2 * (p * target)[valid].sum() + 1) / (p[valid].sum() + target[valid].sum() + 1)
    return float((cross_entropy[valid].mean() if valid.any() else 0.0) + 1 - dice)


def multiclass_definition(truth: Array, logits: Array) -> float:
    ids, wide = truth[..., 0], logits.astype(np.float64)
    p = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    valid = ids != 255
    picked = np.take_along_axis(p, np.where(valid, ids, 0)[..., None].astype(int), -1)[..., 0]
    return float(-np.log(picked[valid]).mean()) if valid.any() else 0.0


@pytest.mark.parametrize("counted", [ALL, SOME, NOTHING])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_binary_loss_is_cross_entropy_plus_pooled_dice(counted: float, seed: int) -> None:
    truth, logits = draw(2, counted=counted, seed=seed)
    assert float(binary_loss(truth, logits)) == pytest.approx(binary_definition(truth, logits), abs=1e-5)


@pytest.mark.parametrize("counted", [ALL, SOME, NOTHING])
@pytest.mark.parametrize("classes", [3, 5])
def test_the_loss_of_more_classes_is_the_mean_cross_entropy(counted: float, classes: int) -> None:
    truth, logits = draw(classes, counted=counted)
    assert float(multiclass_loss(truth, logits)) == pytest.approx(multiclass_definition(truth, logits), abs=1e-5)


def test_where_nothing_counts_the_loss_is_zero() -> None:
    assert float(binary_loss(*draw(2, counted=NOTHING))) == pytest.approx(0, abs=1e-6)
    assert float(multiclass_loss(*draw(3, counted=NOTHING))) == 0


@pytest.mark.parametrize(("classes", "loss"), [(2, binary_loss), (3, multiclass_loss)])
def test_huge_logits_give_a_finite_loss(classes: int, loss: Any) -> None:
    truth, logits = draw(classes, spread=1e4)
    assert np.isfinite(float(loss(truth, logits)))


@pytest.mark.parametrize(("classes", "loss"), [(2, binary_loss), (4, multiclass_loss)])
def test_logits_of_ignored_pixels_change_nothing(classes: int, loss: Any) -> None:
    truth, logits = draw(classes)
    other = np.where(truth == 255, logits + 7, logits)
    assert float(loss(truth, other)) == float(loss(truth, logits))


@pytest.mark.parametrize(("classes", "loss"), [(2, binary_loss), (4, multiclass_loss)])
@pytest.mark.parametrize("counted", [SOME, NOTHING])
def test_gradients_are_zero_at_ignored_pixels_and_nowhere_else(classes: int, loss: Any, counted: float) -> None:
    truth, logits = draw(classes, counted=counted)
    gradient = _gradient(loss, truth, logits)
    ignored = truth[..., 0] == 255
    assert (gradient[ignored] == 0).all()
    assert (np.abs(gradient[~ignored]).max(-1, initial=0) > 0).all()


@pytest.mark.parametrize("logit", [-2.0, 0.0, 2.0])
def test_the_binary_gradient_is_that_of_the_definition(logit: float) -> None:
    truth, _ = draw(2)
    logits = np.full(truth.shape, logit, np.float32)
    gradient = _gradient(binary_loss, truth, logits)
    for place in ((0, 0, 0, 0), (1, 2, 3, 0), (2, 4, 1, 0)):
        step = np.zeros(truth.shape)
        step[place] = 1e-4
        slope = (binary_definition(truth, logits + step) - binary_definition(truth, logits - step)) / 2e-4
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_a_perfect_prediction_has_nearly_no_loss_and_the_opposite_much() -> None:
    truth, _ = draw(2)
    right = np.where(truth == 1, 30, -30).astype(np.float32)
    assert float(binary_loss(truth, right)) == pytest.approx(0, abs=1e-5)
    assert float(binary_loss(truth, -right)) > 10


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_pooled_scores_are_those_of_the_metrics_over_all_batches(classes: int) -> None:
    scores = PooledScores(classes)
    tally = Tally.empty(classes)
    for seed in range(4):
        truth, logits = draw(classes, seed=seed)
        scores.update_state(truth, logits)
        found = logits[..., 0] > 0 if classes == 2 else logits.argmax(-1)
        for true, guess in zip(truth[..., 0], found.astype(np.uint8), strict=True):
            tally = tally.with_image(confusion(true, guess, classes))
    wanted = scores_of(tally, tuple(map(str, range(classes))), threshold=None)
    assert _result(scores) == {"accuracy": pytest.approx(wanted.accuracy), "iou": pytest.approx(wanted.miou)}


def test_a_class_in_neither_truth_nor_prediction_is_left_out_of_the_mean() -> None:
    truth = np.array([0, 0, 1, 1], np.uint8).reshape(1, 2, 2, 1)
    logits = np.eye(3, dtype=np.float32)[[0, 1, 1, 1]].reshape(1, 2, 2, 3)
    scores = PooledScores(3)
    scores.update_state(truth, logits)
    assert _result(scores) == {"accuracy": pytest.approx(3 / 4), "iou": pytest.approx((1 / 2 + 2 / 3) / 2)}


def test_scores_of_nothing_are_zero_and_not_nan() -> None:
    scores = PooledScores(3)
    scores.update_state(*draw(3, counted=NOTHING))
    assert _result(scores) == {"accuracy": 0, "iou": 0}


def test_a_reset_forgets_the_epoch_before() -> None:
    scores = PooledScores(2)
    scores.update_state(*draw(2, seed=1))
    scores.reset_state()
    scores.update_state(*draw(2, seed=2))
    fresh = PooledScores(2)
    fresh.update_state(*draw(2, seed=2))
    assert _result(scores) == _result(fresh)


def test_single_pixels_still_count_after_a_billion() -> None:
    scores = PooledScores(2)
    scores.hits.assign([2.0**14, 2.0**6])  # 2³⁰ pixels of background
    scores.truths.assign([2.0**14, 2.0**6])
    scores.predictions.assign([2.0**14, 2.0**6])
    before = _result(scores)["iou"]
    truth = np.ones((1, 4, 4, 1), np.uint8)
    scores.update_state(truth, -np.ones(truth.shape, np.float32))  # 16 pixels missed
    assert _result(scores)["iou"] < before


def _gradient(loss: Any, truth: Array, logits: Array) -> Array:
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(truth, variable)
    return np.asarray(tape.gradient(value, variable))


def _result(scores: PooledScores) -> dict[str, float]:
    return {name: float(value) for name, value in scores.result().items()}
