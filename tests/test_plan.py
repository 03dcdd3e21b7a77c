"""The plan: which pictures, under which names, and what of that is done already."""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from segtool.card import Card, ClassInfo, card_to_json
from segtool.errors import ModelError, OutputError, SegtoolError, UsageError
from segtool.kinds import wanted_of
from segtool.options import Engine, MaskOptions, OverlayOptions, Paint, Predicting, Running, Sources
from segtool.plan import Job, Plan, find_pictures, is_single, plan_single
from segtool.plan import make_plan as plan_found
from segtool.record import RecordWriter, Stamp, read_records

Ask = Callable[..., MaskOptions | OverlayOptions]

BINARY = (ClassInfo(0, "background", (0, 0, 0)), ClassInfo(1, "foreground", (230, 159, 0)))


def card_file(path: Path, *, name: str = "tiny", threshold: float = 0.5) -> Path:
    """Writes a weights file as far as planning reads it: a card alone."""
    card = Card(name=name, task="binary", classes=BINARY, network_size=32, stride=4, threshold=threshold)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("segtool.json", json.dumps(card_to_json(card)))
    return path


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Returns options with weights, relative to a folder of the test's own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    weights = card_file(tmp_path / "tiny.keras")

    def options(
        *inputs: str, output: str = "out", overlay: bool = False, force: bool = False
    ) -> MaskOptions | OverlayOptions:
        kind = OverlayOptions if overlay else MaskOptions
        return kind(
            Sources(tuple(map(Path, inputs))), Path(output), output.endswith("/"),
            predicting=Predicting(str(weights)), running=Running(force=force),
        )  # fmt: skip

    return options


def make_plan(options: MaskOptions | OverlayOptions) -> Plan:
    """Plans as a run does."""
    wanted = wanted_of(options)
    if is_single(options):
        return plan_single(options, wanted)
    return plan_found(options, wanted, find_pictures(options, wanted), read_records(options.output))


def target(job: Job) -> Path:
    (path,) = job.targets.values()
    return Path(path)


def pictures(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def named(plan: Plan) -> dict[str, str]:
    """Returns the targets of the jobs by source, as text."""
    return {Path(job.path).as_posix(): target(job).as_posix() for job in plan.jobs}


def write_outputs(plan: Plan, content: bytes = b"made") -> None:
    """Does what a run does with `plan`, less the pictures."""
    assert plan.root is not None
    with RecordWriter(plan.root) as record:
        for job in plan.jobs:
            target(job).parent.mkdir(parents=True, exist_ok=True)
            target(job).write_bytes(content)
            _record(record, plan, job, Stamp.of(target(job)))


def _record(record: RecordWriter, plan: Plan, job: Job, made: Stamp) -> None:
    assert plan.root is not None
    source = Stamp.of(job.path)
    path = target(job).relative_to(plan.root).as_posix()
    (kind,) = plan.wanted.kinds
    output = {"path": path, "settings": kind.settings, "size": made.size, "mtime_ns": made.mtime_ns}
    record.append(
        {
            "input": job.real,
            "status": "done",
            "outputs": {kind.name: output},
            "size": source.size,
            "mtime_ns": source.mtime_ns,
            "precision": "float32",
            "weights": plan.wanted.weights_hash,
        }
    )


def touch(path: str) -> None:
    """Makes `path` look written a second later."""
    at = Path(path).stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(at, at))


# Finding and mirroring


def test_a_folder_is_searched_through_and_mirrored(ask: Ask) -> None:
    pictures("in/b.jpg", "in/a.png", "in/deep/er/c.TIFF")
    assert named(make_plan(ask("in"))) == {
        "in/a.png": "out/a.png",
        "in/b.jpg": "out/b.png",
        "in/deep/er/c.TIFF": "out/deep/er/c.png",
    }


def test_files_that_are_no_pictures_and_hidden_ones_are_passed_over(ask: Ask) -> None:
    pictures("in/a.jpg", "in/notes.txt", "in/jpg", "in/.hidden.jpg", "in/.thumbs/b.jpg", "in/._a.jpg")
    assert named(make_plan(ask("in"))) == {"in/a.jpg": "out/a.png"}


