"""Masks of a network, for `segtool mask` and `segtool overlay`; `painting` is its twin for masks made before."""

from concurrent.futures import ThreadPoolExecutor

from segtool.engine import keep_stderr
from segtool.options import MaskOptions, WriteOptions
from segtool.pipeline import Predictor
from segtool.plan import Plan
from segtool.report.notices import Show
from segtool.segmentation import Segmenter, segmenter_of


def predicted_masks(options: WriteOptions, plan: Plan, show: Show) -> Segmenter:
    """Returns the masks of the network that `plan` names as a stream; the network loads while pictures are decoded.

    What keeps it from loading is raised where the first mask is due: ModelError, UsageError, or SegtoolError when a
    GPU is asked for and there is none.
    """
    wanted, engine = plan.wanted, options.engine
    assert wanted.weights is not None and wanted.card is not None
    weights = wanted.weights
    keeps_probabilities = isinstance(options, MaskOptions) and options.probabilities is not None

    def load() -> Predictor:
        from segtool.engine.predictor import load_predictor  # TensorFlow, once it is clear that there is work

        return load_predictor(
            weights, precision=engine.precision, device=engine.device, require_gpu=engine.require_gpu,
            coarse=not keeps_probabilities, alone=True, notice=show.notice,
        )  # fmt: skip

    keep_stderr()  # what fails meanwhile must be told
    loading = ThreadPoolExecutor(1)
    loaded = loading.submit(load)
    loading.shutdown(wait=False)
    return segmenter_of(loaded.result, wanted.card, options, tile=wanted.tile, tell=show.notice)
