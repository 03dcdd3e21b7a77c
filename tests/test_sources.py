"""Which pictures a run is about: folders, files and lists; nothing in a list leads out of OUTPUT."""

import io
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Run

from segtool.errors import SegtoolError, UsageError
from segtool.options import Sources
from segtool.sources import Refused, Source, find_sources, in_shard

Find = Callable[..., list[Source | Refused]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own, with three pictures in two folders."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos/a.jpg", "photos/sub/b.png", "other/c.jpg"):
        place(name)
    return tmp_path


def place(name: str | bytes) -> None:
    path = Path(os.fsdecode(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")


def find(*inputs: str, skip: frozenset[str] = frozenset()) -> list[Source | Refused]:
    return list(find_sources(Sources(tuple(map(Path, inputs))), skip=skip))


def listed(content: bytes, *, nul: bool = False, root: str | None = None) -> list[Source | Refused]:
    """Returns what a list holds."""
    Path("list.txt").write_bytes(content)
    asked = Sources(files_from="list.txt", nul=nul, root=None if root is None else Path(root))
    return list(find_sources(asked, skip=frozenset()))


def mirrored(found: list[Source | Refused]) -> dict[str, str]:
    """Returns where each picture goes by its path; fails when an entry was refused."""
    assert [f for f in found if isinstance(f, Refused)] == []
    return {f.path: f.relative for f in found if isinstance(f, Source)}


def refused(found: list[Source | Refused]) -> list[str]:
    return [f.reason for f in found if isinstance(f, Refused)]


BOTH = {"photos/a.jpg": "photos/a.jpg", "other/c.jpg": "other/c.jpg"}


@pytest.mark.parametrize(
    ("content", "nul"),
    [
        (b"photos/a.jpg\nother/c.jpg\n", False),
        (b"photos/a.jpg\nother/c.jpg", False),
        (b"photos/a.jpg\r\nother/c.jpg\r\n", False),
        (b"\n\nphotos/a.jpg\n\n\r\nother/c.jpg\n\n", False),
        (b"photos/a.jpg\0other/c.jpg\0", True),
        (b"photos/a.jpg\0other/c.jpg", True),
        (b"./photos/a.jpg\n./other/c.jpg\n", False),
        (b"photos//a.jpg\nphotos/../other/./c.jpg\n", False),
        (b"photos\nphotos/a.jpg\nphotos/sub\nother/\nother/c.jpg\n.\n", False),
    ],
    ids=["lines", "no end", "CRLF", "blank lines", "NUL", "NUL, no end", "dots", "detours", "folders too"],
)
def test_a_list_is_read_however_it_was_written(content: bytes, nul: bool) -> None:
    assert mirrored(listed(content, nul=nul)) == BOTH


def test_a_list_is_mirrored_below_its_root() -> None:
    assert mirrored(listed(b"a.jpg\nsub/b.png\n", root="photos")) == {
        "photos/a.jpg": "a.jpg",
        "photos/sub/b.png": "sub/b.png",
    }


@pytest.mark.parametrize("root", [None, "photos"])
def test_an_absolute_entry_inside_the_root_is_mirrored_like_any_other(root: str | None, here: Path) -> None:
    found = listed(os.fsencode(here / "photos/sub/b.png"), root=root)
    assert list(mirrored(found).values()) == ["photos/sub/b.png" if root is None else "sub/b.png"]


def test_an_absolute_entry_reaches_the_root_through_a_link_as_well(here: Path) -> None:
    Path("link").symlink_to("photos")
    found = listed(os.fsencode(here / "photos/a.jpg"), root="link")
    assert mirrored(found) == {"link/a.jpg": "a.jpg"}
    assert mirrored(listed(os.fsencode(here / "link/a.jpg"), root="link")) == {"link/a.jpg": "a.jpg"}


@pytest.mark.parametrize("entry", ["../other/c.jpg", "sub/../../other/c.jpg", "/etc/hostname", "{here}/other/c.jpg"])
def test_an_entry_that_leads_out_of_the_root_is_refused_and_named_and_the_others_count(entry: str, here: Path) -> None:
    entry = entry.format(here=here)
    found = listed(f"a.jpg\n{entry}\n".encode(), root="photos")
    assert [f.relative for f in found if isinstance(f, Source)] == ["a.jpg"]
    (reason,) = refused(found)
    assert entry in reason and "outside --root photos" in reason


def test_a_folder_whose_name_begins_like_the_roots_is_outside() -> None:
    place("photos-old/d.jpg")
    (reason,) = refused(listed(b"../photos-old/d.jpg", root="photos"))
    assert "outside" in reason


@pytest.mark.parametrize("entry", ["missing.jpg", "photos/missing/a.jpg", "photos/a.jpg/x", "x" * 300, "photos/a.jpg "])
def test_an_entry_that_is_not_there_is_refused_and_named(entry: str) -> None:
    (reason,) = refused(listed(entry.encode()))
    assert entry in reason and "does not exist" in reason


def test_a_link_that_leads_nowhere_or_in_a_circle_is_refused() -> None:
    Path("nowhere.jpg").symlink_to("gone.jpg")
    Path("circle.jpg").symlink_to("circle.jpg")
    assert len(refused(listed(b"nowhere.jpg\ncircle.jpg\n"))) == 2


def test_names_that_are_not_utf_8_are_found_by_list_and_by_folder() -> None:
    try:
        place(b"photos/gr\xfc\xdfe.jpg")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    (found,) = listed(b"photos/gr\xfc\xdfe.jpg")
    assert isinstance(found, Source)
    assert os.fsencode(found.relative) == b"photos/gr\xfc\xdfe.jpg"
    assert found.relative[7:] in mirrored(find("photos")).values()
    assert in_shard(found.relative, (1, 1))


def test_with_nul_between_them_names_may_hold_line_ends() -> None:
    for name in ("photos/two\nlines.jpg", "photos/end\r\n.jpg", "photos/\n.jpg"):
        place(name)
    content = b"photos/two\nlines.jpg\0photos/end\r\n.jpg\0photos/\n.jpg\0"
    assert list(mirrored(listed(content, nul=True))) == ["photos/two\nlines.jpg", "photos/end\r\n.jpg", "photos/\n.jpg"]


def test_a_list_with_nul_in_it_asks_for_the_option() -> None:
    with pytest.raises(SegtoolError, match="give -0 as well"):
        listed(b"photos/a.jpg\0other/c.jpg\0")


def test_a_list_from_stdin_is_read_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(b"photos/a.jpg\0other/c.jpg\0"))
    monkeypatch.setattr(sys, "stdin", stdin)
    found = list(find_sources(Sources(files_from="-", nul=True), skip=frozenset()))
    assert mirrored(found) == BOTH


@pytest.mark.parametrize("missing", ["nothing.txt", "photos"])
def test_a_list_that_cannot_be_read_is_named(missing: str) -> None:
    with pytest.raises(UsageError, match=f"Cannot read the list {missing}"):
        list(find_sources(Sources(files_from=missing), skip=frozenset()))


def test_a_root_that_is_no_folder_is_named() -> None:
    with pytest.raises(UsageError, match="--root nowhere is no folder"):
        listed(b"a.jpg", root="nowhere")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--files-from", "empty.txt", "out"], 1, "There are no pictures in empty.txt."),
        (["--files-from", "folders.txt", "out"], 1, "There are no pictures in folders.txt."),
        (["--files-from", "nothing.txt", "out"], 2, "Cannot read the list nothing.txt"),
        (["--files-from", "empty.txt", "photos", "out"], 2, "both say what to read"),
        (["-0", "photos", "out"], 2, "-0 is for lists"),
        (["--root", "photos", "photos", "out"], 2, "--root is for lists"),
        (["out"], 2, "Nothing says what to read"),
        (["--shard", "0/2", "photos", "out"], 2, "--shard 0/2"),
        (["--shard", "3/2", "photos", "out"], 2, "--shard 3/2"),
        (["--shard", "half", "photos", "out"], 2, "--shard half"),
    ],
)
def test_what_names_no_picture_is_one_sentence_and_an_exit_code(
    arguments: list[str], code: int, sentence: str, segtool: Run
) -> None:
    Path("empty.txt").write_text("")
    Path("folders.txt").write_text("photos\n")
    before = sorted(Path().rglob("*"))
    done = segtool("mask", *arguments, "-w", "shapes")
    assert done.returncode == code
    (told,) = done.stderr.splitlines()
    assert sentence in told
    assert sorted(Path().rglob("*")) == before


