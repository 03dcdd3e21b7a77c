"""Picture files to pixels: every rule of decoding."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hostile_files import encoded, heic
from icc_profiles import ADOBE_TO_XYZ, gamma_curve, ink_profile, rgb_profile
from PIL import Image

from segtool.errors import ImageError
from segtool.imaging.codec import HEADROOM, Pixels, open_upright, read_image, read_resized
from segtool.imaging.scaling import resize_image, shrink_means

WHITE = (255, 255, 255)
# Blocks large and smooth enough for JPEG, each of its own grey, in two unlike sides.
BLOCKS = np.kron(np.arange(0, 240, 16, dtype=np.uint8).reshape(3, 5), np.ones((16, 16), np.uint8))

# What a viewer shows of stored rows and columns, for each EXIF orientation.
TURNED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: np.rot90(stored),
}


def as_mode(mode: str) -> Image.Image:
    """Returns the blocks as a Pillow image of `mode`, each with the same look."""
    if mode == "1":
        return Image.fromarray(BLOCKS >= 128)  # convert() would dither
    if mode == "I;16":
        return Image.fromarray(BLOCKS.astype(np.uint16) << 8)
    if mode == "I;16B":
        height, width = BLOCKS.shape
        return Image.frombytes("I;16B", (width, height), (BLOCKS.astype(np.uint16) << 8).astype(">u2").tobytes())
    if mode == "F":
        return Image.fromarray(BLOCKS.astype(np.float32) / 255)
    if mode == "P":
        image = Image.fromarray(BLOCKS)
        image.putpalette([level for level in range(256) for _ in range(3)])
        return image
    return Image.fromarray(BLOCKS).convert(mode)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def grey(values: list[list[float]], dtype: str) -> Image.Image:
    return Image.fromarray(np.array(values, dtype))


def palette_image(values: list[list[int]], colors: list[tuple[int, int, int]]) -> Image.Image:
    image = grey([[float(v) for v in row] for row in values], "uint8")
    image.putpalette([channel for color in colors for channel in color])
    return image


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [
        (".jpg", "RGB", {"quality": 95}),
        (".jpg", "L", {"quality": 95}),
        (".jpg", "CMYK", {"quality": 95}),
        (".webp", "RGB", {"lossless": True}),
        (".webp", "RGBA", {"lossless": True}),
        (".avif", "RGB", {"quality": 100}),
        (".avif", "RGBA", {"quality": 100}),
        *((".png", mode, {}) for mode in ("1", "L", "RGB", "RGBA", "LA", "P", "I;16")),
        *((".tif", mode, {}) for mode in ("1", "L", "RGB", "RGBA", "P", "I;16", "I;16B", "F", "CMYK")),
        *((".tif", mode, {"compression": "tiff_lzw"}) for mode in ("L", "RGB", "I;16")),
        (".tif", "RGB", {"compression": "jpeg", "quality": 95}),
    ],
)
def test_a_picture_is_turned_as_its_exif_orientation_says(
    tmp_path: Path, suffix: str, mode: str, options: dict[str, Any], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(as_mode(mode), tmp_path / f"turned{suffix}", exif=exif, **options)
    image = read_image(path)
    look = np.where(BLOCKS >= 128, 255, 0).astype(np.uint8) if mode == "1" else BLOCKS
    expected = np.repeat(TURNED[orientation](look)[..., None], 3, axis=2)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= (8 if "quality" in options else 1)
    upright = open_upright(path)
    assert upright.size == image.shape[1::-1]
    if mode == "RGB":
        assert np.array_equal(np.asarray(upright), image)


@pytest.mark.parametrize("orientation", TURNED)
def test_a_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.heic"
    path.write_bytes(heic(as_mode("RGB"), exif=exif.tobytes()))
    assert np.abs(read_image(path)[..., 0].astype(int) - TURNED[orientation](BLOCKS)).max() <= 3


@pytest.mark.parametrize("orientation", TURNED)
def test_a_picture_of_many_strips_is_turned_as_a_whole(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtool.imaging.color.STRIP_PIXELS", 7 * BLOCKS.shape[1])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(encoded(Image.fromarray(BLOCKS), "PNG", exif=exif))
    assert np.array_equal(image[..., 0], TURNED[orientation](BLOCKS))


def test_a_picture_is_turned_by_its_xmp_where_it_has_no_exif() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    image = read_image(encoded(Image.fromarray(BLOCKS).convert("RGB"), "JPEG", xmp=xmp, quality=95))
    assert image.shape[:2] == BLOCKS.shape[::-1]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pytest undoes the filter of segtool.imaging.source
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + b"\xff" * 99])
def test_broken_exif_turns_nothing(exif: bytes) -> None:
    assert read_image(encoded(Image.fromarray(BLOCKS), "JPEG", exif=exif)).shape[:2] == BLOCKS.shape


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB", "YCbCr"])
def test_pictures_of_every_mode_are_read_as_three_channels_of_8_bits(tmp_path: Path, mode: str) -> None:
    image = read_image(saved(Image.new(mode, (5, 3)), tmp_path / "any.tif"))
    assert image.shape == (3, 5, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_inks_become_the_colour_they_print(tmp_path: Path, suffix: str) -> None:
    path = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / f"ink{suffix}")
    assert np.abs(read_image(path)[8, 8].astype(int) - (255, 0, 0)).max() <= 3


def test_a_palette_picture_has_the_colours_of_its_palette(tmp_path: Path) -> None:
    path = saved(palette_image([[0, 1]], [(10, 20, 30), (200, 100, 50)]), tmp_path / "p.png")
    assert read_image(path).tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("suffix", [".png", ".gif"])
def test_the_transparent_colour_of_a_palette_is_white(tmp_path: Path, suffix: str) -> None:
    image = palette_image([[0, 1]], [(10, 20, 30), (200, 100, 50)])
    path = saved(image, tmp_path / f"p{suffix}", transparency=1)
    assert read_image(path).tolist() == [[[10, 20, 30], list(WHITE)]]


def test_a_half_transparent_palette_colour_lies_over_white(tmp_path: Path) -> None:
    image = palette_image([[0, 1]], [(0, 0, 0), (200, 100, 0)])
    pixels = read_image(saved(image, tmp_path / "p.png", transparency=bytes([255, 128])))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert np.abs(pixels[0, 1].astype(int) - (227, 177, 127)).max() <= 1


@pytest.mark.parametrize(("mode", "color"), [("L", 10), ("RGB", (10, 20, 30))])
def test_a_colour_declared_transparent_is_white(tmp_path: Path, mode: str, color: int | tuple[int, ...]) -> None:
    path = saved(Image.new(mode, (2, 1), color), tmp_path / "t.png", transparency=color)
    assert read_image(path).tolist() == [[list(WHITE)] * 2]


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (51, 224), (128, 177), (255, 100)])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_lies_over_white(tmp_path: Path, mode: str, alpha: int, expected: int) -> None:
    color = (100, alpha) if mode == "LA" else (100, 100, 100, alpha)
    pixels = read_image(saved(Image.new(mode, (1, 1), color), tmp_path / "a.png"))
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_is_black_or_white(tmp_path: Path, suffix: str) -> None:
    path = saved(Image.fromarray(np.array([[True, False]])), tmp_path / f"bit{suffix}")
    assert read_image(path).tolist() == [[list(WHITE), [0, 0, 0]]]


@pytest.mark.parametrize(("suffix", "mode"), [(".png", "I;16"), (".tif", "I;16"), (".tif", "I;16B")])
@pytest.mark.parametrize(
    "values",
    [pytest.param([0, 255, 256, 32768, 65535], id="full-range"), pytest.param([0, 255, 1000, 300, 40], id="dark")],
)
def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path, suffix: str, mode: str, values: list[int]) -> None:
    raw = np.array(values, ">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (len(values), 1), raw.tobytes())
    assert read_image(saved(image, tmp_path / f"deep{suffix}"))[0, :, 0].tolist() == [v >> 8 for v in values]


def test_a_16_bit_pgm_keeps_its_high_byte(tmp_path: Path) -> None:
    path = tmp_path / "deep.pgm"
    path.write_bytes(b"P5 3 1 65535\n" + np.array([0, 1000, 65535], ">u2").tobytes())
    assert read_image(path)[0, :, 0].tolist() == [0, 3, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([0.0, 0.2, 1.0], [0, 51, 255], id="zero-to-one"),
        pytest.param([0.2, 0.4, 0.4], [51, 102, 102], id="part-of-zero-to-one"),
        pytest.param([-10.0, 0.0, 40.0], [0, 51, 255], id="stretched"),
        pytest.param([0.0, 51.0, 255.0], [0, 51, 255], id="bytes"),
        pytest.param([7.0, 7.0, 7.0], [0, 0, 0], id="flat"),
        pytest.param([float("nan"), 50.0, 55.0, 75.0], [0, 0, 51, 255], id="not-a-number"),
        pytest.param([float("inf"), 50.0, 55.0, 75.0, -float("inf")], [255, 0, 51, 255, 0], id="infinite"),
        pytest.param([float("nan"), 0.2, float("inf")], [0, 51, 255], id="zero-to-one-beside-what-is-no-number"),
        pytest.param([float("nan"), float("nan")], [0, 0], id="nothing-finite"),
        pytest.param([-3e38, 0.0, 3e38], [0, 128, 255], id="as-wide-as-floats-go"),
    ],
)
def test_float_grey_is_scaled_by_its_range(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    path = saved(grey([values], "float32"), tmp_path / "float.tif")
    assert read_image(path)[0, :, 0].tolist() == expected


@pytest.mark.parametrize("suffix", [".gif", ".tif"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 255)
    path = saved(first, tmp_path / f"frames{suffix}", save_all=True, append_images=[second])
    assert not read_image(path).any()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_a_picture_of_one_pixel_is_read(tmp_path: Path, suffix: str) -> None:
    assert read_image(saved(Image.new("RGB", (1, 1), WHITE), tmp_path / f"dot{suffix}")).tolist() == [[list(WHITE)]]


def test_a_name_beyond_ascii_is_read(tmp_path: Path) -> None:
    path = saved(Image.new("L", (2, 1), 9), tmp_path / "naïve 写真.png")
    assert read_image(path).shape == (1, 2, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_truncated_picture_is_an_image_error_that_names_the_file(tmp_path: Path, suffix: str) -> None:
    path = saved(Image.fromarray(BLOCKS), tmp_path / f"cut{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=f"cut\\{suffix} cannot be decoded"):
        read_image(path)


def test_an_empty_file_is_an_image_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg is an empty file"):
        read_image(tmp_path / "empty.jpg")


def test_a_text_named_jpg_is_an_image_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("not a picture")
    with pytest.raises(ImageError, match=r"note\.jpg is not a picture"):
        read_image(tmp_path / "note.jpg")


def test_a_missing_file_is_an_image_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        read_image(tmp_path / "gone.png")


def test_a_folder_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def test_many_threads_at_once_read_what_one_reads() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile, inks = rgb_profile(ADOBE_TO_XYZ, gamma_curve(2.2)), ink_profile(lambda c, m, y, k: (50, c, m))
    pictures = [
        encoded(as_mode("RGB"), "JPEG", exif=exif, icc_profile=profile),
        encoded(as_mode("CMYK"), "TIFF", compression="tiff_lzw", icc_profile=inks),
        encoded(as_mode("RGBA"), "PNG"), encoded(as_mode("RGB"), "AVIF"), encoded(as_mode("LAB"), "TIFF"),
        encoded(as_mode("F"), "TIFF"), encoded(as_mode("P"), "GIF"), encoded(as_mode("RGB"), "WEBP"),
    ]  # fmt: skip
    alone = [read_image(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        for number, together in enumerate(pool.map(read_image, pictures * 30)):
            assert np.array_equal(together, alone[number % len(pictures)])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("RGB", "TIFF"), ("RGBA", "PNG"), ("L", "PNG")])
def test_a_picture_takes_the_memory_of_pillow_and_of_the_result_and_no_more(
    tmp_path: Path, mode: str, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "large").write_bytes(encoded(Image.new(mode, (4000, 2500)), kind, exif=exif))
    pillow = {"L": 1, "RGB": 4, "RGBA": 4}[mode]
    # Pillow itself turns a TIFF, which holds it twice.
    assert bytes_a_pixel(tmp_path / "large", "read_image(path)", 10e6) <= 3 + pillow * (1 + (kind == "TIFF")) + 0.7


def bytes_a_pixel(path: Path, call: str, pixels: float) -> float:
    """Returns the peak of memory during `call`, which reads a picture of so many `pixels`."""
    script = (
        "import sys, re, pathlib\n"
        "from segtool.imaging.codec import read_image, read_resized\n"
        "def kib(name):\n"
        "    return int(re.search(name + r':\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])\n"
        "path = pathlib.Path(sys.argv[1])\n"
        f"{call}\n"  # everything is imported now, and the allocators are warm
        "before = kib('VmRSS')\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5')\n"
        f"kept = {call}\n"
        "print((kib('VmHWM') - before) * 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    return float(done.stdout) / pixels


def slopes(width: int, height: int) -> Image.Image:
    """Returns a picture whose red rises to the right and whose green rises downwards: where a pixel is, can be seen."""
    x, y = np.meshgrid(np.linspace(0, 250, width), np.linspace(0, 250, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 90)], axis=-1).round().astype(np.uint8))


def decoded_sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Returns a list that fills with the sizes of what is resized."""
    sizes: list[tuple[int, ...]] = []

    def noting(resize: Callable[..., Pixels]) -> Callable[..., Pixels]:
        def noted(image: Pixels, size: tuple[int, int], **options: Any) -> Pixels:
            sizes.append(image.shape[:2])
            return resize(image, size, **options)

        return noted

    for resize in (resize_image, shrink_means):
        monkeypatch.setattr(f"segtool.imaging.codec.{resize.__name__}", noting(resize))
    return sizes


