"""The steps of a network as operations on values that share memory: what is to be done, and where.

Steps → operations → values of a picture's shape → places in one stretch of memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from segtool.engine.network import Step
from segtool.engine.onednn import ALIGNMENT, BFLOAT16, FLOAT32
from segtool.engine.winograd import suits

Sides = tuple[int, int]  # height and width
SIZES = {BFLOAT16: 2, FLOAT32: 4}  # bytes


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


@dataclass(frozen=True)
class Value:
    """Where `(h, w, C)` pixels of one of oneDNN's number formats lie in a room, from byte `begin` on.

    If `parted` (h is even then), the even rows come first, then a row that belongs to none, then the odd rows.
    """

    shape: tuple[int, int, int]
    dtype: int
    begin: int = 0
    parted: bool = False

    @property
    def rows(self) -> int:
        """Rows as they lie there, with the one between."""
        return self.shape[0] + self.parted

    @property
    def row(self) -> int:
        """Numbers a row."""
        return self.shape[1] * self.shape[2]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.row * SIZES[self.dtype]


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
                    if done[maker].step.kind == "spread" and len(users[name]) == step.inputs.count(name) == 1:
                        done[maker] = replace(done[maker], target=value, channels=channels[value], first=first)
                    else:
                        done.append(Operation(step, source, value, channels[value], first))
                    first += channels[name]
            case _:
                return None
        made[step.name] = value
    last = last_convolution(done)
    return tuple(done) if last and not done[last].add else None


def last_convolution(operations: Sequence[Operation]) -> int:
    """Returns the number of the operation from which on values are float32, 0 where there is none."""
    return max((i for i, operation in enumerate(operations) if operation.step.kind == "conv"), default=0)


def _activated_before_spread(steps: Sequence[Step]) -> list[Step]:
    """Returns the same network with a last activation done before its pixels are spread: part of the convolution."""
    *others, spread, last = steps
    if spread.kind != "spread" or last.kind not in ("sigmoid", "softmax"):
        return list(steps)
    return [*others, replace(last, inputs=spread.inputs, size=spread.stride), replace(spread, inputs=(last.name,))]


def _plain(operation: Operation) -> bool:
    return operation.step.kind == "conv" and not operation.activation


def values_of(operations: Sequence[Operation], sides: Sides, dtype: int) -> dict[str, Value]:
    """Returns the values that the operations read and write, by name, for a picture of `sides`, not yet placed."""
    final = last_convolution(operations)
    parted: set[str] = set()
    values = {operations[0].source: Value((*sides, 3), dtype)}
    for number, operation in enumerate(operations):
        step, source = operation.step, values[operation.source]
        (height, width), _ = window(step, source)
        if step.kind == "spread":
            height, width = height * step.stride[0], width * step.stride[1]
        target = Value((height, width, operation.channels), FLOAT32 if number >= final else dtype)
        values[operation.target] = target
        if number < final and suits(step, source.shape):
            parted |= {operation.source, operation.target}
        elif number < final and pointwise(step) and operation.source in parted:
            parted.add(operation.target)  # spares a copy
    return {name: replace(value, parted=name in parted) for name, value in values.items()}


def pointwise(step: Step) -> bool:
    """Returns whether a step is a convolution that knows no neighbours, to which rows may lie in any order."""
    return step.kernel is not None and step.kernel.shape[:2] == (1, 1) and step.stride == (1, 1)


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
    return -(-(value.begin + value.size) // ALIGNMENT) * ALIGNMENT


def window(step: Step, source: Value) -> tuple[Sides, tuple[Sides, Sides]]:
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
