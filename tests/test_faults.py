"""What can go wrong while a run lasts, made to go wrong: kills, full disks, folders and pictures that vanish, others on
the same folder. Nothing is lost, nothing half-written keeps a final name, and the next run completes.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import portalocker
import pytest
from conftest import TERMINAL, Run
from PIL import Image
from quick_network import network

from segtool import outputs as segtool_outputs
from segtool.errors import OutputError
from segtool.files import staged
from segtool.imaging.codec import Pixels, Size, SizeOf, read_image, read_resized
from segtool.imaging.geometry import Probability
from segtool.pipeline import Predict, Predictor
from segtool.record import RecordWriter, clear_leftovers, read_records

QUICK = [sys.executable, str(Path(__file__).with_name("quick_network.py"))]
REAL = [sys.executable, "-m", "segtool"]
DEADLINE = 300  # seconds after which a hang is one


def links(shapes: Path, folder: Path, count: int) -> Path:
    """Fills `folder` with `count` hard links to the shapes dataset's pictures."""
    folder.mkdir(parents=True)
    sources = sorted((shapes / "train/images").iterdir())
    for index in range(count):
        (folder / f"{index:05}.png").hardlink_to(sources[index % len(sources)])
    return folder


def begin(*args: object, pause: float = 0.0, death: str = "never", real: bool = False, **popen: Any) -> Any:
    """Starts `segtool mask ARGS… -q` on the shapes weights, in float32, with the quick network unless `real`."""
    program = REAL if real else [*QUICK, str(pause), death]
    command = [*program, "mask", *map(str, args), "-w", "shapes", "--precision", "float32", "-q"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | popen
    return subprocess.Popen(command, env={**os.environ, **TERMINAL}, **pipes)


def end(process: Any) -> tuple[int, list[str]]:
    """Waits, and returns the exit code and the lines on stderr."""
    with process:
        _, told = process.communicate(timeout=DEADLINE)
    return process.returncode, told.splitlines()


def made(folder: Path) -> dict[str, bytes]:
    """Returns the masks in `folder` by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def recorded(folder: Path) -> list[dict[str, Any]]:
    """Returns all lines of all records in `folder` that are whole."""
    lines = [line for path in folder.glob("segtool*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.endswith("}") and line.count('"status"') == 1]


def done_by_output(folder: Path) -> Counter[str]:
    return Counter(line["outputs"]["mask"]["path"] for line in recorded(folder) if line["status"] == "done")


def wait_for(condition: Callable[[], bool], process: Any) -> None:
    """Returns as soon as `condition` holds or the process has ended."""
    latest = time.monotonic() + DEADLINE
    while process.poll() is None and not condition():
        assert time.monotonic() < latest
        time.sleep(0.001)


@contextmanager
def stopped(process: Any, out: Path, masks: int = 4) -> Iterator[None]:
    """Holds a run still, once it has made some masks, for as long as the block lasts."""
    wait_for(lambda: len(list(out.glob("*.png"))) >= masks, process)
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.05)
    assert process.poll() is None
    yield
    process.send_signal(signal.SIGCONT)


def temporary(folder: Path) -> list[Path]:
    return list(folder.rglob(".segtool*"))


@pytest.fixture(scope="module")
def undisturbed(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The masks of 300 pictures as a run makes them that nothing disturbs. By the quick network."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert end(begin(links(shapes, folder / "photos", 300), folder / "out"))[0] == 0
    return made(folder / "out")


def kill_often(photos: Path, out: Path, kills: int, expected: dict[str, bytes], **how: Any) -> None:
    """Kills a run at `kills` random moments, each time further on, then lets it end; checks all that is promised."""
    moments, record = random.Random(1), out / "segtool.jsonl"
    line = 500  # bytes, about
    for _ in range(kills):
        more = moments.choice([0, 1, 2, 2]) * len(expected) // kills
        size = (record.stat().st_size if record.exists() else 0) + moments.uniform(0, 1) * more * line
        with begin(photos, out, **how) as process:
            wait_for(lambda: record.exists() and record.stat().st_size >= size, process)  # noqa: B023
            time.sleep(moments.uniform(0, 0.02 if more else 1.0))
            process.kill()
        there = made(out) if out.exists() else {}
        assert there.items() <= expected.items()
    assert end(begin(photos, out, **how)) == (0, [])
    assert made(out) == expected
    assert temporary(out) == []
    assert set(done_by_output(out).values()) == {1}
    assert done_by_output(out).keys() == expected.keys()


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_often_gives_what_an_undisturbed_one_gives(
    kills: int, shapes: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    kill_often(links(shapes, tmp_path / "photos", 300), tmp_path / "out", kills, undisturbed, pause=0.01)


@pytest.mark.slow
def test_a_real_run_that_is_killed_often_gives_what_an_undisturbed_one_gives(shapes: Path, tmp_path: Path) -> None:
    photos = links(shapes, tmp_path / "photos", 300)
    assert end(begin(photos, tmp_path / "undisturbed", real=True)) == (0, [])
    kill_often(photos, tmp_path / "out", 20, made(tmp_path / "undisturbed"), real=True)


@pytest.mark.parametrize("place", ["half-written", "half-recorded", "recorded", "renamed"])
def test_a_run_killed_at_the_worst_moment_is_completed_by_the_next(
    place: str, shapes: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    photos, out = links(shapes, tmp_path / "photos", 40), tmp_path / "out"
    expected = {name: undisturbed[name] for name in sorted(undisturbed)[:40]}
    code, _ = end(begin(photos, out, death=f"{place}:13"))
    assert code == -signal.SIGKILL
    assert made(out).items() < expected.items()
    assert end(begin(photos, out)) == (0, [])
    assert made(out) == expected
    assert temporary(out) == []
    assert set(done_by_output(out).values()) == {1}


def test_a_kill_between_the_names_of_several_outputs_loses_none(shapes: Path, tmp_path: Path) -> None:
    photos = links(shapes, tmp_path / "photos", 20)
    reference, out = [[tmp_path / name, "--overlays", tmp_path / f"{name}-overlays"] for name in ("reference", "out")]
    assert end(begin(photos, *reference))[0] == 0
    for number in (5, 8):  # of an even number of renames: once within a picture, whichever begins
        assert end(begin(photos, *out, death=f"renamed:{number}"))[0] == -signal.SIGKILL
    assert end(begin(photos, *out)) == (0, [])
    for name in ("", "-overlays"):
        assert made(tmp_path / f"out{name}") == made(tmp_path / f"reference{name}")
        assert temporary(tmp_path / f"out{name}") == []


def test_finished_files_of_one_size_and_time_get_their_own_names_after_a_kill(tmp_path: Path) -> None:
    """Clocks of file systems tick every few milliseconds, and masks of one size are common."""
    names = [f"{i}.png" for i in range(4)]
    unfinished = [staged(tmp_path / name, name.encode()) for name in names]
    source = {"status": "done", "size": 1, "mtime_ns": 1, "weights": ""}
    with RecordWriter(tmp_path) as record:
        for name, stage in zip(names, unfinished, strict=True):
            partial = stage.__enter__()
            os.utime(partial, ns=(1, 1))
            if name != "3.png":  # killed before the last of them was recorded
                made = {"path": name, "settings": "", "size": 5, "mtime_ns": 1}
                record.append({**source, "input": name, "outputs": {"mask": made}})
    assert clear_leftovers([tmp_path], tmp_path, read_records(tmp_path))
    there = {p.name: p.read_bytes().decode() for p in tmp_path.glob("*.png")}
    assert there == {name: name for name in names[:3]}
    assert temporary(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_run_with_all_finished_masks_whole_and_the_next_goes_on(
    small_disk: Path, shapes: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    photos, out = links(shapes, tmp_path / "photos", 300), small_disk / "out"
    for _ in range(2):  # full from the middle on, and full from the beginning
        code, told = end(begin(photos, out))
        assert (code, len(told)) == (1, 1)
        assert "No space left" in told[0]
        assert 0 < len(made(out)) < 300
        assert made(out).items() < undisturbed.items()
        assert temporary(out) == []
        assert {line["status"] for line in recorded(out)} == {"done"}
        assert done_by_output(out) == Counter(made(out).keys())
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert end(begin(photos, out)) == (0, [])
    assert made(out) == undisturbed
    assert set(done_by_output(out).values()) == {1}


def test_on_a_full_disk_the_record_holds_what_was_appended_and_nothing_else(small_disk: Path) -> None:
    filler, appended = small_disk / "filler", []
    with RecordWriter(small_disk / "out") as record:
        filler.write_bytes(b"0" * 390_000)
        with pytest.raises(OutputError, match="No space left"):
            for number in range(1000):
                record.append({"number": number, "long": "x" * 1000})
                appended.append(number)
        filler.unlink()
        record.append({"number": -1})
    lines = (small_disk / "out/segtool.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [*appended, -1]


@pytest.mark.parametrize("gone", ["removed", "moved"])
def test_an_output_folder_that_vanishes_ends_the_run_and_is_not_made_anew(
    gone: str, shapes: Path, tmp_path: Path
) -> None:
    photos, out, elsewhere = links(shapes, tmp_path / "photos", 300), tmp_path / "out", tmp_path / "elsewhere"
    process = begin(photos, out, pause=0.1)
    with stopped(process, out):
        out.rename(elsewhere)
        if gone == "removed":
            shutil.rmtree(elsewhere)
    code, told = end(process)
    assert (code, len(told)) == (1, 1), told
    assert f"{out}" in told[0]
    assert made(out) == {}
    assert not out.exists() or list(out.iterdir()) == []
    if gone == "moved":
        assert end(begin(photos, elsewhere)) == (0, [])
        assert len(made(elsewhere)) == 300
        assert temporary(elsewhere) == []
        assert set(done_by_output(elsewhere).values()) == {1}


def test_a_picture_deleted_in_mid_run_is_named_and_the_others_are_done(shapes: Path, tmp_path: Path) -> None:
    photos, out = links(shapes, tmp_path / "photos", 200), tmp_path / "out"
    process = begin(photos, out, pause=0.1)
    with stopped(process, out):
        (photos / "00199.png").unlink()
    code, told = end(process)
    assert (code, len(told)) == (3, 1)
    assert "00199.png" in told[0] and "No such file" in told[0]
    assert len(made(out)) == 199


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_a_second_signal_leaves_at_once_and_the_next_run_completes(
    first: signal.Signals, second: signal.Signals, shapes: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    photos, out = links(shapes, tmp_path / "photos", 300), tmp_path / "out"
    process = begin(photos, out, pause=5)
    wait_for(lambda: len(list(out.glob("*.png"))) > 0, process)
    process.send_signal(first)
    time.sleep(0.3)  # signals that arrive together are one
    assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(second)
    code, told = end(process)
    assert time.monotonic() - begun < 4
    assert (code, told) == (-second, [])
    assert made(out).items() < undisturbed.items()
    assert end(begin(photos, out)) == (0, [])
    assert made(out) == undisturbed
    assert temporary(out) == []


def test_two_shards_at_once_do_every_picture_once(shapes: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    photos, out = links(shapes, tmp_path / "photos", 300), tmp_path / "out"
    both = [begin(photos, out, "--shard", f"{i}/2", pause=0.02) for i in (1, 2)]
    assert [end(process) for process in both] == [(0, []), (0, [])]
    assert made(out) == undisturbed
    assert done_by_output(out) == Counter(undisturbed.keys())
    assert {p.name for p in out.glob("*.jsonl")} == {"segtool.1-of-2.jsonl", "segtool.2-of-2.jsonl"}
    assert end(begin(photos, out)) == (0, [])
    assert set(done_by_output(out).values()) == {1}, "an unsharded run does nothing again"


def test_shards_that_start_together_do_not_refuse_each_other_for_an_older_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordWriter(tmp_path) as record:
        record.append({"status": "failed"})
    lock, together = portalocker.lock, Barrier(4)

    def lock_long(*args: Any) -> None:
        lock(*args)
        time.sleep(0.05)

    def start(number: int) -> str:
        together.wait()
        try:
            with RecordWriter(tmp_path, (number, 4)):
                time.sleep(0.3)
        except OutputError as error:
            return str(error)
        return "done"

    monkeypatch.setattr(portalocker, "lock", lock_long)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, (1, 2, 3, 4))) == ["done"] * 4


@pytest.mark.parametrize(
    ("shard", "other"), [((), ()), (("--shard", "1/2"), ()), ((), ("--shard", "1/2")), (("--shard", "1/2"),) * 2,
                         (("--shard", "1/2"), ("--shard", "2/3"))],
)  # fmt: skip
def test_a_second_run_on_the_same_pictures_is_refused_and_the_first_is_unharmed(
    shard: tuple[str, ...], other: tuple[str, ...], shapes: Path, tmp_path: Path
) -> None:
    photos, out = links(shapes, tmp_path / "photos", 60), tmp_path / "out"
    first = begin(photos, out, *shard, pause=0.1)
    with stopped(first, out):
        code, told = end(begin(photos, out, *other))
    assert (code, len(told)) == (1, 1)
    assert f"{out} is being written to by another segtool" in told[0]
    assert end(first) == (0, [])
    assert end(begin(photos, out)) == (0, [])
    assert set(done_by_output(out).values()) == {1}
    assert len(made(out)) == 60


def test_a_run_that_could_not_begin_leaves_no_trace(shapes: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "failed.txt"
    out.mkdir()
    mine.write_text("a list of mine")
    code, _ = end(begin(shapes / "val/images", out, "--failed-list", mine))
    assert code == 1
    assert list(out.iterdir()) == []


def test_a_torn_last_line_costs_one_picture(shapes: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    photos, out = links(shapes, tmp_path / "photos", 20), tmp_path / "out"
    assert end(begin(photos, out))[0] == 0
    last = recorded(out)[-1]["outputs"]["mask"]["path"]
    (out / last).unlink()  # it gets its name once the line is there
    record = out / "segtool.jsonl"
    record.write_bytes(record.read_bytes()[:-50])
    assert end(begin(photos, out)) == (0, [])
    assert done_by_output(out) == Counter(made(out).keys())
    assert len(made(out)) == 20


def test_temporary_files_of_killed_runs_are_removed_but_not_those_of_another_machine(
    shapes: Path, tmp_path: Path
) -> None:
    photos, out, lists = links(shapes, tmp_path / "photos", 3), tmp_path / "out", tmp_path / "lists"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom segtool.files import staged\n"
        "stages = [staged(Path(path), b'half') for path in sys.argv[1:]]\n"
        "[stage.__enter__() for stage in stages]\nos._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", script, out / "a.png", out / "new/b.png", lists / "failed.txt"])
    assert len(temporary(tmp_path)) == 3
    (mine,) = temporary(lists)
    foreign = out / mine.name.replace(os.uname().nodename, "another-machine")
    foreign.write_bytes(b"half")
    (photos / "new").mkdir()
    (photos / "new/b.png").hardlink_to(photos / "00000.png")
    assert end(begin(photos, out, "--failed-list", lists / "failed.txt")) == (0, [])
    assert temporary(tmp_path) == [foreign]


@pytest.mark.parametrize("option", ["--json", "--dry-run"])
def test_a_reader_that_goes_away_ends_the_run_in_silence(option: str, shapes: Path, tmp_path: Path) -> None:
    photos, out = links(shapes, tmp_path / "photos", 2000), tmp_path / "out"
    process = begin(photos, out, option)
    assert process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    process.wait(timeout=DEADLINE)
    assert (process.returncode, told) == (1, "")
    if option == "--json":
        assert len(made(out)) < 2000
        assert {line["status"] for line in recorded(out)} == {"done"}
        assert done_by_output(out) == Counter(made(out).keys())
        assert temporary(out) == []


@pytest.fixture
def photos(shapes: Path, tmp_path: Path) -> Path:
    return links(shapes, tmp_path / "photos", 12)


@pytest.fixture
def masks(quick: None, photos: Path, segtool: Run, tmp_path: Path) -> dict[str, bytes]:
    assert segtool("mask", photos, tmp_path / "reference", "-w", "shapes").returncode == 0
    return made(tmp_path / "reference")


@pytest.mark.parametrize(
    ("module", "function", "error", "sentence"),
    [
        ("rendering", "encode_png", RuntimeError("index out of reach"), "met a bug in segtool (RuntimeError: index"),
        ("outputs", "read_resized", ValueError("what?"), "met a bug in segtool (ValueError: what?)"),
        ("outputs", "read_resized", MemoryError(), "needs more memory than there is"),
        ("outputs", "read_resized", RecursionError(), "met a bug in segtool"),
        ("segmentation", "to_mask", MemoryError(), "needs more memory than there is"),
        ("segmentation", "confidence", SystemError(), "met a bug in segtool"),
    ],
)
def test_a_worker_that_fails_unexpectedly_costs_one_named_picture(
    module: str, function: str, error: Exception, sentence: str, photos: Path, masks: dict[str, bytes], segtool: Run,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    home = sys.modules[f"segtool.{module}"]
    working = getattr(home, function)
    calls: list[int] = []

    def failing(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise error
        return working(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(home, function, failing)
        done = segtool("mask", photos, tmp_path / "out", "-w", "shapes", "-q")
    assert done.returncode == 3
    (told,) = done.stderr.splitlines()
    (missing,) = masks.keys() - made(tmp_path / "out").keys()
    assert f"{photos / missing} {sentence}" in told
    assert segtool("mask", photos, tmp_path / "out", "-w", "shapes", "-q").returncode == 0
    assert made(tmp_path / "out") == masks


@pytest.fixture(scope="module")
def telling_memory() -> Callable[[Predict], Predict]:
    """The real network's way of noticing that memory ran out."""
    from segtool.engine.predictor import telling_memory

    return telling_memory


def predict_up_to(
    most: int, monkeypatch: pytest.MonkeyPatch, telling_memory: Callable[[Predict], Predict]
) -> list[int]:
    """Lets the quick network run out of memory for batches of more than `most`; returns the sizes it is asked for."""
    sizes: list[int] = []
    quick = network(0.0)
    load = quick.load_predictor

    def load_predictor(*args: Any, **options: Any) -> Predictor:
        predictor: Predictor = load(*args, **options)

        def limited(batch: Pixels) -> Probability:
            sizes.append(len(batch))
            if len(batch) > most:
                raise RuntimeError("RESOURCE_EXHAUSTED: OOM when allocating tensor with shape[8,64,64,32]")
            return predictor.predict(batch)

        return replace(predictor, predict=telling_memory(limited))

    monkeypatch.setattr(quick, "load_predictor", load_predictor)
    monkeypatch.setitem(sys.modules, "segtool.engine.predictor", quick)
    return sizes


def test_a_batch_that_does_not_fit_is_halved_with_one_notice_and_the_masks_are_the_same(
    photos: Path, segtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    telling_memory: Callable[[Predict], Predict],
) -> None:  # fmt: skip
    predict_up_to(12, monkeypatch, telling_memory)
    assert segtool("mask", photos, tmp_path / "reference", "-w", "shapes", "--batch-size", 12).returncode == 0
    sizes = predict_up_to(2, monkeypatch, telling_memory)
    done = segtool("mask", photos, tmp_path / "out", "-w", "shapes", "--batch-size", 12)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if "memory" in line]) == 1
    assert max(sizes[sizes.index(2) :]) <= 2, "what did not fit is not tried again"
    assert made(tmp_path / "out") == made(tmp_path / "reference")


