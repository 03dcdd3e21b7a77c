"""What is installed works far from the checkout: from a wheel, from an sdist, and editable."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import PROJECT

from segtool.card import bundled_weights, read_card


def test_every_bundled_weights_file_has_a_card_with_scores_and_terms() -> None:
    found = {path.stem: read_card(path) for path in bundled_weights()}
    assert set(found) == {"person", "person-fast", "street", "cells", "shapes"}
    for name, card in found.items():
        assert card.name == name
        assert card.scores["val"]["miou"] is not None
        assert card.licence
        assert all(origin["train"] > 0 for origin in card.trained_on)


def test_the_person_card_has_figures_for_every_person_set() -> None:
    (card,) = (read_card(path) for path in bundled_weights() if path.stem == "person")
    sets = {"human", "portraits", "selfies", "fashion", "coco-person", "voc-person", "no-person"}
    assert set(card.scores["val"]["by_data"]) == sets
    assert "research" in card.licence


def test_all_bundled_weights_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in bundled_weights()) <= 35e6


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, PROJECT], check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_wheel_carries_weights_types_and_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in ("segtool/weights/person.keras", "segtool/weights/shapes.keras", "segtool/py.typed"):
        assert wanted in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests/")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz", "editable"])
def test_masks_are_made_far_from_the_checkout(kind: str, built: Path, shapes: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv/bin"
    package = ["-e", str(PROJECT)] if kind == "editable" else [str(next(built.glob(kind)))]
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *package], check=True)
    command = [str(programs / "segtool"), "mask", str(shapes / "val/images"), "out", "--weights", "shapes"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.png"))) == 6
