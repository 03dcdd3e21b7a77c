"""Classes that are missing somewhere, masks that hold nothing, objects too small to be seen."""

from pathlib import Path

import pytest

from segtool.card import ClassInfo
from segtool.data.balance import balance_findings, balance_of, split_figures
from segtool.data.classes import MaskCoding, named_classes
from segtool.data.facts import IDS, JPEG, ImageFacts, Look, MaskFacts
from segtool.data.layout import Pair
from segtool.results import Finding

THREE = MaskCoding(named_classes(3), (0, 1, 2), (255,))
TWO = MaskCoding(named_classes(2), (0, 255), ())


def look(name: str, counts: dict[int, int], *, kind: str = IDS, largest: tuple[int, ...] = ()) -> Look:
    """Returns a pair `split/name` whose mask holds those values so often."""
    mask = MaskFacts(10, 10, kind=kind, values=tuple(counts), counts=tuple(counts.values()), largest=largest)
    return Look(name.partition("/")[0], Pair(name, Path("/d/i", name), Path("/d", name)), ImageFacts(10, 10), mask)


def findings(looks: list[Look], coding: MaskCoding, *, complete: bool = True) -> dict[str, Finding]:
    return {f.code: f for f in balance_findings(balance_of(looks, coding), Path("/d"), complete=complete)}


def test_shares_leave_the_ignored_out() -> None:
    looks = [look("train/a", {0: 60, 1: 20, 255: 20}), look("train/b", {0: 80, 2: 20}), look("val/c", {0: 100})]
    train, val = split_figures(balance_of(looks, THREE), {"train": 5, "val": 1})
    assert [c.share for c in train.classes] == pytest.approx([140 / 180, 20 / 180, 20 / 180])
    assert [c.images for c in train.classes] == [2, 1, 1]
    assert (train.pairs, train.read, train.ignored) == (5, 2, 0.1)
    assert [c.share for c in val.classes] == [1, 0, 0]


def test_jpeg_masks_are_counted_as_they_are_cut() -> None:
    cut = MaskCoding(named_classes(2), (0, 255), (), cut=True)
    (train,) = split_figures(
        balance_of([look("train/a", {0: 50, 3: 10, 130: 10, 250: 30}, kind=JPEG)], cut), {"train": 1}
    )
    assert [c.share for c in train.classes] == pytest.approx([0.6, 0.4])


def test_classes_in_every_split_are_no_fault() -> None:
    assert findings([look("train/a", {0: 9, 1: 1, 2: 1}), look("val/b", {0: 9, 1: 1, 2: 3})], THREE) == {}


def test_a_class_that_train_lacks_is_an_error_with_the_masks_that_hold_it() -> None:
    found = findings([look("train/a", {0: 9, 1: 1}), look("val/b", {0: 9, 2: 1}), look("val/c", {0: 9, 1: 1})], THREE)
    assert found.keys() == {"class-not-in-train"}
    assert found["class-not-in-train"].severity == "error"
    assert found["class-not-in-train"].files == ("val/b",)


def test_a_class_that_val_or_test_lacks_is_a_warning() -> None:
    looks = [look("train/a", {0: 9, 1: 1, 2: 1}), look("val/b", {0: 9, 1: 1}), look("test/c", {0: 9, 2: 1})]
    found = findings(looks, THREE)
    assert {code: f.severity for code, f in found.items()} == {
        "class-not-in-val": "warning", "class-not-in-test": "warning"
    }  # fmt: skip
    assert "class 2" in found["class-not-in-val"].what and "class 1" in found["class-not-in-test"].what


def test_a_class_that_is_nowhere_is_a_warning_but_not_once_more_a_split() -> None:
    found = findings([look("train/a", {0: 9, 1: 1}), look("val/b", {0: 9, 1: 1})], THREE)
    assert found.keys() == {"class-nowhere"}
    assert "class 2" in found["class-nowhere"].what


def test_a_sample_says_nothing_of_classes_that_were_not_seen() -> None:
    assert findings([look("train/a", {0: 9, 1: 1}), look("val/b", {0: 9})], THREE, complete=False).keys() == {
        "empty-masks"
    }


@pytest.mark.parametrize(("empty", "severity"), [(1, "warning"), (2, "warning"), (3, "note"), (30, "note")])
def test_empty_masks_are_a_warning_where_they_are_rare(empty: int, severity: str) -> None:
    looks = [look(f"train/{k}", {0: 9} if k < empty else {0: 5, 255: 4}) for k in range(100)]
    found = findings(looks, TWO)["empty-masks"]
    assert (found.severity, len(found.cases)) == (severity, empty)


def test_a_set_of_empty_masks_is_told_of_once() -> None:
    assert findings([look(f"{s}/{k}", {0: 9}) for s in ("train", "val") for k in range(5)], TWO).keys() == {
        "no-foreground"
    }


def test_a_mask_of_the_first_class_alone_is_empty_only_where_that_is_a_background() -> None:
    sky = MaskCoding(tuple(ClassInfo(i, n, (i, 0, 0)) for i, n in enumerate(("sky", "road"))), (0, 1), (), named=True)
    three = MaskCoding(
        tuple(ClassInfo(i, n, (i, 0, 0)) for i, n in enumerate(("sky", "road", "car"))), (0, 1, 2), (), named=True
    )
    looks = [look("train/a", {0: 9}), look("train/b", {0: 9, 1: 2, 2: 1})]
    assert "empty-masks" not in findings(looks, three)
    assert "empty-masks" in findings([*looks[:1], look("train/b", {0: 9, 1: 2})], sky)


def test_masks_wholly_ignored_are_named_and_not_called_empty() -> None:
    found = findings([look("train/a", {255: 9}), look("train/b", {0: 9, 1: 1, 2: 1, 255: 4})], THREE)
    assert {code: f.files for code, f in found.items()} == {"ignored-masks": ("train/a",)}


def test_objects_too_small_for_the_network_are_told_by_class() -> None:
    looks = [look(f"train/{k}", {0: 90, 1: 5, 2: 5}, largest=(60000, 4 + k, 900)) for k in range(9)]
    found = findings(looks, THREE)
    assert found.keys() == {"small-objects"}
    assert "largest class 1 has 8 pixels or fewer" in found["small-objects"].what