def test_a_folder_named_like_a_picture_is_searched_through(ask: Ask) -> None:
    pictures("in/album.jpg/a.jpg")
    assert named(make_plan(ask("in"))) == {"in/album.jpg/a.jpg": "out/album.jpg/a.png"}


def test_links_to_folders_are_followed_but_not_in_circles(ask: Ask) -> None:
    pictures("in/a.jpg", "elsewhere/b.jpg")
    Path("in/link").symlink_to(Path("elsewhere").resolve())
    Path("elsewhere/back").symlink_to(Path("in").resolve())
    assert named(make_plan(ask("in"))) == {"in/a.jpg": "out/a.png", "in/link/b.jpg": "out/link/b.png"}


def test_folders_of_one_name_are_mirrored_below_the_path_that_tells_them_apart(ask: Ask) -> None:
    pictures("x/images/a.jpg", "y/images/a.jpg")
    assert named(make_plan(ask("x/images", "y/images"))) == {
        "x/images/a.jpg": "out/x/images/a.png", "y/images/a.jpg": "out/y/images/a.png",
    }  # fmt: skip


def test_several_folders_are_each_mirrored_below_their_own_name(ask: Ask) -> None:
    pictures("one/a.jpg", "x/two/a.jpg")
    assert named(make_plan(ask("one", "x/two"))) == {"one/a.jpg": "out/one/a.png", "x/two/a.jpg": "out/two/a.png"}


def test_files_beside_a_folder_go_to_the_top(ask: Ask) -> None:
    pictures("one/a.jpg", "x/b.jpg")
    assert named(make_plan(ask("one", "x/b.jpg"))) == {"one/a.jpg": "out/a.png", "x/b.jpg": "out/b.png"}


@pytest.mark.parametrize("inputs", [("in/a.jpg", "in/a.jpg"), ("in", "in/a.jpg"), ("in/a.jpg", "./in/")])
def test_a_picture_given_twice_is_made_once(ask: Ask, inputs: tuple[str, ...]) -> None:
    pictures("in/a.jpg")
    plan = make_plan(ask(*inputs))
    assert [target(job).as_posix() for job in plan.jobs] == ["out/a.png"]


def test_a_file_named_by_hand_needs_no_known_suffix(ask: Ask) -> None:
    pictures("scan.dat", "b.jpg")
    assert named(make_plan(ask("scan.dat", "b.jpg"))) == {"scan.dat": "out/scan.png", "b.jpg": "out/b.png"}


@pytest.mark.parametrize("inside", ["in/out", "in/deep/out"])
def test_an_output_inside_the_input_is_not_read(ask: Ask, inside: str) -> None:
    pictures("in/a.jpg", f"{inside}/old.png")
    assert named(make_plan(ask("in", output=inside))) == {"in/a.jpg": f"{inside}/a.png"}


@pytest.mark.parametrize("output", ["in", "in/", "./in", "in/../in"])
def test_an_output_that_is_the_input_is_refused(ask: Ask, output: str) -> None:
    pictures("in/a.jpg")
    with pytest.raises(UsageError, match="input and output at once"):
        make_plan(ask("in", output=output))


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("inputs", "output"),
    [(("in/a.png",), "in/"), (("in", "more"), "."), (("in", "more/b.png"), "more"), (("in/a.jpg",), "in/")],
)
def test_no_plan_makes_a_mask_in_place_of_a_picture(
    ask: Ask, force: bool, inputs: tuple[str, ...], output: str
) -> None:
    pictures("in/a.png", "in/a.jpg", "more/b.png")
    try:
        plan = make_plan(ask(*inputs, output=output, force=force))
    except UsageError as error:
        assert "input and output at once" in str(error)
    else:
        asked = {Path(job.path).resolve() for job in plan.jobs}
        assert not asked & {target(job).resolve() for job in plan.jobs}


def test_an_input_that_is_missing_is_named(ask: Ask) -> None:
    pictures("in/a.jpg")
    with pytest.raises(UsageError, match=r"There is no file or folder gone/b\.jpg"):
        make_plan(ask("in", "gone/b.jpg"))


