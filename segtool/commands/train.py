"""`segtool train`: datasets to a run folder with weights, history, curves, and a card whose scores were measured."""

from collections.abc import Callable, Collection
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from segtool.card import Card
from segtool.data.fingerprint import fingerprint
from segtool.data.inspect import quick_check
from segtool.data.sets import Sets, find_sets
from segtool.errors import UsageError
from segtool.imaging.geometry import to_mask
from segtool.model.batches import available_memory
from segtool.model.cards import card_of
from segtool.model.checkpoint import Progress
from segtool.model.final import score_best
from segtool.model.keeper import Fit, in_words
from segtool.model.losses import make_loss
from segtool.model.material import Material, batches_of, load_material
from segtool.model.precision import choose_precision, device_name, on_gpu
from segtool.model.start import Start, network_of_init, starter
from segtool.model.teacher import Teacher, load_teacher
from segtool.model.training import fit_unet
from segtool.model.unet import Architecture
from segtool.model.weights import save_weights
from segtool.options import TrainOptions
from segtool.report.checked import finding_line
from segtool.report.events import append_epoch
from segtool.report.history import epoch_line, save_curves, save_history
from segtool.report.notices import Show
from segtool.report.samples import Sample, save_samples
from segtool.results import Scores, Trained
from segtool.runs import (
    CONFIG,
    CURVES,
    EVENTS,
    HISTORY,
    SAMPLES,
    WEIGHTS,
    check_new,
    check_resumable,
    make_folder,
    read_config,
    resumed,
    stored_settings,
    write_config,
)
from segtool.settings import Fingerprint, Machine, Reasons, Settings, choose
from segtool.streaming import FailureLog, Interrupt

GPU_MEMORY = 8 << 30  # a guess, which halving corrects: no backend tells
SAMPLE_ROWS = 4


def train(options: TrainOptions, show: Show, *, resume: bool = False, given: Collection[str] | None = None) -> Trained:
    """Trains a U-Net on `options.data` into `options.run`, or goes on where the run stopped.

    To resume, options not among `given` (None: all are given) are those the run was begun with. Raises UsageError,
    DataError, ModelError or OutputError, before anything is written, when it cannot be; TrainingError when it cannot
    go on.
    """
    begun = None
    if resume:
        check_resumable(options.run)
        begun = read_config(options.run / CONFIG)
        options = resumed(options, begun, _names() if given is None else given)
    else:
        check_new(options.run)
    if options.mix and len(options.mix) != len(options.data):
        raise UsageError(f"--mix has {len(options.mix)} shares for {len(options.data)} datasets: give one a dataset.")
    precision = choose_precision(options.precision)
    failures = FailureLog()
    sets = _find_sets(options, show)
    if begun is None:
        _tell_findings(sets, show)
    origin = network_of_init(options)
    found = fingerprint(sets)
    settings, reasons = _settings(options, found, begun, origin[1] if origin else None)
    architecture = _architecture(settings, len(sets.classes))
    _check_sizes(settings, architecture)
    make_loss(
        settings.loss, classes=architecture.classes, weights=settings.class_weights
    )  # raises while all is as it was
    start = starter(options, architecture, origin[0] if origin else None, show.notice)
    teacher = load_teacher(options.teacher, classes=len(sets.classes))
    for reason in reasons:
        show.notice(f"  {reason}")
    make_folder(options.run)
    material = load_material(
        sets, architecture, settings, options.run, failures, lambda what, steps: show.progress(what, steps, "pair")
    )
    card = card_of(options, material)
    if begun is None:
        masks = {name: coding.describe() for name, coding in zip(sets.names, sets.codings, strict=True)}
        write_config(options, settings, reasons, found, masks, [asdict(c) for c in sets.classes])
    with Interrupt() as interrupt:
        progress = _run(
            options, material, card, show, precision, start=start, teacher=teacher, resume=resume,
            stop=lambda: bool(interrupt.exit_code),
        )  # fmt: skip
    scores: tuple[tuple[str, Scores], ...] = ()
    if progress.epoch and not interrupt.exit_code:
        scores = score_best(
            options.run / WEIGHTS, material, failures, batch_size=progress.batch_size, notice=show.notice,
            bar=lambda what, steps: show.progress(what, steps, "pair"),
        )  # fmt: skip
    return Trained(
        run=options.run, epochs=progress.epoch, best_epoch=progress.best_epoch, seconds=progress.seconds,
        scores=scores, failures=tuple(failures.failures), interrupted=interrupt.exit_code,
    )  # fmt: skip


def _names() -> tuple[str, ...]:
    return tuple(f.name for f in fields(TrainOptions))


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


