"""The steps of a network run by oneDNN, on CPUs: steps → operations on values → program for a shape → calls in a room.

`person` takes 37 ms to be made ready for a shape, and no time at all to be loaded.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock, local
from typing import Any

import cv2
import ml_dtypes
import numpy as np
import numpy.typing as npt

from segtool.engine import onednn
from segtool.engine.network import Array, Step
from segtool.engine.precision import Precision, cpu_has_bfloat16
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predict, cores

Sides = tuple[int, int]
Bytes = npt.NDArray[np.uint8]
ACTIVATIONS = {"": None, "relu": onednn.RELU, "sigmoid": onednn.LOGISTIC}
SIZES = {onednn.BFLOAT16: 2, onednn.FLOAT32: 4}


@dataclass(frozen=True)
class Operation:
    """A step as it is run: the value it reads, and the one it writes, from channel `first` on of `channels`.

    With `add` the value is there already and what comes out is added to it; then comes the activation.
    """

    step: Step
    source: str
    target: str
    channels: int
    first: int = 0
    add: bool = False
    activation: str = ""


def onednn_function(steps: Sequence[Step], precision: Precision) -> Predict | None:
    """Returns `(B, h, w, 3)` uint8 to `(B, h, w, C)` float32 in [0, 1]; None where oneDNN is not there, or the network
    has something that is not done here.

    Every picture is run alone and on one core, with as many at once as there are cores: then its probability depends on
    nothing else, where oneDNN chooses by batch and threads how it sums, and no core waits for another at the end of
    every operation, least of all for one that decodes a picture just now. The cost: a single picture has one core.
    """
    if onednn.library() is None or (precision == "bfloat16" and not cpu_has_bfloat16()):
        return None  # without the instructions it would take its reference, which is a hundred times slower
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


def plan(steps: Sequence[Step]) -> tuple[Operation, ...] | None:
    """Returns what to run: sums and activations as part of the convolution before, joins as copies to their channels.

    The first operation is the affine step on the picture; from the last convolution on all is float32. None where a
    step finds no place.
    """
    steps = _activated_before_spread(steps)
    channels = {step.name: step.channels(steps) for step in steps}
    users = {step.name: [number for number, other in enumerate(steps) if step.name in other.inputs] for step in steps}
    done: list[Operation] = []
    made: dict[str, str] = {}  # the value that holds the result of a step
    for number, step in enumerate(steps):
        sources = [made[name] for name in step.inputs]
        value, before = step.name, done[-1] if done else None
        alone = len(step.inputs) == 1 and len(users[step.inputs[0]]) == 1
        match step.kind:
            case "picture":
                pass
            case "affine" if not done and step.scale is not None and step.scale.size in (1, 3):
                done.append(Operation(step, sources[0], value, channels[value]))
            case "conv" | "pool" | "spread" if done:
                done.append(Operation(step, sources[0], value, channels[value]))
            case "relu" | "sigmoid" if alone and before and _plain(before) and before.target == sources[0]:
                value = before.target
                done[-1] = replace(before, activation=step.kind)
            case "softmax" if alone and number >= len(steps) - 2:
                value = sources[0]
                done.append(Operation(step, value, value, channels[value]))
            case "add" if len(sources) == 2 and before and before.target in sources and not before.add:
                # The convolution just before adds to the other value, if it did not read that, and nobody will.
                value = sources[1 - sources.index(before.target)]
                read = [n for name, holds in made.items() if holds in (value, before.target) for n in users[name]]
                if not _plain(before) or value in (before.source, before.target) or max(read) > number:
                    return None
                done[-1] = replace(before, target=value, add=True)
            case "join":
                first = 0
                for name, source in zip(step.inputs, sources, strict=True):
                    maker = next(i for i, operation in enumerate(done) if operation.target == source)
                    if done[maker].step.kind == "spread" and len(users[name]) == 1:
                        done[maker] = replace(done[maker], target=value, channels=channels[value], first=first)
                    else:
                        done.append(Operation(step, source, value, channels[value], first))
                    first += channels[name]
            case _:
                return None
        made[step.name] = value
    last = max((i for i, operation in enumerate(done) if operation.step.kind == "conv"), default=0)
    return tuple(done) if last and not done[last].add else None


def _activated_before_spread(steps: Sequence[Step]) -> list[Step]:
    """Returns the same network with a last activation done before its pixels are spread: part of the convolution."""
    *others, spread, last = steps
    if spread.kind != "spread" or last.kind not in ("sigmoid", "softmax"):
        return list(steps)
    return [*others, replace(last, inputs=spread.inputs, size=spread.stride), replace(spread, inputs=(last.name,))]


def _plain(operation: Operation) -> bool:
    return operation.step.kind == "conv" and not operation.activation


@dataclass(frozen=True)
class Value:
    """Where `(h, w, C)` pixels of one of oneDNN's number formats lie in a room, from byte `begin` on."""

    shape: tuple[int, int, int]
    dtype: int
    begin: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * SIZES[self.dtype]


