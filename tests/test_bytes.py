"""On a CPU in one precision, the bytes of masks and probabilities depend on the picture and the settings alone: not on
its neighbours in the batch, the batch size, the threads, the shard or a restart.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TERMINAL, Run

# Runs each list of arguments in turn, in this one process.
SCRIPT = """
import json, sys
from segtool.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["segtool", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, arguments
"""


def ways(photos: Path, names: list[str], folder: Path, *options: str) -> list[list[str]]:
    """Returns the arguments of runs that must all give the same files, the first run's being the measure."""

    def way(name: str, *more: str, inputs: list[str] | None = None) -> list[str]:
        there = [str(folder / name), "--probabilities", str(folder / f"{name}-p")]
        return ["mask", *(inputs or [str(photos)]), *there, *options, *more]

    one, some = str(photos / names[0]), [str(photos / name) for name in names[1::2]]
    return [
        way("batch-8", "--batch-size", "8"),
        way("batch-1", "--batch-size", "1"),
        way("batch-3", "--batch-size", "3"),
        way("restarted", inputs=[one]),
        way("restarted", inputs=some),
        way("restarted", inputs=[str(photos / name) for name in reversed(names)]),
        way("sharded", "--shard", "2/3"),
        way("sharded", "--shard", "3/3"),
        way("sharded", "--shard", "1/3"),
    ]


def written(folder: Path) -> dict[str, dict[str, bytes]]:
    """Returns the files of each way by its name, masks and probabilities together."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".png", ".npy"):
            found.setdefault(path.parent.name.removesuffix("-p"), {})[path.name] = path.read_bytes()
    return found


def assert_same(found: dict[str, dict[str, bytes]], count: int) -> None:
    measure = found.pop("batch-8")
    assert len(measure) == 2 * count and len(found) >= 4
    different = {
        way: sorted(name for name in measure if files.get(name) != measure[name]) for way, files in found.items()
    }
    assert different == {way: [] for way in found}


def test_masks_of_drawn_pictures_depend_on_the_picture_alone(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    photos = shapes / "val/images"
    names = sorted(p.name for p in photos.iterdir())
    for arguments in ways(photos, names, tmp_path, "-w", "shapes"):
        done = segtool(*arguments)
        assert done.returncode == 0, done.stderr
    assert_same(written(tmp_path), len(names))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "auto"])
@pytest.mark.parametrize("weights", ["person", "shapes"])
def test_masks_of_photos_depend_on_the_picture_alone(
    weights: str, precision: str, real_data: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    found: dict[str, dict[str, bytes]] = {}
    photos.mkdir()
    some = sorted(p for p in (real_data / "human").rglob("*.jpg") if "image" in str(p.parent))[::25][:8]
    for path in some:
        (photos / path.name).symlink_to(path)
    names = sorted(p.name for p in photos.iterdir())
    assert len(names) == 8
    for threads in ("1", "2"):
        folder = tmp_path / f"threads-{threads}"
        runs = ways(photos, names, folder, "-w", weights, "--precision", precision, "-q")
        environment = {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads, **TERMINAL}
        command = [sys.executable, "-c", SCRIPT, json.dumps(runs if threads == "1" else runs[:3])]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
        assert done.returncode == 0, done.stderr
        found |= {f"{way}{'' if threads == '1' else ', 2 threads'}": f for way, f in written(folder).items()}
    assert_same(found, len(names))
