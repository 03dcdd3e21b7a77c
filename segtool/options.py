"""What a command was asked to do, and the one home of every default."""

from dataclasses import dataclass
from pathlib import Path

from segtool.card import DEFAULT_WEIGHTS

VAL_FRACTION = 0.2  # split off by hash where a dataset has no splits of its own


@dataclass(frozen=True)
class TrainOptions:
    """`segtool train`: `data` folders, drawn from by `mix` (empty: by their number of pictures), into `run`.

    None is chosen from the data by the rules of `segtool.settings`. `time_budget` is in minutes; `grid` holds, a key
    each, the values whose combinations are all trained.
    """

    data: tuple[Path, ...]
    run: Path
    mix: tuple[float, ...] = ()
    val_fraction: float = VAL_FRACTION
    mask_suffix: str | None = None
    class_names: tuple[str, ...] = ()
    name: str = ""
    terms: str = ""
    init: str | None = None

    encoder: str = ""
    encoder_weights: str = "none"
    depth: int | None = None
    width: int | None = None
    max_width: int | None = None
    norm: bool = True
    residual: bool = True
    stem: int | None = None
    network_size: int | None = None
    crop_size: int | None = None

    epochs: int = 100
    epoch_pictures: int | None = None
    batch_size: int | None = None
    accumulate: int | None = None
    learning_rate: float | None = None
    loss: str | None = None
    class_weights: str = "auto"
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip: float = 1.0
    ema: float = 0.0
    patience: int = 20
    time_budget: float | None = None
    precision: str = "auto"
    seed: int = 0
    deterministic: bool = False
    tensorboard: bool = False
    grid: tuple[tuple[str, tuple[str, ...]], ...] = ()


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
    """`segtool evaluate`: `weights` scored on one split of the dataset at `data`."""

    data: Path
    weights: str = DEFAULT_WEIGHTS
    split: str = "val"
    val_fraction: float | None = None
    mask_suffix: str | None = None
    threshold: float | None = None
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