@pytest.mark.parametrize("name", ["in/notes.txt", "in/.a.jpg"])
def test_a_folder_without_pictures_is_an_error(ask: Ask, name: str) -> None:
    pictures(name)
    with pytest.raises(SegtoolError, match="There are no pictures in in") as error:
        make_plan(ask("in"))
    assert error.value.exit_code == 1


def test_a_folder_that_cannot_be_read_is_named(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures("in/a.jpg", "in/locked/b.jpg")
    listing = os.scandir

    def scandir(folder: str) -> "os._ScandirIterator[str]":  # permission bits do not stop root
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SegtoolError, match="Cannot read the folder in/locked: Permission denied"):
        make_plan(ask("in"))


def test_weights_that_are_missing_are_a_model_error(ask: Ask) -> None:
    pictures("in/a.jpg")
    with pytest.raises(ModelError, match="gone"):
        make_plan(replace(ask("in"), predicting=Predicting("gone.keras")))


# One file to one file


def test_one_picture_to_a_name_with_a_suffix_is_a_file_without_a_record(ask: Ask) -> None:
    pictures("a.jpg")
    plan = make_plan(ask("a.jpg", output="mask.png"))
    assert plan.root is None
    assert named(plan) == {"a.jpg": "mask.png"}


@pytest.mark.parametrize("output", ["out", "v1.2/", "there.d"])
def test_one_picture_to_a_folder_is_a_file_in_it(ask: Ask, output: str) -> None:
    pictures("a.jpg")
    Path("there.d").mkdir()
    plan = make_plan(ask("a.jpg", output=output))
    assert plan.root == Path(output)
    assert named(plan) == {"a.jpg": f"{output.rstrip('/')}/a.png"}


def test_a_single_output_that_exists_is_refused_unless_forced(ask: Ask) -> None:
    pictures("a.jpg", "mask.png")
    with pytest.raises(OutputError, match=r"mask\.png exists already"):
        make_plan(ask("a.jpg", output="mask.png"))
    assert named(make_plan(ask("a.jpg", output="mask.png", force=True))) == {"a.jpg": "mask.png"}


@pytest.mark.parametrize("force", [False, True])
def test_a_single_output_that_is_the_picture_is_always_refused(ask: Ask, force: bool) -> None:
    pictures("a.png")
    with pytest.raises(UsageError, match="input and output at once"):
        make_plan(ask("a.png", output="./a.png", force=force))


def test_an_output_for_a_folder_that_is_a_file_is_refused(ask: Ask) -> None:
    pictures("in/a.jpg", "mask.png")
    with pytest.raises(UsageError, match=r"mask\.png is a file"):
        make_plan(ask("in", output="mask.png"))


# Names


@pytest.mark.parametrize(
    ("source", "mask", "overlay"),
    [
        ("a.jpg", "a.png", "a.jpg"), ("a.JPEG", "a.png", "a.JPEG"), ("a.png", "a.png", "a.png"),
        ("a.tif", "a.png", "a.png"), ("a.b.jpg", "a.b.png", "a.b.jpg"), ("ä ö.webp", "ä ö.png", "ä ö.png"),
    ],
)  # fmt: skip
def test_a_mask_is_a_png_and_an_overlay_of_a_jpeg_is_a_jpeg(ask: Ask, source: str, mask: str, overlay: str) -> None:
    pictures(f"in/{source}")
    assert named(make_plan(ask("in"))) == {f"in/{source}": f"out/{mask}"}
    assert named(make_plan(ask("in", overlay=True))) == {f"in/{source}": f"out/{overlay}"}


def test_of_two_pictures_that_want_one_name_the_first_gets_it(ask: Ask) -> None:
    pictures("in/a.jpg", "in/a.png")
    assert named(make_plan(ask("in"))) == {"in/a.jpg": "out/a.png", "in/a.png": "out/a.png.png"}


