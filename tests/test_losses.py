"""Losses and running scores against their definitions in plain NumPy, float64."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import tensorflow as tf
from scipy import ndimage

from segtool.errors import UsageError
from segtool.imaging.metrics import Tally, confusion, scores_of
from segtool.model.losses import PooledScores, make_loss, parse_loss

Array = npt.NDArray[Any]
SHAPE = (3, 5, 4)
ALL, SOME, NOTHING = 1.0, 0.7, 0.0  # shares of the pixels that count
LOSSES = ["ce", "dice", "focal", "tversky", "ce+dice"]
CASES = [(classes, make_loss(text, classes=classes)) for classes in (2, 4) for text in LOSSES]


def draw(classes: int, *, counted: float = SOME, seed: int = 0, spread: float = 3.0) -> tuple[Array, Array]:
    """Returns truth `(B, h, w, 1)` uint8 with the ignore id, and logits `(B, h, w, C)` float32."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (*SHAPE, 1)).astype(np.uint8)
    truth[rng.random(truth.shape) >= counted] = 255
    return truth, rng.normal(0, spread, (*SHAPE, 1 if classes == 2 else classes)).astype(np.float32)


WEIGHTS = {2: (0.5, 2.0), 3: (0.3, 1.0, 4.0), 5: (1.0, 2.0, 0.0, 3.0, 0.5)}


def gap_share(objects: Array) -> Array:
    """Returns `(h, w)`: the share of four closings by squares of growing reach that fill a pixel without object."""
    squares = [np.ones((2 * reach + 1,) * 2, bool) for reach in (1, 2, 3, 4)]
    closed = [ndimage.binary_closing(np.pad(objects, 9), square)[9:-9, 9:-9] for square in squares]
    return np.asarray(np.mean([filled & ~objects for filled in closed], axis=0))


def definition(name: str, truth: Array, logits: Array, weights: tuple[float, ...] = ()) -> float:
    """Returns one term of a loss by its definition, pixel by pixel and class by class."""
    ids, wide = truth[..., 0].ravel(), logits.astype(np.float64).reshape(-1, logits.shape[-1])
    wide = np.hstack([np.zeros_like(wide), wide]) if wide.shape[1] == 1 else wide
    counted = ids != 255
    p = (np.exp(wide - wide.max(1, keepdims=True)))[counted]
    p, ids = p / p.sum(1, keepdims=True), ids[counted].astype(int)
    classes = p.shape[1]
    if name in ("ce", "focal"):
        weight = np.array(weights or [1.0] * classes)[ids]
        true = p[np.arange(len(ids)), ids]
        values = -np.log(true) * ((1 - true) ** 2 if name == "focal" else 1)
        return float((values * weight).sum() / weight.sum()) if weight.sum() else 0.0
    if name == "gap":
        weight = np.array(weights or [1.0] * classes)[ids]
        shares = np.stack([gap_share((mask != 0) & (mask != 255)) for mask in truth[..., 0]]).ravel()[counted]
        values = -np.log(p[np.arange(len(ids)), ids]) * shares
        return float((values * weight).sum() / weight.sum()) if weight.sum() else 0.0
    a, b = (0.5, 0.5) if name == "dice" else (0.3, 0.7)
    losses = []
    for c in [1] if classes == 2 else range(classes):
        true = ids == c
        if not true.any() and classes > 2:
            continue
        hits, extra, missed = p[true, c].sum(), p[~true, c].sum(), (1 - p[true, c]).sum()
        losses.append(1 - (hits + 0.5) / (hits + a * extra + b * missed + 0.5))
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("counted", [ALL, SOME, NOTHING])
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["ce", "dice", "focal", "tversky", "gap"])
def test_every_term_is_its_definition(name: str, weighted: bool, classes: int, counted: float) -> None:
    weights = WEIGHTS[classes] if weighted else ()
    truth, logits = draw(classes, counted=counted, seed=classes)
    wanted = definition(name, truth, logits, weights)
    text = name
    if name == "gap":  # which there is in sums alone
        text, wanted = "ce+gap", wanted + definition("ce", truth, logits, weights)
    assert float(make_loss(text, classes=classes, weights=weights)(truth, logits)) == pytest.approx(wanted, abs=1e-5)


def test_gaps_alone_are_no_loss() -> None:
    with pytest.raises(UsageError, match=r"--loss 2\*gap sees nothing but gaps"):
        make_loss("2*gap", classes=2)


@pytest.mark.parametrize(("width", "factor"), [(1, 11), (2, 11), (4, 8.5), (8, 3.5), (9, 1), (20, 1)])
def test_a_gap_weighs_more_the_narrower_it_is(width: int, factor: float) -> None:
    truth = np.ones((1, 40, 40, 1), np.uint8)
    truth[:, :, 10 : 10 + width] = 0
    found = float(make_loss("ce+10*gap", classes=2)(truth, np.zeros(truth.shape, np.float32)))
    gap = width / 40
    assert found == pytest.approx(np.log(2) * (1 - gap + gap * factor), abs=1e-4)


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_a_class_that_is_not_in_the_truth_has_no_say_in_overlap_losses(name: str, classes: int) -> None:
    truth, logits = draw(classes)
    truth[truth == 1] = 0
    wanted = definition(name, truth, logits)
    assert float(make_loss(name, classes=classes)(truth, logits)) == pytest.approx(wanted, abs=1e-5)


