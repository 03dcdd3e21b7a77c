"""Scores against cases worked by hand and against the definitions written out plainly."""

from collections.abc import Sequence

import numpy as np
import pytest

from segtool.imaging.codec import Pixels
from segtool.imaging.metrics import (
    ImageCounts,
    Tally,
    class_counts,
    confusion,
    image_scores,
    runs,
    scores_of,
    value_counts,
)
from segtool.scores import ClassScore, Scores, card_figures, figure_keys

IGNORED = 255
NAMES = ("background", "car", "person", "road")
Images = Sequence[tuple[Pixels, Pixels]]  # truth and prediction


def row(*values: int) -> Pixels:
    return np.array([values], np.uint8)


def tally_of(images: Images, classes: int) -> Tally:
    tally = Tally.empty(classes)
    for truth, prediction in images:
        tally = tally.with_image(confusion(truth, prediction, classes))
    return tally


def score(images: Images, classes: int) -> Scores:
    names = NAMES[:classes] if classes > 2 else ("background", "foreground")
    return scores_of(tally_of(images, classes), names, threshold=0.5 if classes == 2 else None)


def test_confusion_has_truth_in_rows_and_prediction_in_columns() -> None:
    counts = confusion(row(0, 0, 1, 2, 2, 2), row(0, 1, 1, 0, 2, 2), 3)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0]]


@pytest.mark.parametrize("ignored", [2, 64, 255])
def test_pixels_whose_truth_is_no_class_are_left_out(ignored: int) -> None:
    assert confusion(row(0, 1, ignored, ignored), row(0, 1, 0, 1), 2).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("nothing", [2, 64, 255])
def test_predictions_that_are_no_class_have_a_column_of_their_own(nothing: int) -> None:
    assert confusion(row(0, 1, 1), row(0, nothing, nothing), 2).tolist() == [[1, 0, 0], [0, 0, 2]]


def test_confusion_of_255_classes_does_not_overflow() -> None:
    values = np.arange(255, dtype=np.uint8)[None]
    assert np.array_equal(confusion(values, values, 255)[:, :255], np.eye(255))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (1, 700), (37, 53)])
def test_confusion_of_any_shape_is_that_of_a_loop_over_pixels(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape)
    truth, found = rng.integers(0, 5, (2, *shape), np.uint8)
    wanted = np.zeros((4, 5), int)
    for true, guess in zip(truth.ravel(), found.ravel(), strict=True):
        if true < 4:
            wanted[true, guess] += 1
    assert np.array_equal(confusion(truth, found, 4), wanted)


def test_runs_are_the_pixels_put_together_again() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 3, (2, 40, 60), np.uint8)
    one[10:20] = 1
    first, second, lengths = runs(one, other)
    assert np.array_equal(np.repeat(first, lengths), one.ravel())
    assert np.array_equal(np.repeat(second, lengths), other.ravel())


def test_a_single_pixel_is_counted_in_a_picture_of_more_than_float32_can_count() -> None:
    values = np.zeros((4097, 4097), np.uint16)
    values[-1, -1] = 7
    counts = value_counts(values, np.ones(values.shape, bool), 256)
    assert (counts[0], counts[7]) == (4097**2 - 1, 1)


def test_binary_figures_of_one_image_are_as_worked_by_hand() -> None:
    # true foreground 4, found 3, of which 2 are right; 10 pixels and one ignored
    truth = row(1, 1, 1, 1, 0, 0, 0, 0, 0, 0, IGNORED)
    found = row(1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1)
    scores = score([(truth, found)], 2)
    background, foreground = scores.classes
    assert scores.miou == scores.miou_image == foreground.iou == foreground.iou_image == pytest.approx(2 / 5)
    assert foreground.figures["dice"] == pytest.approx(4 / 7)
    assert foreground.figures["precision"] == pytest.approx(2 / 3)
    assert foreground.figures["recall"] == pytest.approx(2 / 4)
    assert foreground.share == pytest.approx(4 / 10)
    assert background.iou == pytest.approx(5 / 8)
    assert scores.accuracy == pytest.approx(7 / 10)
    assert scores.baseline_class == "background"
    assert scores.baseline_accuracy == pytest.approx(6 / 10)
    assert scores.confusion == ((5, 1), (2, 2))
    assert (scores.pairs, scores.threshold, scores.absent) == (1, 0.5, ())


