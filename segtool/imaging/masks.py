"""Masks as stored on disk. Read by Pillow alone: OpenCV turns palette indices into colours."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segtool.errors import ImageError
from segtool.imaging.codec import JPEG_SUFFIXES, Pixels, open_upright


def read_raw_mask(path: Path) -> npt.NDArray[np.integer]:
    """Returns the stored values: `(H, W)` uint8 or uint16, or `(H, W)` int32 `r << 16 | g << 8 | b` when the channels
    differ anywhere. Raises ImageError for float masks and files that cannot be read.
    """
    image = open_upright(path)
    if path.suffix.lower() in JPEG_SUFFIXES:
        return np.asarray(image.convert("L"))  # whatever colour there is, compression made it
    if image.mode == "1":
        return np.asarray(image, np.uint8)  # stored 0/1; Pillow gives booleans
    if image.mode in ("L", "P"):
        return np.asarray(image)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"{path} holds mask values outside 0 to 65535.")
        return values.astype(np.uint16)
    if image.mode in ("LA", "PA"):
        return np.asarray(image.getchannel(0))
    if image.mode == "F":
        raise ImageError(f"{path} is a float picture; masks hold whole numbers.")
    red, green, blue = (np.asarray(channel) for channel in image.convert("RGB").split())
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    return np.asarray(red.astype(np.int32) << 16 | green.astype(np.int32) << 8 | blue, np.int32)


def resize_mask(mask: Pixels, height: int, width: int) -> Pixels:
    """Returns class indices at another size, nearest neighbour at pixel centres."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
