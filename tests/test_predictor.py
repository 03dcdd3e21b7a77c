"""The predictor: what runs without Keras against Keras, and which arithmetic is chosen."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras

from segtool.card import Card, ClassInfo, find_weights, read_card
from segtool.engine import precision, predictor
from segtool.engine.network import picture_bytes, read_steps
from segtool.engine.precision import cpu_has_bfloat16, running_precision
from segtool.engine.predictor import batch_size, load_predictor, run_steps
from segtool.errors import ModelError, UsageError
from segtool.imaging.codec import Pixels
from segtool.model import precision as trained_in
from segtool.model.precision import choose_precision
from segtool.model.predictor import predict_function
from segtool.model.unet import Architecture, build_unet, with_head
from segtool.model.weights import save_weights

VARIANTS = [
    Architecture(classes=2, depth=1, width=4),
    Architecture(classes=3, depth=2, width=2, residual=True, stem=2),
    Architecture(classes=3, depth=1, width=2, norm=False),
    Architecture(classes=2, depth=1, width=4, residual=True, stem=4),
]


def network(architecture: Architecture = VARIANTS[0]) -> keras.Model:
    """Returns a network whose normalisation statistics are not those it began with."""
    keras.utils.set_random_seed(1)
    model = build_unet(architecture)
    rng = np.random.default_rng(1)
    moved = [w + rng.uniform(0, 0.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()]
    model.set_weights([np.asarray(w, np.float32) for w in moved])
    return with_head(model)


def pictures(batch: int, height: int, width: int) -> Pixels:
    return np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), np.uint8)


def save(path: Path, model: keras.Model | None = None, *, stride: int = 2) -> Path:
    model = model or network()
    channels = model.output_shape[-1]
    classes = tuple(ClassInfo(i, f"class{i}", (i, i, i)) for i in range(max(channels, 2)))
    task = "binary" if channels == 1 else "multiclass"
    save_weights(model, path, Card("tiny", task, classes, network_size=16, stride=stride))
    return path


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of /proc/cpuinfo, on a machine without a GPU."""
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(trained_in, "on_gpu", lambda: False)
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize("architecture", VARIANTS)
def test_the_frozen_function_equals_keras_for_all_batches_and_shapes(architecture: Architecture) -> None:
    model = network(architecture)
    predict = predict_function(model, "float32")
    for batch, height, width in ((1, 16, 16), (3, 16, 16), (3, 8, 24), (1, 8, 24)):
        image = pictures(batch, height, width)
        probability = predict(image)
        assert probability.shape == (batch, height, width, architecture.channels)
        assert probability.dtype == np.float32
        np.testing.assert_allclose(probability, model.predict(image, verbose=0), atol=1e-5)


def test_a_picture_gets_the_same_probability_whatever_its_neighbours() -> None:
    predict = predict_function(network(), "float32")
    image = pictures(3, 16, 16)
    np.testing.assert_allclose(predict(image)[1:2], predict(image[1:2]), atol=1e-6)


def test_the_frozen_function_keeps_the_weights_it_was_made_with() -> None:
    model = network()
    predict, image = predict_function(model, "float32"), pictures(1, 16, 16)
    before = predict(image)
    model.set_weights([w * 0 for w in model.get_weights()])
    np.testing.assert_array_equal(predict(image), before)


@pytest.mark.parametrize(
    ("architecture", "device", "coarse"),
    [*((v, "cpu", False) for v in VARIANTS), (VARIANTS[1], "gpu:0", False), (VARIANTS[2], "gpu:0", True)],
)
def test_a_network_read_without_keras_equals_keras_for_all_batches_and_shapes(
    architecture: Architecture, device: str, coarse: bool, tmp_path: Path
) -> None:
    model = network(architecture)
    steps = read_steps(save(tmp_path / "tiny.keras", model, stride=architecture.stride))
    assert steps is not None
    predict = run_steps(steps, "float32", device, coarse=coarse)  # for a GPU: compiled by XLA, here for the CPU
    for batch, height, width in ((1, 16, 16), (3, 16, 16), (3, 8, 24)):
        image = pictures(batch, height, width)
        probability = predict(image)
        assert probability.shape == (batch, height, width, architecture.channels)
        assert probability.dtype == np.float32
        step = 0.5 / 255 if coarse and device != "cpu" else 0
        np.testing.assert_allclose(probability, model.predict(image, verbose=0), atol=step + 1e-5)


