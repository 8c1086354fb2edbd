"""The page's kernel and stand-ins, in an ordinary Python: the same lessons, the same verdicts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import course, show
from checks.journal import Attempt, Journal, Record
from checks.tests import page_cells
from checks.verdict import VERDICT_TYPE, Status
from checks.website.browser.kernel import Kernel
from checks.website.lesson import read

LESSONS = course.catalogue()
Messages = list[dict[str, Any]]


def in_a_python_of_its_own(cells: list[str], *options: str) -> list[Messages]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "checks.tests.page_kernel", *options],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Messages] = json.loads(done.stdout)
    return found


def verdicts(said: list[Messages]) -> list[tuple[str, float]]:
    cards = [one["data"][VERDICT_TYPE] for cell in said for one in cell if _is_card(one)]
    return [(card["status"], card["points"]) for card in cards]


def _is_card(message: dict[str, Any]) -> bool:
    return VERDICT_TYPE in message.get("data", {})


def shown(said: list[Messages]) -> list[str]:
    """What cells print and display, as text, but for times, the numbers of plots, and cards."""
    texts = ["".join(_text(one) for one in cell if not _is_card(one)) for cell in said]
    # Times, addresses, seconds since 1970, and numbers in a plot's table.
    varying = r" *\+?\d+(?:\.\d+)? ms|0x[0-9a-f]+|\b1[789]\d{8}\b|│ +[\d.,–]+"
    return [re.sub(varying, "…", text) for text in texts]


def _text(message: dict[str, Any]) -> str:
    text: str = message.get("text") or message.get("data", {}).get("text/plain", "")
    return text


def raised(said: list[Messages]) -> list[str]:
    return [one["traceback"] for cell in said for one in cell if one["type"] == "error"]


@pytest.mark.parametrize("lesson", LESSONS, ids=[one.name for one in LESSONS])
def test_on_one_thread_a_solved_lesson_says_the_same(lesson: course.Lesson) -> None:
    content = read(lesson)
    runnable = [c for c in content.cells if c.role != "prose" and c.id not in content.recorded]
    cells = [one.solved for one in runnable]
    usual, one_thread = (in_a_python_of_its_own(cells, *o) for o in ((), ("--one-thread",)))
    assert raised(one_thread) == raised(usual) == []
    assert verdicts(one_thread) == verdicts(usual)
    assert {status for status, _ in verdicts(usual)} == {"passed"}
    assert len(verdicts(usual)) == len(lesson.exercises)
    assert shown(one_thread) == shown(usual)


@pytest.mark.parametrize("source", page_cells.ALL.values(), ids=list(page_cells.ALL))
def test_on_one_thread_lessons_to_come_say_the_same(source: str) -> None:
    usual, one_thread = (in_a_python_of_its_own([source], *o) for o in ((), ("--one-thread",)))
    assert raised(one_thread) == raised(usual) == []
    assert shown(one_thread) == shown(usual)
    assert shown(usual)[0].endswith("done\n")


# -- the kernel ----------------------------------------------------------------------------------
@pytest.fixture
def progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHECKS_PROGRESS", "off")  # put back what the kernel sets
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path / "progress.sqlite"


def ran(progress: Path, *cells: str) -> Messages:
    said: Messages = []
    kernel = Kernel(said.append, progress)

    async def run() -> None:
        for source in cells:
            await kernel.run("one", source)

    asyncio.run(run())
    return said


def test_cells_share_names_and_show_their_last_value(progress: Path) -> None:
    said = ran(progress, "a = 1", "import asyncio\nawait asyncio.sleep(0)\na + 1", "a;", "None")
    assert said == [{"type": "display", "data": {"text/plain": "2"}}]


def test_a_value_is_shown_in_each_form_that_it_knows(progress: Path) -> None:
    made = "class A:\n def _repr_html_(self): return '<i>'\n def _repr_png_(self): return b'PNG'\n"
    (said,) = ran(progress, made + " def __repr__(self): return 'plain'\nA()")
    assert said["data"] == {"text/plain": "plain", "text/html": "<i>", "image/png": "UE5H"}


def test_a_traceback_shows_the_readers_lines_and_counts_the_others(progress: Path) -> None:
    (said,) = ran(progress, "import json\ndef f():\n    json.loads('{')\nf()")
    assert (said["type"], said["name"]) == ("error", "JSONDecodeError")
    lines = said["traceback"].splitlines()
    assert lines[:4] == ["  Line 4:", "    f()", "  Line 3, in f:", "    json.loads('{')"]
    assert lines[4].startswith("  … ") and lines[4].endswith(" in Python")
    assert lines[5].startswith("JSONDecodeError: ")
    assert len(lines) == 6


def test_what_cannot_be_read_is_shown_where_it_stops(progress: Path) -> None:
    (said,) = ran(progress, "a = 1\nb = (2")
    assert said["traceback"].splitlines()[:2] == ["  Line 2:", "    b = (2"]


def test_a_coroutine_that_nobody_awaits_is_warned_of(progress: Path) -> None:
    cell = """
