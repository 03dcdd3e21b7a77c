"""3×3 convolutions with a third less to multiply: F(2, 3) of Winograd (1980) down the rows, as Lavin and Gray use it
(2016, arXiv:1509.09308).

Two rows of the result need four rows of the source, d0 to d3, and the three of the kernel, g0 to g2: six products a
pixel and pair of channels, that four do as well,

    m0 = (d0 - d2) · g0                  m1 = (d1 + d2) · (g0 + g1 + g2) / 2
    m3 = (d1 - d3) · g2                  m2 = (d2 - d1) · (g0 - g1 + g2) / 2

with m0 + m1 + m2 the first row and m1 - m2 - m3 the second. Each product is a convolution of 1×3. Where the even rows
lie first, then one of zeros, then the odd rows, d0 to d3 are four stretches of memory, all pairs of rows in one call.

In float32 the result differs by rounding. In bfloat16 the sum of two rows is rounded once more, while the products are
added in float32: the probability of `street` was off by 0.00043 in the mean instead of 0.00027, that of `cells` by
0.0013 instead of 0.0015. F(4, 3), or F(2, 3) along columns as well, would multiply still less and round more.
"""

import numpy as np

from segtool.engine.network import Array, Step

# From when on it pays: channels on either side, and products of the plain way. On one core of an AMD EPYC in bfloat16 a
# convolution took 0.72 to 0.77 of the time, from 48 channels on 80×96 pixels to 512 on 12×16, and 0.89 of 32 channels
# on 192×256, where what lies between the calls does not fit into the core's own cache; to go by strips of rows did not
# help. Whole networks: `person` 0.86 of the time, the benchmarks' `fixed` 0.82, `street` 0.93, in float32 alike. With
# 1 << 24 products `person-fast`, whose convolutions are small, took 1.04 of it.
LEAST_CHANNELS, LEAST_PRODUCTS = 32, 1 << 26


def suits(step: Step, shape: tuple[int, int, int]) -> bool:
    """Returns whether a step on a value of `shape`, `(h, w, C)`, is better done this way."""
    return (
        step.kind == "conv"
        and step.kernel is not None
        and step.kernel.shape[:2] == (3, 3)
        and step.stride == (1, 1)
        and step.padding == "same"
        and shape[0] % 2 == 0
        and min(step.kernel.shape[2:]) >= LEAST_CHANNELS
        and shape[0] * shape[1] * step.kernel.size >= LEAST_PRODUCTS
    )


def row_kernel(kernel: Array, number: int) -> Array:
    """Returns the kernel `(1, 3, in, out)` of m0, m1, m2 or m3; the last one negative, so that it is added as m0 is."""
    first, middle, last = kernel[:1], kernel[1:2], kernel[2:]
    match number:
        case 0:
            return first
        case 1:
            return (first + middle + last) * np.float32(0.5)
        case 2:
            return (first - middle + last) * np.float32(0.5)
        case _:
            return -last