def _tell_findings(sets: Sets, show: Show) -> None:
    """Tells what a quick check finds wrong with the data; what cannot be trained on stops later, by a sentence."""
    for dataset in sets.datasets:
        for finding in quick_check(dataset):
            show.notice(f"{dataset.root}: {finding_line(finding)}")


def _settings(
    options: TrainOptions, found: Fingerprint, begun: dict[str, Any] | None, start: dict[str, Any] | None
) -> tuple[Settings, Reasons]:
    """Returns what is chosen from the data, or what the run began with. Raises UsageError where the data changed."""
    if begun is None:
        gpu = on_gpu()
        return choose(options, found, Machine(GPU_MEMORY if gpu else available_memory(), gpu=gpu), start=start)
    before = (begun.get("fingerprint") or {}).get("digest")
    if before != found.digest:
        raise UsageError(
            f"The pictures or masks of {', '.join(map(str, options.data))} changed since {options.run} was begun: "
            f"start a new RUN, with --config {options.run} and --init {options.run} to keep settings and weights."
        )
    return stored_settings(begun), ()


def _architecture(settings: Settings, classes: int) -> Architecture:
    shape = {f.name: getattr(settings, f.name) for f in fields(Architecture) if f.name != "classes"}
    return Architecture(classes, **shape)


def _check_sizes(settings: Settings, architecture: Architecture) -> None:
    stride = architecture.stride
    sizes = ("--network-size", settings.network_size), ("--crop-size", settings.crop_size or stride)
    for flag, pixels in sizes:
        if pixels % stride:
            raise UsageError(f"{flag} {pixels} is not a multiple of {stride}, the stride of this network.")


def _run(
    options: TrainOptions, material: Material, card: Card, show: Show, precision: str, *,
    start: Start | None, teacher: Teacher | None, resume: bool, stop: Callable[[], bool],
) -> Progress:  # fmt: skip
    settings = material.settings
    train_batches, val_batches = batches_of(material, options, teacher)
    height, width = train_batches.shape
    added = f" ×{settings.accumulate}" if settings.accumulate > 1 else ""
    show.notice(
        f"{device_name()}, {precision}, {len(material.train)} train and {len(material.val)} val pairs, batches of "
        f"{settings.batch_size}{added} at {width}×{height}, {card.parameters / 1e6:.2f} M parameters, "
        f"{card.flops / 1e9:.1f} GFLOP a picture; up to {options.epochs} epochs"
        + (f" or {in_words(options.time_budget * 60)}" if options.time_budget is not None else "")
    )
    sheet = _sheet_of(options, material, card)

    def keep_best(model: Any, progress: Progress) -> None:
        save_weights(model, options.run / WEIGHTS, card)
        sheet(model, progress)

    fit = Fit(
        run=options.run,
        keep_best=keep_best,
        tell=lambda progress, left: _tell(progress, left, options, show),
        bar=lambda what, steps: show.progress(what, steps, "batch"),
        stop=stop,
        notice=show.notice,
    )
    progress = fit_unet(
        material.architecture, settings, options, train_batches, val_batches, fit, precision=precision, start=start,
        resume=resume,
    )  # fmt: skip
    if progress.history:  # a kill may have come between checkpoint and history
        save_history(options.run / HISTORY, progress.history)
        save_curves(options.run / CURVES, progress.history)
    return progress


def _sheet_of(options: TrainOptions, material: Material, card: Card) -> Callable[[Any, Progress], None]:
    """Returns what draws the same few val pictures after each best epoch."""
    store = material.val
    places = sorted({int(p) for p in np.linspace(0, len(store) - 1, SAMPLE_ROWS)})
    colors = [c.color for c in card.classes]

    def draw(model: Any, progress: Progress) -> None:
        samples = []
        for image, truth in (store[place] for place in places):
            probability = np.asarray(model.predict_on_batch(image[None]), np.float32)[0]
            samples.append(Sample(image, truth, to_mask(probability, *truth.shape, threshold=card.threshold)))
        title = f"{card.name}, epoch {progress.epoch}: val iou {progress.best:.3f}, threshold {card.threshold:g}"
        save_samples(options.run / SAMPLES / f"epoch-{progress.epoch:04}.png", samples, colors, title)

    return draw


def _tell(progress: Progress, left: float, options: TrainOptions, show: Show) -> None:
    row = progress.history[-1]
    save_history(options.run / HISTORY, progress.history)
    save_curves(options.run / CURVES, progress.history)
    if options.tensorboard:
        append_epoch(options.run / EVENTS, row)
    line = epoch_line(row, best=progress.best_epoch == progress.epoch)
    show.notice(line + (f" | {in_words(left)} left at most" if left else ""))
