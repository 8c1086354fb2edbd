"""`checks grade`: a folder of notebooks to grades, whatever happens in between."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checks import course, grading_terminal
from checks.errors import CourseError
from checks.grading import assess, grade, plan
from checks.grading.fork import ForkRunner
from checks.grading.grade import Options, Runner, Tally
from checks.grading.gradebook import Gradebook, file_url
from checks.grading.graded import Graded
from checks.grading.kernel import KernelRunner
from checks.grading.outcome import Ended, Job, Limits, Outcome
from checks.grading.runners import Choice
from checks.tests import classroom
from checks.tests.handed_in import graded as made_up
from checks.tests.handed_in import verdict
from checks.verdict import Status

LESSON = course.lesson("00")
HOURS, BOOK = (entry.id for entry in LESSON.exercises)
LIMITS = Limits(cell=5, total=30)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Namespaces are Linux's.")


def code_of(exercise: str, status: Status) -> str:
    own = (one for one in classroom.answers(LESSON) if one.exercise == exercise)
    return next(one.code for one in own if one.status is status)


RIGHT = {one: code_of(one, Status.PASSED) for one in (HOURS, BOOK)}
WRONG = {one: code_of(one, Status.FAILED) for one in (HOURS, BOOK)}
HANDED_IN: dict[str, dict[str, str] | str] = {
    "Ada": RIGHT,
    "Ben": WRONG,
    "Cem": {},
    "Dot": {HOURS: RIGHT[HOURS], BOOK: "while True: pass"},
    "Eve": {HOURS: RIGHT[HOURS], BOOK: "import os; os._exit(0)"},
    "Fay": "this is no notebook",
}


def write(folder: Path, learner: str, what: dict[str, str] | str) -> Path:
    path = folder / learner / f"{LESSON.name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = what if isinstance(what, str) else json.dumps(classroom.filled(LESSON, what))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submissions")
    for learner, what in HANDED_IN.items():
        write(folder, learner, what)
    (folder / "Ada" / "notes.txt").write_text("remember the milk")
    return folder


def shut_in() -> ForkRunner:
    return ForkRunner(LIMITS, 2)


def nothing_runs() -> Runner:
    raise AssertionError("something was run")


def graded(out: Path) -> dict[str, Graded]:
    with Gradebook.open(file_url(out / "gradebook.sqlite")) as book:
        return {one.learner: one for one in book.each()}


def statuses(one: Graded) -> list[str]:
    return [verdict.status.value for verdict in one.report.exercises]


def run(place: Path, out: Path, runner: Callable[[], Runner] = shut_in, **more: Any) -> Tally:
    return grade.grade(Options(place=place, out=out, **more), runner, lambda tally: None)


@pytest.fixture(scope="module")
def done(handed_in: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tally]:
    out = tmp_path_factory.mktemp("graded") / "out"
    return out, run(handed_in, out)


# -- a class --------------------------------------------------------------------------------------
def test_everybody_gets_what_they_earned(done: tuple[Path, Tally]) -> None:
    out, tally = done
    found = graded(out)
    assert {learner: statuses(one) for learner, one in found.items()} == {
        "Ada": ["passed", "passed"],
        "Ben": ["failed", "failed"],
        "Cem": ["not_attempted", "not_attempted"],
        "Dot": ["passed", "timed_out"],
        "Eve": ["passed", "died"],
        "Fay": ["unreadable", "unreadable"],
    }
    assert (tally.total, tally.done, tally.kept) == (6, 6, 0)
    assert all(one.report.exercises[0].mistake is None for one in (found["Ada"], found["Cem"]))
    assert sorted(line.split(",")[0] for line in tally.look) == ["Eve", "Fay"]
    assert len(tally.notices) == 1 and "notes.txt" in tally.notices[0]


def test_every_output_is_there(done: tuple[Path, Tally]) -> None:
    out, _ = done
    names = {"grades.csv", "junit.xml", "results.jsonl", "report.html", "gradebook.sqlite"}
    assert names <= {path.name for path in out.iterdir()}
    assert len(list((out / "feedback").rglob("*.html"))) == 6


def test_what_has_not_changed_is_not_run_again(done: tuple[Path, Tally], handed_in: Path) -> None:
    out, _ = done
    tally = run(handed_in, out, nothing_runs)
    assert (tally.done, tally.kept, tally.stale) == (0, 6, 0)


def test_what_has_changed_is_run_again_and_nothing_else(tmp_path: Path) -> None:
    place, out = tmp_path / "in", tmp_path / "out"
    for learner in ("Ada", "Ben"):
        write(place, learner, WRONG)
    run(place, out)
    write(place, "Ben", RIGHT)
    tally = run(place, out)
    assert (tally.done, tally.kept) == (1, 1)
    assert statuses(graded(out)["Ben"]) == ["passed", "passed"]
    assert run(place, out, again=True).done == 2


def test_only_one_learner(handed_in: Path, tmp_path: Path) -> None:
    assert run(handed_in, tmp_path, only="Ada").total == 1
    assert list(graded(tmp_path)) == ["Ada"]
    with pytest.raises(CourseError, match=r"by 'Adam'; among those who did are Ada, Ben"):
        run(handed_in, tmp_path, only="Adam")


def test_evidence_is_judged_again_when_a_check_has_changed(
    handed_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(handed_in, tmp_path, only="Ben")
    before = graded(tmp_path)["Ben"].report.exercises[0]
    assert before.mistake is not None
    card = LESSON.exercises[0].card
    monkeypatch.setattr(card, "mistakes", classmethod(lambda cls: []))
    monkeypatch.setattr(grade, "checks_digest", lambda number: "another")
    assert run(handed_in, tmp_path, nothing_runs, only="Ben").stale == 1
    tally = run(handed_in, tmp_path, nothing_runs, rejudge=True)
    assert (tally.done, tally.total) == (1, 1) and "notes.txt" in tally.notices[0]
    after = graded(tmp_path)["Ben"]
    assert after.report.exercises[0].mistake is None and after.checks == "another"
    assert after.report.exercises[0].evidence == before.evidence


def test_nothing_to_judge_again_is_a_sentence(handed_in: Path, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="grade once without --rejudge"):
        run(handed_in, tmp_path, nothing_runs, rejudge=True)


def test_nowhere_to_write_is_a_sentence(handed_in: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="name another --out"):
        run(handed_in, tmp_path / "file" / "out")


# -- the command ----------------------------------------------------------------------------------
def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "checks.cli", "grade", *map(str, arguments)]


def test_the_command_says_what_needs_a_look_and_ends_with_1(
    handed_in: Path, tmp_path: Path
) -> None:
    said = subprocess.run(
        command(handed_in, "--out", tmp_path, "--timeout", 2, "--workers", 2, "--format", "canvas"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 1, said.stderr
    assert "6 graded. Open" in said.stdout and "Eve, lesson 00:" in said.stdout
    assert "6 of 6" in said.stderr and "Traceback" not in said.stderr
    assert (tmp_path / "canvas.csv").exists()


def test_all_well_is_0_and_nothing_is_2(
    handed_in: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = Choice(LIMITS, 1)
    well = Options(place=handed_in, out=tmp_path / "a", only="Ada")
    assert grading_terminal.grade(well, choice) == 0
    write(tmp_path / "in", "Ada", "no notebook").rename(tmp_path / "in" / "Ada" / "x.ipynb")
    assert grading_terminal.grade(Options(tmp_path / "in", tmp_path / "b"), choice) == 2
    assert "Nothing could be graded." in capsys.readouterr().err


def test_a_killed_grading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    place, out = tmp_path / "in", tmp_path / "out"
    for number in range(30):
        write(place, f"learner {number:02}", RIGHT if number % 2 else WRONG)
    arguments = command(place, "--out", out, "--workers", 2)
    running = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and _recorded(out) < 3:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = graded(out)
    assert 0 < len(before) < 30
    tally = run(place, out)
    assert (tally.kept, tally.done) == (len(before), 30 - len(before))
    found = graded(out)
    assert len(found) == 30
    assert [statuses(found[name])[0] for name in sorted(found)] == ["failed", "passed"] * 15


def test_an_interrupted_grading_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in", "Ada", RIGHT)

    class Interrupted(Choice):
        def runner(self) -> Runner:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grading_terminal.grade(Options(tmp_path / "in", tmp_path / "out"), Interrupted(LIMITS, 1))
    assert "What is graded is kept. Say the same again to go on." in capsys.readouterr().err


def _recorded(out: Path) -> int:
    return len(list((out / "feedback").rglob("*.html"))) if out.exists() else 0


def test_the_lessons_own_demonstrations_are_left_out_with_their_tag_or_without() -> None:
    lesson = course.lesson("05")
    notebook = classroom.filled(lesson, {})
    recorded = [one for one in notebook["cells"] if "recorded" in one["metadata"].get("tags", [])]
    for cell in recorded:
        cell["metadata"] = {}
    mine = {"cell_type": "code", "metadata": {}, "source": "server = start_postgresql()\nserver"}
    notebook["cells"].append(mine)
    run = [one.source for one in plan.make(notebook, lesson).parts]
    assert recorded and not {course.source_of(one) for one in recorded} & set(run)
    assert run[-1] == mine["source"]


def test_of_two_answers_to_a_project_the_one_that_does_more_counts() -> None:
    lesson, exercise = course.lesson("09p"), "09p.release"
    less, more = (
        classroom.filled(lesson, {exercise: one.code})
        for name in ("only the index", "all but the index")
        for one in classroom.answers(lesson)
        if (one.exercise, one.name) == (exercise, name)
    )
    less["cells"] += [
        one
        for one in more["cells"]
        if one["metadata"].get("course", {}).get("exercise") == exercise
    ]
    with ForkRunner(Limits(), 1) as runner:
        [(job, outcome)] = runner.run([Job("x", plan.make(less, lesson))])
    [found] = [
        one
        for one in assess.report(lesson, job.plan, outcome, "x.ipynb").exercises
        if one.exercise == exercise
    ]
    assert [one.met for one in found.findings] == [True, True, False]


def test_a_cell_that_stopped_is_told_as_in_jupyter() -> None:
    """And what an earlier cell has left behind is not judged in its place."""
    notebook = classroom.filled(LESSON, {HOURS: "1 / 0\napp = 1"})
    place = next(
        number
        for number, one in enumerate(notebook["cells"])
        if HOURS in course.answered_in(course.source_of(one))
    )
    notebook["cells"].insert(place, {"cell_type": "code", "metadata": {}, "source": RIGHT[HOURS]})
    for make in (ForkRunner, KernelRunner):
        with make(LIMITS, 1) as runner:
            [(job, outcome)] = runner.run([Job("x", plan.make(notebook, LESSON))])
        [hours, *_] = assess.report(LESSON, job.plan, outcome, "x.ipynb").exercises
        assert hours.status is Status.FAILED
        assert hours.message.startswith("Your cell stopped at line 2, `1 / 0`: ZeroDivisionError")


def test_a_file_of_the_notebooks_that_is_not_there_is_named() -> None:
    lesson = course.lesson("08")
    answer = next(one for one in classroom.answers(lesson) if one.exercise == "08.split")
    notebook = classroom.filled(lesson, {"08.split": answer.code})
    own = "%%writefile bookshop_08/migrations/env.py"
    notebook["cells"] = [
        one for one in notebook["cells"] if not course.source_of(one).startswith(own)
    ]
    with ForkRunner(Limits(), 1) as runner:
        [(job, outcome)] = runner.run([Job("x", plan.make(notebook, lesson))])
    [split, *_] = assess.report(lesson, job.plan, outcome, "x.ipynb").exercises
    assert split.status is Status.NOT_RUN
    assert split.message.startswith("`bookshop_08/migrations/env.py` is not what this notebook")
    assert split.message.endswith(f"begins with `{own}`, further up, then check again.")


def test_an_async_engine_among_the_names_ends_nothing() -> None:
    """It has slots, where other engines have a dict to look into."""
    lesson = course.lesson("01")
    code = next(one.code for one in classroom.answers(lesson) if one.name == "an async engine")
    planned = plan.make(classroom.filled(lesson, {"01.engine": code}), lesson)
    with ForkRunner(LIMITS, 1) as runner:
        [(_, outcome)] = runner.run([Job("x", planned)])
    assert outcome.ended is Ended.WELL and len(outcome.observed) == 4


# -- two ways of running --------------------------------------------------------------------------
class Forgetful:
    """A runner that sees nothing."""

    def __enter__(self) -> Forgetful:
        return self

    def __exit__(self, *error: object) -> None: ...

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            yield job, Outcome()


def test_where_jupyter_says_otherwise_needs_a_look(handed_in: Path, tmp_path: Path) -> None:
    options = Options(place=handed_in, out=tmp_path, only="Ada")
    tally = grade.grade(options, shut_in, lambda tally: None, Forgetful)
    assert tally.compared == 1
    assert f"Ada, lesson 00: {HOURS} passed, in Jupyter not run." in tally.look
    assert tally.differing == len(tally.look)


def test_the_same_verdicts_do_not_differ() -> None:
    one, other = made_up(verdict()), made_up(verdict(Status.PASSED))
    assert grade.differences(one, one) == []
    assert len(grade.differences(one, other)) == 1


@pytest.mark.parametrize("lesson", course.catalogue(), ids=lambda lesson: str(lesson.name))
def test_forks_and_kernels_agree_on_the_courses_answers(lesson: course.Lesson) -> None:
    """On a sample that changes; on all of them where `CHECKS_EVERY_ANSWER` is set (ten minutes)."""
    notebooks = list(classroom.every_answer(lesson))
    if not os.environ.get("CHECKS_EVERY_ANSWER"):
        seed = random.randrange(10**6)
        print(f"The sample of {lesson.name} was drawn with seed {seed}.")
        notebooks = random.Random(seed).sample(notebooks, 2)
    jobs = [Job(str(n), plan.make(one, lesson)) for n, one in enumerate(notebooks)]
    limits = Limits(cell=60, total=300)
    with ForkRunner(limits, 1) as forks, KernelRunner(limits, 1) as kernels:
        here = {job.key: _verdicts(lesson, job, outcome) for job, outcome in forks.run(jobs)}
        there = {job.key: _verdicts(lesson, job, outcome) for job, outcome in kernels.run(jobs)}
    assert here == there


def _verdicts(
    lesson: course.Lesson, job: Job, outcome: Outcome
) -> list[tuple[str, Status, str | None]]:
    report = assess.report(lesson, job.plan, outcome, "x.ipynb")
    return [(one.exercise, one.status, one.mistake) for one in report.exercises]


# -- notebooks mauled at random -------------------------------------------------------------------
def _mauled(chance: random.Random) -> str:
    """A solved notebook after some accidents: cells gone, doubled, swapped, retyped, spoilt."""
    notebook: dict[str, Any] = classroom.filled(LESSON, RIGHT)
    cells: list[Any] = notebook["cells"]
    for _ in range(chance.randint(1, 8)):
        at, other = chance.randrange(len(cells)), chance.randrange(len(cells))
        match chance.randrange(8):
            case 0 if len(cells) > 1:
                del cells[at]
            case 1:
                cells.insert(other, json.loads(json.dumps(cells[at])))
            case 2:
                cells[at], cells[other] = cells[other], cells[at]
            case 3 if isinstance(cells[at], dict):
                cells[at]["cell_type"] = chance.choice(["code", "markdown", "raw", "no", 7])
            case 4 if isinstance(cells[at], dict):
                cells[at]["source"] = chance.choice(["1 +", "\x00", ["a", 1], None, 7, "x" * 10**5])
            case 5 if isinstance(cells[at], dict):
                cells[at].pop(chance.choice(["metadata", "source", "id", "outputs"]), None)
            case 6:
                cells[at] = chance.choice([None, 7, "cell", [], {}])
            case _:
                notebook["metadata"] = chance.choice([{}, None, {"course": 7}, {"course": {}}])
    text = json.dumps(notebook)
    return text[: chance.randrange(len(text))] if chance.random() < 0.1 else text


def test_every_mauled_notebook_gets_a_status(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"The notebooks were mauled with seed {seed}.")
    chance = random.Random(seed)
    for number in range(40):
        write(tmp_path / "in", f"learner {number:02}", _mauled(chance))
    run(tmp_path / "in", tmp_path / "out", lesson="00")
    found = graded(tmp_path / "out")
    assert len(found) == 40
    known = {one.value for one in Status}
    assert all(len(statuses(one)) == 2 and set(statuses(one)) <= known for one in found.values())
    assert not any("fault" in statuses(one) for one in found.values())
