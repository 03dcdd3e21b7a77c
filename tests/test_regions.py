"""Cleaning a mask by region, against the definition spelled out with a flood fill."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from segtool.imaging import regions
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability, runner_up, to_mask
from segtool.imaging.regions import clean, next_best_in, next_best_of
from segtool.options import Cleaning

CROSS = ((-1, 0), (1, 0), (0, -1), (0, 1))
SQUARE = (*CROSS, (-1, -1), (-1, 1), (1, -1), (1, 1))
CLEANINGS = [
    Cleaning(keep_largest=True),
    Cleaning(min_area=4),
    Cleaning(fill_holes=True),
    Cleaning(min_area=5, fill_holes=True),
    Cleaning(keep_largest=True, fill_holes=True),
    Cleaning(keep_largest=True, min_area=9, fill_holes=True),
]

Region = set[tuple[int, int]]


def flooded(mask: Pixels, value: int, steps: tuple[tuple[int, int], ...]) -> list[Region]:
    """Returns the connected regions of `value`."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask == value)}
    found = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            for dy, dx in steps:
                if (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    edge.append((y + dy, x + dx))
        found.append(region)
    return found


def holes(mask: Pixels, background: int) -> Iterator[tuple[Region, int]]:
    """Yields background that touches no edge and borders on one class only, with that class."""
    height, width = mask.shape
    for region in flooded(mask, background, CROSS):
        around = {(y + dy, x + dx) for y, x in region for dy, dx in CROSS} - region
        if all(0 <= y < height and 0 <= x < width for y, x in around):
            values = {int(mask[at]) for at in around}
            if len(values) == 1:
                yield region, values.pop()


def is_clean(mask: Pixels, cleaning: Cleaning, background: int) -> bool:
    for value in set(mask.ravel().tolist()) - {background}:
        found = flooded(mask, value, SQUARE)
        if cleaning.keep_largest and len(found) > 1:
            return False
        if min(map(len, found)) < cleaning.min_area:
            return False
    return not (cleaning.fill_holes and list(holes(mask, background)))


def cleaned_by_hand(mask: Pixels, cleaning: Cleaning) -> Pixels:
    """Returns a mask cleaned as the docstring of `clean` says, regions of class 1 only."""
    mask = mask.copy()
    found = flooded(mask, 1, SQUARE)
    largest = max(map(len, found), default=0)
    for region in found:
        if len(region) < cleaning.min_area or (cleaning.keep_largest and len(region) < largest):
            for at in region:
                mask[at] = 0
    if cleaning.fill_holes:
        for region, value in holes(mask, 0):
            for at in region:
                mask[at] = value
    return mask


def drawn(rows: list[str]) -> Pixels:
    return np.array([[int(c) for c in row.replace(".", "0")] for row in rows], np.uint8)


def random_mask(seed: int, classes: int) -> Pixels:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 24, 2)
    share = rng.uniform(0.2, 0.8)
    return np.where(rng.random((height, width)) < share, rng.integers(0, classes, (height, width)), 0).astype(np.uint8)


def random_probability(seed: int, classes: int) -> Probability:
    raw = np.random.default_rng(seed).random((9, 13, classes), np.float32) ** 3
    return np.asarray(raw / raw.sum(axis=2, keepdims=True), np.float32)


def one_largest(mask: Pixels) -> bool:
    sizes = sorted(map(len, flooded(mask, 1, SQUARE)))
    return len(sizes) < 2 or sizes[-1] > sizes[-2]


@pytest.mark.parametrize("cleaning", CLEANINGS, ids=str)
def test_two_classes_are_cleaned_as_a_flood_fill_does_it(cleaning: Cleaning) -> None:
    masks = [random_mask(seed, 2) for seed in range(120)]
    masks = [m for m in masks if one_largest(m)]  # which of two equals is kept is not promised
    assert len(masks) > 50
    for mask in masks:
        assert np.array_equal(clean(mask, cleaning), cleaned_by_hand(mask, cleaning))


