"""Random views of a pair: made again at will, image and mask true to each other."""

import cv2
import numpy as np
import pytest

from segtool.imaging.augment import ZOOM, _degrade, augment, paste
from segtool.imaging.codec import Pixels

SHAPE = (96, 128)


def scene() -> tuple[Pixels, Pixels]:
    """Returns a bright shape with no symmetry on dark ground, and its mask of 0 and 1."""
    mask = np.zeros((150, 200), np.uint8)
    cv2.fillPoly(mask, [np.array([[20, 10], [120, 30], [110, 90], [180, 140], [60, 130]], np.int32)], 1)
    image = np.where(mask[..., None] == 1, np.array((235, 225, 215)), np.array((25, 35, 45)))
    return image.astype(np.uint8), mask


def view(image: Pixels, mask: Pixels, index: int, *, seed: int = 0, epoch: int = 0) -> tuple[Pixels, Pixels]:
    return augment(image, mask, shape=SHAPE, scale=0.7, seed=seed, epoch=epoch, index=index)


def test_the_same_seed_epoch_and_index_give_the_same_view() -> None:
    image, mask = scene()
    for index in range(20):
        first, second = view(image, mask, index), view(image, mask, index)
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])


@pytest.mark.parametrize("other", [{"seed": 1, "index": 0}, {"epoch": 1, "index": 0}, {"index": 1}])
def test_another_seed_epoch_or_index_gives_another_view(other: dict[str, int]) -> None:
    image, mask = scene()
    assert not np.array_equal(view(image, mask, 0)[1], view(image, mask, **other)[1])


def test_the_pair_given_is_left_alone() -> None:
    image, mask = scene()
    before = image.copy(), mask.copy()
    for index in range(20):
        view(image, mask, index)
    assert np.array_equal(image, before[0])
    assert np.array_equal(mask, before[1])


@pytest.mark.parametrize("index", range(40))
def test_image_and_mask_stay_aligned(index: int) -> None:
    image, truth = view(*scene(), index)
    assert set(np.unique(truth)) == {0, 1}
    grey = image.mean(axis=2)
    middle = (np.median(grey[truth == 1]) + np.median(grey[truth == 0])) / 2
    # Blur and recompression soften edges: compare away from them.
    around = np.ones((11, 11), np.uint8)
    sure = cv2.erode(truth, around) == cv2.dilate(truth, around)
    assert sure.mean() > 0.5
    assert ((grey > middle) == (truth == 1))[sure].mean() > 0.995


@pytest.mark.parametrize("source", [(150, 200), (40, 30), (1, 1), (3, 300), (700, 500)])
@pytest.mark.parametrize("shape", [(64, 64), (32, 80)])
def test_a_view_has_the_shape_asked_for_whatever_the_source(source: tuple[int, int], shape: tuple[int, int]) -> None:
    pair = np.full((*source, 3), 90, np.uint8), np.ones(source, np.uint8)
    for index in range(8):
        image, mask = augment(*pair, shape=shape, scale=64 / max(source), seed=0, epoch=0, index=index)
        assert image.shape == (*shape, 3)
        assert image.dtype == np.uint8
        assert mask.shape == shape
        assert mask.dtype == np.uint8


def test_a_mask_holds_only_values_it_had() -> None:
    values = np.array([0, 3, 7, 255], np.uint8)
    mask = values[np.random.default_rng(0).integers(0, 4, (60, 80))]
    image = np.repeat(mask[..., None], 3, axis=2)
    for index in range(30):
        assert set(np.unique(view(image, mask, index)[1])) <= set(values)


def test_beyond_the_border_the_picture_goes_on_in_the_mirror() -> None:
    image, mask = np.full((20, 20, 3), 200, np.uint8), np.ones((20, 20), np.uint8)
    for index in range(20):
        truth = augment(image, mask, shape=SHAPE, scale=1.0, seed=0, epoch=0, index=index)[1]
        assert truth.all()


def test_about_half_of_the_views_are_mirrored() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:, :50] = 1
    image = np.repeat(mask[..., None], 3, axis=2) * 255
    truths = [augment(image, mask, shape=(64, 64), scale=0.6, seed=0, epoch=0, index=i)[1] for i in range(100)]
    assert 30 < sum(truth[:, :32].sum() < truth[:, 32:].sum() for truth in truths) < 70


def test_views_are_zoomed_around_the_scale_asked_for() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[180:220, 180:220] = 1
    image = np.repeat(mask[..., None], 3, axis=2) * 255
    zooms = []
    for index in range(60):
        truth = augment(image, mask, shape=(200, 200), scale=0.5, seed=0, epoch=0, index=index)[1]
        if truth.any() and not truth[[0, -1]].any() and not truth[:, [0, -1]].any():
            zooms.append(np.sqrt(truth.sum()) / (40 * 0.5))
    assert len(zooms) > 20
    assert 0.95 * ZOOM[0] < min(zooms) < 1 < max(zooms) < 1.05 * ZOOM[1]


def test_grey_pictures_stay_grey_and_lose_no_detail_to_blurring_when_tiny() -> None:
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (64, 64, 1), np.uint8), 3, axis=2)
    for index in range(40):
        view, _ = augment(
            grey, np.zeros((64, 64), np.uint8), shape=(64, 64), scale=1, seed=0, epoch=0, index=index, grey=True
        )
        # Noise and JPEG know no grey: what they add is small.
        assert np.abs(view.astype(int).mean((0, 1)) - view.mean()).max() < 3


def test_noise_falls_on_every_channel_alike() -> None:
    flat = np.full((64, 64, 3), 128, np.uint8)
    noisy = [_degrade(flat, np.random.default_rng(seed)).astype(float) for seed in range(60)]
    spread = np.array([view.std(axis=(0, 1)) for view in noisy if view.std() > 1])
    assert len(spread) > 3
    assert (spread.min(axis=1) > 0.5 * spread.max(axis=1)).all()


def test_pasting_lays_the_objects_of_another_over_a_picture_and_nothing_else() -> None:
    image, mask = np.full((40, 40, 3), 10, np.uint8), np.zeros((40, 40), np.uint8)
    mask[:, 30:] = 1
    other, other_mask = np.full((40, 40, 3), 200, np.uint8), np.zeros((40, 40), np.uint8)
    other_mask[10:20, 10:20] = 2
    other_mask[30:, :10] = 255  # ignored: no object
    pasted, truth = paste(image, mask, other, other_mask)
    assert (truth[10:20, 10:20] == 2).all()
    assert (np.delete(truth, slice(10, 20), axis=0) == np.delete(mask, slice(10, 20), axis=0)).all()
    assert (pasted[12:18, 12:18] == 200).all()
    assert (pasted[:7] == 10).all()
    assert (pasted[30:] == 10).all()
