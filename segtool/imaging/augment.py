"""Paired augmentation: a pure function of (image, mask, seed, epoch, index), so that any sample can be made again.

Sets differ in resolution and JPEG history, and a network can learn that in place of the object: hence the
random downscaling, blur and recompression.
"""

import math

import cv2
import numpy as np

from segtool.card import IGNORE_ID
from segtool.imaging.codec import Pixels

ZOOM = (0.8, 1.25)
STRETCH = 0.15  # natural log of the aspect ratio, at most
ROTATION = 15.0  # degrees, at most
UPRIGHT_CHANCE = 0.6
PASTED_EDGE = 0.7  # pixels: sigma of what softens the edge of a pasted object
SMALLEST_DEGRADED = 96  # pixels of the long side that blurring by downscaling leaves: tiny pictures have none to spare


def augment(
    image: Pixels, mask: Pixels, *, shape: tuple[int, int], scale: float, seed: int, epoch: int, index: int,
    grey: bool = False,
) -> tuple[Pixels, Pixels]:  # fmt: skip
    """Returns a random view of the pair: `shape + (3,)` uint8 and `shape` uint8 class indices.

    `scale` maps the pair's pixels to network pixels; zoom is drawn around it. Beyond the border both are mirrored,
    so that image and mask stay true to each other. `grey` pictures get no colour.
    """
    rng = np.random.default_rng((seed, epoch, index))
    matrix = _view(image.shape[:2], shape, scale, rng)
    size = (shape[1], shape[0])
    zoom = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if zoom < 0.7:  # warpAffine samples points: without a filter before it, shrinking makes moiré
        sigma = 0.4 / zoom
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    border = cv2.BORDER_REFLECT_101
    view = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    truth = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    return _degrade(_recolor(np.asarray(view, np.uint8), rng, grey=grey), rng), np.asarray(truth, np.uint8)


def paste(image: Pixels, mask: Pixels, other: Pixels, other_mask: Pixels) -> tuple[Pixels, Pixels]:
    """Returns the pair with the objects of another of its shape laid over it: all that is neither class 0 nor ignored.

    Copy-paste augmentation (Ghiasi et al. 2021, arXiv:2012.07177): what surrounds an object tells less about it.
    """
    objects = (other_mask != 0) & (other_mask != IGNORE_ID)
    alpha = cv2.GaussianBlur(objects.astype(np.float32), (0, 0), PASTED_EDGE)  # a hard edge would give it away
    mixed = np.asarray(cv2.blendLinear(other, image, alpha, 1 - alpha), np.uint8)
    return mixed, np.where(objects, other_mask, mask).astype(np.uint8)


def _view(
    source: tuple[int, ...], shape: tuple[int, int], scale: float, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    height, width = source
    zoom = scale * math.exp(rng.uniform(math.log(ZOOM[0]), math.log(ZOOM[1])))
    stretch = math.exp(rng.uniform(-STRETCH, STRETCH) / 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    angle = 0.0 if rng.random() < UPRIGHT_CHANCE else math.radians(rng.uniform(-ROTATION, ROTATION))
    zoom_x, zoom_y = zoom * stretch * flip, zoom / stretch
    # Where the view is smaller than the zoomed picture it slides over it; where larger, the picture slides in it.
    slide_x = (width * zoom - shape[1]) / 2 * rng.uniform(-1, 1)
    slide_y = (height * zoom - shape[0]) / 2 * rng.uniform(-1, 1)
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos * zoom_x, -sin * zoom_y], [sin * zoom_x, cos * zoom_y]])
    centre = linear @ np.array([width / 2, height / 2])
    offset = np.array([shape[1] / 2 + slide_x, shape[0] / 2 + slide_y]) - centre
    return np.hstack([linear, offset[:, None]])


def _recolor(image: Pixels, rng: np.random.Generator, *, grey: bool) -> Pixels:
    if rng.random() < 0.2:
        return image
    if rng.random() < 0.1:
        image = _without_color(image)
    # Contrast, brightness, colour cast and gamma in one table a channel; saturation as a mix with grey.
    levels = np.arange(256, dtype=np.float32) / 255
    contrast, brightness = math.exp(rng.uniform(-0.35, 0.35)), rng.uniform(-0.15, 0.15)
    gamma = math.exp(rng.uniform(-0.35, 0.35))
    cast = np.exp(rng.uniform(-0.12, 0.12, 3)).astype(np.float32)
    if grey:
        cast[:] = 1
    curve = np.clip(levels**gamma, 0, 1)[:, None] * cast
    table = np.clip((curve - 0.5) * contrast + 0.5 + brightness, 0, 1) * 255
    image = np.asarray(cv2.LUT(image, table.astype(np.uint8)[None]), np.uint8)
    keep = rng.uniform(0.4, 1.4)
    return np.asarray(cv2.addWeighted(image, keep, _without_color(image), 1 - keep, 0), np.uint8)


def _without_color(image: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _degrade(image: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    if rng.random() < 0.3:
        part = rng.uniform(min(max(0.35, SMALLEST_DEGRADED / max(height, width)), 0.9), 0.9)
        small = cv2.resize(image, (max(1, int(width * part)), max(1, int(height * part))), interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5)), np.uint8)
    if rng.random() < 0.15:
        # OpenCV's generator, of which every thread has its own: NumPy's takes 7 ms for 256×256, more than all the rest.
        cv2.setRNGSeed(int(rng.integers(1 << 31)))
        noise = cv2.randn(np.empty(image.shape, np.int16), np.zeros(3), np.full(3, rng.uniform(2, 12)))
        image = np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.uniform(25, 90))
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return image
