"""`segtool evaluate`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from segtool.card import DEFAULT_WEIGHTS
from segtool.cli.line import app
from segtool.cli.options import BatchSize, MaskSuffix, Precision, Quiet, Threshold, ValFraction
from segtool.errors import UsageError
from segtool.options import EvaluateOptions
from segtool.words import batch_size_of, least_of

EVALUATE = EvaluateOptions(data=Path())


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
    from segtool.report.documents import evaluated_csv, evaluated_json, evaluated_markdown
    from segtool.report.notices import Show
    from segtool.report.scored import show_evaluated, show_verdict

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


def _load(weights: Path, precision: str) -> Any:
    """Loads weights, and TensorFlow with them: masks on disk are scored without."""
    from segtool.engine.predictor import load_predictor

    return load_predictor(weights, precision=precision, alone=True)
