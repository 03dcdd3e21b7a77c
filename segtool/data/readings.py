"""Raw mask values to class indices by lookup: how a whole folder is read, and the values that do not explain."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segtool.card import IGNORE_ID
from segtool.data.classes import MAX_PLAIN_ID, MaskCoding, decide_coding
from segtool.errors import DataError, ImageError
from segtool.imaging.codec import JPEG_SUFFIXES, Pixels
from segtool.imaging.masks import read_raw_mask

UNKNOWN = 255  # the index of a value that a reading does not explain
MAX_CLASSES = 254
FIRST_LOOK = 16  # masks looked at before all are read in earnest
Raw = npt.NDArray[Any]


@dataclass(frozen=True)
class Seen:
    """The raw values found in masks that are no JPEGs, their packed RGB colours, and whether there are JPEGs."""

    values: frozenset[int] = frozenset()
    colors: frozenset[int] = frozenset()
    any_jpeg: bool = False

    def plus(self, other: "Seen") -> "Seen":
        """Returns what was found in both."""
        return Seen(self.values | other.values, self.colors | other.colors, self.any_jpeg or other.any_jpeg)


@dataclass(frozen=True)
class Reading:
    """How raw values become class indices: `table` for values, `colors` for packed RGB; C is no class or ignored.

    `soft` says that values are probabilities of the foreground, from 0 to 255.
    """

    meaning: str
    table: Pixels
    colors: Mapping[int, int]
    soft: bool = False

    def indices(self, raw: Raw) -> Pixels:
        """Returns the class indices of raw values of any shape, `UNKNOWN` where there is no explanation."""
        if self.colors:
            packed = raw if raw.dtype == np.int32 else raw.astype(np.int32) * 0x010101  # grey is a colour too
            found = np.full(raw.shape, UNKNOWN, np.uint8)
            for color, index in self.colors.items():
                found[packed == color] = index
            return found
        if raw.dtype == np.int32:
            return np.full(raw.shape, UNKNOWN, np.uint8)
        if raw.dtype == np.uint8 and raw.ndim == 2:
            return np.asarray(cv2.LUT(raw, self.table[:256]), np.uint8)
        return self.table[raw]

    def unexplained(self, raw: Raw) -> Seen:
        """Returns those of some raw values that this reading does not explain."""
        strange = frozenset(int(v) for v in np.unique(raw[self.indices(raw) == UNKNOWN])[:1000])
        return Seen(colors=strange) if raw.dtype == np.int32 else Seen(values=strange)


def look(paths: Iterable[Path]) -> Seen:
    """Returns the values in all these masks; those that cannot be read are left out, JPEGs not looked into."""
    with ThreadPoolExecutor() as pool:
        found = Seen()
        for one in pool.map(_seen_in, paths):
            found = found.plus(one)
    return found


def first_look(paths: Sequence[Path]) -> Seen:
    """Returns the values in a few masks spread over all, and whether there are JPEGs among all."""
    few = paths[:: max(1, len(paths) // FIRST_LOOK)]
    return look(few).plus(Seen(any_jpeg=any(is_jpeg(path) for path in paths)))


def truth_reading(coding: MaskCoding) -> Reading:
    """Returns how true masks of a dataset are read; the ignore id becomes C. Raises DataError for over 254 classes."""
    count = len(coding.classes)
    if count > MAX_CLASSES:
        raise DataError(f"The dataset has {count} classes; up to {MAX_CLASSES} can be scored.")
    if coding.cut:
        return Reading(coding.describe(), _cut_table(128), {})
    known = dict(zip(coding.values, range(count), strict=True)) | dict.fromkeys(coding.ignore_values, count)
    return _reading(coding.describe(), known, by_color=coding.by_color)


def prediction_reading(seen: Seen, coding: MaskCoding, *, folder: Path, threshold: float) -> Reading:
    """Returns how the masks in `folder`, made by whatever tool, are read against a dataset of that `coding`.

    The first of these that explains all values: `folder/classes.json`, joined by name; the dataset's colours; the
    dataset's values; 0 and any one other value, for two classes; the class ids; the classes in order; for two classes,
    probabilities from 0 to 255, cut at `threshold`. 255 beside ids, and the ignore id, are no class: always wrong where
    truth has one. Raises DataError that lists the values when none does.
    """
    if (folder / "classes.json").is_file():
        return _by_names(seen, coding, folder)
    if seen.colors:
        return _by_colors(seen, coding, folder)
    binary, values, count = coding.binary, seen.values, len(coding.classes)
    source = {} if coding.by_color else dict(zip(coding.values, range(count), strict=True))
    nothing = dict.fromkeys((IGNORE_ID, *coding.ignore_values), count)
    others = sorted(values - {0})
    readings = (
        source,
        {0: 0, others[0]: 1} if binary and len(others) == 1 else {},
        nothing | source if source else {},
        nothing | {c.id: i for i, c in enumerate(coding.classes)},
        nothing | {i: i for i in range(count)},
    )
    if not seen.any_jpeg:
        for known in readings:
            if values <= known.keys():
                return _reading(_told(known, coding, values), known)
    if binary and (seen.any_jpeg or any(MAX_PLAIN_ID < v < IGNORE_ID for v in values)) and max(values, default=0) < 256:
        least = next(v for v in range(257) if v / 255 >= threshold)
        name = coding.classes[1].name
        return Reading(f"probabilities of {name} from 0 to 255, cut at {threshold:g}", _cut_table(least), {}, soft=True)
    kind = "JPEGs, and those" if seen.any_jpeg else "masks that"
    raise DataError(
        f"{folder} has {kind} hold {_some(sorted(values)) or 'anything'}, which are not the dataset's "
        f"{coding.describe()}: say what they mean in {folder / 'classes.json'}."
    )


def is_jpeg(path: Path) -> bool:
    """Returns whether a mask is a JPEG, whose values are what compression made of them."""
    return path.suffix.lower() in JPEG_SUFFIXES


def _by_names(seen: Seen, coding: MaskCoding, folder: Path) -> Reading:
    theirs = decide_coding(seen.values, root=folder, any_jpeg=seen.any_jpeg, colors=seen.colors)
    names, ours = [c.name for c in theirs.classes], [c.name for c in coding.classes]
    if sorted(names) != sorted(ours):
        raise DataError(
            f"{folder / 'classes.json'} has the classes {', '.join(names)}; the dataset has {', '.join(ours)}: "
            "they cannot be scored against each other."
        )
    if theirs.cut:
        return Reading(theirs.describe(), _cut_table(128), {})
    known = {v: ours.index(name) for v, name in zip(theirs.values, names, strict=True)}
    known |= dict.fromkeys(theirs.ignore_values, len(ours))
    return _reading(theirs.describe().removeprefix("mask values: "), known, by_color=theirs.by_color)


def _by_colors(seen: Seen, coding: MaskCoding, folder: Path) -> Reading:
    known = {r << 16 | g << 8 | b: i for i, (r, g, b) in enumerate(c.color for c in coding.classes)}
    found = seen.colors | {v * 0x010101 for v in seen.values}
    if len(known) != len(coding.classes) or not found <= known.keys():
        strange = [f"#{c:06x}" for c in sorted(found - known.keys())] or ["colours that two classes share"]
        raise DataError(
            f"The masks in {folder} hold {_some(strange)}, which are no colours of the dataset's classes: say what "
            f"they mean in {folder / 'classes.json'}."
        )
    return _reading("the colours of the classes", known, by_color=True)


def _told(known: Mapping[int, int], coding: MaskCoding, found: frozenset[int]) -> str:
    if all(known.get(v) == i for i, v in enumerate(coding.values)):
        return "the same values"
    names = [*(c.name for c in coding.classes), "no class"]
    return ", ".join(f"{v} = {names[i]}" for v, i in sorted(known.items()) if v in found or i < len(coding.classes))


def _reading(meaning: str, known: Mapping[int, int], *, by_color: bool = False) -> Reading:
    table = np.full(1 << 16, UNKNOWN, np.uint8)
    if by_color:
        return Reading(meaning, table, known)
    for value, index in known.items():
        table[value] = index
    return Reading(meaning, table, {})


def _cut_table(least: int) -> Pixels:
    return (np.arange(1 << 16) >= least).astype(np.uint8)


def _seen_in(path: Path) -> Seen:
    if is_jpeg(path):
        return Seen(any_jpeg=True)
    try:
        raw = read_raw_mask(path)
    except ImageError:
        return Seen()  # named by whoever reads the pair; one bad file does not settle what masks mean
    if raw.dtype == np.int32:
        return Seen(colors=frozenset(int(v) for v in np.unique(raw)[:1000]))
    return Seen(values=frozenset(int(v) for v in np.flatnonzero(np.bincount(raw.ravel()))))


def _some(values: Sequence[object], limit: int = 12) -> str:
    texts = [str(v) for v in values]
    return ", ".join(texts[:limit]) + (", …" if len(texts) > limit else "")
