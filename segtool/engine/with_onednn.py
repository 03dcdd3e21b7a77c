"""The steps of a network run by oneDNN, on CPUs: operations → a program for a shape → calls in a room.

`person` takes 37 ms to be made ready for a shape.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, local
from typing import Any

import cv2
import ml_dtypes
import numpy as np
import numpy.typing as npt

from segtool.engine import onednn
from segtool.engine.network import Step
from segtool.engine.operations import Operation, Sides, Value, plan
from segtool.engine.precision import Precision, cpu_has_bfloat16
from segtool.engine.program import Clear, Program, Ready, Weights, make_program
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predict


def onednn_function(steps: Sequence[Step], precision: Precision) -> Predict | None:
    """Returns `(B, h, w, 3)` uint8 to `(B, h, w, C)` float32 in [0, 1]; None where oneDNN is not there, or the network
    has something that is not done here.

    Every picture is run alone, on the thread that calls: then its probability depends on nothing else, where oneDNN
    chooses by batch and threads how it sums, and no core waits for another at the end of every operation.
    """
    if onednn.library() is None or (precision == "bfloat16" and not cpu_has_bfloat16()):
        return None  # without AVX-512 oneDNN refuses bfloat16, where TensorFlow finds a way around
    operations = plan(steps)
    if operations is None:
        return None
    network, mine = Network(operations, precision), local()

    def run(batch: Pixels) -> Probability:
        if not hasattr(mine, "room"):
            onednn.one_thread()
            mine.room = Room(network)
        room: Room = mine.room
        return np.stack([room.run(picture) for picture in batch])

    return run


class Network:
    """Operations with their weights, and the programs made so far. Threads share it."""

    def __init__(self, operations: Sequence[Operation], precision: Precision) -> None:
        self.operations, self.lock, self.weights = operations, Lock(), Weights()
        self.dtype = onednn.BFLOAT16 if precision == "bfloat16" else onednn.FLOAT32
        first = operations[0].step
        assert first.scale is not None and first.bias is not None
        table = np.arange(256, dtype=np.float32)[:, None] * first.scale.reshape(-1) + first.bias.reshape(-1)
        table = np.broadcast_to(table, (256, 3))[None]
        # OpenCV knows no bfloat16, but looks up any 16 bits.
        self.table = table.astype(ml_dtypes.bfloat16).view(np.uint16) if precision == "bfloat16" else table.copy()
        self.programs: dict[Sides, Program] = {}

    def program(self, sides: Sides) -> Program:
        """Returns the program for pictures of `sides`, height and width."""
        with self.lock:
            if sides not in self.programs:
                self.programs[sides] = make_program(self.operations, sides, self.dtype, self.weights)
            return self.programs[sides]


class Room:
    """The memory that a picture is worked on in, for one thread: the next picture finds it as the last one left it."""

    def __init__(self, network: Network) -> None:
        self.network, self.memory, self.stream = network, onednn.aligned(0), onednn.new_stream()
        self.calls: dict[Sides, list[Callable[[int], object]]] = {}

    def run(self, picture: Pixels) -> Probability:
        """Returns the probability `(h, w, C)` float32 of a picture `(h, w, 3)` uint8."""
        height, width, _ = picture.shape
        program = self.network.program((height, width))
        if program.size > len(self.memory):
            self.calls.clear()
            self.memory = onednn.aligned(0)  # first: there may be no room for both
            self.memory = onednn.aligned(program.size)
        if (height, width) not in self.calls:
            self.calls[height, width] = [self._at_its_place(call) for call in program.calls]
        table = self.network.table
        cv2.LUT(picture, table, dst=self._view(program.picture, table.dtype))
        for call in self.calls[height, width]:
            call(self.stream)
        return self._view(program.result, np.dtype(np.float32)).copy()

    def _at_its_place(self, call: Ready | Clear) -> Callable[[int], object]:
        base = self.memory.ctypes.data
        if isinstance(call, Clear):
            return partial(_clear, base + call.begin, call.size)
        places = {key: (layout, base + begin) for key, (layout, begin) in call.places.items()}
        return onednn.Call(call.primitive, {**places, **call.constants})

    def _view(self, value: Value, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        return self.memory[value.begin : value.begin + value.size].view(dtype).reshape(value.shape)


def _clear(address: int, size: int, stream: int) -> None:
    ctypes.memset(address, 0, size)
