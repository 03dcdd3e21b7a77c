"""Normalisation in training: the fused kernel does what Keras' layer does."""

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras

from segtool.model.normalization import FusedNormalization, with_fast_normalization
from segtool.model.unet import Architecture, build_network


def pair(dtype: str, channels: int = 4) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    made = [kind(momentum=0.9, dtype=dtype) for kind in (keras.layers.BatchNormalization, FusedNormalization)]
    for layer in made:
        layer.build((None, None, None, channels))
        layer.gamma.assign([1.0, 0.5, 2.0, -1.0] * (channels // 4))
        layer.beta.assign([0.0, 1.0, -1.0, 0.5] * (channels // 4))
    return made[0], made[1]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.03)])
@pytest.mark.parametrize("channels", [4, 16, 24])
def test_outputs_and_gradients_are_those_of_keras_own_layer(dtype: str, tolerance: float, channels: int) -> None:
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(0).normal(3, 2, (2, 5, 6, channels)), tf.float32)
    weight = tf.constant(np.random.default_rng(1).normal(size=(2, 5, 6, channels)), tf.float32)
    found = []
    for layer in pair(dtype, channels):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            assert y.dtype == layer.compute_dtype
            y = tf.cast(y, tf.float32)
            loss = tf.reduce_sum(y * weight)
        found.append([y, *tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])])
    for plain, fused in zip(*found, strict=True):
        scale = float(np.abs(plain).max())
        np.testing.assert_allclose(fused, plain, atol=tolerance * scale)


def test_the_statistics_kept_for_prediction_are_those_of_keras_own_layer() -> None:
    plain, fused = pair("float32")
    x = np.random.default_rng(0).normal(3, 2, (2, 5, 6, 4)).astype(np.float32)
    for layer in (plain, fused):
        layer(x, training=True)
        layer(x + 1, training=True)
    np.testing.assert_allclose(fused.moving_mean, plain.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(fused.moving_variance, plain.moving_variance, rtol=1e-5)
    np.testing.assert_allclose(fused(x, training=False), plain(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    [Architecture(2, depth=2, width=4, residual=True), Architecture(3, depth=4, stem=2, encoder="MobileNetV3Small")],
)
def test_a_network_made_fast_has_the_same_variables_in_the_same_order(architecture: Architecture) -> None:
    network = build_network(architecture)
    fast = with_fast_normalization(build_network(architecture))
    assert [(v.path, v.shape) for v in fast.variables] == [(v.path, v.shape) for v in network.variables]
    normalising = [type(layer) for layer in fast.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert normalising
    assert set(normalising) == {FusedNormalization}
    fast.set_weights(network.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    np.testing.assert_allclose(fast(images), network(images), rtol=1e-4, atol=1e-4)
