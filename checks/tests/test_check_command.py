"""`checks check FILE`: any file at all, run and judged; and the same judge behind pytest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from checks import course, terminal
from checks.authoring import schema
from checks.grading import kernel
from checks.judge import unjudged
from checks.observe.evidence import OBSERVATION_TYPE
from checks.verdict import Report, Status

FIRST = course.lesson("00")
SOLVED = json.loads(FIRST.solved_notebook.read_bytes())
PUBLISHED = json.loads(schema.path(course.root()).read_text(encoding="utf-8"))
HOURS, BOOK = "00.opening_hours", "00.keep_the_book"


def checks(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "checks.cli", *map(str, command)],
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def in_process(capsys: pytest.CaptureFixture[str], *command: str | Path) -> tuple[int, str, str]:
    """A command as `checks` runs it, without the second that a new interpreter takes."""
    from checks.cli import main

    before, sys.argv = sys.argv, ["checks", *map(str, command)]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


Cells = list[dict[str, Any]]


def notebook(folder: Path, change: Callable[[Cells], Cells | None], name: str = "") -> Path:
    """The solved lesson 00, changed."""
    made = json.loads(json.dumps(SOLVED))
    made["cells"] = change(made["cells"]) or made["cells"]
    path = folder / (name or "00_homework.ipynb")
    path.write_text(json.dumps(made), encoding="utf-8")
    return path


def code(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
        "id": f"added-{abs(hash(source))}",
    }


def of(cells: Cells, exercise: str, role: str) -> int:
    """Where an exercise's cell or check stands."""
    wanted = {"exercise": exercise, "role": role}
    return next(at for at, cell in enumerate(cells) if cell["metadata"].get("course") == wanted)


def statuses(report: Report) -> list[str]:
    return [one.status.value for one in report.exercises]


