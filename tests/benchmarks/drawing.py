"""Draws the distinct pictures of the benchmarks: `python drawing.py FOLDER WIDTH HEIGHT COUNT [PHOTOS]`.

Octaves of noise as in landscapes, large objects with textures of their own, and a sensor's noise: 4000×3000 at quality
90 comes to 3 to 5 MB, as cameras write them. With PHOTOS, a folder, its first pictures enlarged.
"""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

QUALITY, NOISE = 90, 7.0


def main() -> None:
    """Writes `0.jpg`, `1.jpg`, … into a folder that is there only once it is full."""
    folder, width, height, count = Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5])
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    photos = sorted(Path(sys.argv[5]).rglob("*.jpg"))[:count] if len(sys.argv) > 5 else []
    for seed in range(count):
        photo = photos[seed % len(photos)] if photos else None
        image = enlarge_photo(photo, width, height) if photo else draw_picture(width, height, seed)
        cv2.imwrite(str(partial / f"{seed}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    partial.rename(folder)


def enlarge_photo(path: Path, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Returns a photo stretched to `(height, width, 3)` uint8 BGR."""
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"{path} cannot be read: --photos takes a folder of JPEGs.")
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def draw_picture(width: int, height: int, seed: int) -> npt.NDArray[np.uint8]:
    """Returns `(height, width, 3)` uint8 BGR."""
    rng = np.random.default_rng(seed)
    canvas, other = _texture(width, height, rng), _texture(width, height, rng)
    for _ in range(4):
        other = np.clip(other[::-1] + rng.uniform(-60, 60, 3).astype(np.float32), 0, 255)
        shape = np.zeros((height, width), np.uint8)
        centre = int(rng.uniform(0.2, 0.8) * width), int(rng.uniform(0.2, 0.8) * height)
        axes = int(rng.uniform(0.05, 0.25) * width), int(rng.uniform(0.1, 0.35) * height)
        cv2.ellipse(shape, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
        cv2.copyTo(other, shape, canvas)
    noise = np.empty_like(canvas)
    cv2.setRNGSeed(seed)
    cv2.randn(noise, np.zeros(3), np.full(3, NOISE))  # a plain number would be for the first channel alone
    return np.asarray(np.clip(canvas + noise, 0, 255), np.uint8)


def _texture(width: int, height: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Returns a ground colour under noise whose strength falls with its frequency, `(height, width, 3)` float32."""
    canvas = np.broadcast_to(rng.uniform(60, 190, 3).astype(np.float32), (height, width, 3)).copy()
    cell = width / 4
    while cell >= 2:
        grey = rng.standard_normal((round(height / cell) + 1, round(width / cell) + 1, 1), np.float32)
        colour = rng.standard_normal((*grey.shape[:2], 3), np.float32)
        octave = (grey + 0.3 * colour) * np.float32(22 * (4 * cell / width) ** 0.35)
        canvas += cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC)
        cell /= 2
    return canvas


if __name__ == "__main__":
    main()
