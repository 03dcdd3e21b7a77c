"""oneDNN by its C interface (oneapi/dnnl/dnnl.h, version 3): what a network on a CPU is made of, and nothing around it.

TensorFlow runs the same library. Alone it is loaded in 0.02 s where TensorFlow takes seconds, and what a U-Net does
between its convolutions (ReLU, sums, normalisation) becomes part of them.
"""

import ctypes
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from segtool.errors import SegtoolError

PACKAGE, LIBRARY, MAJOR = "onednn-cpu-gomp", "libdnnl.so.3", 3
CPU, IN_ORDER, INFERENCE, SCRATCHPAD_BY_USER = 1, 1, 96, 1
BFLOAT16, FLOAT32 = 2, 3  # dnnl_data_type_t
ANY = 1  # dnnl_format_tag_t: oneDNN chooses
DIRECT, MAXIMUM, SOFTMAX, RELU, LOGISTIC = 1, 0x1FF, 0x30000, 0x20, 0x29  # dnnl_alg_kind_t
ADD, MAX, SUBTRACT = 0x1FFF0, 0x1FFF2, 0x1FFF5  # dnnl_alg_kind_t too, of two values
SOURCE, OTHER, TARGET, WEIGHTS, BIAS, SCRATCHPAD = 1, 2, 17, 33, 41, 80  # arguments of a primitive
WANTED_WEIGHTS, WANTED_SCRATCHPAD = 131, 136  # dnnl_query_t
POST_OPERATION = 0x8000  # DNNL_ARG_ATTR_MULTIPLE_POST_OP_BASE
MAX_DIMS = 12
OUT_OF_MEMORY = 1  # dnnl_status_t
ALIGNMENT = 64
Padding = Sequence[tuple[int, int]]  # before and behind, of height and of width

_pointer, _int, _int64, _float, _size = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float, ctypes.c_size_t
_dims, _out = _int64 * MAX_DIMS, ctypes.POINTER(ctypes.c_void_p)
# What each takes; all return a status. What they begin with is left out: dnnl_.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "engine_create": (_out, _int, _size),
    "stream_create": (_out, _pointer, _int),
    "memory_desc_create_with_strides": (_out, _int, _dims, _int, _dims),
    "memory_desc_create_with_tag": (_out, _int, _dims, _int, _int),
    "memory_create": (_out, _pointer, _pointer, _pointer),
    "memory_destroy": (_pointer,),
    "post_ops_create": (_out,),
    "post_ops_append_sum": (_pointer, _float, _int, _int),
    "post_ops_append_eltwise": (_pointer, _int, _float, _float),
    "post_ops_append_binary": (_pointer, _int, _pointer),
    "primitive_attr_create": (_out,),
    "primitive_attr_set_post_ops": (_pointer, _pointer),
    "primitive_attr_set_scratchpad_mode": (_pointer, _int),
    "convolution_forward_primitive_desc_create": (
        _out, _pointer, _int, _int, _pointer, _pointer, _pointer, _pointer, _dims, _dims, _dims, _dims, _pointer,
    ),
    "binary_primitive_desc_create": (_out, _pointer, _int, _pointer, _pointer, _pointer, _pointer),
    "pooling_forward_primitive_desc_create": (
        _out, _pointer, _int, _int, _pointer, _pointer, _dims, _dims, _dims, _dims, _dims, _pointer,
    ),
    "softmax_forward_primitive_desc_create": (_out, _pointer, _int, _int, _pointer, _pointer, _int, _pointer),
    "reorder_primitive_desc_create": (_out, _pointer, _pointer, _pointer, _pointer, _pointer),
    "primitive_create": (_out, _pointer),
    "primitive_execute": (_pointer, _pointer, _int, _pointer),
}  # fmt: skip


