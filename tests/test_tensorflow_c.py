"""TensorFlow's library alone: what the Python package gives, what it refuses, where it is not used."""

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from segtool.card import find_weights
from segtool.engine import device, silent_stderr, tensorflow_c
from segtool.engine.device import surely_cpu
from segtool.engine.network import Array, Step, read_steps
from segtool.engine.precision import Precision
from segtool.engine.predictor import load_predictor, run_steps
from segtool.engine.tensorflow_c import FLOAT32, UINT8, Graph, Session, library
from segtool.engine.with_tensorflow import tensorflow_function
from segtool.engine.with_tensorflow_c import tensorflow_c_function
from segtool.errors import SegtoolError

needs_library = pytest.mark.skipif(library() is None, reason="TensorFlow's library is not one that is known")


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="elsewhere it is not used")
def test_the_library_is_found_with_all_its_functions() -> None:
    assert library() is not None


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


@needs_library
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["shapes", "person", "cells", "street"])  # transposed, residual, two strides, softmax
def test_the_library_alone_gives_what_the_python_package_gives(name: str, precision: Precision) -> None:
    steps = read_steps(find_weights(name))
    assert steps is not None
    alone, whole = tensorflow_c_function(steps, precision), tensorflow_function(steps, precision)
    for shape in ((64, 128, 3), (128, 64, 3), (192, 256, 3)):
        picture = np.random.default_rng(sum(shape)).integers(0, 256, (1, *shape), np.uint8)
        # Where graphs are optimised for another reason, a bias may be added before or after rounding to bfloat16.
        np.testing.assert_allclose(alone(picture), whole(picture), atol=1e-6 if precision == "float32" else 3e-2)


@needs_library
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["shapes", "person", "cells", "street"])
def test_a_picture_gets_the_same_bits_whatever_its_neighbours(name: str, precision: Precision) -> None:
    steps = read_steps(find_weights(name))
    assert steps is not None
    predict = tensorflow_c_function(steps, precision)
    batch = np.random.default_rng(0).integers(0, 256, (7, 64, 128, 3), np.uint8)
    found = predict(batch)
    for first, last in ((0, 1), (1, 3), (3, 7)):
        np.testing.assert_array_equal(predict(batch[first:last]), found[first:last])


@needs_library
def test_a_border_not_padded_and_a_sum_of_three_are_as_in_the_python_package() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
    steps = (
        Step("in", "picture"), Step("scaled", "affine", ("in",), scale=floats(0.1), bias=floats(1, 2, 3)),
        Step("a", "conv", ("scaled",), kernel=kernel, stride=(2, 1), padding="valid"),
        Step("b", "pool", ("a",), size=(3, 2), stride=(2, 1), padding="valid"), Step("c", "relu", ("b",)),
        Step("d", "add", ("b", "c", "b")), Step("e", "affine", ("d",), scale=floats(2), bias=floats(1, 2, 3, 4)),
        Step("f", "join", ("e", "c", "d")), Step("out", "softmax", ("f",)),
    )  # fmt: skip
    batch = np.random.default_rng(1).integers(0, 256, (2, 21, 17, 3), np.uint8)
    found = tensorflow_c_function(steps, "float32")(batch)
    assert found.shape == (2, 4, 14, 12)
    np.testing.assert_allclose(found, tensorflow_function(steps, "float32")(batch), atol=1e-6)


@needs_library
def test_masks_are_made_without_importing_tensorflow_or_keras(tmp_path: Path) -> None:
    arguments = ["segtool", "mask", "-qw", "shapes", "--device", "cpu", str(tmp_path), str(tmp_path / "out")]
    code = (
        f"import sys\nfrom segtool.cli import main\nsys.argv = {arguments!r}\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        "    print(stop.code, [n for n in ('tensorflow', 'keras') if n in sys.modules])\n"
    )
    from PIL import Image

    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 []\n", done.stderr
    assert (tmp_path / "out" / "a.png").exists()


