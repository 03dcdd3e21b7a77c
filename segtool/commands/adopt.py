"""`segtool weights adopt`: a plain Keras segmentation model gets a card."""

from segtool.errors import OutputError, UsageError
from segtool.options import INPUT_SCALES, AdoptOptions
from segtool.results import Adopted


def adopt(options: AdoptOptions) -> Adopted:
    """Writes the model in `options.file`, made to meet the contract of weights, with a card. The file itself stays.

    Raises UsageError, ModelError when it is no segmentation network of these classes, OutputError.
    """
    if len(options.classes) < 2:
        raise UsageError("--classes needs two names at least, background first, such as background,person.")
    if options.input_scale not in (None, *INPUT_SCALES):
        raise UsageError(f"--input-scale {options.input_scale} is not one of {', '.join(INPUT_SCALES)}.")
    if options.target.suffix != ".keras":
        raise UsageError(f"--output {options.target} must end in .keras.")
    if options.target.exists() and not options.force:
        raise OutputError(f"{options.target} is there already: give another --output, or --force to replace it.")
    from segtool.model.adopt import adopt_network  # TensorFlow once all that can be told without is

    return adopt_network(options)
