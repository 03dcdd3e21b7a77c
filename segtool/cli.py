"""The commands: parse, call, show, exit.

Each command begins with its imports, so that `--help` loads no NumPy, OpenCV or TensorFlow.
"""

import atexit
import gc
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import typer.core

from segtool import __version__
from segtool.card import DEFAULT_WEIGHTS
from segtool.errors import SegtoolError, UsageError
from segtool.options import (
    FORMATS,
    INPUT_SCALES,
    MAX_PIXELS,
    STYLES,
    VAL_FRACTION,
    VALUES,
    AdoptOptions,
    CheckOptions,
    Cleaning,
    Engine,
    EvaluateOptions,
    ExportOptions,
    MaskOptions,
    OverlayOptions,
    Paint,
    Predicting,
    Running,
    Sources,
    SynthOptions,
    TrainOptions,
    WriteOptions,
)
from segtool.words import batch_size_of, least_of, minutes_of, names_of, shard_of, shares_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from segtool.report.notices import Show
    from segtool.results import Written

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
EVALUATE = EvaluateOptions(data=Path())
CHECK = CheckOptions(data=Path())
SYNTH = SynthOptions(data=Path())

CHOSEN = "from the data"

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
BatchSize = Annotated[
    str, typer.Option(metavar="auto|N", help="Pictures the network sees at once; auto: by the device and its memory.")
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|float32|bfloat16|float16",
        help="Arithmetic; auto is bfloat16 where the machine has it, and float16 is for GPUs.",
    ),
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
Inputs = Annotated[
    list[Path] | None, typer.Argument(metavar="INPUT", help="Pictures, and folders of pictures.", show_default=False)
]
# A text, not a Path, which would forget the slash that makes it a folder.
Output = Annotated[str, typer.Argument(metavar="OUTPUT", help="A folder; for one picture also a file name.")]
FilesFrom = Annotated[
    str | None, typer.Option(metavar="FILE", help="A list of pictures in place of INPUT, a line each; - is stdin.")
]
Nul = Annotated[bool, typer.Option("--null", "-0", help="The list has NUL between its entries, as from find -print0.")]
Root = Annotated[
    Path | None, typer.Option(help="Folder that a list is relative to and mirrored from.", show_default="the current")
]
KeepLargest = Annotated[bool, typer.Option("--keep-largest", help="Of each class, keep the largest region only.")]
MinArea = Annotated[int, typer.Option(min=0, metavar="PIXELS", help="Remove regions smaller than this.")]
FillHoles = Annotated[bool, typer.Option("--fill-holes", help="Fill background that a class encloses.")]
Style = Annotated[str, typer.Option(metavar="|".join(STYLES), help="How overlays show the mask.")]
Opacity = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="How strongly colours cover; for dim, how dark it gets.", show_default="by style"),
]
Legend = Annotated[bool, typer.Option(help="Name the classes in overlays, where there are more than two.")]
Tile = Annotated[
    str,
    typer.Option(
        metavar="auto|off|PIXELS",
        help="See large pictures in tiles of this side, for weights that were trained on crops; auto: as trained.",
    ),
]
Tta = Annotated[bool, typer.Option("--tta", help="Predict the mirror image too and take the mean: twice the time.")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|gpu|gpu:N", help="Where the network runs.")]
RequireGpu = Annotated[bool, typer.Option("--require-gpu", help="Refuse to run without a GPU.")]
Force = Annotated[bool, typer.Option("--force", help="Make everything again, replacing what is there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
FailedList = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the pictures that failed, as --files-from reads them.")
]
ShardOf = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Do the I-th of N parts, the same ones every time.")
]
MaxPixels = Annotated[int, typer.Option(min=1, help="Refuse larger pictures before decoding them.")]
JsonLines = Annotated[bool, typer.Option("--json", help="A JSON line a picture on stdout, as each is finished.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="A line a picture on stderr.")]


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
    inputs: Inputs = None,
    *,
    output: Output,
    files_from: FilesFrom = None,
    null: Nul = False,
    root: Root = None,
    shard: ShardOf = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    weights: Weights = DEFAULT_WEIGHTS,
    threshold: Threshold = None,
    tile: Tile = Predicting.tile,
    tta: Tta = False,
    keep_largest: KeepLargest = False,
    min_area: MinArea = Cleaning.min_area,
    fill_holes: FillHoles = False,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(VALUES),
            help="What pixels hold: 0 and 255, palette index or id of the class, probability times 255 (of the "
            "foreground, or the likeliest class), or as in the masks trained on.",
            show_default="255 for two classes, else palette",
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,NAME,...", help="Only these classes, as one.", show_default="all")
    ] = None,
    overlays: Annotated[Path | None, typer.Option(metavar="DIR", help="Write overlays too, in the same pass.")] = None,
    style: Style = Paint.style,
    opacity: Opacity = Paint.opacity,
    legend: Legend = Paint.legend,
    cutouts: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the objects cut out too, on transparent ground.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(metavar="COLOUR|FILE|blur", help="Ground for cutouts in place of transparency.")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write probabilities too: float16 .npy at network size.")
    ] = None,
    coco: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all masks as COCO annotations (RLE) too.")
    ] = None,
    batch_size: BatchSize = "auto",
    precision: Precision = Engine.precision,
    device: Device = Engine.device,
    require_gpu: RequireGpu = False,
    force: Force = False,
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    failed_list: FailedList = None,
    json: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Writes a mask for every picture.

    A mask is a lossless 8-bit PNG of the picture's own size. Folders are searched through and their structure is
    mirrored below OUTPUT. Two classes give 0 and 255; more give a palette PNG whose index is the class id. A second
    run makes only what is missing or changed; files in OUTPUT that segtool did not make are left alone.

    One picture can go to a file, and - is stdin or stdout: segtool mask - - < photo.jpg > mask.png

    Example: segtool mask photos/ masks/
    """
    from segtool.commands.mask import mask as run

    sources = _sources(inputs or [], files_from, null, root, shard, max_pixels)
    options = MaskOptions(
        sources, Path(output), output.endswith(("/", os.sep)),
        Predicting(weights, threshold, tile, tta), Cleaning(keep_largest, min_area, fill_holes),
        Engine(batch_size_of(batch_size), precision, device, require_gpu),
        Running(force, dry_run, fail_fast, failed_list),
        values=values, only=names_of("--only", only), overlays=overlays, paint=Paint(style, opacity, legend),
        cutouts=cutouts, background=background, probabilities=probabilities, coco=coco,
    )  # fmt: skip
    _show_written(run, options, quiet=quiet, verbose=verbose, json=json)


@app.command()
def overlay(
    inputs: Inputs = None,
    *,
    output: Output,
    files_from: FilesFrom = None,
    null: Nul = False,
    root: Root = None,
    shard: ShardOf = None,
    max_pixels: MaxPixels = MAX_PIXELS,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Paint the masks in this folder, any tool's, and predict none.")
    ] = None,
    style: Style = Paint.style,
    opacity: Opacity = Paint.opacity,
    legend: Legend = Paint.legend,
    weights: Weights = DEFAULT_WEIGHTS,
    threshold: Threshold = None,
    tile: Tile = Predicting.tile,
    tta: Tta = False,
    keep_largest: KeepLargest = False,
    min_area: MinArea = Cleaning.min_area,
    fill_holes: FillHoles = False,
    batch_size: BatchSize = "auto",
    precision: Precision = Engine.precision,
    device: Device = Engine.device,
    require_gpu: RequireGpu = False,
    force: Force = False,
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    failed_list: FailedList = None,
    json: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draws the mask over every picture.

    Each class is tinted in its colour, or outlined, the background left as it is or dimmed. JPEGs give JPEGs (quality
    92), all others PNGs. Names, folders and second runs are as in `segtool mask`.

    Example: segtool overlay photos/ overlays/ --style contour
    """
    from segtool.commands.overlay import overlay as run

    sources = _sources(inputs or [], files_from, null, root, shard, max_pixels)
    options = OverlayOptions(
        sources, Path(output), output.endswith(("/", os.sep)),
        Predicting(weights, threshold, tile, tta), Cleaning(keep_largest, min_area, fill_holes),
        Engine(batch_size_of(batch_size), precision, device, require_gpu),
        Running(force, dry_run, fail_fast, failed_list),
        paint=Paint(style, opacity, legend), masks=masks,
    )  # fmt: skip
    _show_written(run, options, quiet=quiet, verbose=verbose, json=json)


