"""Cases made by hand, each with the outcome that is documented for it: what counts, what is left out, what is an error.

Every dataset has three val pairs, `a`, `b` and `c`, of 4×6 pixels; predictions are masks on disk.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, Said
from PIL import Image

Rows = list[list[int]]
NAMES = ("road", "car", "person")

LEFT, RIGHT = [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]
HALF, OTHER_HALF, EMPTY, FULL = [LEFT] * 4, [RIGHT] * 4, [[0] * 6] * 4, [[1] * 6] * 4


class Data:
    """A dataset and a folder of predictions, to be filled."""

    def __init__(self, root: Path, segtool: Run) -> None:
        self.root, self.found, self.segtool = root / "data", root / "found", segtool
        for folder in (self.root / "val/images", self.root / "val/masks", self.found):
            folder.mkdir(parents=True)

    def pair(self, name: str, truth: Rows, found: Rows | None, *, scale: int = 1) -> None:
        """Writes a pair of 0 and 255 with an image, and its prediction unless that is None."""
        pixels = scale * np.array(truth, np.uint8)
        Image.fromarray(np.zeros((*pixels.shape, 3), np.uint8)).save(self.root / "val/images" / f"{name}.png")
        Image.fromarray(pixels).save(self.root / "val/masks" / f"{name}.png")
        if found is not None:
            Image.fromarray(scale * np.array(found, np.uint8)).save(self.found / f"{name}.png")

    def classes(self, folder: Path, names: tuple[str, ...], **more: Any) -> None:
        listed = [{"id": i, "name": name} for i, name in enumerate(names)]
        (folder / "classes.json").write_text(json.dumps({"classes": listed, **more}))

    def run(self, *arguments: object) -> tuple[Said, dict[str, Any]]:
        done = self.segtool("evaluate", self.root, "--predictions", self.found, "--json", *arguments)
        return done, json.loads(done.stdout) if done.stdout else {}


@pytest.fixture
def data(tmp_path: Path, segtool: Run) -> Data:
    return Data(tmp_path, segtool)


def binary(data: Data, *pairs: tuple[Rows, Rows | None]) -> None:
    for name, (truth, found) in zip("abc", pairs, strict=True):
        data.pair(name, truth, found, scale=255)


def test_1_empty_truth_and_empty_prediction_are_one_in_the_mean_and_nothing_in_the_pool(data: Data) -> None:
    binary(data, (EMPTY, EMPTY), (HALF, HALF), (HALF, OTHER_HALF))
    done, scores = data.run()
    assert done.returncode == 0
    person = scores["classes"]["foreground"]
    assert person["iou_image"] == pytest.approx((1 + 1 + 0) / 3)
    assert person["iou"] == pytest.approx(12 / 36)
    assert person["boundary_iou_image"] == pytest.approx((1 + 1 + 0) / 3)


def test_2_all_truths_and_predictions_empty_have_no_pooled_iou_and_all_is_right(data: Data) -> None:
    binary(data, (EMPTY, EMPTY), (EMPTY, EMPTY), (EMPTY, EMPTY))
    done, scores = data.run()
    assert done.returncode == 0
    assert (scores["miou"], scores["miou_image"], scores["accuracy"]) == (None, 1, 1)
    assert scores["absent"] == ["foreground"]


def test_3_a_prediction_where_truth_is_empty_or_none_where_it_is_not_is_zero_for_the_picture(data: Data) -> None:
    binary(data, (EMPTY, HALF), (HALF, EMPTY), (HALF, HALF))
    _, scores = data.run()
    person = scores["classes"]["foreground"]
    for metric in ("iou", "dice", "precision", "recall", "boundary_iou", "boundary_f1"):
        assert person[f"{metric}_image"] == pytest.approx(1 / 3), metric
    assert person["images"] == 3
    assert scores["baseline_accuracy"] == pytest.approx(48 / 72)


def test_4_one_class_only_leaves_the_others_out_and_names_them(data: Data) -> None:
    data.classes(data.root, NAMES)
    for name in "abc":
        data.pair(name, EMPTY, EMPTY)
    done, scores = data.run()
    assert done.returncode == 0
    assert scores["absent"] == ["car", "person"]
    assert (scores["miou"], scores["miou_image"]) == (1, 1)
    assert scores["classes"]["car"]["images"] == 0


def test_5_a_picture_ignored_everywhere_changes_no_figure(data: Data) -> None:
    data.classes(data.root, NAMES)
    data.pair("a", [[255] * 6] * 4, HALF)
    data.pair("b", HALF, HALF)
    data.pair("c", HALF, OTHER_HALF)
    done, scores = data.run()
    assert done.returncode == 0
    assert scores["miou"] == pytest.approx(12 / 36)
    assert scores["miou_image"] == pytest.approx(1 / 2)
    assert scores["pairs"] == 3
    ignored = scores["images"][0]
    assert (ignored["name"], ignored["miou"], ignored["accuracy"]) == ("a", None, None)
    assert scores["classes"]["road"]["images"] == 2


def test_6_an_image_without_mask_is_named_and_not_scored_and_a_pair_without_prediction_is_a_failure(data: Data) -> None:
    binary(data, (HALF, HALF), (HALF, HALF), (HALF, None))
    (data.root / "val/images/lonely.png").write_bytes(b"never read")
    done, scores = data.run()
    assert done.returncode == 3
    assert scores["pairs"] == 2
    assert "files without partner: 1, such as" in done.stderr and "lonely.png" in done.stderr
    assert [what for what, _ in scores["failures"]] == ["c"]
    assert "no prediction" in scores["failures"][0][1]


def test_7_a_prediction_without_pair_is_named_and_not_scored(data: Data) -> None:
    binary(data, (HALF, HALF), (HALF, HALF), (HALF, HALF))
    Image.new("L", (6, 4)).save(data.found / "extra.png")
    done, scores = data.run()
    assert (done.returncode, scores["pairs"], scores["miou"]) == (0, 3, 1)
    assert "files of no val pair: 1" in done.stderr and "extra.png" in done.stderr


def test_8_a_prediction_of_another_size_is_scaled_and_of_another_shape_is_a_failure(data: Data) -> None:
    binary(data, (HALF, HALF), (HALF, HALF), (HALF, HALF))
    large = np.kron(np.array(HALF, np.uint8) * 255, np.ones((5, 5), np.uint8))
    Image.fromarray(large).save(data.found / "a.png")
    Image.fromarray(large[:, :20]).save(data.found / "b.png")
    done, scores = data.run()
    assert done.returncode == 3
    assert (scores["pairs"], scores["miou"]) == (2, 1)
    assert "20×20" in scores["failures"][0][1] and "6×4" in scores["failures"][0][1]
    assert [(i["width"], i["height"]) for i in scores["images"]] == [(6, 4), (6, 4)]


def test_9_an_id_beyond_the_classes_is_an_error_that_lists_it_and_says_what_to_do(data: Data) -> None:
    data.classes(data.root, NAMES)
    data.pair("a", HALF, HALF)
    data.pair("b", HALF, [[0, 1, 2, 3, 3, 3]] * 4)
    data.pair("c", HALF, HALF)
    done, _ = data.run()
    assert done.returncode == 1
    assert "0, 1, 2, 3" in done.stderr and "found/classes.json" in done.stderr
    data.pair("b", [[0, 1, 2, 3, 3, 3]] * 4, HALF)
    done, _ = data.run()
    assert done.returncode == 1
    assert "values 3 that" in done.stderr


def test_10_predictions_with_their_classes_in_another_order_are_joined_by_name(data: Data) -> None:
    data.classes(data.root, NAMES)
    truth = [[0, 0, 1, 1, 2, 2]] * 4
    order = {0: 2, 1: 0, 2: 1}  # theirs: car, person, road
    for name, found in zip("abc", (truth, truth, [[0, 0, 1, 1, 2, 1]] * 4), strict=True):
        data.pair(name, truth, [[order[v] for v in row] for row in found])
    data.classes(data.found, ("car", "person", "road"))
    done, scores = data.run()
    assert done.returncode == 0
    assert {n: c["iou"] for n, c in scores["classes"].items()} == {
        "road": 1, "car": pytest.approx(24 / 28), "person": pytest.approx(20 / 24)
    }  # fmt: skip
    data.classes(data.found, ("car", "person", "tree"))
    done, _ = data.run()
    assert done.returncode == 1
    assert "car, person, tree" in done.stderr and "road, car, person" in done.stderr


def test_11_a_prediction_of_no_class_is_wrong_and_told(data: Data) -> None:
    data.classes(data.root, NAMES)
    for name in "abc":
        data.pair(name, HALF, [[1, 1, 255, 0, 0, 0]] * 4)
    done, scores = data.run()
    assert done.returncode == 0
    assert scores["undecided"] == [0, 12, 0]
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["classes"]["car"]["iou"] == pytest.approx(2 / 3)


def spoil_truth(data: Data) -> None:
    (data.root / "val/masks/b.png").write_bytes(b"no picture")


def spoil_prediction(data: Data) -> None:
    (data.found / "b.png").write_bytes(b"")


@pytest.mark.parametrize("spoil", [spoil_truth, spoil_prediction])
def test_12_a_broken_mask_is_named_and_the_rest_is_scored(data: Data, spoil: Callable[[Data], None]) -> None:
    binary(data, (HALF, HALF), (HALF, HALF), (HALF, FULL))
    spoil(data)
    done, scores = data.run()
    assert done.returncode == 3
    assert (scores["pairs"], len(scores["failures"])) == (2, 1)
    assert "b.png" in done.stderr
