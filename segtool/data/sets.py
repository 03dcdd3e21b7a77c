"""Several datasets as one: found, their mask values understood, their classes the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from segtool.card import ClassInfo
from segtool.data.classes import MaskCoding
from segtool.data.layout import Dataset, Pair, find_dataset
from segtool.data.truth import inspect_masks
from segtool.errors import DataError


@dataclass(frozen=True)
class Sets:
    """Datasets in the order given, each with the meaning of its mask values."""

    datasets: tuple[Dataset, ...]
    codings: tuple[MaskCoding, ...]

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Returns the classes, the same in all."""
        return self.codings[0].classes

    @property
    def names(self) -> tuple[str, ...]:
        """Returns what each dataset is called: its folder's name, or its path where two folders share a name."""
        short = [d.root.resolve().name for d in self.datasets]
        return tuple(str(d.root) if short.count(n) > 1 else n for d, n in zip(self.datasets, short, strict=True))

    @property
    def coding_of(self) -> dict[Pair, MaskCoding]:
        """Returns the coding of every pair."""
        return {p: c for d, c in zip(self.datasets, self.codings, strict=True) for p in d.all_pairs}

    def split(self, name: str) -> tuple[Pair, ...]:
        """Returns the pairs of one split, set after set. Raises DataError when a set has none."""
        return tuple(chain.from_iterable(d.split(name) for d in self.datasets))


def find_sets(
    roots: Sequence[Path], *, val_fraction: float, mask_suffix: str | None, class_names: Sequence[str]
) -> Sets:
    """Returns the datasets below `roots`. Raises DataError when one is none, or when their classes differ."""
    datasets = tuple(find_dataset(root, val_fraction=val_fraction, mask_suffix=mask_suffix) for root in roots)
    codings = tuple(
        inspect_masks([p.mask for p in d.all_pairs], root=d.root, class_names=class_names) for d in datasets
    )
    first = [c.name for c in codings[0].classes]
    for root, coding in zip(roots, codings, strict=True):
        other = [c.name for c in coding.classes]
        if other != first:
            raise DataError(
                f"{roots[0]} has the classes {', '.join(first)}; {root} has {', '.join(other)}: they cannot be mixed."
            )
    return Sets(datasets, codings)
