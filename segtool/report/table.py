"""The table of a grid of trainings, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence

from segtool.results import TriedRow

HEADER = ("configuration", "epochs", "val loss", "val accuracy", "val iou", "val iou_image", "images/s", "parameters")


def cells_of(row: TriedRow) -> tuple[str, ...]:
    """Returns what each column of the table holds."""
    iou, iou_image = ("–" if v is None else f"{v:.4f}" for v in (row.iou, row.iou_image))
    return (
        row.configuration, str(row.epochs), f"{row.val_loss:.4f}", f"{row.val_accuracy:.4f}", iou, iou_image,
        f"{row.images_per_second:.1f}", f"{row.parameters / 1e6:.2f} M",
    )  # fmt: skip


def markdown_of(rows: Sequence[TriedRow]) -> str:
    """Returns the table as Markdown, a row a combination."""
    lines = [HEADER, ("---",) * len(HEADER), *map(cells_of, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def csv_of(rows: Sequence[TriedRow]) -> str:
    """Returns the table as CSV, figures as they are."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(name.replace(" ", "_").replace("/s", "_per_second") for name in HEADER)
    for r in rows:
        writer.writerow(
            (
                r.configuration,
                r.epochs,
                r.val_loss,
                r.val_accuracy,
                r.iou,
                r.iou_image,
                r.images_per_second,
                r.parameters,
            )
        )
    return text.getvalue()
