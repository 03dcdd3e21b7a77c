"""The names of classes beside their colours, on a box for the corner of a picture."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtool.imaging.codec import Pixels

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Text height as a share of √(height · width): 77 pixels for 12 megapixels, 20 where such a photo is shown 1000 wide.
TEXT_SHARE = 1 / 45
MIN_TEXT = 10  # smaller letters cannot be read
MAX_WIDTH_SHARE, MAX_HEIGHT_SHARE = 1 / 2, 2 / 3  # of the picture: together at most a third of it is covered
ROW, PAD = 1.4, 0.5  # of the text height
BOX, INK = (24, 24, 24), (255, 255, 255)
ELLIPSIS = "…"


def legend_box(entries: Sequence[tuple[str, Color]], height: int, width: int) -> Pixels | None:
    """Returns the `(h, w, 3)` uint8 RGB box for a picture of this size, or None where it does not fit or is empty.

    One row an entry, a swatch and the name; text grows with the picture, shrinks to `MIN_TEXT` before the box is left
    out, and a name that is too long is cut with an ellipsis.
    """
    fitting = math.floor(MAX_HEIGHT_SHARE * height / (ROW * len(entries) + 2 * PAD)) if entries else 0
    size = min(max(MIN_TEXT, round(TEXT_SHARE * math.sqrt(height * width))), fitting)
    pad = round(PAD * size)
    room = math.floor(MAX_WIDTH_SHARE * width) - size - 3 * pad
    if size < MIN_TEXT or room < 3 * size:
        return None
    font = legend_font(size)
    names = [_cut(name, font, room) for name, _ in entries]
    row = math.floor(ROW * size)
    text_width = max(math.ceil(font.getlength(name)) for name in names)
    box = Image.new("RGB", (size + text_width + 3 * pad, row * len(entries) + 2 * pad), BOX)
    draw = ImageDraw.Draw(box)
    for i, (name, (_, color)) in enumerate(zip(names, entries, strict=True)):
        top = pad + i * row + (row - size) // 2
        # The box is dark, and so may a colour be.
        draw.rectangle((pad, top, pad + size - 1, top + size - 1), fill=color, outline=INK, width=max(1, size // 16))
        draw.text((2 * pad + size, pad + i * row + row / 2), name, fill=INK, font=font, anchor="lm")
    return np.asarray(box)


def legend_font(size: int) -> Font:
    """Returns a font of `size` pixels.

    DejaVu Sans as Matplotlib carries it: Latin, Greek, Cyrillic, Hebrew, Arabic. The font inside Pillow has no letters
    beyond ASCII, not even ä; it stands in where Matplotlib has no fonts. Letters that neither has show as boxes.
    """
    matplotlib = importlib.util.find_spec("matplotlib")  # found, not imported: that takes a second
    if matplotlib and matplotlib.origin:
        path = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    return ImageFont.load_default(size)


def _cut(name: str, font: Font, room: float) -> str:
    """Returns `name` on one line, its end replaced by an ellipsis where it is longer than `room` pixels."""
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if font.getlength(line) <= room:
        return line
    for end in range(len(line) - 1, 0, -1):
        shorter = line[:end].rstrip() + ELLIPSIS
        if font.getlength(shorter) <= room:
            return shorter
    return ELLIPSIS
