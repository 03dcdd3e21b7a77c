"""What a dataset is made of, in the numbers that settings are chosen by: sizes, class shares, colour, a digest."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median_low
from typing import TypeVar

import numpy as np
from PIL import Image

from segtool.data.classes import MaskCoding
from segtool.data.layout import Pair
from segtool.data.sets import Sets
from segtool.data.truth import read_mask
from segtool.errors import SegtoolError
from segtool.imaging.codec import read_image
from segtool.settings import Fingerprint

MASKS, PICTURES = 400, 16  # looked into for class shares and for colour
ONE_SIZE_SHARE = 0.9
GREY_TOLERANCE = 8  # what JPEG makes of grey

T = TypeVar("T")


def fingerprint(sets: Sets) -> Fingerprint:
    """Returns the numbers of the train pictures of all `sets`. Files that cannot be read are left out."""
    train, val = sets.split("train"), sets.split("val")
    codings = sets.coding_of
    with ThreadPoolExecutor() as pool:
        sizes = [size for size in pool.map(_size, train) if size]
        counts = list(pool.map(lambda pair: _counts(pair, codings[pair]), _spread(train, MASKS)))
        grey = [found for found in pool.map(_is_grey, _spread(train, PICTURES)) if found is not None]
        digest = _digest(pool.map(_pair_digest, [*train, *val]))
    long_sides = [max(size) for size in sizes] or [0]
    total = np.sum(counts, axis=0) if counts else np.zeros(len(sets.classes))
    [(_, commonest)] = Counter(sizes or [(0, 0)]).most_common(1)
    return Fingerprint(
        train=len(train),
        val=len(val),
        long_side=median_low(long_sides),
        smallest=min(long_sides),
        largest=max(long_sides),
        one_size=commonest >= ONE_SIZE_SHARE * len(sizes),
        grey=bool(grey) and all(grey),
        shares=tuple(round(float(share), 6) for share in total / max(total.sum(), 1)),
        digest=digest,
    )


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Returns up to `count` items, evenly spread: sets are laid end to end, and each is to be seen."""
    step = max(len(items) / count, 1)
    return [items[int(i * step)] for i in range(min(count, len(items)))]


def _size(pair: Pair) -> tuple[int, int] | None:
    try:
        with Image.open(pair.image) as image:  # reads the header alone
            return image.size
    except Exception:  # Pillow lets nearly anything out; whoever reads the picture tells why
        return None


def _counts(pair: Pair, coding: MaskCoding) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    classes = len(coding.classes)
    try:
        mask = read_mask(pair.mask, coding)
    except SegtoolError:
        return np.zeros(classes, np.int64)
    return np.bincount(mask[mask < classes], minlength=classes).astype(np.int64)


def _is_grey(pair: Pair) -> bool | None:
    try:
        image = read_image(pair.image)[::4, ::4].astype(np.int16)
    except SegtoolError:
        return None
    return bool(np.abs(image - image[..., :1]).max() <= GREY_TOLERANCE)


def _pair_digest(pair: Pair) -> bytes:
    digest = hashlib.sha256(pair.name.encode(errors="surrogateescape"))
    for path in (pair.image, pair.mask):
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:
            digest.update(b"unreadable")
    return digest.digest()


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
