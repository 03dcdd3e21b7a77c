"""`segtool evaluate` as a user runs it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image


def test_the_scores_are_those_of_the_masks_that_segtool_mask_writes(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    segtool("mask", shapes / "val/images", tmp_path / "out", "-w", "shapes")
    truths = [np.asarray(Image.open(p)) == 255 for p in sorted((shapes / "val/masks").iterdir())]
    found = [np.asarray(Image.open(p)) == 255 for p in sorted((tmp_path / "out").glob("*.png"))]
    union = [np.sum(t | f) for t, f in zip(truths, found, strict=True)]
    both = [np.sum(t & f) for t, f in zip(truths, found, strict=True)]
    right = sum(np.sum(t == f) for t, f in zip(truths, found, strict=True))

    done = segtool("evaluate", shapes, "-w", "shapes", "--json")

    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["pairs"] == 6
    assert scores["miou"] == pytest.approx(sum(both) / sum(union))
    assert scores["miou_image"] == pytest.approx(np.mean([b / u if u else 1 for b, u in zip(both, union, strict=True)]))
    assert scores["accuracy"] == pytest.approx(right / sum(t.size for t in truths))
    assert scores["baseline_accuracy"] == pytest.approx(1 - sum(t.sum() for t in truths) / sum(t.size for t in truths))
    shape = scores["classes"]["shape"]
    assert shape["precision"] == pytest.approx(sum(both) / sum(np.sum(f) for f in found))
    assert shape["recall"] == pytest.approx(sum(both) / sum(np.sum(t) for t in truths))
    assert shape["dice"] == pytest.approx(2 * shape["iou"] / (1 + shape["iou"]))


def test_the_table_shows_every_class_and_the_baseline_in_80_columns(shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", shapes, "-w", "shapes")
    for word in ("background", "shape", "iou_image", "dice", "precision", "recall", "miou", "all background"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_masks_of_another_size_than_their_images_are_scored_at_their_own(
    shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    for path in (data / "val/masks").iterdir():
        with Image.open(path) as mask:
            double = mask.resize((mask.width * 2, mask.height * 2), Image.Resampling.NEAREST)
        double.save(path)
    same = json.loads(segtool("evaluate", shapes, "-w", "shapes", "--json").stdout)
    doubled = json.loads(segtool("evaluate", data, "-w", "shapes", "--json").stdout)
    assert sum(map(sum, doubled["confusion"])) == 4 * sum(map(sum, same["confusion"]))
    assert doubled["miou"] == pytest.approx(same["miou"], abs=0.03)


def test_a_broken_pair_is_named_and_the_rest_is_scored(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    (data / "val/images/00002.png").write_bytes(b"")
    done = segtool("evaluate", data, "-w", "shapes", "--json")
    assert done.returncode == 3
    assert "00002.png is an empty file" in done.stderr
    assert json.loads(done.stdout)["pairs"] == 5


def test_weights_for_other_classes_are_refused_with_both_lists(colored_shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", colored_shapes, "-w", "shapes")
    assert done.returncode == 1
    assert "background, shape" in done.stderr and "triangle" in done.stderr


def test_a_split_that_is_not_there_names_those_that_are(shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", shapes, "-w", "shapes", "--split", "test")
    assert done.returncode == 1
    assert "train (12), val (6)" in done.stderr


@pytest.mark.slow
def test_person_keeps_its_promise_on_photos_held_out(real_data: Path, segtool: Run) -> None:
    scores = json.loads(segtool("evaluate", real_data / "human", "--json").stdout)
    assert scores["accuracy"] >= 0.92
    assert scores["miou_image"] >= 0.68
