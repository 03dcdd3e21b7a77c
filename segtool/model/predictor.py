"""The engine behind one function: a batch of pictures in, probabilities out. The TensorFlow-only code lives here."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from segtool.errors import DeviceMemoryError, UsageError
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.model.device import choose_device, out_of_memory
from segtool.model.precision import Precision, choose_precision
from segtool.model.weights import load_weights
from segtool.pipeline import Predict, Predictor


def load_predictor(
    path: Path, *, precision: str, device: str = "auto", require_gpu: bool = False,
    notice: Callable[[str], object] = lambda text: None,
) -> Predictor:  # fmt: skip
    """Returns the predictor of the weights at `path`; its `predict` raises DeviceMemoryError where a batch is too big.

    Raises ModelError, UsageError, or SegtoolError when a GPU is asked for and there is none.
    """
    where = choose_device(device, require_gpu=require_gpu, notice=notice)
    chosen = choose_precision(precision)
    if chosen == "bfloat16" and (keras.backend.backend() != "tensorflow" or where != "cpu"):
        if precision == "bfloat16":
            raise UsageError("--precision bfloat16 predicts on TensorFlow's CPU only so far: use auto or float32.")
        chosen = "float32"
    model, card = load_weights(path)
    return Predictor(_telling_memory(predict_function(model, chosen)), card, chosen, where)


def predict_function(model: keras.Model, precision: Precision) -> Predict:
    """Returns the fastest way there is from here to run `model`, a network ending in probability."""
    if keras.backend.backend() != "tensorflow":
        return lambda batch: np.asarray(model.predict_on_batch(batch), np.float32)
    return _frozen(model, precision)


def _frozen(model: keras.Model, precision: Precision) -> Predict:
    """Variables become constants, so that the graph optimiser can fold normalisation into the convolutions."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    if precision == "bfloat16":
        # Global, and read when a function first runs: one precision a process.
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": True})
    signature = tf.TensorSpec((None, None, None, 3), tf.uint8)
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete)

    def predict(batch: Pixels) -> Probability:
        (probability,) = frozen(tf.constant(batch))
        return np.asarray(probability.numpy(), np.float32)

    return predict


def _telling_memory(predict: Predict) -> Predict:
    """Returns `predict` with every backend's way of saying that memory ran out as one error."""

    def telling(batch: Pixels) -> Probability:
        try:
            return predict(batch)
        except Exception as error:
            if out_of_memory(error):
                raise DeviceMemoryError(f"A batch of {len(batch)} does not fit into the device's memory.") from error
            raise

    return telling
