"""Mask values where a classes.json says what they mean: what it does not list, and what it ignores by mistake."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from segtool.card import ClassInfo
from segtool.data.classes import MaskCoding, class_color, decide_coding, read_classes_file
from segtool.data.facts import COLORS, MaskFacts
from segtool.data.meaning import RARE, Masks, Meaning, mixed_finding, stray_finding, without
from segtool.data.proposals import MAX_CLASSES, classes_json, pack, unpack
from segtool.errors import DataError
from segtool.results import Case, Finding

Classes = tuple[ClassInfo, ...]


def by_file(masks: Masks, root: Path) -> Meaning:
    """Returns what the classes.json of `root` makes of masks that are no JPEGs."""
    path = root / "classes.json"
    try:
        classes, ignore = read_classes_file(path)
        colored = [name for name, m in masks.items() if m.kind == COLORS]
        if colored and 2 * len(colored) >= len(masks):
            return _by_color(masks, root, classes, ignore)
        return _by_id(masks, root, classes, ignore, colored)
    except DataError as error:
        advice = "Correct the file; training stops at it."
        return Meaning(None, masks, (Finding("classes-json", "error", str(error), advice, (Case((path.name,)),)),))


def _by_id(masks: Masks, root: Path, classes: Classes, ignore: int | None, colored: list[str]) -> Meaning:
    findings = []
    if colored:
        findings.append(mixed_finding(masks, colored, "A mask of colours among masks of class ids."))
        masks = without(masks, colored)
    known = {c.id for c in classes} | ({ignore} if ignore is not None else set())
    strays = {name: odd for name, m in masks.items() if (odd := [v for v in m.values if v not in known])}
    if strays:
        new = sorted({v for odd in strays.values() for v in odd if v <= 255})
        more = tuple(ClassInfo(v, f"class {v}", class_color(v)) for v in new)
        meant = len(strays) > max(1, RARE * len(masks)) and 0 < len(new) <= MAX_CLASSES - len(classes)
        paste = classes_json((*classes, *more), ignore) if meant else ""
        findings.append(stray_finding(masks, strays, _listed(c.id for c in classes), paste=paste))
        masks = without(masks, strays)
    held = {v for m in masks.values() for v in m.values}
    if ignore in held and not held & {c.id for c in classes[1:]}:
        findings.append(_all_ignored(masks, classes, ignore))
    coding = decide_coding(held, root=root, any_jpeg=False, colors=())
    return Meaning(coding, masks, tuple(findings))


def _by_color(masks: Masks, root: Path, classes: Classes, ignore: int | None) -> Meaning:
    known = {pack(c.color) for c in classes}
    strays = {name: odd for name, m in masks.items() if (odd := [v for v in m.values if as_color(m, v) not in known])}
    if not strays:
        return Meaning(_decide_colors(root, classes), masks)
    new = dict.fromkeys(as_color(masks[name], v) for name, odd in strays.items() for v in odd)
    free = (i for i in range(256) if i != ignore and i not in {c.id for c in classes})
    more = tuple(ClassInfo(i, f"class {i}", unpack(v)) for i, v in zip(free, new, strict=False))
    meant = len(strays) > max(1, RARE * len(masks)) and len(new) <= MAX_CLASSES - len(classes)
    paste = classes_json((*classes, *more), ignore) if meant else ""
    known_colors = _listed(f"#{pack(c.color):06x}" for c in classes)
    finding = stray_finding(masks, strays, known_colors, paste=paste)
    return Meaning(_decide_colors(root, classes), without(masks, strays), (finding,))


def as_color(mask: MaskFacts, value: int) -> int:
    """Returns a value of a mask as a packed colour: a grey level is the colour of three equal channels."""
    return value if mask.kind == COLORS else value * 0x010101


def _decide_colors(root: Path, classes: Classes) -> MaskCoding:
    return decide_coding((), root=root, any_jpeg=False, colors=[pack(c.color) for c in classes])


def _all_ignored(masks: Masks, classes: Classes, ignore: int) -> Finding:
    advice, paste = "See what it stands for, and correct the masks or classes.json.", ""
    if len(classes) == 2:
        swapped = classes[0], replace(classes[1], id=ignore)
        advice, paste = f"If {ignore} is {classes[1].name}, write into classes.json:", classes_json(swapped, None)
    what = f"No mask holds any class but {classes[0].name}: all else is {ignore}, which classes.json ignores."
    cases = tuple(Case((name,)) for name, m in masks.items() if ignore in m.values)
    return Finding("all-ignored", "error", what, advice, cases, paste)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
