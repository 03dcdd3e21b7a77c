"""What a training leaves for the eye: sample sheets, and logs that TensorBoard reads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segtool.model  # noqa: F401  # chooses the Keras backend

# isort: split
import tensorflow as tf

from segtool.report.events import append_epoch
from segtool.report.samples import EXTRA, IGNORED, MISSED, WRONG, Sample, error_map, save_samples

ROW = {"epoch": 1.0, "loss": 0.5, "accuracy": 0.75, "iou": 0.25, "val_loss": 0.625, "val_accuracy": 0.875,
       "val_iou": 0.125, "learning_rate": 0.001, "seconds": 9.0}  # fmt: skip


def test_errors_are_coloured_by_what_is_wrong_and_the_rest_is_grey() -> None:
    truth = np.array([[0, 1, 2, 255, 0, 1]], np.uint8)
    found = np.array([[1, 0, 1, 1, 0, 1]], np.uint8)
    colors = error_map(Sample(np.zeros((1, 6, 3), np.uint8), truth, found))[0].tolist()
    assert colors[:4] == [list(c) for c in (EXTRA, MISSED, WRONG, IGNORED)]
    assert colors[4] == colors[5] == [160, 160, 160]


@pytest.mark.parametrize("shape", [(8, 8), (32, 5), (5, 32), (300, 400)])
def test_a_sheet_has_a_row_a_picture_of_four_tiles(shape: tuple[int, int], tmp_path: Path) -> None:
    mask = np.zeros(shape, np.uint8)
    sample = Sample(np.zeros((*shape, 3), np.uint8), mask, mask)
    heights = []
    for count in (1, 3):
        save_samples(tmp_path / "s.png", [sample] * count, [(0, 0, 0), (9, 9, 9)], "title")
        with Image.open(tmp_path / "s.png") as sheet:
            assert sheet.width == 4 * 256 + 3 * 6
            heights.append(sheet.height)
    assert heights[1] - heights[0] == 2 * (round(256 * shape[0] / max(shape)) + 6)


def test_tensorflow_reads_the_logs(tmp_path: Path) -> None:
    append_epoch(tmp_path, ROW)
    append_epoch(tmp_path, {**ROW, "epoch": 200.0, "loss": 0.25})
    found = {}
    for split in ("train", "val"):
        [path] = (tmp_path / split).iterdir()
        # TFRecordDataset checks both checksums of every record.
        events = [tf.compat.v1.Event.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
        assert events[0].file_version == "brain.Event:2"
        assert [e.step for e in events[1:]] == [1, 200]
        found[split] = [{v.tag: v.simple_value for v in e.summary.value} for e in events[1:]]
    rates = [scalars.pop("learning_rate") for scalars in found["train"]]
    assert rates == pytest.approx([0.001, 0.001])
    assert found["train"] == [{"loss": loss, "accuracy": 0.75, "iou": 0.25} for loss in (0.5, 0.25)]
    assert found["val"] == [{"loss": 0.625, "accuracy": 0.875, "iou": 0.125}] * 2
