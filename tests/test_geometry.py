"""How a picture meets the network and comes back as a mask."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import (
    Probability,
    confidence,
    flipped,
    network_shape,
    runner_up,
    sampler,
    to_mask,
    to_soft,
)  # fmt: skip
from segtool.imaging.scaling import resize_image

SIZES = [(300, 400), (400, 300), (512, 512), (3000, 4000), (16, 9), (1, 1), (1, 1000), (4000, 17), (333, 500)]


def bilinear(plane: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Returns `plane` scaled linearly, pixel centres at halves, edges repeated."""

    def along(length: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        at = np.clip((np.arange(target) + 0.5) * length / target - 0.5, 0, length - 1)
        low = np.floor(at).astype(np.intp)
        return low, np.minimum(low + 1, length - 1), at - low

    top, bottom, down = along(plane.shape[0], height)
    left, right, over = along(plane.shape[1], width)
    rows = plane[top] * (1 - down[:, None]) + plane[bottom] * down[:, None]
    return np.asarray(rows[:, left] * (1 - over) + rows[:, right] * over)


def random_probability(height: int, width: int, channels: int) -> Probability:
    raw = np.random.default_rng(channels).random((height, width, channels), np.float32)
    return raw if channels == 1 else raw / raw.sum(axis=2, keepdims=True)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("stride", [16, 32])
def test_the_long_side_is_the_network_size(height: int, width: int, stride: int) -> None:
    assert max(network_shape(height, width, network_size=512, stride=stride)) == 512


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("stride", [16, 32])
def test_the_short_side_is_the_nearest_multiple_of_stride_and_at_least_one(
    height: int, width: int, stride: int
) -> None:
    short = min(network_shape(height, width, network_size=512, stride=stride))
    exact = Fraction(min(height, width) * 512, max(height, width))
    assert short % stride == 0
    assert short == stride if exact < stride else abs(short - exact) <= Fraction(stride, 2)


def test_network_shape_keeps_rows_and_columns_apart() -> None:
    assert network_shape(300, 400, network_size=256, stride=16) == (192, 256)
    assert network_shape(400, 300, network_size=256, stride=16) == (256, 192)


def test_a_picture_of_the_network_shape_is_left_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    assert np.array_equal(resize_image(image, (32, 48)), image)


def test_shrinking_averages_areas() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    means = image.reshape(8, 4, 12, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize_image(image, (8, 12)) - means).max() <= 0.51


def test_enlarging_is_linear() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    expected = np.stack([bilinear(image[..., c].astype(np.float64), 16, 32) for c in range(3)], axis=-1)
    assert np.abs(resize_image(image, (16, 32)) - expected).max() <= 1


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (16, 16)])
def test_any_picture_is_stretched_to_the_shape_asked_for(shape: tuple[int, int]) -> None:
    image = resize_image(np.zeros((1, 40, 3), np.uint8), shape)
    assert image.shape == (*shape, 3)
    assert image.dtype == np.uint8


def assert_agree(mask: Pixels, expected: npt.NDArray[np.intp], sure: npt.NDArray[np.bool_]) -> None:
    """Compares where rounding cannot decide, which must be nearly everywhere."""
    assert sure.mean() > 0.99
    assert np.array_equal(mask[sure], expected[sure])


@pytest.mark.parametrize(("height", "width"), [(16, 24), (37, 50), (9, 11), (1, 1), (64, 8)])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_a_binary_mask_is_one_where_the_scaled_probability_reaches_the_threshold(
    height: int, width: int, threshold: float
) -> None:
    probability = random_probability(16, 24, 1)
    scaled = bilinear(probability[..., 0].astype(np.float64), height, width)
    mask = to_mask(probability, height, width, threshold=threshold)
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    assert_agree(mask, (scaled >= threshold).astype(np.intp), np.abs(scaled - threshold) > 1e-4)


def test_a_probability_equal_to_the_threshold_is_foreground() -> None:
    probability = np.array([[[0.25], [0.5], [0.75]]], np.float32)
    assert to_mask(probability, 1, 3, threshold=0.5).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(("height", "width"), [(16, 24), (37, 50), (9, 11), (1, 1), (64, 8)])
@pytest.mark.parametrize("channels", [2, 3, 7])
def test_a_multiclass_mask_is_the_likeliest_class_of_the_scaled_probability(
    height: int, width: int, channels: int
) -> None:
    probability = random_probability(16, 24, channels)
    planes = [bilinear(probability[..., c].astype(np.float64), height, width) for c in range(channels)]
    scaled = np.stack(planes, axis=-1)
    lead = np.diff(np.sort(scaled, axis=2), axis=2)[..., -1]
    mask = to_mask(probability, height, width, threshold=0.5)
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    assert_agree(mask, scaled.argmax(axis=2), lead > 1e-4)


