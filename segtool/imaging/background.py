"""New backgrounds behind objects that were cut out."""

import contextlib
import math
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from PIL import ImageColor

from segtool.errors import UsageError
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.legend import Color
from segtool.imaging.windows import strips

BLUR: Final = "blur"
Background = Color | Pixels | Literal["blur"]

# The blur is computed on a picture of this √(height · width): nothing finer is left of it.
COARSE_SIDE = 256
BLUR_SHARE = 1 / 40  # the standard deviation, as a share of √(height · width): 87 pixels in 12 megapixels


def parse_background(text: str) -> Background:
    """Returns what `text` names: "blur", a colour as RGB (`#rgb`, `#rrggbb`, a CSS name), or a picture file, read.

    A file that is called like a colour is given as `./red`; a colour with transparency is none. Raises UsageError when
    it is none of these, and ImageError when the file is no readable picture.
    """
    if text.lower() == BLUR:
        return BLUR
    with contextlib.suppress(ValueError):  # what is no colour may be a file
        red, green, blue, *transparency = ImageColor.getrgb(text)
        if not transparency:
            return red, green, blue
    with contextlib.suppress(OSError):  # a name that is too long
        if Path(text).is_file():
            return read_image(Path(text))
    raise UsageError(
        f"Background {text!r} is no colour, and there is no such file: give #rrggbb, a CSS colour name, blur, or a "
        "picture file."
    )


def on_background(rgba: Pixels, background: Background, *, image: Pixels) -> Pixels:
    """Returns `(H, W, 3)` uint8, the `(H, W, 4)` cutout over a background: `(α · object + (255 − α) · ground) / 255` to
    the nearest.

    A picture of another size is scaled to cover and cropped at the middle. "blur" is the photo `image` itself,
    `(H, W, 3)`, without the object.
    """
    height, width = rgba.shape[:2]
    if isinstance(background, str):
        laid = blurred_background(image, np.asarray(cv2.extractChannel(rgba, 3), np.uint8))
    elif isinstance(background, np.ndarray):
        laid = covering(background, height, width)
    else:
        laid = np.empty((height, width, 3), np.uint8)
        laid[:] = np.full((width, 3), background, np.uint8)  # a row at a time: five times as fast as a pixel at a time
    for rows in strips(height, width):
        _lay(rgba[rows], laid[rows])
    return laid


def covering(picture: Pixels, height: int, width: int) -> Pixels:
    """Returns `(height, width, 3)` uint8, the middle of `picture` scaled to fill it: area filter down, linear up."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    tall, wide = max(1, round(height / scale)), max(1, round(width / scale))
    top, left = (picture.shape[0] - tall) // 2, (picture.shape[1] - wide) // 2
    middle = picture[top : top + tall, left : left + wide]
    if middle.shape[:2] == (height, width):
        return middle.copy()
    filtering = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (width, height), interpolation=filtering), np.uint8)


def blurred_background(image: Pixels, alpha: Pixels) -> Pixels:
    """Returns `(H, W, 3)` uint8, the picture strongly blurred, of those pixels alone whose `alpha` is 0.

    Each pixel is the Gaussian mean of the background around it (normalised convolution: Knutsson and Westin, CVPR
    1993), so that the object's colours leave no glow around it. Far inside the object, where there is no background
    within reach, it is the mean of all of it.
    """
    height, width = alpha.shape
    scale = min(1.0, COARSE_SIDE / math.sqrt(height * width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    # One pixel more around the object: its colour is in those beside it too.
    object_there = cv2.dilate(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.ones((3, 3), np.uint8))
    weight = (object_there == 0).astype(np.float32)[..., None]
    if not weight.any():
        weight[:] = 1  # no background at all: the picture as a whole
    mean = (small * weight).sum(axis=(0, 1)) / weight.sum()
    sigma = max(1.0, BLUR_SHARE * math.sqrt(size[0] * size[1]))
    total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    weighted = cv2.GaussianBlur(small * weight, (0, 0), sigma).reshape(small.shape)
    blurred = np.rint((weighted + 1e-3 * mean) / (total + 1e-3)).astype(np.uint8)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _lay(rgba: Pixels, ground: Pixels) -> None:
    alpha = np.asarray(cv2.extractChannel(rgba, 3), np.uint8)
    cv2.copyTo(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), (alpha == 255).view(np.uint8), ground)
    # Few pixels are partly opaque, and a blend of them fits into 16 bits.
    partial = np.flatnonzero((alpha > 0) & (alpha < 255))
    part, below = rgba.reshape(-1, 4)[partial].astype(np.uint16), ground.reshape(-1, 3)
    opacity = part[:, 3:]
    total = part[:, :3] * opacity + below[partial] * (255 - opacity) + 128
    below[partial] = (total + (total >> 8)) >> 8  # total / 255 to the nearest, without a division
