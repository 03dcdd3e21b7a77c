"""What training minimises and watches, on float32 logits, the ignore id left out. Any Keras backend.

Truth arrives as class indices `(B, h, w, 1)`, 255 where ignored; logits as `(B, h, w, C)`, C = 1 for two classes. With
a teacher truth has C more channels behind the indices, its probability in steps of 1/255.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from segtool.card import IGNORE_ID
from segtool.errors import UsageError

PIXELS_A_UNIT = 65536.0
FOCAL_GAMMA = 2.0
TVERSKY_FALSE_POSITIVES, TVERSKY_FALSE_NEGATIVES = 0.3, 0.7
TEACHER_SHARE = 0.5  # of the loss; the masks have the rest
GAP_REACH = 4  # pixels from either side: gaps of up to twice as many count

Loss = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Compared:
    """A batch as the terms of a loss see it: the truth beside what the network says, float32.

    `log_true` `(B, h, w)` is the log-probability of the true class, `weight` `(B, h, w)` its class weight, 0 where
    ignored; `probability` and `target` `(B, h, w, K)` are 0 where ignored, K = 1, the foreground, for two classes.
    """

    log_true: Any
    weight: Any
    probability: Any
    target: Any


def parse_loss(text: str) -> tuple[tuple[float, str], ...]:
    """Returns the terms of a sum such as `ce+0.5*dice` as (factor, name). Raises UsageError for anything else."""
    found = [re.fullmatch(r"(?:([0-9.]+)\*)?([a-z]+)", part.strip()) for part in text.split("+")]
    try:
        terms = tuple((float(m[1] or 1), m[2]) for m in found if m)
    except ValueError:
        terms = ()
    if len(terms) != len(found) or not all(name in TERMS and factor > 0 for factor, name in terms):
        raise UsageError(f"--loss {text} is no sum of {', '.join(TERMS)}, such as ce+dice or ce+0.5*focal.")
    if all(name == "gap" for _, name in terms):
        raise UsageError(f"--loss {text} sees nothing but gaps between objects: add it to another, such as ce+10*gap.")
    return terms


def make_loss(text: str, *, classes: int, weights: Sequence[float] = ()) -> Loss:
    """Returns the loss named by `text`, a function of truth and logits; `weights` holds a number a class, empty: all 1.

    Class weights enter cross-entropy and focal loss, as a weighted mean over pixels; Dice and Tversky loss give every
    class the same say anyway. Where there is a teacher, half of the loss is cross-entropy with its probabilities.
    Raises UsageError when `text` is no loss or the number of weights is not `classes`.
    """
    terms = parse_loss(text)
    if weights and len(weights) != classes:
        raise UsageError(f"--class-weights has {len(weights)} weights for {classes} classes: give one a class.")
    compared = _binary if classes == 2 else _multiclass

    def loss(truth: Any, logits: Any) -> Any:
        logits = ops.cast(logits, "float32")
        batch = compared(truth[..., :1], logits, tuple(weights))
        of_masks = sum(factor * TERMS[name](batch) for factor, name in terms)
        if truth.shape[-1] == 1:
            return of_masks
        taught = ops.cast(truth[..., 1:], "float32") / 255
        valid = ops.cast(truth[..., 0] != IGNORE_ID, "float32")
        return (1 - TEACHER_SHARE) * of_masks - TEACHER_SHARE * _mean(_log_likelihood(taught, logits), valid)

    return loss


def cross_entropy(batch: Compared) -> Any:
    """Returns the mean over pixels of −log p of the true class, weighted by class."""
    return -_mean(batch.log_true, batch.weight)


def focal(batch: Compared) -> Any:
    """Returns the mean of −(1 − p)^γ log p of the true class, γ = 2, weighted by class (Lin et al. 2017)."""
    return -_mean((1 - ops.exp(batch.log_true)) ** FOCAL_GAMMA * batch.log_true, batch.weight)


def dice(batch: Compared) -> Any:
    """Returns soft Dice loss (Milletari et al. 2016) over the batch, the mean over the classes in its truth.

    Pooled over the batch: image by image it would jump between 0 and 1 on images without the object.
    """
    return _overlap_loss(batch, 0.5, 0.5)


def tversky(batch: Compared) -> Any:
    """Returns Tversky loss with 0.3 for false positives and 0.7 for false negatives (Salehi et al. 2017), as `dice`."""
    return _overlap_loss(batch, TVERSKY_FALSE_POSITIVES, TVERSKY_FALSE_NEGATIVES)


def gap(batch: Compared) -> Any:
    """Returns what cross-entropy adds when background between objects that nearly touch counts more: with `ce+10*gap` a
    gap of up to 2 pixels counts 11 times, of up to 4, 6 and 8 pixels 8.5, 6 and 3.5 times, all else once.

    The U-Net paper's weights for touching cells (Ronneberger et al. 2015, eq. 2), with closings of growing reach in
    place of distances to the two nearest cells: on every device, and for objects that masks do not tell apart. A bay
    as narrow as a gap counts as one. Objects are all but class 0; what is ignored is none.
    """
    target = batch.target
    objects = target if target.shape[-1] == 1 else ops.sum(target[..., 1:], axis=-1, keepdims=True)
    around = GAP_REACH + 1  # between an object and the border there is no gap
    objects = ops.pad(objects, ((0, 0), (around, around), (around, around), (0, 0)))
    gaps, grown = ops.zeros_like(objects), objects
    for reach in range(1, GAP_REACH + 1):
        grown = ops.max_pool(grown, 3, 1, "same")
        closed = -grown
        for _ in range(reach):
            closed = ops.max_pool(closed, 3, 1, "same")
        gaps = gaps + (-closed - objects)
    return -_mean(batch.log_true, batch.weight, gaps[:, around:-around, around:-around, 0] / GAP_REACH)


TERMS: dict[str, Callable[[Compared], Any]] = {
    "ce": cross_entropy, "dice": dice, "focal": focal, "tversky": tversky, "gap": gap,
}  # fmt: skip


def _overlap_loss(batch: Compared, false_positives: float, false_negatives: float) -> Any:
    hits = ops.sum(batch.probability * batch.target, axis=(0, 1, 2))
    found, true = (ops.sum(x, axis=(0, 1, 2)) for x in (batch.probability, batch.target))
    # 0.5 smooths as the usual 1 does in (2·hits + 1) / (found + true + 1).
    index = (hits + 0.5) / (hits + false_positives * (found - hits) + false_negatives * (true - hits) + 0.5)
    if batch.target.shape[-1] == 1:
        return 1 - index[0]  # a batch without foreground still says how much was found for nothing
    present = ops.cast(true > 0, "float32")
    return ops.sum((1 - index) * present) / ops.maximum(ops.sum(present), 1)


def _log_likelihood(probability: Any, logits: Any) -> Any:
    """Returns Σ q log p over the classes, `(B, h, w)`, q being `probability` and p that of `logits`."""
    if logits.shape[-1] == 1:
        # Not relu(x) − x·q + log(1 + e^−|x|): its gradient is wrong where x is 0, as wherever all features are dead.
        return (logits * probability - ops.softplus(logits))[..., 0]
    return ops.sum(probability * ops.log_softmax(logits, axis=-1), axis=-1)


def _mean(values: Any, weight: Any, share: Any = 1.0) -> Any:
    return ops.sum(values * weight * share) / ops.maximum(ops.sum(weight), 1e-3)


def _binary(truth: Any, logits: Any, weights: tuple[float, ...]) -> Compared:
    truth = ops.cast(truth, "int32")
    valid = ops.cast(truth != IGNORE_ID, "float32")
    target = ops.cast(truth == 1, "float32")
    weight = valid * (weights[0] + (weights[1] - weights[0]) * target) if weights else valid
    return Compared(_log_likelihood(target, logits), weight[..., 0], ops.sigmoid(logits) * valid, target)


def _multiclass(truth: Any, logits: Any, weights: tuple[float, ...]) -> Compared:
    truth = ops.cast(ops.squeeze(truth, -1), "int32")
    valid = ops.cast(truth != IGNORE_ID, "float32")
    # The ignore id is beyond the last class: its one-hot is all 0.
    target = ops.one_hot(truth, logits.shape[-1])
    log_probability = ops.log_softmax(logits, axis=-1)
    weight = ops.sum(target * ops.convert_to_tensor(weights, "float32"), axis=-1) if weights else valid
    return Compared(
        ops.sum(log_probability * target, axis=-1),
        weight,
        ops.exp(log_probability) * ops.expand_dims(valid, -1),
        target,
    )


class PooledScores(keras.metrics.Metric):
    """`accuracy` and `iou` from counts pooled over an epoch, by the definitions of `imaging.metrics`.

    `iou` is the foreground's for two classes, else the mean over the classes present.
    """

    def __init__(self, classes: int, name: str = "scores") -> None:
        super().__init__(name=name)
        self.classes = classes
        # Units of 65536 pixels: single pixels would reach the end of float32's whole numbers within an epoch.
        self.hits, self.truths, self.predictions = (
            self.add_variable((classes,), "zeros", name=kind) for kind in ("hits", "truths", "predictions")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        truth = ops.cast(y_true[..., 0], "int32")
        found = ops.cast(ops.squeeze(y_pred, -1) > 0, "int32") if self.classes == 2 else ops.argmax(y_pred, axis=-1)
        valid = ops.expand_dims(ops.cast(truth != IGNORE_ID, "float32"), -1)
        true_one_hot = ops.one_hot(truth, self.classes) * valid
        found_one_hot = ops.one_hot(found, self.classes) * valid
        for counter, counts in (
            (self.hits, true_one_hot * found_one_hot), (self.truths, true_one_hot), (self.predictions, found_one_hot),
        ):  # fmt: skip
            counter.assign_add(ops.sum(counts, axis=(0, 1, 2)) / PIXELS_A_UNIT)

    def result(self) -> dict[str, Any]:
        union = self.truths + self.predictions - self.hits
        iou = self.hits / ops.maximum(union, 1e-9)
        present = ops.cast(union > 0, "float32")
        mean = iou[1] if self.classes == 2 else ops.sum(iou * present) / ops.maximum(ops.sum(present), 1)
        return {"accuracy": ops.sum(self.hits) / ops.maximum(ops.sum(self.truths), 1e-9), "iou": mean}
