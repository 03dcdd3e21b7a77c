"""Seconds of one core that cleaning takes, by size and kind of mask.

python tests/benchmarks/regions.py [MEGAPIXELS]
"""

import sys
import time

import cv2
import numpy as np

from segtool.imaging.geometry import Probability, to_mask
from segtool.imaging.regions import clean, next_best_of
from segtool.options import Cleaning


def smooth(classes: int) -> Probability:
    """Returns what a network might say: large regions, and doubt enough between them for specks."""
    rng = np.random.default_rng(0)
    fields = (rng.random((4, 5), np.float32) for _ in range(classes))
    planes = [cv2.resize(field, (256, 192), interpolation=cv2.INTER_CUBIC) for field in fields]
    return np.asarray(np.stack(planes, axis=2) + rng.normal(0, 0.03, (192, 256, classes)), np.float32)


def main() -> None:
    height = round((float(sys.argv[1]) if len(sys.argv) > 1 else 12) ** 0.5 * 866)
    width = height * 4 // 3
    rng = np.random.default_rng(0)
    for name, probability, salted in (
        ("smooth, 1 class", smooth(1), False),
        ("smooth, 11 classes", smooth(12), False),
        ("noise of the network, 11 classes", rng.random((192, 256, 12), np.float32), False),
        ("salt and pepper, 1 class", smooth(1), True),
        ("salt and pepper, 11 classes", smooth(12), True),
    ):
        mask = to_mask(probability, height, width, threshold=0.5)
        if salted:
            mask = rng.integers(0, max(2, probability.shape[2]), mask.shape, np.uint8)
        seconds = []
        for cleaning in (
            Cleaning(keep_largest=True),
            Cleaning(min_area=64),
            Cleaning(fill_holes=True),
            Cleaning(keep_largest=True, min_area=64, fill_holes=True),
        ):
            began = time.process_time()
            clean(mask, cleaning, next_best=next_best_of(probability, height, width))
            seconds.append(time.process_time() - began)
        print(f"{height * width / 1e6:5.1f} MP  {name:32}", *(f"{s:7.2f}" for s in seconds), sep="  ")


if __name__ == "__main__":
    print(" " * 45 + "largest     area    holes      all")
    main()
