"""How long a plan of many pictures takes: `python tests/benchmarks/planning.py [200000]`.

The pictures are hard links in 200 folders. Beside the plan stands the floor: only listing and looking at the files.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from segtool.kinds import wanted_of
from segtool.options import MaskOptions, Predicting, Sources
from segtool.plan import find_pictures, make_plan
from segtool.record import Records


def fill(folder: Path, count: int) -> None:
    """Makes `count` hard links to ten files: a file has no more than 65,000 links on some disks."""
    sources = [folder / f"source{i}.jpg" for i in range(10)]
    for source in sources:
        source.write_bytes(b"x")
    for index in range(count):
        place = folder / f"{index % 200:03}"
        place.mkdir(exist_ok=True)
        (place / f"IMG_{index:06}.jpg").hardlink_to(sources[index % 10])


def floor(folder: Path) -> float:
    """Returns the seconds it takes to list every folder and to look at every file."""
    begun = time.perf_counter()
    for top, _, names in os.walk(folder):
        for name in names:
            os.stat(os.path.join(top, name))
    return time.perf_counter() - begun


def main() -> None:
    """Prints seconds and ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "photos"
        folder.mkdir()
        fill(folder, count)
        options = MaskOptions(Sources((folder,)), Path(name) / "masks", predicting=Predicting("shapes"))
        for _ in range(3):
            least, begun = floor(folder), time.perf_counter()
            wanted = wanted_of(options)
            plan = make_plan(options, wanted, find_pictures(options, wanted), Records())
            seconds = time.perf_counter() - begun
            print(f"{len(plan.jobs)} pictures planned in {seconds:.2f} s, {seconds / least:.1f} × listing them")


if __name__ == "__main__":
    main()
