"""Every picture a stranger could hand in: whole ones of every mode and format, and broken ones of all kinds.

All are generated, the same each time. Names are unique up to the suffix, so that masks made of them do not collide.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIZE = (23, 17)
NAMES = {"RGBa": "premultiplied"}  # masks of RGBA and RGBa would have one name where case does not count
MODES = ("1", "L", "P", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "I;16",
         "I;16B", "I;16L", "I;16N")  # fmt: skip
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "AVIF": ".avif", "GIF": ".gif",
           "BMP": ".bmp", "DIB": ".dib", "JPEG2000": ".jp2", "PPM": ".ppm", "TGA": ".tga", "MPO": ".jpeg"}  # fmt: skip
# What Pillow also writes, and partly reads: here it has the suffix of another format. An EPS is a program.
FOREIGN = ("EPS", "PDF", "ICO", "ICNS", "PCX", "SGI", "DDS", "QOI", "SPIDER")
DAMAGED = ("PNG RGB", "PNG P", "PNG I;16", "JPEG RGB", "JPEG CMYK", "TIFF RGB", "TIFF I;16B", "WEBP RGBA", "AVIF RGB",
           "GIF P", "BMP RGB", "JPEG2000 RGB", "PPM RGB", "TGA RGBA", "lzw", "jpeg in tiff", "exif", "moving gif",
           "moving png", "moving webp")  # fmt: skip
CUTS = (0.02, 0.25, 0.5, 0.9, 0.99)
FLIPS = 4


def gradient(mode: str) -> Image.Image:
    """Returns a small picture of `mode` whose colours differ everywhere, and whose transparency does."""
    x, y = np.meshgrid(np.linspace(0, 255, SIZE[0]), np.linspace(0, 255, SIZE[1]))
    if mode.startswith("I;16"):
        return Image.frombytes(mode, SIZE, (x * 257).astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    if mode == "I":
        return Image.fromarray((x * 1e6 - 1e8).astype(np.int32))
    if mode == "F":
        return Image.fromarray((x / 100 - 1).astype(np.float32))
    rgba = Image.fromarray(np.stack([x, y, 255 - x, 255 - y / 2], axis=-1).astype(np.uint8))
    if mode in ("RGBA", "RGBa", "LA"):
        return rgba.convert(mode)
    if mode == "PA":
        return Image.merge("PA", (rgba.convert("RGB").quantize(64), rgba.getchannel("A")))
    return rgba.convert("RGB").convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Returns `image` as a file of the format that Pillow calls `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(image: Image.Image, *, exif: bytes = b"") -> bytes:
    """Returns `image` as HEIC, turned as its EXIF says. Skips the test where pillow-heif is not installed."""
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(image)
    if exif:
        file.info["exif"] = exif
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, matrix_coefficients=0)
    return bytes(buffer.getvalue())


def hostile_files() -> dict[str, bytes]:
    """Returns all the files by name."""
    whole = dict(whole_files())
    suffixes = {Path(name).stem: Path(name).suffix for name in whole}
    return whole | dict(_foreign()) | dict(_damaged(whole, suffixes)) | dict(_misnamed(whole, suffixes)) | dict(_odd())


def whole_files() -> Iterator[tuple[str, bytes]]:
    """Yields what any viewer would show."""
    for kind, suffix in FORMATS.items():
        for mode in MODES:
            try:
                yield f"{kind} {NAMES.get(mode, mode)}{suffix}", encoded(gradient(mode), kind)
            except (OSError, ValueError, KeyError):  # a format that has no such mode
                continue
    rgb, frames = gradient("RGB"), [gradient("RGB").rotate(angle) for angle in (90, 180)]
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "exif.jpg", encoded(rgb, "JPEG", exif=exif)
    yield "lzw.tif", encoded(rgb, "TIFF", compression="tiff_lzw")
    yield "jpeg in tiff.tif", encoded(rgb, "TIFF", compression="jpeg")
    yield "pages.tif", encoded(rgb, "TIFF", save_all=True, append_images=frames)
    for kind in ("GIF", "PNG", "WEBP"):
        moving = encoded(rgb, kind, save_all=True, append_images=frames)
        yield f"moving {kind.lower()}{FORMATS[kind]}", moving
    yield "two.jpeg", encoded(rgb, "MPO", save_all=True, append_images=frames[:1])
    for kind in ("PNG", "TIFF", "JPEG"):
        for width, height in ((20000, 1), (1, 20000)):
            strip = Image.linear_gradient("L").resize((width, height)).convert("RGB")
            yield f"{width} by {height} in {kind}{FORMATS[kind]}", encoded(strip, kind)


def _foreign() -> Iterator[tuple[str, bytes]]:
    for number, kind in enumerate(FOREIGN):
        yield f"foreign {kind}{list(FORMATS.values())[number]}", encoded(gradient("RGB"), kind)


def _damaged(whole: dict[str, bytes], suffixes: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(3)
    for stem in DAMAGED:
        data = whole[stem + suffixes[stem]]
        for cut in CUTS:
            yield f"{stem} cut at {cut:.0%}{suffixes[stem]}", data[: max(1, round(len(data) * cut))]
        for number in range(FLIPS):
            flipped = bytearray(data)
            for _ in range(1 + len(data) // 200):
                flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            yield f"{stem} flipped {number}{suffixes[stem]}", bytes(flipped)


def _misnamed(whole: dict[str, bytes], suffixes: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for kind, other in zip(FORMATS, [*list(FORMATS)[1:], "PNG"], strict=True):
        stem = f"{kind} RGB"
        yield f"{stem} called {other}{FORMATS[other]}", whole[stem + suffixes[stem]]


def _odd() -> Iterator[tuple[str, bytes]]:
    for files in (_no_pictures(), _huge(), _no_size(), _lying_metadata()):
        for name, data in files:
            yield f"{Path(name).stem} as {Path(name).suffix[1:]}{Path(name).suffix}", data


def _no_pictures() -> Iterator[tuple[str, bytes]]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("photo.jpg", encoded(gradient("RGB"), "JPEG"))
    noise = random.Random(1).randbytes(4000)
    contents = {
        "zip": archive.getvalue(), "text": b"not a picture\n" * 40, "html": b"<!doctype html><title>404</title>" * 20,
        "program": b"\x7fELF\x02\x01\x01" + bytes(9) + noise, "empty": b"", "byte": b"\xff", "zeros": bytes(5000),
        "noise": noise, "json": b'{"error": "not found"}', "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "magic of png": b"\x89PNG\r\n\x1a\n", "magic of jpeg": b"\xff\xd8\xff", "magic of gif": b"GIF89a",
        "magic of tiff": b"II*\0", "magic of webp": b"RIFF\0\0\0\0WEBPVP8 ", "magic of bmp": b"BM",
    }  # fmt: skip
    for number, (name, data) in enumerate(contents.items()):
        yield f"{name}{list(FORMATS.values())[number % len(FORMATS)]}", data


def _huge() -> Iterator[tuple[str, bytes]]:
    """Yields headers that declare more pixels than are read, and as many as just are, with next to nothing behind."""
    bmp = struct.Struct("<IIIIiiHHIIiiII")
    for name, side in (("huge", 60000), ("large", 12000)):
        screen = struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
        yield f"{name}.png", png(side, side)
        yield f"{name}.gif", b"GIF89a" + screen + gif_frame(9, 9)
        yield f"{name} frame.gif", b"GIF89a\x09\0\x09\0\0\0\0" + gif_frame(side, side)
        yield f"{name}.bmp", b"BM" + bmp.pack(99, 0, 54, 40, side, side, 1, 24, *[0] * 6)
        yield f"{name}.tif", tiff(side, side)
        yield f"{name} tiles.tif", tiff(side, side, tiled=True)
        yield f"{name}.ppm", f"P6 {side} {side} 255\n".encode() + bytes(30)
        yield f"{name}.tga", tga(side, side) + bytes(30)
    yield "huge.jpg", resized_jpeg(60000, 60000)
    yield "huge.webp", webp_canvas(60000, 60000)
    yield "huge lossless.webp", webp_lossless(16384, 16384)
    # Of these, what is missing is grey or transparent: they are pictures, and take the time of pictures.
    yield "large.jpg", resized_jpeg(2000, 2000)
    yield "large.webp", webp_canvas(2000, 2000)
    yield "large lossless.webp", webp_lossless(2000, 2000)
    yield "beyond 32 bits.webp", webp_canvas(1 << 24, 1 << 24)
    yield "beyond 32 bits.png", png((1 << 31) - 1, (1 << 31) - 1)


def _no_size() -> Iterator[tuple[str, bytes]]:
    yield "nothing.png", png(0, 0)
    yield "nothing wide.png", png(0, 5)
    yield "nothing.gif", b"GIF89a" + bytes(7) + gif_frame(0, 0)
    yield "nothing.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 0, 0, 1, 24, *[0] * 6)
    yield "nothing.tif", tiff(0, 0)
    yield "nothing.ppm", b"P6 0 0 255\n"
    yield "nothing.tga", tga(0, 0)
    yield "nothing.jpg", resized_jpeg(0, 0)
    yield "upside down.bmp", b"BM" + struct.pack("<IIIIiiHHIIiiII", 62, 0, 54, 40, 1, -1, 1, 24, *[0] * 6) + bytes(4)


def _lying_metadata() -> Iterator[tuple[str, bytes]]:
    rgb = gradient("RGB")
    for name, exif in {
        "short": b"Exif\0\0MM\0*",
        "odd": b"Exif\0\0" + b"\xff" * 90,
        "far": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    }.items():
        yield f"{name} exif.jpg", encoded(rgb, "JPEG", exif=exif)
        yield f"{name} exif.webp", encoded(rgb, "WEBP", exif=exif)
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        yield f"profile in {kind}{FORMATS[kind]}", encoded(rgb, kind, icc_profile=b"no profile" * 50)
    yield "profile bomb.png", png(1, 1, chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(20 << 20))))
    yield "text bomb.png", png(1, 1, chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(20 << 20))))
    yield "samples.tif", tiff(4, 4, samples=60000)
    yield "circle.tif", tiff(4, 4, next_page=8)
    yield "directory far away.tif", b"II*\0\xf0\xff\xff\x7f" + bytes(40)
    yield "tag of 4 GB.tif", tiff(4, 4, extra=struct.pack("<HHII", 700, 1, 0xFFFFFFF0, 8))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, depth: int = 8, color: int = 2, rows: bytes = bytes(60)) -> bytes:
    """Returns a PNG as its parts say, whether they agree or not."""
    header = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, depth, color, 0, 0, 0)
    parts = chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif_frame(width: int, height: int) -> bytes:
    """Returns one frame of a GIF, whose data is too short."""
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\x00;"


def tiff(
    width: int, height: int, *, samples: int = 3, tiled: bool = False, next_page: int = 0, extra: bytes = b""
) -> bytes:
    """Returns an uncompressed RGB TIFF of one page, with 48 bytes of pixels at most."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(277, 3, 1, samples)]
    tags += (
        [(322, 4, 1, width), (323, 4, 1, height), (324, 4, 1, 200)]
        if tiled
        else [(273, 4, 1, 200), (278, 4, 1, height)]
    )
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags) + extra
    directory = struct.pack("<H", len(tags) + len(extra) // 12) + body + struct.pack("<I", next_page)
    return (b"II*\0\x08\0\0\0" + directory).ljust(200, b"\0") + bytes(range(48))


def resized_jpeg(width: int, height: int) -> bytes:
    """Returns a JPEG whose header declares another size."""
    data = bytearray(encoded(gradient("RGB"), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def riff(kind: bytes, data: bytes) -> bytes:
    """Returns a WebP of one chunk."""
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data.ljust(len(data) + len(data) % 2, b"\0")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tga(width: int, height: int) -> bytes:
    """Returns the header of a TGA."""
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, height, 24, 0)


def webp_lossless(width: int, height: int) -> bytes:
    """Returns the header of a lossless WebP of at most 16384 pixels a side."""
    return riff(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_canvas(width: int, height: int) -> bytes:
    """Returns an animated WebP whose canvas has this size, and whose one frame is small."""
    frame = encoded(gradient("RGB"), "WEBP")[12:]
    x = bytes([2, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    at = bytes(6) + (SIZE[0] - 1).to_bytes(3, "little") + (SIZE[1] - 1).to_bytes(3, "little") + bytes(4)
    chunks = ((b"VP8X", x), (b"ANIM", bytes(6)), (b"ANMF", at + frame))
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