def test_names_that_differ_only_in_case_are_one_name(ask: Ask) -> None:
    pictures("in/A.jpg", "in/a.jpg", "in/SUB/x.jpg", "in/sub/X.jpg")
    assert named(make_plan(ask("in"))) == {
        "in/A.jpg": "out/A.png",
        "in/a.jpg": "out/a.jpg.png",
        "in/SUB/x.jpg": "out/SUB/x.png",
        "in/sub/X.jpg": "out/sub/X.jpg.png",
    }


def test_whom_the_record_gave_a_name_keeps_it_when_another_comes(ask: Ask) -> None:
    pictures("in/a.png")
    write_outputs(make_plan(ask("in")))
    pictures("in/a.jpg")
    plan = make_plan(ask("in"))
    assert named(plan) == {"in/a.jpg": "out/a.jpg.png"}
    assert len(plan.kept) == 1


def test_names_stay_over_many_runs(ask: Ask) -> None:
    pictures("in/a.png", "in/a.jpg", "in/A.tif")
    first = make_plan(ask("in"))
    write_outputs(first)
    again = make_plan(ask("in"))
    assert (again.jobs, len(again.kept), again.left) == ((), 3, ())
    assert named(make_plan(ask("in", force=True))) == named(first)


def test_two_pictures_left_with_one_name_are_refused_and_both_named(ask: Ask) -> None:
    pictures("in/b.png", "in/b.jpg", "in/b.png.tif")
    with pytest.raises(UsageError, match="both want the output") as error:
        make_plan(ask("in"))
    assert "rename one" in str(error.value)


def test_no_two_jobs_have_one_target(ask: Ask) -> None:
    pictures(*(f"in/{name}{suffix}" for name in ("a", "b", "sub/a") for suffix in (".jpg", ".png", ".tif", ".webp")))
    pictures("in/A.bmp", "in/B.ppm", "in/SUB/A.gif")
    targets = [str(target(job)).casefold() for job in make_plan(ask("in")).jobs]
    assert len(targets) == len(set(targets)) == 15


# What is done already


def test_what_is_done_is_kept(ask: Ask) -> None:
    pictures("in/a.jpg", "in/b.jpg")
    write_outputs(make_plan(ask("in")))
    pictures("in/c.jpg")
    plan = make_plan(ask("in"))
    assert named(plan) == {"in/c.jpg": "out/c.png"}
    assert len(plan.kept) == 2
    assert plan.left == ()


