"""`segtool evaluate` as a user runs it."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image
from sklearn.metrics import average_precision_score

from segtool.card import find_weights, read_card

WEIGHTS = ("-w", "shapes")


def scores_of(segtool: Run, *arguments: object, code: int = 0) -> dict[str, Any]:
    done = segtool("evaluate", *arguments, "--json")
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def masks(shapes: Path, segtool: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `segtool mask` writes for the val split, its run record beside it. Not to be changed."""
    out = tmp_path_factory.mktemp("masks") / "out"
    assert segtool("mask", shapes / "val/images", out, *WEIGHTS).returncode == 0
    return out


@pytest.fixture(scope="module")
def scored(shapes: Path, segtool: Run) -> dict[str, Any]:
    """What the weights score on the val split."""
    return scores_of(segtool, shapes, *WEIGHTS)


def test_the_scores_are_those_of_the_masks_that_segtool_mask_writes(
    shapes: Path, masks: Path, scored: dict[str, Any]
) -> None:
    truths = [np.asarray(Image.open(p)) == 255 for p in sorted((shapes / "val/masks").iterdir())]
    found = [np.asarray(Image.open(p)) == 255 for p in sorted(masks.glob("*.png"))]
    union = [np.sum(t | f) for t, f in zip(truths, found, strict=True)]
    both = [np.sum(t & f) for t, f in zip(truths, found, strict=True)]
    right = sum(np.sum(t == f) for t, f in zip(truths, found, strict=True))

    assert scored["pairs"] == 6
    assert scored["miou"] == pytest.approx(sum(both) / sum(union))
    assert scored["miou_image"] == pytest.approx(np.mean([b / u if u else 1 for b, u in zip(both, union, strict=True)]))
    assert scored["accuracy"] == pytest.approx(right / sum(t.size for t in truths))
    assert scored["baseline_accuracy"] == pytest.approx(1 - sum(t.sum() for t in truths) / sum(t.size for t in truths))
    shape = scored["classes"]["shape"]
    assert shape["precision"] == pytest.approx(sum(both) / sum(np.sum(f) for f in found))
    assert shape["recall"] == pytest.approx(sum(both) / sum(np.sum(t) for t in truths))
    assert shape["dice"] == pytest.approx(2 * shape["iou"] / (1 + shape["iou"]))


def test_weights_and_their_masks_on_disk_score_the_same(
    shapes: Path, masks: Path, scored: dict[str, Any], segtool: Run
) -> None:
    on_disk = scores_of(segtool, shapes, "--predictions", masks)
    # By position: masks on disk do not say what the weights call their classes.
    assert list(on_disk["classes"].values()) == list(scored["classes"].values())
    assert list(on_disk["intervals"].values()) == list(scored["intervals"].values())
    for key in ("miou", "miou_image", "mboundary_iou", "mboundary_f1_image", "accuracy", "fwiou_image", "confusion"):
        assert on_disk[key] == scored[key], key
    assert [i["counts"] for i in on_disk["images"]] == [i["counts"] for i in scored["images"]]
    assert (on_disk["weights"], on_disk["predictions"]) == (None, str(masks))


def test_every_figure_has_an_interval_around_it(scored: dict[str, Any]) -> None:
    assert set(scored["intervals"]) >= {"miou", "miou_image", "accuracy", "iou:shape", "boundary_f1_image:shape"}
    for key, (low, high) in scored["intervals"].items():
        metric, _, name = key.partition(":")
        value = scored["classes"][name][metric] if name else scored[metric]
        assert low - 1e-12 <= value <= high + 1e-12, key


def test_masks_are_paired_by_the_run_record_where_names_would_mislead(
    shapes: Path, masks: Path, scored: dict[str, Any], segtool: Run, tmp_path: Path
) -> None:
    moved = tmp_path / "out"
    shutil.copytree(masks, moved)
    first, second = moved / "00000.png", moved / "00001.png"
    record = moved / "segtool.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    for line in lines:
        made = line["outputs"]["mask"]
        made["path"] = {"00000.png": "00001.png", "00001.png": "00000.png"}.get(made["path"], made["path"])
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    swapped = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(swapped)
    assert scores_of(segtool, shapes, "--predictions", moved)["miou"] == scored["miou"]
    record.unlink()
    assert json.loads(segtool("evaluate", shapes, "--predictions", moved, "--json").stdout)["miou"] != scored["miou"]


