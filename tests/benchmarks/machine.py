"""On what was measured: the machine, the versions, the commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from running import ROOT

PACKAGES = ("tensorflow", "keras", "numpy", "opencv-python-headless", "pillow", "onnxruntime", "openvino", "tf2onnx",
            "rembg")  # fmt: skip
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def machine() -> str:
    """Returns processor, cores, flags that matter and memory in words."""
    try:
        info = Path("/proc/cpuinfo").read_text()
        lines = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        name, flags = fields.get("model name", platform.machine()), fields.get("flags", "").split()
    except OSError:  # not Linux
        name, flags = platform.processor() or platform.machine(), []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = " ".join(flag for flag in FLAGS if flag in flags)
    load = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, {found}; {memory:.0f} GiB; load {load:.1f}; no GPU used"


def versions() -> dict[str, str]:
    """Returns the versions of Python, of what takes part, and of segtool with its commit."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    found["segtool"] = done.stdout.strip() or "no commit"
    return found
