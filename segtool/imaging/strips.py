"""Pictures too large to hold, handed out by rows: TIFFs, whose strips or tiles can be decoded one by one.

Pillow decodes a TIFF whole or not at all. So each piece is wrapped as a small TIFF of its own, which every
compression that Pillow knows allows, and no decoder is written here.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from segtool.errors import ImageError
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Rows

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags by their names in TIFF 6.0.
WIDTH, LENGTH, BITS, COMPRESSION, STRIP_OFFSETS, ORIENTATION = 256, 257, 258, 259, 273, 274
ROWS_PER_STRIP, STRIP_BYTES, PLANAR, EXTRA_SAMPLES, ICC_PROFILE = 278, 279, 284, 338, 34675
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
# What a piece is decoded by: also photometry, fill order, samples a pixel, predictor, and what JPEG has for all pieces.
DECODING = (BITS, COMPRESSION, 262, 266, 277, PLANAR, 317, 347, 530, 532)
RAW = 1
COMPRESSIONS = (RAW, 5, 7, 8, 32773, 32946, 50000)  # LZW, JPEG, deflate, PackBits, deflate as it was called, Zstandard
RAW_PIECE = 1 << 24  # bytes: a picture stored raw may be one strip, but can be cut at any row


@dataclass(frozen=True)
class _Layout:
    """Where the pieces of `length` × `width` pixels lie in a file: row by row of the picture, `across` to a row."""

    size: tuple[int, int]
    length: int
    width: int
    padded: bool  # tiles are whole at the edges, strips are not
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def across(self) -> int:
        return -(-self.size[1] // self.width)


def strip_reader(path: Path) -> tuple[tuple[int, int], Rows] | None:
    """Returns `(H, W)` of the picture at `path` and what hands out its rows, equal to those of `read_image`; None where
    that needs the whole picture: for all but TIFFs of 8-bit grey or RGB that stand upright and carry no colour profile.

    Two rows of pieces are held, so ask from top to bottom. The rows raise ImageError where the file is damaged.
    """
    with path.open("rb") as file:
        if file.read(4) not in STARTS:
            return None
        file.seek(0)
        try:
            image = TiffImageFile(file)  # not Image.open, which refuses large pictures: no pixel is decoded yet
            tags = {tag: image.tag_v2[tag] for tag in image.tag_v2}
            layout = _layout(tags, channels={"L": 1, "RGB": 3}[image.mode])
        except Exception:  # not for us or damaged: whoever reads it whole will say
            return None
    if layout is None:
        return None

    @lru_cache(maxsize=2)  # two meet in one request, and in the next
    def row_of_pieces(index: int) -> Pixels:
        try:
            with path.open("rb") as file:
                pieces = [_decoded(file, tags, layout, index * layout.across + i) for i in range(layout.across)]
        except Exception as error:  # as in codec: decoders let nearly anything out
            raise ImageError(f"{path} cannot be decoded ({error or type(error).__name__}).") from error
        return np.concatenate(pieces, axis=1)[:, : layout.size[1]]

    def rows(top: int, bottom: int) -> Pixels:
        length = layout.length
        held = range(top // length, -(-bottom // length))
        return np.concatenate([row_of_pieces(i)[max(0, top - i * length) : bottom - i * length] for i in held])

    return layout.size, rows


def _layout(tags: dict[int, Any], *, channels: int) -> _Layout | None:
    height, width = int(tags[LENGTH]), int(tags[WIDTH])
    plain = (
        all(bits == 8 for bits in tags[BITS]) and tags.get(COMPRESSION, RAW) in COMPRESSIONS
        and tags.get(PLANAR, 1) == 1 and tags.get(ORIENTATION, 1) == 1
        and EXTRA_SAMPLES not in tags and ICC_PROFILE not in tags
    )  # fmt: skip
    if not plain:
        return None
    if TILE_OFFSETS in tags:
        return _Layout((height, width), tags[TILE_LENGTH], tags[TILE_WIDTH], True, tags[TILE_OFFSETS], tags[TILE_BYTES])
    length, offsets, counts = min(tags.get(ROWS_PER_STRIP, height), height), tags[STRIP_OFFSETS], tags[STRIP_BYTES]
    if tags.get(COMPRESSION, RAW) == RAW and len(offsets) == 1:
        row = width * channels
        length = max(1, min(height, RAW_PIECE // row))
        offsets = tuple(offsets[0] + top * row for top in range(0, height, length))
        counts = tuple(min(length, height - top) * row for top in range(0, height, length))
    return _Layout((height, width), length, width, False, offsets, counts)


def _decoded(file: IO[bytes], tags: dict[int, Any], layout: _Layout, index: int) -> Pixels:
    left = layout.size[0] - index // layout.across * layout.length
    directory = ImageFileDirectory_v2()
    for tag in DECODING:
        if tag in tags:
            directory[tag] = tags[tag]
    directory[WIDTH] = layout.width
    directory[LENGTH] = directory[ROWS_PER_STRIP] = layout.length if layout.padded else min(layout.length, left)
    directory[STRIP_OFFSETS] = 0  # counted from the end of the directory, where Pillow expects the pixels to be put
    directory[STRIP_BYTES] = layout.counts[index]
    small = io.BytesIO()
    directory.save(small)
    file.seek(layout.offsets[index])
    small.write(file.read(layout.counts[index]))
    small.seek(0)
    return np.asarray(TiffImageFile(small).convert("RGB"))
