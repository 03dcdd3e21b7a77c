"""Scores as JSON, CSV and Markdown."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segtool.errors import DataError
from segtool.imaging.metrics import ImageCounts, Tally, class_counts, image_scores, scores_of
from segtool.report.documents import evaluated_csv, evaluated_json, evaluated_markdown, read_earlier
from segtool.results import Evaluated
from segtool.scores import COUNTS, Change, Comparison, Curve, Gate

NAMES = ("sky", "road | wet", "unicorn")
MATRIX = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0]])


@pytest.fixture
def evaluated() -> Evaluated:
    images = tuple(ImageCounts(class_counts(MATRIX), "val", name, (3, 4)) for name in ("a", 'b,"\udcff'))
    tally = Tally(2 * MATRIX, images)
    scores = scores_of(tally, NAMES, threshold=None, with_intervals=True)
    failures = (("c.jpg", "c.jpg is an empty file."),)
    return Evaluated(Path("data"), "val", "mine", None, "float32", scores, image_scores(tally), failures)


def test_json_has_the_figures_by_class_name_and_null_where_undefined(evaluated: Evaluated) -> None:
    document = json.loads(evaluated_json(evaluated))
    assert document["miou"] == evaluated.scores.miou
    assert document["classes"]["sky"]["iou"] == pytest.approx(6 / 9)
    assert document["classes"]["unicorn"]["iou"] is None
    assert document["absent"] == ["unicorn"]
    assert document["intervals"]["iou:sky"] == pytest.approx([6 / 9, 6 / 9])
    assert document["failures"] == [["c.jpg", "c.jpg is an empty file."]]
    assert document["confusion"] == [[12, 4, 0], [2, 6, 0], [0, 0, 0]]


def test_json_has_each_image_with_its_counts_on_a_line_of_its_own(evaluated: Evaluated) -> None:
    text = evaluated_json(evaluated)
    image = json.loads(text)["images"][0]
    assert image["counts"] == {"hits": [6, 3, 0], "truth": [8, 4, 0], "found": [7, 5, 0]}
    assert (image["name"], image["width"], image["height"]) == ("a", 4, 3)
    assert image["iou"] == {"sky": pytest.approx(6 / 9), "road | wet": 0.5, "unicorn": None}
    assert sum('"counts"' in line for line in text.splitlines()) == 2


def test_json_tells_of_curve_gates_and_comparison(evaluated: Evaluated) -> None:
    full = replace(
        evaluated,
        curve=Curve((0.5,), (0.1,), (None,), (1,), (1,), {"iou": 0.5}, 0.9, (0.8, 0.95)),
        gates=(Gate("miou", 0.9, 0.5),),
        comparison=Comparison(Path("old.json"), 2, 0, 0, 0, (Change("miou", 0.5, 0.6, (0.0, 0.2)),), ()),
    )
    document = json.loads(evaluated_json(full))
    assert document["curve"]["average_precision_interval"] == [0.8, 0.95]
    assert document["gates"] == [{"key": "miou", "least": 0.9, "value": 0.5, "passed": False}]
    assert document["comparison"]["changes"][0]["interval"] == [0.0, 0.2]


def test_what_was_written_is_read_again_to_compare_with(evaluated: Evaluated, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(evaluated_json(evaluated))
    earlier = read_earlier(tmp_path / "old.json")
    assert earlier.classes == NAMES
    assert earlier.images == {(i.split, i.name): i.counts for i in evaluated.images}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"classes": {}}', '{"classes": {"a": {}}, "images": [{"name": "x", "split": "val"}]}',
     '{"classes": {"a": {}, "b": {}}, "images": [{"name": "x", "split": "v", "counts": {"hits": [1], "truth": [1], '
     '"found": [1]}}]}'],
)  # fmt: skip
def test_what_is_no_such_document_is_an_error_that_says_so(content: str, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(content)
    with pytest.raises(DataError, match=r"old\.json is no"):
        read_earlier(tmp_path / "old.json")
    with pytest.raises(DataError, match="Cannot read"):
        read_earlier(tmp_path / "none.json")


def test_csv_has_a_row_an_image_and_nothing_where_undefined(evaluated: Evaluated) -> None:
    rows = list(csv.DictReader(io.StringIO(evaluated_csv(evaluated))))
    assert [row["image"] for row in rows] == ["a", 'b,"\\udcff']
    assert rows[0]["iou:sky"] == f"{6 / 9:.6f}"
    assert rows[0]["iou:unicorn"] == ""
    assert rows[0]["accuracy"] == "0.750000"
    assert float(rows[0]["recall:road | wet"]) == 0.75


def test_markdown_has_whole_tables_whatever_the_names(evaluated: Evaluated) -> None:
    comparison = Comparison(Path("old.json"), 2, 0, 0, 0, (Change("iou:road | wet", 0.5, 0.6, (0.0, 0.2)),), ())
    lines = evaluated_markdown(replace(evaluated, comparison=comparison)).splitlines()
    tables = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    widths = [line.count("|") for line in tables]
    assert "road  wet" in "\n".join(tables)
    assert sorted(set(widths)) == [6, 9]  # five columns in two tables, eight in that of classes
    assert "| `miou` | 0.5833 |" in "\n".join(lines)


def test_the_columns_of_counts_have_names() -> None:
    assert len(set(COUNTS)) == len(COUNTS) == 10
