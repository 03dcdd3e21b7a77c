"""A large picture walked in pieces that stay in the processor's cache, with the pixels around each."""

from collections.abc import Iterator
from dataclasses import dataclass

# Float RGB of 128 × 128 is 200 kB. Borders cover a small part of a picture: pieces without one are passed over.
# Cutting 12 megapixels out took 230 ms with 64 or 128, 320 ms with 256.
WINDOW = 128
# A tint of 12 megapixels took 37 ms in strips of this many pixels, 48 ms as a whole; and needs no second picture.
STRIP_PIXELS = 1 << 18

Area = tuple[slice, slice]


@dataclass(frozen=True)
class Window:
    """One piece of a picture: `inner` in the picture, the larger `outer` around it, and `inner` as `within` outer."""

    inner: Area
    outer: Area
    within: Area


def windows(height: int, width: int, *, margin: int) -> Iterator[Window]:
    """Yields pieces that cover a picture once, each with up to `margin` pixels around it."""
    for y in range(0, height, WINDOW):
        for x in range(0, width, WINDOW):
            rows, cols = slice(y, min(y + WINDOW, height)), slice(x, min(x + WINDOW, width))
            tall, wide = _grown(rows, margin, height), _grown(cols, margin, width)
            yield Window((rows, cols), (tall, wide), (_seen_from(rows, tall), _seen_from(cols, wide)))


def strips(height: int, width: int) -> Iterator[slice]:
    """Yields the rows of strips that cover a picture once."""
    rows = max(1, STRIP_PIXELS // width)
    for y in range(0, height, rows):
        yield slice(y, min(y + rows, height))


def _grown(part: slice, margin: int, length: int) -> slice:
    return slice(max(part.start - margin, 0), min(part.stop + margin, length))


def _seen_from(part: slice, grown: slice) -> slice:
    return slice(part.start - grown.start, part.stop - grown.start)
