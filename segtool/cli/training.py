"""`segtool train`."""

from pathlib import Path
from typing import Annotated

import typer

from segtool.cli.line import app
from segtool.cli.options import MaskSuffix, Quiet, ValFraction
from segtool.options import TrainOptions
from segtool.words import minutes_of, names_of, shares_of

TRAIN = TrainOptions(data=(), run=Path())
CHOSEN = "from the data"


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
            help="Start from these weights and their network, made wider by --width or --max-width; with other "
            "classes, from all but its last layer."
        ),
    ] = TRAIN.init,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS", help="Learn half from the masks and half from what these weights say of each view."
        ),
    ] = TRAIN.teacher,
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
            min=1, max=4, help="1, 2 or 4: shrinks the picture first; less work, softer edges.", show_default=CHOSEN
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
        typer.Option(
            metavar="SUM",
            help="Sum of ce, dice, focal, tversky, and gap (background between objects), as ce+0.5*dice.",
            show_default=CHOSEN,
        ),
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
    from segtool.report.notices import Show
    from segtool.report.scored import show_trained
    from segtool.runs import read_config, repeated

    options = TrainOptions(
        data=tuple(data), run=folder, mix=shares_of("--mix", mix), mask_suffix=mask_suffix,
        val_fraction=TRAIN.val_fraction if val_fraction is None else val_fraction,
        class_names=names_of("--class-names", class_names), name=name, terms=terms, init=init, teacher=teacher,
        encoder=encoder, encoder_weights=encoder_weights, depth=depth, width=width, max_width=max_width, norm=norm,
        residual=residual, stem=stem, network_size=network_size, crop_size=crop_size, epochs=epochs,
        epoch_pictures=epoch_pictures, batch_size=batch_size, accumulate=accumulate, learning_rate=learning_rate,
        loss=loss, class_weights=class_weights, weight_decay=weight_decay, warmup=warmup, clip=clip, ema=ema,
        paste=paste, patience=patience, time_budget=minutes_of(time_budget), precision=precision, seed=seed,
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
