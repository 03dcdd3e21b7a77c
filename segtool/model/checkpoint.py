"""The whole state of a training on disk, in one file replaced whole: variables, optimizer, history, counters."""

import io
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segtool.card import DAMAGED
from segtool.errors import ModelError
from segtool.files import write_whole

CHECKPOINT = "checkpoint.npz"


@dataclass(frozen=True)
class Progress:
    """How far a run is: epochs done, the best val score and its epoch, a history row an epoch, seconds spent."""

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0
    history: tuple[dict[str, float], ...] = field(default_factory=tuple)


def save_checkpoint(path: Path, model: keras.Model, progress: Progress) -> None:
    """Writes the variables of `model` and its optimizer beside `progress`."""
    # Our own file: Keras' callbacks forget best score and patience, and two files could be of two epochs after a kill.
    arrays = {f"v{i:05}": keras.ops.convert_to_numpy(v.value) for i, v in enumerate(_variables(model))}
    buffer = io.BytesIO()
    np.savez(buffer, progress=np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8), **arrays)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path, model: keras.Model) -> Progress:
    """Restores what `save_checkpoint` wrote into a compiled `model`. Raises ModelError when it does not fit."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            raw: dict[str, Any] = json.loads(stored["progress"].tobytes())
            arrays = [stored[name] for name in sorted(stored.files) if name != "progress"]
    except FileNotFoundError:
        raise ModelError(f"There is no checkpoint {path} to resume from.") from None
    except (KeyError, *DAMAGED) as error:
        raise ModelError(f"The checkpoint {path} is damaged ({error}).") from error
    variables = _variables(model)
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise ModelError(f"The checkpoint {path} belongs to another network.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return replace(Progress(**raw), history=tuple(raw["history"]))


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
