"""Fitting a U-Net: Keras' own `fit`, which gives way where memory runs out, and goes on where it was stopped.

Keras 3 on any backend: nothing here is TensorFlow's.
"""

from dataclasses import replace

import keras

from segtool.engine.device import out_of_memory
from segtool.errors import TrainingError
from segtool.model.averaging import Averaged
from segtool.model.batches import TrainingBatches, ValidationBatches
from segtool.model.checkpoint import CHECKPOINT, Progress, load_checkpoint
from segtool.model.keeper import Fit, Keeper
from segtool.model.losses import PooledScores, make_loss
from segtool.model.normalization import with_fast_normalization
from segtool.model.precision import make_deterministic
from segtool.model.schedule import WarmupCosine
from segtool.model.start import Start
from segtool.model.unet import Architecture, build_network
from segtool.options import TrainOptions
from segtool.settings import Settings


def fit_unet(
    architecture: Architecture, settings: Settings, options: TrainOptions, train: TrainingBatches,
    val: ValidationBatches, fit: Fit, *, precision: str, start: Start | None = None, resume: bool = False,
) -> Progress:  # fmt: skip
    """Trains until epochs, patience or time run out, or `fit.stop` says so; returns how far it came.

    `start` puts first weights into the network. A batch that does not fit into memory is halved, and the gradients of
    twice as many added up. Raises ModelError when a checkpoint does not fit, TrainingError when the loss is no longer
    a number, or when not even one picture fits.
    """
    if options.deterministic:
        make_deterministic()
    checkpoint = fit.run / CHECKPOINT
    resume = resume and checkpoint.is_file()
    batch, accumulate = settings.batch_size, settings.accumulate
    while True:
        try:
            return _fit(
                architecture, replace(settings, batch_size=batch, accumulate=accumulate), options, train, val, fit,
                precision=precision, start=None if resume else start, resume=resume,
            )  # fmt: skip
        except _Smaller as smaller:  # the checkpoint is of a run that had to give way before
            batch, accumulate = smaller.batch, smaller.accumulate
        except Exception as error:
            if not out_of_memory(error):
                raise
            if batch == 1:
                raise TrainingError(
                    "Not even one picture fits into memory: give a smaller --network-size, --crop-size or --width."
                ) from None
            batch, accumulate = batch // 2, accumulate * 2
            fit.notice(f"memory ran out: batches of {batch} from here on, gradients of {accumulate} added up")
        resume = checkpoint.is_file()


def forget_networks() -> None:
    """Frees what Keras keeps of the networks built so far: between two trainings in one process."""
    keras.utils.clear_session()


class _Smaller(Exception):
    def __init__(self, batch: int, accumulate: int) -> None:
        self.batch, self.accumulate = batch, accumulate


def _fit(
    architecture: Architecture, settings: Settings, options: TrainOptions, train: TrainingBatches,
    val: ValidationBatches, fit: Fit, *, precision: str, start: Start | None, resume: bool,
) -> Progress:  # fmt: skip
    keras.utils.set_random_seed(options.seed)
    train, val = train.in_batches_of(settings.batch_size), val.in_batches_of(settings.batch_size)
    epochs = options.epochs
    if options.time_budget is not None:
        # A guess until the first epoch was timed: it is the warm-up.
        epochs = min(epochs, round(1 / max(settings.warmup, 0.01)))
    steps = epochs * len(train)
    model, schedule = compiled(architecture, settings, steps=steps, precision=precision)
    progress = Progress(batch_size=settings.batch_size, accumulate=settings.accumulate)
    if start is not None:
        start(model)
    if resume:
        progress = load_checkpoint(fit.run / CHECKPOINT, model)
        if progress.batch_size < settings.batch_size:
            raise _Smaller(progress.batch_size, progress.accumulate)
        progress = replace(progress, batch_size=settings.batch_size, accumulate=settings.accumulate)
        train.go_to(progress.epoch)
        if options.time_budget is None and schedule.total is not None:
            schedule.total.assign(steps)  # more epochs than before stretch the cosine
    averaged = Averaged(model) if settings.ema else None
    keeper = Keeper(fit, options, architecture, schedule, train, averaged, progress)
    keeper.set_model(model)
    if not (resume and keeper.finished()):
        model.fit(
            train, validation_data=val, epochs=options.epochs, initial_epoch=progress.epoch, verbose=0,
            shuffle=False, callbacks=[keeper],  # Keras' shuffling would not survive a resume
        )  # fmt: skip
    return keeper.progress


def compiled(
    architecture: Architecture, settings: Settings, *, steps: int, precision: str
) -> tuple[keras.Model, WarmupCosine]:
    """Returns the network on logits, compiled, its optimizer built, and its schedule, which ends after `steps` batches,
    whether or not their gradients are added up.
    """
    dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    model = with_fast_normalization(build_network(architecture, dtype=dtype))
    schedule = WarmupCosine(settings.learning_rate, settings.warmup)
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip or None,
        gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
        use_ema=bool(settings.ema),
        # The optimizer averages after every batch, whether or not its gradients were applied yet.
        ema_momentum=(settings.ema or 0.99) ** (1 / settings.accumulate),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    schedule.total = optimizer.add_variable((), initializer="zeros", dtype="float32", name="total_steps")
    schedule.total.assign(steps)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        loss=make_loss(settings.loss, classes=architecture.classes, weights=settings.class_weights),
        metrics=[PooledScores(architecture.classes)],
    )
    return model, schedule
