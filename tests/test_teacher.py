"""A teacher: what weights say of views of any size."""

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
from segtool.card import find_weights, read_card
from segtool.engine.predictor import load_predictor
from segtool.errors import UsageError
from segtool.model.teacher import load_teacher


def test_without_a_name_there_is_no_teacher() -> None:
    assert load_teacher(None, classes=2) is None


@pytest.mark.parametrize(("height", "width"), [(64, 96), (50, 70), (1, 1)])
def test_a_teacher_gives_the_probabilities_of_its_weights_for_views_of_any_size(height: int, width: int) -> None:
    views = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    teacher = load_teacher("shapes", classes=2)
    assert teacher is not None
    found = teacher(views)
    assert found.shape == (3, height, width, 1)
    assert found.dtype == np.uint8
    path = find_weights("shapes")
    stride = read_card(path).stride
    below, right = -height % stride, -width % stride
    padded = np.stack([np.pad(view, ((0, below), (0, right), (0, 0)), mode="edge") for view in views])
    wanted = load_predictor(path, precision="auto").predict(padded)[:, :height, :width]
    np.testing.assert_allclose(found / 255, wanted, atol=0.5 / 255 + 1e-6)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="--teacher shapes knows 2 classes, this data 5"):
        load_teacher("shapes", classes=5)
