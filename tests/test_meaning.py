"""What `check` makes of mask values: which masks do not go with the others, and the classes.json that settles it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segtool.data.classes import read_classes_file
from segtool.data.facts import look_at_mask
from segtool.data.meaning import Meaning
from segtool.data.proposals import classes_json, classes_of_colors, unpack
from segtool.data.truth import inspect_masks
from segtool.data.values import read_meaning
from segtool.results import Finding

Array = npt.NDArray[Any]
PALETTE = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90)], np.uint8)


def drawn(*values: int, size: int = 64) -> Array:
    """Returns a mask of bands: half of it the first value, the rest shared by the others."""
    mask = np.full((size, size), values[0], np.uint16 if max(values) > 255 else np.uint8)
    for k, value in enumerate(values[1:]):
        mask[size // 2 + k * size // 2 // len(values[1:]) :, :] = value
    return mask


def save(root: Path, masks: Mapping[str, Array]) -> None:
    for name, mask in masks.items():
        Image.fromarray(mask).save(root / name)


def numbered(count: int, make: Callable[[], Array]) -> dict[str, Array]:
    return {f"{k:02}.png": make() for k in range(count)}


def meaning_of(root: Path) -> Meaning:
    return read_meaning(
        {p.name: look_at_mask(p, decode=True) for p in sorted(root.iterdir()) if p.suffix != ".json"}, root
    )


def faults(meaning: Meaning) -> dict[str, tuple[str, ...]]:
    return {f.code: f.files for f in meaning.findings if f.severity != "note"}


def finding(meaning: Meaning, code: str) -> Finding:
    return next(f for f in meaning.findings if f.code == code)


def write_classes(root: Path, *ids: int, ignore_id: int | None = 255) -> None:
    classes = [{"id": i, "name": f"name {i}", "color": PALETTE[k].tolist()} for k, i in enumerate(ids)]
    (root / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": ignore_id}))


def paste(root: Path, meaning: Meaning, code: str) -> None:
    (root / "classes.json").write_text(finding(meaning, code).paste, encoding="utf-8")


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 1, 2, 3), (0, 1, 2, 255)])
def test_masks_that_explain_themselves_have_no_fault_and_mean_what_training_takes_them_for(
    tmp_path: Path, values: tuple[int, ...]
) -> None:
    save(tmp_path, numbered(5, lambda: drawn(*values)))
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {}
    assert meaning.coding == inspect_masks(tmp_path.iterdir(), root=tmp_path)


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 2, 255)])
def test_pasting_the_names_into_classes_json_keeps_the_meaning(tmp_path: Path, values: tuple[int, ...]) -> None:
    save(tmp_path, numbered(5, lambda: drawn(*values)))
    before = meaning_of(tmp_path)
    paste(tmp_path, before, "unnamed-classes")
    after = meaning_of(tmp_path)
    assert after.findings == ()
    assert before.coding and after.coding
    assert (after.coding.values, after.coding.ignore_values) == (before.coding.values, before.coding.ignore_values)


@pytest.mark.parametrize("values", [(0, 85, 170, 255), (0, 128, 255), (10, 20, 30, 200)])
def test_levels_are_told_with_the_classes_json_that_settles_them(tmp_path: Path, values: tuple[int, ...]) -> None:
    save(tmp_path, numbered(4, lambda: drawn(*values)))
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"mask-values": tuple(f"{k:02}.png" for k in range(4))}
    paste(tmp_path, meaning, "mask-values")
    settled = meaning_of(tmp_path)
    assert settled.findings == ()
    assert settled.coding and settled.coding.values == values


def test_colours_are_told_with_the_classes_json_that_settles_them(tmp_path: Path) -> None:
    save(tmp_path, numbered(4, lambda: PALETTE[drawn(0, 1, 2, 3)]))
    save(tmp_path, {"grey.png": PALETTE[drawn(0, 4)]})  # its colours are greys: saved as they are, or as levels
    meaning = meaning_of(tmp_path)
    assert set(faults(meaning)["mask-colors"]) == {p.name for p in tmp_path.iterdir()}
    assert meaning.coding and len(meaning.coding.classes) == 5
    paste(tmp_path, meaning, "mask-colors")
    settled = meaning_of(tmp_path)
    assert settled.findings == ()
    classes, ignore = read_classes_file(tmp_path / "classes.json")
    assert ignore is None
    assert {c.color for c in classes} == {tuple(color) for color in PALETTE.tolist()}
    assert classes[0].name == "background" and classes[0].color == (0, 0, 0)


def test_colours_are_named_by_what_they_resemble_each_once() -> None:
    classes = classes_of_colors([0xF00000, 0, 0xFF1010, 0x0000FE, 0xFA0505])
    assert [c.name for c in classes] == ["background", "red", "red 2", "blue", "red 3"]
    assert [c.id for c in classes] == [0, 1, 2, 3, 4]
    assert unpack(0x0000FE) == (0, 0, 254)
    assert json.loads(classes_json(classes, 255))["ignore_id"] == 255


def test_a_photo_in_place_of_masks_gets_no_classes_json(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save(tmp_path, numbered(3, lambda: rng.integers(0, 255, (64, 64, 3), np.uint8)))
    meaning = meaning_of(tmp_path)
    assert (meaning.coding, finding(meaning, "mask-colors").paste) == (None, "")


@pytest.mark.parametrize(
    ("values", "stray"),
    [((0, 255), 1), ((0, 255), 128), ((0, 1), 200), ((0, 1, 2), 40), ((0, 1, 2, 255), 77), ((0, 200), 255)],
)
def test_a_value_of_one_mask_that_no_other_holds_is_a_slip(tmp_path: Path, values: tuple[int, ...], stray: int) -> None:
    save(tmp_path, numbered(20, lambda: drawn(*values)))
    slip = drawn(*values)
    slip[3, 5] = stray
    save(tmp_path, {"07.png": slip})
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"ids-out-of-range": ("07.png",)}
    assert finding(meaning, "ids-out-of-range").cases[0].detail == f"{stray} (1 px)"
    assert meaning.coding and stray not in (*meaning.coding.values, *meaning.coding.ignore_values)


@pytest.mark.parametrize(("values", "rare"), [((0, 1, 2), 3), ((0, 1, 2), 9), ((0, 1), 2), ((0, 1, 2), 255)])
def test_a_rare_class_is_no_slip(tmp_path: Path, values: tuple[int, ...], rare: int) -> None:
    save(tmp_path, numbered(40, lambda: drawn(*values)))
    save(tmp_path, {"07.png": drawn(*values, rare)})
    assert faults(meaning_of(tmp_path)) == {}


@pytest.mark.parametrize(("many", "few"), [((0, 255), (0, 1)), ((0, 1, 2), (0, 255))])
def test_masks_of_ids_and_masks_of_0_and_255_do_not_go_together(
    tmp_path: Path, many: tuple[int, ...], few: tuple[int, ...]
) -> None:
    save(tmp_path, numbered(12, lambda: drawn(*many)))
    odd = {f"odd {k}.png": drawn(*few) for k in range(5)}
    save(tmp_path, odd)
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"mixed-masks": tuple(odd)}
    assert meaning.coding and meaning.coding.values == many


def test_255_is_an_ignore_id_where_masks_of_ids_hold_it_too(tmp_path: Path) -> None:
    save(tmp_path, numbered(10, lambda: drawn(0, 1, 255)))
    save(tmp_path, {"void.png": drawn(0, 255), "all.png": drawn(255)})
    assert faults(meaning_of(tmp_path)) == {}


def test_some_colour_masks_among_masks_of_ids_are_named(tmp_path: Path) -> None:
    for classes in (False, True):
        save(tmp_path, numbered(6, lambda: drawn(0, 1, 2)))
        save(tmp_path, {"odd.png": PALETTE[drawn(0, 1, 2)]})
        if classes:
            write_classes(tmp_path, 0, 1, 2)
        assert faults(meaning_of(tmp_path)) == {"mixed-masks": ("odd.png",)}


@pytest.mark.parametrize("how", ["smoothed", "once a JPEG"])
def test_two_valued_masks_with_values_between_are_told_as_smeared(tmp_path: Path, how: str) -> None:
    disc = np.zeros((120, 120), np.uint8)
    cv2.circle(disc, (60, 60), 35, 255, -1)
    if how == "smoothed":
        smeared = cv2.GaussianBlur(disc, (0, 0), 1.5)
    else:
        Image.fromarray(disc).save(tmp_path / "m.jpg", quality=60)
        smeared = np.asarray(Image.open(tmp_path / "m.jpg"))
        (tmp_path / "m.jpg").unlink()
    save(tmp_path, {"bad.png": smeared})
    alone = meaning_of(tmp_path)
    assert faults(alone) == {"smeared-masks": ("bad.png",)}
    assert alone.coding and alone.coding.cut  # so that shares can be told all the same
    save(tmp_path, numbered(6, lambda: drawn(0, 255)))
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"smeared-masks": ("bad.png",)}
    assert meaning.coding and meaning.coding.values == (0, 255)


def test_colour_masks_that_were_scaled_smoothly_are_told_as_smeared(tmp_path: Path) -> None:
    mask = np.zeros((200, 200), np.uint8)
    for k in range(1, 4):
        cv2.circle(mask, (50 * k, 50 * k), 40, k, -1)
    save(tmp_path, numbered(5, lambda: PALETTE[mask]))
    save(tmp_path, {"bad.png": cv2.resize(PALETTE[mask], (333, 333), interpolation=cv2.INTER_CUBIC)})
    meaning = meaning_of(tmp_path)
    assert faults(meaning)["smeared-masks"] == ("bad.png",)
    assert meaning.coding and len(meaning.coding.classes) == 4


def test_jpeg_masks_of_two_values_are_a_warning(tmp_path: Path) -> None:
    save(tmp_path, {"a.jpg": drawn(0, 255), "b.png": drawn(0, 255)})
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"jpeg-masks": ("a.jpg",)}
    assert finding(meaning, "jpeg-masks").severity == "warning"
    assert meaning.coding == inspect_masks(tmp_path.iterdir(), root=tmp_path)


@pytest.mark.parametrize("mask", [PALETTE[drawn(0, 1, 2, 3)], drawn(0, 80, 120, 180)])
def test_jpeg_masks_of_more_classes_are_an_error(tmp_path: Path, mask: Array) -> None:
    save(tmp_path, {"a.jpg": mask})
    assert finding(meaning_of(tmp_path), "jpeg-masks").severity == "error"


def test_jpeg_masks_among_masks_of_ids_are_an_error(tmp_path: Path) -> None:
    save(tmp_path, numbered(6, lambda: drawn(0, 1, 2)))
    save(tmp_path, {"a.jpg": drawn(0, 255)})
    meaning = meaning_of(tmp_path)
    assert finding(meaning, "jpeg-masks").severity == "error"
    assert meaning.coding and meaning.coding.values == (0, 1, 2)


def test_masks_that_number_their_objects_are_told(tmp_path: Path) -> None:
    for count in range(4, 14):
        save(tmp_path, {f"{count}.png": drawn(*range(count), size=256)})
    meaning = meaning_of(tmp_path)
    assert len(faults(meaning)["instance-masks"]) == 10
    assert meaning.coding is None


def test_classes_that_lie_in_pieces_are_no_numbered_objects(tmp_path: Path) -> None:
    for count in range(4, 14):
        save(tmp_path, {f"{count}.png": np.tile(drawn(*range(count), size=64), (4, 4))})
    assert "instance-masks" not in faults(meaning_of(tmp_path))


def test_values_beyond_8_bits_get_no_classes_json(tmp_path: Path) -> None:
    save(tmp_path, numbered(3, lambda: drawn(0, 1000, 2000)))
    meaning = meaning_of(tmp_path)
    assert finding(meaning, "mask-values").paste == ""
    assert "up to 2000" in finding(meaning, "mask-values").what


def test_values_that_classes_json_does_not_list_are_named_with_their_masks(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 1, 2)
    save(tmp_path, numbered(8, lambda: drawn(0, 1, 2, 255)))
    save(tmp_path, {"odd.png": drawn(0, 1, 7)})
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"ids-out-of-range": ("odd.png",)}
    assert finding(meaning, "ids-out-of-range").paste == ""  # one mask of nine: rather a slip than a class


def test_values_of_many_masks_that_classes_json_does_not_list_are_proposed_to_it(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 1, 2)
    save(tmp_path, numbered(8, lambda: drawn(0, 1, 7)))
    paste(tmp_path, meaning_of(tmp_path), "ids-out-of-range")
    assert meaning_of(tmp_path).findings == ()


def test_colours_that_classes_json_does_not_list_are_named_and_proposed(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 1, 2)
    save(tmp_path, numbered(8, lambda: PALETTE[drawn(0, 1, 2)]))
    save(tmp_path, {"x.png": PALETTE[drawn(0, 3)], "y.png": PALETTE[drawn(0, 3)]})
    meaning = meaning_of(tmp_path)
    assert faults(meaning) == {"ids-out-of-range": ("x.png", "y.png")}
    assert "#0000c8 (2048 px)" in finding(meaning, "ids-out-of-range").cases[0].detail
    paste(tmp_path, meaning, "ids-out-of-range")
    assert meaning_of(tmp_path).findings == ()


def test_a_foreground_that_classes_json_ignores_is_told_with_the_correction(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 1)
    save(tmp_path, numbered(5, lambda: drawn(0, 255)))
    meaning = meaning_of(tmp_path)
    assert len(faults(meaning)["all-ignored"]) == 5
    paste(tmp_path, meaning, "all-ignored")
    settled = meaning_of(tmp_path)
    assert settled.findings == ()
    assert settled.coding and settled.coding.values == (0, 255)


@pytest.mark.parametrize("text", ["{", '{"classes": []}', '{"classes": [{"id": 0}]}'])
def test_a_classes_json_that_means_nothing_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.json").write_text(text)
    save(tmp_path, numbered(3, lambda: drawn(0, 1)))
    assert faults(meaning_of(tmp_path)) == {"classes-json": ("classes.json",)}


def test_two_classes_of_one_colour_are_told_where_masks_hold_colours(tmp_path: Path) -> None:
    classes = [{"id": i, "name": f"name {i}", "color": [9, 9, 9]} for i in range(2)]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes}))
    save(tmp_path, numbered(3, lambda: PALETTE[drawn(0, 1)]))
    assert faults(meaning_of(tmp_path)) == {"classes-json": ("classes.json",)}


def test_no_masks_have_no_fault(tmp_path: Path) -> None:
    assert meaning_of(tmp_path).findings == ()
