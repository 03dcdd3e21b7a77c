"""What the pixels of masks hold, two classes and more, by a second reader; and options that do not go together."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from quick_runs import FOUR, HELD, pixels

from segtool.card import read_card


def masks_of(segtool: Run, photos: Path, *options: object) -> dict[str, Any]:
    assert segtool("mask", photos, "-w", *options[:1], *options[1:], "form/").returncode == 0
    return {p.name: pixels(p) for p in Path("form").glob("*.png")}


@pytest.mark.parametrize(("values", "held"), [(None, 255), ("255", 255), ("palette", 1), ("id", 1)])
def test_two_classes_are_held_as_asked(values: str | None, held: int, photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "reference", "-w", "shapes").returncode == 0
    option = [] if values is None else ["--values", values]
    for name, mask in masks_of(segtool, photos, "shapes", *option).items():
        assert np.array_equal(mask, (pixels(f"reference/{name}") > 0) * np.uint8(held))
        with Image.open(f"form/{name}") as picture:
            assert picture.mode == ("P" if values == "palette" else "L")
            if values == "palette":
                color = read_card(Path(__file__).parent.parent / "weights/shapes.keras").classes[1].color
                assert tuple((picture.getpalette() or [])[:6]) == (0, 0, 0, *color)


def test_soft_values_of_two_classes_are_above_half_just_where_the_mask_is(photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "reference", "-w", "shapes", "--threshold", 0.5).returncode == 0
    for name, mask in masks_of(segtool, photos, "shapes", "--values", "soft").items():
        assert len(np.unique(mask)) > 10
        assert np.mean((mask >= 128) != (pixels(f"reference/{name}") > 0)) < 0.002


@pytest.mark.parametrize("values", [None, "palette"])
def test_more_classes_give_a_palette_whose_index_is_the_id_and_whose_colours_are_the_cards(
    values: str | None, ids: dict[str, Any], photos: Path, four: Path, segtool: Run
) -> None:
    option = [] if values is None else ["--values", values]
    for name, mask in masks_of(segtool, photos, four, *option).items():
        assert np.array_equal(mask, ids[name])
        with Image.open(f"form/{name}") as picture:
            assert picture.mode == "P"
            colors = np.reshape(picture.getpalette() or [], (-1, 3))
            assert all(tuple(colors[c.id]) == c.color for c in FOUR)


def test_more_classes_as_in_the_masks_trained_on(ids: dict[str, Any], photos: Path, four: Path, segtool: Run) -> None:
    table = np.zeros(256, np.uint8)
    table[[c.id for c in FOUR]] = HELD
    for name, mask in masks_of(segtool, photos, four, "--values", "source").items():
        assert np.array_equal(mask, table[ids[name]])


@pytest.mark.parametrize(("values", "held"), [(None, 255), ("255", 255), ("id", 1), ("palette", 1)])
def test_chosen_classes_are_one(
    values: str | None, held: int, ids: dict[str, Any], photos: Path, four: Path, segtool: Run
) -> None:
    option = [] if values is None else ["--values", values]
    for name, mask in masks_of(segtool, photos, four, "--only", "car,road", *option).items():
        assert np.array_equal(mask, np.isin(ids[name], (3, 9)) * np.uint8(held))


def test_soft_values_of_more_classes_are_the_probability_of_the_likeliest(
    ids: dict[str, Any], photos: Path, four: Path, segtool: Run
) -> None:
    for mask in masks_of(segtool, photos, four, "--values", "soft", "--probabilities", "p").values():
        assert mask.min() >= 255 // 4 - 1
    for name in ids:
        probability = np.load(f"p/{Path(name).stem}.npy")
        assert probability.dtype == np.float16 and probability.shape[2] == 4
        if probability.shape[:2] == ids[name].shape:
            expected = probability.astype(np.float32).max(axis=2) * 255
            assert np.abs(pixels(f"form/{name}") - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--values", "255"], "--values 255 is for two classes, four has 4"),
        (["--values", "colour"], "--values colour is not one of"),
        (["--only", "tree"], "--only tree is no class of four: it has background, car, person, road."),
        (["--only", "car,car"], "--only car,car needs names that differ"),
        (["--only", "car", "--values", "source"], "--values source does not go with --only"),
        (["--values", "soft", "--coco", "c.json"], "--coco is made from the masks"),
        (["--style", "neon"], "--style neon is not one of"),
        (["--background", "red"], "--background red is for cutouts"),
        (["--overlays", "out"], "Two kinds of output share a folder"),
        (["--tile", "1"], "--tile 1 is not auto, off"),
        (["--device", "tpu"], "--device tpu"),
    ],
)
def test_options_that_contradict_each_other_are_a_sentence_and_leave_no_trace(
    options: list[str], sentence: str, photos: Path, four: Path, segtool: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--device" in options:
        monkeypatch.delitem(sys.modules, "segtool.engine.predictor")
    done = segtool("mask", photos, "out", "-w", four, *options)
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert sentence in told
    assert not Path("out").exists()