@pytest.mark.parametrize("cleaning", CLEANINGS, ids=str)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_nothing_unwanted_is_left_and_cleaning_again_changes_nothing(cleaning: Cleaning, classes: int) -> None:
    for seed in range(60):
        background = seed % classes
        probability = random_probability(seed, classes)
        mask = random_mask(seed, classes)
        for next_best in (None, next_best_of(probability, *mask.shape, background=background)):
            once = clean(mask, cleaning, background=background, next_best=next_best)
            assert is_clean(once, cleaning, background)
            assert np.array_equal(clean(once, cleaning, background=background, next_best=next_best), once)


@pytest.mark.parametrize("classes", [3, 6])
def test_masks_of_the_network_are_clean_after_one_cleaning(classes: int) -> None:
    cleaning = Cleaning(keep_largest=True, min_area=6, fill_holes=True)
    for seed in range(20):
        probability = random_probability(seed, classes)
        mask = to_mask(probability, 30, 41, threshold=0.5)
        next_best = next_best_of(probability, 30, 41)
        once = clean(mask, cleaning, next_best=next_best)
        assert is_clean(once, cleaning, 0)
        assert np.array_equal(clean(once, cleaning, next_best=next_best), once)


def test_regions_hold_together_at_corners_and_leak_there() -> None:
    mask = drawn(["1....", ".1.1.", "..1..", ".....", "...11"])
    assert clean(mask, Cleaning(keep_largest=True)).tolist()[:3] == mask.tolist()[:3]
    diamond = drawn([".1.", "1.1", ".1."])
    assert clean(diamond, Cleaning(fill_holes=True))[1, 1] == 1


def test_the_largest_region_of_each_class_is_kept() -> None:
    mask = drawn(["11..2", "11..2", "....2", "1.2..", "....."])
    kept = clean(mask, Cleaning(keep_largest=True))
    assert kept.tolist() == drawn(["11..2", "11..2", "....2", ".....", "....."]).tolist()


def test_a_region_of_just_the_smallest_area_is_kept() -> None:
    mask = drawn(["11.", "...", "111"])
    assert clean(mask, Cleaning(min_area=3)).tolist() == drawn(["...", "...", "111"]).tolist()
    assert clean(mask, Cleaning(min_area=2)).tolist() == mask.tolist()


def test_a_hole_between_two_classes_or_at_the_edge_stays() -> None:
    inside = drawn(["1111", "1..1", "1111"])
    assert clean(inside, Cleaning(fill_holes=True)).all()
    for rows in (["1122", "1..2", "1122"], ["1111", "1..1", "1..1"], ["1111", "1...", "1111"]):
        mask = drawn(rows)
        assert clean(mask, Cleaning(fill_holes=True)).tolist() == mask.tolist()


@pytest.mark.parametrize("rows", [2, 1024])
def test_holes_among_several_classes_fill_as_a_flood_fill_does_it(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "ROWS", rows)
    filled = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        mask = rng.choice(np.array([0, 1, 2], np.uint8), (9, 11), p=(0.3, 0.6, 0.1))
        by_hand = cleaned_by_hand(mask, Cleaning(fill_holes=True))
        filled += int((by_hand != mask).sum())
        assert np.array_equal(clean(mask, Cleaning(fill_holes=True)), by_hand)
    assert filled > 200


def test_a_hole_with_an_island_of_another_class_stays() -> None:
    mask = drawn(["11111", "1...1", "1.2.1", "1...1", "11111"])
    assert clean(mask, Cleaning(fill_holes=True)).tolist() == mask.tolist()


def test_holes_fill_once_the_specks_in_them_are_gone() -> None:
    mask = drawn(["11111", "1...1", "1.2.1", "1...1", "11111"])
    assert (clean(mask, Cleaning(min_area=2, fill_holes=True)) == 1).all()


def test_removed_pixels_take_the_likeliest_of_the_other_classes() -> None:
    classes = 5
    for seed in range(20):
        probability = random_probability(seed, classes)
        mask = to_mask(probability, 30, 41, threshold=0.5)
        next_best = next_best_of(probability, 30, 41)
        assert next_best is not None
        rows, columns = np.nonzero(mask >= 0)
        chosen = next_best(rows, columns, mask[rows, columns]).reshape(mask.shape)
        assert np.array_equal(chosen, runner_up(probability, mask))


