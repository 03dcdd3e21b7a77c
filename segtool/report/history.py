"""The history of a training: a line an epoch, `history.csv`, and `curves.png` by Matplotlib without a display."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from segtool.files import write_whole

TRAIN_COLOR, VAL_COLOR = "#0072b2", "#d55e00"  # Okabe and Ito: told apart by the colour-blind


def epoch_line(row: Mapping[str, float], *, best: bool) -> str:
    """Returns one epoch in one line; a star marks the best so far."""
    return (
        f"epoch {row['epoch']:g}: loss {row['loss']:.4f} accuracy {row['accuracy']:.4f} iou {row['iou']:.4f} | "
        f"val loss {row['val_loss']:.4f} accuracy {row['val_accuracy']:.4f} iou {row['val_iou']:.4f} | "
        f"{row['seconds']:.0f} s{' *' if best else ''}"
    )


def save_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes a row an epoch as CSV."""
    columns = list(history[0])
    rows = [",".join(f"{row[c]:g}" for c in columns) for row in history]
    write_whole(path, ("\n".join([",".join(columns), *rows]) + "\n").encode())


def save_curves(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Draws loss, IoU and accuracy over epochs, train beside val, into a PNG."""
    figure = Figure(figsize=(12, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [row["epoch"] for row in history]
    best = max(history, key=lambda row: row["val_iou"])
    for axes, (metric, title) in zip(
        figure.subplots(1, 3), (("loss", "Loss"), ("iou", "IoU"), ("accuracy", "Accuracy")), strict=True
    ):
        axes.plot(epochs, [row[metric] for row in history], color=TRAIN_COLOR, label="train", marker=".")
        axes.plot(epochs, [row[f"val_{metric}"] for row in history], color=VAL_COLOR, label="val", marker=".")
        axes.plot(best["epoch"], best[f"val_{metric}"], "o", color=VAL_COLOR, fillstyle="none", markersize=11)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if metric != "loss":
            axes.set_ylim(0, 1)
    figure.axes[0].legend(frameon=False)
    figure.suptitle(f"best epoch {best['epoch']:g} (ringed): val IoU {best['val_iou']:.3f}", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())
