"""Fitting a U-Net: Keras' own `fit`, a schedule that knows its end, and one callback that keeps everything safe.

Keras 3 on any backend: nothing here is TensorFlow's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import ops

from segtool.model.batches import TrainingBatches, ValidationBatches
from segtool.model.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from segtool.model.losses import PooledScores, make_loss
from segtool.model.unet import Architecture, build_unet, with_head
from segtool.model.weights import load_weights
from segtool.options import TrainOptions

FINAL_SHARE = 0.01  # of the peak learning rate, where the cosine ends


@dataclass(frozen=True)
class Fit:
    """What a fit needs beside its data: where it lives, how a new best is kept, what is told, when to stop.

    `keep_best` gets the float32 network ending in probability, and its progress; `bar` gives a tqdm bar for a name and
    a number of steps; `stop` is asked after every epoch and every batch.
    """

    run: Path
    keep_best: Callable[[keras.Model, Progress], None]
    tell: Callable[[Progress], None]
    bar: Callable[[str, int], Any]
    stop: Callable[[], bool]


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak`, then half a cosine (Loshchilov and Hutter 2017) down to 1 % of it at `total`.

    `total` is a variable of the optimizer, so that a time budget can move the end, on every backend, and a checkpoint
    carries it.
    """

    def __init__(self, peak: float, warmup: float) -> None:
        self.peak, self.warmup = peak, warmup
        self.total: keras.Variable | None = None

    def __call__(self, step: Any) -> Any:
        total = ops.convert_to_tensor(self.total)
        done = ops.minimum((ops.cast(step, "float32") + 1) / total, 1.0)
        rising = done / max(self.warmup, 1e-6)
        falling = (done - self.warmup) / max(1 - self.warmup, 1e-6)
        cosine = FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + ops.cos(3.14159265 * falling))
        return self.peak * ops.where(done < self.warmup, rising, cosine)


class Keeper(keras.callbacks.Callback):
    """After each epoch: history, best weights, checkpoint, then whether to stop (patience, time, interrupt)."""

    def __init__(self, fit: Fit, options: TrainOptions, architecture: Architecture, schedule: WarmupCosine) -> None:
        super().__init__()
        self.fit_plan, self.options, self.architecture, self.schedule = fit, options, architecture, schedule
        self.progress = Progress()
        self.interrupted = False
        self._since = time.monotonic()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._since = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar = self.fit_plan.bar(f"epoch {epoch + 1}", self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if logs:
            self._bar.set_postfix_str(f"loss {logs['loss']:.4f} iou {logs['iou']:.4f}", refresh=False)
        self._bar.update()
        if self.fit_plan.stop():
            self.interrupted = True
            self.model.stop_training = True

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.interrupted:
            self.model.stop_evaluating = True  # Keras validates even when stopped in mid-epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.close()
        if self.interrupted:
            return  # half an epoch: the checkpoint of the last whole one stands
        self.progress = self._advanced(epoch, logs or {})
        if self.progress.best_epoch == self.progress.epoch:
            self.fit_plan.keep_best(_float32_twin(self.model, self.architecture), self.progress)
        finished = self.finished()
        save_checkpoint(self.fit_plan.run / CHECKPOINT, self.model, self.progress)
        self.fit_plan.tell(self.progress)
        if finished or self.fit_plan.stop():
            self.model.stop_training = True

    def _advanced(self, epoch: int, logs: dict[str, float]) -> Progress:
        now = time.monotonic()
        seconds = now - self._since
        self._since = now
        row = {
            "epoch": epoch + 1, "loss": logs["loss"], "accuracy": logs["accuracy"], "iou": logs["iou"],
            "val_loss": logs["val_loss"], "val_accuracy": logs["val_accuracy"], "val_iou": logs["val_iou"],
            "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)), "seconds": seconds,
        }  # fmt: skip
        old = self.progress
        better = logs["val_iou"] > old.best
        return Progress(
            epoch=epoch + 1,
            best=logs["val_iou"] if better else old.best,
            best_epoch=epoch + 1 if better else old.best_epoch,
            seconds=old.seconds + seconds,
            history=(*old.history, {k: round(float(v), 6) for k, v in row.items()}),
        )

    def finished(self) -> bool:
        """Returns whether patience, epochs or time ran out; moves the end of the schedule to that of the budget."""
        done = self.progress
        if done.epoch - done.best_epoch >= self.options.patience or done.epoch >= self.options.epochs:
            return True
        if self.options.time_budget is None:
            return False
        # The cosine ends with the budget: the step rate of the epochs so far says after how many steps that is.
        budget = self.options.time_budget * 60
        an_epoch = done.seconds / done.epoch
        epochs = min(self.options.epochs, done.epoch + int((budget - done.seconds) / an_epoch))
        steps = int(ops.convert_to_numpy(self.model.optimizer.iterations)) / done.epoch
        assert self.schedule.total is not None
        self.schedule.total.assign(max(epochs, 1) * steps)
        return epochs <= done.epoch


def fit_unet(
    architecture: Architecture, options: TrainOptions, train: TrainingBatches, val: ValidationBatches, fit: Fit, *,
    precision: str, start: Path | None = None, resume: bool = False,
) -> Progress:  # fmt: skip
    """Trains until epochs, patience or time run out, or `fit.stop` says so; returns how far it came.

    `start` names weights of the same architecture to begin with. Raises ModelError when a checkpoint
    does not fit.
    """
    keras.utils.set_random_seed(options.seed)
    epochs = options.epochs
    if options.time_budget is not None:
        epochs = min(epochs, round(1 / options.warmup))  # a guess until the first epoch was timed: it is the warm-up
    model, schedule = compiled(architecture, options, steps=epochs * len(train), precision=precision)
    keeper = Keeper(fit, options, architecture, schedule)
    if start is not None:
        model.set_weights(load_weights(start)[0].get_weights())
    if resume:
        total = float(ops.convert_to_numpy(schedule.total))
        keeper.progress = load_checkpoint(fit.run / CHECKPOINT, model)
        train.go_to(keeper.progress.epoch)
        if options.time_budget is None and schedule.total is not None:
            schedule.total.assign(total)  # more epochs than before stretch the cosine
    if not (resume and keeper.finished()):
        model.fit(
            train, validation_data=val, epochs=options.epochs, initial_epoch=keeper.progress.epoch, verbose=0,
            shuffle=False, callbacks=[keeper],  # Keras' shuffling would not survive a resume
        )  # fmt: skip
    return keeper.progress


def compiled(
    architecture: Architecture, options: TrainOptions, *, steps: int, precision: str
) -> tuple[keras.Model, WarmupCosine]:
    """Returns the network on logits, compiled, its optimizer built, and its schedule."""
    model = build_unet(architecture, dtype="mixed_bfloat16" if precision == "bfloat16" else "float32")
    schedule = WarmupCosine(options.learning_rate, options.warmup)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=options.weight_decay, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    schedule.total = optimizer.add_variable((), initializer="zeros", dtype="float32", name="total_steps")
    schedule.total.assign(steps)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        loss=make_loss(options.loss, classes=architecture.classes, weights=options.class_weights),
        metrics=[PooledScores(architecture.classes)],
    )
    return model, schedule


def _float32_twin(model: keras.Model, architecture: Architecture) -> keras.Model:
    """Returns the network rebuilt in float32, ending in probability, as weights files hold it."""
    twin = build_unet(architecture)
    twin.set_weights(model.get_weights())
    return with_head(twin)
