"""A grid of trainings: `KEY=V,V` words to options, one a combination."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from segtool.errors import UsageError
from segtool.options import TrainOptions

Grid = tuple[tuple[str, tuple[str, ...]], ...]


def _switch(text: str) -> bool:
    return {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}[text.lower()]


KEYS: dict[str, Callable[[str], Any]] = {
    "depth": int, "width": int, "max_width": int, "stem": int, "network_size": int, "crop_size": int, "epochs": int,
    "epoch_pictures": int, "batch_size": int, "accumulate": int, "patience": int, "seed": int,
    "learning_rate": float, "weight_decay": float, "warmup": float, "clip": float, "ema": float, "paste": float,
    "time_budget": float,
    "norm": _switch, "residual": _switch,
    "loss": str, "encoder": str, "encoder_weights": str, "init": str, "teacher": str, "class_weights": str,
}  # fmt: skip
SHORT = {"lr": "learning_rate"}


def parse_grid(words: Iterable[str]) -> Grid:
    """Returns the keys with their values as written. Raises UsageError where a key or a value cannot be."""
    grid = []
    for word in words:
        key, equals, text = word.partition("=")
        name = _option(key)
        values = tuple(part.strip() for part in text.split(",") if part.strip())
        if not equals or name not in KEYS or not values:
            keys = ", ".join(key.replace("_", "-") for key in sorted(KEYS))
            raise UsageError(f"--grid {word} is not KEY=V,V with a KEY of lr, {keys}.")
        for value in values:
            try:
                KEYS[name](value)
            except (ValueError, KeyError):
                raise UsageError(f"--grid {word}: {value} is no value of {key}.") from None
        grid.append((key, values))
    if len({_option(key) for key, _ in grid}) != len(grid):
        raise UsageError("--grid names one key twice: give all its values at once, with commas between them.")
    return tuple(grid)


def combinations(options: TrainOptions) -> Iterator[tuple[str, TrainOptions]]:
    """Yields the name and the options of each combination, its run a folder of that name within `options.run`."""
    keys = [key for key, _ in options.grid]
    for values in itertools.product(*(values for _, values in options.grid)):
        name = " ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
        changes = {_option(key): KEYS[_option(key)](value) for key, value in zip(keys, values, strict=True)}
        folder = name.replace(" ", "_").replace("/", "-")
        yield name, replace(options, grid=(), run=options.run / folder, **changes)


def _option(key: str) -> str:
    name = key.strip().replace("-", "_")
    return SHORT.get(name, name)
