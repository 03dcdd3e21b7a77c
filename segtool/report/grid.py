"""The end of a grid of trainings, in the terminal."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segtool.report.table import HEADER, cells_of
from segtool.results import Tried


def show_grid(result: Tried, *, quiet: bool) -> None:
    """Prints the table to stdout, the best val IoU in bold; where it lies and what failed to stderr."""
    # Not folded into the 80 columns that Rich takes a pipe to have: whoever reads it greps it.
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(header_style="bold")
    for place, column in enumerate(HEADER):
        table.add_column(column, justify="right" if place else "left")
    best = max((row.iou or 0 for row in result.rows), default=None)
    for row in result.rows:
        table.add_row(*map(Text, cells_of(row)), style="bold" if (row.iou or 0) == best else None)
    if result.rows:
        console.print(table)
    if not quiet:
        state = "; interrupted, call it again to go on" if result.interrupted else ""
        sys.stderr.write(f"{len(result.rows)} of {result.combinations} combinations in {result.run}{state}\n")
    for what, why in result.failures:
        sys.stderr.write(f"segtool: {what}: {why}\n")
