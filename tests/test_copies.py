"""Pictures that are there twice, as `check` tells of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtool.data.copies import copy_findings, same_bytes
from segtool.data.facts import Look, look_at_image, look_at_mask
from segtool.data.layout import find_dataset
from segtool.data.shapes import draw_pair


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five train and three val pairs, all different."""
    for split, seeds in (("train", range(5)), ("val", range(5, 8))):
        for seed in seeds:
            image, mask = draw_pair(100, multiclass=False, rng=np.random.default_rng(seed))
            for kind, pixels in (("images", image), ("masks", mask)):
                path = tmp_path / split / kind / f"{seed}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return tmp_path


def looks(data: Path) -> list[Look]:
    return [
        Look(split, pair, look_at_image(pair.image, decode=True), look_at_mask(pair.mask, decode=True))
        for split, pairs in find_dataset(data).pairs.items()
        for pair in pairs
    ]


def told(data: Path) -> dict[str, list[tuple[str, ...]]]:
    return {f.code: [case.files for case in f.cases] for f in copy_findings(looks(data), data)}


def copy_pair(data: Path, source: str, target: str) -> None:
    for kind in ("images", "masks"):
        (a, b), (c, d) = source.split("/"), target.split("/")
        shutil.copy(data / a / kind / f"{b}.png", data / c / kind / f"{d}.png")


def test_pictures_that_differ_give_no_finding(data: Path) -> None:
    assert told(data) == {}


def test_the_same_pair_twice_in_a_split_is_told_once(data: Path) -> None:
    for name in ("x", "y"):
        copy_pair(data, "train/1", f"train/{name}")
    assert told(data) == {"duplicate-images": [("train/images/1.png", "train/images/x.png", "train/images/y.png")]}


def test_the_same_image_with_another_mask_is_an_error(data: Path) -> None:
    copy_pair(data, "train/1", "train/x")
    mask = np.array(Image.open(data / "train/masks/x.png"))
    Image.fromarray(255 - mask).save(data / "train/masks/x.png")
    assert told(data) == {
        "duplicates-disagree": [("train/images/1.png", "train/images/x.png", "train/masks/1.png", "train/masks/x.png")]
    }


def test_masks_that_differ_as_two_hands_do_are_the_same_pair(data: Path) -> None:
    copy_pair(data, "train/1", "train/x")
    mask = np.array(Image.open(data / "train/masks/x.png"))
    mask[:2, :50] ^= 255
    Image.fromarray(mask).save(data / "train/masks/x.png")
    assert told(data).keys() == {"duplicate-images"}


def test_the_same_bytes_in_two_splits_are_a_leak_and_no_near_copy(data: Path) -> None:
    copy_pair(data, "train/1", "val/x")
    assert told(data) == {"leakage-same-bytes": [("train/images/1.png", "val/images/x.png")]}


def test_where_folders_do_not_say_the_split_the_leak_does(data: Path) -> None:
    copy_pair(data, "train/1", "val/x")
    moved = [replace(x, pair=replace(x.pair, image=Path(shutil.copy(x.pair.image, data)))) for x in looks(data)]
    (finding,) = copy_findings(moved, data)
    assert finding.cases[0].detail == "in train and in val, same bytes"


def test_a_near_copy_leaks_across_splits_and_is_a_note_within_one(data: Path) -> None:
    for split in ("train", "val"):
        copy_pair(data, "train/1", f"{split}/x")
        with Image.open(data / split / "images/x.png") as image:
            image.resize((image.width * 2, image.height * 2)).save(data / split / "images/x.png", compress_level=3)
    Image.open(data / "val/images/x.png").save(data / "val/images/x.png", compress_level=9)
    found = told(data)
    assert found.keys() == {"leakage-near", "near-duplicates"}
    assert set(found["leakage-near"]) == {
        ("train/images/1.png", "val/images/x.png"),
        ("train/images/x.png", "val/images/x.png"),
    }
    assert found["near-duplicates"] == [("train/images/1.png", "train/images/x.png")]


def test_one_mask_under_two_images_is_told_unless_one_of_them_is_empty(data: Path) -> None:
    shutil.copy(data / "train/masks/1.png", data / "train/masks/2.png")
    for name in "34":
        mask = np.zeros_like(np.array(Image.open(data / f"train/masks/{name}.png")))
        Image.fromarray(mask[:50, :50]).save(data / f"train/masks/{name}.png")
    assert told(data) == {"same-mask": [("train/masks/1.png", "train/masks/2.png")]}


def test_equal_bytes_are_found_without_a_look_at_files_of_another_length(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_pair(data, "train/1", "val/x")
    every = looks(data)
    read: list[Path] = []

    def digest(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr("segtool.data.copies.file_digest", digest)
    assert [[x.pair.name for x in group] for group in same_bytes(every)] == [["1", "x"]]
    assert len(read) == 2
