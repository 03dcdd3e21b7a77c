"""What the values in masks mean: JPEGs and smeared masks first, then the others with or without a classes.json."""

from dataclasses import replace
from pathlib import Path

from segtool.data.classes import MaskCoding, named_classes
from segtool.data.facts import COLORS, JPEG, MaskFacts
from segtool.data.listed_values import by_file
from segtool.data.meaning import Masks, Meaning, decide, values_case
from segtool.data.proposals import MAX_CLASSES
from segtool.data.unlisted_values import by_values
from segtool.results import Case, Finding

NEAR = 40  # levels from 0 or 255 within which compression and smoothing leave most of a two-valued mask
SMEARED_FROM = 8  # values, which a two-valued mask has not by itself
SMEARED_SHARE = 0.75  # of the pixels that are as good as 0 or 255 all the same
COMMON_COLOR = 0.005  # share of the pixels from which a colour of a smeared mask is a class


def read_meaning(masks: Masks, root: Path) -> Meaning:
    """Returns what the values of a dataset's masks mean, by the rules of `decide_coding`, the faulty ones set apart."""
    jpegs = {name: m for name, m in masks.items() if m.kind == JPEG}
    smeared = {name: m for name, m in masks.items() if _is_smeared(m)}
    clean = {name: m for name, m in masks.items() if name not in jpegs and name not in smeared}
    meaning = (by_file if (root / "classes.json").is_file() else by_values)(clean, root)
    if smeared:
        if not clean:  # what they will be once they are cut
            two_values = MaskCoding(named_classes(2), (0, 255), (), cut=True)
            meaning = replace(meaning, coding=two_values, masks=smeared)
        meaning = replace(meaning, findings=(_smeared_finding(smeared), *meaning.findings))
    if jpegs:
        together = {**meaning.masks, **jpegs}
        coding = decide(together, root)
        clear = coding is not None and not any(_holds_more_than_two(m) for m in jpegs.values())
        if coding is not None:
            meaning = replace(meaning, coding=coding, masks=together)
        meaning = replace(meaning, findings=(_jpeg_finding(jpegs, clear=clear), *meaning.findings))
    return meaning


def _is_smeared(mask: MaskFacts) -> bool:
    """Whether a mask of two values, or of few colours, was smoothed or compressed since it was drawn."""
    total = sum(mask.counts)
    if mask.kind == JPEG:
        return False
    if mask.kind == COLORS:
        common = sum(n for n in mask.counts if n >= COMMON_COLOR * total)
        return mask.distinct > MAX_CLASSES and common >= SMEARED_SHARE * total
    between = any(NEAR < v < 255 - NEAR for v in mask.values)
    return (
        between
        and mask.distinct >= SMEARED_FROM
        and mask.values[-1] <= 255
        and _two_valued_share(mask) >= SMEARED_SHARE
    )


def _holds_more_than_two(mask: MaskFacts) -> bool:
    return mask.colored or _two_valued_share(mask) < SMEARED_SHARE


def _two_valued_share(mask: MaskFacts) -> float:
    near = sum(n for v, n in zip(mask.values, mask.counts, strict=True) if v <= NEAR or v >= 255 - NEAR)
    return near / max(sum(mask.counts), 1)


def _smeared_finding(masks: Masks) -> Finding:
    return Finding(
        "smeared-masks", "error",
        "A mask holds values between its classes: its outlines were smoothed, or it was once a JPEG.",
        "Save it again with one value a class (two classes: cut at 128), scaled by nearest neighbour if at all.",
        tuple(values_case(name, m) for name, m in masks.items()),
    )  # fmt: skip


def _jpeg_finding(masks: Masks, *, clear: bool) -> Finding:
    if clear:
        return Finding(
            "jpeg-masks", "warning", "A mask is a JPEG, which blurs its values; all masks are cut at 128.",
            "Save masks as PNG.", tuple(Case((name,)) for name in masks),
        )  # fmt: skip
    return Finding(
        "jpeg-masks", "error", "A mask is a JPEG, which keeps two classes apart at best, and here there is more.",
        "Save masks as PNG, from where they came: what a JPEG has lost does not come back.",
        tuple(Case((name,), "colours" if m.colored else "") for name, m in masks.items()),
    )  # fmt: skip
