"""The one door between picture files and pixels: every decoding and every encoding passes here.

An image is `(H, W, 3)` uint8 RGB in display orientation.
"""

import os
import socket
import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from segtool.errors import ImageError, OutputError

Pixels = npt.NDArray[np.uint8]

JPEG_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
JPEG_QUALITY = 92


def read_image(path: Path) -> Pixels:
    """Returns the picture at `path` as `(H, W, 3)` uint8 RGB: EXIF orientation applied, transparency over white,
    16-bit and float greys scaled to 8 bits, the first frame of several.

    Raises ImageError with the reason when the file is no readable picture.
    """
    return np.asarray(_to_rgb(open_upright(path)))


def open_upright(path: Path) -> Image.Image:
    """Returns the decoded Pillow image at `path`, in its own mode and display orientation. Raises ImageError."""
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"{path} is an empty file.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and large sizes: not the user's business
            with Image.open(path) as image:
                image.load()
                return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist.") from None
    except ImageError:
        raise
    except Image.UnidentifiedImageError:
        raise ImageError(f"{path} is not a picture of any known format.") from None
    except Exception as error:  # Pillow's decoders let nearly anything out: struct.error, SyntaxError, KeyError, …
        raise ImageError(f"{path} cannot be decoded ({error or type(error).__name__}).") from error


def write_jpeg(path: Path, image: Pixels) -> None:
    """Writes `(H, W, 3)` uint8 RGB as a JPEG of quality 92, whole or not at all."""
    write_whole(path, _encode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]))


def write_png(path: Path, image: Pixels) -> None:
    """Writes `(H, W)` grey or `(H, W, 3)` RGB uint8 as a PNG, whole or not at all."""
    write_whole(path, _encode(".png", image[..., ::-1] if image.ndim == 3 else image, []))


def write_palette_png(path: Path, indices: Pixels, palette: list[tuple[int, int, int]]) -> None:
    """Writes `(H, W)` uint8 as a palette PNG whose index is the value, whole or not at all."""
    import io

    image = Image.fromarray(indices)
    image.putpalette([channel for color in palette for channel in color])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path` under a temporary name and renames it: a reader sees all of it or none.

    Raises OutputError when the folder cannot be written (full, read-only, gone).
    """
    # Host and pid in the name: two machines may share the folder, and a crash must leave a name we can recognise.
    partial = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


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


def _deep_to_8_bits(values: npt.NDArray[np.generic]) -> Pixels:
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    floats = np.nan_to_num(values.astype(np.float64))
    low, high = float(floats.min()), float(floats.max())
    if values.dtype.kind == "i" and low >= 0 and high <= 65535:
        return (floats / 256).astype(np.uint8) if high > 255 else floats.astype(np.uint8)
    if low < 0 or high > 1:
        floats = (floats - low) / max(high - low, 1e-12)
    return np.asarray(np.rint(floats * 255), np.uint8)
