"""The stream the careful pipelines share: decode and encode on a pool of threads, the engine between them.

No plan, no record, no temporary names: it does less than segtool does.
"""

import os
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from ours import BATCH, mask_png, reader

from segtool.card import Card, read_card
from segtool.imaging.codec import Pixels, Size
from segtool.imaging.geometry import Probability
from segtool.streaming import grouped, ordered_map

# Batches: enough for an engine that runs several at once, a stream a core.
DECODED_AHEAD, BATCHES_AHEAD, WRITTEN_AHEAD = 16, max(2, os.cpu_count() or 1), 16

Infer = Callable[[Pixels], Future[Probability]]
Read = tuple[Path, Pixels, Size]


def write_masks(pictures: Path, out: Path, infer: Infer, card: Card) -> None:
    """Writes the mask of every picture. `infer` takes `(B, h, w, 3)` uint8 and promises `(B, h, w, 1)` float32."""
    cv2.setNumThreads(1)  # the pool has a thread a core already
    in_flight: deque[tuple[list[Read], Future[Probability]]] = deque()
    writing: deque[Future[int]] = deque()

    def write(item: Read, probability: Probability) -> int:
        path, _, size = item
        return (out / f"{path.stem}.png").write_bytes(mask_png(probability, size, card.threshold))

    def hand_over() -> None:
        batch, promised = in_flight.popleft()
        for item, probability in zip(batch, promised.result(), strict=True):
            writing.append(pool.submit(write, item, probability))
        while len(writing) > WRITTEN_AHEAD:
            writing.popleft().result()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = sorted(pictures.iterdir())
        ready = ordered_map(reader(card), files, pool, window=DECODED_AHEAD)
        for batch in grouped(ready, key=lambda r: r[1].shape, size=BATCH):
            in_flight.append((batch, infer(np.stack([image for _, image, _ in batch]))))
            if len(in_flight) >= BATCHES_AHEAD:
                hand_over()
        while in_flight:
            hand_over()
        for written in writing:
            written.result()


def asked() -> tuple[Path, Path, Path, Card]:
    """Returns what the command line names: pictures, the folder of masks, the ONNX file, the card of the weights."""
    pictures, out, onnx, weights = (Path(word) for word in sys.argv[1:5])
    return pictures, out, onnx, read_card(weights)
