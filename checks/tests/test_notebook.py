"""What a learner calls in a notebook, in a real IPython shell."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from checks import cells, course, notebook
from checks.authoring import master
from checks.journal import Journal
from checks.observe.evidence import OBSERVATION_TYPE
from checks.tests import shop
from checks.verdict import VERDICT_TYPE

RIGHT = 'return {"open": "09:00", "close": "18:00"}'


class Learner:
    """A learner at a notebook."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell

    def run(self, cell: str) -> list[dict[str, Any]]:
        """Run a cell; returns what it displays, each by type."""
        with capture_output() as said:
            done = self.shell.run_cell(cell, store_history=True)
        assert done.success or "raise" in cell or "/ 0" in cell, done.error_in_exec
        return [output.data for output in said.outputs]

    def says(self, cell: str) -> str:
        """Run a cell; returns what it displays as text."""
        return "\n".join(data["text/plain"] for data in self.run(cell))

    def lesson(self, number: str) -> None:
        """Run the cells that a lesson's exercises stand on."""
        for cell in master.read(course.lesson(number).master):
            if "setup" in cell.tags:
                self.run(cell.blanked)

    def hours(self, body: str) -> str:
        """Answer the first exercise with this body and check it."""
        self.run(
            "# exercise: 00.opening_hours\napp = FastAPI()\n\n"
            f'@app.get("/hours")\ndef hours():\n    {body}\n'
        )
        return self.says('check("00.opening_hours")')


@pytest.fixture
def learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Learner]:
    """Somebody who begins lesson 00, with a folder of their own."""
    monkeypatch.delenv("CHECKS_PROGRESS")
    monkeypatch.setenv("CHECKS_WORK", str(tmp_path / "work"))
    notebook._journal.cache_clear()
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False  # type: ignore[union-attr]  # not this account's
    cells.follow(shell)  # as the import in a new kernel does
    someone = Learner(shell)
    someone.lesson("00")
    yield someone
    InteractiveShell.clear_instance()
    notebook._journal.cache_clear()


def restart() -> None:
    """As a new kernel sees it: nothing is remembered but what was written."""
    notebook._journal.cache_clear()


# -- check ----------------------------------------------------------------------------------------
def test_from_untouched_to_wrong_to_right(learner: Learner) -> None:
    assert "not attempted: The opening hours (0 of 2 points)" in learner.hours("return TODO")
    wrong = learner.hours(RIGHT.replace("18:00", "81:00"))
    assert "✗ failed: The opening hours (1 of 2 points)" in wrong
    assert "✗ The body says when the shop opens and closes. (0/1)" in wrong
    assert "81:00" in wrong and "GET /hours" in wrong  # the request and what it did
    assert wrong.endswith('Stuck? hint("00.opening_hours")')
    right = learner.hours(RIGHT)
    assert "✓ passed: The opening hours (2 of 2 points)" in right
    assert right.endswith('solution("00.opening_hours")')


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (
            "1 / 0\napp = FastAPI()",
            "stopped at line 2, `1 / 0`: ZeroDivisionError: division by zero. Mend",
        ),
        (
            "app = FastAPI()\n1 / 0",
            "stopped at line 3, `1 / 0`: ZeroDivisionError: division by zero. Mend",
        ),
        ("app = FastAPI(\nraise", "Python cannot read your cell: "),
        ("!true\n1 / 0\napp = FastAPI()", "ZeroDivisionError: division by zero. Mend"),
    ],
    ids=["first", "last", "unreadable", "magic"],
)
def test_a_cell_that_stopped_is_not_judged_by_what_an_earlier_run_left(
    learner: Learner, cell: str, told: str
) -> None:
    assert "✓ passed" in learner.hours(RIGHT)
    learner.run(f"# exercise: 00.opening_hours\n{cell}\n")
    said = " ".join(learner.says('check("00.opening_hours")').split())
    assert "✗ failed" in said and told in said and "check again." in said


