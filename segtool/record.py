"""The run record `segtool.jsonl` in an output folder: a line a file, what was made from what (DESIGN section 5)."""

import errno
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import portalocker

from segtool.errors import OutputError
from segtool.files import RECORD, is_record, key_of_temporary, make_folder, name_key, stale_files

Shard = tuple[int, int]  # I of N, from 1


@dataclass(frozen=True)
class Stamp:
    """How a file looked: bytes and modification time in nanoseconds."""

    size: int
    mtime_ns: int

    @staticmethod
    def of(path: str | Path) -> "Stamp":
        """Returns the stamp of a file. Raises FileNotFoundError when it is not there."""
        status = os.stat(path)  # of 200,000 texts, making Paths would take longer than looking
        return Stamp(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Entry:
    """One output made: from what, with what, and how it looked when it was done."""

    kind: str
    input: str
    source: Stamp
    output: Stamp
    weights: str
    settings: str
    precision: str | None = None


@dataclass(frozen=True)
class Records:
    """All entries by output path as recorded (relative to the folder; absolute for those outside), oldest first.

    All of them, because a run killed between its record and its rename leaves the output of an earlier entry.
    """

    by_output: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    def owner(self, path: str) -> str | None:
        """Returns the input that the output at `path` was last made from, if any."""
        history = self.by_output.get(path, ())
        return history[-1].input if history else None

    def made(self, path: str, there: Stamp) -> Entry | None:
        """Returns the entry that left the output at `path` as it looks now: None when we did not make that."""
        return next((e for e in reversed(self.by_output.get(path, ())) if e.output == there), None)


def recorded_path(path: Path, root: Path) -> str:
    """Returns `path` as the record in `root` names it: relative with slashes, or absolute when it is outside."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return os.path.realpath(path)


def read_records(folder: Path) -> Records:
    """Returns what all records in `folder` say, those of shards too; torn and foreign lines are ignored.

    Raises OutputError when one cannot be read.
    """
    by_output: dict[str, list[Entry]] = {}
    for path in _record_files(folder):
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    for name, entry in _entries(line):
                        by_output.setdefault(name, []).append(entry)
        except OSError as error:
            raise OutputError(f"Cannot read the record {path}: {error.strerror}.") from error
    return Records(by_output)


class RecordWriter:
    """Appends lines to the record of a folder, each flushed at once; safe from any thread.

    While it is open the record is locked: a second run on the folder is refused, but for other shards of one division.
    Raises OutputError when it is, or when the folder cannot be written or is lost on the way.
    """

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        self.path = folder / (RECORD if shard is None else "segtool.{}-of-{}.jsonl".format(*shard))
        self._write_lock = threading.Lock()
        self._made = None if folder.exists() else folder
        make_folder(folder)
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror}.") from error
        try:
            _take(self._file, self.path)
        except OutputError:
            self._file.close()
            raise
        try:
            _refuse_beside(self.path, folder, shard)
            if self._file.tell() and not self._ends_whole():
                self._write(b"\n")  # a torn line must not swallow ours
        except OSError as error:
            self._leave()
            raise OutputError(f"Cannot write {self.path}: {error.strerror}.") from error
        except OutputError:
            self._leave()
            raise

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def append(self, line: Mapping[str, Any]) -> None:
        """Adds one line. Raises OutputError when the disk is full or the folder lost."""
        self.check()
        try:
            with self._write_lock:
                self._write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror}.") from error

    def check(self) -> None:
        """Raises OutputError when the record is not where it was: its folder has gone, and must not be made anew."""
        try:
            there = os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            there = False
        if not there:
            raise OutputError(f"{self.path.parent} was removed or moved while it was written to: the run ends here.")

    def _leave(self) -> None:
        with suppress(OSError), self._file:
            if not self._file.tell():  # a run that could not begin leaves no trace
                self.path.unlink()
                if self._made is not None:
                    self._made.rmdir()

    def _write(self, content: bytes) -> None:
        # Not through a buffer, which would keep what found no space, and write it later of a file that was given up.
        begin = self._file.tell()
        if self._file.write(content) < len(content):
            self._file.truncate(begin)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"


def clear_leftovers(folders: Iterable[Path], root: Path, records: Records) -> bool:
    """Settles the temporary files that killed runs left in `folders`.

    One that the record says was finished gets its name; the others are removed. Returns whether any got a name. Call it
    with the record locked.
    """
    leftovers = {os.path.realpath(folder): files for folder in folders if (files := list(stale_files(folder)))}
    # The stamp alone would not tell two apart: masks of one size are common, and clocks of file systems tick slowly.
    finished: dict[tuple[str, str | None, Stamp], Path] = {}
    for name, history in records.by_output.items() if leftovers else ():
        path = root / name  # or `name` itself where it is absolute
        if not path.exists():
            finished[os.path.realpath(path.parent), name_key(path.name), history[-1].output] = path
    named = False
    for folder, files in leftovers.items():
        for temporary in files:
            with suppress(OSError):  # somebody else was faster
                target = finished.pop((folder, key_of_temporary(temporary), Stamp.of(temporary)), None)
                if target:
                    temporary.replace(target)
                    named = True
                else:
                    temporary.unlink()
    return named


def _record_files(folder: Path) -> list[Path]:
    files = [file for file in folder.glob("segtool*.jsonl") if is_record(file.name)]
    return sorted(files, key=lambda f: f.stat().st_mtime_ns)


def _take(file: Any, path: Path, how: portalocker.LockFlags = portalocker.LOCK_EX) -> None:
    try:
        portalocker.lock(file, how | portalocker.LOCK_NB)
    except portalocker.exceptions.LockException:
        raise OutputError(
            f"{path.parent} is being written to by another segtool: wait for it, or name another folder."
        ) from None


def _refuse_beside(own: Path, folder: Path, shard: Shard | None) -> None:
    """Raises OutputError when a run is on that would do the same pictures: any but shards of the same division."""
    siblings = f"-of-{shard[1]}.jsonl" if shard else None
    for path in _record_files(folder):
        if path != own and not (siblings and path.name.endswith(siblings)):
            # Shared, or shards that start together would take each other for the owner.
            with suppress(FileNotFoundError), path.open("rb") as file:
                _take(file, path, portalocker.LOCK_SH)


def _entries(line: str) -> Iterator[tuple[str, Entry]]:
    try:
        raw = json.loads(line)
        if raw["status"] != "done":
            return
        source = Stamp(raw["size"], raw["mtime_ns"])
        for kind, made in raw["outputs"].items():
            path = made["path"]
            if isinstance(path, str):
                output = Stamp(made["size"], made["mtime_ns"])
                shaped = raw["weights"], made["settings"], raw.get("precision")
                yield path, Entry(kind, raw["input"], source, output, *shaped)
    except (ValueError, KeyError, TypeError, AttributeError):
        return
