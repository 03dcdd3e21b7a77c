"""A U-Net as plain steps over NumPy arrays, read from its weights file without Keras.

Keras takes a second to import, half a second to build the network again, and then hides from the graph what could be
one operation. What is read here is what `segtool train` writes; every other network stays with Keras.
"""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from segtool.card import DAMAGED

Array = npt.NDArray[np.float32]
ACTIVATIONS = ("relu", "sigmoid", "softmax")


class NotPlain(Exception):  # no error: Keras takes over
    """This network has something in it that is not read here."""


@dataclass(frozen=True)
class Step:
    """One operation on the results of the steps named in `inputs`; tensors are `(B, h, w, C)`.

    `kind` is picture, affine, conv, spread, pool (of maxima), join (of channels), add, relu, sigmoid or softmax.
    `kernel` is `(kh, kw, in, out)`, `bias` `(out,)`. An affine step is `x · scale + bias`. Spread makes of every pixel
    `stride · stride` ones with as many times fewer channels, as TensorFlow's depth_to_space. Padding is "same" or
    "valid". Grow is a transposed convolution, with a kernel of `(kh, kw, out, in)`, where it is not made a spread.
    """

    name: str
    kind: str
    inputs: tuple[str, ...] = ()
    kernel: Array | None = None
    scale: Array | None = None
    bias: Array | None = None
    stride: tuple[int, int] = (1, 1)
    size: tuple[int, int] = (1, 1)
    padding: str = "same"

    def channels(self, steps: "Sequence[Step]") -> int:
        """Returns how many channels come out, `steps` being the network."""
        if self.kernel is not None:
            return int(self.kernel.shape[2 if self.kind == "grow" else 3])
        if not self.inputs:
            return 3
        before = [next(s for s in steps if s.name == name).channels(steps) for name in self.inputs]
        if self.kind == "spread":
            return before[0] // (self.stride[0] * self.stride[1])
        return sum(before) if self.kind == "join" else before[0]


def read_steps(path: Path) -> tuple[Step, ...] | None:
    """Returns the network in the weights file at `path`, its input first and its probability last, normalisation folded
    into convolutions. None where only Keras can read it: other layers, or a damaged file, of which it tells best.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                return spread(fold(_steps(config, file["layers"])))
    except (NotPlain, KeyError, TypeError, IndexError, AttributeError, *DAMAGED):
        return None


def fold(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Returns the same network with every affine step that alone follows a convolution made part of it."""
    uses = Counter(name for step in steps for name in step.inputs)
    done: dict[str, Step] = {}
    folded: dict[str, str] = {}
    for step in steps:
        step = replace(step, inputs=tuple(folded.get(name, name) for name in step.inputs))
        before = done[step.inputs[0]] if step.inputs else step
        if step.kind == "affine" and before.kind in ("conv", "grow") and uses[before.name] == 1:
            assert before.kernel is not None and step.scale is not None and step.bias is not None
            # The channel that is scaled is the last of a kernel, and the one before of a transposed one.
            scale = step.scale if before.kind == "conv" else step.scale[:, None]
            bias = step.bias if before.bias is None else before.bias * step.scale + step.bias
            done[before.name] = replace(before, kernel=before.kernel * scale, bias=bias)
            folded[step.name] = before.name
        else:
            done[step.name] = step
    return tuple(done.values())


