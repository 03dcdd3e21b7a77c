"""Greys of more than 8 bits as 8 bits. Pillow alone clips them to white, or turns them black."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

Values = npt.NDArray[Any]
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF 6.0
WHITE_IS_ZERO, UNSIGNED = 0, 1


def is_deep(image: Image.Image) -> bool:
    """Returns whether `image` is a grey of 12 to 32 bits a pixel."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def deep_values(image: Image.Image) -> Callable[[Image.Image], Values]:
    """Returns the function from strips of a deep `image` to the values they store, `(h, W)`."""
    if image.mode == "I" and _tag(image, BITS_PER_SAMPLE) == 32 and _tag(image, SAMPLE_FORMAT, UNSIGNED) == UNSIGNED:
        return lambda strip: np.asarray(strip).view(np.uint32)  # Pillow has no such mode: the upper half is negative
    return np.asarray


def narrower(image: Image.Image, parts: Iterable[Values]) -> Callable[[Values], npt.NDArray[np.uint8]]:
    """Returns the function from values of a deep `image`, of which `parts` are all, to uint8.

    16 bits keep the upper eight, and so do 12. 32-bit integers within 8 or 16 bits are taken for that, floats in [0, 1]
    for black to white; else the least finite value is black and the greatest white. NaN is black.
    """
    ink = _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO
    bits = _grey_bits(image)
    low, high = 0.0, 1.0
    if bits is None:
        low, high = _finite_range(parts)
        if image.mode == "F" and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif image.mode == "I" and low >= 0 and high < 1 << 16:
            bits = 8 if high < 1 << 8 else 16

    def narrow(values: Values) -> npt.NDArray[np.uint8]:
        levels = _stretched(values, low, high) if bits is None else (values >> (bits - 8)).astype(np.uint8)
        return ~levels if ink else levels

    return narrow


def _grey_bits(image: Image.Image) -> int | None:
    """Returns how many bits the values fill, None where only the values themselves tell."""
    if image.mode.startswith("I;16"):
        return 12 if _tag(image, BITS_PER_SAMPLE) == 12 else 16
    return 16 if image.format == "PPM" and image.mode == "I" else None


def _finite_range(parts: Iterable[Values]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for values in parts:
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return low, high


def _stretched(values: Values, low: float, high: float) -> npt.NDArray[np.uint8]:
    scale = 255 / (high - low) if high > low else 0.0
    with np.errstate(invalid="ignore"):  # a signalling NaN warns as soon as it is touched
        levels = (np.clip(values, low, high).astype(np.float64) - low) * scale
        return np.rint(np.nan_to_num(levels)).astype(np.uint8)


def _tag(image: Image.Image, tag: int, default: object = None) -> object:
    """Returns the first value of a TIFF tag, `default` where there is none or no TIFF."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return default
    value = image.tag_v2.get(tag, default)
    return value[0] if isinstance(value, tuple) and value else value
