"""Where a network begins: at random, at other weights, or with an encoder that was trained before."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from segtool.card import Card, find_weights, read_card
from segtool.errors import ModelError, UsageError
from segtool.model.encoders import check_encoder, load_encoder
from segtool.model.unet import Architecture
from segtool.model.weights import load_weights
from segtool.model.widening import take_weights
from segtool.options import TrainOptions

HEAD = "logits"  # the one layer that knows the classes

Start = Callable[[keras.Model], None]


def network_of_init(options: TrainOptions) -> tuple[Path, dict[str, Any]] | None:
    """Returns the weights that --init names, and their network, made as wide as was asked for, with its `network_size`;
    None without --init.

    Raises ModelError when they are no U-Net of ours, UsageError when a network was asked for that does not hold it.
    """
    if options.encoder:
        check_encoder(options.encoder)
    if options.init is None:
        return None
    path = find_weights(options.init)
    card = read_card(path)
    before = _architecture(path, card)
    for key in ("depth", "stem", "encoder"):
        asked, has = getattr(options, key), getattr(before, key)
        if asked not in (None, "", has):
            raise UsageError(
                f"--init {options.init} brings its own network, of {key} {has or 'none'}: leave out --{key} {asked}."
            )
    network = replace(before, width=options.width or before.width, max_width=options.max_width or before.max_width)
    if before.encoder and network != before:
        raise UsageError(f"--init {options.init} has an encoder, and cannot be widened: leave out --width.")
    if any(network.level(k) < before.level(k) for k in range(before.depth + 1)):
        raise UsageError(
            f"--init {options.init} has widths from {before.width} to {before.level(before.depth)}: "
            "give no smaller --width or --max-width."
        )
    return path, {**asdict(network), "network_size": card.network_size}


def starter(
    options: TrainOptions, architecture: Architecture, path: Path | None, notice: Callable[[str], None]
) -> Start | None:
    """Returns what puts first weights into a network, or None where they are random. Raises ModelError when it cannot.

    Weights of other classes are taken but for the head, weights of a narrower network as a part of it.
    """
    if path is not None:
        model, card = load_weights(path)
        before = _architecture(path, card)
        same = before.channels == architecture.channels
        if not same:
            notice(
                f"{options.init} knows {len(card.classes)} classes, this data {architecture.classes}: all its layers "
                "are taken but the last, which starts at random"
            )
        if replace(before, classes=architecture.classes) != architecture:
            notice(f"  the network of {options.init} is the beginning of a wider one")
        return lambda new: take_weights(new, model, leave=() if same else (HEAD,))
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


def _take_encoder(new: keras.Model, encoder: str, weights: str, notice: Callable[[str], None]) -> None:
    count = load_encoder(new, encoder, weights)
    if not count:
        raise ModelError(f"The weights {weights} do not fit {encoder}: give those of this encoder, or none.")
    notice(f"{encoder} starts from {weights}, {count} arrays")
