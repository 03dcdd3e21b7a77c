"""Masks made before, by any tool or by hand, in place of predicted ones: for `segtool overlay --masks`."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from segtool.data.classes import MaskCoding
from segtool.data.layout import Pair
from segtool.data.truth import inspect_masks, read_truth
from segtool.imaging.masks import resize_mask
from segtool.options import OverlayOptions
from segtool.pipeline import Tell
from segtool.plan import Job, Plan
from segtool.segmentation import AHEAD, Mask, Reading, Segmented, Segmenter
from segtool.streaming import FailureLog


def painted_masks(options: OverlayOptions, plan: Plan, tell: Tell) -> Segmenter:
    """Returns the masks of `plan`'s jobs as a stream; what their values mean is decided once over all, and told.

    Raises DataError where the values do not say.
    """
    assert options.masks is not None
    masks = [job.mask for job in (*plan.jobs, *plan.kept) if job.mask]
    coding = inspect_masks(masks, root=_root_of(options.masks))

    def stream(
        jobs: Iterable[Job], reading: Reading, executor: Executor, failures: FailureLog
    ) -> Iterator[Segmented]:  # fmt: skip
        for job in jobs:
            yield Segmented(job, partial(_mask_of, job, coding, reading))

    tell(f"masks of {options.masks}; {coding.describe()}")
    return Segmenter(coding.classes, lambda: None, stream, AHEAD)


def _root_of(masks: Path) -> Path:
    """Returns the folder whose classes.json says what `masks` hold: that of the dataset, where they are one's."""
    real = masks.resolve()
    above = [real.parent, real.parent.parent] if "masks" in (real.name, real.parent.name) else []
    return next((folder for folder in (masks, *above) if (folder / "classes.json").is_file()), masks)


def _mask_of(job: Job, coding: MaskCoding, reading: Reading) -> Mask:
    assert job.mask is not None
    image = reading.whole(job)
    height, width = image.shape[:2]
    mask = read_truth(Pair(str(job), Path(job.path), job.mask), coding, (height, width))
    return Mask(resize_mask(mask, height, width), image=image)
