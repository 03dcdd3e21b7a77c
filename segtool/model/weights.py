"""Weights to and from disk: `.keras` files of Keras' own layers only, opened without running any code from them."""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from segtool.card import DAMAGED, Card, read_card, write_card
from segtool.errors import ModelError, OutputError

SAFE_MODULES = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints",
                "keras.activations", "keras.models", "keras.src.models.functional")  # fmt: skip
UNSAFE_CLASSES = frozenset(("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer", "function"))


def load_weights(path: Path) -> tuple[keras.Model, Card]:
    """Returns the network (uint8 RGB in, probability float32 out) and the card of the file at `path`.

    Raises ModelError when the file is damaged, has no card, or holds anything but Keras' own layers.
    """
    card = read_card(path)
    model = open_network(path)
    if len(model.inputs) != 1 or model.input_shape[-1] != 3 or model.output_shape[-1] != card.channels:
        raise ModelError(
            f"The network in {path} maps {model.input_shape} to {model.output_shape}, its card says 3 to "
            f"{card.channels} channels: the file is not what its card says."
        )
    return model, card


def open_network(path: Path) -> keras.Model:
    """Returns the network in the `.keras` file at `path`, uncompiled, with a card or without.

    Raises ModelError when the file is damaged, or holds anything but Keras' own layers.
    """
    _scan(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly anything on a damaged archive
        raise ModelError(f"{path} cannot be opened by Keras {keras.__version__} ({error}).") from error
    if not getattr(model, "inputs", None):
        raise ModelError(f"{path} holds a {type(model).__name__} without inputs, which is no network.")
    return model


def save_weights(model: keras.Model, path: Path, card: Card) -> None:
    """Writes `model` (float32 policy, uncompiled) with its card to `path`, whole or not at all. Raises OutputError."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.keras")  # Keras goes by the suffix
    try:
        model.save(partial)
        write_card(partial, card)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _scan(path: Path) -> None:
    """Raises ModelError unless the archive's `config.json` names only modules and classes known to be harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (KeyError, *DAMAGED) as error:
        raise ModelError(f"{path} is damaged: its network cannot be read ({error}).") from error
    for module, name in _named_classes(config):
        if module not in SAFE_MODULES or name in UNSAFE_CLASSES:
            raise ModelError(f"{path} asks for {module}.{name}, which segtool does not run: only Keras' own layers.")


def _named_classes(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        # `__keras_tensor__` is how Keras writes the edges of the graph.
        if node.get("class_name", "__keras_tensor__") != "__keras_tensor__":
            yield str(node.get("module")), str(node["class_name"])
        for value in node.values():
            yield from _named_classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named_classes(value)
