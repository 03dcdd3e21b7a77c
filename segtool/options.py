"""What a command was asked to do, and the one home of every default."""

from dataclasses import dataclass
from pathlib import Path

from segtool.card import DEFAULT_WEIGHTS

VAL_FRACTION = 0.2  # split off by hash where a dataset has no splits of its own
NETWORK_SIZE = 256  # of a network trained from nothing; --init has its own


@dataclass(frozen=True)
class TrainOptions:
    """`segtool train`: `data` folders, drawn from by `mix` (empty: by their number of pictures), into `run`."""

    data: tuple[Path, ...]
    run: Path
    mix: tuple[float, ...] = ()
    val_fraction: float = VAL_FRACTION
    mask_suffix: str | None = None
    class_names: tuple[str, ...] = ()
    name: str = ""
    terms: str = ""
    init: str | None = None

    depth: int = 4
    width: int = 16
    max_width: int = 1024
    norm: bool = True
    residual: bool = False
    stem: int = 1
    network_size: int | None = None
    crop_size: int | None = None

    epochs: int = 100
    epoch_pictures: int | None = None
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    patience: int = 20
    time_budget: float | None = None
    precision: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class MaskOptions:
    """`segtool mask` and `segtool overlay`: pictures below `inputs` to files below `output`.

    `output_is_folder` says that OUTPUT ended in a slash, which a Path forgets.
    """

    inputs: tuple[Path, ...]
    output: Path
    output_is_folder: bool = False
    weights: str = DEFAULT_WEIGHTS
    threshold: float | None = None
    batch_size: int = 8
    precision: str = "auto"
    force: bool = False


@dataclass(frozen=True)
class OverlayOptions(MaskOptions):
    """`segtool overlay`: as `mask`, with how strongly the class colours cover the picture, in [0, 1]."""

    opacity: float = 0.5


@dataclass(frozen=True)
class EvaluateOptions:
    """`segtool evaluate`: `weights` (None: the default ones), or masks in `predictions`, scored on one split of the
    dataset at `data`, or on all.

    `fail_under` has the least value by figure key. `gallery` is how many of the worst images, and how many at random,
    the page `html` shows.
    """

    data: Path
    weights: str | None = None
    predictions: Path | None = None
    split: str = "val"
    val_fraction: float | None = None
    mask_suffix: str | None = None
    threshold: float | None = None
    boundary: bool = True
    html: Path | None = None
    gallery: int = 100
    fail_under: tuple[tuple[str, float], ...] = ()
    compare: Path | None = None
    fail_if_worse: bool = False
    store_threshold: bool = False
    best_by: str = "iou"
    batch_size: int = 8
    precision: str = "auto"


@dataclass(frozen=True)
class SynthOptions:
    """`segtool synth`: a dataset of geometric shapes; `multiclass` gives each shape a class of its own."""

    data: Path
    train: int = 200
    val: int = 50
    size: int = 128
    multiclass: bool = False
    seed: int = 0