def test_an_empty_truth_of_two_classes_still_counts_what_was_found_for_nothing() -> None:
    truth, logits = np.zeros((1, 4, 4, 1), np.uint8), np.zeros((1, 4, 4, 1), np.float32)
    assert float(make_loss("dice", classes=2)(truth, logits)) > 0.5
    assert float(make_loss("dice", classes=2)(truth, logits - 20)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("ce", [(1, "ce")]), ("ce+dice", [(1, "ce"), (1, "dice")]), ("ce + 0.5*focal", [(1, "ce"), (0.5, "focal")]),
        ("2*tversky+.25*ce+dice", [(2, "tversky"), (0.25, "ce"), (1, "dice")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("classes", [2, 4])
def test_a_sum_of_losses_is_the_sum_of_its_terms(text: str, terms: list[tuple[float, str]], classes: int) -> None:
    assert list(parse_loss(text)) == terms
    truth, logits = draw(classes)
    wanted = sum(factor * definition(name, truth, logits) for factor, name in terms)
    assert float(make_loss(text, classes=classes)(truth, logits)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("counted", [ALL, SOME, NOTHING])
@pytest.mark.parametrize(("text", "classes"), [("ce+dice", 2), ("ce", 2), ("ce+dice", 4)])
def test_with_a_teacher_half_of_the_loss_is_cross_entropy_with_it(text: str, classes: int, counted: float) -> None:
    truth, logits = draw(classes, counted=counted, spread=1.0)
    taught = np.random.default_rng(5).integers(0, 256, logits.shape).astype(np.uint8)
    own, q = logits.astype(np.float64), taught / 255
    if classes == 2:
        own, q = np.concatenate([np.zeros_like(own), own], -1), np.concatenate([1 - q, q], -1)
    log_p = own - np.log(np.exp(own).sum(-1, keepdims=True))
    values = -(q * log_p).sum(-1)[truth[..., 0] != 255]
    of_teacher = values.mean() if values.size else 0.0
    of_masks = sum(definition(name, truth, logits) for name in text.split("+"))
    found = float(make_loss(text, classes=classes)(np.concatenate([truth, taught], -1), logits))
    assert found == pytest.approx((of_masks + of_teacher) / 2, abs=1e-5)


@pytest.mark.parametrize("text", ["", "mse", "ce+", "ce-dice", "0*ce", "1.2.3*ce", "ce*2", "ce dice", "Lambda"])
def test_what_is_no_loss_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no sum of ce, dice, focal, tversky, gap"):
        make_loss(text, classes=2)


def test_a_weight_for_every_class_or_a_usage_error() -> None:
    with pytest.raises(UsageError, match="3 weights for 2 classes"):
        make_loss("ce", classes=2, weights=(1, 2, 3))


@pytest.mark.parametrize("text", LOSSES)
@pytest.mark.parametrize("classes", [2, 3])
def test_where_nothing_counts_the_loss_is_zero(text: str, classes: int) -> None:
    assert float(make_loss(text, classes=classes)(*draw(classes, counted=NOTHING))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("classes", "loss"), CASES)
def test_huge_logits_give_a_finite_loss(classes: int, loss: Any) -> None:
    truth, logits = draw(classes, spread=1e4)
    assert np.isfinite(float(loss(truth, logits)))


@pytest.mark.parametrize(("classes", "loss"), CASES)
def test_logits_of_ignored_pixels_change_nothing(classes: int, loss: Any) -> None:
    truth, logits = draw(classes)
    other = np.where(truth == 255, logits + 7, logits)
    assert float(loss(truth, other)) == float(loss(truth, logits))


@pytest.mark.parametrize(("classes", "loss"), CASES)
@pytest.mark.parametrize("counted", [SOME, NOTHING])
def test_gradients_are_zero_at_ignored_pixels_and_nowhere_else(classes: int, loss: Any, counted: float) -> None:
    truth, logits = draw(classes, counted=counted)
    gradient = _gradient(loss, truth, logits)
    ignored = truth[..., 0] == 255
    assert (gradient[ignored] == 0).all()
    assert (np.abs(gradient[~ignored]).max(-1, initial=0) > 0).all()


@pytest.mark.parametrize("name", ["ce", "dice", "focal", "tversky"])
@pytest.mark.parametrize("logit", [-2.0, 0.0, 2.0])
def test_the_binary_gradient_is_that_of_the_definition(logit: float, name: str) -> None:
    truth, _ = draw(2)
    logits = np.full(truth.shape, logit, np.float32)
    gradient = _gradient(make_loss(name, classes=2), truth, logits)
    for place in ((0, 0, 0, 0), (1, 2, 3, 0), (2, 4, 1, 0)):
        step = np.zeros(truth.shape)
        step[place] = 1e-4
        slope = (definition(name, truth, logits + step) - definition(name, truth, logits - step)) / 2e-4
        assert gradient[place] == pytest.approx(slope, abs=1e-5)


def test_a_perfect_prediction_has_nearly_no_loss_and_the_opposite_much() -> None:
    truth, _ = draw(2)
    right = np.where(truth == 1, 30, -30).astype(np.float32)
    loss = make_loss("ce+dice", classes=2)
    assert float(loss(truth, right)) == pytest.approx(0, abs=1e-5)
    assert float(loss(truth, -right)) > 10


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
