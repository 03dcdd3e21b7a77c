"""From inputs to jobs: find the pictures, mirror their names, settle collisions, leave out what is done.

All of it happens before TensorFlow is imported, so that what cannot work fails at once.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from segtool.card import find_weights, read_card
from segtool.data.layout import IMAGE_SUFFIXES
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
        if target.exists() and source.samefile(target):
            raise UsageError(f"{target} is input and output at once: name another output.")
        if target.exists() and not options.force:
            raise OutputError(f"{target} exists already: give another name, or --force to replace it.")
        return Plan(None, weights, wanted, (Job(source, target),), 0)

    root = options.output
    if root.exists() and not root.is_dir():
        raise UsageError(f"OUTPUT {root} is a file: name a folder for its masks.")
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
    shaping = {"threshold": card.threshold if options.threshold is None else options.threshold}
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
    folders = [path for path in inputs if path.is_dir()]
    output = root.resolve()
    for given in inputs:
        if given.is_file():
            yield given, Path(given.name)
            continue
        if given.resolve() == output:
            raise UsageError(f"{given} is input and output at once: name another folder for the output.")
        # Several folders are each mirrored below their own name, as `cp -r` does; one is mirrored as it is.
        prefix = Path(given.resolve().name) if len(folders) > 1 else Path()
        for source in _pictures(given, output):
            yield source, prefix / source.relative_to(given)


def _pictures(folder: Path, output: Path) -> Iterator[Path]:
    """Yields pictures below `folder`, hidden ones and those inside `output` left out, in sorted order."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise SegtoolError(f"Cannot read the folder {folder}: {error.strerror}.") from error
    for entry in listed:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if path.resolve() != output:
                yield from _pictures(path, output)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def target_suffix(source: Path, kind: str) -> str:
    """Returns the suffix of the output: PNG, but JPEG for overlays of JPEGs."""
    return source.suffix if kind == "overlay" and source.suffix.lower() in (".jpg", ".jpeg") else ".png"


def _settle(named: list[tuple[Path, Path]], kind: str, records: Records) -> Iterator[tuple[Path, Path]]:
    """Yields each source with its output path: `a.jpg` gives `a.png`; of two that want one name, the one the record
    (else the order) gave it keeps it, and the other gets its full name and the suffix.
    """

    def short(relative: Path, source: Path) -> Path:
        return relative.with_suffix(target_suffix(source, kind))

    # Names that differ only in case are one file on many disks.
    owners: dict[str, Path] = {}
    for source, relative in sorted(named, key=lambda n: not records.gave(short(n[1], n[0]), n[0])):
        owners.setdefault(str(short(relative, source)).casefold(), source)
    taken: dict[str, Path] = {}
    for source, relative in named:
        target = short(relative, source)
        if owners[str(target).casefold()] != source:
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
