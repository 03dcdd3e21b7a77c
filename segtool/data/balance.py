"""What classes there is how much of, where, and what that says against training on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segtool.data.classes import MaskCoding
from segtool.data.facts import Look, MaskFacts, relative
from segtool.data.listed_values import as_color
from segtool.results import Case, ClassShare, Finding, SplitFigures
from segtool.settings import LARGEST_CPU

FEW_EMPTY = 0.02  # share of empty masks up to which they look like slips; beyond, they are meant
SMALL_OBJECT = 25  # pixels of network input: what is smaller is gone after two halvings

BACKGROUND_NAMES = frozenset(("background", "bg", "none", "nothing", "void", "unlabeled", "unlabelled", "other"))

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Balance:
    """Pixels by class of every mask: `counts[i]` of `looks[i]`, with those ignored last."""

    looks: Sequence[Look]
    counts: Counts
    coding: MaskCoding


def balance_of(looks: Sequence[Look], coding: MaskCoding) -> Balance:
    """Returns the pixels by class of masks whose values all have a meaning."""
    rows = [_class_counts(look.mask, coding) for look in looks]
    return Balance(looks, np.array(rows, np.int64).reshape(len(rows), len(coding.classes) + 1), coding)


def split_figures(balance: Balance | None, pairs: Mapping[str, int]) -> tuple[SplitFigures, ...]:
    """Returns the class shares of every split; `pairs` is how many each has, whether read or not."""
    figures = []
    for split, count in pairs.items():
        counts = _of_split(balance, split) if balance is not None else np.zeros((0, 1), np.int64)
        pixels, total = counts.sum(axis=0), max(int(counts.sum()), 1)
        classes = () if balance is None else balance.coding.classes
        shares = tuple(
            ClassShare(c.name, float(pixels[i] / max(int(pixels[:-1].sum()), 1)), int((counts[:, i] > 0).sum()))
            for i, c in enumerate(classes)
        )
        figures.append(SplitFigures(split, count, len(counts), float(pixels[-1] / total), shares))
    return tuple(figures)


def balance_findings(balance: Balance, root: Path, *, complete: bool) -> Iterator[Finding]:
    """Yields what the class counts say; unless `complete`, only what holds for each mask by itself."""
    counted = balance.counts[:, :-1]
    ignored = np.flatnonzero((counted.sum(axis=1) == 0) & (balance.counts[:, -1] > 0))
    if len(ignored):
        yield Finding(
            "ignored-masks", "warning", "A mask in which every pixel is ignored: nothing is learned from it.",
            "Take the pair out, or mark what is in it.", _cases(balance, ignored, root),
        )  # fmt: skip
    yield from _empty_masks(balance, root)
    if complete:
        yield from _class_findings(balance, root)
        yield from _small_objects(balance)


def _empty_masks(balance: Balance, root: Path) -> Iterator[Finding]:
    counts = balance.counts
    if not _has_background(balance.coding):
        return
    empty = np.flatnonzero((counts[:, 0] > 0) & (counts[:, 1:-1].sum(axis=1) == 0))
    cases = _cases(balance, empty, root)
    if len(empty) == len(counts) and len(counts):
        yield Finding(
            "no-foreground", "warning", "Every mask is empty: all background, or ignored.",
            "Train on it only together with sets that have foreground.", cases,
        )  # fmt: skip
    elif len(empty) and len(empty) <= FEW_EMPTY * len(counts):
        yield Finding(
            "empty-masks", "warning", "A mask is empty (all background), which in this set is rare.",
            "See whether its image holds nothing indeed; if so, all is well.", cases,
        )  # fmt: skip
    elif len(empty):
        yield Finding(
            "empty-masks", "note", "A mask is empty (all background), as many in this set are.",
            "Nothing needs to be done, if their images hold nothing indeed.", cases,
        )  # fmt: skip


def _class_findings(balance: Balance, root: Path) -> Iterator[Finding]:
    names = [c.name for c in balance.coding.classes]
    splits = list(dict.fromkeys(look.split for look in balance.looks))
    present = {split: _of_split(balance, split)[:, :-1].sum(axis=0) > 0 for split in splits}
    nowhere = [i for i in range(1, len(names)) if not any(p[i] for p in present.values())]
    if nowhere and len(nowhere) < len(names) - 1:
        yield Finding(
            "class-nowhere", "warning", f"No mask holds {_listed(names, nowhere)}.",
            "Take it out of classes.json, or number classes without gaps: its channel of the network learns nothing.",
        )  # fmt: skip
    if "train" not in present:
        return
    for split in splits:
        lacking = [i for i in range(len(names)) if not present[split][i]]
        if split == "train" and (lost := [i for i in lacking if i not in nowhere]):
            yield Finding(
                "class-not-in-train", "error", f"Train holds no pixel of {_listed(names, lost)}, other splits do.",
                "Move some of these pairs to train: what is not shown is not learned.", _holders(balance, lost, root),
            )  # fmt: skip
        elif split != "train" and (lost := [i for i in lacking if present["train"][i]]):
            yield Finding(
                f"class-not-in-{split}", "warning", f"Train holds {_listed(names, lost)}, {split} no pixel of it.",
                f"Move some of these pairs to {split}: otherwise nothing says how well it is found.",
                _holders(balance, lost, root),
            )  # fmt: skip


def _small_objects(balance: Balance) -> Iterator[Finding]:
    index = {value: i for i, value in enumerate(balance.coding.values)}
    areas: dict[int, list[int]] = {}
    for look in balance.looks:
        for value, area in zip(look.mask.values, look.mask.largest, strict=False):
            areas.setdefault(index.get(value, 0), []).append(area)
    for i, of_class in sorted(areas.items()):
        if i and (middle := float(np.median(of_class))) < SMALL_OBJECT:
            yield Finding(
                "small-objects", "note",
                f"In half of its pictures the largest {balance.coding.classes[i].name} has {middle:g} pixels or fewer, "
                f"once the picture is {LARGEST_CPU} pixels long.",
                "A larger --network-size shows the network more of it.",
            )  # fmt: skip


def _class_counts(mask: MaskFacts, coding: MaskCoding) -> list[int]:
    row = [0] * (len(coding.classes) + 1)
    for value, count in zip(mask.values, mask.counts, strict=True):
        if coding.cut:
            row[int(value >= 128)] += count
        else:
            stored = as_color(mask, value) if coding.by_color else value
            row[coding.values.index(stored) if stored in coding.values else -1] += count
    return row


def _of_split(balance: Balance, split: str) -> Counts:
    return balance.counts[[look.split == split for look in balance.looks]]


def _has_background(coding: MaskCoding) -> bool:
    # Class 0 may be the sky: a mask of nothing else is not empty then.
    return coding.binary or not coding.named or coding.classes[0].name.lower() in BACKGROUND_NAMES


def _cases(balance: Balance, which: npt.NDArray[np.intp], root: Path) -> tuple[Case, ...]:
    return tuple(Case(relative(root, balance.looks[i].pair.mask)) for i in which)


def _holders(balance: Balance, classes: Sequence[int], root: Path) -> tuple[Case, ...]:
    names = [c.name for c in balance.coding.classes]
    held = balance.counts[:, classes] > 0
    return tuple(
        Case(relative(root, look.pair.mask), _listed(names, [c for c, has in zip(classes, row, strict=True) if has]))
        for look, row in zip(balance.looks, held, strict=True) if row.any()
    )  # fmt: skip


def _listed(names: Sequence[str], which: Sequence[int]) -> str:
    return ", ".join(names[i] for i in which)
