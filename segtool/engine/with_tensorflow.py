"""The steps of a network as a TensorFlow graph whose weights are constants."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from segtool.engine.network import Array, Step
from segtool.engine.precision import Precision
from segtool.imaging.codec import Pixels


def tensorflow_function(
    steps: Sequence[Step], precision: Precision, *, compiled: bool = False, coarse: bool = False
) -> Callable[[Pixels], npt.NDArray[Any]]:
    """Returns `(B, h, w, 3)` uint8 to `(B, h, w, C)` float32 in [0, 1], or with `coarse` uint8, 255 being 1.

    `compiled` has XLA compile the graph anew for every shape, which pays on a GPU alone. The other graph takes all
    shapes; oneDNN runs its convolutions in the precision their weights are in, with bias and ReLU fused in.
    """
    # Not by grappler's option for bfloat16, which is global, and left 13 % more time in casts and sums (`person`,
    # batches of 8 at 256×192; medians of some 45 calls in turn).
    dtype = getattr(tf, precision)

    def network(picture: tf.Tensor) -> tf.Tensor:
        results: dict[str, tf.Tensor] = {}
        for step in steps:
            given = [results[name] for name in step.inputs]
            results[step.name] = _run(step, given, dtype) if given else picture
        last = results[steps[-1].name]
        return tf.cast(tf.round(last * 255), tf.uint8) if coarse else last

    function = tf.function(network, autograph=False, jit_compile=compiled)
    graph = function if compiled else function.get_concrete_function(tf.TensorSpec((None, None, None, 3), tf.uint8))
    return lambda batch: graph(tf.constant(batch)).numpy()


def _run(step: Step, given: Sequence[tf.Tensor], dtype: tf.DType) -> tf.Tensor:
    x = given[0]
    match step.kind:
        case "affine":
            # In float32: of 256 values of a picture bfloat16 tells only some apart once they are scaled.
            return tf.cast(tf.cast(x, tf.float32) * step.scale + step.bias, dtype)
        case "conv":
            x = tf.nn.conv2d(x, _constant(step.kernel, dtype), step.stride, step.padding.upper())
            return x if step.bias is None else tf.nn.bias_add(x, _constant(step.bias, dtype))
        case "grow":
            assert step.kernel is not None
            batch, height, width, _ = tf.unstack(tf.shape(x))
            shape = tf.stack([batch, height * step.stride[0], width * step.stride[1], step.kernel.shape[2]])
            x = tf.nn.conv2d_transpose(x, _constant(step.kernel, dtype), shape, step.stride, step.padding.upper())
            return x if step.bias is None else tf.nn.bias_add(x, _constant(step.bias, dtype))
        case "spread":
            return tf.nn.depth_to_space(x, step.stride[0])
        case "pool":
            return tf.nn.max_pool2d(x, step.size, step.stride, step.padding.upper())
        case "join":
            return tf.concat(given, -1)
        case "add":
            return tf.add_n(given)
        case "relu":
            return tf.nn.relu(x)
        case "sigmoid" | "softmax":
            return getattr(tf.nn, step.kind)(tf.cast(x, tf.float32))
        case _:
            raise ValueError(step.kind)


def _constant(array: Array | None, dtype: tf.DType) -> tf.Tensor:
    assert array is not None
    return tf.constant(np.asarray(array).astype(dtype.as_numpy_dtype))
