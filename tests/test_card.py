"""The card inside a weights file: written, read again, and refused in one sentence when it is not right."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import segtool.card
from segtool.card import Card, ClassInfo, card_to_json, find_weights, read_card, write_card
from segtool.errors import ModelError

CLASSES = (ClassInfo(0, "background", (0, 0, 0)), ClassInfo(7, "Straße", (230, 159, 0)))
PLAIN = Card(name="tiny", task="binary", classes=CLASSES, network_size=64, stride=4)
FULL = Card(
    name="full", task="multiclass", classes=(*CLASSES, ClassInfo(9, "car", (1, 2, 3))), network_size=512, stride=32,
    ignore_id=None, tile_scale=0.5, threshold=0.25, mask_values=(0, 128, 255), architecture={"depth": 4, "norm": True},
    trained_on=({"name": "data", "train": 7, "val_fraction": None},), scores={"val": {"miou": 0.5, "iou": {"a": None}}},
    flops=123_456_789_012, parameters=42, description="all", intended_use="tests", limitations=("none", "known"),
    milliseconds=1.5, measured_on="nothing", licence="CC0", segtool_version="0.1.0",
    created="2025-01-01T00:00:00+00:00",
)  # fmt: skip


def weights(path: Path, card: Any = None, **entries: bytes) -> Path:
    """Writes a zip with `entries` and the card, as a weights file has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        if card is not None:
            archive.writestr("segtool.json", card if isinstance(card, str) else json.dumps(card))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return weights(tmp_path / "tiny.keras", card_to_json(PLAIN), config=b"{}" * 99, model=bytes(range(256)))


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled weights `person` and `street`."""
    package = tmp_path / "site" / "segtool"
    monkeypatch.setattr(segtool.card, "__file__", str(package / "card.py"))
    for name in ("street", "person"):
        weights(package / "weights" / f"{name}.keras", card_to_json(PLAIN))
    return package.resolve() / "weights"


@pytest.mark.parametrize("card", [PLAIN, FULL])
def test_a_card_that_was_written_is_read_again(file: Path, card: Card) -> None:
    write_card(file, card)
    assert read_card(file) == card


def test_writing_a_card_keeps_all_other_entries_and_leaves_one_card(file: Path) -> None:
    write_card(file, FULL)
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["config", "model", "segtool.json"]
        assert archive.read("model") == bytes(range(256))
        assert archive.read("config") == b"{}" * 99
    assert list(file.parent.iterdir()) == [file]


def test_writing_a_card_that_fails_leaves_the_old_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(TypeError):
        write_card(file, replace(PLAIN, scores={"val": object()}))
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_the_task_says_whether_the_network_is_binary() -> None:
    assert PLAIN.binary
    assert not FULL.binary


def test_keys_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    path = weights(tmp_path / "a.keras", {**card_to_json(PLAIN), "mood": "fine"})
    assert read_card(path) == PLAIN


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights at .*gone\.keras"):
        read_card(tmp_path / "gone.keras")


@pytest.mark.parametrize("name", ["a.h5", "a", "a.zip", "a.keras.bak"])
def test_only_keras_files_are_opened(tmp_path: Path, name: str) -> None:
    path = weights(tmp_path / name, card_to_json(PLAIN))
    with pytest.raises(ModelError, match=r"is not a \.keras file"):
        read_card(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04", bytes(1000)])
def test_a_file_that_is_no_zip_is_called_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.keras").write_bytes(content)
    with pytest.raises(ModelError, match="is damaged"):
        read_card(tmp_path / "a.keras")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_called_damaged(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="is damaged"):
        read_card(file)


def test_no_single_damaged_byte_leads_to_anything_but_the_card_or_a_model_error(file: Path) -> None:
    content = file.read_bytes()
    refused = 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            card = read_card(file)
        except ModelError:
            refused += 1
        else:
            assert card == PLAIN
    assert refused > 100


def test_a_keras_file_without_a_card_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no card"):
        read_card(weights(tmp_path / "a.keras", config=b"{}"))


def test_a_card_of_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    path = weights(tmp_path / "a.keras", {"format": 2, "everything": "else is new"})
    with pytest.raises(ModelError, match="format 2, this segtool reads up to 1: update segtool"):
        read_card(path)


BROKEN = {
    "not json": "{",
    "a list": [],
    "nothing": "null",
    "no format": {k: v for k, v in card_to_json(PLAIN).items() if k != "format"},
    "format is text": {**card_to_json(PLAIN), "format": "1"},
    "no classes": {k: v for k, v in card_to_json(PLAIN).items() if k != "classes"},
    "no name": {k: v for k, v in card_to_json(PLAIN).items() if k != "name"},
    "classes are numbers": {**card_to_json(PLAIN), "classes": [1, 2]},
    "a colour of two": {**card_to_json(PLAIN), "classes": [{"id": 0, "name": "a", "color": [1, 2]}]},
    "a task nobody knows": {**card_to_json(PLAIN), "task": "regression"},
    "size 0": {**card_to_json(PLAIN), "network_size": 0},
    "stride 0": {**card_to_json(PLAIN), "stride": 0},
    "scores are a list": {**card_to_json(PLAIN), "scores": [1]},
    "the scores of a split are a number": {**card_to_json(PLAIN), "scores": {"val": 0.5}},
    "sets are names": {**card_to_json(PLAIN), "trained_on": ["a"]},
    "size is text": {**card_to_json(PLAIN), "network_size": "big"},
}


@pytest.mark.parametrize("card", BROKEN.values(), ids=BROKEN.keys())
def test_a_card_that_means_nothing_is_called_damaged(tmp_path: Path, card: Any) -> None:
    path = weights(tmp_path / "a.keras", card)
    with pytest.raises(ModelError, match="is damaged"):
        read_card(path)


def test_bundled_weights_are_found_by_name(bundled: Path) -> None:
    assert find_weights("person") == bundled / "person.keras"
    assert find_weights("street") == bundled / "street.keras"


def test_a_bundled_name_wins_over_a_folder_of_that_name(
    bundled: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    Path("person").mkdir()
    file.rename(Path("person") / "weights.keras")
    assert find_weights("person") == bundled / "person.keras"
    assert find_weights("./person") == Path("person") / "weights.keras"


def test_own_weights_are_found_by_path(bundled: Path, file: Path) -> None:
    assert find_weights(str(file)) == file


def test_a_run_folder_stands_for_the_weights_in_it(bundled: Path, tmp_path: Path) -> None:
    inside = weights(tmp_path / "run" / "weights.keras", card_to_json(PLAIN))
    assert find_weights(str(tmp_path / "run")) == inside


@pytest.mark.parametrize("asked", ["persom", "missing.keras", "."])
def test_weights_that_are_not_found_name_those_that_are(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as error:
        find_weights(asked)
    assert repr(asked) in str(error.value)
    assert "(person, street)" in str(error.value)


def test_a_checkout_without_weights_says_that_none_are_bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segtool.card, "__file__", str(tmp_path / "segtool" / "card.py"))
    with pytest.raises(ModelError, match=r"bundled name \(none\)"):
        find_weights("person")
