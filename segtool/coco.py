"""All masks of a run as one COCO annotation file: a run-length encoding a class a picture, with the pictures' sizes.

Made from the masks on disk once they are written, so that those of earlier runs and those corrected by hand count too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from segtool import __version__
from segtool.imaging.codec import Pixels
from segtool.imaging.masks import read_raw_mask
from segtool.streaming import FailureLog, caught, ordered_map

WINDOW = 8


@dataclass(frozen=True)
class Category:
    """One class of a COCO file, and the value its pixels have in the masks."""

    id: int
    name: str
    value: int


def coco_json(
    masks: Sequence[tuple[str, Path]], categories: Sequence[Category], failures: FailureLog, *,
    tick: Callable[[], object] = lambda: None,
) -> bytes:  # fmt: skip
    """Returns the COCO document for `masks`, pairs of a picture's name and the path of its mask.

    Masks that cannot be read are noted in `failures` and left out. Annotations follow pycocotools: compressed RLE in
    column order, `area` in pixels, `bbox` as x, y, width, height, `iscrowd` 0.
    """

    def encode(item: tuple[int, str, Path]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        number, name, path = item
        raw = read_raw_mask(path)
        height, width = raw.shape
        image = {"id": number, "file_name": name, "width": width, "height": height}
        return image, list(_annotations(np.asarray(raw), number, categories))

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbered = ((number, name, path) for number, (name, path) in enumerate(masks, 1))
    with ThreadPoolExecutor() as pool:
        safe = caught(encode, failures, name=lambda item: item[2])
        for encoded in ordered_map(safe, numbered, pool, window=WINDOW):
            tick()
            if encoded:
                images.append(encoded[0])
                annotations += encoded[1]
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    return _document(images, annotations, categories).encode()


def _annotations(raw: Pixels, image_id: int, categories: Iterable[Category]) -> Iterator[dict[str, Any]]:
    for category in categories:
        here = raw == category.value
        if not here.any():
            continue
        encoded = rle.encode(np.asfortranarray(here, np.uint8))
        yield {
            "id": 0, "image_id": image_id, "category_id": category.id, "iscrowd": 0,
            "area": int(rle.area(encoded)), "bbox": [float(v) for v in rle.toBbox(encoded)],
            "segmentation": {"size": list(raw.shape), "counts": encoded["counts"].decode("ascii")},
        }  # fmt: skip


def _document(images: list[dict[str, Any]], annotations: list[dict[str, Any]], categories: Sequence[Category]) -> str:
    listed = [{"id": c.id, "name": c.name} for c in categories]
    info = {"description": "masks written by segtool", "version": __version__}
    parts = {"info": info, "images": images, "annotations": annotations, "categories": listed}
    return json.dumps(parts, separators=(",", ":"))
