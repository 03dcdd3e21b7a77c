"""The commands: parse, call, show, exit.

Each command begins with its imports, so that `--help` loads no NumPy, OpenCV or TensorFlow.
"""

import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from segtool import __version__
from segtool.card import DEFAULT_WEIGHTS
from segtool.errors import SegtoolError, UsageError
from segtool.options import (
    NETWORK_SIZE,
    VAL_FRACTION,
    EvaluateOptions,
    MaskOptions,
    OverlayOptions,
    SynthOptions,
    TrainOptions,
)

app = typer.Typer(
    name="segtool",
    epilog="Exit codes: 0 done, 1 an error that is explained, 2 wrong usage, 3 some files failed, 4 a gate said no, "
    "130/143 interrupted.",
    no_args_is_help=True,
    add_help_option=False,  # see `segtool` below
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help with Rich takes twice the time of all the rest
)

TRAIN = TrainOptions(data=(), run=Path())
MASK = MaskOptions(inputs=(), output=Path())
OVERLAY = OverlayOptions(inputs=(), output=Path())
EVALUATE = EvaluateOptions(data=Path())
SYNTH = SynthOptions(data=Path())

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No notices and no progress; failures are still named.")]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="Bundled weights by name, a .keras file, or a run folder.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Probability from which a pixel is foreground (two classes).", show_default="the weights'"
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures the network sees at once.")]
Precision = Annotated[
    str, typer.Option(metavar="auto|float32|bfloat16", help="Arithmetic; auto is bfloat16 where the machine has it.")
]
MaskSuffix = Annotated[
    str | None,
    typer.Option(help="What mask names carry after the image's name, such as _seg.", show_default="found by itself"),
]
ValFraction = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Share split off for val where folders do not say.",
        show_default=f"{VAL_FRACTION}, or as trained",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Make everything again, replacing what is there.")]
Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT", help="Pictures, and folders of pictures.")]
# A string, not a Path, which would forget the slash that makes it a folder.
Output = Annotated[str, typer.Argument(metavar="OUTPUT", help="A folder; for one picture also a file name.")]


def _print_help(context: typer.Context, asked: bool) -> None:
    if asked:
        typer.echo(context.get_help())
        raise typer.Exit


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"segtool {__version__}")
        raise typer.Exit


