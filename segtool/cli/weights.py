"""`segtool export`, and `segtool weights` with its own commands."""

from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from segtool.cli.line import app, print_help
from segtool.cli.options import Quiet
from segtool.options import FORMATS, INPUT_SCALES, AdoptOptions, ExportOptions
from segtool.words import names_of


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
        bool, typer.Option("--help", is_eager=True, callback=print_help, help="Show this message and exit.")
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
