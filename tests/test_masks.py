"""Masks as stored, and what their values are taken to mean."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segtool.card import Card, ClassInfo
from segtool.data.classes import MaskCoding, decide_coding, join_classes, named_classes, read_classes_file
from segtool.data.layout import Pair
from segtool.data.truth import inspect_masks, read_mask, read_pair
from segtool.errors import DataError, ImageError, ModelError
from segtool.imaging.masks import read_raw_mask, resize_mask

BINARY = MaskCoding(named_classes(2), (0, 255), ())
RED, GREEN = 0xFF0000, 0x00FF00


def write(path: Path, values: npt.ArrayLike, dtype: str = "uint8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)
    return path


def write_classes(root: Path, *ids: int, ignore_id: int | None = 255) -> Path:
    classes = [{"id": i, "name": f"name {i}", "color": [i, 0, 0]} for i in ids]
    path = root / "classes.json"
    path.write_text(json.dumps({"classes": classes, "ignore_id": ignore_id}))
    return path


def decide(
    root: Path, values: Sequence[int], *, any_jpeg: bool = False, colors: Sequence[int] = (), names: Sequence[str] = ()
) -> MaskCoding:
    return decide_coding(values, root=root, any_jpeg=any_jpeg, colors=colors, names=names)


# What is stored


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_grey_masks_hold_their_values(tmp_path: Path, suffix: str) -> None:
    raw = read_raw_mask(write(tmp_path / f"m{suffix}", [[0, 7, 255]]))
    assert raw.tolist() == [[0, 7, 255]]
    assert raw.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif"])
def test_palette_masks_hold_their_index_not_their_colour(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8))
    image.putpalette([level for index in range(256) for level in (255 - index, index, 7)])
    image.save(tmp_path / f"m{suffix}")
    assert read_raw_mask(tmp_path / f"m{suffix}").tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_masks_of_fewer_bits_hold_their_index(tmp_path: Path, bits: int) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.save(tmp_path / "m.png", bits=bits)
    assert read_raw_mask(tmp_path / "m.png").tolist() == [[0, 1]]


def test_one_bit_masks_hold_zero_and_one(tmp_path: Path) -> None:
    assert read_raw_mask(write(tmp_path / "m.png", [[True, False]], "bool")).tolist() == [[1, 0]]


@pytest.mark.parametrize(("suffix", "byte_order"), [(".png", "<"), (".tif", "<"), (".tif", ">")])
def test_16_bit_masks_hold_their_values(tmp_path: Path, suffix: str, byte_order: str) -> None:
    stored = np.array([0, 3, 256, 65535], f"{byte_order}u2")
    image = Image.frombytes("I;16B" if byte_order == ">" else "I;16", (4, 1), stored.tobytes())
    image.save(tmp_path / f"m{suffix}")
    raw = read_raw_mask(tmp_path / f"m{suffix}")
    assert raw.tolist() == [[0, 3, 256, 65535]]
    assert raw.dtype == np.uint16


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_masks_with_equal_channels_hold_the_grey(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.array([[0, 3, 255]], np.uint8)).convert(mode)
    if mode != "RGB":
        image.putalpha(90)
    image.save(tmp_path / "m.png")
    raw = read_raw_mask(tmp_path / "m.png")
    assert raw.tolist() == [[0, 3, 255]]
    assert raw.dtype == np.uint8


@pytest.mark.parametrize("color", [(1, 2, 3), (9, 7, 7), (7, 9, 7), (7, 7, 9)])
def test_masks_whose_channels_differ_anywhere_hold_packed_colours(tmp_path: Path, color: tuple[int, int, int]) -> None:
    raw = read_raw_mask(write(tmp_path / "m.png", [[(7, 7, 7), color]]))
    assert raw.tolist() == [[0x070707, int.from_bytes(color, "big")]]
    assert raw.dtype == np.int32


def test_a_jpeg_mask_is_grey_whatever_colour_compression_made(tmp_path: Path) -> None:
    half = np.zeros((16, 32, 3), np.uint8)
    half[:, 16:] = (255, 250, 255)
    Image.fromarray(half).save(tmp_path / "m.JPG", quality=90)
    raw = read_raw_mask(tmp_path / "m.JPG")
    assert raw.shape == (16, 32)
    assert raw.dtype == np.uint8
    assert raw[:, :12].max() < 10
    assert raw[:, 20:].min() > 245


def test_exif_orientation_turns_a_mask(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    Image.fromarray(stored).save(tmp_path / "m.png", exif=exif)
    assert read_raw_mask(tmp_path / "m.png").tolist() == [[4, 1], [5, 2], [6, 3]]


def test_a_float_mask_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"m\.tif is a float picture"):
        read_raw_mask(write(tmp_path / "m.tif", [[0.0, 1.0]], "float32"))


@pytest.mark.parametrize("value", [-1, 65536])
def test_a_mask_beyond_16_bits_is_an_image_error(tmp_path: Path, value: int) -> None:
    with pytest.raises(ImageError, match="outside 0 to 65535"):
        read_raw_mask(write(tmp_path / "m.tif", [[0, value]], "int32"))


@pytest.mark.parametrize(("height", "width"), [(2, 3), (4, 6), (5, 7), (13, 4), (1, 1)])
def test_a_mask_is_resized_by_the_nearest_pixel_centre(height: int, width: int) -> None:
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    rows = ((np.arange(height) + 0.5) * 2 / height).astype(int)
    columns = ((np.arange(width) + 0.5) * 3 / width).astype(int)
    assert np.array_equal(resize_mask(mask, height, width), mask[rows][:, columns])


# What the values mean


@pytest.mark.parametrize(
    ("found", "values"),
    [
        pytest.param([0, 1], (0, 1), id="0-and-1"),
        pytest.param([0, 255], (0, 255), id="0-and-255"),
        pytest.param([0, 38], (0, 38), id="0-and-a-low-value"),
        pytest.param([0, 40000], (0, 40000), id="0-and-a-16-bit-value"),
        pytest.param([255], (0, 255), id="all-foreground"),
        pytest.param([0], (0, 1), id="all-background"),
        pytest.param([], (0, 1), id="none-readable"),
    ],
)
def test_zero_and_one_other_value_are_background_and_foreground(
    tmp_path: Path, found: list[int], values: tuple[int, ...]
) -> None:
    coding = decide(tmp_path, found)
    assert [c.name for c in coding.classes] == ["background", "foreground"]
    assert (coding.values, coding.ignore_values, coding.cut, coding.named) == (values, (), False, False)


@pytest.mark.parametrize(
    ("found", "count", "ignored"),
    [
        pytest.param([0, 1, 2], 3, (), id="plain"),
        pytest.param([0, 1, 255], 2, (255,), id="binary-with-ignore"),
        pytest.param([0, 2, 5, 255], 6, (255,), id="with-gaps-and-ignore"),
        pytest.param([1, 2], 3, (), id="without-zero"),
        pytest.param([0, 1, 63], 64, (), id="up-to-63"),
    ],
)
def test_values_below_64_are_ids_with_255_ignored(
    tmp_path: Path, found: list[int], count: int, ignored: tuple[int, ...]
) -> None:
    coding = decide(tmp_path, found)
    assert (coding.values, coding.ignore_values) == (tuple(range(count)), ignored)
    assert len(coding.classes) == count


def test_jpeg_masks_are_cut_in_the_middle(tmp_path: Path) -> None:
    coding = decide(tmp_path, [], any_jpeg=True)
    assert (coding.binary, coding.cut) == (True, True)


def test_jpeg_masks_beside_masks_of_ids_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="JPEG masks"):
        decide(tmp_path, [0, 1, 2], any_jpeg=True)


def test_two_classes_of_one_colour_are_an_error_where_masks_hold_colours(tmp_path: Path) -> None:
    same = [{"id": i, "name": f"c{i}", "color": [255, 0, 0]} for i in range(2)]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": same}))
    with pytest.raises(DataError, match="one colour"):
        decide(tmp_path, [], colors=[RED])


@pytest.mark.parametrize("found", [[0, 1, 64], [0, 128, 255], [64, 255], [0, 1, 300]])
def test_other_values_are_an_error_that_lists_them_and_the_file_to_write(tmp_path: Path, found: list[int]) -> None:
    with pytest.raises(DataError) as caught:
        decide(tmp_path, found)
    assert f"({', '.join(map(str, found))})" in str(caught.value)
    assert 'classes.json: {"classes": [{"id": 0, "name": "background"' in str(caught.value)


def test_colours_without_classes_json_are_an_error_that_lists_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 colours \(#00ff00, #ff0000\).*classes\.json"):
        decide(tmp_path, [0], colors=[RED, GREEN])


def test_class_names_given_are_used(tmp_path: Path) -> None:
    coding = decide(tmp_path, [0, 1, 2], names=["sky", "sea", "sand"])
    assert ([c.name for c in coding.classes], coding.named) == (["sky", "sea", "sand"], True)


def test_a_wrong_number_of_class_names_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 class names for 3 classes: sky, sea"):
        decide(tmp_path, [0, 1, 2], names=["sky", "sea"])


def test_the_description_says_what_every_value_means(tmp_path: Path) -> None:
    coding = decide(tmp_path, [0, 1, 255], names=["ground", "tree"])
    assert coding.describe() == "mask values: 0 = ground, 1 = tree, 255 = ignored"


# classes.json


def test_classes_json_wins_over_every_other_rule(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 5, 200)
    coding = decide(tmp_path, [0, 5], names=["one", "two"])
    assert [c.name for c in coding.classes] == ["name 0", "name 5", "name 200"]
    assert (coding.values, coding.ignore_values) == ((0, 5, 200), (255,))
    assert (coding.named, coding.cut) == (True, False)


def test_classes_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    classes, ignore = read_classes_file(write_classes(tmp_path, 7, 0, 3, ignore_id=9))
    assert classes == tuple(ClassInfo(i, f"name {i}", (i, 0, 0)) for i in (0, 3, 7))
    assert ignore == 9


def test_a_class_without_colour_gets_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"classes": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]}')
    classes, ignore = read_classes_file(tmp_path / "classes.json")
    assert len({c.color for c in classes}) == 2
    assert ignore == 255


def test_values_that_classes_json_does_not_list_are_an_error_that_names_them(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 1)
    with pytest.raises(DataError, match=r"values 4, 9 that .*classes\.json does not list"):
        decide(tmp_path, [0, 1, 4, 9, 255])


def test_without_an_ignore_id_255_must_be_listed(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 1, ignore_id=None)
    with pytest.raises(DataError, match="values 255"):
        decide(tmp_path, [0, 1, 255])


def test_colours_that_classes_json_does_not_list_are_an_error_that_names_them(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 255, ignore_id=None)
    with pytest.raises(DataError, match=r"colours #00ff00 that .*classes\.json"):
        decide(tmp_path, [], colors=[RED, GREEN])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no-json"),
        pytest.param("[]", id="no-object"),
        pytest.param("{}", id="no-classes"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}]}', id="one-class"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]}', id="same-id"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}, {"id": 256, "name": "b"}]}', id="id-too-high"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}, {"id": -1, "name": "b"}]}', id="id-below-zero"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}, {"id": "x", "name": "b"}]}', id="id-no-number"),
        pytest.param('{"classes": [{"id": 0}, {"id": 1}]}', id="no-names"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}], "ignore_id": 1}', id="ignored"),
        pytest.param('{"classes": [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}], "ignore_id": "x"}', id="ignore-x"),
        pytest.param('{"classes": [{"id": 0, "name": "a", "color": "red"}, {"id": 1, "name": "b"}]}', id="colour-word"),
        pytest.param('{"classes": [{"id": 0, "name": "a", "color": [0, 0]}, {"id": 1, "name": "b"}]}', id="colour-two"),
        pytest.param(
            '{"classes": [{"id": 0, "name": "a", "color": [0, 0, 256]}, {"id": 1, "name": "b"}]}', id="colour-256"
        ),
    ],
)
def test_a_classes_json_that_cannot_mean_anything_is_a_data_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(DataError, match=r"classes\.json"):
        read_classes_file(tmp_path / "classes.json")


# Masks read by their meaning


def test_values_become_class_indices_and_ignored_ones_255(tmp_path: Path) -> None:
    coding = MaskCoding(named_classes(3), (10, 0, 200), (7, 9))
    mask = read_mask(write(tmp_path / "m.png", [[0, 10, 200, 7, 9]]), coding)
    assert mask.tolist() == [[1, 0, 2, 255, 255]]
    assert mask.dtype == np.uint8


def test_a_value_the_coding_does_not_know_is_an_error_that_names_file_and_value(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m\.png holds mask value 77.*0 = background, 255 = foreground"):
        read_mask(write(tmp_path / "m.png", [[0, 255, 77]]), BINARY)


def test_cut_masks_are_foreground_from_128(tmp_path: Path) -> None:
    coding = decide(tmp_path, [], any_jpeg=True)
    assert read_mask(write(tmp_path / "m.png", [[0, 127, 128, 255]]), coding).tolist() == [[0, 0, 1, 1]]


def test_colours_are_read_as_the_classes_that_have_them(tmp_path: Path) -> None:
    write_classes(tmp_path, 0, 255, ignore_id=None)
    path = write(tmp_path / "m.png", [[[255, 0, 0], [0, 0, 0]]])
    coding = inspect_masks([path], root=tmp_path)
    assert read_mask(path, coding).tolist() == [[1, 0]]


def test_a_grey_mask_among_coloured_ones_is_read_by_colour(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(
        '{"classes": [{"id": 0, "name": "a", "color": [255, 0, 0]}, {"id": 1, "name": "b", "color": [200, 200, 200]}]}'
    )
    colored = write(tmp_path / "a.png", [[[255, 0, 0], [200, 200, 200]]])
    grey = write(tmp_path / "b.png", [[200, 200]])
    coding = inspect_masks([colored, grey], root=tmp_path)
    assert read_mask(grey, coding).tolist() == [[1, 1]]


def test_the_meaning_is_decided_over_all_masks(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.png", [[0, value]]) for i, value in enumerate((1, 2, 255))]
    coding = inspect_masks(paths, root=tmp_path)
    assert (coding.values, coding.ignore_values) == ((0, 1, 2), (255,))
    assert [read_mask(path, coding).tolist() for path in paths] == [[[0, 1]], [[0, 2]], [[0, 255]]]


def test_one_jpeg_mask_makes_the_dataset_cut(tmp_path: Path) -> None:
    paths = [write(tmp_path / "a.png", [[0, 255]]), write(tmp_path / "b.jpeg", [[0, 255]])]
    assert inspect_masks(paths, root=tmp_path).cut


def test_values_no_rule_settles_are_listed_over_all_masks(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.png", [[0, value]]) for i, value in enumerate((90, 180))]
    with pytest.raises(DataError, match=r"3 values \(0, 90, 180\)"):
        inspect_masks(paths, root=tmp_path)


def test_a_mask_that_cannot_be_read_does_not_settle_what_values_mean(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    paths = [tmp_path / "bad.png", write(tmp_path / "good.png", [[0, 255]])]
    assert inspect_masks(paths, root=tmp_path) == BINARY


# Pairs


def pair_of(root: Path, image: tuple[int, int], mask: tuple[int, int]) -> Pair:
    """Writes an image and its mask of two sizes, each width and height."""
    Image.new("RGB", image).save(root / "image.png")
    Image.new("L", mask, 255).save(root / "mask.png")
    return Pair("image", root / "image.png", root / "mask.png")


def as_it_is(height: int, width: int) -> tuple[int, int]:
    return height, width


@pytest.mark.parametrize(
    ("image", "mask"), [((40, 30), (40, 30)), ((40, 30), (80, 60)), ((400, 300), (100, 75)), ((400, 300), (401, 298))]
)
def test_image_and_mask_of_the_same_aspect_are_read_in_the_size_asked_for(
    tmp_path: Path, image: tuple[int, int], mask: tuple[int, int]
) -> None:
    pixels, indices = read_pair(pair_of(tmp_path, image, mask), BINARY, lambda height, width: (height // 3, width // 2))
    size = (image[1] // 3, image[0] // 2)
    assert (pixels.shape, indices.shape) == ((*size, 3), size)
    assert (indices == 1).all()


@pytest.mark.parametrize(("image", "mask"), [((40, 30), (30, 40)), ((400, 300), (400, 296)), ((40, 30), (41, 30))])
def test_a_mask_of_another_aspect_is_an_error_that_names_both_sizes(
    tmp_path: Path, image: tuple[int, int], mask: tuple[int, int]
) -> None:
    sizes = re.escape(f"{mask[0]}×{mask[1]} but its image is {image[0]}×{image[1]}")
    with pytest.raises(DataError, match=sizes):
        read_pair(pair_of(tmp_path, image, mask), BINARY, as_it_is)


def test_image_and_mask_are_both_turned_by_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((20, 30), np.uint8)
    stored[:10] = 255
    for name in ("image.png", "mask.png"):
        Image.fromarray(stored).save(tmp_path / name, exif=exif)
    image, mask = read_pair(Pair("p", tmp_path / "image.png", tmp_path / "mask.png"), BINARY, as_it_is)
    assert mask.shape == (30, 20)
    assert np.array_equal(image[..., 0] == 255, mask == 1)


# Classes of weights and dataset


def card_of(*names: str) -> Card:
    classes = named_classes(len(names), names)
    return Card("mine", "binary" if len(names) == 2 else "multiclass", classes, network_size=64, stride=16)


def coding_of(*names: str, named: bool) -> MaskCoding:
    return MaskCoding(named_classes(len(names), names), tuple(range(len(names))), (), named=named)


def test_classes_with_names_are_joined_by_name() -> None:
    assert join_classes(card_of("road", "car", "sky"), coding_of("sky", "road", "car", named=True)) == (1, 2, 0)


@pytest.mark.parametrize(
    ("ours", "named"), [(("background", "person"), False), (("background", "foreground"), True)], ids=["data", "card"]
)
def test_classes_without_names_on_one_side_are_joined_by_number(ours: tuple[str, str], named: bool) -> None:
    theirs = coding_of("background", "tree" if named else "foreground", named=named)
    assert join_classes(card_of(*ours), theirs) == (0, 1)


@pytest.mark.parametrize(
    ("theirs", "named"), [(("road", "car", "sea"), True), (("road", "car"), True), (("class 0", "class 1"), False)]
)
def test_classes_that_do_not_meet_are_a_model_error_that_lists_both(theirs: tuple[str, ...], named: bool) -> None:
    with pytest.raises(ModelError, match=f"road, car, sky; the dataset has {', '.join(theirs)}"):
        join_classes(card_of("road", "car", "sky"), coding_of(*theirs, named=named))
