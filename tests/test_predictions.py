"""Which mask is the prediction for which pair."""

from pathlib import Path

import pytest

from segtool.data.layout import Pair
from segtool.data.predictions import join_predictions
from segtool.errors import DataError


def pair(name: str, root: Path = Path("data/val")) -> Pair:
    return Pair(name, root / "images" / f"{name}.jpg", root / "masks" / f"{name}.png")


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize("where", ["", "val/", "masks/", "val/masks/", "masks/val/"])
@pytest.mark.parametrize("suffix", ["", "_mask", "_seg"])
def test_masks_are_found_by_relative_path_in_the_usual_places(where: str, suffix: str, tmp_path: Path) -> None:
    files(tmp_path, f"{where}sub/a{suffix}.png", f"{where}b{suffix}.tif", f"{where}other.png")
    joined = join_predictions({pair("sub/a"): "val", pair("b"): "val"}, tmp_path, {})
    assert {p.name: path.relative_to(tmp_path).as_posix() for p, path in joined.of_pair.items()} == {
        "sub/a": f"{where}sub/a{suffix}.png",
        "b": f"{where}b{suffix}.tif",
    }
    assert [path.name for path in joined.unused] == ["other.png"]


def test_what_the_run_record_says_goes_before_names(tmp_path: Path) -> None:
    first, second = pair("a", tmp_path), Pair("a2", tmp_path / "images/a.png", tmp_path / "masks/a2.png")
    files(tmp_path / "out", "a.png", "a.png.png")
    made_from = {first.image.resolve(): [tmp_path / "out/a.png.png"], second.image.resolve(): [tmp_path / "out/a.png"]}
    joined = join_predictions({first: "val", second: "val"}, tmp_path / "out", made_from)
    assert [path.name for path in joined.of_pair.values()] == ["a.png.png", "a.png"]


def test_a_record_whose_file_is_gone_is_passed_over(tmp_path: Path) -> None:
    a = pair("a", tmp_path)
    files(tmp_path / "out", "a.png")
    joined = join_predictions({a: "val"}, tmp_path / "out", {a.image.resolve(): [tmp_path / "out/gone.png"]})
    assert joined.of_pair[a].name == "a.png"


def test_of_a_mask_and_an_overlay_made_from_one_picture_it_is_the_mask(tmp_path: Path) -> None:
    a = pair("a", tmp_path)
    files(tmp_path / "out", "a.png", "a.jpg")
    made_from = {a.image.resolve(): [tmp_path / "out/a.jpg", tmp_path / "out/a.png"]}
    assert join_predictions({a: "val"}, tmp_path / "out", made_from).of_pair[a].name == "a.png"


def test_each_split_has_its_own_masks_where_names_repeat(tmp_path: Path) -> None:
    train, val = pair("a", Path("data/train")), pair("a")
    files(tmp_path, "train/a.png", "val/a.png")
    joined = join_predictions({train: "train", val: "val"}, tmp_path, {})
    assert [path.relative_to(tmp_path).as_posix() for path in joined.of_pair.values()] == ["train/a.png", "val/a.png"]
    (tmp_path / "val/a.png").rename(tmp_path / "a.png")
    (tmp_path / "train/a.png").unlink()
    with pytest.raises(DataError, match="folder of its name"):
        join_predictions({train: "train", val: "val"}, tmp_path, {})


def test_two_files_for_one_pair_are_named(tmp_path: Path) -> None:
    files(tmp_path, "a.png", "a.tif")
    with pytest.raises(DataError, match=r"a\.png and .*a\.tif"):
        join_predictions({pair("a"): "val"}, tmp_path, {})


def test_a_folder_with_nothing_for_any_pair_is_an_error_with_an_example_of_both(tmp_path: Path) -> None:
    files(tmp_path, "elsewhere/z.png")
    with pytest.raises(DataError, match=r"sub/a\.png; there is elsewhere/z\.png"):
        join_predictions({pair("sub/a"): "val"}, tmp_path, {})
    with pytest.raises(DataError, match="no folder"):
        join_predictions({pair("a"): "val"}, tmp_path / "none", {})


def test_a_pair_without_a_mask_is_simply_not_there(tmp_path: Path) -> None:
    files(tmp_path, "a.png")
    joined = join_predictions({pair("a"): "val", pair("b"): "val"}, tmp_path, {})
    assert [p.name for p in joined.of_pair] == ["a"]
