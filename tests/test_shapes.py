"""The dataset of shapes that `segtool synth` draws."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtool.commands.synth import synth
from segtool.data.classes import read_classes_file
from segtool.data.layout import find_dataset
from segtool.data.shapes import SHAPES, draw_pair
from segtool.data.truth import inspect_masks, read_pair
from segtool.errors import UsageError
from segtool.options import SynthOptions
from segtool.report.notices import Show


def draw(
    root: Path, *, train: int = 4, val: int = 2, size: int = 32, multiclass: bool = False, seed: int = 0
) -> dict[str, bytes]:
    """Draws a dataset and returns the bytes of every file in it."""
    synth(SynthOptions(root, train=train, val=val, size=size, multiclass=multiclass, seed=seed), Show(quiet=True))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def values_in(root: Path) -> list[set[int]]:
    """Returns the values of each mask below `root`."""
    masks = []
    for path in sorted(root.glob("*/masks/*.png")):
        with Image.open(path) as image:
            assert image.mode == "L"
            masks.append({int(v) for v in np.unique(np.asarray(image))})
    return masks


@pytest.mark.parametrize("multiclass", [False, True])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, multiclass: bool) -> None:
    first = draw(tmp_path / "a", multiclass=multiclass)
    assert first == draw(tmp_path / "b", multiclass=multiclass)


def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    first, second = draw(tmp_path / "a"), draw(tmp_path / "b", seed=1)
    assert all(first[name] != second[name] for name in first if "/images/" in name)


def test_a_picture_is_the_same_however_many_there_are(tmp_path: Path) -> None:
    few, many = draw(tmp_path / "few", train=2, val=1), draw(tmp_path / "many", train=6, val=3)
    assert few.items() < many.items()


def test_no_two_pictures_are_the_same(tmp_path: Path) -> None:
    images = [content for name, content in draw(tmp_path / "data", train=5, val=5).items() if "/images/" in name]
    assert len(set(images)) == 10


def test_the_files_are_laid_out_as_train_reads_them(shapes: Path) -> None:
    dataset = find_dataset(shapes)
    assert (len(dataset.split("train")), len(dataset.split("val")), dataset.unpaired) == (12, 6, ())
    coding = inspect_masks([pair.mask for pair in dataset.all_pairs], root=shapes)
    assert (coding.binary, coding.values) == (True, (0, 255))
    for pair in dataset.all_pairs:
        image, mask = read_pair(pair, coding, lambda height, width: (height, width))
        assert image.shape[:2] == mask.shape


def test_binary_masks_hold_0_and_255_and_need_no_classes_json(shapes: Path) -> None:
    assert set().union(*values_in(shapes)) == {0, 255}
    assert not (shapes / "classes.json").exists()


def test_multiclass_masks_hold_a_value_for_each_shape(colored_shapes: Path) -> None:
    assert set().union(*values_in(colored_shapes)) == set(range(len(SHAPES) + 1))


def test_classes_json_names_the_values_of_multiclass_masks(colored_shapes: Path) -> None:
    classes, _ = read_classes_file(colored_shapes / "classes.json")
    assert [(c.id, c.name) for c in classes] == list(enumerate(("background", *SHAPES)))
    assert len({c.color for c in classes}) == len(classes)


@pytest.mark.parametrize("size", [16, 33, 128])
def test_the_long_side_is_the_size_asked_for(size: int) -> None:
    for seed in range(10):
        image, mask = draw_pair(size, multiclass=False, rng=np.random.default_rng(seed))
        assert max(image.shape[:2]) == size
        assert image.shape == (*mask.shape, 3)
        assert image.dtype == mask.dtype == np.uint8


def test_pictures_lie_both_ways_and_some_hold_no_shape() -> None:
    pairs = [draw_pair(48, multiclass=False, rng=np.random.default_rng(seed)) for seed in range(100)]
    upright = sum(mask.shape[0] > mask.shape[1] for _, mask in pairs)
    empty = sum(not mask.any() for _, mask in pairs)
    assert 25 < upright < 75
    assert 1 <= empty <= 25


def test_a_shape_can_be_told_from_its_ground() -> None:
    told = []
    for seed in range(60):
        image, mask = draw_pair(64, multiclass=False, rng=np.random.default_rng(seed))
        if mask.any():
            distance = np.abs(image[mask > 0].mean(axis=0) - image[mask == 0].mean(axis=0)).sum()
            told.append(distance > 40)
    assert np.mean(told) > 0.9


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        draw(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UsageError):
        draw(tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert "train/images/00000.png" in draw(tmp_path)
