"""The names of outputs: `a.jpg` gives `a.png`, and no two pictures ever share one."""

import os
from collections.abc import Sequence
from pathlib import Path

from segtool.errors import UsageError
from segtool.kinds import Kind
from segtool.record import Records, recorded_path
from segtool.sources import Source


def settle_names(pictures: Sequence[Source], kind: Kind, records: Records, root: Path) -> list[str]:
    """Returns the path below the kind's folder for each picture: `a.jpg` gives `a.png`; of two that want one name, the
    one the record (else the order) gave it keeps it, and the other gets its full name and the suffix.
    """
    inside = inside_record(kind, root)
    short: list[str] = []
    full: list[str] = []
    owners: dict[str, int] = {}
    for index, picture in enumerate(pictures):
        stem, source_suffix = os.path.splitext(picture.relative)
        suffix = kind.suffix_for(source_suffix)
        short.append(stem + suffix)
        full.append(picture.relative + suffix)
        key = short[-1].casefold()  # names that differ only in case are one file on many disks
        if key not in owners or records.owner(inside + short[-1]) == picture.real:
            owners[key] = index

    def belongs_to_another(name: str, picture: Source) -> bool:
        owner = records.owner(inside + name)
        return owner is not None and owner != picture.real and os.path.exists(owner)

    taken: dict[str, Source] = {}
    names: list[str] = []
    for index, picture in enumerate(pictures):
        name = short[index]
        if owners[name.casefold()] != index or (records.by_output and belongs_to_another(name, picture)):
            name = full[index]
        other = taken.setdefault(name.casefold(), picture)
        if other is not picture:
            raise UsageError(f"{other.path} and {picture.path} both want the output {name}: rename one of them.")
        names.append(name)
    return names


def inside_record(kind: Kind, root: Path) -> str:
    """Returns what the record puts before the names in the folder of a kind."""
    return recorded_path(kind.folder / "x", root)[:-1]
