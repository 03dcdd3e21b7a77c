"""A wider network that begins as a narrower one."""

from dataclasses import replace

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras

from segtool.errors import ModelError
from segtool.model.normalization import with_fast_normalization
from segtool.model.unet import Architecture, build_unet
from segtool.model.widening import take_weights

NARROW = Architecture(classes=2, depth=2, width=2, max_width=6, residual=True, stem=2)


def network(architecture: Architecture, seed: int) -> keras.Model:
    """Returns a network whose biases and statistics are not those it began with."""
    keras.utils.set_random_seed(seed)
    model = build_unet(architecture)
    rng = np.random.default_rng(seed)
    model.set_weights([w + rng.uniform(0.1, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    return model


def pictures(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)


@pytest.mark.parametrize(
    "narrow",
    [
        NARROW,
        replace(NARROW, residual=False, stem=1),
        replace(NARROW, norm=False),
        replace(NARROW, classes=3, stem=4, max_width=1024),
    ],
)
@pytest.mark.parametrize(("width", "max_width"), [(2, 7), (3, 9), (5, 1024), (2, 6)])
def test_a_widened_network_computes_the_same(narrow: Architecture, width: int, max_width: int) -> None:
    wide = replace(narrow, width=width, max_width=max(max_width, narrow.max_width))
    old, new = network(narrow, 1), with_fast_normalization(network(wide, 2))
    images = pictures(2 * wide.stride)
    assert not np.allclose(new(images), old(images), atol=1e-2)
    take_weights(new, old)
    np.testing.assert_allclose(new(images), old(images), atol=1e-4)


def test_new_channels_see_what_is_there_and_can_be_seen_by_learning_alone() -> None:
    new = network(replace(NARROW, width=3, max_width=9), 2)
    take_weights(new, network(NARROW, 1))
    for layer in new.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.name not in ("stem", "logits"):
            kernel = layer.get_weights()[0]
            assert np.abs(kernel).max(axis=(0, 1)).any(axis=0).all(), layer.name  # no output is dead
            assert (np.abs(kernel).max(axis=(0, 1)) == 0).any(), layer.name


def test_a_layer_that_is_left_stays_as_it_was() -> None:
    new = network(replace(NARROW, classes=4, width=3, max_width=9), 2)
    before = new.get_layer("logits").get_weights()
    take_weights(new, network(NARROW, 1), leave=("logits",))
    for now, then in zip(new.get_layer("logits").get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_another_network_is_refused() -> None:
    with pytest.raises(ModelError, match=r"for it has other layers then \(bottom_project\)"):
        take_weights(network(NARROW, 1), network(replace(NARROW, max_width=4), 1))
