"""What people see of results, and the JSON that scripts see."""

import json
from pathlib import Path

import numpy as np
import pytest

from segtool.imaging.metrics import Tally, scores_of
from segtool.report.console import evaluated_json, show_evaluated, show_written
from segtool.results import Evaluated, Written

NAMES = ("sky", "road [wet]", "unicorn")


@pytest.fixture
def evaluated() -> Evaluated:
    """Scores of one picture with two classes present, and a third in neither truth nor prediction."""
    tally = Tally.empty(3).with_image(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]))
    scores = scores_of(tally, NAMES, threshold=None)
    return Evaluated(Path("data"), "val", "mine", "float32", scores, (("a.jpg", "a.jpg is an empty file."),))


def test_absent_classes_are_named_and_left_out_of_the_means(
    evaluated: Evaluated, capsys: pytest.CaptureFixture[str]
) -> None:
    show_evaluated(evaluated)
    told = capsys.readouterr().out
    assert "absent, left out of the means: unicorn" in told
    assert f"miou {(6 / 9 + 3 / 6) / 2:.4f}" in told


def test_a_class_name_is_shown_as_it_is(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    show_evaluated(evaluated)
    assert "road [wet]" in capsys.readouterr().out


def test_failures_go_to_stderr_once_and_by_name(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    show_evaluated(evaluated)
    assert capsys.readouterr().err == "segtool: a.jpg is an empty file.\n"


def test_json_has_the_same_figures_by_class_name_and_null_for_absent(evaluated: Evaluated) -> None:
    document = json.loads(evaluated_json(evaluated))
    assert document["classes"]["sky"]["iou"] == pytest.approx(6 / 9)
    assert document["classes"]["unicorn"]["iou"] is None
    assert document["absent"] == ["unicorn"]
    assert document["failures"] == [["a.jpg", "a.jpg is an empty file."]]


def test_the_last_notice_counts_what_was_written_kept_and_failed(capsys: pytest.CaptureFixture[str]) -> None:
    result = Written(Path("out"), done=4, kept=3, seconds=2.0, failures=(("x.jpg", "is broken"),))
    show_written(result, kind="mask", quiet=False)
    last, failure = capsys.readouterr().err.splitlines()
    assert last == "4 masks written to out; 3 kept from before; 1 failed or left alone; 2.0 s, 2.0 pictures/s"
    assert failure == "segtool: x.jpg: is broken"
    assert result.exit_code == 3
