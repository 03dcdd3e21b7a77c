"""What the careful pipelines and the floor take from segtool: decoding, encoding, and its engine."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from segtool.card import Card
from segtool.imaging.codec import Pixels, Size, read_resized
from segtool.imaging.encode import encode_png
from segtool.imaging.geometry import Probability, network_shape, to_mask

BATCH = 8
VALUES = np.array((0, 255), np.uint8)


def reader(card: Card) -> Callable[[Path], tuple[Path, Pixels, Size]]:
    """Returns what reads a picture as the network sees it: its path, `(h, w, 3)` uint8, its own height and width."""

    def shape_of(height: int, width: int) -> Size:
        return network_shape(height, width, network_size=card.network_size, stride=card.stride)

    def read(path: Path) -> tuple[Path, Pixels, Size]:
        return path, *read_resized(path, shape_of)

    return read


def mask_png(probability: Probability, size: Size, threshold: float) -> bytes:
    """Returns the PNG of the mask, 0 and 255, at the picture's own size."""
    return encode_png(to_mask(probability, *size, threshold=threshold), values=VALUES)


def engine(weights: Path) -> Callable[[Pixels], Probability]:
    """Returns segtool's engine at the precision it chooses by itself."""
    from segtool.engine.predictor import load_predictor

    return load_predictor(weights, precision="auto").predict
