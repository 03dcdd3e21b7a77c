"""The learning rate over a training."""

from typing import Any

import keras
from keras import ops

FINAL_SHARE = 0.01  # of the peak learning rate, where the cosine ends


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then half a cosine (Loshchilov and Hutter 2017) down to 1 % of it at `total`.

    `total` is a variable of the optimizer, so that a time budget can move the end, on every backend, and a checkpoint
    carries it.
    """

    def __init__(self, peak: float, warmup: float) -> None:
        self.peak, self.warmup = peak, warmup
        self.total: keras.Variable | None = None

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate at `step`, from 0."""
        total = ops.convert_to_tensor(self.total)
        done = ops.minimum((ops.cast(step, "float32") + 1) / total, 1.0)
        rising = done / max(self.warmup, 1e-6)
        falling = (done - self.warmup) / max(1 - self.warmup, 1e-6)
        cosine = FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + ops.cos(3.14159265 * falling))
        return self.peak * ops.where(done < self.warmup, rising, cosine)
