"""Masks drawn over pictures."""

from collections.abc import Sequence

import cv2
import numpy as np

from segtool.card import ClassInfo
from segtool.imaging.codec import Pixels


def palette(classes: Sequence[ClassInfo]) -> list[tuple[int, int, int]]:
    """Returns the colour of every id from 0 to the highest, black for ids between that are no class."""
    colors = {c.id: c.color for c in classes}
    return [colors.get(i, (0, 0, 0)) for i in range(max(colors) + 1)]


def tint(image: Pixels, mask: Pixels, colors: Sequence[tuple[int, int, int] | None], opacity: float) -> Pixels:
    """Returns `(H, W, 3)` uint8 with each class of `(H, W)` indices blended in: `image + opacity · (colour − image)`.

    A class whose colour is None shows the picture as it is.
    """
    # A blend a channel is a table lookup a class: no float picture is made.
    levels = np.arange(256, dtype=np.float32)
    painted = image.copy()
    for index, color in enumerate(colors):
        if color is None:
            continue
        table = np.stack([np.rint(levels + opacity * (channel - levels)) for channel in color], axis=-1)
        tinted = cv2.LUT(image, table.astype(np.uint8)[None])
        cv2.copyTo(tinted, (mask == index).astype(np.uint8), painted)
    return painted


def paint_colors(classes: Sequence[ClassInfo]) -> list[tuple[int, int, int] | None]:
    """Returns the colour of each class as overlays paint it: none for the background."""
    binary = len(classes) == 2
    return [None if c.name == "background" or (binary and i == 0) else c.color for i, c in enumerate(classes)]
