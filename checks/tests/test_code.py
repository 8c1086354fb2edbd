"""The code itself: lint, format, types, and imports that run downward."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import course

PACKAGE = course.root() / "checks"

# From the ground up: a module may import from its own layer and from those before it.
LAYERS = (
    {
        "blocks",
        "errors",
        "environment",
        "filecells",
        "verdict",
        "exercise",
        "course",
        "observe",
        "setup",
        "kernels",
        "servers",
        "shell",
        "words",
    },
    {"judge", "journal", "lessons", "answers", "cells"},
    {"show", "charts", "workspace", "certificate"},
    {"authoring", "grading", "website", "doctor", "server"},
    {"notebook", "terminal", "keys", "watching", "grading_terminal"},
    {"cli"},
    {"__main__", "tests", "benchmarks"},
)

FRONT_ENDS = ("checks.lessons.conftest",)  # `pytest --submission`


@pytest.mark.parametrize(
    "tool",
    [("ruff", "check", "checks"), ("ruff", "format", "--check", "checks", "solutions"), ("mypy",)],
    ids=["lint", "format", "types"],
)
def test_the_tools_have_nothing_to_say(tool: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *tool],
        cwd=course.root(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def part(module: str) -> str:
    """The part of the package that a module belongs to: `checks.observe.lab` is in `observe`."""
    return "tests" if module in FRONT_ENDS else [*module.split("."), ""][1]


def imports() -> Iterator[tuple[str, str, bool]]:
    """Each import within the package: who, what, and whether it happens on loading."""
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_load = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("checks"):
                names = [f"{node.module}.{one.name}" for one in node.names]
            elif isinstance(node, ast.Import):
                names = [one.name for one in node.names if one.name.startswith("checks.")]
            for name in names:
                yield module, name, id(node) in at_load


def test_imports_run_downward() -> None:
    height = {name: layer for layer, names in enumerate(LAYERS) for name in names}
    upward = [
        f"{who} imports {what}"
        for who, what, _ in imports()
        if who != "checks.__init__"
        and part(what) in height
        and height[part(what)] > height[part(who)]
    ]
    assert upward == []


def test_the_ground_stays_the_ground() -> None:
    assert not [who for who, what, _ in imports() if part(who) == "observe" and "judge" in what]
    assert not [
        who
        for who, what, _ in imports()
        if part(what) == "cli" and part(who) not in ("tests", "__main__")
    ]


def test_nothing_imports_itself_in_a_circle() -> None:
    modules = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
    }
    graph: dict[str, set[str]] = {}
    for who, what, at_load in imports():
        module = what if what in modules else what.rpartition(".")[0]
        if at_load and module in modules:
            graph.setdefault(who, set()).add(module)

    def reach(start: str) -> set[str]:
        found, todo = set[str](), [start]
        while todo:
            for below in graph.get(todo.pop(), ()):
                if below not in found:
                    found.add(below)
                    todo.append(below)
        return found

    assert [module for module in graph if module in reach(module)] == []


def test_every_part_has_its_place() -> None:
    parts = {
        path.stem if path.suffix else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert parts - {"__init__"} == set[str]().union(*LAYERS)


def test_no_paths_of_somebodys_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=course.root(), capture_output=True, text=True, check=False
    ).stdout.split("\n")
    for name in filter(None, listed):
        path = Path(course.root(), name)
        if path.suffix in (".py", ".ipynb", ".md", ".toml", ".txt", ".json") and path.exists():
            assert str(Path.home()) not in path.read_text(encoding="utf-8"), name
