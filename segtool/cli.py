"""The commands: parse, call, show, exit. Each begins with its imports, so that `--help` loads nothing heavy."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from segtool.options import TrainOptions

app = typer.Typer(
    name="segtool", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Folders of pictures into segmentation masks, folders of masks into U-Nets.",
)  # fmt: skip

DEFAULT = TrainOptions(data=(), run=Path())


@app.callback()
def segtool() -> None:
    pass


@app.command()
def train(
    data: Annotated[list[Path], typer.Argument(metavar="DATA... RUN")],
    mix: Annotated[Optional[str], typer.Option()] = None,
    class_names: Annotated[str, typer.Option()] = "",
    name: str = "", terms: str = "", init: Optional[str] = None,
    depth: int = DEFAULT.depth, width: int = DEFAULT.width, max_width: int = DEFAULT.max_width,
    norm: bool = DEFAULT.norm, residual: bool = DEFAULT.residual, stem: int = DEFAULT.stem,
    network_size: int = DEFAULT.network_size, crop_size: Optional[int] = None,
    epochs: int = DEFAULT.epochs, epoch_pictures: Optional[int] = None, batch_size: int = DEFAULT.batch_size,
    learning_rate: float = DEFAULT.learning_rate, weight_decay: float = DEFAULT.weight_decay,
    patience: int = DEFAULT.patience, time_budget: Optional[float] = None, precision: str = DEFAULT.precision,
    seed: int = 0, resume: bool = False, quiet: bool = False,
) -> None:
    import segtool.model  # noqa: F401
    from segtool.commands.notices import Show
    from segtool.commands.train import train as run_train

    options = TrainOptions(
        data=tuple(data[:-1]), run=data[-1], mix=tuple(float(m) for m in mix.split(",")) if mix else (),
        class_names=tuple(class_names.split(",")) if class_names else (), name=name, terms=terms, init=init,
        depth=depth, width=width, max_width=max_width, norm=norm, residual=residual, stem=stem,
        network_size=network_size, crop_size=crop_size, epochs=epochs, epoch_pictures=epoch_pictures,
        batch_size=batch_size, learning_rate=learning_rate, weight_decay=weight_decay, patience=patience,
        time_budget=time_budget, precision=precision, seed=seed,
    )
    result = run_train(options, Show(quiet), resume=resume)
    typer.echo(result)


def main() -> None:
    app()