@cache
def library() -> ctypes.CDLL | None:
    """Returns oneDNN with its functions declared, None where it is not installed or another version."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        files = metadata.files(PACKAGE) or []
        path = next(file.locate() for file in files if file.name == LIBRARY)
        found = ctypes.CDLL(str(path))
        for name, taken in FUNCTIONS.items():
            getattr(found, f"dnnl_{name}").argtypes = taken
        found.dnnl_primitive_desc_query_md.argtypes = (_pointer, _int, _int)
        found.dnnl_primitive_desc_query_md.restype = _pointer
        found.dnnl_memory_desc_get_size.argtypes = (_pointer,)
        found.dnnl_memory_desc_get_size.restype = _size
        found.dnnl_memory_desc_equal.argtypes = (_pointer, _pointer)
        found.dnnl_version.restype = ctypes.POINTER(ctypes.c_int)
        return found if found.dnnl_version()[0] == MAJOR else None
    except (metadata.PackageNotFoundError, StopIteration, OSError, AttributeError):
        return None


def one_thread() -> None:
    """Has the calling thread make and run primitives on itself alone."""
    ctypes.CDLL("libgomp.so.1").omp_set_num_threads(1)  # loaded with the library; it counts by thread


def new_stream() -> int:
    """Returns what calls are run in, by one thread at a time."""
    return _made("stream_create", _engine(), IN_ORDER)


@dataclass(frozen=True)
class Layout:
    """How an array lies in memory, by oneDNN's handle, and its size in bytes."""

    handle: int
    size: int


@dataclass(frozen=True)
class Primitive:
    """One thing to run; `weights` is the layout it wants them in, `scratchpad` that of memory it needs meanwhile."""

    handle: int
    scratchpad: Layout
    weights: Layout | None = None


class Argument(ctypes.Structure):
    """dnnl_exec_arg_t."""

    _fields_ = (("argument", _int), ("memory", _pointer))


def strided(shape: Sequence[int], strides: Sequence[int], dtype: int) -> Layout:
    """Returns the layout of an array of `dtype` whose strides are counted in elements."""
    return _layout(_made("memory_desc_create_with_strides", len(shape), _dims(*shape), dtype, _dims(*strides)))


def pixels(height: int, width: int, channels: int, dtype: int) -> Layout:
    """Returns the layout of one `(height, width, channels)` picture, which oneDNN calls `(1, C, H, W)`."""
    row = width * channels
    return strided((1, channels, height, width), (height * row, 1, row, channels), dtype)


def convolution(
    source: Layout, target: Layout, kernel: Sequence[int], dtype: int, *, strides: Sequence[int], padding: Padding,
    add: bool = False, terms: Sequence[tuple[int, Layout]] = (), activation: int | None = None,
) -> Primitive:  # fmt: skip
    """Returns a convolution by a kernel of `(kh, kw, in, out)`, with bias.

    With `add` what is in the target already is added. Then come `terms`, each ADD or SUBTRACT and the layout of what is
    given as argument `term(i, add)`, and last the activation.
    """
    height, width, taken, given = kernel
    wanted = _made("memory_desc_create_with_tag", 4, _dims(given, taken, height, width), dtype, ANY)
    bias = strided((given,), (1,), FLOAT32)
    first, last = zip(*padding, strict=True)
    return _primitive(
        "convolution_forward", _engine(), INFERENCE, DIRECT, source.handle, wanted, bias.handle, target.handle,
        _dims(*strides), _dims(0, 0), _dims(*first), _dims(*last), _attributes(add, terms, activation), weighted=True,
    )  # fmt: skip


def term(number: int, add: bool = False) -> int:
    """Returns the argument by which a convolution is given one of its `terms`."""
    return POST_OPERATION * (number + add + 1) | OTHER


def combining(algorithm: int, one: Layout, other: Layout, target: Layout) -> Primitive:
    """Returns ADD, SUBTRACT or MAX of two values, number by number. Only where all lie alike is it fast."""
    return _primitive("binary", _engine(), algorithm, one.handle, other.handle, target.handle, _attributes())


def pooling(
    source: Layout, target: Layout, *, size: Sequence[int], strides: Sequence[int], padding: Padding
) -> Primitive:
    """Returns the maximum of windows."""
    first, last = zip(*padding, strict=True)
    return _primitive(
        "pooling_forward", _engine(), INFERENCE, MAXIMUM, source.handle, target.handle, _dims(*strides), _dims(*size),
        _dims(0, 0), _dims(*first), _dims(*last), _attributes(),
    )  # fmt: skip


def softmax(layout: Layout, *, axis: int) -> Primitive:
    """Returns the softmax over an axis, in place."""
    return _primitive(
        "softmax_forward", _engine(), INFERENCE, SOFTMAX, layout.handle, layout.handle, axis, _attributes()
    )


def copying(source: Layout, target: Layout) -> Primitive:
    """Returns a copy from one layout and number format to another."""
    return _primitive("reorder", source.handle, _engine(), target.handle, _engine(), _attributes())


