"""What is wrong with a dataset: every file looked at once, in order, then all of it judged together."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from segtool.data.balance import balance_findings, balance_of, split_figures
from segtool.data.copies import copy_findings, same_bytes, same_bytes_findings
from segtool.data.facts import Look, look_at_image, look_at_mask, relative
from segtool.data.layout import Dataset, Listing, Pair, split_folders
from segtool.data.pairing import pairing_findings
from segtool.data.sizes import reading_findings, size_findings
from segtool.data.values import read_meaning
from segtool.results import Case, Finding, PictureFigures, SplitFigures, Spread
from segtool.streaming import ordered_map

SAMPLED_MASKS = 200  # a split, in a quick check: 0.1 s of small masks, seconds of large ones
WINDOW = 64  # pairs looked at ahead; of a pair only facts are kept, so it bounds little but the queue
GREY_GAP = 0.5  # between the shares of two splits
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Inspection:
    """What was found, errors first, and the figures of what is there. `meaning` says what mask values were taken as."""

    findings: tuple[Finding, ...]
    splits: tuple[SplitFigures, ...]
    pictures: PictureFigures | None
    meaning: str


def inspect_dataset(listing: Listing, *, quick: bool, tick: Callable[[], object] = int) -> Inspection:
    """Returns what is wrong with a dataset and what is in it.

    `quick` opens no image beyond its header, decodes `SAMPLED_MASKS` masks a split, and of copies finds only those
    equal byte by byte. `tick` is called for every pair.
    """
    dataset = listing.dataset
    root = dataset.root
    looks = list(_look_at_all(dataset, quick=quick, tick=tick))
    decoded = [look for look in looks if look.mask.kind]
    masks = {relative(root, look.pair.mask)[0]: look.mask for look in decoded}
    meaning = read_meaning(masks, root)
    balance = None
    findings = [
        *pairing_findings(listing), *reading_findings(looks, root), *size_findings(looks, root), *meaning.findings
    ]  # fmt: skip
    if meaning.coding is not None:
        understood = [look for look in decoded if relative(root, look.pair.mask)[0] in meaning.masks]
        balance = balance_of(understood, meaning.coding)
        complete = all(look.mask.kind or look.mask.error for look in looks)
        findings += balance_findings(balance, root, complete=complete)
    if quick:
        findings += same_bytes_findings(same_bytes(looks), root)
    else:
        findings += [*copy_findings(looks, root), *_grey_findings(looks, dataset)]
    return Inspection(
        findings=tuple(sorted(findings, key=lambda f: SEVERITIES.index(f.severity))),
        splits=split_figures(balance, {split: len(pairs) for split, pairs in dataset.pairs.items()}),
        pictures=_picture_figures(looks),
        meaning=meaning.coding.describe() if meaning.coding is not None else "",
    )


def quick_check(dataset: Dataset) -> tuple[Finding, ...]:
    """Returns the errors and warnings of a quick inspection: what to tell before a training begins.

    Seconds for 10,000 pairs. For a dataset that `find_dataset` took, so that folders and names are in order.
    """
    inspection = inspect_dataset(Listing(dataset, split_folders(dataset.root), ()), quick=True)
    return tuple(f for f in inspection.findings if f.severity != "note")


def _look_at_all(dataset: Dataset, *, quick: bool, tick: Callable[[], object]) -> Iterator[Look]:
    jobs = [
        (split, pair, not quick, not quick or index in _sampled(len(pairs)))
        for split, pairs in dataset.pairs.items() for index, pair in enumerate(pairs)
    ]  # fmt: skip
    with ThreadPoolExecutor() as pool:
        for look in ordered_map(_look, jobs, pool, window=WINDOW):
            yield look
            tick()


def _look(job: tuple[str, Pair, bool, bool]) -> Look:
    split, pair, decode_image, decode_mask = job
    return Look(
        split, pair, look_at_image(pair.image, decode=decode_image), look_at_mask(pair.mask, decode=decode_mask)
    )


def _sampled(count: int) -> range:
    return range(0, count, max(1, -(-count // SAMPLED_MASKS)))


def _grey_findings(looks: Sequence[Look], dataset: Dataset) -> Iterator[Finding]:
    """Yields pictures without colour where others have some; a note, unless one split is grey and another is not."""
    grey = [look for look in looks if look.image.grey]
    if not grey or len(grey) == sum(not look.image.error for look in looks):
        return
    cases = tuple(Case(relative(dataset.root, look.pair.image)) for look in grey)
    shares = [sum(x.split == split for x in grey) / len(pairs) for split, pairs in dataset.pairs.items() if pairs]
    if max(shares) - min(shares) > GREY_GAP:
        yield Finding(
            "grey-by-split", "warning", "Images without colour are common in one split and not in another.",
            "Mix them, so that each split says something of both.", cases,
        )  # fmt: skip
    else:
        yield Finding(
            "grey-images", "note", "An image has no colour where others do.",
            "Nothing needs to be done, if such pictures are to be expected later as well.", cases,
        )  # fmt: skip


def _picture_figures(looks: Sequence[Look]) -> PictureFigures | None:
    images = [look.image for look in looks if not look.image.error]
    if not images:
        return None
    sizes = np.array([(i.width, i.height, i.width / i.height) for i in images])
    width, height, aspect = (Spread(float(c.min()), float(np.median(c)), float(c.max())) for c in sizes.T)
    grey = None if images[0].grey is None else sum(bool(i.grey) for i in images)
    return PictureFigures(len(images), width, height, aspect, grey)
