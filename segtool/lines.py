"""The lines about each picture, as the run record keeps them (DESIGN section 5) and `--json` prints them."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2

from segtool.plan import Job, Plan, settings_of
from segtool.record import Stamp, recorded_path
from segtool.segmentation import Mask, Segmenter

Line = dict[str, Any]


def done_line(job: Job, mask: Mask, segmenter: Segmenter) -> Line:
    """Returns what is known of a finished picture wherever it is told; `outputs` is left for who tells it to add."""
    height, width = mask.indices.shape
    confidence = None if mask.confidence is None else round(mask.confidence, 6)
    return {
        "input": str(job), "status": "done", "error": None, "width": width, "height": height,
        "foreground": _foreground(mask, segmenter), "confidence": confidence,
    }  # fmt: skip


def recorded(
    line: Line, job: Job, plan: Plan, *, made: Mapping[str, Stamp], source: Stamp, begun: float, precision: str | None
) -> Line:
    """Returns `line` with what the next run must know: the stamps of the picture and of what was `made` of it, the
    settings and weights. `begun` is by the monotonic clock.
    """
    assert plan.root is not None
    kinds = {kind.name: kind for kind in plan.wanted.kinds}
    outputs = {
        name: {
            "path": recorded_path(Path(job.targets[name]), plan.root),
            "settings": settings_of(kinds[name], job.mask),
            "size": stamp.size,
            "mtime_ns": stamp.mtime_ns,
        }
        for name, stamp in made.items()
    }
    return line | {
        "input": job.real, "outputs": outputs, "size": source.size, "mtime_ns": source.mtime_ns,
        "seconds": round(time.monotonic() - begun, 4), "weights": plan.wanted.weights_hash, "precision": precision,
        "at": _now(),
    }  # fmt: skip


def failed_line(what: object, why: str) -> Line:
    """Returns the line about a picture that failed."""
    return {"input": str(what), "status": "failed", "error": why, "outputs": {}, "at": _now()}


def idle_lines(plan: Plan) -> Iterator[Line]:
    """Yields the lines about pictures whose outputs are kept or left alone."""
    for job in plan.kept:
        yield {"input": str(job), "status": "kept", "error": None, "outputs": dict(job.targets)}
    for job, why in plan.left:
        yield {"input": str(job), "status": "left", "error": why, "outputs": dict(job.targets)}


def planned_lines(plan: Plan) -> Iterator[Line]:
    """Yields the lines of a dry run, about every picture."""
    for job in plan.jobs:
        yield {"input": str(job), "status": "planned", "error": None, "outputs": dict(job.targets)}
    yield from idle_lines(plan)


def _foreground(mask: Mask, segmenter: Segmenter) -> Any:
    """Returns the share of foreground pixels, or of each class by name when there are more than two."""
    size = mask.indices.size
    if segmenter.binary:
        return round(cv2.countNonZero(mask.indices) / size, 6)
    count = len(segmenter.classes)
    shares = cv2.calcHist([mask.indices], [0], None, [count], (0.0, float(count))).ravel() / size
    return {c.name: round(float(share), 6) for c, share in zip(segmenter.classes, shares, strict=True)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
