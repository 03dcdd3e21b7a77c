"""The report of `segtool check`: what people see, and what scripts see."""

import json
import re
from pathlib import Path
from unittest import mock

import pytest

from segtool.data.classes import read_classes_file
from segtool.data.proposals import classes_json, classes_of_values
from segtool.report.checked import checked_json, finding_line, show_checked
from segtool.results import Case, Checked, ClassShare, Finding, PictureFigures, SplitFigures, Spread

BAD_NAME = b"bad \xff[red].png".decode(errors="surrogateescape")
LONG = "A sentence that goes on for so long that a terminal of eighty columns must break it in two somewhere."


def result(*findings: Finding, strict: bool = False) -> Checked:
    splits = tuple(
        SplitFigures(s, 9, 9, 0.1, (ClassShare("sky", 0.25, 3), ClassShare("road [wet]", 0.75, 9)))
        for s in ("train", "val", "test")
    )
    size = Spread(10, 20, 30)
    return Checked(
        Path("data"), False, strict, "mask values: 0 = sky, 1 = road [wet]", splits,
        PictureFigures(27, size, size, Spread(0.5, 1, 2), 3),
        tuple(f for f in findings if f.severity != "note"), tuple(f for f in findings if f.severity == "note"), 1.5,
    )  # fmt: skip


def shown(checked: Checked, capsys: pytest.CaptureFixture[str]) -> str:
    show_checked(checked)
    return capsys.readouterr().out


def finding(cases: int = 1, **how: str) -> Finding:
    return Finding(
        how.get("code", "some-code"), how.get("severity", "error"), how.get("what", LONG), "Do this.",
        tuple(Case((f"train/{k}.png", f"val/{k}.png"), "mirrored") for k in range(cases)), how.get("paste", ""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("severity", "strict", "code"),
    [("error", False, 4), ("warning", False, 0), ("warning", True, 4), ("note", True, 0), ("error", True, 4)],
)
def test_errors_exit_with_4_and_warnings_only_when_strict(severity: str, strict: bool, code: int) -> None:
    assert result(finding(severity=severity), strict=strict).exit_code == code


def test_a_finding_is_shown_with_its_first_cases_and_how_many_more(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(result(finding(cases=30)), capsys)
    assert "error  some-code  30" in text
    assert LONG in text and "Do this." in text
    assert "train/0.png  val/0.png  mirrored" in text
    assert "train/4.png" not in text
    assert "and 26 more" in text
    assert "1 error in 1.5 s." in text


def test_one_case_more_is_shown_rather_than_counted(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(result(finding(cases=5)), capsys)
    assert "train/4.png" in text and "more" not in text


def test_nothing_found_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "No errors, no warnings in 1.5 s." in shown(result(finding(severity="note")), capsys)


def test_piped_there_is_no_colour_and_no_broken_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(result(finding()), capsys)
    assert "\x1b" not in text
    assert f"  {LONG}\n" in text


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal_nothing_is_wider_than_it(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("COLUMNS", str(width)), ("NO_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    with mock.patch("sys.stdout.isatty", lambda: True):
        text = shown(result(finding(), finding(severity="warning"), finding(severity="note")), capsys)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # bold and dim are no columns
    assert max(map(len, text.splitlines())) <= width
    assert " ".join(text.split()).count(LONG) == 3


def test_class_names_and_file_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(result(Finding("x", "error", "y", "z", (Case((BAD_NAME,)),))), capsys)
    assert "road [wet]" in text
    assert "bad \ufffd[red].png" in text


def test_what_is_to_be_pasted_stands_in_the_report_as_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paste = classes_json(classes_of_values([0, 85, 170]), None)
    text = shown(result(finding(paste=paste)), capsys)
    cut = text[text.index('{"classes"') : text.index("null}") + 5]
    (tmp_path / "classes.json").write_text(cut)
    assert [c.id for c in read_classes_file(tmp_path / "classes.json")[0]] == [0, 85, 170]


def test_json_holds_every_file_and_the_figures() -> None:
    document = json.loads(checked_json(result(finding(cases=30), finding(severity="note", code="n"))))
    (error,) = document["findings"]
    assert len(error["files"]) == 60 and len(error["cases"]) == 30
    assert error["cases"][7] == {"files": ["train/7.png", "val/7.png"], "detail": "mirrored"}
    assert [n["code"] for n in document["notes"]] == ["n"]
    assert (document["errors"], document["warnings"], document["exit_code"]) == (1, 0, 4)
    assert document["splits"]["val"]["classes"]["road [wet]"] == {"share": 0.75, "images": 9}
    assert document["pictures"]["width"] == {"least": 10, "median": 20, "greatest": 30}


def test_a_name_that_is_no_text_comes_back_from_json() -> None:
    document = json.loads(checked_json(result(Finding("x", "error", "y", "z", (Case((BAD_NAME,)),)))))
    assert document["findings"][0]["files"][0].encode(errors="surrogateescape") == b"bad \xff[red].png"


def test_one_line_names_what_and_the_first_files() -> None:
    assert finding_line(finding(cases=3, what="Gone.")) == (
        "error: Gone. train/0.png, val/0.png, … (3 in all). Do this. [some-code]"
    )
