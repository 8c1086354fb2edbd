"""The judge: requirement first, diagnosis second; no evidence whatever makes it raise."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import course, filecells
from checks.authoring.rehearse import Rehearsal
from checks.exercise import Exercise, Seen, expect, mistake, requirement
from checks.judge import judge
from checks.observe.evidence import Attempt, Observation, Trouble
from checks.verdict import Status, Verdict

STARTER = "def shelf(n):\n    return TODO  # fill in\n"


class Shelf(Exercise):
    """A shelf holds every book, in order.

    Further paragraphs are for whoever reads the code.
    """

    id = "90.shelf"
    title = "The shelf"
    needs = {"shelf": object}
    hints = ("Count.", "Sort.")

    @requirement(1)
    def complete(self, seen: Seen) -> None:
        """Every book is there."""
        expect(
            len(seen["books"]) == 3,
            saw=f"There were {len(seen['books'])} books.",
            wanted="There should be 3.",
            why="Readers notice.",
        )

    @requirement(2)
    def in_order(self, seen: Seen) -> None:
        """They stand in order."""
        expect(seen["books"] == sorted(seen["books"]), saw="They were mixed.", wanted="Sort them.")

    @mistake(marks=("commit",))
    def backwards(self, seen: Seen) -> bool:
        """They stand backwards.
        Turn them round.
        """
        return bool(seen["books"] == sorted(seen["books"], reverse=True))

    @mistake()
    def anything(self, seen: Seen) -> bool:
        """Something else is wrong. Look again."""
        return bool(seen["broad"])


class Library(Shelf):
    """A library stands on its shelf and its door."""

    id = "90.library"
    after = ("90.shelf", "90.door")
    in_order, complete = requirement(2)(Shelf.in_order), requirement(1)(Shelf.complete)


def verdict(*books: Any, broad: bool = False, card: type[Exercise] = Shelf, **more: Any) -> Verdict:
    open_before = more.pop("open_before", ())
    source = more.pop("source", "def shelf(n):\n    return sorted(n)")
    fields: dict[str, Any] = {
        "attempt": Attempt(source=source),
        "seen": {"books": [*books], "broad": broad},
    }
    return judge(card, Observation(exercise=card.id, **(fields | more)), STARTER, open_before)


# -- requirement first, diagnosis second ----------------------------------------------------------
def test_what_behaves_rightly_passes_although_a_mistake_would_fit() -> None:
    passed = verdict(1, 2, 3, broad=True)
    assert (passed.status, passed.points, passed.max_points) == (Status.PASSED, 3, 3)
    assert (passed.mistake, passed.message) == (None, "A shelf holds every book, in order.")


def test_the_first_mistake_that_fits_is_named() -> None:
    failed = verdict(3, 2, 1, broad=True)
    assert (failed.status, failed.mistake) == (Status.FAILED, "backwards")
    assert failed.message == "They stand backwards. Turn them round."
    assert failed.marks == ["commit"]
    assert verdict(2, 3, 1, broad=True).mistake == "anything"


def test_where_none_fits_the_requirements_own_message_stands_with_partial_points() -> None:
    failed = verdict(2, 3, 1)
    assert (failed.status, failed.points, failed.max_points) == (Status.FAILED, 1, 3)
    assert (failed.mistake, failed.message) == (None, "They were mixed. Sort them.")
    assert [(one.name, one.met, one.points) for one in failed.findings] == [
        ("complete", True, 1),
        ("in_order", False, 0),
    ]
    short = verdict(1, 2)
    assert (short.points, short.message) == (2, "There were 2 books. There should be 3.")
    assert short.findings[0].why == "Readers notice."


def test_judging_code_that_raises_is_our_fault() -> None:
    for broken in (verdict(1, "two", 3), verdict(2, 3, 1, seen={"books": [2, 3, 1]})):
        assert broken.status is Status.FAULT
        assert broken.message.startswith("This check broke, not your code. Nothing is held against")
        assert broken.evidence and "Traceback" in (broken.evidence.fault or "")
    fault = verdict(1, 2, 3, fault="Traceback ...")  # observing it broke
    assert (fault.status, fault.points) == (Status.FAULT, 0)


def test_an_obstacle_is_said_as_it_is() -> None:
    told = verdict(obstacle="Your database is locked. Close your session.")
    assert (told.status, told.message) == (
        Status.NOT_RUN,
        "Your database is locked. Close your session.",
    )


# -- what an exercise stands on -------------------------------------------------------------------
def test_the_first_exercise_that_is_still_open_is_named_instead_of_its_consequences() -> None:
    told = verdict(3, 2, 1, card=Library, open_before=["90.shelf", "90.door"])
    assert told.status is Status.NOT_RUN
    assert told.message == (
        'This one stands on 90.shelf, which has not passed yet. Get check("90.shelf") green first, '
        "then check again."
    )
    raised = verdict(trouble=Trouble(type="KeyError", message="x"), open_before=["90.shelf"])
    assert raised.status is Status.NOT_RUN


def test_what_passes_passes_whatever_is_open_before_it() -> None:
    assert verdict(1, 2, 3, card=Library, open_before=["90.shelf"]).status is Status.PASSED


# -- nothing to judge -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "says"),
    [
        (STARTER, "The cell is as it came"),
        ("# exercise: 90.shelf\n\ndef shelf( n ):\n  return (TODO)\n", "The cell is as it came"),
        ("def shelf(n):\n    # hm\n    return TODO", "The cell is as it came"),
        ("def shelf(n):\n\n    return TODO + 1", "There is still a TODO on line 3 of your cell."),
        ("x = TODO\ny = TODO", "There is still a TODO on lines 1, 2 of your cell."),
    ],
)
def test_a_cell_as_it_came_or_with_a_placeholder_is_not_attempted(source: str, says: str) -> None:
    told = verdict(source=source)
    assert (told.status, told.points) == (Status.NOT_ATTEMPTED, 0)
    assert told.message.startswith(says)


def test_a_todo_in_words_is_no_placeholder() -> None:
    assert verdict(1, 2, 3, source="# TODO: sleep\nx = 'TODO'").status is Status.PASSED


@pytest.mark.parametrize(
    ("attempt", "status", "says"),
    [
        (
            Attempt(missing=["shelf"]),
            Status.NOT_ATTEMPTED,
            "The exercise's cell has not been run: it begins with `# exercise: 90.shelf`.",
        ),
        (Attempt(source="x", unfilled=["shelf"]), Status.NOT_ATTEMPTED, "`shelf` is still a plac"),
        (
            Attempt(source="x = 1", missing=["shelf", "door"]),
            Status.FAILED,
            "`shelf`, `door` are not defined after your cell ran. If the cell ended in an error,",
        ),
        (
            Attempt(source="x = 1", wrong=["`shelf` should be a list; it is an int."]),
            Status.FAILED,
            "`shelf` should be a list; it is an int. Change it, run the cell, check again.",
        ),
        (
            Attempt(source="x = (", missing=["shelf"]),
            Status.FAILED,
            "Python cannot read your cell: '(' was never closed, line 1. Mend that line",
        ),
        (
            Attempt(source="x\0", missing=["shelf"]),
            Status.FAILED,
            "Python cannot read your cell: source code string cannot contain null bytes",
        ),
        (
            Attempt(source="-" * 100_000 + "1", missing=["shelf"]),
            Status.FAILED,
            "Your cell is nested too deeply for Python.",
        ),
    ],
)
def test_names_that_cannot_be_used(attempt: Attempt, status: Status, says: str) -> None:
    told = verdict(attempt=attempt)
    assert told.status is status
    assert told.message.startswith(says), told.message


def test_names_of_another_cell_are_no_attempt_unless_they_do_the_job() -> None:
    assert verdict(2, 3, 1, source=None).status is Status.NOT_ATTEMPTED
    assert verdict(1, 2, 3, source=None).status is Status.PASSED


def test_the_learners_exception_is_told_with_its_line() -> None:
    trouble = Trouble(type="KeyError", message="'title'", where="line 3: book['title']")
    told = verdict(trouble=trouble)
    assert told.status is Status.FAILED
    assert told.message == (
        "Your code raised KeyError: 'title' at line 3: book['title']. Mend that, run the cell, and "
        "check again."
    )


# -- any evidence at all --------------------------------------------------------------------------
ENTRIES = [entry for lesson in course.catalogue() for entry in lesson.exercises]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@cache
def genuine(exercise: str) -> Observation:
    """What the course's own solution gives to see."""
    entry = course.find(exercise)
    cards = {one.id: one.card for one in entry.lesson.exercises}
    passed = Rehearsal(entry.lesson.master, cards).verdict(exercise, entry.solution, seed=1)
    assert passed.status is Status.PASSED and passed.evidence
    return passed.evidence


