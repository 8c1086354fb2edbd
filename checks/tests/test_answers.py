"""Every exercise against the answers that prove it, right and wrong."""

from __future__ import annotations

from functools import cache
from importlib import import_module

import pytest

from checks import course
from checks.answers import Answer
from checks.authoring.rehearse import Rehearsal
from checks.course import ExerciseEntry
from checks.verdict import Status

# Wrong answers leak sessions, forget `await` and leave connections to a loop that has ended.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The garbage collector is trying:sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

ENTRIES = [entry for lesson in course.catalogue() for entry in lesson.exercises]


def answers(lesson: course.Lesson) -> tuple[Answer, ...]:
    found: tuple[Answer, ...] = import_module(f"checks.answers.lesson_{lesson.name}").ANSWERS
    return found


@cache
def rehearsal(lesson: str) -> Rehearsal:
    found = course.lesson(lesson)
    return Rehearsal(found.master, {entry.id: entry.card for entry in found.exercises})


ALL = [
    pytest.param(answer, id=f"{answer.exercise}: {answer.name}")
    for lesson in course.catalogue()
    for answer in answers(lesson)
]
EACH = pytest.mark.parametrize("entry", ENTRIES, ids=[entry.id for entry in ENTRIES])


@pytest.mark.parametrize("answer", ALL)
def test_each_answer_gets_its_verdict(answer: Answer) -> None:
    verdict = rehearsal(answer.exercise.partition(".")[0]).verdict(answer.exercise, answer.code)
    assert (verdict.status, verdict.mistake) == (answer.status, answer.mistake), verdict.message


@EACH
def test_the_solution_passes_and_the_starter_is_not_attempted(entry: ExerciseEntry) -> None:
    tried = rehearsal(entry.lesson.number)
    solved = tried.verdict(entry.id, tried.solution(entry.id))
    assert solved.status is Status.PASSED, solved.message
    assert solved.points == solved.max_points
    shipped = tried.verdict(entry.id, tried.starter(entry.id))
    assert shipped.status is Status.NOT_ATTEMPTED, shipped.message


@EACH
def test_what_the_learner_reads_is_there(entry: ExerciseEntry) -> None:
    card = entry.card
    assert 2 <= len(card.hints) <= 3
    texts = [card.statement(), card.title, *card.hints]
    texts += [one.text for one in card.requirements()]
    texts += [one.message for one in card.mistakes()]
    assert all(texts)
    graded = course.find(card.id).lesson.graded
    assert all((one.points > 0) is graded for one in card.requirements())


@EACH
def test_there_are_enough_answers_and_every_mistake_is_proven(entry: ExerciseEntry) -> None:
    own = [one for one in answers(entry.lesson) if one.exercise == entry.id]
    wrong = [one for one in own if one.status is not Status.PASSED]
    assert len(own) - len(wrong) >= 2, "at least two right answers"
    assert len(wrong) >= 4, "at least four wrong answers"
    named = {one.name for one in entry.card.mistakes()}
    proven = {one.mistake for one in wrong if one.mistake}
    assert proven <= named, f"no such mistake: {proven - named}"
    assert named <= proven, f"no answer proves {named - proven}"


@pytest.mark.parametrize(
    "entry", [pytest.param(one, id=one.id) for one in ENTRIES if not one.lesson.graded]
)
def test_each_fault_of_a_project_shows_by_itself(entry: ExerciseEntry) -> None:
    tried = rehearsal(entry.lesson.number)
    verdicts = [
        tried.verdict(entry.id, one.code)
        for one in answers(entry.lesson)
        if one.exercise == entry.id and one.status is Status.FAILED
    ]
    open_alone = {
        left[0] for one in verdicts if len(left := [f.name for f in one.findings if not f.met]) == 1
    }
    assert open_alone == {one.name for one in entry.card.requirements()}
