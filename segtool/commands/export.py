"""`segtool export`: weights in the format of another runtime, checked against Keras."""

from pathlib import Path

from segtool.card import find_weights, read_card
from segtool.errors import OutputError, UsageError
from segtool.options import FORMATS, ExportOptions
from segtool.results import Exported


def export(options: ExportOptions) -> Exported:
    """Writes the weights as `options.format`. Raises UsageError, ModelError, OutputError or SegtoolError."""
    form = _format(options)
    weights = find_weights(options.weights)
    read_card(weights)  # damaged weights are told before TensorFlow is loaded
    _check_free(options, form)
    from segtool.model.export import export as run  # TensorFlow once all that can be told without is

    return run(weights, options.output, form=form)


def _format(options: ExportOptions) -> str:
    """Returns the format asked for, by name or by the suffix of the output. Raises UsageError."""
    suffix = options.output.suffix
    if options.format is None:
        named = next((form for form, own in FORMATS.items() if own == suffix), None)
        if named is None:
            raise UsageError(f"{options.output} names no format: say --format {', '.join(FORMATS)}.")
        return named
    if options.format not in FORMATS:
        raise UsageError(f"--format {options.format} is not one of {', '.join(FORMATS)}.")
    if FORMATS[options.format] not in ("", suffix):
        raise UsageError(f"{options.output} must end in {FORMATS[options.format]} for {options.format}.")
    return options.format


def _check_free(options: ExportOptions, form: str) -> None:
    """Raises OutputError where something is in the way that --force was not given for, or must not replace."""
    output = options.output
    if output.name in ("", ".."):
        raise OutputError(f"{output} is no name to write to: give one of its own, such as person.onnx.")
    beside = [] if form == "savedmodel" else [output.with_name(output.name + ".json")]
    for path in (output, *beside):
        if path.exists() and not options.force:
            raise OutputError(f"{path} is there already: give another name, or --force to replace it.")
    if output.exists() and output.is_dir() != (form == "savedmodel"):
        raise OutputError(f"{output} is a {'folder' if output.is_dir() else 'file'}: give another name.")
    if output.is_dir() and not _replaceable(output):
        raise OutputError(f"{output} holds something else than a SavedModel: give another name.")


def _replaceable(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file() or not any(folder.iterdir())
