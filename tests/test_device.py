"""Where the network runs: what is asked for is what is used, and a GPU that is not seen is told of."""

import shutil
from pathlib import Path

import pytest
from conftest import Run

from segtool.engine import device
from segtool.engine.device import INSTALL, choose_device, machine_has_gpu
from segtool.errors import SegtoolError, UsageError


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notices; no device is touched for real."""
    monkeypatch.setattr(device, "_use_only", lambda kind, index: None)
    return []


def machine(monkeypatch: pytest.MonkeyPatch, *, seen: int, there: bool) -> None:
    monkeypatch.setattr(device, "gpu_names", lambda: [f"gpu:{i}" for i in range(seen)])
    monkeypatch.setattr(device, "machine_has_gpu", lambda: there)


@pytest.mark.parametrize(
    ("asked", "seen", "chosen"),
    [("auto", 0, "cpu"), ("auto", 2, "gpu:0"), ("cpu", 2, "cpu"), ("gpu", 2, "gpu:0"), ("gpu:1", 2, "gpu:1")],
)
def test_the_device_asked_for_is_chosen(
    asked: str, seen: int, chosen: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, seen=seen, there=seen > 0)
    assert choose_device(asked, require_gpu=False, notice=told.append) == chosen
    assert told == []


def test_a_gpu_that_the_backend_does_not_see_is_told_with_what_to_install(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, seen=0, there=True)
    assert choose_device("auto", require_gpu=False, notice=told.append) == "cpu"
    (line,) = told
    assert "does not see" in line and INSTALL in line


def test_who_asks_for_the_cpu_is_told_of_no_gpu(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, seen=0, there=True)
    choose_device("cpu", require_gpu=False, notice=told.append)
    assert told == []


@pytest.mark.parametrize(("asked", "require"), [("gpu", False), ("auto", True), ("gpu:0", True)])
@pytest.mark.parametrize(("there", "reason"), [(False, "there is none"), (True, "segtool[gpu]")])
def test_a_gpu_that_is_asked_for_and_missing_is_an_error(
    asked: str, require: bool, there: bool, reason: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, seen=0, there=there)
    with pytest.raises(SegtoolError, match="A GPU is asked for") as error:
        choose_device(asked, require_gpu=require, notice=told.append)
    assert reason in str(error.value)


@pytest.mark.parametrize("asked", ["tpu", "gpu:", "gpu:x", "gpu:-1", "cpu:0", ""])
def test_a_word_that_is_no_device_is_wrong_usage(asked: str, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, seen=2, there=True)
    with pytest.raises(UsageError, match="--device"):
        choose_device(asked, require_gpu=False, notice=told.append)


def test_a_gpu_beyond_those_there_is_an_error_that_counts_them(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, seen=2, there=True)
    with pytest.raises(SegtoolError, match="gpu:0 to gpu:1"):
        choose_device("gpu:2", require_gpu=False, notice=told.append)


def test_requiring_a_gpu_on_the_cpu_is_a_contradiction(told: list[str]) -> None:
    with pytest.raises(UsageError, match="contradict"):
        choose_device("cpu", require_gpu=True, notice=told.append)


def test_a_driver_that_knows_a_gpu_is_how_a_machine_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(device, "NVIDIA", tmp_path / "gpus")
    assert not machine_has_gpu()
    (tmp_path / "gpus").mkdir()
    assert not machine_has_gpu()
    (tmp_path / "gpus" / "0000:01:00.0").mkdir()
    assert machine_has_gpu()


def test_a_run_that_requires_a_gpu_stops_before_it_writes(
    shapes: Path, segtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, seen=0, there=False)
    done = segtool("mask", shapes / "val/images", tmp_path / "out", "-w", "shapes", "--require-gpu")
    assert done.returncode == 1
    assert "A GPU is asked for, but there is none." in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_picture_that_fails_while_tensorflow_loads_is_told_and_tensorflow_says_nothing(
    shapes: Path, segtool_process: Run, tmp_path: Path
) -> None:
    broken, good = tmp_path / "broken.jpg", next((shapes / "val/images").iterdir())
    broken.write_bytes(b"no picture")
    done = segtool_process("mask", broken, good, tmp_path / "out", "-w", "shapes", "-v")
    assert done.returncode == 3
    told = [line.partition(" ")[0] for line in done.stderr.splitlines()]
    assert told[:3] == ["failed:", "cpu,", "done:"], done.stderr
