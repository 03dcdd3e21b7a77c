"""Colours: what each mode, transparency and ICC profile means, written out in NumPy and compared with what is read."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hostile_files import chunk, encoded, gradient, png
from icc_profiles import (
    ADOBE_TO_XYZ,
    P3_TO_XYZ,
    SRGB_TO_XYZ,
    gamma_curve,
    grey_profile,
    ink_profile,
    lab_to_srgb,
    light_to_srgb,
    rgb_profile,
    srgb_curve,
    srgb_to_light,
    xyz_to_srgb,
)  # fmt: skip
from PIL import Image

from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.color import rgb_converter, srgb_correction

Floats = npt.NDArray[np.float64]


def stored(image: Image.Image) -> Floats:
    """Returns the values of `image` as `(H, W)` or `(H, W, C)`."""
    return np.asarray(image).astype(np.float64)


def on_white(color: Floats, alpha: Floats) -> Floats:
    return 255 + (color - 255) * alpha / 255


def grey(values: Floats) -> Floats:
    return np.repeat(values[..., None], 3, axis=2)


def stretched(values: Floats) -> Floats:
    return np.asarray((values - values.min()) / (values.max() - values.min()) * 255, np.float64)


def from_ycc(ycc: Floats) -> Floats:
    """JFIF 1.02."""
    y, cb, cr = ycc[..., 0], ycc[..., 1] - 128, ycc[..., 2] - 128
    return np.clip(np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1), 0, 255)


def from_lab(coded: Floats) -> Floats:
    """TIFF 6.0, section 23: L* in 255 steps, a* and b* as signed bytes."""
    return lab_to_srgb(np.concatenate([coded[..., :1] / 2.55, (coded[..., 1:] + 128) % 256 - 128], axis=-1))


def colors_of(image: Image.Image) -> Floats:
    palette: Floats = np.array(image.getpalette(), np.float64).reshape(-1, 3)
    indices = np.asarray(image)
    return np.asarray(palette[indices[..., 0] if image.mode == "PA" else indices], np.float64)


MEANING: dict[str, Callable[[Image.Image], Floats]] = {
    "1": lambda image: grey(stored(image) * 255),
    "L": lambda image: grey(stored(image)),
    "P": colors_of,
    "RGB": stored,
    "RGBX": lambda image: stored(image)[..., :3],
    "RGBA": lambda image: on_white(stored(image)[..., :3], stored(image)[..., 3:]),
    "LA": lambda image: on_white(grey(stored(image)[..., 0]), stored(image)[..., 1:]),
    "PA": lambda image: on_white(colors_of(image), stored(image)[..., 1:]),
    "CMYK": lambda image: (255 - stored(image)[..., :3]) * (255 - stored(image)[..., 3:]) / 255,
    "YCbCr": lambda image: from_ycc(stored(image)),
    "LAB": lambda image: from_lab(stored(image)),
    "I": lambda image: grey(stretched(stored(image))),
    "F": lambda image: grey(stretched(stored(image))),
    "I;16": lambda image: grey(stored(image) // 256),
    "I;16B": lambda image: grey(stored(image) // 256),
    "I;16L": lambda image: grey(stored(image) // 256),
}
LOSSLESS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "PNG": (("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I;16B"), {}),
    "TIFF": (tuple(MEANING), {}),
    "BMP": (("1", "L", "P", "RGB"), {}),
    "DIB": (("1", "L", "P", "RGB"), {}),
    "TGA": (("1", "L", "P", "RGB", "RGBA", "LA"), {}),
    "GIF": (("1", "L", "P"), {}),
    "PPM": (("1", "L", "RGB", "F", "I;16"), {}),
    "WEBP": (("RGB", "RGBA"), {"lossless": True}),
    "JPEG2000": (("L", "LA", "RGB", "RGBA", "I;16"), {}),
}
LOSSY: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "JPEG": (("L", "RGB", "RGBX", "CMYK", "YCbCr"), {"quality": 98, "subsampling": 0}),
    "MPO": (("L", "RGB", "CMYK"), {"quality": 98, "subsampling": 0}),
    "WEBP": (("RGB", "RGBA"), {"quality": 100}),
    "AVIF": (("L", "RGB", "RGBA"), {"quality": 100, "subsampling": "4:4:4"}),
}


def read_as(image: Image.Image, kind: str, **options: Any) -> Pixels:
    return read_image(encoded(image, kind, **options))


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, (modes, _) in LOSSLESS.items() for mode in modes])
def test_every_mode_that_a_format_keeps_is_read_as_its_definition_says(kind: str, mode: str) -> None:
    image = gradient(mode)
    pixels = read_as(image, kind, **LOSSLESS[kind][1])
    tolerance = {"YCbCr": 2}.get(mode, 1)
    assert np.abs(pixels - MEANING[mode](image)).max() <= tolerance


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, (modes, _) in LOSSY.items() for mode in modes])
def test_lossy_formats_come_close_to_the_definition(kind: str, mode: str) -> None:
    image = gradient(mode)
    pixels = read_as(image, kind, **LOSSY[kind][1])
    assert np.abs(pixels - MEANING[mode](image)).mean() <= 3


@pytest.mark.parametrize("mode", ["RGBa", "La", "HSV", "I;16N"])
def test_modes_that_no_file_has_are_converted_all_the_same(mode: str) -> None:
    rgba = gradient("RGBA")
    image = {"RGBa": rgba.convert("RGBa"), "La": gradient("LA").convert("La")}.get(mode) or gradient(mode)
    expected = {
        "RGBa": on_white(stored(rgba)[..., :3], stored(rgba)[..., 3:]),
        "La": on_white(grey(stored(gradient("LA"))[..., 0]), stored(gradient("LA"))[..., 1:]),
        "HSV": stored(gradient("RGB")),
        "I;16N": grey(stored(gradient("I;16")) // 256),
    }[mode]
    seen = rgb_converter(image)(image)
    assert seen.mode == "RGB"
    steps = {"HSV": 6, "RGBa": 3, "La": 2}.get(mode, 1)  # the modes themselves are that coarse
    assert np.abs(stored(seen) - expected).max() <= steps


def adobe_transform(jpeg: bytes, transform: int) -> bytes:
    at = jpeg.index(b"Adobe") + 11
    return jpeg[:at] + bytes([transform]) + jpeg[at + 1 :]


def test_a_jpeg_of_ycck_is_read_as_the_inks_it_codes() -> None:
    inks = Image.new("CMYK", (16, 16), (30, 200, 90, 40))
    # YCCK is the YCbCr of the RGB that is left by the inks, and Adobe stores inks the other way round: of C, M, Y.
    ycc = Image.new("RGB", (16, 16), (30, 200, 90)).convert("YCbCr")
    planes = [channel.point(lambda v: 255 - v) for channel in ycc.split()]
    file = adobe_transform(encoded(Image.merge("CMYK", (*planes, inks.getchannel("K"))), "JPEG", quality=98), 2)
    assert np.abs(read_image(file) - MEANING["CMYK"](inks)).max() <= 4


@pytest.mark.parametrize(
    ("depth", "row", "key", "expected"),
    [
        pytest.param(1, b"\x40", 1, [0, 255, 0, 0], id="1-bit"),
        pytest.param(2, b"\x1b", 1, [0, 255, 170, 255], id="2-bit"),
        pytest.param(4, b"\x01\x23", 2, [0, 17, 255, 51], id="4-bit"),
        pytest.param(8, b"\x00\x01\x02\x03", 3, [0, 1, 2, 255], id="8-bit"),
        pytest.param(16, b"\x00\x00\x01\x00\x01\x01\x02\x00", 256, [0, 255, 1, 2], id="16-bit"),
    ],
)
def test_the_transparent_grey_of_a_png_is_of_the_depth_of_the_file(
    depth: int, row: bytes, key: int, expected: list[int]
) -> None:
    file = png(4, 1, chunk(b"tRNS", key.to_bytes(2)), depth=depth, color=0, rows=b"\0" + row)
    assert read_image(file)[0, :, 0].tolist() == expected


def test_the_transparent_colour_of_a_16_bit_png_is_white_and_black_is_not() -> None:
    row = b"\0" + b"\x01\x00\x02\x00\x03\x00" + bytes(6)
    file = png(2, 1, chunk(b"tRNS", b"\x01\x00\x02\x00\x03\x00"), depth=16, rows=row)
    assert read_image(file).tolist() == [[[255, 255, 255], [0, 0, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    ("to_xyz", "gamma"), [pytest.param(ADOBE_TO_XYZ, 2.19921875, id="adobe"), pytest.param(P3_TO_XYZ, 1.8, id="p3")]
)
def test_a_profile_for_displays_is_applied(kind: str, to_xyz: Floats, gamma: float) -> None:
    image = gradient("RGB")
    all_options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }  # fmt: skip
    options = all_options.get(kind, {})
    pixels = read_as(image, kind, icc_profile=rgb_profile(to_xyz, gamma_curve(gamma)), **options)
    expected = xyz_to_srgb((stored(image) / 255) ** gamma @ to_xyz.T)
    assert np.abs(expected - stored(image)).max() > 30
    assert np.abs(pixels - expected).mean() <= (2 if kind == "JPEG" else 1)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_a_profile_is_applied_before_the_colour_lies_over_white(mode: str) -> None:
    image = gradient(mode)
    pixels = read_as(image, "PNG", icc_profile=rgb_profile(ADOBE_TO_XYZ, gamma_curve(2.19921875)))
    color = stored(image)[..., :3] if mode == "RGBA" else colors_of(image)
    corrected = xyz_to_srgb((color / 255) ** 2.19921875 @ ADOBE_TO_XYZ.T)
    expected = on_white(corrected, stored(image)[..., 3:]) if mode == "RGBA" else corrected
    assert np.abs(pixels - expected).mean() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_a_profile_for_greys_is_applied(mode: str) -> None:
    image = gradient(mode)
    pixels = read_as(image, "PNG", icc_profile=grey_profile(gamma_curve(1.0)))
    if mode == "LA":
        expected = on_white(grey(light_to_srgb(stored(image)[..., 0] / 255)), stored(image)[..., 1:])
    else:
        expected = light_to_srgb(MEANING[mode](image) / 255)
    assert np.abs(pixels - expected).max() <= 2


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_a_profile_for_inks_is_applied(kind: str) -> None:
    def lab_of(c: float, m: float, y: float, k: float) -> tuple[float, float, float]:
        return (
            100 * (1 - 0.4 * c) * (1 - 0.4 * m) * (1 - 0.1 * y) * (1 - k),
            20 * (m - c) * (1 - k),
            40 * (y - c) * (1 - k),
        )

    for inks in ((0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (255, 255, 255, 0), (0, 0, 0, 255)):
        image = Image.new("CMYK", (16, 16), inks)
        pixels = read_as(image, kind, icc_profile=ink_profile(lab_of))
        expected = lab_to_srgb(np.array(lab_of(*(ink / 255 for ink in inks))))
        assert np.abs(pixels - expected).max() <= 3, inks


def test_paper_becomes_white_and_the_darkest_print_black() -> None:
    profile = ink_profile(lambda c, m, y, k: (15 + 85 * (1 - max(c, m, y, k)), 0, 0), paper=(0.80, 0.82, 0.60))
    image = Image.new("CMYK", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 255, 255, 255))
    white, black = read_as(image, "TIFF", icc_profile=profile)[0].tolist()
    assert min(white) >= 254
    assert max(black) <= 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_pictures_tagged_as_srgb_are_not_changed_at_all(mode: str) -> None:
    profile = rgb_profile(SRGB_TO_XYZ, srgb_curve())
    assert srgb_correction(profile, "RGB") is None
    image = gradient(mode)
    assert np.array_equal(read_as(image, "PNG", icc_profile=profile), read_as(image, "PNG"))


def test_a_grey_profile_with_the_curve_of_srgb_changes_nothing() -> None:
    assert srgb_correction(grey_profile(srgb_curve()), "L") is None


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no profile at all" * 20, id="text"),
        pytest.param(rgb_profile(ADOBE_TO_XYZ, gamma_curve(2.2))[:200], id="cut"),
        pytest.param(grey_profile(gamma_curve(1.0)), id="for-greys"),
        pytest.param(ink_profile(lambda c, m, y, k: (50, 0, 0)), id="for-inks"),
    ],
)
def test_a_profile_that_is_broken_or_for_other_colours_is_ignored(profile: bytes) -> None:
    assert np.array_equal(read_as(gradient("RGB"), "TIFF", icc_profile=profile), stored(gradient("RGB")))


def test_the_definitions_used_here_are_each_others_inverse() -> None:
    values = np.linspace(0, 1, 256)
    assert np.abs(light_to_srgb(srgb_to_light(values)) - values * 255).max() < 0.01
