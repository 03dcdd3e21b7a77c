"""How many pixels two folders of masks share: `python agreement.py FOLDER OTHER` prints a number in [0, 1]."""

import sys
from pathlib import Path

import cv2


def main() -> None:
    """Prints the share of equal pixels over up to 8 masks of the same name."""
    first, second = Path(sys.argv[1]), Path(sys.argv[2])
    equal = total = 0
    for path in sorted(first.glob("*.png"))[:8]:
        one, other = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in (path, second / path.name))
        if one is None or other is None or one.shape != other.shape:
            raise SystemExit(f"{path.name} is not the same picture in both folders.")
        equal, total = equal + int((one == other).sum()), total + one.size
    print(equal / total)


if __name__ == "__main__":
    main()
