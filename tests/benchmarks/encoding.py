"""What masks of 12 megapixels cost from probability to PNG: bytes, and milliseconds of one thread, median of 5 calls.

    python tests/benchmarks/encoding.py [PROBABILITY.npy …]

The files are what `segtool mask --probabilities` writes; without them shapes stand in. First `to_mask` beside scaling
every plane whole, then this project's PNG writer beside OpenCV's strategies, Pillow, and the same rows deflated by zlib
and, where it is installed (`pip install isal`), by isal.
"""

import importlib
import importlib.util
import io
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from segtool.imaging import encode, geometry
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability, to_mask, to_soft

LONG, SHORT, CLASSES = 4000, 3000, 11
REPEATS = 5


def main() -> None:
    """Prints a table of masks and one of encoders."""
    cv2.setNumThreads(1)
    given = {path: np.load(path).astype(np.float32) for path in sys.argv[1:]}
    probabilities = given or {"one object": shapes(1), f"{CLASSES} classes": shapes(CLASSES)}
    for name, probability in probabilities.items():
        h, w = probability.shape[:2]
        size = (SHORT, LONG) if w >= h else (LONG, SHORT)
        measure(f"{name}: to_mask", partial(to_mask, probability, *size, threshold=0.5))
        measure(f"{name}: planes scaled whole", partial(plainly, probability, *size))
        mask = to_mask(probability, *size, threshold=0.5)
        differs = (mask != plainly(probability, *size)).mean()
        print(f"{name}: differing pixels {differs:.7%}\n")
        binary = probability.shape[2] == 1
        encoders(f"{name}, mask", mask * np.uint8(255 if binary else 1))
        encoders(f"{name}, soft", to_soft(probability, *size))
    grain = np.random.default_rng(0).normal(0, 3, (SHORT, LONG, 3))
    hues = cv2.resize(np.random.default_rng(1).integers(0, 256, (75, 100, 3), np.uint8), (LONG, SHORT))
    encoders("a photo-like picture", np.clip(hues + grain, 0, 255).astype(np.uint8))


def plainly(probability: Probability, height: int, width: int) -> Pixels:
    """Returns the mask by the way of small pictures."""
    large, enlarged = geometry.LARGE, geometry.ENLARGED
    geometry.LARGE, geometry.ENLARGED = sys.maxsize, sys.maxsize
    try:
        return to_mask(probability, height, width, threshold=0.5)
    finally:
        geometry.LARGE, geometry.ENLARGED = large, enlarged


def shapes(channels: int) -> Probability:
    """Returns `(192, 256, channels)` in [0, 1] of overlapping ellipses with soft edges."""
    rng = np.random.default_rng(0)
    labels = np.zeros((SHORT, LONG), np.uint8)
    for index in range(1, 2 if channels == 1 else 5 * channels):
        center = int(rng.integers(LONG)), int(rng.integers(SHORT))
        axes = (900, 600) if channels == 1 else (int(rng.integers(100, 900)), int(rng.integers(100, 900)))
        cv2.ellipse(labels, center, axes, int(rng.integers(180)), 0, 360, (1 + index % max(channels - 1, 1),), -1)
    wanted = [1] if channels == 1 else range(channels)
    planes = [cv2.resize((labels == k).astype(np.float32), (256, 192), interpolation=cv2.INTER_AREA) for k in wanted]
    return np.stack([cv2.GaussianBlur(plane, (0, 0), 1) for plane in planes], axis=2).astype(np.float32)


def encoders(name: str, image: Pixels) -> None:
    """Prints a line an encoder."""
    measure(f"{name}: segtool", partial(encode.encode_png, image))
    settings = {
        "OpenCV": [],
        "OpenCV, RLE, Up": [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE],
        "OpenCV, level 6": [cv2.IMWRITE_PNG_COMPRESSION, 6],
        "OpenCV, fixed, level 1": [
            *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FIXED), *(cv2.IMWRITE_PNG_COMPRESSION, 1),
        ],
    }  # fmt: skip
    for label, parameters in settings.items():
        measure(f"{name}: {label}", partial(opencv, image, parameters))
    measure(f"{name}: Pillow", partial(pillow, image))
    rows = b"".join(strip.tobytes() for strip in encode._filtered(image, None))
    for label, level, strategy in (("zlib RLE", 1, zlib.Z_RLE), ("zlib level 6", 6, zlib.Z_DEFAULT_STRATEGY)):
        measure(f"{name}: {label}, deflating alone", partial(deflated, rows, level, strategy))
    if importlib.util.find_spec("isal"):
        isal = importlib.import_module("isal.isal_zlib")
        measure(f"{name}: isal level 1, deflating alone", partial(isal.compress, rows, 1))
    print()


def opencv(image: Pixels, parameters: list[int]) -> bytes:
    return cv2.imencode(".png", image, parameters)[1].tobytes()


def pillow(image: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def deflated(rows: bytes, level: int, strategy: int) -> bytes:
    deflate = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, encode.MEMORY, strategy)
    return deflate.compress(rows) + deflate.flush()


def measure(name: str, call: Callable[[], Pixels | bytes]) -> None:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        made = call()
        times.append(time.perf_counter() - begin)
    size = f"{len(made):>10,} bytes" if isinstance(made, bytes) else ""
    print(f"{sorted(times)[REPEATS // 2] * 1000:8.1f} ms {size:16}  {Path(name).name}", flush=True)


if __name__ == "__main__":
    main()