@dataclass(frozen=True)
class Ready:
    """A primitive and what it is given: layouts with their places in a room, and with addresses that stand."""

    primitive: onednn.Primitive
    places: Mapping[int, tuple[onednn.Layout, int]]
    constants: Mapping[int, tuple[onednn.Layout, int]] = field(default_factory=dict)


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
                    padding=_window(step, source)[1], add=operation.add, activation=ACTIVATIONS[operation.activation],
                )  # fmt: skip
                assert primitive.weights is not None
                bias = self.biases[step.name]
                constants = {
                    onednn.WEIGHTS: (primitive.weights, self._kernel(step, primitive.weights)),
                    onednn.BIAS: (onednn.strided(bias.shape, (1,), onednn.FLOAT32), bias.ctypes.data),
                }
            case "pool":
                primitive = onednn.pooling(
                    given, wanted, size=step.size, strides=step.stride, padding=_window(step, source)[1]
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


def values_of(operations: Sequence[Operation], sides: Sides, dtype: int) -> dict[str, Value]:
    """Returns the values that the operations read and write, by name, for a picture of `sides`, not yet placed."""
    final = max(i for i, operation in enumerate(operations) if operation.step.kind == "conv")
    values = {operations[0].source: Value((*sides, 3), dtype)}
    for number, operation in enumerate(operations):
        step, source = operation.step, values[operation.source]
        (height, width), _ = _window(step, source)
        if step.kind == "spread":
            height, width = height * step.stride[0], width * step.stride[1]
        values[operation.target] = Value(
            (height, width, operation.channels), onednn.FLOAT32 if number >= final else dtype
        )
    return values


def place(operations: Sequence[Operation], values: Mapping[str, Value]) -> tuple[dict[str, Value], int]:
    """Returns the values with their places in a room, and its size: no two overlap that are needed at the same time."""
    spans: dict[str, tuple[int, int]] = {}
    for number, operation in enumerate(operations):
        for name in (operation.source, operation.target) if number else (operation.target,):
            spans[name] = (spans.get(name, (number, 0))[0], number)
    placed: dict[str, Value] = {}
    for name in sorted(spans, key=lambda name: -values[name].size):  # the largest first leaves the fewest holes
        born, dead = spans[name]
        others = [placed[other] for other in placed if spans[other][0] <= dead and born <= spans[other][1]]
        begins = sorted({0, *(_after(other) for other in others)})
        begin = next(b for b in begins if all(b + values[name].size <= o.begin or _after(o) <= b for o in others))
        placed[name] = replace(values[name], begin=begin)
    return placed, max(_after(value) for value in placed.values())


def _after(value: Value) -> int:
    return -(-(value.begin + value.size) // onednn.ALIGNMENT) * onednn.ALIGNMENT


def _window(step: Step, source: Value) -> tuple[Sides, tuple[Sides, Sides]]:
    """Returns the sides of what a step makes of a value, but for spreading, and the padding before and behind."""
    if step.kind not in ("conv", "pool"):
        return source.shape[:2], ((0, 0), (0, 0))
    window = step.kernel.shape[:2] if step.kernel is not None else step.size
    sides, padding = [], []
    for length, reach, stride in zip(source.shape[:2], window, step.stride, strict=True):
        if step.padding == "valid":
            sides.append((length - reach) // stride + 1)
            padding.append((0, 0))
        else:
            sides.append(-(-length // stride))
            missing = max((sides[-1] - 1) * stride + reach - length, 0)
            padding.append((missing // 2, missing - missing // 2))
    return (sides[0], sides[1]), (padding[0], padding[1])


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
