"""The steps of a network as a JAX function, compiled by XLA for every shape it meets."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax

from segtool.engine.network import Step
from segtool.engine.precision import Precision
from segtool.imaging.codec import Pixels

LAYOUT = ("NHWC", "HWIO", "NHWC")


def jax_function(
    steps: Sequence[Step], precision: Precision, *, coarse: bool = False
) -> Callable[[Pixels], npt.NDArray[Any]]:
    """Returns `(B, h, w, 3)` uint8 to `(B, h, w, C)` float32 in [0, 1], or with `coarse` uint8, 255 being 1."""
    dtype = jnp.dtype(precision)
    weights = {step.name: [jnp.asarray(a, dtype) for a in (step.kernel, step.bias) if a is not None] for step in steps}

    # Weights are arguments: as constants XLA folds with them for minutes, and keeps a copy for every shape.
    @jax.jit  # type: ignore[untyped-decorator]  # JAX is not among what mypy sees
    def network(weights: dict[str, list[jax.Array]], picture: jax.Array) -> jax.Array:
        results: dict[str, jax.Array] = {}
        for step in steps:
            given = [results[name] for name in step.inputs]
            results[step.name] = _run(step, given, weights[step.name], dtype) if given else picture
        last = results[steps[-1].name]
        return jnp.round(last * 255).astype(jnp.uint8) if coarse else last

    return lambda batch: np.asarray(network(weights, batch))


def _run(step: Step, given: Sequence[jax.Array], weights: Sequence[jax.Array], dtype: Any) -> jax.Array:
    x = given[0]
    match step.kind:
        case "affine":
            return (x.astype(jnp.float32) * step.scale + step.bias).astype(dtype)
        case "conv":
            convolve = partial(lax.conv_general_dilated, dimension_numbers=LAYOUT)
            return _biased(convolve(x, weights[0], step.stride, step.padding.upper()), weights)
        case "grow":
            # The gradient of a convolution, and the kernel is that one's: in and out are the other way round.
            grow = partial(lax.conv_transpose, dimension_numbers=LAYOUT, transpose_kernel=True)
            return _biased(grow(x, weights[0], step.stride, step.padding.upper()), weights)
        case "spread":
            batch, height, width, channels = x.shape
            side = step.stride[0]
            blocks = x.reshape(batch, height, width, side, side, channels // side**2).transpose(0, 1, 3, 2, 4, 5)
            return blocks.reshape(batch, height * side, width * side, -1)
        case "pool":
            window, strides = (1, *step.size, 1), (1, *step.stride, 1)
            return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, step.padding.upper())
        case "join":
            return jnp.concatenate(given, -1)
        case "add":
            return sum(given[1:], x)
        case "relu":
            return jax.nn.relu(x)
        case "sigmoid" | "softmax":
            return getattr(jax.nn, step.kind)(x.astype(jnp.float32))
        case _:
            raise ValueError(step.kind)


def _biased(x: jax.Array, weights: Sequence[jax.Array]) -> jax.Array:
    return x + weights[1] if len(weights) > 1 else x
