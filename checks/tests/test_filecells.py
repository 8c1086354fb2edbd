"""Cells that are files: how they read, where they are written, what a check says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from checks import blocks, filecells
from checks.exercise import Exercise, Seen, expect, requirement
from checks.grading import plan
from checks.judge import judge
from checks.observe.evidence import Trouble
from checks.observe.lab import Lab
from checks.observe.run import CellRun, observe
from checks.verdict import Status

CELL = "%%writefile shop/env.py\n# exercise: 90.env\nurl = 'sqlite://'\n"


class Env(Exercise):
    """The project knows its database."""

    id = "90.env"
    title = "Know the database"
    needs = {}
    hints = ("Which one?",)

    def observe(self, lab: Lab) -> dict[str, Any]:
        with lab.project("shop") as project:
            return {"text": (project.path / "env.py").read_text(encoding="utf-8")}

    @requirement()
    def it_is_sqlite(self, seen: Seen) -> None:
        """The URL is SQLite's."""
        expect("sqlite://" in seen["text"], saw="None.", wanted="One.", why="It must be somewhere.")


@pytest.fixture(autouse=True)
def beside_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path)


def verdict() -> Any:
    return judge(Env, observe(Env, {}, CELL), "%%writefile shop/env.py\nurl = TODO\n")


@given(st.from_regex(r"[A-Za-z_./]{1,20}", fullmatch=True), st.text())
def test_a_cell_is_written_as_ipython_writes_it(name: str, text: str) -> None:
    read = filecells.parse(filecells.magic(name) + text)
    assert read is not None
    assert (read.path, read.text.rstrip("\n")) == (name, text.rstrip("\n"))


def test_the_magic_itself_agrees() -> None:
    InteractiveShell().run_cell(CELL)
    by_ipython = Path("shop/env.py").read_text(encoding="utf-8")
    read = filecells.parse(CELL)
    assert read is not None
    assert read.write() == "Overwriting shop/env.py"
    assert Path("shop/env.py").read_text(encoding="utf-8") == by_ipython


@pytest.mark.parametrize("cell", ["", "x = 1", "%%time\nx = 1", "%%writefile", " %%writefile a\n"])
def test_other_cells_are_not_files(cell: str) -> None:
    assert filecells.parse(cell) is None
    assert filecells.as_python(cell) == cell


def test_the_mark_comes_below_the_magic() -> None:
    assert blocks.marked("90.env", "%%writefile shop/env.py\nx = 1") == (
        "%%writefile shop/env.py\n# exercise: 90.env\nx = 1"
    )
    assert blocks.marked("90.env", "x = 1") == "# exercise: 90.env\nx = 1"


def test_a_master_says_which_file_a_cell_is() -> None:
    script = (
        '# %% exercise="90.env" file="shop/env.py"\n'
        "# BEGIN STARTER\n# url = TODO\n# END STARTER\n"
        "# BEGIN SOLUTION\nurl = 'sqlite://'\n# END SOLUTION\n"
    )
    cell = blocks.cell_in(script, "90.env")
    assert cell is not None
    made = blocks.texts("90.env", cell)
    assert made is not None
    assert made.solved == CELL.rstrip()
    assert made.blanked == "%%writefile shop/env.py\n# exercise: 90.env\nurl = TODO"


def test_what_the_cell_wrote_is_judged() -> None:
    read = filecells.parse(CELL)
    assert read is not None
    read.write()
    assert verdict().status is Status.PASSED


def test_a_file_that_was_edited_elsewhere_is_not_judged() -> None:
    Path("shop/env.py").write_text("url = 'sqlite:///other.db'", encoding="utf-8")
    found = verdict()
    assert found.status is Status.NOT_RUN
    assert "`shop/env.py` is not what this cell says" in found.message


@pytest.mark.parametrize(
    "source",
    [CELL.replace("env.py", "environment.py"), CELL.partition("\n")[2], f"\n{CELL}"],
    ids=["another file", "no file", "not the first line"],
)
def test_a_cell_that_writes_another_file_is_not_judged(source: str) -> None:
    Path("shop/env.py").write_text("url = 'sqlite://'", encoding="utf-8")
    Path("shop/environment.py").write_text("url = 'sqlite://'", encoding="utf-8")
    found = judge(Env, observe(Env, {}, source), "%%writefile shop/env.py\nurl = TODO\n")
    assert found.status is Status.NOT_RUN
    assert "Make its first line `%%writefile shop/env.py` again" in found.message


def test_a_file_that_python_cannot_read_is_told_by_the_line_in_the_cell() -> None:
    source = CELL.replace("'sqlite://'", "('sqlite://'")
    read = filecells.parse(source)
    assert read is not None
    read.write()
    found = judge(Env, observe(Env, {}, source), "%%writefile shop/env.py\nurl = TODO\n")
    assert found.status is Status.FAILED
    assert "'(' was never closed, line 3" in found.message


def test_a_placeholder_in_a_file_is_seen() -> None:
    source = CELL.replace("'sqlite://'", "TODO")
    read = filecells.parse(source)
    assert read is not None
    read.write()
    found = judge(Env, observe(Env, {}, source), "")
    assert found.status is Status.NOT_ATTEMPTED
    assert "TODO on line 3" in found.message


def test_a_cell_that_had_no_folder_to_write_to_says_so() -> None:
    Path("shop").rmdir()
    stopped = Trouble(type="FileNotFoundError", message="No such file or directory")
    run = CellRun(source=CELL, stopped=stopped, made={}, defines=())
    found = judge(Env, observe(Env, {}, CELL, run=run), "%%writefile shop/env.py\nurl = TODO\n")
    assert found.status is Status.NOT_RUN
    assert "The folder `shop` is not there yet" in found.message


def test_a_missing_project_says_which_cell_to_run() -> None:
    Path("shop").rmdir()
    found = judge(Env, observe(Env, {}, "x = 1"), "")
    assert found.status is Status.NOT_RUN
    assert "no folder `shop` beside this notebook" in found.message


def test_a_file_turned_into_text_by_an_editor_is_run_all_the_same() -> None:
    from checks import course

    exercise = course.catalogue()[0].exercises[0].id
    source = CELL.replace("90.env", exercise)
    notebook = {"cells": [{"cell_type": "markdown", "source": source}]}
    assert json.loads(plan.make(notebook, course.catalogue()[0]).to_json())["parts"]
