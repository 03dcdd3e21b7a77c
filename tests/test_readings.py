"""What the values in masks of whatever tool are taken to mean, and that each is read as it was taken."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtool.card import ClassInfo
from segtool.data.classes import MaskCoding, named_classes
from segtool.data.readings import UNKNOWN, Reading, Seen, first_look, look, prediction_reading, truth_reading
from segtool.errors import DataError

NOWHERE = Path("predictions")
BINARY = MaskCoding(named_classes(2), (0, 255), ())
IGNORING = MaskCoding(named_classes(2), (0, 1), (255,))
STREET = MaskCoding(
    (ClassInfo(7, "road", (128, 64, 128)), ClassInfo(8, "car", (0, 0, 142)), ClassInfo(24, "person", (220, 20, 60))),
    (7, 8, 24), (255,), named=True,
)  # fmt: skip


def read(coding: MaskCoding, *values: int, jpeg: bool = False, threshold: float = 0.5) -> Reading:
    seen = Seen(frozenset() if jpeg else frozenset(values), any_jpeg=jpeg)
    return prediction_reading(seen, coding, folder=NOWHERE, threshold=threshold)


def indices(reading: Reading, *values: int) -> list[int]:
    flat = reading.indices(np.array(values, np.uint8)).tolist()
    assert reading.indices(np.array([values], np.uint8)).tolist() == [flat]  # rows and pictures alike
    return list(flat)


@pytest.mark.parametrize(
    ("coding", "values", "wanted"),
    [
        (BINARY, (0, 255), (0, 1)),
        (BINARY, (0, 1), (0, 1)),
        (BINARY, (0, 77), (0, 1)),
        (BINARY, (255,), (1,)),
        (IGNORING, (0, 255), (0, 1)),  # not "ignored": a tool that knows 0 and 255 means the foreground
        (IGNORING, (0, 1, 255), (0, 1, 2)),
        (STREET, (7, 24), (0, 2)),  # the dataset's own values
        (STREET, (7, 8, 255), (0, 1, 3)),
        (STREET, (0, 1, 2), (0, 1, 2)),  # in order
        (STREET, (0, 2, 255), (0, 2, 3)),
    ],
)  # fmt: skip
def test_values_are_read_as_the_first_rule_that_explains_all(
    coding: MaskCoding, values: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    reading = read(coding, *values)
    assert indices(reading, *values) == list(wanted)
    assert not reading.soft


def test_many_values_of_two_classes_are_probabilities_cut_at_the_threshold() -> None:
    half = read(BINARY, 0, 100, 200, 255)
    assert half.soft
    assert indices(half, 0, 127, 128, 255) == [0, 0, 1, 1]
    assert "cut at 0.5" in half.meaning
    assert indices(read(BINARY, 0, 100, 200, threshold=0.2), 50, 51) == [0, 1]
    assert indices(read(BINARY, 0, 100, 200, threshold=1.0), 254, 255) == [0, 1]


def test_jpegs_of_two_classes_are_cut_at_the_threshold_whatever_they_hold() -> None:
    assert indices(read(BINARY, jpeg=True), 0, 3, 127, 128, 252) == [0, 0, 0, 1, 1]
    with pytest.raises(DataError, match="JPEG"):
        read(STREET, jpeg=True)


@pytest.mark.parametrize(("coding", "values"), [(BINARY, (0, 1, 2)), (STREET, (0, 1, 2, 3)), (STREET, (7, 100, 200))])
def test_values_that_no_rule_explains_are_listed_with_what_to_do(coding: MaskCoding, values: tuple[int, ...]) -> None:
    with pytest.raises(DataError) as caught:
        read(coding, *values)
    assert ", ".join(map(str, values)) in str(caught.value)
    assert "classes.json" in str(caught.value)


def test_colours_are_those_of_the_dataset_s_classes() -> None:
    packed = {name: r << 16 | g << 8 | b for name, (r, g, b) in ((c.name, c.color) for c in STREET.classes)}
    seen = Seen(colors=frozenset(packed.values()))
    reading = prediction_reading(seen, STREET, folder=NOWHERE, threshold=0.5)
    raw = np.array([[packed["car"], packed["person"], packed["road"], 0x123456]], np.int32)
    assert reading.indices(raw).tolist() == [[1, 2, 0, UNKNOWN]]
    with pytest.raises(DataError, match="#123456"):
        prediction_reading(seen.plus(Seen(colors=frozenset((0x123456,)))), STREET, folder=NOWHERE, threshold=0.5)


def test_a_classes_file_beside_predictions_joins_by_name(tmp_path: Path) -> None:
    classes = [{"id": 0, "name": "person"}, {"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": 9}))
    seen = Seen(frozenset((0, 1, 2, 9)))
    reading = prediction_reading(seen, STREET, folder=tmp_path, threshold=0.5)
    assert indices(reading, 0, 1, 2, 9) == [2, 0, 1, 3]
    with pytest.raises(DataError, match="road, car, person"):
        (tmp_path / "classes.json").write_text(json.dumps({"classes": classes[:2]}))
        prediction_reading(Seen(frozenset((0, 1))), STREET, folder=tmp_path, threshold=0.5)


def test_truths_are_read_by_their_coding_and_strange_values_are_named() -> None:
    reading = truth_reading(STREET)
    assert indices(reading, 7, 8, 24, 255, 3) == [0, 1, 2, 3, UNKNOWN]
    assert reading.unexplained(np.array([[7, 3, 4]], np.uint8)) == Seen(frozenset((3, 4)))
    assert reading.unexplained(np.array([[7, 0x010203]], np.int32)).colors == {7, 0x010203}
    assert reading.indices(np.array([[24, 300]], np.uint16)).tolist() == [[2, UNKNOWN]]


def test_a_first_look_is_at_a_few_masks_spread_over_all(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i:03}.png" for i in range(100)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((2, 2), number, np.uint8)).save(path)
    some = first_look(paths).values
    assert 10 <= len(some) <= 20
    assert min(some) == 0 and max(some) > 80
    assert look(paths).values == set(range(100))
    (tmp_path / "x.jpg").write_bytes(b"never opened")
    assert first_look([*paths, tmp_path / "x.jpg"]).any_jpeg


def test_more_classes_than_a_byte_can_tell_from_nothing_are_refused() -> None:
    coding = MaskCoding(named_classes(255), tuple(range(255)), ())
    with pytest.raises(DataError, match="254"):
        truth_reading(coding)
