"""segtool from Python: the path the commands take, on arrays in memory and on files.

`segtool.load("person").mask(image)` is the shortest way from a picture to its mask.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from segtool.card import DEFAULT_WEIGHTS, Card, ClassInfo, find_weights
from segtool.data.classes import named_classes
from segtool.engine.predictor import load_predictor
from segtool.errors import ImageError
from segtool.imaging.codec import Pixels, Size, read_image, read_resized
from segtool.imaging.geometry import Probability, to_mask
from segtool.imaging.paint import legend_entries, paint, paint_colors
from segtool.imaging.scaling import resize_image
from segtool.options import Engine, Paint
from segtool.pipeline import Predicted, Predictor, cores, halving, predicted, shape_of
from segtool.streaming import FailureLog, ordered_map

# (H, W, 3) uint8 RGB, or a file. Of a large JPEG the two differ a little: as in the commands, the file is decoded no
# larger than the network needs, and an array is there whole.
Image = Pixels | str | Path
MASKS_AHEAD = 8


@dataclass(frozen=True)
class Model:
    """Weights ready to run. Masks hold class ids, as `card.classes` lists them: for `person` 0 and 1."""

    predictor: Predictor
    threshold: float

    @property
    def card(self) -> Card:
        """What the weights say of themselves."""
        return self.predictor.card

    def probability(self, image: Image) -> Probability:
        """Returns `(h, w, C)` float32 in [0, 1] at network size; C is 1 for two classes, else one channel a class.

        Raises ImageError when `image` is no picture.
        """
        return self._predicted(image)[0]

    def mask(self, image: Image) -> Pixels:
        """Returns the class ids `(H, W)` uint8 at the image's own size. Raises ImageError when it is no picture."""
        probability, size = self._predicted(image)
        return self._ids(probability, *size)

    def masks(
        self, paths: Iterable[str | Path], *, failures: list[tuple[str, str]] | None = None
    ) -> Iterator[tuple[Path, Pixels]]:
        """Yields each path with its class ids `(H, W)` uint8, batched by shape and so in the order finished.

        Files that cannot be read are appended to `failures` with the reason; without that list they raise ImageError.
        """

        def finished(item: Predicted[Path]) -> tuple[Path, Pixels]:
            return item.source, self._ids(item.probability, *item.size)

        log = FailureLog(_raise_at_once if failures is None else lambda path, why: failures.append((str(path), why)))
        with ThreadPoolExecutor(cores()) as pool:
            stream = predicted(
                map(Path, paths), read=read_resized, card=self.card, load=lambda: self.predictor, executor=pool,
                failures=log,
            )  # fmt: skip
            yield from ordered_map(finished, stream, pool, window=MASKS_AHEAD)

    def _predicted(self, image: Image) -> tuple[Probability, Size]:
        """Returns the probability and the image's own size."""
        if isinstance(image, str | Path):
            seen, size = read_resized(Path(image), shape_of(self.card))
        else:
            height, width = _pixels(image).shape[:2]
            seen, size = resize_image(image, shape_of(self.card)(height, width)), (height, width)
        return np.asarray(self.predictor.predict(seen[None])[0], np.float32), size

    def _ids(self, probability: Probability, height: int, width: int) -> Pixels:
        ids = np.array([c.id for c in self.card.classes], np.uint8)
        return ids[to_mask(probability, height, width, threshold=self.threshold)]


def load(
    weights: str | Path = DEFAULT_WEIGHTS, *, threshold: float | None = None,
    batch_size: int | None = Engine.batch_size, precision: str = Engine.precision, device: str = Engine.device,
) -> Model:  # fmt: skip
    """Returns bundled weights by name, or those of a `.keras` file or a run folder, ready to run.

    `threshold` None is the card's, `batch_size` None what the device is best at. Raises ModelError when the weights
    cannot be used, UsageError for an unknown precision or device.
    """
    predictor = load_predictor(find_weights(str(weights)), precision=precision, device=device)
    predictor = predictor.wrapped(partial(halving, tell=warnings.warn))
    ready = replace(predictor, batch_size=batch_size or predictor.batch_size)
    return Model(ready, predictor.card.cut(threshold))


def overlay(
    image: Image, mask: Pixels, *, classes: Sequence[ClassInfo] | None = None, style: str = Paint.style,
    opacity: float | None = Paint.opacity,
) -> Pixels:  # fmt: skip
    """Returns `(H, W, 3)` uint8 RGB: `image` with `mask`, class ids `(H, W)` uint8, drawn over it in `style`.

    `classes` (a model's `card.classes`) gives colours, and names for a legend where there are more than two; without it
    every id has a colour of its own. `opacity` is in [0, 1], None the style's own. Raises ImageError when the sizes
    differ or `image` is no picture.
    """
    pixels = _pixels(image)
    if mask.shape != pixels.shape[:2]:
        raise ImageError(f"The mask is {mask.shape}, its picture {pixels.shape[:2]}: they must be of one size.")
    known = tuple(classes) if classes else named_classes(max(int(mask.max(initial=0)) + 1, 2))
    table = np.full(256, 255, np.uint8)
    for index, info in enumerate(known):
        table[info.id] = index
    colors = paint_colors(known)
    legend = legend_entries(known) if classes else None
    return paint(pixels, table[mask], style=style, colors=colors, opacity=Paint(style, opacity).strength, legend=legend)


def _pixels(image: Image) -> Pixels:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ImageError(f"An image is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}: convert it first.")
    return image


def _raise_at_once(path: object, why: str) -> None:
    raise ImageError(why)
