"""Where a dataset's pairs lie on disk, and how a single folder is split."""

import shutil
from pathlib import Path

import pytest

from segtool.data.layout import MASK_SUFFIXES, Dataset, Pair, content_hash, find_dataset, find_images
from segtool.errors import DataError


def touch(root: Path, *paths: str) -> Path:
    """Writes a file of its own name at each path; the layout opens no picture."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def plain(root: Path, *names: str) -> Path:
    return touch(root, *(f"images/{n}.jpg" for n in names), *(f"masks/{n}.png" for n in names))


def names(dataset: Dataset, split: str) -> set[str]:
    return {pair.name for pair in dataset.pairs[split]}


def relative(root: Path, paths: tuple[Path, ...]) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in paths)


@pytest.mark.parametrize("layout", ["{split}/{kind}", "{kind}/{split}"])
def test_folders_of_splits_are_read_in_either_order(tmp_path: Path, layout: str) -> None:
    for split in ("train", "val", "test"):
        for kind, suffix in (("images", "jpg"), ("masks", "png")):
            touch(tmp_path, f"{layout.format(split=split, kind=kind)}/deep/{split}.{suffix}")
    dataset = find_dataset(tmp_path)
    for split in ("train", "val", "test"):
        folder = tmp_path / layout.format(split=split, kind="images")
        masks = tmp_path / layout.format(split=split, kind="masks")
        pair = Pair(f"deep/{split}", folder / f"deep/{split}.jpg", masks / f"deep/{split}.png")
        assert dataset.split(split) == (pair,)
    assert (dataset.val_fraction, dataset.unpaired) == (None, ())


def test_plain_images_and_masks_are_split_in_train_and_val(tmp_path: Path) -> None:
    every = {f"{i:03}" for i in range(100)}
    dataset = find_dataset(plain(tmp_path, *every), val_fraction=0.3)
    assert names(dataset, "train") | names(dataset, "val") == every
    assert not names(dataset, "train") & names(dataset, "val")
    assert len(dataset.all_pairs) == 100
    assert dataset.val_fraction == 0.3


def test_the_split_gives_val_about_its_fraction(tmp_path: Path) -> None:
    dataset = find_dataset(plain(tmp_path, *map(str, range(300))), val_fraction=0.2)
    assert 40 < len(dataset.split("val")) < 80


@pytest.mark.parametrize(("fraction", "split"), [(0.0, "train"), (1.0, "val")])
def test_a_fraction_of_none_or_all_gives_one_split_everything(tmp_path: Path, fraction: float, split: str) -> None:
    dataset = find_dataset(plain(tmp_path, *map(str, range(30))), val_fraction=fraction)
    assert len(dataset.split(split)) == 30


def test_adding_a_file_moves_no_other_between_the_splits(tmp_path: Path) -> None:
    before = find_dataset(plain(tmp_path, *(f"photo {i}" for i in range(60))))
    after = find_dataset(plain(tmp_path, "another", "photo 7b", "zz/last"))
    for split in ("train", "val"):
        assert names(before, split) <= names(after, split)


def test_the_split_is_the_same_wherever_the_dataset_lies_and_whatever_its_suffixes(tmp_path: Path) -> None:
    here = find_dataset(plain(tmp_path / "here", *map(str, range(60))))
    there = touch(tmp_path / "there", *(f"images/{i}.png" for i in range(60)), *(f"masks/{i}.tif" for i in range(60)))
    assert names(here, "val") == names(find_dataset(there), "val")


def test_a_greater_fraction_only_moves_pairs_from_train_to_val(tmp_path: Path) -> None:
    root = plain(tmp_path, *map(str, range(60)))
    small, large = find_dataset(root, val_fraction=0.2), find_dataset(root, val_fraction=0.4)
    assert names(small, "val") < names(large, "val")


def test_pairs_are_joined_by_relative_path_without_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a/x.JPG", "train/images/b/x.tif", "train/masks/a/x.png", "train/masks/b/x.bmp")
    masks = {pair.name: pair.mask.name for pair in find_dataset(tmp_path).split("train")}
    assert masks == {"a/x": "x.png", "b/x": "x.bmp"}


def test_only_the_last_suffix_of_a_name_is_taken_off(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/x.1.jpg", "train/images/x.2.jpg", "train/masks/x.1.png", "train/masks/x.2.png")
    assert names(find_dataset(tmp_path), "train") == {"x.1", "x.2"}


@pytest.mark.parametrize("suffix", MASK_SUFFIXES)
def test_a_usual_suffix_of_mask_names_is_found_by_itself(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, "train/images/deep/x.jpg", f"train/masks/deep/x{suffix}.png")
    (pair,) = find_dataset(tmp_path).split("train")
    assert (pair.name, pair.mask.name) == ("deep/x", f"x{suffix}.png")


def test_a_suffix_of_mask_names_can_be_given(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/x.jpg", "train/masks/x.png", "train/masks/x-truth.png")
    dataset = find_dataset(tmp_path, mask_suffix="-truth")
    assert dataset.split("train")[0].mask.name == "x-truth.png"
    assert relative(tmp_path, dataset.unpaired) == ["train/masks/x.png"]


def test_a_mask_of_the_same_name_goes_before_one_with_a_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/x.jpg", "train/masks/x.png", "train/masks/x_mask.png")
    dataset = find_dataset(tmp_path)
    assert dataset.split("train")[0].mask.name == "x.png"
    assert relative(tmp_path, dataset.unpaired) == ["train/masks/x_mask.png"]


def test_an_image_does_not_take_the_mask_that_is_anothers_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/x.jpg", "train/images/x_mask.jpg", "train/masks/x_mask.png")
    dataset = find_dataset(tmp_path)
    assert names(dataset, "train") == {"x_mask"}
    assert relative(tmp_path, dataset.unpaired) == ["train/images/x.jpg"]


def test_files_without_partner_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.jpg", "train/masks/a.png", "train/images/alone.jpg", "train/masks/lost.png")
    dataset = find_dataset(tmp_path)
    assert relative(tmp_path, dataset.unpaired) == ["train/images/alone.jpg", "train/masks/lost.png"]


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_two_files_that_want_one_pair_are_an_error_that_names_both(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, "train/images/x.jpg", "train/masks/x.png", f"train/{kind}/x.tif")
    with pytest.raises(DataError, match=rf"{kind}/x\.\w+ and .*{kind}/x\.tif want the same pair"):
        find_dataset(tmp_path)


def test_hidden_files_and_folders_and_other_files_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.PNG", ".hidden.jpg", ".cache/x.jpg", "a/._z.png", "notes.txt", "Thumbs.db")
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == ["a/z.PNG", "b.jpg"]


def test_a_hidden_file_is_no_partner(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.jpg", "train/masks/a.png", "train/images/._a.jpg", "train/masks/._a.png")
    dataset = find_dataset(tmp_path)
    assert (names(dataset, "train"), dataset.unpaired) == ({"a"}, ())


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no dataset folder"):
        find_dataset(tmp_path / "gone")


def test_a_folder_of_no_known_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no train/images, images/train or images folder"):
        find_dataset(touch(tmp_path, "photos/a.jpg"))


def test_images_without_masks_folder_are_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train/masks is missing"):
        find_dataset(touch(tmp_path, "train/images/a.jpg"))


def test_a_dataset_in_which_nothing_pairs_is_an_error_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 files without partner, for example .*images/a\.jpg"):
        find_dataset(touch(tmp_path, "train/images/a.jpg", "train/masks/b.png"))


@pytest.mark.parametrize("split", ["val", "test", "nonsense"])
def test_a_split_without_pairs_is_an_error_that_lists_those_with(tmp_path: Path, split: str) -> None:
    touch(tmp_path, "train/images/a.jpg", "train/masks/a.png")
    with pytest.raises(DataError, match=rf"no pairs in split '{split}'; splits with pairs: train \(1\)"):
        find_dataset(tmp_path).split(split)


def hash_of(root: Path) -> str:
    return content_hash(find_dataset(root, val_fraction=0).split("train"))


def test_the_content_hash_is_the_same_for_a_copy_elsewhere(tmp_path: Path) -> None:
    plain(tmp_path / "here", "a", "b")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert hash_of(tmp_path / "here") == hash_of(tmp_path / "there")


def test_the_content_hash_does_not_depend_on_the_order_of_pairs(tmp_path: Path) -> None:
    pairs = find_dataset(plain(tmp_path, "a", "b", "c"), val_fraction=0).split("train")
    assert content_hash(pairs) == content_hash(pairs[::-1])


@pytest.mark.parametrize("changed", ["images/a.jpg", "masks/a.png"])
def test_the_content_hash_changes_with_the_bytes_of_an_image_or_a_mask(tmp_path: Path, changed: str) -> None:
    before = hash_of(plain(tmp_path, "a", "b"))
    (tmp_path / changed).write_text("other bytes")
    assert hash_of(tmp_path) != before


def test_the_content_hash_changes_with_names_and_number_of_pairs(tmp_path: Path) -> None:
    plain(tmp_path, "a", "b")
    hashes = {hash_of(tmp_path)}
    for kind, suffix in (("images", "jpg"), ("masks", "png")):
        (tmp_path / f"{kind}/b.{suffix}").rename(tmp_path / f"{kind}/c.{suffix}")
    hashes.add(hash_of(tmp_path))
    hashes.add(hash_of(plain(tmp_path, "d")))
    assert len(hashes) == 3
