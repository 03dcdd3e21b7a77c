"""From a file, or the bytes of one, to its first frame as a Pillow image. Any failure on the way is an ImageError."""

import ctypes
import importlib
import io
import logging
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from PIL import Image, PngImagePlugin, UnidentifiedImageError, _imaging

from segtool.errors import ImageError
from segtool.options import MAX_PIXELS

# What data.layout.IMAGE_SUFFIXES stand for and no more: for an EPS named .jpg Pillow would run Ghostscript. TGA has no
# signature to know it by, so it comes last.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "TGA")
HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))
HEADER_BYTES = 64

FRAMED_FORMATS = ("GIF", "PNG", "WEBP", "AVIF", "TIFF")  # not MPO, nor HEIC: phones keep depth and previews in there
MAX_FRAMES_COUNTED = 100  # of a TIFF every page is parsed, and Pillow's own count is quadratic

# All of this is set once: nothing global may change while threads decode. What Pillow, by two ways, and libtiff, by a
# third, have to say of odd files would stand between our own lines on stderr, without the name of the file.
warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)(\.|$)")
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(OSError, AttributeError):  # libtiff is out of reach where Pillow is one piece with it
    _libtiff = ctypes.CDLL(_imaging.__file__)
    _libtiff.TIFFSetErrorHandler(None)
    _libtiff.TIFFSetWarningHandler(None)
Image.MAX_IMAGE_PIXELS = None  # sizes are checked here
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20  # Photoshop writes profiles and XMP beyond the 1 MB of Pillow


@contextmanager
def opened(source: Path | bytes, name: str, max_pixels: int | None) -> Iterator[Image.Image]:
    """Yields the first frame, as stored and yet to be loaded: no pixel is decoded, but its size is known and allowed.

    Raises ImageError, for all that fails within the `with` too.
    """
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        with _stream(source, name) as file, _opened(file, name, limit) as image:
            yield image
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist.") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture of any known format, or its beginning is damaged.") from None
    except Exception as error:  # Pillow's decoders let nearly anything out: struct.error, SyntaxError, KeyError, …
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise ImageError(f"{name} cannot be decoded ({reason or type(error).__name__}).") from error


def count_frames(image: Image.Image) -> int:
    """Returns how many frames or pages a decoded image has, MAX_FRAMES_COUNTED for that many or more of a TIFF."""
    if image.format not in FRAMED_FORMATS:
        return 1
    try:
        if not getattr(image, "is_animated", False):
            return 1
        if image.format != "TIFF":
            return int(getattr(image, "n_frames", 1))
        for page in range(1, MAX_FRAMES_COUNTED):
            try:
                image.seek(page)
            except EOFError:
                return page
        return MAX_FRAMES_COUNTED
    except Exception:  # as with viewers, what is broken behind the first frame does not matter
        return 1


def _stream(source: Path | bytes, name: str) -> IO[bytes]:
    if isinstance(source, bytes):
        size = len(source)
    else:
        status = source.stat()
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would be to wait for its writer
            raise ImageError(f"{name} is a folder or a device, not a file.")
    if not size:
        raise ImageError(f"{name} is an empty file.")
    # By name, Pillow maps uncompressed TIFFs into memory and scrambles those turned by EXIF.
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _opened(file: IO[bytes], name: str, limit: int) -> Image.Image:
    header = file.read(HEADER_BYTES)
    file.seek(0)
    if header[8:16] == b"WEBPVP8X":  # its decoder takes memory for the whole canvas while the file is opened
        _check_size(
            name, int.from_bytes(header[24:27], "little") + 1, int.from_bytes(header[27:30], "little") + 1, limit
        )
    image = _heif_plugin(name)(file) if _is_heif(header) else Image.open(file, formats=FORMATS)
    _check_size(name, *image.size, limit)
    if image.format == "PNG":
        _fit_key(image, depth=header[24])
    return image


def _check_size(name: str, width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise ImageError(
            f"{name} is {width}×{height}, which is {width * height:,} pixels: more than the limit of {limit:,}, "
            "which --max-pixels raises."
        )


def _is_heif(header: bytes) -> bool:
    """Returns whether the brands of the file are those of HEIC. AVIF shares mif1 with it, and is Pillow's own."""
    brands = {header[start : start + 4] for start in range(8, min(int.from_bytes(header[:4]), len(header)), 4)}
    return header[4:8] == b"ftyp" and bool(brands & HEIF_BRANDS) and not brands & AVIF_BRANDS


def _heif_plugin(name: str) -> Callable[[IO[bytes]], Image.Image]:
    try:
        # By its class, without registering it with Pillow, which would be global.
        plugin: Callable[[IO[bytes]], Image.Image] = importlib.import_module("pillow_heif").HeifImageFile
    except ImportError:
        raise ImageError(f"{name} is a HEIC picture: `pip install 'segtool[heif]'` to read those.") from None
    return plugin


def _fit_key(image: Image.Image, *, depth: int) -> None:
    """PNG names its transparent colour in the depth of the file, and Pillow keeps that beside pixels of 8 bits."""
    key = image.info.get("transparency")
    if key is not None and image.mode == "L":
        image.info["transparency"] = key * 255 // (2**depth - 1)
    elif key is not None and image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
