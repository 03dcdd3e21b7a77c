"""The one callback of a training: history, best weights, checkpoint, then whether to stop."""
# ruff: noqa: D102  # overrides of Keras' hooks, which Keras describes

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import ops

from segtool.errors import TrainingError
from segtool.model.averaging import Averaged
from segtool.model.batches import TrainingBatches
from segtool.model.checkpoint import CHECKPOINT, Progress, save_checkpoint
from segtool.model.schedule import WarmupCosine
from segtool.model.unet import Architecture, build_network, with_head
from segtool.options import TrainOptions

FILES_NAMED = 8  # of a batch, in an error


@dataclass(frozen=True)
class Fit:
    """What a fit needs beside its data: where it lives, how a new best is kept, what is told, when to stop.

    `keep_best` gets the float32 network ending in probability, and its progress; `tell` the progress and the seconds
    left at most; `bar` gives a tqdm bar for a name and a number of steps; `notice` says a line; `stop` is asked after
    every epoch and every batch.
    """

    run: Path
    keep_best: Callable[[keras.Model, Progress], None]
    tell: Callable[[Progress, float], None]
    bar: Callable[[str, int], Any]
    stop: Callable[[], bool]
    notice: Callable[[str], None] = lambda text: None


class Keeper(keras.callbacks.Callback):
    """After each epoch: history, best weights, checkpoint, then whether to stop (patience, time, interrupt)."""

    def __init__(
        self, fit: Fit, options: TrainOptions, architecture: Architecture, schedule: WarmupCosine,
        train: TrainingBatches, averaged: Averaged | None, progress: Progress,
    ) -> None:  # fmt: skip
        super().__init__()
        self.fit_plan, self.options, self.schedule = fit, options, schedule
        self.train, self.averaged, self.progress = train, averaged, progress
        self.interrupted = False
        self.twin = with_head(build_network(architecture))  # float32, as weights files hold it
        self._epoch = progress.epoch
        self._since = self._trained = time.monotonic()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._since = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch
        left = f", {in_words(self.seconds_left())} left" if self.progress.epoch else ""
        self._bar = self.fit_plan.bar(f"epoch {epoch + 1}/{self.options.epochs}{left}", self.params["steps"])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if logs:
            if not math.isfinite(logs["loss"]):  # a running mean: once it is not, it stays so
                raise TrainingError(self._not_finite(batch))
            self._bar.set_postfix_str(f"loss {logs['loss']:.4f} iou {logs['iou']:.4f}", refresh=False)
        self._bar.update()
        if self.fit_plan.stop():
            self.interrupted = True
            self.model.stop_training = True

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._trained = time.monotonic()
        if self.averaged is not None and not self.interrupted:
            self.averaged.put_in(self.train.at_epoch(self._epoch))

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self.interrupted:
            self.model.stop_evaluating = True  # Keras validates even when stopped in mid-epoch

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        if self.interrupted:
            return
        self.twin.set_weights(self.model.get_weights())
        if self.averaged is not None:
            self.averaged.take_out()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.close()
        if self.interrupted:
            return  # half an epoch: the checkpoint of the last whole one stands
        self.progress = self._advanced(epoch, logs or {})
        if self.progress.best_epoch == self.progress.epoch:
            self.fit_plan.keep_best(self.twin, self.progress)
        finished = self.finished()
        save_checkpoint(self.fit_plan.run / CHECKPOINT, self.model, self.progress)
        self.fit_plan.tell(self.progress, 0 if finished else self.seconds_left())
        if finished or self.fit_plan.stop():
            self.model.stop_training = True

    def finished(self) -> bool:
        """Returns whether patience, epochs or time ran out; moves the end of the schedule to that of the budget."""
        done = self.progress
        if done.epoch - done.best_epoch >= self.options.patience or done.epoch >= self.options.epochs:
            return True
        if self.options.time_budget is None:
            return False
        # The cosine ends with the budget: the step rate of the epochs so far says after how many steps that is.
        epochs = done.epoch + int(self.seconds_left() / (done.seconds / done.epoch) + 1e-6)
        assert self.schedule.total is not None
        self.schedule.total.assign(max(epochs, 1) * len(self.train))
        return epochs <= done.epoch

    def seconds_left(self) -> float:
        """Returns how long it goes on at most, should patience not run out, by the epochs so far."""
        done = self.progress
        left = (self.options.epochs - done.epoch) * done.seconds / max(done.epoch, 1)
        if self.options.time_budget is not None:
            left = min(left, self.options.time_budget * 60 - done.seconds)
        return max(left, 0)

    def _advanced(self, epoch: int, logs: dict[str, float]) -> Progress:
        now = time.monotonic()
        seconds, training = now - self._since, self._trained - self._since
        self._since = now
        row = {
            "epoch": epoch + 1, "loss": logs["loss"], "accuracy": logs["accuracy"], "iou": logs["iou"],
            "val_loss": logs["val_loss"], "val_accuracy": logs["val_accuracy"], "val_iou": logs["val_iou"],
            "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)), "seconds": seconds,
            "images_per_second": len(self.train) * self.train.batch_size / max(training, 1e-9),
        }  # fmt: skip
        old = self.progress
        better = logs["val_iou"] > old.best
        return Progress(
            epoch=epoch + 1,
            best=logs["val_iou"] if better else old.best,
            best_epoch=epoch + 1 if better else old.best_epoch,
            seconds=old.seconds + seconds,
            history=(*old.history, {k: round(float(v), 6) for k, v in row.items()}),
            batch_size=old.batch_size,
            accumulate=old.accumulate,
        )

    def _not_finite(self, batch: int) -> str:
        names = self.train.names(self._epoch, batch)
        some = ", ".join(names[:FILES_NAMED]) + (", …" if len(names) > FILES_NAMED else "")
        kept = (
            f"the weights of epoch {self.progress.best_epoch} are kept" if self.progress.best_epoch else "none is kept"
        )
        return (
            f"The loss is no longer a number, from epoch {self._epoch + 1}, batch {batch + 1} on ({some}): look at "
            f"those pictures, or lower --learning-rate in a new RUN; {kept}."
        )


def in_words(seconds: float) -> str:
    """Returns a length of time as a person says it: 45 s, 12 min, 1 h 30 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
