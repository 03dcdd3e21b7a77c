"""Masks at full size made from their borders alone are those of whole planes scaled."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from segtool.imaging import upscale
from segtool.imaging.geometry import Probability, to_mask
from segtool.imaging.upscale import likeliest, reaching


def smooth(height: int, width: int, channels: int, *, seed: int = 0, sigma: float = 3) -> Probability:
    """Returns a probability whose borders are lines, as those of networks are."""
    rough = np.random.default_rng(seed).random((channels, height, width), np.float32)
    made = np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in rough], axis=2)
    low, high = made.min(), made.max()
    return np.asarray((made - low) / (high - low), np.float32)


def planes_of(probability: Probability, height: int, width: int) -> npt.NDArray[np.float32]:
    planes = [
        cv2.resize(np.ascontiguousarray(probability[..., c]), (width, height), interpolation=cv2.INTER_LINEAR)
        for c in range(probability.shape[2])
    ]
    return np.stack(planes).astype(np.float32)


SIZES = [(96, 128), (192, 256), (397, 501), (96, 1400), (1400, 128), (97, 129)]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.734])
def test_the_foreground_is_where_the_scaled_plane_reaches_the_threshold(
    height: int, width: int, threshold: float
) -> None:
    probability = smooth(96, 128, 1, sigma=6)
    mask = reaching(probability[..., 0], height, width, threshold=threshold)
    assert mask is not None and mask.dtype == np.uint8
    expected = planes_of(probability, height, width)[0]
    sure = np.abs(expected - threshold) > 1e-5
    assert sure.mean() > 0.999
    assert np.array_equal(mask[sure], (expected >= threshold)[sure])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("channels", [2, 3, 11])
@pytest.mark.parametrize("sigma", [1.0, 8.0])
def test_the_class_is_the_likeliest_of_the_scaled_planes(
    height: int, width: int, channels: int, sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upscale, "RUGGED", 1)  # however slow
    probability = smooth(96, 128, channels, sigma=sigma)
    mask = likeliest(probability, height, width)
    assert mask is not None and mask.dtype == np.uint8
    planes = planes_of(probability, height, width)
    lead = np.diff(np.sort(planes, axis=0), axis=0)[-1]
    sure = lead > 1e-5
    assert sure.mean() > 0.999
    assert np.array_equal(mask[sure], planes.argmax(axis=0)[sure])


def test_a_class_that_wins_only_between_network_pixels_is_found_there() -> None:
    """Second at both, it overtakes both on the way."""
    probability = np.array([[[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]]], np.float32).repeat(40, axis=0).repeat(1, axis=1)
    ground = np.tile(np.array([0.6, 0.4, 0.0], np.float32), (40, 40, 1))
    ground[:, 20:] = probability[:, 1:]
    for turned in (False, True):
        seen = np.ascontiguousarray(np.swapaxes(ground, 0, 1)) if turned else ground
        mask = likeliest(seen, 400, 400)
        assert mask is not None
        assert np.array_equal(mask, planes_of(seen, 400, 400).argmax(axis=0))
        assert (mask == 1).any()


def test_of_equals_the_foreground_wins_and_the_first_class() -> None:
    half = np.full((8, 8, 1), 0.5, np.float32)
    made = reaching(half[..., 0], 80, 80, threshold=0.5)
    assert made is not None and made.all()
    first = likeliest(np.full((8, 8, 3), 1 / 3, np.float32), 80, 80)
    assert first is not None and not first.any()


def test_a_plane_that_is_all_border_is_left_to_the_plain_way() -> None:
    rough = np.random.default_rng(0).random((40, 40, 2), np.float32)
    assert reaching(rough[..., 0], 400, 400, threshold=0.5) is None
    assert likeliest(rough, 400, 400) is None


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(("height", "width"), [(1500, 2000), (200, 12_000), (130, 170), (20, 30), (48, 64)])
def test_masks_of_any_size_agree_with_planes_scaled_whole(channels: int, height: int, width: int) -> None:
    """Large and small pictures take different ways to the same mask."""
    for sigma in (0.5, 4):
        probability = smooth(48, 64, channels, sigma=sigma)
        planes = planes_of(probability, height, width)
        expected = planes.argmax(axis=0) if channels > 1 else planes[0] >= 0.45
        mask = to_mask(probability, height, width, threshold=0.45)
        assert (mask == expected).mean() > 0.9999


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_of_few_pixels_give_masks_too(shape: tuple[int, int], channels: int) -> None:
    probability = np.random.default_rng(1).random((*shape, channels), np.float32)
    planes = planes_of(probability, 1500, 1600)
    expected = planes.argmax(axis=0) if channels > 1 else planes[0] >= 0.5
    assert (to_mask(probability, 1500, 1600, threshold=0.5) == expected).mean() > 0.9999
