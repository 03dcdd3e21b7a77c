"""Makes weights files that ship half as large: kernels are kept in float16, and read as the float32 they were.

    python weights/pack.py person

Before `scores.py`, since the card's figures are those of what ships. A kernel's value moves by 1/2048 of itself at most
(1/256 where it runs in bfloat16); normalisation and biases stay as they are. Plain Keras opens the file as before.
"""

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segtool.card import find_weights

ARRAYS = "model.weights.h5"
LARGEST = float(np.finfo(np.float16).max)


def main() -> None:
    """Packs the weights named on the command line, a bundled name or a file each."""
    for name in sys.argv[1:]:
        path = find_weights(name)
        before = path.stat().st_size
        pack(path)
        print(f"{path}: {before:,} bytes are {path.stat().st_size:,}")


def pack(path: Path) -> None:
    """Rewrites the `.keras` file at `path`, whole or not at all. Raises ValueError for a kernel beyond float16."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                content = old.read(entry)
                new.writestr(entry.filename, halved(content) if entry.filename == ARRAYS else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def halved(content: bytes) -> bytes:
    """Returns an HDF5 file with the same groups and attributes, its float32 arrays of four dimensions in float16."""
    made = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(made, "w") as target:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group):
                copied = target.require_group(name)
            else:
                array = item[()]
                if array.ndim == 4 and array.dtype == np.float32:
                    if np.abs(array).max(initial=0) > LARGEST:
                        raise ValueError(f"{name} has values beyond {LARGEST:,}, the largest of float16.")
                    array = array.astype(np.float16)
                copied = target.create_dataset(name, data=array)
            copied.attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    return made.getvalue()


if __name__ == "__main__":
    main()
