"""U-Nets whose way down is a network of `keras.applications`: skips at strides 2, 4, 8 and 16, the bottom at 32.

MobileNetV3 (Howard et al. 2019) and EfficientNetV2 (Tan and Le 2021), their own scaling of pixel values inside.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import keras

from segtool.errors import ModelError, UsageError

ENCODERS: dict[str, Callable[..., keras.Model]] = {
    "MobileNetV3Small": keras.applications.MobileNetV3Small,
    "MobileNetV3Large": keras.applications.MobileNetV3Large,
    "EfficientNetV2B0": keras.applications.EfficientNetV2B0,
    "EfficientNetV2B1": keras.applications.EfficientNetV2B1,
    "EfficientNetV2B2": keras.applications.EfficientNetV2B2,
    "EfficientNetV2B3": keras.applications.EfficientNetV2B3,
}
PROBE = 128  # pixels of a picture whose strides can be read off


def encoder_levels(name: str, image: keras.KerasTensor, *, depth: int, dtype: str) -> list[keras.KerasTensor]:
    """Returns the features of `image` at strides 2, 4, … 2^(depth + 1), the last of each stride.

    Raises UsageError when there is no such encoder, or none so deep.
    """
    places = _places(name, depth)
    with _policy(dtype):
        backbone = _layers_only(_build(name, input_tensor=image), image)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # 0.99 and more lag for epochs on small sets
    return [backbone.layers[place].output for place in places]


def load_encoder(model: keras.Model, name: str, weights: str) -> int:
    """Puts `weights` ("imagenet" or a weights file of Keras' own for this encoder) into the way down of `model`.

    Returns how many arrays were put in. Raises ModelError when they cannot be fetched, read or do not fit.
    """
    if weights != "imagenet" and not Path(weights).is_file():
        raise ModelError(f"There are no encoder weights {weights}: give imagenet, none, or a .weights.h5 file.")
    try:
        trained = _build(name, input_shape=(PROBE, PROBE, 3), weights=weights)
    except Exception as error:  # no network, a damaged file, another encoder's: Keras raises nearly anything
        raise ModelError(
            f"The weights {weights} of {name} cannot be had ({error}): give --encoder-weights none, or a file."
        ) from error
    put = 0
    # Layer by layer in order: Keras numbers some names anew each time it builds.
    ours, theirs = ([layer for layer in m.layers if layer.weights] for m in (model, trained))
    for mine, other in zip(ours, theirs, strict=False):
        if type(mine) is not type(other) or [w.shape for w in mine.weights] != [w.shape for w in other.weights]:
            break  # where the way down ends that this model has
        mine.set_weights(other.get_weights())
        put += len(other.weights)
    return put


def check_encoder(name: str) -> None:
    """Raises UsageError unless there is an encoder of that name."""
    if name not in ENCODERS:
        raise UsageError(f"--encoder {name} is not one of {', '.join(ENCODERS)}.")


@cache
def _places(name: str, depth: int) -> tuple[int, ...]:
    """Returns the index of the last layer at each stride, read off a network of a size that is known."""
    check_encoder(name)
    sides = {}
    image = keras.Input((PROBE, PROBE, 3))
    for index, layer in enumerate(_layers_only(_build(name, input_tensor=image), image).layers):
        shape = layer.output.shape
        if len(shape) == 4:
            sides[shape[1]] = index
    wanted = [PROBE >> (k + 1) for k in range(depth + 1)]
    if not all(side in sides for side in wanted):
        raise UsageError(f"--depth {depth} is deeper than {name} goes, which is 4.")
    return tuple(sides[side] for side in wanted)


def _layers_only(model: keras.Model, image: keras.KerasTensor) -> keras.Model:
    """Returns `model` with sums and products with a number, which MobileNetV3 writes as bare operations, as layers.

    A weights file holds layers alone.
    """
    if all(isinstance(operation, keras.layers.Layer) for operation in model.operations):
        return model
    numbered = count()

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.layers.Layer):
            return operation(*args, **kwargs)
        x, number = args
        name = f"{type(operation).__name__.lower()}_{next(numbered)}"
        if type(operation).__name__ == "Add":
            return keras.layers.Rescaling(1.0, offset=number, dtype=x.dtype, name=name)(x)
        if type(operation).__name__ == "Multiply":
            return keras.layers.Rescaling(number, dtype=x.dtype, name=name)(x)
        raise ModelError(f"This Keras builds encoders with the operation {operation.name}, which is no layer.")

    return keras.models.clone_model(model, input_tensors=[image], call_function=call)


def _build(name: str, **where: Any) -> keras.Model:
    arguments = {"include_top": False, "weights": None, "include_preprocessing": True, **where}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MobileNetV3 remarks on every shape that is not square
        return ENCODERS[name](**arguments)


@contextmanager
def _policy(dtype: str) -> Iterator[None]:
    """These networks take no dtype: they are built by the policy of the moment."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
