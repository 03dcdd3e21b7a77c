"""Objects cut out of their pictures: soft edges, and edge colours free of the old background."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels
from segtool.imaging.windows import Area, strips, windows

Floats = npt.NDArray[np.float32]

# 12 megapixels on one thread (tests/benchmarks/painting.py): edge_alpha 66 ms, cutout 190 ms, laid on a colour 38 ms,
# on a picture 55 ms, on the blurred photo 130 ms. The RGBA as a PNG takes 170 to 350 ms.
# Lengths in pixels are shares of √(height · width).
REACH_SHARE = 1 / 96  # opacity is partial at most this far from the border of the mask: 36 pixels in 12 megapixels
SOFTNESS = 0.8  # of the probabilities on either side of the threshold, the share that makes opacity partial
ROUNDING = 2  # levels of 255 by which mask and probability may differ without contradicting each other
COARSE_SIDE = 512  # √(height · width) of the picture that is blurred; at full size the error was 0 to 8 % smaller
WIDE_SHARE, FINE_SHARE = 1 / 15, 1 / 56  # sides of the two blurs
BLEED = 4  # how many transparent pixels around an object carry its colour
NOTHING = 1e-5  # weights below this count for nothing


def edge_alpha(probability: Pixels | Floats, mask: Pixels, *, threshold: float) -> Pixels:
    """Returns the opacity of each pixel, `(H, W)` uint8: partial along the border of the mask, by the probability.

    `probability` is that of an object, `(H, W)`, float32 in [0, 1] or uint8 in [0, 255]; `mask` is `(H, W)` uint8, 1
    where the object is. Opacity is 128 or more exactly where the mask is 1. The further from its border, the closer to
    0 or 255 it must be; it is just that where mask and probability contradict each other: what was removed from the
    mask, and what was filled in it.
    """
    whole = 1 if probability.dtype == np.uint8 else 255
    levels = np.asarray(cv2.convertScaleAbs(probability, alpha=whole), np.uint8)
    height, width = mask.shape
    reach = max(2, round(REACH_SHARE * math.sqrt(height * width)))
    ramp, contradicts = _ramp(threshold), _contradicting(threshold)
    alpha = mask * np.uint8(255)
    contradicted = False
    for window in windows(height, width, margin=reach + 1):
        here = mask[window.outer]
        low, high, _, _ = cv2.minMaxLoc(here)
        if low == high:
            continue
        # A network is unsure over a wide strip where a photo's edge is a few pixels: distance bounds what it may say.
        outside, inside = (cv2.distanceTransform(part, cv2.DIST_L2, 5)[window.within] for part in (1 - here, here))
        most = 127 - 127 / reach * np.clip(outside - 1, 0, reach)
        least = 128 + 127 / reach * np.clip(inside - 1, 0, reach)
        said, inner = levels[window.inner], window.inner
        soft = cv2.LUT(said, ramp)
        alpha[inner] = np.rint(np.where(mask[inner], np.maximum(soft, least), np.minimum(soft, most)))
        contradicted |= bool((contradicts[mask[inner], said]).any())
    if contradicted:
        region = _contradictions(levels, mask, threshold)
        # What is soft around it goes with it.
        near = cv2.dilate(region, np.ones((reach + 1, reach + 1), np.uint8)).astype(bool)
        alpha[near] = mask[near] * np.uint8(255)
    return alpha


def cutout(image: Pixels, alpha: Pixels) -> Pixels:
    """Returns `(H, W, 4)` uint8 RGBA with straight alpha, edge colours being those of the object alone.

    Where `(H, W)` uint8 `alpha` is partial, the `(H, W, 3)` picture mixes object and background; the object's colour is
    estimated by blur fusion in two passes: Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021. Three
    things differ. Blurs are taken of a small picture, where they cost little. They weigh by the fourth power of alpha,
    and what a pixel deviates from them counts by its square, because the opacity a network guesses is often wrong: the
    error on photographs was 12 to 19 % less where it was, and the same where it was true.

    Transparent pixels are 0, which compresses best, but for a rim of `BLEED` pixels in the object's colour: programs
    that scale straight alpha mix a neighbour's colour in, and black ones would draw a dark line around the object.
    """
    height, width = alpha.shape
    rgba = np.zeros((height, width, 4), np.uint8)
    for rows in strips(height, width):
        cv2.copyTo(_with_alpha(image[rows], alpha[rows]), alpha[rows], rgba[rows])
    around = np.ones((2 * BLEED + 1, 2 * BLEED + 1), np.uint8)
    blurred: tuple[Floats, Floats] | None = None
    for window in windows(height, width, margin=BLEED):
        seen = alpha[window.outer]
        low, high, _, _ = cv2.minMaxLoc(seen)
        if high == 0 or low == 255:
            continue
        blurred = blurred or _blurred_colors(image, alpha)
        colors = _object_colors(image, alpha, blurred, window.inner)
        here = alpha[window.inner]
        edge = (cv2.dilate(seen, around)[window.within] > 0) & (here < 255)
        cv2.copyTo(_with_alpha(colors, here), edge.view(np.uint8), rgba[window.inner])
    return rgba


def _with_alpha(image: Pixels, alpha: Pixels) -> Pixels:
    return np.asarray(cv2.merge([*cv2.split(image), alpha]), np.uint8)


def _ramp(threshold: float) -> Pixels:
    """Returns the opacity of each of 256 levels of probability: 128 at the threshold, 127 just below it."""
    levels = np.arange(256) / 255
    below = 127 - 127 * (threshold - levels) / max(SOFTNESS * threshold, 1e-6)
    above = 128 + 127 * (levels - threshold) / max(SOFTNESS * (1 - threshold), 1e-6)
    opacity = np.where(levels < threshold, np.clip(below, 0, 127), np.clip(above, 128, 255))
    return np.rint(opacity).astype(np.uint8)


def _contradicting(threshold: float) -> npt.NDArray[np.bool_]:
    """Returns `(2, 256)`: whether a mask of 0 or 1 cannot come of each level of probability."""
    above = np.arange(256) - 255 * threshold
    return np.stack([above > ROUNDING, above < -ROUNDING])


def _contradictions(levels: Pixels, mask: Pixels, threshold: float) -> Pixels:
    """Returns 1 in every region where mask and probability differ, but for those that lie along the mask's border:
    these come of rounding, or of a class that won with less than the threshold.
    """
    says = (np.arange(256) >= 255 * threshold).astype(np.uint8)
    differs = np.asarray(cv2.LUT(levels, says), np.uint8) ^ mask
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    border = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, cross), np.uint8)
    count, labels = cv2.connectedComponents(differs, connectivity=4)
    kept = np.ones(count, np.uint8)
    kept[0] = 0
    kept[labels[(border & differs) > 0]] = 0
    return np.asarray(kept[labels], np.uint8)


def _blurred_colors(image: Pixels, alpha: Pixels) -> tuple[Floats, Floats]:
    """Returns `(h, w, 3)` float32 in [0, 255], small: the colours of the object and of the background around."""
    height, width = alpha.shape
    scale = min(1.0, COARSE_SIDE / math.sqrt(height * width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    opacity = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / np.float32(255)
    sure, clear = opacity**4, np.asarray((1 - opacity) ** 4, np.float32)
    wide, fine = (max(3, round(share * math.sqrt(size[0] * size[1]))) for share in (WIDE_SHARE, FINE_SHARE))
    front, back = _mean(small, sure, wide, small), _mean(small, clear, wide, small)
    fused = _fused(small, opacity, front, back)
    return _mean(fused, sure, fine, front), _mean(back, clear, fine, back)


def _mean(colors: Floats, weight: Floats, side: int, otherwise: Floats) -> Floats:
    """Returns the weighted mean over squares of `side` pixels, `otherwise` where there is no weight."""
    total = cv2.blur(weight, (side, side))[..., None]
    weighted = cv2.blur(colors * weight, (side, side)).reshape(colors.shape)
    return np.asarray((weighted + NOTHING * otherwise) / (total + NOTHING), np.float32)


def _fused(image: Floats, opacity: Floats, front: Floats, back: Floats) -> Floats:
    deviation = image - opacity * front - (1 - opacity) * back
    return np.asarray(np.clip(front + opacity * opacity * deviation, 0, 255), np.float32)


def _object_colors(image: Pixels, alpha: Pixels, blurred: tuple[Floats, Floats], area: Area) -> Pixels:
    opacity = alpha[area].astype(np.float32)[..., None] / np.float32(255)
    front, back = (_enlarged(colors, alpha.shape, area) for colors in blurred)
    return np.rint(_fused(image[area].astype(np.float32), opacity, front, back)).astype(np.uint8)


def _enlarged(small: Floats, shape: tuple[int, ...], area: Area) -> Floats:
    """Returns one area of what `small` is when enlarged linearly to `shape`."""
    rows, cols = area
    down, right = small.shape[0] / shape[0], small.shape[1] / shape[1]
    # Pixel centres lie at a half.
    to_small = np.array([[right, 0, (cols.start + 0.5) * right - 0.5], [0, down, (rows.start + 0.5) * down - 0.5]])
    size = cols.stop - cols.start, rows.stop - rows.start
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, to_small, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)
