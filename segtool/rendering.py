"""What is written of a mask: values, overlays, cutouts and probabilities, each as the bytes of a file."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from segtool.card import Card, ClassInfo
from segtool.coco import Category
from segtool.errors import ImageError
from segtool.imaging.background import Background, on_background, parse_background
from segtool.imaging.codec import Pixels
from segtool.imaging.cutout import cutout, edge_alpha
from segtool.imaging.encode import encode_jpeg, encode_palette_png, encode_png
from segtool.imaging.paint import legend_entries, paint, paint_colors, palette
from segtool.kinds import CUTOUT, MASK, OVERLAY, PROBABILITY, chosen_classes, values_of
from segtool.options import MaskOptions, Paint
from segtool.plan import Job
from segtool.segmentation import Mask

FOREGROUND = 255


@dataclass(frozen=True)
class Picture:
    """One job with its mask, and its pixels, which are decoded when they are first asked for."""

    job: Job
    mask: Mask
    read: Callable[[Job], Pixels]

    @cached_property
    def image(self) -> Pixels:
        """The picture at its own size, `(H, W, 3)` uint8. Raises ImageError when it is another than before."""
        if self.mask.image is not None:
            return self.mask.image
        # Decoded a second time: keeping every full picture until the network is done would grow with their size.
        image = self.read(self.job)
        if image.shape[:2] != self.mask.indices.shape:
            raise ImageError(f"{self.job} changed while it was worked on.")
        return image


Render = Callable[[Picture], bytes]


def mask_renderers(options: MaskOptions, card: Card) -> Mapping[str, Render]:
    """Returns how each kind of output of `segtool mask` is made. Raises UsageError for a background that is none."""
    chosen = chosen_classes(options.only, card)
    background = None if options.background is None else parse_background(options.background)
    return {
        MASK: _mask_renderer(values_of(options, card), chosen, card),
        OVERLAY: overlay_renderer(options.paint, card.classes, chosen),
        CUTOUT: _cutout_renderer(background, chosen, options, card),
        PROBABILITY: _probability,
    }


def overlay_renderer(how: Paint, classes: Sequence[ClassInfo], chosen: Sequence[int] = ()) -> Render:
    """Returns what paints the classes (or only those `chosen`) over a picture, JPEG for JPEGs, else PNG."""
    shown = paint_colors(classes)
    colors = [color if not chosen or i in chosen else None for i, color in enumerate(shown)]
    legend = legend_entries(classes) if how.legend else None

    def render(picture: Picture) -> bytes:
        painted = paint(
            picture.image, picture.mask.indices, style=how.style, colors=colors, opacity=how.strength, legend=legend
        )
        return _like_the_picture(painted, picture, OVERLAY)

    return render


def mask_categories(options: MaskOptions, card: Card) -> list[Category]:
    """Returns the classes as the masks of `options` hold them, the background left out."""
    values, chosen = values_of(options, card), chosen_classes(options.only, card)
    table = _value_table(values, chosen, card)
    if chosen:
        return [Category(1, "+".join(options.only), int(table[chosen[0]]))]
    objects = [(i, c) for i, c in enumerate(card.classes) if paint_colors(card.classes)[i] is not None]
    return [Category(c.id, c.name, int(table[i])) for i, c in objects]


def _mask_renderer(values: str, chosen: tuple[int, ...], card: Card) -> Render:
    if values == "soft":
        return lambda picture: encode_png(_soft(picture.mask, chosen))
    table = _value_table(values, chosen, card)
    held = None if _is_identity(table, card) else table[:2] if card.binary else table
    if values != "palette":
        return lambda picture: encode_png(picture.mask.indices, values=held)
    colors = [(0, 0, 0), card.classes[chosen[0]].color] if chosen else palette(card.classes)
    return lambda picture: encode_palette_png(picture.mask.indices, colors, values=held)


def _is_identity(table: Pixels, card: Card) -> bool:
    count = len(card.classes)
    return bool(np.array_equal(table[:count], np.arange(count)))


def _value_table(values: str, chosen: tuple[int, ...], card: Card) -> Pixels:
    """Returns `(256,)` uint8: what a mask holds for each class index. Chosen classes are one, of id 1."""
    held = [c.id for c in card.classes]
    if chosen:
        held = [int(i in chosen) for i in range(len(held))]
    if values == "255":
        held = [FOREGROUND * int(i in (chosen or (1,))) for i in range(len(held))]
    elif values == "source":
        held = list(card.mask_values)
    table = np.zeros(256, np.uint8)
    table[: len(held)] = held
    return table


def _cutout_renderer(
    background: Background | None, chosen: tuple[int, ...], options: MaskOptions, card: Card
) -> Render:  # fmt: skip
    objects = chosen or tuple(i for i, color in enumerate(paint_colors(card.classes)) if color is not None)
    is_object = np.zeros(256, np.uint8)
    is_object[list(objects)] = 1
    threshold = card.cut(options.predicting.threshold) if card.binary else 0.5  # of classes summed up

    def render(picture: Picture) -> bytes:
        here = np.asarray(cv2.LUT(picture.mask.indices, is_object), np.uint8)  # indexing takes four times as long
        alpha = edge_alpha(_soft(picture.mask, objects), here, threshold=threshold)
        cut = cutout(picture.image, alpha)
        if background is None:
            return encode_png(cut)
        return _like_the_picture(on_background(cut, background, image=picture.image), picture, CUTOUT)

    return render


def _probability(picture: Picture) -> bytes:
    assert picture.mask.probability is not None
    buffer = io.BytesIO()
    np.save(buffer, picture.mask.probability.astype(np.float16))
    return buffer.getvalue()


def _soft(mask: Mask, chosen: tuple[int, ...]) -> Pixels:
    assert mask.soft is not None
    return mask.soft(chosen)


def _like_the_picture(image: Pixels, picture: Picture, kind: str) -> bytes:
    target = picture.job.targets[kind].lower()
    return encode_jpeg(image) if target.endswith((".jpg", ".jpeg")) else encode_png(image)
