"""`segtool overlay`: pictures with the predicted mask drawn over them."""

from segtool.errors import ImageError
from segtool.imaging.codec import Pixels, encode_jpeg, encode_png, read_image
from segtool.imaging.paint import paint_colors, tint
from segtool.model.predictor import load_predictor
from segtool.options import OverlayOptions
from segtool.outputs import write_outputs
from segtool.plan import Job, Plan
from segtool.report.notices import Show
from segtool.results import Written


def overlay(options: OverlayOptions, plan: Plan, show: Show) -> Written:
    """Writes the overlays of `plan`, JPEG for JPEGs and else PNG. Raises ModelError or OutputError."""
    predictor = load_predictor(plan.weights, precision=options.precision)
    colors = paint_colors(predictor.card.classes)

    def encode(job: Job, indices: Pixels) -> bytes:
        # Decoded a second time: keeping every full picture until the network is done would grow with their size.
        image = read_image(job.source)
        if image.shape[:2] != indices.shape:
            raise ImageError(f"{job.source} changed while it was worked on.")
        painted = tint(image, indices, colors, options.opacity)
        return encode_png(painted) if job.target.suffix.lower() == ".png" else encode_jpeg(painted)

    return write_outputs(plan, options, encode=encode, predictor=predictor, show=show)
