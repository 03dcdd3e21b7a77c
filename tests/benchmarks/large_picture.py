"""Time and peak memory of a mask of a large picture, in tiles, with the bundled `shapes` weights.

    python tests/benchmarks/large_picture.py [SIDE [TILE [SOURCE]]]     # 20000 2000 array

SOURCE: `array` holds the picture, `strips` reads it from a deflated TIFF strip by strip, `whole` decodes that TIFF.
Prints JSON: the peak of resident memory in bytes, seconds, and the IoU against the true mask.
"""

import io
import json
import resource
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from segtool.card import find_weights
from segtool.data.shapes import draw_pair
from segtool.engine.predictor import load_predictor
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.geometry import Rows
from segtool.imaging.strips import strip_reader
from segtool.imaging.tiles import tiled_mask
from segtool.imaging.tiling import tiling_of

STRIP = 500


def cell(side: int) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Returns a square picture with shapes, and where they are."""
    rng = np.random.default_rng(3)
    while True:
        image, mask = draw_pair(side * 3 // 2, multiclass=False, rng=rng)
        if mask[:side, :side].mean() > 40:
            return image[:side, :side], mask[:side, :side] > 0


def save_tiff(path: Path, image: Pixels, side: int) -> None:
    """Writes a `side`² TIFF that repeats `image`, its strips stored once and named again and again."""
    pieces = [
        zlib.compress(np.tile(image[top : top + STRIP], (1, side // len(image), 1)).tobytes(), 1)
        for top in range(0, len(image), STRIP)
    ]
    repeats = side // len(image)

    def directory(first: int) -> bytes:
        tags = ImageFileDirectory_v2()
        offsets = np.cumsum([first, *map(len, pieces[:-1])]).tolist() * repeats
        counts = [len(piece) for piece in pieces] * repeats
        for tag, value in {
            256: side, 257: side, 258: (8, 8, 8), 259: 8, 262: 2, 273: tuple(offsets), 277: 3, 278: STRIP,
            279: tuple(counts), 284: 1,
        }.items():  # fmt: skip
            tags.tagtype[tag] = 4 if tag in (273, 279) else 3
            tags[tag] = value
        file = io.BytesIO()
        tags.save(file)
        return file.getvalue()

    # Pillow counts strips from the end of the directory.
    path.write_bytes(directory(0) + b"".join(pieces))


def picture(source: str, image: Pixels, side: int, folder: Path) -> Rows:
    if source == "array":
        whole = np.tile(image, (side // len(image), side // len(image), 1))
        return lambda top, bottom: whole[top:bottom]
    path = folder / "large.tif"
    save_tiff(path, image, side)
    if source == "whole":
        Image.MAX_IMAGE_PIXELS = None
        decoded = read_image(path)
        return lambda top, bottom: decoded[top:bottom]
    found = strip_reader(path)
    assert found is not None
    return found[1]


def main() -> None:
    side, tile = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 20000), (2, 2000)))
    source = sys.argv[3] if len(sys.argv) > 3 else "array"
    weights = find_weights("shapes")
    predictor = load_predictor(weights, precision="float32")
    card = predictor.card
    image, truth = cell(tile)
    with tempfile.TemporaryDirectory() as folder:
        rows = picture(source, image, side, Path(folder))
        tiling = tiling_of((side, side), network_size=card.network_size, stride=card.stride, tile=tile, overlap=0.25)
        began = time.perf_counter()
        made = tiled_mask(rows, tiling, threshold=0.5, predict=predictor.predict, batch_size=8, soft=True)
    hits = union = 0
    for top in range(0, side, tile):
        found = made.indices[top : top + tile] > 0
        true = np.tile(truth, (1, side // tile))
        hits, union = hits + int((found & true).sum()), union + int((found | true).sum())
    result = {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "seconds": time.perf_counter() - began,
        "tiles": len(tiling.down) * len(tiling.across), "iou": hits / union, "confidence": made.confidence,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