def test_iou_is_pooled_over_pixels_and_iou_image_is_the_mean_over_images() -> None:
    images = [(row(1, 1, 1, 1), row(1, 1, 1, 1)), (row(1, 1, 0, 0), row(1, 0, 1, 0))]
    scores = score(images, 2)
    assert scores.miou == pytest.approx(5 / 7)
    assert scores.miou_image == pytest.approx((1 + 1 / 3) / 2)


def test_a_binary_image_empty_in_truth_and_prediction_scores_one() -> None:
    images = [(row(0, 0), row(0, 0)), (row(1, 0), row(0, 1))]
    scores = score(images, 2)
    assert scores.miou == 0.0
    assert scores.miou_image == 0.5
    assert scores.classes[1].images == 2


@pytest.mark.parametrize(("truth", "found"), [(row(0, 0), row(0, 1)), (row(0, 1), row(0, 0))])
def test_a_binary_image_empty_on_one_side_scores_zero(truth: Pixels, found: Pixels) -> None:
    assert score([(truth, found)], 2).miou_image == 0.0


def test_a_multiclass_image_with_a_class_on_neither_side_is_left_out_for_that_class() -> None:
    images = [(row(0, 1), row(0, 1)), (row(0, 2), row(0, 2)), (row(0, 2), row(0, 0))]
    scores = score(images, 3)
    assert [c.images for c in scores.classes] == [3, 1, 2]
    assert [c.iou_image for c in scores.classes] == pytest.approx([5 / 6, 1, 1 / 2])
    assert scores.miou_image == pytest.approx((5 / 6 + 1 + 1 / 2) / 3)


def test_absent_classes_are_named_and_left_out_of_the_means() -> None:
    scores = score([(row(0, 0, 3, 3), row(0, 0, 3, 0))], 4)
    assert scores.absent == ("car", "person")
    assert scores.miou == scores.miou_image == pytest.approx((2 / 3 + 1 / 2) / 2)
    car = scores.classes[1]
    assert (car.iou, car.iou_image, car.figures["dice"], car.figures["precision"], car.figures["recall"]) == (
        None,
        None,
        None,
        None,
        None,
    )
    assert (car.share, car.images) == (0, 0)


def test_a_class_found_but_never_true_counts_as_zero() -> None:
    scores = score([(row(0, 0), row(0, 1))], 3)
    assert (scores.classes[1].iou, scores.classes[1].figures["precision"], scores.classes[1].figures["recall"]) == (
        0,
        0,
        None,
    )
    assert scores.absent == ("person",)
    assert scores.miou == pytest.approx((1 / 2 + 0) / 2)


def test_a_class_true_but_never_found_has_no_precision() -> None:
    scores = score([(row(0, 1), row(0, 0))], 2)
    assert (scores.classes[1].figures["precision"], scores.classes[1].figures["recall"], scores.miou) == (None, 0, 0)


def test_the_baseline_of_two_classes_is_all_background_even_where_that_is_rare() -> None:
    scores = score([(row(1, 1, 1, 0), row(1, 1, 1, 1))], 2)
    assert (scores.baseline_class, scores.baseline_accuracy) == ("background", 0.25)


def test_the_baseline_of_more_classes_is_the_commonest() -> None:
    scores = score([(row(0, 2, 2, 2, 1), row(0, 0, 0, 0, 0))], 3)
    assert scores.baseline_class == "person"
    assert scores.baseline_accuracy == pytest.approx(3 / 5)


def test_empty_masks_found_empty_everywhere_have_no_pooled_iou() -> None:
    scores = score([(row(0, 0), row(0, 0))] * 3, 2)
    assert (scores.miou, scores.miou_image, scores.accuracy) == (None, 1.0, 1.0)
    assert scores.absent == ("foreground",)


