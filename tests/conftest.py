"""What tests share: the command line as a user runs it, drawn datasets, and real photos where there are any."""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

from segtool.cli import main
from segtool.commands.synth import synth
from segtool.options import SynthOptions
from segtool.report.notices import Show

PROJECT = Path(__file__).resolve().parent.parent
REAL_DATA = PROJECT.parent / "shared" / "data"
pytest_plugins = ("quick_runs",)  # its fixtures
TERMINAL = {"COLUMNS": "80", "NO_COLOR": "1"}


def load_script(path: str) -> ModuleType:
    """Returns a script of the project as a module, which is in no package: `weights/scores.py`."""
    spec = importlib.util.spec_from_file_location(path.removesuffix(".py").replace("/", "_"), PROJECT / path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Said:
    """What a run of the command line said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Said]


@pytest.fixture(scope="session")
def segtool() -> Run:
    """Runs `segtool ARGS…` within this process, which has TensorFlow imported once for all."""

    def run(*args: object, cwd: Path | None = None) -> Said:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(cwd or Path.cwd()),
            mock.patch.object(sys, "argv", ["segtool", *map(str, args)]), mock.patch.dict(os.environ, TERMINAL),
            # float32 on every machine: bfloat16, once set, holds for all the tests to come.
            mock.patch("segtool.engine.precision.CPU_INFO", Path(os.devnull)),
        ):  # fmt: skip
            try:
                main()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Said(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def segtool_process() -> Run:
    """Runs `segtool ARGS…` in a process of its own, as a shell does."""

    def run(*args: object, cwd: Path | None = None) -> Said:
        command = [sys.executable, "-m", "segtool", *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **TERMINAL})
        return Said(done.returncode, done.stdout, done.stderr)

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
