"""What a viewer shows: pictures of every Pillow mode as 8-bit sRGB over white, strip by strip."""

import io
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from segtool.imaging.depth import deep_values, is_deep, narrower

Convert = Callable[[Image.Image], Image.Image]
Split = Callable[[Image.Image], tuple[Image.Image, Image.Image | None]]

STRIP_PIXELS = 1 << 18  # 1 MB in Pillow: stays in the cache, and the calls cost nothing beside the pixels
GREYS = ("1", "L", "LA", "La")
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # the one mode that Pillow converts each of them to
PROFILE_SPACE = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
SRGB_TOLERANCE = 2  # levels: the many profiles that mean sRGB differ by rounding


def strips(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    """Yields `(top, bottom, strip)`: copies of the rows of a loaded image, from top to bottom."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield top, bottom, image.crop((0, top, width, bottom))


def rgb_converter(image: Image.Image) -> Convert:
    """Returns the function from strips of the loaded `image`, of any mode, to images of mode RGB: sRGB over white."""
    if image.mode == "LAB":
        return _lab_to_srgb().apply
    deep = is_deep(image)
    base = "L" if deep or image.mode in GREYS else "CMYK" if image.mode == "CMYK" else "RGB"
    split = _split_deep(image) if deep else _split_alpha if image.has_transparency_data else _opaque
    profile = image.info.get("icc_profile")
    correct = srgb_correction(profile, base) if isinstance(profile, bytes) else None

    def convert(strip: Image.Image) -> Image.Image:
        color, alpha = split(strip)
        color = _in_mode(color, base)
        color = _in_mode(correct(color) if correct else color, "RGB")
        if alpha is None or alpha.getextrema() == (255, 255):  # as in most screenshots
            return color
        white = Image.new("RGB", color.size, (255, 255, 255))
        white.paste(color, mask=alpha)
        return white

    return convert


@lru_cache(maxsize=16)
def srgb_correction(profile: bytes, mode: str) -> Convert | None:
    """Returns the function from images of `mode` (L, RGB or CMYK) with this ICC profile to sRGB: mode L or RGB.

    None where the profile is sRGB, which changes no pixel, or broken, or for another kind of colours. Of 12 megapixels,
    a correction takes 260 ms in RGB, 620 ms in CMYK, next to nothing in grey (a table of 256), and decoding them 85 ms.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != PROFILE_SPACE[mode]:
            return None
        # Without black point compensation the darkest print of inks is grey.
        transform = ImageCms.buildTransform(
            source, _srgb(), mode, "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
        if mode == "CMYK":
            return transform.apply
        probe = _probe(mode)
        seen = transform.apply(probe)
    except Exception:  # of any kind: viewers, too, show a picture whose profile is broken as if it had none
        return None
    change = np.abs(np.asarray(seen, np.int16) - np.asarray(probe.convert("RGB"), np.int16)).max()
    if change <= SRGB_TOLERANCE:
        return None
    if mode == "RGB":
        return transform.apply
    table = seen.getchannel("G").tobytes()
    return lambda grey: grey.point(list(table))


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    # Without its optimizations LittleCMS takes 2.6 s for 12 megapixels instead of 0.5, but with them it is up to 33 of
    # 255 levels off near the edge of sRGB.
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), _srgb(), "LAB", "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=ImageCms.Flags.NOOPTIMIZE,
    )  # fmt: skip


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _probe(mode: str) -> Image.Image:
    """Returns every grey, or colours all over the cube: what a profile does to these, it does to a picture."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    return Image.fromarray(cube.reshape(len(steps), -1, 3))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # convert() copies even what is in that mode


def _opaque(strip: Image.Image) -> tuple[Image.Image, None]:
    return strip, None


def _split_alpha(strip: Image.Image) -> tuple[Image.Image, Image.Image]:
    strip = _in_mode(strip, PREMULTIPLIED.get(strip.mode, strip.mode))
    if strip.mode in GREYS:
        strip = _in_mode(strip, "LA")
        return strip.getchannel("L"), strip.getchannel("A")
    strip = _in_mode(strip, "RGBA")
    return strip.convert("RGB"), strip.getchannel("A")


def _split_deep(image: Image.Image) -> Split:
    values_of, key = deep_values(image), image.info.get("transparency")
    narrow = narrower(image, (values_of(strip) for _, _, strip in strips(image)))

    def split(strip: Image.Image) -> tuple[Image.Image, Image.Image | None]:
        values = values_of(strip)
        alpha = None if key is None else Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
        return Image.fromarray(narrow(values)), alpha

    return split