def test_what_a_cell_does_after_a_right_answer_costs_nothing(learner: Learner) -> None:
    learner.run(
        '# exercise: 00.opening_hours\napp = FastAPI()\n\n@app.get("/hours")\n'
        f"def hours():\n    {RIGHT}\n\n1 / 0"
    )
    assert "✓ passed" in learner.says('check("00.opening_hours")')


def test_names_that_another_cell_has_given_away_are_not_held_against_it(learner: Learner) -> None:
    learner.hours(RIGHT)
    learner.run("app = FastAPI()")
    said = " ".join(learner.says('check("00.opening_hours")').split())
    assert said.startswith("◌ not run") and "Another cell has made `app` anew" in said
    assert "1 of 2 exercises passed" in learner.says('progress("00")')  # the pass stands
    assert "✓ passed" in learner.hours(RIGHT)


def test_an_answer_without_its_mark_is_asked_for_it(learner: Learner) -> None:
    starter = course.find("00.opening_hours").starter
    learner.run(starter)
    learner.run("app = FastAPI()")
    said = " ".join(learner.says('check("00.opening_hours")').split())
    assert "Change it below its line `# exercise: 00.opening_hours`" in said


def test_a_card_comes_as_html_as_text_and_as_data(learner: Learner) -> None:
    learner.hours("return None")
    (card,) = learner.run('check("00.opening_hours")')
    assert set(card) == {"text/plain", "text/html", VERDICT_TYPE}
    assert card[VERDICT_TYPE]["mistake"] == "returned_nothing"
    assert card["text/html"].startswith('<div class="de-card bad">')


