"""What segtool is measured against: each a command from a folder of pictures to a folder of masks."""

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

INSTALL = "pip install -r tests/benchmarks/requirements.txt"


@dataclass(frozen=True)
class Network:
    """The files of one network, and height and width of what it sees of a 4:3 picture."""

    name: str
    weights: Path
    onnx: Path
    shape: tuple[int, int]


@dataclass(frozen=True)
class Peer:
    """One peer: how it is called in the table, the package it needs, and whether its masks are ours."""

    name: str
    label: str
    package: str
    same_masks: bool = True

    def missing(self, folder: Path) -> str | None:
        """Returns why it cannot run, if so; `folder` is that of the networks."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.label} is left out, {self.package} is not installed: {INSTALL}"
        needs = folder / "u2netp.onnx" if self.name == "rembg" else folder / "fixed.onnx"
        if self.name != "plain_keras" and not needs.exists() and importlib.util.find_spec("tf2onnx") is None:
            return f"{self.label} is left out, its ONNX file wants tf2onnx, which is not installed: {INSTALL}"
        return None

    def command(self, network: Network, pictures: Path, out: Path) -> list[str]:
        """Returns the command that writes the masks of `pictures` to `out`, a folder that is there."""
        if self.name == "rembg":
            program = shutil.which("rembg", path=str(Path(sys.executable).parent)) or "rembg"
            return [program, "p", "-m", "u2netp", "-om", str(pictures), str(out)]
        script = [sys.executable, "-m", f"peers.{self.name}", str(pictures), str(out)]
        if self.name == "plain_keras":
            return [*script, str(network.weights), *map(str, network.shape)]
        return [*script, str(network.onnx), str(network.weights)]


PLAIN = Peer("plain_keras", "plain Keras loop", "keras")
ONNX_RUNTIME = Peer("onnx_runtime", "ONNX Runtime float32", "onnxruntime")
OPENVINO = Peer("open_vino", "OpenVINO bf16", "openvino")
# Nothing is downloaded: its own network with random weights, which take as long.
REMBG = Peer("rembg", "rembg p -om, u2netp", "rembg", same_masks=False)
PEERS = (PLAIN, ONNX_RUNTIME, OPENVINO, REMBG)
