"""The run record `segtool.jsonl` in an output folder: a line a file, what was made from what (DESIGN section 5)."""

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from segtool.errors import OutputError

RECORD = "segtool.jsonl"


@dataclass(frozen=True)
class Stamp:
    """How a file looked: bytes and modification time in nanoseconds."""

    size: int
    mtime_ns: int

    @staticmethod
    def of(path: Path) -> "Stamp":
        """Returns the stamp of a file. Raises FileNotFoundError when it is not there."""
        status = path.stat()
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


@dataclass(frozen=True)
class Records:
    """All entries by output path relative to the folder, oldest first.

    All of them, because a run killed between its record and its rename leaves the output of an earlier entry.
    """

    by_output: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    def owner(self, relative: Path) -> str | None:
        """Returns the input that the output at `relative` was last made from, if any."""
        history = self.by_output.get(relative.as_posix(), ())
        return history[-1].input if history else None


def read_records(folder: Path) -> Records:
    """Returns what the record in `folder` says; torn and foreign lines are ignored. Raises OutputError."""
    by_output: dict[str, list[Entry]] = {}
    try:
        with (folder / RECORD).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                for path, entry in _entries(line):
                    by_output.setdefault(path, []).append(entry)
    except FileNotFoundError:
        return Records()
    except OSError as error:
        raise OutputError(f"Cannot read the record {folder / RECORD}: {error.strerror}.") from error
    return Records(by_output)


class RecordWriter:
    """Appends lines to the record of a folder, each flushed at once; safe from any thread."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror}.") from error
        if self._file.tell() and not self._ends_whole():
            self._file.write(b"\n")  # a torn line must not swallow ours

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # every line was flushed; on a full disk, closing would hide the error that said so
            self._file.close()

    def append(self, line: Mapping[str, Any]) -> None:
        """Adds one line. Raises OutputError when the disk is full or gone."""
        try:
            with self._lock:
                self._file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
                self._file.flush()
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror}.") from error

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"


def _entries(line: str) -> list[tuple[str, Entry]]:
    try:
        raw = json.loads(line)
        if raw["status"] != "done":
            return []
        source = Stamp(raw["size"], raw["mtime_ns"])
        return [
            (
                Path(made["path"]).as_posix(),  # TypeError where it is no text
                Entry(
                    kind, raw["input"], source, Stamp(made["size"], made["mtime_ns"]), raw["weights"], made["settings"]
                ),
            )
            for kind, made in raw["outputs"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
