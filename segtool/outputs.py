"""From planned jobs to files on disk and lines in the record: the one stream behind `mask` and `overlay`."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from segtool.card import Card
from segtool.errors import ImageError
from segtool.files import staged
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.geometry import confidence, to_mask
from segtool.options import MaskOptions
from segtool.pipeline import Predicted, Predictor, predicted
from segtool.plan import Job, Plan
from segtool.record import RecordWriter, Stamp
from segtool.report.notices import Show
from segtool.results import Written
from segtool.streaming import FailureLog, Interrupt, caught, ordered_map

Encode = Callable[[Job, Pixels], bytes]  # the job and its mask of class indices, (H, W) uint8, to the file's content
ENCODE_WINDOW = 8


def write_outputs(
    plan: Plan, options: MaskOptions, *, encode: Encode, predictor: Predictor, show: Show
) -> Written:  # fmt: skip
    """Predicts every job of `plan`, writes what `encode` makes of it, and records it.

    One bad picture is noted and passed over. Raises OutputError when the output cannot be written: nothing half-written
    is left, and all finished files are recorded.
    """
    card, wanted = predictor.card, plan.wanted
    show.notice(
        f"{predictor.device}, {predictor.precision}, batches of {options.batch_size}, weights {card.name}"
        f"{': ' + card.licence if card.licence else ''}"
    )
    started = time.monotonic()
    failures = FailureLog()
    for what, why in plan.left:
        failures.add(what, why)
    begun: dict[Job, tuple[float, Stamp]] = {}
    threshold = card.threshold if options.threshold is None else options.threshold
    done = 0

    def read(job: Job) -> Pixels:
        try:
            begun[job] = time.monotonic(), Stamp.of(job.source)  # before reading: a change in between is then noticed
        except OSError as error:
            raise ImageError(f"{job.source} cannot be read: {error.strerror}.") from error
        return read_image(job.source)

    def source_of(item: Predicted[Job]) -> object:
        return item.source.source

    def finish(item: Predicted[Job]) -> bool:
        job = item.source
        mask = to_mask(item.probability, *item.size, threshold=threshold)
        with staged(job.target, encode(job, mask)) as partial:
            # Recorded before the rename: killed between the two, the file is missing and is made again; the other way
            # round it would lie there unrecorded, like a stranger's.
            if record:
                begin, source = begun.pop(job)
                made = Stamp.of(partial)
                record.append(
                    {
                        **_file_line(job, source),
                        "status": "done",
                        "error": None,
                        "outputs": {wanted.kind: _output_line(job, plan, made)},
                        **_mask_line(item, mask, card),
                        "seconds": round(time.monotonic() - begin, 4),
                        "weights": wanted.weights,
                        "precision": predictor.precision,
                        "at": _now(),
                    }
                )
        return True

    with (
        RecordWriter(plan.root) if plan.root else nullcontext() as record,
        ThreadPoolExecutor() as pool,
        Interrupt() as interrupt,
        show.progress(wanted.kind, len(plan.jobs), "picture") as bar,
    ):
        stream = predicted(
            interrupt.until(plan.jobs), read=read, predictor=predictor, batch_size=options.batch_size,
            executor=pool, failures=failures, name=lambda job: job.source,
        )  # fmt: skip
        safe = caught(finish, failures, name=source_of)
        for finished in ordered_map(safe, stream, pool, window=ENCODE_WINDOW):
            done += bool(finished)
            bar.update()
        for source, error in failures.failures[len(plan.left) :]:
            if record:
                record.append(
                    {
                        "input": str(Path(source).resolve()),
                        "status": "failed",
                        "error": error,
                        "outputs": {},
                        "at": _now(),
                    }
                )
    return Written(
        output=options.output, done=done, kept=plan.kept, seconds=time.monotonic() - started,
        failures=tuple(failures.failures), interrupted=interrupt.exit_code,
    )  # fmt: skip


def _file_line(job: Job, stamp: Stamp) -> dict[str, Any]:
    return {"input": str(job.source.resolve()), "size": stamp.size, "mtime_ns": stamp.mtime_ns}


def _output_line(job: Job, plan: Plan, stamp: Stamp) -> dict[str, Any]:
    path = job.target.relative_to(plan.root or "").as_posix()
    return {"path": path, "settings": plan.wanted.settings, "size": stamp.size, "mtime_ns": stamp.mtime_ns}


def _mask_line(item: Predicted[Job], mask: Pixels, card: Card) -> dict[str, Any]:
    height, width = item.size
    return {
        "width": width,
        "height": height,
        "foreground": _foreground(mask, card),
        "confidence": round(confidence(item.probability), 6),
    }


def _foreground(mask: Pixels, card: Card) -> Any:
    """Returns the share of foreground pixels, or of each class by name when there are more than two."""
    shares = np.bincount(mask.ravel(), minlength=len(card.classes)) / mask.size
    if card.binary:
        return round(float(shares[1]), 6)
    return {c.name: round(float(share), 6) for c, share in zip(card.classes, shares, strict=True)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