@given(data=st.data())
def test_invented_evidence_never_passes_and_never_raises(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(ENTRIES))
    steps = st.sampled_from(sorted(genuine(entry.id).seen)) | st.text(max_size=8)
    file = filecells.parse(entry.starter)
    first_line = filecells.magic(file.path) if file else ""
    observed = Observation(
        exercise=entry.id,
        attempt=Attempt(source=first_line + data.draw(st.text(max_size=30) | st.just("x = 1"))),
        seen=data.draw(st.dictionaries(steps, ANY_JSON, max_size=6)),
    )
    told = judge(entry.card, observed, entry.starter)
    assert told.status in (Status.FAILED, Status.FAULT)
    assert told.points < told.max_points or not entry.lesson.graded
    assert Verdict.model_validate_json(told.model_dump_json()).message == told.message


@given(data=st.data())
def test_tampered_evidence_never_raises(data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(ENTRIES))
    observed = copy.deepcopy(genuine(entry.id))
    holder: Any = observed.seen
    while True:
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = data.draw(st.sampled_from(keys))
        if not holder[key] or not isinstance(holder[key], dict | list) or data.draw(st.booleans()):
            break
        holder = holder[key]
    holder[key] = data.draw(ANY_JSON)
    told = judge(entry.card, observed, entry.starter)
    assert told.status in (Status.PASSED, Status.FAILED, Status.FAULT)
    assert 0 <= told.points <= told.max_points