@app.command()
def train(
    context: typer.Context,
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
        str | None,
        typer.Option(
            help="Start from these weights and their network; with other classes, from all but its last layer."
        ),
    ] = TRAIN.init,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A way down of keras.applications: MobileNetV3Small, MobileNetV3Large, EfficientNetV2B0 to B3.",
            show_default="the U-Net's own",
        ),
    ] = TRAIN.encoder,
    encoder_weights: Annotated[
        str, typer.Option(metavar="none|imagenet|FILE", help="What --encoder starts from; imagenet is downloaded.")
    ] = TRAIN.encoder_weights,
    depth: Annotated[
        int | None, typer.Option(min=1, max=8, help="How often the picture is halved.", show_default=CHOSEN)
    ] = TRAIN.depth,
    width: Annotated[
        int | None, typer.Option(min=1, help="Channels at the top; doubled by every level.", show_default=CHOSEN)
    ] = TRAIN.width,
    max_width: Annotated[
        int | None, typer.Option(min=1, help="Channels at most.", show_default="16 × width")
    ] = TRAIN.max_width,
    norm: Annotated[bool, typer.Option(help="Batch normalisation after every convolution.")] = TRAIN.norm,
    residual: Annotated[bool, typer.Option(help="A shortcut around every two convolutions.")] = TRAIN.residual,
    stem: Annotated[
        int | None,
        typer.Option(
            min=1, max=2, help="2 halves the picture first: four times less work, softer edges.", show_default=CHOSEN
        ),
    ] = TRAIN.stem,
    network_size: Annotated[
        int | None, typer.Option(min=8, help="Long side of a picture as the network sees it.", show_default=CHOSEN)
    ] = TRAIN.network_size,
    crop_size: Annotated[
        int | None, typer.Option(min=8, help="Side of the square views trained on.", show_default="--network-size")
    ] = TRAIN.crop_size,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs at most.")] = TRAIN.epochs,
    epoch_pictures: Annotated[
        int | None, typer.Option(min=1, help="Pictures an epoch.", show_default="all once, 32 batches at least")
    ] = TRAIN.epoch_pictures,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures at once; halved where memory runs out.", show_default=CHOSEN)
    ] = TRAIN.batch_size,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches whose gradients make one step.", show_default="1")
    ] = TRAIN.accumulate,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, help="Peak, after warm-up, before the cosine.", show_default="0.002; 0.0003 with --init"),
    ] = TRAIN.learning_rate,
    loss: Annotated[
        str | None,
        typer.Option(metavar="SUM", help="Sum of ce, dice, focal and tversky, as ce+0.5*dice.", show_default=CHOSEN),
    ] = TRAIN.loss,
    class_weights: Annotated[
        str, typer.Option(metavar="auto|none|N,N,...", help="Weight of each class in ce and focal.")
    ] = TRAIN.class_weights,
    weight_decay: Annotated[float, typer.Option(min=0, help="AdamW's, on kernels.")] = TRAIN.weight_decay,
    warmup: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the training in which the rate rises.")
    ] = TRAIN.warmup,
    clip: Annotated[float, typer.Option(min=0, help="Norm of all gradients at most; 0 for any.")] = TRAIN.clip,
    ema: Annotated[
        float, typer.Option(min=0, max=0.9999, help="Keep a moving average of the weights, such as 0.99; 0 for none.")
    ] = TRAIN.ema,
    paste: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of views that get the objects (all but class 0) of another picture pasted on."
        ),
    ] = TRAIN.paste,
    patience: Annotated[
        int, typer.Option(min=1, help="Epochs without a better val IoU before it ends.")
    ] = TRAIN.patience,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Fitting at most, as 45m, 1h30m or 90s (a plain number: minutes); the schedule fits itself to it.",
            show_default="none",
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(metavar="auto|float32|bfloat16", help="Arithmetic; auto is bfloat16 where the machine has it."),
    ] = TRAIN.precision,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of first weights, order and augmentation.")
    ] = TRAIN.seed,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Same data, seed and machine: the same weights. Slower.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Logs for TensorBoard in RUN/tensorboard.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings of another run, its config.json or folder; options given beside it win."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with RUN as it was begun; a run killed at any moment can.")
    ] = False,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V,V",
            help="Train every combination, each in RUN/COMBINATION; repeatable, goes on when called again.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fits a U-Net to images and their masks.

    DATA holds train/images, train/masks, val/images and val/masks; or images/train and so on; or plain images and
    masks, split by a hash of the name. A mask has the name of its image. What mask values mean is found out and
    printed: 0 and one other value, ids below 64 (255 is ignored), or what DATA/classes.json says.

    What is not given is chosen from the pictures, the class shares and the memory, and told with its reason.

    RUN gets weights.keras (the epoch with the best val IoU; every other command takes RUN as --weights), history.csv,
    curves.png, samples/, config.json and a checkpoint for --resume. A resumed run is that of one undisturbed, to the
    last bit with --deterministic; with --time-budget the schedule follows the clock and may differ.

    Example: segtool train data/ runs/mine --epochs 30
    """
    from segtool.grid import parse_grid
    from segtool.report.console import show_trained
    from segtool.report.notices import Show
    from segtool.runs import read_config, repeated

    options = TrainOptions(
        data=tuple(data), run=folder, mix=shares_of("--mix", mix), mask_suffix=mask_suffix,
        val_fraction=TRAIN.val_fraction if val_fraction is None else val_fraction,
        class_names=names_of("--class-names", class_names), name=name, terms=terms, init=init, encoder=encoder,
        encoder_weights=encoder_weights, depth=depth, width=width, max_width=max_width, norm=norm, residual=residual,
        stem=stem, network_size=network_size, crop_size=crop_size, epochs=epochs, epoch_pictures=epoch_pictures,
        batch_size=batch_size, accumulate=accumulate, learning_rate=learning_rate, loss=loss,
        class_weights=class_weights, weight_decay=weight_decay, warmup=warmup, clip=clip, ema=ema, paste=paste,
        patience=patience, time_budget=minutes_of(time_budget), precision=precision, seed=seed,
        deterministic=deterministic, tensorboard=tensorboard, grid=parse_grid(grid or ()),
    )  # fmt: skip
    sources = {key: context.get_parameter_source(key) for key in context.params}
    given = {key for key, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if config is not None:
        options = repeated(options, read_config(config), given)
    if options.grid:
        from segtool.commands.grid import train_grid
        from segtool.commands.train import train as run
        from segtool.report.grid import show_grid

        tried = train_grid(options, Show(quiet), run)
        show_grid(tried, quiet=quiet)
        raise typer.Exit(tried.exit_code)
    from segtool.commands.train import train as run

    result = run(options, Show(quiet), resume=resume, given=given)
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
    batch_size: BatchSize = "auto",
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
        fail_under=tuple(least_of(text) for text in fail_under or ()), compare=compare, fail_if_worse=fail_if_worse,
        store_threshold=store_threshold, best_by=best_by, batch_size=batch_size_of(batch_size),
        precision=precision,
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
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A dataset, laid out as for `segtool train`.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Decode no images, and only some masks; find only copies of the same bytes.")
    ] = CHECK.quick,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 for warnings too.")] = CHECK.strict,
    val_fraction: ValFraction = None,
    mask_suffix: MaskSuffix = CHECK.mask_suffix,
    json: Annotated[bool, typer.Option("--json", help="One JSON document, with every file of every finding.")] = False,
    quiet: Quiet = False,
) -> None:
    """Says what is wrong with a dataset, before training finds out.

    Files without partner, of another size, or unreadable; masks whose values do not go together, with the
    classes.json to write; classes missing from a split; empty masks; pictures that are there twice, or in train and
    val at once, also when they were scaled, recompressed or mirrored. Says what share of the pixels each class has.

    Exits with 4 when there is an error: something training would stop at, or be misled by.

    Example: segtool check data/
    """
    from segtool.commands.check import check as run
    from segtool.report.checked import checked_json, show_checked
    from segtool.report.notices import Show

    fraction = CHECK.val_fraction if val_fraction is None else val_fraction
    result = run(CheckOptions(data, quick, strict, fraction, mask_suffix), Show(quiet))
    if json:
        typer.echo(checked_json(result))
    else:
        show_checked(result)
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


@app.command()
def export(
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="Bundled weights by name, a .keras file, or a run folder.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or a file.onnx or file.tflite.")],
    format: Annotated[
        str | None, typer.Option(metavar="|".join(FORMATS), help="What to write.", show_default="by the suffix of OUT")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Writes weights for another runtime: TensorFlow, ONNX or LiteRT.

    The network takes uint8 RGB (batch, height, width, 3) and gives float32 probability; batch is free, height and width
    are multiples of the card's stride. It is opened in its own runtime and compared with Keras on several batches and
    sides before it gets its name. The card travels inside, and beside a file as OUT.json.

    ONNX needs: pip install 'segtool[export]'

    Example: segtool export person person.onnx
    """
    from segtool.commands.export import export as run
    from segtool.report.console import show_exported

    show_exported(run(ExportOptions(weights, output, format, force)), quiet=quiet)


