"""The same numbers from other people's code: scikit-learn for the counts, SciPy's exact distances for boundaries."""

import json
from math import hypot
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from conftest import Run
from PIL import Image
from scipy.ndimage import distance_transform_cdt, distance_transform_edt
from sklearn.metrics import confusion_matrix

Mask = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def wobbled(truth: Mask, rng: np.random.Generator, classes: int) -> Mask:
    """Returns a mask with its outlines moved, and discs of other classes over it."""
    height, width = truth.shape
    moves = rng.normal(0, 3, (height // 40 + 2, width // 40 + 2, 2)).astype(np.float32)
    moves = np.asarray(cv2.resize(moves, (width, height), interpolation=cv2.INTER_CUBIC))
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    found = cv2.remap(truth, xs + moves[..., 0], ys + moves[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    for _ in range(4):
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(found, centre, int(rng.integers(5, 40)), int(rng.integers(classes)), -1)
    return np.asarray(np.where(found < classes, found, 0), np.uint8)


def boundary_counts(truth: Mask, found: Mask, index: int, classes: int) -> list[int]:
    diagonal, judged = hypot(*truth.shape), truth < classes
    distance, radius = max(1, round(0.02 * diagonal)), max(1, round(0.0075 * diagonal))
    masks = [(mask == index) & judged for mask in (truth, found)]
    bands = [mask & (_steps_to(judged & ~mask, edge=True) <= distance) for mask in masks]
    must = [mask & (_steps_to(judged & ~mask, edge=False) <= 1) for mask in masks]
    may = [m | (mask & (_steps_to(~judged, edge=False) <= 1)) for m, mask in zip(must, masks, strict=True)]
    near = [int((must[i] & _within(may[1 - i], radius)).sum()) for i in (0, 1)]
    return [
        int((bands[0] & bands[1]).sum()), int(bands[0].sum()), int(bands[1].sum()),
        int(must[0].sum()), near[0], int(must[1].sum()), near[1],
    ]  # fmt: skip


def _steps_to(there: Flags, *, edge: bool) -> npt.NDArray[np.int64]:
    padded = np.pad(there, 1, constant_values=edge)
    if not padded.any():
        return np.full(there.shape, 10**6)
    return np.asarray(distance_transform_cdt(~padded, metric="chessboard")[1:-1, 1:-1], np.int64)


def _within(there: Flags, radius: int) -> Flags:
    if not there.any():
        return np.zeros(there.shape, bool)
    return np.asarray(distance_transform_edt(~there) <= radius + 1e-9)


def independent(truths: list[Mask], founds: list[Mask], classes: int) -> dict[str, Any]:
    """Returns the figures by the formulas, from counts of other people's code."""
    labels = list(range(classes))
    matrices = np.array(
        [confusion_matrix(t[t < classes], f[t < classes], labels=labels) for t, f in zip(truths, founds, strict=True)]
    )
    edges = np.array([[boundary_counts(t, f, i, classes) for i in labels] for t, f in zip(truths, founds, strict=True)])
    pooled = matrices.sum(0)
    hits, true, seen = pooled.diagonal(), pooled.sum(1), pooled.sum(0)
    both, band_true, band_seen, edge_true, near_true, edge_seen, near_seen = edges.sum(0).T
    precision, recall = near_seen / edge_seen, near_true / edge_true
    union = matrices.sum(1) + matrices.sum(2) - matrices.diagonal(axis1=1, axis2=2)
    per_image = np.where(union > 0, matrices.diagonal(axis1=1, axis2=2) / np.maximum(union, 1), np.nan)
    iou = hits / (true + seen - hits)
    return {
        "confusion": pooled,
        "iou": iou,
        "iou_image": np.nanmean(np.where(np.isnan(per_image) & (classes == 2), 1.0, per_image), axis=0),
        "dice": 2 * hits / (true + seen),
        "precision": hits / seen,
        "recall": hits / true,
        "boundary_iou": both / (band_true + band_seen - both),
        "boundary_f1": 2 * precision * recall / (precision + recall),
        "accuracy": hits.sum() / pooled.sum(),
        "mean_accuracy": (hits / true).mean(),
        "fwiou": (true * iou).sum() / true.sum(),
        "counts": edges,
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes"), [("street", 11), ("human", 2)])
def test_figures_are_those_of_scikit_learn_and_scipy_to_a_billionth(
    name: str, classes: int, real_data: Path, segtool: Run, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    truths, founds = [], []
    (tmp_path / "found").mkdir()
    for path in sorted((real_data / name / "val/masks").iterdir()):
        raw = np.asarray(Image.open(path))
        truths.append((raw > 0).astype(np.uint8) if classes == 2 else raw)
        founds.append(wobbled(truths[-1], rng, classes))
        Image.fromarray(founds[-1]).save(tmp_path / "found" / path.name)
    done = segtool("evaluate", real_data / name, "--predictions", tmp_path / "found", "--json", "-q")
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout)
    theirs = independent(truths, founds, classes)
    assert ours["confusion"] == theirs["confusion"].tolist()
    for key in ("accuracy", "mean_accuracy", "fwiou"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-9), key
    for key in ("iou", "iou_image", "dice", "precision", "recall", "boundary_iou", "boundary_f1"):
        values = [c[key] for c in ours["classes"].values()]
        assert values == pytest.approx(theirs[key].tolist(), abs=1e-9), key
    columns = list(ours["images"][0]["counts"])[3:]
    for image, counts in zip(ours["images"], theirs["counts"], strict=True):
        assert [image["counts"][column] for column in columns] == counts.T.tolist(), image["name"]
