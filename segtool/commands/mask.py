"""`segtool mask`: one lossless 8-bit PNG a picture, at the picture's own size."""

import numpy as np

from segtool.imaging.codec import Pixels, encode_palette_png, encode_png
from segtool.imaging.paint import palette
from segtool.model.predictor import load_predictor
from segtool.options import MaskOptions
from segtool.outputs import write_outputs
from segtool.plan import Job, Plan
from segtool.report.notices import Show
from segtool.results import Written

FOREGROUND = 255


def mask(options: MaskOptions, plan: Plan, show: Show) -> Written:
    """Writes the masks of `plan`: 0 and 255 for two classes, else a palette whose index is the class id.

    Raises ModelError or OutputError.
    """
    predictor = load_predictor(plan.weights, precision=options.precision)
    classes = predictor.card.classes
    colors = palette(classes)
    ids = np.array([c.id for c in classes], np.uint8)

    def encode(job: Job, indices: Pixels) -> bytes:
        if predictor.card.binary:
            return encode_png(indices * FOREGROUND)
        return encode_palette_png(ids[indices], colors)

    return write_outputs(plan, options, encode=encode, predictor=predictor, show=show)
