"""What the values in a dataset's masks mean, decided once over the whole dataset (DESIGN section 3)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtool.card import IGNORE_ID, Card, ClassInfo, rgb_of
from segtool.errors import DataError, ModelError

MAX_PLAIN_ID = 63
# Black for the background, Okabe and Ito's seven colours, and eight more found by search, each as far from all before
# and from white as can be. Any two of the 16 differ by 16 or more in CIELAB (ΔE*ab), as seen with all cones and as
# seen by protanopes, deuteranopes and tritanopes; painted half transparent they differ by less. Cycled beyond.
PALETTE = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
           (204, 121, 167), (110, 40, 0), (50, 40, 110), (190, 240, 180), (150, 70, 110), (30, 30, 210), (0, 100, 60),
           (130, 120, 250), (150, 190, 130))  # fmt: skip


@dataclass(frozen=True)
class MaskCoding:
    """How raw mask values become class indices, the order of the network's channels.

    `values[i]` is the raw value of class i. With `by_color` masks are RGB and a raw value is `r << 16 | g << 8 | b`.
    With `cut` (JPEG masks) every raw value from 128 up is foreground. `named` says whether a person named the classes.
    """

    classes: tuple[ClassInfo, ...]
    values: tuple[int, ...]
    ignore_values: tuple[int, ...]
    by_color: bool = False
    cut: bool = False
    named: bool = False

    @property
    def binary(self) -> bool:
        """Whether there are just background and foreground."""
        return len(self.classes) == 2

    def describe(self) -> str:
        """Returns the one line that tells a person what the mask values are taken to mean."""
        if self.cut:
            return f"JPEG masks: values from 128 up are {self.classes[1].name}"
        if self.by_color:
            meaning = ", ".join(f"#{v:06x} = {c.name}" for v, c in zip(self.values, self.classes, strict=True))
        else:
            meaning = ", ".join(f"{v} = {c.name}" for v, c in zip(self.values, self.classes, strict=True))
        ignored = f", {'/'.join(map(str, self.ignore_values))} = ignored" if self.ignore_values else ""
        return f"mask values: {meaning}{ignored}"


def class_color(index: int) -> tuple[int, int, int]:
    """Returns the default RGB colour of a class."""
    return PALETTE[0] if index == 0 else PALETTE[1 + (index - 1) % (len(PALETTE) - 1)]


def named_classes(count: int, names: Sequence[str] = ()) -> tuple[ClassInfo, ...]:
    """Returns `count` classes with default colours; names missing from `names` are made up."""
    default = ["background", "foreground"] if count == 2 else [f"class {i}" for i in range(count)]
    given = names or default
    if len(given) != count:
        raise DataError(f"{len(given)} class names for {count} classes: {', '.join(given)}.")
    return tuple(ClassInfo(i, name, class_color(i)) for i, name in enumerate(given))


def read_classes_file(path: Path) -> tuple[tuple[ClassInfo, ...], int | None]:
    """Returns the classes and ignore id of a `classes.json`. Raises DataError when it cannot mean anything."""
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(
            ClassInfo(int(c["id"]), str(c["name"]), rgb_of(c.get("color", class_color(i))))
            for i, c in enumerate(sorted(raw["classes"], key=lambda c: int(c["id"])))
        )
        ids = [c.id for c in classes]
        ignore = raw.get("ignore_id", None if IGNORE_ID in ids else IGNORE_ID)
        ignore = None if ignore is None else int(ignore)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as classes ({type(error).__name__}: {error}).") from error
    if len({c.name for c in classes}) != len(classes):
        raise DataError(f"{path} gives two classes one name: each class needs a name of its own.")
    if len(classes) < 2 or len(set(ids)) != len(ids) or not all(0 <= i <= 255 for i in ids) or ignore in ids:
        raise DataError(f"{path} needs two or more classes with different ids from 0 to 255, ignore_id not among them.")
    return classes, ignore


def decide_coding(
    values: Iterable[int], *, root: Path, any_jpeg: bool, colors: Iterable[int], names: Sequence[str] = ()
) -> MaskCoding:
    """Returns what the raw `values` found over all masks of the dataset at `root` mean.

    `values` leave out those of JPEG masks, which hold nearly all; `colors` are the packed RGB colours found in masks
    whose channels differ. Raises DataError with the values and the
    `classes.json` to write when the rules of DESIGN section 3 do not settle it.
    """
    found, colored = sorted(set(values)), sorted(set(colors))
    if (root / "classes.json").is_file():
        return _from_file(root / "classes.json", found, colored, any_jpeg=any_jpeg)
    if colored:
        raise DataError(_write_classes_json(root, "colours", [f"#{c:06x}" for c in colored]))
    named = bool(names)
    if any_jpeg:
        if any(0 < v < 128 for v in found):
            raise DataError(
                f"{root} has JPEG masks, cut at 128, beside masks of values {_some(found)}: convert the JPEGs."
            )
        return MaskCoding(named_classes(2, names), (0, 255), (), cut=True, named=named)
    nonzero = [v for v in found if v]
    if len(nonzero) <= 1 and (0 in found or not found or nonzero[0] > MAX_PLAIN_ID):
        return MaskCoding(named_classes(2, names), (0, *(nonzero or [1])), (), named=named)
    plain = [v for v in found if v != IGNORE_ID]
    if plain and plain[-1] <= MAX_PLAIN_ID:
        count = max(plain[-1] + 1, 2)
        ignored = (IGNORE_ID,) if IGNORE_ID in found else ()
        return MaskCoding(named_classes(count, names), tuple(range(count)), ignored, named=named)
    raise DataError(_write_classes_json(root, "values", [str(v) for v in found]))


def join_classes(card: Card, coding: MaskCoding) -> tuple[int, ...]:
    """Returns, for each class of the weights, its index among the dataset's: by name where both have names, else by
    number. Raises ModelError that lists both when they do not meet.
    """
    ours, theirs = [c.name for c in card.classes], [c.name for c in coding.classes]
    weights_named = ours != [c.name for c in named_classes(len(ours))]
    by_name = weights_named and coding.named
    if (by_name and sorted(ours) != sorted(theirs)) or len(ours) != len(theirs):
        raise ModelError(
            f"Weights {card.name} know the classes {', '.join(ours)}; the dataset has {', '.join(theirs)}: "
            "they cannot be scored against each other."
        )
    return tuple(theirs.index(name) for name in ours) if by_name else tuple(range(len(ours)))


def _from_file(path: Path, found: list[int], colored: list[int], *, any_jpeg: bool) -> MaskCoding:
    classes, ignore = read_classes_file(path)
    if any_jpeg:
        if len(classes) != 2:
            raise DataError(
                f"{path} lists {len(classes)} classes, but JPEG masks can only hold two: save masks as PNG."
            )
        return MaskCoding(classes, (0, 255), (), cut=True, named=True)
    ignored = () if ignore is None else (ignore,)
    ids = tuple(c.id for c in classes)
    if not colored:
        unknown = [v for v in found if v not in ids and v not in ignored]
        if unknown:
            raise DataError(f"Masks hold values {_some(unknown)} that {path} does not list: add them, or ignore_id.")
        return MaskCoding(classes, ids, ignored, named=True)
    packed = tuple(r << 16 | g << 8 | b for r, g, b in (c.color for c in classes))
    if len(set(packed)) != len(packed):
        raise DataError(f"{path} gives two classes one colour, and masks hold colours: give each class its own.")
    unknown_colors = [f"#{c:06x}" for c in colored if c not in packed]
    if unknown_colors:
        raise DataError(f"Masks hold colours {_some(unknown_colors)} that {path} does not list: add them.")
    return MaskCoding(classes, packed, (), by_color=True, named=True)


def _write_classes_json(root: Path, kind: str, found: list[str]) -> str:
    example = '{"classes": [{"id": 0, "name": "background", "color": [0, 0, 0]}, ...], "ignore_id": 255}'
    return (
        f"The masks of {root} hold {len(found)} {kind} ({_some(found)}); say what they mean in classes.json: {example}"
    )


def _some(values: Iterable[object], limit: int = 12) -> str:
    texts = [str(v) for v in values]
    return ", ".join(texts[:limit]) + (", …" if len(texts) > limit else "")
