"""JAX where there is no TensorFlow: training, its weights under TensorFlow, and masks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, TERMINAL
from PIL import Image

from segtool.imaging.codec import Pixels

# A Python with jax and keras and without TensorFlow.
JAX_PYTHON = Path(os.environ.get("SEGTOOL_JAX_PYTHON", "/tmp/venvjax/bin/python"))
PROBABILITY = (
    "import json, sys, keras, numpy as np\n"
    "model = keras.models.load_model(sys.argv[1])\n"
    "images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)\n"
    "print(json.dumps([keras.backend.backend(), np.asarray(model(images)).tolist()]))\n"
)


def run(python: Path | str, *arguments: object, backend: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **TERMINAL, "KERAS_BACKEND": backend, "PYTHONPATH": str(PROJECT)}
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def jax_python() -> Path:
    if not JAX_PYTHON.is_file():
        pytest.skip(f"no Python with JAX at {JAX_PYTHON}: name one with SEGTOOL_JAX_PYTHON")
    assert run(JAX_PYTHON, "-c", "import tensorflow", backend="jax").returncode != 0
    return JAX_PYTHON


def test_jax_trains_without_tensorflow_and_tensorflow_opens_its_weights_with_equal_outputs(
    jax_python: Path, shapes: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    tiny = ["--depth", 1, "--width", 2, "--stem", 1, "--network-size", 32, "--batch-size", 4, "--epoch-pictures", 12]
    more = ["--epochs", 1, "--ema", 0.9, "--accumulate", 2, "--tensorboard", "--deterministic"]
    done = run(jax_python, "-m", "segtool", "train", shapes, folder, *tiny, *more, backend="jax")
    assert done.returncode == 0, done.stderr
    names = {"weights.keras", "history.csv", "curves.png", "samples", "config.json", "checkpoint.npz", "tensorboard"}
    assert {p.name for p in folder.iterdir()} == names

    resumed = run(jax_python, "-m", "segtool", "train", shapes, folder, "--resume", "--epochs", 2, backend="jax")
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 2:" in resumed.stderr and "epoch 1:" not in resumed.stderr

    answers = [
        json.loads(run(python, "-c", PROBABILITY, folder / "weights.keras", backend=backend).stdout)
        for python, backend in ((jax_python, "jax"), (sys.executable, "tensorflow"))
    ]
    assert [backend for backend, _ in answers] == ["jax", "tensorflow"]
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-5)


def test_masks_by_jax_without_tensorflow_are_those_of_tensorflow(
    jax_python: Path, shapes: Path, tmp_path: Path
) -> None:
    for python, backend in ((jax_python, "jax"), (sys.executable, "tensorflow")):
        arguments = ["mask", shapes / "val/images", tmp_path / backend, "-w", "shapes", "--precision", "float32"]
        done = run(python, "-m", "segtool", *arguments, backend=backend)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("cpu, float32, ")
    assert flipped(tmp_path / "jax", tmp_path / "tensorflow") <= 0.0005


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_masks_of_photos_by_jax_are_those_of_tensorflow(
    precision: str, jax_python: Path, real_data: Path, tmp_path: Path
) -> None:
    photos = sorted((real_data / "human/val/images").iterdir())[::4]
    for python, backend in ((jax_python, "jax"), (sys.executable, "tensorflow")):
        done = run(
            python, "-m", "segtool", "mask", *photos, tmp_path / backend, "--precision", precision, backend=backend
        )
        assert done.returncode == 0, done.stderr
    assert flipped(tmp_path / "jax", tmp_path / "tensorflow") <= 0.0005


def flipped(some: Path, others: Path) -> float:
    """Returns the share of pixels at which the masks in two folders differ, all pictures together."""
    pairs = [(read_mask(path), read_mask(others / path.name)) for path in sorted(some.glob("*.png"))]
    assert pairs and len(pairs) == len(list(others.glob("*.png")))
    return sum(np.count_nonzero(a != b) for a, b in pairs) / sum(a.size for a, _ in pairs)


def read_mask(path: Path) -> Pixels:
    return np.asarray(Image.open(path))


NAMES_IN_C = """
import ctypes
def names():
    table, found = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ"), []
    while table[len(found)]:
        found.append(table[len(found)].partition(b"=")[0].decode())
    return found
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the environment of C is read as glibc has it")
@pytest.mark.parametrize("loads", ["load_predictor(find_weights('shapes'), precision='auto', alone=True)",
                                   "segtool.engine.import_backend(alone=True)"])  # fmt: skip
def test_what_loads_beside_the_decoders_adds_no_variable_to_the_environment(loads: str) -> None:
    # Adding one moves glibc's table while libjpeg reads it in another thread: a crash, once in some 200 runs.
    script = (
        f"{NAMES_IN_C}\nimport segtool.outputs, segtool.engine\nbefore = names()\n"
        "from segtool.card import find_weights\nfrom segtool.engine.predictor import load_predictor\n"
        f"{loads}\n"
        "print(sorted(set(names()) - set(before)))"
    )
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
