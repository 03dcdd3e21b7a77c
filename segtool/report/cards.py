"""Cards for people: the bundled weights as a table, and all that one card says."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtool.card import Card, card_to_json
from segtool.report.tables import plain_table
from segtool.results import Carded

LABEL = 14  # columns of the names beside the facts
MEANS = ("miou_image", "miou", "accuracy", "baseline_accuracy")  # that sets have a mean of
ENDLESS = 10_000  # columns where no terminal folds the lines: grep and awk want a row a line


def show_weights(found: Sequence[Carded]) -> None:
    """Prints a line a weights file to stdout."""
    console = _console()
    table = plain_table(console)
    for column in ("name", "task", "classes"):
        table.add_column(column, overflow="fold")
    for column in ("size", "parameters", "GFLOP", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("score on val", no_wrap=True)
    table.add_column("terms", overflow="fold")
    for one in found:
        c = one.card
        table.add_row(
            Text(c.name), c.task, Text(_classes(c)), str(c.network_size), _parameters(c), _gflop(c), _megabytes(one),
            _main_score(c), Text(_short(c.licence) or "not stated"),
        )  # fmt: skip
    console.print(table)


def show_card(one: Carded) -> None:
    """Prints to stdout what the card of one weights file says."""
    console, card = _console(), one.card
    console.print(Text(card.name, style="bold"), Text(card.description))
    console.print()
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    facts.add_column(width=LABEL, style="bold")
    facts.add_column(overflow="fold")
    for label, text in _facts(one):
        facts.add_row(label, Text(text))
    console.print(facts)
    if card.intended_use:
        _paragraphs(console, "Intended use", [card.intended_use])
    if card.limitations:
        _paragraphs(console, "What it does badly", [f"· {text}" for text in card.limitations])
    for split, scores in card.scores.items():
        _print_scores(console, card, f"Scores on {split}", scores)
    if card.trained_on:
        _print_origins(console, card)


def weights_json(found: Sequence[Carded]) -> str:
    """Returns the cards of several weights files, each with its file and size, as one JSON list."""
    return json.dumps([{"file": str(one.path), "bytes": one.size} | card_to_json(one.card) for one in found], indent=1)


def card_json(one: Carded) -> str:
    """Returns the card as it is in the weights file."""
    return json.dumps(card_to_json(one.card), indent=1)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=ENDLESS, soft_wrap=True)


def _facts(one: Carded) -> list[tuple[str, str]]:
    card = one.card
    network = f"long side {card.network_size} pixels, sides multiples of {card.stride}"
    if card.architecture:
        told = (k if v is True else f"{k} {v}" for k, v in card.architecture.items() if v and k != "classes")
        network += f"; {', '.join(told)}"
    facts = [
        ("file", f"{one.path} ({_megabytes(one)} MB)"),
        ("classes", _classes(card, most=len(card.classes))),
        ("network", network),
        ("cost", f"{_gflop(card)} GFLOP a picture (square), {_parameters(card)} parameters"),
    ]
    if card.milliseconds:
        facts.append(("time", f"{card.milliseconds:.1f} ms a picture; {card.measured_on}"))
    if card.binary:
        facts.append(("threshold", f"{card.threshold:g}"))
    facts.append(("terms", card.licence or "not stated"))
    return [*facts, ("made", f"{card.created[:10]}, segtool {card.segtool_version}")]


def _print_scores(console: Console, card: Card, title: str, scores: Mapping[str, Any]) -> None:
    """Prints a row a dataset, or the whole split where that is not kept by dataset; then a row a class of many."""
    by_data: Mapping[str, Mapping[str, Any]] = scores.get("by_data") or {str(scores.get("data", "all")): scores}
    threshold = scores.get("threshold")
    _head(console, title + (f", threshold {threshold:g}" if threshold is not None else ""))
    main = "miou_image" if not card.binary else "iou_image"
    table = plain_table(console)
    table.add_column("set", overflow="fold")
    rows = dict(by_data)
    if len(by_data) > 1:
        means = {key: _mean([figures.get(key) for figures in by_data.values()]) for key in MEANS}
        rows |= {"mean of sets": means, "all together": scores}
    masked, sure = (any(key in figures for figures in rows.values()) for key in ("masked", "intervals"))
    columns = [main, "95 %", main.removesuffix("_image"), "95 % ", "accuracy", "baseline", *(["masked"] * masked)]
    columns = ["pairs", *(column for column in columns if sure or "%" not in column)]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, figures in rows.items():
        cells = {
            "pairs": str(figures.get("pairs", "–")), main: _figure(figures.get("miou_image")),
            "95 %": _ends(figures, "miou_image"), main.removesuffix("_image"): _figure(figures.get("miou")),
            "95 % ": _ends(figures, "miou"), "accuracy": _figure(figures.get("accuracy")),
            "baseline": _figure(figures.get("baseline_accuracy")), "masked": _figure(figures.get("masked")),
        }  # fmt: skip
        table.add_row(Text(name), *(cells[column] for column in columns))
    console.print(table)
    console.print(Text("baseline: the accuracy of calling everything background (or the commonest class)", "dim"))
    if masked:
        console.print(Text("masked: share of photos without any foreground in which more than 1 % was found", "dim"))
    if not card.binary:
        _print_classes(console, card, scores)


def _print_classes(console: Console, card: Card, scores: Mapping[str, Any]) -> None:
    console.print()
    table = plain_table(console)
    table.add_column("class", overflow="fold")
    for column in ("iou", "95 %", "iou_image", "95 % "):
        table.add_column(column, justify="right", no_wrap=True)
    for name in (c.name for c in card.classes):
        iou, image = (scores.get(metric, {}).get(name) for metric in ("iou", "iou_image"))
        ends = (_ends(scores, f"{metric}:{name}") for metric in ("iou", "iou_image"))
        table.add_row(Text(name), _figure(iou), next(ends), _figure(image), next(ends))
    console.print(table)


def _print_origins(console: Console, card: Card) -> None:
    _head(console, "Trained on")
    table = plain_table(console)
    table.add_column("set", overflow="fold")
    for column in ("train", "val"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("origin and terms", overflow="fold")
    for data in card.trained_on:
        # Weights fresh from training have their own terms for every set: said above already.
        parts = [data.get("origin", ""), data.get("terms", "") if data.get("terms") != card.licence else ""]
        cells = (str(data.get(split, "–")) for split in ("train", "val"))
        table.add_row(Text(str(data.get("name", "–"))), *cells, Text("; ".join(str(p) for p in parts if p) or "–"))
    console.print(table)


def _paragraphs(console: Console, title: str, texts: Sequence[str]) -> None:
    _head(console, title)
    for text in texts:
        console.print(Text(text))


def _head(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _classes(card: Card, most: int = 4) -> str:
    names = [c.name for c in card.classes]
    return ", ".join(names) if len(names) <= most else f"{len(names)}: {', '.join(names[:2])}, …"


def _main_score(card: Card) -> str:
    """Returns the figure to choose by: the mean over datasets where there are several, each counting the same."""
    scores = card.scores.get("val", {})
    key = "miou_image" if card.binary else "miou"
    mean = _mean([figures.get(key) for figures in (scores.get("by_data") or {"": scores}).values()])
    return "–" if mean is None else f"{key.removeprefix('m') if card.binary else key} {mean:.3f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _short(terms: str) -> str:
    """Returns terms up to the first stop, which must not be one within a version."""
    return re.split(r"[:;]|\.(?:\s|$)", terms, maxsplit=1)[0]


def _parameters(card: Card) -> str:
    if not card.parameters:
        return "–"
    return f"{card.parameters / 1e6:.2f} M" if card.parameters >= 1e5 else f"{card.parameters / 1e3:.1f} k"


def _gflop(card: Card) -> str:
    return f"{card.flops / 1e9:.2f}" if card.flops else "–"


def _megabytes(one: Carded) -> str:
    return f"{one.size / 1e6:.1f}"


def _figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"


def _ends(scores: Mapping[str, Any], key: str) -> str:
    ends = scores.get("intervals", {}).get(key)
    return f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else "–"
