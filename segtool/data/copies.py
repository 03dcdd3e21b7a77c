"""Pictures that are there twice: within a split, where they count double, and across splits, where they leak."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from segtool.data.facts import Look, file_digest, relative
from segtool.data.likeness import SIDE, Copy, find_copies
from segtool.errors import ImageError
from segtool.imaging.masks import read_raw_mask
from segtool.results import Case, Finding

MAX_DISAGREEMENT = 0.05  # of the pixels; two people who draw the same outline differ in 1 to 3 %
MOVE = (
    "Keep each in one split only, by folders train/ and val/ if there are none yet; "
    "else val scores say how well train was learned by heart."
)


def copy_findings(looks: Sequence[Look], root: Path) -> Iterator[Finding]:
    """Yields the images that are the same, byte by byte or to the eye, and masks that are given to two images."""
    seen = [look for look in looks if not look.image.error]
    same = _groups(seen, [look.image.digest for look in seen])
    yield from same_bytes_findings(same, root)
    shown = [look for look in seen if look.image.thumbnail is not None]
    pixels = np.frombuffer(b"".join(look.image.thumbnail or b"" for look in shown), np.uint8).reshape(-1, SIDE, SIDE)
    alike = [(shown[c.first], shown[c.second], c) for c in find_copies(pixels)]
    alike = [(a, b, c) for a, b, c in alike if a.image.digest != b.image.digest]
    yield from _near_findings(alike, root)
    copies = {frozenset((id(a), id(b))) for a, b, _ in alike}
    copies |= {frozenset((id(a), id(b))) for group in same for a, b in combinations(group, 2)}
    yield from _same_mask(looks, copies, root)


def same_bytes_findings(groups: Iterable[Sequence[Look]], root: Path) -> Iterator[Finding]:
    """Yields what groups of pairs whose images are equal byte by byte mean."""
    leaks, twice, contradicting = [], [], []
    for group in groups:
        files = relative(root, *(look.pair.image for look in group))
        if len({look.split for look in group}) > 1:
            leaks.append(Case(files, ", ".join([*_splits(group), "same bytes"])))
            continue
        differing = _disagreement([look.pair.mask for look in group])
        if differing > MAX_DISAGREEMENT:
            masks = relative(root, *(look.pair.mask for look in group))
            contradicting.append(Case((*files, *masks), f"masks differ in {differing:.0%} of the pixels"))
        else:
            twice.append(Case(files, f"masks differ in {differing:.1%} of the pixels" if differing else "same mask"))
    if leaks:
        yield Finding("leakage-same-bytes", "error", "The same image is in more than one split.", MOVE, tuple(leaks))
    if contradicting:
        yield Finding(
            "duplicates-disagree", "error", "The same image is there more than once, with masks that differ.",
            "Keep the pair whose mask is right.", tuple(contradicting),
        )  # fmt: skip
    if twice:
        yield Finding(
            "duplicate-images", "warning", "The same image is there more than once in a split, and counts as often.",
            "Keep one of each.", tuple(twice),
        )  # fmt: skip


def same_bytes(looks: Sequence[Look]) -> list[list[Look]]:
    """Returns the groups of pairs whose images are equal byte by byte; only files of equal length are read."""
    sizes = [_length(look.pair.image) for look in looks]
    suspects = [look for group in _groups(looks, [b"%d" % s if s else b"" for s in sizes]) for look in group]
    return _groups(suspects, [_digest(look.pair.image) for look in suspects])


def _near_findings(alike: Sequence[tuple[Look, Look, Copy]], root: Path) -> Iterator[Finding]:
    across: list[Case] = []
    within: list[Case] = []
    for first, second, copy in alike:
        case = Case(relative(root, first.pair.image, second.pair.image), _detail(first, second, copy))
        (within if first.split == second.split else across).append(case)
    if across:
        yield Finding("leakage-near", "error", "Images in different splits show the same picture.", MOVE, tuple(across))
    if within:
        yield Finding(
            "near-duplicates", "note", "Images of one split show nearly the same: copies, a series, or a film.",
            "Nothing needs to be done; the set holds less than its number of pictures says.", tuple(within),
        )  # fmt: skip


def _detail(first: Look, second: Look, copy: Copy) -> str:
    sizes = {(look.image.width, look.image.height) for look in (first, second)}
    words = _splits((first, second)) if first.split != second.split else []
    words += ["mirrored"] if copy.mirrored else []
    words += ["another size"] if len(sizes) > 1 else []
    return ", ".join([*words, f"{copy.correlation:.0%} alike"])


def _splits(looks: Sequence[Look]) -> list[str]:
    """Returns the words that say in which splits pictures are, where their folders do not."""
    told = all(look.split in look.pair.image.parts for look in looks)
    return [] if told else [" and ".join(dict.fromkeys(f"in {look.split}" for look in looks))]


def _same_mask(looks: Sequence[Look], copies: set[frozenset[int]], root: Path) -> Iterator[Finding]:
    """Yields masks of more than one value that two images share which are no copies: one was saved under both names."""
    drawn = [look for look in looks if len(look.mask.values) > 1]
    cases = []
    for group in _groups(drawn, [look.mask.digest for look in drawn]):
        if any(frozenset((id(a), id(b))) not in copies for a, b in combinations(group, 2)):
            cases.append(Case(relative(root, *(look.pair.mask for look in group)), "same bytes"))
    if cases:
        yield Finding(
            "same-mask", "warning", "Images that differ have one and the same mask.",
            "See whether one of them got the other's by mistake.", tuple(cases),
        )  # fmt: skip


def _groups(looks: Sequence[Look], keys: Sequence[bytes]) -> list[list[Look]]:
    """Returns the looks of equal key that are not alone, in order; an empty key groups nothing."""
    by_key: dict[bytes, list[Look]] = {}
    for look, key in zip(looks, keys, strict=True):
        if key:
            by_key.setdefault(key, []).append(look)
    return [group for group in by_key.values() if len(group) > 1]


def _disagreement(paths: Sequence[Path]) -> float:
    """Returns in what share of the pixels a mask differs from the first, at most; 0 where that cannot be said."""
    try:
        if len({file_digest(path) for path in paths}) == 1:
            return 0  # as most are; decoding takes far longer
        first, *others = (read_raw_mask(path) for path in paths)
    except ImageError:
        return 0
    return max(float((first != m).mean()) if m.shape == first.shape else 1.0 for m in others)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # named as unreadable


def _digest(path: Path) -> bytes:
    try:
        return file_digest(path)
    except ImageError:
        return b""
