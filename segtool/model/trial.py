"""Pictures that a network is tried on, to see that it says the same after it was made over."""

import numpy as np

from segtool.data.shapes import draw_pair
from segtool.imaging.codec import Pixels
from segtool.imaging.scaling import resize_image


def trial_picture(shape: tuple[int, int], *, count: int = 1) -> Pixels:
    """Returns drawn pictures `(count, h, w, 3)` uint8: edges, texture and flat ground, not noise, which saturates."""
    drawn = (draw_pair(max(64, *shape), multiclass=True, rng=np.random.default_rng(seed))[0] for seed in range(count))
    return np.stack([resize_image(image, shape) for image in drawn])
