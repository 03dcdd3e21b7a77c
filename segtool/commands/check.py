"""`segtool check`: what is wrong with a dataset, before training finds out."""

from time import perf_counter

from segtool.data.inspect import inspect_dataset
from segtool.data.layout import list_dataset
from segtool.errors import DataError
from segtool.options import CheckOptions
from segtool.report.notices import Show
from segtool.results import Checked


def check(options: CheckOptions, show: Show) -> Checked:
    """Returns what is wrong with the dataset at `options.data`. Raises DataError when there is none."""
    start = perf_counter()
    listing = list_dataset(options.data, val_fraction=options.val_fraction, mask_suffix=options.mask_suffix)
    count = len(listing.dataset.all_pairs)
    if not count and not listing.dataset.unpaired:
        raise DataError(f"{options.data} holds no pictures.")
    with show.progress("checking", count, "pair") as bar:
        found = inspect_dataset(listing, quick=options.quick, tick=bar.update)
    return Checked(
        data=options.data, quick=options.quick, strict=options.strict, meaning=found.meaning, splits=found.splits,
        pictures=found.pictures,
        findings=tuple(f for f in found.findings if f.severity != "note"),
        notes=tuple(f for f in found.findings if f.severity == "note"),
        seconds=perf_counter() - start,
    )  # fmt: skip
