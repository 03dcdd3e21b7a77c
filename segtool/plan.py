"""From inputs to jobs: find the pictures, mirror their names, settle collisions, leave out what is done.

All of it happens before TensorFlow is imported, so that what cannot work fails at once.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from segtool.card import find_weights, read_card
from segtool.data.layout import IMAGE_SUFFIXES, find_images
from segtool.errors import OutputError, SegtoolError, UsageError
from segtool.options import MaskOptions, OverlayOptions
from segtool.record import Records, Stamp, read_records


@dataclass(frozen=True)
class Job:
    """One picture and the file to make of it, which is a PNG, or an overlay in the format of its picture."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Wanted:
    """What makes an existing output still good: the sha256 of the weights, and a hash of the settings that shape it."""

    kind: str
    weights: str
    settings: str


@dataclass(frozen=True)
class Plan:
    """What a run will do: `jobs` to do, `kept` outputs that are good already, and what was `left` alone and why.

    `root` is the folder that holds the record, None for a single output file.
    """

    root: Path | None
    weights: Path
    wanted: Wanted
    jobs: tuple[Job, ...]
    kept: int
    left: tuple[tuple[str, str], ...] = ()


def make_plan(options: MaskOptions) -> Plan:
    """Returns the plan for `options`.

    Raises UsageError, ModelError or SegtoolError when inputs or weights are missing, no picture is found, or input and
    output are one place.
    """
    for given in options.inputs:
        if not given.exists():
            raise UsageError(f"There is no file or folder {given}.")
    weights = find_weights(options.weights)
    wanted = _wanted(options, weights)
    if _is_single_file(options):
        (source,), target = options.inputs, options.output
        if target.suffix.lower() != target_suffix(target, wanted.kind):
            raise UsageError(f"{target} is no name for a {wanted.kind}, which is a PNG: end it in .png.")
        if target.exists() and source.samefile(target):
            raise UsageError(f"{target} is input and output at once: name another output.")
        if target.exists() and not options.force:
            raise OutputError(f"{target} exists already: give another name, or --force to replace it.")
        return Plan(None, weights, wanted, (Job(source, target),), 0)

    root = options.output
    if root.exists() and not root.is_dir():
        raise UsageError(f"OUTPUT {root} is a file: name a folder.")
    if root.suffix.lower() in IMAGE_SUFFIXES and not root.exists() and not options.output_is_folder:
        raise UsageError(f"OUTPUT {root} would be a folder: name a file for one picture only, or end it in a slash.")
    named = list(dict.fromkeys(_mirrored(options.inputs, root)))  # a picture given twice is made once
    if not named:
        raise SegtoolError(f"There are no pictures in {', '.join(map(str, options.inputs))}.")
    pictures = {source.resolve() for source, _ in named}
    records = read_records(root)
    jobs: list[Job] = []
    left: list[tuple[str, str]] = []
    kept = 0
    for source, relative in _settle(named, wanted.kind, records):
        job = Job(source, root / relative)
        verdict = _judge(job, relative, records, wanted)
        if verdict == "kept" and not options.force:
            kept += 1
        elif verdict == "foreign" and not options.force:
            left.append((str(job.target), "is there already and is not as segtool left it; --force replaces it"))
        else:
            if verdict != "new" and job.target.resolve() in pictures:
                raise UsageError(f"{job.target} is input and output at once: name another output.")
            jobs.append(job)
    return Plan(root, weights, wanted, tuple(jobs), kept, tuple(left))


def _wanted(options: MaskOptions, weights: Path) -> Wanted:
    card = read_card(weights)
    shaping: dict[str, float] = {}
    if card.binary:
        shaping["threshold"] = card.threshold if options.threshold is None else options.threshold
    if isinstance(options, OverlayOptions):
        shaping["opacity"] = options.opacity
    return Wanted(
        kind="overlay" if isinstance(options, OverlayOptions) else "mask",
        weights=hashlib.sha256(weights.read_bytes()).hexdigest(),
        settings=hashlib.sha256(repr(sorted(shaping.items())).encode()).hexdigest()[:16],
    )


