"""What is kept of a file once it was looked at."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segtool.data.facts import ORIENTATION, count_values, look_at_image, look_at_mask
from segtool.data.likeness import find_copies, thumbnail
from segtool.data.shapes import draw_pair
from segtool.imaging.codec import read_image


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    image, _ = draw_pair(500, multiclass=False, rng=np.random.default_rng(3))
    Image.fromarray(image).save(path, quality=90)
    return path


def turned(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    target = path.with_name(f"turned{orientation}{path.suffix}")
    with Image.open(path) as image:
        image.save(target, exif=exif)
    return target


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_sizes_are_those_of_display_orientation(photo: Path, orientation: int, suffix: str, decode: bool) -> None:
    path = photo.with_suffix(suffix)
    Image.open(photo).save(path)
    path = turned(path, orientation)
    facts = look_at_image(path, decode=decode)
    assert (facts.height, facts.width) == read_image(path).shape[:2]
    assert facts.orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_decoded_small_looks_as_it_does_when_decoded_whole(photo: Path, orientation: int) -> None:
    path = turned(photo, orientation)
    whole = thumbnail(read_image(path))
    small = np.frombuffer(look_at_image(path, decode=True).thumbnail or b"", np.uint8).reshape(whole.shape)
    assert [c.mirrored for c in find_copies(np.stack([small, whole]))] == [False]


def test_a_jpeg_is_not_decoded_whole(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtool.data.facts.read_image", lambda path: pytest.fail("decoded whole"))
    assert look_at_image(photo, decode=True).thumbnail


@pytest.mark.parametrize("decode", [False, True])
def test_what_cannot_be_read_has_the_reason_and_not_the_path(tmp_path: Path, decode: bool) -> None:
    for name, content, reason in (
        ("empty.jpg", b"", "is an empty file."),
        ("text.png", b"not a picture", "is not a picture of any known format, or its beginning is damaged."),
    ):
        (tmp_path / name).write_bytes(content)
        assert look_at_image(tmp_path / name, decode=decode).error == reason
        assert look_at_mask(tmp_path / name, decode=decode).error == reason
    assert look_at_image(tmp_path / "gone.jpg", decode=decode).error == "does not exist."


def test_a_jpeg_that_is_cut_off_cannot_be_read(photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:-3000])
    assert "truncated" in look_at_image(photo, decode=True).error


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("RGB", False), ("CMYK", False)])
def test_pictures_without_colour_are_known(photo: Path, mode: str, grey: bool) -> None:
    Image.open(photo).convert(mode).save(photo, quality=90)
    assert look_at_image(photo, decode=True).grey is grey


def test_grey_saved_as_colours_is_without_colour(photo: Path) -> None:
    Image.open(photo).convert("L").convert("RGB").save(photo, quality=60)
    assert look_at_image(photo, decode=True).grey is True


def test_values_are_counted_as_bincount_counts_them() -> None:
    rng = np.random.default_rng(0)
    for raw in (rng.integers(0, 9, (50, 70), np.uint8), np.zeros((3, 4), np.uint16), np.array([[7]], np.uint8)):
        values, counts = count_values(raw)
        expected = np.bincount(raw.ravel())
        assert values.tolist() == np.flatnonzero(expected).tolist()
        assert counts.tolist() == expected[expected > 0].tolist()


def test_a_mask_of_more_values_than_are_kept_keeps_the_commonest(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), np.uint16)
    mask[0, :] = np.arange(1000, 1100)
    mask[10:20] = 3 + np.arange(1000).reshape(10, 100)
    mask[50:60] = 60000
    Image.fromarray(mask).save(tmp_path / "m.png")
    facts = look_at_mask(tmp_path / "m.png", decode=True)
    assert facts.distinct == len(np.unique(mask)) > len(facts.values) == 256
    assert {0, 60000} <= set(facts.values)
    assert list(facts.values) == sorted(facts.values)


def test_areas_are_counted_at_network_size(tmp_path: Path) -> None:
    mask = np.zeros((1024, 1024), np.uint8)
    for k in range(5):
        cv2.rectangle(mask, (k * 200, 100), (k * 200 + 39, 139), 1, -1)  # 40 pixels, 10 as a network sees it
    mask[600:, :] = 2
    Image.fromarray(mask).save(tmp_path / "m.png")
    facts = look_at_mask(tmp_path / "m.png", decode=True)
    assert facts.values == (0, 1, 2)
    assert facts.pieces == (1, 5, 1)
    assert facts.largest[1] == 100
