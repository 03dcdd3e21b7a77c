"""Weights files: the same network back, openable by plain Keras, and nothing in them is ever run."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras

from segtool.card import Card, ClassInfo, read_card, write_card
from segtool.errors import ModelError, OutputError
from segtool.model.unet import Architecture, build_unet, with_head
from segtool.model.weights import load_weights, save_weights

VARIANTS = [
    Architecture(classes=2, depth=1, width=2),
    Architecture(classes=3, depth=2, width=2, norm=False, residual=True),
    Architecture(classes=2, depth=1, width=2, residual=True, stem=2),
]
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 16, 8, 3), np.uint8)


def network(architecture: Architecture = VARIANTS[0]) -> keras.Model:
    """Returns a network whose normalisation statistics are not those it began with."""
    model = build_unet(architecture)
    rng = np.random.default_rng(1)
    moved = [w + rng.uniform(0, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()]
    model.set_weights([np.asarray(w, np.float32) for w in moved])
    return with_head(model)


def card(classes: int = 2, stride: int = 2) -> Card:
    infos = tuple(ClassInfo(i, f"class {i}", (i, i, i)) for i in range(classes))
    return Card("tiny", "binary" if classes == 2 else "multiclass", infos, network_size=16, stride=stride)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_weights(network(), tmp_path / "tiny.keras", card())
    return tmp_path / "tiny.keras"


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes it an error to let Keras open a file."""

    def load_model(*args: object, **options: object) -> None:
        raise AssertionError("Keras was let near it")

    monkeypatch.setattr(keras.saving, "load_model", load_model)


