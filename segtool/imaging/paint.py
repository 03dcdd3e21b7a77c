"""Masks drawn over pictures."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from segtool.card import ClassInfo
from segtool.imaging.codec import Pixels
from segtool.imaging.legend import Color, legend_box
from segtool.imaging.windows import strips, windows
from segtool.options import STYLES

Colors = Sequence[Color | None]
Style = Callable[[Pixels, Pixels, Colors, float], Pixels]

# Sizes in pixels, as a share of √(height · width): 12 megapixels get lines of 14 pixels, 200 × 150 of 1.
LINE_SHARE = 1 / 250
GAP_SHARE = 1 / 100
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
RIM_DARK: Color = (0, 0, 0)
RIM_LIGHT: Color = (255, 255, 255)
RIM_LIGHT_BELOW = 128  # the luma of a class colour that needs a light rim


def palette(classes: Sequence[ClassInfo]) -> list[Color]:
    """Returns the colour of every id from 0 to the highest, black for ids between that are no class."""
    colors = {c.id: c.color for c in classes}
    return [colors.get(i, (0, 0, 0)) for i in range(max(colors) + 1)]


def paint_colors(classes: Sequence[ClassInfo]) -> list[Color | None]:
    """Returns the colour of each class as overlays paint it: none for the background."""
    binary = len(classes) == 2
    return [None if c.name == "background" or (binary and i == 0) else c.color for i, c in enumerate(classes)]


def legend_entries(classes: Sequence[ClassInfo]) -> list[tuple[str, Color]] | None:
    """Returns name and colour of each class, as `paint` takes them; None for two classes, which need no legend."""
    return [(c.name, c.color) for c in classes] if len(classes) > 2 else None


def paint(
    image: Pixels, mask: Pixels, *, style: str, colors: Colors, opacity: float,
    legend: Sequence[tuple[str, Color]] | None = None,
) -> Pixels:  # fmt: skip
    """Returns `(H, W, 3)` uint8 RGB, the picture with its `(H, W)` uint8 class indices drawn in one of STYLES.

    `legend` holds name and colour of each class in the order of `colors`. Those painted and present in this mask are
    shown, where there is room; not with `dim`, which paints no colours. Raises ValueError for an unknown style, or a
    legend of another length. The result of `side-by-side` is wider: `2 · W` and a gap.
    """
    if style not in STYLES:
        raise ValueError(f"There is no style {style!r}: give one of {', '.join(STYLES)}.")
    painted = STYLE_FUNCTIONS[style](image, mask, colors, opacity)
    if legend is not None and style != "dim":
        if len(legend) != len(colors):
            raise ValueError(f"A legend of {len(legend)} classes for {len(colors)} colours.")
        height, width = mask.shape
        box = legend_box(_present(mask, colors, legend), height, width)
        if box is not None:
            left = painted.shape[1] - width  # the right half where there are two
            painted[: box.shape[0], left : left + box.shape[1]] = box
    return painted


def tint(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> Pixels:
    """Returns `(H, W, 3)` uint8 with each class of `(H, W)` indices blended in: `image + opacity · (colour − image)`.

    A class whose colour is None, and a value beyond the colours, shows the picture as it is.
    """
    tables = _color_tables(colors)
    untouched = _table(colors, painted=0, unpainted=255)
    painted = np.empty_like(image)
    # Strips of colours by table, then one blend: the time is the same for 2 and for 12 classes.
    for rows in strips(*mask.shape):
        indices = mask[rows]
        ground = cv2.merge([cv2.LUT(indices, table) for table in tables])
        cv2.addWeighted(image[rows], 1 - opacity, ground, opacity, 0, dst=painted[rows])
        cv2.copyTo(image[rows], cv2.LUT(indices, untouched), painted[rows])
    return painted


def contour(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> Pixels:
    """Returns `(H, W, 3)` uint8 with an outline in each class's colour just inside its regions, blended by `opacity`.

    A border pixel has one of its four neighbours in another class. Pixels less than the line's width from one are
    line, those up to the rim's width from them are rim: black beside light colours and white beside dark ones, so that
    one of the two stands out from any ground. Both lie within the painted classes: what is not painted stays as it is.
    """
    # 12 megapixels (benchmarks/painting.py): 78 ms for one object, 232 ms for 11 classes of many borders; tint 41, 57.
    line, rim = line_widths(*mask.shape)
    rims: Colors = [c and (RIM_LIGHT if np.dot(c, LUMA) < RIM_LIGHT_BELOW else RIM_DARK) for c in colors]
    painted = image.copy()
    for window in windows(*mask.shape, margin=line + rim):
        indices = mask[window.outer]
        low, high, _, _ = cv2.minMaxLoc(indices)
        if low == high:
            continue
        lined = cv2.dilate(_border_pixels(indices), _disc(line - 1))
        rimmed = cv2.dilate(lined, _disc(rim))
        here, seen = image[window.inner], mask[window.inner]
        for near, tones in ((rimmed, rims), (lined, colors)):
            cv2.copyTo(tint(here, seen, tones, opacity), near[window.within], painted[window.inner])
    return painted


def dim(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> Pixels:
    """Returns `(H, W, 3)` uint8 where all but the painted classes has lost `opacity` of its colour and its light:
    `(1 − o) · (image + o · (grey − image))`, grey being the luma of BT.601.
    """
    keep = 1 - opacity
    matrix = keep * (keep * np.eye(3) + opacity * np.tile(LUMA, (3, 1)))
    objects = _table(colors, painted=255, unpainted=0)
    painted = np.empty_like(image)
    for rows in strips(*mask.shape):
        cv2.transform(image[rows], matrix.astype(np.float32), dst=painted[rows])
        cv2.copyTo(image[rows], cv2.LUT(mask[rows], objects), painted[rows])
    return painted


def side_by_side(image: Pixels, mask: Pixels, colors: Colors, opacity: float) -> Pixels:
    """Returns `(H, 2 · W + gap, 3)` uint8: the picture, a white gap of `gap_width` pixels, and the picture tinted."""
    gap = np.full((image.shape[0], gap_width(*mask.shape), 3), 255, np.uint8)
    return np.hstack([image, gap, tint(image, mask, colors, opacity)])


STYLE_FUNCTIONS: dict[str, Style] = {"tint": tint, "contour": contour, "dim": dim, "side-by-side": side_by_side}


def line_widths(height: int, width: int) -> tuple[int, int]:
    """Returns the widths in pixels of a contour's line and of its rim, for a picture of this size."""
    line = max(1, round(LINE_SHARE * math.sqrt(height * width)))
    return line, max(1, round(line / 3))


