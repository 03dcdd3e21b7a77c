"""Scores in the terminal: tables with bars and intervals, within 80 columns or wide; plain where nobody looks."""

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtool.report.documents import figure
from segtool.results import Evaluated
from segtool.scores import METRICS, SET_METRICS, Comparison, Curve, Gate, Scores

WIDE = 132  # columns from which one table holds all figures of a class
BAR = 10
EIGHTHS = " ▏▎▍▌▋▊▉█"
WORST_SHOWN = 5
SHOWN_CHANGES = ("miou", "miou_image", "mdice", "mboundary_iou", "mboundary_f1", "accuracy")


def console_for_results() -> Console:
    """Returns the console for stdout; no line is cut where stdout is no terminal."""
    return Console(soft_wrap=not sys.stdout.isatty())


def print_evaluated(console: Console, result: Evaluated) -> None:
    """Prints the tables of all that was found."""
    print_scores(console, result.title, result.scores)
    if result.curve:
        _print_curve(console, result.curve, result.scores)
    if len(result.images) > WORST_SHOWN:
        ranked = sorted((i.miou, i.label) for i in result.images if i.miou is not None)
        _print_list(console, "worst pictures", [f"{miou:.4f}  {label}" for miou, label in ranked[:WORST_SHOWN]])
    if result.comparison:
        _print_comparison(console, result.comparison)
    passed = [gate_line(gate) for gate in result.gates if gate.passed]
    if passed:
        _print_list(console, "gates", passed)


def print_scores(console: Console, title: str, scores: Scores) -> None:
    """Prints the figures of a set and of its classes."""
    console.print(Text(title, style="bold"))
    _print_set(console, scores)
    console.print()
    _print_classes(console, scores)
    if scores.absent:
        _say(console, f"absent, left out of the means: {', '.join(scores.absent)}")
    if any(scores.undecided):
        _say(console, f"{sum(scores.undecided)} pixels are no class in the predictions; they count as wrong")


def gate_line(gate: Gate) -> str:
    """Returns in words how a figure stands to what was asked of it."""
    if gate.value is None:
        return f"{gate.key} is undefined, and so not {gate.least:g}"
    if gate.passed:
        return f"{gate.key} is {gate.value:.4f}, at least {gate.least:g}"
    return f"{gate.key} is {gate.value:.4f}, {gate.least - gate.value:.4f} under {gate.least:g}"


def _print_set(console: Console, scores: Scores) -> None:
    table = plain_table(console)
    table.add_column("set", no_wrap=True)
    columns = [c for c in ("pooled", "", "95 %", "per image", "95 % ") if scores.intervals or "%" not in c]
    for column in columns:
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for metric in (m for m in SET_METRICS if scores.figures.get(m) is not None or m in ("miou", "accuracy")):
        value = scores.figures.get(metric)
        cells: dict[str, str | Text] = {
            "pooled": figure(value), "": _bar(console, value), "95 %": _ends(scores, metric),
            "per image": figure(scores.figures.get(f"{metric}_image")), "95 % ": _ends(scores, f"{metric}_image"),
        }  # fmt: skip
        table.add_row(metric, *(cells[column] for column in columns))
    console.print(table)
    line = f"accuracy of all {scores.baseline_class}: {scores.baseline_accuracy:.4f}"
    _say(console, line + (f"; threshold {scores.threshold:g}" if scores.threshold is not None else ""))


def _print_classes(console: Console, scores: Scores) -> None:
    first = tuple(c for c in ("iou", "", "95 %", "iou_image", "95 % ") if scores.intervals or "%" not in c)
    second = (*(m for m in METRICS[1:] if m in scores.classes[0].figures), "share")
    for columns in [(*first, *second)] if console.width >= WIDE else [first, second]:
        if columns == second:
            console.print()
        table = plain_table(console)
        table.add_column("class", overflow="fold")
        for column in columns:
            table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
        for c in scores.classes:
            cells: dict[str, str | Text] = {
                "": _bar(console, c.iou), "95 %": _ends(scores, f"iou:{c.name}"),
                "95 % ": _ends(scores, f"iou_image:{c.name}"), "share": f"{c.share:.4f}",
            }  # fmt: skip
            row: list[str | Text] = [cells[k] if k in cells else figure(c.figures[k]) for k in columns]
            table.add_row(Text(c.name), *row, style="dim" if c.iou is None else None)
        console.print(table)


def _print_curve(console: Console, curve: Curve, scores: Scores) -> None:
    console.print()
    for metric, threshold in curve.best.items():
        now = figure(scores.classes[1].figures[metric])
        _say(console, f"best threshold by {metric}: {threshold:.3f}, {figure(curve.at(threshold, metric))} (now {now})")
    ends = curve.average_precision_interval
    interval = f" ({ends[0]:.3f}–{ends[1]:.3f})" if ends else ""
    _say(console, f"average precision {figure(curve.average_precision)}{interval}")


def _print_comparison(console: Console, comparison: Comparison) -> None:
    console.print()
    console.print(Text(f"against {comparison.old}, {comparison.pairs} pairs in both", style="bold"))
    table = plain_table(console)
    table.add_column("figure", overflow="fold")
    for column in ("before", "now", "change", "95 %", ""):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for change in comparison.changes:
        if change.key in SHOWN_CHANGES or change.key.startswith("iou:"):
            ends = f"{change.interval[0]:+.3f} to {change.interval[1]:+.3f}" if change.interval else "–"
            word, style = ("worse", "red") if change.worse else ("better", "green") if change.better else ("", "")
            table.add_row(
                Text(change.key), figure(change.before), figure(change.now), f"{change.now - change.before:+.4f}", ends,
                Text(word, style=style),
            )  # fmt: skip
    console.print(table)
    worse = [c for c in comparison.images if c.now < c.before]
    if worse:
        lines = [f"{c.now - c.before:+.4f}  {c.key}" for c in worse[:WORST_SHOWN]]
        _print_list(console, f"pictures that got worse: {len(worse)}", lines)
    for count, what in (
        (comparison.only_now, "pictures only here"), (comparison.only_before, f"pictures only in {comparison.old}"),
        (comparison.truth_changed, "pictures with other true masks than then"),
    ):  # fmt: skip
        if count:
            _say(console, f"{what}: {count}")


def _print_list(console: Console, title: str, lines: Sequence[str]) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    for line in lines:
        _say(console, f"  {line}")


def plain_table(console: Console) -> Table:
    """Returns an empty table in the one style of this tool: ruled on a terminal, bare elsewhere."""
    return Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None, header_style="bold", pad_edge=False, show_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip


def _bar(console: Console, value: float | None) -> Text:
    """Returns a bar of up to `BAR` columns; nothing where stdout is no terminal."""
    if value is None or not console.is_terminal:
        return Text("")
    eighths = round(value * BAR * 8)
    return Text("█" * (eighths // 8) + EIGHTHS[eighths % 8].strip(), style="cyan")


def _ends(scores: Scores, key: str) -> str:
    ends = scores.intervals.get(key)
    return f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else ""


def _say(console: Console, text: str, *, style: str = "") -> None:
    console.print(Text(text, style=style))