def test_of_equally_likely_classes_the_first_is_taken_as_argmax_does() -> None:
    probability = np.full((4, 4, 3), 1 / 3, np.float32)
    assert not to_mask(probability, 8, 8, threshold=0.5).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_making_a_mask_leaves_the_probability_as_it_was(channels: int) -> None:
    probability = random_probability(8, 8, channels)
    before = probability.copy()
    to_mask(probability, 8, 8, threshold=0.5)
    assert np.array_equal(probability, before)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([[0.5], [0.5]], 0.0),
        ([[0.0], [1.0]], 1.0),
        ([[0.25], [1.0]], 0.75),
        ([[1.0, 0.0, 0.0]], 1.0),
        ([[0.25, 0.25, 0.25, 0.25]], 0.0),
        ([[0.5, 0.125, 0.375], [0.25, 0.75, 0.0]], 0.3125),
    ],
)
def test_confidence_is_the_mean_distance_from_doubt(pixels: list[list[float]], expected: float) -> None:
    assert confidence(np.array([pixels], np.float32)) == pytest.approx(expected)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (37, 50), (9, 11), (1, 1)])
@pytest.mark.parametrize("channels", [2, 3, 7])
def test_the_runner_up_is_the_second_likeliest_class_of_the_scaled_probability(
    height: int, width: int, channels: int
) -> None:
    probability = random_probability(16, 24, channels)
    planes = [bilinear(probability[..., c].astype(np.float64), height, width) for c in range(channels)]
    scaled = np.stack(planes, axis=-1)
    leads = np.diff(np.sort(scaled, axis=2), axis=2)[..., -2:]
    second = runner_up(probability, to_mask(probability, height, width, threshold=0.5))
    assert second.dtype == np.uint8
    assert_agree(second, scaled.argsort(axis=2)[..., -2], leads.min(axis=2) > 1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (37, 50), (9, 11)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_soft_mask_is_the_probability_of_the_foreground_or_of_the_likeliest_class(
    height: int, width: int, channels: int
) -> None:
    probability = random_probability(16, 24, channels)
    planes = [bilinear(probability[..., c].astype(np.float64), height, width) for c in range(channels)]
    soft = to_soft(probability, height, width)
    assert soft.dtype == np.uint8
    assert np.abs(soft - np.stack(planes).max(axis=0) * 255).max() <= 0.51


def test_probability_sampled_at_pixels_is_that_of_the_whole_scaled() -> None:
    probability = random_probability(16, 24, 3)
    rows, columns = np.indices((37, 50)).reshape(2, -1)
    value_of = sampler(np.ascontiguousarray(np.moveaxis(probability, 2, 0)), rows, columns, 37, 50)
    scaled = np.stack([bilinear(probability[..., c].astype(np.float64), 37, 50).ravel() for c in range(3)])
    for index in range(3):
        assert np.abs(value_of(index) - scaled[index]).max() < 1e-6
    mixed = np.arange(len(rows)) % 3
    assert np.abs(value_of(mixed.astype(np.uint8)) - scaled[mixed, np.arange(len(rows))]).max() < 1e-6


def lean(batch: Pixels) -> Probability:
    """Stands for a network that does not say the same of a picture and its mirror image."""
    across = np.linspace(0, 1, batch.shape[2], dtype=np.float32)
    first = batch[..., 0] / np.float32(512) + across / 4
    return np.asarray(np.stack([first, 1 - first], axis=3), np.float32)


def test_flipped_averages_a_picture_with_its_mirror_image() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
    averaged = flipped(lean)(batch)
    assert averaged.dtype == np.float32
    for image, probability in zip(batch, averaged, strict=True):
        mirrored = np.fliplr(lean(np.fliplr(image)[None])[0])
        assert np.allclose(probability, (lean(image[None])[0] + mirrored) / 2, atol=1e-6)
    assert not np.allclose(averaged, lean(batch), atol=1e-3)


def test_flipped_says_the_same_of_a_picture_and_its_mirror_image() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), np.uint8)
    mirrored = flipped(lean)(batch[:, :, ::-1])
    assert np.allclose(mirrored[:, :, ::-1], flipped(lean)(batch), atol=1e-6)
