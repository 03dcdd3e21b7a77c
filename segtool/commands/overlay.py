"""`segtool overlay`: pictures with the mask drawn over them, predicted or made before."""

from collections.abc import Mapping

from segtool.kinds import OVERLAY
from segtool.options import OverlayOptions
from segtool.outputs import write_outputs
from segtool.painting import painted_masks
from segtool.plan import Plan
from segtool.predicting import predicted_masks
from segtool.rendering import Render, overlay_renderer
from segtool.report.notices import Show
from segtool.results import Written
from segtool.segmentation import Segmenter


def overlay(options: OverlayOptions, show: Show) -> Written:
    """Writes the overlays, JPEG for JPEGs and else PNG.

    Raises UsageError, ModelError, DataError, OutputError, or SegtoolError where there are no pictures.
    """

    def start(plan: Plan) -> tuple[Segmenter, Mapping[str, Render]]:
        painted = plan.wanted.weights is None
        segmenter = painted_masks(options, plan, show.notice) if painted else predicted_masks(options, plan, show)
        return segmenter, {OVERLAY: overlay_renderer(options.paint, segmenter.classes)}

    return write_outputs(options, show, start=start)
