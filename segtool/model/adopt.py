"""A foreign Keras model made to meet the contract of weights: uint8 RGB in, probability out, a card beside it."""

import os
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
from keras import layers

from segtool import __version__
from segtool.card import Card
from segtool.data.classes import named_classes
from segtool.errors import ModelError, OutputError, UsageError
from segtool.files import make_folder
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability, network_shape
from segtool.model.foreign import check_form, free_sides, keeps_size, open_foreign, run, shapes_of
from segtool.model.predictor import predict_function
from segtool.model.trial import trial_picture
from segtool.model.unet import convolution_flops
from segtool.model.weights import load_weights, save_weights
from segtool.options import AdoptOptions
from segtool.results import Adopted

# Pixel values times the first plus the second, a number a channel.
SCALES: dict[str, tuple[list[float], list[float]]] = {
    "1/255": ([1 / 255] * 3, [0.0] * 3),
    "1/127.5-1": ([1 / 127.5] * 3, [-1.0] * 3),
    "imagenet": ([1 / 255 / s for s in (0.229, 0.224, 0.225)],
                 [-m / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]),
    "none": ([1.0] * 3, [0.0] * 3),
}  # fmt: skip
STRIDES = tuple(1 << k for k in range(9))
TOLERANCE = 1e-4  # of a probability, between what the foreign network says and what the adopted file says
SUM_TOLERANCE = 1e-2  # of probabilities that should sum to 1


