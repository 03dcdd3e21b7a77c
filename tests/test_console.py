"""What people see of results in the terminal."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from segtool.imaging.metrics import ImageCounts, Tally, class_counts, image_scores, scores_of
from segtool.report.console import show_written
from segtool.report.scored import show_evaluated, show_verdict
from segtool.report.tables import print_evaluated
from segtool.results import Evaluated, Written
from segtool.scores import METRICS, Change, Comparison, Curve, Gate

NAMES = ("sky", "road [wet]", "unicorn")
LONG = "a class with a name that is far longer than any table would like to have it"
MATRIX = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0]])


def tally(count: int = 1) -> Tally:
    """Returns `count` images with two classes present, and a third in neither truth nor prediction."""
    images = tuple(ImageCounts(class_counts(MATRIX), "val", f"picture {i}") for i in range(count))
    return Tally(count * MATRIX, images)


@pytest.fixture
def evaluated() -> Evaluated:
    some = tally(7)
    scores = scores_of(some, NAMES, threshold=None, with_intervals=True)
    failures = (("a.jpg", "a.jpg is an empty file."),)
    return Evaluated(Path("data"), "val", "mine", None, "float32", scores, image_scores(some), failures)


def drawn(result: Evaluated, *, columns: int, terminal: bool) -> list[str]:
    console = Console(width=columns, force_terminal=terminal, color_system="truecolor" if terminal else None)
    with console.capture() as capture:
        print_evaluated(console, result)
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in capture.get().splitlines()]


def test_absent_classes_are_named_and_left_out_of_the_means(
    evaluated: Evaluated, capsys: pytest.CaptureFixture[str]
) -> None:
    show_evaluated(evaluated)
    told = capsys.readouterr().out
    assert "absent, left out of the means: unicorn" in told
    assert re.search(rf"miou +{(6 / 9 + 3 / 6) / 2:.4f}", told)


def test_a_class_name_is_shown_as_it_is(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    show_evaluated(evaluated)
    assert "road [wet]" in capsys.readouterr().out


def test_piped_tables_are_plain(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    show_evaluated(evaluated)
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert not set(told) & set("█▏▎▍▌▋▊▉─│")


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("terminal", [True, False])
def test_tables_fit_and_lose_no_figure(evaluated: Evaluated, columns: int, terminal: bool) -> None:
    lines = drawn(evaluated, columns=columns, terminal=terminal)
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "…" not in text
    for metric in ("iou", "iou_image", *METRICS[1:4], "share", "mean_accuracy", "fwiou"):
        assert metric in text, metric
    for c in evaluated.scores.classes[:2]:
        assert f"{c.iou:.4f}" in text
    assert ("█" in text) == terminal


def test_a_wide_terminal_has_one_table_of_classes_and_a_narrow_one_two(evaluated: Evaluated) -> None:
    counts = {
        columns: sum(line.startswith("class") for line in drawn(evaluated, columns=columns, terminal=True))
        for columns in (80, 140)
    }
    assert counts == {80: 2, 140: 1}


def test_a_long_class_name_is_folded_and_figures_stay(evaluated: Evaluated) -> None:
    classes = (replace(evaluated.scores.classes[0], name=LONG), *evaluated.scores.classes[1:])
    long = replace(evaluated, scores=replace(evaluated.scores, classes=classes))
    lines = drawn(long, columns=80, terminal=True)
    assert max(map(len, lines)) <= 80
    assert any("0.6667" in line and "a class" in line for line in lines)


def test_the_worst_pictures_the_curve_gates_and_changes_are_told(evaluated: Evaluated) -> None:
    curve = Curve((0.25, 0.5), (0.5, 0.6), (0.7, 0.6), (1, 1), (0.5, 0.6), {"iou": 0.5, "iou_image": 0.25}, 0.91, None)
    changes = (Change("miou", 0.6, 0.5, (-0.2, -0.05)), Change("iou:sky", 0.5, 0.7, (0.1, 0.3)))
    comparison = Comparison(Path("old.json"), 7, 1, 2, 3, changes, (Change("picture 3", 0.6, 0.2, None),))
    full = replace(
        evaluated, curve=curve, comparison=comparison, gates=(Gate("miou", 0.5, 0.58), Gate("iou", 0.9, 0.5))
    )
    text = "\n".join(drawn(full, columns=80, terminal=False))
    for part in (
        "worst pictures", "best threshold by iou: 0.500, 0.6000 (now 0.5000)", "by iou_image: 0.250",
        "average precision 0.9100",
        "against old.json, 7 pairs in both", "worse", "better", "pictures that got worse: 1", "-0.4000  picture 3",
        "pictures only here: 1", "pictures only in old.json: 2", "pictures with other true masks than then: 3",
        "miou is 0.5800, at least 0.5",
    ):  # fmt: skip
        assert part in text, part
    assert "under" not in text  # said on stderr


def test_pixels_of_no_class_are_told(evaluated: Evaluated) -> None:
    text = "\n".join(drawn(replace(evaluated, scores=replace(evaluated.scores, undecided=(0, 3, 0))), columns=80,
                           terminal=False))  # fmt: skip
    assert "3 pixels are no class in the predictions; they count as wrong" in text


def test_failures_go_to_stderr_once_and_by_name(evaluated: Evaluated, capsys: pytest.CaptureFixture[str]) -> None:
    show_verdict(evaluated)
    assert capsys.readouterr().err == "segtool: a.jpg is an empty file.\n"
    assert evaluated.exit_code == 3


def test_gates_that_said_no_say_by_how_much_and_win_over_failures(
    evaluated: Evaluated, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = (Gate("miou", 0.85, 0.58), Gate("accuracy", 0.5, 0.75), Gate("iou:unicorn", 0.5, None))
    refused = replace(evaluated, failures=(), gates=gates)
    show_verdict(refused)
    told = capsys.readouterr().err.splitlines()
    assert told == ["segtool: miou is 0.5800, 0.2700 under 0.85.", "segtool: iou:unicorn is undefined, and so not 0.5."]
    assert replace(evaluated, gates=gates).exit_code == refused.exit_code == 4
    assert replace(refused, gates=gates[1:2]).exit_code == 0


def test_a_fall_beyond_chance_is_refused_only_when_asked(
    evaluated: Evaluated, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = (Change("miou", 0.6, 0.5, (-0.2, -0.05)), Change("iou:sky", 0.6, 0.5, (-0.2, -0.05)))
    comparison = Comparison(Path("old.json"), 7, 0, 0, 0, changes, ())
    lenient = replace(evaluated, failures=(), comparison=comparison)
    assert lenient.exit_code == 0
    strict = replace(lenient, fail_if_worse=True)
    show_verdict(strict)
    assert capsys.readouterr().err == "segtool: miou fell by 0.1000 (95 %: 0.0500 to 0.2000) since old.json.\n"
    assert strict.exit_code == 4
    chance = replace(comparison, changes=(Change("miou", 0.6, 0.5, (-0.2, 0.01)), *changes[1:]))
    assert replace(strict, comparison=chance).exit_code == 0


def test_the_last_notice_counts_what_was_written_kept_and_failed(capsys: pytest.CaptureFixture[str]) -> None:
    result = Written(Path("out"), done=4, kept=3, seconds=2.0, failures=(("x.jpg", "is broken"),))
    show_written(result, kind="mask", quiet=False)
    last, failure = capsys.readouterr().err.splitlines()
    assert last == "4 masks written to out; 3 kept from before; 1 failed or left alone; 2.0 s, 2.0 pictures/s"
    assert failure == "segtool: x.jpg: is broken"
    assert result.exit_code == 3
