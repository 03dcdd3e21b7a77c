"""Which number format a network is run in, chosen from what the machine has."""

from pathlib import Path
from typing import Literal

from segtool.engine import backend
from segtool.errors import UsageError

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
CPU_INFO = Path("/proc/cpuinfo")


def running_precision(asked: str, device: str) -> Precision:
    """Returns the precision to run networks in on `device` (`cpu`, `gpu:N`).

    Auto is bfloat16 on a GPU and where TensorFlow finds a processor that computes in it, else float32. GPUs from before
    2020 compute bfloat16 slowly: float16 is for them. Raises UsageError for what nobody knows or the device cannot do.
    """
    if asked not in PRECISIONS:
        raise UsageError(f"--precision {asked} is not one of {', '.join(PRECISIONS)}.")
    tensorflow = backend() == "tensorflow"
    if asked == "float16" and device == "cpu" and tensorflow:
        raise UsageError("--precision float16 is for GPUs: on this CPU use bfloat16 or float32.")
    if asked == "auto":
        # XLA on a CPU computes bfloat16 by way of float32, at a loss.
        fast = device != "cpu" or (tensorflow and cpu_has_bfloat16())
        return "bfloat16" if fast else "float32"
    return asked  # type: ignore[return-value]  # mypy does not narrow a str by `in`


def cpu_has_bfloat16() -> bool:
    """Returns whether this CPU has bfloat16 instructions; without them oneDNN emulates, at a loss."""
    try:
        flags = CPU_INFO.read_text()
    except OSError:  # not Linux
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
