"""Copies are found however they were saved; pictures that are only alike are not."""

import io
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segtool.data import likeness
from segtool.data.likeness import MAX_DISTANCE, SIDE, Thumbnails, distances, find_copies, perceptual_hashes, thumbnail
from segtool.data.shapes import draw_pair
from segtool.imaging.codec import Pixels


def photo(seed: int, size: int = 200) -> Pixels:
    return draw_pair(size, multiclass=False, rng=np.random.default_rng(seed))[0]


def thumbnails_of(*images: Pixels) -> Thumbnails:
    return np.stack([thumbnail(image) for image in images])


def found(*images: Pixels) -> list[tuple[int, int, bool]]:
    return [(c.first, c.second, c.mirrored) for c in find_copies(thumbnails_of(*images))]


def as_jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


COPIES: dict[str, Callable[[Pixels], Any]] = {
    "recompressed": lambda image: as_jpeg(image, 30),
    "a third of the size": lambda image: cv2.resize(image, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA),
    "twice the size": lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "made square": lambda image: cv2.resize(image, (128, 128), interpolation=cv2.INTER_LINEAR),
    "without colour": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
    "brightened": lambda image: np.clip(image.astype(np.float32) * 1.15 + 8, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_copy_is_found_among_others(copy: str, mirrored: bool) -> None:
    pictures = [photo(seed) for seed in range(25)]
    copies = [COPIES[copy](picture) for picture in pictures]
    if mirrored:
        copies = [np.ascontiguousarray(picture[:, ::-1]) for picture in copies]
    assert found(*pictures, *copies) == [(k, 25 + k, mirrored) for k in range(25)]


def test_pictures_of_one_kind_are_no_copies() -> None:
    assert found(*(photo(seed, 64) for seed in range(500))) == []


@pytest.mark.parametrize("noise", [0, 1, 3])
def test_plain_skies_are_no_copies(noise: float) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:1:240j, 0:1:320j]
    skies = []
    for _ in range(15):  # too few to tell what all have in common
        glow = np.exp(-((rows - 1) ** 2 + (columns - rng.uniform(0.9, 1)) ** 2) / rng.uniform(0.5, 0.7))
        sky = (rng.uniform(90, 110, 3) + rng.uniform(60, 80, 3) * glow[..., None]) + rng.normal(0, noise, (240, 320, 3))
        skies.append(as_jpeg(np.clip(sky, 0, 255).astype(np.uint8), 85))
    assert found(*skies) == []


def test_blank_pictures_are_no_copies() -> None:
    assert found(*(np.full((40, 50, 3), level, np.uint8) for level in (0, 0, 128, 255, 255))) == []


def test_pictures_of_one_layout_and_hash_are_no_copies_where_details_differ() -> None:
    rng = np.random.default_rng(0)
    layout = cv2.resize(rng.normal(128, 40, (10, 10)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    pictures = np.clip(layout + rng.normal(0, 20, (10, SIDE, SIDE)), 0, 255).astype(np.uint8)
    hashes = perceptual_hashes(pictures)
    assert distances(hashes[1:], hashes[:-1]).max() <= MAX_DISTANCE
    assert find_copies(pictures) == []


def test_pictures_through_one_round_opening_are_no_copies() -> None:
    rows, columns = np.mgrid[:200, :200]
    inside = (rows - 100) ** 2 + (columns - 100) ** 2 < 95**2
    pictures = []
    for seed in range(40):
        texture = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (200, 200)), (0, 0), 5)
        grey = np.where(inside, 140 + texture * 4 / texture.std(), 0).astype(np.uint8)
        pictures.append(np.repeat(grey[..., None], 3, axis=2))
    assert found(*pictures) == []


def frames(patches: int, side: int) -> list[Pixels]:
    """Returns what a fixed camera sees while coloured squares move through its view."""
    scene = photo(1)
    every = []
    for seed in range(30):
        frame, rng = scene.copy(), np.random.default_rng(seed)
        for _ in range(patches):
            y, x = rng.integers(0, [frame.shape[0] - side, frame.shape[1] - side])
            frame[y : y + side, x : x + side] = rng.integers(0, 255, 3)
        every.append(frame)
    return every


def test_frames_of_a_fixed_camera_are_no_copies_for_their_background() -> None:
    assert found(*frames(1, 12)) == []


def test_a_copy_of_a_frame_of_a_fixed_camera_is_found_by_what_moves() -> None:
    moving = frames(3, 40)
    assert found(*moving, as_jpeg(moving[4], 50)) == [(4, 30, False)]


def test_the_hash_of_a_mirrored_picture_is_known_from_the_picture() -> None:
    pictures = thumbnails_of(*(photo(seed) for seed in range(50)))
    mirrored = perceptual_hashes(np.ascontiguousarray(pictures[:, :, ::-1]))
    # Where a coefficient is as good as zero, rounding may give it either sign.
    assert distances(perceptual_hashes(pictures) ^ likeness._MIRROR, mirrored).max() <= 2


def test_the_distance_of_hashes_is_the_number_of_bits_that_differ() -> None:
    first, second = np.random.default_rng(0).integers(0, 2**64, (2, 100), np.uint64)
    assert distances(first, second).tolist() == [
        (int(a) ^ int(b)).bit_count() for a, b in zip(first, second, strict=True)
    ]


def test_the_index_finds_every_pair_within_the_distance() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 300, np.uint64)
    for k in range(0, 300, 2):  # neighbours that differ in 0 to 13 bits
        bits = rng.choice(64, rng.integers(0, 14), replace=False)
        hashes[k + 1] = hashes[k] ^ np.uint64(sum(1 << int(b) for b in bits))
    first, second = likeness._candidates(hashes, hashes)
    near = {
        (a, b) for a in range(300) for b in range(a + 1, 300)
        if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= MAX_DISTANCE
    }  # fmt: skip
    assert len(near) > 100
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == near


def test_a_copy_is_found_where_thousands_share_its_hash_but_for_some_bits() -> None:
    rng = np.random.default_rng(0)
    base = int(rng.integers(0, 2**64, dtype=np.uint64))
    flips = [int(sum(1 << int(b) for b in rng.choice(64, 9, replace=False))) for _ in range(3000)]
    hashes = np.array([base ^ f for f in flips] + [base ^ flips[5] ^ 1], np.uint64)
    first, second = likeness._candidates(hashes, hashes)
    assert (5, 3000) in set(zip(first.tolist(), second.tolist(), strict=True))


def test_thousands_of_equal_pictures_take_seconds_not_hours() -> None:
    start = time.process_time()
    pictures = np.repeat(thumbnails_of(photo(1), photo(2)), [3000, 2], axis=0)
    assert find_copies(pictures)[-1].second == 3001
    assert time.process_time() - start < 30


def test_a_thumbnail_has_its_size_whatever_the_picture_has() -> None:
    for shape in ((5, 9, 3), (300, 200, 3), (20, 400, 3), (31, 33)):
        assert thumbnail(np.full(shape, 70, np.uint8)).shape == (SIDE, SIDE)
    assert (thumbnail(np.full((300, 200, 3), 70, np.uint8)) == 70).all()


def test_nothing_is_a_copy_of_nothing() -> None:
    assert find_copies(np.zeros((0, SIDE, SIDE), np.uint8)) == []
    assert find_copies(thumbnails_of(photo(1))) == []