def edit(path: Path, entry: str, change: Callable[[bytes], bytes | None]) -> None:
    """Replaces one entry of the zip at `path`, or leaves it out where `change` gives None."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            new = change(content) if name == entry else content
            if new is not None:
                archive.writestr(name, new)


def edit_config(path: Path, change: Callable[[Any], Any]) -> None:
    edit(path, "config.json", lambda content: json.dumps(change(json.loads(content))).encode())


@pytest.mark.parametrize("architecture", VARIANTS)
def test_weights_that_were_saved_give_the_same_outputs_again(tmp_path: Path, architecture: Architecture) -> None:
    model, about = network(architecture), card(architecture.classes, architecture.stride)
    save_weights(model, tmp_path / "a.keras", about)
    again, card_again = load_weights(tmp_path / "a.keras")
    np.testing.assert_array_equal(np.asarray(again(PICTURES)), np.asarray(model(PICTURES)))
    assert card_again == about


@pytest.mark.parametrize("architecture", VARIANTS)
def test_plain_keras_opens_the_file_with_no_custom_object(tmp_path: Path, architecture: Architecture) -> None:
    model = network(architecture)
    save_weights(model, tmp_path / "a.keras", card(architecture.classes, architecture.stride))
    assert keras.saving.get_custom_objects() == {}
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(np.asarray(again(PICTURES)), np.asarray(model(PICTURES)))


def test_the_network_takes_bytes_of_any_size_and_gives_float32(file: Path) -> None:
    model, _ = load_weights(file)
    assert model.input_shape == (None, None, None, 3)
    assert model.inputs[0].dtype == "uint8"
    assert model.outputs[0].dtype == "float32"


def test_saving_leaves_one_file_and_replaces_the_old_one(file: Path) -> None:
    before = file.read_bytes()
    save_weights(network(VARIANTS[1]), file, card(3, 4))
    assert file.read_bytes() != before
    assert read_card(file) == card(3, 4)
    assert list(file.parent.iterdir()) == [file]


def test_saving_that_fails_leaves_the_old_file_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, about: Card) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr("segtool.model.weights.write_card", full)
    with pytest.raises(OutputError, match="No space left"):
        save_weights(network(), file, card())
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_lambda_layer_is_refused_before_keras_opens_the_file(tmp_path: Path, unopened: None) -> None:
    image = keras.Input((None, None, 3), dtype="uint8")
    output = keras.layers.Lambda(lambda x: x / 255, output_shape=(None, None, 3))(image)
    keras.Model(image, output).save(tmp_path / "a.keras")
    write_card(tmp_path / "a.keras", card(3))
    with pytest.raises(ModelError, match="Lambda"):
        load_weights(tmp_path / "a.keras")


def _first_layer(config: Any, **changes: object) -> Any:
    config["config"]["layers"][1].update(changes)
    return config


def _initializer(root: Any, **changes: object) -> Any:
    root["config"]["layers"][2]["config"]["kernel_initializer"] = changes
    return root


FOREIGN: dict[str, Callable[[Any], Any]] = {
    "a layer of another package": lambda c: _first_layer(c, module="evil.layers", class_name="Dense"),
    "the inside of keras": lambda c: _first_layer(c, module="keras.src.utils.io_utils", class_name="print_msg"),
    "no module at all": lambda c: _first_layer(c, module=None, class_name="Custom"),
    "a function": lambda c: _initializer(c, class_name="function", config="system", module="os", registered_name="x"),
    "a builtin": lambda c: _initializer(c, class_name="eval", config={}, module="builtins"),
    "a marshalled lambda": lambda c: _initializer(c, class_name="__lambda__", config={"value": "4wAAAA=="}),
    "another root": lambda c: {"module": "subprocess", "class_name": "Popen", "config": {"args": "true"}},
    "a saved model": lambda c: _first_layer(c, module="keras.layers", class_name="TFSMLayer"),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_whatever_is_not_keras_own_is_refused_before_keras_opens_the_file(
    file: Path, unopened: None, change: Callable[[Any], Any]
) -> None:
    edit_config(file, change)
    with pytest.raises(ModelError, match="which segtool does not run"):
        load_weights(file)


@pytest.mark.parametrize(
    ("entry", "content"),
    [
        ("config.json", None), ("config.json", b"{"), ("config.json", b"\xff"), ("config.json", b"[]"),
        ("config.json", b"{}"), ("model.weights.h5", None), ("model.weights.h5", b"no HDF5"),
    ],
)  # fmt: skip
def test_an_archive_with_a_damaged_entry_is_a_model_error(file: Path, entry: str, content: bytes | None) -> None:
    edit(file, entry, lambda _: content)
    with pytest.raises(ModelError, match=r"tiny\.keras (is damaged|cannot be opened)"):
        load_weights(file)


def test_a_file_cut_short_is_a_model_error(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ModelError, match="is damaged"):
        load_weights(file)


def test_a_keras_file_without_a_card_is_a_model_error(tmp_path: Path) -> None:
    network().save(tmp_path / "a.keras")
    with pytest.raises(ModelError, match="has no card"):
        load_weights(tmp_path / "a.keras")


@pytest.mark.parametrize(("architecture", "classes"), [(VARIANTS[0], 3), (VARIANTS[1], 2), (VARIANTS[1], 4)])
def test_a_network_that_is_not_what_its_card_says_is_a_model_error(
    tmp_path: Path, architecture: Architecture, classes: int
) -> None:
    save_weights(network(architecture), tmp_path / "a.keras", card(classes))
    with pytest.raises(ModelError, match="not what its card says"):
        load_weights(tmp_path / "a.keras")


def test_a_network_of_two_inputs_is_a_model_error(tmp_path: Path) -> None:
    first, second = (keras.Input((None, None, 3)) for _ in range(2))
    keras.Model([first, second], keras.layers.Add()([first, second])).save(tmp_path / "a.keras")
    write_card(tmp_path / "a.keras", card(3))
    with pytest.raises(ModelError, match="not what its card says"):
        load_weights(tmp_path / "a.keras")


def test_a_file_that_holds_a_layer_and_no_network_is_a_model_error(file: Path) -> None:
    edit_config(file, lambda config: config["config"]["layers"][-1])
    with pytest.raises(ModelError, match=r"tiny\.keras"):
        load_weights(file)
