"""Pixels to the bytes of PNG and JPEG files.

The PNGs are put together here, since no library at hand is fast at masks: rows that repeat the row above are all zeros
under the filter Up, which zlib-ng's run-length strategy is quick at. 12 megapixels on one thread, with sizes (as
tests/benchmarks/encoding.py): a mask of `person` 3.4 ms and 27 KB, where OpenCV takes 18 ms and 36 KB, Pillow 56 ms and
29 KB, zlib 18 ms and the same bytes; isal takes 2.6 ms and 79 KB. A soft mask 16 ms and 650 KB (OpenCV 37 ms, 1.0 MB).
Colours, on a busy machine: 0.38 to 0.70 of OpenCV's time, 0.81 to 1.0 of its bytes.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import cv2
import numpy as np
from zlib_ng import zlib_ng

from segtool.errors import ImageError
from segtool.imaging.codec import Pixels

JPEG_QUALITY = 92
JPEG_SIDE = 65_500  # of libjpeg
PNG_SIDE = 2**31 - 1
CHUNK = 1 << 30  # bytes of an IDAT, whose length is a signed number of 32 bits
STRIP = 1 << 18  # bytes filtered at a time: they stay in the processor's cache until they are deflated
PALETTE_COLOR = 3  # PNG's colour types
COLOR_TYPES = {1: 0, 3: 2, 4: 6}
UP = 2  # the filter of every row: its difference to the row above
MEMORY = 9  # of zlib: the most


def encode_jpeg(image: Pixels) -> bytes:
    """Returns `(H, W, 3)` uint8 RGB as a JPEG of quality 92. Raises ImageError beyond 65,500 pixels a side."""
    size = f"{image.shape[1]}×{image.shape[0]}"
    if max(image.shape) > JPEG_SIDE:
        raise ImageError(f"A picture of {size} is too large for a JPEG, whose sides end at {JPEG_SIDE:,} pixels.")
    with suppress(cv2.error):  # by version, a failure is raised or returned
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        ok, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if ok:
            return encoded.tobytes()
    raise ImageError(f"A picture of {size} cannot be encoded as .jpg.")


def encode_png(image: Pixels, *, values: Pixels | None = None) -> bytes:
    """Returns `(H, W)` grey, `(H, W, 3)` RGB or `(H, W, 4)` RGBA uint8, its alpha straight, as a PNG.

    With `values`, uint8, it is `values[image]` that is written: 256 of them, or two where the image holds only 0 and 1.
    Raises ImageError where there are no pixels.
    """
    return _png(image, COLOR_TYPES[image.shape[2] if image.ndim == 3 else 1], values, b"")


def encode_palette_png(
    indices: Pixels, palette: Sequence[tuple[int, int, int]], *, values: Pixels | None = None
) -> bytes:
    """Returns `(H, W)` uint8, or `values[indices]`, as a palette PNG of 8 bits whose index is the value."""
    # All 256 of them, or indices beyond the palette would make the file an invalid one.
    colors = bytes(channel for color in palette for channel in color).ljust(3 * 256, b"\0")
    return _png(indices, PALETTE_COLOR, values, _chunk(b"PLTE", colors))


def _png(image: Pixels, color_type: int, values: Pixels | None, extra: bytes) -> bytes:
    height, width = image.shape[:2]
    if not 0 < min(height, width) <= max(height, width) <= PNG_SIDE:
        raise ImageError(f"A picture of {width}×{height} cannot be encoded as .png.")
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0))
    # Colours too: looking for matches as well saved 7 % of 6 photos, and took twice as long on fine grain.
    deflate = zlib_ng.compressobj(1, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS, MEMORY, zlib_ng.Z_RLE)
    pieces = [deflate.compress(strip) for strip in _filtered(image, values)]
    content = b"".join([*pieces, deflate.flush()])
    data = [_chunk(b"IDAT", content[start : start + CHUNK]) for start in range(0, len(content), CHUNK)]
    return b"".join([b"\x89PNG\r\n\x1a\n", head, extra, *data, _chunk(b"IEND", b"")])


def _filtered(image: Pixels, values: Pixels | None) -> Iterator[Pixels]:
    """Yields the rows as a PNG holds them, strip by strip in one buffer, each row behind the name of its filter."""
    height, row = len(image), image[0].size
    count = max(1, min(height, STRIP // row))
    buffer = np.full((count, 1 + row), UP, np.uint8)
    above = np.zeros((1, row), np.uint8)
    # Bytes wrap around, so 255 times a difference is that difference the other way round: no pixel need be multiplied.
    mirrored = values is not None and values.tolist() == [0, 255]

    def subtract(rows: Pixels, before: Pixels, out: Pixels) -> None:
        np.subtract(*((before, rows) if mirrored else (rows, before)), out=out)

    for top in range(0, height, count):
        part = np.ascontiguousarray(image[top : top + count]).reshape(-1, row)
        if values is not None and not mirrored:
            part = _valued(part, values)
        filtered = buffer[: len(part)]
        subtract(part[:1], above, filtered[:1, 1:])
        subtract(part[1:], part[:-1], filtered[1:, 1:])
        above = part[-1:].copy()
        yield filtered


def _valued(part: Pixels, values: Pixels) -> Pixels:
    if len(values) > 2:
        return np.asarray(cv2.LUT(part, values), np.uint8)  # 3.2 ms for 12 megapixels; the other way takes 0.2
    scaled = part * np.subtract(values[1:], values[0])  # arrays, since bytes of theirs wrap around unremarked
    return np.asarray(np.add(scaled, values[0], out=scaled), np.uint8)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
