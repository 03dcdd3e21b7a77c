"""Files that lie: each is a picture or an ImageError that names it, soon, in silence, and leaves no memory behind."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hostile_files import hostile_files

SECONDS = 10  # for one file, on a machine that does much else
MEGABYTES = 400  # for one file: the largest that are read are of 4 megapixels
ROUNDS = 12
LEFT_BEHIND = 16 << 20  # bytes, over all the rounds; what allocators keep of several threads is less

# A process of its own, for only there nothing else writes to stderr, takes memory or changes the filters of warnings.
READER = """
import gc, json, pathlib, re, sys, time
import numpy as np
from segtool.errors import ImageError
from segtool.imaging.codec import read_image, read_resized

def kib(name):
    status = pathlib.Path("/proc/self/status")
    return int(re.search(name + r":\\s+(\\d+)", status.read_text())[1]) if status.exists() else 0

def read(path):
    try:
        pixels = read_image(path, notice=lambda text: None)
    except ImageError as error:
        return str(error)
    return [list(pixels.shape), str(pixels.dtype), pixels.flags.c_contiguous]

def read_small(path):
    try:
        pixels, size = read_resized(path, lambda height, width: (1, 1), notice=lambda text: None)
    except ImageError as error:
        return str(error)
    return [[*size, 3], str(pixels.dtype), pixels.flags.c_contiguous]

paths = sorted(pathlib.Path(sys.argv[1]).iterdir())
outcomes, small = {}, {}
for path in paths:
    before, start = kib("VmRSS"), time.process_time()
    if before:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    outcome = read(path)
    outcomes[path.name] = [outcome, time.process_time() - start, kib("VmHWM") - before]
    small[path.name] = read_small(path)
bad = [path for path in paths if isinstance(outcomes[path.name][0], str)]
held = []
for _ in range(int(sys.argv[2])):
    for path in bad:
        read(path)
        read_small(path)
    gc.collect()
    held.append(kib("VmRSS"))
json.dump({"outcomes": outcomes, "small": small, "held": held}, sys.stdout)
"""


@dataclass(frozen=True)
class Reading:
    """What came of one file: shape, dtype and contiguity of the pixels, or the sentence of the error."""

    outcome: Any
    seconds: float
    megabytes: float


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "hostile"
    folder.mkdir()
    for name, data in hostile_files().items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def reader(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "default", "-c", READER, str(folder), str(ROUNDS)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def readings(reader: subprocess.CompletedProcess[str]) -> dict[str, Reading]:
    assert reader.returncode == 0, reader.stderr
    outcomes = json.loads(reader.stdout)["outcomes"]
    return {name: Reading(outcome, seconds, kib / 1024) for name, (outcome, seconds, kib) in outcomes.items()}


def test_there_are_enough_files_of_either_end(readings: dict[str, Reading]) -> None:
    errors = sum(isinstance(reading.outcome, str) for reading in readings.values())
    assert len(readings) >= 350
    assert len({Path(name).stem.casefold() for name in readings}) == len(readings)
    assert errors >= 150
    assert len(readings) - errors >= 150


def test_every_file_gives_pixels_or_a_sentence_that_names_it(folder: Path, readings: dict[str, Reading]) -> None:
    for name, reading in readings.items():
        if isinstance(reading.outcome, str):
            assert reading.outcome.startswith(f"{folder / name} "), name
            assert re.search(r"[.)]$", reading.outcome), name
            assert "\n" not in reading.outcome, name
            assert "Error" not in reading.outcome.removeprefix(str(folder)), name
        else:
            shape, dtype, contiguous = reading.outcome
            assert len(shape) == 3, name
            assert shape[2] == 3, name
            assert min(shape) > 0, name
            assert dtype == "uint8", name
            assert contiguous, name


def test_every_file_is_the_same_picture_or_the_same_error_when_it_is_decoded_small(
    reader: subprocess.CompletedProcess[str], readings: dict[str, Reading]
) -> None:
    small = json.loads(reader.stdout)["small"]
    assert small == {name: reading.outcome for name, reading in readings.items()}


def test_no_file_takes_long(readings: dict[str, Reading]) -> None:
    assert [name for name, reading in readings.items() if reading.seconds > SECONDS] == []


def test_no_file_takes_more_memory_than_its_pixels(readings: dict[str, Reading]) -> None:
    assert {name: reading.megabytes for name, reading in readings.items() if reading.megabytes > MEGABYTES} == {}


def test_nothing_is_written_to_stderr(reader: subprocess.CompletedProcess[str]) -> None:
    assert reader.stderr == ""


def test_bad_files_leave_no_memory_behind(reader: subprocess.CompletedProcess[str]) -> None:
    held = json.loads(reader.stdout)["held"]
    assert (held[-1] - held[len(held) // 3]) * 1024 < LEFT_BEHIND, held


@pytest.mark.parametrize("kind", ["huge", "beyond 32 bits"])
def test_pictures_beyond_the_limit_are_refused_without_decoding(readings: dict[str, Reading], kind: str) -> None:
    refused = {name: reading for name, reading in readings.items() if name.startswith(kind)}
    assert len(refused) >= 2
    for name, reading in refused.items():
        assert "--max-pixels" in reading.outcome, name
        assert reading.megabytes < 20, name


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_strips_of_one_pixel_are_read_at_their_size(readings: dict[str, Reading], kind: str) -> None:
    suffix = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif"}[kind]
    assert readings[f"20000 by 1 in {kind}{suffix}"].outcome[0] == [1, 20000, 3]
    assert readings[f"1 by 20000 in {kind}{suffix}"].outcome[0] == [20000, 1, 3]


def test_a_wrong_suffix_does_not_matter(readings: dict[str, Reading]) -> None:
    misnamed = [reading for name, reading in readings.items() if " called " in name]
    assert len(misnamed) >= 10
    assert all(reading.outcome[0] == [17, 23, 3] for reading in misnamed)


def test_a_broken_profile_or_exif_does_not_matter(readings: dict[str, Reading]) -> None:
    lying = [reading for name, reading in readings.items() if " exif as " in name or name.startswith("profile in ")]
    assert len(lying) >= 10
    assert all(reading.outcome[0] == [17, 23, 3] for reading in lying)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest undoes the filter of segtool.imaging.source
def test_a_folder_of_them_gets_masks_and_a_sentence_for_each_that_has_none(
    folder: Path, readings: dict[str, Reading], segtool: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = segtool("mask", folder, out, "-w", "shapes")
    assert done.returncode == 3, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    masks = {path.stem for path in out.rglob("*.png")}
    for name, reading in readings.items():
        if isinstance(reading.outcome, str):
            assert name in done.stderr
            assert Path(name).stem not in masks
        else:
            assert Path(name).stem in masks