def gap_width(height: int, width: int) -> int:
    """Returns the width in pixels of the gap between two pictures of this size."""
    return max(2, round(GAP_SHARE * math.sqrt(height * width)))


def _color_tables(colors: Colors) -> list[Pixels]:
    tables = np.zeros((3, 256), np.uint8)
    for index, color in enumerate(colors):
        tables[:, index] = color or 0
    return list(tables)


def _table(colors: Colors, *, painted: int, unpainted: int) -> Pixels:
    table = np.full(256, unpainted, np.uint8)
    table[[i for i, color in enumerate(colors) if color is not None]] = painted
    return table


def _border_pixels(mask: Pixels) -> Pixels:
    border = np.zeros_like(mask)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    for part, differs in ((border[:, 1:], across), (border[:, :-1], across), (border[1:], down), (border[:-1], down)):
        part[differs] = 1
    return border


def _disc(radius: int) -> Pixels:
    # Half a pixel more than the radius: without it a disc has four spikes.
    steps = np.arange(-radius, radius + 1) ** 2
    return (steps[:, None] + steps <= (radius + 0.5) ** 2).astype(np.uint8)


def _present(mask: Pixels, colors: Colors, legend: Sequence[tuple[str, Color]]) -> list[tuple[str, Color]]:
    # np.bincount would first make a 64-bit copy of the mask.
    counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()
    return [entry for i, entry in enumerate(legend) if colors[i] is not None and counts[i]]
