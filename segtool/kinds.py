"""What a run makes of each picture: the kinds of output, where each goes, and a hash of all that shapes it.

Options that contradict the weights or each other fail here, before TensorFlow is imported.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segtool.card import Card, find_weights, read_card
from segtool.errors import UsageError
from segtool.options import STYLES, VALUES, MaskOptions, OverlayOptions, Paint, WriteOptions

MASK, OVERLAY, CUTOUT, PROBABILITY = "mask", "overlay", "cutout", "probability"
# Raised when the same weights come to see the same picture otherwise, so that no folder holds masks of either way.
SIGHT = 3  # JPEGs decoded no larger than the network needs, the means of their pixels sharpened


@dataclass(frozen=True)
class Kind:
    """One kind of output: its folder, its suffix (JPEGs keep theirs where `keeps_jpeg`), the hash of its settings."""

    name: str
    folder: Path
    settings: str
    suffix: str = ".png"
    keeps_jpeg: bool = False

    def suffix_for(self, source_suffix: str) -> str:
        """Returns the suffix of the output made of a picture with `source_suffix`."""
        return source_suffix if self.keeps_jpeg and source_suffix.lower() in (".jpg", ".jpeg") else self.suffix


@dataclass(frozen=True)
class Wanted:
    """The kinds to make, the first of them in OUTPUT, and the weights to make them with (None: masks made before).

    `tile` is the side of a tile in picture pixels, None where pictures are seen whole. `precision` is the one asked
    for, None where any will do: what is left to the machine, machines that share a folder need not agree on.
    """

    kinds: tuple[Kind, ...]
    weights: Path | None
    weights_hash: str
    card: Card | None
    tile: int | None
    precision: str | None = None


def wanted_of(options: WriteOptions) -> Wanted:
    """Returns what `options` ask for. Raises UsageError or ModelError."""
    _check_ranges(options)
    if isinstance(options, OverlayOptions) and options.masks is not None:
        kind = Kind(OVERLAY, options.output, _hash(paint=_paint_key(options.paint)), keeps_jpeg=True)
        return Wanted((kind,), None, "", None, None)
    weights = find_weights(options.predicting.weights)
    card = read_card(weights)
    tile = _tile_side(options.predicting.tile, card)
    seen: dict[str, Any] = {"sight": SIGHT, "tile": tile, "tta": options.predicting.tta}
    shaped = {**seen, **asdict(options.cleaning)}
    if card.binary:
        shaped["threshold"] = card.cut(options.predicting.threshold)
    kinds = _kinds_of_mask(options, card, seen, shaped) if isinstance(options, MaskOptions) else []
    if isinstance(options, OverlayOptions):
        kinds = [Kind(OVERLAY, options.output, _hash(**shaped, paint=_paint_key(options.paint)), keeps_jpeg=True)]
    if tile and any(kind.name == PROBABILITY for kind in kinds):
        raise UsageError("--probabilities are of pictures seen whole: leave out --tile, or give --tile off.")
    precision = None if options.engine.precision == "auto" else options.engine.precision
    return Wanted(tuple(kinds), weights, hashlib.sha256(weights.read_bytes()).hexdigest(), card, tile, precision)


def values_of(options: MaskOptions, card: Card) -> str:
    """Returns how masks hold their classes. Raises UsageError when the weights cannot give that."""
    two = card.binary or bool(options.only)
    values = options.values or ("255" if two else "palette")
    if values not in VALUES:
        raise UsageError(f"--values {values} is not one of {', '.join(VALUES)}.")
    if values == "255" and not two:
        raise UsageError(
            f"--values 255 is for two classes, {card.name} has {len(card.classes)}: "
            "choose some by --only, or give --values palette or id."
        )
    if values == "source" and (options.only or len(card.mask_values) != len(card.classes)):
        reason = "does not go with --only" if options.only else f"is not known for {card.name}"
        raise UsageError(f"--values source {reason}: give --values id.")
    return values


def chosen_classes(only: tuple[str, ...], card: Card) -> tuple[int, ...]:
    """Returns the indices of the classes named by `--only`, empty for all. Raises UsageError for unknown names."""
    names = [c.name for c in card.classes]
    for name in only:
        if name not in names:
            raise UsageError(f"--only {name} is no class of {card.name}: it has {', '.join(names)}.")
    return tuple(names.index(name) for name in only)


def _kinds_of_mask(options: MaskOptions, card: Card, seen: dict[str, Any], shaped: dict[str, Any]) -> list[Kind]:
    values = values_of(options, card)
    if options.coco and values == "soft":
        raise UsageError("--coco is made from the masks, and --values soft has none: give other --values.")
    shaped = {**shaped, "only": chosen_classes(options.only, card)}
    kinds = [Kind(MASK, options.output, _hash(**shaped, values=values))]
    if options.overlays:
        painted = _hash(**shaped, paint=_paint_key(options.paint))
        kinds.append(Kind(OVERLAY, options.overlays, painted, keeps_jpeg=True))
    if options.cutouts:
        cut = _hash(**shaped, background=_background_key(options.background))
        kinds.append(Kind(CUTOUT, options.cutouts, cut, keeps_jpeg=options.background is not None))
    if options.probabilities:
        kinds.append(Kind(PROBABILITY, options.probabilities, _hash(**seen), suffix=".npy"))
    return kinds


def _check_ranges(options: WriteOptions) -> None:
    shown = [options.paint] if isinstance(options, MaskOptions | OverlayOptions) else []
    for paint in shown:
        if paint.style not in STYLES:
            raise UsageError(f"--style {paint.style} is not one of {', '.join(STYLES)}.")
    if isinstance(options, MaskOptions) and options.background is not None and not options.cutouts:
        raise UsageError(f"--background {options.background} is for cutouts: name their folder by --cutouts.")


def _tile_side(asked: str, card: Card) -> int | None:
    """Returns the side of a tile in the picture's own pixels, None to see pictures whole."""
    if asked == "off":
        return None
    if asked == "auto":
        return round(card.network_size / card.tile_scale) if card.tile_scale else None
    if not asked.isascii() or not asked.isdigit() or int(asked) < card.stride:
        raise UsageError(f"--tile {asked} is not auto, off, or a side in pixels of {card.stride} or more.")
    return int(asked)


def _paint_key(paint: Paint) -> dict[str, Any]:
    return {**asdict(paint), "opacity": paint.strength}  # said or by default, it looks the same


def _background_key(background: str | None) -> list[Any]:
    """Returns what tells backgrounds apart: their name, and how the file looks if it is one."""
    if background is None or not os.path.isfile(background):
        return [background]
    status = os.stat(background)
    return [background, status.st_size, status.st_mtime_ns]


def _hash(**shaping: Any) -> str:
    return digest_of(shaping)


def digest_of(shaping: Mapping[str, Any]) -> str:
    """Returns a short hash of settings, the same on every machine."""
    return hashlib.sha256(repr(sorted(shaping.items())).encode(errors="surrogateescape")).hexdigest()[:16]
