"""Batch normalisation by TensorFlow's fused kernel, for training on a CPU.

Keras 3 writes it out in a dozen elementwise operations, which the CPU takes one after the other. On two cores with
bfloat16 (AMD EPYC with AVX-512, batches of 16 at 224×224) a step with the fused kernel gave 92 images/s in place of 58
for a U-Net of width 16 with a stride-2 stem, 31 in place of 24 for width 32 (`tests/benchmarks/training_step.py`).
Weights files hold Keras' own layer: what is saved is the float32 twin of the network that was trained.

In bfloat16 oneDNN has a fast kernel for channels in sixteens alone; with 24 at half of 256×320 it took four times as
long as the float32 one, which together with both casts is what others get.
"""

from typing import Any

import keras

from segtool.model.precision import on_gpu

BLOCK = 16  # channels


def with_fast_normalization(model: keras.Model) -> keras.Model:
    """Returns the same network, its weights drawn anew, normalising by the fastest way that the backend has."""
    if keras.backend.backend() != "tensorflow" or on_gpu():  # XLA fuses it by itself
        return model
    return keras.models.clone_model(model, clone_function=_faster)


def _faster(layer: keras.layers.Layer) -> keras.layers.Layer:
    kind = FusedNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
    return kind.from_config(layer.get_config())


class FusedNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis, with the same variables and, to rounding, results."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Returns `inputs` normalised, and in training moves the statistics towards those of the batch."""
        if not training or not self.trainable:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        nothing = tf.zeros((0,))  # statistics of before, which training does not use
        x = tf.cast(inputs, tf.float32) if inputs.dtype == tf.bfloat16 and inputs.shape[-1] % BLOCK else inputs
        normalized, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=tf.convert_to_tensor(self.gamma), offset=tf.convert_to_tensor(self.beta),
            mean=nothing, variance=nothing, epsilon=self.epsilon, is_training=True,
        )  # fmt: skip
        pixels = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= (pixels - 1) / pixels  # the kernel gives the unbiased one, Keras keeps the biased
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return tf.cast(normalized, inputs.dtype)
