"""The only folder that imports Keras or TensorFlow. The backend is TensorFlow unless KERAS_BACKEND says otherwise."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's default only where the CPU has AVX-512. Without it, Eigen sums in an order that depends on batch and
# threads: `person` in float32 moved by up to 3e-7, and the bytes of probabilities with it. No slower on AVX2.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Keeps C++ libraries from stderr: TensorFlow tells of missing CUDA there before it reads any log level.

    All of the process is silent meanwhile.
    """
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


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
with silent_stderr():
    import keras  # noqa: F401  # the first import of Keras in the process, and of its backend
