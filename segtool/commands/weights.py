"""`segtool weights`: what the bundled weights are, and what a card says; read without TensorFlow."""

from segtool.card import bundled_weights, find_weights, read_card
from segtool.results import Carded


def weights(name: str | None) -> tuple[Carded, ...]:
    """Returns the weights called `name`, bundled or by path, or all bundled ones. Raises ModelError."""
    found = bundled_weights() if name is None else [find_weights(name)]
    return tuple(Carded(path, path.stat().st_size, read_card(path)) for path in found)
