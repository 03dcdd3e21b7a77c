"""`segtool mask`: one lossless 8-bit PNG a picture, at the picture's own size, and what else is asked for of it."""

from collections.abc import Mapping
from pathlib import Path

from segtool.coco import coco_json
from segtool.kinds import MASK
from segtool.options import MaskOptions
from segtool.outputs import write_outputs
from segtool.plan import Plan
from segtool.predicting import predicted_masks
from segtool.rendering import Render, mask_categories, mask_renderers
from segtool.report.notices import Show
from segtool.results import Written
from segtool.segmentation import Segmenter
from segtool.streaming import FailureLog


def mask(options: MaskOptions, show: Show) -> Written:
    """Writes masks, and in the same pass overlays, cutouts and probabilities where asked.

    Raises UsageError, ModelError, OutputError, or SegtoolError where there are no pictures.
    """

    def start(plan: Plan) -> tuple[Segmenter, Mapping[str, Render]]:
        assert plan.wanted.card is not None
        renderers = mask_renderers(options, plan.wanted.card)
        return predicted_masks(options, plan, show), renderers

    def lists(plan: Plan, failures: FailureLog) -> Mapping[str, tuple[Path, bytes]]:
        if options.coco is None:
            return {}
        jobs = sorted((*plan.jobs, *plan.kept, *(job for job, _ in plan.left)), key=lambda job: job.real)
        found = [(str(job), Path(job.targets[MASK])) for job in jobs if MASK in job.targets]
        masks = [(name, path) for name, path in found if path.exists()]
        assert plan.wanted.card is not None
        with show.progress("annotations", len(masks), "mask") as bar:
            content = coco_json(masks, mask_categories(options, plan.wanted.card), failures, tick=bar.update)
        return {"coco": (options.coco, content)}

    listed = () if options.coco is None else (options.coco,)
    return write_outputs(options, show, start=start, lists=lists, listed=listed)
