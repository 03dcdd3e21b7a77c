"""The picture sets of the benchmarks: a few distinct JPEGs, each copied until there are as many as asked for."""

import shutil
import subprocess
import sys
from pathlib import Path

DISTINCT = 8
LARGE, SMALL = (4000, 3000), (640, 480)  # width, height


def distinct_pictures(cache: Path, size: tuple[int, int], photos: Path | None = None) -> Path:
    """Returns the folder of distinct pictures of `size`, drawn on first use, or photos enlarged."""
    # The name keeps sets of different photos apart.
    kind = "drawn" if photos is None else f"photos-{photos.resolve().as_posix().strip('/').replace('/', '-')}"
    folder = cache / f"{kind}-{size[0]}x{size[1]}"
    if not folder.is_dir():
        # In a process of its own: the one that starts what is measured must stay small (running.py says why).
        script = str(Path(__file__).with_name("drawing.py"))
        words = [str(folder), str(size[0]), str(size[1]), str(DISTINCT), *([str(photos)] if photos else [])]
        subprocess.run([sys.executable, script, *words], check=True)
    return folder


def copied(originals: Path, folder: Path, count: int) -> Path:
    """Returns `folder`, filled with `count` copies of the files of `originals` in turn: no links, which would share
    the blocks on disk and the pages in memory.
    """
    if folder.is_dir():
        return folder
    files = sorted(originals.iterdir())
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number in range(count):
        shutil.copyfile(files[number % len(files)], partial / f"IMG_{number:05}.jpg")
    partial.rename(folder)
    return folder


def described(folder: Path) -> str:
    """Returns how many files a folder has, and their mean size."""
    sizes = [path.stat().st_size for path in folder.iterdir()]
    return f"{len(sizes)} JPEGs of {sum(sizes) / len(sizes) / 1e6:.2f} MB on average"
