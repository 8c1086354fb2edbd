"""Other graders, each in an environment of its own that is kept for the next time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks import course
from checks.errors import CourseError

Points = dict[str, float]  # by exercise
Advance = Callable[[], None]

_LONGEST = 300  # seconds of one submission, however busy the machine is


@dataclass(frozen=True, slots=True)
class Submission:
    """One learner's notebook.

    Attributes:
        learner: Whose it is.
        notebook: The notebook.
        answers: What was put into it, by exercise.
    """

    learner: str
    notebook: dict[str, Any]
    answers: dict[str, str]


@dataclass(slots=True)
class Graded:
    """What grading some submissions came to.

    Attributes:
        seconds: The wall time that each took.
        around: The wall time of what is done once, before them and after.
        points: By learner and exercise.
    """

    seconds: list[float] = field(default_factory=list)
    around: float = 0.0
    points: dict[str, Points] = field(default_factory=dict)


class Environment:
    """A peer's own virtual environment, with the course in it; made when it is missing.

    Args:
        place: The folder of all of them.
        package: The peer.
        version: The version of it.

    Raises:
        CourseError: it cannot be made.
    """

    def __init__(self, place: Path, package: str, version: str) -> None:
        self.folder = place / f"{package}-{version}"
        self._bin = self.folder / ("Scripts" if os.name == "nt" else "bin")
        wanted = f"{package}=={version} on {sys.version} for {course.root()}"
        stamp = self.folder / "complete"
        if not (stamp.exists() and stamp.read_text(encoding="utf-8") == wanted):
            self._make(f"{package}=={version}")
            stamp.write_text(wanted, encoding="utf-8")

    def run(self, *command: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
        """What one of its programs prints to both streams.

        Raises:
            CourseError: it fails, with the last line that it printed.
        """
        program, *arguments = command
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=cwd,
            env=self.variables(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        if done.returncode:
            raise CourseError(f"`{program} {arguments[0]}` failed: {_last(done.stdout)}")
        return done.stdout

    def lines(
        self, *command: str | Path, cwd: Path, env: Mapping[str, str]
    ) -> Iterable[tuple[float, str]]:
        """What one of its programs prints, with the times at which it does.

        Raises:
            CourseError: it fails, with the last line that it printed.
        """
        program, *arguments = command
        line = ""
        with subprocess.Popen(
            [self._bin / program, *arguments],
            cwd=cwd,
            env=self.variables(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    yield time.monotonic(), line
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise CourseError(f"`{program} {arguments[0]}` failed: {_last(line)}")

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment of its programs: its own first, nothing of the user's settings."""
        path = os.pathsep.join([str(self._bin), os.environ.get("PATH", "")])
        return {**os.environ, "PATH": path, "CHECKS_PROGRESS": "off", **more}

    def _make(self, requirement: str) -> None:
        started = time.monotonic()
        print(f"Making {requirement}'s environment (a minute or two, once) ...", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
        constraints = course.root() / "requirements.txt"
        for arguments in (
            (sys.executable, "-m", "venv", self.folder),
            (
                *(self._bin / "python", "-m", "pip", "install", "--quiet", requirement),
                *("-e", course.root(), "-c", constraints),
            ),
        ):
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if done.returncode:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise CourseError(f"{requirement} cannot be installed: {_last(done.stderr)}")
        print(f"  made in {time.monotonic() - started:.0f} s.", file=sys.stderr)


def settings(folder: Path) -> dict[str, str]:
    """Variables by which Jupyter finds none of the user's own settings and kernels."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return {name: str(folder / name.lower()) for name in names}


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "ERROR" in line), (lines or ["it said nothing"])[-1])


# -- nbgrader -------------------------------------------------------------------------------------
class Nbgrader:
    """nbgrader, with the course's own notebook as its source, one `autograde` for a whole batch."""

    package, version = "nbgrader", "0.9.6"
    walls = "none; cells run as the grader's user; the checks in the learner's own kernel"

    def __init__(self, lesson: course.Lesson, cache: Path, folder: Path) -> None:
        self._lesson, self._folder = lesson, folder / self.package
        self._environment = Environment(cache, self.package, self.version)
        self._variables = settings(self._folder)
        source = self._folder / "source" / lesson.name
        source.mkdir(parents=True)
        shutil.copy(lesson.lesson_notebook, source)
        config = f"c = get_config()\nc.CourseDirectory.root = {str(self._folder)!r}\n"
        (self._folder / "nbgrader_config.py").write_text(config, encoding="utf-8")
        self._run("nbgrader", "generate_assignment", lesson.name)

    def grade(self, submissions: Sequence[Submission], advance: Advance) -> Graded:
        """Grade a batch; its log says when each begins and ends."""
        batch = submissions[0].learner.partition("-")[0]
        for one in submissions:
            place = self._folder / "submitted" / one.learner / self._lesson.name
            place.mkdir(parents=True)
            text = json.dumps(one.notebook)
            (place / f"{self._lesson.name}.ipynb").write_text(text, encoding="utf-8")
        found, started = Graded(), time.monotonic()
        began = started
        for now, line in self._environment.lines(
            *("nbgrader", "autograde", self._lesson.name, f"--student={batch}-*"),
            cwd=self._folder,
            env=self._variables,
        ):
            if "Creating/updating student" in line:
                began = now
            elif "Setting destination file permissions" in line:
                found.seconds.append(now - began)
                advance()
        found.around = time.monotonic() - started - sum(found.seconds)
        found.points = self._points(submissions)
        if len(found.seconds) != len(submissions):
            raise CourseError(f"{len(found.seconds)} of {len(submissions)} were graded.")
        return found

    def _points(self, submissions: Iterable[Submission]) -> dict[str, Points]:
        says = json.loads(self._run("python", "-W", "ignore", "-c", _READ, self._lesson.name))
        names = {f"check-{e.id}".replace(".", "-"): e.id for e in self._lesson.exercises}
        return {
            one.learner: {names[cell]: score for cell, score in says[one.learner].items()}
            for one in submissions
        }

    def _run(self, *command: str) -> str:
        return self._environment.run(*command, cwd=self._folder, env=self._variables)


_READ = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps({
        one.student.id: {g.cell.name: g.score for n in one.notebooks for g in n.grades}
        for one in book.assignment_submissions(sys.argv[1])
    }))
