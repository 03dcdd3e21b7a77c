"""The one door from picture files to pixels: every decoding passes here, as every encoding does `encode`.

An image is `(H, W, 3)` uint8 RGB in display orientation.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from segtool.imaging.color import rgb_converter, strips
from segtool.imaging.scaling import resize_image, shrink_means
from segtool.imaging.source import MAX_FRAMES_COUNTED, count_frames, opened

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]  # height, width
SizeOf = Callable[[int, int], Size]  # from the size of a picture to that it is wanted in
Notice = Callable[[str], object]

JPEG_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))

ORIENTATION = 0x0112  # EXIF 2.3, and the same tag of TIFF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UPRIGHT = 1
ROWS_BECOME_COLUMNS = (5, 6, 7, 8)
FIRST_BECOMES_LAST = (3, 4, 6, 7)
# Least pixels decoded for each that is wanted, along either side. Of the mask pixels of `person` and `person-fast`, on
# 36 to 72 photos enlarged to JPEGs of 8 to 27 megapixels, this many came out otherwise than by decoding whole: 0.03 %
# from 4.7 on, 0.05 % at 3.9, 0.07 % at 3.2, 0.04 % at 2.6, 0.07 to 0.10 % at 1.95, 0.13 % at 1.6, 0.11 % at 1.3. By
# `resize_image` in place of `shrink_means` it was 0.07 % at 3.9, 0.10 % at 3.2, 0.09 % at 2.6, 0.10 to 0.16 % at 1.95,
# 0.20 to 0.22 % below; to cut a row and a column off changed 0.13 to 0.33 %. A picture of 12 megapixels for 256×192
# pixels takes 26 ms so, and 30 at 1/4.
HEADROOM = 1.9


def read_image(
    source: Path | bytes, *, max_pixels: int | None = None, notice: Notice | None = None, name: str | None = None
) -> Pixels:
    """Returns the picture at a path, or in the bytes of a file, as `(H, W, 3)` uint8 sRGB, C-contiguous.

    EXIF orientation and ICC profile are applied, transparency lies over white, 16-bit and float greys are scaled to 8
    bits, and of several frames it is the first, of which `notice` is told. Errors call it `name`: the path, or stdin.

    Raises ImageError with the reason when it is no readable picture, or has more than `max_pixels` (MAX_PIXELS).
    """
    name = name or _name(source)
    with opened(source, name, max_pixels) as image:
        pixels = _pixels(image)
        frames = count_frames(image) if notice else 1
    _tell_frames(name, frames, notice)
    return pixels


def read_resized(
    source: Path | bytes,
    size_of: SizeOf,
    *,
    max_pixels: int | None = None,
    notice: Notice | None = None,
    name: str | None = None,
) -> tuple[Pixels, Size]:
    """Returns the picture as `resize_image` makes it of `read_image`, in the height and width that `size_of` gives for
    its own, and these, `(H, W)`.

    A JPEG that is much larger is decoded at 1/2, 1/4 or 1/8, in less time and memory: its pixels then differ, by half
    a level in the mean. Raises ImageError as `read_image`.
    """
    name = name or _name(source)
    with opened(source, name, max_pixels) as image:
        pixels, size = _reduced(image, size_of) or _whole(image, size_of)
        frames = count_frames(image) if notice else 1
    _tell_frames(name, frames, notice)
    return pixels, size


def open_upright(source: Path | bytes, *, max_pixels: int | None = None, name: str | None = None) -> Image.Image:
    """Returns the decoded Pillow image, in its own mode and display orientation. Raises ImageError as `read_image`."""
    with opened(source, name or _name(source), max_pixels) as image:
        image.load()
        turn = TURNS.get(_orientation(image))
        return image if turn is None else image.transpose(turn)


def _name(source: Path | bytes) -> str:
    return "stdin" if isinstance(source, bytes) else str(source)


def _tell_frames(name: str, frames: int, notice: Notice | None) -> None:
    if notice and frames > 1:
        more = " or more" if frames == MAX_FRAMES_COUNTED else ""
        notice(f"{name} has {frames}{more} frames: the first is used")


def _whole(image: Image.Image, size_of: SizeOf) -> tuple[Pixels, Size]:
    pixels = _pixels(image)
    height, width = pixels.shape[:2]
    return resize_image(pixels, size_of(height, width)), (height, width)


def _reduced(image: Image.Image, size_of: SizeOf) -> tuple[Pixels, Size] | None:
    """Returns what `read_resized` does, of a JPEG that is much larger than is asked for; else None, nothing decoded."""
    if not isinstance(image, JpegImageFile):  # of all others Pillow decodes every pixel
        return None
    stored, orientation = image.size, _orientation(image)
    turn, turned = TURNS.get(orientation), orientation in ROWS_BECOME_COLUMNS
    size = stored if turned else stored[::-1]
    wanted = size_of(*size)
    height, width = wanted[::-1] if turned else wanted
    drafted = image.draft(None, (math.ceil(width * HEADROOM), math.ceil(height * HEADROOM)))
    if drafted is None or image.size == stored:
        return None
    _, (_, _, columns, rows) = drafted
    # Turned last, for the pixels that lie partly beyond the picture are the last that are stored.
    small = shrink_means(_pixels(image, UPRIGHT), (height, width), extent=(rows, columns))
    return small if turn is None else np.asarray(Image.fromarray(small).transpose(turn)), size


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation still to be applied: TIFF and HEIC come turned already, and say 1."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF of any kind turns nothing
        return 1


def _pixels(image: Image.Image, orientation: int | None = None) -> Pixels:
    """Returns an image as upright RGB, decoded here; `orientation` is what its EXIF says where it is not given.

    By strips, and straight to where they belong: beside the 4 bytes a pixel that Pillow holds of any RGB picture and
    the 3 of the result there is nothing, which makes 2.8 GB of 20,000×20,000; by whole pictures it was 10 to 16 bytes a
    pixel. It is faster, too: 17 ms for 12 megapixels instead of 98, and 30 ms when turned.
    """
    image.load()
    orientation = orientation or _orientation(image)
    turn, turned = TURNS.get(orientation), orientation in ROWS_BECOME_COLUMNS
    convert = rgb_converter(image)
    width, height = image.size
    pixels = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    for top, bottom, strip in strips(image):
        rgb = convert(strip)
        rgb = rgb if turn is None else rgb.transpose(turn)
        place = slice(height - bottom, height - top) if orientation in FIRST_BECOMES_LAST else slice(top, bottom)
        pixels[(slice(None), place) if turned else place] = np.asarray(rgb)
    return pixels
