"""The classes.json to write: ready to paste, and read by `read_classes_file` as it stands."""

import json
from collections.abc import Iterable, Sequence

from segtool.card import ClassInfo
from segtool.data.classes import class_color

MAX_CLASSES = 64  # with more colours or levels than that it is no mask
NAMED_COLORS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (255, 0, 0), "green": (0, 255, 0),
    "blue": (0, 0, 255), "yellow": (255, 255, 0), "cyan": (0, 255, 255), "magenta": (255, 0, 255),
    "orange": (255, 128, 0), "pink": (255, 160, 200), "brown": (128, 64, 0), "maroon": (128, 0, 0),
    "dark green": (0, 128, 0), "navy": (0, 0, 128), "olive": (128, 128, 0), "teal": (0, 128, 128),
    "purple": (128, 0, 128),
}  # fmt: skip


def classes_json(classes: Sequence[ClassInfo], ignore_id: int | None) -> str:
    """Returns the text of a `classes.json`, a class a line."""
    lines = ",\n".join(
        f'  {{"id": {c.id}, "name": {json.dumps(c.name, ensure_ascii=False)}, "color": {list(c.color)}}}'
        for c in classes
    )
    return f'{{"classes": [\n{lines}\n], "ignore_id": {json.dumps(ignore_id)}}}\n'


def classes_of_colors(colors: Iterable[int]) -> tuple[ClassInfo, ...]:
    """Returns a class a packed colour, in the order given but black first, named after the colour it resembles."""
    ordered = sorted(colors, key=lambda color: color != 0)
    names: dict[str, int] = {}
    for number, color in enumerate(ordered):
        name = "background" if number == 0 else _color_name(color)
        while name in names:
            stem, _, last = name.rpartition(" ")
            name = f"{stem} {int(last) + 1}" if last.isdigit() else f"{name} 2"
        names[name] = color
    return tuple(ClassInfo(i, name, unpack(color)) for i, (name, color) in enumerate(names.items()))


def classes_of_values(values: Iterable[int]) -> tuple[ClassInfo, ...]:
    """Returns a class a mask value, named by it; the first is the background."""
    ordered = sorted(values)
    names = ["background", "foreground"] if len(ordered) == 2 else ["background", *(f"value {v}" for v in ordered[1:])]
    return tuple(ClassInfo(v, names[i], class_color(i)) for i, v in enumerate(ordered))


def pack(color: tuple[int, int, int]) -> int:
    """Returns RGB as one number, `r << 16 | g << 8 | b`."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def unpack(color: int) -> tuple[int, int, int]:
    """Returns the RGB of such a number."""
    return color >> 16, color >> 8 & 255, color & 255


def _color_name(color: int) -> str:
    rgb = unpack(color)
    return min(NAMED_COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(rgb, NAMED_COLORS[name], strict=True)))
