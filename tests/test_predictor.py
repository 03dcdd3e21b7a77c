"""The predictor: the frozen graph against plain Keras, and which arithmetic is chosen. bfloat16 is global, so it
runs in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import keras

from segtool.card import Card, ClassInfo
from segtool.engine import precision
from segtool.engine.precision import cpu_has_bfloat16
from segtool.engine.predictor import load_predictor
from segtool.errors import ModelError, UsageError
from segtool.imaging.codec import Pixels
from segtool.model.precision import choose_precision
from segtool.model.predictor import predict_function
from segtool.model.unet import Architecture, build_unet, with_head
from segtool.model.weights import save_weights

VARIANTS = [
    Architecture(classes=2, depth=1, width=4),
    Architecture(classes=3, depth=2, width=2, residual=True, stem=2),
    Architecture(classes=3, depth=1, width=2, norm=False),
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


def save(path: Path) -> Path:
    classes = (ClassInfo(0, "background", (0, 0, 0)), ClassInfo(1, "foreground", (9, 9, 9)))
    save_weights(network(), path, Card("tiny", "binary", classes, network_size=16, stride=2))
    return path


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of /proc/cpuinfo, on a machine without a GPU."""
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(precision, "on_gpu", lambda: False)
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


def test_a_loaded_predictor_knows_its_card_precision_and_device(tmp_path: Path) -> None:
    predictor = load_predictor(save(tmp_path / "tiny.keras"), precision="float32")
    assert (predictor.card.name, predictor.precision) == ("tiny", "float32")
    assert predictor.device in ("cpu", "gpu")
    np.testing.assert_allclose(
        predictor.predict(pictures(1, 16, 16)), network().predict(pictures(1, 16, 16), verbose=0), atol=1e-5
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
    assert choose_precision("auto") == ("bfloat16" if has else "float32")


def test_without_cpuinfo_auto_is_float32(cpu_info: Path) -> None:
    assert not cpu_info.exists()
    assert choose_precision("auto") == "float32"


def test_auto_is_bfloat16_on_a_gpu_whatever_the_processor(cpu_info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "on_gpu", lambda: True)
    assert choose_precision("auto") == "bfloat16"


@pytest.mark.parametrize("flags", ["avx512_bf16", "sse"])
def test_a_precision_asked_for_is_taken_whatever_the_machine_has(cpu_info: Path, flags: str) -> None:
    cpu_info.write_text(flags)
    assert choose_precision("float32") == "float32"
    assert choose_precision("bfloat16") == "bfloat16"


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