class _ShowByDefault(typer.core.TyperGroup):
    """The group whose first word, where it is no command, is the argument of `show`: `segtool weights person`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `show` before what names no command of the group."""
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


weights_app = typer.Typer(
    cls=_ShowByDefault, add_help_option=False, rich_markup_mode=None, subcommand_metavar="[NAME] | adopt FILE"
)
app.add_typer(weights_app, name="weights")


@weights_app.callback()
def weights(
    show_help: Annotated[
        bool, typer.Option("--help", is_eager=True, callback=_print_help, help="Show this message and exit.")
    ] = False,
) -> None:
    """Lists the bundled weights; shows or makes cards.

    A card is what weights say of themselves: classes, data and its terms, scores with 95 % intervals, what they do
    badly, cost. NAME is bundled weights, a .keras file, or a run folder (a file that is called adopt: ./adopt).

    Example: segtool weights person
    """


@weights_app.command("show")
def show_weights(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Bundled weights by name, a .keras file, or a run folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document: the card, or a list of all cards.")] = False,
) -> None:
    """Shows the card of NAME, or a line about each of the bundled weights.

    The word show can be left out: segtool weights person
    """
    from segtool.commands.weights import weights as run
    from segtool.report import cards

    found = run(name)
    if json:
        typer.echo(cards.weights_json(found) if name is None else cards.card_json(found[0]))
    elif name is None:
        cards.show_weights(found)
    else:
        cards.show_card(found[0])