def test_masks_on_disk_are_scored_without_tensorflow(shapes: Path, masks: Path, segtool_process: Run) -> None:
    done = segtool_process("evaluate", shapes, "--predictions", masks)
    assert done.returncode == 0
    import subprocess
    import sys

    script = (
        "import sys\n"
        f"sys.argv = ['segtool', 'evaluate', {str(shapes)!r}, '--predictions', {str(masks)!r}, '-q']\n"
        "from segtool.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    print(stop.code, [n for n in ('tensorflow', 'keras') if n in sys.modules])\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "0 []"


def soft_masks(folder: Path, shapes: Path) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Writes 8-bit probabilities for the val split; returns each with its truth."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    made = []
    for path in sorted((shapes / "val/masks").iterdir()):
        truth = np.asarray(Image.open(path)) == 255
        soft = np.clip(90 + 80 * truth + rng.normal(0, 50, truth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(soft).save(folder / path.name)
        made.append((truth, soft))
    return made


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_soft_masks_are_cut_at_the_threshold_and_have_curves(
    threshold: float | None, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    made = soft_masks(tmp_path / "soft", shapes)
    given = () if threshold is None else ("--threshold", threshold)
    scores = scores_of(segtool, shapes, "--predictions", tmp_path / "soft", *given)
    cut = threshold or 0.5
    both = sum(int((t & (s / 255 >= cut)).sum()) for t, s in made)
    union = sum(int((t | (s / 255 >= cut)).sum()) for t, s in made)
    assert scores["miou"] == pytest.approx(both / union)
    assert scores["threshold"] == cut
    truth, soft = (np.concatenate([pair[i].ravel() for pair in made]) for i in (0, 1))
    assert scores["curve"]["average_precision"] == pytest.approx(average_precision_score(truth, soft), abs=1e-9)


def test_values_seen_late_change_how_all_are_read(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for folder in ("images", "masks"):
        (data / "val" / folder).mkdir(parents=True)
    (tmp_path / "found").mkdir()
    for number in range(70):  # the first look sees every fourth
        top = 3 if number == 5 else 2 if number == 6 else 1
        truth = np.array([[0, 1], [1, top]], np.uint8)
        Image.new("RGB", (2, 2)).save(data / "val/images" / f"{number:02}.png")
        Image.fromarray(truth).save(data / "val/masks" / f"{number:02}.png")
        Image.fromarray(np.where(truth == 3, 255, truth).astype(np.uint8)).save(tmp_path / f"found/{number:02}.png")
    scores = scores_of(segtool, data, "--predictions", tmp_path / "found")
    assert list(scores["classes"]) == ["class 0", "class 1", "class 2", "class 3"]
    assert scores["pairs"] == 70
    assert scores["undecided"] == [0, 0, 0, 1]
    assert scores["classes"]["class 2"]["iou"] == 1


def test_the_table_shows_every_class_and_the_baseline_in_80_columns(shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", shapes, *WEIGHTS)
    for word in ("background", "shape", "iou_image", "dice", "precision", "recall", "boundary_iou", "miou", "95 %",
                 "accuracy of all background", "best threshold", "average precision"):  # fmt: skip
        assert word in done.stdout, word
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_csv_has_a_row_an_image_and_markdown_tables(shapes: Path, masks: Path, segtool: Run) -> None:
    done = segtool("evaluate", shapes, "--predictions", masks, "--csv", "-q")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["image"] for row in rows] == [f"{i:05}" for i in range(6)]
    markdown = segtool("evaluate", shapes, "--predictions", masks, "--markdown", "-q").stdout
    assert "| `miou` |" in markdown and "| foreground |" in markdown


def test_the_page_is_written_beside_whatever_goes_to_stdout(
    shapes: Path, masks: Path, segtool: Run, tmp_path: Path
) -> None:
    done = segtool("evaluate", shapes, "--predictions", masks, "--json", "--html", tmp_path / "report.html", "-q")
    assert done.returncode == 0
    assert json.loads(done.stdout)["pairs"] == 6
    text = (tmp_path / "report.html").read_text()
    assert text.startswith("<!doctype html>") and '"photo": "' in text
    refused = segtool("evaluate", shapes, "--predictions", masks, "--html", tmp_path)
    assert (refused.returncode, "is a folder" in refused.stderr) == (2, True)


def test_all_splits_are_scored_together_and_told_apart(shapes: Path, segtool: Run) -> None:
    scores = scores_of(segtool, shapes, *WEIGHTS, "--split", "all")
    assert scores["pairs"] == 18
    assert [i["split"] for i in scores["images"]] == ["train"] * 12 + ["val"] * 6
    train = scores_of(segtool, shapes, *WEIGHTS, "--split", "train")
    val = scores_of(segtool, shapes, *WEIGHTS)
    assert np.array_equal(np.add(train["confusion"], val["confusion"]), scores["confusion"])


def test_without_boundaries_there_are_no_boundary_figures(shapes: Path, masks: Path, segtool: Run) -> None:
    scores = scores_of(segtool, shapes, "--predictions", masks, "--no-boundary")
    assert "mboundary_iou" not in scores
    refused = segtool("evaluate", shapes, "--predictions", masks, "--no-boundary", "--fail-under", "mboundary_f1=0.5")
    assert (refused.returncode, "leave out --no-boundary" in refused.stderr) == (2, True)


def test_gates_pass_or_exit_with_4_saying_by_how_much(shapes: Path, masks: Path, segtool: Run) -> None:
    common = ("evaluate", shapes, "--predictions", masks, "-q")
    miou = scores_of(segtool, *common[1:])["miou"]
    passed = segtool(*common, "--fail-under", f"miou={miou - 0.001}", "--fail-under", "iou:foreground=0.1")
    assert passed.returncode == 0
    refused = segtool(*common, "--fail-under", "miou=0.9999", "--fail-under", "iou=0.1")
    assert refused.returncode == 4
    assert refused.stderr == f"segtool: miou is {miou:.4f}, {0.9999 - miou:.4f} under 0.9999.\n"


@pytest.mark.parametrize(
    ("gate", "part"),
    [("nope=0.5", "miou, miou_image, mdice"), ("iou:cat=0.5", "iou:foreground"), ("miou", "KEY=VALUE"),
     ("miou=2", "KEY=VALUE"), ("miou=x", "KEY=VALUE"), ("=0.5", "KEY=VALUE")],
)  # fmt: skip
def test_gates_that_cannot_be_meant_are_usage_errors(
    gate: str, part: str, shapes: Path, masks: Path, segtool: Run
) -> None:
    done = segtool("evaluate", shapes, "--predictions", masks, "--fail-under", gate)
    assert done.returncode == 2
    assert part in done.stderr


def test_a_class_may_have_an_equals_sign_and_a_colon_in_its_name(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    classes = [{"id": 0, "name": "a"}, {"id": 255, "name": "b:c=d"}]
    (data / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": None}))
    done = segtool("evaluate", data, "--predictions", data / "val/masks", "--fail-under", "iou:b:c=d=0.9")
    assert done.returncode == 0, done.stderr


def test_an_earlier_document_is_compared_with_and_a_real_fall_exits_with_4(
    shapes: Path, masks: Path, segtool: Run, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_text(
        segtool("evaluate", shapes, "--predictions", shapes / "val/masks", "--json", "-q").stdout
    )
    now = ("evaluate", shapes, "--predictions", masks, "--compare", tmp_path / "good.json", "-q")
    told = segtool(*now)
    assert told.returncode == 0
    assert "worse" in told.stdout and "pictures that got worse" in told.stdout
    refused = segtool(*now, "--fail-if-worse", "--json")
    assert refused.returncode == 4
    assert "miou fell by" in refused.stderr
    changes = {c["key"]: c for c in json.loads(refused.stdout)["comparison"]["changes"]}
    assert changes["miou"]["before"] == 1
    same = segtool("evaluate", shapes, "--predictions", shapes / "val/masks", "--compare", tmp_path / "good.json", "-q",
                   "--fail-if-worse")  # fmt: skip
    assert same.returncode == 0


def test_options_that_contradict_each_other_are_usage_errors(shapes: Path, masks: Path, segtool: Run) -> None:
    for arguments in (
        ("--weights", "shapes", "--predictions", masks), ("--predictions", masks, "--store-threshold"),
        ("--predictions", masks, "--json", "--csv"), ("--predictions", masks, "--fail-if-worse"),
        ("--predictions", masks, "--split", "dev"), ("--predictions", masks, "--best-by", "f1"),
    ):  # fmt: skip
        done = segtool("evaluate", shapes, *arguments)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("segtool: "), arguments


def test_the_best_threshold_goes_into_the_card_with_the_scores_it_gives(
    shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    weights = tmp_path / "mine.keras"
    shutil.copyfile(find_weights("shapes"), weights)
    before = read_card(weights)
    done = segtool("evaluate", shapes, "-w", weights, "--store-threshold", "--json")
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["curve"]["best"]["iou"]
    card = read_card(weights)
    assert card.threshold == best != before.threshold
    kept = card.scores["val"]
    assert (kept["threshold"], kept["pairs"], kept["data"]) == (best, 6, shapes.name)
    again = scores_of(segtool, shapes, "-w", weights)
    assert again["threshold"] == best
    assert again["miou"] == pytest.approx(kept["miou"], abs=1e-12)
    assert again["miou_image"] == pytest.approx(kept["miou_image"], abs=1e-12)
    assert again["miou"] >= json.loads(done.stdout)["miou"]
    segtool("evaluate", shapes, "-w", weights, "--store-threshold", "--best-by", "iou_image", "--split", "train")
    assert set(read_card(weights).scores) >= {"val", "train"}


def test_bundled_weights_are_never_changed(shapes: Path, segtool: Run) -> None:
    content = find_weights("shapes").read_bytes()
    done = segtool("evaluate", shapes, *WEIGHTS, "--store-threshold")
    assert done.returncode == 2
    assert "does not change bundled weights: copy" in done.stderr
    assert find_weights("shapes").read_bytes() == content


def test_masks_of_another_size_than_their_images_are_scored_at_their_own(
    shapes: Path, segtool: Run, tmp_path: Path, scored: dict[str, Any]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    for path in (data / "val/masks").iterdir():
        with Image.open(path) as mask:
            double = mask.resize((mask.width * 2, mask.height * 2), Image.Resampling.NEAREST)
        double.save(path)
    doubled = scores_of(segtool, data, *WEIGHTS)
    assert sum(map(sum, doubled["confusion"])) == 4 * sum(map(sum, scored["confusion"]))
    assert doubled["miou"] == pytest.approx(scored["miou"], abs=0.03)


def test_a_broken_pair_is_named_and_the_rest_is_scored(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    (data / "val/images/00002.png").write_bytes(b"")
    done = segtool("evaluate", data, *WEIGHTS, "--json")
    assert done.returncode == 3
    assert "00002.png is an empty file" in done.stderr
    assert json.loads(done.stdout)["pairs"] == 5


def test_weights_for_other_classes_are_refused_with_both_lists(colored_shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", colored_shapes, *WEIGHTS)
    assert done.returncode == 1
    assert "background, shape" in done.stderr and "triangle" in done.stderr


def test_a_split_that_is_not_there_names_those_that_are(shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", shapes, *WEIGHTS, "--split", "test")
    assert done.returncode == 1
    assert "train (12), val (6)" in done.stderr


@pytest.mark.slow
def test_person_keeps_its_promise_on_photos_held_out(real_data: Path, segtool: Run) -> None:
    scores = scores_of(segtool, real_data / "human")
    assert scores["accuracy"] >= 0.92
    assert scores["miou_image"] >= 0.68