def test_entries_that_name_one_picture_make_it_once_where_it_came_first(segtool: Run, here: Path) -> None:
    place("photos/a.png")  # wants the name of a.jpg
    content = f"photos/a.jpg\nphotos/a.png\n./photos/a.jpg\n{here}/photos/a.jpg\n"
    Path("list.txt").write_text(content)
    done = segtool("mask", "--files-from", "list.txt", "out", "-w", "shapes", "--dry-run")
    assert done.stdout.splitlines() == [
        "planned: photos/a.jpg -> out/photos/a.png",
        "planned: photos/a.png -> out/photos/a.png.png",
    ]


def test_several_inputs_are_read_in_their_order_and_files_go_to_the_top() -> None:
    place("single.jpg")
    assert list(mirrored(find("other", "single.jpg", "photos")).values()) == [
        "other/c.jpg",
        "single.jpg",
        "photos/a.jpg",
        "photos/sub/b.png",
    ]


def test_circles_of_links_end_and_linked_folders_are_read() -> None:
    Path("photos/sub/up").symlink_to("..")
    Path("photos/self").symlink_to("self")
    Path("photos/linked").symlink_to(Path("other").resolve())
    Path("photos/loop.jpg").symlink_to("loop.jpg")
    found = mirrored(find("photos"))
    assert set(found.values()) == {"a.jpg", "sub/b.png", "linked/c.jpg", "loop.jpg"}