import warnings
async def forgotten(): ...
def call_it(): forgotten()
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    call_it()
[str(one.message) for one in heard]
"""
    said = ran(progress, cell)
    assert said[-1]["data"]["text/plain"] == "[\"coroutine 'forgotten' was never awaited\"]"


def test_the_cause_of_an_exception_is_told_as_well(progress: Path) -> None:
    (said,) = ran(
        progress, "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError from e"
    )
    assert "ZeroDivisionError: division by zero\n\nThis caused:" in said["traceback"]


def test_exit_ends_the_cell_and_not_the_kernel(progress: Path) -> None:
    said = ran(progress, "raise SystemExit", "print('here')")
    assert [one["type"] for one in said] == ["error", "stream"]


def test_endless_printing_is_cut(progress: Path) -> None:
    said = ran(progress, "for _ in range(1000): print('x' * 1000)")
    text = "".join(one["text"] for one in said)
    assert len(text) < 300_000
    assert text.endswith("and more, which is not shown.\n")


def test_a_check_shows_its_card_and_tells_the_page(progress: Path) -> None:
    entry = course.find("00.opening_hours")
    setup = "from checks import check, hint, TODO\nfrom fastapi import FastAPI"
    said = ran(progress, setup, entry.solution, f'check("{entry.id}")', f'hint("{entry.id}")')
    kinds = [one["type"] for one in said]
    assert kinds == ["display", "progress", "display", "progress"]
    assert said[0]["data"][VERDICT_TYPE]["status"] == "passed"
    assert 'class="de-card' in said[0]["data"]["text/html"]
    (attempt,) = said[1]["attempts"]
    assert (attempt["exercise"], attempt["status"]) == (entry.id, "passed")
    assert said[3]["attempts"] == [] and said[3]["hints"] == {entry.id: 1}
    assert show.front_end is None  # nobody else's cards go to a page


def test_what_the_page_has_kept_counts(progress: Path) -> None:
    said: Messages = []
    kernel = Kernel(said.append, progress)
    at = "2026-01-01T00:00:00+00:00"
    passed = Attempt(exercise="00.opening_hours", status=Status.PASSED, points=2, at=at)
    kernel.remember(Record(attempts=[passed]))
    asyncio.run(kernel.run("one", 'from checks import solution\nsolution("00.opening_hours")'))
    assert [one["type"] for one in said] == ["display"]
    assert "09:00" in said[0]["data"]["text/html"]


# -- progress from place to place ------------------------------------------------------------------
attempts = st.builds(
    Attempt,
    exercise=st.from_regex(r"\A\d\d\.[a-z_]{1,12}\Z"),
    status=st.sampled_from([Status.PASSED, Status.FAILED]),
    points=st.floats(0, 10),
    mistake=st.none() | st.text(max_size=20).filter(lambda text: "\0" not in text),
    at=st.datetimes().map(lambda when: when.isoformat()),
)


@given(records=st.lists(st.lists(attempts, max_size=4), min_size=1, max_size=3))
def test_taking_in_twice_is_taking_in_once(records: list[list[Attempt]]) -> None:
    journal = Journal(None)
    for found in records:
        journal.take_in(Record(attempts=found))
    once = journal.kept_record()
    for found in records:
        assert journal.take_in(Record(attempts=found)) == 0
    assert journal.kept_record() == once
    assert journal.take_in(once) == 0


def command(folder: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from checks.cli import main; main()", "progress", *options],
        env=os.environ | {"CHECKS_PROGRESS": str(folder / "progress.sqlite")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_progress_goes_from_a_page_to_the_terminal_and_back(tmp_path: Path) -> None:
    attempt = {"exercise": "00.opening_hours", "status": "passed", "points": 2, "mistake": None}
    attempt["at"] = "2026-01-02T03:04:05+00:00"
    page = {"version": 1, "attempts": [attempt], "hints": {"00.keep_the_book": 2}}
    page["edits"] = {"00/one": {"source": "mine"}}
    file = tmp_path / "progress.json"
    file.write_text(json.dumps(page))
    assert command(tmp_path, "--import", str(file)) == (0, "1 attempt is new.\n")
    assert command(tmp_path, "--import", str(file)) == (0, "0 attempts are new.\n")
    assert command(tmp_path, "--export", str(file))[0] == 0
    assert json.loads(file.read_text()) == page  # the page's own edits are still there


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"version": 2}', '{"attempts": [{"exercise": "../../x"}]}', "\0"],
)
def test_what_is_no_progress_file_is_said_so_and_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(content)
    for option in ("--import", "--export"):
        code, said = command(tmp_path, option, str(file))
        assert code != 0
        assert "is not a progress file" in said and "Traceback" not in said
    assert file.read_text() == content


# -- what is brought to the page -------------------------------------------------------------------
def test_the_page_has_the_versions_of_the_course() -> None:
    def pins(path: str) -> dict[str, str]:
        text = (course.root() / path).read_text(encoding="utf-8")
        return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))

    page, here = pins("checks/website/browser/requirements.txt"), pins("requirements.txt")
    assert {name: here.get(name, version) for name, version in page.items()} == page
    assert {"fastapi", "sqlalchemy", "pydantic", "alembic"} <= set(page)
