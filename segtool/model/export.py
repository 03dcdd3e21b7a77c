"""A network in the formats of other runtimes, each compared with Keras before it gets its name.

The exported networks are those of the contract of weights: uint8 RGB in, float32 probability out, batch and sides free.
"""

import importlib
import json
import math
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segtool.card import CARD_ENTRY, Card, card_to_json
from segtool.engine import silent_stderr
from segtool.errors import ModelError, OutputError, SegtoolError
from segtool.files import make_folder, write_whole
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.model.predictor import predict_function
from segtool.model.trial import trial_picture
from segtool.model.weights import load_weights
from segtool.pipeline import Predict, shape_of
from segtool.results import Exported

# Of a probability. Float32 sums taken in another order moved `person` by 3e-6 at most on 113 val photos, with ONNX
# Runtime and with LiteRT, and flipped none of 5.5 million pixels; a wrong translation is off by far more than this.
TOLERANCE = 1e-4
# Batches and pictures, by their sides, that are compared.
TRIALS = ((1, 3, 4), (2, 4, 3), (3, 4, 4), (1, 9, 16))
PACKAGES = {"onnx": ("tf2onnx", "onnx", "onnxruntime")}


def export(weights: Path, output: Path, *, form: str) -> Exported:
    """Writes the weights as `form` (one of options.FORMATS) to `output`, replacing what is there, once it has said the
    same as Keras on several batches and sides.

    The card goes with it: a SavedModel has it in `assets.extra`, an ONNX file in its metadata, a LiteRT file in the zip
    at its end; beside files also as `NAME.json`. Raises ModelError, SegtoolError where a package is missing, or
    OutputError; nothing is left then.
    """
    _check_packages(form)
    model, card = load_weights(weights)
    make_folder(output.parent)
    # With the suffix at the end: the LiteRT exporter goes by it.
    partial = output.with_name(f".{output.stem}.{os.getpid()}.partial{output.suffix}")
    try:
        with _quiet():
            # Before the exporter: that of ONNX refuses a network which was never called.
            expected = _on_trials(predict_function(model, "float32"), card)
            found = _on_trials(_written(model, card, partial, form), card)
        difference = max(map(_difference, found, expected))
        if difference > TOLERANCE:
            raise ModelError(
                f"{form} of {weights} says other things than Keras: probabilities differ by up to {difference:.2g}, "
                f"more than {TOLERANCE:g}. Nothing was written."
            )
        _replace(partial, output)
        if form != "savedmodel":
            write_whole(output.with_name(output.name + ".json"), _card_text(card).encode())
    except OSError as error:
        raise OutputError(f"Cannot write {output}: {error.strerror or error}.") from error
    finally:
        _remove(partial)
    return Exported(output, form, _size(output), difference, TOLERANCE)


def _check_packages(form: str) -> None:
    if keras.backend.backend() != "tensorflow":
        raise SegtoolError("Exporting needs TensorFlow as the backend of Keras: unset KERAS_BACKEND.")
    for name in PACKAGES.get(form, ()):
        try:
            with _quiet():
                importlib.import_module(name)
        except ImportError as error:
            raise SegtoolError(f"Exporting {form} needs {name} ({error}): pip install 'segtool[export]'") from error


def _write_savedmodel(model: keras.Model, card: Card, path: Path) -> None:
    model.export(str(path), format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"  # TensorFlow's own name for what others keep in a SavedModel
    extra.mkdir()
    (extra / CARD_ENTRY).write_text(_card_text(card), encoding="utf-8")


def _write_onnx(model: keras.Model, card: Card, path: Path) -> None:
    import onnx

    model.export(str(path), format="onnx", verbose=False)
    made = onnx.load(str(path))
    # The exporter's names are numbers that change from run to run; a user asks for these.
    _rename(made.graph, made.graph.input[0].name, "image")
    _rename(made.graph, made.graph.output[0].name, "probability")
    for value in (made.graph.input[0], made.graph.output[0]):
        for name, side in zip(("batch", "height", "width"), value.type.tensor_type.shape.dim, strict=False):
            if not side.dim_value:
                side.dim_param = name
    onnx.helper.set_model_props(made, {CARD_ENTRY: _card_text(card)})
    onnx.checker.check_model(made)
    onnx.save(made, str(path))


def _rename(graph: Any, old: str, new: str) -> None:
    for value in (*graph.input, *graph.output):
        if value.name == old:
            value.name = new
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def _write_litert(model: keras.Model, card: Card, path: Path) -> None:
    model.export(str(path), format="litert", verbose=False)
    # As LiteRT's own metadata keeps files: a zip behind the model, which the interpreter does not read.
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CARD_ENTRY, _card_text(card))


def _open_savedmodel(path: Path) -> Predict:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    return lambda batch: np.asarray(loaded.serve(tf.constant(batch)), np.float32)


def _open_onnx(path: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda batch: np.asarray(session.run(["probability"], {"image": batch})[0], np.float32)


def _open_litert(path: Path) -> Predict:
    try:
        from ai_edge_litert.interpreter import Interpreter  # what tf.lite is to become
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter
    interpreter = Interpreter(str(path))
    (image,), (probability,) = interpreter.get_input_details(), interpreter.get_output_details()

    def predict(batch: Pixels) -> Probability:
        interpreter.resize_tensor_input(image["index"], batch.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(image["index"], batch)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(probability["index"]), np.float32)

    return predict


Write = Callable[[keras.Model, Card, Path], None]
WAYS: dict[str, tuple[Write, Callable[[Path], Predict]]] = {
    "savedmodel": (_write_savedmodel, _open_savedmodel),
    "onnx": (_write_onnx, _open_onnx),
    "litert": (_write_litert, _open_litert),
}


def _written(model: keras.Model, card: Card, path: Path, form: str) -> Predict:
    """Writes one format to `path` and returns what its own runtime makes of it. Raises ModelError."""
    write, opened = WAYS[form]
    try:
        write(model, card, path)
        return opened(path)
    except OSError:
        raise
    except Exception as error:  # converters raise nearly anything where they know no way to say a layer
        raise ModelError(f"{card.name} cannot be written as {form} ({type(error).__name__}: {error}).") from error


def _on_trials(predict: Predict, card: Card) -> list[Probability]:
    """Returns what `predict` says of every trial."""
    shape = shape_of(card)
    return [predict(trial_picture(shape(height, width), count=count)) for count, height, width in TRIALS]


def _difference(found: Probability, expected: Probability) -> float:
    """Returns the largest difference; infinite where the shapes differ, or where one is no number."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.abs(found - expected).max())


def _card_text(card: Card) -> str:
    return json.dumps(card_to_json(card), indent=1) + "\n"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what converters tell of themselves, in Python and in C++, from stderr; what goes wrong is raised."""
    with warnings.catch_warnings(), silent_stderr():
        warnings.simplefilter("ignore")
        yield


def _replace(partial: Path, output: Path) -> None:
    """Gives `partial` its name. A folder cannot be renamed over another: the old one steps aside first."""
    aside = output.with_name(f".{output.name}.{os.getpid()}.old")
    if output.is_dir():
        output.rename(aside)
    try:
        partial.replace(output)
    except OSError:
        if aside.exists():
            aside.rename(output)
        raise
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _size(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size
