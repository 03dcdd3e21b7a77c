"""The moving average of the weights (Polyak and Juditsky 1992), which the optimizer keeps, put in for validation."""

from typing import Any

import keras
import numpy as np

from segtool.imaging.codec import Pixels
from segtool.model.batches import TrainingBatches

STATISTICS_BATCHES = 30  # at BatchNormalization's momentum of 0.9, 4 % of the old statistics are left after them


class Counting(keras.Model):
    """A network in training mode within prediction: normalisation counts, and nothing is learned."""

    # A functional model of it would not do: those hand the mode of the outer call down to every layer.
    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="counting")
        self.network = network

    def call(self, images: Any) -> Any:
        """Returns the logits of `images` under the statistics of the batch."""
        return self.network(images, training=True)


class Averaged:
    """Puts averaged weights into `model` and takes them out again.

    Statistics of normalisation belong to the weights that made the features: those of the raw weights would spoil the
    averaged network, so they are measured anew on training batches, and put back as well.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._raw: list[Pixels] = []
        self._counting = Counting(model)
        self._normalises = any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)

    def put_in(self, batches: TrainingBatches) -> None:
        """Replaces the weights by their average, with statistics measured on `batches`."""
        self._raw = [np.array(keras.ops.convert_to_numpy(v.value)) for v in self.model.variables]
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        for variable in self.model.trainable_variables:
            # On JAX the assignment shares the average's memory, which prediction then gives away.
            variable.assign(np.array(keras.ops.convert_to_numpy(variable.value)))
        if self._normalises:
            for index in range(min(STATISTICS_BATCHES, len(batches))):
                self._counting.predict_on_batch(np.asarray(batches[index][0]))

    def take_out(self) -> None:
        """Puts back what was there before."""
        for variable, value in zip(self.model.variables, self._raw, strict=True):
            variable.assign(value)