@needs_library
def test_what_tensorflow_refuses_is_told_in_its_words() -> None:
    graph = Graph()
    picture = graph.add("Placeholder", dtype=UINT8)
    with pytest.raises(SegtoolError, match="NoSuchThing"):
        graph.add("NoSuchThing", picture)
    with pytest.raises(SegtoolError, match="AddV2"):
        graph.add("AddV2", picture, graph.constant(np.ones((2, 2), np.float32)))
    added = graph.add("AddV2", graph.add("Cast", picture, DstT=FLOAT32), graph.constant(np.ones((2, 2), np.float32)))
    session = Session(graph)
    with pytest.raises(SegtoolError, match="Incompatible shapes"):
        session.run(picture, np.zeros((3, 5), np.uint8), added)
    np.testing.assert_array_equal(session.run(picture, np.full((2, 2), 4, np.uint8), added), np.full((2, 2), 5.0))


@needs_library
def test_memory_that_runs_out_is_told_as_such() -> None:
    graph = Graph()
    shape = graph.add("Placeholder", dtype=tensorflow_c.INT32)
    filled = graph.add("Fill", shape, graph.constant(np.array(1, np.float32)))
    with pytest.raises(MemoryError):
        Session(graph).run(shape, np.array([1 << 30, 1 << 20], np.int32), filled)  # four pebibytes


@pytest.mark.parametrize(
    ("asked", "require", "there", "sure"),
    [
        ("auto", False, False, True), ("auto", False, True, False), ("cpu", False, True, True),
        ("cpu", True, False, False), ("auto", True, False, False), ("gpu", False, False, False),
        ("nonsense", False, False, False),
    ],
)  # fmt: skip
def test_only_where_no_gpu_can_be_meant_is_none_looked_for(
    asked: str, require: bool, there: bool, sure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "machine_has_gpu", lambda: there)
    monkeypatch.setattr(device, "MAYBE_GPU", ())
    monkeypatch.setattr(device, "backend", lambda: "tensorflow")
    assert surely_cpu(asked, require_gpu=require) is sure
    monkeypatch.setattr(device, "backend", lambda: "jax")
    assert not surely_cpu(asked, require_gpu=require)


@needs_library
@pytest.mark.parametrize("missing", ["library", "function", "plugins"])
def test_without_the_library_as_it_is_known_the_python_package_does_the_same(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    expected = load_predictor(find_weights("shapes"), precision="float32", device="cpu").predict(batch)
    library.cache_clear()
    if missing == "library":
        monkeypatch.setattr(tensorflow_c, "LIBRARY", "libtensorflow_cc.so.3")
    elif missing == "function":
        monkeypatch.setattr(tensorflow_c, "FUNCTIONS", {"TF_NoSuchThing": (None,)})
    else:
        (tmp_path / "tensorflow-plugins").mkdir()
        spec = type("Spec", (), {"origin": str(tmp_path / "tensorflow" / "__init__.py")})
        monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    try:
        assert library() is None
        monkeypatch.setattr("segtool.engine.with_tensorflow_c.tensorflow_c_function", None)
        steps = read_steps(find_weights("shapes"))
        assert steps is not None
        np.testing.assert_allclose(run_steps(steps, "float32", "cpu")(batch), expected, atol=1e-6)
    finally:
        library.cache_clear()


def test_a_sign_of_a_gpu_of_another_kind_leaves_the_choice_to_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "machine_has_gpu", lambda: False)
    monkeypatch.setattr(device, "MAYBE_GPU", (tmp_path / "missing", tmp_path))
    assert not surely_cpu("auto", require_gpu=False)
    assert surely_cpu("cpu", require_gpu=False)


def test_threads_that_silence_stderr_at_once_bring_it_back() -> None:
    before, ready = os.fstat(2), threading.Barrier(2)

    def silence() -> None:
        with silent_stderr():
            ready.wait()
            ready.wait()

    threads = [threading.Thread(target=silence) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (os.fstat(2).st_dev, os.fstat(2).st_ino) == (before.st_dev, before.st_ino)
