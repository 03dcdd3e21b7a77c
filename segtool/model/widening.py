"""A network that begins as a narrower one: what it computes is the same at first (after Net2Net, Chen et al. 2016,
arXiv:1511.05641).

The channels that were there see nothing of those that are new; these see everything, through random kernels.
"""

import re

import keras
import numpy as np
import numpy.typing as npt

from segtool.errors import ModelError

READS_JOIN = re.compile(r"up\d+_(conv1|project)")


def take_weights(new: keras.Model, old: keras.Model, *, leave: tuple[str, ...] = ()) -> None:
    """Puts the weights of a U-Net of ours into one with the same layers and at least as many channels in each.

    Layers named in `leave` stay as they are. Raises ModelError where the layers are not the same.
    """
    ours, theirs = ({layer.name: layer for layer in m.layers if layer.weights} for m in (new, old))
    if list(ours) != list(theirs):
        differ = sorted(set(ours) ^ set(theirs))
        raise ModelError(f"A network cannot be widened so, for it has other layers then ({', '.join(differ)}).")
    for name, layer in ours.items():
        if name not in leave:
            pairs = zip(layer.get_weights(), theirs[name].get_weights(), strict=True)
            layer.set_weights([_widened(mine, other, layer) for mine, other in pairs])


def _widened(
    new: npt.NDArray[np.float32], old: npt.NDArray[np.float32], layer: keras.layers.Layer
) -> npt.NDArray[np.float32]:
    """Returns `new`, one value a channel or a kernel, with `old` in it."""
    if new.shape == old.shape:
        return old
    new = new.copy()
    if old.ndim == 1:
        new[: len(old)] = old
        return new
    turned = isinstance(layer, keras.layers.Conv2DTranspose)  # (h, w, out, in), else (h, w, in, out)
    mine, other = (kernel.swapaxes(2, 3) if turned else kernel for kernel in (new, old))
    before, outputs = other.shape[2:]
    # A join holds as many channels of the way down as of the way up.
    groups = 2 if READS_JOIN.fullmatch(layer.name) else 1
    step = mine.shape[2] // groups
    inputs = [group * step + i for group in range(groups) for i in range(before // groups)]
    mine[..., :outputs] = 0
    mine[:, :, inputs, :outputs] = other
    return new
