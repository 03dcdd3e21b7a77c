"""`segtool check` and `segtool synth`."""

from pathlib import Path
from typing import Annotated

import typer

from segtool.cli.line import app
from segtool.cli.options import MaskSuffix, Quiet, ValFraction
from segtool.options import CheckOptions, SynthOptions

CHECK = CheckOptions(data=Path())
SYNTH = SynthOptions(data=Path())


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
