"""What scoring masks on disk costs: `segtool evaluate --predictions` on 1,000 pairs beside decoding their 2,000 masks.

    python tests/benchmarks/scoring.py [--pairs 1000] [--rounds 5] [--cores 0,1]

Each round decodes all masks, scores their counts, and scores them with boundaries, in turn, in processes of their own
on the same two cores and the same files; the table has the medians over rounds and of the ratios within each. Memory is
the peak of the process, for as many pairs and for four times as many.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WIDTH, HEIGHT = 640, 480
KINDS = ("decode", "counts", "boundary")
CLASSES = 11


def main() -> None:
    """Prints a table for two classes and one for eleven; with `--kind` it is one of the processes measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", default="0,1")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    if asked.kind:
        print(json.dumps(measure(asked.kind, asked.data)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for classes in (2, CLASSES):
            data = Path(folder) / str(classes)
            draw(data, asked.pairs, classes)
            report(data, classes, asked)


def report(data: Path, classes: int, asked: argparse.Namespace) -> None:
    """Runs the rounds on one dataset and prints what they gave."""
    rounds = [{kind: child(kind, data, asked.cores) for kind in KINDS} for _ in range(asked.rounds)]
    print(f"{asked.pairs} pairs of {WIDTH}×{HEIGHT}, {classes} classes, cores {asked.cores}, {asked.rounds} rounds")
    for kind in KINDS:
        seconds = statistics.median(r[kind]["seconds"] for r in rounds)
        ratios = [r[kind]["seconds"] / r["decode"]["seconds"] for r in rounds]
        cpu = [r[kind]["cpu"] / r["decode"]["cpu"] for r in rounds]
        peak = statistics.median(r[kind]["peak_mb"] for r in rounds)
        print(
            f"{kind:>9}: {seconds:6.2f} s, {statistics.median(ratios):.2f} × decoding ({min(ratios):.2f} to "
            f"{max(ratios):.2f}), CPU time {statistics.median(cpu):.2f} ×, peak {peak:.0f} MB"
        )


def child(kind: str, data: Path, cores: str) -> dict[str, float]:
    """Runs one measurement in a process of its own, pinned to `cores`."""
    command = [sys.executable, __file__, "--kind", kind, "--data", str(data)]
    pinned = {int(core) for core in cores.split(",")} & os.sched_getaffinity(0)
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, pinned)
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(kind: str, data: Path) -> dict[str, float]:
    """Returns the seconds and the CPU seconds of one thing, and the peak memory of the process."""
    from segtool.commands.evaluate import evaluate
    from segtool.imaging.masks import read_raw_mask
    from segtool.options import EvaluateOptions
    from segtool.report.notices import Show

    masks = [*sorted((data / "val/masks").iterdir()), *sorted((data / "found").iterdir())]
    for path in masks:
        path.read_bytes()  # from memory, for all alike

    def decode() -> None:
        with ThreadPoolExecutor() as pool:  # of as many threads as scoring has
            for _ in pool.map(lambda path: read_raw_mask(path).shape, masks):
                pass

    def score() -> None:
        options = EvaluateOptions(data, predictions=data / "found", boundary=kind == "boundary")
        evaluate(options, Show(quiet=True), load=lambda path, precision: None)  # type: ignore[arg-type,return-value]

    begin, cpu = time.perf_counter(), time.process_time()
    decode() if kind == "decode" else score()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def draw(data: Path, pairs: int, classes: int) -> None:
    """Draws truths of overlapping shapes and, for predictions, the same shapes a little elsewhere."""
    import cv2
    import numpy as np

    for place in ("val/images", "val/masks", "found"):
        (data / place).mkdir(parents=True)
    names = [{"id": i, "name": f"class {i}"} for i in range(classes)]
    (data / "classes.json").write_text(json.dumps({"classes": names}))
    rng = np.random.default_rng(0)
    for number in range(pairs):
        truth, found = np.zeros((2, HEIGHT, WIDTH), np.uint8)
        for _ in range(6 if classes == 2 else 25):
            turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
            wobble = 1 + 0.25 * np.sin(turn * rng.integers(2, 9) + rng.random() * 6)
            radius, centre = rng.uniform(15, 110), rng.uniform((0, 0), (WIDTH, HEIGHT))
            outline = centre + radius * wobble[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            value = int(rng.integers(1, classes))
            cv2.fillPoly(truth, [outline.astype(np.int32)], value)
            cv2.fillPoly(found, [(outline + rng.normal(0, 3, outline.shape)).astype(np.int32)], value)
        for place, mask in (("val/masks", truth), ("found", found)):
            cv2.imwrite(str(data / place / f"{number:05}.png"), mask)
        (data / "val/images" / f"{number:05}.png").write_bytes(b"unread")


if __name__ == "__main__":
    main()
