"""A Keras model to a function that runs it: for networks that `segtool.engine` does not read, and those in training."""

import keras
import numpy as np

from segtool.engine.precision import Precision
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predict


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
