"""The documents say what is true: every file has its line, every command and option exists."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
from conftest import PROJECT, Run

README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMANDS = ("mask", "overlay", "train", "evaluate", "check", "synth", "weights", "export")
WITH_COMMANDS = {"weights": ("adopt",)}  # whose own options are in their own help


def example_lines() -> list[list[str]]:
    """Returns the words of every call of segtool in the examples, pipes and redirections taken apart."""
    calls: list[list[str]] = []
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&<>")
            lexer.whitespace_split = True
            for is_operator, words in itertools.groupby(lexer, key=lambda word: set(word) <= set("|&<>")):
                if not is_operator:
                    calls.append(list(words))
    return [words for words in calls if words[0] == "segtool"]


def tree_of(text: str) -> set[str]:
    """Returns the paths the README's tree names, commands/ and weights/ and the like as folders."""
    found: set[str] = set()
    folders: list[str] = []
    for line in text.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        del folders[depth:]
        found.add("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return found


def test_the_tree_names_every_module_and_nothing_else() -> None:
    tree = tree_of(README.split("## Where everything lives")[1].split("```")[1].strip())
    modules = {p.relative_to(PROJECT).as_posix() for p in (PROJECT / "segtool").rglob("*.py")}
    told = {m for m in modules if not m.rpartition("/")[2].startswith("__") and "/commands/" not in m}
    assert {t for t in tree if t.startswith("segtool/") and t.endswith(".py")} == told
    for path in tree:
        assert (PROJECT / path).exists(), path


def test_the_readme_names_every_command_with_an_example() -> None:
    assert {words[1] for words in example_lines()} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_in_the_readme_is_in_the_help(command: str, segtool: Run) -> None:
    below = WITH_COMMANDS.get(command, ())
    help_text = "".join(segtool(command, *more, "--help").stdout for more in [(), *((name,) for name in below)])
    for words in example_lines():
        if words[1] == command:
            for option in (w for w in words if w.startswith("-") and w != "-"):
                assert re.search(rf"(^|\s){option}\b", help_text), option


def test_the_changelog_has_a_place_for_what_is_coming() -> None:
    assert "## [Unreleased]" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_bundled_weights_file_is_told_of_in_its_readme() -> None:
    text = (PROJECT / "weights" / "README.md").read_text(encoding="utf-8")
    for path in sorted(Path(PROJECT / "weights").glob("*.keras")):
        assert f"## `{path.stem}`" in text
