"""What a run writes and says: every kind of output opened by a second reader, lines on stdout, lists, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TERMINAL, Run
from PIL import Image
from pycocotools.coco import COCO
from quick_network import network

from segtool.card import Card, ClassInfo, read_card
from segtool.imaging.codec import read_image

COUNT = 6
FOUR = (
    ClassInfo(0, "background", (0, 0, 0)),
    ClassInfo(3, "car", (230, 159, 0)),
    ClassInfo(7, "person", (86, 180, 233)),
    ClassInfo(9, "road", (0, 158, 115)),
)
HELD = (0, 50, 100, 150)  # what the masks trained on held


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs use the quick network, which saves the seconds that loading weights takes."""
    monkeypatch.setitem(sys.modules, "segtool.engine.predictor", network(0.0))


@pytest.fixture
def photos(shapes: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pictures in the folder `photos` of the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for picture in (shapes / "val/images").iterdir():
        (tmp_path / "photos" / picture.name).hardlink_to(picture)
    return Path("photos")


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of four classes whose ids are not their places. Not to be changed."""
    import segtool.model  # noqa: F401  # chooses the Keras backend
    from segtool.model.unet import Architecture, build_unet, with_head
    from segtool.model.weights import save_weights

    path = tmp_path_factory.mktemp("four") / "four.keras"
    card = Card("four", "multiclass", FOUR, network_size=64, stride=2, mask_values=HELD)
    save_weights(with_head(build_unet(Architecture(classes=4, depth=1, width=4))), path, card)
    return path


def files(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def pixels(path: str | Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)


def piped(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Runs `segtool ARGUMENTS…` with the quick network in a process of its own, in a UTF-8 locale; bytes in and out."""
    command = [sys.executable, str(Path(__file__).with_name("quick_network.py")), "0", "never", *arguments]
    environment = {**os.environ, **TERMINAL, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- lines on stdout


def test_json_gives_a_line_a_picture_for_all_that_can_become_of_it(photos: Path, segtool: Run) -> None:
    first = segtool("mask", photos, "out", "--overlays", "overlays", "-w", "shapes", "--json", "-q")
    lines = json_lines(first.stdout)
    assert (first.returncode, first.stderr) == (0, "")
    assert {line["input"] for line in lines} == {f"photos/{i:05}.png" for i in range(COUNT)}
    for line in lines:
        assert (line["status"], line["error"]) == ("done", None)
        assert line["outputs"].keys() == {"mask", "overlay"}
        mask = pixels(line["outputs"]["mask"])
        assert mask.shape == (line["height"], line["width"]) == pixels(line["outputs"]["overlay"]).shape[:2]
        assert line["foreground"] == pytest.approx(np.mean(mask == 255), abs=1e-6)
        assert 0 <= line["confidence"] <= 1

    (photos / "bad.jpg").write_text("no picture")
    Path("out/00000.png").write_bytes(b"corrected by hand")
    Path("out/00001.png").unlink()
    second = segtool("mask", photos, "out", "--overlays", "overlays", "-w", "shapes", "--json", "-q")
    assert second.returncode == 3
    by_status: dict[str, list[str]] = {}
    for line in json_lines(second.stdout):
        by_status.setdefault(line["status"], []).append(line["input"])
        if line["status"] in ("done", "kept"):
            assert all(pixels(path).size for path in line["outputs"].values())
    assert by_status.pop("failed") == ["photos/bad.jpg"]
    assert by_status.pop("left") == ["photos/00000.png"]
    assert by_status.pop("done") == ["photos/00001.png"]
    assert sorted(by_status.pop("kept")) == [f"photos/{i:05}.png" for i in (0, 2, 3, 4, 5)]
    assert by_status == {}
    reasons = {line["input"]: line["error"] for line in json_lines(second.stdout) if line["error"]}
    assert "is not a picture" in reasons["photos/bad.jpg"]
    assert "is not as segtool left it" in reasons["photos/00000.png"]


def test_dry_run_prints_the_plan_and_touches_nothing(photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "out", "-w", "shapes").returncode == 0
    Path("out/00000.png").write_bytes(b"corrected by hand")
    Path("out/00001.png").unlink()
    Path("out/.segtool.stale.1.0.0123456789abcdef.tmp").write_bytes(b"stale")
    options = ["--dry-run", "--failed-list", "failed.txt", "--coco", "coco.json", "-w", "shapes"]
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}

    text = segtool("mask", photos, "out", *options)
    as_json = segtool("mask", photos, "out", *options, "--json")
    fresh = segtool("mask", photos, "new/out", "--overlays", "new/overlays", *options)

    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before
    assert (text.returncode, as_json.returncode, fresh.returncode) == (3, 3, 0)
    assert sorted(text.stdout.splitlines()) == sorted(
        [
            "left: photos/00000.png -> out/00000.png "
            "(is there already and is not as segtool left it; --force replaces it)",
            "planned: photos/00001.png -> out/00001.png",
            *(f"kept: photos/{i:05}.png -> out/{i:05}.png" for i in range(2, COUNT)),
        ]
    )
    lines = json_lines(as_json.stdout)
    assert [f"{line['status']}: {line['input']}" for line in lines] == [
        line.split(" -> ")[0] for line in text.stdout.splitlines()
    ]
    assert "1 mask to be written to out; nothing was done; 4 kept from before" in text.stderr
    assert "planned: photos/00000.png -> new/out/00000.png, new/overlays/00000.png" in fresh.stdout


def test_dry_run_of_one_picture_to_one_file_writes_nothing(photos: Path, segtool: Run) -> None:
    done = segtool("mask", photos / "00000.png", "one.png", "-w", "shapes", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "planned: photos/00000.png -> one.png\n")
    assert not Path("one.png").exists()


def test_a_plan_with_names_that_are_not_utf_8_can_be_printed(photos: Path) -> None:
    try:
        Path(os.fsdecode(b"photos/gr\xfc\xdfe.png")).hardlink_to(photos / "00000.png")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    for extra in ([], ["--json"]):
        code, out, err = piped("mask", "photos", "out", "-w", "shapes", "--dry-run", *extra)
        assert (code, len(out.splitlines())) == (0, COUNT + 1), err
        assert b"Traceback" not in err


def test_quiet_says_nothing_and_verbose_a_line_a_picture(photos: Path, segtool: Run) -> None:
    quiet = segtool("mask", photos, "quiet", "-w", "shapes", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    verbose = segtool("mask", photos, "verbose", "-w", "shapes", "-v")
    told = [line for line in verbose.stderr.splitlines() if line.startswith("done: ")]
    assert len(told) == COUNT and verbose.stdout == ""
    assert any("photos/00000.png -> verbose/00000.png (confidence 0." in line for line in told)


# --- failures


def test_fail_fast_stops_early_and_the_next_run_goes_on(photos: Path, segtool: Run) -> None:
    (photos / "0.jpg").write_text("no picture, and the first")
    for index in range(100):
        (photos / f"{index:03}-more.png").hardlink_to(photos / "00000.png")
    done = segtool("mask", photos, "out", "-w", "shapes", "--fail-fast", "-q")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1 and "0.jpg" in done.stderr
    assert not list(Path("out").glob("*.png"))  # what is decoded ahead is not written
    (photos / "0.jpg").unlink()
    assert segtool("mask", photos, "out", "-w", "shapes", "--fail-fast").returncode == 0
    assert len(list(Path("out").glob("*.png"))) == COUNT + 100


@pytest.mark.parametrize("nul", [False, True])
def test_the_failed_list_is_what_files_from_reads(nul: bool, photos: Path, segtool: Run) -> None:
    names = ["bad.jpg", "worse ü.jpg"] + (["bad\nline.jpg"] if nul else [])
    for name in names:
        (photos / name).write_text("no picture")
    options = ["--root", "photos", *(["-0"] if nul else []), "-w", "shapes", "-q", "--failed-list", "failed.txt"]
    Path("all.txt").write_bytes((b"\0" if nul else b"\n").join(sorted(os.fsencode(p.name) for p in photos.iterdir())))

    assert segtool("mask", "--files-from", "all.txt", "out", *options).returncode == 3
    listed = Path("failed.txt").read_bytes().split(b"\0" if nul else b"\n")
    assert sorted(listed) == sorted([b"", *(os.fsencode(photos.resolve() / name) for name in names)])

    good = (photos / "00000.png").read_bytes()
    (photos / "bad.jpg").unlink()  # as big as before in the same tick, it might pass for unchanged
    (photos / "bad.jpg").write_bytes(good)
    assert segtool("mask", "--files-from", "failed.txt", "out", *options).returncode == 3
    assert Path("out/bad.png").exists()
    assert os.fsencode(photos.resolve() / "bad.jpg") not in Path("failed.txt").read_bytes()
    for name in names[1:]:
        (photos / name).write_bytes(good)
    assert segtool("mask", "--files-from", "failed.txt", "out", *options).returncode == 0
    assert Path("failed.txt").read_bytes() == b""
    assert len(list(Path("out").glob("*.png"))) == COUNT + len(names)


@pytest.mark.parametrize("option", ["--failed-list", "--coco"])
def test_a_foreign_file_under_the_name_of_a_list_is_not_replaced(option: str, photos: Path, segtool: Run) -> None:
    Path("list").write_text("mine")
    refused = segtool("mask", photos, "out", "-w", "shapes", option, "list")
    assert refused.returncode == 1
    (sentence,) = refused.stderr.splitlines()
    assert "list is there already" in sentence and "--force" in sentence
    assert Path("list").read_text() == "mine"
    assert not Path("out").exists()
    assert segtool("mask", photos, "out", "-w", "shapes", option, "list", "--force").returncode == 0
    assert Path("list").read_text() != "mine"
    again = segtool("mask", photos, "out", "-w", "shapes", option, "list")
    assert again.returncode == 0, "what it wrote itself it may replace"
    Path("list").write_text("edited")
    assert segtool("mask", photos, "out", "-w", "shapes", option, "list").returncode == 1


def test_names_that_are_one_on_other_disks_get_outputs_of_their_own(photos: Path, segtool: Run) -> None:
    for name in ("Photo.png", "photo.png", "PHOTO/a.png", "photo/A.png"):
        (photos / name).parent.mkdir(exist_ok=True)
        try:
            (photos / name).hardlink_to(photos / "00000.png")
        except FileExistsError:
            pytest.skip("this file system does not tell case apart")
    assert segtool("mask", photos, "out", "-w", "shapes").returncode == 0
    made = [name.casefold() for name in files("out") if name.endswith(".png")]
    assert len(made) == len(set(made)) == COUNT + 4


def test_a_name_too_long_for_its_output_fails_alone(photos: Path, segtool: Run) -> None:
    long = "x" * 251
    (photos / f"{long}.jpg").hardlink_to(photos / "00000.png")
    (photos / f"{long}.png").hardlink_to(photos / "00001.png")  # the second wants both suffixes
    done = segtool("mask", photos, "out", "-w", "shapes", "-q")
    assert done.returncode == 3
    (told,) = done.stderr.splitlines()
    assert f"{long}.png" in told and "name too long" in told
    assert len(list(Path("out").glob("*.png"))) == COUNT + 1


# --- value forms


@pytest.fixture
def ids(photos: Path, four: Path, segtool: Run) -> dict[str, Any]:
    """The class ids of every picture by the weights `four`, with the quick network's opinion in four channels."""
    assert segtool("mask", photos, "ids", "-w", four, "--values", "id").returncode == 0
    found = {p.name: pixels(p) for p in Path("ids").glob("*.png")}
    assert len(found) == COUNT
    assert len(np.unique(np.concatenate([mask.ravel() for mask in found.values()]))) > 2
    return found


def masks_of(segtool: Run, photos: Path, *options: object) -> dict[str, Any]:
    assert segtool("mask", photos, "-w", *options[:1], *options[1:], "form/").returncode == 0
    return {p.name: pixels(p) for p in Path("form").glob("*.png")}


@pytest.mark.parametrize(("values", "held"), [(None, 255), ("255", 255), ("palette", 1), ("id", 1)])
def test_two_classes_are_held_as_asked(values: str | None, held: int, photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "reference", "-w", "shapes").returncode == 0
    option = [] if values is None else ["--values", values]
    for name, mask in masks_of(segtool, photos, "shapes", *option).items():
        assert np.array_equal(mask, (pixels(f"reference/{name}") > 0) * np.uint8(held))
        with Image.open(f"form/{name}") as picture:
            assert picture.mode == ("P" if values == "palette" else "L")
            if values == "palette":
                color = read_card(Path(__file__).parent.parent / "weights/shapes.keras").classes[1].color
                assert tuple((picture.getpalette() or [])[:6]) == (0, 0, 0, *color)


def test_soft_values_of_two_classes_are_above_half_just_where_the_mask_is(photos: Path, segtool: Run) -> None:
    assert segtool("mask", photos, "reference", "-w", "shapes", "--threshold", 0.5).returncode == 0
    for name, mask in masks_of(segtool, photos, "shapes", "--values", "soft").items():
        assert len(np.unique(mask)) > 10
        assert np.mean((mask >= 128) != (pixels(f"reference/{name}") > 0)) < 0.002


@pytest.mark.parametrize("values", [None, "palette"])
def test_more_classes_give_a_palette_whose_index_is_the_id_and_whose_colours_are_the_cards(
    values: str | None, ids: dict[str, Any], photos: Path, four: Path, segtool: Run
) -> None:
    option = [] if values is None else ["--values", values]
    for name, mask in masks_of(segtool, photos, four, *option).items():
        assert np.array_equal(mask, ids[name])
        with Image.open(f"form/{name}") as picture:
            assert picture.mode == "P"
            colors = np.reshape(picture.getpalette() or [], (-1, 3))
            assert all(tuple(colors[c.id]) == c.color for c in FOUR)


def test_more_classes_as_in_the_masks_trained_on(ids: dict[str, Any], photos: Path, four: Path, segtool: Run) -> None:
    table = np.zeros(256, np.uint8)
    table[[c.id for c in FOUR]] = HELD
    for name, mask in masks_of(segtool, photos, four, "--values", "source").items():
        assert np.array_equal(mask, table[ids[name]])


@pytest.mark.parametrize(("values", "held"), [(None, 255), ("255", 255), ("id", 1), ("palette", 1)])
def test_chosen_classes_are_one(
    values: str | None, held: int, ids: dict[str, Any], photos: Path, four: Path, segtool: Run
) -> None:
    option = [] if values is None else ["--values", values]
    for name, mask in masks_of(segtool, photos, four, "--only", "car,road", *option).items():
        assert np.array_equal(mask, np.isin(ids[name], (3, 9)) * np.uint8(held))


def test_soft_values_of_more_classes_are_the_probability_of_the_likeliest(
    ids: dict[str, Any], photos: Path, four: Path, segtool: Run
) -> None:
    for mask in masks_of(segtool, photos, four, "--values", "soft", "--probabilities", "p").values():
        assert mask.min() >= 255 // 4 - 1
    for name in ids:
        probability = np.load(f"p/{Path(name).stem}.npy")
        assert probability.dtype == np.float16 and probability.shape[2] == 4
        if probability.shape[:2] == ids[name].shape:
            expected = probability.astype(np.float32).max(axis=2) * 255
            assert np.abs(pixels(f"form/{name}") - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--values", "255"], "--values 255 is for two classes, four has 4"),
        (["--values", "colour"], "--values colour is not one of"),
        (["--only", "tree"], "--only tree is no class of four: it has background, car, person, road."),
        (["--only", "car,car"], "--only car,car needs names that differ"),
        (["--only", "car", "--values", "source"], "--values source does not go with --only"),
        (["--values", "soft", "--coco", "c.json"], "--coco is made from the masks"),
        (["--style", "neon"], "--style neon is not one of"),
        (["--background", "red"], "--background red is for cutouts"),
        (["--overlays", "out"], "Two kinds of output share a folder"),
        (["--tile", "1"], "--tile 1 is not auto, off"),
        (["--device", "tpu"], "--device tpu"),
    ],
)
def test_options_that_contradict_each_other_are_a_sentence_and_leave_no_trace(
    options: list[str], sentence: str, photos: Path, four: Path, segtool: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--device" in options:
        monkeypatch.delitem(sys.modules, "segtool.engine.predictor")
    done = segtool("mask", photos, "out", "-w", four, *options)
    assert (done.returncode, done.stdout) == (2, "")
    (told,) = done.stderr.splitlines()
    assert sentence in told
    assert not Path("out").exists()


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
