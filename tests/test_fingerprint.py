"""The numbers of a dataset that settings are chosen by."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtool.data.fingerprint import fingerprint
from segtool.data.sets import Sets, find_sets
from segtool.settings import Fingerprint


def sets(*roots: Path) -> Sets:
    return find_sets(roots, val_fraction=0.2, mask_suffix=None, class_names=())


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., Path]:
    def draw(name: str, sizes: list[tuple[int, int]], *, grey: bool = False) -> Path:
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            for kind in ("images", "masks"):
                (tmp_path / name / split / kind).mkdir(parents=True)
            for index, (width, height) in enumerate(sizes):
                image = rng.integers(0, 256, (height, width, 1 if grey else 3), np.uint8)
                Image.fromarray(np.broadcast_to(image, (height, width, 3)).copy()).save(
                    tmp_path / name / split / f"images/{index}.png"
                )
                mask = np.zeros((height, width), np.uint8)
                mask[: height // 4] = 1
                Image.fromarray(mask).save(tmp_path / name / split / f"masks/{index}.png")
        return tmp_path / name

    return draw


def test_sizes_shares_and_colour_are_those_of_the_train_pictures(drawn: Callable[..., Path]) -> None:
    found = fingerprint(sets(drawn("data", [(40, 20), (80, 60), (100, 40)])))
    assert (found.train, found.val) == (3, 3)
    assert (found.long_side, found.smallest, found.largest, found.one_size) == (80, 40, 100, False)
    assert found.shares == pytest.approx((0.75, 0.25))
    assert not found.grey


def test_grey_pictures_and_pictures_of_one_size_are_known_as_such(drawn: Callable[..., Path]) -> None:
    found = fingerprint(sets(drawn("data", [(40, 20)] * 4, grey=True)))
    assert found.grey and found.one_size


def test_the_digest_changes_with_any_file_and_not_with_the_place(shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "copy")
    before = fingerprint(sets(shapes))
    assert fingerprint(sets(tmp_path / "copy")) == before
    for changed in ("train/images/00003.png", "val/masks/00001.png"):
        path = tmp_path / "copy" / changed
        kept = path.read_bytes()
        path.write_bytes((path.parent / "00000.png").read_bytes())
        assert fingerprint(sets(tmp_path / "copy")).digest != before.digest
        path.write_bytes(kept)


def test_files_that_cannot_be_read_are_left_out(shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "data")
    for path in (tmp_path / "data/train/images").iterdir():
        path.write_bytes(b"no picture")
    found = fingerprint(sets(tmp_path / "data"))
    assert isinstance(found, Fingerprint)
    assert (found.train, found.long_side, found.grey) == (12, 0, False)
