"""`segtool weights`: the bundled weights as a table, and a card as a person or a script wants it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Run
from test_card import FULL, PLAIN, weights

from segtool.card import Card, bundled_weights, card_to_json, find_weights

TOLD = replace(
    FULL, name="told", description="Streets from a car.", intended_use="Counting cars.",
    limitations=("Snow is taken for sky.",), milliseconds=12.34, measured_on="2 cores of a test",
    trained_on=({"name": "camvid", "train": 7, "val": 2, "origin": "Cambridge", "terms": "research only"},),
    scores={"val": {"threshold": None, "miou": 0.5, "iou": {"background": 0.91}, "by_data": {"camvid": {
        "pairs": 2, "miou": 0.512, "intervals": {"miou": [0.401, 0.602]},
    }}}},
)  # fmt: skip


def file_of(tmp_path: Path, card: Card) -> Path:
    return weights(tmp_path / "a.keras", card_to_json(card))


def test_every_bundled_weights_file_gets_a_line_with_its_cost_score_and_terms(segtool: Run) -> None:
    said = segtool("weights")
    head, *lines = said.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [path.stem for path in bundled_weights()]
    assert head.split()[:3] == ["name", "task", "classes"]
    (shapes,) = (line for line in lines if line.startswith("shapes"))
    size = f"{find_weights('shapes').stat().st_size / 1e6:.1f}"
    for told in ("binary", "background, shape", "128", "0.32 M", "0.36", size, "iou_image 0.873", "Apache-2.0"):
        assert told in shapes


def test_the_main_score_counts_every_set_the_same(
    segtool: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"val": {"miou_image": 0.9, "by_data": {"a": {"miou_image": 1.0}, "b": {"miou_image": 0.5}}}}
    monkeypatch.setattr(
        "segtool.commands.weights.bundled_weights", lambda: [file_of(tmp_path, replace(PLAIN, scores=scores))]
    )
    assert "iou_image 0.750" in segtool("weights").stdout


def test_a_card_tells_data_terms_scores_with_intervals_limits_use_and_cost(segtool: Run, tmp_path: Path) -> None:
    said = segtool("weights", file_of(tmp_path, TOLD))
    for told in (
        "Streets from a car.", "Counting cars.", "Snow is taken for sky.", "12.3 ms a picture; 2 cores of a test",
        "camvid", "Cambridge; research only", "0.512 0.401–0.602", "0.910", "123.46 GFLOP", "CC0",
    ):  # fmt: skip
        assert told in said.stdout


def test_photos_without_foreground_that_were_masked_are_told(segtool: Run, tmp_path: Path) -> None:
    scores = {"val": {"by_data": {"nobody": {"miou_image": 0.3, "masked": 0.425}}}}
    said = segtool("weights", file_of(tmp_path, replace(PLAIN, scores=scores)))
    assert "0.425" in said.stdout
    assert "masked: share of photos without any foreground" in said.stdout


def test_a_card_with_nothing_but_what_must_be_there_can_be_shown(segtool: Run, tmp_path: Path) -> None:
    said = segtool("weights", "show", file_of(tmp_path, PLAIN))
    assert (said.returncode, said.stderr) == (0, "")
    assert "not stated" in said.stdout


def test_several_sets_have_a_mean_beside_all_pictures_together(segtool: Run, tmp_path: Path) -> None:
    val = {
        "miou_image": 0.9,
        "by_data": {"a": {"miou_image": 1.0}, "b": {"miou_image": 0.5}, "c": {"miou_image": None}},
    }
    lines = segtool("weights", file_of(tmp_path, replace(PLAIN, scores={"val": val}))).stdout.splitlines()
    assert ["mean", "of", "sets", "–", "0.750"] in [line.split()[:5] for line in lines]
    assert ["all", "together", "–", "0.900"] in [line.split()[:4] for line in lines]


def test_json_is_the_card_itself_or_a_list_of_all(segtool: Run, tmp_path: Path) -> None:
    said = segtool("weights", file_of(tmp_path, TOLD), "--json")
    assert json.loads(said.stdout) == json.loads(json.dumps(card_to_json(TOLD)))
    found = json.loads(segtool("weights", "--json").stdout)
    assert [c["name"] for c in found] == [path.stem for path in bundled_weights()]
    assert [Path(c["file"]).stat().st_size == c["bytes"] for c in found] == [True] * len(found)


def test_a_name_that_is_no_weights_says_which_there_are(segtool: Run) -> None:
    said = segtool("weights", "persom")
    assert said.returncode == 1
    assert "no weights 'persom'" in said.stderr
    assert "shapes" in said.stderr


def test_cards_are_shown_without_numpy_tensorflow_or_keras() -> None:
    script = (
        "import sys\nsys.argv = ['segtool', 'weights', 'shapes']\nfrom segtool.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print([n for n in ('numpy', 'tensorflow', 'keras', 'cv2') if n in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