def test_normalisation_is_folded_into_convolutions_and_into_transposed_ones(tmp_path: Path) -> None:
    image = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(image)
    for grows in (False, True):
        x = (keras.layers.Conv2DTranspose if grows else keras.layers.Conv2D)(4, 2, strides=2, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
    model = keras.Model(image, keras.layers.Conv2D(3, 1, activation="softmax")(x))
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 1, w.shape) for w in model.get_weights()])
    steps = read_steps(save(tmp_path / "tiny.keras", model))
    assert steps is not None
    assert [s.kind for s in steps] == ["picture", "affine", "conv", "conv", "spread", "conv", "softmax"]
    found = run_steps(steps, "float32", "cpu")(pictures(2, 8, 16))
    np.testing.assert_allclose(found, model.predict(pictures(2, 8, 16), verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "spread"),
    [
        (4, 2, "same", True), (2, 2, "valid", True), (3, 3, "same", True), (3, 2, "same", False), (3, 1, "same", False),
        ((2, 4), 2, "same", False), (2, (2, 1), "same", False), (1, 2, "same", False),
    ],
)  # fmt: skip
def test_a_transposed_convolution_is_one_of_stride_1_and_a_spread_where_that_pays(
    kernel: int | tuple[int, int], stride: int | tuple[int, int], padding: str, spread: bool, tmp_path: Path
) -> None:
    image = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Conv2DTranspose(2, kernel, strides=stride, padding=padding)(keras.layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(x))
    steps = read_steps(save(tmp_path / "tiny.keras", model))
    assert steps is not None
    assert [s.kind for s in steps][2:] == [*(["conv", "spread"] if spread else ["grow"]), "conv", "sigmoid"]
    found = run_steps(steps, "float32", "cpu")(pictures(2, 6, 8))
    np.testing.assert_allclose(found, model.predict(pictures(2, 6, 8), verbose=0), atol=1e-6)


def test_a_sum_whose_parts_are_needed_elsewhere_is_not_folded_into_them(tmp_path: Path) -> None:
    image = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Conv2D(2, 1)(keras.layers.Rescaling(1 / 255)(image))
    y = keras.layers.BatchNormalization(moving_mean_initializer="ones")(x)
    z = keras.layers.Concatenate()([keras.layers.Add()([x, y]), x])
    model = keras.Model(image, keras.layers.Conv2D(1, 1, activation="sigmoid")(z))
    steps = read_steps(save(tmp_path / "tiny.keras", model))
    assert steps is not None and [s.kind for s in steps].count("affine") == 2
    found = run_steps(steps, "float32", "cpu")(pictures(1, 4, 4))
    np.testing.assert_allclose(found, model.predict(pictures(1, 4, 4), verbose=0), atol=1e-5)


def other_networks() -> dict[str, keras.Model]:
    """Networks with something in them that only Keras runs."""
    image = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(image)
    shared = keras.layers.Conv2D(3, 1)
    made = {
        "leaky": keras.layers.ReLU(negative_slope=0.1)(keras.layers.Conv2D(1, 1)(x)),
        "capped": keras.layers.ReLU(max_value=1)(keras.layers.Conv2D(1, 1)(x)),
        "depthwise": keras.layers.Conv2D(1, 1)(keras.layers.DepthwiseConv2D(3, padding="same")(x)),
        "dilated": keras.layers.Conv2D(1, 3, padding="same", dilation_rate=2)(x),
        "grouped": keras.layers.Conv2D(1, 1)(keras.layers.Conv2D(3, 1, groups=3)(x)),
        "shared": keras.layers.Conv2D(1, 1)(shared(shared(x))),
        "grown beyond its block": keras.layers.Conv2DTranspose(1, 3, strides=2, padding="valid")(x),
        "tanh": keras.layers.Conv2D(1, 1, activation="tanh")(x),
    }
    return {name: keras.Model(image, y) for name, y in made.items()}


@pytest.mark.parametrize("name", list(other_networks()))
def test_what_is_not_read_without_keras_runs_with_it(name: str, tmp_path: Path) -> None:
    model = other_networks()[name]
    path = save(tmp_path / "other.keras", model)
    assert read_steps(path) is None
    found = load_predictor(path, precision="float32").predict(pictures(2, 8, 8))
    np.testing.assert_allclose(found, model.predict(pictures(2, 8, 8), verbose=0), atol=1e-5)


