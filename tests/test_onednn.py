"""oneDNN alone: what TensorFlow gives, what it leaves to TensorFlow, where it is not used."""

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from segtool.card import find_weights
from segtool.engine import device, onednn, silent_stderr, winograd, with_onednn
from segtool.engine.device import surely_cpu
from segtool.engine.network import Array, Step, read_steps
from segtool.engine.onednn import ALIGNMENT, library
from segtool.engine.operations import place, plan, values_of
from segtool.engine.precision import Precision, cpu_has_bfloat16
from segtool.engine.predictor import load_predictor
from segtool.engine.with_onednn import onednn_function
from segtool.engine.with_tensorflow import tensorflow_function
from segtool.errors import SegtoolError
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import flipped
from segtool.pipeline import Predict

NAMES = ["shapes", "person", "cells", "street"]  # without normalisation, residual, two strides, softmax
needs_library = pytest.mark.skipif(library() is None, reason="there is no oneDNN of a version that is known")


def steps_of(name: str) -> tuple[Step, ...]:
    steps = read_steps(find_weights(name))
    assert steps is not None
    return steps


def alone(steps: tuple[Step, ...], precision: Precision = "float32") -> Predict:
    if precision == "bfloat16" and not cpu_has_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    predict = onednn_function(steps, precision)
    assert predict is not None
    return predict


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def kernel(*shape: int) -> Array:
    return (np.random.default_rng(sum(shape)).normal(size=shape) / np.prod(shape[:3]) ** 0.5).astype(np.float32)


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="elsewhere it is not used")
def test_the_library_is_found_with_all_its_functions() -> None:
    assert library() is not None


@needs_library
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_it_gives_what_tensorflow_gives(name: str, precision: Precision) -> None:
    steps = steps_of(name)
    ours, tensorflow = alone(steps, precision), tensorflow_function(steps, precision)
    for shape in ((64, 128, 3), (128, 64, 3), (192, 256, 3)):
        # TensorFlow rounds to bfloat16 between a convolution, its sum and its ReLU, oneDNN after all of them.
        tolerance = 1e-5 if precision == "float32" else 5e-2
        np.testing.assert_allclose(ours(noise(1, *shape)), tensorflow(noise(1, *shape)), atol=tolerance)


@needs_library
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_a_picture_gets_the_same_bits_whatever_its_neighbours(name: str, precision: Precision) -> None:
    predict = alone(steps_of(name), precision)
    batch = noise(7, 64, 128, 3)
    found = predict(batch)
    predict(noise(2, 128, 128, 3))  # what lies about from other shapes, one of them larger, is not seen
    predict(noise(2, 64, 64, 3))
    for first, last in ((0, 1), (1, 3), (3, 7)):
        np.testing.assert_array_equal(predict(batch[first:last]), found[first:last])


@needs_library
def test_alone_on_the_thread_that_asks_a_picture_gets_the_bits_of_a_batch() -> None:
    predictor = load_predictor(find_weights("shapes"), precision="float32", device="cpu").wrapped(flipped)
    batch = noise(3, 64, 96, 3)
    assert predictor.inline is not None
    alone_each = [predictor.inline(batch[i : i + 1]) for i in range(3)]
    np.testing.assert_array_equal(np.concatenate(alone_each), predictor.predict(batch))


