"""Masks drawn over pictures."""

import numpy as np
import numpy.typing as npt
import pytest

from segtool.card import ClassInfo
from segtool.data.classes import PALETTE, class_color
from segtool.imaging import paint as painting
from segtool.imaging.codec import Pixels
from segtool.imaging.legend import MIN_TEXT, legend_box, legend_font
from segtool.imaging.paint import (
    contour,
    dim,
    gap_width,
    legend_entries,
    line_widths,
    paint,
    paint_colors,
    palette,
    side_by_side,
    tint,
)
from segtool.options import STYLES

Color = tuple[int, int, int]
Colors = list[Color | None]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

COLORS: Colors = [None, (255, 0, 0), (0, 158, 115), (230, 159, 0)]


def picture() -> tuple[Pixels, Pixels]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, 30, 3), np.uint8), rng.integers(0, len(COLORS), (40, 30), np.uint8)


def blobs(height: int, width: int) -> tuple[Pixels, Pixels]:
    """A picture of noise, and a mask of discs of every class, of single pixels, and of a value beyond the colours."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    ys, xs = np.mgrid[:height, :width]
    for i in range(14):
        y, x, radius = rng.integers(height), rng.integers(width), rng.integers(5, height // 5)
        mask[(ys - y) ** 2 + (xs - x) ** 2 < radius**2] = i % len(COLORS)
    mask[rng.integers(0, height, 20), rng.integers(0, width, 20)] = 1
    mask[:20, :30] = 255
    return image, mask


def blended(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> Floats:
    expected = image.astype(np.float64)
    for index, color in enumerate(colors):
        if color is not None:
            here = mask == index
            expected[here] += opacity * (np.array(color) - expected[here])
    return expected


def is_painted(mask: Pixels, colors: Colors) -> Bools:
    return np.isin(mask, [i for i, color in enumerate(colors) if color is not None])


def within(here: Bools, radius: float) -> Bools:
    """Where a pixel of `here` lies at a distance of at most `radius`."""
    reach = int(radius)
    padded = np.pad(here, reach)
    height, width = here.shape
    near = np.zeros_like(here)
    for y in range(2 * reach + 1):
        for x in range(2 * reach + 1):
            if (y - reach) ** 2 + (x - reach) ** 2 <= radius**2:
                near |= padded[y : y + height, x : x + width]
    return near


def contoured(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> Floats:
    """The outline by its definition: pixels near one with a neighbour of another class."""
    padded = np.pad(mask, 1, mode="edge")
    border = np.zeros(mask.shape, bool)
    for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        border |= neighbour != mask
    line, rim = line_widths(*mask.shape)
    lined = within(border, line - 0.5)
    rimmed = within(lined, rim + 0.5)
    rims: Colors = [
        None if c is None else (255,) * 3 if np.dot(c, (0.299, 0.587, 0.114)) < 128 else (0,) * 3 for c in colors
    ]
    expected = image.astype(np.float64)
    expected[rimmed] = blended(image, mask, rims, opacity)[rimmed]
    expected[lined] = blended(image, mask, colors, opacity)[lined]
    return expected


@pytest.mark.parametrize("opacity", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_tint_moves_each_pixel_towards_the_colour_of_its_class(opacity: float) -> None:
    image, mask = picture()
    tinted = tint(image, mask, COLORS, opacity)
    assert tinted.shape == image.shape
    assert tinted.dtype == np.uint8
    assert np.abs(tinted - blended(image, mask, COLORS, opacity)).max() <= 1


def test_tint_is_the_same_where_a_picture_is_painted_strip_by_strip() -> None:
    image, mask = blobs(1100, 300)
    assert np.abs(tint(image, mask, COLORS, 0.4) - blended(image, mask, COLORS, 0.4)).max() <= 1


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


@pytest.mark.parametrize("opacity", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("share", [1 / 250, 1 / 30])
def test_contour_outlines_every_region_just_inside_its_border(
    opacity: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "LINE_SHARE", share)
    image, mask = blobs(290, 530)  # more than one window each way
    difference = np.abs(contour(image, mask, COLORS, opacity) - contoured(image, mask, COLORS, opacity))
    assert difference.max() <= (0 if opacity in (0, 1) else 1)


def test_contour_leaves_what_is_not_painted_as_it_is() -> None:
    image, mask = blobs(120, 100)
    drawn = contour(image, mask, COLORS, 1.0)
    unpainted = ~is_painted(mask, COLORS)
    assert np.array_equal(drawn[unpainted], image[unpainted])
    assert not np.array_equal(drawn, image)


def test_contour_draws_no_line_between_two_classes_that_are_not_painted() -> None:
    image, mask = picture()
    assert np.array_equal(contour(image, mask, [None] * 4, 1.0), image)


def test_a_contour_grows_with_the_picture() -> None:
    assert line_widths(150, 200) == (1, 1)
    assert line_widths(3000, 4000) == (14, 5)


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.5, 1.0])
def test_dim_takes_light_and_colour_from_all_that_is_not_painted(opacity: float) -> None:
    image, mask = blobs(300, 1100)
    grey = image.astype(np.float64) @ (0.299, 0.587, 0.114)
    expected = (1 - opacity) * (image + opacity * (grey[..., None] - image))
    objects = is_painted(mask, COLORS)
    expected[objects] = image[objects]
    dimmed = dim(image, mask, COLORS, opacity)
    assert np.abs(dimmed - expected).max() <= 1
    assert np.array_equal(dimmed[objects], image[objects])


def test_dim_by_nothing_is_the_picture_and_by_all_is_black_behind_the_objects() -> None:
    image, mask = picture()
    assert np.array_equal(dim(image, mask, COLORS, 0.0), image)
    assert not dim(image, mask, COLORS, 1.0)[mask == 0].any()


def test_side_by_side_shows_the_picture_a_white_gap_and_the_picture_tinted() -> None:
    image, mask = blobs(300, 400)
    gap = gap_width(300, 400)
    both = side_by_side(image, mask, COLORS, 0.5)
    assert both.shape == (300, 2 * 400 + gap, 3)
    assert np.array_equal(both[:, :400], image)
    assert (both[:, 400 : 400 + gap] == 255).all()
    assert np.array_equal(both[:, 400 + gap :], tint(image, mask, COLORS, 0.5))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2)])
def test_every_style_takes_the_smallest_pictures(style: str, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 100, np.uint8)
    mask = (np.arange(image.size // 3, dtype=np.uint8) % 3).reshape(shape)
    legend = [("a", (1, 1, 1))] * len(COLORS)
    painted = paint(image, mask, style=style, colors=COLORS, opacity=0.5, legend=legend)
    assert painted.shape[0] == shape[0]
    assert painted.dtype == np.uint8


@pytest.mark.parametrize("style", STYLES)
def test_paint_is_the_style_by_its_name_and_changes_nothing_it_was_given(style: str) -> None:
    image, mask = blobs(90, 80)
    before = image.copy(), mask.copy()
    functions = {"tint": tint, "contour": contour, "dim": dim, "side-by-side": side_by_side}
    painted = paint(image, mask, style=style, colors=COLORS, opacity=0.5)
    assert np.array_equal(painted, functions[style](image, mask, COLORS, 0.5))
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


def test_an_unknown_style_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'glow': give one of tint, contour, dim, side-by-side"):
        paint(*picture(), style="glow", colors=COLORS, opacity=0.5)


LEGEND: list[tuple[str, Color]] = [
    ("background", (0, 0, 0)),
    ("car", (255, 0, 0)),
    ("road", (0, 158, 115)),
    ("person", (230, 159, 0)),
]


def test_the_legend_lies_over_the_upper_left_corner_of_the_painted_picture() -> None:
    image, mask = blobs(300, 400)
    box = legend_box(LEGEND[1:], 300, 400)
    assert box is not None
    height, width = box.shape[:2]
    for style, left in (("tint", 0), ("contour", 0), ("side-by-side", 400 + gap_width(300, 400))):
        bare = paint(image, mask, style=style, colors=COLORS, opacity=0.5)
        bare[:height, left : left + width] = box
        assert np.array_equal(paint(image, mask, style=style, colors=COLORS, opacity=0.5, legend=LEGEND), bare)


def test_the_legend_shows_only_painted_classes_that_are_in_the_mask() -> None:
    image, mask = blobs(300, 400)
    mask[mask == 2] = 0
    box = legend_box([LEGEND[1], LEGEND[3]], 300, 400)
    assert box is not None
    drawn = paint(image, mask, style="tint", colors=COLORS, opacity=0.5, legend=LEGEND)
    assert np.array_equal(drawn[: box.shape[0], : box.shape[1]], box)


def test_a_mask_of_background_has_no_legend() -> None:
    image, _ = blobs(300, 400)
    mask = np.zeros((300, 400), np.uint8)
    assert np.array_equal(paint(image, mask, style="tint", colors=COLORS, opacity=0.5, legend=LEGEND), image)


def test_dim_has_no_legend_for_it_paints_no_colours() -> None:
    image, mask = blobs(300, 400)
    assert np.array_equal(
        paint(image, mask, style="dim", colors=COLORS, opacity=0.5, legend=LEGEND), dim(image, mask, COLORS, 0.5)
    )


def test_a_legend_of_another_length_than_the_colours_is_refused() -> None:
    with pytest.raises(ValueError, match="legend of 3 classes for 4 colours"):
        paint(*picture(), style="tint", colors=COLORS, opacity=0.5, legend=LEGEND[1:])


def test_two_classes_need_no_legend() -> None:
    classes = [ClassInfo(i, f"class {i}", class_color(i)) for i in range(3)]
    assert legend_entries(classes[:2]) is None
    assert legend_entries(classes) == [(c.name, c.color) for c in classes]


def test_a_legend_shows_a_swatch_of_each_colour_and_white_letters() -> None:
    box = legend_box(LEGEND, 600, 800)
    assert box is not None
    counts = {color: int((box == color).all(axis=2).sum()) for _, color in LEGEND}
    assert min(counts.values()) > 100, counts
    assert (box[:, box.shape[1] // 2 :] == 255).any()


@pytest.mark.parametrize(("height", "width"), [(150, 200), (768, 1024), (3000, 4000), (400, 4000), (4000, 400)])
@pytest.mark.parametrize("count", [1, 4, 11, 64])
def test_a_legend_covers_at_most_a_third_of_the_picture(height: int, width: int, count: int) -> None:
    box = legend_box([(f"class number {i}", (i, i, i)) for i in range(count)], height, width)
    if box is None:
        assert count * 1.4 * MIN_TEXT > height / 2  # only where there is no room
    else:
        assert box.shape[0] <= height * 2 / 3 + 1
        assert box.shape[1] <= width / 2


def test_the_letters_of_a_legend_grow_with_the_picture() -> None:
    heights = []
    for side in (200, 1000, 4000):
        box = legend_box(LEGEND[1:], side, side)
        assert box is not None
        heights.append(box.shape[0] / 3)
    assert heights[0] > MIN_TEXT
    assert heights[1] > 1.5 * heights[0]
    assert heights[2] > 3.9 * heights[1]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 20), (30, 500), (500, 30)])
def test_a_picture_too_small_for_a_legend_gets_none(height: int, width: int) -> None:
    assert legend_box(LEGEND, height, width) is None
    assert legend_box([], 1000, 1000) is None


def test_a_name_that_is_too_long_is_cut_with_an_ellipsis() -> None:
    name = "anameofmanylettersthatgoesonandonandon"
    box = legend_box([(name, (9, 9, 9))], 300, 300)
    assert box is not None
    assert box.shape[1] <= 150

    def shows(text: str) -> bool:
        return np.array_equal(box, np.asarray(legend_box([(text, (9, 9, 9))], 300, 300)))

    end = next(i for i in range(1, 30) if shows(name[:i] + "…"))
    assert not any(shows(name[:i]) for i in range(1, end + 1))


def test_a_name_of_several_lines_stays_on_its_row() -> None:
    plain, broken = (legend_box([(name, (9, 9, 9))], 900, 900) for name in ("traffic light", " traffic\n\tlight\0"))
    assert plain is not None
    assert broken is not None
    assert np.array_equal(plain, broken)


@pytest.mark.parametrize("name", ["Größe", "čšž", "человек", "άνθρωπος", "אדם", "a–b…"])
def test_letters_beyond_ascii_are_drawn_as_letters(name: str) -> None:
    font = legend_font(20)
    missing = bytes(font.getmask("\U0010ffff"))
    assert all(bytes(font.getmask(letter)) != missing for letter in name)


# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE
# TVCG 15(6), severity 1.0: they act on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
    "deuteranopia": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "tritanopia": [(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)],
}


def lab(colors: list[Color], vision: str) -> Floats:
    """CIELAB (D65) of sRGB colours (IEC 61966-2-1) as seen by `vision`."""
    encoded = np.array(colors) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    to_xyz = [(0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)]
    xyz = seen @ np.array(to_xyz).T / (0.95047, 1, 1.08883)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("count", range(2, len(PALETTE) + 1))
def test_the_colour_blind_can_tell_the_default_colours_apart(count: int, vision: str) -> None:
    """The smallest ΔE*ab (CIE 1976) between any two: normal 26.4 for 8 and 20.1 for 12 colours, protanopia 20.7 and
    20.5, deuteranopia 17.0 (orange and yellow), tritanopia 16.1 (sky blue and green).
    """
    seen = lab([class_color(i) for i in range(count)], vision)
    distances = np.linalg.norm(seen[:, None] - seen, axis=2)[~np.eye(count, dtype=bool)]
    assert distances.min() >= 16
