"""`segtool check` as a user runs it: datasets broken on purpose, and sound ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image

from segtool.commands.synth import synth
from segtool.data.facts import ORIENTATION
from segtool.data.inspect import quick_check
from segtool.data.layout import find_dataset
from segtool.options import SynthOptions
from segtool.report.notices import Show


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of shapes with a class each: 60 train and 30 val pairs. Not to be changed."""
    root = tmp_path_factory.mktemp("sound") / "data"
    synth(SynthOptions(root, train=60, val=30, size=96, multiclass=True), Show(quiet=True))
    return root


@pytest.fixture
def data(sound: Path, tmp_path: Path) -> Path:
    """A copy of it, to break."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


def checked(segtool: Run, *args: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(segtool("check", *args, "--json").stdout)
    return document


def found(document: dict[str, Any]) -> dict[str, list[str]]:
    return {f["code"]: f["files"] for f in (*document["findings"], *document["notes"])}


def change_mask(path: Path, change: Callable[[np.ndarray[Any, Any]], object]) -> None:
    mask = np.array(Image.open(path))
    change(mask)
    Image.fromarray(mask).save(path)


def turn_by_exif(path: Path, target: Path) -> None:
    """Stores a picture lying on its side, with the EXIF tag that sets it up again."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    with Image.open(path) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(target, exif=exif)


def break_in_many_ways(data: Path) -> dict[str, set[str]]:
    """Breaks one pair or more a way; returns the files that each finding must name."""
    images, masks = data / "train/images", data / "train/masks"
    (masks / "00000.png").unlink()
    (images / "00001.png").unlink()
    (images / "00002.png").write_bytes((images / "00002.png").read_bytes()[:900])
    (masks / "00003.png").write_bytes(b"")
    # The image as the camera stored it, the mask as it was drawn by a program that does not know of EXIF.
    turn_by_exif(images / "00004.png", images / "00004.png")
    with Image.open(masks / "00004.png") as mask:
        mask.transpose(Image.Transpose.ROTATE_90).save(masks / "00004.png")
    with Image.open(masks / "00005.png") as mask:
        mask.crop((0, 0, mask.width // 2, mask.height)).save(masks / "00005.png")
    change_mask(masks / "00006.png", lambda m: m.__setitem__((3, 5), 77))
    change_mask(masks / "00007.png", lambda m: m.fill(255))
    with Image.open(masks / "00008.png") as mask:
        mask.point(lambda v: 60 * v).convert("L").save(masks / "00008.jpg")
    (masks / "00008.png").unlink()
    mask_colors = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)], np.uint8)
    change = mask_colors[np.array(Image.open(masks / "00009.png"))]
    Image.fromarray(change).save(masks / "00009.png")
    shutil.copy(images / "00010.png", images / "00011.png")
    shutil.copy(masks / "00010.png", masks / "00011.png")
    shutil.copy(images / "00012.png", data / "val/images/00000.png")
    shutil.copy(masks / "00012.png", data / "val/masks/00000.png")
    with Image.open(images / "00013.png") as image:
        copy = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((image.width * 2, image.height * 2))
        (data / "val/images/00001.png").unlink()
        copy.save(data / "val/images/00001.jpg", quality=60)
    with Image.open(masks / "00013.png") as mask:
        mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(data / "val/masks/00001.png")
    shutil.copy(images / "00014.png", images / "00014.jpg")
    shutil.copy(masks / "00015.png", masks / "00015_mask.png")
    change_mask(masks / "00016.png", lambda m: m.fill(0))
    for path in (data / "val/masks").iterdir():
        change_mask(path, lambda m: m.__setitem__(m == 4, 3))
    return {
        "unpaired-image": {"train/images/00000.png"},
        "unpaired-mask": {"train/masks/00001.png"},
        "unreadable-image": {"train/images/00002.png"},
        "unreadable-mask": {"train/masks/00003.png"},
        "transposed": {"train/images/00004.png", "train/masks/00004.png"},
        "size-mismatch": {"train/images/00005.png", "train/masks/00005.png"},
        "ids-out-of-range": {"train/masks/00006.png"},
        "ignored-masks": {"train/masks/00007.png"},
        "jpeg-masks": {"train/masks/00008.jpg"},
        "mixed-masks": {"train/masks/00009.png"},
        "duplicate-images": {"train/images/00010.png", "train/images/00011.png"},
        "leakage-same-bytes": {"train/images/00012.png", "val/images/00000.png"},
        "leakage-near": {"train/images/00013.png", "val/images/00001.jpg"},
        "size-scaled": {"val/images/00001.jpg", "val/masks/00001.png"},
        "name-clash": {"train/images/00014.jpg", "train/images/00014.png"},
        "two-masks": {"train/masks/00015.png", "train/masks/00015_mask.png", "train/images/00015.png"},
    }


