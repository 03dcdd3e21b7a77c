"""What tests share: the command line as a user runs it, drawn datasets, the bundled tiny weights, real photos if any."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segtool.commands.synth import synth
from segtool.options import SynthOptions
from segtool.report.notices import Show

PROJECT = Path(__file__).resolve().parent.parent
REAL_DATA = PROJECT.parent / "shared" / "data"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def segtool() -> Run:
    """Runs `segtool ARGS…` in a process of its own and returns what it said and its exit code."""

    def run(*args: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "segtool", *map(str, args)]
        environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=600)

    return run


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary dataset of shapes: 12 train and 6 val pairs of 64 pixels. Not to be changed."""
    return _synth(tmp_path_factory.mktemp("shapes") / "data", multiclass=False)


@pytest.fixture(scope="session")
def colored_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a class a shape, in `classes.json`. Not to be changed."""
    return _synth(tmp_path_factory.mktemp("colored") / "data", multiclass=True)


@pytest.fixture
def real_data() -> Path:
    """The folder of real photos with true masks, where this machine has it."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}")
    return REAL_DATA


def _synth(root: Path, *, multiclass: bool) -> Path:
    synth(SynthOptions(root, train=12, val=6, size=64, multiclass=multiclass), Show(quiet=True))
    return root
