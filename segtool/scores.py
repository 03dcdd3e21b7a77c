"""Scores as data: the figures of a set, of its classes and of its images, by the keys of DESIGN section 2."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Interval = tuple[float, float]

# Of a class, from counts pooled over the set; with `_image` appended, the mean over images of that image's own.
METRICS = ("iou", "dice", "precision", "recall", "boundary_iou", "boundary_f1")
# Of the set: the mean over classes of the first four, then what has no class.
SET_METRICS = ("miou", "mdice", "mboundary_iou", "mboundary_f1", "accuracy", "mean_accuracy", "fwiou")
# What is counted of a class in an image, in pixels; the last seven only with boundaries (`imaging.boundary`).
COUNTS = (
    "hits", "truth", "found", "band_hits", "band_truth", "band_found", "edge_truth", "edge_truth_near", "edge_found",
    "edge_found_near",
)  # fmt: skip


Figures = Mapping[str, float | None]  # in [0, 1]; None where there was nothing to divide by


@dataclass(frozen=True)
class ClassScore:
    """The figures of one class by `figure_names(METRICS)`, those of boundaries only where they were asked for.

    `share` is of the true pixels; `images` how many entered the means over images.
    """

    name: str
    share: float
    images: int
    figures: Figures

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN), pooled over the set."""
        return self.figures["iou"]

    @property
    def iou_image(self) -> float | None:
        """The mean over images of that image's IoU."""
        return self.figures["iou_image"]


@dataclass(frozen=True)
class Scores:
    """The figures of one split, by the definitions of DESIGN section 2 and `imaging.figures`.

    `figures` are those of the set by `figure_names(SET_METRICS)`, `intervals` the bootstrap 95 % interval of each
    figure that has one, by `figure_keys`. `confusion` is in pixels, truth in rows; `undecided` the pixels of each class
    that the prediction calls no class at all. `threshold` is None for multi-class; `absent` names classes in neither
    truth nor prediction, which the means leave out.
    """

    pairs: int
    threshold: float | None
    figures: Figures
    baseline_class: str
    baseline_accuracy: float
    classes: tuple[ClassScore, ...]
    absent: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    undecided: tuple[int, ...]
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def miou(self) -> float | None:
        """The mean IoU over the classes present, or the foreground's of two."""
        return self.figures["miou"]

    @property
    def miou_image(self) -> float | None:
        """The same of the means over images."""
        return self.figures["miou_image"]

    @property
    def accuracy(self) -> float:
        """The share of pixels right; 0 where none counts."""
        return self.figures["accuracy"] or 0.0

    def figure(self, key: str) -> float | None:
        """Returns the figure called `key`: `miou`, `iou:person`; for two classes `iou` is the foreground's."""
        metric, _, name = key.partition(":")
        if not name and metric in self.figures:
            return self.figures[metric]
        score = next(c for c in self.classes if c.name == name) if name else self.classes[1]
        return score.figures[metric]


def card_figures(scores: Scores) -> dict[str, Any]:
    """Returns what a card keeps of `scores`, with the 95 % intervals of these figures where they were worked out."""
    figures: dict[str, Any] = {
        "pairs": scores.pairs,
        "threshold": scores.threshold,
        "miou": scores.miou,
        "miou_image": scores.miou_image,
        "accuracy": scores.accuracy,
        "baseline_accuracy": scores.baseline_accuracy,
        "iou": {c.name: c.iou for c in scores.classes},
        "iou_image": {c.name: c.iou_image for c in scores.classes},
    }
    kept = ("miou", "miou_image", "accuracy", *(f"{m}:{c.name}" for m in ("iou", "iou_image") for c in scores.classes))
    ends = {key: [round(end, 4) for end in scores.intervals[key]] for key in kept if key in scores.intervals}
    return figures | ({"intervals": ends} if ends else {})


def figure_names(metrics: Iterable[str]) -> list[str]:
    """Returns each metric pooled and as the mean over images."""
    return [name for metric in metrics for name in (metric, f"{metric}_image")]


def figure_keys(classes: Sequence[str], *, boundary: bool) -> list[str]:
    """Returns every key that `Scores.figure` takes where there are these classes, those of the set first."""
    of_class, of_set = (
        [name for name in figure_names(metrics) if boundary or "boundary" not in name]
        for metrics in (METRICS, SET_METRICS)
    )
    return [*of_set, *(of_class if len(classes) == 2 else []), *(f"{name}:{c}" for name in of_class for c in classes)]


@dataclass(frozen=True)
class ImageScore:
    """One image: its counts, a row a class with the columns of `COUNTS`, and its figures by metric, a class each.

    `label` is what people call it: its name, with the split where there are several. `miou` is the mean over the
    classes in its truth or prediction, or the foreground's of two; None where nothing in it counts.
    """

    split: str
    name: str
    label: str
    height: int
    width: int
    counts: tuple[tuple[int, ...], ...]
    miou: float | None
    accuracy: float | None
    figures: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class Curve:
    """Two classes over all thresholds: figures of the foreground at each of `thresholds`, cut at `p >= threshold`.

    `best` is the threshold at which `iou` and `iou_image` are highest.
    """

    thresholds: tuple[float, ...]
    iou: tuple[float | None, ...]
    iou_image: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    recall: tuple[float | None, ...]
    best: Mapping[str, float]
    average_precision: float | None
    average_precision_interval: Interval | None

    def at(self, threshold: float, metric: str) -> float | None:
        """Returns `iou`, `iou_image`, `precision` or `recall` at one of `thresholds`."""
        values: tuple[float | None, ...] = getattr(self, metric)
        return values[self.thresholds.index(threshold)]


@dataclass(frozen=True)
class Gate:
    """One `--fail-under`: the figure asked for, the least it may be, and what it is (None: undefined)."""

    key: str
    least: float
    value: float | None

    @property
    def passed(self) -> bool:
        """Whether the figure is defined and high enough."""
        return self.value is not None and self.value >= self.least


@dataclass(frozen=True)
class Change:
    """One figure before and now, over the images in both; `interval` is the paired bootstrap's of now − before."""

    key: str
    before: float
    now: float
    interval: Interval | None

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval is not None and self.interval[1] < 0

    @property
    def better(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.interval is not None and self.interval[0] > 0


@dataclass(frozen=True)
class Earlier:
    """What an earlier evaluation kept for comparing: its classes, and the counts of each image by split and name."""

    classes: tuple[str, ...]
    images: Mapping[tuple[str, str], tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class Comparison:
    """This evaluation beside an earlier one, over the `pairs` images that are in both.

    `images` are changes of single images' `miou`, keyed by label, worst change first, without intervals.
    `truth_changed` counts images whose true masks are not what they were.
    """

    old: Path
    pairs: int
    only_now: int
    only_before: int
    truth_changed: int
    changes: tuple[Change, ...]
    images: tuple[Change, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """Returns `miou` and `miou_image` where they are worse beyond chance.

        Only these: of the many figures by class some would look worse by chance alone.
        """
        return tuple(c for c in self.changes if c.key in ("miou", "miou_image") and c.worse)


@dataclass(frozen=True)
class Picture:
    """One image for people: `photo` is an encoded WebP of `width`×`height` pixels; `masks` the class indices of truth,
    then of prediction, at that size, a byte a pixel, compressed by zlib; indices from the number of classes up are
    ignored (truth) or no class (prediction). `worst` and `random` say why it was picked.
    """

    split: str
    name: str
    width: int
    height: int
    photo: bytes
    masks: bytes
    worst: bool
    random: bool
