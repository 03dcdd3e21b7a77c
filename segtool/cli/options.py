"""Options that several commands share: their types, names and help, in one place."""

from pathlib import Path
from typing import Annotated

import typer

from segtool.options import STYLES, VAL_FRACTION

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