"""


# -- otter-grader ---------------------------------------------------------------------------------
class Otter:
    """otter-grader, its tests calling the course's checks, one `otter run` for each submission."""

    package, version = "otter-grader", "7.0.0"
    walls = "none without Docker; cells run as the grader's user; tests in the learner's own kernel"

    def __init__(self, lesson: course.Lesson, cache: Path, folder: Path) -> None:
        self._lesson, self._folder = lesson, folder / self.package
        self._environment = Environment(cache, self.package, self.version)
        self._folder.mkdir(parents=True)
        self._autograder = self._folder / "autograder.zip"
        with zipfile.ZipFile(self._autograder, "w") as archive:
            archive.writestr("otter_config.json", json.dumps({"lang": "python"}))
            for entry in lesson.exercises:
                archive.writestr(f"tests/{_test(entry.id)}.py", _tests(entry))

    def grade(self, submissions: Sequence[Submission], advance: Advance) -> Graded:
        """Grade a batch, one after the other, as otter does."""
        found = Graded()
        for one in submissions:
            place = self._folder / one.learner
            place.mkdir()
            file = place / f"{self._lesson.name}.ipynb"
            file.write_text(json.dumps(self._with_tests(one.notebook)), encoding="utf-8")
            started = time.monotonic()
            self._environment.run(
                *("otter", "run", "-a", self._autograder, "-o", place, "--no-logo", file),
                cwd=place,
                env=settings(self._folder),
            )
            found.seconds.append(time.monotonic() - started)
            found.points[one.learner] = self._points(place / "results.json")
            advance()
        return found

    def _points(self, results: Path) -> Points:
        tests = json.loads(results.read_bytes())["tests"]
        scores = {one["name"]: one.get("score", 0.0) for one in tests}
        return {entry.id: scores.get(entry.id, 0.0) for entry in self._lesson.exercises}

    def _with_tests(self, notebook: dict[str, Any]) -> dict[str, Any]:
        """The notebook with otter's tests where the course's checks stand."""
        checks = course.exercise_cells(notebook).checks
        tested: dict[str, Any] = json.loads(json.dumps(notebook))
        for exercise, places in checks.items():
            cell = tested["cells"][places[0]]
            cell["source"] = f"# {exercise}"
            cell["metadata"] = {"otter": {"tests": [_test(exercise)]}}
        return tested


def _test(exercise: str) -> str:
    return re.sub(r"\W", "_", exercise)


def _tests(entry: course.ExerciseEntry) -> str:
    """An exercise as an otter test file: a case for each requirement, all from one verdict."""
    cases = [_CASE.format(name=one.name, points=one.points) for one in entry.card.requirements()]
    return _FILE.format(exercise=entry.id) + "".join(cases)


_FILE = """\
from otter.test_files import test_case

from checks import course
from checks.judge import judge
from checks.observe.run import observe

OK_FORMAT = False
name = {exercise!r}
points = None
_entry = course.find(name)
_found = {{}}


def _expect(requirement, names):
    if not _found:
        cells = reversed(names.get("In", []))
        source = next((one for one in cells if name in course.marks(one)), None)
        verdict = judge(_entry.card, observe(_entry.card, names, source), _entry.starter)
        _found.update({{one.name: one for one in verdict.findings}}, message=verdict.message)
    found = _found.get(requirement)
    assert found is not None and found.met, _found["message"]
"""

_CASE = """

@test_case(points={points})
def {name}(env):
    _expect({name!r}, env)
"""


def default_cache() -> Path:
    """Where environments are kept between runs."""
    return Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dog-eared", "benchmarks"
    )