# Sides of every remainder: the last of the pixels decoded lies partly beyond the picture.
@pytest.mark.parametrize("size", [(800, 600), (801, 607), (799, 601), (803, 605), (601, 809)])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_jpeg_decoded_small_is_the_whole_one_resized(size: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(slopes(*size), "JPEG", exif=exif, quality=95)
    whole = read_image(data)
    for wanted in ((24, 32), (32, 24), (50, 66), (80, 97)):
        pixels, own = read_resized(data, lambda height, width, wanted=wanted: wanted)  # type: ignore[misc]
        assert own == whole.shape[:2]
        assert pixels.shape == (*wanted, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
        off = np.abs(pixels.astype(int) - resize_image(whole, wanted))
        assert off.max() <= 2 and off.mean() < 0.6  # a stretch by the part beyond would be 2.5 and more at the end


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("RGB", "JPEG", {"progressive": True}),
        ("RGB", "JPEG", {"subsampling": 0}),
        ("RGB", "JPEG", {"subsampling": 1, "restart_marker_rows": 1}),
        ("RGB", "JPEG", {"icc_profile": rgb_profile(ADOBE_TO_XYZ, gamma_curve(2.2))}),
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("CMYK", "JPEG", {"icc_profile": ink_profile(lambda c, m, y, k: (50, c, m))}),
        ("RGB", "MPO", {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]}),
    ],
)
def test_jpegs_of_every_kind_are_decoded_small_in_their_colours(
    mode: str, kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(slopes(403, 302).convert(mode), kind, quality=95, **options)
    whole = resize_image(read_image(data), (24, 32))
    sizes = decoded_sizes(monkeypatch)
    pixels, own = read_resized(data, lambda height, width: (24, 32))
    assert (own, sizes) == ((302, 403), [(76, 101)])
    off = np.abs(pixels.astype(int) - whole)
    assert off.max() <= 4 and off.mean() < 1


@pytest.mark.parametrize(
    ("size", "wanted", "scale"),
    [
        ((800, 600), (int(600 / (8 * HEADROOM)), int(800 / (8 * HEADROOM))), 8),
        ((800, 600), (int(600 / (4 * HEADROOM)), int(800 / (4 * HEADROOM))), 4),
        ((800, 600), (int(600 / (4 * HEADROOM)) + 1, 4), 2),
        ((800, 600), (4, int(800 / (4 * HEADROOM)) + 1), 2),
        ((800, 600), (int(600 / HEADROOM), int(800 / HEADROOM)), 1),
        ((800, 600), (1200, 900), 1),
        ((800, 3), (1, 50), 1),
        ((1, 1), (1, 1), 1),
    ],
)
def test_a_jpeg_is_decoded_as_small_as_leaves_some_pixels_for_each_one_wanted(
    size: tuple[int, int], wanted: tuple[int, int], scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = decoded_sizes(monkeypatch)
    data = encoded(slopes(*size), "JPEG")
    pixels, _ = read_resized(data, lambda height, width: wanted)
    assert sizes == [(-(-size[1] // scale), -(-size[0] // scale))]
    if scale == 1:
        assert np.array_equal(pixels, resize_image(read_image(data), wanted))


@pytest.mark.parametrize("scale", [4, 8])
def test_means_of_blocks_are_shrunk_to_nearer_what_the_whole_picture_is_shrunk_to(scale: int) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (19, 25, 3), np.uint8)
    whole = np.asarray(cv2.resize(coarse, (800, 608), interpolation=cv2.INTER_CUBIC), np.uint8)
    blocks = resize_image(whole, (608 // scale, 800 // scale))  # which of whole blocks is their mean
    for wanted in ((608 // scale // 2 + 1, 800 // scale // 2 + 1), (608 // scale // 3, 800 // scale // 3)):
        expected = resize_image(whole, wanted).astype(int)
        extent = blocks.shape[0], blocks.shape[1]
        off, plain_off = (
            np.abs(shrink(blocks, wanted, extent=extent) - expected).mean() for shrink in (shrink_means, resize_image)
        )
        assert off < 0.8 * plain_off


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000", "PPM", "TGA"])
def test_what_is_no_jpeg_is_resized_from_the_whole(kind: str) -> None:
    data = encoded(slopes(200, 150), kind)
    pixels, own = read_resized(data, lambda height, width: (height // 10, width // 8))
    assert own == (150, 200)
    assert np.array_equal(pixels, resize_image(read_image(data), (15, 25)))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux")
def test_a_jpeg_decoded_small_takes_a_small_part_of_its_memory(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 3000)).save(tmp_path / "large.jpg")
    assert bytes_a_pixel(tmp_path / "large.jpg", "read_resized(path, lambda height, width: (192, 256))", 12e6) < 1