def test_for_a_grader_it_gives_evidence_and_no_verdict(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKS_COLLECT", "1")
    (given,) = learner.run('check("00.opening_hours")')
    assert set(given) == {"text/plain", OBSERVATION_TYPE} and given["text/plain"] == ""
    assert notebook._journal().standings() == {}


@pytest.mark.parametrize("call", ["check", "hint", "solution"])
def test_an_id_that_is_none_suggests_the_nearest(learner: Learner, call: str) -> None:
    assert learner.says(f'{call}("00.openning_hours")') == (
        "There is no exercise '00.openning_hours'. Did you mean 00.opening_hours?"
    )
    assert learner.says(f"{call}(FastAPI)").startswith(
        "An exercise is named by its id, in quotation"
    )


def test_a_lessons_number_gives_the_report_on_all_of_it(learner: Learner) -> None:
    learner.hours('return {"open": "09:00"}')
    report, card = learner.run('check("00")')
    lines = report["text/plain"].splitlines()
    assert lines[0].startswith("00 Start here: 1 of ") and lines[0].endswith(" met.")
    assert "✗ failed: The opening hours" in lines
    assert sum(line.startswith("  ✗ ") for line in lines) == 1
    assert any(line.startswith("○ not attempted: ") for line in lines)
    assert any(line.startswith("  ○ ") for line in lines)
    assert "not looked at yet" in report["text/html"]
    assert card["text/plain"].startswith("✗ failed: The opening hours")  # the first that fails
    assert "1 of 3 exercises passed" not in learner.says("progress('00')")

    learner.hours(RIGHT)
    (report,) = learner.run('check("00")')
    assert "✓ passed: The opening hours" in report["text/plain"]
    assert "passed        The opening hours" in learner.says('progress("00")')
    assert "choose among" in learner.says('check("98")')


def test_the_learners_exception_is_trimmed_to_their_line(learner: Learner) -> None:
    said = " ".join(learner.hours("return {'open': 1 / 0}").split())
    assert "ZeroDivisionError: division by zero" in said
    assert "line 6: return {'open': 1 / 0}" in said
    assert "Traceback" not in said and "site-packages" not in said


def test_the_traceback_comes_when_asked_for(learner: Learner) -> None:
    learner.hours("return {'open': 1 / 0}")
    card, asked = learner.run('check("00.opening_hours", traceback=True)')
    assert "Traceback" not in card["text/plain"]
    assert asked["text/plain"].startswith("Traceback (most recent call last):")
    assert asked["text/plain"].rstrip().endswith("ZeroDivisionError: division by zero")
    learner.hours("return {}")
    _, asked = learner.run('check("00.opening_hours", traceback=True)')
    assert asked["text/plain"] == "No exception of your code is behind this card."


def test_our_own_defect_is_told_as_ours(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, lab: object) -> dict[str, Any]:
        raise LookupError("a bug of ours")

    monkeypatch.setattr(course.find("00.opening_hours").card, "observe", broken)
    said = learner.hours(RIGHT)
    assert "This check broke, not your code" in said and "LookupError" not in said
    assert "bug of ours" in learner.says('check("00.opening_hours", traceback=True)')
    assert notebook._journal().standings() == {}  # no attempt of theirs


def test_an_exercise_says_which_one_it_stands_on(learner: Learner) -> None:
    entry = next(one for lesson in course.catalogue() for one in lesson.exercises if one.card.after)
    for cell in master.read(entry.lesson.master):
        if "setup" in cell.tags or (cell.role == "exercise" and cell.exercise == entry.id):
            learner.shell.run_cell(cell.solved, store_history=True)
        if cell.exercise == entry.id:
            break
    names = dict.fromkeys(entry.card.needs, object)
    learner.shell.user_ns.update(dict.fromkeys(names))
    said = " ".join(learner.says(f'check("{entry.id}")').split())
    assert f"This one stands on {entry.card.after[0]}, which has not passed yet." in said


# -- hints and solutions --------------------------------------------------------------------------
def test_one_more_hint_each_time_and_then_the_solution(learner: Learner) -> None:
    learner.hours(RIGHT.replace("18:00", "17:00"))
    assert learner.says('solution("00.opening_hours")') == (
        'There are still 3 hints to read. Try hint("00.opening_hours") first; the solution opens '
        "after a pass or after the last hint."
    )
    for number in (1, 2):
        assert learner.says('hint("00.opening_hours")').startswith(f"Hint {number} of 3: The open")
    assert "There is still 1 hint to read." in learner.says('solution("00.opening_hours")')
    restart()
    last = learner.says('hint("00.opening_hours")')
    assert last.startswith("Hint 3 of 3")
    assert last.endswith('That was the last hint. solution("00.opening_hours") is open to you now.')
    assert learner.says('hint("00.opening_hours")').startswith("Hint 3 of 3")
    shown = learner.says('solution("00.opening_hours")')
    assert "From your cell (-) to the course's (+)." in shown
    assert '-     return {"open": "09:00", "close": "17:00"}' in shown
    assert '+     return {"open": "09:00", "close": "18:00"}' in shown


def test_a_pass_opens_the_solution_too(learner: Learner) -> None:
    learner.hours(RIGHT)
    assert learner.says('solution("00.opening_hours")').startswith("Solution: The opening hours")
    assert "There are still 3 hints" in learner.says('solution("00.keep_the_book")')


# -- progress -------------------------------------------------------------------------------------
def test_progress_is_kept_across_restarts_and_a_pass_stays(learner: Learner) -> None:
    learner.hours(RIGHT)
    learner.hours("return {}")
    restart()
    said = learner.says('progress("00")')
    assert "1 of 2 exercises passed, 2 of 6 points." in said
    assert "✓ passed        The opening hours" in said
    standing = notebook._journal().standing("00.opening_hours")
    assert (standing.attempts, standing.points) == (2, 2)
    assert learner.says('progress("77")').startswith("There is no lesson '77'; choose among 00,")


def test_progress_outlives_what_happens_to_its_file(learner: Learner, tmp_path: Path) -> None:
    learner.hours(RIGHT)
    file = tmp_path / "work" / ".progress.sqlite"
    file.unlink()  # while the kernel runs
    learner.hours("return {}")
    assert notebook._journal().standing("00.opening_hours").attempts == 1
    file.write_bytes(b"no database at all" * 100)
    learner.hours(RIGHT)
    assert "✓ passed" in learner.says('progress("00")')
    assert "Progress cannot be written in" in learner.says('progress("00")')


def test_two_kernels_write_into_one_journal(tmp_path: Path) -> None:
    one, other = (Journal(tmp_path / "p.sqlite") for _ in range(2))
    assert [one.next_hint("x", 3), other.next_hint("x", 3), one.next_hint("x", 3)] == [1, 2, 3]
    assert other.standing("x").hints == 3


# -- nothing is left behind -----------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["memory", "file", "async memory", "async file"])
def test_a_check_leaves_no_trace_in_the_learners_database(
    learner: Learner, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = shop.names(kind, tmp_path)
    learner.shell.user_ns.update(names)

    def observe(self: object, lab: Any) -> dict[str, Any]:
        added = lab.request("POST", "/books", json={"title": "Persuasion"})
        return {"hours": added, "rows": lab.rows("SELECT title FROM book")}

    monkeypatch.setattr(course.find("00.opening_hours").card, "observe", observe)
    learner.run("# exercise: 00.opening_hours\nchanged = True")
    before = titles(names)
    for _ in range(2):
        (card,) = learner.run('check("00.opening_hours")')
        assert "answered 201" in card["text/plain"]  # it did write
        assert titles(names) == before == ["Emma"]


def titles(names: dict[str, Any]) -> list[str]:
    engine = names["engine"]
    query = "SELECT title FROM book ORDER BY id"
    if not hasattr(engine, "sync_engine"):
        with engine.connect() as connection:
            return [row.title for row in connection.exec_driver_sql(query)]

    async def ask() -> list[str]:
        async with engine.connect() as connection:
            return [row.title for row in await connection.exec_driver_sql(query)]

    return asyncio.run(ask())


def test_a_check_changes_no_name_of_the_learners(learner: Learner) -> None:
    learner.hours(RIGHT)
    before = {k: id(v) for k, v in learner.shell.user_ns.items() if not k.startswith(("_", "In"))}
    learner.run('check("00.opening_hours")')
    after = {k: id(v) for k, v in learner.shell.user_ns.items() if not k.startswith(("_", "In"))}
    assert after == before


@contextmanager
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Notes who starts a thread or a process or opens a connection, by the calling stack."""
    seen: list[str] = []

    def noting(what: str, original: Any) -> Any:
        def noted(*args: Any, **options: Any) -> Any:
            stack = "".join(traceback.format_stack())
            seen.append(f"{what}: {stack}")
            return original(*args, **options)

        return noted

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", noting("thread", threading.Thread.start))
        patch.setattr(subprocess.Popen, "__init__", noting("proc", subprocess.Popen.__init__))
        patch.setattr(socket.socket, "connect", noting("net", socket.socket.connect))
        yield seen


@pytest.mark.parametrize("exercise", ["00.opening_hours", "01.engine", "01.user_model"])
def test_no_thread_process_or_connection_of_its_own(
    learner: Learner, exercise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner.lesson(exercise[:2])
    for cell in master.read(course.lesson(exercise[:2]).master):
        if cell.role == "exercise":
            learner.run(cell.solved)
        if cell.exercise == exercise:
            break
    with started(monkeypatch) as seen:
        assert "✓ passed" in learner.says(f'check("{exercise}")')
    own = [one for one in seen if "starlette/testclient" not in one.replace("\\", "/")]
    assert own == []
    assert bool(seen) == (exercise != "01.user_model")  # which asks no app


# -- cells ----------------------------------------------------------------------------------------
def test_a_coroutine_that_nobody_awaited_is_heard_of_beside_its_cell(learner: Learner) -> None:
    in_a_cycle = "async def late(): ...\nholder = [late()]\nholder.append(holder)\ndel holder"
    with pytest.warns(RuntimeWarning, match="coroutine 'late' was never awaited"):
        learner.says(in_a_cycle)


def test_a_collector_that_was_switched_off_stays_off(learner: Learner) -> None:
    in_a_cycle = "async def late(): ...\nholder = [late()]\nholder.append(holder)\ndel holder"
    gc.disable()
    try:
        with warnings.catch_warnings(action="error"):
            learner.says(in_a_cycle)
    finally:
        gc.enable()
        with pytest.warns(RuntimeWarning, match="never awaited"):
            gc.collect()
