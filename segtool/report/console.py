"""Results in the terminal, and as JSON. Results go to stdout; what went wrong goes to stderr."""

import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtool.results import Evaluated, Failures, Scores, Synthesised, Trained, Written


def show_written(result: Written, *, kind: str, quiet: bool) -> None:
    """Prints the last notice of `mask` or `overlay` to stderr, and every file that failed with its reason."""
    if result.planned is None:
        parts = [f"{_count(result.done, kind)} written to {result.output}"]
    else:
        parts = [f"{_count(result.planned, kind)} to be written to {result.output}; nothing was done"]
    if result.kept:
        parts.append(f"{result.kept} kept from before")
    if result.failures:
        parts.append(f"{len(result.failures)} failed or left alone")
    if result.done:
        parts.append(f"{result.seconds:.1f} s, {result.done / max(result.seconds, 1e-9):.1f} pictures/s")
    if not quiet:
        print("; ".join(parts), file=sys.stderr)
    show_failures(result.failures)


def show_evaluated(result: Evaluated) -> None:
    """Prints the score tables to stdout."""
    console = _console()
    title = f"{result.weights} on {result.data} ({result.split}, {_count(result.scores.pairs, 'pair')})"
    _print_scores(console, title, result.scores)
    show_failures(result.failures)


def evaluated_json(result: Evaluated) -> str:
    """Returns the result as one JSON document; the scores' keys are those of DESIGN section 2, by class name."""
    scores = asdict(result.scores)
    scores["classes"] = {c.pop("name"): c for c in scores["classes"]}
    return json.dumps(
        {
            "data": str(result.data), "split": result.split, "weights": result.weights,
            "precision": result.precision, **scores, "failures": [list(f) for f in result.failures],
        },
        indent=1,
    )  # fmt: skip


def show_trained(result: Trained, *, quiet: bool) -> None:
    """Prints what the best epoch scores on each dataset's val split to stdout, and where the weights are to stderr."""
    console = _console()
    for name, scores in result.scores:
        _print_scores(console, f"{name} (val, {_count(scores.pairs, 'pair')})", scores)
    if not quiet:
        state = (
            ("interrupted; --resume goes on" if result.epochs else "interrupted; run it again")
            if result.interrupted
            else f"best epoch {result.best_epoch}"
        )
        print(
            f"{result.run}: {_count(result.epochs, 'epoch')} in {result.seconds / 60:.1f} min, {state}", file=sys.stderr
        )
    show_failures(result.failures)


def show_synthesised(result: Synthesised, *, quiet: bool) -> None:
    """Prints where the dataset lies to stderr."""
    if quiet:
        return
    print(f"{result.train} train and {result.val} val pairs written to {result.data}", file=sys.stderr)


def show_failures(failures: Failures) -> None:
    """Names each failed file with its reason on stderr."""
    for what, why in failures:
        print(f"segtool: {why}" if what in why else f"segtool: {what}: {why}", file=sys.stderr)


def _print_scores(console: Console, title: str, scores: Scores) -> None:
    table = Table(title=Text(title), title_justify="left", title_style="bold", header_style="bold")
    table.add_column("class", overflow="fold")
    for column in ("iou", "iou_image", "dice", "precision", "recall", "share"):
        table.add_column(column, justify="right", no_wrap=True)
    for c in scores.classes:
        figures = [c.iou, c.iou_image, c.dice, c.precision, c.recall, c.share]
        table.add_row(Text(c.name), *(_figure(f) for f in figures), style="dim" if c.iou is None else None)
    console.print(table)
    means = f"miou {_figure(scores.miou)}  miou_image {_figure(scores.miou_image)}"
    if scores.threshold is not None:
        means += f"  at threshold {scores.threshold:g}"
    console.print(means, highlight=False)
    console.print(
        f"accuracy {scores.accuracy:.4f}  (all {scores.baseline_class}: {scores.baseline_accuracy:.4f})",
        highlight=False, markup=False,
    )  # fmt: skip
    if scores.absent:
        console.print(f"absent, left out of the means: {', '.join(scores.absent)}", highlight=False, markup=False)


def _console() -> Console:
    return Console(soft_wrap=not sys.stdout.isatty())


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