def test_a_speck_inside_another_class_takes_that_class_not_the_background() -> None:
    probability = np.zeros((6, 6, 3), np.float32)
    probability[...] = (0.1, 0.7, 0.2)
    probability[2, 3] = (0.1, 0.4, 0.5)
    mask = to_mask(probability, 6, 6, threshold=0.5)
    assert mask[2, 3] == 2
    cleaned = clean(mask, Cleaning(min_area=2), next_best=next_best_of(probability, 6, 6))
    assert (cleaned == 1).all()
    assert clean(mask, Cleaning(min_area=2))[2, 3] == 0


def test_what_is_removed_twice_moves_on_to_the_third_class() -> None:
    probability = np.full((5, 5, 4), 0, np.float32)
    probability[...] = (0.0, 0.9, 0.05, 0.05)
    probability[2, 2] = (0.0, 0.2, 0.3, 0.5)
    mask = to_mask(probability, 5, 5, threshold=0.5)
    cleaned = clean(mask, Cleaning(min_area=2), next_best=next_best_of(probability, 5, 5))
    assert (cleaned == 1).all()


def test_equally_likely_classes_are_taken_in_their_order_and_the_background_last() -> None:
    next_best = next_best_of(np.full((2, 2, 3), 1 / 3, np.float32), 2, 2, background=1)
    assert next_best is not None
    at = np.zeros(3, np.intp)
    assert next_best(at, at, np.array([0, 1, 2], np.uint8)).tolist() == [1, 2, 1]


def test_with_two_classes_nothing_is_looked_up() -> None:
    assert next_best_of(np.zeros((4, 4, 1), np.float32), 8, 8) is None


def test_only_removed_pixels_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    mask = drawn(["222..", "222..", "....1"])

    def next_best(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], present: Pixels) -> Pixels:
        asked.extend(zip(rows.tolist(), columns.tolist(), strict=True))
        return np.zeros(len(present), np.uint8)

    monkeypatch.setattr(regions, "ROWS", 2)
    assert clean(mask, Cleaning(min_area=2), next_best=next_best)[2, 4] == 0
    assert asked == [(2, 4)]


def test_of_a_large_picture_the_second_class_is_enough() -> None:
    probability = random_probability(1, 3)
    mask = to_mask(probability, 30, 41, threshold=0.5)
    second = next_best_in(runner_up(probability, mask))
    rows, columns = np.nonzero(mask >= 0)
    present = mask[rows, columns]
    once = second(rows, columns, present)
    assert np.array_equal(once, runner_up(probability, mask)[rows, columns])
    assert not second(rows, columns, once).any()
    cleaned = clean(mask, Cleaning(min_area=9), next_best=second)
    assert is_clean(cleaned, Cleaning(min_area=9), 0)


@pytest.mark.parametrize("cleaning", CLEANINGS, ids=str)
def test_pieces_of_a_mask_looked_up_apart_give_the_same(cleaning: Cleaning, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = [random_mask(seed, 3) for seed in range(40)]
    probability = random_probability(0, 3)

    def all_cleaned() -> list[Pixels]:
        return [clean(m, cleaning, next_best=next_best_of(probability, *m.shape)) for m in masks]

    whole = all_cleaned()
    monkeypatch.setattr(regions, "ROWS", 3)
    monkeypatch.setattr(regions, "LOOKUPS", 5)
    for one, other in zip(whole, all_cleaned(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("cleaning", CLEANINGS, ids=str)
@pytest.mark.parametrize("value", [0, 1, 3])
def test_a_mask_of_one_class_stays_and_so_does_the_mask_given(cleaning: Cleaning, value: int) -> None:
    mask = np.full((5, 7), value, np.uint8)
    assert np.array_equal(clean(mask, cleaning), mask)
    noisy = random_mask(3, 3)
    before = noisy.copy()
    clean(noisy, cleaning)
    assert np.array_equal(noisy, before)


def test_a_cleaning_says_whether_anything_is_asked() -> None:
    assert not Cleaning().asked
    assert not Cleaning(min_area=1).asked
    assert all(cleaning.asked for cleaning in CLEANINGS)
