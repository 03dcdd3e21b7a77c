"""Geometric shapes on textured ground, with their true masks: data for trying the whole path, and for tests."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels

Color = npt.NDArray[np.float64]

SHAPES = ("circle", "rectangle", "triangle", "star")
MIN_CONTRAST = 150  # summed over the three channels: fainter shapes hide in the texture
PLACING_TRIES = 20  # of a shape that must find room; then it is left out
SUBPIXEL_BITS = 4  # OpenCV draws polygons with corners in sixteenths of a pixel


def draw_pair(size: int, *, multiclass: bool, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Returns an image `(h, w, 3)` uint8 and its mask `(h, w)` uint8, long side `size` pixels.

    Mask values are 0 and 255, or with `multiclass` the position in `SHAPES` from 1. One to four shapes; one picture in
    twelve has none. With `multiclass` no shape hides another and none is cut off by the edge: nobody could tell a
    rectangle of which one corner is seen from a triangle.
    """
    short = int(size * rng.uniform(0.7, 1.0))
    height, width = (short, size) if rng.random() < 0.5 else (size, short)
    ground = rng.uniform(30, 225, 3)
    image = _texture(height, width, ground, rng)
    mask = np.zeros((height, width), np.uint8)
    count = 0 if rng.random() < 1 / 12 else int(rng.integers(1, 5))
    for _ in range(count):
        kind = int(rng.integers(len(SHAPES)))
        tries = PLACING_TRIES if multiclass else 1
        outlines = (_corners(SHAPES[kind], height, width, rng) for _ in range(tries))
        corners = next((o for o in outlines if not multiclass or _fits(o, mask)), None)
        if corners is None:
            continue
        here = np.zeros((height, width), np.uint8)
        fixed = np.rint(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(here, [fixed], 255, shift=SUBPIXEL_BITS)
        mask[here > 0] = kind + 1 if multiclass else 255
        soft = cv2.GaussianBlur(here, (3, 3), 0)[..., None].astype(np.float32) / 255
        shape = _texture(height, width, _color_apart(ground, rng), rng).astype(np.float32)
        image = np.rint(image + soft * (shape - image)).astype(np.uint8)
    noise = rng.normal(0, rng.uniform(0, 8), image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), mask


def _fits(corners: npt.NDArray[np.float64], mask: Pixels) -> bool:
    """Returns whether an outline lies within the picture and its box holds no other shape yet."""
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    height, width = mask.shape
    inside = left >= 0 and top >= 0 and right < width and bottom < height
    return bool(inside and not mask[top : bottom + 1, left : right + 1].any())


def _color_apart(ground: Color, rng: np.random.Generator) -> Color:
    """Returns a random RGB colour that can be told from `ground`."""
    while True:
        color = rng.uniform(30, 225, 3)
        if np.abs(color - ground).sum() >= MIN_CONTRAST:
            return color


def _texture(height: int, width: int, color: Color, rng: np.random.Generator) -> Pixels:
    """Returns `color` varying smoothly, with stripes across it."""
    coarse = rng.normal(0, 18, (4, 4, 3)).astype(np.float32)
    waves = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(4, 24)
    stripes = np.sin((rows * math.sin(angle) + columns * math.cos(angle)) * 2 * math.pi / period)
    strength = rng.uniform(0, 15, 3)
    return np.asarray(np.clip(color + waves + stripes[..., None] * strength, 0, 255), np.uint8)


def _corners(shape: str, height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Returns the outline as `(n, 2)` pixel coordinates x, y, turned and placed at random."""
    radius = min(height, width) * rng.uniform(0.12, 0.32)
    if shape == "circle":
        angles, radii = np.linspace(0, 2 * math.pi, 64, endpoint=False), np.ones(64)
    elif shape == "rectangle":
        half = rng.uniform(0.35, 1.2)
        angles, radii = np.array([half, math.pi - half, math.pi + half, -half]), np.ones(4)
    elif shape == "triangle":
        angles, radii = np.array([0.0, 2.0, 4.2]) + rng.uniform(-0.2, 0.2, 3), np.ones(3)
    else:
        angles, radii = np.arange(10) * math.pi / 5, np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    angles = angles + rng.uniform(0, 2 * math.pi)
    centre = np.array([rng.uniform(0.15, 0.85) * width, rng.uniform(0.15, 0.85) * height])
    corners = radius * radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.asarray(centre + corners, np.float64)
