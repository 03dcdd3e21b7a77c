"""The run record: what is appended is read again, and nothing that is torn or foreign gets in the way."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from segtool.errors import OutputError
from segtool.files import RECORD
from segtool.record import Entry, Records, RecordWriter, Stamp, read_records


def line(path: str = "a.png", *, kind: str = "mask", size: int = 1, status: str = "done") -> dict[str, Any]:
    made = {"path": path, "settings": "s", "size": size, "mtime_ns": 2}
    return {
        "input": "/in/a.jpg", "status": status, "error": None, "outputs": {kind: made}, "size": 10, "mtime_ns": 20,
        "weights": "w",
    }  # fmt: skip


def entry(*, kind: str = "mask", size: int = 1) -> Entry:
    return Entry(kind, "/in/a.jpg", Stamp(10, 20), Stamp(size, 2), "w", "s")


def write(folder: Path, *lines: dict[str, Any]) -> None:
    with RecordWriter(folder) as record:
        for each in lines:
            record.append(each)


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, line("a.png"), line("sub/ü.png"))
    assert read_records(tmp_path).by_output == {"a.png": [entry()], "sub/ü.png": [entry()]}


def test_a_folder_without_a_record_has_no_entries(tmp_path: Path) -> None:
    assert read_records(tmp_path) == Records()
    assert read_records(tmp_path / "missing") == Records()


def test_a_second_writer_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    write(tmp_path, line(size=1))
    write(tmp_path, line(size=2))
    assert read_records(tmp_path).by_output == {"a.png": [entry(size=1), entry(size=2)]}


def test_several_entries_of_an_output_are_kept_oldest_first(tmp_path: Path) -> None:
    write(tmp_path, line(size=3), line(size=1, kind="overlay"), line(size=2))
    history = read_records(tmp_path).by_output["a.png"]
    assert history == [entry(size=3), entry(size=1, kind="overlay"), entry(size=2)]


def test_several_outputs_of_a_line_are_an_entry_each(tmp_path: Path) -> None:
    both = line("a.png")
    both["outputs"]["overlay"] = {"path": "a.jpg", "settings": "s", "size": 1, "mtime_ns": 2}
    write(tmp_path, both)
    assert read_records(tmp_path).by_output == {"a.png": [entry()], "a.jpg": [entry(kind="overlay")]}


def test_a_line_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with RecordWriter(tmp_path) as record:
        record.append(line())
        assert read_records(tmp_path).by_output == {"a.png": [entry()]}


def test_a_failure_makes_no_entry(tmp_path: Path) -> None:
    write(tmp_path, line(status="failed"), {"input": "/in/b.jpg", "status": "failed", "error": "bad", "outputs": {}})
    assert read_records(tmp_path) == Records()


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_is_ignored(tmp_path: Path, cut: int) -> None:
    write(tmp_path, line("a.png"), line("b.png"))
    whole = (tmp_path / RECORD).read_bytes()
    (tmp_path / RECORD).write_bytes(whole[: -cut - 1])
    assert list(read_records(tmp_path).by_output) == ["a.png"]


def test_a_torn_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    write(tmp_path, line("a.png"), line("torn.png"))
    whole = (tmp_path / RECORD).read_bytes()
    (tmp_path / RECORD).write_bytes(whole[:-30])
    write(tmp_path, line("b.png"), line("c.png"))
    assert list(read_records(tmp_path).by_output) == ["a.png", "b.png", "c.png"]


FOREIGN = [
    b"",
    b"not json",
    b"[1, 2]",
    b"null",
    b'"done"',
    b"{}",
    b'{"status": "done"}',
    b'{"status": "done", "size": 1, "mtime_ns": 2, "outputs": null}',
    json.dumps({**line(), "outputs": {"mask": 3}}).encode(),
    json.dumps({**line(), "outputs": {"mask": {**line()["outputs"]["mask"], "path": ["a"]}}}).encode(),
    b"\xff\xfe\x00 binary",
    b"\x00" * 100,
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_line_is_ignored_and_those_around_it_count(tmp_path: Path, foreign: bytes) -> None:
    (tmp_path / RECORD).write_bytes(json.dumps(line("a.png")).encode() + b"\n" + foreign + b"\n")
    write(tmp_path, line("b.png"))
    assert list(read_records(tmp_path).by_output) == ["a.png", "b.png"]


def test_keys_that_are_unknown_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, {**line(), "foreground": {"car": 0.5}, "news": 1})
    assert read_records(tmp_path).by_output == {"a.png": [entry()]}


def test_lines_of_many_threads_are_not_mixed(tmp_path: Path) -> None:
    names = [f"{i:03}.png" for i in range(200)]
    with RecordWriter(tmp_path) as record, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: record.append(line(name)), names))
    assert sorted(read_records(tmp_path).by_output) == names


def test_a_record_that_cannot_be_opened_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / RECORD).mkdir()
    with pytest.raises(OutputError, match="Cannot read the record"):
        read_records(tmp_path)
    with pytest.raises(OutputError, match="Cannot write"):
        RecordWriter(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_output_error_to_the_end(tmp_path: Path) -> None:
    (tmp_path / RECORD).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path, line())


def test_the_last_entry_of_an_output_says_which_picture_gave_it(tmp_path: Path) -> None:
    first, second = "/in/first.jpg", "/in/second.jpg"
    write(tmp_path, {**line(), "input": first}, {**line(), "input": second})
    records = read_records(tmp_path)
    assert records.owner("a.png") == second
    assert records.owner("other.png") is None