def test_a_dataset_broken_in_many_ways_is_told_of_each_with_its_files(data: Path, segtool: Run) -> None:
    expected = break_in_many_ways(data)
    document = checked(segtool, data)
    named = found(document)
    assert {code: set(named.pop(code, ())) for code in expected} == expected
    assert "train/masks/00016.png" in named.pop("empty-masks")
    stars = {p.name for p in (data / "train/masks").glob("*.png") if _holds(p, 4)}
    assert {Path(name).name for name in named.pop("class-not-in-val")} == stars - {"00001.png", "00015_mask.png"}
    assert named == {}
    assert document["exit_code"] == 4


def _holds(path: Path, value: int) -> bool:
    try:
        mask = np.asarray(Image.open(path))
    except OSError:
        return False
    return mask.ndim == 2 and value in mask and path.name != "00006.png"


def test_the_report_names_every_finding_and_exits_with_4(data: Path, segtool: Run) -> None:
    expected = break_in_many_ways(data)
    done = segtool("check", data)
    assert done.returncode == 4
    for code, files in expected.items():
        assert code in done.stdout
        assert all(name in done.stdout for name in files), files
    assert "EXIF orientation 6" in done.stdout
    assert "00003.png  is an empty file." in done.stdout


def test_a_sound_dataset_gives_no_finding(sound: Path, shapes: Path, segtool: Run) -> None:
    for data in (sound, shapes):
        done = segtool("check", data, "--json", "--strict")
        assert done.returncode == 0, done.stdout
        assert json.loads(done.stdout)["findings"] == []


def test_shares_are_counted_by_class_and_split(sound: Path, segtool: Run) -> None:
    masks = [np.asarray(Image.open(p)) for p in sorted((sound / "val/masks").iterdir())]
    pixels = np.sum([np.bincount(m.ravel(), minlength=5) for m in masks], axis=0)
    classes = checked(segtool, sound)["splits"]["val"]["classes"]
    assert [c["share"] for c in classes.values()] == pytest.approx(pixels / pixels.sum())
    assert classes["star"]["images"] == sum(4 in m for m in masks)


def test_a_warning_exits_with_0_and_with_strict_with_4(data: Path, segtool: Run) -> None:
    shutil.copy(data / "train/images/00010.png", data / "train/images/00011.png")
    shutil.copy(data / "train/masks/00010.png", data / "train/masks/00011.png")
    assert segtool("check", data).returncode == 0
    assert segtool("check", data, "--strict").returncode == 4


def test_quick_finds_what_names_headers_and_equal_bytes_say(data: Path, segtool: Run) -> None:
    expected = break_in_many_ways(data)
    named = found(checked(segtool, data, "--quick"))
    assert "leakage-near" not in named  # which takes decoding
    # Of the image that is cut off only the header is read.
    for code in expected.keys() - {"leakage-near", "unreadable-image"}:
        assert set(named[code]) == expected[code]


def test_quick_decodes_no_image(data: Path, segtool: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtool.data.facts.read_image", lambda path: pytest.fail(f"decoded {path}"))
    assert segtool("check", data, "--quick").returncode == 0


def test_quick_check_gives_training_the_errors_and_warnings(data: Path) -> None:
    assert quick_check(find_dataset(data)) == ()
    change_mask(data / "train/masks/00006.png", lambda m: m.__setitem__((3, 5), 77))
    (data / "train/masks/00000.png").unlink()
    findings = quick_check(find_dataset(data))
    assert [(f.code, f.files) for f in findings] == [
        ("unpaired-image", ("train/images/00000.png",)),
        ("ids-out-of-range", ("train/masks/00006.png",)),
    ]


def test_a_folder_without_pictures_or_layout_is_an_error(tmp_path: Path, segtool: Run) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for root, told in (("data", "holds no pictures"), ("gone", "There is no dataset folder")):
        done = segtool("check", tmp_path / root)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr


def test_a_dataset_in_which_nothing_pairs_is_told_of_file_by_file(tmp_path: Path, sound: Path, segtool: Run) -> None:
    for kind, stem in (("images", "a"), ("masks", "b")):
        (tmp_path / "train" / kind).mkdir(parents=True)
        shutil.copy(sound / "train" / kind / "00000.png", tmp_path / f"train/{kind}/{stem}.png")
    named = found(checked(segtool, tmp_path))
    assert named["unpaired-image"] == ["train/images/a.png"]
    assert named["unpaired-mask"] == ["train/masks/b.png"]
    assert {"no-train", "no-val"} <= named.keys()


def test_real_sets_are_sound_but_for_what_was_seen_to_be_wrong(real_data: Path, segtool: Run) -> None:
    assert found(checked(segtool, real_data / "human")).keys() == {"unnamed-classes", "grey-images"}
    assert checked(segtool, real_data / "cells", "--strict")["findings"] == []
