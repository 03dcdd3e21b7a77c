"""Pictures handed out by rows: equal to the whole picture, for every way that a TIFF stores one."""

import io
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from segtool.errors import ImageError
from segtool.imaging import strips
from segtool.imaging.codec import Pixels, read_image
from segtool.imaging.strips import strip_reader

HEIGHT, WIDTH = 203, 151


def picture(height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 20, (height, width, 3))
    return (np.stack([rows, columns, rows + columns], axis=2) % 230 + noise).astype(np.uint8)


def assert_rows_equal(path: Path) -> None:
    whole = read_image(path)
    found = strip_reader(path)
    assert found is not None
    size, rows = found
    assert size == whole.shape[:2]
    height = size[0]
    for top, bottom in [(0, height), (0, 1), (height - 1, height), (3, 71), (60, 130), (0, 64), (64, 128)]:
        part = rows(top, bottom)
        assert part.shape == (bottom - top, size[1], 3)
        assert part.dtype == np.uint8
        assert np.array_equal(part, whole[top:bottom])


def save_pieces(path: Path, tags: dict[int, Any], pieces: list[bytes], *, tiled: bool) -> None:
    """Writes a TIFF of pieces as they are, of kinds that Pillow reads but cannot write."""
    directory = ImageFileDirectory_v2()
    offsets, counts = (324, 325) if tiled else (273, 279)
    starts = np.cumsum([0, *map(len, pieces[:-1])])

    def header(first: int) -> bytes:
        for tag, value in {**tags, offsets: tuple((starts + first).tolist()), counts: tuple(map(len, pieces))}.items():
            directory.tagtype[tag] = 4 if tag in (offsets, counts) else 3
            directory[tag] = value
        file = io.BytesIO()
        directory.save(file)
        return file.getvalue()

    # Pillow moves the offsets of strips, but not those of tiles, past what it writes.
    path.write_bytes(header(len(header(0)) if tiled else 0) + b"".join(pieces))


def save_tiled(path: Path, image: Pixels, *, side: int) -> None:
    height, width = image.shape[:2]
    down, across = -(-height // side), -(-width // side)
    padded = np.zeros((down * side, across * side, 3), np.uint8)
    padded[:height, :width] = image
    tiles = padded.reshape(down, side, across, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    tags = {256: width, 257: height, 258: (8, 8, 8), 259: 8, 262: 2, 277: 3, 284: 1, 322: side, 323: side}
    save_pieces(path, tags, [zlib.compress(tile.tobytes()) for tile in tiles], tiled=True)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("rows_per_strip", [8, 64, HEIGHT])
def test_rows_equal_those_of_the_whole_picture(
    tmp_path: Path, compression: str | None, mode: str, rows_per_strip: int
) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(picture()).convert(mode).save(path, compression=compression, tiffinfo={278: rows_per_strip})
    assert_rows_equal(path)


def test_differences_of_neighbours_are_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(picture()).save(path, compression="tiff_lzw", tiffinfo={317: 2, 278: 50})
    assert_rows_equal(path)


@pytest.mark.parametrize("big", [False, True])
def test_large_offsets_are_read_too(tmp_path: Path, big: bool) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(picture()).save(path, tiffinfo={278: 50}, big_tiff=big)
    assert (path.read_bytes()[2] == 43) == big
    assert_rows_equal(path)


@pytest.mark.parametrize("side", [16, 64, 256])
def test_tiles_are_put_side_by_side(tmp_path: Path, side: int) -> None:
    path = tmp_path / "tiles.tif"
    save_tiled(path, picture(), side=side)
    assert np.array_equal(read_image(path), picture())
    assert_rows_equal(path)


def test_a_raw_picture_in_one_strip_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "raw.tif"
    Image.fromarray(picture()).save(path, tiffinfo={278: HEIGHT}, strip_size=1 << 30)
    assert len(Image.open(path).tag_v2[273]) == 1  # type: ignore[attr-defined]
    monkeypatch.setattr(strips, "RAW_PIECE", 10 * WIDTH * 3)
    decoded = []

    def watched(file: io.BytesIO) -> Image.Image:
        image = TiffImageFile(file)
        decoded.append(image.size)
        return image

    monkeypatch.setattr(strips, "TiffImageFile", watched)
    assert_rows_equal(path)
    assert max(height for _, height in decoded[1:]) == 10


def test_going_down_decodes_each_piece_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(picture()).save(path, compression="tiff_lzw", tiffinfo={278: 50})
    found = strip_reader(path)
    assert found is not None
    decoded = []
    original = strips._decoded

    def watched(file: IO[bytes], tags: dict[int, Any], layout: strips._Layout, index: int) -> Pixels:
        decoded.append(index)
        return original(file, tags, layout, index)

    monkeypatch.setattr(strips, "_decoded", watched)
    for top in range(0, HEIGHT, 7):
        found[1](top, min(top + 9, HEIGHT))
    assert decoded == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["RGBA", "1", "P", "I;16", "F", "CMYK"])
def test_pictures_that_are_not_8_bit_grey_or_rgb_are_left_to_the_whole(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    Image.new(mode, (WIDTH, HEIGHT)).save(path)
    assert strip_reader(path) is None


@pytest.mark.parametrize(
    ("bits", "planar", "extra"), [((16, 16, 16), 1, None), ((8, 8, 8), 2, None), ((8, 8, 8, 8), 1, 0)]
)
def test_rgb_of_16_bits_by_planes_or_with_a_fourth_channel_is_left_to_the_whole(
    tmp_path: Path, bits: tuple[int, ...], planar: int, extra: int | None
) -> None:
    path = tmp_path / "a.tif"
    plane = bytes(WIDTH * HEIGHT * bits[0] // 8)
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: 2, 277: len(bits), 278: HEIGHT, 284: planar}
    tags |= {} if extra is None else {338: extra}
    save_pieces(path, tags, [plane] * 3 if planar == 2 else [plane * len(bits)], tiled=False)
    assert read_image(path).shape == (HEIGHT, WIDTH, 3)
    assert strip_reader(path) is None


def test_turned_pictures_are_left_to_the_whole(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.tif"
        Image.fromarray(picture()).save(path, tiffinfo={274: orientation})
        assert (strip_reader(path) is None) == (orientation > 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_other_formats_are_left_to_the_whole_whatever_their_name(tmp_path: Path, suffix: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG" if suffix == "jpg" else suffix)
    path = tmp_path / "a.tif"
    path.write_bytes(buffer.getvalue())
    assert strip_reader(path) is None
    path.write_bytes(b"II*\0")
    assert strip_reader(path) is None
    path.write_bytes(b"")
    assert strip_reader(path) is None


def test_a_damaged_strip_is_an_image_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(picture()).save(path, compression="tiff_adobe_deflate", tiffinfo={278: 50})
    found = strip_reader(path)
    assert found is not None
    content = bytearray(path.read_bytes())
    for offset in Image.open(path).tag_v2[273]:  # type: ignore[attr-defined]
        content[offset : offset + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.tif cannot be decoded"):
        found[1](0, HEIGHT)
