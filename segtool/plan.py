"""From pictures to jobs: refuse what cannot work, leave alone what is not ours, leave out what is done.

All of it happens before TensorFlow is imported, so that what cannot work fails at once.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from segtool.data.layout import IMAGE_SUFFIXES, MASK_SUFFIXES, image_names
from segtool.errors import OutputError, SegtoolError, UsageError
from segtool.kinds import MASK, Kind, Wanted, digest_of
from segtool.naming import inside_record, settle_names
from segtool.options import OverlayOptions, WriteOptions
from segtool.record import Entry, Records, Stamp, read_records
from segtool.sources import STDIN, Refused, Source, find_sources, in_shard

LEFT_ALONE = "is there already and is not as segtool left it; --force replaces it"


@dataclass(frozen=True)
class Job:
    """One picture and the files to make of it, by kind; `mask` is the mask made before, for painting.

    `path` is as a person would type it, `real` as the record knows it.
    """

    path: str
    real: str
    targets: Mapping[str, str]  # text, as in `sources`: a Path an output doubled the time to plan
    mask: Path | None = None

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Plan:
    """What a run will do: `jobs` to do, those `kept` because their outputs are good, outputs `left` alone and why.

    `root` is the folder that holds the record, None for a single file. `refused` are entries of a list that cannot be
    pictures of this run.
    """

    root: Path | None
    wanted: Wanted
    jobs: tuple[Job, ...]
    kept: tuple[Job, ...] = ()
    left: tuple[tuple[Job, str], ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True)
class Found:
    """The pictures of a run, before anything is known of its outputs."""

    pictures: tuple[Source, ...]
    refused: tuple[Refused, ...] = field(default=())


def find_pictures(options: WriteOptions, wanted: Wanted) -> Found:
    """Returns the pictures `options` name, each once. Raises UsageError or SegtoolError, also when there are none."""
    root = options.output
    if root.exists() and not root.is_dir():
        raise UsageError(f"OUTPUT {root} is a file: name a folder.")
    if root.suffix.lower() in IMAGE_SUFFIXES and not root.exists() and not options.output_is_folder:
        raise UsageError(f"OUTPUT {root} would be a folder: name a file for one picture only, or end it in a slash.")
    outputs = frozenset(os.path.realpath(kind.folder) for kind in wanted.kinds)
    if len(outputs) < len(wanted.kinds):
        raise UsageError(f"Two kinds of output share a folder: {', '.join(str(k.folder) for k in wanted.kinds)}.")
    masks = [os.path.realpath(options.masks)] if isinstance(options, OverlayOptions) and options.masks else []
    found = list(find_sources(options.sources, skip=outputs.union(masks)))
    pictures: dict[str, Source] = {}
    for source in found:
        if isinstance(source, Source):
            pictures.setdefault(source.real, source)  # a picture given twice is made once, where it came first
    refused = tuple(s for s in found if isinstance(s, Refused))
    if not pictures and not refused:
        asked = options.sources
        where = asked.files_from if asked.files_from is not None else ", ".join(map(str, asked.inputs))
        raise SegtoolError(f"There are no pictures in {where}.")
    return Found(tuple(pictures.values()), refused)


def make_plan(options: WriteOptions, wanted: Wanted, found: Found, records: Records) -> Plan:
    """Returns the plan for the pictures `found`, given what is on record.

    Raises UsageError when names cannot be settled or a picture would be replaced.
    """
    found = replace(found, pictures=_no_outputs(found.pictures, records, options.output))
    names = [settle_names(found.pictures, kind, records, options.output) for kind in wanted.kinds]
    places = [(kind, os.path.join(kind.folder, ""), inside_record(kind, options.output)) for kind in wanted.kinds]
    pictures = {picture.real for picture in found.pictures}
    masks = _masks_by_picture(options, found.pictures)
    jobs: list[Job] = []
    kept: list[Job] = []
    left: list[tuple[Job, str]] = []
    refused = list(found.refused)
    for index, picture in enumerate(found.pictures):
        if not in_shard(picture.relative, options.sources.shard):
            continue
        mask = masks.get(picture.relative) if masks is not None else None
        if masks is not None and mask is None:
            refused.append(Refused(picture.path, f"{picture.path} has no mask of its name."))
            continue
        todo: dict[str, str] = {}
        good: dict[str, str] = {}
        for (kind, folder, inside), of_kind in zip(places, names, strict=True):
            target = folder + of_kind[index]
            verdict = _judge(picture, target, records.by_output.get(inside + of_kind[index], ()), kind, wanted, mask)
            if verdict == "kept" and not options.running.force:
                good[kind.name] = target
            elif verdict == "foreign" and not options.running.force:
                left.append((Job(picture.path, picture.real, {kind.name: target}), LEFT_ALONE))
            else:
                if verdict != "new" and os.path.realpath(target) in pictures:
                    raise UsageError(f"{target} is input and output at once: name another output.")
                todo[kind.name] = target
        if todo:
            jobs.append(Job(picture.path, picture.real, todo, mask))
        elif good:
            kept.append(Job(picture.path, picture.real, good, mask))
    return Plan(options.output, wanted, tuple(jobs), tuple(kept), tuple(left), tuple(refused))


def is_single(options: WriteOptions) -> bool:
    """Returns whether one picture goes to one file or stream, without a record."""
    asked, output = options.sources, options.output
    if str(output) == STDIN or asked.inputs == (Path(STDIN),):
        return True
    one_file = asked.files_from is None and len(asked.inputs) == 1 and asked.inputs[0].is_file()
    return one_file and output.suffix != "" and not output.is_dir() and not options.output_is_folder


def plan_single(options: WriteOptions, wanted: Wanted) -> Plan:
    """Returns the plan for one picture to one file; `-` is stdin or stdout. Raises UsageError or OutputError."""
    kind, target = wanted.kinds[0], options.output
    if len(options.sources.inputs) != 1 or options.sources.files_from is not None or len(wanted.kinds) > 1:
        raise UsageError(f"{target} holds one output of one picture: name a folder as OUTPUT for more.")
    (source,) = options.sources.inputs
    if str(source) != STDIN and not source.exists():
        raise UsageError(f"There is no file or folder {source}.")
    if source.is_dir():
        raise UsageError(f"{source} is a folder, and {target} holds one picture: name a folder as OUTPUT.")
    if str(target) != STDIN:
        if target.is_dir() or options.output_is_folder or not target.suffix:
            raise UsageError(f"OUTPUT {target} is a folder: a picture from stdin has no name there, so name a file.")
        if target.suffix.lower() != kind.suffix_for(target.suffix).lower():
            raise UsageError(f"{target} is no name for a {kind.name}, which is a PNG: end it in .png.")
        if target.exists() and str(source) != STDIN and source.samefile(target):
            raise UsageError(f"{target} is input and output at once: name another output.")
        if target.exists() and not options.running.force:
            raise OutputError(f"{target} exists already: give another name, or --force to replace it.")
    if wanted.weights is None:
        raise UsageError("--masks is for folders: name a folder as OUTPUT.")
    return Plan(None, wanted, (Job(str(source), str(source), {kind.name: str(target)}),))


def target_folders(plan: Plan) -> set[Path]:
    """Returns the folders that outputs of `plan` lie in."""
    return {
        Path(folder)
        for folder in {os.path.dirname(t) for job in (*plan.jobs, *plan.kept) for t in job.targets.values()}
    }


def _no_outputs(pictures: tuple[Source, ...], records: Records, root: Path) -> tuple[Source, ...]:
    """Returns `pictures` less those that the record knows as outputs: overlays, say, that an earlier run wrote beside
    the pictures, in a folder that this run knows nothing of.
    """
    if not records.by_output:
        return pictures
    inside = os.path.join(os.path.realpath(root), "")

    def is_output(picture: Source) -> bool:
        key = picture.real.removeprefix(inside)
        try:
            return key in records.by_output and records.made(key, Stamp.of(picture.real)) is not None
        except OSError:
            return False

    return tuple(picture for picture in pictures if not is_output(picture))


def _judge(
    picture: Source, target: str, history: Sequence[Entry], kind: Kind, wanted: Wanted, mask: Path | None
) -> str:
    """Returns `new`, `kept` (still good), `stale` (ours, to be made again) or `foreign` (not as we left it)."""
    try:
        there = Stamp.of(target)
    except OSError:
        return "new"  # where a file stands in the way of a folder, or a name is too long, writing says so
    made = next((entry for entry in reversed(history) if entry.output == there and entry.kind == kind.name), None)
    if made is None:
        return "foreign"
    try:
        source = Stamp.of(picture.real)
    except OSError:
        return "stale"  # the picture has gone: told when it is its turn
    as_wanted = (made.weights, made.settings) == (wanted.weights_hash, settings_of(kind, mask))
    as_precise = wanted.precision in (None, made.precision)
    return "kept" if as_wanted and as_precise and made.source == source else "stale"


def settings_of(kind: Kind, mask: Path | None) -> str:
    """Returns the hash of all that shapes an output of `kind`; painted from `mask`, its stamp is part of it."""
    if mask is None:
        return kind.settings
    stamp = Stamp.of(mask)
    return digest_of({"settings": kind.settings, "size": stamp.size, "mtime_ns": stamp.mtime_ns})


def _masks_by_picture(options: WriteOptions, pictures: Iterable[Source]) -> dict[str, Path] | None:
    """Returns the mask made before of each picture by its relative path, None where masks are to be predicted.

    The record of the masks' folder says which is whose; without one it is the mask of the same name.
    """
    folder = options.masks if isinstance(options, OverlayOptions) else None
    if folder is None:
        return None
    if not folder.is_dir():
        raise UsageError(f"--masks {folder} is no folder.")
    recorded = {
        history[-1].input: name
        for name, history in read_records(folder).by_output.items()
        if history[-1].kind == MASK and (folder / name).exists()
    }
    by_stem: dict[str, str] = {}
    for name in image_names(str(folder)):
        by_stem.setdefault(os.path.splitext(name)[0], name)
    found: dict[str, Path] = {}
    for picture in pictures:
        stem = os.path.splitext(picture.relative)[0]
        wanted = (recorded.get(picture.real), *(by_stem.get(stem + suffix) for suffix in ("", *MASK_SUFFIXES)))
        mask = next((name for name in wanted if name), None)
        if mask:
            found[picture.relative] = folder / mask
    return found
