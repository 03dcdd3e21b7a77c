"""Training: the schedule by its formula, checkpoints that hold everything, and runs that go on as if never stopped."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras
import tensorflow as tf

from segtool.data.layout import Pair
from segtool.errors import ModelError, TrainingError
from segtool.imaging.codec import Pixels
from segtool.model.averaging import Averaged
from segtool.model.batches import SampleStore, TrainingBatches, ValidationBatches, epoch_order
from segtool.model.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from segtool.model.keeper import Fit, in_words
from segtool.model.schedule import WarmupCosine
from segtool.model.training import compiled, fit_unet
from segtool.model.unet import Architecture
from segtool.options import TrainOptions
from segtool.report.notices import Show
from segtool.settings import Settings

TINY = Architecture(classes=2, depth=1, width=2)
OPTIONS = TrainOptions(data=(), run=Path("unused"), epochs=4)
SETTINGS = Settings(
    encoder="", depth=1, width=2, max_width=4, norm=True, residual=False, stem=1, network_size=16, crop_size=None,
    batch_size=2, accumulate=1, epoch_pictures=6, loss="ce+dice", class_weights=(), learning_rate=0.01,
    weight_decay=0.01, warmup=0.25, clip=1.0, ema=0.0, grey=False,
)  # fmt: skip
BATCHES = 3  # an epoch of six pictures
PROGRESS = Progress(epoch=2, best=0.5, best_epoch=1, seconds=3.5, history=({"epoch": 1, "loss": 0.25}, {"epoch": 2}))


# The schedule


def schedule(*, peak: float = 0.1, warmup: float = 0.05, total: float = 100) -> WarmupCosine:
    made = WarmupCosine(peak, warmup)
    made.total = keras.Variable(total)
    return made


def rate(step: int, *, peak: float = 0.1, warmup: float = 0.05, total: float = 100) -> float:
    """Returns what the schedule is defined to be at `step`."""
    done = min((step + 1) / total, 1)
    if done < warmup:
        return peak * done / warmup
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2)


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5])
def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine(warmup: float) -> None:
    made = schedule(warmup=warmup)
    ours = [float(made(step)) for step in range(0, 130, 3)]
    assert ours == pytest.approx([rate(step, warmup=warmup) for step in range(0, 130, 3)], abs=1e-6)


def test_the_learning_rate_peaks_after_warm_up_and_ends_at_one_percent() -> None:
    rates = [float(schedule()(step)) for step in range(100)]
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    assert rates.index(max(rates)) == 4
    assert rates[-1] == pytest.approx(0.001, rel=1e-3)


def test_moving_the_end_moves_the_rate() -> None:
    made = schedule(total=100)
    assert made.total is not None
    made.total.assign(1000)
    assert float(made(499)) == pytest.approx(rate(499, total=1000), abs=1e-6)


def test_weight_decay_shrinks_kernels_and_nothing_else() -> None:
    model, _ = compiled(TINY, replace(SETTINGS, weight_decay=0.5), steps=10, precision="float32")
    before = {v.path: np.array(v.numpy()) for v in model.trainable_variables}
    model.optimizer.apply_gradients([(keras.ops.zeros_like(v), v) for v in model.trainable_variables])
    shrunk = {v.path for v in model.trainable_variables if not np.array_equal(v.numpy(), before[v.path])}
    assert shrunk == {path for path in before if path.endswith("kernel")}


# Checkpoints


def scrambled(architecture: Architecture = TINY, *, seed: int = 1) -> keras.Model:
    """Returns a compiled model all of whose state is random."""
    model, _ = compiled(architecture, SETTINGS, steps=10, precision="float32")
    rng = np.random.default_rng(seed)
    for variable in state(model):
        variable.assign(rng.uniform(1, 9, variable.shape).astype(variable.dtype))
    return model


def state(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]


def values(model: keras.Model) -> list[Pixels]:
    return [np.asarray(v.numpy()) for v in state(model)]


def test_a_checkpoint_restores_every_variable_of_network_and_optimizer(tmp_path: Path) -> None:
    saved, loaded = scrambled(seed=1), scrambled(seed=2)
    save_checkpoint(tmp_path / CHECKPOINT, saved, PROGRESS)
    load_checkpoint(tmp_path / CHECKPOINT, loaded)
    paths = {v.path.split("/")[-1] for v in state(loaded)}
    assert {"iteration", "total_steps"} <= paths
    for variable, theirs, ours in zip(state(saved), values(saved), values(loaded), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=variable.path)


def test_a_checkpoint_gives_the_progress_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / CHECKPOINT, scrambled(), PROGRESS)
    assert load_checkpoint(tmp_path / CHECKPOINT, scrambled()) == PROGRESS
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


@pytest.mark.parametrize(
    "other", [replace(TINY, width=3), replace(TINY, depth=2), replace(TINY, norm=False), replace(TINY, classes=3)]
)
def test_a_checkpoint_of_another_network_is_a_model_error_and_changes_nothing(
    tmp_path: Path, other: Architecture
) -> None:
    save_checkpoint(tmp_path / CHECKPOINT, scrambled(other), PROGRESS)
    model = scrambled()
    before = values(model)
    with pytest.raises(ModelError, match="belongs to another network"):
        load_checkpoint(tmp_path / CHECKPOINT, model)
    for ours, theirs in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_that_is_missing_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / CHECKPOINT, scrambled())


@pytest.mark.parametrize(
    "damage",
    [lambda c: b"", lambda c: c[:-100], lambda c: c[:2000], lambda c: b"garbage", lambda c: b"PK\x03\x04" + bytes(99)],
)
def test_a_damaged_checkpoint_is_a_model_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / CHECKPOINT
    save_checkpoint(path, scrambled(), PROGRESS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="is damaged"):
        load_checkpoint(path, scrambled())


# Fitting


class Run:
    """Fits into `folder`, and keeps what was told. `stop_at` counts batches and ends of epochs, from 1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[int] = []
        self.best: list[tuple[int, str, str]] = []
        self.noticed: list[str] = []

    def fit(
        self, *, stop_at: int | None = None, resume: bool = False, options: TrainOptions = OPTIONS,
        settings: Settings = SETTINGS,
    ) -> Progress:  # fmt: skip
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return stop_at is not None and asked >= stop_at

        plan = Fit(
            run=self.folder,
            keep_best=lambda model, progress: self.best.append(
                (progress.epoch, model.outputs[0].name, model.dtype_policy.name)
            ),
            tell=lambda progress, left: self.told.append(progress.epoch),
            bar=lambda what, steps: Show(quiet=True).progress(what, steps, "batch"),
            stop=stop,
            notice=self.noticed.append,
        )
        return fit_unet(TINY, settings, options, *_data(), plan, precision="float32", resume=resume)


