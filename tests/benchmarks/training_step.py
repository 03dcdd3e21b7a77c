"""What keeping freed memory is worth: images/s of `fit` with glibc as segtool sets it, and with its defaults.

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
GLIBC_DEFAULTS = {-1: 128 * 1024, -3: 128 * 1024, -4: 65536, -8: 16}  # trim, mmap threshold, mmap count, arenas


def main() -> None:
    """Prints the table, or with an argument runs one of the two."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(keep=sys.argv[1] == "keep")))
        return
    rows = [(child("keep"), child("default")) for _ in range(PAIRS)]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {PAIRS} paired runs")
    print(f"U-Net of width 16, depth 4, stem 2, residual; batches of {BATCH} at {SIZE}×{SIZE}")
    for name, place in (("kept", 0), ("defaults", 1)):
        rates = [row[place]["images_s"] for row in rows]
        faults = statistics.median(row[place]["faults_a_step"] for row in rows)
        print(f"{name:>9}: {statistics.median(rates):6.1f} images/s  {faults:>10,.0f} page faults a step")
    ratios = [keep["images_s"] / default["images_s"] for keep, default in rows]
    print(f"    ratio: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


def child(kind: str) -> dict[str, float]:
    """Runs one measurement in a process of its own: memory settings cannot be taken back."""
    done = subprocess.run([sys.executable, __file__, kind], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(*, keep: bool) -> dict[str, float]:
    """Returns images/s and page faults a step of `fit` on one batch held in memory."""
    import numpy as np

    import segtool.model  # sets glibc up

    if not keep:
        for parameter, value in GLIBC_DEFAULTS.items():
            ctypes.CDLL(None).mallopt(parameter, value)
    from training_rates import held_batches, settings_of

    from segtool.model.training import compiled
    from segtool.model.unet import Architecture

    assert segtool.model
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), np.uint8)
    masks = rng.integers(0, 2, (BATCH, SIZE, SIZE, 1), np.uint8)
    architecture = Architecture(2, depth=4, width=16, max_width=256, residual=True, stem=2)
    settings = settings_of(architecture, size=SIZE, batch=BATCH, steps=STEPS)
    model, _ = compiled(architecture, settings, steps=100, precision="float32")
    model.fit(held_batches(images, masks, steps=3), verbose=0)
    faults, begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.monotonic()
    model.fit(held_batches(images, masks, steps=STEPS), verbose=0)
    seconds = time.monotonic() - begin
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {"images_s": STEPS * BATCH / seconds, "faults_a_step": faults / STEPS}


if __name__ == "__main__":
    main()
