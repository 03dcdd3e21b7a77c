"""What mask values mean as far as it is known, and the words in which masks that do not fit are told of."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segtool.data.classes import MaskCoding, decide_coding
from segtool.data.facts import COLORS, JPEG, MaskFacts
from segtool.errors import DataError
from segtool.results import Case, Finding

RARE = 0.05  # share of the masks up to which a value that goes with no other is taken for a slip
LISTED = 6  # values told of one mask

Masks = Mapping[str, MaskFacts]  # by the name they have in a finding


@dataclass(frozen=True)
class Meaning:
    """What mask values mean, or None; the masks that go by that meaning; and what was found on the way."""

    coding: MaskCoding | None
    masks: Masks
    findings: tuple[Finding, ...] = ()


def decide(masks: Masks, root: Path) -> MaskCoding | None:
    """Returns what `decide_coding` says of masks, or None where it raises."""
    grey = {v for m in masks.values() if m.kind not in (JPEG, COLORS) for v in m.values}
    colors = {v for m in masks.values() if m.kind == COLORS for v in m.values}
    any_jpeg = any(m.kind == JPEG for m in masks.values())
    try:
        return decide_coding(grey, root=root, any_jpeg=any_jpeg, colors=colors)
    except DataError:
        return None


def without(masks: Masks, names: Collection[str]) -> Masks:
    """Returns `masks` less some of them."""
    return {name: m for name, m in masks.items() if name not in names}


def values_case(name: str, mask: MaskFacts, which: Iterable[int] | None = None) -> Case:
    """Returns a case that lists the first values of a mask, or those of `which` with the number of their pixels."""
    counts = dict(zip(mask.values, mask.counts, strict=True))
    chosen = mask.values if which is None else sorted(which)
    more = (mask.distinct if which is None else len(chosen)) - LISTED
    texts = [f"#{v:06x}" if mask.kind == COLORS else str(v) for v in chosen[:LISTED]]
    if which is not None:
        texts = [f"{text} ({counts[v]} px)" for text, v in zip(texts, chosen, strict=False)]
    return Case((name,), ", ".join(texts) + (f" and {more} more" if more > 0 else ""))


def stray_finding(masks: Masks, strays: Mapping[str, Collection[int]], known: str, *, paste: str = "") -> Finding:
    """Returns the finding of values that are no class: `strays` by mask, `known` the values that are."""
    return Finding(
        "ids-out-of-range", "error", f"A mask holds values that are no class ({known} are).",
        "Correct the mask" + (", or write them into classes.json:" if paste else "."),
        tuple(values_case(name, masks[name], which) for name, which in strays.items()), paste,
    )  # fmt: skip


def mixed_finding(masks: Masks, odd: Collection[str], what: str) -> Finding:
    """Returns the finding of masks that are drawn in another way than most."""
    return Finding(
        "mixed-masks", "error", what, "Save them again as PNGs of the values that the others hold.",
        tuple(values_case(name, masks[name]) for name in odd),
    )  # fmt: skip
