"""`segtool evaluate`: how good weights, or masks on disk, are on one split of a dataset, each mask at its own size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segtool.card import DEFAULT_WEIGHTS, Card, ClassInfo, bundled_weights, find_weights, read_card, write_card
from segtool.data.layout import SPLITS, Dataset, Pair, find_dataset
from segtool.data.predictions import join_predictions
from segtool.data.truth import inspect_masks
from segtool.errors import DataError, UsageError
from segtool.imaging.comparison import compare
from segtool.imaging.curves import curve_of, tally_at
from segtool.imaging.gallery import Shortlist, side_for
from segtool.imaging.metrics import Tally, image_scores, scores_of
from segtool.options import VAL_FRACTION, EvaluateOptions
from segtool.pipeline import Predictor
from segtool.record import read_records
from segtool.report.documents import read_earlier
from segtool.report.notices import Show
from segtool.results import Evaluated
from segtool.scores import METRICS, SET_METRICS, Curve, Gate, Picture, card_figures, figure_keys, figure_names
from segtool.scoring.counting import Asked
from segtool.scoring.masks import score_masks
from segtool.scoring.network import tally_pairs
from segtool.scoring.pictures import pictures
from segtool.streaming import FailureLog

ALL = "all"  # the split of every pair
SOFT_THRESHOLD = 0.5  # of masks on disk that hold probabilities
Load = Callable[[Path, str], Predictor]  # weights and precision to a network ready to run


@dataclass(frozen=True)
class Task:
    """What is to be scored: the pairs of a dataset with their splits, and what to count of them."""

    dataset: Dataset
    split_of: Mapping[Pair, str]
    asked: Asked
    failures: FailureLog
    show: Show


@dataclass(frozen=True)
class Scored:
    """What was counted of which classes; `threshold` where probabilities were cut."""

    tally: Tally
    classes: tuple[ClassInfo, ...]
    threshold: float | None
    notes: tuple[str, ...]
    weights: str | None = None
    precision: str | None = None


def evaluate(options: EvaluateOptions, show: Show, *, load: Load) -> Evaluated:
    """Scores `options.weights`, made ready by `load`, or the masks in `options.predictions`, on the pairs of a split.

    Raises UsageError, DataError or ModelError.
    """
    _check(options)
    weights = None if options.predictions else find_weights(options.weights or DEFAULT_WEIGHTS)
    card = read_card(weights) if weights else None
    _check_store(options, weights, card)
    earlier = read_earlier(options.compare) if options.compare else None
    task = _task(options, card, show)
    scored = _score_weights(weights, options, task, load) if weights else _score_predictions(options, task)
    if not scored.tally.pairs:
        first = task.failures.failures[0][1]
        raise DataError(f"None of the {len(task.split_of)} pairs can be scored; the first: {first}")
    names = tuple(c.name for c in scored.classes)
    scores = scores_of(scored.tally, names, threshold=scored.threshold, with_intervals=True)
    curve = curve_of(scored.tally)
    notes = scored.notes
    if weights and card and options.store_threshold:
        notes = (*notes, _store(options, weights, card, scored.tally, names, curve))
    return Evaluated(
        data=options.data,
        split=options.split,
        weights=scored.weights,
        predictions=options.predictions,
        precision=scored.precision,
        scores=scores,
        images=image_scores(scored.tally),
        failures=tuple(task.failures.failures),
        colors=tuple(c.color for c in scored.classes),
        notes=notes,
        curve=curve,
        gates=tuple(Gate(key, least, scores.figure(key)) for key, least in options.fail_under),
        comparison=compare(scored.tally, names, earlier, old=options.compare) if earlier and options.compare else None,
        fail_if_worse=options.fail_if_worse,
        pictures=_pictures(task),
    )


def _check(options: EvaluateOptions) -> None:
    """Raises UsageError for what can be told wrong from the options alone."""
    if options.split not in (*SPLITS, ALL):
        raise UsageError(f"--split {options.split} is not one of {', '.join(SPLITS)}, {ALL}.")
    if options.weights and options.predictions:
        raise UsageError("Give --weights or --predictions, not both.")
    if options.fail_if_worse and not options.compare:
        raise UsageError("--fail-if-worse needs --compare OLD.json to compare with.")
    if options.html and options.html.is_dir():
        raise UsageError(f"--html {options.html} is a folder: give the name of a file.")
    if options.best_by not in ("iou", "iou_image"):
        raise UsageError(f"--best-by {options.best_by} is neither iou nor iou_image.")
    metrics = figure_names((*SET_METRICS, *METRICS))
    for key, _ in options.fail_under:
        metric = key.partition(":")[0]
        if metric not in metrics:
            raise UsageError(f"--fail-under {key}: there is no figure {metric}; there are {', '.join(metrics)}.")
        if "boundary" in metric and not options.boundary:
            raise UsageError(f"--fail-under {key} needs boundaries: leave out --no-boundary.")


def _check_store(options: EvaluateOptions, weights: Path | None, card: Card | None) -> None:
    if not options.store_threshold:
        return
    if not weights or not card:
        raise UsageError("--store-threshold writes into weights: it needs --weights, not --predictions.")
    if not card.binary:
        raise UsageError(
            f"--store-threshold is for two classes; {card.name} has {len(card.classes)}, and no threshold."
        )
    if weights in bundled_weights():
        raise UsageError(f"--store-threshold does not change bundled weights: copy {weights} and give the copy.")


def _check_keys(options: EvaluateOptions, names: Sequence[str]) -> None:
    keys = figure_keys(names, boundary=options.boundary)
    for key, _ in options.fail_under:
        if key not in keys:
            raise UsageError(f"--fail-under {key} is no figure of these classes; there are {', '.join(keys)}.")


def _task(options: EvaluateOptions, card: Card | None, show: Show) -> Task:
    # Split as it was for training: by the one val fraction that is in the card.
    trained = (t.get("val_fraction") for t in card.trained_on) if card else ()
    fraction = next((f for f in (options.val_fraction, *trained) if f is not None), VAL_FRACTION)
    dataset = find_dataset(options.data, val_fraction=fraction, mask_suffix=options.mask_suffix)
    splits = [s for s in SPLITS if dataset.pairs.get(s)] if options.split == ALL else [options.split]
    split_of = {pair: split for split in splits for pair in dataset.split(split)}
    if dataset.unpaired:
        show.notice(f"{options.data}: files without partner: {len(dataset.unpaired)}, such as {dataset.unpaired[0]}")
    asked = Asked(
        boundary=options.boundary, split_of=split_of, side=side_for(min(2 * options.gallery, len(split_of))),
        shortlist=Shortlist(options.gallery) if options.html else None,
    )  # fmt: skip
    return Task(dataset, split_of, asked, FailureLog(), show)


def _score_weights(weights: Path, options: EvaluateOptions, task: Task, load: Load) -> Scored:
    coding = inspect_masks([p.mask for p in task.dataset.all_pairs], root=options.data)
    card = read_card(weights)
    # The dataset's names, unless it has none: then the weights' say more than `foreground`.
    classes = coding.classes if coding.named or len(card.classes) != len(coding.classes) else card.classes
    _check_keys(options, [c.name for c in classes])
    predictor = load(weights, options.precision)
    threshold = card.cut(options.threshold) if card.binary else None
    task.show.notice(
        f"{predictor.device}, {predictor.precision}, batches of {options.batch_size or predictor.batch_size}, "
        f"weights {card.name}; {options.data}: {len(task.split_of)} {options.split} pairs; {coding.describe()}"
    )
    with task.show.progress("scoring", len(task.split_of), "pair") as bar:
        tally = tally_pairs(
            list(task.split_of), coding, predictor=predictor, threshold=options.threshold,
            batch_size=options.batch_size, failures=task.failures, tick=bar.update,
            asked=replace(task.asked, histogram=card.binary),
        )  # fmt: skip
    return Scored(tally, classes, threshold, (coding.describe(),), card.name, predictor.precision)


def _score_predictions(options: EvaluateOptions, task: Task) -> Scored:
    folder = options.predictions or Path()
    made_from: dict[Path, list[Path]] = {}
    for output, entries in read_records(folder).by_output.items():
        made_from.setdefault(Path(entries[-1].input), []).append(folder / output)
    joined = join_predictions(task.split_of, folder, made_from)
    for pair in task.split_of:
        if pair not in joined.of_pair:
            task.failures.add(pair.name, f"there is no prediction for it in {folder}")
    found = score_masks(
        joined.of_pair, [p for p in task.dataset.all_pairs if p not in joined.of_pair], root=options.data,
        folder=folder, threshold=SOFT_THRESHOLD if options.threshold is None else options.threshold,
        failures=task.failures, asked=task.asked,
        progress=lambda: task.show.progress("scoring", len(joined.of_pair), "pair"),
    )  # fmt: skip
    _check_keys(options, [c.name for c in found.coding.classes])
    notes = [found.coding.describe(), f"predictions: {found.reading.meaning}"]
    if joined.unused:
        notes.append(f"files of no {options.split} pair: {len(joined.unused)}, such as {joined.unused[0]}")
    task.show.notice(f"{options.data}: {len(task.split_of)} {options.split} pairs; {'; '.join(notes)}")
    threshold = SOFT_THRESHOLD if options.threshold is None else options.threshold
    return Scored(found.tally, found.coding.classes, threshold if found.reading.soft else None, tuple(notes))


def _store(
    options: EvaluateOptions, weights: Path, card: Card, tally: Tally, names: Sequence[str], curve: Curve | None
) -> str:
    """Writes the best threshold, and the scores at it, into the card of `weights`; returns a sentence about it."""
    if not curve:
        raise DataError(f"No pixel of the {options.split} pairs is {names[1]}: there is no best threshold to store.")
    threshold = curve.best[options.best_by]
    scores = scores_of(tally_at(tally, threshold), names, threshold=threshold)
    kept = card_figures(scores) | {"data": options.data.resolve().name}
    write_card(weights, replace(card, threshold=threshold, scores={**card.scores, options.split: kept}))
    return f"threshold {threshold:g}, the best by {options.best_by} on {options.split}, is now in {weights}"


def _pictures(task: Task) -> tuple[Picture, ...]:
    if not task.asked.shortlist:
        return ()
    image_of = {(split, pair.name): pair.image for pair, split in task.split_of.items()}
    with task.show.progress("pictures", None, "picture") as bar:
        return pictures(task.asked.shortlist, image_of, tick=bar.update)
