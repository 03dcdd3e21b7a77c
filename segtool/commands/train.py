"""`segtool train`: datasets to a run folder with weights, history, curves, and a card whose scores were measured."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segtool import __version__
from segtool.card import Card, find_weights, read_card
from segtool.data.layout import Dataset, content_hash
from segtool.data.sets import Sets, find_sets
from segtool.errors import DataError, ModelError, OutputError, UsageError
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
from segtool.options import NETWORK_SIZE, TrainOptions
from segtool.pipeline import Predictor
from segtool.report.history import epoch_line, save_curves, save_history
from segtool.report.notices import Show
from segtool.results import Scores, Trained
from segtool.scoring import tally_pairs
from segtool.streaming import FailureLog, Interrupt

WEIGHTS, CONFIG, HISTORY, CURVES = "weights.keras", "config.json", "history.csv", "curves.png"
MAY_CHANGE = ("epochs", "patience", "time_budget")  # on --resume; all else must be as it was


@dataclass(frozen=True)
class Material:
    """What a run learns from: pairs in memory, and the network that is to learn, which sees `size` pixels."""

    sets: Sets
    architecture: Architecture
    size: int
    train: SampleStore
    val: SampleStore

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Returns how the network sees a picture of that size."""
        return network_shape(height, width, network_size=self.size, stride=self.architecture.stride)


def train(options: TrainOptions, show: Show, *, resume: bool = False) -> Trained:
    """Trains a U-Net on `options.data` into `options.run`, or goes on where the run stopped.

    Raises UsageError, DataError, ModelError or OutputError, before anything is written, when it cannot be.
    """
    _check_run(options, resume=resume)
    precision = choose_precision(options.precision)
    failures = FailureLog()
    sets = _find_sets(options, show)
    architecture, size, start = _network(options, len(sets.classes))
    _make_folder(options.run)
    train_store, val_store = _load(sets, architecture, size, show, failures)
    material = Material(sets, architecture, size, train_store, val_store)
    card = _card(options, material)
    train_batches, val_batches = _batches(options, material)
    write_whole(options.run / CONFIG, (json.dumps(_config(options, sets), indent=1) + "\n").encode())

    height, width = train_batches.shape
    show.notice(
        f"{device_name()}, {precision}, {len(train_store)} train and {len(val_store)} val pairs, batches of "
        f"{options.batch_size} at {width}×{height}, {card.parameters / 1e6:.2f} M parameters, "
        f"{card.flops / 1e9:.1f} GFLOP a picture"
    )
    with Interrupt() as interrupt:
        fit = Fit(
            run=options.run,
            keep_best=lambda model, progress: save_weights(model, options.run / WEIGHTS, card),
            tell=lambda progress: _tell(progress, options, show),
            bar=lambda what, steps: show.progress(what, steps, "batch"),
            stop=lambda: bool(interrupt.exit_code),
        )
        progress = fit_unet(
            architecture,
            options,
            train_batches,
            val_batches,
            fit,
            precision=precision,
            start=None if resume else start,
            resume=resume,
        )
    scores: tuple[tuple[str, Scores], ...] = ()
    if progress.epoch and not interrupt.exit_code:
        scores = _score(options, material, show, failures)
    return Trained(
        run=options.run, epochs=progress.epoch, best_epoch=progress.best_epoch, seconds=progress.seconds,
        scores=scores, failures=tuple(failures.failures), interrupted=interrupt.exit_code,
    )  # fmt: skip


def _check_run(options: TrainOptions, *, resume: bool) -> None:
    run = options.run
    if options.mix and len(options.mix) != len(options.data):
        raise UsageError(f"--mix has {len(options.mix)} shares for {len(options.data)} datasets: give one a dataset.")
    if not resume:
        if run.exists() and (not run.is_dir() or any(run.iterdir())) and not _stopped_at_once(run):
            raise UsageError(f"{run} is not empty: give a new RUN, or --resume to go on with this one.")
        return
    if not (run / CHECKPOINT).is_file():
        raise UsageError(f"{run} has no {CHECKPOINT} to resume from.")
    before, now = _config_of(run), _asked(options)
    changed = [f"{k} {before.get(k)!r} -> {v!r}" for k, v in now.items() if k not in MAY_CHANGE and before.get(k) != v]
    if changed:
        raise UsageError(
            f"--resume goes on with the run as it was, but these differ: {'; '.join(changed)}. "
            "Give the same options, or start a new RUN with --init."
        )