def adopt_network(options: AdoptOptions) -> Adopted:
    """Writes what `options` ask for, and opens it again to see that it says what the foreign network says.

    Raises ModelError, UsageError or OutputError.
    """
    network, size, stride, notes = _with_sides(options)
    scale = _input_scale(options, network)
    if scale != "none":
        notes.append(f"pixel values are scaled by {scale} first")
    pictures = [trial_picture(network_shape(*s, network_size=size, stride=stride)) for s in ((3, 4), (4, 3), (4, 4))]
    expected = [_expected(network, picture, scale, options) for picture in pictures]
    card = Card(
        name=options.name or options.file.stem,
        task="binary" if len(options.classes) == 2 else "multiclass",
        classes=named_classes(len(options.classes), options.classes),
        network_size=size,
        stride=stride,
        threshold=options.threshold,
        mask_values=(0, 255) if len(options.classes) == 2 else tuple(range(len(options.classes))),
        flops=_flops(network, size),
        parameters=network.count_params(),
        licence=options.terms,
        segtool_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    make_folder(options.target.parent)
    partial = options.target.with_name(f".{options.target.stem}.{os.getpid()}.adopted.keras")
    try:
        save_weights(_whole(network, scale, options), partial, card)
        difference = _difference(partial, pictures, expected)
        partial.replace(options.target)
    except OSError as error:
        raise OutputError(f"Cannot write {options.target}: {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return Adopted(options.target, card, difference, tuple(notes))


def _with_sides(options: AdoptOptions) -> tuple[keras.Model, int, int, list[str]]:
    """Returns the network, its network size and stride, and what is to be told of them."""
    network = open_foreign(options.file, free=False)
    check_form(options, network)
    height, width = network.input_shape[1:3]
    fixed = height if height == width else None
    if fixed and options.network_size in (None, fixed) and options.stride in (None, fixed):
        if not keeps_size(network, fixed, fixed):
            raise ModelError(f"{options.file} gives no mask of its input's size: {shapes_of(network)}.")
        # One square is all there is: a stride of the whole side makes the geometry squash every picture into it.
        return network, fixed, fixed, [f"every picture is squashed to {fixed}×{fixed}, the one size it takes"]
    notes = []
    if height or width:
        network = free_sides(options, network)
        notes.append(f"its sides, {width or 'any'}×{height or 'any'}, were made free: look at the first masks")
    size = options.network_size or (max(height, width) if height and width else None)
    if size is None:
        raise UsageError(f"{options.file} takes pictures of any size: say by --network-size what it was trained at.")
    strides = (options.stride,) if options.stride else STRIDES
    stride = next((s for s in strides if keeps_size(network, 3 * s, 5 * s) and keeps_size(network, 5 * s, 3 * s)), 0)
    if not stride:
        raise ModelError(
            f"{options.file} gives no mask of its input's size where sides are multiples of "
            f"{' or '.join(map(str, strides))}: {shapes_of(network)}."
        )
    if size % stride:
        raise UsageError(f"--network-size {size} is not a multiple of {stride}, the stride of this network.")
    return network, size, stride, notes


def _input_scale(options: AdoptOptions, network: keras.Model) -> str:
    """Returns the scale of SCALES that pixels get before the network. Raises UsageError where nobody can know."""
    if "int" in str(network.inputs[0].dtype):
        if options.input_scale not in (None, "none"):
            raise UsageError(f"{options.file} takes {network.inputs[0].dtype}, unscaled: leave out --input-scale.")
        return "none"
    own = any(isinstance(layer, layers.Rescaling | layers.Normalization) for layer in network._flatten_layers())
    if options.input_scale is None and not own:
        raise UsageError(
            f"{options.file} takes {network.inputs[0].dtype}: say by --input-scale what pixels were turned into for "
            "training: 1/255 for [0, 1], 1/127.5-1 for [-1, 1], imagenet, or none for [0, 255]."
        )
    return options.input_scale or "none"


def _whole(network: keras.Model, scale: str, options: AdoptOptions) -> keras.Model:
    """Returns the network of the contract: uint8 RGB in, float32 probability out, one channel for two classes."""
    image = keras.Input(network.input_shape[1:], dtype="uint8", name="image")
    takes_bytes = network.inputs[0].dtype == "uint8"
    factor, offset = SCALES[scale]
    x = network(image if takes_bytes else layers.Rescaling(factor, offset, dtype="float32", name="scale")(image))
    activation = ("sigmoid" if x.shape[-1] == 1 else "softmax") if options.logits else "linear"
    x = layers.Activation(activation, dtype="float32", name="probability")(x)
    if x.shape[-1] == len(options.classes) == 2:
        pick = layers.Conv2D(1, 1, use_bias=False, trainable=False, dtype="float32", name="foreground")
        x = pick(x)  # the second channel: there is no layer that takes one
        pick.set_weights([np.array([0, 1], np.float32).reshape(1, 1, 2, 1)])
    return keras.Model(image, x, name="adopted")


def _expected(network: keras.Model, picture: Pixels, scale: str, options: AdoptOptions) -> Probability:
    """Returns what the foreign network says, brought to probability by NumPy. Raises ModelError when it is none."""
    factor, offset = np.asarray(SCALES[scale], np.float32)
    values = picture if "int" in str(network.inputs[0].dtype) else picture * factor + offset
    raw = run(network, values)
    inside = bool(np.isfinite(raw).all() and raw.min() >= -TOLERANCE and raw.max() <= 1 + TOLERANCE)
    span = f"values from {raw.min():.3g} to {raw.max():.3g}"
    if options.logits:
        if inside:
            raise ModelError(f"{options.file} gives {span}: probabilities already. Leave out --logits.")
        if raw.shape[-1] == 1:
            return np.asarray((1 + np.tanh(raw / 2)) / 2, np.float32)  # the sigmoid, which cannot overflow so
        powers = np.exp(raw - raw.max(axis=-1, keepdims=True))
        raw = powers / powers.sum(axis=-1, keepdims=True)
    elif not inside:
        raise ModelError(f"{options.file} gives {span}, which are no probabilities: if they are logits, give --logits.")
    elif raw.shape[-1] > 1 and np.abs(raw.sum(axis=-1) - 1).max() > SUM_TOLERANCE:
        raise ModelError(
            f"{options.file} gives channels that do not sum to 1: classes that exclude one another end in softmax."
        )
    return np.asarray(raw[..., 1:] if raw.shape[-1] == len(options.classes) == 2 else raw, np.float32)


def _difference(path: Path, pictures: list[Pixels], expected: list[Probability]) -> float:
    """Returns the largest difference between the file at `path`, opened as any weights, and what is expected."""
    model, _ = load_weights(path)
    predict = predict_function(model, "float32")
    largest = max(float(np.abs(predict(p) - e).max()) for p, e in zip(pictures, expected, strict=True))
    if largest > TOLERANCE:
        raise ModelError(
            f"The adopted network differs by {largest:.2g} from the one it was made of; nothing was written."
        )
    return largest


def _flops(network: keras.Model, size: int) -> int:
    """Returns the operations of a square picture; 0, not known, where models lie within models or a layer is shared."""
    if any(isinstance(layer, keras.Model) for layer in network.layers):
        return 0
    image = keras.Input((size, size, 3), dtype=network.inputs[0].dtype)
    fixed = keras.models.clone_model(network, input_tensors=image)
    if any(len(layer._inbound_nodes) > 1 for layer in fixed.layers):
        return 0
    return convolution_flops(fixed)
