"""The catalogue: which lessons there are, their exercises, starters and solutions."""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import checks
from checks import blocks, filecells
from checks.errors import CourseError
from checks.exercise import Exercise


@dataclass(frozen=True)
class Part:
    """Some lessons that belong together.

    Attributes:
        title: What it is called.
        numbers: Its lessons'.
        promise: What whoever has been through it can do.
    """

    title: str
    numbers: range
    promise: str


PARTS = (
    Part(
        "Part I. Sync foundations",
        range(4),
        "Build an API that changes everything a request was meant to change, or nothing, and that "
        "says 201 only when it is true.",
    ),
    Part(
        "Part II. Async",
        range(4, 7),
        "Choose between sync and async with numbers instead of opinions, and know at each moment "
        "who holds a connection.",
    ),
    Part(
        "Part III. Migrations",
        range(7, 9),
        "Change a database while customers are using it, and lose no row of theirs.",
    ),
    Part(
        "Part IV. Queries",
        range(9, 12),
        "Say beforehand how many statements a request sends and how the database goes about each, "
        "and let nobody else write your SQL.",
    ),
    Part(
        "Part V. Security and auth",
        range(12, 17),
        "Take people in, know who is asking, and make *log out* mean it.",
    ),
    Part(
        "Part VI. Testing and shipping",
        range(17, 20),
        "Prove that it works before it ships.",
    ),
)
_MORE = Part("More", range(0), "")

# A lesson's number; with a letter, that of what stands between it and the next: a project.
NUMBER = r"\d\d[a-z]?"
EXERCISE = rf"{NUMBER}\.\w+"
NAME = re.compile(rf"(?P<number>{NUMBER})_(?P<slug>[a-z0-9]+(?:_[a-z0-9]+)*)")

_MARK = re.compile(rf"^[ \t]*#[ \t]*exercise:[ \t]*({EXERCISE})[ \t\r]*$", re.MULTILINE)
_CHECK = re.compile(rf"""^[ \t]*check\(\s*["']({EXERCISE})["']\s*\)""", re.MULTILINE)


@dataclass(frozen=True)
class ExerciseEntry:
    """One exercise in its lesson.

    Attributes:
        card: What it observes and judges.
        lesson: The lesson that it belongs to.
    """

    card: type[Exercise]
    lesson: Lesson

    @property
    def id(self) -> str:
        """Lesson and name: `03.tell_the_truth`."""
        return self.card.id

    @property
    def starter(self) -> str:
        """The exercise's cell as the lesson ships it.

        Raises:
            CourseError: the master does not hold it.
        """
        return self._texts.blanked

    @property
    def solution(self) -> str:
        """The exercise's cell as the course solves it.

        Raises:
            CourseError: the master does not hold it.
        """
        return self._texts.solved

    @property
    def file(self) -> str | None:
        """The file that its cell writes, where it is one: `shop/env.py`.

        Raises:
            CourseError: the master does not hold the cell.
        """
        found = filecells.parse(self.starter)
        return found.path if found else None

    @cached_property
    def _texts(self) -> blocks.Texts:
        # From the master, not from lessons/: some learners work there.
        cell = blocks.cell_in(_text(self.lesson.master), self.id)
        found = blocks.texts(self.id, cell) if cell is not None else None
        if found is None:
            raise CourseError(
                f"solutions/{self.lesson.name}.py does not hold exercise {self.id}. Get the file "
                "back with git."
            )
        return found


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Attributes:
        number: Two digits: `03`. With a letter, it is a project: `09p`.
        slug: The rest of its files' name: `transactions`.
        root: The repository.
    """

    number: str
    slug: str
    root: Path

    @property
    def name(self) -> str:
        """What its files are called: `03_transactions`."""
        return f"{self.number}_{self.slug}"

    @property
    def title(self) -> str:
        """What it is called in lists: `Transactions`."""
        heading = re.search(rf"^# # {NUMBER} (.+)$", _text(self.master), re.MULTILINE)
        return heading[1].strip() if heading else self.slug.replace("_", " ").capitalize()

    @property
    def part(self) -> Part:
        """The part of the course that it belongs to."""
        number = int(self.number[:2])
        return next((part for part in PARTS if number in part.numbers), _MORE)

    @property
    def graded(self) -> bool:
        """Whether its exercises earn points; a project's do not."""
        return self.number.isdigit()

    @property
    def master(self) -> Path:
        """Its one source."""
        return self.root / "solutions" / f"{self.name}.py"

    @property
    def lesson_notebook(self) -> Path:
        """What learners open."""
        return self.root / "lessons" / f"{self.name}.ipynb"

    @property
    def solved_notebook(self) -> Path:
        """The solved one, outputs stored."""
        return self.root / "solutions" / f"{self.name}.ipynb"

    @cached_property
    def folders(self) -> frozenset[str]:
        """The folders beside the notebook that its cells write a project's files into."""
        written = re.findall(r'^# %%[^\n]* file="([^"/]+)/', _text(self.master), re.MULTILINE)
        return frozenset(written)

    @cached_property
    def recorded(self) -> frozenset[str]:
        """Its demonstrations that need a server or a crowd of threads, as texts of cells."""
        return frozenset(blocks.tagged(_text(self.master), "recorded"))

    @cached_property
    def exercises(self) -> list[ExerciseEntry]:
        """Its exercises, in order.

        Raises:
            CourseError: its checks are missing.
        """
        module = f"checks.lessons.lesson_{self.name}"
        try:
            cards: Iterable[type[Exercise]] = import_module(module).EXERCISES
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise CourseError(
                f"Lesson {self.number} has no checks: write {module.replace('.', '/')}.py, or take "
                "the lesson's master away."
            ) from error
        return [ExerciseEntry(card, self) for card in cards]