def test_an_output_that_was_deleted_is_made_again(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    Path("out/a.png").unlink()
    assert named(make_plan(ask("in"))) == {"in/a.jpg": "out/a.png"}


def test_a_picture_that_changed_is_made_again(ask: Ask) -> None:
    pictures("in/a.jpg", "in/b.jpg")
    write_outputs(make_plan(ask("in")))
    touch("in/a.jpg")
    assert named(make_plan(ask("in"))) == {"in/a.jpg": "out/a.png"}


def test_other_weights_make_all_again(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    card_file(Path("tiny.keras"), name="other")
    assert named(make_plan(ask("in"))) == {"in/a.jpg": "out/a.png"}


def test_weights_that_were_only_moved_make_nothing_again(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    Path("tiny.keras").rename("moved.keras")
    assert len(make_plan(replace(ask("in"), predicting=Predicting("moved.keras"))).kept) == 1


def test_another_threshold_makes_all_again(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    assert named(make_plan(replace(ask("in"), predicting=Predicting("tiny.keras", 0.7)))) == {"in/a.jpg": "out/a.png"}


def test_another_way_of_seeing_pictures_makes_all_again(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures("in/a.png")
    write_outputs(make_plan(ask("in")))
    monkeypatch.setattr("segtool.kinds.SIGHT", 0)
    assert list(named(make_plan(ask("in")))) == ["in/a.png"]


def test_the_threshold_of_the_card_said_again_changes_nothing(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    assert len(make_plan(replace(ask("in"), predicting=Predicting("tiny.keras", 0.5))).kept) == 1


def test_batch_size_changes_nothing(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    assert len(make_plan(replace(ask("in"), engine=Engine(batch_size=1))).kept) == 1


@pytest.mark.parametrize(("asked", "kept"), [("auto", 1), ("float32", 1), ("bfloat16", 0), ("float16", 0)])
def test_a_precision_asked_for_makes_outputs_of_another_again_and_auto_takes_any(
    asked: str, kept: int, ask: Ask
) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))  # recorded as float32
    assert len(make_plan(replace(ask("in"), engine=Engine(precision=asked))).kept) == kept


def test_another_opacity_makes_overlays_again(ask: Ask) -> None:
    pictures("in/a.jpg")
    options = ask("in", overlay=True)
    assert isinstance(options, OverlayOptions)
    write_outputs(make_plan(options))
    assert len(make_plan(options).kept) == 1
    assert named(make_plan(replace(options, paint=Paint(opacity=0.9)))) == {"in/a.jpg": "out/a.jpg"}


def test_force_makes_all_again(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    plan = make_plan(ask("in", force=True))
    assert named(plan) == {"in/a.jpg": "out/a.png"}
    assert plan.kept == ()


def test_a_file_without_a_record_is_left_alone_and_named(ask: Ask) -> None:
    pictures("in/a.jpg", "in/b.jpg", "out/a.png")
    plan = make_plan(ask("in"))
    assert named(plan) == {"in/b.jpg": "out/b.png"}
    assert [target(job) for job, _ in plan.left] == [Path("out/a.png")]


@pytest.mark.parametrize("edit", [lambda: touch("out/a.png"), lambda: Path("out/a.png").write_bytes(b"by hand")])
def test_a_file_edited_by_hand_is_left_alone_whatever_else_changed(ask: Ask, edit: Callable[[], object]) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    edit()
    touch("in/a.jpg")
    plan = make_plan(replace(ask("in"), predicting=Predicting("tiny.keras", 0.9)))
    assert plan.jobs == ()
    assert [target(job) for job, _ in plan.left] == [Path("out/a.png")]


def test_force_replaces_what_would_be_left_alone(ask: Ask) -> None:
    pictures("in/a.jpg", "out/a.png")
    plan = make_plan(ask("in", force=True))
    assert named(plan) == {"in/a.jpg": "out/a.png"}
    assert plan.left == ()


def test_a_run_killed_between_record_and_rename_is_made_again_and_not_left_alone(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    touch("in/a.jpg")
    killed = make_plan(ask("in"))
    with RecordWriter(Path("out")) as record:
        _record(record, killed, killed.jobs[0], Stamp(99, 99))  # of a file that never got its name
    plan = make_plan(ask("in"))
    assert named(plan) == {"in/a.jpg": "out/a.png"}
    assert plan.left == ()


def test_an_overlay_does_not_replace_a_mask_of_its_name(ask: Ask) -> None:
    pictures("in/a.png")
    write_outputs(make_plan(ask("in")))
    plan = make_plan(ask("in", overlay=True))
    assert plan.jobs == ()
    assert [target(job) for job, _ in plan.left] == [Path("out/a.png")]


def test_masks_and_overlays_of_jpegs_live_in_one_folder(ask: Ask) -> None:
    pictures("in/a.jpg")
    write_outputs(make_plan(ask("in")))
    write_outputs(make_plan(ask("in", overlay=True)))
    assert len(make_plan(ask("in")).kept) == len(make_plan(ask("in", overlay=True)).kept) == 1


def test_a_file_where_a_folder_is_needed_is_no_crash_of_the_plan(ask: Ask) -> None:
    pictures("in/deep/a.jpg", "out/deep")
    assert named(make_plan(ask("in"))) == {"in/deep/a.jpg": "out/deep/a.png"}  # writing says what is in the way


def test_a_picture_that_has_gone_since_its_mask_is_a_job_that_will_be_noted(ask: Ask) -> None:
    pictures("in/a.jpg", "away/b.jpg")
    Path("in/b.jpg").symlink_to(Path("away/b.jpg").resolve())
    write_outputs(make_plan(ask("in")))
    Path("away/b.jpg").unlink()
    assert named(make_plan(ask("in"))) == {"in/b.jpg": "out/b.png"}
