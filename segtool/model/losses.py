"""What training minimises and watches, on float32 logits, the ignore id left out. Any Keras backend.

Truth arrives as class indices `(B, h, w, 1)`, 255 where ignored; logits as `(B, h, w, C)`, C = 1 for two classes.
"""

from typing import Any

import keras
from keras import ops

from segtool.card import IGNORE_ID

PIXELS_A_UNIT = 65536.0


def binary_loss(truth: Any, logits: Any) -> Any:
    """Returns binary cross-entropy, mean over pixels, plus soft Dice loss over the batch (Milletari et al. 2016).

    Dice is pooled over the batch: image by image it would jump between 0 and 1 on images without the object.
    """
    truth, logits = ops.cast(truth, "float32"), ops.cast(logits, "float32")
    valid = ops.cast(truth != IGNORE_ID, "float32")
    target = ops.cast(truth == 1, "float32")
    # Not relu(x) − x·t + log(1 + e^−|x|): its gradient is wrong where x is 0, as it is wherever all features are dead.
    cross_entropy = ops.softplus(logits) - logits * target
    probability = ops.sigmoid(logits) * valid
    overlap = ops.sum(probability * target)
    dice = (2 * overlap + 1) / (ops.sum(probability) + ops.sum(target) + 1)
    return ops.sum(cross_entropy * valid) / ops.maximum(ops.sum(valid), 1) + 1 - dice


def multiclass_loss(truth: Any, logits: Any) -> Any:
    """Returns sparse categorical cross-entropy, mean over the pixels that count."""
    truth = ops.cast(ops.squeeze(truth, -1), "int32")
    valid = ops.cast(truth != IGNORE_ID, "float32")
    target = ops.where(truth == IGNORE_ID, 0, truth)
    log_probability = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    picked = ops.sum(log_probability * ops.one_hot(target, logits.shape[-1]), axis=-1)
    return -ops.sum(picked * valid) / ops.maximum(ops.sum(valid), 1)


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
        truth = ops.cast(ops.squeeze(y_true, -1), "int32")
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
