"""True masks: what their values mean over the whole dataset, and the class indices of one of them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from segtool.card import IGNORE_ID
from segtool.data.classes import MaskCoding, decide_coding
from segtool.data.layout import Pair
from segtool.errors import DataError, ImageError
from segtool.imaging.codec import JPEG_SUFFIXES, Pixels, SizeOf, read_resized
from segtool.imaging.masks import read_raw_mask, resize_mask

ASPECT_TOLERANCE = 0.01


def read_mask(path: Path, coding: MaskCoding) -> Pixels:
    """Returns the mask at `path` as `(H, W)` uint8 class indices, 255 where ignored.

    Raises ImageError when it cannot be read, DataError when it holds a value the coding does not know.
    """
    raw = read_raw_mask(path)
    if coding.cut:
        return (raw >= 128).astype(np.uint8)
    if coding.by_color and raw.dtype != np.int32:
        raw = raw.astype(np.int32) * 0x010101  # a mask that happens to be all grey
    # One comparison a class beats np.unique (which sorts) and a table of 2**24 colours.
    indices = np.full(raw.shape, IGNORE_ID, np.uint8)
    known = np.isin(raw, coding.ignore_values)
    for index, value in enumerate(coding.values):
        here = raw == value
        indices[here] = index
        known |= here
    if not known.all():
        raise DataError(f"{path} holds mask value {raw[~known][0]}, which {coding.describe()} does not explain.")
    return indices


def read_pair(pair: Pair, coding: MaskCoding, size_of: SizeOf) -> tuple[Pixels, Pixels]:
    """Returns the image `(h, w, 3)` in the size that `size_of` gives for its own, and the class indices `(h, w)` of its
    mask.

    Raises ImageError or DataError when one cannot be read, or when they differ in shape by more than scale.
    """
    image, size = read_resized(pair.image, size_of)
    return image, resize_mask(read_truth(pair, coding, size), *image.shape[:2])


def read_truth(pair: Pair, coding: MaskCoding, image_size: tuple[int, ...]) -> Pixels:
    """Returns the class indices of a pair's mask at its own size, `image_size` being `(height, width)` of the image.

    Raises ImageError or DataError when it cannot be read, or when they differ in shape by more than scale.
    """
    mask = read_mask(pair.mask, coding)
    height, width = image_size
    ratio = (mask.shape[0] * width) / (mask.shape[1] * height)
    if mask.shape != (height, width) and abs(ratio - 1) > ASPECT_TOLERANCE:
        raise DataError(
            f"{pair.mask} is {mask.shape[1]}×{mask.shape[0]} but its image is {width}×{height}: "
            "the shapes differ by more than 1 %, so they are no pair."
        )
    return mask


def inspect_masks(paths: Iterable[Path], *, root: Path, class_names: Sequence[str] = ()) -> MaskCoding:
    """Reads every mask once and returns what their values mean. Raises DataError when the rules do not settle it."""
    values: set[int] = set()
    colors: set[int] = set()
    any_jpeg = False
    with ThreadPoolExecutor() as pool:
        for path, found, colored in pool.map(_stored_values, paths):
            if path.suffix.lower() in JPEG_SUFFIXES:
                any_jpeg = True  # its values are what compression made of them
            else:
                (colors if colored else values).update(found)
    return decide_coding(values, root=root, any_jpeg=any_jpeg, colors=colors, names=class_names)


def _stored_values(path: Path) -> tuple[Path, list[int], bool]:
    try:
        raw = read_raw_mask(path)
    except ImageError:
        return path, [], False  # named by whoever reads the pair; one bad file does not settle what masks mean
    if raw.dtype == np.int32:
        return path, [int(v) for v in np.unique(raw)[:1000]], True
    return path, [int(v) for v in np.flatnonzero(np.bincount(raw.ravel()))], False
