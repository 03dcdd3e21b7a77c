"""`segtool` with a network that needs no TensorFlow: a process of it starts in tenths of a second, so that a test can
start and kill many. All else is as installed.

Run as: python quick_network.py PAUSE DEATH ARGS…, with PAUSE seconds spent on each batch, and DEATH either `never` or
the place and the number of the call at which the process kills itself, such as `renamed:7`.
"""

import json
import os
import signal
import sys
import time
import types
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from segtool.card import read_card
from segtool.cli import main
from segtool.imaging.codec import Pixels
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predictor
from segtool.record import RecordWriter


def network(pause: float) -> types.ModuleType:
    """Returns what stands in for `segtool.engine.predictor`: the brighter a pixel, the likelier it is foreground; of
    four classes, red, green, blue and darkness are each for one.
    """

    def two(batch: Pixels) -> Probability:
        time.sleep(pause)
        return np.asarray(np.mean(batch, axis=3, keepdims=True) / 255, np.float32)

    def four(batch: Pixels) -> Probability:
        planes = np.concatenate([batch, 255 - two(batch) * 255], axis=3, dtype=np.float32) + 1
        return np.asarray(planes / planes.sum(axis=3, keepdims=True), np.float32)

    def load_predictor(path: Path, **options: Any) -> Predictor:
        card = read_card(path)
        return Predictor(two if card.binary else four, card, "float32", "cpu")

    module = types.ModuleType("segtool.engine.predictor")
    module.load_predictor = load_predictor  # type: ignore[attr-defined]
    return module


def die(death: str) -> None:
    """Makes this process kill itself at one of the places where a file is half-way to its name."""
    place, number = death.split(":")
    write, append, replace = Path.write_bytes, RecordWriter.append, Path.replace
    calls = count(1)

    def killing(before: Callable[..., object] | None, call: Callable[..., Any]) -> Any:
        def called(*args: Any) -> Any:
            is_it = next(calls) == int(number)
            if is_it and before:
                before(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args)
            if is_it:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return called

    def tear(record: RecordWriter, line: dict[str, Any]) -> None:
        record._write_lock.acquire()  # as a real append holds it: no other thread writes behind half a line
        with record.path.open("ab") as file:
            file.write(json.dumps(line).encode()[:100])

    if place == "half-written":
        Path.write_bytes = killing(lambda path, content: write(path, content[:100]), write)  # type: ignore
    elif place == "half-recorded":
        RecordWriter.append = killing(tear, append)  # type: ignore[method-assign]
    elif place == "recorded":
        RecordWriter.append = killing(None, append)  # type: ignore[method-assign]
    elif place == "renamed":
        Path.replace = killing(None, replace)  # type: ignore[method-assign]


if __name__ == "__main__":
    stand_in, death = network(float(sys.argv.pop(1))), sys.argv.pop(1)
    sys.modules[stand_in.__name__] = stand_in
    if death != "never":
        die(death)
    main()
