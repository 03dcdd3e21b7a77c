"""Makes weights files that ship half as large: kernels are rounded to float16, and read as float32 again.

    python weights/pack.py person

Before `scores.py`, since the card's figures are those of what ships. A kernel's value moves by 1/2048 of itself, or by
3e-8 where it is below 6e-5 (bfloat16, in which it may run, moves it by up to 1/256); normalisation and biases stay as
they are. Plain Keras opens the file as before.
"""

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segtool.card import find_weights, put_entry

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
    with zipfile.ZipFile(path) as archive:
        content = archive.read(ARRAYS)
    put_entry(path, ARRAYS, halved(content))


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
                    if not np.abs(array).max(initial=0) <= LARGEST:
                        raise ValueError(f"{name} has values that are no number, or beyond {LARGEST:,}.")
                    array = array.astype(np.float16)
                copied = target.create_dataset(name, data=array)
            copied.attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    return made.getvalue()


if __name__ == "__main__":
    main()
