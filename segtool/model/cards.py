"""The card of weights in training."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from segtool import __version__
from segtool.card import Card
from segtool.data.layout import Dataset, content_hash
from segtool.model.material import Material
from segtool.model.unet import build_network, count_flops
from segtool.options import TrainOptions


def card_of(options: TrainOptions, material: Material) -> Card:
    """Returns the card of what a run will make, its scores still open."""
    coding, architecture, size = material.sets.codings[0], material.architecture, material.settings.network_size
    return Card(
        name=options.name or options.run.resolve().name,
        task="binary" if coding.binary else "multiclass",
        classes=coding.classes,
        ignore_id=coding.ignore_values[0] if coding.ignore_values else None,
        network_size=size,
        stride=architecture.stride,
        mask_values=coding.values,
        architecture=asdict(architecture),
        trained_on=tuple(
            _origin(name, dataset, material, options.terms)
            for name, dataset in zip(material.sets.names, material.sets.datasets, strict=True)
        ),
        flops=count_flops(architecture, size, size),
        parameters=build_network(architecture).count_params(),
        licence=options.terms,
        segtool_version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _origin(name: str, dataset: Dataset, material: Material, terms: str) -> dict[str, Any]:
    """Returns what a card says of one dataset: only pairs that could be read count."""
    readable = {*material.train.pairs, *material.val.pairs}
    train, val = (tuple(p for p in dataset.split(split) if p in readable) for split in ("train", "val"))
    return {
        "name": name,
        "train": len(train),
        "val": len(val),
        "content_hash": content_hash(train),
        "val_fraction": dataset.val_fraction,
        "terms": terms,
    }
