"""TensorFlow by its C interface (tensorflow/c/c_api.h), without its Python package: a graph, and a session to run it.

It runs the same kernels. The library alone is loaded in 0.4 s of CPU time, the package takes 1.7 to 2 s even without
Keras, which is what a short run mostly was (tests/benchmarks/start_up.py).
"""

import ctypes
import importlib.util
import platform
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtool.engine import silent_stderr
from segtool.errors import SegtoolError

LIBRARY = "libtensorflow_cc.so.2"
FLOAT32, UINT8, INT32, BFLOAT16 = 1, 4, 3, 14  # TF_DataType
TYPES = {"float32": FLOAT32, "uint8": UINT8, "int32": INT32, "bfloat16": BFLOAT16}
NAMES = {number: name for name, number in TYPES.items()}
RESOURCE_EXHAUSTED = 8  # TF_Code
# A ConfigProto: device_count (field 1) is {"GPU": 0}; intra_op_parallelism_threads (2) is 1, and
# inter_op_parallelism_threads (5) is -1, which is the thread that calls.
CONFIG = b"\x0a\x07\x0a\x03GPU\x10\x00" + b"\x10\x01" + b"\x28" + b"\xff" * 9 + b"\x01"

_pointer, _text, _size, _int, _int64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int64


class Count(int):
    """A number as an operation's attribute, where a plain one is a type."""