def test_a_gpu_gets_as_many_pictures_at_once_as_a_share_of_its_free_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = read_card(find_weights("shapes"))
    steps = read_steps(find_weights("shapes"))
    assert steps is not None
    one = 2 * picture_bytes(steps, card.network_size)
    for free, fitting in ((0, 1), (4 * one, 1), (24 * one, 4), (10**12, 64), (None, 16)):
        monkeypatch.setattr(predictor, "free_memory", lambda device, free=free: free)
        assert batch_size(steps, card, "bfloat16", "gpu:0") == fitting
    assert batch_size(steps, card, "bfloat16", "cpu") == 16
    assert batch_size(steps, replace(card, flops=10**10), "bfloat16", "cpu") == 8


def test_a_loaded_predictor_knows_its_card_precision_and_device(tmp_path: Path) -> None:
    loaded = load_predictor(save(tmp_path / "tiny.keras"), precision="float32")
    assert (loaded.card.name, loaded.precision) == ("tiny", "float32")
    assert loaded.device in ("cpu", "gpu:0")
    np.testing.assert_allclose(
        loaded.predict(pictures(1, 16, 16)), network().predict(pictures(1, 16, 16), verbose=0), atol=1e-5
    )


def test_a_precision_is_refused_before_the_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="float99"):
        load_predictor(tmp_path / "missing.keras", precision="float99")
    with pytest.raises(ModelError, match="no weights"):
        load_predictor(tmp_path / "missing.keras", precision="float32")


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags : fpu sse avx2 avx512f avx512_bf16 avx512_vnni", True), ("flags : fpu amx_bf16 amx_tile", True),
        ("flags : fpu sse avx2 avx512f", False), ("", False),
    ],
)  # fmt: skip
def test_bfloat16_is_read_from_the_flags_of_the_processor(cpu_info: Path, flags: str, has: bool) -> None:
    cpu_info.write_text(f"processor : 0\n{flags}\n")
    assert cpu_has_bfloat16() is has
    assert choose_precision("auto") == running_precision("auto", "cpu") == ("bfloat16" if has else "float32")


def test_without_cpuinfo_auto_is_float32(cpu_info: Path) -> None:
    assert not cpu_info.exists()
    assert choose_precision("auto") == running_precision("auto", "cpu") == "float32"


def test_auto_is_bfloat16_on_a_gpu_whatever_the_processor(cpu_info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_in, "on_gpu", lambda: True)
    assert choose_precision("auto") == running_precision("auto", "gpu:0") == "bfloat16"


@pytest.mark.parametrize("flags", ["avx512_bf16", "sse"])
def test_a_precision_asked_for_is_taken_whatever_the_machine_has(cpu_info: Path, flags: str) -> None:
    cpu_info.write_text(flags)
    for asked in ("float32", "bfloat16"):
        assert choose_precision(asked) == running_precision(asked, "cpu") == running_precision(asked, "gpu:0") == asked


def test_float16_is_for_gpus_and_for_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    assert running_precision("float16", "gpu:0") == "float16"
    with pytest.raises(UsageError, match="float16 is for GPUs: on this CPU use bfloat16 or float32"):
        running_precision("float16", "cpu")
    monkeypatch.setattr(precision, "backend", lambda: "jax")
    assert running_precision("float16", "cpu") == "float16"


def test_jax_on_a_cpu_runs_in_float32_unless_asked(cpu_info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_info.write_text("avx512_bf16")
    monkeypatch.setattr(precision, "backend", lambda: "jax")
    assert running_precision("auto", "cpu") == "float32"
    assert running_precision("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize("asked", ["float16", "half", "", "AUTO"])
def test_a_precision_nobody_knows_is_a_usage_error_that_lists_those_there_are(asked: str) -> None:
    with pytest.raises(UsageError, match="not one of auto, float32, bfloat16"):
        choose_precision(asked)


def test_bfloat16_moves_probabilities_by_little(tmp_path: Path) -> None:
    path, image = save(tmp_path / "tiny.keras"), pictures(2, 16, 16)
    np.save(tmp_path / "image.npy", image)
    script = (
        "import json, sys; from pathlib import Path; import numpy as np\n"
        "from segtool.engine.predictor import load_predictor\n"
        "predictor = load_predictor(Path(sys.argv[1]), precision='bfloat16')\n"
        "probability = predictor.predict(np.load(sys.argv[2]))\n"
        "print(json.dumps([predictor.precision, str(probability.dtype), probability.tolist()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "image.npy")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    name, dtype, probability = json.loads(done.stdout)
    assert (name, dtype) == ("bfloat16", "float32")
    np.testing.assert_allclose(probability, network().predict(image, verbose=0), atol=0.05)
