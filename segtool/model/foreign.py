"""Keras models of other makers, opened for adoption: in float32, without what they were compiled with, sides freed."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from segtool.card import DAMAGED
from segtool.errors import ModelError
from segtool.imaging.geometry import Probability
from segtool.model.trial import trial_picture
from segtool.model.weights import open_network
from segtool.options import AdoptOptions

SAME = 1e-4  # of an output, with free sides and with fixed ones


def check_form(options: AdoptOptions, network: keras.Model) -> None:
    """Raises ModelError unless the network maps one RGB picture to one map with a channel a class."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise ModelError(
            f"{options.file} has {len(network.inputs)} inputs and {len(network.outputs)} outputs, not one."
        )
    shape_in, shape_out, classes = network.inputs[0].shape, network.outputs[0].shape, len(options.classes)
    if len(shape_in) != 4 or shape_in[-1] != 3 or len(shape_out) != 4:
        raise ModelError(f"{options.file} does not turn RGB pictures into maps, channels last: {shapes_of(network)}.")
    if shape_out[-1] not in ((1, 2) if classes == 2 else (classes,)):
        raise ModelError(
            f"{options.file} gives {shape_out[-1]} channels, --classes names {classes} classes: "
            f"{', '.join(options.classes)}. Name as many as there are, background first."
        )


def open_foreign(path: Path, *, free: bool) -> keras.Model:
    """Returns the network in float32 without what it was compiled with, which inference has no use for and which may
    name code of its maker's; with `free` its inputs take sides of any length. Raises ModelError.
    """
    if path.suffix != ".keras":
        raise ModelError(f"{path} is not a .keras file: save the model by model.save('NAME.keras').")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        try:
            with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
                for entry in old.namelist():
                    content = old.read(entry)
                    if entry == "config.json":
                        content = json.dumps(_plain(json.loads(content), free)).encode()
                    new.writestr(entry, content)
        except FileNotFoundError:
            raise ModelError(f"There is no model at {path}.") from None
        except DAMAGED as error:
            raise ModelError(f"{path} is damaged and cannot be opened ({error}).") from error
        try:
            return open_network(copy)
        except ModelError as error:
            raise ModelError(str(error).replace(str(copy), str(path))) from error.__cause__


def _plain(node: Any, free: bool) -> Any:
    """Returns a model's config without `compile_config`, in float32, and with `free` with inputs of any sides."""
    if isinstance(node, list):
        return [_plain(value, free) for value in node]
    if isinstance(node, str) and node in ("mixed_float16", "mixed_bfloat16"):
        return "float32"
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(value, free) for key, value in node.items() if key != "compile_config"}
    shape = plain["config"].get("batch_shape") if isinstance(plain.get("config"), dict) else None
    if free and plain.get("class_name") == "InputLayer" and isinstance(shape, list) and len(shape) == 4:
        plain["config"]["batch_shape"] = [shape[0], None, None, shape[3]]
    return plain


def free_sides(options: AdoptOptions, network: keras.Model) -> keras.Model:
    """Returns the network taking any sides. Raises ModelError when its layers do not, or when it says other things."""
    height, width = network.input_shape[1:3]
    sentence = (
        f"{options.file} takes pictures of {width or 'any'}×{height or 'any'} alone, and its layers allow no other size"
    )
    try:
        free = open_foreign(options.file, free=True)
    except ModelError as error:
        raise ModelError(f"{sentence} ({error})") from error
    if height and width:
        picture = trial_picture((height, width)).astype(np.float32) / 255
        if np.abs(run(free, picture) - run(network, picture)).max() > SAME:
            raise ModelError(f"{sentence}: with free sides it gives other masks.")
    return free


def keeps_size(network: keras.Model, height: int, width: int) -> bool:
    """Returns whether a picture of these sides gives a map of the same sides."""
    try:
        return run(network, np.zeros((1, height, width, 3), np.float32)).shape[1:3] == (height, width)
    except Exception:  # whatever a layer says of sides it cannot take
        return False


def run(network: keras.Model, values: npt.NDArray[Any]) -> Probability:
    """Returns what the network says of `(B, h, w, 3)` values, as float32."""
    return np.asarray(network(values, training=False), np.float32)


def shapes_of(network: keras.Model) -> str:
    """Returns in words which shapes the network maps to which."""
    return f"it maps {network.inputs[0].shape} to {network.outputs[0].shape}"
