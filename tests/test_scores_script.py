"""`weights/scores.py`: what is measured goes into cards, and a card that says something else is told."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import REAL_DATA, load_script
from test_card import PLAIN

from segtool.card import Card, bundled_weights, find_weights, read_card
from segtool.errors import DataError
from segtool.imaging.metrics import Tally

FIGURES = {"pairs": 2, "miou": 0.5, "miou_image": 0.6, "accuracy": 0.9, "baseline_accuracy": 0.7, "intervals": {}}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("weights/scores.py")


def card(**figures: float) -> Card:
    val = {**FIGURES, "iou": {}, "by_data": {"a": {**FIGURES, **figures}}}
    return replace(PLAIN, scores={"val": val}, parameters=1, flops=2)


def test_all_bundled_weights_and_their_sets_have_texts(script: ModuleType) -> None:
    origins = script._texts("data")
    for path in bundled_weights():
        texts = script._texts(path.stem)
        assert texts["description"] and texts["intended_use"] and texts["limitations"]
        for name in (*texts["sets"], *(str(t["name"]) for t in read_card(path).trained_on)):
            assert set(script._origin(name, origins)) == {"origin", "terms"}


def test_a_card_that_says_what_was_measured_is_left_in_peace(script: ModuleType) -> None:
    assert script.differences(card(), card(miou=0.5002)) == []


def test_every_figure_that_is_not_what_was_measured_is_named(script: ModuleType) -> None:
    assert script.differences(card(), card(miou=0.501)) == ["miou 0.5 on a, measured 0.5010"]
    assert script.differences(card(), card(masked=0.2)) == ["masked None on a, measured 0.2000"]
    assert script.differences(card(), replace(card(), flops=3)) == ["other flops than here"]


def test_photos_without_foreground_give_the_share_masked_on_more_than_one_percent(script: ModuleType) -> None:
    def photo(false: int) -> Tally:
        return Tally.empty(2).with_image(np.array([[1000 - false, false, 0], [0, 0, 0]], np.int64))

    tally = Tally.total(2, [photo(0), photo(10), photo(11), photo(900)])
    assert script._figures(tally, ("background", "person"), 0.5)["masked"] == 0.5
    seen = Tally.empty(2).with_image(np.array([[900, 50, 0], [0, 50, 0]], np.int64))
    assert "masked" not in script._figures(seen, ("background", "person"), 0.5)


def test_the_table_ends_with_the_mean_over_sets_and_the_cost(script: ModuleType) -> None:
    lines = script.table(card(masked=0.25))
    assert lines[2] == "| `a` | 2 | 0.600 | – | 0.500 | – | 0.900 | 0.700 | 0.250 |"
    assert lines[-1].startswith("Mean over sets of `iou_image`: 0.600. 0.00 M parameters")


def test_a_set_that_is_not_there_is_named(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no set"):
        script._folder("human", tmp_path, tmp_path)


@pytest.mark.slow
def test_the_figures_in_the_card_of_shapes_are_measured_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.keras"
    shutil.copy(find_weights("shapes"), copy)
    # float32 on every machine: bfloat16, once set, holds for all the tests to come.
    monkeypatch.setattr("segtool.engine.precision.CPU_INFO", Path(os.devnull))
    monkeypatch.setattr(sys, "argv", ["scores.py", str(copy), "--write", "--time", "--data", str(REAL_DATA)])
    assert script.main() == 0
    written, bundled = read_card(copy), read_card(find_weights("shapes"))
    assert written.scores["val"]["miou"] == pytest.approx(bundled.scores["val"]["miou"], abs=5e-4)
    assert written.scores["val"]["by_data"]["shapes"]["intervals"]["miou"]
    assert written.milliseconds > 0
    assert written.trained_on[0]["terms"] == "Apache-2.0"
    assert "| `shapes` | 60 |" in capsys.readouterr().out
