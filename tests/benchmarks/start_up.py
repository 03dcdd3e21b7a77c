"""How long the first mask of one photo takes, beside what importing TensorFlow alone takes.

Run as: python tests/benchmarks/start_up.py [PHOTO] [ROUNDS]. Each round runs both once, so that what else the machine
does meets both. On two cores of an AMD EPYC, TensorFlow 2.21: 4.3 s for the import, 0.55 s for the mask.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from segtool.data.shapes import draw_pair

IMPORT = [sys.executable, "-c", "import tensorflow"]


def seconds(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(sys.argv[1]) if len(sys.argv) > 1 else _drawn(Path(folder))
        rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
        imports, masks = [], []
        for number in range(rounds + 1):
            imports.append(seconds(IMPORT))
            masks.append(seconds([sys.executable, "-m", "segtool", "mask", str(photo), f"{folder}/{number}/"]))
        imports, masks = imports[1:], masks[1:]  # the first round reads files from disk that later ones find in memory
        more = [mask - alone for mask, alone in zip(masks, imports, strict=True)]
        print(f"import tensorflow        {statistics.median(imports):.2f} s")
        print(f"first mask of one photo  {statistics.median(masks):.2f} s")
        print(f"difference, paired       {statistics.median(more):+.2f} s ({min(more):+.2f} to {max(more):+.2f})")


def _drawn(folder: Path) -> Path:
    image, _ = draw_pair(640, multiclass=False, rng=np.random.default_rng(0))
    Image.fromarray(image).save(folder / "photo.jpg")
    return folder / "photo.jpg"


if __name__ == "__main__":
    main()
