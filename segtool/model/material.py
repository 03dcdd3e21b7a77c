"""What a run learns from: pairs in memory as the network sees them, in batches."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtool.data.sets import Sets
from segtool.errors import DataError
from segtool.imaging.geometry import network_shape
from segtool.model.batches import (
    MEMORY_SHARE,
    SampleStore,
    TrainingBatches,
    ValidationBatches,
    available_memory,
    epoch_order,
    load_samples,
    training_reader,
    training_shape,
    validation_reader,
)
from segtool.model.cache import DiskCache
from segtool.model.teacher import Teacher
from segtool.model.unet import Architecture
from segtool.options import TrainOptions
from segtool.settings import Settings
from segtool.streaming import FailureLog


@dataclass(frozen=True)
class Material:
    """The pairs of all sets that could be read, and the network that is to learn from them by `settings`."""

    sets: Sets
    architecture: Architecture
    settings: Settings
    train: SampleStore
    val: SampleStore


def load_material(
    sets: Sets, architecture: Architecture, settings: Settings, run: Path, failures: FailureLog,
    bar: Callable[[str, int], Any],
) -> Material:  # fmt: skip
    """Reads every pair once; what memory has no room for is kept in a nameless file on the disk of `run`.

    Raises DataError when no pair of a split can be read; others are noted in `failures`.
    """
    size = settings.network_size
    pairs = sets.split("train"), sets.split("val")
    readers = (
        training_reader(sets.coding_of, network_size=size),
        validation_reader(sets.coding_of, network_size=size, stride=architecture.stride),
    )
    memory = int(available_memory() * MEMORY_SHARE) // len(pairs)
    with bar("reading", sum(map(len, pairs))) as progress:
        train, val = (
            load_samples(of_split, reader, failures, memory=memory, tick=progress.update, cache=DiskCache(run))
            for of_split, reader in zip(pairs, readers, strict=True)
        )
    for split, store in (("train", train), ("val", val)):
        if not len(store):
            raise DataError(f"None of the {split} pairs can be read; the first: {failures.failures[0][1]}")
    return Material(sets, architecture, settings, train, val)


def batches_of(
    material: Material, options: TrainOptions, teacher: Teacher | None
) -> tuple[TrainingBatches, ValidationBatches]:
    """Returns the batches to train on, drawn from the sets by `options.mix`, and those to validate on."""
    settings, stride = material.settings, material.architecture.stride
    readable = set(material.train.pairs)
    counts = [sum(pair in readable for pair in d.split("train")) for d in material.sets.datasets]

    def order(epoch: int) -> list[int]:
        return epoch_order(counts, options.mix or counts, settings.epoch_pictures, seed=options.seed, epoch=epoch)

    shapes = [network_shape(*size, network_size=settings.network_size, stride=stride) for size in material.train.sizes]
    shape = training_shape(shapes, network_size=settings.network_size, crop_size=settings.crop_size)
    train = TrainingBatches(
        material.train, order, shape=shape, network_size=settings.network_size, batch_size=settings.batch_size,
        seed=options.seed, grey=settings.grey, paste=settings.paste,
        teacher=teacher,
    )  # fmt: skip
    return train, ValidationBatches(material.val, batch_size=settings.batch_size)
