"""Encoders of keras.applications as the way down of a U-Net."""

from pathlib import Path

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras

from segtool.card import Card, ClassInfo
from segtool.errors import ModelError, UsageError
from segtool.model.encoders import ENCODERS, load_encoder
from segtool.model.unet import Architecture, build_network, count_flops, with_head
from segtool.model.weights import load_weights, save_weights

SMALL = Architecture(2, depth=4, width=4, max_width=16, residual=True, stem=2, encoder="MobileNetV3Small")
CARD = Card("tiny", "binary", (ClassInfo(0, "background", (0, 0, 0)), ClassInfo(1, "object", (9, 9, 9))), 64, 32)


def pictures(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if "Small" in n else pytest.mark.slow) for n in ENCODERS])
def test_an_encoder_gives_a_network_of_stride_32_whose_file_holds_layers_alone(name: str, tmp_path: Path) -> None:
    architecture = Architecture(2, depth=4, width=4, max_width=16, stem=2, encoder=name)
    assert architecture.stride == 32
    network = with_head(build_network(architecture))
    save_weights(network, tmp_path / "w.keras", CARD)
    loaded, _ = load_weights(tmp_path / "w.keras")  # passes the scan
    plain = keras.models.load_model(tmp_path / "w.keras")
    images = pictures(1, 64, 96)
    wanted = np.asarray(network(images))
    assert wanted.shape == (1, 64, 96, 1)
    for model in (loaded, plain):
        np.testing.assert_allclose(np.asarray(model(images)), wanted, atol=1e-6)
    assert count_flops(architecture, 64, 64) > 0


def test_weights_of_an_encoder_give_its_features_within_the_network(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    trained = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(64, 64, 3))
    trained.save_weights(tmp_path / "e.weights.h5")
    model = build_network(SMALL)
    assert load_encoder(model, SMALL.encoder, str(tmp_path / "e.weights.h5")) == len(trained.weights)
    inner, outer = (keras.Model(m.input, m.get_layer("conv_1_bn").output) for m in (model, trained))
    images = pictures(1, 64, 64)
    np.testing.assert_allclose(np.asarray(inner(images)), np.asarray(outer(images.astype(np.float32))), atol=1e-4)


def test_weights_of_another_encoder_or_none_are_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There are no encoder weights"):
        load_encoder(build_network(SMALL), SMALL.encoder, str(tmp_path / "none.weights.h5"))
    (tmp_path / "bad.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be had"):
        load_encoder(build_network(SMALL), SMALL.encoder, str(tmp_path / "bad.weights.h5"))


def test_an_encoder_that_is_not_or_not_so_deep_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="is not one of MobileNetV3Small"):
        build_network(Architecture(2, stem=2, encoder="VGG16"))
    with pytest.raises(UsageError, match="deeper than MobileNetV3Small goes"):
        build_network(Architecture(2, depth=5, stem=2, encoder="MobileNetV3Small"))


def test_mixed_bfloat16_gives_float32_near_that_of_float32() -> None:
    mixed, full = build_network(SMALL, dtype="mixed_bfloat16"), build_network(SMALL)
    full.set_weights(mixed.get_weights())
    images = pictures(1, 64, 64)
    assert {str(v.dtype) for v in mixed.variables} == {"float32"}
    np.testing.assert_allclose(np.asarray(mixed(images)), np.asarray(full(images)), atol=0.2)
