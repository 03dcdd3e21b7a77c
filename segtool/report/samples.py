"""Sample sheets of a training: picture, truth, prediction and errors side by side, in one PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segtool.files import write_whole

Pixels = npt.NDArray[np.uint8]
Colors = Sequence[tuple[int, int, int]]

TILE, GAP, HEADER = 256, 6, 26  # pixels
INK, PAPER = (40, 40, 40), 255
# Okabe and Ito: told apart by the colour-blind.
EXTRA, MISSED, WRONG = (213, 94, 0), (0, 114, 178), (204, 121, 167)
IGNORED = (128, 128, 128)


@dataclass(frozen=True)
class Sample:
    """A picture `(h, w, 3)` uint8 with its true and its predicted class indices `(h, w)`, 255 where ignored."""

    image: Pixels
    truth: Pixels
    prediction: Pixels


def save_samples(path: Path, samples: Sequence[Sample], colors: Colors, title: str) -> None:
    """Writes a row a sample into a PNG: the picture, the truth, the prediction, and where they differ."""
    ok, encoded = cv2.imencode(".png", sheet(samples, colors, title)[..., ::-1])
    assert ok  # only a picture of no pixels cannot be encoded
    write_whole(path, encoded.tobytes())


def sheet(samples: Sequence[Sample], colors: Colors, title: str) -> Pixels:
    """Returns the sheet as `(H, W, 3)` uint8 RGB; `colors` holds that of each class."""
    rows = [_row(sample, colors) for sample in samples]
    width = 4 * TILE + 3 * GAP
    errors = "errors: orange too much, blue missed" + (", pink another class" if len(colors) > 2 else "")
    parts: list[Pixels] = [_text([title], width), _text(["image", "truth", "prediction", errors], width)]
    for row in rows:
        parts += [row, np.full((GAP, width, 3), PAPER, np.uint8)]
    return np.concatenate(parts[:-1])


def error_map(sample: Sample) -> Pixels:
    """Returns the picture in pale grey with every wrong pixel coloured by what is wrong with it."""
    grey = cv2.cvtColor(cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    painted = np.asarray(160 + grey // 4, np.uint8)
    truth, found = sample.truth, sample.prediction
    counts = truth != 255
    painted[counts & (truth == 0) & (found != 0)] = EXTRA
    painted[counts & (truth != 0) & (found == 0)] = MISSED
    painted[counts & (truth != 0) & (found != 0) & (truth != found)] = WRONG
    painted[~counts] = IGNORED
    return painted


def _row(sample: Sample, colors: Colors) -> Pixels:
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    if len(colors) == 2:
        table[1] = 255
    table[255] = IGNORED
    pictures = [sample.image, table[sample.truth], table[sample.prediction], error_map(sample)]
    height, width = sample.truth.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tiles: list[Any] = []
    for place, picture in enumerate(pictures):
        filtering = cv2.INTER_LINEAR if place == 0 else cv2.INTER_NEAREST
        tile = np.full((size[1], TILE + (GAP if place < 3 else 0), 3), PAPER, np.uint8)
        tile[:, : size[0]] = cv2.resize(picture, size, interpolation=filtering)
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


def _text(words: Sequence[str], width: int) -> Pixels:
    band = np.full((HEADER, width, 3), PAPER, np.uint8)
    for place, word in enumerate(words):
        left = place * (TILE + GAP) + 2
        cv2.putText(band, word, (left, HEADER - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return band
