"""The one door between picture files and pixels: every decoding and every encoding passes here.

An image is `(H, W, 3)` uint8 RGB in display orientation.
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from segtool.errors import ImageError

Pixels = npt.NDArray[np.uint8]

JPEG_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
JPEG_QUALITY = 92

# Pillow warns of odd EXIF and large sizes: not the user's business. Set once: `catch_warnings` is not for threads.
warnings.filterwarnings("ignore", module=r"PIL(\.|$)")


def read_image(path: Path) -> Pixels:
    """Returns the picture at `path` as `(H, W, 3)` uint8 RGB.

    EXIF orientation is applied, transparency lies over white, 16-bit and float greys are scaled to 8 bits, and of
    several frames it is the first.

    Raises ImageError with the reason when the file is no readable picture.
    """
    return np.asarray(_to_rgb(open_upright(path)))


def open_upright(path: Path) -> Image.Image:
    """Returns the decoded Pillow image at `path`, in its own mode and display orientation. Raises ImageError."""
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"{path} is an empty file.")
        # By name, Pillow maps uncompressed TIFFs into memory and scrambles those turned by EXIF.
        with path.open("rb") as file, Image.open(file) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist.") from None
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not a picture of any known format.") from None
    except Exception as error:  # Pillow's decoders let nearly anything out: struct.error, SyntaxError, KeyError, …
        raise ImageError(f"{path} cannot be decoded ({error or type(error).__name__}).") from error


def encode_jpeg(image: Pixels) -> bytes:
    """Returns `(H, W, 3)` uint8 RGB as a JPEG of quality 92."""
    return _encode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def encode_png(image: Pixels) -> bytes:
    """Returns `(H, W)` grey or `(H, W, 3)` RGB uint8 as a PNG."""
    return _encode(".png", image[..., ::-1] if image.ndim == 3 else image, [])


def encode_palette_png(indices: Pixels, palette: Sequence[tuple[int, int, int]]) -> bytes:
    """Returns `(H, W)` uint8 as a palette PNG of 8 bits whose index is the value."""
    image = Image.fromarray(indices)
    # Pillow packs the indices of a short palette into fewer bits, and cuts those beyond it.
    black = [0, 0, 0] * (256 - len(palette))
    image.putpalette([channel for color in palette for channel in color] + black)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _encode(suffix: str, pixels: Pixels, parameters: list[int]) -> bytes:
    ok, encoded = cv2.imencode(suffix, pixels, parameters)
    if not ok:
        raise ImageError(f"A picture of {pixels.shape[1]}×{pixels.shape[0]} cannot be encoded as {suffix}.")
    return encoded.tobytes()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_deep_to_8_bits(np.asarray(image))).convert("RGB")  # convert() alone clips to white
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _deep_to_8_bits(values: npt.NDArray[Any]) -> Pixels:
    if values.dtype.newbyteorder("=") == np.uint16:
        return np.asarray(values >> 8, np.uint8)
    floats = np.nan_to_num(values.astype(np.float64))
    low, high = float(floats.min()), float(floats.max())
    if values.dtype.kind == "i" and low >= 0 and high <= 65535:
        return (floats / 256).astype(np.uint8) if high > 255 else floats.astype(np.uint8)
    if low < 0 or high > 1:
        floats = (floats - low) / max(high - low, 1e-12)
    return np.asarray(np.rint(floats * 255), np.uint8)
