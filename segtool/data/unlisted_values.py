"""Mask values where there is no classes.json: what they seem to mean, and the file that would say so."""

from collections import Counter
from pathlib import Path

from segtool.card import IGNORE_ID
from segtool.data.classes import MAX_PLAIN_ID, MaskCoding
from segtool.data.facts import COLORS
from segtool.data.listed_values import as_color
from segtool.data.meaning import RARE, Masks, Meaning, decide, mixed_finding, stray_finding, values_case, without
from segtool.data.proposals import MAX_CLASSES, classes_json, classes_of_colors, classes_of_values, pack
from segtool.results import Finding

TOGETHER = 0.1  # share of masks with ids that hold 255 too, below which 255 is a class in some and not an ignore id
INSTANCES_FROM = 8  # objects numbered in one mask, where the masks all count from 1
PIECES = 1.3  # connected areas a value, up to which values number single objects


def by_values(masks: Masks, root: Path) -> Meaning:
    """Returns what masks that are no JPEGs mean by their values alone."""
    colored = [name for name, m in masks.items() if m.kind == COLORS]
    if colored and 2 * len(colored) >= len(masks):
        return _by_color(masks)
    findings = []
    if colored:
        findings.append(mixed_finding(masks, colored, "A mask of colours among masks of class ids."))
        masks = without(masks, colored)
    if _number_objects(masks):
        return Meaning(None, {}, (*findings, _instances_finding(masks)))
    common, strays = _strays(masks, root)
    if strays:
        findings.append(stray_finding(masks, strays, ", ".join(map(str, sorted(common)))))
        masks = without(masks, strays)
    if odd := _other_foreground(masks):
        what = "A mask of 0 and 255 among masks of class ids: its 255 is taken for ignored."
        if 255 not in {v for name in odd for v in masks[name].values}:
            what = "A mask of class ids among masks of 0 and 255: the others' 255 is taken for ignored."
        findings.append(mixed_finding(masks, odd, what))
        masks = without(masks, odd)
    coding = decide(masks, root)
    if coding is None:
        meaning = _by_level(masks)
        return Meaning(meaning.coding, meaning.masks, (*findings, *meaning.findings))
    return Meaning(
        coding, masks, (*findings, _unnamed(coding)) if any(m.values[-1] for m in masks.values()) else tuple(findings)
    )


def _by_color(masks: Masks) -> Meaning:
    pixels: Counter[int] = Counter()
    for mask in masks.values():
        pixels.update({as_color(mask, v): n for v, n in zip(mask.values, mask.counts, strict=True)})
    cases = tuple(values_case(name, m) for name, m in masks.items())
    if len(pixels) > MAX_CLASSES:
        what = f"Masks hold {len(pixels)} colours or more: too many for classes."
        advice = "See whether these are masks; if they are, save each class in one colour and write a classes.json."
        return Meaning(None, {}, (Finding("mask-colors", "error", what, advice, cases),))
    classes = classes_of_colors([color for color, _ in pixels.most_common()])
    what = f"Masks hold {len(classes)} colours, and nothing says what they mean."
    finding = Finding(
        "mask-colors",
        "error",
        what,
        "Name the classes, and save this as classes.json:",
        cases,
        classes_json(classes, None),
    )
    coding = MaskCoding(classes, tuple(pack(c.color) for c in classes), (), by_color=True)
    return Meaning(coding, masks, (finding,))


def _by_level(masks: Masks) -> Meaning:
    levels = sorted({v for m in masks.values() for v in m.values})
    cases = tuple(values_case(name, m) for name, m in masks.items())
    if len(levels) > MAX_CLASSES or levels[-1] > 255:
        what = f"Masks hold {len(levels)} values or more, up to {levels[-1]}: no class ids."
        advice = "Save them as 8-bit PNGs whose values are class ids, counted from 0."
        return Meaning(None, {}, (Finding("mask-values", "error", what, advice, cases),))
    classes = classes_of_values(levels)
    what = f"Masks hold the values {', '.join(map(str, levels))}, and nothing says what they mean."
    finding = Finding(
        "mask-values",
        "error",
        what,
        "Name the classes, and save this as classes.json:",
        cases,
        classes_json(classes, None),
    )
    return Meaning(MaskCoding(classes, tuple(levels), ()), masks, (finding,))


def _strays(masks: Masks, root: Path) -> tuple[set[int], dict[str, list[int]]]:
    """Returns the values most masks hold, and by mask those that a few hold and that are no class beside them."""
    holders = Counter(v for m in masks.values() for v in m.values)
    limit = max(1, int(RARE * len(masks)))
    common = {v for v, n in holders.items() if n > limit}
    base = decide({name: m for name, m in masks.items() if common.issuperset(m.values)}, root)
    if base is None or not common - {0, IGNORE_ID if base.ignore_values else 0}:
        return common, {}
    highest = max(base.values)
    top = 2 * highest + 8 if highest <= MAX_PLAIN_ID else -1  # classes that are rare may leave gaps, but no wide ones
    odd = {v for v in holders if v not in common and v > min(top, MAX_PLAIN_ID) and (v != IGNORE_ID or top < 0)}
    odd -= set(base.values)
    strays = {name: [v for v in m.values if v in odd] for name, m in masks.items()}
    return common, {name: values for name, values in strays.items() if values}


def _other_foreground(masks: Masks) -> list[str]:
    """Returns the masks of the smaller kind, where some are 0 and 255 and others have ids and no 255."""
    ids = {name for name, m in masks.items() if any(0 < v <= MAX_PLAIN_ID for v in m.values)}
    two = {name for name, m in masks.items() if m.values == (0, IGNORE_ID)}
    both = sum(IGNORE_ID in masks[name].values for name in ids)
    if not ids or not two or both > TOGETHER * len(ids):
        return []
    return sorted(ids if len(ids) < len(two) else two)


def _number_objects(masks: Masks) -> bool:
    """Whether masks number objects in place of classes: each counts from 1 without gaps, to ends that differ."""
    filled = [m for m in masks.values() if m.values and m.values[-1]]
    ends = [m.distinct - (m.values[0] == 0) for m in filled]
    # The greatest of n different numbers from 1 up is n only where none is left out.
    gapless = sum(m.values[-1] <= end for end, m in zip(ends, filled, strict=True))
    if not filled or max(ends) < INSTANCES_FROM or len(set(ends)) < 4 or gapless < 0.9 * len(filled):
        return False
    pieces = [n for m in filled for v, n in zip(m.values, m.pieces, strict=False) if v]
    return sum(pieces) <= PIECES * len(pieces)


def _instances_finding(masks: Masks) -> Finding:
    return Finding(
        "instance-masks", "error", "Masks number their objects 1, 2, 3, …: every number would become a class.",
        "Save them again with one value a class, such as 255 for every object.",
        tuple(values_case(name, m) for name, m in masks.items()),
    )  # fmt: skip


def _unnamed(coding: MaskCoding) -> Finding:
    classes = [*coding.classes]
    if coding.binary:
        classes = list(classes_of_values(coding.values))
    ignore = coding.ignore_values[0] if coding.ignore_values else None
    return Finding(
        "unnamed-classes", "note", "There is no classes.json, so the classes have made-up names.",
        "To name them, save this as classes.json:", (), classes_json(classes, ignore),
    )  # fmt: skip
