"""Files written whole or not at all: under a temporary name first, then renamed."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from segtool.errors import OutputError, SegtoolError

ONE_FILE_ONLY = frozenset((errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR))
_numbers = count()


@contextmanager
def staged(path: Path, content: bytes) -> Iterator[Path]:
    """Gives the temporary file that holds `content`, to be renamed to `path` when the block ends without error.

    A rename keeps size and modification time, so what the block records of the temporary file is true of the final.
    Raises OutputError when the folder cannot be written (full, read-only, gone), SegtoolError when this name cannot.
    """
    # Host and pid in the name: two machines may share the folder, and a crash must leave a name we can recognise.
    # The final name is not in it, which may be as long as names can be.
    partial = path.with_name(f".segtool.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        yield partial
        partial.replace(path)
    except OSError as error:
        sentence = f"Cannot write {path}: {error.strerror or error}."
        raise (SegtoolError if error.errno in ONE_FILE_ONLY else OutputError)(sentence) from error
    finally:
        with suppress(OSError):  # where nothing could be written, nothing can be removed
            partial.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` to `path`: a reader sees all of it or none. Raises OutputError."""
    with staged(path, content):
        pass
