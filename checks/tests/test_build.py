"""Masters to notebooks: what is built, what stops a build, what has drifted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from checks import course
from checks.authoring import build, master, schema
from checks.authoring.scaffold import ScaffoldError, new

FIRST = course.lesson("00")
EVERY = [lesson.master for lesson in course.catalogue()]


def a_course(root: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    """A folder with lesson 00's master, perhaps changed; returns the master."""
    path = root / "solutions" / FIRST.master.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(change(FIRST.master.read_text(encoding="utf-8")), encoding="utf-8")
    return path


def notebooks(path: Path) -> tuple[Path, Path]:
    lesson = path.parent.parent / "lessons" / f"{path.stem}.ipynb"
    return lesson, path.with_suffix(".ipynb")


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_bytes())["cells"]
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A master whose notebooks have been built."""
    path = a_course(tmp_path_factory.mktemp("built"))
    made = build.build(path)
    assert made == ["lessons/00_start_here.ipynb", "solutions/00_start_here.ipynb"]
    return path


# -- what is built --------------------------------------------------------------------------------
def test_building_again_changes_no_byte(built: Path) -> None:
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in notebooks(built)]
    assert build.build(built) == []
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in notebooks(built)] == before


def test_both_notebooks_are_valid_and_only_one_has_outputs(built: Path) -> None:
    lesson, solved = notebooks(built)
    for path in (lesson, solved):
        nbformat.validate(nbformat.read(path, as_version=nbformat.NO_CONVERT))
    assert not any(cell.get("outputs") for cell in cells(lesson))
    assert any(cell.get("outputs") for cell in cells(solved))
    assert [cell["id"] for cell in cells(lesson)] == [cell["id"] for cell in cells(solved)]


def test_who_a_cell_is_stands_in_its_metadata_and_in_its_text(built: Path) -> None:
    lesson, _ = notebooks(built)
    notebook = json.loads(lesson.read_bytes())
    said = {"lesson": "00", "slug": "start_here", "title": "Start here"}
    assert notebook["metadata"]["course"] == said
    seen = []
    for cell in notebook["cells"]:
        if not (identity := cell["metadata"].get("course")):
            continue
        source = "".join(cell["source"])
        seen.append((identity["exercise"], identity["role"]))
        if identity["role"] == "exercise":
            assert source.startswith(f"# exercise: {identity['exercise']}\n")
        else:
            assert source == f'check("{identity["exercise"]}")'
    ids = [entry.id for entry in FIRST.exercises]
    assert seen == [(one, role) for one in ids for role in ("exercise", "check")]


@pytest.mark.parametrize("path", EVERY, ids=[path.stem for path in EVERY])
def test_no_lesson_gives_its_solutions_away(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", text, re.DOTALL)
    assert blocks
    shipped = cells(course.lesson(path.stem).lesson_notebook)
    sources = ["".join(cell["source"]) for cell in shipped]
    for block in blocks:
        assert not [source for source in sources if block.strip() in source]
    assert not [source for source in sources if re.search("(BEGIN|END) (STARTER|SOLUTION)", source)]


def test_a_cell_keeps_its_id_while_prose_around_it_moves(tmp_path: Path) -> None:
    def moved(text: str) -> str:
        front, mark, rest = text.partition("# %% [markdown]\n# ## The flight recorder")
        return f"# %% [markdown]\n# A new opening.\n\n{front}# %%\nprint('hello')\n\n{mark}{rest}"

    before = ids_by_source(a_course(tmp_path / "before"))
    after = ids_by_source(a_course(tmp_path / "after", moved))
    assert set(before.items()) <= set(after.items())
    assert len(after) == len(before) + 2


def ids_by_source(path: Path) -> dict[str, str]:
    lesson = course.Lesson("00", "start_here", path.parent.parent)
    made = build._notebook(lesson, master.read(path), solved=False)
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    return {"".join(cell["source"]): cell["id"] for cell in made["cells"]}


# -- what stops a build ---------------------------------------------------------------------------
CHECK = '# %% check="00.opening_hours"\ncheck("00.opening_hours")\n'
EXERCISE = (
    '# %% exercise="00.opening_hours"\n'
    "# BEGIN STARTER\n# x = TODO\n# END STARTER\n"
    "# BEGIN SOLUTION\nx = 1\n# END SOLUTION\n\n"
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (EXERCISE.replace("# END SOLUTION\n", "") + CHECK, "needs one `# BEGIN STARTER`"),
        (EXERCISE.replace("# BEGIN STARTER\n", "") + CHECK, "needs one `# BEGIN STARTER`"),
        (
            EXERCISE.replace("x = 1\n", "x = 1\n# BEGIN STARTER\n") + CHECK,
            "`# BEGIN STARTER` belongs to no block",
        ),
        ("# %%\n# BEGIN SOLUTION\nx = 1\n# END SOLUTION\n", "belongs to no block"),
        (EXERCISE, 'follow every `# %% exercise="..."` cell'),
        (CHECK, "do not match"),
        ((EXERCISE + CHECK) * 2, "00.opening_hours is there twice"),
        (EXERCISE.replace('ours"', "ours") + CHECK, "cannot be read; write it as"),
        ((EXERCISE + CHECK).replace("opening", "closing"), "00.closing_hours that no check knows"),
        (EXERCISE + CHECK, "has no cell for 00.keep_the_book"),
    ],
)
def test_a_master_that_is_no_lesson_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = a_course(tmp_path, lambda _: text)
    with pytest.raises((build.BuildError, master.MasterError)) as told:
        build.build(path)
    assert says in str(told.value)
    assert "00_start_here.py" in str(told.value)
    assert "\n" not in str(told.value)
    assert not any(made.exists() for made in notebooks(path))


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("1 / 0", "raises ZeroDivisionError: division by zero. A lesson runs from top to bottom"),
        (
            "import sys\nprint('careful', file=sys.stderr)",
            "writes to standard error: careful A learner sees that in red; mend it.",
        ),
        ("import os\nos._exit(1)", "A cell ended the kernel; look for an exit() or a crash."),
    ],
)
def test_a_cell_that_learners_must_not_meet_stops_the_build(
    tmp_path: Path, cell: str, says: str
) -> None:
    path = a_course(tmp_path, lambda text: f"# %%\n{cell}\n\n{text}")
    with pytest.raises(build.BuildError, match=re.escape(says)):
        build.build(path)
    assert not any(made.exists() for made in notebooks(path))  # nothing half-made


def test_a_solution_that_does_not_pass_stops_the_build(tmp_path: Path) -> None:
    path = a_course(tmp_path, lambda text: text.replace("session.commit()", "session.flush()"))
    with pytest.raises(build.BuildError, match=r"00.keep_the_book .* it must be passed"):
        build.build(path)


# -- drift ----------------------------------------------------------------------------------------
@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """The built course once more, to be tampered with."""
    shutil.copytree(built.parent.parent, tmp_path / "copy")
    return tmp_path / "copy" / "solutions" / built.name


def test_drift_is_named(copy: Path) -> None:
    lesson, solved = notebooks(copy)
    assert build.drift(copy, execute=False) == []
    copy.write_text(copy.read_text(encoding="utf-8") + "\n# More prose.\n", encoding="utf-8")
    advice = "is not what its master says. Run `checks build 00`."
    both = [f"lessons/{lesson.name} {advice}", f"solutions/{solved.name} {advice}"]
    assert build.drift(copy, execute=False) == both


@pytest.mark.parametrize("left", ["", "<<<<<<< HEAD", "[]", '{"cells": [{}]}', '{"cells": 1}'])
def test_what_is_left_of_a_notebook_has_drifted(copy: Path, left: str) -> None:
    for path in notebooks(copy):
        path.write_text(left, encoding="utf-8")
    assert len(build.drift(copy, execute=False)) == 2


def test_other_outputs_have_drifted_and_other_times_have_not(copy: Path) -> None:
    _, solved = notebooks(copy)
    notebook = json.loads(solved.read_bytes())
    text = json.dumps(notebook).replace("'Every book has a past.'", "'Never.'")
    solved.write_text(re.sub(r"\d+\.\d ms", "987.6 ms", text), encoding="utf-8")
    (told,) = build.drift(copy)
    assert re.fullmatch(
        r"solutions/00_start_here.ipynb: cell \d+ gives other outputs now. Run `checks build 00`.",
        told,
    )


def test_the_schema_has_not_drifted() -> None:
    assert schema.is_current(course.root()), "Run `checks build`."


# -- a new lesson ---------------------------------------------------------------------------------
def in_copy(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of a copy of this repository, as its own checkout would run it."""
    return subprocess.run(
        [sys.executable, "-P", "-m", *command],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_a_new_lesson_passes_its_tests_and_its_drift_is_told(tmp_path: Path) -> None:
    root = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "*_cache", "requirements.txt")
    shutil.copytree(course.root() / "checks", root / "checks", ignore=ignored)
    shutil.copy(course.root() / "pyproject.toml", root)
    begun = in_copy(root, "checks.cli", "new", "99_to_come")
    assert begun.returncode == 0, begun.stderr
    assert "Next: write the lesson, then `checks build 99`" in begun.stdout
    made = in_copy(root, "checks.cli", "build", "99")
    assert (made.returncode, made.stderr) == (0, "")
    which = ("checks/tests/test_answers.py", "checks/tests/test_lessons.py")
    quiet = ("-n0", "-q", "-p", "no:cacheprovider", "-k", "not of_a_project")  # it is none
    tested = in_copy(root, "pytest", *quiet, *which)
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout and "skipped" not in tested.stdout
    lesson = root / "lessons" / "99_to_come.ipynb"
    lesson.write_text(lesson.read_text(encoding="utf-8").replace("2 a.m.", "3 a.m."), "utf-8")
    (root / "checks" / "report.schema.json").unlink()
    drifted = in_copy(root, "checks.cli", "build", "99", "--check")
    assert drifted.returncode == 1
    assert drifted.stdout.splitlines() == [
        "checks/report.schema.json is not what a report is. Run `checks build`.",
        "lessons/99_to_come.ipynb is not what its master says. Run `checks build 99`.",
    ]


