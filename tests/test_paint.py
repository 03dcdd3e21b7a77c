"""Masks drawn over pictures."""

import numpy as np
import numpy.typing as npt
import pytest

from segtool.card import ClassInfo
from segtool.imaging.codec import Pixels
from segtool.imaging.paint import paint_colors, palette, tint

Colors = list[tuple[int, int, int] | None]

COLORS: Colors = [None, (255, 0, 0), (0, 128, 64), (230, 159, 0)]


def picture() -> tuple[Pixels, Pixels]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, 30, 3), np.uint8), rng.integers(0, len(COLORS), (40, 30), np.uint8)


def blended(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> npt.NDArray[np.float64]:
    expected = image.astype(np.float64)
    for index, color in enumerate(colors):
        if color is not None:
            here = mask == index
            expected[here] += opacity * (np.array(color) - expected[here])
    return expected


@pytest.mark.parametrize("opacity", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_tint_moves_each_pixel_towards_the_colour_of_its_class(opacity: float) -> None:
    image, mask = picture()
    tinted = tint(image, mask, COLORS, opacity)
    assert tinted.shape == image.shape
    assert tinted.dtype == np.uint8
    assert np.abs(tinted - blended(image, mask, COLORS, opacity)).max() <= 1


def test_a_class_without_colour_shows_the_picture_as_it_is() -> None:
    image, mask = picture()
    assert np.array_equal(tint(image, mask, COLORS, 0.5)[mask == 0], image[mask == 0])


def test_a_value_beyond_the_colours_shows_the_picture_as_it_is() -> None:
    image, mask = picture()
    mask[:5] = 255
    assert np.array_equal(tint(image, mask, COLORS, 0.5)[:5], image[:5])


def test_full_opacity_paints_the_very_colour() -> None:
    image, mask = picture()
    assert np.unique(tint(image, mask, COLORS, 1.0)[mask == 3], axis=0).tolist() == [[230, 159, 0]]


def test_tint_leaves_the_picture_given_to_it_alone() -> None:
    image, mask = picture()
    before = image.copy()
    tint(image, mask, COLORS, 1.0)
    assert np.array_equal(image, before)


def test_a_palette_holds_every_id_and_black_for_those_that_are_no_class() -> None:
    classes = [ClassInfo(3, "car", (9, 8, 7)), ClassInfo(1, "road", (1, 2, 3))]
    assert palette(classes) == [(0, 0, 0), (1, 2, 3), (0, 0, 0), (9, 8, 7)]


@pytest.mark.parametrize(
    ("names", "painted"),
    [
        (("background", "person"), [False, True]),
        (("sky", "rest"), [False, True]),
        (("background", "car", "road"), [False, True, True]),
        (("road", "car", "background"), [True, True, False]),
        (("road", "car", "person"), [True, True, True]),
    ],
)
def test_overlays_paint_every_class_but_the_background(names: tuple[str, ...], painted: list[bool]) -> None:
    classes = [ClassInfo(i, name, (i, i, i)) for i, name in enumerate(names)]
    assert paint_colors(classes) == [c.color if p else None for c, p in zip(classes, painted, strict=True)]