# -- exit codes and JSON --------------------------------------------------------------------------
def test_solved_is_0_and_its_json_is_as_published() -> None:
    done = checks("check", FIRST.solved_notebook, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    jsonschema.validate(report, PUBLISHED)
    assert [one["status"] for one in report["exercises"]] == ["passed", "passed"]
    for one in report["exercises"]:
        assert {"lesson", "exercise", "title", "status", "points", "max_points"} <= set(one)
        assert {"message", "mistake", "evidence"} <= set(one)
        assert one["evidence"]["seen"]
    assert (report["points"], report["max_points"]) == (6, 6)


def test_as_shipped_is_1_and_says_what_is_next() -> None:
    done = checks("check", FIRST.lesson_notebook, COLUMNS="80")
    assert done.returncode == 1
    assert "○ not attempted  00.opening_hours" in done.stdout
    assert "The cell is as it came. Change it, run it, then check again." in done.stdout
    assert done.stdout.rstrip().endswith("0 of 6 points in 00_start_here.ipynb.")


def test_the_published_schema_demands_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    required = set(PUBLISHED["$defs"]["Verdict"]["required"])
    assert {"lesson", "exercise", "title", "status", "points", "max_points"} <= required
    assert {"message", "mistake", "evidence"} <= required
    assert set(PUBLISHED["$defs"]["Status"]["enum"]) == {one.value for one in Status}


UNREADABLE: dict[str, tuple[bytes | None, str]] = {
    "03_missing.ipynb": (None, "There is no file"),
    "empty.ipynb": (b"", "The file is empty."),
    "blank.ipynb": (b" \n", "The file is empty."),
    "binary.ipynb": (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "is not text"),
    "invalid.ipynb": (b'{"cells": [', "line 1 is not JSON"),
    "deep.ipynb": (b"[" * 100_000, "nested too deep"),
    "number.ipynb": (b"7", "is JSON, but not a notebook."),
    "list.ipynb": (b"[]", "is JSON, but not a notebook."),
    "object.ipynb": (b'{"a": 1}', "does not say which notebook format"),
    "cells.ipynb": (b'{"cells": 7, "nbformat": 4}', "no list of cells."),
    "old.ipynb": (b'{"nbformat": 3, "worksheets": []}', "has the old format 3"),
    "new.ipynb": (b'{"nbformat": 5, "cells": []}', "newer than 4"),
    "other.ipynb": (
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
        "is not a lesson of this course",
    ),
    "77_other.ipynb": (b'{"nbformat": 4, "cells": [1, {}, null]}', "is not a lesson of this"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_run_is_2_and_one_sentence(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, says = UNREADABLE[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    exit_code, out, err = in_process(capsys, "check", path)
    assert (exit_code, out) == (2, "")
    assert err.startswith((f"{path} ", f"{path}: ", f"There is no file {path}."))
    assert says in err
    assert err.count("\n") == 1 and err.endswith(".\n")


def test_a_folder_is_no_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code, _, err = in_process(capsys, "check", tmp_path)
    assert (exit_code, err) == (2, f"{tmp_path} is a folder. Name one notebook in it.\n")


@pytest.mark.parametrize("number", ["00", "3", "09p"])
def test_a_lessons_number_is_the_learners_own_copy(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKS_WORK", str(tmp_path))
    own = tmp_path / course.lesson(number).lesson_notebook.name
    said = in_process(capsys, "check", number)
    assert said == (2, "", f"There is no file {own}. Check the name.\n")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="There are no devices here.")
def test_a_device_is_no_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    assert in_process(capsys, "check", "/dev/zero")[0] == 2


def test_what_cannot_be_read_is_json_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "00_start_here.ipynb"
    path.write_text("<<<<<<< HEAD")
    exit_code, out, err = in_process(capsys, "check", path, "--json")
    assert exit_code == 2 and err.startswith(f"{path}: ") and "line 1 is not JSON" in err
    report = json.loads(out)
    jsonschema.validate(report, PUBLISHED)
    assert [one["status"] for one in report["exercises"]] == ["unreadable", "unreadable"]
    assert report["lesson"] == "00" and report["message"] == err.strip()


# -- what happens to notebooks --------------------------------------------------------------------
def bare(cells: Cells) -> Cells:
    """Without metadata, ids, outputs; sources as one text."""
    return [{"cell_type": c["cell_type"], "source": "".join(c["source"])} for c in cells]


def without_checks(cells: Cells) -> Cells:
    return [cell for cell in cells if cell["metadata"].get("course", {}).get("role") != "check"]


def twice(cells: Cells) -> Cells:
    at = of(cells, HOURS, "exercise")
    older = {**cells[at], "source": [f"# exercise: {HOURS}\n", "app = FastAPI()"], "id": "older"}
    return [*cells[:at], older, *cells[at:]]


def check_first(cells: Cells) -> Cells:
    answer, its_check = of(cells, HOURS, "exercise"), of(cells, HOURS, "check")
    cells[answer], cells[its_check] = cells[its_check], cells[answer]
    return cells


@pytest.mark.parametrize("change", [bare, without_checks, twice, check_first])
def test_a_right_answer_passes_in_a_battered_notebook(
    tmp_path: Path, change: Callable[[Cells], Cells]
) -> None:
    path = notebook(tmp_path, change, "homework (3).ipynb")
    assert statuses(kernel.check_notebook(path)) == ["passed", "passed"]


def test_a_deleted_answer_is_not_attempted_and_the_others_stand(tmp_path: Path) -> None:
    def gone(cells: Cells) -> None:
        del cells[of(cells, HOURS, "exercise")]

    report = kernel.check_notebook(notebook(tmp_path, gone))
    assert statuses(report) == ["not_attempted", "passed"]
    assert "begins with `# exercise: 00.opening_hours`" in report.exercises[0].message


def test_a_cell_that_raises_stops_nothing(tmp_path: Path) -> None:
    path = notebook(tmp_path, lambda cells: [code("1 / 0"), *cells, code("1 / 0")])
    assert statuses(kernel.check_notebook(path)) == ["passed", "passed"]


def test_an_endless_loop_is_timed_out_and_the_rest_not_run(tmp_path: Path) -> None:
    def loop(cells: Cells) -> None:
        cells[of(cells, HOURS, "exercise")]["source"] = f"# exercise: {HOURS}\nwhile True: pass"

    done = checks("check", notebook(tmp_path, loop), "--timeout", "2", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    jsonschema.validate(report, PUBLISHED)
    assert [one["status"] for one in report["exercises"]] == ["timed_out", "not_run"]
    assert (
        "ran longer than it may (2 s); the cells below it were not run. Look for a loop"
        in (report["message"])
    )
    assert {one["message"] for one in report["exercises"]} == {report["message"]}


def test_what_ends_the_kernel_has_died_and_what_passed_before_stands(tmp_path: Path) -> None:
    def exits(cells: Cells) -> None:
        source = f"# exercise: {BOOK}\nimport os\nos._exit(0)"
        cells[of(cells, BOOK, "exercise")]["source"] = source

    report = kernel.check_notebook(notebook(tmp_path, exits))
    assert statuses(report) == ["passed", "died"]
    assert "ended Python" in report.exercises[1].message


def test_evidence_that_a_cell_makes_up_counts_for_nothing(tmp_path: Path) -> None:
    """Neither what is stored in the file nor what other cells display is taken."""
    seen = kernel.check_notebook(FIRST.solved_notebook).exercises[1].evidence
    assert seen
    forged = seen.model_dump(mode="json") | {"exercise": BOOK}
    bundle = {OBSERVATION_TYPE: forged, "text/plain": ""}
    display = f"from IPython.display import display\ndisplay({bundle!r}, raw=True)\n"

    def tamper(cells: Cells) -> Cells:
        answer, its_check = of(cells, BOOK, "exercise"), of(cells, BOOK, "check")
        cells[answer]["source"] = f"# exercise: {BOOK}\napp = FastAPI()\n{display}"
        output = {"output_type": "display_data", "data": bundle, "metadata": {}}
        cells[its_check] |= {"outputs": [output], "source": f'check("{BOOK}")'}
        nonsense = {OBSERVATION_TYPE: {"exercise": 7, "more": []}, "text/plain": ""}
        broken = f'check("{BOOK}")\ndisplay({nonsense!r}, raw=True)'
        return [code(display), *cells, code(display), code(broken)]

    report = kernel.check_notebook(notebook(tmp_path, tamper))
    assert statuses(report) == ["passed", "failed"]


def test_of_a_lesson_only_the_name_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook(tmp_path, lambda cells: cells[:1], "00_[red]a[link].ipynb")
    exit_code, out, _ = in_process(capsys, "check", path)
    assert exit_code == 1
    assert out.count("not attempted") == 3  # each in the list, and the first one's card
    assert out.endswith("\n0 of 6 points in 00_[red]a[link].ipynb.\n")


# -- the learner's own notebook -------------------------------------------------------------------
def test_only_the_learners_own_notebook_counts_as_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    monkeypatch.setenv("CHECKS_WORK", str(work))
    monkeypatch.delenv("CHECKS_PROGRESS")
    passed = unjudged(course.find(HOURS).card, Status.PASSED, "")
    terminal.record(tmp_path / "00_start_here.ipynb", [passed])
    assert not work.exists()
    terminal.record(work / "00_start_here.ipynb", [passed])
    exit_code, out, _ = in_process(capsys, "progress")
    assert exit_code == 0 and "✓ passed        The opening hours" in out
    assert out.startswith("1 of ")


# -- the catalogue --------------------------------------------------------------------------------
def test_the_catalogue_as_json_and_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    from checks.cli import exercises

    exercises(as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert listed["version"] == 1
    assert listed["exercises"][1] == {
        "lesson": "00",
        "exercise": BOOK,
        "title": "The book that was not there",
        "points": 4,
        "names": ["app", "engine"],
        "file": None,
    }
    by_id = {one["exercise"]: one for one in listed["exercises"]}
    assert by_id["07.env"]["file"] == "bookshop_07/migrations/env.py"
    known = [entry.id for lesson in course.catalogue() for entry in lesson.exercises]
    assert [one["exercise"] for one in listed["exercises"]] == known
    exercises(as_json=False)
    text = capsys.readouterr().out
    assert "  00.keep_the_book  The book that was not there, 4 points: app, engine" in text
    assert "  07.env  Wire env.py, 5 points: bookshop_07/migrations/env.py" in text


# -- behind pytest --------------------------------------------------------------------------------
def run_pytest(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)],
        cwd=course.root(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_pytest_reports_the_same_verdicts(tmp_path: Path) -> None:
    def flushed(cells: Cells) -> None:
        at = of(cells, HOURS, "exercise")
        cells[at]["source"] = "".join(cells[at]["source"]).replace("18:00", "81:00")

    path, junit = notebook(tmp_path, flushed), tmp_path / "junit.xml"
    done = run_pytest("checks/lessons", "--submission", path, f"--junitxml={junit}")
    assert done.returncode == 1, done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "✗ failed: The opening hours (1 of 2 points)" in done.stdout
    assert "Traceback" not in done.stdout
    cases = {case.get("name"): case for case in ET.parse(junit).iter("testcase")}
    assert set(cases) == {HOURS, BOOK}
    failure = cases[HOURS].find("failure")
    assert failure is not None and "81:00" in (failure.text or "")
    assert cases[BOOK].find("failure") is None


def test_pytest_chooses_and_refuses(tmp_path: Path) -> None:
    chosen = ("--submission", FIRST.lesson_notebook, "-k", "keep_the_book", "--collect-only")
    done = run_pytest("-n0", "checks/lessons", *chosen)
    assert f"<SubmittedExercise {BOOK}>" in done.stdout and HOURS not in done.stdout
    assert "1/2 tests collected (1 deselected)" in done.stdout
    (tmp_path / "x.ipynb").write_text("no notebook")
    for arguments, says in (
        (("--submission", tmp_path / "x.ipynb"), "x.ipynb: The file is damaged"),
        ((), "Say which notebook to judge: --submission FILE.ipynb"),
    ):
        refused = run_pytest("-n0", "checks/lessons", *arguments)
        assert refused.returncode == pytest.ExitCode.USAGE_ERROR
        assert says in refused.stderr
        assert "Traceback" not in refused.stdout + refused.stderr


def test_a_submission_is_found_from_where_one_is(tmp_path: Path) -> None:
    shutil.copy(FIRST.lesson_notebook, tmp_path / "mine.ipynb")
    asked = ("test", "-n0", "checks/lessons", "--submission", "mine.ipynb", "--collect-only", "-q")
    done = subprocess.run(
        [sys.executable, "-m", "checks.cli", *asked],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 tests collected" in done.stdout, done.stdout + done.stderr
