"""Images/s of training: on one batch held in memory, and with pictures augmented on the way; in bfloat16 and float32.

    python tests/benchmarks/training_rates.py WEIGHTS PRECISION ROUNDS

prints JSON: the rates of each round, the two kinds in turn in one process, by the same compiled step.
"""

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers import Network
from running import answer
from table import Goal, Row

BATCH, STEPS, WARM_UP, PAIRS_HELD = 8, 6, 2, 64
FED, FASTER = Goal(0.95), Goal(1.3)


def training(network: Network, pairs: int) -> Iterator[Row]:
    """Yields how little augmentation holds the step up, and what bfloat16 is worth."""
    rounds = [{p: _child(network, p, 2) for p in ("bfloat16", "float32")} for _ in range(pairs)]
    for precision in ("bfloat16", "float32"):
        rates = [pair for r in rounds for pair in r[precision]]
        fed = tuple(augmented / held for held, augmented in rates)
        words = [f"{statistics.median(side):.1f} images/s" for side in zip(*rates, strict=True)]
        what = f"augmented beside one batch held, {precision}"
        yield Row("d", network.name, what, fed, ours=words[1], theirs=words[0], goal=FED)
    best = [{p: max(augmented for _, augmented in r[p]) for p in r} for r in rounds]
    faster = tuple(b["bfloat16"] / b["float32"] for b in best)
    words = [f"{statistics.median(b[p] for b in best):.1f} images/s" for p in ("bfloat16", "float32")]
    what = "bfloat16 beside float32, augmented"
    yield Row("d", network.name, what, faster, ours=words[0], theirs=words[1], goal=FASTER)


def _child(network: Network, precision: str, rounds: int) -> list[tuple[float, float]]:
    command = [sys.executable, __file__, str(network.weights), precision, str(rounds)]
    found: list[tuple[float, float]] = answer(command)
    return found


def main() -> None:
    """Prints `[[held, augmented], …]` in images/s."""
    weights, precision, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print(json.dumps(measure(weights, precision, rounds)))


def measure(weights: Path, precision: str, rounds: int) -> list[tuple[float, float]]:
    """Returns images/s of one batch held and of augmented batches, one after the other."""
    from segtool.card import read_card
    from segtool.model.training import compiled
    from segtool.model.unet import Architecture

    card = read_card(weights)
    architecture = Architecture(**card.architecture)
    settings = settings_of(architecture, size=card.network_size, batch=BATCH, steps=STEPS)
    model, _ = compiled(architecture, settings, steps=1000, precision=precision)
    augmented = augmented_batches(card.network_size, stride=card.stride)
    held = held_batches(*augmented[0], steps=STEPS)
    model.fit(held_batches(*augmented[0], steps=WARM_UP), verbose=0)
    return [(rate(model, held), rate(model, augmented)) for _ in range(rounds)]


def rate(model: Any, batches: Any) -> float:
    """Returns the images/s of one `fit` over `batches`."""
    begun = time.monotonic()
    model.fit(batches, verbose=0, shuffle=False)
    return STEPS * BATCH / (time.monotonic() - begun)


def held_batches(images: Any, masks: Any, *, steps: int) -> Any:
    """Returns a data set of `steps` batches that are all the same arrays."""
    import keras

    class Held(keras.utils.PyDataset):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            return images, masks

    return Held(workers=2)


def augmented_batches(network_size: int, *, stride: int) -> Any:
    """Returns what `segtool train` feeds the step with, from drawn 4:3 pairs decoded before."""
    import numpy as np

    from segtool.data.layout import Pair
    from segtool.data.shapes import draw_pair
    from segtool.imaging.geometry import network_shape
    from segtool.imaging.masks import resize_mask
    from segtool.imaging.scaling import resize_image
    from segtool.model.batches import HEADROOM, SampleStore, TrainingBatches

    rng = np.random.default_rng(0)
    size = (int(network_size * HEADROOM * 3 / 4), int(network_size * HEADROOM))
    drawn = [draw_pair(640, multiclass=False, rng=rng) for _ in range(PAIRS_HELD)]
    samples = tuple((resize_image(image, size), resize_mask(mask // 255, *size)) for image, mask in drawn)
    pairs = tuple(Pair(str(i), Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(PAIRS_HELD))
    store = SampleStore(pairs, tuple(size for _ in pairs), samples, read=lambda pair: samples[int(pair.name)])

    def order(epoch: int) -> list[int]:
        return [int(i) for i in np.random.default_rng(epoch).permutation(PAIRS_HELD)][: STEPS * BATCH]

    shape = network_shape(3, 4, network_size=network_size, stride=stride)
    return TrainingBatches(store, order, shape=shape, network_size=network_size, batch_size=BATCH, seed=0)


def settings_of(architecture: Any, *, size: int, batch: int, steps: int) -> Any:
    """Returns settings of a training of that network, all else as usual."""
    from segtool.settings import Settings

    return Settings(
        encoder=architecture.encoder, depth=architecture.depth, width=architecture.width,
        max_width=architecture.max_width, norm=architecture.norm, residual=architecture.residual,
        stem=architecture.stem, network_size=size, crop_size=None, batch_size=batch, accumulate=1,
        epoch_pictures=steps * batch, loss="ce+dice", class_weights=(), learning_rate=1e-3, weight_decay=0.01,
        warmup=0.05, clip=1.0, ema=0.0, grey=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