@weights_app.command("adopt")
def adopt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Keras model, saved as .keras.")],
    classes: Annotated[
        str, typer.Option(metavar="NAME,NAME,...", help="The classes, in the order of its channels, background first.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="OUT.keras", help="The file to write.", show_default="FILE-segtool.keras")
    ] = None,
    input_scale: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(INPUT_SCALES),
            help="What pixels were turned into for training: [0, 1], [-1, 1], by ImageNet's mean and deviation, or "
            "left from 0 to 255.",
            show_default="none where it takes bytes or scales by itself",
        ),
    ] = None,
    logits: Annotated[bool, typer.Option("--logits", help="It ends without sigmoid or softmax.")] = False,
    network_size: Annotated[
        int | None,
        typer.Option(min=8, help="Long side of pictures in training.", show_default="its own, where it has one"),
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Sides must be multiples of this.", show_default="found by trying")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Probability from which a pixel is foreground (two classes).")
    ] = AdoptOptions.threshold,
    name: Annotated[str, typer.Option(help="Name of the weights.", show_default="that of the file")] = "",
    terms: Annotated[str, typer.Option(help="Terms of the weights and their data, for the card.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace OUT.keras where it is there.")] = False,
    quiet: Quiet = False,
) -> None:
    """Gives a Keras segmentation model a card, so that every command takes it as --weights.

    The copy takes bytes and gives probability, whatever FILE takes and gives, and is opened again and compared before
    it gets its name. FILE stays as it is. A model of Keras' own layers only; no code in it is run.

    A model of one fixed square size sees every picture squashed to that square, as notebooks train; another
    --network-size or --stride frees its sides where its layers allow it.

    Example: segtool weights adopt unet.keras --classes background,person --input-scale 1/255
    """
    from segtool.commands.adopt import adopt as run
    from segtool.report.console import show_adopted

    options = AdoptOptions(
        file, names_of("--classes", classes), output=output, input_scale=input_scale, logits=logits,
        network_size=network_size, stride=stride, threshold=threshold, name=name, terms=terms, force=force,
    )  # fmt: skip
    show_adopted(run(options), quiet=quiet)