SCALED = (
    Step("in", "picture"), Step("scaled", "affine", ("in",), scale=floats(0.1, 0.2, 0.05), bias=floats(-1, -2, 0)),
)  # fmt: skip
UNUSUAL = {
    "borders that are not padded, and windows that overlap": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 4), stride=(2, 1), padding="valid"),
        Step("b", "pool", ("a",), size=(3, 2), stride=(2, 1), padding="valid"),
        Step("c", "conv", ("b",), kernel=kernel(1, 3, 4, 5), bias=floats(1, 2, 3, 4, 5)),
        Step("out", "softmax", ("c",)),
    ),
    "pools of sides that are no multiple": (
        Step("a", "pool", ("scaled",), size=(2, 2), stride=(2, 2)),
        Step("b", "conv", ("a",), kernel=kernel(5, 5, 3, 1)), Step("out", "sigmoid", ("b",)),
    ),
    "a join of the same twice, and of a spread that is needed elsewhere": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 8)), Step("b", "relu", ("a",)),
        Step("c", "spread", ("b",), stride=(2, 2)), Step("d", "join", ("c", "c", "c")),
        Step("e", "conv", ("d",), kernel=kernel(3, 3, 6, 2)), Step("f", "join", ("e", "c")),
        Step("g", "conv", ("f",), kernel=kernel(3, 3, 4, 12)), Step("h", "spread", ("g",), stride=(2, 2)),
        Step("out", "softmax", ("h",)),
    ),
    "a sum that is needed twice, in a network that ends without an activation of its own": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 16)),
        Step("b", "conv", ("a",), kernel=kernel(3, 3, 16, 16)),
        Step("b2", "conv", ("b",), kernel=kernel(3, 3, 16, 16)), Step("c", "add", ("a", "b2")),
        Step("d", "pool", ("c",), size=(2, 2), stride=(2, 2)),
        Step("e", "conv", ("d",), kernel=kernel(1, 1, 16, 64)), Step("f", "spread", ("e",), stride=(2, 2)),
        Step("g", "join", ("f", "c")), Step("out", "conv", ("g",), kernel=kernel(3, 3, 32, 1)),
    ),
}  # fmt: skip


@needs_library
@pytest.mark.parametrize("name", list(UNUSUAL))
def test_unusual_networks_are_as_in_tensorflow(name: str) -> None:
    steps = SCALED + UNUSUAL[name]
    for batch in (noise(2, 22, 18, 3), noise(3, 12, 34, 3)) if "multiple" not in name else (noise(2, 21, 17, 3),):
        expected = tensorflow_function(steps, "float32")(batch)
        np.testing.assert_allclose(alone(steps)(batch), expected, atol=1e-5)