class Call:
    """A primitive on memory: `arguments` are pairs of a layout and the address where it begins, by argument."""

    def __init__(self, primitive: Primitive, arguments: dict[int, tuple[Layout, int]]) -> None:
        self.primitive, self.count = primitive.handle, len(arguments)
        self.destroy = _library().dnnl_memory_destroy  # at the end of the process nothing else may be left
        self.memories: list[int] = []
        for layout, address in arguments.values():
            self.memories.append(_made("memory_create", layout.handle, _engine(), address))
        pairs = zip(arguments, self.memories, strict=True)
        self.arguments = (Argument * self.count)(*(Argument(*pair) for pair in pairs))

    def __call__(self, stream: int) -> None:
        """Runs it. Raises MemoryError, and SegtoolError for all else."""
        _check(_library().dnnl_primitive_execute(self.primitive, stream, self.count, self.arguments))

    def __del__(self) -> None:
        for memory in self.memories:
            self.destroy(memory)


def as_wanted(kernel: npt.NDArray[np.float32], wanted: Layout, stream: int) -> npt.NDArray[np.uint8]:
    """Returns the bytes of a kernel `(kh, kw, in, out)` as a primitive wants its weights."""
    kernel = np.ascontiguousarray(kernel)
    height, width, taken, given = kernel.shape
    plain = strided((given, taken, height, width), (1, given, width * taken * given, taken * given), FLOAT32)
    done = aligned(wanted.size)
    copy = copying(plain, wanted)
    scratchpad = aligned(copy.scratchpad.size)
    Call(copy, {
        SOURCE: (plain, kernel.ctypes.data), TARGET: (wanted, done.ctypes.data),
        SCRATCHPAD: (copy.scratchpad, scratchpad.ctypes.data),
    })(stream)  # fmt: skip
    return done


def aligned(size: int) -> npt.NDArray[np.uint8]:
    """Returns `size` bytes that begin where vector instructions like it."""
    room = np.empty(size + ALIGNMENT, np.uint8)
    begin = -room.ctypes.data % ALIGNMENT
    return room[begin : begin + size]


def same(one: Layout, other: Layout) -> bool:
    """Returns whether both say the same."""
    return bool(_library().dnnl_memory_desc_equal(one.handle, other.handle))


def _library() -> ctypes.CDLL:
    found = library()
    assert found is not None  # whoever gets here has asked for it
    return found


@cache
def _engine() -> int:
    return _made("engine_create", CPU, 0)


def _attributes(
    add: bool = False, terms: Sequence[tuple[int, Layout]] = (), activation: int | None = None
) -> int:  # fmt: skip
    operations, attributes = _made("post_ops_create"), _made("primitive_attr_create")
    c = _library()
    if add:
        _check(c.dnnl_post_ops_append_sum(operations, 1, 0, 0))
    for algorithm, layout in terms:
        _check(c.dnnl_post_ops_append_binary(operations, algorithm, layout.handle))
    if activation is not None:
        _check(c.dnnl_post_ops_append_eltwise(operations, activation, 0, 0))
    _check(c.dnnl_primitive_attr_set_post_ops(attributes, operations))
    # Threads share primitives, so none may have memory of its own.
    _check(c.dnnl_primitive_attr_set_scratchpad_mode(attributes, SCRATCHPAD_BY_USER))
    return attributes


def _primitive(kind: str, *arguments: Any, weighted: bool = False) -> Primitive:
    described, query = _made(f"{kind}_primitive_desc_create", *arguments), _library().dnnl_primitive_desc_query_md
    weights = _layout(query(described, WANTED_WEIGHTS, 0)) if weighted else None
    return Primitive(_made("primitive_create", described), _layout(query(described, WANTED_SCRATCHPAD, 0)), weights)


def _layout(handle: int) -> Layout:
    return Layout(handle, _library().dnnl_memory_desc_get_size(handle))


def _made(function: str, *arguments: Any) -> int:
    """Returns what a function makes. It stays to the end of the process: a few kilobytes for every picture shape."""
    made = _pointer()
    _check(getattr(_library(), f"dnnl_{function}")(ctypes.byref(made), *arguments), function)
    return made.value or 0


def _check(status: int, what: str = "primitive_execute") -> None:
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"oneDNN has no memory for {what}.")
    if status:
        raise SegtoolError(f"oneDNN says {status} to {what}.")
