"""The end of a training: the best weights scored on val, the threshold chosen there, both written into the card."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segtool.data.layout import Pair
from segtool.imaging.metrics import Tally, scores_of
from segtool.model.material import Material
from segtool.model.precision import device_name
from segtool.model.predictor import predict_function
from segtool.model.threshold import best_threshold
from segtool.model.weights import load_weights, save_weights
from segtool.pipeline import Predictor
from segtool.scores import Scores, card_figures
from segtool.scoring import tally_pairs
from segtool.streaming import FailureLog

Bar = Callable[[str, int], Any]


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
    by_set = [[p for p in d.split("val") if p in readable] for d in sets.datasets]
    threshold = None
    if card.binary:
        threshold = _threshold(by_set, material, predictor, batch_size=batch_size, bar=bar)
        notice(f"threshold {threshold:g}: the best pooled IoU on val")
        card = replace(card, threshold=threshold)
    tallies = []
    with bar("scoring", len(readable)) as progress:
        for pairs, coding in zip(by_set, sets.codings, strict=True):
            tally = tally_pairs(
                pairs, coding, predictor=predictor, threshold=threshold, batch_size=batch_size, failures=failures,
                tick=progress.update,
            )  # fmt: skip
            tallies.append(tally)
    pooled = Tally.empty(len(names))
    for tally in tallies:
        pooled = pooled.plus(tally)
    by_data = {
        name: scores_of(tally, names, threshold=threshold) for name, tally in zip(sets.names, tallies, strict=True)
    }
    val = card_figures(scores_of(pooled, names, threshold=threshold))
    val |= {"threshold_from": "val"} if card.binary else {}
    val["by_data"] = {name: card_figures(scores) for name, scores in by_data.items()}
    save_weights(model, path, replace(card, scores={"val": val}))
    return tuple(by_data.items())


def _threshold(
    by_set: Sequence[Sequence[Pair]], material: Material, predictor: Predictor, *, batch_size: int, bar: Bar
) -> float:
    coding_of = material.sets.coding_of
    pairs = {pair: coding_of[pair] for of_set in by_set for pair in of_set}
    with bar("choosing the threshold", len(pairs)) as progress:
        return best_threshold(pairs, predictor, batch_size=batch_size, tick=progress.update)
