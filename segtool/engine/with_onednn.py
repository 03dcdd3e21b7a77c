"""The steps of a network run by oneDNN, on CPUs: operations → a program for a shape → calls in a room.

`person` takes 37 ms to be made ready for a shape.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock, local
from typing import Any

import cv2
import ml_dtypes
import numpy as np
import numpy.typing as npt

from segtool.engine import onednn
from segtool.engine.network import Array, Step
from segtool.engine.operations import SIZES, Operation, Sides, Value, place, plan, values_of, window
from segtool.engine.precision import Precision, cpu_has_bfloat16
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predict, cores

Bytes = npt.NDArray[np.uint8]
ACTIVATIONS = {"": None, "relu": onednn.RELU, "sigmoid": onednn.LOGISTIC}


def onednn_function(steps: Sequence[Step], precision: Precision) -> Predict | None:
    """Returns `(B, h, w, 3)` uint8 to `(B, h, w, C)` float32 in [0, 1]; None where oneDNN is not there, or the network
    has something that is not done here.

    Every picture is run alone and on one core, with as many at once as there are cores: then its probability depends on
    nothing else, where oneDNN chooses by batch and threads how it sums, and no core waits for another at the end of
    every operation, least of all for one that decodes a picture just now. The cost: a single picture has one core.
    """
    if onednn.library() is None or (precision == "bfloat16" and not cpu_has_bfloat16()):
        return None  # without AVX-512 oneDNN refuses bfloat16, where TensorFlow finds a way around
    operations = plan(steps)
    if operations is None:
        return None
    network, mine = Network(operations, precision), local()

    def begin() -> None:
        onednn.one_thread()
        mine.room = Room(network)

    threads = ThreadPoolExecutor(cores(), initializer=begin)

    def run_one(picture: Pixels) -> Probability:
        room: Room = mine.room
        return room.run(picture)

    return lambda batch: np.stack(list(threads.map(run_one, batch)))


@dataclass(frozen=True)
class Ready:
    """A primitive and what it is given: layouts with their places in a room, and with addresses that stand."""

    primitive: onednn.Primitive
    places: Mapping[int, tuple[onednn.Layout, int]]
    constants: Mapping[int, tuple[onednn.Layout, int]]


@dataclass(frozen=True)
class Program:
    """A network made ready for pictures of one shape, in rooms of `size` bytes."""

    calls: tuple[Ready, ...]
    picture: Value
    result: Value
    size: int


class Network:
    """Operations with their weights, and the programs made so far. Threads share it."""

    def __init__(self, operations: Sequence[Operation], precision: Precision) -> None:
        self.operations, self.lock, self.stream = operations, Lock(), onednn.new_stream()
        self.dtype = onednn.BFLOAT16 if precision == "bfloat16" else onednn.FLOAT32
        first = operations[0].step
        assert first.scale is not None and first.bias is not None
        table = np.arange(256, dtype=np.float32)[:, None] * first.scale.reshape(-1) + first.bias.reshape(-1)
        table = np.broadcast_to(table, (256, 3))[None]
        # OpenCV knows no bfloat16, but looks up any 16 bits.
        self.table = table.astype(ml_dtypes.bfloat16).view(np.uint16) if precision == "bfloat16" else table.copy()
        self.biases = {o.step.name: _bias(o.step) for o in operations if o.step.kind == "conv"}
        self.kernels: dict[str, list[tuple[onednn.Layout, Bytes]]] = {name: [] for name in self.biases}
        self.programs: dict[Sides, Program] = {}

    def program(self, sides: Sides) -> Program:
        """Returns the program for pictures of `sides`, height and width."""
        with self.lock:
            if sides not in self.programs:
                self.programs[sides] = self._program(sides)
            return self.programs[sides]

    def _program(self, sides: Sides) -> Program:
        values, size = place(self.operations, values_of(self.operations, sides, self.dtype))
        calls = [self._ready(o, values[o.source], values[o.target], size) for o in self.operations[1:]]
        scratchpad = max(call.primitive.scratchpad.size for call in calls)
        first, last = values[self.operations[0].target], values[self.operations[-1].target]
        return Program(tuple(calls), first, last, size + scratchpad)

    def _ready(self, operation: Operation, source: Value, target: Value, end: int) -> Ready:
        step, begin, constants = operation.step, target.begin, {}
        given, wanted = (onednn.pixels(*value.shape, value.dtype) for value in (source, target))
        match step.kind:
            case "conv":
                assert step.kernel is not None
                primitive = onednn.convolution(
                    given, wanted, step.kernel.shape, source.dtype, strides=step.stride,
                    padding=window(step, source)[1], add=operation.add, activation=ACTIVATIONS[operation.activation],
                )  # fmt: skip
                assert primitive.weights is not None
                bias = self.biases[step.name]
                constants = {
                    onednn.WEIGHTS: (primitive.weights, self._kernel(step, primitive.weights)),
                    onednn.BIAS: (onednn.strided(bias.shape, (1,), onednn.FLOAT32), bias.ctypes.data),
                }
            case "pool":
                primitive = onednn.pooling(
                    given, wanted, size=step.size, strides=step.stride, padding=window(step, source)[1]
                )
            case "softmax":
                given = wanted = _groups(source, math.prod(step.size))
                primitive = onednn.softmax(given, axis=1)
            case _:
                begin += operation.first * SIZES[target.dtype]
                given, wanted = _blocks(source, target, *step.stride)
                primitive = onednn.copying(given, wanted)
        places = {onednn.SOURCE: (given, source.begin), onednn.TARGET: (wanted, begin)}
        return Ready(primitive, {**places, onednn.SCRATCHPAD: (primitive.scratchpad, end)}, constants)

    def _kernel(self, step: Step, wanted: onednn.Layout) -> int:
        """Returns the address of the kernel in the layout that is wanted: nearly always the same for all shapes."""
        known = self.kernels[step.name]
        found = next((kernel for layout, kernel in known if onednn.same(layout, wanted)), None)
        if found is None:
            assert step.kernel is not None
            found = onednn.as_wanted(step.kernel, wanted, self.stream)
            known.append((wanted, found))
        return int(found.ctypes.data)


class Room:
    """The memory that a picture is worked on in, for one thread: the next picture finds it as the last one left it."""

    def __init__(self, network: Network) -> None:
        self.network, self.memory, self.stream = network, onednn.aligned(0), onednn.new_stream()
        self.calls: dict[Sides, list[onednn.Call]] = {}

    def run(self, picture: Pixels) -> Probability:
        """Returns the probability `(h, w, C)` float32 of a picture `(h, w, 3)` uint8."""
        height, width, _ = picture.shape
        program = self.network.program((height, width))
        if program.size > len(self.memory):
            self.calls.clear()
            self.memory = onednn.aligned(0)  # first: there may be no room for both
            self.memory = onednn.aligned(program.size)
        if (height, width) not in self.calls:
            base = self.memory.ctypes.data
            self.calls[height, width] = [
                onednn.Call(call.primitive, {
                    **{key: (layout, base + begin) for key, (layout, begin) in call.places.items()}, **call.constants,
                })
                for call in program.calls
            ]  # fmt: skip
        table = self.network.table
        cv2.LUT(picture, table, dst=self._view(program.picture, table.dtype))
        for call in self.calls[height, width]:
            call(self.stream)
        return self._view(program.result, np.dtype(np.float32)).copy()

    def _view(self, value: Value, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        return self.memory[value.begin : value.begin + value.size].view(dtype).reshape(value.shape)


def _blocks(source: Value, target: Value, down: int, right: int) -> tuple[onednn.Layout, onednn.Layout]:
    """Returns two layouts of `(h, down, w, right, C)`: blocks of pixels as channels of one, and as pixels of more."""
    height, width, taken = source.shape
    channels, total = taken // (down * right), target.shape[2]
    shape = (height, down, width, right, channels)
    across = width * right * total
    return (
        onednn.strided(shape, (width * taken, right * channels, taken, channels, 1), source.dtype),
        onednn.strided(shape, (down * across, across, right * total, total, 1), target.dtype),
    )


def _groups(value: Value, count: int) -> onednn.Layout:
    """Returns the layout of `count` groups of channels a pixel, a row each."""
    height, width, channels = value.shape
    each = channels // count
    return onednn.strided((height * width * count, each), (each, 1), value.dtype)


def _bias(step: Step) -> Array:
    assert step.kernel is not None
    return np.zeros(step.kernel.shape[3], np.float32) if step.bias is None else np.ascontiguousarray(step.bias)
