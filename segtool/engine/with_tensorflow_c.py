"""The steps of a network as a TensorFlow graph built and run without TensorFlow's Python package: on CPUs."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Event, Lock
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from segtool.engine.network import Array, Step
from segtool.engine.precision import Precision
from segtool.engine.tensorflow_c import FLOAT32, TYPES, UINT8, Count, Graph, Output, Session
from segtool.imaging.codec import Pixels
from segtool.pipeline import cores


def tensorflow_c_function(steps: Sequence[Step], precision: Precision) -> Callable[[Pixels], npt.NDArray[Any]]:
    """Returns `(B, h, w, 3)` uint8 to `(B, h, w, C)` float32 in [0, 1].

    Every picture is run alone and on one core, with as many at once as there are cores: then its probability depends on
    nothing else, where oneDNN chooses by batch and threads how it sums, and no core waits for another at the end of
    every operation, least of all for one that decodes a picture just now. `person` at 256×192 in bfloat16 took two
    cores 2.8 to 3.2 ms a picture in batches of 8 that both work on, 2.3 to 2.8 so. A network of 24 GFLOP takes 23 ms
    either way. The cost: a single picture has one core.
    """
    graph, results = Graph(), dict[str, Output]()
    dtype = np.dtype(ml_dtypes.bfloat16 if precision == "bfloat16" else precision)
    for step in steps:
        results[step.name] = _add(graph, step, [results[name] for name in step.inputs], dtype)
    picture, last = next(results[step.name] for step in steps if not step.inputs), results[steps[-1].name]
    session, threads = Session(graph), ThreadPoolExecutor(cores())
    beginning, begun = Lock(), Event()

    def run_one(one: Pixels) -> npt.NDArray[Any]:
        # The first to run a session optimises its graph, and all who come meanwhile would do so too.
        with nullcontext() if begun.is_set() else beginning:
            found = session.run(picture, one, last)
            begun.set()
            return found

    return lambda batch: np.concatenate(list(threads.map(run_one, [batch[i : i + 1] for i in range(len(batch))])))


def _add(graph: Graph, step: Step, given: Sequence[Output], dtype: np.dtype[Any]) -> Output:
    strides, padding = (1, *step.stride, 1), step.padding.upper()
    match step.kind:
        case "picture":
            return graph.add("Placeholder", dtype=UINT8)
        case "affine":  # in float32, as in with_tensorflow
            assert step.scale is not None and step.bias is not None
            x = graph.add("Mul", graph.add("Cast", given[0], DstT=FLOAT32), graph.constant(step.scale))
            x = graph.add("AddV2", x, graph.constant(step.bias))
            return x if dtype == np.float32 else graph.add("Cast", x, DstT=TYPES[dtype.name])
        case "conv":
            x = graph.add("Conv2D", given[0], _constant(graph, step.kernel, dtype), strides=strides, padding=padding)
            return _biased(graph, x, step.bias, dtype)
        case "grow":
            assert step.kernel is not None
            factors = graph.constant(np.array([1, *step.stride, 0], np.int32))
            channels = graph.constant(np.array([0, 0, 0, step.kernel.shape[2]], np.int32))
            shape = graph.add("AddV2", graph.add("Mul", graph.add("Shape", given[0]), factors), channels)
            kernel = _constant(graph, step.kernel, dtype)
            x = graph.add("Conv2DBackpropInput", shape, kernel, given[0], strides=strides, padding=padding)
            return _biased(graph, x, step.bias, dtype)
        case "spread":
            return graph.add("DepthToSpace", given[0], block_size=Count(step.stride[0]))
        case "pool":
            return graph.add("MaxPool", given[0], ksize=(1, *step.size, 1), strides=strides, padding=padding)
        case "join":
            return graph.add("ConcatV2", given, graph.constant(np.array(-1, np.int32)))
        case "add":
            return graph.add("AddN", given)
        case "relu":
            return graph.add("Relu", given[0])
        case "sigmoid" | "softmax":
            x = given[0] if dtype == np.float32 else graph.add("Cast", given[0], DstT=FLOAT32)
            return graph.add(step.kind.capitalize(), x)
        case _:
            raise ValueError(step.kind)


def _biased(graph: Graph, x: Output, bias: Array | None, dtype: np.dtype[Any]) -> Output:
    return x if bias is None else graph.add("BiasAdd", x, _constant(graph, bias, dtype))


def _constant(graph: Graph, array: Array | None, dtype: np.dtype[Any]) -> Output:
    assert array is not None
    return graph.constant(array.astype(dtype))
