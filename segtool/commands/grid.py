"""`segtool train --grid`: every combination trained, one after another, into one table."""

from collections.abc import Callable
from dataclasses import fields

from segtool.card import read_card
from segtool.errors import ModelError, SegtoolError, UsageError
from segtool.files import write_whole
from segtool.grid import combinations
from segtool.model.checkpoint import read_progress
from segtool.model.training import forget_networks
from segtool.options import TrainOptions
from segtool.report.notices import Show
from segtool.report.table import csv_of, markdown_of
from segtool.results import Trained, Tried, TriedRow
from segtool.runs import CHECKPOINT, CONFIG, GRID_CSV, GRID_TABLE, WEIGHTS, make_folder, read_config, resumed

Train = Callable[..., Trained]


def train_grid(options: TrainOptions, show: Show, train: Train) -> Tried:
    """Trains each combination of `options.grid` into a folder of its own below `options.run`, and writes the table.

    Called again, it skips what is finished and resumes what is not. A combination that fails is named and the rest
    goes on. Raises UsageError when the folder holds runs of other options.
    """
    runs = list(combinations(options))
    for _, one in runs:
        _check(one)
    make_folder(options.run)
    rows: list[TriedRow] = []
    failures: list[tuple[str, str]] = []
    interrupted = 0
    for number, (name, one) in enumerate(runs, start=1):
        if not _finished(one):
            show.notice(f"[{number}/{len(runs)}] {name}")
            try:
                done = train(one, show, resume=(one.run / CONFIG).is_file())
                interrupted = done.interrupted
                failures += [f for f in done.failures if f not in failures]
            except UsageError:
                raise
            except SegtoolError as error:
                failures.append((name, str(error)))
            forget_networks()
        if interrupted:
            break
        if _finished(one):
            rows.append(_row(name, one))
            _write(options, rows)
    return Tried(options.run, tuple(rows), len(runs), tuple(failures), interrupted)


def _check(one: TrainOptions) -> None:
    """Raises UsageError where the folder of a combination holds a run of other options."""
    if (one.run / CONFIG).is_file():
        resumed(one, read_config(one.run / CONFIG), [f.name for f in fields(TrainOptions)])


def _finished(one: TrainOptions) -> bool:
    try:
        return bool(read_card(one.run / WEIGHTS).scores)  # written when all is done
    except ModelError:
        return False


def _row(name: str, one: TrainOptions) -> TriedRow:
    card, progress = read_card(one.run / WEIGHTS), read_progress(one.run / CHECKPOINT)
    best = progress.history[progress.best_epoch - 1]
    val = card.scores["val"]
    return TriedRow(
        configuration=name,
        epochs=progress.epoch,
        val_loss=best["val_loss"],
        val_accuracy=val["accuracy"],
        iou=val["miou"],
        iou_image=val["miou_image"],
        images_per_second=sum(row["images_per_second"] for row in progress.history) / len(progress.history),
        parameters=card.parameters,
    )


def _write(options: TrainOptions, rows: list[TriedRow]) -> None:
    write_whole(options.run / GRID_TABLE, markdown_of(rows).encode())
    write_whole(options.run / GRID_CSV, csv_of(rows).encode())
