"""What a command was asked to do, and the one home of every default."""

from dataclasses import dataclass
from pathlib import Path

from segtool.card import DEFAULT_WEIGHTS

VAL_FRACTION = 0.2  # split off by hash where a dataset has no splits of its own
VALUES = ("255", "palette", "id", "soft", "source")
OPACITIES = {"tint": 0.5, "contour": 1.0, "dim": 0.6, "side-by-side": 0.5}  # by style
FORMATS = {"savedmodel": "", "onnx": ".onnx", "litert": ".tflite"}  # what `export` writes, and its suffix
INPUT_SCALES = ("1/255", "1/127.5-1", "imagenet", "none")
STYLES = tuple(OPACITIES)
MAX_PIXELS = 179_000_000  # where Pillow would stop by itself; such a picture takes 1.3 GB while it is read


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
    teacher: str | None = None

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
    paste: float = 0.0
    patience: int = 20
    time_budget: float | None = None
    precision: str = "auto"
    seed: int = 0
    deterministic: bool = False
    tensorboard: bool = False
    grid: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Sources:
    """Which pictures: files and folders in `inputs`, or the list in `files_from` ("-" is stdin) of paths below `root`.

    `nul` says that a list has NUL between its entries; `shard` (I, N) leaves all but the I-th of N parts.
    """

    inputs: tuple[Path, ...] = ()
    files_from: str | None = None
    nul: bool = False
    root: Path | None = None
    shard: tuple[int, int] | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Cleaning:
    """What to tidy in a mask: keep each class' largest region only, drop regions below `min_area`, fill holes.

    `min_area` is in pixels of the picture, not a share of it: a speck is a thing to look at and count, and the setting
    means the same in a cropped picture.
    """

    keep_largest: bool = False
    min_area: int = 0
    fill_holes: bool = False

    @property
    def asked(self) -> bool:
        """Whether there is anything to do."""
        return self.removes or self.fill_holes

    @property
    def removes(self) -> bool:
        """Whether regions may be removed."""
        return self.keep_largest or self.min_area > 1


@dataclass(frozen=True)
class Paint:
    """How an overlay looks; `opacity` in [0, 1] is how strongly colours cover, or how far `dim` darkens (None: by the
    style, for a half-transparent line is hard to see).
    """

    style: str = "tint"
    opacity: float | None = None
    legend: bool = True

    @property
    def strength(self) -> float:
        """The opacity to paint with."""
        return OPACITIES[self.style] if self.opacity is None else self.opacity


@dataclass(frozen=True)
class Engine:
    """How the network runs: see `Predicting` for what shapes the masks. `batch_size` None is the device's best.

    Outputs made in another precision than the one asked for are made again; auto takes any.
    """

    batch_size: int | None = None
    precision: str = "auto"
    device: str = "auto"
    require_gpu: bool = False


@dataclass(frozen=True)
class Predicting:
    """What shapes the prediction: `threshold` (None: the card's), `tile` ("auto", "off", or the side of a tile in
    picture pixels), `tta` (the mean with the mirror image's).
    """

    weights: str = DEFAULT_WEIGHTS
    threshold: float | None = None
    tile: str = "auto"
    tta: bool = False


@dataclass(frozen=True)
class Running:
    """How a run over many files behaves: what it replaces, when it stops, what it lists."""

    force: bool = False
    dry_run: bool = False
    fail_fast: bool = False
    failed_list: Path | None = None


@dataclass(frozen=True)
class WriteOptions:
    """What `segtool mask` and `segtool overlay` share: pictures to files below `output`.

    `output_is_folder` says that OUTPUT ended in a slash, which a Path forgets.
    """

    sources: Sources
    output: Path
    output_is_folder: bool = False
    predicting: Predicting = Predicting()
    cleaning: Cleaning = Cleaning()
    engine: Engine = Engine()
    running: Running = Running()


@dataclass(frozen=True)
class MaskOptions(WriteOptions):
    """`segtool mask`: `values` as in VALUES (None: 255 for two classes, else palette), of the classes in `only` as one.

    The folders `overlays`, `cutouts` and `probabilities` and the file `coco` are written in the same pass.
    """

    values: str | None = None
    only: tuple[str, ...] = ()
    overlays: Path | None = None
    paint: Paint = Paint()
    cutouts: Path | None = None
    background: str | None = None
    probabilities: Path | None = None
    coco: Path | None = None


@dataclass(frozen=True)
class OverlayOptions(WriteOptions):
    """`segtool overlay`: predicted, or painted from the masks below the folder `masks`."""

    paint: Paint = Paint()
    masks: Path | None = None


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
    batch_size: int | None = None
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


@dataclass(frozen=True)
class AdoptOptions:
    """`segtool weights adopt`: the Keras model in `file` gets a card and goes to `output` (None: beside `file`).

    `classes` are named in the order of the channels, background first. `input_scale` is what the network wants its
    pixels as, one of INPUT_SCALES; with `logits` it does not end in probability. None: as the network itself says.
    """

    file: Path
    classes: tuple[str, ...]
    output: Path | None = None
    input_scale: str | None = None
    logits: bool = False
    network_size: int | None = None
    stride: int | None = None
    threshold: float = 0.5
    name: str = ""
    terms: str = ""
    force: bool = False

    @property
    def target(self) -> Path:
        """The file to write."""
        return self.output or self.file.with_name(f"{self.file.stem}-segtool.keras")


@dataclass(frozen=True)
class ExportOptions:
    """`segtool export`: the weights as one of FORMATS to `output`; None: the format by the suffix of `output`."""

    weights: str
    output: Path
    format: str | None = None
    force: bool = False


@dataclass(frozen=True)
class CheckOptions:
    """`segtool check`: the dataset at `data`; `quick` decodes no images, `strict` refuses warnings too."""

    data: Path
    quick: bool = False
    strict: bool = False
    val_fraction: float = VAL_FRACTION
    mask_suffix: str | None = None
