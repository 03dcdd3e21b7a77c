"""Scores as one self-contained page: nothing is fetched from anywhere, everything named by files is escaped."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from segtool import __version__
from segtool.files import write_whole
from segtool.report.documents import figure
from segtool.report.tables import gate_line
from segtool.results import Evaluated
from segtool.scores import METRICS, Change, Curve, ImageScore, Picture, Scores

PAGE = Path(__file__).resolve().parent / "page"
HEADLINES = (
    ("miou", "IoU"), ("miou_image", "IoU per picture"), ("mboundary_iou", "boundary IoU"),
    ("mboundary_f1", "boundary F1"), ("accuracy", "accuracy"),
)  # fmt: skip
BINS = 20  # of the distribution
WIDTH, HEIGHT = 420, 250  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 36


def write_page(path: Path, result: Evaluated) -> None:
    """Writes the page. Raises OutputError."""
    write_whole(path, page(result).encode("utf-8", "backslashreplace"))  # names may hold what is no Unicode


def page(result: Evaluated) -> str:
    """Returns the page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"figure": figure, "percent": _percent}
    scores = result.scores
    colors = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in result.colors]
    return environment.get_template("index.html").render(
        result=result,
        scores=scores,
        version=__version__,
        style=(PAGE / "style.css").read_text(encoding="utf-8"),
        script=(PAGE / "script.js").read_text(encoding="utf-8"),
        headlines=_headlines(scores),
        iou="IoU" if len(scores.classes) == 2 else "mean IoU",
        metrics=["iou_image", *(m for m in METRICS[1:] if m in scores.classes[0].figures)],
        colors=colors,
        matrix=_matrix(scores),
        distribution=_distribution(result.images),
        sweep=_sweep(result.curve, scores) if result.curve else None,
        recall_precision=_recall_precision(result.curve) if result.curve else None,
        gates=[(gate.passed, gate_line(gate)) for gate in result.gates],
        changes=[c for c in result.comparison.changes if _is_shown(c)] if result.comparison else [],
        worse=[c for c in result.comparison.images if c.now < c.before][:12] if result.comparison else [],
        data=_data(result, colors),
        chart={
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": WIDTH - RIGHT,
            "top": TOP,
            "bottom": HEIGHT - BOTTOM,
        },
        ticks=[(_x(t), _y(t), f"{t:g}") for t in (0, 0.25, 0.5, 0.75, 1)],
    )


def _headlines(scores: Scores) -> list[tuple[str, str]]:
    """Returns key and name of the figures on top: of two classes they are the foreground's, else means."""
    mean = "" if len(scores.classes) == 2 else "mean "
    return [
        (key, name if key == "accuracy" else mean + name)
        for key, name in HEADLINES
        if scores.figures.get(key) is not None
    ]


def _data(result: Evaluated, colors: Sequence[str]) -> dict[str, Any]:
    """Returns what the script of the page works with."""
    image_of = {(image.split, image.name): image for image in result.images}
    change_of = {c.key: c.now - c.before for c in result.comparison.images} if result.comparison else {}
    return {
        "binary": len(colors) == 2,
        "classes": [{"name": c.name, "color": color} for c, color in zip(result.scores.classes, colors, strict=True)],
        "pictures": [_picture(p, image_of[p.split, p.name], change_of) for p in result.pictures],
    }


def _picture(picture: Picture, image: ImageScore, change_of: dict[str, float]) -> dict[str, Any]:
    return {
        "label": image.label,
        "size": f"{image.width}×{image.height}",
        "score": image.miou,
        "accuracy": image.accuracy,
        "change": change_of.get(image.label),
        "ious": image.figures["iou"],
        "width": picture.width,
        "height": picture.height,
        "photo": base64.b64encode(picture.photo).decode(),
        "masks": base64.b64encode(picture.masks).decode(),
        "worst": picture.worst,
        "random": picture.random,
    }


def _matrix(scores: Scores) -> list[list[tuple[float | None, int]]]:
    """Returns the confusion matrix as shares of the truth, beside the pixels; None in rows without truth."""
    rows = []
    for row, lost in zip(scores.confusion, scores.undecided, strict=True):
        total = sum(row) + lost
        rows.append([(count / total if total else None, count) for count in row])
    return rows


def _distribution(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Returns how many images fall into each twentieth of `miou`, as bars of a chart."""
    counts = [0] * BINS
    for image in images:
        if image.miou is not None:
            counts[min(int(image.miou * BINS), BINS - 1)] += 1
    most = max(1, *counts)
    step = (WIDTH - LEFT - RIGHT) / BINS
    bars = [
        {"x": LEFT + i * step + 1, "y": _y(n / most), "width": step - 2, "height": _y(0) - _y(n / most), "count": n,
         "low": i / BINS, "high": (i + 1) / BINS}
        for i, n in enumerate(counts)
    ]  # fmt: skip
    return {"bars": bars, "most": most}


def _sweep(curve: Curve, scores: Scores) -> dict[str, Any]:
    """Returns the figures of the foreground over thresholds, as lines of a chart."""
    metrics = ("iou", "iou_image", "precision", "recall")
    lines = [(metric, _line(curve.thresholds[::4], getattr(curve, metric)[::4])) for metric in metrics]
    best = [(metric, t, _x(t), curve.at(t, metric)) for metric, t in curve.best.items()]
    return {"lines": lines, "best": best, "now": None if scores.threshold is None else _x(scores.threshold)}


def _recall_precision(curve: Curve) -> dict[str, Any]:
    known = [(r, p) for r, p in zip(curve.recall, curve.precision, strict=True) if r is not None and p is not None]
    known.append((0.0, known[-1][1]))  # where recall starts, precision is that of the highest bin
    return {"line": _line([r for r, _ in known], [p for _, p in known]), "interval": curve.average_precision_interval}


def _line(xs: Iterable[float], ys: Iterable[float | None]) -> str:
    """Returns points for an SVG polyline; both axes run from 0 to 1."""
    return " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in zip(xs, ys, strict=True) if y is not None)


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _is_shown(change: Change) -> bool:
    return change.key in dict(HEADLINES) or change.key.startswith("iou:")


def _percent(share: float) -> str:
    """Returns a share as percents: whole ones, tenths where it is small, nothing where it rounds to nothing."""
    return f"{share * 100:.0f}" if share >= 0.0995 else f"{share * 100:.1f}" if share >= 0.0005 else ""
