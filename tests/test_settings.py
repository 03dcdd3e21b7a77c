"""The rules by which a training chooses what it was not told, as pure functions of numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segtool.errors import UsageError
from segtool.options import TrainOptions
from segtool.settings import Fingerprint, Machine, Settings, balanced_weights, bytes_a_picture, choose

GIB = 1 << 30
ASKED = TrainOptions(data=(), run=Path())
PHOTOS = Fingerprint(
    train=184, val=48, long_side=640, smallest=300, largest=1200, one_size=False, grey=False, shares=(0.76, 0.24)
)  # fmt: skip
CPU, GPU = Machine(16 * GIB), Machine(80 * GIB, gpu=True)


def settings(found: Fingerprint = PHOTOS, machine: Machine = CPU, **asked: Any) -> Settings:
    return choose(replace(ASKED, **asked), found, machine)[0]


def stride(chosen: Settings) -> int:
    return chosen.stem << chosen.depth


@pytest.mark.parametrize("train", [2, 10, 50, 184, 1000, 30_000])
@pytest.mark.parametrize("long_side", [20, 64, 100, 128, 224, 480, 1000, 4000, 12_000])
@pytest.mark.parametrize("classes", [2, 5, 30])
@pytest.mark.parametrize("machine", [CPU, GPU, Machine(GIB // 2)])
def test_any_data_gets_settings_that_can_run(train: int, long_side: int, classes: int, machine: Machine) -> None:
    shares = (0.9, *[0.1 / (classes - 1)] * (classes - 1))
    chosen = settings(replace(PHOTOS, train=train, long_side=long_side, shares=shares), machine)
    assert chosen.network_size % stride(chosen) == 0
    assert 64 <= chosen.network_size <= 512
    assert 4 <= chosen.network_size / stride(chosen) < 16
    assert 1 <= chosen.batch_size <= 16
    assert chosen.batch_size <= max(train, 2)
    assert chosen.epoch_pictures >= 32 * chosen.batch_size
    assert chosen.class_weights == () or len(chosen.class_weights) == classes


@pytest.mark.parametrize(
    ("long_side", "machine", "size", "depth", "stem"),
    [
        (64, CPU, 64, 3, 1), (40, CPU, 64, 3, 1), (128, CPU, 128, 4, 1), (200, CPU, 224, 4, 1),
        (640, CPU, 256, 4, 2), (6000, CPU, 256, 4, 2), (640, GPU, 512, 5, 2), (64, GPU, 64, 3, 1),
    ],
)  # fmt: skip
def test_size_depth_and_stem_follow_the_pictures(
    long_side: int, machine: Machine, size: int, depth: int, stem: int
) -> None:
    chosen = settings(replace(PHOTOS, long_side=long_side), machine)
    assert (chosen.network_size, chosen.depth, chosen.stem) == (size, depth, stem)


def test_more_classes_see_larger_pictures_on_a_cpu() -> None:
    assert settings(replace(PHOTOS, shares=(0.4, 0.3, 0.3))).network_size == 384


@pytest.mark.parametrize(("train", "batch"), [(3, 2), (10, 2), (16, 4), (31, 4), (32, 8), (999, 8), (1000, 16)])
def test_few_pictures_get_small_batches(train: int, batch: int) -> None:
    assert settings(replace(PHOTOS, train=train)).batch_size == batch


def test_ten_pictures_are_shown_often_enough_in_an_epoch() -> None:
    chosen = settings(replace(PHOTOS, train=10, val=2))
    assert (chosen.batch_size, chosen.epoch_pictures) == (2, 64)


def test_a_huge_set_has_short_epochs() -> None:
    assert settings(replace(PHOTOS, train=100_000)).epoch_pictures == 4000


def test_what_memory_does_not_hold_at_once_is_added_up() -> None:
    network = {"depth": 4, "width": 16, "max_width": 256, "stem": 2}
    memory = Machine(2 * 3 * bytes_a_picture(network, 256))  # half of it holds three pictures
    chosen = settings(PHOTOS, memory)
    assert (chosen.batch_size, chosen.accumulate) == (2, 4)
    assert settings(PHOTOS, Machine(1)).batch_size == 1


def test_imbalance_of_two_classes_is_left_to_dice() -> None:
    chosen, reasons = choose(ASKED, replace(PHOTOS, shares=(0.98, 0.02)), CPU)
    assert (chosen.loss, chosen.class_weights) == ("ce+dice", ())
    assert any("2.0% of the pixels" in reason for reason in reasons)


def test_more_classes_are_learned_with_dice_and_no_weights() -> None:
    chosen = settings(replace(PHOTOS, shares=(0.97, 0.02, 0.01)))
    assert (chosen.loss, chosen.class_weights) == ("ce+dice", ())


def test_a_loss_without_overlap_weighs_rare_classes() -> None:
    shares = (0.55, 0.3, 0.12, 0.03)
    weights = settings(replace(PHOTOS, shares=shares), loss="ce").class_weights
    assert list(weights) == sorted(weights)
    assert weights == balanced_weights(shares)
    assert settings(replace(PHOTOS, shares=shares), loss="ce", class_weights="none").class_weights == ()
    assert settings(replace(PHOTOS, shares=(0.4, 0.3, 0.3)), loss="ce").class_weights == ()


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.15, 0.05), (0.9, 0.1, 0.0), (0.999, 0.0005, 0.0005)])
def test_balanced_weights_are_the_root_of_median_over_share_and_one_on_average(shares: tuple[float, ...]) -> None:
    weights = np.array(balanced_weights(shares))
    known = np.array(shares) > 0
    median = sorted(s for s in shares if s)[known.sum() // 2]
    raw = np.minimum(np.sqrt(median / np.array(shares)[known]), 4)
    np.testing.assert_allclose(weights[known] / weights[known][0], raw / raw[0], rtol=1e-2)
    assert weights @ np.array(shares) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ("network_size", 96), ("depth", 2), ("width", 7), ("max_width", 40), ("stem", 4), ("batch_size", 3),
        ("accumulate", 5), ("epoch_pictures", 11), ("learning_rate", 0.5), ("loss", "focal"), ("residual", False),
        ("norm", False), ("crop_size", 64), ("ema", 0.9), ("paste", 0.5), ("clip", 0.0),
        ("encoder", "MobileNetV3Small"),
    ],
)  # fmt: skip
def test_every_choice_can_be_overridden(asked: str, value: Any) -> None:
    assert getattr(settings(**{asked: value}), asked) == value


@pytest.mark.parametrize(("size", "depth"), [(200, 3), (96, 3), (72, 3), (30, 1)])
def test_a_size_that_was_asked_for_gets_a_depth_that_divides_it(size: int, depth: int) -> None:
    assert settings(network_size=size).depth == depth


def test_a_depth_that_was_asked_for_gets_a_size_it_divides() -> None:
    assert settings(depth=6, stem=2).network_size % 128 == 0


@pytest.mark.parametrize(("size", "depth"), [(256, 3), (192, 2), (40, 1)])
def test_a_larger_stem_takes_the_place_of_levels(size: int, depth: int) -> None:
    assert settings(network_size=size, stem=4).depth == depth


def test_a_stem_that_is_no_power_of_two_is_refused() -> None:
    with pytest.raises(UsageError, match="--stem 3 is none of 1, 2 and 4"):
        settings(stem=3)


@pytest.mark.parametrize(("text", "weights"), [("1,2", (1.0, 2.0)), ("0,1", (0.0, 1.0)), ("none", ())])
def test_class_weights_can_be_given(text: str, weights: tuple[float, ...]) -> None:
    assert settings(class_weights=text).class_weights == weights


@pytest.mark.parametrize("text", ["1,2,3", "1", "much", "-1,2", "0,0", "1,", "inf,1"])
def test_class_weights_that_cannot_be_are_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--class-weights"):
        settings(class_weights=text)


def test_every_choice_has_its_reason_and_what_was_asked_for_has_none() -> None:
    _, reasons = choose(ASKED, PHOTOS, CPU)
    words = ("network size 256", "depth 4, stem 2", "width 16", "batch size 8", "learning rate 0.002", "loss ce+dice")
    for word in words:
        assert any(reason.startswith(word) for reason in reasons), word
    asked = replace(
        ASKED, network_size=64, depth=2, stem=1, width=8, batch_size=4, learning_rate=0.1, loss="ce",
        class_weights="none", epoch_pictures=9,
    )  # fmt: skip
    assert choose(asked, PHOTOS, CPU)[1] == ()


def test_weights_to_start_from_bring_their_network_and_a_gentle_rate() -> None:
    network = {"encoder": "", "depth": 3, "width": 5, "max_width": 50, "norm": True, "residual": True, "stem": 2,
               "network_size": 320}  # fmt: skip
    chosen, reasons = choose(replace(ASKED, init="person"), PHOTOS, CPU, start=network)
    assert (chosen.depth, chosen.width, chosen.network_size, chosen.learning_rate) == (3, 5, 320, 3e-4)
    assert "network and network size 320: those of person" in reasons


def test_grey_pictures_are_known_as_such() -> None:
    assert settings(replace(PHOTOS, grey=True)).grey
