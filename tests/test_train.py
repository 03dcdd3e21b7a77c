"""`segtool train` as a user runs it: what a run holds, how it resumes, what it refuses."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from PIL import Image

from segtool.card import read_card
from segtool.words import minutes_of

TINY = ["--depth", 2, "--width", 4, "--network-size", 32, "--batch-size", 4, "--epoch-pictures", 12]


@pytest.fixture(scope="module")
def run(shapes: Path, segtool: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs on the shapes dataset. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    done = segtool("train", shapes, folder, *TINY, "--epochs", 2, "--class-names", "background,shape")
    assert done.returncode == 0, done.stderr
    assert "mask values: 0 = background, 255 = shape" in done.stderr
    assert "epoch 2: loss" in done.stderr
    return folder


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_history_holds_loss_accuracy_and_iou_of_train_and_val(run: Path) -> None:
    rows = history(run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        for metric in ("accuracy", "iou", "val_accuracy", "val_iou"):
            assert 0 <= float(row[metric]) <= 1
        assert float(row["loss"]) > 0 and float(row["val_loss"]) > 0


def test_curves_are_a_picture(run: Path) -> None:
    with Image.open(run / "curves.png") as curves:
        assert curves.width > 600


def test_samples_of_the_best_epochs_are_pictures(run: Path) -> None:
    sheets = sorted((run / "samples").iterdir())
    assert sheets and all(re.fullmatch(r"epoch-000[12]\.png", p.name) for p in sheets)
    with Image.open(sheets[-1]) as sheet:
        assert sheet.width == 4 * 256 + 3 * 6


def test_the_config_holds_what_was_asked_what_was_chosen_and_why(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    assert config["options"]["batch_size"] == 4 and config["options"]["loss"] is None
    assert config["settings"]["loss"] == "ce+dice" and config["settings"]["stem"] == 1
    assert any(reason.startswith("loss ce+dice") for reason in config["reasons"])
    assert config["fingerprint"]["train"] == 12 and len(config["fingerprint"]["digest"]) == 16


def test_config_repeats_a_run_and_options_beside_it_win(run: Path, shapes: Path, segtool: Run, tmp_path: Path) -> None:
    done = segtool("train", shapes, tmp_path / "again", "--config", run, "--epochs", 1, "--width", 5)
    assert done.returncode == 0, done.stderr
    before, now = (json.loads((p / "config.json").read_text()) for p in (run, tmp_path / "again"))
    assert {**before["settings"], "width": 5} == now["settings"]
    assert now["options"]["epochs"] == 1
    assert read_card(tmp_path / "again/weights.keras").classes == read_card(run / "weights.keras").classes


def test_config_and_init_together_keep_settings_and_weights_and_config_alone_starts_anew(
    run: Path, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    both = segtool("train", shapes, tmp_path / "both", "--config", run, "--init", run, "--epochs", 1, "--width", 5)
    assert both.returncode == 0, both.stderr
    assert "is the beginning of a wider one" in both.stderr
    alone = segtool("train", shapes, tmp_path / "alone", "--config", tmp_path / "both", "--epochs", 1)
    assert alone.returncode == 0, alone.stderr
    before, now = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("both", "alone"))
    assert before["settings"] == now["settings"]
    assert before["settings"]["width"] == 5
    assert (before["options"]["init"], now["options"]["init"]) == (str(run), None)


def test_resume_needs_no_option_again_and_refuses_data_that_changed(
    run: Path, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    data, folder = tmp_path / "data", tmp_path / "mine"
    shutil.copytree(run, folder)
    shutil.copytree(shapes, data)
    done = segtool("train", shapes, folder, "--resume")
    assert done.returncode == 0, done.stderr
    assert history(folder) == history(run)
    shutil.copyfile(data / "train/masks/00001.png", data / "train/masks/00002.png")
    config = json.loads((folder / "config.json").read_text())
    config["options"]["data"] = [str(data.resolve())]
    (folder / "config.json").write_text(json.dumps(config))
    changed = segtool("train", data, folder, "--resume")
    assert changed.returncode == 2
    assert "changed since" in changed.stderr


def test_init_of_other_classes_takes_all_but_the_head(
    run: Path, colored_shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    options = ["--batch-size", 4, "--epochs", 1, "--learning-rate", 0, "--epoch-pictures", 12]
    done = segtool("train", colored_shapes, tmp_path / "tuned", *options, "--init", run)
    assert done.returncode == 0, done.stderr
    assert "knows 2 classes, this data 5: all its layers are taken but the last" in done.stderr
    script = (
        "import keras, numpy as np, sys\n"
        "a, b = (keras.models.load_model(p) for p in sys.argv[1:])\n"
        "print([x.path for x, y in zip(a.trainable_variables, b.trainable_variables, strict=True)"
        " if x.shape != y.shape or not np.array_equal(x, y)])\n"
    )
    command = [sys.executable, "-c", script, str(run / "weights.keras"), str(tmp_path / "tuned/weights.keras")]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert changed == "['logits/kernel', 'logits/bias']"


def test_a_grid_trains_every_combination_once_and_writes_its_table(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    arguments = [
        "train",
        shapes,
        tmp_path / "runs",
        *TINY,
        "--epochs",
        1,
        "--grid",
        "lr=1e-3,1e-2",
        "--grid",
        "norm=no",
    ]
    done = segtool(*arguments)
    assert done.returncode == 0, done.stderr
    names = ["lr=1e-3 norm=no", "lr=1e-2 norm=no"]
    assert all(name in done.stdout for name in names)
    with (tmp_path / "runs/grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["configuration"] for row in rows] == names
    assert (tmp_path / "runs/grid.md").read_text().count("\n") == 4
    for name, row in zip(names, rows, strict=True):
        card = read_card(tmp_path / "runs" / name.replace(" ", "_") / "weights.keras")
        assert float(row["val_iou"]) == pytest.approx(card.scores["val"]["miou"])
        assert int(row["parameters"]) == card.parameters

    shutil.rmtree(tmp_path / "runs/lr=1e-2_norm=no")
    again = segtool(*arguments)
    assert again.returncode == 0, again.stderr
    assert "[2/2] lr=1e-2" in again.stderr and "[1/2]" not in again.stderr
    other = segtool(*arguments, "--seed", 3)
    assert other.returncode == 2
    assert "seed 0 -> 3" in other.stderr


@pytest.mark.parametrize(
    ("text", "minutes"), [("45", 45), ("45m", 45), ("1h30m", 90), ("90s", 1.5), ("2h", 120), ("1m30s", 1.5)]
)  # fmt: skip
def test_a_time_budget_is_a_length_of_time(text: str, minutes: float) -> None:
    assert minutes_of(text) == pytest.approx(minutes)


def test_the_card_knows_everything_needed_to_use_the_weights(run: Path, shapes: Path) -> None:
    card = read_card(run / "weights.keras")
    assert (card.name, card.task, card.network_size, card.stride) == ("mine", "binary", 32, 4)
    assert [c.name for c in card.classes] == ["background", "shape"]
    assert card.mask_values == (0, 255)
    assert card.trained_on[0]["name"] == shapes.name
    assert card.trained_on[0]["train"] == 12
    assert set(card.scores["val"]["by_data"]) == {shapes.name}
    assert card.scores["val"]["threshold"] == card.threshold
    assert card.scores["val"]["threshold_from"] == "val"
    assert card.parameters > 0 and card.flops > 0


def test_plain_keras_opens_the_weights(run: Path) -> None:
    script = (
        "import keras, numpy as np, sys\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "p = np.asarray(model(np.zeros((2, 16, 24, 3), np.uint8)))\n"
        "print(p.shape, p.dtype, 0 <= p.min() <= p.max() <= 1)\n"
    )
    command = [sys.executable, "-c", script, str(run / "weights.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 16, 24, 1) float32 True"


def test_evaluate_gives_the_scores_in_the_card(run: Path, shapes: Path, segtool: Run) -> None:
    done = segtool("evaluate", shapes, "--weights", run, "--precision", "float32", "--json")
    assert done.returncode == 0, done.stderr
    scored, kept = json.loads(done.stdout), read_card(run / "weights.keras").scores["val"]
    for key in ("pairs", "miou", "miou_image", "accuracy", "baseline_accuracy"):
        assert scored[key] == pytest.approx(kept[key], abs=1e-6)


def test_resume_goes_on_where_the_run_stopped(run: Path, shapes: Path, segtool: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(run, folder)
    options = [*TINY, "--class-names", "background,shape", "--resume"]
    done = segtool("train", shapes, folder, *options, "--epochs", 3)
    assert done.returncode == 0, done.stderr
    assert history(folder)[:2] == history(run)
    assert [row["epoch"] for row in history(folder)] == ["1", "2", "3"]
    assert "epoch 1:" not in done.stderr


def test_resume_refuses_other_settings(run: Path, shapes: Path, segtool: Run) -> None:
    done = segtool("train", shapes, run, *TINY, "--class-names", "background,shape", "--resume", "--seed", 5)
    assert done.returncode == 2
    assert "seed 0 -> 5" in done.stderr


def test_a_run_that_is_not_empty_is_refused(run: Path, shapes: Path, segtool: Run) -> None:
    done = segtool("train", shapes, run, *TINY)
    assert done.returncode == 2
    assert "is not empty" in done.stderr


def test_init_starts_from_other_weights(run: Path, shapes: Path, segtool: Run, tmp_path: Path) -> None:
    options = ["--network-size", 32, "--batch-size", 4, "--epochs", 1, "--learning-rate", 0, "--epoch-pictures", 12]
    done = segtool("train", shapes, tmp_path / "tuned", *options, "--init", run)
    assert done.returncode == 0, done.stderr
    # At a learning rate of 0 only the normalisation statistics move: the kernels are those of the start.
    script = (
        "import keras, numpy as np, sys\n"
        "a, b = (keras.models.load_model(p) for p in sys.argv[1:])\n"
        "print(all(np.array_equal(x, y) for x, y in zip(a.trainable_variables, b.trainable_variables, strict=True)))\n"
    )
    command = [sys.executable, "-c", script, str(run / "weights.keras"), str(tmp_path / "tuned/weights.keras")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "True"


def test_a_teacher_changes_what_is_learned_and_not_how_it_is_scored(
    run: Path, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    def trained(name: str, *options: object) -> dict[str, str]:
        done = segtool("train", shapes, tmp_path / name, *TINY, "--epochs", 1, "--learning-rate", 0, *options)
        assert done.returncode == 0, done.stderr
        return history(tmp_path / name)[0]

    alone, taught = trained("alone"), trained("taught", "--teacher", run)
    assert taught["loss"] != alone["loss"]
    assert (taught["val_loss"], taught["iou"]) == (alone["val_loss"], alone["iou"])


def test_more_classes_train_with_softmax_and_mask_gives_their_ids(
    colored_shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    data, folder = tmp_path / "data", tmp_path / "run"
    shutil.copytree(colored_shapes, data)
    classes = json.loads((data / "classes.json").read_text())
    classes["classes"].append({"id": 9, "name": "unicorn", "color": [1, 2, 3]})
    (data / "classes.json").write_text(json.dumps(classes))
    done = segtool("train", data, folder, *TINY, "--epochs", 1, "--residual", "--stem", 2)
    assert done.returncode == 0, done.stderr
    card = read_card(folder / "weights.keras")
    assert card.task == "multiclass"
    assert [c.name for c in card.classes][-1] == "unicorn"

    masked = segtool("mask", data / "val/images", tmp_path / "masks", "-w", folder)
    assert masked.returncode == 0, masked.stderr
    with Image.open(tmp_path / "masks/00000.png") as mask:
        assert mask.mode == "P"
        assert set(np.unique(np.asarray(mask))) <= {0, 1, 2, 3, 4, 9}


def test_the_ignore_id_is_found_told_and_left_out_of_the_scores(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    for path in data.rglob("masks/*.png"):
        mask = np.asarray(Image.open(path)) // 255
        mask[:20] = 255
        Image.fromarray(mask).save(path)
    done = segtool("train", data, tmp_path / "run", *TINY, "--epochs", 1)
    assert done.returncode == 0, done.stderr
    assert "0 = background, 1 = foreground, 255 = ignored" in done.stderr
    scored = json.loads(segtool("evaluate", data, "-w", tmp_path / "run", "--json").stdout)
    counted = sum(np.sum(np.asarray(Image.open(p)) != 255) for p in (data / "val/masks").iterdir())
    assert sum(map(sum, scored["confusion"])) == counted
    assert read_card(tmp_path / "run/weights.keras").ignore_id == 255


def test_a_pair_that_cannot_be_read_is_named_and_the_rest_trains(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    (data / "train/images/00003.png").write_bytes(b"no picture")
    Image.new("L", (20, 64)).save(data / "train/masks/00004.png")
    done = segtool("train", data, tmp_path / "run", *TINY, "--epochs", 1)
    assert done.returncode == 3
    assert "00003.png is not a picture" in done.stderr
    assert "20×64" in done.stderr
    assert "10 train and 6 val pairs" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere", "run"], 1, "There is no dataset folder nowhere."),
        (["data", "run", "--network-size", 40, "--depth", 4], 2, "--network-size 40 is not a multiple of 16"),
        (["data", "run", "--mix", "1,2"], 2, "--mix has 2 shares for 1 datasets"),
        (["data", "run", "--mix", "much"], 2, "--mix much is no list of numbers"),
        (["data", "run", "--class-names", "a,b,c"], 1, "3 class names for 2 classes"),
        (["data", "run", "--time-budget", "soon"], 2, "--time-budget soon is no length of time like 45m"),
        (["data", "run", "--time-budget", "0"], 2, "--time-budget 0 is no length of time"),
        (["data", "run", "--loss", "mse"], 2, "--loss mse is no sum of ce, dice, focal, tversky"),
        (["data", "run", "--class-weights", "1,2,3"], 2, "3 weights for 2 classes"),
        (["data", "run", "--grid", "size=3"], 2, "--grid size=3 is not KEY=V,V"),
        (["data", "run", "--grid", "depth=deep"], 2, "deep is no value of depth"),
        (["data", "run", "--encoder", "VGG16"], 2, "--encoder VGG16 is not one of MobileNetV3Small"),
        (["data", "run", "--config", "nowhere.json"], 2, "nowhere.json is not the config of a run"),
        (["data", "run", "--init", "shapes", "--depth", 3], 2, "brings its own network"),
        (
            ["data", "run", "--init", "shapes", "--width", 4],
            2,
            "--init shapes has widths from 8 to 64: give no smaller",
        ),
        (["data", "run", "--resume"], 2, "no checkpoint.npz to resume from"),
        (["data", "run", "--init", "nothing"], 1, "There are no weights 'nothing'"),
        (["data", "run", "--teacher", "nothing"], 1, "There are no weights 'nothing'"),
        (["data", "run", "--teacher", "street"], 2, "--teacher street knows 11 classes, this data 2"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_an_exit_code(
    arguments: list[object], code: int, sentence: str, shapes: Path, segtool: Run, tmp_path: Path
) -> None:
    (tmp_path / "data").symlink_to(shapes)
    done = segtool("train", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_what_a_quick_check_finds_is_told_before_anything_else(shapes: Path, segtool: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    shutil.copy(data / "train/images/00000.png", data / "val/images/00000.png")
    shutil.copy(data / "train/masks/00000.png", data / "val/masks/00000.png")
    done = segtool("train", data, tmp_path / "run", "--loss", "none")  # ends where the loss is read
    assert done.returncode != 0
    assert "leakage-same-bytes" in done.stderr