def test_hidden_files_and_folders_are_not_read_unless_they_are_named() -> None:
    place("photos/.hidden.jpg")
    place("photos/.thumbnails/a.jpg")
    assert set(mirrored(find("photos")).values()) == {"a.jpg", "sub/b.png"}
    assert mirrored(find("photos/.hidden.jpg")) == {"photos/.hidden.jpg": ".hidden.jpg"}
    assert mirrored(find("photos/.thumbnails")) == {"photos/.thumbnails/a.jpg": "a.jpg"}


@pytest.mark.parametrize("record", ["segtool.jsonl", "segtool.2-of-3.jsonl"])
def test_a_folder_that_holds_a_record_is_an_output_and_not_read(record: str) -> None:
    place("photos/masks/a.png")
    place(f"photos/masks/{record}")
    assert set(mirrored(find("photos")).values()) == {"a.jpg", "sub/b.png"}


@pytest.mark.parametrize("name", ["segtool.json", "my-segtool.jsonl", "segtool.x-of-y.jsonl"])
def test_a_file_that_is_only_named_like_a_record_hides_nothing(name: str) -> None:
    place(f"photos/sub/{name}")
    assert "sub/b.png" in mirrored(find("photos")).values()


def test_outputs_of_an_earlier_run_inside_the_input_are_not_read_by_the_next(
    shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    photos = tmp_path / "drawn"
    photos.mkdir()
    (photos / "a.png").hardlink_to(shapes / "val/images/00000.png")
    outputs = ["drawn/masks", "--overlays", "drawn/overlays", "--probabilities", "drawn/probabilities"]
    assert segtool("mask", "drawn", *outputs, "-w", "shapes").returncode == 0
    made = "drawn/masks/a.png", "drawn/overlays/a.png", "drawn/probabilities/a.npy"
    for arguments, kept in ((outputs, made), (["drawn/masks"], made[:1])):
        again = segtool("mask", "drawn", *arguments, "-w", "shapes", "--dry-run")
        assert again.stdout.splitlines() == [f"kept: drawn/a.png -> {', '.join(kept)}"]


NAMES = [f"folder {i % 7}/picture-{i}.jpg" for i in range(2000)]


@pytest.mark.parametrize("of", [1, 2, 3, 10])
def test_shards_are_disjoint_complete_and_about_equal(of: int) -> None:
    counts = Counter(n for name in NAMES for n in range(1, of + 1) if in_shard(name, (n, of)))
    assert sum(counts.values()) == len(NAMES)
    assert sum(1 for name in NAMES if not any(in_shard(name, (n, of)) for n in range(1, of + 1))) == 0
    assert max(counts.values()) < 1.3 * len(NAMES) / of


def test_a_shard_is_the_same_on_every_machine_and_whatever_else_there_is() -> None:
    """Fixed here: another hash would move the pictures of runs that are under way."""
    assert [name for name in ("a.jpg", "b.jpg", "sub/c.png", "é.jpg", "d.jpg") if in_shard(name, (1, 2))] == [
        "b.jpg",
        "é.jpg",
    ]


def test_a_shard_without_a_picture_is_done_at_once(shapes: Path, segtool: Run) -> None:
    (number,) = (n for n in range(1, 5) if in_shard("00000.png", (n, 4)))
    other = number % 4 + 1
    picture = shapes / "val/images/00000.png"
    done = segtool("mask", picture, "out/", "-w", "shapes", "--shard", f"{other}/4")
    assert done.returncode == 0, done.stderr
    assert not list(Path("out").rglob("*.png"))
