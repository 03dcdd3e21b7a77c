"""Masks made by any tool, joined to the pairs they are predictions for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtool.data.layout import MASK_SUFFIXES, Pair, find_images
from segtool.errors import DataError


@dataclass(frozen=True)
class Joined:
    """The prediction of each pair that has one, and the files in the folder that are none of them."""

    of_pair: Mapping[Pair, Path]
    unused: tuple[Path, ...]


def join_predictions(split_of: Mapping[Pair, str], folder: Path, made_from: Mapping[Path, Sequence[Path]]) -> Joined:
    """Returns the masks below `folder` by pair; `split_of` names the split of each pair to be scored.

    `made_from` says what a run record knows: by resolved image path, the files made from it. Else a mask is found by
    the image's relative path without suffix, in `folder`, in its split's folder or in `masks` there; with the mask
    suffixes of datasets if not without. Raises DataError when nothing pairs, or when two files want one pair.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder of predictions {folder}.")
    files = list(find_images(folder))
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    of_pair: dict[Pair, Path] = {}
    taken: dict[Path, Pair] = {}
    for pair, split in split_of.items():
        found = _recorded(pair, made_from) or _named(pair, split, by_name)
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1]} both want to be the prediction for {pair.image}: remove one.")
        for path in found:
            if path in taken:
                raise DataError(
                    f"{path} is the only prediction for {taken[path].image} and {pair.image}: put those of each split "
                    "into a folder of its name."
                )
            taken[path], of_pair[pair] = pair, path
    if not of_pair:
        example = f"; there is {files[0].relative_to(folder)}" if files else ""
        wanted = next(iter(split_of)).name
        raise DataError(f"{folder} has no mask for any of the {len(split_of)} pairs, such as {wanted}.png{example}.")
    return Joined(of_pair, tuple(path for path in files if path not in taken))


def _recorded(pair: Pair, made_from: Mapping[Path, Sequence[Path]]) -> list[Path]:
    made = [path for path in made_from.get(pair.image.resolve(), ()) if path.is_file()]
    # Overlays and cut-outs may lie in the same folder: of several, it is the one with the picture's name.
    named = [path for path in made if path.stem == pair.image.stem and path.suffix == ".png"]
    return named[:1] or made


def _named(pair: Pair, split: str, by_name: Mapping[str, list[Path]]) -> list[Path]:
    for suffix in ("", *MASK_SUFFIXES):
        for place in (f"{split}/masks/", f"masks/{split}/", f"{split}/", "masks/", ""):
            if found := by_name.get(f"{place}{pair.name}{suffix}"):
                return found
    return []
