"""The command line itself: its name, `--help` and `--version`; each command adds itself to it."""

from typing import Annotated

import typer

from segtool import __version__

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


def print_help(context: typer.Context, asked: bool) -> None:
    """Shows the help of the command that was asked, and ends."""
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
        bool, typer.Option("--help", is_eager=True, callback=print_help, help="Show this message and exit.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Turns folders of pictures into segmentation masks, and folders of masks into U-Nets."""
