"""What a run writes beside masks, or of one picture: every kind of output opened by a second reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from pycocotools.coco import COCO
from quick_runs import COUNT, files, piped, pixels

from segtool.imaging.codec import read_image

# --- more outputs


def test_outputs_asked_for_later_leave_the_masks_as_they_are(photos: Path, segtool: Run) -> None:
    more = ["--overlays", "overlays", "--probabilities", "probabilities", "-w", "shapes"]
    assert segtool("mask", photos, "at-once", "-w", "shapes", *more).returncode == 0
    at_once = files("overlays"), files("probabilities")
    assert segtool("mask", photos, "out", "-w", "shapes").returncode == 0
    before = {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")}
    more[1], more[3] = "overlays2", "probabilities2"
    done = segtool("mask", photos, "out", *more)
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")} == before
    assert (files("overlays2"), files("probabilities2")) == at_once
    assert len(at_once[0]) == len(at_once[1]) == COUNT
    last = segtool("mask", photos, "out", *more)
    assert f"{COUNT} kept from before" in last.stderr


def test_another_style_makes_the_overlays_again_and_nothing_else(photos: Path, segtool: Run) -> None:
    arguments = ["mask", photos, "out", "--overlays", "overlays", "-w", "shapes"]
    assert segtool(*arguments).returncode == 0
    tinted = files("overlays")
    before = {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")}
    for style in ("contour", "dim", "side-by-side"):
        assert segtool(*arguments, "--style", style).returncode == 0
        assert {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")} == before
        assert files("overlays").keys() == tinted.keys()
        assert not set(files("overlays").values()) & set(tinted.values())
    picture = pixels(photos / "00000.png")
    assert pixels("overlays/00000.png").shape[1] >= 2 * picture.shape[1]


@pytest.mark.parametrize("options", [[], ["--only", "car,road"], ["--values", "source"], ["--values", "id"]])
def test_the_coco_file_decodes_to_the_masks(
    options: list[str], ids: dict[str, Any], photos: Path, four: Path, segtool: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    done = segtool("mask", photos, "out", "-w", four, "--coco", "coco.json", *options)
    assert done.returncode == 0, done.stderr
    coco = COCO("coco.json")
    assert sorted(image["file_name"] for image in coco.imgs.values()) == [f"photos/{i:05}.png" for i in range(COUNT)]
    names = {c["id"]: c["name"] for c in coco.cats.values()}
    merged = "--only" in options
    assert names == ({1: "car+road"} if merged else {3: "car", 7: "person", 9: "road"})
    for image in coco.imgs.values():
        truth = ids[Path(image["file_name"]).name]
        assert (image["height"], image["width"]) == truth.shape
        decoded = np.zeros_like(truth)
        for annotation in coco.imgToAnns[image["id"]]:
            here = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == here.sum() > 0
            ys, xs = np.nonzero(here)
            left, top = xs.min(), ys.min()
            assert annotation["bbox"] == [left, top, xs.max() - left + 1, ys.max() - top + 1]
            decoded[here] = annotation["category_id"]
        assert np.array_equal(decoded, np.isin(truth, (3, 9)) if merged else truth)


def test_the_coco_file_counts_masks_of_earlier_runs(photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "out", "-w", "shapes").returncode == 0
    done = segtool("mask", photos, "out", "-w", "shapes", "--coco", "coco.json")
    assert done.returncode == 0
    assert len(json.loads(Path("coco.json").read_text())["images"]) == COUNT


@pytest.mark.parametrize("suffix", ["", "_mask"])
@pytest.mark.parametrize("form", ["255", "id", "palette"])
def test_masks_made_before_are_painted_like_predicted_ones(form: str, suffix: str, photos: Path, segtool: Run) -> None:
    assert segtool("overlay", photos, "predicted", "-w", "shapes").returncode == 0
    assert segtool("mask", photos, "masks", "-w", "shapes", "--values", form).returncode == 0
    Path("theirs").mkdir()
    for mask in Path("masks").glob("*.png"):
        mask.rename(Path("theirs") / f"{mask.stem}{suffix}.png")
    done = segtool("overlay", photos, "painted", "--masks", "theirs")
    assert done.returncode == 0, done.stderr
    for name in (f"{i:05}.png" for i in range(COUNT)):
        predicted, painted = read_image(Path("predicted") / name), read_image(Path("painted") / name)
        picture = read_image(photos / name)
        assert np.array_equal((predicted != picture).any(axis=2), (painted != picture).any(axis=2))
    assert f"{COUNT} kept" in segtool("overlay", photos, "painted", "--masks", "theirs").stderr


def test_a_picture_without_a_mask_is_named_and_a_corrected_mask_is_painted_again(photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "masks", "-w", "shapes").returncode == 0
    Path("masks/00000.png").unlink()
    done = segtool("overlay", photos, "painted", "--masks", "masks", "-q")
    assert done.returncode == 3
    assert "photos/00000.png has no mask of its name." in done.stderr
    before = files("painted")
    Image.fromarray(255 - pixels("masks/00001.png")).save("masks/00001.png")
    assert segtool("overlay", photos, "painted", "--masks", "masks", "-q").returncode == 3
    changed = {name for name, content in files("painted").items() if before.get(name) != content}
    assert changed == {"00001.png", "segtool.jsonl"}


# --- one picture


@pytest.mark.parametrize("to_stdout", [True, False])
@pytest.mark.parametrize("from_stdin", [True, False])
def test_one_picture_goes_through_pipes(
    from_stdin: bool, to_stdout: bool, photos: Path, segtool: Run, tmp_path: Path
) -> None:
    assert segtool("mask", photos / "00000.png", "reference.png", "-w", "shapes").returncode == 0
    source, target = "-" if from_stdin else "photos/00000.png", "-" if to_stdout else "mask.png"
    stdin = (photos / "00000.png").read_bytes() if from_stdin else b""
    code, out, err = piped("mask", source, target, "-w", "shapes", stdin=stdin)
    assert code == 0, err
    assert (out if to_stdout else Path("mask.png").read_bytes()) == Path("reference.png").read_bytes()
    assert b"1 mask written" in err
    assert not Path("segtool.jsonl").exists()


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_stdin_that_holds_no_picture_is_named_and_nothing_is_written(content: bytes) -> None:
    code, out, err = piped("mask", "-", "-", "-w", "shapes", "-q", stdin=content)
    assert (code, out) == (3, b"")
    assert len(err.splitlines()) == 1 and b"Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-", "out/"], 2, "name a file"),
        (["-", "out.jpg"], 2, "which is a PNG"),
        (["-", "-", "--json"], 2, "both want stdout"),
        (["photos", "-"], 2, "photos is a folder"),
        (["photos/00000.png", "photos/00001.png", "-"], 2, "one picture"),
        (["photos/00000.png", "there.png"], 1, "there.png exists already"),
        (["photos/00000.png", "one.png", "--overlays", "o"], 2, "one output of one picture"),
    ],
)
def test_what_one_picture_cannot_do_is_a_sentence(
    arguments: list[str], code: int, sentence: str, photos: Path, segtool: Run
) -> None:
    Path("there.png").write_bytes(b"mine")
    done = segtool("mask", *arguments, "-w", "shapes")
    assert done.returncode == code
    assert sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert Path("there.png").read_bytes() == b"mine"


def test_true_masks_are_painted_in_the_classes_of_their_dataset(
    colored_shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    masks = colored_shapes / "val/masks"
    done = segtool("overlay", colored_shapes / "val/images", tmp_path / "out", "--masks", masks)
    assert done.returncode == 0, done.stderr
    assert "4 = star" in done.stderr
