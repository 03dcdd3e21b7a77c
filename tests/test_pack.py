"""`weights/pack.py`: files half as large, whose networks are the same to float16's last bit."""

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import load_script

from segtool.card import find_weights, read_card
from segtool.engine.network import read_steps
from segtool.model.weights import load_weights


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("weights/pack.py")


def test_a_packed_network_is_smaller_and_the_same_to_float16(script: ModuleType, tmp_path: Path) -> None:
    before, after = find_weights("shapes"), tmp_path / "shapes.keras"
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
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shapes.keras"
    shutil.copy(find_weights("shapes"), path)
    before = path.read_bytes()
    monkeypatch.setattr(script, "LARGEST", 1e-9)
    with pytest.raises(ValueError, match="beyond"):
        script.pack(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
