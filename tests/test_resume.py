"""A run that is killed at any moment and resumed is the run that was never disturbed, to the last bit."""

import csv
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import TERMINAL

EPOCHS = 5
TINY = ["--depth", "2", "--width", "4", "--network-size", "32", "--batch-size", "4", "--deterministic", "--stem", "1"]
COMMAND = [*TINY, "--epochs", str(EPOCHS), "--epoch-pictures", "48", "--ema", "0.9", "--precision", "float32"]


def start(data: Path, run: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segtool", "train", str(data), str(run), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                            env={**os.environ, **TERMINAL})  # fmt: skip


def finish(data: Path, run: Path, *more: str) -> str:
    with start(data, run, *more) as running:
        _, told = running.communicate(timeout=600)
    assert running.returncode == 0, told
    return told


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


def arrays_of(run: Path) -> bytes:
    with zipfile.ZipFile(run / "weights.keras") as archive:
        return archive.read("model.weights.h5")


def checkpoint_of(run: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with np.load(run / "checkpoint.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "progress"}


def kill_after(running: subprocess.Popen[str], run: Path, delay: float) -> None:
    """Kills `running` `delay` seconds after it began to fit, or at once when it ends by itself."""
    while running.poll() is None and not (run / "config.json").exists():
        time.sleep(0.01)
    deadline = time.monotonic() + delay
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.communicate()


def check_kills(data: Path, folder: Path, kills: int) -> None:
    whole, torn = folder / "whole", folder / "torn"
    began = time.monotonic()
    finish(data, whole, *COMMAND)
    fitting = time.monotonic() - began
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    options = COMMAND
    for _ in range(kills):
        with start(data, torn, *options) as running:
            kill_after(running, torn, float(rng.uniform(0, fitting / max(kills / 3, 1.5))))
        options = ["--resume"] if (torn / "config.json").exists() else COMMAND
    finish(data, torn, *options)
    assert rows_of(torn) == rows_of(whole)
    assert len(rows_of(whole)) == EPOCHS
    assert arrays_of(torn) == arrays_of(whole)
    ours, theirs = checkpoint_of(torn), checkpoint_of(whole)
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
    assert sorted(p.name for p in torn.iterdir()) == sorted(p.name for p in whole.iterdir())  # nothing half-written


def test_a_run_killed_twice_and_resumed_gives_the_history_and_weights_of_one_undisturbed(
    shapes: Path, tmp_path: Path
) -> None:
    check_kills(shapes, tmp_path, 2)


@pytest.mark.slow
def test_a_run_killed_at_ten_moments_gives_the_history_and_weights_of_one_undisturbed(
    shapes: Path, tmp_path: Path
) -> None:
    check_kills(shapes, tmp_path, 10)
