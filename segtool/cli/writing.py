"""`segtool mask` and `segtool overlay`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from segtool.card import DEFAULT_WEIGHTS
from segtool.cli.line import app
from segtool.cli.options import (
    BatchSize,
    Device,
    DryRun,
    FailedList,
    FailFast,
    FilesFrom,
    FillHoles,
    Force,
    Inputs,
    JsonLines,
    KeepLargest,
    Legend,
    MaxPixels,
    MinArea,
    Nul,
    Opacity,
    Output,
    Precision,
    Quiet,
    RequireGpu,
    Root,
    ShardOf,
    Style,
    Threshold,
    Tile,
    Tta,
    Verbose,
    Weights,
)
from segtool.errors import UsageError
from segtool.options import (
    MAX_PIXELS,
    VALUES,
    Cleaning,
    Engine,
    MaskOptions,
    OverlayOptions,
    Paint,
    Predicting,
    Running,
    Sources,
    WriteOptions,
)
from segtool.words import batch_size_of, names_of, shard_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from segtool.report.notices import Show
    from segtool.results import Written


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