def main() -> None:
    """Runs the command line; every expected error becomes one sentence on stderr and its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that is not UTF-8 must not end a listing
    # Python looks for garbage once more before it ends, for 0.1 to 0.6 s among all that was imported; frozen is none.
    atexit.register(gc.freeze)
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
        print(f"segtool: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)


WriteOptionsT = TypeVar("WriteOptionsT", bound=WriteOptions)


def _show_written(
    run: "Callable[[WriteOptionsT, Show], Written]", options: WriteOptionsT, *, quiet: bool, verbose: bool, json: bool
) -> None:
    from segtool.report.console import show_written
    from segtool.report.notices import Show

    if json and str(options.output) == "-":
        raise UsageError("--json and OUTPUT - both want stdout: choose one.")
    result = run(options, Show(quiet, verbose, json))
    show_written(result, kind="overlay" if isinstance(options, OverlayOptions) else "mask", quiet=quiet)
    raise typer.Exit(result.exit_code)


def _sources(
    inputs: list[Path], files_from: str | None, null: bool, root: Path | None, shard: str | None, max_pixels: int
) -> Sources:
    if inputs and files_from is not None:
        raise UsageError(f"--files-from {files_from} and INPUT {inputs[0]} both say what to read: choose one.")
    if not inputs and files_from is None:
        raise UsageError("Nothing says what to read: name INPUT and then OUTPUT, or give a list by --files-from.")
    if files_from is None and (null or root is not None):
        raise UsageError(f"{'-0' if null else '--root'} is for lists: name one by --files-from.")
    return Sources(tuple(inputs), files_from, null, root, shard_of(shard), max_pixels)


def _load(weights: Path, precision: str) -> Any:
    """Loads weights, and TensorFlow with them: masks on disk are scored without."""
    from segtool.engine.predictor import load_predictor

    return load_predictor(weights, precision=precision, alone=True)
