"""The commands: parse, call, show, exit.

Each command begins with its imports, so that `--help` loads no NumPy, OpenCV or TensorFlow.
"""

import atexit
import gc
import io
import os
import sys

# OpenBLAS comes with NumPy, and again with OpenCV, and starts threads that spin while they wait: 0.14 of the 0.63 s of
# CPU time that the mask of one photo takes. Matrices multiplied here are small, or left to the engine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# isort: off
from segtool.cli import writing, training, scoring, datasets, weights  # noqa: F401  # as help lists their commands

# isort: on
from segtool.cli.line import app
from segtool.errors import SegtoolError

__all__ = ["main"]


def main() -> None:
    """Runs the command line; every expected error becomes one sentence on stderr and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is not UTF-8 must not end a listing
    # Python looks for garbage every 700 new objects, of which imports make a hundred thousand: 0.04 of the 0.63 s of
    # CPU time that the mask of one photo takes. And once more before it ends, for 0.1 to 0.6 s; what is frozen is none.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    try:
        app()
    except SegtoolError as error:
        print(f"segtool: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): no fault of ours, and nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"segtool: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
