"""`segtool mask` and `segtool overlay` as a user runs them, on the bundled tiny weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image

from segtool.imaging.codec import read_image


@pytest.fixture(scope="module")
def masked(shapes: Path, segtool: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The masks of the shapes dataset's val images. Not to be changed."""
    output = tmp_path_factory.mktemp("masked") / "out"
    done = segtool("mask", shapes / "val/images", output, "-w", "shapes")
    assert done.returncode == 0, done.stderr
    return output


def masks_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def hostile_folder(folder: Path, picture: Image.Image) -> dict[str, str]:
    """Fills `folder` with what real folders hold; returns the names that no mask can be made for, and why."""
    (folder / "Ferien in Köln 漢字").mkdir(parents=True)
    picture.save(folder / "photo.jpg", quality=95)
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=turned, quality=95)
    picture.convert("L").save(folder / "grey.png")
    picture.quantize(32).save(folder / "palette.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    opaque_left = Image.new("L", picture.size, 255)
    opaque_left.paste(90, (picture.width // 2, 0, picture.width, picture.height))
    glass = picture.copy()
    glass.putalpha(opaque_left)
    glass.save(folder / "glass.png")
    deep = np.asarray(picture.convert("L")).astype(np.uint16) * 256
    Image.fromarray(deep).save(folder / "deep.png")
    picture.resize((1, 1)).save(folder / "dot.png")
    picture.save(folder / "Ferien in Köln 漢字" / "été.jpg", quality=95)
    (folder / "letter.jpg").write_text("Dear reader, this is no picture.")
    (folder / "cut.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:900])
    (folder / "empty.jpg").write_bytes(b"")
    return {"letter.jpg": "is not a picture", "cut.jpg": "cannot be decoded", "empty.jpg": "is an empty file"}


def test_every_readable_picture_gets_the_mask_of_its_pixels_and_every_other_is_named(
    shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    picture = Image.open(shapes / "val/images/00000.png")
    photos, plain = tmp_path / "photos", tmp_path / "plain"
    unreadable = hostile_folder(photos, picture)
    readable = [p for p in photos.rglob("*") if p.is_file() and p.name not in unreadable]
    for path in readable:
        copy = plain / path.relative_to(photos).with_suffix(".png")
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(read_image(path)).save(copy)

    done = segtool("mask", photos, tmp_path / "masks", "-w", "shapes")
    reference = segtool("mask", plain, tmp_path / "reference", "-w", "shapes")

    assert (done.returncode, reference.returncode) == (3, 0)
    assert "Traceback" not in done.stderr
    for name, reason in unreadable.items():
        assert any(name in line and reason in line for line in done.stderr.splitlines()), (name, done.stderr)
    masks = masks_in(tmp_path / "masks")
    assert len(masks) == len(readable)
    assert masks == masks_in(tmp_path / "reference")
    with Image.open(tmp_path / "masks/turned.png") as turned:
        assert turned.size == picture.size[::-1]


def test_a_mask_is_an_8_bit_png_of_0_and_255_at_the_pictures_size(masked: Path, shapes: Path) -> None:
    for image in (shapes / "val/images").iterdir():
        with Image.open(image) as picture, Image.open(masked / image.name) as mask:
            assert (mask.size, mask.mode, mask.format) == (picture.size, "L", "PNG")
            assert set(np.unique(np.asarray(mask))) <= {0, 255}


def test_the_bundled_shapes_weights_find_shapes(masked: Path, shapes: Path) -> None:
    agreement = [
        np.mean(np.asarray(Image.open(masked / m.name)) == np.asarray(Image.open(m)))
        for m in (shapes / "val/masks").iterdir()
    ]
    assert np.mean(agreement) > 0.95


def test_masks_do_not_depend_on_the_batch(masked: Path, shapes: Path, segtool: Run, tmp_path: Path) -> None:
    segtool("mask", shapes / "val/images", tmp_path / "out", "-w", "shapes", "--batch-size", 1)
    assert masks_in(tmp_path / "out") == masks_in(masked)


def test_the_record_says_what_each_mask_was_made_from(masked: Path, shapes: Path) -> None:
    lines = [json.loads(line) for line in (masked / "segtool.jsonl").read_text().splitlines()]
    assert {Path(line["input"]) for line in lines} == {p.resolve() for p in (shapes / "val/images").iterdir()}
    for line in lines:
        made = masked / line["outputs"]["mask"]["path"]
        foreground = np.mean(np.asarray(Image.open(made)) == 255)
        assert line["status"] == "done"
        assert (line["width"], line["height"]) == Image.open(made).size
        assert line["foreground"] == pytest.approx(foreground, abs=1e-6)
        assert 0 <= line["confidence"] <= 1


def test_a_second_run_makes_only_what_is_missing_or_changed(
    masked: Path, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(shapes / "val/images", photos)
    assert segtool("mask", photos, out, "-w", "shapes").returncode == 0
    (out / "00000.png").unlink()
    shutil.copy(shapes / "train/images/00000.png", photos / "00001.png")
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.png")}

    again = segtool("mask", photos, out, "-w", "shapes")

    assert again.returncode == 0, again.stderr
    changed = {p.name for p in out.glob("*.png") if before.get(p.name) != p.stat().st_mtime_ns}
    assert changed == {"00000.png", "00001.png"}
    assert "2 masks written" in again.stderr
    assert "4 kept from before" in again.stderr


def test_a_file_segtool_did_not_make_is_left_alone_and_named(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "00000.png").write_bytes(b"mine")
    done = segtool("mask", shapes / "val/images", out, "-w", "shapes")
    assert done.returncode == 3
    assert "00000.png" in done.stderr
    assert (out / "00000.png").read_bytes() == b"mine"
    assert len(list(out.glob("*.png"))) == 6


def test_one_picture_can_be_written_to_a_file_of_any_name(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    done = segtool("mask", shapes / "val/images/00000.png", tmp_path / "one.png", "-w", "shapes")
    assert done.returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["one.png"]


def test_the_first_and_the_last_notice_say_how_and_how_many(shapes: Path, segtool_process: Run, tmp_path: Path) -> None:
    done = segtool_process("mask", shapes / "val/images/00000.png", tmp_path / "out", "-w", "shapes")
    first, *_, last = done.stderr.splitlines()
    assert done.stdout == ""
    for word in ("cpu", "float", "batches of 16", "weights shapes", "Apache-2.0"):
        assert word in first
    assert last.startswith(f"1 mask written to {tmp_path / 'out'}")
    assert "pictures/s" in last


def test_quiet_says_nothing_but_failures(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(shapes / "val/images/00000.png", tmp_path / "in")
    (tmp_path / "in/bad.jpg").write_text("no picture")
    done = segtool("mask", tmp_path / "in", tmp_path / "out", "-w", "shapes", "--quiet")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "bad.jpg" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere", "out"], 2, "There is no file or folder nowhere."),
        (["empty", "out"], 1, "There are no pictures in empty."),
        (["empty", "empty"], 2, "input and output at once"),
        (["photos", "out", "-w", "nothing"], 1, "There are no weights 'nothing'"),
        (["photos", "out", "-w", "shapes", "--precision", "float17"], 2, "--precision float17"),
        (["photos", "taken", "-w", "shapes"], 2, "taken is a file"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_an_exit_code(
    arguments: list[str], code: int, sentence: str, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").write_text("taken")
    (tmp_path / "photos").mkdir()
    shutil.copy(shapes / "val/images/00000.png", tmp_path / "photos")
    shutil.copy(shapes / "val/images/00001.png", tmp_path / "photos")
    done = segtool("mask", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_ends_the_run_with_one_sentence(
    shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    done = segtool("mask", shapes / "val/images", tmp_path / "file" / "out", "-w", "shapes")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "Not a directory" in sentence


def test_overlays_show_the_picture_with_the_mask_in_its_colour(
    masked: Path, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    done = segtool("overlay", shapes / "val/images", tmp_path, "-w", "shapes", "--opacity", 1)
    assert done.returncode == 0
    for mask in masked.glob("*.png"):
        here = np.asarray(Image.open(mask)) == 255
        painted, picture = read_image(tmp_path / mask.name), read_image(shapes / "val/images" / mask.name)
        assert np.array_equal(painted[~here], picture[~here])
        assert len(np.unique(painted[here], axis=0)) <= 1


def test_an_overlay_of_a_jpeg_is_a_jpeg(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    photo = tmp_path / "in" / "photo.jpg"
    photo.parent.mkdir()
    Image.open(shapes / "val/images/00000.png").save(photo)
    assert segtool("overlay", photo.parent, tmp_path / "out", "-w", "shapes").returncode == 0
    with Image.open(tmp_path / "out/photo.jpg") as painted, Image.open(photo) as picture:
        assert (painted.format, painted.size) == ("JPEG", picture.size)


def test_a_second_folder_never_replaces_the_masks_of_the_first(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    for day, picture in (("monday", "00000.png"), ("tuesday", "00001.png")):
        (tmp_path / day).mkdir()
        shutil.copy(shapes / "val/images" / picture, tmp_path / day / "1.png")
    segtool("mask", tmp_path / "monday", tmp_path / "out", "-w", "shapes")
    first = (tmp_path / "out/1.png").read_bytes()
    done = segtool("mask", tmp_path / "tuesday", tmp_path / "out", "-w", "shapes")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/1.png").read_bytes() == first
    assert masks_in(tmp_path / "out").keys() == {"1.png", "1.png.png"}
