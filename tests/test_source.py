"""Opening files: what is refused from the header, what is told of frames, and what HEIC needs."""

import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hostile_files import chunk, encoded, gif_frame, gradient, heic, png, resized_jpeg, tiff, webp_canvas
from PIL import Image

from segtool.errors import ImageError
from segtool.imaging.codec import open_upright, read_image, read_resized
from segtool.imaging.masks import read_raw_mask
from segtool.imaging.source import MAX_FRAMES_COUNTED
from segtool.options import MAX_PIXELS

HEIC_HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails the test as soon as Pillow takes memory for pixels."""

    def taken(*arguments: object) -> None:
        pytest.fail("memory for pixels was taken")

    with monkeypatch.context() as patch:
        patch.setattr(Image.core, "new", taken)  # type: ignore[attr-defined]  # no public name of Pillow
        yield


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(60000, 60000), id="png"),
        pytest.param(resized_jpeg(60000, 60000), id="jpeg"),
        pytest.param(tiff(60000, 60000), id="tiff"),
        pytest.param(b"GIF89a\x60\xea\x60\xea\0\0\0" + gif_frame(9, 9), id="gif"),
        pytest.param(b"GIF89a\x09\0\x09\0\0\0\0" + gif_frame(60000, 60000), id="gif-frame"),
        pytest.param(webp_canvas(60000, 60000), id="webp"),
        pytest.param(b"P5 60000 60000 255\n\0", id="pgm"),
    ],
)
def test_more_pixels_than_the_limit_are_refused_from_the_header(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"stdin is 60000×60000, which is 3,600,000,000 pixels.*--max-pixels"):
        read_image(data)


def test_the_limit_is_the_given_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("L", (20, 10)), "PNG"))
    assert read_image(path, max_pixels=200).shape == (10, 20, 3)
    with pytest.raises(ImageError, match=r"a\.png is 20×10, which is 200 pixels: more than the limit of 199"):
        read_image(path, max_pixels=199)


def test_the_limit_is_on_the_whole_picture_when_it_is_decoded_small() -> None:
    data = encoded(Image.new("L", (200, 100)), "JPEG")
    assert read_resized(data, lambda *size: (4, 4), max_pixels=20_000)[1] == (100, 200)
    with pytest.raises(ImageError, match="stdin is 200×100, which is 20,000 pixels: more than the limit of 19,999"):
        read_resized(data, lambda *size: (4, 4), max_pixels=19_999)


def test_the_limit_that_is_not_given_is_that_of_the_options(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(MAX_PIXELS + 1, 1))
    with pytest.raises(ImageError, match=f"limit of {MAX_PIXELS:,}"):
        read_image(tmp_path / "a.png")


def test_masks_are_refused_by_the_same_limit(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(60000, 60000, color=0))
    with pytest.raises(ImageError, match="--max-pixels"):
        read_raw_mask(tmp_path / "a.png")
    with pytest.raises(ImageError, match="--max-pixels"):
        open_upright(encoded(Image.new("L", (20, 10)), "PNG"), max_pixels=10)


def test_the_bytes_of_a_file_are_read_as_the_file(tmp_path: Path) -> None:
    data = encoded(gradient("RGBA"), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    assert np.array_equal(read_image(data), read_image(tmp_path / "a.png"))


@pytest.mark.parametrize(("name", "called"), [(None, "stdin"), ("photo 7", "photo 7")])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "is an empty file", id="empty"),
        pytest.param(b"not a picture", "is not a picture", id="text"),
        pytest.param(encoded(gradient("RGB"), "JPEG")[:-40], "cannot be decoded", id="cut"),
    ],
)
def test_broken_bytes_are_called_stdin_or_as_the_caller_says(
    name: str | None, called: str, data: bytes, reason: str
) -> None:
    with pytest.raises(ImageError, match=f"^{called} {reason}"):
        read_image(data, name=name)


def frames(kind: str, count: int) -> bytes:
    images = [gradient("RGB").rotate(90 * turn) for turn in range(count)]
    return encoded(images[0], kind, save_all=True, append_images=images[1:])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_of_several_frames_the_first_is_read_and_it_is_said_so(kind: str) -> None:
    said: list[str] = []
    pixels = read_image(frames(kind, 3), notice=said.append, name="moving")
    small, _ = read_resized(frames(kind, 3), lambda *size: size, notice=said.append, name="moving")
    assert said == ["moving has 3 frames: the first is used"] * 2
    assert np.array_equal(small, pixels)
    assert np.abs(pixels.astype(int) - np.asarray(gradient("RGB"))).mean() < 8


def test_pages_beyond_a_hundred_are_not_counted() -> None:
    said: list[str] = []
    read_image(frames("TIFF", MAX_FRAMES_COUNTED + 20), notice=said.append)
    assert said == ["stdin has 100 or more frames: the first is used"]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "JPEG"])
def test_nothing_is_said_of_a_single_frame(kind: str) -> None:
    said: list[str] = []
    read_image(encoded(gradient("RGB"), kind), notice=said.append)
    assert said == []


def test_nothing_is_said_of_the_second_picture_that_phones_put_into_a_jpeg() -> None:
    said: list[str] = []
    data = frames("MPO", 2)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert read_image(data, notice=said.append).shape == (17, 23, 3)
    assert said == []


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_a_broken_second_frame_does_not_spoil_the_first(kind: str) -> None:
    said: list[str] = []
    data = frames(kind, 3)
    half = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    assert read_image(half, notice=said.append).shape == (17, 23, 3)


def test_a_fault_of_the_notice_is_no_fault_of_the_picture() -> None:
    def broken_pipe(text: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        read_image(frames("GIF", 2), notice=broken_pipe)


def test_a_heic_without_its_reader_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(HEIC_HEADER + bytes(90))
    with pytest.raises(ImageError, match=r"a\.heic is a HEIC picture.*pip install 'segtool\[heif\]'"):
        read_image(tmp_path / "a.heic")


def test_an_avif_needs_no_reader_of_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = encoded(gradient("RGB"), "AVIF")
    assert b"mif1" in data[:40]
    assert read_image(data).shape == (17, 23, 3)


@pytest.mark.parametrize("cut", [40, 300, 0.5, 0.95])
def test_a_broken_heic_is_an_image_error(tmp_path: Path, cut: float) -> None:
    data = heic(gradient("RGB"))
    (tmp_path / "a.heic").write_bytes(data[: int(cut * len(data) if cut < 1 else cut)])
    with pytest.raises(ImageError, match=r"a\.heic cannot be decoded"):
        read_image(tmp_path / "a.heic")


def test_a_heic_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(heic(gradient("RGB")))
    pixels = read_image(tmp_path / "a.heic")
    assert np.abs(pixels.astype(int) - np.asarray(gradient("RGB"))).max() <= 3


def test_a_heic_of_more_pixels_than_the_limit_is_refused() -> None:
    with pytest.raises(ImageError, match="--max-pixels"):
        read_image(heic(gradient("RGB")), max_pixels=50)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_an_error_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe\.jpg is a folder or a device"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(png(1, 1))
    (tmp_path / "mine.png").chmod(0)
    with pytest.raises(ImageError, match=r"mine\.png cannot be decoded \(Permission denied\)"):
        read_image(tmp_path / "mine.png")


def test_an_eps_named_jpg_is_not_handed_to_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was run"))
    (tmp_path / "a.jpg").write_bytes(encoded(gradient("RGB"), "EPS"))
    with pytest.raises(ImageError, match=r"a\.jpg is not a picture"):
        read_image(tmp_path / "a.jpg")


def test_a_png_with_more_xmp_than_pillow_takes_is_read() -> None:
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * (3 << 20)
    compressed = b"Comment\0\0" + zlib.compress(b"x" * (3 << 20))
    assert read_image(png(1, 1, chunk(b"iTXt", text), chunk(b"zTXt", compressed))).shape == (1, 1, 3)
