"""Every figure in the cards of bundled weights, from a clean checkout: scores by set with 95 % intervals, cost, time.

    python weights/scores.py                     all bundled weights; exit code 4 where a card says something else
    python weights/scores.py person runs/next    some; a run folder or a file counts too
    python weights/scores.py person --write      puts the figures, and the texts of weights/cards/, into the card
    python weights/scores.py person --time       measures the time a picture too: on a quiet machine
    python weights/scores.py person --network-size 256    as if the network saw pictures so large

The tables of weights/README.md go to stdout. What people say of weights NAME (use, limits, which sets to score) is in
`weights/cards/NAME.toml`, where the sets are from in `weights/cards/data.toml`.
"""

import argparse
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from segtool.card import Card, bundled_weights, find_weights, read_card, write_card
from segtool.commands.synth import synth
from segtool.data.layout import find_dataset
from segtool.data.truth import inspect_masks
from segtool.engine.predictor import load_predictor
from segtool.errors import DataError, SegtoolError
from segtool.imaging.metrics import Tally, scores_of
from segtool.model.predictor import predict_function
from segtool.model.unet import Architecture, count_flops
from segtool.model.weights import load_weights
from segtool.options import SynthOptions
from segtool.pipeline import Predictor, cores, shape_of
from segtool.report.notices import Show
from segtool.results import EXIT_DONE, EXIT_GATE
from segtool.scores import card_figures
from segtool.scoring.network import tally_pairs
from segtool.streaming import FailureLog

TEXTS = Path(__file__).resolve().parent / "cards"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH = 8
MASKED = 0.01  # share of a photo without any foreground from which it counts as masked
SAME = 5e-4  # of a figure: float32 differs in the last bits from machine to machine
SECONDS = 10.0  # of timing


