"""Pictures for the page: which of them to show, and each within a number of bytes."""

import hashlib
import zlib
from dataclasses import dataclass, replace

import cv2
import numpy as np

from segtool.errors import ImageError
from segtool.imaging.codec import Pixels
from segtool.imaging.masks import resize_mask
from segtool.imaging.metrics import ImageCounts

PAGE_BYTES = 13_000_000  # of all pictures; as text on the page they are a third more
SIDES = ((60, 640), (200, 480))  # up to so many pictures, long sides of so many pixels
LEAST_SIDE = 360
QUALITIES = (80, 65, 50, 35)


@dataclass(frozen=True)
class Sketch:
    """One image small: `width`×`height`, and truth and prediction as `scores.Picture` has them."""

    image: ImageCounts
    score: float | None
    width: int
    height: int
    masks: bytes


class Shortlist:
    """The `limit` worst of all sketches added and as many at random, in bounded memory.

    Random by a hash of the name, and so the same pictures whatever the order, and from one evaluation to the next.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: list[Sketch] = []

    def add(self, sketch: Sketch) -> None:
        """Takes one more; those that can no longer be chosen are let go now and then."""
        self._kept.append(sketch)
        if len(self._kept) > 4 * self.limit:
            chosen = {id(s) for s in (*self.worst(), *self.random())}
            self._kept = [s for s in self._kept if id(s) in chosen]

    def clear(self) -> None:
        """Forgets all, for when the images are gone through again."""
        self._kept = []

    def worst(self) -> list[Sketch]:
        """Returns those of the lowest score, worst first."""
        scored = [s for s in self._kept if s.score is not None]
        return sorted(scored, key=lambda s: (s.score, s.image.split, s.image.name))[: self.limit]

    def random(self) -> list[Sketch]:
        """Returns those drawn by name."""
        return sorted(self._kept, key=_lot)[: self.limit]


def side_for(pictures: int) -> int:
    """Returns the long side in pixels that so many pictures can have on one page."""
    return next((side for most, side in SIDES if pictures <= most), LEAST_SIDE)


def sketch(
    image: ImageCounts, truth: Pixels, prediction: Pixels, *, score: float | None, side: int
) -> Sketch:  # fmt: skip
    """Returns an image's two masks of class indices, scaled down by nearest neighbour to a long side of `side`."""
    height, width = truth.shape
    scale = min(1.0, side / max(height, width))
    small = max(1, round(height * scale)), max(1, round(width * scale))
    masks = b"".join(resize_mask(mask, *small).tobytes() for mask in (truth, prediction))
    return Sketch(image, score, small[1], small[0], zlib.compress(masks, 9))


def within(sketch: Sketch, limit: int) -> Sketch:
    """Returns a sketch whose masks take at most `limit` bytes: halved until they do, as noise needs."""
    while len(sketch.masks) > limit and min(sketch.width, sketch.height) > 1:
        masks = np.frombuffer(zlib.decompress(sketch.masks), np.uint8).reshape(2, sketch.height, sketch.width)
        half = masks[:, : sketch.height // 2 * 2 : 2, : sketch.width // 2 * 2 : 2]
        sketch = replace(sketch, width=half.shape[2], height=half.shape[1], masks=zlib.compress(half.tobytes(), 9))
    return sketch


def photo_within(image: Pixels, width: int, height: int, *, limit: int) -> bytes:
    """Returns `(H, W, 3)` RGB scaled to `width`×`height` as a WebP of at most `limit` bytes: of lower quality, and at
    last smaller, where it must be.
    """
    encoded = b""
    for divisor in (1, 2, 4, 8):
        size = max(1, width // divisor), max(1, height // divisor)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for quality in QUALITIES:
            ok, webp = cv2.imencode(".webp", np.asarray(small)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
            if not ok:
                raise ImageError(f"A picture of {size[0]}×{size[1]} cannot be encoded as WebP.")
            encoded = webp.tobytes()
            if len(encoded) <= limit:
                return encoded
    return encoded


def _lot(sketch: Sketch) -> bytes:
    name = f"{sketch.image.split}/{sketch.image.name}"
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
