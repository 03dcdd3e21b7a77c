"""Masks of a network, for `segtool mask` and `segtool overlay`; `painting` is its twin for masks made before."""

from segtool.options import WriteOptions
from segtool.plan import Plan
from segtool.report.notices import Show
from segtool.segmentation import Segmenter, segmenter_of


def predicted_masks(options: WriteOptions, plan: Plan, show: Show) -> Segmenter:
    """Returns the masks of the network that `plan` names as a stream.

    Raises ModelError, UsageError, or SegtoolError when a GPU is asked for and there is none.
    """
    from segtool.model.predictor import load_predictor  # TensorFlow, once it is clear that there is work

    wanted, engine = plan.wanted, options.engine
    assert wanted.weights is not None
    predictor = load_predictor(
        wanted.weights, precision=engine.precision, device=engine.device, require_gpu=engine.require_gpu,
        notice=show.notice,
    )  # fmt: skip
    return segmenter_of(predictor, options, tile=wanted.tile, tell=show.notice)
