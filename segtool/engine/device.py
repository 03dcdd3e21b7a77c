"""Where the network runs: chosen before the backend first touches a device, and said in words."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from segtool.engine import backend
from segtool.errors import SegtoolError, UsageError

NVIDIA = Path("/proc/driver/nvidia/gpus")  # a folder a GPU, where the driver is loaded
MAYBE_GPU = tuple(Path("/dev") / name for name in ("kfd", "dxg", "nvidiactl", "nvhost-gpu"))  # AMD, WSL, NVIDIA, Jetson
OUT_OF_MEMORY = ("ResourceExhausted", "RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "OOM when allocating")
INSTALL = "install its CUDA build with: pip install 'segtool[gpu]'"


def choose_device(asked: str, *, require_gpu: bool, notice: Callable[[str], object]) -> str:
    """Makes `asked` (auto, cpu, gpu or gpu:N) the device all that follows runs on, and returns its name.

    A GPU that the machine has and the backend does not see is told through `notice`. Raises UsageError for any other
    word, SegtoolError when a GPU is asked for and there is none.
    """
    kind, _, number = asked.partition(":")
    if not re.fullmatch(r"auto|cpu|gpu(:[0-9]+)?", asked):
        raise UsageError(f"--device {asked} is not auto, cpu, gpu, or gpu:N such as gpu:0.")
    if require_gpu and kind == "cpu":
        raise UsageError("--require-gpu and --device cpu contradict each other.")
    gpus = gpu_names() if kind != "cpu" else []
    if not gpus:
        unseen = kind != "cpu" and machine_has_gpu()
        if require_gpu or kind == "gpu":
            reason = f"this machine has one that {backend()} does not see: {INSTALL}" if unseen else "there is none"
            raise SegtoolError(f"A GPU is asked for, but {reason}.")
        if unseen:
            notice(f"This machine has a GPU that {backend()} does not see: {INSTALL}")
        _use_only("cpu", 0)
        return "cpu"
    index = int(number or 0)
    if index >= len(gpus):
        raise SegtoolError(f"--device {asked} is not there: this machine has gpu:0 to gpu:{len(gpus) - 1}.")
    _use_only("gpu", index)
    return f"gpu:{index}"


def surely_cpu(asked: str, *, require_gpu: bool) -> bool:
    """Returns whether TensorFlow will run on the CPU, known without importing it; False leaves that to `choose_device`,
    and so does any wish that is to be told as wrong.
    """
    if backend() != "tensorflow" or require_gpu or asked not in ("auto", "cpu"):
        return False
    return asked == "cpu" or not (machine_has_gpu() or any(sign.exists() for sign in MAYBE_GPU))


def gpu_names() -> list[str]:
    """Returns the GPUs that the backend sees."""
    if backend() == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_physical_devices("GPU")]
    if backend() == "jax":
        import jax

        # Asked for "gpu" alone, JAX raises where there is none.
        return [str(device) for device in jax.devices() if device.platform in ("gpu", "cuda", "rocm")]
    return []


def free_memory(device: str) -> int | None:
    """Returns the free bytes of `gpu:N` as its driver tells them, None where it does not."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", device.partition(":")[2]]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(said.split()[0]) << 20  # it counts in MiB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def machine_has_gpu() -> bool:
    """Returns whether this machine has an NVIDIA GPU, whatever TensorFlow or JAX see of it."""
    return (NVIDIA.is_dir() and any(NVIDIA.iterdir())) or shutil.which("nvidia-smi") is not None


def _use_only(kind: str, index: int) -> None:
    if backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        if not gpus:
            return
        chosen = [gpus[index]] if kind == "gpu" else []
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            tf.config.experimental.set_memory_growth(gpu, True)  # or TensorFlow takes all of it, and others starve
    elif backend() == "jax":
        import jax

        jax.config.update("jax_default_device", jax.devices(kind)[index])


def out_of_memory(error: Exception) -> bool:
    """Returns whether `error` is any backend's way of saying that memory ran out."""
    # tf.errors.ResourceExhaustedError, jaxlib's XlaRuntimeError, MemoryError, …
    told = f"{type(error).__name__} {error}"
    return isinstance(error, MemoryError) or any(sign in told for sign in OUT_OF_MEMORY)