@pytest.mark.parametrize("classes", [2, 4])
def test_no_images_have_no_scores(classes: int) -> None:
    scores = score([], classes)
    assert (scores.pairs, scores.miou, scores.miou_image) == (0, None, None)


def random_images(classes: int, seed: int) -> Images:
    """Returns pairs of unlike sizes, half right, with ignored pixels; some lack classes, some are empty."""
    rng = np.random.default_rng((classes, seed))
    images = []
    for _ in range(6):
        shape = (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        present = int(rng.integers(1, classes + 1))
        truth, other = rng.integers(0, present, (2, *shape), np.uint8)
        found = np.where(rng.random(shape) < 0.5, truth, other)
        truth[rng.random(shape) < 0.1] = IGNORED
        images.append((truth, found))
    return images


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_scores_agree_with_the_definitions_written_out(classes: int, seed: int) -> None:
    images = random_images(classes, seed)
    scores = score(images, classes)
    truth = np.concatenate([t.ravel() for t, _ in images])
    found = np.concatenate([f.ravel() for _, f in images])
    truth, found = truth[truth != IGNORED], found[truth != IGNORED]

    pooled: list[float | None] = []
    by_image: list[float | None] = []
    for index, got in enumerate(scores.classes):
        each = []
        for one_truth, one_found in images:
            valid = one_truth != IGNORED
            true, seen = (one_truth == index) & valid, (one_found == index) & valid
            if (true | seen).any():
                each.append((true & seen).sum() / (true | seen).sum())
            elif classes == 2:
                each.append(1.0)
        true, seen = truth == index, found == index
        hits = (true & seen).sum()
        pooled.append(ratio(hits, (true | seen).sum()))
        by_image.append(ratio(sum(each), len(each)))
        assert got.iou == pytest.approx(pooled[-1])
        assert got.iou_image == pytest.approx(by_image[-1])
        assert got.figures["dice"] == pytest.approx(ratio(2 * hits, true.sum() + seen.sum()))
        assert got.figures["precision"] == pytest.approx(ratio(hits, seen.sum()))
        assert got.figures["recall"] == pytest.approx(ratio(hits, true.sum()))
        assert got.share == pytest.approx(true.mean())
        assert got.images == len(each)

    counted = [1] if classes == 2 else [i for i in range(classes) if pooled[i] is not None]
    known = [v for i in counted if (v := pooled[i]) is not None]
    known_by_image = [v for i in counted if (v := by_image[i]) is not None]
    assert scores.miou == pytest.approx(ratio(sum(known), len(known)))
    assert scores.miou_image == pytest.approx(ratio(sum(known_by_image), len(known_by_image)))
    assert scores.accuracy == pytest.approx((truth == found).mean())
    assert scores.pairs == len(images)


def with_intervals(tally: Tally, classes: int) -> Scores:
    return scores_of(tally, tuple(map(str, range(classes))), threshold=None, with_intervals=True)


@pytest.mark.parametrize("classes", [2, 4])
def test_all_figures_and_intervals_are_the_same_to_the_last_bit_in_any_order(classes: int) -> None:
    images = random_images(classes, 0)
    forward, backward = (with_intervals(tally_of(some, classes), classes) for some in (images, images[::-1]))
    assert forward == backward
    assert forward.intervals


@pytest.mark.parametrize("classes", [2, 4])
def test_tallies_of_shards_add_up_to_the_tally_of_the_whole(classes: int) -> None:
    images = random_images(classes, 1)
    whole = tally_of(images, classes)
    parts = tally_of(images[4:], classes).plus(tally_of(images[:4], classes)).plus(Tally.empty(classes))
    assert with_intervals(parts, classes) == with_intervals(whole, classes)
    assert image_scores(parts) == image_scores(whole)
    assert Tally.total(classes, [parts, whole]).pairs == 2 * whole.pairs


def test_pixels_the_prediction_calls_no_class_are_wrong_and_told() -> None:
    scores = score([(row(0, 1, 1, 1), row(0, 1, 255, 255))], 2)
    assert scores.undecided == (0, 2)
    assert scores.accuracy == 0.5
    assert scores.miou == pytest.approx(1 / 3)
    assert scores.figure("precision") == 1


def test_mean_accuracy_and_fwiou_are_those_of_long_2015() -> None:
    # truths 6, 3, 1; found 6, 2, 2; right 5, 2, 0
    truth = row(0, 0, 0, 0, 0, 0, 1, 1, 1, 2)
    found = row(0, 0, 0, 0, 0, 2, 1, 1, 2, 0)
    figures = score([(truth, found)], 3).figures
    assert figures["mean_accuracy"] == pytest.approx((5 / 6 + 2 / 3 + 0) / 3)
    assert figures["fwiou"] == pytest.approx(0.6 * 5 / 7 + 0.3 * 2 / 3 + 0)
    assert figures["mean_accuracy_image"] == pytest.approx(figures["mean_accuracy"])
    assert figures["accuracy_image"] == pytest.approx(0.7)


def test_figures_by_image_are_0_where_only_one_side_has_the_class() -> None:
    scores = score([(row(0, 1), row(0, 0)), (row(0, 0), row(0, 1)), (row(0, 1), row(0, 1))], 2)
    for metric in ("iou_image", "dice_image", "precision_image", "recall_image"):
        assert scores.classes[1].figures[metric] == pytest.approx(1 / 3), metric


def test_an_image_that_is_wholly_ignored_is_left_out_of_every_mean() -> None:
    whole = score([(row(1, 0), row(1, 1)), (row(IGNORED, IGNORED), row(1, 0))], 2)
    alone = score([(row(1, 0), row(1, 1))], 2)
    assert whole.figures == alone.figures
    assert [c.images for c in whole.classes] == [1, 1]


def test_images_know_their_own_figures_and_carry_their_split_where_there_are_several() -> None:
    images = [("val", "b", row(0, 1), row(0, 1)), ("train", "a", row(0, 1), row(1, 1)), ("val", "c", row(9), row(0))]
    parts = []
    for split, name, truth, found in images:
        matrix = confusion(truth, found, 2)
        parts.append(Tally(matrix, (ImageCounts(class_counts(matrix), split, name, (1, 2)),)))
    told = image_scores(Tally.total(2, parts))
    assert [i.label for i in told] == ["train/a", "val/b", "val/c"]
    assert [i.miou for i in told] == [0.5, 1.0, None]
    assert [i.accuracy for i in told] == [0.5, 1.0, None]
    assert told[0].counts == ((0, 1, 0), (1, 1, 2))


def test_a_figure_is_found_by_its_key() -> None:
    scores = score([(row(0, 1, 2, 2), row(0, 1, 2, 0))], 3)
    assert scores.figure("miou") == scores.miou
    assert scores.figure("iou:person") == 0.5
    binary = score([(row(1, 1, 0), row(1, 0, 0))], 2)
    assert binary.figure("iou") == binary.figure("iou:foreground") == 0.5
    for keys, some in ((figure_keys(NAMES[:3], boundary=False), scores),
                       (figure_keys(("background", "foreground"), boundary=False), binary)):  # fmt: skip
        assert all(some.figure(key) is not None for key in keys)
        assert len(keys) == len(set(keys))


def test_a_card_keeps_what_training_keeps() -> None:
    kept = card_figures(score([(row(1, 1, 0), row(1, 0, 0))], 2))
    assert (kept["pairs"], kept["threshold"], kept["miou"]) == (1, 0.5, 0.5)
    assert kept["iou"] == {"background": 0.5, "foreground": 0.5}


def test_a_class_score_needs_no_boundaries() -> None:
    assert isinstance(score([(row(1, 0), row(1, 0))], 2).classes[0], ClassScore)
    assert "mboundary_iou" not in score([(row(1, 0), row(1, 0))], 2).figures
