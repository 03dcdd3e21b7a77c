"""The house rules: which folder imports which, and what the help must not load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "segtool"

# A part may import itself and what stands beside it here. This dict is the architecture: imports point down.
FOUNDATION = {"segtool", "errors", "options", "results", "scores", "card", "streaming", "files"}
ALLOWED: dict[str, set[str]] = {
    "segtool": {"api"},  # when it is asked for, from Python
    "errors": set(),
    "card": {"errors"},
    "options": {"card"},
    "scores": set(),
    "results": {"card", "scores"},
    "streaming": {"errors"},
    "files": {"errors"},
    "record": FOUNDATION,
    "imaging": FOUNDATION,
    "data": FOUNDATION | {"imaging", "settings"},
    "sources": FOUNDATION | {"data"},
    "kinds": FOUNDATION,
    "naming": FOUNDATION | {"kinds", "record", "sources"},
    "plan": FOUNDATION | {"data", "kinds", "naming", "record", "sources"},
    "report": FOUNDATION,
    "pipeline": FOUNDATION | {"imaging"},
    "settings": {"errors", "options"},
    "grid": {"errors", "options"},
    "words": {"errors"},
    "runs": FOUNDATION | {"settings"},
    "scoring": FOUNDATION | {"imaging", "data", "pipeline"},
    "segmentation": FOUNDATION | {"imaging", "pipeline", "plan"},
    "engine": FOUNDATION | {"imaging", "pipeline", "model"},  # model: for networks that are not ours
    "painting": FOUNDATION | {"imaging", "data", "pipeline", "plan", "segmentation"},
    "predicting": FOUNDATION | {"plan", "pipeline", "report", "segmentation", "engine"},
    "coco": FOUNDATION | {"imaging"},
    "rendering": FOUNDATION | {"imaging", "kinds", "plan", "segmentation", "coco"},
    "lines": FOUNDATION | {"plan", "record", "segmentation"},
    "outputs": FOUNDATION
    | {"pipeline", "imaging", "kinds", "lines", "plan", "record", "rendering", "report", "segmentation", "sources"},
    "model": FOUNDATION | {"imaging", "data", "engine", "pipeline", "settings", "scoring"},
    "commands": FOUNDATION
    | {
        "imaging",
        "data",
        "coco",
        "kinds",
        "plan",
        "record",
        "outputs",
        "painting",
        "predicting",
        "pipeline",
        "rendering",
        "scoring",
        "segmentation",
        "model",
        "report",
        "settings",
        "runs",
        "grid",
        "thresholds",
    },
    "api": FOUNDATION | {"imaging", "data", "pipeline", "engine"},
    "cli": FOUNDATION | {"commands", "report", "engine", "runs", "grid", "words"},
    "__main__": {"cli"},
}
HEAVY = ("tensorflow", "keras", "jax", "numpy", "cv2", "PIL", "matplotlib", "rich", "tqdm")
BACKENDS = {"model": {"tensorflow", "keras", "jax"}, "engine": {"tensorflow", "jax"}}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    name = relative.parts[0].removesuffix(".py")
    return "segtool" if name == "__init__" else name


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "segtool":
                found |= {f"segtool.{alias.name}" for alias in node.names if (PACKAGE / f"{alias.name}.py").exists()}
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    ours = {name.split(".")[1] if "." in name else "segtool" for name in imported(path) if name.startswith("segtool")}
    assert ours - ALLOWED[part] - {part, "segtool"} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_model_folder_imports_keras_and_beside_it_only_the_engine_a_backend(path: Path) -> None:
    used = {name.split(".")[0] for name in imported(path)} & BACKENDS["model"]
    assert used <= BACKENDS.get(part_of(path), set())


def test_commands_never_import_each_other() -> None:
    for path in (PACKAGE / "commands").glob("*.py"):
        assert not [name for name in imported(path) if name.startswith("segtool.commands")], path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["mask", "--help"],
        ["train", "--help"],
        ["weights", "--help"],
        ["weights", "adopt", "--help"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['segtool', *{arguments!r}]\n"
        "from segtool.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "segtool" in done.stdout


def test_a_plan_that_cannot_work_fails_before_tensorflow_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['segtool', 'mask', {str(tmp_path / 'none')!r}, {str(tmp_path / 'out')!r}, '-w', 'shapes']\n"
        "from segtool.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    print(stop.code, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 False"
