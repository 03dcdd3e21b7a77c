"""Runs networks with TensorFlow or JAX, without Keras. It is TensorFlow unless KERAS_BACKEND says otherwise.

On a CPU networks of ours take neither, but oneDNN alone (`with_onednn`). TensorFlow is imported for GPUs, for networks
that only Keras runs, and where there is no oneDNN (`with_tensorflow`).
"""

import ctypes
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's default only where the CPU has AVX-512. Without it, Eigen sums in an order that depends on batch and
# threads: `person` in float32 moved by up to 3e-7, and the bytes of probabilities with it. No slower on AVX2.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# What TensorFlow and h5py add to the environment while they are imported, added before there are threads. A new
# variable makes glibc move the table of all, which libjpeg reads for every picture: of some 200 runs one died of that,
# in getenv. To change a variable that is there moves nothing.
for _name, _value in (
    ("ENABLE_RUNTIME_UPTIME_TELEMETRY", "1"), ("TF2_BEHAVIOR", "1"), ("TPU_ML_PLATFORM", "Tensorflow"),
    ("TPU_ML_PLATFORM_VERSION", ""), ("HDF5_PLUGIN_PATH", "disable"),
):  # fmt: skip
    os.environ.setdefault(_name, _value)


def backend() -> str:
    """Returns the backend by Keras' name for it: `tensorflow`, `jax` or another."""
    keras = sys.modules.get("keras")
    return str(keras.backend.backend()) if keras else os.environ.get("KERAS_BACKEND", "tensorflow")


def import_backend(*, alone: bool = False) -> None:
    """Imports the backend, which for TensorFlow takes seconds.

    `alone` says that the process is segtool's own, where more can be left out. Keras, which TensorFlow imports for the
    sake of `tf.keras`, and which imports scikit-learn and Matplotlib where there are any: 1.2 to 2 s of CPU time on two
    cores of an AMD EPYC. It can be imported afterwards; `tensorflow.keras` cannot. And Python's search for garbage, of
    which a module is none: 0.4 s of what is left of the import, and 0.6 s at the end of the process.
    """
    wanted = backend()
    if wanted in sys.modules or wanted not in ("tensorflow", "jax"):
        return
    with silent_stderr(), _nothing_else() if alone else nullcontext():
        importlib.import_module(wanted)


@contextmanager
def _nothing_else() -> Iterator[None]:
    hidden, collecting = "keras" not in sys.modules and backend() == "tensorflow", gc.isenabled()
    if hidden:
        sys.modules["keras"] = None  # type: ignore[assignment]  # Python's way to say that there is none
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
        if hidden:
            del sys.modules["keras"]


# How many threads are inside `silent_stderr`: the first saves stderr, the last brings it back.
_silencing, _silent, _saved_stderr = threading.Lock(), 0, -1


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Keeps C++ libraries from stderr: TensorFlow tells of missing CUDA there before it reads any log level.

    All of the process is silent meanwhile, but for a `sys.stderr` that `keep_stderr` made.
    """
    global _silent, _saved_stderr
    with _silencing:
        _silent += 1
        if _silent == 1:
            _saved_stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
    try:
        yield
    finally:
        with _silencing:
            _silent -= 1
            if not _silent:
                os.dup2(_saved_stderr, 2)
                os.close(_saved_stderr)


def keep_stderr() -> None:
    """Gives Python a way of its own to stderr, so that it is heard while another thread is inside `silent_stderr`."""
    now = sys.__stderr__
    if now is not None and sys.stderr is now:
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=now.encoding, errors=now.errors)


def _keep_freed_memory() -> None:
    """Has glibc keep freed tensors for the next step; by default each goes back to the kernel and is faulted in anew.

    A training step of a 2 M-parameter U-Net on 16 pictures of 224×224 made 530,000 page faults, 40 % of its CPU time:
    6.6 images/s on two cores, 13.1 with these settings (tests/benchmarks/training_step.py). The cost: memory once
    used stays with the process.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # None with another C library, musl for one
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2_000_000_000)
        mallopt(_M_ARENA_MAX, 1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # from glibc's malloc.h

_keep_freed_memory()
