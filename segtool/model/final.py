"""The end of a training: the best weights scored on val, the threshold chosen there, both written into the card."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtool.imaging.curves import curve_of, tally_at
from segtool.imaging.metrics import Tally, scores_of
from segtool.model.material import Material
from segtool.model.precision import device_name
from segtool.model.predictor import predict_function
from segtool.model.weights import load_weights, save_weights
from segtool.pipeline import Predictor
from segtool.scores import Curve, Scores, card_figures
from segtool.scoring import tally_pairs
from segtool.scoring.counting import Asked
from segtool.streaming import FailureLog

Bar = Callable[[str, int], Any]
LOWEST, HIGHEST = 0.05, 0.95


def score_best(
    path: Path, material: Material, failures: FailureLog, *, batch_size: int, notice: Callable[[str], None], bar: Bar
) -> tuple[tuple[str, Scores], ...]:
    """Scores the weights at `path` as `evaluate` does, by dataset and all together, and writes that into their card.

    With two classes that is at the threshold which is best on val, which the card keeps.
    """
    model, card = load_weights(path)
    # float32: the scores of the card are those of the weights, not of a machine.
    predictor = Predictor(predict_function(model, "float32"), card, "float32", device_name())
    sets, names = material.sets, tuple(c.name for c in card.classes)
    readable = set(material.val.pairs)
    tallies = []
    with bar("scoring", len(readable)) as progress:
        for dataset, coding in zip(sets.datasets, sets.codings, strict=True):
            tally = tally_pairs(
                [p for p in dataset.split("val") if p in readable], coding, predictor=predictor, threshold=None,
                batch_size=batch_size, failures=failures, tick=progress.update, asked=Asked(histogram=card.binary),
            )  # fmt: skip
            tallies.append(tally)
    threshold = None
    if card.binary:
        threshold = best_threshold(curve_of(Tally.total(len(names), tallies), with_intervals=False))
        notice(f"threshold {threshold:.3f}: the best pooled IoU on val")
        card = replace(card, threshold=threshold)
        tallies = [tally_at(tally, threshold) for tally in tallies]
    pooled = Tally.total(len(names), tallies)
    by_data = {
        name: scores_of(tally, names, threshold=threshold) for name, tally in zip(sets.names, tallies, strict=True)
    }
    val = card_figures(scores_of(pooled, names, threshold=threshold))
    val |= {"threshold_from": "val"} if card.binary else {}
    val["by_data"] = {name: card_figures(scores) for name, scores in by_data.items()}
    save_weights(model, path, replace(card, scores={"val": val}))
    return tuple(by_data.items())


def best_threshold(curve: Curve | None) -> float:
    """Returns the threshold at which the pooled IoU is best, of equals that nearest to 0.5; without a curve it is 0.5.

    Never beyond LOWEST and HIGHEST: pictures of another kind would turn all foreground, or all background.
    """
    if curve is None:
        return 0.5
    inside = [
        (round(iou, 6), -abs(threshold - 0.5), threshold)
        for threshold, iou in zip(curve.thresholds, curve.iou, strict=True)
        if iou is not None and LOWEST <= threshold <= HIGHEST
    ]
    return max(inside, default=(0.0, 0.0, 0.5))[2]
