"""`segtool export`: other runtimes say what Keras says, or nothing is written."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from test_weights import card, network

from segtool.card import card_to_json, read_card
from segtool.model import export as module
from segtool.model.trial import trial_picture
from segtool.model.unet import Architecture
from segtool.model.weights import load_weights, save_weights

# isort: split
import keras


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Weights of a network of a few hundred parameters, for pictures of 16 pixels."""
    (tmp_path / "in").mkdir()
    save_weights(network(), tmp_path / "in/tiny.keras", replace(card(), licence="mine"))
    return tmp_path / "in/tiny.keras"


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the exporters, which take seconds: what is written is a word, and says what the network says."""
    kept: list[keras.Model] = []

    def write(model: keras.Model, about: Any, path: Path) -> None:
        kept.append(model)
        path.write_bytes(b"exported")

    def write_folder(model: keras.Model, about: Any, path: Path) -> None:
        path.mkdir()
        write(model, about, path / "saved_model.pb")

    def opened(path: Path) -> Any:
        return lambda batch: np.asarray(kept[-1](batch))

    monkeypatch.setattr(
        module, "WAYS", {"savedmodel": (write_folder, opened), "onnx": (write, opened), "litert": (write, opened)}
    )
    monkeypatch.setattr(module, "PACKAGES", {})


def say(monkeypatch: pytest.MonkeyPatch, form: str, said: Any) -> None:
    write, _ = module.WAYS[form]
    monkeypatch.setitem(module.WAYS, form, (write, lambda path: said))


def expected(tiny: Path, picture: Any) -> Any:
    return np.asarray(load_weights(tiny)[0](picture))


def test_a_savedmodel_says_what_keras_says_and_carries_the_card(segtool: Run, tiny: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    said = segtool("export", tiny, tmp_path / "out", "--format", "savedmodel")
    assert said.returncode == 0, said.stderr
    assert "differ from Keras' by" in said.stderr
    picture = trial_picture((16, 10), count=3)
    loaded = tf.saved_model.load(str(tmp_path / "out"))  # its variables die with it
    found = loaded.serve(tf.constant(picture))
    np.testing.assert_allclose(np.asarray(found), expected(tiny, picture), atol=1e-5)
    about = json.loads((tmp_path / "out/assets.extra/segtool.json").read_text())
    assert about == json.loads(json.dumps(card_to_json(read_card(tiny))))


def test_a_litert_file_says_what_keras_says_and_carries_the_card(segtool: Run, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    said = segtool("export", tiny, out)
    assert said.returncode == 0, said.stderr
    picture = trial_picture((10, 16), count=2)
    np.testing.assert_allclose(module._open_litert(out)(picture), expected(tiny, picture), atol=1e-5)
    with zipfile.ZipFile(out) as archive:
        assert json.loads(archive.read("segtool.json"))["licence"] == "mine"
    assert json.loads((tmp_path / "out.tflite.json").read_text())["licence"] == "mine"


def test_an_onnx_file_says_what_keras_says_and_carries_the_card(segtool: Run, tiny: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    out = tmp_path / "out.onnx"
    said = segtool("export", tiny, out)
    assert said.returncode == 0, said.stderr
    session = ort.InferenceSession(str(out))
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert session.get_inputs()[0].shape == ["batch", "height", "width", 3]
    picture = trial_picture((16, 10), count=2)
    found = session.run(["probability"], {"image": picture})[0]
    np.testing.assert_allclose(found, expected(tiny, picture), atol=1e-5)
    props = {p.key: p.value for p in onnx.load(str(out)).metadata_props}
    assert json.loads(props["segtool.json"])["licence"] == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["savedmodel", "litert", "onnx"])
def test_several_classes_and_a_stem_survive_every_format(segtool: Run, tmp_path: Path, form: str) -> None:
    if form == "onnx":
        pytest.importorskip("tf2onnx")
    architecture = Architecture(classes=3, depth=2, width=2, residual=True, stem=2)
    save_weights(network(architecture), tmp_path / "three.keras", card(3, architecture.stride))
    out = tmp_path / f"out{ {'savedmodel': '', 'litert': '.tflite', 'onnx': '.onnx'}[form] }"
    assert segtool("export", tmp_path / "three.keras", out).returncode == 0


def test_the_suffix_names_the_format(segtool: Run, tiny: Path, tmp_path: Path, echo: None) -> None:
    for name, told in (("a.onnx", "a.onnx: onnx"), ("a.tflite", "a.tflite: litert"), ("a", "a: savedmodel")):
        assert told in segtool("export", tiny, tmp_path / "out" / name).stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a", "a.onnx", "a.onnx.json", "a.tflite", "a.tflite.json",
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["savedmodel", "litert"])
@pytest.mark.parametrize("wrong", ["other", "shape", "nan"])
def test_what_says_other_things_than_keras_is_not_written(
    segtool: Run, tiny: Path, tmp_path: Path, echo: None, monkeypatch: pytest.MonkeyPatch, form: str, wrong: str
) -> None:
    model, _ = load_weights(tiny)
    says = {
        "other": lambda batch: np.asarray(model(batch)) + np.float32(0.002),
        "shape": lambda batch: np.asarray(model(batch))[:, 1:],
        "nan": lambda batch: np.asarray(model(batch)) * np.float32("nan"),
    }
    say(monkeypatch, form, says[wrong])
    said = segtool("export", tiny, tmp_path / ("out" if form == "savedmodel" else "out.tflite"))
    assert said.returncode == 1
    assert f"differ by up to {'0.002' if wrong == 'other' else 'inf'}, more than 0.0001" in said.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_layer_that_a_format_cannot_say_is_told_in_one_sentence(
    segtool: Run, tiny: Path, tmp_path: Path, echo: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(model: keras.Model, about: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no such op")

    monkeypatch.setitem(module.WAYS, "litert", (write, lambda path: None))
    said = segtool("export", tiny, tmp_path / "out.tflite")
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "cannot be written as litert (ValueError: no such op)" in said.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_full_disk_is_told_and_leaves_nothing(
    segtool: Run, tiny: Path, tmp_path: Path, echo: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(model: keras.Model, about: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(module.WAYS, "litert", (write, lambda path: None))
    said = segtool("export", tiny, tmp_path / "out.tflite")
    assert (said.returncode, "No space left on device" in said.stderr) == (1, True)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("there", ["out.tflite", "out.tflite.json"])
def test_a_file_that_is_there_is_replaced_only_with_force(
    segtool: Run, tiny: Path, tmp_path: Path, echo: None, there: str
) -> None:
    (tmp_path / there).write_bytes(b"mine")
    said = segtool("export", tiny, tmp_path / "out.tflite")
    assert (said.returncode, f"{there} is there already" in said.stderr) == (1, True)
    assert (tmp_path / there).read_bytes() == b"mine"
    assert segtool("export", tiny, tmp_path / "out.tflite", "--force").returncode == 0
    assert (tmp_path / "out.tflite").read_bytes() == b"exported"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out.tflite", "out.tflite.json"]


def test_force_replaces_a_savedmodel_and_no_other_folder(segtool: Run, tiny: Path, tmp_path: Path, echo: None) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"mine")
    said = segtool("export", tiny, photos, "--force")
    assert (said.returncode, "something else than a SavedModel" in said.stderr) == (1, True)
    assert (photos / "a.jpg").read_bytes() == b"mine"
    (photos / "a.jpg").rename(photos / "saved_model.pb")
    assert segtool("export", tiny, photos, "--force").returncode == 0
    assert [(p.name, p.read_bytes()) for p in photos.iterdir()] == [("saved_model.pb", b"exported")]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "photos"]


def test_a_missing_package_is_named_with_the_line_to_type(
    segtool: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    said = segtool("export", tiny, tmp_path / "out.onnx")
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "needs tf2onnx" in said.stderr and "pip install 'segtool[export]'" in said.stderr


@pytest.mark.parametrize(
    ("output", "options", "told"),
    [
        ("out.pb", (), "names no format: say --format savedmodel, onnx, litert"),
        ("out.onnx", ("--format", "tensorrt"), "is not one of savedmodel, onnx, litert"),
        ("out.onnx", ("--format", "litert"), "must end in .tflite"),
    ],
)
def test_a_format_that_cannot_be_meant_is_wrong_usage(
    segtool: Run, tiny: Path, tmp_path: Path, output: str, options: tuple[str, ...], told: str
) -> None:
    said = segtool("export", tiny, tmp_path / output, *options)
    assert (said.returncode, told in said.stderr) == (2, True)


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_refused(segtool: Run, tiny: Path, tmp_path: Path, output: str) -> None:
    said = segtool("export", tiny, output, "--format", "savedmodel", "--force", cwd=tmp_path)
    assert (said.returncode, "no name to write to" in said.stderr) == (1, True)


def test_weights_that_are_not_there_are_told_before_tensorflow_is_imported() -> None:
    script = (
        "import sys\nsys.argv = ['segtool', 'export', 'persom', 'out.onnx']\nfrom segtool.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    print(stop.code, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 False"
