"""Training learns, on data that is drawn or real: minutes of work, run on demand."""

import json
from pathlib import Path

import pytest
from conftest import Run

pytestmark = pytest.mark.slow


def test_a_class_a_shape_is_learned_in_minutes(segtool_process: Run, tmp_path: Path) -> None:
    data, folder = tmp_path / "data", tmp_path / "run"
    assert segtool_process("synth", data, "--classes", "--train", 1000, "--val", 100).returncode == 0
    network = ["--stem", 2, "--depth", 3, "--width", 16, "--max-width", 128, "--batch-size", 8]
    trained = segtool_process("train", data, folder, *network, "--learning-rate", 3e-3, "--time-budget", "12m")
    assert trained.returncode == 0, trained.stderr
    scores = json.loads(segtool_process("evaluate", data, "-w", folder, "--json").stdout)
    assert scores["miou"] >= 0.9


def test_street_runs_for_an_epoch_and_reports_every_class(
    real_data: Path, segtool_process: Run, tmp_path: Path
) -> None:
    done = segtool_process("train", real_data / "street", tmp_path / "run", "--epochs", 1, "--width", 8)
    assert done.returncode == 0, done.stderr
    for name in ("sky", "building", "road", "car", "pedestrian", "bicyclist"):
        assert name in done.stdout
    scores = json.loads(segtool_process("evaluate", real_data / "street", "-w", tmp_path / "run", "--json").stdout)
    assert scores["pairs"] == 101
    assert len(scores["classes"]) == 11
    assert scores["absent"] == [name for name, of_class in scores["classes"].items() if of_class["iou"] is None]
