"""Names, folders and sizes that do not go together, as `check` tells of them."""

from collections.abc import Iterable
from pathlib import Path

from segtool.data.facts import ImageFacts, Look, MaskFacts
from segtool.data.layout import Pair, list_dataset
from segtool.data.pairing import pairing_findings
from segtool.data.sizes import size_findings
from segtool.results import Finding


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def whole(root: Path) -> Path:
    return touch(root, *(f"{s}/{k}/a.{x}" for s in ("train", "val") for k, x in (("images", "jpg"), ("masks", "png"))))


def findings(root: Path, **how: str) -> dict[str, Finding]:
    return by_code(pairing_findings(list_dataset(root, mask_suffix=how.get("mask_suffix"))))


def by_code(every: Iterable[Finding]) -> dict[str, Finding]:
    return {f.code: f for f in every}


def test_names_in_order_give_no_finding(tmp_path: Path) -> None:
    assert findings(whole(tmp_path)) == {}


def test_a_suffix_that_is_not_found_by_itself_is_named(tmp_path: Path) -> None:
    touch(whole(tmp_path), *(f"train/images/{n}.jpg" for n in "bcd"), *(f"train/masks/{n}-truth.png" for n in "bcd"))
    found = findings(tmp_path)
    assert "--mask-suffix=-truth" in found["unpaired-image"].advice
    assert "--mask-suffix=-truth" in found["unpaired-mask"].advice
    assert "--mask-suffix" not in findings(whole(touch(tmp_path / "2", "train/images/x.jpg")))["unpaired-image"].advice


def test_names_that_differ_in_upper_and_lower_case_are_told_to(tmp_path: Path) -> None:
    touch(whole(tmp_path), "train/images/Photo 1.jpg", "train/masks/photo 1.png", "train/images/other.jpg")
    cases = {c.files[0]: c.detail for c in findings(tmp_path)["unpaired-image"].cases}
    assert "upper and lower case" in cases["train/images/Photo 1.jpg"]
    assert cases["train/images/other.jpg"] == ""


def test_every_clash_is_named_in_images_and_in_masks(tmp_path: Path) -> None:
    touch(whole(tmp_path), "train/images/a.png", "val/masks/a.tif")
    assert [c.files for c in findings(tmp_path)["name-clash"].cases] == [
        ("train/images/a.jpg", "train/images/a.png"),
        ("val/masks/a.png", "val/masks/a.tif"),
    ]


def test_a_second_mask_is_told_of_once_and_in_its_own_split(tmp_path: Path) -> None:
    touch(whole(tmp_path), "train/masks/a_mask.png", "train/images/b.jpg", "val/masks/b_mask.png")
    found = findings(tmp_path)
    assert found["two-masks"].files == ("train/masks/a.png", "train/masks/a_mask.png", "train/images/a.jpg")
    assert found["unpaired-mask"].files == ("val/masks/b_mask.png",)
    assert found["unpaired-image"].files == ("train/images/b.jpg",)


def test_a_missing_folder_of_masks_is_named(tmp_path: Path) -> None:
    touch(whole(tmp_path), "test/images/x.jpg")
    assert "test/masks is missing" in findings(tmp_path)["masks-folder-missing"].cases[0].detail


def test_a_split_under_another_name_is_pointed_at(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/a.jpg", "train/masks/a.png", "validation/images/a.jpg", "validation/masks/a.png")
    found = findings(tmp_path)
    assert found.keys() == {"no-val"}
    assert found["no-val"].advice == "Rename validation to val."


def test_files_someone_may_think_are_read_are_named_and_others_are_not(tmp_path: Path) -> None:
    touch(whole(tmp_path), "train/images/b.npy", "train/masks/deep/c.MAT", "train/images/Thumbs.db", "train/notes.pdf")
    found = findings(tmp_path)
    assert found.keys() == {"unread-files"}
    assert found["unread-files"].files == ("train/images/b.npy", "train/masks/deep/c.MAT")


def test_plain_folders_have_both_splits(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{k}/{n}.png" for k in ("images", "masks") for n in range(30)), "images/alone.png")
    assert {code: f.files for code, f in findings(tmp_path).items()} == {"unpaired-image": ("images/alone.png",)}


def size_codes(*sizes: tuple[tuple[int, int, int], tuple[int, int, int]]) -> list[tuple[str, int]]:
    """Returns the findings on pairs of (width, height, orientation) of image and mask."""
    looks = [
        Look("train", Pair(str(k), Path(f"/d/i{k}"), Path(f"/d/m{k}")), ImageFacts(*image), MaskFacts(*mask))
        for k, (image, mask) in enumerate(sizes)
    ]
    return [(f.code, len(f.cases)) for f in size_findings(looks, Path("/d"))]


def test_sizes_that_agree_or_agree_in_shape_are_no_fault() -> None:
    assert size_codes(((640, 480, 1), (640, 480, 1)), ((480, 640, 6), (480, 640, 6))) == []
    assert size_codes(((640, 480, 1), (320, 240, 1))) == [("size-scaled", 1)]
    assert size_codes(((1000, 750, 1), (256, 192, 1)), ((640, 480, 1), (639, 480, 1))) == [("size-scaled", 2)]


def test_sides_exchanged_and_other_shapes_are_told_apart() -> None:
    assert size_codes(((640, 480, 1), (480, 640, 1)), ((640, 480, 6), (240, 320, 1))) == [("transposed", 2)]
    assert size_codes(((640, 480, 1), (640, 470, 1))) == [("size-mismatch", 1)]


def test_exif_of_one_side_is_doubtful_only_while_no_other_pair_shows_that_masks_are_upright() -> None:
    upside_down, square = ((640, 480, 3), (640, 480, 1)), ((500, 500, 6), (500, 500, 1))
    fits, lies_across = ((480, 640, 6), (480, 640, 1)), ((480, 640, 6), (640, 480, 1))
    assert size_codes(upside_down, square) == [("exif-one-side", 2)]
    assert size_codes(upside_down, square, fits) == []
    assert size_codes(upside_down, fits, lies_across) == [("transposed", 1), ("exif-one-side", 1)]
