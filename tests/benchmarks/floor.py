"""The floor: what no pipeline with this decoder, this encoder and any of these engines can do better than.

The decoder alone on all cores, the encoder alone on all cores, the fastest of the engines alone on batches that are
ready, and the CPU seconds of the three together spread over all cores. Each is a lower bound of the seconds a picture,
so the floor is the largest of the four. No start-up, no files written, no plan, no record.

    python tests/benchmarks/floor.py {decode,encode,segtool,onnx_runtime,open_vino} PICTURES WEIGHTS ONNX

measures one, in a process of its own, and prints JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from running import answer

STAGES = ("decode", "encode")
BATCHES, ROUNDS = 6, 3  # of eight pictures; the fastest round counts: a floor is what is possible


@dataclass(frozen=True)
class Floor:
    """Seconds a picture: of each stage alone by name, on the clock and of all cores; `engine` is the fastest."""

    wall: dict[str, float]
    cpu: dict[str, float]
    engine: str

    @property
    def bounds(self) -> dict[str, float]:
        """The four lower bounds, in seconds a picture."""
        used = (*STAGES, self.engine)
        shared = sum(self.cpu[name] for name in used) / (os.cpu_count() or 1)
        return {**{name: self.wall[name] for name in used}, "CPU seconds over cores": shared}

    @property
    def seconds(self) -> float:
        """The floor itself, in seconds a picture."""
        return max(self.bounds.values())


def measure_floor(engines: list[str], pictures: Path, weights: Path, onnx: Path) -> Floor:
    """Returns the floor for pictures like those in `pictures`, and the fastest of `engines`."""
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for name in (*STAGES, *engines):
        command = [sys.executable, __file__, name, str(pictures), str(weights), str(onnx)]
        wall[name], cpu[name] = answer(command)
    return Floor(wall, cpu, min(engines, key=wall.__getitem__))


def main() -> None:
    """Prints `[seconds, CPU seconds]` a picture of one stage."""
    name, pictures, weights, onnx = sys.argv[1], *(Path(word) for word in sys.argv[2:5])
    work, count = prepared(name, sorted(pictures.iterdir()), weights, onnx)
    work()  # first calls allocate and choose kernels
    least = (float("inf"), float("inf"))
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        work()
        least = min(least, ((time.perf_counter() - begun) / count, (time.process_time() - used) / count))
    print(json.dumps(least), flush=True)
    os._exit(0)  # OpenVINO's threads now and then abort an interpreter that is on its way out


def prepared(name: str, files: list[Path], weights: Path, onnx: Path) -> tuple[Callable[[], Any], int]:
    """Returns what does one round of a stage, and how many pictures that is."""
    import cv2
    import numpy as np
    from ours import BATCH, engine, mask_png, reader

    from segtool.card import read_card

    card = read_card(weights)
    read = reader(card)
    chosen = (files * BATCH)[:BATCH] * BATCHES
    if name == "decode":
        cv2.setNumThreads(1)
        return _on_all_cores(lambda i: read(chosen[i]), len(chosen)), len(chosen)
    found = [read(path) for path in chosen[:BATCH]]
    batch = np.stack([image for _, image, _ in found])
    if name in ("encode", "segtool"):
        predict = engine(weights)
        if name == "segtool":
            return lambda: [predict(batch) for _ in range(BATCHES)], len(chosen)
        probability, size = predict(batch), found[0][2]
        cv2.setNumThreads(1)
        encode = lambda i: mask_png(probability[i % BATCH], size, card.threshold)  # noqa: E731
        return _on_all_cores(encode, len(chosen)), len(chosen)
    infer = import_module(f"peers.{name}").engine(onnx)
    return lambda: [p.result() for p in [infer(batch) for _ in range(BATCHES)]], len(chosen)


def _on_all_cores(work: Callable[[int], Any], count: int) -> Callable[[], Any]:
    pool = ThreadPoolExecutor(os.cpu_count())
    return lambda: list(pool.map(work, range(count)))


if __name__ == "__main__":
    main()