def timeless(row: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key not in ("seconds", "images_per_second")}


def _data() -> tuple[TrainingBatches, ValidationBatches]:
    rng = np.random.default_rng(5)
    samples = []
    for _ in range(6):
        mask = np.zeros((16, 16), np.uint8)
        row, column = rng.integers(0, 8, 2)
        mask[row : row + 8, column : column + 8] = 1
        samples.append(((mask[..., None] * 150 + rng.integers(0, 99, (16, 16, 3))).astype(np.uint8), mask))
    pairs = tuple(Pair(f"p{i}", Path(), Path()) for i in range(6))
    store = SampleStore(pairs, ((16, 16),) * 6, tuple(samples), lambda pair: samples[int(pair.name[1:])])
    train = TrainingBatches(
        store, lambda epoch: epoch_order([6], [1], 6, seed=0, epoch=epoch), shape=(16, 16), network_size=16,
        batch_size=SETTINGS.batch_size, seed=0,
    )  # fmt: skip
    return train, ValidationBatches(store, batch_size=3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Progress]:
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    return run, run.fit()


def test_a_history_row_is_told_every_epoch(undisturbed: tuple[Run, Progress]) -> None:
    run, progress = undisturbed
    assert run.told == [1, 2, 3, 4]
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4]
    columns = {"epoch", "loss", "accuracy", "iou", "val_loss", "val_accuracy", "val_iou", "learning_rate", "seconds",
               "images_per_second"}  # fmt: skip
    assert all(set(row) == columns for row in progress.history)


def test_the_learning_rate_of_a_fit_is_that_of_the_schedule(undisturbed: tuple[Run, Progress]) -> None:
    wanted = [rate(BATCHES * epoch, peak=0.01, warmup=0.25, total=4 * BATCHES) for epoch in (1, 2, 3, 4)]
    assert [row["learning_rate"] for row in undisturbed[1].history] == pytest.approx(wanted, abs=1e-6)


def test_the_best_network_is_kept_whenever_val_iou_rises(undisturbed: tuple[Run, Progress]) -> None:
    run, progress = undisturbed
    rises, best = [], -1.0
    for row in progress.history:
        if row["val_iou"] > best:
            rises.append(int(row["epoch"]))
            best = row["val_iou"]
    assert [epoch for epoch, _, _ in run.best] == rises
    assert (progress.best_epoch, round(progress.best, 6)) == (rises[-1], best)


def test_a_run_that_was_interrupted_and_resumed_is_as_one_undisturbed(
    tmp_path: Path, undisturbed: tuple[Run, Progress]
) -> None:
    run = Run(tmp_path)
    # Three batches and an end an epoch: stopped at the end of the first, then at the second batch of the third.
    assert run.fit(stop_at=4).epoch == 1
    assert run.fit(stop_at=6, resume=True).epoch == 2
    resumed = run.fit(resume=True)
    assert run.told == [1, 2, 3, 4]
    for ours, theirs in zip(resumed.history, undisturbed[1].history, strict=True):
        assert timeless(ours) == pytest.approx(timeless(theirs), rel=1e-3, abs=1e-5)
    assert resumed.best_epoch == undisturbed[1].best_epoch


def test_a_run_that_is_done_trains_no_more_when_resumed(undisturbed: tuple[Run, Progress]) -> None:
    run, done = undisturbed
    again = Run(run.folder)
    assert again.fit(resume=True) == done
    assert again.told == []


