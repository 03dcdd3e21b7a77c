"""Greys of more than 8 bits, in files written out by hand where Pillow writes none."""

import struct

import numpy as np
import pytest
from hostile_files import encoded
from PIL import Image

from segtool.imaging.codec import read_image

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
INK, LIGHT = 0, 1


def grey_tiff(
    data: bytes, width: int, *, bits: int, sample: int = UNSIGNED, photometric: int = LIGHT, order: str = "<"
) -> bytes:
    """Returns an uncompressed grey TIFF of one row (TIFF 6.0)."""
    entry = struct.Struct(order + "HHI4s")

    def short(tag: int, value: int) -> bytes:
        return entry.pack(tag, 3, 1, struct.pack(order + "HH", value, 0))

    tags = [short(256, width), short(257, 1), short(258, bits), short(259, 1), short(262, photometric)]
    tags += [entry.pack(273, 4, 1, struct.pack(order + "I", 200)), short(277, 1), short(278, 1)]
    tags += [entry.pack(279, 4, 1, struct.pack(order + "I", len(data))), short(339, sample)]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return (head + b"".join(tags) + bytes(4)).ljust(200, b"\0") + data


def levels(data: bytes) -> list[int]:
    pixels = read_image(data)
    assert (pixels == pixels[..., :1]).all()
    return [int(level) for level in pixels[0, :, 0]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_keep_the_upper_eight_in_either_byte_order(order: str) -> None:
    values = np.array([0, 255, 256, 0x1234, 65535], order + "u2")
    assert levels(grey_tiff(values.tobytes(), 5, bits=16, order=order)) == [0, 0, 1, 0x12, 255]


def test_16_bits_of_ink_are_dark_where_they_are_high() -> None:
    values = np.array([0, 0x1234, 65535], "<u2")
    assert levels(grey_tiff(values.tobytes(), 3, bits=16, photometric=INK)) == [255, 255 - 0x12, 0]


def test_12_bits_keep_the_upper_eight() -> None:
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x01, 0x00])  # 0x000, 0xFFF, 0x800, 0x100
    assert levels(grey_tiff(packed, 4, bits=12)) == [0, 255, 128, 16]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0, 1, 40, 255], [0, 1, 40, 255], id="of-8-bits"),
        pytest.param([0, 255, 256, 65535], [0, 0, 1, 255], id="of-16-bits"),
        pytest.param([0, 100_000, 500_000], [0, 51, 255], id="of-more"),
        pytest.param([-100, 0, 400], [0, 51, 255], id="negative"),
        pytest.param([-(2**31), 0, 2**31 - 1], [0, 128, 255], id="all-there-is"),
        pytest.param([70_000, 70_000], [0, 0], id="flat"),
    ],
)
def test_32_bit_integers_are_scaled_by_their_range(order: str, values: list[int], expected: list[int]) -> None:
    data = np.array(values, order + "i4").tobytes()
    assert levels(grey_tiff(data, len(values), bits=32, sample=SIGNED, order=order)) == expected


def test_unsigned_32_bit_integers_are_no_negative_ones() -> None:
    values = np.array([0, 2**31, 2**32 - 1], "<u4")
    assert levels(grey_tiff(values.tobytes(), 3, bits=32)) == [0, 128, 255]


@pytest.mark.parametrize("order", ["<", ">"])
def test_floats_are_read_in_either_byte_order(order: str) -> None:
    values = np.array([0, 0.2, 1], order + "f4")
    assert levels(grey_tiff(values.tobytes(), 3, bits=32, sample=FLOAT, order=order)) == [0, 51, 255]


def test_a_signalling_nan_is_black_and_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    values = np.array([0x7F800001, 0x3F800000], "<u4")  # a signalling NaN, and 1.0
    assert levels(grey_tiff(values.tobytes(), 2, bits=32, sample=FLOAT)) == [0, 255]
    assert [str(warning.message) for warning in recwarn] == []


def test_the_range_is_that_of_the_whole_picture_and_not_of_a_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtool.imaging.color.STRIP_PIXELS", 4)
    values = np.repeat(np.arange(0, 1024, 4, dtype=np.float32)[:, None], 4, axis=1)
    pixels = read_image(encoded(Image.fromarray(values), "TIFF"))
    assert pixels[:, 0, 0].tolist() == list(range(256))


def test_a_dark_pgm_of_16_bits_stays_dark() -> None:
    assert levels(b"P5 3 1 65535\n" + np.array([0, 100, 200], ">u2").tobytes()) == [0, 0, 0]
