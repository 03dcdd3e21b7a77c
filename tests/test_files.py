"""Files written whole or not at all."""

from pathlib import Path

import pytest

from segtool.errors import DataError, OutputError, SegtoolError
from segtool.files import staged, write_whole
from segtool.record import Stamp


@pytest.fixture(params=["new", "replaced"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path that is free, and one that holds something already."""
    path = tmp_path / "file.bin"
    if request.param == "replaced":
        path.write_bytes(b"old")
    return path


def test_write_whole_leaves_the_content_and_nothing_beside_it(target: Path) -> None:
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_write_whole_makes_the_folders_above(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "file.bin", b"new")
    assert (tmp_path / "a" / "b" / "file.bin").read_bytes() == b"new"


def test_inside_the_block_the_final_name_is_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with staged(target, b"new") as partial:
        assert target.read_bytes() == b"old"
        assert partial.read_bytes() == b"new"
        assert partial.parent == target.parent and partial.name.startswith(".")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [DataError("no"), KeyboardInterrupt(), OutputError("no")])
def test_a_block_that_fails_leaves_the_old_content_and_no_temporary_file(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(type(error)), staged(target, b"new"):
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_fails_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(DataError), staged(tmp_path / "file.bin", b"new"):
        raise DataError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_inside_the_block_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"Cannot write .*file\.bin: No space left"),
        staged(tmp_path / "file.bin", b""),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_size_and_modification_time_of_the_temporary_file_are_those_of_the_final_one(target: Path) -> None:
    with staged(target, b"content") as partial:
        before = Stamp.of(partial)
    assert Stamp.of(target) == before
    assert before.size == 7


def test_a_file_where_a_folder_must_be_fails_that_output_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(SegtoolError, match="Cannot write"):
        write_whole(tmp_path / "file" / "below.bin", b"new")
    assert (tmp_path / "file").read_bytes() == b"in the way"


def test_a_name_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("x" * 251 + ".png"), b"new")
    assert [len(p.name) for p in tmp_path.iterdir()] == [255]


def test_a_folder_under_the_final_name_fails_that_output_only_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file.bin").mkdir()
    with pytest.raises(SegtoolError, match="Cannot write"):
        write_whole(tmp_path / "file.bin", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_names_that_are_not_ascii_are_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "Größe – 大.png", b"new")
    assert (tmp_path / "Größe – 大.png").read_bytes() == b"new"
