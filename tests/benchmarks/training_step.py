"""What two things are worth in a training step, images/s of `fit` with and without: freed memory kept by glibc, in
float32, and the fused normalisation beside Keras' own, in the precision that `auto` chooses.

    python tests/benchmarks/training_step.py

Each pair of runs is side by side in time, in processes of their own; the table gives the median of the ratios.
"""

import ctypes
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

PAIRS, STEPS, BATCH, SIZE = 5, 6, 16, 224
COMPARED = (("kept", "defaults"), ("fused", "written out"))
GLIBC_DEFAULTS = {-1: 128 * 1024, -3: 128 * 1024, -4: 65536, -8: 16}  # trim, mmap threshold, mmap count, arenas


def main() -> None:
    """Prints the table, or with an argument runs one of the four."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {PAIRS} paired runs")
    print(f"U-Net of width 16, depth 4, stem 2, residual; batches of {BATCH} at {SIZE}×{SIZE}")
    for pair in COMPARED:
        rows = [[child(kind) for kind in pair] for _ in range(PAIRS)]
        for kind, runs in zip(pair, zip(*rows, strict=True), strict=True):
            rate, faults = (statistics.median(run[key] for run in runs) for key in ("images_s", "faults_a_step"))
            print(f"{kind:>12}: {rate:6.1f} images/s  {faults:>10,.0f} page faults a step")
        ratios = [ours["images_s"] / other["images_s"] for ours, other in rows]
        print(f"       ratio: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


def child(kind: str) -> dict[str, float]:
    """Runs one measurement in a process of its own: memory settings cannot be taken back."""
    done = subprocess.run([sys.executable, __file__, kind], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(kind: str) -> dict[str, float]:
    """Returns images/s and page faults a step of `fit` on one batch held in memory."""
    import numpy as np

    if kind == "defaults":
        for parameter, value in GLIBC_DEFAULTS.items():
            ctypes.CDLL(None).mallopt(parameter, value)
    from training_rates import held_batches, settings_of

    from segtool.model import training
    from segtool.model.precision import choose_precision
    from segtool.model.unet import Architecture

    if kind == "written out":
        setattr(training, "with_fast_normalization", lambda model: model)  # noqa: B010  # mypy
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    masks = rng.integers(0, 2, (BATCH, SIZE, SIZE, 1), np.uint8)
    architecture = Architecture(2, depth=4, width=16, max_width=256, residual=True, stem=2)
    settings = settings_of(architecture, size=SIZE, batch=BATCH, steps=STEPS)
    precision = "float32" if kind in COMPARED[0] else choose_precision("auto")
    model, _ = training.compiled(architecture, settings, steps=100, precision=precision)
    model.fit(held_batches(images, masks, steps=3), verbose=0)
    faults, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.monotonic()
    model.fit(held_batches(images, masks, steps=STEPS), verbose=0)
    seconds = time.monotonic() - begin
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"images_s": STEPS * BATCH / seconds, "faults_a_step": faults / STEPS}


if __name__ == "__main__":
    main()
