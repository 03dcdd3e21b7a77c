"""Batches: what is drawn in which order, at which shape, and what is kept in memory."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtool.data.layout import Pair, find_dataset
from segtool.data.truth import inspect_masks
from segtool.errors import ImageError
from segtool.imaging.codec import read_image, read_resized
from segtool.imaging.geometry import network_shape
from segtool.imaging.scaling import resize_image
from segtool.model.batches import (
    HEADROOM,
    SampleStore,
    TrainingBatches,
    ValidationBatches,
    epoch_order,
    load_samples,
    training_reader,
    training_shape,
    validation_reader,
)
from segtool.model.cache import Sample
from segtool.model.teacher import Teacher
from segtool.streaming import FailureLog

SAMPLE_BYTES = 4 * 4 * 4  # of what `sample` gives by default


def pair(index: int) -> Pair:
    return Pair(f"p{index}", Path(f"p{index}.jpg"), Path(f"p{index}.png"))


def sample(index: int, shape: tuple[int, int] = (4, 4)) -> Sample:
    return np.full((*shape, 3), index, np.uint8), np.full(shape, index % 2, np.uint8)


def store(*shapes: tuple[int, int]) -> SampleStore:
    """Returns a store whose picture `i` holds the value `i` everywhere."""
    samples = tuple(sample(i, shape) for i, shape in enumerate(shapes))
    return SampleStore(tuple(map(pair, range(len(shapes)))), shapes, samples, lambda p: sample(int(p.name[1:])))


# Order


@pytest.mark.parametrize(
    ("sizes", "shares", "length", "wanted"),
    [
        ([10], [1], 10, [10]), ([10, 30], [10, 30], 40, [10, 30]), ([10, 30], [1, 1], 40, [20, 20]),
        ([5, 5, 5], [1, 2, 1], 100, [25, 50, 25]), ([7, 3], [0, 1], 12, [0, 12]),
        ([4, 4, 4], [1, 1, 1], 100, [33, 34, 33]),
    ],
)  # fmt: skip
def test_every_set_gets_its_share_of_an_epoch(
    sizes: list[int], shares: list[float], length: int, wanted: list[int]
) -> None:
    order = epoch_order(sizes, shares, length, seed=0, epoch=0)
    ends = np.cumsum(sizes)
    assert len(order) == length
    assert np.bincount(np.searchsorted(ends, order, side="right"), minlength=len(sizes)).tolist() == wanted


@pytest.mark.parametrize("length", [3, 10, 11, 25])
def test_every_picture_comes_once_before_any_comes_twice(length: int) -> None:
    counts = Counter(epoch_order([10], [1.0], length, seed=3, epoch=1))
    assert max(counts.values()) - min(counts[i] for i in range(10)) <= 1


def test_the_order_is_a_pure_function_and_differs_by_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return epoch_order([20, 20], [1, 3], 40, seed=seed, epoch=epoch)

    np.random.default_rng(0).random(100)
    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_sets_are_mixed_within_an_epoch() -> None:
    order = epoch_order([50, 50], [1, 1], 100, seed=0, epoch=0)
    assert 15 < sum(i < 50 for i in order[:50]) < 35


def test_a_set_of_which_no_picture_could_be_read_gives_its_share_to_the_others() -> None:
    assert sorted(epoch_order([3, 0, 2], [3, 5, 2], 5, seed=0, epoch=0)) == [0, 1, 2, 3, 4]
    assert sorted(epoch_order([3, 0], [3, 0], 3, seed=0, epoch=0)) == [0, 1, 2]


# Shapes


@pytest.mark.parametrize(
    ("shapes", "crop", "wanted"),
    [
        ([(48, 64)] * 10, None, (48, 64)),
        ([(48, 64)] * 9 + [(64, 48)], None, (48, 64)),
        ([(48, 64)] * 8 + [(64, 48)] * 2, None, (64, 64)),
        ([(48, 64)] * 10, 32, (32, 32)),
        ([(16, 64)] * 10, 32, (16, 32)),
        ([(48, 64)] * 5 + [(64, 48)] * 5, 32, (32, 32)),
        ([(48, 64)], 128, (48, 64)),
    ],
)
def test_the_training_shape_is_that_of_nearly_all_pictures_else_square_and_no_longer_than_the_crop(
    shapes: list[tuple[int, int]], crop: int | None, wanted: tuple[int, int]
) -> None:
    assert training_shape(shapes, network_size=64, crop_size=crop) == wanted


# Reading and memory


def load(count: int, *, memory: int, read: Callable[[Pair], Sample] | None = None) -> tuple[SampleStore, FailureLog]:
    failures = FailureLog()
    reader = read or (lambda p: sample(int(p.name[1:])))
    return load_samples(map(pair, range(count)), reader, failures, memory=memory, tick=lambda: None), failures


@pytest.mark.parametrize(
    ("memory", "kept"), [(0, 0), (1, 0), (3 * SAMPLE_BYTES, 3), (4 * SAMPLE_BYTES - 1, 3), (10**9, 5)]
)
def test_as_many_samples_are_kept_as_fit_into_memory(memory: int, kept: int) -> None:
    samples, _ = load(5, memory=memory)
    assert len(samples) == 5
    assert [s is not None for s in samples.samples] == [True] * kept + [False] * (5 - kept)


@pytest.mark.parametrize("memory", [0, 10**9])
def test_a_sample_is_the_same_whether_kept_or_read_again(memory: int) -> None:
    samples, _ = load(3, memory=memory)
    assert [int(samples[i][0].max()) for i in range(3)] == [0, 1, 2]


def test_a_pair_that_cannot_be_read_is_noted_and_left_out() -> None:
    def read(p: Pair) -> Sample:
        if p.name == "p1":
            raise ImageError("p1 is torn")
        return sample(int(p.name[1:]))

    samples, failures = load(4, memory=10**9, read=read)
    assert failures.failures == [("p1", "p1 is torn")]
    assert [p.name for p in samples.pairs] == ["p0", "p2", "p3"]
    assert [int(samples[i][0].max()) for i in range(3)] == [0, 2, 3]


def test_progress_ticks_once_a_pair_good_or_bad() -> None:
    def read(p: Pair) -> Sample:
        raise ImageError("all bad")

    ticks: list[None] = []
    load_samples(map(pair, range(7)), read, FailureLog(), memory=0, tick=lambda: ticks.append(None))
    assert len(ticks) == 7


def test_training_samples_are_shrunk_to_what_zooming_in_can_use(shapes: Path) -> None:
    pairs = find_dataset(shapes).split("train")
    coding = inspect_masks([p.mask for p in pairs], root=shapes)
    read = training_reader(dict.fromkeys(pairs, coding), network_size=32)
    for image, mask in map(read, pairs):
        assert max(image.shape[:2]) == 32 * HEADROOM
        assert mask.shape == image.shape[:2]
        assert set(np.unique(mask)) <= {0, 1}


def test_training_samples_are_never_enlarged(shapes: Path) -> None:
    pairs = find_dataset(shapes).split("train")[:2]
    coding = inspect_masks([p.mask for p in pairs], root=shapes)
    read = training_reader(dict.fromkeys(pairs, coding), network_size=512)
    assert [max(read(p)[0].shape[:2]) for p in pairs] == [64, 64]


def test_large_jpegs_are_seen_in_validation_as_they_will_be_and_in_training_decoded_small(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(0, 250, 1603), np.linspace(0, 250, 1202))
    pixels = np.stack([x, y, x], axis=-1).astype(np.uint8)
    large = Pair("a", tmp_path / "a.jpg", tmp_path / "a.png")
    Image.fromarray(pixels).save(large.image, quality=95)
    Image.fromarray(((x > 125) * 255).astype(np.uint8)).save(large.mask)
    coding = {large: inspect_masks([large.mask], root=tmp_path)}
    image, mask = validation_reader(coding, network_size=64, stride=16)(large)
    seen, _ = read_resized(large.image, partial(network_shape, network_size=64, stride=16))
    assert np.array_equal(image, seen) and not np.array_equal(image, resize_image(read_image(large.image), (48, 64)))
    assert np.array_equal(mask[20] == 1, image[20, :, 0] > 125)
    image, mask = training_reader(coding, network_size=64)(large)
    whole = resize_image(read_image(large.image), (60, 80)).astype(int)
    assert not np.array_equal(image, whole) and np.abs(image - whole).max() <= 3
    assert np.array_equal(mask[20] == 1, image[20, :, 0] > 125)


def test_validation_samples_have_the_shape_the_network_will_see(shapes: Path) -> None:
    pairs = find_dataset(shapes).split("val")
    coding = inspect_masks([p.mask for p in pairs], root=shapes)
    read = validation_reader(dict.fromkeys(pairs, coding), network_size=32, stride=8)
    for image, mask in map(read, pairs):
        assert max(image.shape[:2]) == 32
        assert all(side % 8 == 0 for side in image.shape[:2])
        assert mask.shape == image.shape[:2]


# Batches


def training(
    count: int, *, batch_size: int, seed: int = 0, paste: float = 0.0, teacher: Teacher | None = None
) -> TrainingBatches:
    def order(epoch: int) -> list[int]:
        return epoch_order([count], [1], count, seed=seed, epoch=epoch)

    shapes = [(12, 16)] * count
    return TrainingBatches(
        store(*shapes), order, shape=(12, 16), network_size=16, batch_size=batch_size, seed=seed, paste=paste,
        teacher=teacher,
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_objects_are_pasted_onto_the_share_of_views_asked_for(share: float) -> None:
    # The masks are 1 everywhere or nowhere, in turn: where one is pasted onto an empty one, a view more has objects.
    def with_objects(data: TrainingBatches) -> int:
        return sum(int(data[i][1].any(axis=(1, 2, 3)).sum()) for i in range(len(data)))

    plain = [training(40, batch_size=4, seed=seed) for seed in range(4)]
    pasted = [training(40, batch_size=4, seed=seed, paste=share) for seed in range(4)]
    gained = np.mean([with_objects(b) - with_objects(a) for a, b in zip(plain, pasted, strict=True)])
    # Half of what lies below is empty, and half of what is pasted is not: of 40 views a quarter of the share gains.
    assert abs(gained - share * 10) <= (3 if share else 0)


@pytest.mark.parametrize(("count", "batch_size", "batches"), [(8, 4, 2), (11, 4, 2), (4, 4, 1), (3, 8, 1)])
def test_every_training_batch_is_full_and_of_one_shape(count: int, batch_size: int, batches: int) -> None:
    data = training(count, batch_size=batch_size)
    assert len(data) == batches
    for image, mask in (data[i] for i in range(batches)):
        assert image.shape == (batch_size, 12, 16, 3)
        assert mask.shape == (batch_size, 12, 16, 1)
        assert image.dtype == mask.dtype == np.uint8


@pytest.mark.parametrize("batch_size", [2, 4])
def test_what_a_teacher_says_of_the_very_views_lies_behind_the_truth(batch_size: int) -> None:
    plain = training(8, batch_size=4, paste=0.5).in_batches_of(batch_size)
    taught = training(8, batch_size=4, paste=0.5, teacher=lambda views: 255 - views[..., :2]).in_batches_of(batch_size)
    for (images, truth), (seen, more) in ((plain[i], taught[i]) for i in range(len(plain))):
        np.testing.assert_array_equal(seen, images)
        np.testing.assert_array_equal(more, np.concatenate([truth, 255 - images[..., :2]], -1))
        assert more.dtype == np.uint8


def test_an_epoch_gone_to_is_the_same_as_one_come_to() -> None:
    come, gone = training(6, batch_size=3), training(6, batch_size=3)
    come.on_epoch_end()
    come.on_epoch_end()
    gone.go_to(2)
    for index in range(2):
        for ours, theirs in zip(come[index], gone[index], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_next_epoch_shows_other_views() -> None:
    data = training(4, batch_size=4)
    before = data[0][0]
    data.on_epoch_end()
    assert not np.array_equal(data[0][0], before)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_every_validation_sample_comes_once_in_batches_of_one_shape(batch_size: int) -> None:
    sides = [(8, 16), (16, 8), (8, 16), (16, 16), (12, 16), (8, 16), (16, 8)]
    data = ValidationBatches(store(*sides), batch_size=batch_size)
    seen: list[int] = []
    for image, mask in (data[i] for i in range(len(data))):
        assert len(image) <= batch_size
        assert mask.shape == (*image.shape[:3], 1)
        assert [sides[i] for i in image[:, 0, 0, 0]] == [image.shape[1:3]] * len(image)
        seen += image[:, 0, 0, 0].tolist()
    assert sorted(seen) == list(range(7))


def test_the_first_two_validation_batches_differ_in_both_sides_where_any_do() -> None:
    sides = [(16, 16)] * 3 + [(16, 8), (8, 16)] + [(16, 12)] * 3
    data = ValidationBatches(store(*sides), batch_size=2)
    assert {data[0][0].shape[1:3], data[1][0].shape[1:3]} == {(8, 16), (16, 8)}


def test_batches_of_another_size_show_the_same_pictures_in_the_same_order() -> None:
    four, two = training(8, batch_size=4), training(8, batch_size=4).in_batches_of(2)
    for index in range(2):
        images = np.concatenate([two[2 * index][0], two[2 * index + 1][0]])
        np.testing.assert_array_equal(four[index][0], images)


def test_a_batch_knows_the_names_of_its_pictures_at_any_epoch() -> None:
    data = training(8, batch_size=4)
    wanted = [[f"p{i}" for i in data.order_of(3)[4 * b : 4 * b + 4]] for b in range(2)]
    assert [data.names(3, 0), data.names(3, 1)] == wanted
    assert data.epoch == 0


def test_batches_standing_at_an_epoch_do_not_move_the_others() -> None:
    data = training(8, batch_size=4)
    other = data.at_epoch(2)
    assert (data.epoch, other.epoch, other.order) == (0, 2, data.order_of(2))