@pytest.fixture
def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolution that can be done by rows is, though it be too small for that to pay."""
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 4)
    monkeypatch.setattr(winograd, "LEAST_PRODUCTS", 0)


ROWS_BETWEEN = {
    "convolutions that leave the rows in their order before and behind, with strides of their own": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 8)), Step("b", "conv", ("a",), kernel=kernel(3, 3, 8, 8)),
        Step("c", "conv", ("b",), kernel=kernel(3, 5, 8, 8), bias=floats(*range(8))),
        Step("d", "conv", ("c",), kernel=kernel(3, 3, 8, 8), bias=floats(*range(8))), Step("e", "relu", ("d",)),
        Step("f", "conv", ("e",), kernel=kernel(1, 1, 8, 8)), Step("g", "conv", ("f",), kernel=kernel(3, 3, 8, 8)),
        Step("out", "conv", ("g",), kernel=kernel(3, 3, 8, 2), stride=(2, 2)),
    ),
    "sums before the activation, in both layouts": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 8)), Step("b", "conv", ("a",), kernel=kernel(3, 3, 8, 8)),
        Step("b2", "conv", ("b",), kernel=kernel(3, 3, 8, 8), bias=floats(*range(8))), Step("c", "add", ("a", "b2")),
        Step("d", "relu", ("c",)), Step("e", "conv", ("d",), kernel=kernel(3, 3, 8, 8)),
        Step("e2", "conv", ("d",), kernel=kernel(1, 1, 8, 8)), Step("f", "add", ("e", "e2")), Step("g", "relu", ("f",)),
        Step("h", "conv", ("g",), kernel=kernel(3, 3, 8, 8)), Step("i", "conv", ("g",), kernel=kernel(5, 3, 8, 8)),
        Step("j", "add", ("h", "i")), Step("k", "conv", ("j",), kernel=kernel(3, 3, 8, 8)),
        Step("out", "conv", ("k",), kernel=kernel(1, 1, 8, 1)),
    ),
    "pools, spreads and joins": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 8)), Step("b", "conv", ("a",), kernel=kernel(3, 3, 8, 8)),
        Step("p", "pool", ("b",), size=(2, 2), stride=(2, 2), padding="valid"),
        Step("c", "conv", ("p",), kernel=kernel(3, 3, 8, 16)), Step("q", "pool", ("c",), size=(3, 3), stride=(1, 1)),
        Step("d", "conv", ("q",), kernel=kernel(3, 3, 16, 64)), Step("s", "spread", ("d",), stride=(2, 2)),
        Step("e", "conv", ("s",), kernel=kernel(3, 3, 16, 16)), Step("j", "join", ("b", "e", "a")),
        Step("f", "conv", ("j",), kernel=kernel(3, 3, 32, 64)), Step("u", "spread", ("f",), stride=(4, 4)),
        Step("v", "join", ("u", "u")), Step("g", "conv", ("v",), kernel=kernel(3, 3, 8, 4)),
        Step("h", "conv", ("g",), kernel=kernel(3, 3, 4, 4)),
        Step("out", "softmax", ("h",)),
    ),
}  # fmt: skip


@needs_library
@pytest.mark.parametrize("name", [*UNUSUAL, *ROWS_BETWEEN])
@pytest.mark.usefixtures("by_rows")
def test_convolutions_by_rows_are_as_in_tensorflow_whatever_is_between_them(name: str) -> None:
    steps = SCALED + (UNUSUAL | ROWS_BETWEEN)[name]
    for batch in (noise(2, 24, 20, 3), noise(3, 12, 32, 3), noise(1, 20, 8, 3)):
        expected = tensorflow_function(steps, "float32")(batch)
        np.testing.assert_allclose(alone(steps)(batch), expected, atol=2e-5 * np.abs(expected).max())


@needs_library
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("by_rows")
def test_convolutions_by_rows_give_what_tensorflow_gives(name: str, precision: Precision) -> None:
    test_it_gives_what_tensorflow_gives(name, precision)


@needs_library
@pytest.mark.parametrize("name", ["street", "person"])
def test_by_rows_bfloat16_is_hardly_further_from_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, batch = steps_of(name), noise(1, 256, 320, 3)
    exact = alone(steps)(batch)
    off = np.abs(alone(steps, "bfloat16")(batch) - exact).mean()
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1 << 20)
    plainly_off = np.abs(alone(steps, "bfloat16")(batch) - exact).mean()
    assert 0 < off < 2 * plainly_off


def test_four_products_make_two_rows_of_a_convolution() -> None:
    rows, weights = np.random.default_rng(0).normal(size=4), kernel(3, 1, 1, 1)
    g = [float(winograd.row_kernel(weights, number)[0, 0, 0, 0]) for number in range(4)]
    d0, d1, d2, d3 = rows
    m0, m1, m2, minus_m3 = (d0 - d2) * g[0], (d1 + d2) * g[1], (d2 - d1) * g[2], (d1 - d3) * g[3]
    expected = np.convolve(rows, weights.ravel()[::-1], "valid")
    np.testing.assert_allclose([m0 + m1 + m2, m1 - m2 + minus_m3], expected, atol=1e-6)


LEFT = {
    "a sum of three": (
        Step("a", "conv", ("scaled",), kernel=kernel(1, 1, 3, 3)), Step("b", "add", ("scaled", "a", "scaled")),
        Step("out", "conv", ("b",), kernel=kernel(1, 1, 3, 1)),
    ),
    "a sum of what is needed later": (
        Step("a", "conv", ("scaled",), kernel=kernel(1, 1, 3, 3)), Step("b", "add", ("scaled", "a")),
        Step("c", "join", ("b", "scaled")), Step("out", "conv", ("c",), kernel=kernel(1, 1, 6, 1)),
    ),
    "a sum with what the convolution itself reads": (
        Step("a", "conv", ("scaled",), kernel=kernel(3, 3, 3, 3)),
        Step("b", "conv", ("a",), kernel=kernel(3, 3, 3, 3)),
        Step("c", "add", ("a", "b")),
        Step("out", "conv", ("c",), kernel=kernel(1, 1, 3, 1)),
    ),
    "a sum with what was rectified": (
        Step("a", "conv", ("scaled",), kernel=kernel(1, 1, 3, 3)), Step("b", "relu", ("a",)),
        Step("c", "add", ("scaled", "b")), Step("out", "conv", ("c",), kernel=kernel(1, 1, 3, 1)),
    ),
    "a value that is needed before and after ReLU": (
        Step("a", "conv", ("scaled",), kernel=kernel(1, 1, 3, 3)), Step("b", "relu", ("a",)),
        Step("c", "join", ("a", "b")), Step("out", "conv", ("c",), kernel=kernel(1, 1, 6, 1)),
    ),
    "a normalisation that is no part of a convolution": (
        Step("a", "pool", ("scaled",)), Step("b", "affine", ("a",), scale=floats(2), bias=floats(1)),
        Step("out", "conv", ("b",), kernel=kernel(1, 1, 3, 1)),
    ),
    "a transposed convolution": (Step("out", "grow", ("scaled",), kernel=kernel(3, 3, 1, 3), stride=(2, 2)),),
    "no convolution": (Step("out", "softmax", ("scaled",)),),
    "a sum at the end": (
        Step("a", "conv", ("scaled",), kernel=kernel(1, 1, 3, 3)), Step("out", "add", ("scaled", "a")),
    ),
}  # fmt: skip


@needs_library
@pytest.mark.parametrize("name", list(LEFT))
def test_what_finds_no_place_is_left_to_tensorflow(name: str) -> None:
    assert plan(SCALED + LEFT[name]) is None
    assert onednn_function(SCALED + LEFT[name], "float32") is None
    tensorflow_function(SCALED + LEFT[name], "float32")(noise(1, 4, 4, 3))  # which runs it


@pytest.mark.parametrize("name", NAMES)
def test_no_two_values_share_memory_while_both_are_needed(name: str) -> None:
    operations = plan(steps_of(name))
    assert operations is not None
    values, size = place(operations, values_of(operations, (192, 128), onednn.BFLOAT16))
    holds: dict[int, str] = {}  # which value each stretch of the room holds
    for operation in operations[1:]:
        target, source = values[operation.target], values[operation.source]
        if operation.source == operations[0].target:
            holds |= dict.fromkeys(range(source.begin, source.begin + source.size, ALIGNMENT), operation.source)
        for at in range(source.begin, source.begin + source.size, ALIGNMENT):
            assert holds[at] == operation.source
        for at in range(target.begin, target.begin + target.size, ALIGNMENT):
            assert holds.get(at) == operation.target or not operation.add
            holds[at] = operation.target
        assert target.begin % ALIGNMENT == 0 and target.begin + target.size <= size
    assert size < sum(value.size for value in values.values()) / 2


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
def test_what_onednn_refuses_is_told() -> None:
    with pytest.raises(SegtoolError, match=r"oneDNN says \d+ to convolution_forward_primitive_desc_create"):
        onednn.convolution(
            onednn.pixels(8, 8, 3, onednn.FLOAT32), onednn.pixels(8, 8, 5, onednn.FLOAT32), (3, 3, 4, 5),
            onednn.FLOAT32, strides=(1, 1), padding=((1, 1), (1, 1)),
        )  # fmt: skip


@needs_library
def test_memory_that_runs_out_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = alone(steps_of("shapes"))
    predict(noise(1, 64, 64, 3))
    monkeypatch.setattr(onednn, "aligned", lambda size: np.empty(1 << 60, np.uint8))
    with pytest.raises(MemoryError):
        predict(noise(1, 128, 128, 3))
    monkeypatch.undo()
    assert predict(noise(1, 128, 128, 3)).shape == (1, 128, 128, 1)


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
@pytest.mark.parametrize("missing", ["package", "library", "function", "version", "bfloat16"])
def test_without_onednn_as_it_is_known_tensorflow_does_the_same(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = noise(2, 64, 64, 3)
    precision, tolerance = ("bfloat16", 5e-2) if missing == "bfloat16" else ("float32", 1e-5)
    expected = load_predictor(find_weights("shapes"), precision=precision, device="cpu").predict(batch)
    library.cache_clear()
    changed = {
        "package": ("PACKAGE", "no-such-package"),
        "library": ("LIBRARY", "libdnnl.so.9"),
        "version": ("MAJOR", 4),
    }
    if missing in changed:
        monkeypatch.setattr(onednn, *changed[missing])
    elif missing == "function":
        monkeypatch.setattr(onednn, "FUNCTIONS", {"no_such_thing": ()})
    else:
        monkeypatch.setattr(with_onednn, "cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(with_onednn, "Network", None)
    try:
        assert (library() is None) == (missing != "bfloat16")
        found = load_predictor(find_weights("shapes"), precision=precision, device="cpu").predict(batch)
        np.testing.assert_allclose(found, expected, atol=tolerance)
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
