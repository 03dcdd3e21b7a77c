"""Scores as documents: JSON, which a later `--compare` reads again, CSV with a row an image, and Markdown."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segtool.errors import DataError
from segtool.results import Evaluated
from segtool.scores import COUNTS, METRICS, SET_METRICS, Change, Comparison, Earlier, ImageScore, Scores

FORMAT = 1


def evaluated_json(result: Evaluated) -> str:
    """Returns the result as one JSON document; the keys of figures are those of DESIGN section 2, null where undefined.

    `images` has each image's figures and its counts, a list a column with a number a class.
    """
    scores = result.scores
    names = [c.name for c in scores.classes]
    head = json.dumps(
        {
            "format": FORMAT,
            "data": str(result.data),
            "split": result.split,
            "weights": result.weights,
            "predictions": None if result.predictions is None else str(result.predictions),
            "precision": result.precision,
            "pairs": scores.pairs,
            "threshold": scores.threshold,
            **scores.figures,
            "baseline_class": scores.baseline_class,
            "baseline_accuracy": scores.baseline_accuracy,
            "classes": {c.name: {**c.figures, "share": c.share, "images": c.images} for c in scores.classes},
            "absent": scores.absent,
            "confusion": scores.confusion,
            "undecided": scores.undecided,
            "intervals": dict(scores.intervals),
            "gates": [asdict(gate) | {"passed": gate.passed} for gate in result.gates],
            "comparison": _comparison(result.comparison) if result.comparison else None,
            "notes": result.notes,
            "failures": [list(f) for f in result.failures],
        },
        indent=1,
    )
    # A line for the curve and for each image: indented, their thousands of numbers would each have a line.
    curve = json.dumps(asdict(result.curve) if result.curve else None)
    images = ",\n  ".join(json.dumps(_image(image, names)) for image in result.images)
    opened = head.removesuffix("\n}")
    return f'{opened},\n "curve": {curve},\n "images": [\n  {images}\n ]\n}}'


def evaluated_csv(result: Evaluated) -> str:
    """Returns a row an image: its figures, then each metric of each class as `iou:person`; empty where undefined."""
    names = [c.name for c in result.scores.classes]
    metrics = [m for m in METRICS if m in result.scores.classes[0].figures]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["split", "image", "width", "height", "miou", "accuracy", *(f"{m}:{n}" for m in metrics for n in names)]
    )
    for image in result.images:
        figures = [value for metric in metrics for value in image.figures[metric]]
        numbers = [image.miou, image.accuracy, *figures]
        texts = ["" if v is None else f"{v:.6f}" for v in numbers]
        name = image.name.encode("utf-8", "backslashreplace").decode()
        writer.writerow([image.split, name, image.width, image.height, *texts])
    return buffer.getvalue()


def evaluated_markdown(result: Evaluated) -> str:
    """Returns the summary and the classes as Markdown tables, for a pull request or a model card."""
    scores = result.scores
    lines = [f"**{_cell(result.title)}**", "", "| figure | pooled | 95 % | mean over images | 95 % |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for metric in [m for m in SET_METRICS if m in scores.figures]:
        cells = [part for key in (metric, f"{metric}_image") for part in _with_interval(scores, key)]
        lines.append(f"| `{metric}` | {' | '.join(cells)} |")
    lines += ["", f"All {_cell(scores.baseline_class)}: accuracy {scores.baseline_accuracy:.4f}."]
    if scores.threshold is not None:
        lines[-1] += f" Threshold {scores.threshold:g}."
    shown = [m for m in ("iou", "iou_image", *METRICS[1:]) if m in scores.classes[0].figures]
    lines += ["", f"| class | {' | '.join(f'`{m}`' for m in shown)} | share | images |"]
    lines.append("| --- |" + " ---: |" * (len(shown) + 2))
    for c in scores.classes:
        figures = " | ".join(figure(c.figures[m]) for m in shown)
        lines.append(f"| {_cell(c.name)} | {figures} | {c.share:.4f} | {c.images} |")
    if scores.absent:
        lines += ["", f"Absent, left out of the means: {', '.join(map(_cell, scores.absent))}."]
    if result.comparison:
        lines += ["", *_comparison_lines(result.comparison)]
    return "\n".join(lines)


def read_earlier(path: Path) -> Earlier:
    """Returns what an earlier `--json` document kept for comparing. Raises DataError when it is none."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(str(name) for name in raw["classes"])
        images = {}
        for image in raw["images"]:
            columns = [image["counts"][name] for name in COUNTS if name in image["counts"]]
            if len(columns) not in (3, len(COUNTS)) or {len(column) for column in columns} != {len(classes)}:
                raise ValueError(f"counts of {image['name']}")
            rows = tuple(tuple(int(v) for v in row) for row in zip(*columns, strict=True))
            images[str(image["split"]), str(image["name"])] = rows
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is no `segtool evaluate --json` document with counts by image ({type(error).__name__}: {error})."
        ) from error
    return Earlier(classes, images)


def figure(value: float | None) -> str:
    """Returns a figure as people see it."""
    return "–" if value is None else f"{value:.4f}"


def _image(image: ImageScore, names: list[str]) -> dict[str, Any]:
    columns = zip(COUNTS, zip(*image.counts, strict=True), strict=False)
    return {
        "split": image.split,
        "name": image.name,
        "width": image.width,
        "height": image.height,
        "miou": image.miou,
        "accuracy": image.accuracy,
        **{metric: dict(zip(names, values, strict=True)) for metric, values in image.figures.items()},
        "counts": {name: list(values) for name, values in columns},
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    def line(change: Change) -> Mapping[str, Any]:
        return {"key": change.key, "before": change.before, "now": change.now, "interval": change.interval}

    return {
        "old": str(comparison.old),
        "pairs": comparison.pairs,
        "only_now": comparison.only_now,
        "only_before": comparison.only_before,
        "truth_changed": comparison.truth_changed,
        "changes": [line(change) for change in comparison.changes],
        "images": [line(change) for change in comparison.images],
    }


def _comparison_lines(comparison: Comparison) -> list[str]:
    lines = [f"Against `{comparison.old}`, {comparison.pairs} pairs in both:", ""]
    lines += ["| figure | before | now | change | 95 % |", "| --- | ---: | ---: | ---: | ---: |"]
    for c in (c for c in comparison.changes if ":" not in c.key or c.key.startswith("iou:")):
        ends = f"{c.interval[0]:+.4f} to {c.interval[1]:+.4f}" if c.interval else "–"
        lines.append(f"| {_cell(c.key)} | {c.before:.4f} | {c.now:.4f} | {c.now - c.before:+.4f} | {ends} |")
    return lines


def _with_interval(scores: Scores, key: str) -> tuple[str, str]:
    ends = scores.intervals.get(key)
    return figure(scores.figures[key]), f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else "–"


def _cell(text: str) -> str:
    """Returns text that neither ends a table's cell nor starts a tag."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
