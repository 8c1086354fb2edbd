"""A made-up class: notebooks filled with right and wrong answers, as learners hand them in."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import cycle
from pathlib import Path
from typing import Any

from checks import blocks, course
from checks.answers import Answer
from checks.verdict import Status


def answers(lesson: course.Lesson) -> tuple[Answer, ...]:
    """Every answer that is kept for a lesson."""
    found: tuple[Answer, ...] = import_module(f"checks.answers.lesson_{lesson.name}").ANSWERS
    return found


def filled(lesson: course.Lesson, code: Mapping[str, str]) -> dict[str, Any]:
    """A lesson's notebook as shipped, with the text of some exercises' cells replaced."""
    notebook: dict[str, Any] = json.loads(lesson.lesson_notebook.read_bytes())
    for cell in notebook["cells"]:
        identity = cell["metadata"].get("course", {})
        if identity.get("role") == "exercise" and identity["exercise"] in code:
            exercise = identity["exercise"]
            cell["source"] = blocks.marked(exercise, code[exercise])
    return notebook


def every_answer(lesson: course.Lesson) -> Iterator[dict[str, Any]]:
    """Notebooks that together hold every answer, each as many as it can, and what they stand on."""
    by_exercise = {
        entry.id: [one.code for one in answers(lesson) if one.exercise == entry.id]
        for entry in lesson.exercises
    }
    most = max(map(len, by_exercise.values()))
    turns = {exercise: cycle(code) for exercise, code in by_exercise.items()}
    for _ in range(most):
        notebook = filled(lesson, {exercise: next(turn) for exercise, turn in turns.items()})
        notebook["cells"] = [one for one in notebook["cells"] if _stood_on(one)]
        yield notebook


def _stood_on(cell: Mapping[str, Any]) -> bool:
    metadata = cell["metadata"]
    role = metadata.get("course", {}).get("role")
    return role in ("exercise", "check") or "setup" in metadata.get("tags", ())


def hand_in(folder: Path, learners: int, lessons: list[course.Lesson], seed: int) -> None:
    """Fill a folder with the submissions of a class that is right more often than not."""
    chance = random.Random(seed)
    for number in range(learners):
        place = folder / f"learner {number:03}"
        place.mkdir(parents=True, exist_ok=True)
        for lesson in lessons:
            code = {}
            for entry in lesson.exercises:
                own = [one for one in answers(lesson) if one.exercise == entry.id]
                good = [one for one in own if one.status is Status.PASSED]
                if chance.random() < 0.9:  # the others did not get to it
                    code[entry.id] = chance.choice(good if chance.random() < 0.6 else own).code
            path = place / f"{lesson.name}.ipynb"
            path.write_text(json.dumps(filled(lesson, code)), encoding="utf-8")
