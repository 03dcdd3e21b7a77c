"""Which pictures a run is about: files, folders and lists, each picture with the path that mirrors it below OUTPUT.

Paths are text here: of a plan for 200,000 pictures, Path objects alone took more than half the time.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from segtool.data.layout import image_names
from segtool.errors import SegtoolError, UsageError
from segtool.options import Sources

STDIN = "-"


class Source(NamedTuple):
    """One picture: `path` as a person would type it, `relative` below OUTPUT with its own suffix, and `real`, absolute,
    which is how the record knows it.
    """

    path: str
    relative: str
    real: str


class Refused(NamedTuple):
    """An entry of a list that cannot be a picture of this run, and why."""

    path: str
    reason: str


def find_sources(asked: Sources, *, skip: frozenset[str]) -> Iterator[Source | Refused]:
    """Yields every picture of `asked` in a settled order; `skip` holds the real paths of folders not to search.

    Raises UsageError when an input or the list is missing or is one of `skip`, SegtoolError when a folder cannot be
    read.
    """
    if asked.files_from is not None:
        yield from _listed(asked)
        return
    for given in asked.inputs:
        if not given.exists():
            raise UsageError(f"There is no file or folder {given}.")
        if given.is_dir() and os.path.realpath(given) in skip:
            raise UsageError(f"{given} is input and output at once: name another folder for the output.")
    prefixes = _prefixes({str(given): given.resolve() for given in asked.inputs if given.is_dir()})
    for text in map(str, asked.inputs):
        if text in prefixes:
            yield from _in_folder(text, prefixes[text], skip)
        else:
            yield Source(text, os.path.basename(text), _real(text))


def in_shard(relative: str, shard: tuple[int, int] | None) -> bool:
    """Returns whether a picture belongs to `shard`: by a hash of its path, so that no other file moves it."""
    if shard is None:
        return True
    number, of = shard
    digest = blake2b(relative.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % of == number - 1


def _in_folder(folder: str, prefix: str, skip: frozenset[str]) -> Iterator[Source]:
    real = os.path.realpath(folder)
    for name in image_names(folder, skip=skip):
        yield Source(os.path.join(folder, name), prefix + name, f"{real}/{name}")


def _prefixes(folders: dict[str, Path]) -> dict[str, str]:
    """Returns where below OUTPUT each input folder (given: resolved) is mirrored.

    One as it is; several each below their own name, as `cp -r` does, or where names repeat, below their path from the
    folder that holds them all.
    """
    if len(set(folders.values())) <= 1:
        return dict.fromkeys(folders, "")
    if len({real.name for real in folders.values()}) == len(folders):
        return {given: f"{real.name}/" for given, real in folders.items()}
    parent = os.path.commonpath([real.parent for real in folders.values()])
    return {given: f"{real.relative_to(parent).as_posix()}/" for given, real in folders.items()}


def _listed(asked: Sources) -> Iterator[Source | Refused]:
    """Yields the entries of a list, each below `root`; nothing in a list may lead out of it."""
    root = asked.root or Path()
    if not root.is_dir():
        raise UsageError(f"--root {root} is no folder.")
    top, real_top = os.path.abspath(root), os.path.realpath(root)
    for entry in _entries(asked):
        path = os.path.normpath(os.path.join(top, entry))
        if os.path.isdir(path):
            continue  # `find photos` names folders too; what they hold is for the list to say
        relative = _below(path, top) or _below(path, real_top)
        if relative is None:
            yield Refused(entry, f"{entry} lies outside --root {root}: its mask would lie outside OUTPUT.")
        elif not os.path.exists(path):
            yield Refused(entry, f"{entry} does not exist below {root.absolute()}.")
        else:
            shown = os.path.join(root, relative) if asked.root else relative
            yield Source(shown, relative.replace(os.sep, "/"), f"{real_top}/{relative}")


def _entries(asked: Sources) -> Iterable[str]:
    try:
        listed = sys.stdin.buffer.read() if asked.files_from == STDIN else Path(asked.files_from or "").read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read the list {asked.files_from}: {error.strerror}.") from error
    if not asked.nul and b"\0" in listed:
        raise SegtoolError(f"The list {asked.files_from} has NUL between its entries: give -0 as well.")
    entries = listed.split(b"\0") if asked.nul else listed.replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(entry) for entry in entries if entry]


def _below(path: str, top: str) -> str | None:
    start = top.rstrip(os.sep) + os.sep
    return path[len(start) :] if path.startswith(start) else None


def _real(path: str) -> str:
    # The folder's links are resolved, the file's own is not: a linked picture is another one than the one it leads to.
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder or os.curdir), name)
