"""What changed since an earlier evaluation."""

from pathlib import Path

import numpy as np
import pytest

from segtool.errors import DataError
from segtool.imaging.comparison import compare
from segtool.imaging.metrics import ImageCounts, Tally
from segtool.scores import Earlier

OLD = Path("old.json")
NAMES = ("background", "person")


def tally_of(hits: list[int], *, first: int = 0) -> Tally:
    """Returns images of 100 pixels, half of each class, `hits` of the foreground's found and no false ones."""
    images = tuple(
        ImageCounts(np.array([[50, 50, 100 - h], [h, 50, h]], np.int64), "val", f"{first + i:03}")
        for i, h in enumerate(hits)
    )
    return Tally(np.zeros((2, 3), np.int64), images)


def earlier_of(tally: Tally, names: tuple[str, ...] = NAMES) -> Earlier:
    rows = {(i.split, i.name): tuple(tuple(int(v) for v in row) for row in i.counts) for i in tally.images}
    return Earlier(names, rows)


def test_the_same_masks_have_not_changed() -> None:
    same = tally_of([10, 20, 30, 40])
    told = compare(same, NAMES, earlier_of(same), old=OLD)
    assert all(c.before == c.now and c.interval == (0, 0) for c in told.changes)
    assert not told.worse
    assert (told.pairs, told.only_now, told.only_before, told.truth_changed) == (4, 0, 0, 0)


def test_a_fall_in_every_image_is_worse_and_a_fall_in_one_of_many_by_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    before = [int(h) for h in rng.integers(20, 45, 40)]
    fallen = compare(tally_of([h - 3 for h in before]), NAMES, earlier_of(tally_of(before)), old=OLD)
    assert {c.key for c in fallen.worse} == {"miou", "miou_image"}
    mixed = [h + int(d) for h, d in zip(before, rng.integers(-3, 4, 40), strict=True)]
    assert not compare(tally_of(mixed), NAMES, earlier_of(tally_of(before)), old=OLD).worse
    better = compare(tally_of([h + 3 for h in before]), NAMES, earlier_of(tally_of(before)), old=OLD)
    assert not better.worse
    assert all(c.better for c in better.changes if c.key in ("miou", "iou:person"))


def test_images_are_listed_with_the_largest_fall_first() -> None:
    told = compare(tally_of([10, 40, 30]), NAMES, earlier_of(tally_of([20, 25, 35])), old=OLD)
    assert [c.key for c in told.images] == ["000", "002", "001"]
    assert [c.now - c.before for c in told.images] == pytest.approx([-0.2, -0.1, 0.3])


def test_only_images_in_both_are_compared_and_the_others_counted() -> None:
    told = compare(tally_of([10, 20, 30], first=1), NAMES, earlier_of(tally_of([50, 10, 20])), old=OLD)
    assert (told.pairs, told.only_now, told.only_before) == (2, 1, 1)
    assert all(c.before == c.now for c in told.changes)
    with pytest.raises(DataError, match="none of the 1 images"):
        compare(tally_of([10], first=9), NAMES, earlier_of(tally_of([50])), old=OLD)


def test_classes_are_joined_by_name_and_must_be_the_same() -> None:
    tally = tally_of([10, 20])
    swapped = earlier_of(Tally(tally.confusion, tuple(
        ImageCounts(i.counts[::-1], i.split, i.name) for i in tally.images)), NAMES[::-1])  # fmt: skip
    assert all(c.before == c.now for c in compare(tally, NAMES, swapped, old=OLD).changes)
    with pytest.raises(DataError, match="cat"):
        compare(tally, NAMES, earlier_of(tally, ("background", "cat")), old=OLD)


def test_changed_truths_are_counted() -> None:
    tally = tally_of([10, 20])
    rows = dict(earlier_of(tally).images)
    rows["val", "001"] = ((40, 40, 90), (10, 60, 10))
    assert compare(tally, NAMES, Earlier(NAMES, rows), old=OLD).truth_changed == 1


def test_boundaries_are_compared_only_where_both_have_them() -> None:
    wide = tuple(
        ImageCounts(np.concatenate([i.counts, np.ones((2, 7), np.int64)], axis=1), i.split, i.name)
        for i in tally_of([10, 20]).images
    )
    with_boundaries = Tally(np.zeros((2, 3), np.int64), wide)
    told = compare(with_boundaries, NAMES, earlier_of(tally_of([10, 20])), old=OLD)
    assert not any("boundary" in c.key for c in told.changes)
    both = compare(with_boundaries, NAMES, earlier_of(with_boundaries), old=OLD)
    assert any(c.key == "boundary_iou:person" for c in both.changes)


def test_a_single_image_has_a_change_and_no_interval() -> None:
    told = compare(tally_of([10]), NAMES, earlier_of(tally_of([20])), old=OLD)
    assert next(c for c in told.changes if c.key == "miou").now == pytest.approx(0.2)
    assert all(c.interval is None for c in told.changes)
    assert not told.worse
