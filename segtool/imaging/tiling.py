"""Where tiles lie on a large picture, and how much each counts where."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segtool.imaging.geometry import Probability, network_shape


@dataclass(frozen=True)
class Place:
    """A tile along one axis of the scaled picture: it begins at `start`, and counts by `weights` from `first` on.

    The weights of all places add up to one everywhere, and are zero towards the tile's cut edges, where it
    lacks its surroundings.
    """

    start: int
    first: int
    weights: Probability


@dataclass(frozen=True)
class Tiling:
    """How a picture of `size` (H, W) is seen: scaled to `shape` (h, w), in tiles of one shape at `down` × `across`."""

    size: tuple[int, int]
    shape: tuple[int, int]
    tile: tuple[int, int]
    down: tuple[Place, ...]
    across: tuple[Place, ...]

    @property
    def whole(self) -> bool:
        """Whether one tile is the whole picture, in the geometry of pictures that are not tiled."""
        return len(self.down) == len(self.across) == 1


def tiling_of(size: tuple[int, int], *, network_size: int, stride: int, tile: int, overlap: float) -> Tiling:
    """Returns how a picture `(H, W)` is seen in tiles that cover `tile` of its pixels a side.

    Each is `network_size` pixels to the network, and shares at least `overlap` in [0, 0.5] of its side with the
    next: three eighths of that at a cut edge count nothing, a quarter is blended. Sides are the nearest multiple of
    `stride`, and so are the places of tiles, for a network sees the same at steps of its stride only. A picture no
    larger than a tile is seen whole.
    """
    side, _ = network_shape(1, 1, network_size=network_size, stride=stride)
    if max(size) <= tile:
        shape = network_shape(*size, network_size=network_size, stride=stride)
    else:
        height, width = (max(stride, _nearest(length * side / tile, stride)) for length in size)
        shape = height, width
    shared = _nearest(side * overlap, stride)
    seen = min(side, shape[0]), min(side, shape[1])
    down, across = (_places(shape[axis], seen[axis], stride=stride, shared=shared) for axis in (0, 1))
    return Tiling(size, shape, seen, down, across)


def _places(length: int, side: int, *, stride: int, shared: int) -> tuple[Place, ...]:
    step = max(stride, side - shared)
    gaps = math.ceil((length - side) / step)
    starts = [_nearest(i * (length - side) / max(gaps, 1), stride) for i in range(gaps + 1)]
    # From tile to tile the weight goes over in a ramp amid what they share. All ramps are of one length, so that
    # each tile's weight is the ramp before it less the one after: never negative, and a sum of one however many meet.
    ramp = shared // 4
    ramps = [after + (start + side - after - ramp) // 2 for start, after in itertools.pairwise(starts)]
    places = []
    for start, before, after in zip(starts, [0, *ramps], [*ramps, None], strict=True):
        at = np.arange(before, length if after is None else after + ramp)
        weights = np.ones(len(at)) if start == 0 else _ramp(at - before, ramp)
        if after is not None:
            weights = weights - _ramp(at - after, ramp)
        places.append(Place(start, before, weights.astype(np.float32)))
    return tuple(places)


def _ramp(at: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.float64]:
    return np.clip((at + 0.5) / max(length, 1e-9), 0, 1)  # of no length: a step


def _nearest(length: float, stride: int) -> int:
    return int(length / stride + 0.5) * stride
