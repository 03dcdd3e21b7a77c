import os
from pathlib import Path

import pytest

from segtool.imaging.geometry import network_shape

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture(autouse=True)
def beside_the_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.mark.parametrize(("network_size", "stride"), [(256, 16), (256, 32), (224, 32), (384, 64)])
def test_peers_see_a_picture_at_the_size_segtool_shows_it_at(network_size: int, stride: int) -> None:
    from networks import seen_shape

    expected = network_shape(3000, 4000, network_size=network_size, stride=stride)
    assert seen_shape(network_size, stride) == expected


def test_the_steady_rate_leaves_start_up_and_drain_out(tmp_path: Path) -> None:
    from running import steady_rate

    for number in range(100):
        path = tmp_path / f"{number}.png"
        path.touch()
        seconds = 1000 + number / 10 + (60 if number >= 95 else 0)
        os.utime(path, (0, seconds))
    assert steady_rate(tmp_path) == pytest.approx(10, rel=1e-3)


def test_too_few_masks_have_no_steady_rate(tmp_path: Path) -> None:
    from running import steady_rate

    (tmp_path / "1.png").touch()
    assert steady_rate(tmp_path) is None


def test_a_goal_tells_missed_from_met_and_beyond_either_way() -> None:
    from table import Goal

    assert [Goal(5, 6.5).met(v) for v in (4.9, 5, 6.5)] == ["missed", "met", "beyond"]
    assert [Goal(1.2, 1.1, least=False).met(v) for v in (1.3, 1.2, 1.1)] == ["missed", "met", "beyond"]


def test_the_floor_is_the_highest_of_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    from floor import Floor

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    wall = {"decode": 1.0, "encode": 0.5, "segtool": 3.0, "open_vino": 2.0}
    cpu = {"decode": 2.0, "encode": 1.0, "segtool": 6.0, "open_vino": 4.0}
    found = Floor(wall, cpu, "open_vino")
    assert found.bounds == {"decode": 1.0, "encode": 0.5, "open_vino": 2.0, "CPU seconds over cores": 3.5}
    assert found.seconds == 3.5


def test_a_missing_peer_says_how_to_install_it(tmp_path: Path) -> None:
    from peers import Peer

    reason = Peer("nobody", "Nobody", "a_package_that_is_not_there").missing(tmp_path)
    assert reason is not None and "pip install -r tests/benchmarks/requirements.txt" in reason
