"""Rows of figures, and how they are shown: a table to read, a JSON file to keep."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Goal:
    """What issue 4 asks for, and the mark beyond it; `least` says that more is better."""

    asked: float
    mark: float | None = None
    least: bool = True

    def met(self, value: float) -> str:
        """Returns `beyond`, `met` or `missed`."""
        sign = 1 if self.least else -1
        if self.mark is not None and sign * (value - self.mark) >= 0:
            return "beyond"
        return "met" if sign * (value - self.asked) >= 0 else "missed"

    def __str__(self) -> str:
        bound = f"{'≥' if self.least else '≤'} {self.asked:g}"
        return bound if self.mark is None else f"{bound} ({self.mark:g})"


@dataclass(frozen=True)
class Row:
    """One figure: of which part and network, the value of every pair, and the two sides' medians in words."""

    part: str
    network: str
    what: str
    values: tuple[float, ...]
    ours: str = ""
    theirs: str = ""
    unit: str = "×"
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """The median over pairs."""
        return statistics.median(self.values)


def show(rows: Sequence[Row], console: Console) -> None:
    """Prints the table."""
    table = Table(title="medians of paired runs; in brackets from least to most", title_justify="left")
    for name in ("part", "network", "what", "ours", "the other"):
        table.add_column(name, overflow="fold")
    for name in ("median", "range", "asked (mark)", ""):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for row in rows:
        if row.part != last and last:
            table.add_section()
        last = row.part
        spread = f"{_figure(min(row.values))} to {_figure(max(row.values))}" if len(row.values) > 1 else ""
        goal = (str(row.goal), row.goal.met(row.median)) if row.goal else ("", "")
        value = f"{_figure(row.median)} {row.unit}"
        table.add_row(row.part, row.network, row.what, row.ours, row.theirs, value, spread, *goal)
    console.print(table)


def save(path: Path, header: dict[str, Any], rows: Sequence[Row]) -> None:
    """Writes header and rows as JSON."""
    found = [
        {**asdict(row), "median": row.median, "verdict": row.goal.met(row.median) if row.goal else None} for row in rows
    ]
    path.write_text(json.dumps({**header, "rows": found}, indent=1) + "\n")


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