def _stopped_at_once(run: Path) -> bool:
    """Returns whether `run` holds but the config of a run stopped within its first epoch: nothing to lose."""
    return {p.name for p in run.iterdir()} == {CONFIG} and bool(_config_of(run))


def _config_of(run: Path) -> dict[str, Any]:
    try:
        options: dict[str, Any] = dict(json.loads((run / CONFIG).read_text())["options"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run / CONFIG} is not the config of a run ({error}): give a new RUN.") from error
    return options


def _make_folder(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {run}: {error.strerror}.") from error


def _find_sets(options: TrainOptions, show: Show) -> Sets:
    sets = find_sets(
        options.data, val_fraction=options.val_fraction, mask_suffix=options.mask_suffix,
        class_names=options.class_names,
    )  # fmt: skip
    for dataset, coding in zip(sets.datasets, sets.codings, strict=True):
        train, val = len(dataset.split("train")), len(dataset.split("val"))
        show.notice(f"{dataset.root}: {train} train, {val} val pairs; {coding.describe()}")
        if dataset.unpaired:
            show.notice(f"{dataset.root}: {len(dataset.unpaired)} files without partner, such as {dataset.unpaired[0]}")
    return sets


def _network(options: TrainOptions, classes: int) -> tuple[Architecture, int, Path | None]:
    """Returns the network and its size, as asked for or those of `--init`, and the weights to start from if any."""
    asked = Architecture(
        classes, options.depth, options.width, options.max_width, options.norm, options.residual, options.stem
    )
    if options.init is None:
        architecture, size, start = asked, options.network_size or NETWORK_SIZE, None
    else:
        start = find_weights(options.init)
        card = read_card(start)
        try:
            architecture = Architecture(**card.architecture)
        except TypeError as error:
            raise ModelError(f"{start} is no U-Net that this segtool can build ({error}).") from error
        size = options.network_size or card.network_size
        if architecture.classes != classes:
            raise ModelError(f"{start} has {architecture.classes} classes, the data {classes}: no start for this data.")
        if asked not in (architecture, Architecture(classes)):
            raise UsageError(f"--init {options.init} brings its own network: leave out --depth, --width and the like.")
    for flag, pixels in (("--network-size", size), ("--crop-size", options.crop_size or size)):
        if pixels % architecture.stride:
            raise UsageError(f"{flag} {pixels} is not a multiple of {architecture.stride}, the stride of this network.")
    return architecture, size, start


def _load(
    sets: Sets, architecture: Architecture, size: int, show: Show, failures: FailureLog
) -> tuple[SampleStore, SampleStore]:
    pairs = sets.split("train"), sets.split("val")
    readers = (
        training_reader(sets.coding_of, network_size=size),
        validation_reader(sets.coding_of, network_size=size, stride=architecture.stride),
    )
    memory = int(available_memory() * MEMORY_SHARE) // len(pairs)
    with show.progress("reading", sum(map(len, pairs)), "pair") as bar:
        train_store, val_store = (
            load_samples(of_split, reader, failures, memory=memory, tick=bar.update)
            for of_split, reader in zip(pairs, readers, strict=True)
        )
    for split, store in (("train", train_store), ("val", val_store)):
        if not len(store):
            raise DataError(f"None of the {split} pairs can be read; the first: {failures.failures[0][1]}")
    return train_store, val_store


def _batches(options: TrainOptions, material: Material) -> tuple[TrainingBatches, ValidationBatches]:
    readable = set(material.train.pairs)
    counts = [sum(pair in readable for pair in d.split("train")) for d in material.sets.datasets]
    length = options.epoch_pictures or len(material.train)

    def order(epoch: int) -> list[int]:
        return epoch_order(counts, options.mix or counts, length, seed=options.seed, epoch=epoch)

    shape = training_shape(
        [material.shape(*size) for size in material.train.sizes],
        network_size=material.size, crop_size=options.crop_size,
    )  # fmt: skip
    train_batches = TrainingBatches(
        material.train, order, shape=shape, network_size=material.size, batch_size=options.batch_size,
        seed=options.seed,
    )  # fmt: skip
    return train_batches, ValidationBatches(material.val, batch_size=options.batch_size)


def _card(options: TrainOptions, material: Material) -> Card:
    coding, architecture = material.sets.codings[0], material.architecture
    return Card(
        name=options.name or options.run.resolve().name,
        task="binary" if coding.binary else "multiclass",
        classes=coding.classes,
        ignore_id=coding.ignore_values[0] if coding.ignore_values else None,
        network_size=material.size,
        stride=architecture.stride,
        mask_values=coding.values,
        architecture=asdict(architecture),
        trained_on=tuple(
            _origin(name, dataset, material, options.terms)
            for name, dataset in zip(material.sets.names, material.sets.datasets, strict=True)
        ),
        flops=count_flops(architecture, material.size, material.size),
        parameters=build_unet(architecture).count_params(),
        licence=options.terms,
        segtool_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _origin(name: str, dataset: Dataset, material: Material, terms: str) -> dict[str, Any]:
    """Returns what a card says of one dataset: only pairs that could be read count."""
    readable = {*material.train.pairs, *material.val.pairs}
    train, val = (tuple(p for p in dataset.split(split) if p in readable) for split in ("train", "val"))
    return {
        "name": name,
        "train": len(train),
        "val": len(val),
        "content_hash": content_hash(train),
        "val_fraction": dataset.val_fraction,
        "terms": terms,
    }


def _tell(progress: Progress, options: TrainOptions, show: Show) -> None:
    save_history(options.run / HISTORY, progress.history)
    save_curves(options.run / CURVES, progress.history)
    show.notice(epoch_line(progress.history[-1], best=progress.best_epoch == progress.epoch))


def _score(
    options: TrainOptions, material: Material, show: Show, failures: FailureLog
) -> tuple[tuple[str, Scores], ...]:
    """Scores the best weights as `evaluate` does, by dataset and all together, and writes that into the card."""
    path = options.run / WEIGHTS
    model, card = load_weights(path)
    # float32: the scores of the card are those of the weights, not of a machine.
    predictor = Predictor(predict_function(model, "float32"), card, "float32", device_name())
    names = tuple(c.name for c in card.classes)
    threshold = card.threshold if card.binary else None
    readable = set(material.val.pairs)
    tallies = []
    with show.progress("scoring", len(readable), "pair") as bar:
        for dataset, coding in zip(material.sets.datasets, material.sets.codings, strict=True):
            pairs = [pair for pair in dataset.split("val") if pair in readable]
            tally = tally_pairs(
                pairs, coding, predictor=predictor, threshold=None, batch_size=options.batch_size, failures=failures,
                tick=bar.update,
            )  # fmt: skip
            tallies.append(tally)
    pooled = Tally.empty(len(names))
    for tally in tallies:
        pooled = pooled.plus(tally)
    scores = tuple(scores_of(tally, names, threshold=threshold) for tally in tallies)
    by_data = dict(zip(material.sets.names, scores, strict=True))
    val = _figures(scores_of(pooled, names, threshold=threshold))
    val["by_data"] = {name: _figures(of_data) for name, of_data in by_data.items()}
    save_weights(model, path, replace(card, scores={"val": val}))
    return tuple(by_data.items())


def _figures(scores: Scores) -> dict[str, Any]:
    """Returns what a card keeps of `scores`."""
    return {
        "pairs": scores.pairs,
        "threshold": scores.threshold,
        "miou": scores.miou,
        "miou_image": scores.miou_image,
        "accuracy": scores.accuracy,
        "baseline_accuracy": scores.baseline_accuracy,
        "iou": {c.name: c.iou for c in scores.classes},
        "iou_image": {c.name: c.iou_image for c in scores.classes},
    }


def _asked(options: TrainOptions) -> dict[str, Any]:
    """Returns the options as JSON keeps them, less RUN itself."""
    raw = asdict(options)
    raw["data"] = [str(d.resolve()) for d in options.data]
    raw["mix"], raw["class_names"] = list(options.mix), list(options.class_names)
    del raw["run"]
    return raw


def _config(options: TrainOptions, sets: Sets) -> dict[str, Any]:
    masks = {name: coding.describe() for name, coding in zip(sets.names, sets.codings, strict=True)}
    classes = [asdict(c) for c in sets.classes]
    return {"segtool_version": __version__, "options": _asked(options), "classes": classes, "masks": masks}
