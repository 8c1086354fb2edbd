"""Answers that nobody typed: the lesson is run, and the timeline is asked."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.authoring import master, rehearse
from checks.environment import variables
from checks.errors import CourseError

_LIST = "answers_to_questions"  # a name that no lesson uses
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing to ask of a lesson.

    Attributes:
        id: The question that wants to know.
        after: The number of the cell, from 0, after which to ask.
        expression: What to ask, in the lesson's own names.
    """

    id: str
    after: int
    expression: str


def answers(asked: Mapping[Path, Sequence[Ask]]) -> dict[str, str]:
    """The value of each expression, as text, by question.

    Every lesson runs in a fresh process, so that its engines, threads and imports stay there.

    Args:
        asked: What to ask, by master.

    Raises:
        CourseError: a cell or an expression raises.
    """
    fresh = multiprocessing.get_context("spawn")
    found: dict[str, str] = {}
    with ProcessPoolExecutor(_AT_ONCE, mp_context=fresh, max_tasks_per_child=1) as pool:
        for given in pool.map(_run, asked, asked.values()):
            if isinstance(given, str):
                raise CourseError(given)
            found |= given
    return found


def _run(path: Path, asks: Sequence[Ask]) -> dict[str, str] | str:
    """The answers of one lesson; what went wrong in a sentence where it did."""
    cells = master.read(path)
    sources: list[str] = []
    for place, cell in enumerate(cells[: max(one.after for one in asks) + 1]):
        if cell.role in ("code", "exercise"):
            sources.append(cell.solved)
        sources += [
            f"{_LIST}[{one.id!r}] = str({one.expression})" for one in asks if one.after == place
        ]
    names = rehearse.fresh_names()
    given: dict[str, Any] = {}
    names[_LIST] = given
    with (
        contextlib.redirect_stdout(io.StringIO()),
        variables(CHECKS_PROGRESS="off"),
        rehearse.in_empty_folder(),
    ):
        try:
            rehearse.run_cells(sources, names)
        except Exception as error:
            unanswered = next(one.id for one in asks if one.id not in given)
            return (
                f"{path.name}: {type(error).__name__} on the way to the answer of {unanswered}: "
                f"{error}. Mend the cell, or what is asked in {path.stem}.toml."
            )
    return given
