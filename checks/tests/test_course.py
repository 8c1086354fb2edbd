"""The catalogue: lessons and exercises found by name, by mark, in any JSON whatever."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import course
from checks.course import ExerciseEntry
from checks.errors import CourseError

ENTRIES = [entry for lesson in course.catalogue() for entry in lesson.exercises]
EACH = pytest.mark.parametrize("entry", ENTRIES, ids=[entry.id for entry in ENTRIES])

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=20,
)
SOME_CELL = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", 7, None]) | ANY_JSON},
    optional={
        "source": st.sampled_from(["# exercise: 00.opening_hours", 'check("00.keep_the_book")'])
        | st.lists(st.sampled_from(["# exercise: 03.last_copy\n", "x\n"]) | ANY_JSON, max_size=3)
        | ANY_JSON,
        "metadata": st.fixed_dictionaries({"course": ANY_JSON}) | ANY_JSON,
    },
)
SOME_NOTEBOOK = (
    st.fixed_dictionaries(
        {"cells": st.lists(SOME_CELL | ANY_JSON, max_size=5) | ANY_JSON},
        optional={"metadata": st.fixed_dictionaries({"course": ANY_JSON}) | ANY_JSON},
    )
    | ANY_JSON
)


@EACH
def test_starter_and_solution_are_what_the_notebooks_hold(entry: ExerciseEntry) -> None:
    for path, text in (
        (entry.lesson.lesson_notebook, entry.starter),
        (entry.lesson.solved_notebook, entry.solution),
    ):
        notebook = json.loads(path.read_bytes())
        (place,) = course.exercise_cells(notebook).answers[entry.id]
        assert course.source_of(notebook["cells"][place]) == text


@pytest.mark.parametrize("number", ["03", "3", " 03 ", "03_transactions", "03_transactions.ipynb"])
def test_a_lesson_is_found_however_it_is_called(number: str) -> None:
    assert course.lesson(number).name == "03_transactions"


@pytest.mark.parametrize("number", ["", "99", "transactions", "-1"])
def test_a_lesson_that_is_none_is_told_with_those_there_are(number: str) -> None:
    with pytest.raises(CourseError, match=r"There is no lesson .*; choose among 00, 01"):
        course.lesson(number)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("00.opening_hour", "00.opening_hours"), ("keep_the_book", "00.keep_the_book")],
)
def test_the_nearest_exercise_is_suggested(typed: str, meant: str) -> None:
    with pytest.raises(CourseError, match=rf"There is no exercise '{typed}'. Did you mean {meant}"):
        course.find(typed)


def test_where_nothing_is_near_the_list_is_named() -> None:
    with pytest.raises(CourseError, match=r"`checks exercises` lists them all"):
        course.find("%%%")


@given(notebook=SOME_NOTEBOOK, filename=st.text(max_size=20))
def test_any_json_is_looked_through_without_an_exception(notebook: Any, filename: str) -> None:
    course.lesson_of_notebook(notebook, filename)
    cells = course.exercise_cells(notebook)
    for found in (*cells.answers, *cells.checks):
        assert re.fullmatch(r"\d\d\.\w+", found)


def a_notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    made = [{"cell_type": "code", "metadata": {}, "source": "", **cell} for cell in cells]
    return {"cells": made, "metadata": metadata}


MARK = {"source": "# exercise: 03.last_copy\nx = 1"}
IDENTITY = {"metadata": {"course": {"exercise": "03.last_copy", "role": "exercise"}}}


@pytest.mark.parametrize(
    ("notebook", "filename", "lesson"),
    [
        (a_notebook(course={"lesson": "03"}), "homework.ipynb", "03"),
        (a_notebook(MARK), "homework.ipynb", "03"),
        (a_notebook(IDENTITY), "homework.ipynb", "03"),
        (a_notebook(), "03_mine (2).ipynb", "03"),
        (a_notebook(MARK, course={"lesson": "77"}), "homework.ipynb", "03"),
        (a_notebook(), "homework.ipynb", None),
        (a_notebook(), "77_homework.ipynb", None),
        (a_notebook(), "03p_homework.ipynb", None),
    ],
)
def test_a_notebooks_lesson(notebook: Any, filename: str, lesson: str | None) -> None:
    found = course.lesson_of_notebook(notebook, filename)
    assert (found.number if found else None) == lesson


@pytest.mark.parametrize("cell", [MARK, IDENTITY, {"source": ["  # exercise:03.last_copy \r\n"]}])
def test_a_cell_is_known_by_its_mark_or_by_its_metadata(cell: dict[str, Any]) -> None:
    cells = course.exercise_cells(a_notebook({"source": "y"}, cell))
    assert cells.answers == {"03.last_copy": [1]}


def test_the_visible_mark_comes_before_the_metadata() -> None:
    cell = {**IDENTITY, "source": "# exercise: 03.atomic_order"}
    assert list(course.exercise_cells(a_notebook(cell)).answers) == ["03.atomic_order"]


def test_a_project_stands_behind_its_lesson_and_earns_no_points(tmp_path: Path) -> None:
    (tmp_path / "solutions").mkdir()
    for name in ("10_later", "09p_half_way", "09_earlier", "9_no_lesson", "09P_neither"):
        (tmp_path / "solutions" / f"{name}.py").touch()
    found = course.catalogue(tmp_path)
    assert [one.number for one in found] == ["09", "09p", "10"]
    assert [one.graded for one in found] == [True, False, True]
    assert found[0].part == found[1].part
    assert [course.padded(one) for one in ("3", "03", "9p", "")] == ["03", "03", "09p", "00"]
