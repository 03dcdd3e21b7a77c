"""What a command did: frozen results, each knowing its exit code."""

from dataclasses import dataclass
from pathlib import Path

from segtool.card import Card
from segtool.scores import Comparison, Curve, Gate, ImageScore, Picture
from segtool.scores import Scores as Scores  # of Trained too

EXIT_DONE = 0
EXIT_PARTIAL = 3
EXIT_GATE = 4

Failures = tuple[tuple[str, str], ...]  # what, and why


@dataclass(frozen=True)
class Written:
    """What `mask` and `overlay` did, or with `planned` would do."""

    output: Path
    done: int
    kept: int
    seconds: float
    failures: Failures
    interrupted: int = 0
    planned: int | None = None

    @property
    def exit_code(self) -> int:
        """130 or 143 when interrupted, 3 when files failed or were left alone, else 0."""
        return self.interrupted or (EXIT_PARTIAL if self.failures else EXIT_DONE)


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` found of `weights`, or of a folder of `predictions`, on `split` of the dataset at `data`.

    `images` are in order of split and name. `colors` has an RGB a class. `notes` are sentences a reader should know.
    """

    data: Path
    split: str
    weights: str | None
    predictions: Path | None
    precision: str | None
    scores: Scores
    images: tuple[ImageScore, ...]
    failures: Failures
    colors: tuple[tuple[int, int, int], ...] = ()
    notes: tuple[str, ...] = ()
    curve: Curve | None = None
    gates: tuple[Gate, ...] = ()
    comparison: Comparison | None = None
    fail_if_worse: bool = False
    pictures: tuple[Picture, ...] = ()

    @property
    def title(self) -> str:
        """Says what was scored on what."""
        pairs = f"{self.scores.pairs} pair{'' if self.scores.pairs == 1 else 's'}"
        return f"{self.weights or self.predictions} on {self.data} ({self.split}, {pairs})"

    @property
    def refused(self) -> bool:
        """Whether a gate said no."""
        worse = self.fail_if_worse and self.comparison is not None and bool(self.comparison.worse)
        return worse or not all(gate.passed for gate in self.gates)

    @property
    def exit_code(self) -> int:
        """4 when a gate said no, else 3 when pairs could not be scored, else 0."""
        return EXIT_GATE if self.refused else EXIT_PARTIAL if self.failures else EXIT_DONE


@dataclass(frozen=True)
class Trained:
    """What `train` did: the best epoch's weights, and their scores on the val splits by dataset."""

    run: Path
    epochs: int
    best_epoch: int
    seconds: float
    scores: tuple[tuple[str, Scores], ...]
    failures: Failures
    interrupted: int = 0

    @property
    def exit_code(self) -> int:
        """130 or 143 when interrupted, 3 when pairs could not be read, else 0."""
        return self.interrupted or (EXIT_PARTIAL if self.failures else EXIT_DONE)


@dataclass(frozen=True)
class TriedRow:
    """One combination of a grid: figures of its best epoch on val, at the threshold that is best there.

    `iou` and `iou_image` are the foreground's, or the mean over classes; `val_loss` is of the loss trained with.
    """

    configuration: str
    epochs: int
    val_loss: float
    val_accuracy: float
    iou: float | None
    iou_image: float | None
    images_per_second: float
    parameters: int


@dataclass(frozen=True)
class Tried:
    """What `train --grid` did: a row a combination that is finished, of `combinations`."""

    run: Path
    rows: tuple[TriedRow, ...]
    combinations: int
    failures: Failures
    interrupted: int = 0

    @property
    def exit_code(self) -> int:
        """130 or 143 when interrupted, 3 when a combination failed or pairs could not be read, else 0."""
        return self.interrupted or (EXIT_PARTIAL if self.failures else EXIT_DONE)


@dataclass(frozen=True)
class Synthesised:
    """What `synth` wrote: pairs by split."""

    data: Path
    train: int
    val: int

    @property
    def exit_code(self) -> int:
        """Always 0; what goes wrong is raised."""
        return EXIT_DONE


@dataclass(frozen=True)
class Carded:
    """A weights file of `size` bytes, and the card in it."""

    path: Path
    size: int
    card: Card


@dataclass(frozen=True)
class Adopted:
    """What `weights adopt` wrote: `notes` are sentences on how the network is used from now on."""

    output: Path
    card: Card
    difference: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: `difference` is the largest of a probability from what Keras says, at most `tolerance`."""

    output: Path
    format: str
    size: int
    difference: float
    tolerance: float


@dataclass(frozen=True)
class Case:
    """One instance of a finding: the files it is about, relative to the dataset, and what is peculiar to it."""

    files: tuple[str, ...]
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One kind of fault in a dataset and every case of it.

    `severity` is `error` where training would fail or be misled, `warning` where someone should look, and `note` for
    what is only worth knowing. `code` never changes its meaning; `paste` is text to put into a file as it is.
    """

    code: str
    severity: str
    what: str
    advice: str
    cases: tuple[Case, ...] = ()
    paste: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Returns the files of all cases, each once, in order."""
        return tuple(dict.fromkeys(name for case in self.cases for name in case.files))


@dataclass(frozen=True)
class ClassShare:
    """How much of a split is one class: share of the pixels that are not ignored, in [0, 1], and images with it."""

    name: str
    share: float
    images: int


@dataclass(frozen=True)
class SplitFigures:
    """What is in one split. `read` is the number of masks that the shares are from."""

    name: str
    pairs: int
    read: int
    ignored: float
    classes: tuple[ClassShare, ...]


@dataclass(frozen=True)
class Spread:
    """Least, median and greatest of a figure."""

    least: float
    median: float
    greatest: float


@dataclass(frozen=True)
class PictureFigures:
    """How large the pictures are, in pixels of display orientation, and how many show no colour (None: not looked)."""

    count: int
    width: Spread
    height: Spread
    aspect: Spread
    grey: int | None


@dataclass(frozen=True)
class Checked:
    """What `check` found in the dataset at `data`. `notes` are findings that ask for nothing."""

    data: Path
    quick: bool
    strict: bool
    meaning: str
    splits: tuple[SplitFigures, ...]
    pictures: PictureFigures | None
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    seconds: float

    @property
    def exit_code(self) -> int:
        """4 when there is an error, or with `strict` any finding, else 0."""
        refused = self.strict or any(f.severity == "error" for f in self.findings)
        return EXIT_GATE if self.findings and refused else EXIT_DONE
