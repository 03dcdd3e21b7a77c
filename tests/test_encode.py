"""Pixels to files: the very pixels come back, whoever reads them, in the mode they were written in."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segtool.errors import ImageError
from segtool.imaging import encode
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.encode import encode_jpeg, encode_palette_png, encode_png


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def by_opencv(encoded: bytes) -> Pixels:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    if pixels.ndim == 2:
        return pixels
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[pixels.shape[2]]
    return np.asarray(cv2.cvtColor(pixels, order), np.uint8)


SHAPES = [(7, 5, 4), (1, 1, 4), (7, 5, 3), (1, 1, 3), (7, 5), (1, 1), (300, 2000), (200, 900, 3), (1, 300_000)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_png_gives_back_the_very_pixels_to_pillow_and_to_opencv(shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    encoded = encode_png(pixels)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.mode) == ("PNG", "L" if len(shape) == 2 else "RGBA"[: shape[2]])
        assert np.array_equal(np.asarray(image), pixels)
    assert np.array_equal(by_opencv(encoded), pixels)


@pytest.mark.parametrize("shape", [(1, 1_000_001), (1_000_001, 1)])
def test_a_png_may_be_longer_than_opencv_reads(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_a_png_does_not_depend_on_the_strips_it_is_filtered_in(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(64, 40)
    files = []
    for strip in (1, 100, 1 << 20):
        monkeypatch.setattr(encode, "STRIP", strip)
        files.append(encode_png(pixels))
    for file in files:
        assert np.array_equal(by_opencv(file), pixels)


def test_the_data_of_a_png_may_be_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "CHUNK", 1000)
    pixels = noise(64, 40)
    encoded = encode_png(pixels)
    assert encoded.count(b"IDAT") == 3
    assert np.array_equal(by_opencv(encoded), pixels)


@pytest.mark.parametrize("values", [[0, 255], [1, 0], [7, 3], [0, 0]])
def test_a_binary_mask_is_written_as_the_two_values_asked_for(values: list[int]) -> None:
    table = np.array(values, np.uint8)
    indices = np.asarray(noise(30, 41) & 1, np.uint8)
    assert np.array_equal(by_opencv(encode_png(indices, values=table)), table[indices])


def test_a_mask_is_written_as_the_values_of_its_classes() -> None:
    table, indices = noise(256)[::-1].copy(), np.asarray(noise(30, 41) % 11, np.uint8)
    assert np.array_equal(by_opencv(encode_png(indices, values=table)), table[indices])
    with Image.open(io.BytesIO(encode_palette_png(indices, [(1, 2, 3)], values=table))) as image:
        assert np.array_equal(np.asarray(image), table[indices])


def test_a_png_is_made_of_views_as_of_copies() -> None:
    pixels = noise(9, 8, 4)
    assert encode_png(pixels[::-2, ::3, :3]) == encode_png(pixels[::-2, ::3, :3].copy())
    assert encode_png(pixels[::2, ::-1, 0]) == encode_png(pixels[::2, ::-1, 0].copy())


def test_writing_leaves_the_pixels_as_they_were() -> None:
    pixels = np.asarray(noise(9, 8) & 1, np.uint8)
    before = pixels.copy()
    encode_png(pixels, values=np.array([3, 255], np.uint8))
    assert np.array_equal(pixels, before)


def test_what_has_no_pixels_is_an_image_error() -> None:
    with pytest.raises(ImageError, match=r"5×0 cannot be encoded as \.png"):
        encode_png(np.zeros((0, 5), np.uint8))


def test_a_mask_takes_a_fraction_of_a_percent_of_its_pixels() -> None:
    """Rows that repeat cost next to nothing, as the strategy promises."""
    disc = cv2.circle(np.zeros((3000, 4000), np.uint8), (2000, 1500), 900, (1,), -1)
    assert len(encode_png(np.asarray(disc, np.uint8), values=np.array([0, 255], np.uint8))) < disc.size / 400


def test_a_picture_too_long_for_jpeg_is_an_image_error_that_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageError, match="70000×1 is too large for a JPEG, whose sides end at 65,500 pixels"):
        encode_jpeg(noise(1, 70000, 3))
    assert capfd.readouterr().err == ""


def test_a_jpeg_without_pixels_is_an_image_error() -> None:
    with pytest.raises(ImageError, match=r"5×0 cannot be encoded as \.jpg"):
        encode_jpeg(np.zeros((0, 5, 3), np.uint8))


def test_a_jpeg_looks_like_its_pixels() -> None:
    pixels = np.full((20, 30, 3), (200, 100, 50), np.uint8)
    with Image.open(io.BytesIO(encode_jpeg(pixels))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (30, 20))
        assert np.abs(np.asarray(image).astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("colors", [1, 2, 3, 5, 16, 17, 255, 256])
def test_a_palette_png_is_8_bit_and_its_index_is_the_value(colors: int) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    encoded = encode_palette_png(indices, [(i, 0, 255 - i) for i in range(colors)])
    bit_depth, color_type = encoded[24], encoded[25]
    assert (bit_depth, color_type) == (8, 3)
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), indices)


def test_a_palette_png_shows_each_value_in_its_colour() -> None:
    encoded = encode_palette_png(np.array([[0, 1, 2]], np.uint8), [(1, 2, 3), (40, 50, 60), (255, 0, 9)])
    shown = [[[1, 2, 3], [40, 50, 60], [255, 0, 9]]]
    with Image.open(io.BytesIO(encoded)) as image:
        assert np.asarray(image.convert("RGB")).tolist() == shown
    assert by_opencv(encoded)[..., :3].tolist() == shown


def test_encoded_pixels_are_read_back_by_read_image(tmp_path: Path) -> None:
    pixels = noise(9, 4, 3)
    (tmp_path / "own.png").write_bytes(encode_png(pixels))
    assert np.array_equal(read_image(tmp_path / "own.png"), pixels)
