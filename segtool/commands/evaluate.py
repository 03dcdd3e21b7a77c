"""`segtool evaluate`: how good weights are on one split of a dataset, each mask at its own size."""

from segtool.card import Card, find_weights, read_card
from segtool.data.layout import SPLITS, Dataset, find_dataset
from segtool.data.truth import inspect_masks
from segtool.errors import DataError, UsageError
from segtool.imaging.metrics import scores_of
from segtool.model.predictor import load_predictor
from segtool.options import VAL_FRACTION, EvaluateOptions
from segtool.report.notices import Show
from segtool.results import Evaluated
from segtool.scoring import tally_pairs
from segtool.streaming import FailureLog


def evaluate(options: EvaluateOptions, show: Show) -> Evaluated:
    """Scores `options.weights` on the pairs of a split. Raises DataError or ModelError."""
    if options.split not in SPLITS:
        raise UsageError(f"--split {options.split} is not one of {', '.join(SPLITS)}.")
    weights = find_weights(options.weights)
    dataset = _find(options, read_card(weights))
    pairs = dataset.split(options.split)
    coding = inspect_masks([p.mask for p in dataset.all_pairs], root=options.data)
    predictor = load_predictor(weights, precision=options.precision)
    card = predictor.card
    show.notice(
        f"{predictor.device}, {predictor.precision}, batches of {options.batch_size}, weights {card.name}; "
        f"{options.data}: {len(pairs)} {options.split} pairs; {coding.describe()}"
    )
    failures = FailureLog()
    with show.progress("scoring", len(pairs), "pair") as bar:
        tally = tally_pairs(
            pairs, coding, predictor=predictor, threshold=options.threshold, batch_size=options.batch_size,
            failures=failures, tick=bar.update,
        )  # fmt: skip
    if not tally.pairs:
        raise DataError(f"None of the {len(pairs)} pairs can be scored; the first: {failures.failures[0][1]}")
    # The dataset's names, unless it has none: then the weights' say more than `foreground`.
    names = tuple(c.name for c in (coding.classes if coding.named else card.classes))
    threshold = card.threshold if options.threshold is None else options.threshold
    return Evaluated(
        data=options.data, split=options.split, weights=card.name, precision=predictor.precision,
        scores=scores_of(tally, names, threshold=threshold if card.binary else None),
        failures=tuple(failures.failures),
    )  # fmt: skip


def _find(options: EvaluateOptions, card: Card) -> Dataset:
    """Returns the dataset, split as it was for training: by the one val fraction that is in the card."""
    trained = (t.get("val_fraction") for t in card.trained_on)
    known = next((fraction for fraction in (options.val_fraction, *trained) if fraction is not None), VAL_FRACTION)
    return find_dataset(options.data, val_fraction=known, mask_suffix=options.mask_suffix)