def _is_single_file(options: MaskOptions) -> bool:
    one_file = len(options.inputs) == 1 and options.inputs[0].is_file()
    return one_file and options.output.suffix != "" and not options.output.is_dir() and not options.output_is_folder


def _mirrored(inputs: Iterable[Path], root: Path) -> Iterator[tuple[Path, Path]]:
    """Yields each picture with its path relative to OUTPUT, still with its own suffix."""
    prefixes = _prefixes({path: path.resolve() for path in inputs if path.is_dir()})
    output = root.resolve()
    for given in inputs:
        if given.is_file():
            yield given, Path(given.name)
            continue
        if given.resolve() == output:
            raise UsageError(f"{given} is input and output at once: name another folder for the output.")
        for source in find_images(given, skip=output):
            yield source, prefixes[given] / source.relative_to(given)


def _prefixes(folders: dict[Path, Path]) -> dict[Path, Path]:
    """Returns where below OUTPUT each input folder (given: resolved) is mirrored.

    One as it is; several each below their own name, as `cp -r` does, or where names repeat, below their path from the
    folder that holds them all.
    """
    if len(folders) == 1:
        return dict.fromkeys(folders, Path())
    if len({real.name for real in folders.values()}) == len(folders):
        return {given: Path(real.name) for given, real in folders.items()}
    parent = os.path.commonpath([real.parent for real in folders.values()]) if folders else ""
    return {given: real.relative_to(parent) for given, real in folders.items()}


def target_suffix(source: Path, kind: str) -> str:
    """Returns the suffix of the output: PNG, but JPEG for overlays of JPEGs."""
    return source.suffix if kind == "overlay" and source.suffix.lower() in (".jpg", ".jpeg") else ".png"


def _settle(named: list[tuple[Path, Path]], kind: str, records: Records) -> Iterator[tuple[Path, Path]]:
    """Yields each source with its output path: `a.jpg` gives `a.png`; of two that want one name, the one the record
    (else the order) gave it keeps it, and the other gets its full name and the suffix.
    """

    def short(relative: Path, source: Path) -> Path:
        return relative.with_suffix(target_suffix(source, kind))

    def belongs_to_another(target: Path, source: Path) -> bool:
        owner = records.owner(target)
        return owner is not None and owner != str(source.resolve()) and Path(owner).exists()

    # Names that differ only in case are one file on many disks.
    owners: dict[str, Path] = {}
    for source, relative in sorted(named, key=lambda n: records.owner(short(n[1], n[0])) != str(n[0].resolve())):
        owners.setdefault(str(short(relative, source)).casefold(), source)
    taken: dict[str, Path] = {}
    for source, relative in named:
        target = short(relative, source)
        if owners[str(target).casefold()] != source or belongs_to_another(target, source):
            target = relative.with_name(relative.name + target_suffix(source, kind))
        other = taken.setdefault(str(target).casefold(), source)
        if other != source:
            raise UsageError(f"{other} and {source} both want the output {target}: rename one of them.")
        yield source, target


def _judge(job: Job, relative: Path, records: Records, wanted: Wanted) -> str:
    """Returns `new`, `kept` (still good), `stale` (ours, to be made again) or `foreign` (not as we left it)."""
    try:
        there, source = Stamp.of(job.target), Stamp.of(job.source)
    except (FileNotFoundError, NotADirectoryError):
        return "new"  # or the picture has gone, or a file stands where a folder must be: told when it is its turn
    history = records.by_output.get(relative.as_posix(), ())
    if not any(entry.output == there and entry.kind == wanted.kind for entry in history):
        return "foreign"
    last = history[-1]
    made_as_wanted = (last.kind, last.weights, last.settings) == (wanted.kind, wanted.weights, wanted.settings)
    same = made_as_wanted and last.output == there and last.source == source
    return "kept" if same else "stale"
