"""What it takes to read a JPEG of 12 megapixels for the network: milliseconds of one thread, the median of 21 calls.

    python tests/benchmarks/decoding.py [FILE]

Without FILE, a made-up picture with the grain of a photo. Processor time, which other work on the machine changes less
than the clock does; the ways take turns, so that what still does hits all of them. Their ratio to ours stands behind.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segtool.imaging.codec import read_image, read_resized
from segtool.imaging.encode import encode_jpeg
from segtool.imaging.geometry import network_shape
from segtool.imaging.scaling import resize_image

CALLS = 21
NETWORK_SIZE, STRIDE = 256, 16
SCALE = 4  # of the bare decoders: what ours chooses


def grainy(height: int, width: int) -> bytes:
    """Returns a JPEG of smooth shapes and grain, 2 bits a pixel."""
    rng = np.random.default_rng(0)
    shapes = cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return encode_jpeg(np.clip(shapes + rng.normal(0, 5, (height, width, 1)), 0, 255).astype(np.uint8))


def main() -> None:
    """Prints a line a way."""
    cv2.setNumThreads(1)
    data = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else grainy(3000, 4000)
    shape_of = partial(network_shape, network_size=NETWORK_SIZE, stride=STRIDE)

    def whole() -> object:
        image = read_image(data)
        return resize_image(image, shape_of(*image.shape[:2]))

    def pillow() -> object:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.draft(None, (image.width // SCALE, image.height // SCALE))
            image.load()
            return image

    def opencv() -> object:
        flags = cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)

    ways: dict[str, Callable[[], object]] = {
        "read_resized": lambda: read_resized(data, shape_of), "read_image, then resized": whole,
        f"Pillow alone, at 1/{SCALE}": pillow, f"OpenCV alone, at 1/{SCALE}": opencv,
    }  # fmt: skip
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(CALLS):
        for name, way in ways.items():
            began = time.thread_time()
            way()
            spent[name].append(time.thread_time() - began)
    ours = spent["read_resized"]
    for name, times in spent.items():
        ratio = statistics.median(a / b for a, b in zip(times, ours, strict=True))
        print(f"{name:26} {statistics.median(times) * 1000:6.1f} ms  {ratio:5.2f}")


if __name__ == "__main__":
    main()
