"""Large pictures, seen in overlapping tiles: rows of tiles are blended and turned into rows of the mask one by one,
so that memory holds a row of tiles, never the probability of the whole picture.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import (
    STRIP,
    Probability,
    Rows,
    confidence,
    network_rows,
    runner_up,
    to_mask,
    to_soft,
)  # fmt: skip
from segtool.imaging.scaling import resize_image
from segtool.imaging.tiling import Place, Tiling
from segtool.imaging.upscale import linear_taps


@dataclass(frozen=True)
class Band:
    """Finished rows from `top` on: `(rows, w, C)` float32."""

    top: int
    probability: Probability

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + len(self.probability)


@dataclass(frozen=True)
class TiledMask:
    """Class indices `(H, W)` uint8 as `to_mask` gives, `confidence` in [0, 1], and, where asked for, `to_soft` and
    `runner_up`, `(H, W)` uint8 too.
    """

    indices: Pixels
    confidence: float
    soft: Pixels | None = None
    runner_up: Pixels | None = None


def bands(rows: Rows, tiling: Tiling, *, predict: Callable[[Pixels], Probability], batch_size: int) -> Iterator[Band]:
    """Yields the probability of the scaled picture in bands from top to bottom, each over the full width.

    Tiles go to `predict` (`(B, h, w, 3)` uint8 -> `(B, h, w, C)` float32) `batch_size` at a time. Memory is that of
    a row of tiles: `4 · C` bytes a pixel of it. Give a band up (`del`) before asking for the next.
    """
    scaled = network_rows(rows, tiling.size, tiling.shape)
    if tiling.whole:
        image = resize_image(rows(0, tiling.size[0]), tiling.shape)
        yield Band(0, predict(image[None])[0])
        return
    strip, top = scaled(0, tiling.tile[0]), 0
    carry: Probability | None = None
    for place, after in zip(tiling.down, (*tiling.down[1:], None), strict=True):
        if place.start > top:
            new = scaled(top + tiling.tile[0], place.start + tiling.tile[0])
            strip, top = np.concatenate([strip[place.start - top :], new]), place.start
        row = _tile_row(strip, place, tiling, predict=predict, batch_size=batch_size)
        if carry is not None:
            row[: len(carry)] += carry
        done = after.first - place.first if after else len(row)
        yield Band(place.first, row[:done])
        carry = row[done:].copy()
        del row


def picture_rows(scaled: Iterator[Band], tiling: Tiling) -> Iterator[Band]:
    """Yields `scaled` bands in rows of the picture's own height, linearly between theirs; the width is as it was.

    `to_mask(band.probability, len(band.probability), W, …)` of one gives those rows of the mask of the whole.
    """
    height, h = tiling.size[0], tiling.shape[0]
    last: Probability | None = None
    done = 0
    for piece in _pieces(scaled, tiling):
        rows = piece.probability if last is None else np.concatenate([last, piece.probability])
        top = piece.bottom - len(rows)
        low, high, share = linear_taps(np.arange(done, min(height, math.ceil(piece.bottom * height / h))), h, height)
        ready = int(np.searchsorted(high, piece.bottom))
        low, high, share = low[:ready] - top, high[:ready] - top, share[:ready, None, None]
        if ready:
            yield Band(done, rows[low] * (1 - share) + rows[high] * share)
        last, done = rows[-1:].copy(), done + ready


def tiled_mask(
    rows: Rows, tiling: Tiling, *, threshold: float, predict: Callable[[Pixels], Probability], batch_size: int,
    soft: bool = False, second: bool = False, on_band: Callable[[Band], None] = lambda band: None,
) -> TiledMask:  # fmt: skip
    """Returns the mask of the picture that `rows` hands out, and with `soft` and `second` (more than two classes) the
    planes beside it: a byte a pixel each. `on_band` is shown every band of the scaled picture in turn.
    """
    height, width = tiling.size
    mask = np.empty((height, width), np.uint8)
    likeliest, runners_up = (np.empty_like(mask) if asked else None for asked in (soft, second))
    sure = 0.0

    def watched() -> Iterator[Band]:
        nonlocal sure
        for band in bands(rows, tiling, predict=predict, batch_size=batch_size):
            on_band(band)
            for piece in _cut(band, tiling):
                sure += confidence(piece.probability) * len(piece.probability)
            yield band
            del band  # else the next would be made beside it

    for band in picture_rows(watched(), tiling):
        part, count = slice(band.top, band.bottom), len(band.probability)
        mask[part] = to_mask(band.probability, count, width, threshold=threshold)
        if likeliest is not None:
            likeliest[part] = to_soft(band.probability, count, width)
        if runners_up is not None:
            runners_up[part] = runner_up(band.probability, mask[part])
    return TiledMask(mask, sure / tiling.shape[0], likeliest, runners_up)


def _tile_row(
    strip: Pixels, place: Place, tiling: Tiling, *, predict: Callable[[Pixels], Probability], batch_size: int
) -> Probability:
    """Returns a row of tiles side by side, weighted: `(len(place.weights), w, C)`."""
    row: Probability | None = None
    counts = slice(place.first - place.start, place.first - place.start + len(place.weights))
    for i in range(0, len(tiling.across), batch_size):
        batch = tiling.across[i : i + batch_size]
        tiles = np.stack([strip[:, p.start : p.start + tiling.tile[1]] for p in batch])
        for p, probability in zip(batch, predict(tiles), strict=True):
            if row is None:
                row = np.zeros((len(place.weights), tiling.shape[1], probability.shape[2]), np.float32)
            first, stop = p.first - p.start, p.first - p.start + len(p.weights)
            weights = place.weights[:, None, None] * p.weights[:, None]
            row[:, p.first : p.first + len(p.weights)] += probability[counts, first:stop] * weights
    assert row is not None
    return row


def _pieces(scaled: Iterator[Band], tiling: Tiling) -> Iterator[Band]:
    for band in scaled:
        yield from _cut(band, tiling)
        del band


def _cut(band: Band, tiling: Tiling) -> Iterator[Band]:
    """Yields a band in pieces that take tens of megabytes, not hundreds, once scaled to the picture's size."""
    (height, width), (h, w) = tiling.size, tiling.shape
    step = max(1, int(STRIP / max(1, height / h) / max(width, w * band.probability.shape[2])))
    for start in range(0, len(band.probability), step):
        yield Band(band.top + start, band.probability[start : start + step].copy())  # a view would hold on to the band