@app.callback()
def segtool(
    # Typer's own --help of the group has no default; to make a bool of that it imports pydantic, 0.2 s of every help.
    show_help: Annotated[
        bool, typer.Option("--help", is_eager=True, callback=_print_help, help="Show this message and exit.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Turns folders of pictures into segmentation masks, and folders of masks into U-Nets."""


@app.command()
def mask(
    inputs: Inputs,
    output: Output,
    weights: Weights = DEFAULT_WEIGHTS,
    threshold: Threshold = MASK.threshold,
    batch_size: BatchSize = MASK.batch_size,
    precision: Precision = MASK.precision,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Writes a mask for every picture.

    A mask is a lossless 8-bit PNG of the picture's own size. Folders are searched through and their structure is
    mirrored below OUTPUT. Two classes give 0 and 255; more give a palette PNG whose index is the class id. A second
    run makes only what is missing or changed; files in OUTPUT that segtool did not make are left alone.

    Example: segtool mask photos/ masks/
    """
    options = MaskOptions(
        tuple(inputs), Path(output), _is_folder(output), weights=weights, threshold=threshold, batch_size=batch_size,
        precision=precision, force=force,
    )  # fmt: skip
    _write(options, quiet=quiet)


@app.command()
def overlay(
    inputs: Inputs,
    output: Output,
    weights: Weights = DEFAULT_WEIGHTS,
    threshold: Threshold = OVERLAY.threshold,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="How strongly the colour covers.")] = OVERLAY.opacity,
    batch_size: BatchSize = OVERLAY.batch_size,
    precision: Precision = OVERLAY.precision,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Draws the predicted mask over every picture.

    Each class is tinted in its colour, the background left as it is. JPEGs give JPEGs (quality 92), all others PNGs.
    Names, folders and second runs are as in `segtool mask`.

    Example: segtool overlay photos/ overlays/ --opacity 0.4
    """
    options = OverlayOptions(
        tuple(inputs), Path(output), _is_folder(output), weights=weights, threshold=threshold, batch_size=batch_size,
        precision=precision, force=force, opacity=opacity,
    )  # fmt: skip
    _write(options, quiet=quiet)


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="Datasets to learn from.")],
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A new folder for the run.")],
    mix: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Share of each DATA in what is drawn.", show_default="by pictures"),
    ] = None,
    val_fraction: ValFraction = None,
    mask_suffix: MaskSuffix = TRAIN.mask_suffix,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Names of the classes where there is no classes.json, background first.",
            show_default="background,foreground",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the weights.", show_default="the name of RUN")] = TRAIN.name,
    terms: Annotated[str, typer.Option(help="Terms of the weights and their data, for the card.")] = TRAIN.terms,
    init: Annotated[
        str | None, typer.Option(help="Start from these weights and their network, in place of random ones.")
    ] = TRAIN.init,
    depth: Annotated[int, typer.Option(min=1, max=8, help="How often the picture is halved.")] = TRAIN.depth,
    width: Annotated[int, typer.Option(min=1, help="Channels at the top; doubled by every level.")] = TRAIN.width,
    max_width: Annotated[int, typer.Option(min=1, help="Channels at most.")] = TRAIN.max_width,
    norm: Annotated[bool, typer.Option(help="Batch normalisation after every convolution.")] = TRAIN.norm,
    residual: Annotated[bool, typer.Option(help="A shortcut around every two convolutions.")] = TRAIN.residual,
    stem: Annotated[
        int, typer.Option(min=1, max=2, help="2 halves the picture first: four times less work, softer edges.")
    ] = TRAIN.stem,
    network_size: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Long side of a picture as the network sees it.",
            show_default=f"{NETWORK_SIZE}, or that of --init",
        ),
    ] = TRAIN.network_size,
    crop_size: Annotated[
        int | None, typer.Option(min=8, help="Side of the square views trained on.", show_default="--network-size")
    ] = TRAIN.crop_size,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs at most.")] = TRAIN.epochs,
    epoch_pictures: Annotated[
        int | None, typer.Option(min=1, help="Pictures an epoch.", show_default="all once")
    ] = TRAIN.epoch_pictures,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = TRAIN.batch_size,
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Peak, after warm-up, before the cosine.")
    ] = TRAIN.learning_rate,
    weight_decay: Annotated[float, typer.Option(min=0, help="AdamW's, on kernels.")] = TRAIN.weight_decay,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better val IoU before it ends.")
    ] = TRAIN.patience,
    time_budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MINUTES",
            help="Minutes of fitting at most; the schedule fits itself to them.",
            show_default="none",
        ),
    ] = TRAIN.time_budget,
    precision: Precision = TRAIN.precision,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of first weights, order and augmentation.")
    ] = TRAIN.seed,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with RUN; all else as it was, but epochs, patience, budget.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Fits a U-Net to images and their masks.

    DATA holds train/images, train/masks, val/images and val/masks; or images/train and so on; or plain images and
    masks, split by a hash of the name. A mask has the name of its image. What mask values mean is found out and
    printed: 0 and one other value, ids below 64 (255 is ignored), or what DATA/classes.json says.

    RUN gets weights.keras (the epoch with the best val IoU; every other command takes RUN as --weights), history.csv,
    curves.png, config.json and a checkpoint for --resume.

    Example: segtool train data/ runs/mine --epochs 30
    """
    from segtool.commands.train import train as run
    from segtool.report.console import show_trained
    from segtool.report.notices import Show

    options = TrainOptions(
        data=tuple(data), run=folder, mix=_numbers("--mix", mix), mask_suffix=mask_suffix,
        val_fraction=TRAIN.val_fraction if val_fraction is None else val_fraction,
        class_names=_names(class_names), name=name, terms=terms, init=init,
        depth=depth, width=width, max_width=max_width, norm=norm, residual=residual, stem=stem,
        network_size=network_size, crop_size=crop_size, epochs=epochs, epoch_pictures=epoch_pictures,
        batch_size=batch_size, learning_rate=learning_rate, weight_decay=weight_decay, patience=patience,
        time_budget=time_budget, precision=precision, seed=seed,
    )  # fmt: skip
    result = run(options, Show(quiet), resume=resume)
    show_trained(result, quiet=quiet)
    raise typer.Exit(result.exit_code)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A dataset, laid out as for `segtool train`.")],
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            help="Bundled weights by name, a .keras file, or a run folder.",
            show_default=DEFAULT_WEIGHTS,
        ),
    ] = EVALUATE.weights,
    predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Score the masks in DIR, of whatever tool, in place of weights.")
    ] = EVALUATE.predictions,
    split: Annotated[str, typer.Option(metavar="train|val|test|all", help="Which pairs to score.")] = EVALUATE.split,
    threshold: Threshold = EVALUATE.threshold,
    boundary: Annotated[
        bool, typer.Option(help="Boundary IoU and F1; without, masks on disk take about a third of the time.")
    ] = EVALUATE.boundary,
    val_fraction: ValFraction = EVALUATE.val_fraction,
    mask_suffix: MaskSuffix = EVALUATE.mask_suffix,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, for scripts and --compare.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="A row a picture.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables for a pull request.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page with curves and the worst pictures.")
    ] = EVALUATE.html,
    gallery: Annotated[
        int, typer.Option(min=1, help="The page shows so many of the worst pictures, and as many at random.")
    ] = EVALUATE.gallery,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Exit with 4 if a figure is lower: miou=0.85, iou:person=0.8."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="OLD.json", help="Say what changed since an earlier --json document.")
    ] = EVALUATE.compare,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit with 4 if miou or miou_image fell by more than chance.")
    ] = EVALUATE.fail_if_worse,
    store_threshold: Annotated[
        bool, typer.Option("--store-threshold", help="Write the best threshold into the card of the weights.")
    ] = EVALUATE.store_threshold,
    best_by: Annotated[
        str, typer.Option(metavar="iou|iou_image", help="What the threshold stored is best by.")
    ] = EVALUATE.best_by,
    batch_size: BatchSize = EVALUATE.batch_size,
    precision: Precision = EVALUATE.precision,
    quiet: Quiet = False,
) -> None:
    """Scores weights, or masks on disk, against true masks.

    IoU, Dice, precision, recall, boundary IoU and boundary F1 by class at the masks' own size, each with its 95 %
    interval, beside the accuracy of calling everything background (or the commonest class).

    `iou` is from pixels counted over the whole split, `iou_image` the mean over pictures; `miou` is the mean over the
    classes present, or the foreground's where there are two classes.

    Masks in --predictions pair by name, and may hold 0 and 255, class ids, the dataset's own values or colours, or
    probabilities from 0 to 255; what they are taken for is printed.

    Example: segtool evaluate data/ --weights runs/mine --html report.html
    """
    from segtool.commands.evaluate import evaluate as run
    from segtool.report.console import show_evaluated, show_verdict
    from segtool.report.documents import evaluated_csv, evaluated_json, evaluated_markdown
    from segtool.report.notices import Show

    if json + csv + markdown > 1:
        raise UsageError("--json, --csv and --markdown each fill stdout: give one of them.")
    options = EvaluateOptions(
        data, weights=weights, predictions=predictions, split=split, threshold=threshold, boundary=boundary,
        val_fraction=val_fraction, mask_suffix=mask_suffix, html=html, gallery=gallery,
        fail_under=tuple(_least(text) for text in fail_under or ()), compare=compare, fail_if_worse=fail_if_worse,
        store_threshold=store_threshold, best_by=best_by, batch_size=batch_size, precision=precision,
    )  # fmt: skip
    result = run(options, Show(quiet), load=_load)
    if json or csv or markdown:
        document = evaluated_json if json else evaluated_csv if csv else evaluated_markdown
        typer.echo(document(result).rstrip("\n"))
    else:
        show_evaluated(result)
    if html:
        from segtool.report.html import write_page

        write_page(html, result)
    show_verdict(result)
    raise typer.Exit(result.exit_code)


@app.command()
def synth(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A new folder for the dataset.")],
    train: Annotated[int, typer.Option(min=1, help="Training pairs.")] = SYNTH.train,
    val: Annotated[int, typer.Option(min=1, help="Validation pairs.")] = SYNTH.val,
    size: Annotated[int, typer.Option(min=16, help="Long side in pixels.")] = SYNTH.size,
    classes: Annotated[bool, typer.Option("--classes", help="Each kind of shape is a class of its own.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = SYNTH.seed,
    quiet: Quiet = False,
) -> None:
    """Makes a dataset of simple shapes.

    Circles, rectangles, triangles and stars on textured ground, with their true masks, to try everything with.

    Example: segtool synth shapes/
    """
    from segtool.commands.synth import synth as run
    from segtool.report.console import show_synthesised
    from segtool.report.notices import Show

    result = run(SynthOptions(data, train, val, size, classes, seed), Show(quiet))
    show_synthesised(result, quiet=quiet)
    raise typer.Exit(result.exit_code)


def main() -> None:
    """Runs the command line; every expected error becomes one sentence on stderr and its exit code."""
    try:
        app()
    except SegtoolError as error:
        print(f"segtool: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our stdout went away (`| head`): no fault of ours, and nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"segtool: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _write(options: MaskOptions, *, quiet: bool) -> None:
    """Plans and runs `mask` or `overlay`; TensorFlow is imported only once it is clear that there is work."""
    from segtool.plan import make_plan
    from segtool.report.console import show_written
    from segtool.report.notices import Show
    from segtool.results import Written

    plan = make_plan(options)
    if not plan.jobs:
        result = Written(options.output, done=0, kept=plan.kept, seconds=0, failures=plan.left)
    elif isinstance(options, OverlayOptions):
        from segtool.commands.overlay import overlay as run_overlay

        result = run_overlay(options, plan, Show(quiet))
    else:
        from segtool.commands.mask import mask as run_mask

        result = run_mask(options, plan, Show(quiet))
    show_written(result, kind=plan.wanted.kind, quiet=quiet)
    raise typer.Exit(result.exit_code)


def _load(weights: Path, precision: str) -> Any:
    """Loads weights, and TensorFlow with them: masks on disk are scored without."""
    from segtool.model.predictor import load_predictor

    return load_predictor(weights, precision=precision)


def _least(text: str) -> tuple[str, float]:
    # From the right: a class may have `=` in its name.
    key, _, value = text.rpartition("=")
    try:
        least = float(value)
    except ValueError:
        least = math.nan
    if not key or not 0 <= least <= 1:
        raise UsageError(f"--fail-under {text} is not of the form KEY=VALUE with a value from 0 to 1, as in miou=0.85.")
    return key, least


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep))


def _names(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    if "" in names or len(set(names)) != len(names):
        raise UsageError(f"--class-names {text} needs names that differ, with commas between them.")
    return names


def _numbers(flag: str, text: str | None) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        raise UsageError(f"{flag} {text} is no list of numbers like 2,1,1.") from None
    if not all(0 <= n < math.inf for n in numbers) or (numbers and sum(numbers) <= 0):
        raise UsageError(f"{flag} {text} needs shares of 0 or more, not all 0.")
    return numbers
