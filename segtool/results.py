"""What a command did: frozen results, each knowing its exit code."""

from dataclasses import dataclass
from pathlib import Path

from segtool.scores import Comparison, Curve, Gate, ImageScore, Picture
from segtool.scores import Scores as Scores  # of Trained too

EXIT_DONE = 0
EXIT_PARTIAL = 3
EXIT_REFUSED = 4

Failures = tuple[tuple[str, str], ...]  # what, and why


@dataclass(frozen=True)
class Written:
    """What `mask` and `overlay` did."""

    output: Path
    done: int
    kept: int
    seconds: float
    failures: Failures
    interrupted: int = 0

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
        return EXIT_REFUSED if self.refused else EXIT_PARTIAL if self.failures else EXIT_DONE


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
class Synthesised:
    """What `synth` wrote: pairs by split."""

    data: Path
    train: int
    val: int

    @property
    def exit_code(self) -> int:
        """Always 0; what goes wrong is raised."""
        return EXIT_DONE
