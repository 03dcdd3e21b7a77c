"""Where a network begins: at random, at other weights, or with an encoder that was trained before."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

from segtool.card import Card, find_weights, read_card
from segtool.errors import ModelError, UsageError
from segtool.model.encoders import check_encoder, load_encoder
from segtool.model.unet import Architecture
from segtool.model.weights import load_weights
from segtool.options import TrainOptions

HEAD = "logits"  # the one layer that knows the classes

Start = Callable[[keras.Model], None]


def network_of_init(options: TrainOptions) -> tuple[Path, dict[str, Any]] | None:
    """Returns the weights that --init names, and their network with its `network_size`; None without --init.

    Raises ModelError when they are no U-Net of ours, UsageError when another network was asked for.
    """
    if options.encoder:
        check_encoder(options.encoder)
    if options.init is None:
        return None
    path = find_weights(options.init)
    card = read_card(path)
    if any(v is not None for v in (options.depth, options.width, options.max_width, options.stem)) or options.encoder:
        raise UsageError(f"--init {options.init} brings its own network: leave out --depth, --width and the like.")
    return path, {**asdict(_architecture(path, card)), "network_size": card.network_size}


def starter(
    options: TrainOptions, architecture: Architecture, path: Path | None, notice: Callable[[str], None]
) -> Start | None:
    """Returns what puts first weights into a network, or None where they are random. Raises ModelError when it cannot.

    Weights of other classes are taken but for the head.
    """
    if path is not None:
        model, card = load_weights(path)
        same = _architecture(path, card).channels == architecture.channels
        if not same:
            notice(
                f"{options.init} knows {len(card.classes)} classes, this data {architecture.classes}: all its layers "
                "are taken but the last, which starts at random"
            )
        return lambda new: _take(new, model, head=same)
    if architecture.encoder and options.encoder_weights != "none":
        return lambda new: _take_encoder(new, architecture.encoder, options.encoder_weights, notice)
    return None


def _architecture(path: Path, card: Card) -> Architecture:
    if not card.architecture:
        raise ModelError(f"{path} was adopted, not trained by segtool: it is no U-Net that a training can start from.")
    try:
        return Architecture(**card.architecture)
    except TypeError as error:
        raise ModelError(f"{path} is no U-Net that this segtool can build ({error}).") from error


def _take(new: keras.Model, old: keras.Model, *, head: bool) -> None:
    ours, theirs = ([layer for layer in m.layers if layer.weights] for m in (new, old))
    for mine, other in zip(ours, theirs, strict=True):
        if head or mine.name != HEAD:
            mine.set_weights(other.get_weights())


def _take_encoder(new: keras.Model, encoder: str, weights: str, notice: Callable[[str], None]) -> None:
    count = load_encoder(new, encoder, weights)
    if not count:
        raise ModelError(f"The weights {weights} do not fit {encoder}: give those of this encoder, or none.")
    notice(f"{encoder} starts from {weights}, {count} arrays")
