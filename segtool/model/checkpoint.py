"""The whole state of a training on disk, in one file replaced whole: variables, optimizer, history, counters."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segtool.card import DAMAGED
from segtool.errors import ModelError
from segtool.files import write_whole

CHECKPOINT = "checkpoint.npz"
SUM = "g"  # names gradients being added up


@dataclass(frozen=True)
class Progress:
    """How far a run is: epochs done, the best val score and its epoch, a history row an epoch, seconds spent.

    `batch_size` and `accumulate` are what memory allowed for, which may be less at once than was asked for.
    """

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    history: tuple[dict[str, float], ...] = field(default_factory=tuple)
    batch_size: int = 0
    accumulate: int = 1


def save_checkpoint(path: Path, model: keras.Model, progress: Progress) -> None:
    """Writes the variables of `model` and its optimizer beside `progress`."""
    # Our own file: Keras' callbacks forget best score and patience, and two files could be of two epochs after a kill.
    arrays = {name: keras.ops.convert_to_numpy(v.value) for name, v in _variables(model).items()}
    buffer = io.BytesIO()
    np.savez(buffer, progress=np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8), **arrays)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path, model: keras.Model) -> Progress:
    """Restores what `save_checkpoint` wrote into a compiled `model`. Raises ModelError when it does not fit.

    Gradients being added up may be missing on either side: a run goes on in smaller batches where memory ran out.
    """
    progress, arrays = _read(path, arrays=True)
    variables = _variables(model)
    if _shapes(arrays) != _shapes(variables):
        raise ModelError(f"The checkpoint {path} belongs to another network.")
    for name, variable in variables.items():
        if name in arrays:
            variable.assign(arrays[name])
    return progress


def read_progress(path: Path) -> Progress:
    """Returns how far the run of a checkpoint is. Raises ModelError when it is missing or damaged."""
    return _read(path, arrays=False)[0]


def _read(path: Path, *, arrays: bool) -> tuple[Progress, dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            raw: dict[str, Any] = json.loads(stored["progress"].tobytes())
            names = [name for name in stored.files if name != "progress"] if arrays else []
            return Progress(**{**raw, "history": tuple(raw["history"])}), {name: stored[name] for name in names}
    except FileNotFoundError:
        raise ModelError(f"There is no checkpoint {path} to resume from.") from None
    except (KeyError, TypeError, *DAMAGED) as error:
        raise ModelError(f"The checkpoint {path} is damaged ({error}).") from error


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the variables by name, gradients being added up apart from the optimizer's others."""
    # By position: Keras numbers the layers it names itself anew in every process.
    sums = {id(v) for v in getattr(model.optimizer, "_accumulated_gradients", ())}
    adding = [v for v in model.optimizer.variables if id(v) in sums]
    others = [v for v in model.optimizer.variables if id(v) not in sums]
    kinds = (("v", model.variables), ("o", others), (SUM, adding))
    return {f"{kind}{i:05}": v for kind, variables in kinds for i, v in enumerate(variables)}


def _shapes(arrays: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(a.shape) for name, a in arrays.items() if not name.startswith(SUM)}
