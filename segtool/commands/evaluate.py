"""`segtool evaluate`: how good weights are on one split of a dataset, each mask at its own size."""

from segtool.card import Card, find_weights
from segtool.data.layout import Dataset, find_dataset
from segtool.data.truth import inspect_masks
from segtool.imaging.metrics import scores_of
from segtool.model.predictor import load_predictor
from segtool.options import EvaluateOptions
from segtool.report.notices import Show
from segtool.results import Evaluated
from segtool.scoring import tally_pairs
from segtool.streaming import FailureLog

DEFAULT_VAL_FRACTION = 0.2


def evaluate(options: EvaluateOptions, show: Show) -> Evaluated:
    """Scores `options.weights` on the pairs of a split. Raises DataError or ModelError."""
    predictor = load_predictor(find_weights(options.weights), precision=options.precision)
    card = predictor.card
    dataset = _find(options, card)
    coding = inspect_masks([p.mask for p in dataset.all_pairs], root=options.data)
    pairs = dataset.split(options.split)
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
    # The dataset's names, unless it has none: then the weights' say more than `foreground`.
    names = tuple(c.name for c in (coding.classes if coding.named else card.classes))
    threshold = card.threshold if options.threshold is None else options.threshold
    return Evaluated(
        data=options.data, split=options.split, weights=card.name, precision=predictor.precision,
        scores=scores_of(tally, names, threshold=threshold if card.binary else None),
        failures=tuple(failures.failures),
    )  # fmt: skip


def _find(options: EvaluateOptions, card: Card) -> Dataset:
    """Returns the dataset, split as it was for training: by the val fraction in the card where that set is in it."""
    fraction = options.val_fraction
    if fraction is None:
        trained = {t["name"]: t.get("val_fraction") for t in card.trained_on}
        fraction = trained.get(options.data.resolve().name)
    return find_dataset(
        options.data, val_fraction=DEFAULT_VAL_FRACTION if fraction is None else fraction,
        mask_suffix=options.mask_suffix,
    )  # fmt: skip
