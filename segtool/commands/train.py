"""`segtool train`: datasets to a run folder with weights, history, curves, and a card whose scores were measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import keras

from segtool import __version__
from segtool.card import Card, find_weights, read_card
from segtool.data.classes import MaskCoding
from segtool.data.layout import Dataset, Pair, content_hash, find_dataset
from segtool.data.truth import inspect_masks
from segtool.errors import DataError, ModelError, UsageError
from segtool.files import write_whole
from segtool.imaging.geometry import network_shape
from segtool.imaging.metrics import Tally, scores_of
from segtool.model.batches import (
    MEMORY_SHARE,
    SampleStore,
    TrainingBatches,
    ValidationBatches,
    available_memory,
    epoch_order,
    load_samples,
    training_reader,
    training_shape,
    validation_reader,
)
from segtool.model.checkpoint import CHECKPOINT, Progress
from segtool.model.precision import choose_precision, device_name
from segtool.model.predictor import predict_function
from segtool.model.training import Fit, fit_unet
from segtool.model.unet import Architecture, build_unet, count_flops
from segtool.model.weights import load_weights, save_weights
from segtool.options import TrainOptions
from segtool.pipeline import Predictor
from segtool.report.notices import Show
from segtool.report.plots import save_curves
from segtool.results import Scores, Trained
from segtool.scoring import tally_pairs
from segtool.streaming import FailureLog, Interrupt

WEIGHTS, CONFIG, HISTORY, CURVES = "weights.keras", "config.json", "history.csv", "curves.png"
MAY_CHANGE = ("epochs", "patience", "time_budget")  # on --resume; all else must be as it was


@dataclass(frozen=True)
class Sets:
    """The datasets of a run: found, and their mask values understood, in the order given."""

    datasets: tuple[Dataset, ...]
    codings: tuple[MaskCoding, ...]

    @property
    def coding_of(self) -> dict[Pair, MaskCoding]:
        """Returns the coding of every pair."""
        return {p: c for d, c in zip(self.datasets, self.codings, strict=True) for p in d.all_pairs}


def train(options: TrainOptions, show: Show, *, resume: bool = False) -> Trained:
    """Trains a U-Net on `options.data` into `options.run`, or goes on where the run stopped.

    Raises UsageError, DataError, ModelError or OutputError, before anything is written, when it cannot be.
    """
    _check_run(options, resume=resume)
    sets = _find_sets(options, show)
    classes = sets.codings[0].classes
    architecture, start = _architecture(options, len(classes))
    precision = choose_precision(options.precision)
    failures = FailureLog()
    train_store, val_store = _load(options, sets, architecture, show, failures)
    card = _card(options, sets, architecture)
    options.run.mkdir(parents=True, exist_ok=True)
    _write_json(options.run / CONFIG, _config(options))

    shape = training_shape(
        [_shape(train_store[i], architecture, options) for i in range(len(train_store))],
        network_size=options.network_size, crop_size=options.crop_size,
    )  # fmt: skip
    show.notice(
        f"{device_name()}, {precision}, {len(train_store)} train and {len(val_store)} val pairs, batches of "
        f"{options.batch_size} at {shape[1]}×{shape[0]}, {card.parameters / 1e6:.2f} M parameters, "
        f"{card.flops / 1e9:.1f} GFLOP a picture"
    )
    with Interrupt() as interrupt:
        progress, interrupted = fit_unet(
            architecture, options, *_batches(options, sets, train_store, val_store, architecture, shape),
            Fit(
                run=options.run,
                keep_best=lambda model, progress: save_weights(model, options.run / WEIGHTS, card),
                tell=lambda progress: _tell(progress, options, show),
                callbacks=(_Bar(show),),
                stop=lambda: bool(interrupt.exit_code),
            ),
            precision=precision, start=start, resume=resume,
        )  # fmt: skip
    scores: tuple[tuple[str, Scores], ...] = ()
    if not interrupted and progress.epoch:
        scores = _score(options, sets, show, failures)
    return Trained(
        run=options.run, epochs=progress.epoch, best_epoch=progress.best_epoch, seconds=progress.seconds,
        scores=scores, failures=tuple(failures.failures), interrupted=interrupt.exit_code,
    )  # fmt: skip


def _check_run(options: TrainOptions, *, resume: bool) -> None:
    run = options.run
    if options.mix and len(options.mix) != len(options.data):
        raise UsageError(f"--mix has {len(options.mix)} shares for {len(options.data)} datasets: give one a dataset.")
    if not resume:
        # A run stopped within its first epoch left its config and nothing to lose.
        if run.exists() and (not run.is_dir() or {p.name for p in run.iterdir()} - {CONFIG}):
            raise UsageError(f"{run} is not empty: give a new RUN, or --resume to go on with this one.")
        return
    if not (run / CHECKPOINT).is_file():
        raise UsageError(f"{run} has no {CHECKPOINT} to resume from.")
    before = json.loads((run / CONFIG).read_text())["options"]
    now = _config(options)["options"]
    changed = [f"{k} {before.get(k)!r} -> {v!r}" for k, v in now.items() if k not in MAY_CHANGE and before.get(k) != v]
    if changed:
        raise UsageError(
            f"--resume goes on with the run as it was, but these differ: {'; '.join(changed)}. "
            "Give the same options, or start a new RUN with --init."
        )


def _find_sets(options: TrainOptions, show: Show) -> Sets:
    datasets, codings = [], []
    for root in options.data:
        dataset = find_dataset(root, val_fraction=options.val_fraction, mask_suffix=options.mask_suffix)
        coding = inspect_masks([p.mask for p in dataset.all_pairs], root=root, class_names=options.class_names)
        show.notice(
            f"{root}: {len(dataset.split('train'))} train, {len(dataset.split('val'))} val pairs; {coding.describe()}"
        )
        if dataset.unpaired:
            show.notice(f"{root}: {len(dataset.unpaired)} files have no partner, such as {dataset.unpaired[0]}")
        datasets.append(dataset)
        codings.append(coding)
    names = [[c.name for c in coding.classes] for coding in codings]
    for root, other in zip(options.data, names, strict=True):
        if other != names[0]:
            raise DataError(f"{options.data[0]} has the classes {names[0]}, {root} has {other}: they cannot be mixed.")
    return Sets(tuple(datasets), tuple(codings))


def _architecture(options: TrainOptions, classes: int) -> tuple[Architecture, keras.Model | None]:
    """Returns the network asked for, and the one to start from where `--init` names it (whose architecture wins)."""
    asked = Architecture(
        classes, options.depth, options.width, options.max_width, options.norm, options.residual, options.stem
    )
    if options.init is None:
        stride = asked.stride
        for flag, size in (("--network-size", options.network_size), ("--crop-size", options.crop_size or stride)):
            if size % stride:
                raise UsageError(f"{flag} {size} is not a multiple of {stride}, the stride of this network.")
        return asked, None
    path = find_weights(options.init)
    kept = read_card(path).architecture
    if kept.get("classes") != classes:
        raise ModelError(f"{path} has {kept.get('classes')} classes, the data {classes}: they cannot be fine-tuned.")
    return Architecture(**kept), load_weights(path)[0]


def _load(
    options: TrainOptions, sets: Sets, architecture: Architecture, show: Show, failures: FailureLog
) -> tuple[SampleStore, SampleStore]:
    size, coding_of = options.network_size, sets.coding_of
    train_pairs = list(chain.from_iterable(d.split("train") for d in sets.datasets))
    val_pairs = list(chain.from_iterable(d.split("val") for d in sets.datasets))
    memory = int(available_memory() * MEMORY_SHARE)
    readers = (
        training_reader(coding_of, network_size=size),
        validation_reader(coding_of, network_size=size, stride=architecture.stride),
    )
    stores = []
    with show.progress("reading", len(train_pairs) + len(val_pairs), "pair") as bar:
        for pairs, reader in zip((train_pairs, val_pairs), readers, strict=True):
            store = load_samples(pairs, reader, failures, memory=memory // 2, tick=bar.update)
            if not len(store):
                raise DataError(f"None of the {len(pairs)} pairs can be read; the first: {failures.failures[0][1]}")
            stores.append(store)
    return stores[0], stores[1]


def _batches(
    options: TrainOptions, sets: Sets, train_store: SampleStore, val_store: SampleStore, architecture: Architecture,
    shape: tuple[int, int],
) -> tuple[TrainingBatches, ValidationBatches]:  # fmt: skip
    readable = set(train_store.pairs)
    sizes = [sum(p in readable for p in d.split("train")) for d in sets.datasets]
    length = options.epoch_pictures or len(train_store)

    def order(epoch: int) -> list[int]:
        return epoch_order(sizes, options.mix or sizes, length, seed=options.seed, epoch=epoch)

    batches = TrainingBatches(
        train_store, order, shape=shape, network_size=options.network_size, batch_size=options.batch_size,
        seed=options.seed,
    )  # fmt: skip
    shapes = [_shape(val_store[i], architecture, options) for i in range(len(val_store))]
    return batches, ValidationBatches(val_store, shapes, batch_size=options.batch_size)


def _shape(sample: tuple[Any, Any], architecture: Architecture, options: TrainOptions) -> tuple[int, int]:
    return network_shape(*sample[0].shape[:2], network_size=options.network_size, stride=architecture.stride)


def _card(options: TrainOptions, sets: Sets, architecture: Architecture) -> Card:
    coding = sets.codings[0]
    model_size = options.network_size
    return Card(
        name=options.name or options.run.resolve().name,
        task="binary" if coding.binary else "multiclass",
        classes=coding.classes,
        ignore_id=coding.ignore_values[0] if coding.ignore_values else None,
        network_size=model_size,
        stride=architecture.stride,
        mask_values=coding.values,
        architecture=asdict(architecture),
        trained_on=tuple(_origin(d, options.terms) for d in sets.datasets),
        flops=count_flops(architecture, model_size, model_size),
        parameters=build_unet(architecture).count_params(),
        licence=options.terms,
        segtool_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _origin(dataset: Dataset, terms: str) -> dict[str, Any]:
    return {
        "name": dataset.root.resolve().name,
        "train": len(dataset.split("train")),
        "val": len(dataset.split("val")),
        "content_hash": content_hash(dataset.split("train")),
        "val_fraction": dataset.val_fraction,
        "terms": terms,
    }


def _tell(progress: Progress, options: TrainOptions, show: Show) -> None:
    write_whole(options.run / HISTORY, _csv(progress.history).encode())
    save_curves(options.run / CURVES, progress.history)
    row = progress.history[-1]
    mark = " *" if progress.best_epoch == progress.epoch else ""
    show.notice(
        f"epoch {progress.epoch}: loss {row['loss']:.4f} accuracy {row['accuracy']:.4f} iou {row['iou']:.4f} | "
        f"val loss {row['val_loss']:.4f} accuracy {row['val_accuracy']:.4f} iou {row['val_iou']:.4f} | "
        f"{row['seconds']:.0f} s{mark}"
    )


def _score(options: TrainOptions, sets: Sets, show: Show, failures: FailureLog) -> tuple[tuple[str, Scores], ...]:
    """Scores the best weights as `evaluate` does, by dataset and all together, and writes that into the card."""
    path = options.run / WEIGHTS
    model, card = load_weights(path)
    # float32: the scores of the card are those of the weights, not of a machine.
    predictor = Predictor(predict_function(model, "float32"), card, "float32", device_name())
    names = tuple(c.name for c in card.classes)
    threshold = card.threshold if card.binary else None
    pooled = Tally.empty(len(names))
    scored: list[tuple[str, Scores]] = []
    with show.progress("scoring", sum(len(d.split("val")) for d in sets.datasets), "pair") as bar:
        for dataset, coding in zip(sets.datasets, sets.codings, strict=True):
            tally = tally_pairs(
                dataset.split("val"), coding, predictor=predictor, threshold=None, batch_size=options.batch_size,
                failures=failures, tick=bar.update,
            )  # fmt: skip
            pooled = pooled.plus(tally)
            scored.append((dataset.root.resolve().name, scores_of(tally, names, threshold=threshold)))
    val = figures(scores_of(pooled, names, threshold=threshold))
    val["by_data"] = {name: figures(scores) for name, scores in scored}
    save_card = replace(card, scores={"val": val})
    save_weights(model, path, save_card)
    return tuple(scored)


def figures(scores: Scores) -> dict[str, Any]:
    """Returns the figures a card keeps of `scores`."""
    return {
        "pairs": scores.pairs, "threshold": scores.threshold, "miou": scores.miou, "miou_image": scores.miou_image,
        "accuracy": scores.accuracy, "baseline_accuracy": scores.baseline_accuracy,
        "iou": {c.name: c.iou for c in scores.classes}, "iou_image": {c.name: c.iou_image for c in scores.classes},
    }  # fmt: skip


def _csv(history: Sequence[Mapping[str, float]]) -> str:
    columns = list(history[0])
    rows = [",".join(f"{row[c]:g}" for c in columns) for row in history]
    return "\n".join([",".join(columns), *rows]) + "\n"


def _config(options: TrainOptions) -> dict[str, Any]:
    raw = asdict(options)
    raw["data"] = [str(d.resolve()) for d in options.data]
    raw["mix"], raw["class_names"] = list(options.mix), list(options.class_names)
    del raw["run"]
    return {"segtool_version": __version__, "options": raw}


def _write_json(path: Path, value: object) -> None:
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())


class _Bar(keras.callbacks.Callback):
    """One progress bar an epoch, with the loss and IoU so far."""

    def __init__(self, show: Show) -> None:
        super().__init__()
        self.show = show
        self.close: Callable[[], object] = lambda: None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.bar = self.show.progress(f"epoch {epoch + 1}", self.params["steps"], "batch")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if logs:
            self.bar.set_postfix_str(f"loss {logs['loss']:.4f} iou {logs['iou']:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.close()
