"""One command run to its end: what it took, and how fast masks came out of it. The same measure for every peer."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STEADY_FROM, STEADY_TO = 0.4, 0.9  # what is decoded while the network loads has been written by then, of 160 or more


class Failed(Exception):
    """A measured command ended with an error."""


@dataclass(frozen=True)
class Run:
    """Seconds on the clock and of all cores together, the peak of resident memory in bytes, and pictures a second of
    the middle of the run, where there was one.
    """

    wall: float
    cpu: float
    peak: int
    steady: float | None = None


def environment() -> dict[str, str]:
    """Returns this process' environment, in which `python -m segtool` is the one of this checkout, and `-m peers.…`
    is found.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), str(HERE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def run(command: list[str], *, out: Path | None = None, env: dict[str, str] | None = None) -> Run:
    """Runs a command, and looks at the files it leaves in `out`. Raises Failed with what it said.

    The caller must stay small and import neither NumPy nor TensorFlow: what a process held when it started another is
    counted as the other's peak by Linux.
    """
    known = {**environment(), **(env or {})}
    with tempfile.TemporaryFile() as told:
        begun = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told, env=known)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            told.seek(0)
            raise Failed(f"{' '.join(command)}: {told.read()[-2000:].decode(errors='replace')}")
    # Linux counts in kilobytes, macOS in bytes.
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(wall, used.ru_utime + used.ru_stime, peak, None if out is None else steady_rate(out))


def answer(command: list[str]) -> Any:
    """Returns what a command of ours prints last, which is JSON. Raises Failed with what it said otherwise."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def steady_rate(out: Path) -> float | None:
    """Returns masks a second between two fifths and the last tenth of the PNGs in a folder, by when they were
    written: neither start-up nor the last batch's drain, and any command can be asked for it.
    """
    times = sorted(path.stat().st_mtime_ns for path in out.rglob("*.png"))
    first, last = int(len(times) * STEADY_FROM), int(len(times) * STEADY_TO) - 1
    if last - first < 8 or times[last] == times[first]:  # fewer than a batch
        return None
    return (last - first) / (times[last] - times[first]) * 1e9
