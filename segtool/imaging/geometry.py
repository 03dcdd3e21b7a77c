"""How a picture meets the network: one geometry for train, evaluate and mask (DESIGN section 4)."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels
from segtool.imaging.upscale import likeliest, linear_taps, reaching

Probability = npt.NDArray[np.float32]
Positions = npt.NDArray[np.intp]
Rows = Callable[[int, int], Pixels]  # top, bottom -> (bottom - top, W, 3) uint8: a picture handed out by rows

# From here on mixing at borders alone is faster than scaling planes whole: pixels of the picture where there is one
# plane (at 1280×960 both take 0.35 ms), else how many times the network's pixels (of 11 classes, 4 ms at 720×540).
LARGE, ENLARGED = 1 << 21, 4
STRIP = 1 << 22  # values of a float strip of rows at a time: 16 MB


def network_shape(height: int, width: int, *, network_size: int, stride: int) -> tuple[int, int]:
    """Returns `(h, w)` as the network sees a picture: long side `network_size`, short side the nearest multiple of
    `stride`, at least one.
    """
    scale = network_size / max(height, width)

    def side(length: int) -> int:
        return max(stride, int(length * scale / stride + 0.5) * stride)

    return side(height), side(width)


def network_rows(rows: Rows, size: tuple[int, int], shape: tuple[int, int]) -> Rows:
    """Returns the rows of what `resize_image` makes of the whole picture of `size`, to within one level, never asking
    for more than a strip of it: strip after strip as long as they are asked for from top to bottom.
    """
    if size == shape:
        return rows
    (height, width), (h, w) = size, shape
    shrinks = h <= height and w <= width
    filtering = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    step = max(1, int(STRIP / 3 / width / max(1, height / h)))

    def strip(top: int, bottom: int) -> Pixels:
        first, weights = (_area_taps if shrinks else _pair_taps)(np.arange(top, bottom), height, h)
        source = rows(int(first[0]), int(first[-1]) + weights.shape[1])
        # Rows by hand, since a strip begins between pixels, where cv2.resize cannot; columns by OpenCV.
        mixed = np.empty((bottom - top, width, 3), np.float32)
        for out, start, weight in zip(mixed, first - first[0], weights, strict=True):
            part = source[start : start + len(weight)].reshape(len(weight), -1)
            out.reshape(-1)[:] = weight @ part.astype(np.float32)
        return np.asarray(np.rint(cv2.resize(mixed, (w, len(mixed)), interpolation=filtering)), np.uint8)

    def scaled(top: int, bottom: int) -> Pixels:
        return np.concatenate([strip(start, min(start + step, bottom)) for start in range(top, bottom, step)])

    return scaled


def to_mask(probability: Probability, height: int, width: int, *, threshold: float) -> Pixels:
    """Returns class indices `(height, width)` uint8 from `(h, w, C)` float32 in [0, 1], scaled linearly first.

    One channel: 1 where the probability is at least `threshold`. More: the likeliest class.
    """
    h, w, channels = probability.shape
    made, grows, pixels = None, h <= height and w <= width, height * width
    if channels == 1 and grows and pixels >= LARGE:
        made = reaching(probability[..., 0], height, width, threshold=threshold)
    elif channels > 1 and grows and pixels >= ENLARGED * h * w:
        made = likeliest(probability, height, width)
    if made is not None:
        return made
    if channels == 1:
        return (scaled(probability[..., 0], height, width) >= np.float32(threshold)).view(np.uint8)
    # Channel by channel: C full-size float planes of a 12-megapixel picture would be half a gigabyte.
    best = scaled(probability[..., 0], height, width)
    indices = np.zeros((height, width), np.uint8)
    for channel in range(1, probability.shape[2]):
        plane = scaled(probability[..., channel], height, width)
        better = plane > best
        indices[better] = channel
        np.maximum(best, plane, out=best)
    return indices


def runner_up(probability: Probability, indices: Pixels) -> Pixels:
    """Returns the second likeliest class `(H, W)` uint8 at each pixel of the mask `indices` that `to_mask` made of the
    `(h, w, C)` probability of more than one class.
    """
    height, width = indices.shape
    best = np.full((height, width), -1, np.float32)
    second = np.zeros((height, width), np.uint8)
    for channel in range(probability.shape[2]):
        plane = scaled(probability[..., channel], height, width)
        plane[indices == channel] = -1
        second[plane > best] = channel
        np.maximum(best, plane, out=best)
    return second


def to_soft(probability: Probability, height: int, width: int) -> Pixels:
    """Returns `(height, width)` uint8, `(h, w, C)` in [0, 1] scaled linearly and then to 255: the foreground's
    probability for one channel, else that of the likeliest class.
    """
    best = scaled(probability[..., 0], height, width)
    for channel in range(1, probability.shape[2]):
        cv2.max(best, scaled(probability[..., channel], height, width), dst=best)
    return np.asarray(cv2.convertScaleAbs(best, alpha=255), np.uint8)


def confidence(probability: Probability) -> float:
    """Returns how sure the network is, in [0, 1]: the mean over pixels of `2·|p − 0.5|`, or of best − second."""
    if probability.shape[2] == 1:
        return float(np.abs(probability - 0.5).mean() * 2)
    top = np.partition(probability, -2, axis=2)
    return float((top[..., -1] - top[..., -2]).mean())


def sampler(
    planes: Probability, rows: Positions, columns: Positions, height: int, width: int
) -> Callable[[Pixels | int], Probability]:
    """Returns what gives the probability `(n,)` of a class, or of a class each, at those pixels of the
    `(height, width)` mask, from `(C, h, w)` planes scaled linearly there and nowhere else.
    """
    _, h, w = planes.shape
    top, bottom, down = linear_taps(rows, h, height)
    left, right, over = linear_taps(columns, w, width)
    # Flat positions and four shares, worked out once for all classes: half the time of indexing by three arrays.
    corners = [y * w + x for y in (top, bottom) for x in (left, right)]
    shares = [y * x for y in (1 - down, down) for x in (1 - over, over)]

    def value_of(index: Pixels | int) -> Probability:
        first = np.asarray(index, np.intp) * (h * w)
        mixed = np.zeros(len(rows), np.float32)
        for corner, share in zip(corners, shares, strict=True):
            mixed += planes.take(first + corner) * share
        return mixed

    return value_of


def _area_taps(positions: Positions, length: int, target: int) -> tuple[Positions, Probability]:
    """Returns the first of the pixels that each position is the mean of, and their weights `(n, taps)`."""
    ratio = length / target
    count = min(int(np.ceil(ratio)) + 1, length)
    begin = positions[:, None] * ratio
    first = np.minimum(begin.astype(np.intp), length - count)
    taps = first + np.arange(count)
    weights = np.clip(np.minimum(taps + 1, begin + ratio) - np.maximum(taps, begin), 0, None)
    return first[:, 0], (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _pair_taps(positions: Positions, length: int, target: int) -> tuple[Positions, Probability]:
    low, _, share = linear_taps(positions, length, target)
    weights = np.stack([1 - share, share], axis=1)
    return low, weights if length > 1 else weights[:, :1]


def flipped(predict: Callable[[Pixels], Probability]) -> Callable[[Pixels], Probability]:
    """Returns a `predict` that averages each picture's probability with that of its mirror image, left for right.
    It takes twice the time.
    """

    def averaged(batch: Pixels) -> Probability:
        # Two calls, not one of twice the batch: shapes already compiled and memory already asked for are kept to.
        mirrored = predict(np.ascontiguousarray(batch[:, :, ::-1]))[:, :, ::-1]
        return np.asarray((predict(batch) + mirrored) / 2, np.float32)

    return averaged


def scaled(plane: Probability, height: int, width: int) -> Probability:
    """Returns a `(h, w)` plane scaled linearly to `(height, width)` float32: a copy, also where that is its size."""
    if plane.shape == (height, width):
        return plane.copy()
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
