"""How many objects of a set with two classes are found one by one, and how many are joined with others.

    python weights/touching.py WEIGHTS DATA

of its val split, at the masks' own size and threshold 0.5. An object is a connected region of foreground (8 neighbours)
in the truth; it is found where a region of the mask has an IoU of 0.5 or more with it, and joined where a region that
covers more than half of it covers more than half of another as well.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

FOUND, COVERED = 0.5, 0.5


def main() -> None:
    """Prints one line."""
    weights, data = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        masks = Path(scratch) / "masks"
        command = ["segtool", "mask", str(data / "val/images"), str(masks), "-w", weights, "--threshold", "0.5", "-q"]
        subprocess.run(command, check=True)
        truths, regions, found, joined = np.sum(list(_counts(data / "val/masks", masks)), axis=0)
    print(
        f"{weights}: {truths} objects, {regions} regions; found {found / truths:.3f} of the objects "
        f"(F1 {2 * found / (truths + regions):.3f}), joined {joined / truths:.3f}"
    )


def _counts(truths: Path, masks: Path) -> Iterator[tuple[int, int, int, int]]:
    for path in sorted(truths.iterdir()):
        objects, true = _regions(path)
        regions, made = _regions(masks / f"{path.stem}.png")
        shared = np.zeros((objects + 1, regions + 1), np.int64)
        np.add.at(shared, (true.ravel(), made.ravel()), 1)
        sizes, areas, both = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:], shared[1:, 1:]
        if not both.size:
            yield objects, regions, 0, 0
            continue
        found = (both / (sizes[:, None] + areas - both) >= FOUND).any(axis=1)
        covering = both.argmax(axis=1)[both.max(axis=1) / sizes > COVERED]
        yield objects, regions, int(found.sum()), int((np.bincount(covering)[covering] > 1).sum())


def _regions(path: Path) -> tuple[int, npt.NDArray[np.int32]]:
    mask = np.asarray(Image.open(path).convert("L"))
    count, labels = cv2.connectedComponents((mask > 0).astype(np.uint8), connectivity=8)
    return count - 1, np.asarray(labels, np.int32)


if __name__ == "__main__":
    main()
