"""What a run says: lines on stdout and stderr, what a dry run prints, failures and the list of them, exit codes."""

import os
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from quick_runs import COUNT, files, json_lines, piped, pixels


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
