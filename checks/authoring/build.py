"""Masters to notebooks: the one that learners open, and the solved one with its outputs."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from checks import course, kernels
from checks.authoring import master
from checks.authoring.volatile import sanitised
from checks.environment import variables
from checks.errors import CourseError
from checks.verdict import VERDICT_TYPE

SEED = "1"  # of the checks' random data, so that stored outputs can be compared

_CELL_TIME = 120  # seconds that one cell may take


class BuildError(CourseError):
    """A lesson that does not hold, as a sentence for its author."""


def build(path: Path) -> list[str]:
    """Write both notebooks of a master, where they differ.

    Args:
        path: The master.

    Returns:
        The names of the files written, relative to the repository.

    Raises:
        MasterError: the master cannot be read.
        BuildError: a cell raises, or a check comes out otherwise than it must.
    """
    lesson = _lesson(path)
    cells = master.read(path)
    blanked, fresh = (_notebook(lesson, cells, solved=solved) for solved in (False, True))
    solved = _keep_stored(_executed(fresh), lesson.solved_notebook)
    _demand(lesson, solved, "passed")  # before anything is written
    made = ((lesson.lesson_notebook, blanked), (lesson.solved_notebook, solved))
    return [f"{path.parent.name}/{path.name}" for path, notebook in made if _write(path, notebook)]


def drift(path: Path, execute: bool = True) -> list[str]:
    """What in the two notebooks no longer follows from the master, a sentence each.

    Args:
        path: The master.
        execute: Whether to run the solved notebook and compare its outputs as well.
    """
    lesson = _lesson(path)
    cells = master.read(path)
    advice = f"Run `checks build {lesson.number}`."
    found = []
    if _stored(lesson.lesson_notebook) != _notebook(lesson, cells, solved=False):
        found.append(f"lessons/{lesson.name}.ipynb is not what its master says. {advice}")
    fresh, stored = _notebook(lesson, cells, solved=True), _stored(lesson.solved_notebook)
    if stored is None or _without_outputs(stored) != fresh:
        found.append(f"solutions/{lesson.name}.ipynb is not what its master says. {advice}")
    elif execute:
        executed = _executed(fresh)
        for place, (new, old) in enumerate(zip(executed["cells"], stored["cells"], strict=True)):
            if sanitised(new.get("outputs")) != sanitised(old.get("outputs")):
                found.append(
                    f"solutions/{lesson.name}.ipynb: cell {place + 1} gives other outputs now. "
                    f"{advice}"
                )
    return found


def as_shipped(path: Path) -> None:
    """Run a lesson as learners get it.

    Raises:
        BuildError: a cell raises, or a check is anything but not attempted.
    """
    lesson = _lesson(path)
    executed = _executed(_notebook(lesson, master.read(path), solved=False))
    _demand(lesson, executed, "not_attempted")


# -- notebooks ------------------------------------------------------------------------------------
def _lesson(path: Path) -> course.Lesson:
    match = course.NAME.fullmatch(path.stem)
    if match is None:
        raise BuildError(f"{path.name} is not named like NN_slug.py; rename it.")
    return course.Lesson(match["number"], match["slug"], path.resolve().parent.parent)


def _notebook(lesson: course.Lesson, cells: list[master.Cell], solved: bool) -> dict[str, Any]:
    points = {entry.id: entry.card.points() for entry in lesson.exercises}
    for cell in cells:
        if cell.exercise and cell.exercise not in points:
            raise BuildError(
                f"{lesson.master.name} has an exercise {cell.exercise} that no check knows; add it "
                f"to EXERCISES in checks/lessons/lesson_{lesson.name}.py."
            )
    if unused := points.keys() - {cell.exercise for cell in cells}:
        raise BuildError(
            f"{lesson.master.name} has no cell for {', '.join(sorted(unused))}; write one, with "
            "its check, or take the exercise out of EXERCISES."
        )
    ids: Counter[str] = Counter()
    return {
        "cells": [_cell(cell, solved, points, ids) for cell in cells],
        "metadata": {
            "course": {"lesson": lesson.number, "slug": lesson.slug, "title": lesson.title},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(
    cell: master.Cell, solved: bool, points: Mapping[str, float], ids: Counter[str]
) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if cell.exercise:
        metadata["course"] = {"exercise": cell.exercise, "role": cell.role}
    if cell.role == "check" and cell.exercise:
        metadata["nbgrader"] = _nbgrader(cell.exercise, points[cell.exercise])
    if cell.tags:
        metadata["tags"] = list(cell.tags)
    made: dict[str, Any] = {
        "cell_type": "markdown" if cell.role == "prose" else "code",
        "id": _id(cell, ids),
        "metadata": metadata,
        "source": (cell.solved if solved else cell.blanked).splitlines(keepends=True),
    }
    if cell.role != "prose":
        made |= {"execution_count": None, "outputs": []}
    return made


def _id(cell: master.Cell, ids: Counter[str]) -> str:
    """A cell keeps its id while its text stays, wherever it moves."""
    if cell.exercise:
        kind = "ex" if cell.role == "exercise" else "check"
        base = f"{kind}-{re.sub(r'[^a-z0-9]', '-', cell.exercise.lower())}"[:60]
    else:
        base = hashlib.sha256(cell.solved.encode()).hexdigest()[:12]
    ids[base] += 1
    return base if ids[base] == 1 else f"{base}-{ids[base]}"


def _nbgrader(exercise: str, points: float) -> dict[str, Any]:
    """What nbgrader 0.9 wants to know of a check, schema version 3: a locked, graded test.

    The exercise's own cell carries nothing of the kind: as nbgrader's `solution` its starter code
    would be replaced by "YOUR CODE HERE".
    """
    return {
        "grade": True,
        "grade_id": f"check-{exercise}".replace(".", "-"),
        "locked": True,
        "points": points,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }


def _without_outputs(notebook: Mapping[str, Any]) -> dict[str, Any]:
    cells = [
        {**cell, "outputs": [], "execution_count": None} if "outputs" in cell else cell
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}


# -- running --------------------------------------------------------------------------------------
def _executed(notebook: dict[str, Any]) -> dict[str, Any]:
    node: Any = nbformat.reads(json.dumps(notebook), as_version=4)
    client = kernels.client(node, _CELL_TIME)
    with (
        tempfile.TemporaryDirectory() as folder,
        variables(CHECKS_PROGRESS="off", CHECKS_SEED=SEED),
    ):
        client.resources = {"metadata": {"path": folder}}
        try:
            client.execute()
        except CellTimeoutError as error:
            raise BuildError(
                f"A cell ran longer than {_CELL_TIME} s. Make it quicker: "
                f"{_first_lines(str(error))}"
            ) from error
        except DeadKernelError as error:
            raise BuildError("A cell ended the kernel; look for an exit() or a crash.") from error
    executed: dict[str, Any] = json.loads(nbformat.writes(node))
    for made, before in zip(executed["cells"], notebook["cells"], strict=True):
        made["metadata"] = before["metadata"]  # nbclient adds times
        for output in made.get("outputs", ()):
            _settle(output)
    return {**notebook, "cells": executed["cells"]}


def _settle(output: dict[str, Any]) -> None:
    """Outputs as their author sees them, without what differs from one process to the next."""
    output.get("metadata", {}).pop("execution", None)


def _demand(lesson: course.Lesson, notebook: Mapping[str, Any], status: str) -> None:
    for place, cell in enumerate(notebook["cells"], 1):
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error":
                raise BuildError(
                    f"{lesson.name}: cell {place} raises {output['ename']}: {output['evalue']}. "
                    "A lesson runs from top to bottom; catch what it means to show."
                )
            if output["output_type"] == "stream" and output["name"] == "stderr":
                raise BuildError(
                    f"{lesson.name}: cell {place} writes to standard error: "
                    f"{_first_lines(''.join(output['text']))} A learner sees that in red; mend it."
                )
            verdict = output.get("data", {}).get(VERDICT_TYPE)
            if verdict and verdict["status"] != status:
                raise BuildError(
                    f"{lesson.name}: check {verdict['exercise']} in cell {place} is "
                    f"{verdict['status']}, it must be {status}: {verdict['message']}"
                )


def _first_lines(text: str) -> str:
    return " / ".join(text.strip().splitlines()[:4])


# -- files ----------------------------------------------------------------------------------------
def _keep_stored(fresh: dict[str, Any], path: Path) -> dict[str, Any]:
    """Take over stored outputs that differ from the fresh ones in times and the like only."""
    stored = _stored(path)
    if stored is None:
        return fresh
    by_id = {cell["id"]: cell for cell in stored["cells"]}
    for cell in fresh["cells"]:
        old = by_id.get(cell["id"])
        if old and sanitised(old.get("outputs")) == sanitised(cell.get("outputs")):
            cell.update({key: old[key] for key in ("outputs",) if key in old})
    return fresh


def _stored(path: Path) -> dict[str, Any] | None:
    """A notebook as it lies there; None where there is none, or only what is left of one."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        whole = all(isinstance(cell["id"], str) for cell in found["cells"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole else None


def _write(path: Path, notebook: Mapping[str, Any]) -> bool:
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return True
