"""Boundary counts against their definitions pixel by pixel, and cases worked by hand."""

import time

import cv2
import numpy as np
import pytest
from slow_boundary import slow_boundary_counts

from segtool.imaging.boundary import boundary_counts
from segtool.imaging.codec import Pixels
from segtool.imaging.figures import class_ratios


def blobs(seed: int) -> tuple[Pixels, Pixels, int]:
    """Returns truth and a prediction moved a little, with ignored pixels, pixels of no class, and noise at times."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 13))
    height, width = (int(n) for n in rng.integers(1, 40, 2))
    coarse = rng.integers(0, classes, (max(1, height // 6), max(1, width // 6)), np.uint8)
    truth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST).reshape(height, width)
    found = np.roll(truth, rng.integers(-2, 3, 2).tolist(), (0, 1))
    if seed % 2:
        truth[rng.random(truth.shape) < 0.05] = 255
    if seed % 3 == 0:
        found[rng.random(found.shape) < 0.03] = classes
    if seed % 5 == 0:
        found[rng.random(found.shape) < 0.3] = 0
    return np.asarray(truth, np.uint8), np.asarray(found, np.uint8), classes


@pytest.mark.parametrize("seed", range(60))
def test_counts_are_those_of_the_definitions_pixel_by_pixel(seed: int) -> None:
    truth, found, classes = blobs(seed)
    assert np.array_equal(boundary_counts(truth, found, classes), slow_boundary_counts(truth, found, classes))


@pytest.mark.parametrize("radius", [1, 2, 5, 13])
def test_a_partner_is_as_far_as_the_tolerance_in_a_straight_line_and_no_further(radius: int) -> None:
    side = round(radius / 0.0075 / np.sqrt(2))
    for offset, partner in (((radius, 0), True), ((radius, 1), False), ((0, radius + 1), False)):
        truth, found = np.zeros((2, side, side), np.uint8)
        centre = side // 2
        truth[centre, centre] = found[centre + offset[0], centre + offset[1]] = 1
        assert boundary_counts(truth, found, 2)[1, 3:].tolist() == [1, partner, 1, partner]


def test_the_band_of_a_full_picture_runs_along_its_edge() -> None:
    full = np.ones((60, 80), np.uint8)  # diagonal 100, so 2 pixels
    band = boundary_counts(full, full, 2)[1, :3]
    assert band.tolist() == [60 * 80 - 56 * 76] * 3
    assert boundary_counts(full, full, 2)[1, 3:].tolist() == [0, 0, 0, 0]


def test_an_outline_through_ignored_pixels_is_no_error() -> None:
    truth, found = np.zeros((2, 40, 40), np.uint8)
    truth[:, 20:] = found[:, 20:] = 1
    truth[:, 19:22] = 255  # where the outline is, nobody says
    ratios = class_ratios(
        np.concatenate([np.zeros((2, 3)), boundary_counts(truth, found, 2)], axis=1).astype(np.float64)
    )
    assert ratios["boundary_iou"].tolist() == [1, 1]
    assert np.isnan(ratios["boundary_f1"]).all()  # no outline pixel that counts
    found[:, 22] = 0  # now the prediction has one, two pixels from the ignored ones at most: it finds a partner
    must, with_partner = boundary_counts(truth, found, 2)[1, 5:]
    assert must == with_partner == 40


def test_the_prediction_at_ignored_pixels_changes_nothing() -> None:
    truth, found, classes = blobs(7)
    other = found.copy()
    other[truth >= classes] = (other[truth >= classes] + 1) % classes
    assert (truth >= classes).any()
    assert np.array_equal(boundary_counts(truth, found, classes), boundary_counts(truth, other, classes))


def test_time_grows_with_pixels_and_not_with_classes() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 60, (20, 20), np.uint8)
    truth = np.asarray(cv2.resize(coarse, (1200, 1200), interpolation=cv2.INTER_NEAREST), np.uint8)
    found = np.roll(truth, 3, 0)

    def cpu_seconds(classes: int) -> float:
        begin = time.process_time()
        boundary_counts(truth % classes, found % classes, classes)
        return time.process_time() - begin

    few, many = (min(cpu_seconds(classes) for _ in range(3)) for classes in (6, 60))
    assert many < 6 * few