@pytest.mark.parametrize("name", ["async_setup", "4_async", "04_Async", "04", "04_", "../04_x"])
def test_a_name_that_is_none_begins_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScaffoldError, match=r"cannot name a lesson. Use two digits and words"):
        new(name, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_number_is_taken_once(tmp_path: Path) -> None:
    new("04_async_setup", tmp_path)
    with pytest.raises(ScaffoldError, match=r"Lesson 04 is there already: 04_async_setup.py"):
        new("04_pools", tmp_path)


# -- nbgrader -------------------------------------------------------------------------------------
def test_nbgrader_takes_a_lesson_as_it_is(tmp_path: Path) -> None:
    """Its own generate and autograde: full points for a right answer, some for half of one."""
    bin_ = str(Path(sys.executable).parent)  # nbgrader calls `alembic` by its bare name
    env = os.environ | {"PATH": os.pathsep.join((bin_, os.environ.get("PATH", "")))}
    del env["CHECKS_PROGRESS"]
    env["CHECKS_WORK"] = str(tmp_path / "work")

    def nbgrader(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "does not exist in the database" not in done.stderr

    (tmp_path / "nbgrader_config.py").write_text('get_config().CourseDirectory.course_id = "dog"\n')
    source = tmp_path / "source" / "ps00"
    source.mkdir(parents=True)
    shutil.copy(FIRST.lesson_notebook, source)
    nbgrader("generate_assignment", "ps00", "--create")
    released = tmp_path / "release" / "ps00" / FIRST.lesson_notebook.name
    shipped = {cell["id"]: cell["source"] for cell in cells(FIRST.lesson_notebook)}
    assert {cell["id"]: cell["source"] for cell in cells(released)} == shipped

    solved = {cell["id"]: cell["source"] for cell in cells(FIRST.solved_notebook)}
    half = {key: [line.replace("18:00", "81:00") for line in text] for key, text in solved.items()}
    for student, answers in {"all": solved, "half": half}.items():
        notebook = json.loads(released.read_bytes())
        for cell in notebook["cells"]:
            if cell["metadata"].get("course", {}).get("role") == "exercise":
                cell["source"] = answers[cell["id"]]
        handed_in = tmp_path / "submitted" / student / "ps00" / released.name
        handed_in.parent.mkdir(parents=True)
        handed_in.write_text(json.dumps(notebook), encoding="utf-8")
    nbgrader("autograde", "ps00", "--create")
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}", "dog") as book:
        graded = [book.find_submission("ps00", student) for student in ("all", "half")]
        assert [(one.score, one.max_score) for one in graded] == [(6, 6), (5, 6)]
    assert not (tmp_path / "work").exists()  # their verdicts are not our own progress