def main() -> int:
    """Scores what was asked for, prints the tables, and writes or compares the cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="bundled weights, run folders or .keras files (all bundled ones)")
    parser.add_argument("--data", type=Path, default=SHARED, help=f"the folder of the sets ({SHARED})")
    parser.add_argument("--threshold", type=float, default=0.5, help="for two classes (0.5)")
    parser.add_argument("--time", action="store_true", help="measure the time a picture too")
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument("--network-size", type=int, help="the long side of pictures, in place of the card's")
    kept.add_argument("--write", action="store_true", help="put all of it into the cards")
    asked = parser.parse_args()
    paths = [find_weights(name) for name in asked.names] or list(bundled_weights())
    # Every card is scored before any is timed: bfloat16, once set, holds for the process.
    cards = {path: scored(path, asked.data, asked.threshold, asked.network_size) for path in paths}
    differ = False
    for path, card in cards.items():
        told = timed(path, card) if asked.time else card
        print("\n".join(["", f"## `{card.name}`", "", *table(told)]))
        if asked.write:
            write_card(path, told)
            print(f"{path}: card written", file=sys.stderr)
        for line in differences(read_card(path), card) if asked.network_size is None else ():
            print(f"{path}: its card has {line}", file=sys.stderr)
            differ = True
    return EXIT_GATE if differ else EXIT_DONE


def scored(path: Path, data: Path, threshold: float, network_size: int | None = None) -> Card:
    """Returns the card of the weights at `path` with measured scores and the texts of `TEXTS`. Raises DataError."""
    model, card = load_weights(path)
    card = replace(card, network_size=network_size or card.network_size)
    texts, origins = _texts(card.name), _texts("data")
    predictor = Predictor(predict_function(model, "float32"), card, "float32", "cpu")
    names = tuple(c.name for c in card.classes)
    cut = threshold if card.binary else None
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in texts["sets"]:
            tallies[name] = _tally(_folder(name, data, Path(scratch)), predictor, threshold)
    pooled = scores_of(Tally.total(len(names), tallies.values()), names, threshold=cut, with_intervals=True)
    by_data = {name: _figures(tally, names, cut) for name, tally in tallies.items()}
    return replace(
        card,
        scores={**card.scores, "val": card_figures(pooled) | {"by_data": by_data}},
        trained_on=tuple({**origin, **_origin(str(origin["name"]), origins)} for origin in card.trained_on),
        parameters=model.count_params(),
        flops=count_flops(Architecture(**card.architecture), card.network_size, card.network_size),
        description=texts["description"],
        intended_use=texts["intended_use"],
        limitations=tuple(texts["limitations"]),
    )


def timed(path: Path, card: Card) -> Card:
    """Returns the card with the time a 4:3 picture of the network alone, in the precision `auto` chooses here."""
    predictor = load_predictor(path, precision="auto")
    height, width = shape_of(card)(3, 4)
    batch = np.random.default_rng(0).integers(0, 256, (BATCH, height, width, 3), np.uint8)
    for _ in range(3):
        predictor.predict(batch)
    took: list[float] = []
    while sum(took) < SECONDS:
        begin = time.perf_counter()
        predictor.predict(batch)
        took.append(time.perf_counter() - begin)
    where = f"{cores()} cores of {_processor()}" if predictor.device == "cpu" else predictor.device
    told = f"the network alone, {width}×{height}, batches of {BATCH}, {predictor.precision}, {where}"
    return replace(card, milliseconds=round(1000 * median(took) / BATCH, 2), measured_on=told)


def table(card: Card) -> list[str]:
    """Returns the lines of the Markdown table of scores, the mean over sets last."""
    val = card.scores["val"]
    key = "iou_image" if card.binary else "miou_image"
    masked = any("masked" in figures for figures in val["by_data"].values())
    pooled = key.removesuffix("_image")
    heads = ["set", "pairs", f"`{key}`", "95 %", f"`{pooled}`", "95 %", "accuracy", "all background"]
    heads += ["masked > 1 %"] * masked
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for name, figures in [*val["by_data"].items(), *([("all together", val)] if len(val["by_data"]) > 1 else [])]:
        cells = [f"`{name}`" if name in val["by_data"] else name, str(figures["pairs"])]
        for metric in ("miou_image", "miou"):
            ends = figures["intervals"].get(metric)
            cells += [f"{figures[metric]:.3f}", f"{ends[0]:.3f}–{ends[1]:.3f}" if ends else "–"]
        cells += [f"{figures['accuracy']:.3f}", f"{figures['baseline_accuracy']:.3f}"]
        cells += [f"{figures['masked']:.3f}" if "masked" in figures else ""] * masked
        lines.append(f"| {' | '.join(cells)} |")
    cost = f"{card.parameters / 1e6:.2f} M parameters, {card.flops / 1e9:.2f} GFLOP a square picture"
    time_told = f", {card.milliseconds} ms a picture ({card.measured_on})" if card.milliseconds else ""
    mean = sum(figures["miou_image"] for figures in val["by_data"].values()) / len(val["by_data"])
    classes = [f"`{name}` {iou:.3f}" for name, iou in val["iou"].items() if iou is not None and not card.binary]
    return [
        *lines,
        "",
        *([f"`iou` by class: {', '.join(classes)}.", ""] if classes else []),
        f"Mean over sets of `{key}`: {mean:.3f}. {cost}{time_told}.",
    ]


def differences(card: Card, measured: Card) -> list[str]:
    """Returns in words where the figures of `card` are not those measured; times are of another machine."""
    found = []
    for name, figures in measured.scores["val"]["by_data"].items():
        told = card.scores.get("val", {}).get("by_data", {}).get(name, {})
        for key in ("miou_image", "miou", "accuracy", "masked"):
            if key in figures and not _same(told.get(key), figures[key]):
                found.append(f"{key} {told.get(key)} on {name}, measured {figures[key]:.4f}")
    kept = ("parameters", "flops", "description", "intended_use", "limitations", "trained_on")
    return found + [f"other {key} than here" for key in kept if getattr(card, key) != getattr(measured, key)]


def _same(told: float | None, measured: float | None) -> bool:
    return told == measured if told is None or measured is None else abs(told - measured) < SAME


def _tally(data: Path, predictor: Predictor, threshold: float) -> Tally:
    """Returns what is counted of the val pairs of one set. Raises DataError when a pair cannot be read."""
    dataset = find_dataset(data)
    pairs, coding = dataset.split("val"), inspect_masks([p.mask for p in dataset.all_pairs], root=data)
    failures = FailureLog()
    with Show().progress(data.name, len(pairs), "pair") as bar:
        tally = tally_pairs(
            list(pairs), coding, predictor=predictor, threshold=threshold, batch_size=BATCH, failures=failures,
            tick=bar.update,
        )  # fmt: skip
    if failures.failures:
        raise DataError(f"{data}: {failures.failures[0][1]}")
    return tally


def _figures(tally: Tally, names: Sequence[str], threshold: float | None) -> dict[str, Any]:
    figures = card_figures(scores_of(tally, names, threshold=threshold, with_intervals=True))
    _, truth, found = np.moveaxis(tally.counts(), 2, 0)  # by image and class
    if threshold is not None and not truth[:, 1].any():  # no photo of this set has foreground
        found = found[:, 1] / np.maximum(truth.sum(axis=1), 1)
        figures["masked"] = float((found > MASKED).mean())
    return figures


def _folder(name: str, data: Path, scratch: Path) -> Path:
    """Returns the folder of the set called `name`; drawn shapes are drawn anew. Raises DataError."""
    if (data / name).is_dir():
        return data / name
    if name != "shapes":
        raise DataError(f"There is no set {data / name}: say by --data where the sets are.")
    synth(SynthOptions(scratch / name, train=300, val=60), Show(quiet=True))
    return scratch / name


def _texts(name: str) -> dict[str, Any]:
    path = TEXTS / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"Write {path}: sets, description, intended_use, limitations, as in those beside it.") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path} is no TOML ({error}).") from error


def _origin(name: str, origins: Mapping[str, Any]) -> Mapping[str, str]:
    if name not in origins:
        raise DataError(f"{TEXTS / 'data.toml'} says nothing of {name}: add its origin and terms.")
    return {key: str(origins[name][key]) for key in ("origin", "terms")}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "an unknown processor")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SegtoolError as error:
        print(f"scores.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
