"""Which pictures are copies of one another: rescaled, recompressed or mirrored ones are found, plain skies are not.

Three steps, so that 100,000 pictures take seconds: a 64-bit hash a picture; candidates whose hashes differ in at most
`MAX_DISTANCE` bits, found through an index; and candidates compared by their thumbnails, block by block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
import numpy.typing as npt

from segtool.imaging.codec import Pixels

SIDE = 32  # of a thumbnail, in pixels
BANDS, BAND_BITS, BAND_RADIUS = 4, 16, 2
# By the pigeonhole principle hashes that differ in 11 bits have a band of 16 that differs in 2 or fewer.
MAX_DISTANCE = BANDS * (BAND_RADIUS + 1) - 1
BUCKET_WINDOW = 16  # candidates taken of one bucket; where thousands share one (a fixed camera), those of nearest hash
ENOUGH = 32  # candidates of one picture, after which no more are looked for

BLOCK = 8  # side of the blocks thumbnails are compared by
BLUR = 3.0  # pixels; what is coarser is the same in all skies, faces and X-rays
FLAT = 2.0  # standard deviation in grey levels below which a block holds nothing to compare
MIN_BLOCKS = 3  # with something in them
# Correlation reached by three quarters of the blocks. Measured on 400 photos: copies at a third of the size, at JPEG
# quality 20 and mirrored reach 0.91 and more (0.87 when brightened to clipping), other photos of one scene seldom 0.8.
MIN_CORRELATION = 0.8
_PER_BLOCK = "nrycx,nrycx->nrc"
FRAME_FROM = 20  # pictures from which it can be told what all have in common
FRAME_SAMPLE = 512
CHUNK = 1024  # pictures or pairs at once, which stay in the cache

Thumbnails = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Blocks = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Copy:
    """Two pictures by index, `first` < `second`, that show the same, one of them mirrored or not."""

    first: int
    second: int
    mirrored: bool
    correlation: float


def thumbnail(image: Pixels) -> Thumbnails:
    """Returns `(H, W, 3)` RGB or `(H, W)` grey uint8, stretched to `(SIDE, SIDE)` grey uint8."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    smaller = min(grey.shape) >= SIDE
    return np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))


def find_copies(thumbnails: Thumbnails) -> list[Copy]:
    """Returns the pairs among `(n, SIDE, SIDE)` thumbnails that show the same picture, in order of index.

    Rotated and cropped copies are not found. Of more than `ENOUGH` copies of one picture only some pairs are.
    """
    if len(thumbnails) < 2:
        return []
    hashes = perceptual_hashes(thumbnails)
    blocks = _blocks(thumbnails)
    found: dict[tuple[int, int], Copy] = {}
    for mirrored in (False, True):
        first, second = _candidates(hashes, hashes ^ _MIRROR if mirrored else hashes)
        for start in range(0, len(first), CHUNK):
            ours, theirs = first[start : start + CHUNK], second[start : start + CHUNK]
            correlation = _block_correlation(
                blocks[ours], blocks[theirs][..., ::-1, ::-1] if mirrored else blocks[theirs]
            )
            for k in np.flatnonzero(correlation >= MIN_CORRELATION):
                key = int(ours[k]), int(theirs[k])
                found.setdefault(key, Copy(*key, mirrored, float(correlation[k])))
    return [found[key] for key in sorted(found)]


def perceptual_hashes(thumbnails: Thumbnails) -> Hashes:
    """Returns `(n,)` 64-bit hashes of `(n, SIDE, SIDE)` thumbnails.

    A bit is the sign of one of the 64 lowest coefficients of the discrete cosine transform, the mean left out
    (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, with the sign in place of the
    median). Mirroring changes the sign of every odd horizontal frequency and of nothing else, so the hash of the
    mirrored picture is known without looking.
    """
    # Only 11 by 11 frequencies are needed: two small matrix products beat a transform a picture.
    coefficients = _COSINES @ thumbnails.astype(np.float32) @ _COSINES.T
    bits = coefficients[:, _ROWS, _COLUMNS] > 0
    return np.asarray((bits * (np.uint64(1) << np.arange(64, dtype=np.uint64))).sum(axis=1), np.uint64)


def distances(first: Hashes, second: Hashes) -> npt.NDArray[np.uint8]:
    """Returns in how many bits two arrays of hashes differ, element by element."""
    halves = (first ^ second).view(np.uint16).reshape(-1, 4)
    return np.asarray(_ONES[halves].sum(axis=1), np.uint8)


def _lowest_frequencies() -> list[tuple[int, int]]:
    """Returns the 64 pairs (vertical, horizontal) of lowest sum, (0, 0) left out."""
    return sorted(((v, h) for v in range(16) for h in range(16) if v + h), key=lambda f: (sum(f), f))[:64]


_ROWS, _COLUMNS = (np.array(axis) for axis in zip(*_lowest_frequencies(), strict=True))
_COSINES = np.cos(
    np.pi / SIDE * (np.arange(SIDE) + 0.5) * np.arange(max(_ROWS.max(), _COLUMNS.max()) + 1)[:, None]
).astype(np.float32)
_MIRROR = np.uint64(sum(1 << bit for bit, column in enumerate(_COLUMNS) if column % 2))
_ONES = np.array([number.bit_count() for number in range(1 << BAND_BITS)], np.uint8)
_BLUR = cv2.GaussianBlur(np.eye(SIDE, dtype=np.float32), (1, 0), sigmaX=0.01, sigmaY=BLUR)


