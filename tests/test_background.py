"""New backgrounds behind cutouts."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from segtool.errors import ImageError, UsageError
from segtool.imaging.background import blurred_background, covering, on_background, parse_background
from segtool.imaging.codec import Pixels
from segtool.imaging.cutout import cutout
from segtool.imaging.encode import encode_png

RED, BLUE, GREEN = (220, 20, 20), (20, 40, 200), (20, 200, 40)


def random_rgba(height: int, width: int) -> Pixels:
    """Every opacity beside every colour, and much that is fully opaque or transparent, as in cutouts."""
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (height, width, 4), np.uint8)
    rgba[: height // 3, :, 3] = 255
    rgba[-height // 3 :, :, 3] = 0
    return rgba


def laid(rgba: Pixels, ground: Pixels) -> Pixels:
    """Rounded to the nearest; halves there are none, 255 being odd."""
    colors, opacity = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return np.asarray(np.rint((opacity * colors + (255 - opacity) * ground) / 255), np.uint8)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (255, 0, 255), (1, 127, 254)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (90, 80), (600, 700)])
def test_a_cutout_lies_over_a_colour_to_the_very_level(color: tuple[int, int, int], shape: tuple[int, int]) -> None:
    rgba = random_rgba(*shape)
    image = np.zeros((*shape, 3), np.uint8)
    ground = np.full_like(image, color)
    assert np.array_equal(on_background(rgba, color, image=image), laid(rgba, ground))


def test_every_opacity_of_every_level_is_rounded_to_the_nearest() -> None:
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[..., 3] = np.arange(256)[:, None]
    rgba[..., :3] = np.arange(256)[:, None]
    for level in (0, 1, 100, 254, 255):
        image = np.full((256, 256, 3), level, np.uint8)
        assert np.array_equal(on_background(rgba, (level, level, level), image=image), laid(rgba, image))


def test_a_picture_of_the_same_size_is_the_background_and_stays_as_it_was() -> None:
    rgba = random_rgba(90, 80)
    picture = np.random.default_rng(1).integers(0, 256, (90, 80, 3), np.uint8)
    before = rgba.copy(), picture.copy()
    assert np.array_equal(on_background(rgba, picture, image=picture), laid(rgba, picture))
    assert np.array_equal(rgba, before[0])
    assert np.array_equal(picture, before[1])


@pytest.mark.parametrize(("height", "width"), [(30, 40), (60, 80), (45, 300), (200, 20), (1, 1), (1, 999), (999, 1)])
def test_a_picture_covers_with_its_middle_undistorted(height: int, width: int) -> None:
    ys, xs = np.mgrid[:90, :120]
    picture = np.stack([xs * 2, ys * 2, np.zeros_like(xs)], axis=-1).astype(np.uint8)
    covered = covering(picture, height, width).astype(float)
    assert covered.shape == (height, width, 3)
    centre = covered[[0, -1]][:, [0, -1]].mean(axis=(0, 1))
    assert np.abs(centre - (119, 89, 0)).max() <= 3
    step = max(height / 90, width / 120)  # how many pixels one of the picture has become
    for axis, length, channel in ((1, width, 0), (0, height, 1)):
        spread = covered[..., channel].max(axis=axis).min() - covered[..., channel].min(axis=axis).max()
        assert abs(spread - 2 * min((length - 1) / step, (119, 89)[channel])) <= 4 + 2 / step


def test_a_blurred_background_holds_nothing_of_the_object() -> None:
    image = np.full((300, 400, 3), BLUE, np.uint8)
    alpha = np.zeros((300, 400), np.uint8)
    cv2.circle(alpha, (200, 150), 80, 255, -1, cv2.LINE_AA)
    image[alpha > 0] = RED
    blurred = blurred_background(image, alpha)
    assert np.abs(blurred.astype(int) - BLUE).max() <= 1
    large, reaching = (a.repeat(4, axis=0).repeat(4, axis=1) for a in (image, alpha))
    short = np.asarray(cv2.erode(reaching, np.ones((5, 5), np.uint8)), np.uint8)  # ends 2 pixels within the object
    assert np.abs(blurred_background(large, short).astype(int) - BLUE).max() <= 1
    assert cv2.GaussianBlur(image, (0, 0), 9)[..., 0].max() > 200  # the plain blur is full of it


def test_a_blurred_background_keeps_its_colours_where_they_are() -> None:
    image = np.full((300, 400, 3), BLUE, np.uint8)
    image[:, 200:] = GREEN
    alpha = np.zeros((300, 400), np.uint8)
    alpha[100:200, 150:250] = 255
    image[alpha > 0] = RED
    blurred = blurred_background(image, alpha).astype(int)
    assert np.abs(blurred[:, :100] - BLUE).max() <= 1
    assert np.abs(blurred[:, 300:] - GREEN).max() <= 1
    edge = blurred[20, 150:250, 1]
    assert edge[0] < 60 < 110 < edge[50] < 130 < 180 < edge[-1]  # and the border between them is soft


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (20, 30), (700, 900)])
@pytest.mark.parametrize("opacity", [0, 100, 255])
def test_there_is_a_blurred_background_whatever_the_object_covers(shape: tuple[int, int], opacity: int) -> None:
    image = np.full((*shape, 3), GREEN, np.uint8)
    rgba = cutout(image, np.full(shape, opacity, np.uint8))
    assert np.abs(on_background(rgba, "blur", image=image).astype(int) - GREEN).max() <= 1


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("#ff8000", (255, 128, 0)),
        ("#F80", (255, 136, 0)),
        ("white", (255, 255, 255)),
        ("RebeccaPurple", (102, 51, 153)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
    ],
)
def test_a_background_is_a_colour_by_code_or_name(text: str, color: tuple[int, int, int]) -> None:
    assert parse_background(text) == color


@pytest.mark.parametrize("text", ["blur", "Blur"])
def test_a_background_is_the_blurred_photo_by_name(text: str) -> None:
    assert parse_background(text) == "blur"


def test_a_background_is_a_picture_file_that_is_read_at_once(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (9, 8, 3), np.uint8)
    (tmp_path / "red").write_bytes(encode_png(picture))
    assert np.array_equal(np.asarray(parse_background(str(tmp_path / "red"))), picture)


@pytest.mark.parametrize(
    "text", ["beach.jpg", "#ff80", "#12", "#ff800080", "rgba(1,2,3,4)", "", "no/where.png", "x" * 999]
)
def test_what_is_no_background_is_named_with_what_to_give(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        parse_background(text)
    assert str(error.value) == (
        f"Background {text!r} is no colour, and there is no such file: give #rrggbb, a CSS colour name, blur, or a "
        "picture file."
    )
    with pytest.raises(UsageError, match="no such file"):
        parse_background(str(tmp_path))


def test_a_background_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"notes\.png"):
        parse_background(str(path))
