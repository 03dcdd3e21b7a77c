"""`segtool weights adopt`: a Keras model of any maker becomes weights, or one sentence says why it cannot."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras
from keras import layers

from segtool.card import read_card
from segtool.model.trial import trial_picture
from segtool.model.weights import load_weights

TWO = ("--classes", "background,person")
SCALED = (*TWO, "--input-scale", "1/255")


def unet(
    sides: tuple[int | None, int | None] = (None, None), *, channels: int = 1, activation: str | None = "sigmoid"
) -> keras.Model:
    """Returns what a notebook trains: float32 in, one level down and up."""
    image = keras.Input((*sides, 3))
    a = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", activation="relu")(image))
    b = layers.Dropout(0.5)(layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(a)))
    c = layers.Concatenate()([layers.Conv2DTranspose(4, 2, strides=2)(b), a])
    return keras.Model(image, layers.Conv2D(channels, 1, activation=activation)(c))


def saved(model: keras.Model, folder: Path) -> Path:
    model.save(folder / "foreign.keras")
    return folder / "foreign.keras"


def whole(folder: Path, picture: Any) -> Any:
    model, _ = load_weights(folder / "foreign-segtool.keras")
    return np.asarray(model(picture))


def test_an_adopted_model_takes_bytes_of_its_size_and_says_what_it_said(segtool: Run, tmp_path: Path) -> None:
    model = unet((32, 32))
    said = segtool("weights", "adopt", saved(model, tmp_path), *SCALED, "--terms", "mine")
    assert said.returncode == 0, said.stderr
    assert "squashed to 32×32" in said.stderr
    card = read_card(tmp_path / "foreign-segtool.keras")
    assert (card.network_size, card.stride, card.task, card.licence) == (32, 32, "binary", "mine")
    assert [c.name for c in card.classes] == ["background", "person"]
    assert card.parameters == model.count_params()
    assert card.flops == 2 * 32 * 32 * (27 * 4 + 4 * 8 * 9 // 4 + 8 * 4 * 4 // 4 + 8)
    picture = trial_picture((32, 32))
    np.testing.assert_allclose(whole(tmp_path, picture), np.asarray(model(picture / np.float32(255))), atol=1e-5)


def test_every_command_takes_adopted_weights(segtool: Run, tmp_path: Path, shapes: Path) -> None:
    segtool("weights", "adopt", saved(unet((32, 32)), tmp_path), *SCALED)
    adopted = tmp_path / "foreign-segtool.keras"
    assert segtool("mask", shapes / "val/images", tmp_path / "out", "-w", adopted).returncode == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 6
    assert segtool("weights", adopted).returncode == 0
    assert "was adopted" in segtool("train", shapes, tmp_path / "run", "--init", adopted).stderr


def test_a_compiled_model_with_a_loss_of_its_own_is_adopted_without_either(segtool: Run, tmp_path: Path) -> None:
    def dice(truth: Any, found: Any) -> Any:
        return keras.ops.mean(truth * found)

    model = unet((16, 16))
    model.compile("adam", loss=dice, metrics=[dice])
    assert segtool("weights", "adopt", saved(model, tmp_path), *SCALED).returncode == 0


def test_free_sides_need_a_network_size_and_the_stride_is_found(segtool: Run, tmp_path: Path) -> None:
    file = saved(unet(), tmp_path)
    assert "say by --network-size" in segtool("weights", "adopt", file, *SCALED).stderr
    assert "not a multiple of 2" in segtool("weights", "adopt", file, *SCALED, "--network-size", 33).stderr
    assert segtool("weights", "adopt", file, *SCALED, "--network-size", 48).returncode == 0
    card = read_card(tmp_path / "foreign-segtool.keras")
    assert (card.network_size, card.stride) == (48, 2)
    assert whole(tmp_path, trial_picture((48, 34))).shape == (1, 48, 34, 1)


def test_fixed_sides_are_freed_where_another_stride_is_asked_for(segtool: Run, tmp_path: Path) -> None:
    model = unet((32, 32))
    said = segtool("weights", "adopt", saved(model, tmp_path), *SCALED, "--stride", 2)
    assert "were made free" in said.stderr
    picture = trial_picture((32, 32))
    np.testing.assert_allclose(whole(tmp_path, picture), np.asarray(model(picture / np.float32(255))), atol=1e-5)
    assert whole(tmp_path, trial_picture((20, 32))).shape == (1, 20, 32, 1)


def test_fixed_sides_that_differ_are_freed(segtool: Run, tmp_path: Path) -> None:
    segtool("weights", "adopt", saved(unet((24, 32)), tmp_path), *SCALED)
    assert read_card(tmp_path / "foreign-segtool.keras").network_size == 32
    assert whole(tmp_path, trial_picture((32, 24))).shape == (1, 32, 24, 1)


def test_a_layer_that_is_called_twice_leaves_only_the_operations_unknown(segtool: Run, tmp_path: Path) -> None:
    image, shared = keras.Input((16, 16, 3)), layers.Conv2D(3, 3, padding="same", activation="sigmoid")
    model = keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(shared(shared(image))))
    assert segtool("weights", "adopt", saved(model, tmp_path), *SCALED).returncode == 0
    card = read_card(tmp_path / "foreign-segtool.keras")
    assert (card.name, card.flops, card.parameters) == ("foreign", 0, model.count_params())


def test_layers_that_know_one_size_alone_are_squashed_to_or_refused(segtool: Run, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    flat = layers.Dense(64, activation="sigmoid")(layers.Flatten()(image))
    file = saved(keras.Model(image, layers.Reshape((8, 8, 1))(flat)), tmp_path)
    assert segtool("weights", "adopt", file, *SCALED, "--stride", 4).returncode == 1
    assert segtool("weights", "adopt", file, *SCALED).returncode == 0


def test_two_channels_of_two_classes_become_the_one_of_the_foreground(segtool: Run, tmp_path: Path) -> None:
    model = unet((16, 16), channels=2, activation="softmax")
    assert segtool("weights", "adopt", saved(model, tmp_path), *SCALED).returncode == 0
    picture = trial_picture((16, 16))
    expected = np.asarray(model(picture / np.float32(255)))[..., 1:]
    np.testing.assert_allclose(whole(tmp_path, picture), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_logits_get_their_activation_only_where_that_is_said(segtool: Run, tmp_path: Path, channels: int) -> None:
    names = "a,b,c" if channels == 3 else "a,b"
    file = saved(unet((16, 16), channels=channels, activation=None), tmp_path)
    asked = ("weights", "adopt", file, "--classes", names, "--input-scale", "none")
    assert "if they are logits, give --logits" in segtool(*asked).stderr
    assert segtool(*asked, "--logits").returncode == 0
    found = whole(tmp_path, trial_picture((16, 16)))
    assert 0 <= found.min() <= found.max() <= 1
    assert channels < 3 or found.sum(axis=-1) == pytest.approx(1, abs=1e-4)


def test_logits_of_what_is_probability_already_are_refused(segtool: Run, tmp_path: Path) -> None:
    said = segtool("weights", "adopt", saved(unet((16, 16)), tmp_path), *SCALED, "--logits")
    assert "Leave out --logits" in said.stderr


def test_channels_that_exclude_nothing_are_refused(segtool: Run, tmp_path: Path) -> None:
    file = saved(unet((16, 16), channels=3), tmp_path)
    said = segtool("weights", "adopt", file, "--classes", "a,b,c", "--input-scale", "1/255")
    assert "do not sum to 1" in said.stderr


def test_what_pixels_are_scaled_to_must_be_said_unless_the_model_shows_it(segtool: Run, tmp_path: Path) -> None:
    said = segtool("weights", "adopt", saved(unet((16, 16)), tmp_path), *TWO)
    assert (said.returncode, "say by --input-scale" in said.stderr) == (2, True)
    image = keras.Input((16, 16, 3), dtype="uint8")
    inside = keras.Model(image, unet((16, 16))(layers.Rescaling(1 / 255)(image)))
    file = saved(inside, tmp_path)
    assert "leave out --input-scale" in segtool("weights", "adopt", file, *SCALED).stderr
    assert segtool("weights", "adopt", file, *TWO).returncode == 0


def test_a_model_in_mixed_precision_becomes_float32(segtool: Run, tmp_path: Path) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        file = saved(unet((16, 16)), tmp_path)
    finally:
        keras.config.set_dtype_policy(before)
    assert segtool("weights", "adopt", file, *SCALED).returncode == 0
    with zipfile.ZipFile(tmp_path / "foreign-segtool.keras") as archive:
        assert b"float16" not in archive.read("config.json")


def test_more_or_fewer_classes_than_channels_are_refused(segtool: Run, tmp_path: Path) -> None:
    said = segtool("weights", "adopt", saved(unet((16, 16)), tmp_path), "--classes", "a,b,c", "--input-scale", "none")
    assert "gives 1 channels, --classes names 3 classes: a, b, c" in said.stderr


@pytest.mark.parametrize("form", ["grey", "two inputs", "a class", "half the size"])
def test_what_is_no_segmentation_of_rgb_pictures_is_refused(segtool: Run, tmp_path: Path, form: str) -> None:
    image = keras.Input((16, 16, 1 if form == "grey" else 3))
    other = keras.Input((16, 16, 3))
    map_of = layers.Conv2D(1, 1, activation="sigmoid")
    model = {
        "grey": lambda: keras.Model(image, map_of(image)),
        "two inputs": lambda: keras.Model([image, other], map_of(layers.Add()([image, other]))),
        "a class": lambda: keras.Model(image, layers.Dense(1)(layers.GlobalAveragePooling2D()(image))),
        "half the size": lambda: keras.Model(image, layers.MaxPooling2D()(map_of(image))),
    }[form]()
    said = segtool("weights", "adopt", saved(model, tmp_path), *SCALED)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["foreign.keras"]


def test_no_code_of_a_model_is_run(segtool: Run, tmp_path: Path) -> None:
    image = keras.Input((16, 16, 3))
    trap = layers.Lambda(lambda x: x[..., :1], output_shape=(16, 16, 1))(image)
    said = segtool("weights", "adopt", saved(keras.Model(image, trap), tmp_path), *SCALED)
    assert said.returncode == 1
    assert "Lambda, which segtool does not run" in said.stderr


@pytest.mark.parametrize("damage", ["gone", "no zip", "no config", "suffix"])
def test_a_file_that_cannot_be_opened_is_told_in_one_sentence(segtool: Run, tmp_path: Path, damage: str) -> None:
    file = tmp_path / ("a.h5" if damage == "suffix" else "a.keras")
    if damage == "no zip":
        file.write_bytes(b"no zip")
    if damage == "no config":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("config.json", json.dumps([]))
    said = segtool("weights", "adopt", file, *SCALED)
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert file.name in said.stderr


def test_a_file_that_is_there_is_replaced_only_with_force(segtool: Run, tmp_path: Path) -> None:
    file = saved(unet((16, 16)), tmp_path)
    target = tmp_path / "foreign-segtool.keras"
    target.write_bytes(b"mine")
    assert "is there already" in segtool("weights", "adopt", file, *SCALED).stderr
    assert target.read_bytes() == b"mine"
    assert segtool("weights", "adopt", file, *SCALED, "--force").returncode == 0
    assert load_weights(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["foreign-segtool.keras", "foreign.keras"]


def test_what_says_something_else_after_adoption_is_not_written(
    segtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segtool.model.adopt.predict_function", lambda model, precision: lambda batch: np.float32(0.9))
    said = segtool("weights", "adopt", saved(unet((16, 16)), tmp_path), *SCALED)
    assert (said.returncode, "differs by" in said.stderr) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["foreign.keras"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--classes", "one"), "two names at least"),
        ((*TWO, "--input-scale", "255"), "is not one of 1/255"),
        ((*TWO, "--output", "a.h5"), "must end in .keras"),
    ],
)
def test_options_that_mean_nothing_are_wrong_usage(segtool: Run, options: tuple[str, ...], told: str) -> None:
    said = segtool("weights", "adopt", "a.keras", *options)
    assert (said.returncode, told in said.stderr) == (2, True)
