"""Weights to a function that runs them: on plain steps where the network is one of ours, else with Keras."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtool.card import Card, read_card
from segtool.engine import backend, import_backend
from segtool.engine.device import choose_device, free_memory, out_of_memory, surely_cpu
from segtool.engine.network import Step, picture_bytes, read_steps
from segtool.engine.precision import Precision, running_precision
from segtool.errors import DeviceMemoryError, UsageError
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predict, Predictor, cores

# Where a core runs a picture (with_onednn): at least, and a core. Elsewhere all cores work on a batch, and what a
# large network holds of it meanwhile counts.
LEAST_BATCH, PICTURES_A_CORE = 16, 2
CPU_BATCH, CPU_BATCH_LARGE, LARGE_FLOPS = 16, 8, 8e9
GPU_BATCH = 64  # at most: a batch waits for pictures of one shape
GPU_SHARE = 0.25  # of the free memory, for one batch of the two that are under way


def load_predictor(
    path: Path, *, precision: str, device: str = "auto", require_gpu: bool = False, coarse: bool = False,
    alone: bool = False, notice: Callable[[str], object] = lambda text: None,
) -> Predictor:  # fmt: skip
    """Returns the predictor of the weights at `path`; its `predict` raises DeviceMemoryError where a batch is too big.

    `coarse` allows probabilities in steps of 1/255, which leave a GPU in a quarter of the bytes. `alone` is as in
    `import_backend`. Where oneDNN runs the network (of ours, on a CPU, under Linux), a picture's probability depends on
    nothing but the picture.
    Raises ModelError, UsageError, or SegtoolError when a GPU is asked for and there is none.
    """
    # For a network of ours on a CPU oneDNN is enough; TensorFlow takes seconds to import.
    sure = surely_cpu(device, require_gpu=require_gpu)

    def found_device() -> str:
        import_backend(alone=alone)
        return choose_device(device, require_gpu=require_gpu, notice=notice)

    where = "cpu" if sure else found_device()
    chosen = running_precision(precision, where)
    card = read_card(path)
    steps = read_steps(path) if backend() in ("tensorflow", "jax") else None
    if steps and steps[-1].channels(steps) != card.channels:
        steps = None  # Keras tells
    inline = by_onednn(steps, chosen, where) if steps else None
    if inline is not None:
        batch = max(LEAST_BATCH, PICTURES_A_CORE * cores())
        found = Predictor(on_all_cores(inline), card, chosen, where, batch_size=batch, inline=inline)
        return found.wrapped(telling_memory)
    if sure:
        found_device()
    if steps:
        predict = run_steps(steps, chosen, where, coarse=coarse)
    else:
        predict, chosen = _with_keras(path, precision, chosen, where)
    batch = batch_size(steps, card, chosen, where)
    in_flight = 1 if where == "cpu" else 2  # all cores work on one batch: no two at once
    return Predictor(telling_memory(predict), card, chosen, where, batch_size=batch, in_flight=in_flight)


def by_onednn(steps: Sequence[Step], precision: Precision, device: str) -> Predict | None:
    """Returns the function that runs `steps` by oneDNN on the thread that calls it, None where TensorFlow or JAX is to
    run them.
    """
    if backend() != "tensorflow" or device != "cpu":
        return None
    from segtool.engine.with_onednn import onednn_function

    return onednn_function(steps, precision)


def on_all_cores(inline: Predict) -> Predict:
    """Returns what runs the pictures of a batch side by side, each by `inline` on a thread of its own, one a core."""
    threads = ThreadPoolExecutor(cores())
    return lambda batch: np.concatenate(list(threads.map(inline, batch[:, None])))


def run_steps(steps: Sequence[Step], precision: Precision, device: str, *, coarse: bool = False) -> Predict:
    """Returns the function that runs a network given as `steps` with the backend there is."""
    if backend() == "jax":
        from segtool.engine.with_jax import jax_function

        return _few_shapes(jax_function(steps, precision, coarse=coarse))
    from segtool.engine.with_tensorflow import tensorflow_function

    if device == "cpu":
        return tensorflow_function(steps, precision)
    return _few_shapes(tensorflow_function(steps, precision, compiled=True, coarse=coarse))


def telling_memory(predict: Predict) -> Predict:
    """Returns `predict` with every backend's way of saying that memory ran out as one error."""

    def telling(batch: Pixels) -> Probability:
        try:
            return predict(batch)
        except Exception as error:
            if out_of_memory(error):
                raise DeviceMemoryError(f"A batch of {len(batch)} does not fit into the device's memory.") from error
            raise

    return telling


def _few_shapes(function: Callable[[Pixels], npt.NDArray[Any]]) -> Predict:
    """Returns `function`, which is compiled for every shape it meets, seeing batches of powers of two alone."""

    def predict(batch: Pixels) -> Probability:
        count = len(batch)
        padded = np.zeros((1 << (count - 1).bit_length(), *batch.shape[1:]), np.uint8)
        padded[:count] = batch
        found = function(padded)[:count]
        return found.astype(np.float32) / np.float32(255) if found.dtype == np.uint8 else found

    return predict


def _with_keras(path: Path, asked: str, precision: Precision, device: str) -> tuple[Predict, Precision]:
    from segtool.model.predictor import predict_function
    from segtool.model.weights import load_weights

    if backend() != "tensorflow" or device != "cpu":
        if asked not in ("auto", "float32"):
            raise UsageError(f"--precision {asked}: here the network of {path} runs in float32 alone: use auto.")
        precision = "float32"
    model, _ = load_weights(path)
    return predict_function(model, precision), precision


def batch_size(steps: Sequence[Step] | None, card: Card, precision: Precision, device: str) -> int:
    """Returns how many pictures to run at once by the backend. What a GPU holds was not measured: there was none."""
    free = None if device == "cpu" else free_memory(device)
    if free is None or not steps:
        return CPU_BATCH if 0 < card.flops < LARGE_FLOPS else CPU_BATCH_LARGE  # 0 is not known
    one = picture_bytes(steps, card.network_size) * (4 if precision == "float32" else 2)
    fitting = max(1, int(free * GPU_SHARE / one))
    return min(GPU_BATCH, 1 << (fitting.bit_length() - 1))