def test_one_picture_that_does_not_fit_the_device_ends_the_run_with_a_sentence(
    photos: Path, segtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    telling_memory: Callable[[Predict], Predict],
) -> None:  # fmt: skip
    predict_up_to(0, monkeypatch, telling_memory)
    done = segtool("mask", photos, tmp_path / "out", "-w", "shapes", "-q")
    assert done.returncode == 1
    (told,) = done.stderr.splitlines()
    assert "no memory for one picture" in told and "--device cpu" in told
    assert made(tmp_path / "out") == {}


def test_a_picture_that_changes_while_it_is_worked_on_is_made_again_by_the_next_run(
    quick: None, photos: Path, segtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, read = photos / "00003.png", read_resized
    seen: list[Path] = []

    def reading(path: Path, size_of: SizeOf, **options: Any) -> tuple[Pixels, Size]:
        found = read(path, size_of, **options)
        if path == changed and not seen:
            seen.append(path)
            pixels = read_image(changed)
            changed.unlink()  # a link: where it leads to must stay as it is
            Image.fromarray(np.ascontiguousarray(pixels[::-1])).save(changed)
        return found

    arguments = ["mask", photos, tmp_path / "out", "--overlays", tmp_path / "overlays", "-w", "shapes"]
    with monkeypatch.context() as patched:
        patched.setattr(segtool_outputs, "read_resized", reading)
        segtool(*arguments)
    assert segtool(*arguments).returncode == 0
    assert segtool("mask", photos, tmp_path / "reference", "-w", "shapes").returncode == 0
    assert made(tmp_path / "out") == made(tmp_path / "reference")
