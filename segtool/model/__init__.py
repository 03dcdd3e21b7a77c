"""The only folder that imports Keras or TensorFlow. The backend is TensorFlow unless KERAS_BACKEND says otherwise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps C++ libraries from stderr: TensorFlow tells of missing CUDA there before it reads any log level."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


with _silent_stderr():
    import keras  # noqa: F401  # the first import of Keras in the process, and of its backend