def test_a_run_ends_when_patience_runs_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    progress = run.fit(options=replace(OPTIONS, epochs=30, patience=2), settings=replace(SETTINGS, learning_rate=0.0))
    assert progress.epoch == progress.best_epoch + 2 < 30


def test_the_history_of_a_checkpoint_is_plain_numbers(undisturbed: tuple[Run, Progress]) -> None:
    run, progress = undisturbed
    model, _ = compiled(TINY, SETTINGS, steps=1, precision="float32")
    assert asdict(load_checkpoint(run.folder / CHECKPOINT, model)) == asdict(progress)


# Gradients added up, averages, faults


def test_gradients_added_up_over_two_batches_are_those_of_one_twice_as_large() -> None:
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (4, 16, 16, 3), np.uint8), rng.integers(0, 2, (4, 16, 16, 1), np.uint8)
    ends = []
    for accumulate, batch in ((1, 4), (2, 2)):
        keras.utils.set_random_seed(0)
        # Without normalisation, whose statistics are those of a batch; cross-entropy alone, which is a mean.
        settings = replace(SETTINGS, accumulate=accumulate, loss="ce", clip=1e-3)
        model, _ = compiled(replace(TINY, norm=False), settings, steps=9 * accumulate, precision="float32")
        for first in range(0, 4, batch):
            model.train_on_batch(images[first : first + batch], masks[first : first + batch])
        assert int(model.optimizer.iterations) == 1
        ends.append(model.get_weights())
    for one, two in zip(*ends, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_run_with_averaged_weights_is_resumed_as_one_undisturbed(tmp_path: Path) -> None:
    settings = replace(SETTINGS, ema=0.8, accumulate=2)
    whole, torn = Run(tmp_path / "whole"), Run(tmp_path / "torn")
    wanted = whole.fit(settings=settings)
    torn.fit(settings=settings, stop_at=6)
    found = torn.fit(settings=settings, resume=True)
    for ours, theirs in zip(found.history, wanted.history, strict=True):
        assert timeless(ours) == pytest.approx(timeless(theirs), rel=1e-3, abs=1e-5)


def test_averaged_weights_are_validated_with_statistics_of_their_own_and_taken_out_again() -> None:
    model, _ = compiled(TINY, replace(SETTINGS, ema=0.5), steps=9, precision="float32")
    train, _ = _data()
    for index in range(3):
        model.train_on_batch(*train[index])
    before = values(model)
    averaged = Averaged(model)
    averaged.put_in(train)
    kernels = [v for v in model.trainable_variables if v.path.endswith("kernel")]
    means = [v for v in model.non_trainable_variables if v.path.endswith("moving_mean")]
    averages = {v.path.split("/")[-1]: v for v in model.optimizer.variables if v.path.endswith("_average")}
    for kernel in kernels:
        np.testing.assert_array_equal(kernel.numpy(), averages[kernel.path.replace("/", "_") + "_average"].numpy())
    changed = {v.path for v, old in zip(state(model), before, strict=True) if not np.array_equal(v.numpy(), old)}
    assert {v.path for v in (*kernels, *means)} <= changed
    averaged.take_out()
    for ours, theirs in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")]
)
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_batch_that_does_not_fit_is_halved_and_told_and_the_run_goes_on(
    error: Exception, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = keras.Model.fit

    def full(model: keras.Model, train: TrainingBatches, **arguments: Any) -> Any:
        if train.batch_size == 2:
            if epoch > arguments["initial_epoch"]:
                fit(model, train, **{**arguments, "epochs": epoch})
            raise error
        return fit(model, train, **arguments)

    monkeypatch.setattr(keras.Model, "fit", full)
    run = Run(tmp_path)
    progress = run.fit()
    assert run.noticed == ["memory ran out: batches of 1 from here on, gradients of 2 added up"]
    assert run.told == [1, 2, 3, 4]
    assert (progress.batch_size, progress.accumulate) == (1, 2)
    # Resumed, it does not try the larger batches again.
    again = Run(tmp_path)
    assert again.fit(resume=True, options=replace(OPTIONS, epochs=5)).epoch == 5
    assert again.noticed == []


def test_where_not_even_one_picture_fits_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")

    monkeypatch.setattr(keras.Model, "fit", full)
    with pytest.raises(TrainingError, match="Not even one picture fits"):
        Run(tmp_path).fit()


def test_an_error_that_is_not_of_memory_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(keras.Model, "fit", broken)
    with pytest.raises(RuntimeError, match="something else"):
        Run(tmp_path).fit()


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_pictures(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.fit(options=replace(OPTIONS, epochs=1))
    kept = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError) as raised:
        run.fit(settings=replace(SETTINGS, learning_rate=1e38, clip=0.0), resume=True)
    told = str(raised.value)
    assert re.search(r"no longer a number, from epoch 2, batch [12] on \(p\d, p\d\)", told), told
    assert "the weights of epoch 1 are kept" in told
    assert (tmp_path / CHECKPOINT).read_bytes() == kept


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (5400, "1 h 30 min")]
)
def test_lengths_of_time_are_told_as_a_person_does(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
