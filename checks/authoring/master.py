"""A lesson's master: one jupytext percent script, read into cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jupytext

from checks import blocks, course, filecells
from checks.errors import CourseError

Role = Literal["prose", "code", "exercise", "check"]


class MasterError(CourseError):
    """A master that cannot be read as a lesson, as a sentence for its author."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a master.

    Attributes:
        role: What it is for.
        solved: Its text in the solved notebook.
        blanked: Its text in the notebook that learners open.
        exercise: The exercise's id, for the roles `exercise` and `check`.
        tags: Its Jupyter tags. `setup` marks what exercises stand on.
    """

    role: Role
    solved: str
    blanked: str
    exercise: str | None = None
    tags: tuple[str, ...] = ()


def read(path: Path) -> list[Cell]:
    """The cells of a master.

    Raises:
        MasterError: a block is not closed or stands where no exercise is, or an exercise has no
            starter, no solution or no check, or is there twice.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    cells = [_cell(path, raw) for raw in notebook.cells]
    for cell in cells:
        for text in (cell.solved, cell.blanked):
            if border := blocks.stray(text):
                raise MasterError(
                    f"{path.name}: the line `{border}` belongs to no block. A block "
                    "stands in an exercise's cell, from its BEGIN to its own END, none in another."
                )
    exercises = [cell.exercise for cell in cells if cell.role == "exercise"]
    checks = [cell.exercise for cell in cells if cell.role == "check"]
    if exercises != checks:
        raise MasterError(
            f"{path.name}: the exercises {exercises} and the checks {checks} do not match; follow "
            'every `# %% exercise="..."` cell with a `# %% check="..."` cell.'
        )
    if twice := sorted({one for one in exercises if exercises.count(one) > 1}, key=str):
        raise MasterError(f"{path.name}: exercise {twice[0]} is there twice; rename one of them.")
    return cells


def find(root: Path, number: str | None = None) -> list[Path]:
    """The masters of a repository: one lesson's, or all.

    Raises:
        MasterError: there is none with that number.
    """
    found = course.files(root / "solutions", ".py", course.padded(number) if number else "")
    if not found:
        raise MasterError(
            f"There is no master solutions/{number or 'NN'}_*.py in {root}; begin one with "
            "`checks new NN_slug`."
        )
    return found


def _cell(path: Path, raw: dict[str, object]) -> Cell:
    source, metadata = str(raw["source"]), raw["metadata"]
    assert isinstance(metadata, dict)
    if wrong := metadata.get("incorrectly_encoded_metadata"):
        raise MasterError(
            f'{path.name}: `# %% {wrong}` cannot be read; write it as `# %% exercise="NN.name"`.'
        )
    tags = tuple(metadata.get("tags", ()))
    if file := metadata.get("file"):
        source = filecells.magic(str(file)) + source
    if raw["cell_type"] != "code":
        return Cell("prose", source, source, tags=tags)
    if exercise := metadata.get("exercise"):
        return _exercise_cell(path, str(exercise), source, tags)
    if exercise := metadata.get("check"):
        return Cell("check", source, source, str(exercise), tags)
    return Cell("code", source, source, tags=tags)


def _exercise_cell(path: Path, exercise: str, source: str, tags: tuple[str, ...]) -> Cell:
    made = blocks.texts(exercise, source)
    if made is None:
        raise MasterError(
            f"{path.name}: exercise {exercise} needs one `# BEGIN STARTER` ... `# END STARTER` "
            "block (its lines commented out) and one `# BEGIN SOLUTION` ... `# END SOLUTION`."
        )
    return Cell("exercise", made.solved, made.blanked, exercise, tags)