def _candidates(hashes: Hashes, queries: Hashes) -> tuple[Indices, Indices]:
    """Returns the index pairs `first < second` whose hash and query differ in at most `MAX_DISTANCE` bits, once each.

    Multi-index hashing (Norouzi, Punjani and Fleet, 2012): an index a band, looked up under every value the band may
    have at most `BAND_RADIUS` bits away. For n pictures that is n lookups times 548, whatever n is.
    """
    count = len(hashes)
    seen = np.zeros(count, np.int64)
    pairs = [np.empty(0, np.int64)]
    for band in range(BANDS):
        ours, theirs = (_rotated(h, band * BAND_BITS) for h in (hashes, queries))
        order = np.argsort(ours)
        ours = ours[order]
        starts = np.searchsorted(ours >> np.uint64(48), np.arange((1 << BAND_BITS) + 1, dtype=np.uint64))
        for flips in _flips():
            asking = np.flatnonzero(seen < ENOUGH)
            probe = theirs[asking] ^ flips
            low, high = _windows(ours, starts, probe)
            length = high - low
            first = np.repeat(asking, length)
            steps = np.arange(len(first)) - np.repeat(np.cumsum(length) - length, length)
            second = order[np.repeat(low, length) + steps]
            near = (first < second) & (distances(queries[first], hashes[second]) <= MAX_DISTANCE)
            pairs.append(first[near] * count + second[near])
            seen += np.bincount(first[near], minlength=count)
    once = np.unique(np.concatenate(pairs))
    return once // count, once % count


def _windows(ours: Hashes, starts: Indices, probe: Hashes) -> tuple[Indices, Indices]:
    """Returns from where to where in the sorted hashes each probe's bucket lies, at most `BUCKET_WINDOW` of it."""
    key = (probe >> np.uint64(48)).astype(np.int64)
    low, high = starts[key], starts[key + 1]
    full = np.flatnonzero(high - low > BUCKET_WINDOW)
    if len(full):  # sorted by the bits that follow the band: those around the probe's place are the likest
        place = np.searchsorted(ours, probe[full]) - BUCKET_WINDOW // 2
        low[full] = np.clip(place, low[full], high[full] - BUCKET_WINDOW)
        high[full] = low[full] + BUCKET_WINDOW
    return low, high


def _flips() -> Iterator[np.uint64]:
    """Yields every change of at most `BAND_RADIUS` of the 16 highest bits, fewest first."""
    for changed in range(BAND_RADIUS + 1):
        for bits in combinations(range(48, 64), changed):
            yield np.uint64(sum(1 << bit for bit in bits))


def _rotated(hashes: Hashes, bits: int) -> Hashes:
    return hashes if not bits else np.asarray(hashes << np.uint64(bits) | hashes >> np.uint64(64 - bits), np.uint64)


def _blocks(thumbnails: Thumbnails) -> Blocks:
    """Returns the detail of `(n, SIDE, SIDE)` thumbnails as `(n, rows, BLOCK, columns, BLOCK)`, blocks less their mean.

    Detail is what is left when all that is coarser than `BLUR` is taken away, and all that most pictures share: the
    round edge of a microscope, a letterbox, a fixed camera's view. Pictures are no copies for having that in common.
    """
    result = np.empty((len(thumbnails), SIDE, SIDE), np.float16)
    for start in range(0, len(thumbnails), CHUNK):
        levels = thumbnails[start : start + CHUNK].astype(np.float32)
        result[start : start + CHUNK] = levels - _BLUR @ levels @ _BLUR.T
    if len(result) >= FRAME_FROM:
        step = -(-len(result) // FRAME_SAMPLE)
        result -= np.median(result[::step], axis=0)
    per_side = SIDE // BLOCK
    result = result.reshape(-1, per_side, BLOCK, per_side, BLOCK)
    result -= result.mean(axis=(2, 4), keepdims=True, dtype=np.float32).astype(np.float16)
    return result


def _block_correlation(first: Blocks, second: Blocks) -> npt.NDArray[np.float32]:
    """Returns `(n,)` the correlation of detail that three quarters of the blocks reach; 0 where too few hold any."""
    ours, theirs = first.astype(np.float32), second.astype(np.float32)
    spread, their_spread = (np.sqrt(np.einsum(_PER_BLOCK, x, x)) / BLOCK for x in (ours, theirs))
    correlation = np.einsum(_PER_BLOCK, ours, theirs) / BLOCK**2 / np.maximum(spread * their_spread, 1e-6)
    used = np.maximum(spread, their_spread) > FLAT
    # The block at a quarter of the used ones, the others sorted behind them: NumPy's nanpercentile is a loop in Python.
    count = used.sum(axis=(1, 2))
    ranked = np.sort(np.where(used, correlation, np.inf).reshape(len(first), -1), axis=1)
    quarter = ranked[np.arange(len(first)), (np.maximum(count, 1) - 1) // 4]
    return np.where(count >= MIN_BLOCKS, quarter, 0).astype(np.float32)