@dataclass(frozen=True)
class Cells:
    """Where a notebook's exercises are, by cell number from 0.

    Attributes:
        answers: The cells that answer each exercise.
        checks: The cells that check each exercise.
    """

    answers: dict[str, list[int]] = field(default_factory=dict)
    checks: dict[str, list[int]] = field(default_factory=dict)

    def at(self, place: int) -> set[str]:
        """The exercises that a cell answers or checks."""
        return {
            exercise
            for found in (self.answers, self.checks)
            for exercise, places in found.items()
            if place in places
        }

    def places(self, exercise: str) -> list[int]:
        """The cells that answer or check an exercise."""
        return [*self.answers.get(exercise, ()), *self.checks.get(exercise, ())]

    def checked_at(self, place: int) -> set[str]:
        """The exercises that a cell checks."""
        return {exercise for exercise, places in self.checks.items() if place in places}


def root() -> Path:
    """The repository: the package is installed from where it stands."""
    return Path(checks.__file__).resolve().parent.parent


@cache
def catalogue(at: Path | None = None) -> list[Lesson]:
    """Every lesson that has a master, in order.

    Args:
        at: The repository, where it is not the one that this package is in.
    """
    place = at or root()
    found = (NAME.fullmatch(path.stem) for path in files(place / "solutions", ".py"))
    return [Lesson(match["number"], match["slug"], place) for match in found if match]


def padded(number: str) -> str:
    """A lesson's number as files have it: `03` of `3`."""
    digits = number.rstrip(string.ascii_lowercase)
    return digits.zfill(2) + number[len(digits) :]


def files(folder: Path, ending: str, number: str = "") -> list[Path]:
    """The files of a folder that are named as lessons are: all, or one number's."""
    found = (
        (path, NAME.fullmatch(path.name.removesuffix(ending)))
        for path in sorted(folder.glob(f"*{ending}"))
    )
    return [path for path, match in found if match and number in ("", match["number"])]


def lesson(number: str) -> Lesson:
    """A lesson by its number or by its whole name.

    Raises:
        CourseError: there is no such lesson.
    """
    wanted = number.strip().removesuffix(".ipynb").removesuffix(".py")
    for one in catalogue():
        if wanted and (wanted == one.name or padded(wanted) == one.number):
            return one
    known = ", ".join(one.number for one in catalogue())
    raise CourseError(f"There is no lesson {number!r}; choose among {known}.")


def find(exercise: str) -> ExerciseEntry:
    """An exercise by its id.

    Raises:
        CourseError: there is none; the nearest ids are named.
    """
    number = exercise.partition(".")[0]
    for one in catalogue():
        if one.number == number:
            for entry in one.exercises:
                if entry.id == exercise:
                    return entry
    known = [entry.id for one in catalogue() for entry in one.exercises]
    near = difflib.get_close_matches(exercise, known, n=3, cutoff=0.6)
    advice = f"Did you mean {' or '.join(near)}?" if near else "`checks exercises` lists them all."
    raise CourseError(f"There is no exercise {exercise!r}. {advice}")


def lesson_of_notebook(notebook: object, filename: str) -> Lesson | None:
    """Which lesson a notebook is: by its metadata, else its visible marks, else its file name.

    Never raises on any JSON whatever.
    """
    metadata = notebook.get("metadata") if isinstance(notebook, Mapping) else None
    course = metadata.get("course") if isinstance(metadata, Mapping) else None
    said = course.get("lesson") if isinstance(course, Mapping) else None
    cells = exercise_cells(notebook)
    marks = [
        exercise.partition(".")[0] for found in (cells.answers, cells.checks) for exercise in found
    ]
    named = re.match(rf"{NUMBER}(?=_)", filename)
    wanted = [said, max(marks, key=marks.count) if marks else None, named[0] if named else None]
    by_number = {one.number: one for one in catalogue()}
    return next((by_number[n] for n in wanted if isinstance(n, str) and n in by_number), None)


def exercise_cells(notebook: object) -> Cells:
    """Where the exercises are: by visible mark, by a call of `check`, else by cell metadata.

    Never by position, and never raises on any JSON whatever.
    """
    found = Cells()
    cells = notebook.get("cells") if isinstance(notebook, Mapping) else None
    for place, cell in enumerate(cells if isinstance(cells, list) else []):
        if not isinstance(cell, Mapping) or cell.get("cell_type") != "code":
            continue
        source = source_of(cell)
        marked, checked = answered_in(source), _CHECK.findall(source)
        if not marked and not checked:
            exercise, role = _identity(cell)
            marked = [exercise] if role == "exercise" else []
        for exercise in dict.fromkeys(marked):
            found.answers.setdefault(exercise, []).append(place)
        for exercise in dict.fromkeys(checked):
            found.checks.setdefault(exercise, []).append(place)
    return found


def answered_in(source: str) -> list[str]:
    """The exercises that a cell's text says it answers, by their visible marks."""
    return _MARK.findall(source)


def source_of(cell: Mapping[str, Any]) -> str:
    """A cell's text, however the file spells it; empty where it has none."""
    source = cell.get("source", "")
    if isinstance(source, list):
        return "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def _identity(cell: Mapping[str, Any]) -> tuple[str, str]:
    metadata = cell.get("metadata")
    course = metadata.get("course") if isinstance(metadata, Mapping) else None
    if not isinstance(course, Mapping):
        return "", ""
    exercise, role = course.get("exercise"), course.get("role")
    if not isinstance(exercise, str) or not re.fullmatch(EXERCISE, exercise):
        return "", ""
    return exercise, role if isinstance(role, str) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
