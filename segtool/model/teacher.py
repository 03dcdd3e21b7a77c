"""A network that learns from another as well (distillation, Hinton et al. 2015, arXiv:1503.02531).

The teacher sees each view as the student does, however it was cut and coloured: its answer for the whole picture,
augmented with it, would teach less (Beyer et al. 2022, arXiv:2106.05237).
"""

from collections.abc import Callable

import numpy as np

from segtool.card import find_weights, read_card
from segtool.engine.predictor import load_predictor
from segtool.errors import UsageError
from segtool.imaging.codec import Pixels

Teacher = Callable[[Pixels], Pixels]  # (B, h, w, 3) uint8 -> (B, h, w, C) uint8, 255 being probability 1


def load_teacher(name: str | None, *, classes: int) -> Teacher | None:
    """Returns what the weights called `name` say of views of any size, None without a name; C is 1 for two classes.

    Raises UsageError when they know another number of classes, ModelError when they cannot be read.
    """
    if name is None:
        return None
    path = find_weights(name)
    card = read_card(path)
    if len(card.classes) != classes:
        raise UsageError(f"--teacher {name} knows {len(card.classes)} classes, this data {classes}: give another.")
    predict = load_predictor(path, precision="auto").predict

    def teach(views: Pixels) -> Pixels:
        _, height, width, _ = views.shape
        below, right = -height % card.stride, -width % card.stride
        padded = np.pad(views, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge")
        return np.rint(255 * predict(padded)[:, :height, :width]).astype(np.uint8)

    return teach
