"""`weights/pack.py`: files half as large, whose networks are the same to float16's last bit."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import load_script

from segtool.card import find_weights, read_card
from segtool.engine.network import read_steps
from segtool.model.unet import Architecture, build_unet, with_head
from segtool.model.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("weights/pack.py")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as a training leaves them. Not to be changed."""
    path = tmp_path_factory.mktemp("fresh") / "fresh.keras"
    architecture = Architecture(2, depth=3, width=16, residual=True)
    card = replace(read_card(find_weights("shapes")), stride=architecture.stride, architecture=asdict(architecture))
    save_weights(with_head(build_unet(architecture)), path, card)
    return path


def test_a_packed_network_is_smaller_and_the_same_to_float16(script: ModuleType, fresh: Path, tmp_path: Path) -> None:
    before, after = fresh, tmp_path / "fresh.keras"
    shutil.copy(before, after)
    script.pack(after)
    assert after.stat().st_size < 0.6 * before.stat().st_size
    assert read_card(after) == read_card(before)
    for old, new in zip(load_weights(before)[0].weights, load_weights(after)[0].weights, strict=True):
        wanted = np.asarray(old)
        if wanted.ndim == 4:
            wanted = wanted.astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(np.asarray(new), wanted)
    assert [s.kind for s in read_steps(after) or ()] == [s.kind for s in read_steps(before) or ()]
    assert list(tmp_path.iterdir()) == [after]


def test_a_kernel_beyond_float16_is_left_as_it_is_with_its_file(
    script: ModuleType, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fresh.keras"
    shutil.copy(fresh, path)
    before = path.read_bytes()
    monkeypatch.setattr(script, "LARGEST", 1e-9)
    with pytest.raises(ValueError, match="beyond"):
        script.pack(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
