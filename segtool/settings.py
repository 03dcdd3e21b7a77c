"""What a training uses where it was not told: rules from the pictures, the class shares and the machine.

A fingerprint of the data first, then rules that anyone can follow by hand (the idea is nnU-Net's, Isensee et al. 2021).
Every rule holds only for what was not asked for.

- Network size: the median long side of the train pictures, rounded up to a multiple of 32, at least 64; at most 256 on
  a CPU (384 with more than two classes, whose objects are smaller), 512 on a GPU: beyond that time grows faster than
  scores.
- Stem: 2 (the picture is halved first, which quarters the work) from a network size of 256 up and with an encoder.
- Depth: halvings, those of the stem with them, until the bottom is 8 to 15 pixels long, from 2 to 6; fewer where a size
  that was asked for is not divisible so often.
- Width: 16 on a CPU, 32 on a GPU, doubled by level up to 16 times that.
- Batch: 16 pictures, 8 below 1000 pictures; no more than a quarter of the pictures, but at least 2. Where half of the
  free memory does not hold that many, smaller batches whose gradients are added up.
- Epoch: every picture once, but at least 32 batches and at most 4000 pictures, so that a checkpoint is never far away.
- Loss: cross-entropy + Dice. Dice counts overlap class by class, so that a class of 2 % of the pixels is not drowned
  by the rest. On 600 drawn pictures of 4 shapes (84 % background), one seed, val miou after 8 epochs was 0.25 with ce,
  0.35 with ce weighted by class, 0.34 with focal+dice, 0.39 with ce+dice, 0.36 with that weighted by class, 0.42 with
  ce+tversky; ce+dice with another seed gave 0.42 as well, so Dice and Tversky are not told apart.
- Class weights: none, by that measurement, where the loss has a term that counts overlap. For a loss without one, in
  more than two classes of which one has less than a tenth of the commonest one's share: (median share / share)^½, at
  most 4 (median frequency balancing, Eigen and Fergus 2015, with a root: the plain ratio paints rare classes
  everywhere).
- Learning rate: 0.002 for normalised features, 0.0003 without normalisation and where the network starts from weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segtool.errors import UsageError
from segtool.options import TrainOptions

MULTIPLE, SMALLEST, LARGEST_CPU, LARGEST_CPU_CLASSES, LARGEST_GPU = 32, 64, 256, 384, 512
STEM_FROM, BOTTOM, HALVINGS = 256, 8, (2, 6)
EDGES = {1: "", 2: ", edges at half size", 4: ", edges at a quarter of the size"}  # by stem
FEW_PICTURES, BATCH, BATCH_FEW = 1000, 16, 8
EPOCH_BATCHES, EPOCH_PICTURES = 32, 4000
MEMORY_SHARE = 0.5
RARE, HEAVIEST = 0.1, 4.0
ENCODER_HALVINGS = 5


@dataclass(frozen=True)
class Fingerprint:
    """What the rules know of the data: numbers of pictures, long sides in pixels of the train pictures, class shares.

    `shares` are of the train pixels that count, in the order of the classes; `grey` says that no picture has colour;
    `digest` changes whenever a picture or mask does.
    """

    train: int
    val: int
    long_side: int
    smallest: int
    largest: int
    one_size: bool
    grey: bool
    shares: tuple[float, ...]
    digest: str = ""


@dataclass(frozen=True)
class Machine:
    """What the rules know of the machine: free memory in bytes, and whether it has a GPU."""

    memory: int
    gpu: bool = False


@dataclass(frozen=True)
class Settings:
    """All that shapes the network and its training, nothing left open. `class_weights` empty: all the same."""

    encoder: str
    depth: int
    width: int
    max_width: int
    norm: bool
    residual: bool
    stem: int
    network_size: int
    crop_size: int | None
    batch_size: int
    accumulate: int
    epoch_pictures: int
    loss: str
    class_weights: tuple[float, ...]
    learning_rate: float
    weight_decay: float
    warmup: float
    clip: float
    ema: float
    grey: bool
    paste: float = 0.0


Reasons = tuple[str, ...]


def choose(
    options: TrainOptions, found: Fingerprint, machine: Machine, *, start: Mapping[str, Any] | None = None
) -> tuple[Settings, Reasons]:
    """Returns the settings for `options` with everything chosen, and a line a choice that says why.

    `start` is the network, with its `network_size`, of the weights to start from. Raises UsageError when
    --class-weights cannot be read.
    """
    reasons: list[str] = []
    network = dict(start or _network(options, found, machine, reasons))
    size = options.network_size or int(network["network_size"])
    if start is not None:
        reasons.append(f"network and network size {size}: those of {options.init}")
    batch, accumulate = _batch(options, found, machine, network, size, reasons)
    pictures = options.epoch_pictures
    if pictures is None:
        pictures = max(min(found.train, EPOCH_PICTURES), EPOCH_BATCHES * batch)
        if pictures != found.train:
            few = pictures > found.train
            reasons.append(f"an epoch is {pictures} pictures: " + ("at least 32 batches" if few else "at most 4000"))
    starts = start is not None or options.encoder_weights != "none"
    rate = options.learning_rate
    if rate is None:
        rate = 3e-4 if starts or not network["norm"] else 2e-3
        reasons.append(f"learning rate {rate:g}: " + _why_rate(starts=starts, norm=network["norm"]))
    loss = options.loss or "ce+dice"
    if options.loss is None:
        reasons.append(f"loss {loss}: pixel by pixel, and by the overlap of each class however small its share")
    overlap = "dice" in loss or "tversky" in loss
    weights = _class_weights(options.class_weights, found.shares, reasons, overlap=overlap)
    return Settings(
        encoder=network["encoder"], depth=network["depth"], width=network["width"], max_width=network["max_width"],
        norm=network["norm"], residual=network["residual"], stem=network["stem"], network_size=size,
        crop_size=options.crop_size, batch_size=batch, accumulate=accumulate, epoch_pictures=pictures, loss=loss,
        class_weights=weights, learning_rate=rate, weight_decay=options.weight_decay, warmup=options.warmup,
        clip=options.clip, ema=options.ema, grey=found.grey, paste=options.paste,
    ), tuple(reasons)  # fmt: skip


def balanced_weights(shares: Sequence[float]) -> tuple[float, ...]:
    """Returns (median share / share)^½ a class, at most 4, scaled so that a pixel weighs 1 on average.

    A class without pixels weighs 1.
    """
    known = sorted(s for s in shares if s > 0)
    if not known:
        return ()
    median = known[len(known) // 2]
    raw = [min(math.sqrt(median / s), HEAVIEST) if s > 0 else 1.0 for s in shares]
    mean = sum(w * s for w, s in zip(raw, shares, strict=True))
    return tuple(round(w / mean, 3) for w in raw)


def bytes_a_picture(network: dict[str, Any], size: int) -> int:
    """Returns roughly what one picture takes in a training step: a dozen float32 maps a level and way, gradients."""
    total = 0.0
    for level in range(network["depth"] + 1):
        side = size / network["stem"] / 2**level
        channels = min(network["width"] << level, network["max_width"])
        total += 24 * channels * side * side * 4
    return int(total)


def _network(options: TrainOptions, found: Fingerprint, machine: Machine, reasons: list[str]) -> dict[str, Any]:
    if options.stem not in (None, *EDGES):
        raise UsageError(f"--stem {options.stem} is none of 1, 2 and 4: by how much the picture shrinks first.")
    width = options.width or (32 if machine.gpu else 16)
    stride = None
    if options.depth is not None and options.stem is not None:
        stride = options.stem << options.depth
    size = options.network_size or _network_size(found, machine, stride or MULTIPLE, reasons)
    stem = 2 if options.encoder else options.stem or (2 if size >= STEM_FROM else 1)
    depth = options.depth
    if depth is None:
        depth = _depth(size, stem, ENCODER_HALVINGS if options.encoder else None)
        where = f"the bottom sees {size // (stem << depth)} pixels along the long side"
        reasons.append(f"depth {depth}, stem {stem}: {where}" + EDGES[stem])
    if options.width is None and not options.encoder:
        reasons.append(f"width {width}: what a {'GPU' if machine.gpu else 'CPU'} trains in reasonable time")
    return {
        "encoder": options.encoder, "depth": depth, "width": width, "max_width": options.max_width or 16 * width,
        "norm": options.norm, "residual": options.residual, "stem": stem, "network_size": size,
    }  # fmt: skip


def _network_size(found: Fingerprint, machine: Machine, multiple: int, reasons: list[str]) -> int:
    largest = LARGEST_GPU if machine.gpu else LARGEST_CPU if len(found.shares) <= 2 else LARGEST_CPU_CLASSES
    rounded = math.ceil(found.long_side / MULTIPLE) * MULTIPLE
    size = min(max(rounded, SMALLEST), largest)
    if rounded > largest:
        why = f"pictures of {found.long_side} are shrunk to what a {'GPU' if machine.gpu else 'CPU'} trains in time"
    else:
        why = f"pictures of {found.long_side} in the middle" + ("" if found.one_size else ", of several sizes")
    size = max(multiple, round(size / multiple) * multiple)
    reasons.append(f"network size {size}: {why}")
    return size


def _depth(size: int, stem: int, halvings: int | None) -> int:
    low, high = HALVINGS
    total = halvings or min(max(int(math.log2(max(size, 1) / BOTTOM)), low), high)
    while total > stem.bit_length() and size % (1 << total):
        total -= 1
    return max(total - (stem.bit_length() - 1), 1)


def _batch(
    options: TrainOptions, found: Fingerprint, machine: Machine, network: dict[str, Any], size: int, reasons: list[str]
) -> tuple[int, int]:
    wanted = BATCH if found.train >= FEW_PICTURES else BATCH_FEW
    quarter = max(found.train // 4, 1)
    wanted = max(min(wanted, 1 << int(math.log2(quarter))), 2)
    if options.batch_size is not None:
        return options.batch_size, options.accumulate or 1
    side = min(options.crop_size or size, size)
    fits = max(int(machine.memory * MEMORY_SHARE / bytes_a_picture(network, side)), 1)
    batch = min(wanted, 1 << int(math.log2(fits)))
    accumulate = options.accumulate or max(wanted // batch, 1)
    why = f"{found.train} train pictures"
    if accumulate > 1:
        why = f"memory for {fits} at once, gradients of {accumulate} batches added up"
    reasons.append(f"batch size {batch}: {why}")
    return batch, accumulate


def _class_weights(asked: str, shares: tuple[float, ...], reasons: list[str], *, overlap: bool) -> tuple[float, ...]:
    if asked == "none":
        return ()
    if asked != "auto":
        try:
            weights = tuple(float(part) for part in asked.split(","))
        except ValueError:
            weights = (-1.0,)
        if not all(0 <= w < math.inf for w in weights) or not sum(weights):
            raise UsageError(f"--class-weights {asked} is neither auto, none nor numbers of 0 or more, like 1,2,2.")
        if len(weights) != len(shares):
            raise UsageError(f"--class-weights has {len(weights)} weights for {len(shares)} classes: give one a class.")
        return weights
    known = [s for s in shares if s > 0]
    said = f"the foreground is {shares[1]:.1%} of the pixels"
    if len(shares) > 2 and known:
        said = f"class shares from {min(known):.2%} to {max(known):.0%}"
    if len(shares) == 2 or not known or min(known) >= RARE * max(known) or overlap:
        reasons.append(f"no class weights: {said}" + (", evened out by the overlap in the loss" if overlap else ""))
        return ()
    weights = balanced_weights(shares)
    reasons.append(f"class weights {min(weights):.2g} to {max(weights):.2g}: {said}")
    return weights


def _why_rate(*, starts: bool, norm: bool) -> str:
    if starts:
        return "gentle on weights that know something"
    return "features are normalised" if norm else "no normalisation"
