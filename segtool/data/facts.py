"""What is kept of an image and of a mask once it was looked at: sizes, hashes and counts, never the pixels."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from segtool.data.layout import Pair
from segtool.data.likeness import SIDE, thumbnail
from segtool.errors import ImageError
from segtool.imaging.codec import JPEG_SUFFIXES, Pixels, open_upright, read_image
from segtool.imaging.masks import read_raw_mask, resize_mask
from segtool.settings import LARGEST_CPU

ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
SIDEWAYS = range(5, 9)  # its values that exchange width and height
GREY_SPREAD = 3  # levels between the channels of a thumbnail up to which it has no colour
MAX_VALUES = 256  # kept of one mask, the commonest: masks with more are photos
MAX_OBJECT_CLASSES = 32  # beyond, values number objects rather than classes
LARGE = 0.1  # share of a picture from which a class is taken for one area
COLORED = 0x40  # difference of the channels in a JPEG mask that compression alone does not make
IDS, COLORS, JPEG = "ids", "colors", "jpeg"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image: its size in display orientation, the EXIF orientation, a hash of its bytes.

    `grey` and `thumbnail` (`SIDE × SIDE` bytes) are None where nothing was decoded. With `error` all else is void.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    digest: bytes = b""
    grey: bool | None = None
    thumbnail: bytes | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """A mask: its size in display orientation, and which values it holds how often.

    `kind` says what values are: ids (grey or palette), colors (packed RGB), jpeg (grey, and what compression made of
    it; `colored` where that was once colours) or "" where nothing was decoded. `distinct` counts the values before
    those beyond `MAX_VALUES` are dropped. `pieces[i]` is how many connected areas `values[i]` has in the mask as a
    network of the default size sees it, and `largest[i]` the pixels of the largest; both empty where not counted.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    digest: bytes = b""
    kind: str = ""
    values: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    distinct: int = 0
    colored: bool = False
    pieces: tuple[int, ...] = ()
    largest: tuple[int, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """A pair and what was seen of it."""

    split: str
    pair: Pair
    image: ImageFacts
    mask: MaskFacts


def relative(root: Path, *paths: Path) -> tuple[str, ...]:
    """Returns what files are called in a finding: their paths below the dataset."""
    return tuple(path.relative_to(root).as_posix() for path in paths)


def look_at_image(path: Path, *, decode: bool) -> ImageFacts:
    """Returns what is known of the image at `path`; without `decode` only what its header says."""
    try:
        width, height, orientation = _header(path)
        if not decode:
            return ImageFacts(width, height, orientation)
        digest = file_digest(path)
        small = _reduced_jpeg(path)
        if small is None:
            small = read_image(path)
            height, width = small.shape[:2]
    except ImageError as error:
        return ImageFacts(error=_reason(path, error))
    colors = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = int(np.ptp(colors, axis=2).max()) <= GREY_SPREAD
    return ImageFacts(width, height, orientation, digest, grey, thumbnail(small).tobytes())


def look_at_mask(path: Path, *, decode: bool) -> MaskFacts:
    """Returns what is known of the mask at `path`; without `decode` only what its header says."""
    try:
        width, height, orientation = _header(path)
        if not decode:
            return MaskFacts(width, height, orientation)
        digest, raw = file_digest(path), read_raw_mask(path)
        jpeg = path.suffix.lower() in JPEG_SUFFIXES
        colored = jpeg and _is_colored(path)
    except ImageError as error:
        return MaskFacts(error=_reason(path, error))
    height, width = raw.shape
    values, counts = count_values(raw)
    kind = JPEG if jpeg else COLORS if raw.dtype == np.int32 else IDS
    common = np.sort(np.argsort(-counts, kind="stable")[:MAX_VALUES])
    kept = tuple(int(v) for v in values[common])
    countable = kind == IDS and raw.dtype == np.uint8 and len(values) <= MAX_OBJECT_CLASSES
    pieces, largest = _objects(np.asarray(raw, np.uint8), kept) if countable else ((), ())
    return MaskFacts(
        width, height, orientation, digest, kind, kept, tuple(int(c) for c in counts[common]), len(values), colored,
        pieces, largest,
    )  # fmt: skip


def count_values(raw: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the values of an array, sorted, and how often each occurs."""
    flat = raw.ravel()
    # Masks are long runs of one value: counting runs sorts thousands of numbers in place of millions.
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    lengths = np.diff(np.append(starts, len(flat)))
    values, which = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(which.ravel(), weights=lengths)  # doubles hold every count below 2**53
    return values.astype(np.int64), counts.astype(np.int64)


def file_digest(path: Path) -> bytes:
    """Returns a hash of the bytes of a file. Raises ImageError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError as error:
        raise ImageError(f"{path} cannot be read ({error.strerror}).") from error


def _header(path: Path) -> tuple[int, int, int]:
    """Returns width and height in display orientation, and the EXIF orientation."""
    try:
        with path.open("rb") as file, Image.open(file) as image:
            # Pillow decodes a whole PNG to look for EXIF behind the pixels.
            told = image.format != "PNG" or "exif" in image.info
            orientation = int(image.getexif().get(ORIENTATION, 1)) if told else 1
            # Of a TIFF Pillow gives the size as it will be once it is turned.
            turned = orientation in SIDEWAYS and image.format != "TIFF"
            width, height = image.size[::-1] if turned else image.size
    except Exception:  # whatever it was, the one door explains it
        return *open_upright(path).size, 1
    return width, height, orientation if 1 <= orientation <= 8 else 1


def _reduced_jpeg(path: Path) -> Pixels | None:
    """Returns a JPEG as RGB at a size that suffices for a thumbnail, an eighth of the work; None for anything else."""
    if path.suffix.lower() not in JPEG_SUFFIXES:
        return None
    try:
        with path.open("rb") as file, Image.open(file) as image:
            if image.format not in ("JPEG", "MPO") or image.mode not in ("L", "RGB"):
                return None
            image.draft(image.mode, (2 * SIDE, 2 * SIDE))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception:  # the full decoding that follows says what is wrong with it
        return None


def _is_colored(path: Path) -> bool:
    channels = read_image(path)
    return bool((np.ptp(channels, axis=2) >= COLORED).mean() > 0.01)


def _objects(mask: Pixels, values: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns how many connected areas each value has at network size, and the pixels of the largest."""
    scale = min(1.0, LARGEST_CPU / max(mask.shape))
    small = resize_mask(mask, *(max(1, round(side * scale)) for side in mask.shape))
    found = [_areas(small == v) for v in values]
    return tuple(len(areas) for areas in found), tuple(max(areas, default=0) for areas in found)


def _areas(here: npt.NDArray[np.bool_]) -> list[int]:
    total = int(np.count_nonzero(here))
    if not total or total > LARGE * here.size:
        return [total] if total else []  # to count the areas of backgrounds would take most of the time
    rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
    part = here[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    stats = cv2.connectedComponentsWithStats(part)[2]
    return [int(area) for area in stats[1:, cv2.CC_STAT_AREA]]


def _reason(path: Path, error: ImageError) -> str:
    return str(error).replace(f"{path} ", "", 1)
