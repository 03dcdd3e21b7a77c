"""Files written whole or not at all: under a temporary name first, then renamed."""

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import count
from pathlib import Path

from segtool.errors import OutputError, SegtoolError

RECORD = "segtool.jsonl"  # in an output folder: what was made from what (segtool.record)
ONE_FILE_ONLY = frozenset((errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR))
_HOST = socket.gethostname()
_TEMPORARY = re.compile(r"\.segtool\.(?P<host>.+)\.(?P<pid>\d+)\.\d+\.(?P<key>[0-9a-f]{16})\.tmp")
_SHARD_RECORD = re.compile(r"segtool\.\d+-of-\d+\.jsonl")
_numbers = count()


def is_record(name: str) -> bool:
    """Returns whether a file of this name is a run record, of a whole run or of a shard."""
    return name == RECORD or _SHARD_RECORD.fullmatch(name) is not None


@contextmanager
def staged(path: Path, content: bytes) -> Iterator[Path]:
    """Gives the temporary file that holds `content`, to be renamed to `path` when the block ends without error.

    A rename keeps size and modification time, so what the block records of the temporary file is true of the final.
    Raises OutputError when the folder cannot be written (full, read-only, gone), SegtoolError when this name cannot.
    """
    # Host and pid in the name: two machines may share the folder, and a crash must leave a name we can recognise.
    # The final name is in it as a hash, since it may be as long as names can be.
    partial = path.with_name(f".segtool.{_HOST}.{os.getpid()}.{next(_numbers)}.{name_key(path.name)}.tmp")
    renamed = False
    try:
        try:
            partial.write_bytes(content)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
        yield partial
        partial.replace(path)
        renamed = True
    except OSError as error:
        sentence = f"Cannot write {path}: {error.strerror or error}."
        raise (SegtoolError if error.errno in ONE_FILE_ONLY else OutputError)(sentence) from error
    finally:
        if not renamed:
            with suppress(OSError):  # where nothing could be written, nothing can be removed
                partial.unlink()


def make_folder(folder: Path) -> None:
    """Makes `folder` and those above it, where they are not there yet. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write to {folder}: {error.strerror}.") from error


def name_key(name: str) -> str:
    """Returns what temporary names carry of the final `name`."""
    return blake2b(os.fsencode(name), digest_size=8).hexdigest()


def key_of_temporary(temporary: Path) -> str | None:
    """Returns the `name_key` of the name that a temporary file was to get."""
    found = _TEMPORARY.fullmatch(temporary.name)
    return found["key"] if found else None


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`: a reader sees all of it or none. Raises OutputError."""
    with staged(path, content):
        pass


def stale_files(folder: Path) -> Iterator[Path]:
    """Yields the temporary files in `folder` that a process of this machine left behind when it was killed."""
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for entry in listing if entry.name.startswith(".segtool.")]
    except OSError:  # not there yet
        return
    for name in names:
        temporary = _TEMPORARY.fullmatch(name)
        if temporary and temporary["host"] == _HOST and not _is_running(int(temporary["pid"])):
            yield folder / name


def _is_running(pid: int) -> bool:
    if pid == os.getpid():  # in a container numbers come again: what is ours from now on is not there yet
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
