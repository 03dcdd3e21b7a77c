"""Which number format networks are trained in, chosen from what the machine has."""

from typing import Literal

from segtool.engine.device import gpu_names
from segtool.engine.precision import cpu_has_bfloat16
from segtool.errors import UsageError

Precision = Literal["float32", "bfloat16"]
PRECISIONS = ("auto", "float32", "bfloat16")


def choose_precision(asked: str) -> Precision:
    """Returns the precision for `asked`; auto is bfloat16 where the processor (or a GPU) computes in it, else float32.

    Raises UsageError for any other word.
    """
    if asked not in PRECISIONS:
        raise UsageError(f"--precision {asked} is not one of {', '.join(PRECISIONS)}.")
    if asked == "float32":
        return "float32"
    return "bfloat16" if asked == "bfloat16" or on_gpu() or cpu_has_bfloat16() else "float32"


def on_gpu() -> bool:
    """Returns whether the Keras backend sees a GPU."""
    return bool(gpu_names())


def device_name() -> str:
    """Returns `gpu` or `cpu`."""
    return "gpu" if on_gpu() else "cpu"


def make_deterministic() -> None:
    """Has the backend give the same bits for the same inputs, slower; cannot be taken back in a process."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