class Output(ctypes.Structure):
    """TF_Output: what an operation of a graph gives."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


_int64s, _outputs, _pointers = ctypes.POINTER(_int64), ctypes.POINTER(Output), ctypes.POINTER(_pointer)
# All but these are done sooner than other threads could use Python's lock, which it takes long to get back.
LONG = ("TF_NewSession", "TF_SessionRun", "TF_DeleteSession")
FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what each returns, and takes
    "TF_NewStatus": (_pointer,),
    "TF_DeleteStatus": (None, _pointer),
    "TF_GetCode": (_int, _pointer),
    "TF_Message": (_text, _pointer),
    "TF_AllocateTensor": (_pointer, _int, _int64s, _int, _size),
    "TF_DeleteTensor": (None, _pointer),
    "TF_TensorData": (_pointer, _pointer),
    "TF_TensorType": (_int, _pointer),
    "TF_NumDims": (_int, _pointer),
    "TF_Dim": (_int64, _pointer, _int),
    "TF_NewGraph": (_pointer,),
    "TF_DeleteGraph": (None, _pointer),
    "TF_NewOperation": (_pointer, _pointer, _text, _text),
    "TF_AddInput": (None, _pointer, Output),
    "TF_AddInputList": (None, _pointer, _outputs, _int),
    "TF_SetAttrType": (None, _pointer, _text, _int),
    "TF_SetAttrString": (None, _pointer, _text, _text, _size),
    "TF_SetAttrInt": (None, _pointer, _text, _int64),
    "TF_SetAttrIntList": (None, _pointer, _text, _int64s, _int),
    "TF_SetAttrTensor": (None, _pointer, _text, _pointer, _pointer),
    "TF_FinishOperation": (_pointer, _pointer, _pointer),
    "TF_NewSessionOptions": (_pointer,),
    "TF_SetConfig": (None, _pointer, _text, _size, _pointer),
    "TF_DeleteSessionOptions": (None, _pointer),
    "TF_NewSession": (_pointer, _pointer, _pointer, _pointer),
    "TF_DeleteSession": (None, _pointer, _pointer),
    "TF_SessionRun": (
        None, _pointer, _pointer, _outputs, _pointers, _int, _outputs, _pointers, _int, _pointer, _int, _pointer,
        _pointer,
    ),
}  # fmt: skip


@cache
def library() -> ctypes.PyDLL | None:
    """Returns TensorFlow's library with its functions declared. None where there is none of that name with all of them,
    or there are devices of other makers (`tensorflow-plugins`), which the Python package loads.
    """
    spec = importlib.util.find_spec("tensorflow")
    # On Arm oneDNN leaves convolutions to a library whose threads are everybody's; it was never tried.
    if sys.platform != "linux" or platform.machine() != "x86_64" or spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    if folder.with_name("tensorflow-plugins").exists():
        return None
    try:
        with silent_stderr():
            unlocked, found = ctypes.CDLL(str(folder / LIBRARY)), ctypes.PyDLL(str(folder / LIBRARY))
        for name, (returned, *taken) in FUNCTIONS.items():
            function = getattr(unlocked if name in LONG else found, name)
            function.restype, function.argtypes = returned, taken
            setattr(found, name, function)
    except (OSError, AttributeError):
        return None
    return found


def _library() -> ctypes.PyDLL:
    found = library()
    assert found is not None  # whoever builds a graph has asked for the library
    return found


class _Status:
    """Takes TF_Status: what went wrong is raised at the end, MemoryError or SegtoolError."""

    def __init__(self) -> None:
        self.status: int = _library().TF_NewStatus()

    def __enter__(self) -> int:
        return self.status

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        c = _library()
        code = c.TF_GetCode(self.status)
        message = c.TF_Message(self.status).decode(errors="replace") if code else ""
        c.TF_DeleteStatus(self.status)
        if code and kind is None:
            raise MemoryError(message) if code == RESOURCE_EXHAUSTED else SegtoolError(f"TensorFlow says: {message}")


@dataclass
class Graph:
    """A graph under construction. Every method that adds to it returns what the new operation gives."""

    pointer: int = field(default_factory=lambda: _library().TF_NewGraph())
    count: int = 0

    def __post_init__(self) -> None:
        # TensorFlow keeps it until its last session is gone. At the end of the process all goes anyway.
        weakref.finalize(self, _library().TF_DeleteGraph, self.pointer).atexit = False

    def add(self, kind: str, *inputs: Output | Sequence[Output], **attributes: str | int | tuple[int, ...]) -> Output:
        """Adds an operation of `kind`. An input may be a list, an attribute text, a type, a count, or numbers.

        Raises SegtoolError where TensorFlow does not take it.
        """
        c, operation = _library(), self._new(kind)
        for given in inputs:
            if isinstance(given, Output):
                c.TF_AddInput(operation, given)
            else:
                c.TF_AddInputList(operation, (Output * len(given))(*given), len(given))
        for name, value in attributes.items():
            if isinstance(value, str):
                c.TF_SetAttrString(operation, name.encode(), value.encode(), len(value))
            elif isinstance(value, Count):
                c.TF_SetAttrInt(operation, name.encode(), value)
            elif isinstance(value, int):
                c.TF_SetAttrType(operation, name.encode(), value)
            else:
                c.TF_SetAttrIntList(operation, name.encode(), (_int64 * len(value))(*value), len(value))
        return self._finish(operation)

    def constant(self, array: npt.NDArray[Any]) -> Output:
        """Adds a constant: float32, bfloat16, int32 or uint8."""
        c, tensor = _library(), _to_tensor(array)
        operation = self._new("Const")
        try:
            with _Status() as status:
                c.TF_SetAttrTensor(operation, b"value", tensor, status)
        finally:
            c.TF_DeleteTensor(tensor)
        c.TF_SetAttrType(operation, b"dtype", TYPES[array.dtype.name])
        return self._finish(operation)

    def _new(self, kind: str) -> int:
        self.count += 1
        new: int = _library().TF_NewOperation(self.pointer, kind.encode(), f"{kind}{self.count}".encode())
        return new

    def _finish(self, operation: int) -> Output:
        with _Status() as status:
            return Output(_library().TF_FinishOperation(operation, status), 0)


class Session:
    """Runs a finished graph on the CPU, on the calling thread alone. Threads may share it."""

    def __init__(self, graph: Graph) -> None:
        c, options = _library(), _library().TF_NewSessionOptions()
        try:
            with _Status() as status:
                c.TF_SetConfig(options, CONFIG, len(CONFIG), status)
            with silent_stderr(), _Status() as status:
                self.pointer: int = c.TF_NewSession(graph.pointer, options, status)
        finally:
            c.TF_DeleteSessionOptions(options)
        weakref.finalize(self, _delete, c, self.pointer).atexit = False

    def run(self, given: Output, value: npt.NDArray[Any], wanted: Output) -> npt.NDArray[Any]:
        """Returns `wanted`, the output `given` being `value`. Raises MemoryError, and SegtoolError for all else."""
        c, tensor, results = _library(), _to_tensor(value), (_pointer * 1)()
        try:
            with _Status() as status:
                c.TF_SessionRun(
                    self.pointer, None, (Output * 1)(given), (_pointer * 1)(tensor), 1, (Output * 1)(wanted), results,
                    1, None, 0, None, status,
                )  # fmt: skip
        finally:
            c.TF_DeleteTensor(tensor)
        return _from_tensor(results[0])


def _delete(c: ctypes.PyDLL, session: int) -> None:
    status = c.TF_NewStatus()
    c.TF_DeleteSession(session, status)
    c.TF_DeleteStatus(status)


def _to_tensor(array: npt.NDArray[Any]) -> int:
    array, c = np.asarray(array, order="C"), _library()
    shape = (_int64 * array.ndim)(*array.shape)
    tensor: int | None = c.TF_AllocateTensor(TYPES[array.dtype.name], shape, array.ndim, array.nbytes)
    if tensor is None:
        raise MemoryError(f"There is no memory for a tensor of {array.nbytes:,} bytes.")
    ctypes.memmove(c.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
    return tensor


def _from_tensor(tensor: int | None) -> npt.NDArray[Any]:
    c = _library()
    try:
        shape = [c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor))]
        array = np.empty(shape, NAMES[c.TF_TensorType(tensor)])
        ctypes.memmove(array.ctypes.data, c.TF_TensorData(tensor), array.nbytes)
    finally:
        c.TF_DeleteTensor(tensor)
    return array
