"""What the tests of whole runs share: six pictures, a quick network of two classes or four, and readers of outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TERMINAL, Run
from PIL import Image
from quick_network import network

from segtool.card import Card, ClassInfo

COUNT = 6
FOUR = (
    ClassInfo(0, "background", (0, 0, 0)),
    ClassInfo(3, "car", (230, 159, 0)),
    ClassInfo(7, "person", (86, 180, 233)),
    ClassInfo(9, "road", (0, 158, 115)),
)
HELD = (0, 50, 100, 150)  # what the masks trained on held


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs use the quick network, which saves the seconds that loading weights takes."""
    monkeypatch.setitem(sys.modules, "segtool.engine.predictor", network(0.0))


@pytest.fixture
def photos(shapes: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures in the folder `photos` of the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for picture in (shapes / "val/images").iterdir():
        (tmp_path / "photos" / picture.name).hardlink_to(picture)
    return Path("photos")


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of four classes whose ids are not their places. Not to be changed."""
    import segtool.model  # noqa: F401  # chooses the Keras backend
    from segtool.model.unet import Architecture, build_unet, with_head
    from segtool.model.weights import save_weights

    path = tmp_path_factory.mktemp("four") / "four.keras"
    card = Card("four", "multiclass", FOUR, network_size=64, stride=2, mask_values=HELD)
    save_weights(with_head(build_unet(Architecture(classes=4, depth=1, width=4))), path, card)
    return path


def files(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def pixels(path: str | Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def piped(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Runs `segtool ARGUMENTS…` with the quick network in a process of its own, in a UTF-8 locale; bytes in and out."""
    command = [sys.executable, str(Path(__file__).with_name("quick_network.py")), "0", "never", *arguments]
    environment = {**os.environ, **TERMINAL, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def ids(photos: Path, four: Path, segtool: Run) -> dict[str, Any]:
    """The class ids of every picture by the weights `four`, with the quick network's opinion in four channels."""
    assert segtool("mask", photos, "ids", "-w", four, "--values", "id").returncode == 0
    found = {p.name: pixels(p) for p in Path("ids").glob("*.png")}
    assert len(found) == COUNT
    assert len(np.unique(np.concatenate([mask.ravel() for mask in found.values()]))) > 2
    return found
