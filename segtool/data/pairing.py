"""What is wrong with names and folders: partners that are missing, or too many, or not read at all."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from segtool.data.facts import relative
from segtool.data.layout import IMAGE_SUFFIXES, MASK_SUFFIXES, Listing, Pair
from segtool.results import Case, Finding

# Pictures and arrays that someone may think are read. Other files beside pictures are nobody's fault.
UNREAD_SUFFIXES = frozenset(
    (".heic", ".heif", ".npy", ".npz", ".mat", ".dcm", ".nii", ".nrrd", ".psd", ".svg", ".pdf", ".exr", ".hdr", ".dng",
     ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
)  # fmt: skip
SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "dev": "val"}
OTHER_CASE = "its partner's name differs only in upper and lower case"


def pairing_findings(listing: Listing) -> Iterator[Finding]:
    """Yields what can be said before any file is opened."""
    root = listing.dataset.root
    missing = [both for both in listing.folders.values() if not both[1].is_dir()]
    if missing:
        yield Finding(
            "masks-folder-missing", "error", "A folder of images has no folder of masks beside it.",
            "Put the masks there, each under the name of its image.",
            tuple(Case(relative(root, i), f"{relative(root, m)[0]} is missing") for i, m in missing),
        )  # fmt: skip
    if listing.clashes:
        yield Finding(
            "name-clash", "error", "Two files want to be one pair: their names differ only in the suffix.",
            "Rename or remove one of each two; training refuses the dataset as it is.",
            tuple(Case(relative(root, *both)) for both in listing.clashes),
        )  # fmt: skip
    yield from _without_partner(listing)
    yield from _missing_splits(listing)
    present = [folder for both in listing.folders.values() for folder in both if folder.is_dir()]
    unread = sorted(p for folder in present for p in _files(folder) if _looks_meant(p))
    if unread:
        yield Finding(
            "unread-files", "warning", "Files of a kind that segtool does not read; it passes over them.",
            "Save them as PNG or JPEG (masks: as PNG).", tuple(Case(relative(root, p)) for p in unread),
        )  # fmt: skip


def _without_partner(listing: Listing) -> Iterator[Finding]:
    root, dataset = listing.dataset.root, listing.dataset
    images: dict[Path, str] = {}
    masks: dict[Path, str] = {}
    second: list[Case] = []
    for image_folder, mask_folder in listing.folders.values():
        here = {p.name: p for p in dataset.all_pairs if p.image.is_relative_to(image_folder)}
        for path in dataset.unpaired:
            if path.is_relative_to(image_folder):
                images[path] = _name(path, image_folder)
            elif path.is_relative_to(mask_folder):
                if owner := _owner(_name(path, mask_folder), here):
                    second.append(Case(relative(root, owner.mask, path, owner.image)))
                else:
                    masks[path] = _name(path, mask_folder)
    if second:
        yield Finding(
            "two-masks", "error", "An image has more than one mask; training takes the one named first.",
            "Keep the right one and take the other out.", tuple(second),
        )  # fmt: skip
    hint = _suffix_hint(set(images.values()), list(masks.values()))
    if images:
        yield Finding(
            "unpaired-image", "error", "An image without a mask of the same name.",
            hint or "Add the mask, rename one to match, or take the image out; training does not see it.",
            tuple(_alone(root, images, masks)),
        )  # fmt: skip
    if masks:
        yield Finding(
            "unpaired-mask", "error", "A mask without an image of the same name.",
            hint or "Add the image, rename one to match, or take the mask out; training does not see it.",
            tuple(_alone(root, masks, images)),
        )  # fmt: skip


def _alone(root: Path, paths: Mapping[Path, str], others: Mapping[Path, str]) -> Iterator[Case]:
    lowered = {name.lower() for name in others.values()}
    for path, name in paths.items():
        yield Case(relative(root, path), OTHER_CASE if name.lower() in lowered else "")


def _missing_splits(listing: Listing) -> Iterator[Finding]:
    root, pairs = listing.dataset.root, listing.dataset.pairs
    places = [place for place in (root, root / "images") if place.is_dir()]
    folders = {SPLIT_NAMES.get(p.name.lower()): p for place in places for p in sorted(place.iterdir()) if p.is_dir()}
    for split, purpose in (("train", "to learn from"), ("val", "to judge by")):
        if not pairs.get(split):
            meant = folders.get(split)
            yield Finding(
                f"no-{split}", "error", f"There are no {split} pairs, so training has nothing {purpose}.",
                f"Rename {meant.name} to {split}." if meant else f"Add pairs to {split}.",
                (Case(relative(root, meant)),) if meant else (),
            )  # fmt: skip


def _suffix_hint(images: set[str], masks: Sequence[str]) -> str:
    """Returns the sentence that names the mask suffix, where most masks without image are an image's name and more."""
    rests = Counter(mask[cut:] for mask in masks for cut in range(1, len(mask)) if mask[:cut] in images)
    rest, count = rests.most_common(1)[0] if rests else ("", 0)
    if 2 * count <= len(masks):
        return ""
    return f"Masks are called as their images and {rest}: give --mask-suffix={rest}, here and to `segtool train`."


def _owner(mask: str, pairs: Mapping[str, Pair]) -> Pair | None:
    names = (mask.removesuffix(suffix) for suffix in ("", *MASK_SUFFIXES))
    return next((pairs[name] for name in names if name in pairs), None)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _looks_meant(path: Path) -> bool:
    return path.suffix.lower() in UNREAD_SUFFIXES - IMAGE_SUFFIXES and not path.name.startswith(".")


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
