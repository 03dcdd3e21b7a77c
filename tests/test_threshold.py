"""The threshold chosen on val: that of the best pooled foreground IoU, off a curve (tests/test_curves.py)."""

import pytest

from segtool.model.final import best_threshold
from segtool.scores import Curve


def curve(ious: dict[float, float | None]) -> Curve:
    """Returns a curve of these IoU by threshold, and nothing else."""
    nothing = (None,) * len(ious)
    return Curve(tuple(ious), tuple(ious.values()), nothing, nothing, nothing, {}, None, None)


def test_it_is_where_the_iou_is_best() -> None:
    assert best_threshold(curve({0.25: 0.6, 0.375: 0.8, 0.5: 0.7})) == 0.375


@pytest.mark.parametrize(
    ("ious", "chosen"), [({0.125: 0.8, 0.375: 0.8, 0.5: 0.7}, 0.375), ({0.25: 0.8, 0.5: 0.8, 0.625: 0.8}, 0.5)]
)
def test_of_equal_thresholds_it_is_the_one_nearest_to_a_half(ious: dict[float, float | None], chosen: float) -> None:
    assert best_threshold(curve(ious)) == chosen


def test_it_stays_away_from_the_ends_where_other_pictures_would_turn_all_one_class() -> None:
    assert best_threshold(curve({0.0: 0.9, 0.01: 0.9, 0.25: 0.5, 0.75: 0.6, 0.99: 0.9})) == 0.75


def test_without_foreground_or_figures_it_is_a_half() -> None:
    assert best_threshold(None) == 0.5
    assert best_threshold(curve({0.25: None, 0.75: None})) == 0.5
