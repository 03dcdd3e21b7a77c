"""Where a dataset's pairs lie on disk: `train/images + train/masks`, `images/train + masks/train`, or one folder."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segtool.errors import DataError, SegtoolError
from segtool.files import is_record
from segtool.options import VAL_FRACTION

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic",
     ".heif", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".tga")
)  # fmt: skip
MASK_SUFFIXES = ("_mask", "_label", "_gt", "_L", "_seg")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Pair:
    """An image and its true mask; `name` is the path relative to the images folder, without suffix."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Dataset:
    """The pairs of a dataset by split, and the files that found no partner.

    `val_fraction` is the share given to val by hash, or None where the folders say the split themselves.
    """

    root: Path
    pairs: Mapping[str, tuple[Pair, ...]]
    unpaired: tuple[Path, ...]
    val_fraction: float | None

    def split(self, name: str) -> tuple[Pair, ...]:
        """Returns the pairs of one split. Raises DataError when there are none."""
        if not self.pairs.get(name):
            have = ", ".join(f"{k} ({len(v)})" for k, v in self.pairs.items() if v) or "none"
            raise DataError(f"{self.root} has no pairs in split {name!r}; splits with pairs: {have}.")
        return self.pairs[name]

    @property
    def all_pairs(self) -> tuple[Pair, ...]:
        """Returns the pairs of all splits."""
        return tuple(pair for pairs in self.pairs.values() for pair in pairs)


def pair_name(pair: Pair) -> str:
    """Returns what a pair is called when it fails."""
    return pair.name


@dataclass(frozen=True)
class Listing:
    """A dataset as it lies on disk, with what `find_dataset` refuses.

    `folders` has images and masks by split (`all` where a hash splits), the masks perhaps missing; `clashes` has files
    that want one pair, of which the first has it.
    """

    dataset: Dataset
    folders: Mapping[str, tuple[Path, Path]]
    clashes: tuple[tuple[Path, Path], ...]


def find_dataset(root: Path, *, val_fraction: float = VAL_FRACTION, mask_suffix: str | None = None) -> Dataset:
    """Returns the pairs below `root` in any of the layouts of DESIGN section 3.

    Raises DataError when no layout is there, nothing pairs, or two images want one mask.
    """
    listing = list_dataset(root, val_fraction=val_fraction, mask_suffix=mask_suffix)
    for images, masks in listing.folders.values():
        if not masks.is_dir():
            raise DataError(f"{images} has no masks folder beside it: {masks} is missing.")
    for first, second in listing.clashes:
        raise DataError(f"{first} and {second} want the same pair: rename one of them.")
    unpaired = listing.dataset.unpaired
    if not listing.dataset.all_pairs:
        example = f", for example {unpaired[0]}" if unpaired else ""
        raise DataError(
            f"{root} has no image with a mask of the same name ({len(unpaired)} files without partner{example})."
        )
    return listing.dataset


def list_dataset(root: Path, *, val_fraction: float = VAL_FRACTION, mask_suffix: str | None = None) -> Listing:
    """Returns what is below `root`, faults and all. Raises DataError when no layout is there."""
    if not root.is_dir():
        raise DataError(f"There is no dataset folder {root}.")
    folders = split_folders(root)
    pairs: dict[str, tuple[Pair, ...]] = {}
    unpaired: list[Path] = []
    clashes: list[tuple[Path, Path]] = []
    for split, (images, masks) in folders.items():
        pairs[split], alone = _pair(images, masks, mask_suffix, clashes)
        unpaired += alone
    fraction = None
    if list(folders) == ["all"]:
        fraction = val_fraction
        together = pairs.pop("all")
        pairs["train"] = tuple(p for p in together if not _is_val(p.name, val_fraction))
        pairs["val"] = tuple(p for p in together if _is_val(p.name, val_fraction))
    return Listing(Dataset(root, pairs, tuple(unpaired), fraction), folders, tuple(clashes))


def find_images(folder: Path) -> Iterator[Path]:
    """Yields the picture files below `folder` as `image_names` finds them. Raises SegtoolError."""
    for name in image_names(str(folder)):
        yield folder / name


def image_names(
    folder: str, *, skip: frozenset[str] = frozenset(), inside: str = "", above: tuple[str, ...] = ()
) -> Iterator[str]:
    """Yields the picture files below `folder`, by suffix, relative to it and with slashes, sorted within each folder.

    Left out are hidden files and folders, folders that hold a run record (their pictures are outputs), and those in
    `skip`, real paths. Links are followed, but not in circles (`above` holds the real folders on the way). Raises
    SegtoolError when a folder cannot be read.
    """
    # Text and scandir, not Path: of a plan for 200,000 pictures, Path objects alone took more than half.
    here = os.path.join(folder, inside) if inside else folder
    real = os.path.realpath(here)
    if real in skip or real in above:
        return
    try:
        with os.scandir(here) as listing:
            entries = sorted((e for e in listing if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise SegtoolError(f"Cannot read the folder {here}: {error.strerror}.") from error
    if inside and any(is_record(entry.name) for entry in entries):
        return
    for entry in entries:
        name = f"{inside}/{entry.name}" if inside else entry.name
        if _is_folder(entry):
            yield from image_names(folder, skip=skip, inside=name, above=(*above, real))
        elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:
            yield name


def content_hash(pairs: tuple[Pair, ...]) -> str:
    """Returns a short hash of the names and bytes of `pairs`: the same for the same data, wherever it lies."""
    digest = hashlib.sha256()
    for pair in sorted(pairs, key=lambda p: p.name):
        digest.update(pair.name.encode(errors="surrogateescape"))
        for path in (pair.image, pair.mask):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle of links; decoding will say so
        return False


def split_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Returns the folders of images and of masks by split, or under `all`. Raises DataError when there are none."""
    by_split = {s: (root / s / "images", root / s / "masks") for s in SPLITS if (root / s / "images").is_dir()}
    if by_split:
        return by_split
    by_kind = {s: (root / "images" / s, root / "masks" / s) for s in SPLITS if (root / "images" / s).is_dir()}
    if by_kind:
        return by_kind
    if (root / "images").is_dir():
        return {"all": (root / "images", root / "masks")}
    raise DataError(f"{root} has no train/images, images/train or images folder: see DATA in `segtool train --help`.")


def _pair(
    images: Path, masks: Path, mask_suffix: str | None, clashes: list[tuple[Path, Path]]
) -> tuple[tuple[Pair, ...], list[Path]]:
    by_name = _by_name(images, clashes)
    suffixes = ("", *MASK_SUFFIXES) if mask_suffix is None else (mask_suffix,)
    mask_files = _by_name(masks, clashes) if masks.is_dir() else {}
    found: dict[str, Path] = {}
    for suffix in suffixes:  # the same name first, or image `a` would take the mask of image `a_mask`
        for name in by_name:
            if name not in found and (mask := mask_files.pop(name + suffix, None)) is not None:
                found[name] = mask
    pairs = tuple(Pair(name, image, found[name]) for name, image in by_name.items() if name in found)
    alone = [image for name, image in by_name.items() if name not in found] + list(mask_files.values())
    return pairs, alone


def _by_name(folder: Path, clashes: list[tuple[Path, Path]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in find_images(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            clashes.append((files[name], path))
        else:
            files[name] = path
    return files


def _is_val(name: str, fraction: float) -> bool:
    # A hash of the name, not a shuffle: adding a picture moves no other picture between the splits.
    return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:4], "big") < fraction * 2**32
