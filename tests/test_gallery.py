"""Which pictures a page shows, and that each stays within its bytes."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from segtool.imaging.gallery import LEAST_SIDE, PAGE_BYTES, Shortlist, Sketch, photo_within, side_for, sketch, within
from segtool.imaging.metrics import ImageCounts

COUNTS = np.zeros((2, 3), np.int64)


def sketches(count: int) -> list[Sketch]:
    rng = np.random.default_rng(0)
    scores = rng.permutation(count) / count
    return [
        Sketch(ImageCounts(COUNTS, "val", f"{i:04}"), None if i % 50 == 0 else float(scores[i]), 4, 3, b"")
        for i in range(count)
    ]


def names(some: list[Sketch]) -> list[str]:
    return [s.image.name for s in some]


def test_the_worst_are_those_of_the_lowest_score_whatever_the_order() -> None:
    some = sketches(500)
    wanted = names(sorted((s for s in some if s.score is not None), key=lambda s: s.score or 0)[:10])
    for order in (some, some[::-1], sorted(some, key=lambda s: -(s.score or 0))):
        shortlist = Shortlist(10)
        for one in order:
            shortlist.add(one)
        assert names(shortlist.worst()) == wanted


def test_the_random_ones_are_the_same_in_any_order_and_not_the_worst() -> None:
    lists = []
    for order in (sketches(500), sketches(500)[::-1]):
        shortlist = Shortlist(10)
        for one in order:
            shortlist.add(one)
        lists.append(names(shortlist.random()))
    assert lists[0] == lists[1] == names(sorted_random(sketches(500)))
    assert len(set(lists[0])) == 10
    assert np.std([int(name) for name in lists[0]]) > 60  # spread over all


def sorted_random(some: list[Sketch]) -> list[Sketch]:
    whole = Shortlist(len(some))
    for one in some:
        whole.add(one)
    return whole.random()[:10]


def test_few_are_held_however_many_come() -> None:
    shortlist = Shortlist(10)
    for one in sketches(2000):
        shortlist.add(one)
        assert len(shortlist._kept) <= 41
    shortlist.clear()
    assert shortlist.worst() == shortlist.random() == []


def test_a_sketch_holds_both_masks_small() -> None:
    truth, found = np.zeros((2, 300, 400), np.uint8)
    truth[:, 200:], found[:150] = 1, 2
    small = sketch(ImageCounts(COUNTS), truth, found, score=0.5, side=40)
    assert (small.width, small.height) == (40, 30)
    masks = np.frombuffer(zlib.decompress(small.masks), np.uint8).reshape(2, 30, 40)
    assert (masks[0, :, 20:] == 1).all() and (masks[0, :, :20] == 0).all()
    assert (masks[1, :15] == 2).all() and (masks[1, 15:] == 0).all()


def test_masks_like_noise_are_made_smaller_until_they_fit() -> None:
    truth, found = np.random.default_rng(0).integers(0, 11, (2, 301, 401), np.uint8)
    small = sketch(ImageCounts(COUNTS), truth, found, score=0.5, side=401)
    assert len(small.masks) > 50_000
    fitted = within(small, 13_000)
    assert len(fitted.masks) <= 13_000
    masks = np.frombuffer(zlib.decompress(fitted.masks), np.uint8).reshape(2, fitted.height, fitted.width)
    assert np.array_equal(masks[0], truth[:300:4, :400:4][: fitted.height, : fitted.width])
    assert within(fitted, 13_000) is fitted


def test_a_small_picture_is_not_enlarged() -> None:
    tiny = np.zeros((3, 5), np.uint8)
    assert (sketch(ImageCounts(COUNTS), tiny, tiny, score=None, side=640).width) == 5


@pytest.mark.parametrize("limit", [40_000, 8_000, 1_500])
def test_a_photo_stays_within_its_bytes_even_of_noise(limit: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    encoded = photo_within(noise, 360, 270, limit=limit)
    assert len(encoded) <= limit
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.format == "WEBP"
        assert image.width / image.height == pytest.approx(4 / 3, abs=0.02)


def test_an_easy_photo_has_its_full_size_and_its_colours() -> None:
    plain = np.zeros((480, 640, 3), np.uint8)
    plain[:] = (200, 30, 60)
    with Image.open(io.BytesIO(photo_within(plain, 360, 270, limit=20_000))) as image:
        assert image.size == (360, 270)
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - (200, 30, 60)).max() < 12


def test_more_pictures_are_smaller() -> None:
    sides = [side_for(count) for count in (1, 60, 100, 200, 500, 5000)]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == LEAST_SIDE
    assert PAGE_BYTES * 4 / 3 < 20_000_000
