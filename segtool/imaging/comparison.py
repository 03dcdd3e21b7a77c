"""Two evaluations of the same images: what changed, and whether by more than chance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segtool.errors import DataError
from segtool.imaging.bootstrap import pair_of, paired_intervals
from segtool.imaging.figures import TRUTH, Counts, figures, image_means
from segtool.imaging.metrics import Tally
from segtool.scores import Change, Comparison, Earlier


def compare(tally: Tally, names: Sequence[str], earlier: Earlier, *, old: Path) -> Comparison:
    """Returns what changed since `earlier`, over the images in both. Raises DataError when there is nothing to compare.

    Classes are joined by name; boundary figures are compared where both have them.
    """
    if sorted(names) != sorted(earlier.classes):
        raise DataError(
            f"{old} has the classes {', '.join(earlier.classes)}, this evaluation {', '.join(names)}: they cannot be "
            "compared."
        )
    order = [earlier.classes.index(name) for name in names]
    images = tally.ordered
    labels = [label for label, i in zip(tally.labels(), images, strict=True) if (i.split, i.name) in earlier.images]
    both = [i for i in images if (i.split, i.name) in earlier.images]
    if not both:
        raise DataError(f"{old} has none of the {len(images)} images scored here: it is of another dataset or split.")
    now = np.stack([image.counts for image in both])
    before = np.array([earlier.images[i.split, i.name] for i in both], np.int64)[:, order]
    columns = min(now.shape[2], before.shape[2])
    now, before = now[..., :columns], before[..., :columns]
    return Comparison(
        old=old,
        pairs=len(both),
        only_now=len(images) - len(both),
        only_before=len(earlier.images) - len(both),
        truth_changed=int((now[..., TRUTH] != before[..., TRUTH]).any(1).sum()),
        changes=_changes(before, now, names),
        images=_image_changes(before, now, labels),
    )


def _changes(before: Counts, now: Counts, names: Sequence[str]) -> tuple[Change, ...]:
    weights = np.ones((1, len(now)))
    (old_class, old_set), (new_class, new_set) = figures(weights, before), figures(weights, now)
    ends = paired_intervals(before, now) if len(now) > 1 else {}
    missing = np.full((2, len(names)), np.nan)
    changes = [
        Change(key, float(old_set[key][0]), float(new_set[key][0]), pair_of(ends.get(key, missing[:, 0])))
        for key in new_set
    ]
    changes += [
        Change(f"{key}:{name}", float(old_class[key][0, i]), float(value[0, i]), pair_of(ends.get(key, missing)[:, i]))
        for key, value in new_class.items()
        for i, name in enumerate(names)
    ]
    return tuple(c for c in changes if not np.isnan(c.before) and not np.isnan(c.now))


def _image_changes(before: Counts, now: Counts, labels: Sequence[str]) -> tuple[Change, ...]:
    pairs = zip(labels, image_means(before)[0].tolist(), image_means(now)[0].tolist(), strict=True)
    changes = [Change(label, old, new, None) for label, old, new in pairs if not np.isnan(old) and not np.isnan(new)]
    return tuple(sorted(changes, key=lambda c: (c.now - c.before, c.key)))
