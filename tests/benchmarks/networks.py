"""The networks that are timed, and the files each engine wants of them.

    python tests/benchmarks/networks.py CACHE PICTURES NETWORK...

makes, in CACHE/networks, an ONNX file of each network (`fixed`, the U-Net below, or bundled weights by name) and
`u2netp.onnx`. In a process of its own, since TensorFlow is large and the one that starts what is measured must stay
small.
"""

import importlib.util
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segtool.card import Card, ClassInfo, find_weights

FIXED = "fixed"
SIZE, WIDTH, DEPTH = 256, 32, 4


def fixed_weights(cache: Path) -> Path:
    """Returns where the fixed U-Net lies."""
    return cache / "networks" / "fixed.keras"


def weights_of(network: str, cache: Path) -> Path:
    """Returns the weights file of `fixed` or of bundled weights."""
    return fixed_weights(cache) if network == FIXED else find_weights(network)


def onnx_of(network: str, cache: Path) -> Path:
    """Returns where the ONNX file of a network lies."""
    return cache / "networks" / f"{network}.onnx"


def seen_shape(network_size: int, stride: int) -> tuple[int, int]:
    """Returns height and width of a 4:3 picture as a network sees it: `network_shape`, without NumPy and OpenCV."""
    return max(stride, int(network_size * 3 / 4 / stride + 0.5) * stride), network_size


def make_networks(networks: list[str], cache: Path, pictures: Path) -> None:
    """Makes all files that are not there yet; without tf2onnx only the weights. `pictures` settle what is random."""
    folder = cache / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, __file__, str(cache), str(pictures), *networks], check=True)


def main() -> None:
    """Makes the files."""
    cache, pictures, networks = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    fixed, script = fixed_weights(cache), Path(__file__)
    if FIXED in networks and _is_old(fixed, script):
        _make_fixed(fixed, pictures)
    if importlib.util.find_spec("tf2onnx") is None:
        return
    for network in networks:
        weights = weights_of(network, cache)
        if _is_old(onnx_of(network, cache), script, weights):
            _export(weights, onnx_of(network, cache))
    if _is_old(onnx_of("u2netp", cache), script, script.with_name("u2netp.py")):
        _export_u2netp(onnx_of("u2netp", cache))


def _is_old(path: Path, *sources: Path) -> bool:
    return not path.exists() or any(path.stat().st_mtime < source.stat().st_mtime for source in sources)


def _make_fixed(path: Path, pictures: Path) -> None:
    """Writes the U-Net with random weights, its statistics taken from pictures, its last layer fitted to smooth discs.

    A mask of noise would cost the PNG writer several times what masks of objects do.
    """
    import keras
    import numpy as np

    from segtool.imaging.codec import read_image
    from segtool.imaging.scaling import resize_image
    from segtool.model.unet import Architecture, build_unet, count_flops, with_head
    from segtool.model.weights import save_weights

    keras.utils.set_random_seed(0)
    architecture = Architecture(2, depth=DEPTH, width=WIDTH)
    card = Card(
        name=FIXED, task="binary", classes=(ClassInfo(0, "background", (0, 0, 0)), ClassInfo(1, "object", (255, 0, 0))),
        network_size=SIZE, stride=architecture.stride, mask_values=(0, 255), architecture=asdict(architecture),
        flops=count_flops(architecture, *seen_shape(SIZE, architecture.stride)),
    )  # fmt: skip
    shape = seen_shape(card.network_size, card.stride)
    batch = np.stack([resize_image(read_image(p), shape) for p in sorted(pictures.iterdir())[:8]])
    network = build_unet(architecture)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0  # one pass, and the statistics are the batch's
    network(batch, training=True)
    for layer in norms:
        layer.momentum = 0.9
    features = keras.Model(network.input, network.get_layer("logits").input)(batch).numpy()
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    truth = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < shape[0] / 3
    flat = np.concatenate([features.reshape(-1, WIDTH), np.ones((batch[..., 0].size, 1))], axis=1)
    solved = np.linalg.lstsq(flat, np.tile(np.where(truth, 8.0, -8.0).ravel(), len(batch)), rcond=None)[0]
    network.get_layer("logits").set_weights([solved[:-1].reshape(1, 1, WIDTH, 1), solved[-1:]])
    save_weights(with_head(network), path, card)


def _export_u2netp(path: Path) -> None:
    import keras
    from u2netp import PARAMETERS, build_u2netp, settle

    network = build_u2netp()
    counted = sum(math.prod(v.shape) for v in network.trainable_variables)
    assert counted == PARAMETERS, f"{counted:,} parameters, and rembg's has {PARAMETERS:,}"
    settle(network)
    network(keras.ops.zeros((1, 3, 320, 320)))  # Keras exports what was called once
    _export_whole(network, path)


def _export(weights: Path, path: Path) -> None:
    """Writes the ONNX file with the sides of the network's input fixed, which spares engines the work of shapes."""
    import keras

    from segtool.model.weights import load_weights

    model, card = load_weights(weights)
    image = keras.Input((*seen_shape(card.network_size, card.stride), 3), dtype="uint8", name="image")
    fixed = keras.Model(image, model(image))
    fixed(keras.ops.zeros((1, *image.shape[1:]), dtype="uint8"))
    _export_whole(fixed, path)


def _export_whole(model: Any, path: Path) -> None:
    partial = path.with_name(f".{path.name}")
    model.export(partial, format="onnx", verbose=False)
    partial.rename(path)


if __name__ == "__main__":
    main()