def spread(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Returns the same network with transposed convolutions, where it pays, as one of stride 1 that gives all pixels of
    a block as channels, and a spread: 0.35 ms less of the 4.4 that `person` takes for a picture on one core.

    It pays where the kernel is as large as its stride or twice as large. One of 3 at stride 2 has four times as much to
    multiply then, and took 1.1 to 1.7 times as long.
    """
    done: list[Step] = []
    for step in steps:
        side = step.stride[0]
        kernel = step.kernel if step.kind == "grow" else None
        if kernel is None or side == 1 or not _spreads(step, kernel.shape[:2]):
            done.append(step)
            continue
        bias = None if step.bias is None else np.tile(step.bias, side * side)
        before = f"{step.name} spread"
        done.append(Step(before, "conv", step.inputs, kernel=_block_kernel(kernel, side), bias=bias))
        done.append(Step(step.name, "spread", (before,), stride=step.stride))
    return tuple(done)


def _spreads(step: Step, size: tuple[int, ...]) -> bool:
    side = step.stride[0]
    twice = size == (2 * side, 2 * side) and step.padding == "same"
    return step.stride == (side, side) and (size == step.stride or twice)


def _block_kernel(kernel: Array, side: int) -> Array:
    """Returns `(k, k, in, side · side · out)` of a transposed convolution's `(kh, kw, out, in)`, its padding "same"."""
    down, right = (_taps(length, side) for length in kernel.shape[:2])
    reach = max(abs(offset) for _, offset, _ in down + right)
    out, into = kernel.shape[2:]
    made = np.zeros((2 * reach + 1, 2 * reach + 1, into, side, side, out), np.float32)
    for y, dy, i in down:
        for x, dx, j in right:
            made[reach + dy, reach + dx, :, y, x] = kernel[i, j].T
    return made.reshape(*made.shape[:3], -1)


def _taps(length: int, side: int) -> list[tuple[int, int, int]]:
    """Returns place in the block, offset of the pixel below, and place in the kernel, of all that meet."""
    begin = max(length - side, 0) // 2  # what "same" cuts off before the first pixel
    return [(a, (a + begin - k) // side, k) for a in range(side) for k in range(length) if (a + begin - k) % side == 0]


def picture_bytes(steps: Sequence[Step], side: int) -> int:
    """Returns the bytes of all results for one picture of `side` by `side` pixels, were each value one byte: more than
    are ever held at once.
    """
    scale: dict[str, float] = {}
    total = 0.0
    for step in steps:
        before = scale[step.inputs[0]] if step.inputs else 1.0
        scale[step.name] = before * step.stride[0] if step.kind in ("spread", "grow") else before / step.stride[0]
        total += (side * scale[step.name]) ** 2 * step.channels(steps)
    return int(total)


def _steps(config: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[Step]:
    if config["class_name"] != "Functional":
        raise NotPlain
    numbers: Counter[str] = Counter()
    steps: list[Step] = []
    for layer in config["config"]["layers"]:
        kind = layer["class_name"]
        variables = None
        if kind in GROUPS:
            number = f"_{numbers[kind]}" if numbers[kind] else ""  # Keras numbers the layers of a class in the file
            variables = arrays[GROUPS[kind] + number]["vars"]
            numbers[kind] += 1
        steps += _layer_steps(layer, variables)
    ends = config["config"]["output_layers"]
    end = ends[0] if len(ends) == 3 and isinstance(ends[0], str) else ends[0][0]
    known: set[str] = set()
    for step in steps:
        if not known.issuperset(step.inputs):
            raise NotPlain
        known.add(step.name)
    if not steps or steps[-1].name != end or [s.kind for s in steps].count("picture") != 1:
        raise NotPlain
    return steps


GROUPS = {"Conv2D": "conv2d", "Conv2DTranspose": "conv2d_transpose", "BatchNormalization": "batch_normalization"}


def _layer_steps(layer: Mapping[str, Any], group: Any) -> list[Step]:
    c, kind, name = layer["config"], layer["class_name"], layer["config"]["name"]
    if group is not None and group.attrs["name"] != name:
        raise NotPlain
    step = Step(name, "", _inputs(layer))
    # Read as they are: HDF5 turns float16 into float32 by hand, `person` in 0.3 s, which NumPy does in 0.01.
    variables = [np.asarray(group[str(i)][()], np.float32) for i in range(len(group))] if group is not None else []
    if kind == "InputLayer":
        return [replace(step, kind="picture")] if c["batch_shape"][-1] == 3 and c["dtype"] == "uint8" else _not_plain()
    if kind == "Rescaling":
        return [replace(step, kind="affine", scale=_number(c["scale"]), bias=_number(c["offset"]))]
    if kind == "BatchNormalization":
        gamma, beta, mean, variance = variables
        scale = gamma / np.sqrt(variance + np.float32(c["epsilon"]))
        return [replace(step, kind="affine", scale=scale, bias=beta - mean * scale)]
    if kind in ("Conv2D", "Conv2DTranspose"):
        return _convolution(step, c, variables, grows=kind == "Conv2DTranspose")
    if kind == "MaxPooling2D":
        _expect(c, data_format="channels_last")
        size, stride = tuple(c["pool_size"]), tuple(c["strides"])
        return [replace(step, kind="pool", size=size, stride=stride, padding=c["padding"])]
    if kind == "ReLU":
        _expect(c, max_value=None, negative_slope=0.0, threshold=0.0)
        return [replace(step, kind="relu")]
    if kind == "Activation" and c["activation"] in ACTIVATIONS:
        return [replace(step, kind=c["activation"])]
    if kind == "Concatenate":
        _expect(c, axis=-1)
        return [replace(step, kind="join")]
    return [replace(step, kind="add")] if kind == "Add" else _not_plain()


def _convolution(step: Step, c: Mapping[str, Any], variables: list[Array], *, grows: bool) -> list[Step]:
    _expect(c, data_format="channels_last", dilation_rate=[1, 1])
    _expect(c, output_padding=None) if grows else _expect(c, groups=1)
    kernel, *bias = variables
    if grows and c["padding"] == "valid" and any(k > s for k, s in zip(c["kernel_size"], c["strides"], strict=True)):
        _not_plain()  # what comes out is larger than the blocks
    convolved = replace(
        step, kind="grow" if grows else "conv", kernel=kernel, bias=bias[0] if bias else None,
        stride=tuple(c["strides"]), padding=c["padding"],
    )  # fmt: skip
    if c["activation"] == "linear":
        return [convolved]
    if c["activation"] not in ACTIVATIONS:
        _not_plain()
    # What follows asks for the layer by its name, so the activation has it.
    return [replace(convolved, name=f"{step.name} "), Step(step.name, c["activation"], (f"{step.name} ",))]


def _inputs(layer: Mapping[str, Any]) -> tuple[str, ...]:
    if layer["class_name"] == "InputLayer":
        return ()
    (node,) = layer["inbound_nodes"]  # a layer that is used twice is not plain: ValueError
    (given,) = node["args"]
    tensors = given if isinstance(given, list) else [given]
    return tuple(tensor["config"]["keras_history"][0] for tensor in tensors)


def _number(value: Any) -> Array:
    return np.asarray(value, np.float32)


def _expect(config: Mapping[str, Any], **wanted: Any) -> None:
    if any(config[key] != value for key, value in wanted.items()):
        raise NotPlain


def _not_plain() -> list[Step]:
    raise NotPlain
