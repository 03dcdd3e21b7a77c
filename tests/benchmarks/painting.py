"""What overlays and cutouts of a 12-megapixel picture cost: milliseconds of one thread, the least of 7 calls.

    python tests/benchmarks/painting.py

Processor time, which other work on the machine changes less than the clock does. The scene is made up: one large
object, and 11 classes in overlapping ellipses.
"""

import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from segtool.data.classes import class_color
from segtool.imaging.background import on_background
from segtool.imaging.codec import Pixels
from segtool.imaging.cutout import cutout, edge_alpha
from segtool.imaging.paint import paint
from segtool.options import STYLES

HEIGHT, WIDTH, CLASSES = 3000, 4000, 12


def main() -> None:
    """Prints a line a function."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    image = np.asarray(cv2.resize(rng.integers(0, 256, (300, 400, 3), np.uint8), (WIDTH, HEIGHT)), np.uint8)
    one, many = ellipses(2, rng), ellipses(CLASSES, rng)
    legend = [(f"class {i}", class_color(i)) for i in range(CLASSES)]
    colors = [None, *(color for _, color in legend[1:])]
    for style in STYLES:
        measure(f"{style}, one object", partial(paint, image, one, style=style, colors=colors[:2], opacity=0.5))
        call = partial(paint, image, many, style=style, colors=colors, opacity=0.5, legend=legend)
        measure(f"{style}, 11 classes and legend", call)
    # As a network of 256 pixels says it.
    small = cv2.GaussianBlur(cv2.resize(one.astype(np.float32), (256, 192), interpolation=cv2.INTER_AREA), (0, 0), 1)
    probability = np.asarray(cv2.resize(small, (WIDTH, HEIGHT)), np.float32)
    mask = (probability >= 0.5).astype(np.uint8)
    alpha = edge_alpha(probability, mask, threshold=0.5)
    rgba = cutout(image, alpha)
    measure("edge_alpha", lambda: edge_alpha(probability, mask, threshold=0.5))
    measure("cutout", lambda: cutout(image, alpha))
    measure("on a colour", lambda: on_background(rgba, (255, 0, 255), image=image))
    measure("on a picture", lambda: on_background(rgba, image[:2000], image=image))
    measure("on the blurred photo", lambda: on_background(rgba, "blur", image=image))


def ellipses(classes: int, rng: np.random.Generator) -> Pixels:
    """Returns a mask of class indices, one ellipse a class over the ones before."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if classes == 2:
        return np.asarray(cv2.ellipse(mask, (2000, 1600), (900, 1300), 0, 0, 360, 1, -1), np.uint8)
    for i in range(1, classes):
        centre = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        cv2.ellipse(mask, centre, (600, 500), i * 20, 0, 360, i, -1)
    return mask


def measure(name: str, call: Callable[[], object]) -> None:
    """Prints the least time of 7 calls after a first one."""
    call()
    times = []
    for _ in range(7):
        started = time.thread_time()
        call()
        times.append(time.thread_time() - started)
    print(f"{name:>40}: {min(times) * 1e3:6.1f} ms")


if __name__ == "__main__":
    main()
