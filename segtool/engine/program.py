"""Operations → calls of oneDNN for pictures of one shape: what is called in turn, and where in a room it reads and
writes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from segtool.engine import onednn
from segtool.engine.network import Array, Step
from segtool.engine.onednn import ADD, ALIGNMENT, FLOAT32, MAX, OTHER, SOURCE, SUBTRACT, TARGET, Layout, Primitive
from segtool.engine.operations import SIZES, Operation, Sides, Value, place, pointwise, values_of, window
from segtool.engine.winograd import row_kernel, suits

ACTIVATIONS = {"": None, "relu": onednn.RELU, "sigmoid": onednn.LOGISTIC}
Places = Mapping[int, tuple[Layout, int]]  # by argument: a layout, and where it begins
NOTHING: Places = {}


@dataclass(frozen=True)
class Ready:
    """A primitive and what it is given: layouts with their places in a room, and with addresses that stand."""

    primitive: Primitive
    places: Places
    constants: Places


@dataclass(frozen=True)
class Clear:
    """Bytes of a room that are to be zeros."""

    begin: int
    size: int


@dataclass(frozen=True)
class Program:
    """A network made ready for pictures of one shape, in rooms of `size` bytes."""

    calls: tuple[Ready | Clear, ...]
    picture: Value
    result: Value
    size: int


class Weights:
    """Kernels in the layouts that primitives want them in, and biases, at addresses that stand."""

    def __init__(self) -> None:
        self.stream = onednn.new_stream()
        self.kernels: dict[str, list[tuple[Layout, npt.NDArray[np.uint8]]]] = {}
        self.biases: dict[str, Array] = {}

    def kernel(self, name: str, make: Callable[[], Array], wanted: Layout | None) -> tuple[Layout, int]:
        """Returns a kernel as it is wanted, which is nearly always the same for all shapes of pictures."""
        assert wanted is not None
        known = self.kernels.setdefault(name, [])
        found = next((kernel for layout, kernel in known if onednn.same(layout, wanted)), None)
        if found is None:
            found = onednn.as_wanted(make(), wanted, self.stream)
            known.append((wanted, found))
        return wanted, int(found.ctypes.data)

    def bias(self, step: Step, *, none: bool = False) -> tuple[Layout, int]:
        """Returns the bias of a convolution, or zeros."""
        assert step.kernel is not None
        count = step.kernel.shape[3]
        name, bias = (f"{count} zeros", None) if none else (step.name, step.bias)
        if name not in self.biases:
            self.biases[name] = np.ascontiguousarray(np.zeros(count) if bias is None else bias, np.float32)
        return onednn.strided((count,), (1,), FLOAT32), self.biases[name].ctypes.data


class _Calls:
    """Calls as they are made; what they need beside their values lies from byte `end` on, up to `most`."""

    def __init__(self, end: int) -> None:
        self.made: list[Ready | Clear] = []
        self.end = self.most = end

    def add(self, primitive: Primitive, places: Places, constants: Places = NOTHING) -> None:
        """Adds a primitive, with room for its scratchpad."""
        scratchpad = {onednn.SCRATCHPAD: (primitive.scratchpad, self.end)}
        self.made.append(Ready(primitive, {**places, **scratchpad}, constants))
        self.most = max(self.most, self.end + primitive.scratchpad.size)

    def room_for(self, value: Value) -> Value:
        """Returns the value with a place of its own."""
        placed = replace(value, begin=self.end)
        self.end += -(-placed.size // ALIGNMENT) * ALIGNMENT
        self.most = max(self.most, self.end)
        return placed


def make_program(operations: Sequence[Operation], sides: Sides, dtype: int, weights: Weights) -> Program:
    """Returns the program for pictures of `sides`, height and width."""
    values, size = place(operations, values_of(operations, sides, dtype))
    made: list[Ready | Clear] = []
    end = size
    for operation in operations[1:]:
        calls = _Calls(size)
        _work(calls, operation, values[operation.source], values[operation.target], weights)
        made += calls.made
        end = max(end, calls.most)
    return Program(tuple(made), values[operations[0].target], values[operations[-1].target], end)


def _work(calls: _Calls, operation: Operation, source: Value, target: Value, weights: Weights) -> None:
    step = operation.step
    match step.kind:
        case "conv" if source.parted and target.parted and suits(step, source.shape):
            _convolve_by_rows(calls, operation, source, target, weights)
        case "conv":
            _convolve(calls, operation, source, target, weights)
        case "pool":
            _pool(calls, step, source, target)
        case "softmax":
            each = source.shape[2] // math.prod(step.size)  # in groups, a row each
            layout = onednn.strided((source.rows * source.row // each, each), (each, 1), source.dtype)
            calls.add(onednn.softmax(layout, axis=1), {SOURCE: (layout, source.begin), TARGET: (layout, target.begin)})
        case _:
            _copy(calls, source, target, operation.first, *step.stride)


def _convolve(calls: _Calls, operation: Operation, source: Value, target: Value, weights: Weights) -> None:
    """Adds a convolution as oneDNN does it: on rows in their order, or in any where no neighbour counts."""
    step = operation.step
    assert step.kernel is not None
    parted = source.parted and pointwise(step)
    given = source if source.parted == parted else _in_order(calls, source)
    wanted = target if target.parted == parted else calls.room_for(replace(target, parted=parted))
    if operation.add and wanted is not target:
        _copy(calls, target, wanted)
    before, after = _layout(given), _layout(wanted)
    primitive = onednn.convolution(
        before, after, step.kernel.shape, source.dtype, strides=step.stride, padding=window(step, source)[1],
        add=operation.add, activation=ACTIVATIONS[operation.activation],
    )  # fmt: skip
    kernel = weights.kernel(step.name, partial(_itself, step.kernel), primitive.weights)
    calls.add(
        primitive, {SOURCE: (before, given.begin), TARGET: (after, wanted.begin)},
        {onednn.WEIGHTS: kernel, onednn.BIAS: weights.bias(step)},
    )  # fmt: skip
    if wanted is not target:
        _copy(calls, wanted, target)


def _convolve_by_rows(calls: _Calls, operation: Operation, source: Value, target: Value, weights: Weights) -> None:
    """Adds a 3×3 convolution by the four products of `winograd`, one after the other: the sum or difference of two rows
    is still in the core's cache when it is multiplied.
    """
    step, half = operation.step, source.shape[0] // 2
    assert step.kernel is not None
    row = source.row * SIZES[source.dtype]
    even, odd = source.begin, source.begin + (half + 1) * row
    evens = replace(target, shape=(half, *target.shape[1:]), parted=False)
    odds = replace(evens, begin=target.begin + (half + 1) * target.row * SIZES[target.dtype])
    mixed = calls.room_for(replace(source, shape=(half, *source.shape[1:]), parted=False))
    second, third = (calls.room_for(replace(evens, dtype=FLOAT32)) for _ in range(2))
    calls.made.append(Clear(source.begin + half * row, row))  # what lies above the first row, and below the last
    given, between = _layout(mixed), _layout(second)
    for number, algorithm, one, other, to, signs in (
        (1, ADD, even, odd, second, ()),
        (2, SUBTRACT, odd, even, third, ()),
        (0, SUBTRACT, odd - row, odd, evens, (ADD, ADD)),
        (3, SUBTRACT, even, even + row, odds, (ADD, SUBTRACT)),
    ):
        calls.add(
            onednn.combining(algorithm, given, given, given),
            {SOURCE: (given, one), OTHER: (given, other), TARGET: (given, mixed.begin)},
        )
        last = bool(signs)
        add, activation = operation.add and last, ACTIVATIONS[operation.activation] if last else None
        primitive = onednn.convolution(
            given, _layout(to), (1, *step.kernel.shape[1:]), source.dtype, strides=(1, 1), padding=((0, 0), (1, 1)),
            add=add, terms=[(sign, between) for sign in signs], activation=activation,
        )  # fmt: skip
        terms = {onednn.term(i, add): (between, value.begin) for i, value in enumerate((second, third)) if last}
        kernel = weights.kernel(f"{step.name} {number}", partial(row_kernel, step.kernel, number), primitive.weights)
        calls.add(
            primitive, {SOURCE: (given, mixed.begin), TARGET: (_layout(to), to.begin), **terms},
            {onednn.WEIGHTS: kernel, onednn.BIAS: weights.bias(step, none=not last)},
        )  # fmt: skip


def _pool(calls: _Calls, step: Step, source: Value, target: Value) -> None:
    size, strides, padding = step.size, step.stride, window(step, source)[1]
    if source.parted and size == strides == (2, 2):  # of each pair of rows the larger, and then along them
        pairs = calls.room_for(replace(source, shape=(source.shape[0] // 2, *source.shape[1:]), parted=False))
        layout, odd = _layout(pairs), source.begin + (pairs.shape[0] + 1) * source.row * SIZES[source.dtype]
        calls.add(
            onednn.combining(MAX, layout, layout, layout),
            {SOURCE: (layout, source.begin), OTHER: (layout, odd), TARGET: (layout, pairs.begin)},
        )
        source, size, strides, padding = pairs, (1, 2), (1, 2), ((0, 0), padding[1])
    source = _in_order(calls, source)
    wanted = calls.room_for(replace(target, parted=False)) if target.parted else target
    before, after = _layout(source), _layout(wanted)
    primitive = onednn.pooling(before, after, size=size, strides=strides, padding=padding)
    calls.add(primitive, {SOURCE: (before, source.begin), TARGET: (after, wanted.begin)})
    if wanted is not target:
        _copy(calls, wanted, target)


def _in_order(calls: _Calls, value: Value) -> Value:
    """Returns the value with its rows in their order: itself, or a copy."""
    if not value.parted:
        return value
    ordered = calls.room_for(replace(value, parted=False))
    _copy(calls, value, ordered)
    return ordered


def _copy(calls: _Calls, source: Value, target: Value, first: int = 0, down: int = 1, right: int = 1) -> None:
    """Adds a copy to the channels from `first` on, of pixels that become blocks `down` high and `right` wide."""
    if target.parted and down > 2:
        height, width, channels = source.shape
        blocks = (height * down, width * right, channels // (down * right))
        spread = calls.room_for(Value(blocks, target.dtype))
        _copy(calls, source, spread, 0, down, right)
        source, down, right = spread, 1, 1
    given, wanted = _blocks(source, target, down, right)
    begin = target.begin + first * SIZES[target.dtype]
    calls.add(onednn.copying(given, wanted), {SOURCE: (given, source.begin), TARGET: (wanted, begin)})


def _blocks(source: Value, target: Value, down: int, right: int) -> tuple[Layout, Layout]:
    """Returns two layouts of `(h / 2, 2, down, w, right, C)`: blocks of pixels as channels of one, and as pixels."""
    height, width, taken = source.shape
    channels, total, row = taken // (down * right), target.shape[2], target.row
    pair = 2 - height % 2
    shape = (height // pair, pair, down, width, right, channels)
    given = (*_row_strides(source, pair), right * channels, taken, channels, 1)
    if down == 1:
        rows = (*_row_strides(target, pair), row)
    else:  # the rows of a block are an even one and an odd one
        rows = (pair * row, row, (height + 1) * row) if target.parted else (pair * down * row, down * row, row)
    wanted = (*rows, right * total, total, 1)
    # What is one long says nothing.
    kept = [i for i, length in enumerate(shape) if length > 1] or [5]
    return (
        onednn.strided([shape[i] for i in kept], [given[i] for i in kept], source.dtype),
        onednn.strided([shape[i] for i in kept], [wanted[i] for i in kept], target.dtype),
    )


def _row_strides(value: Value, pair: int) -> tuple[int, int]:
    """Returns the numbers from a pair of rows to the next, and from the first row of a pair to its second."""
    if value.parted:
        return value.row, (value.shape[0] // 2 + 1) * value.row
    return pair * value.row, value.row


def _layout(value: Value) -> Layout:
    return onednn.pixels(value.rows, *value.shape[1:], value.dtype)


def _itself(kernel: Array) -> Array:
    return kernel
