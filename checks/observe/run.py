"""Observing one exercise: look at what is there, try it in a lab, come back with evidence."""

from __future__ import annotations

import json
import random
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect

from checks import filecells
from checks.exercise import Exercise, Model, Placeholder
from checks.observe.evidence import Attempt, Observation, Trouble
from checks.observe.lab import Lab, LearnersError, trouble
from checks.observe.raised import is_learners
from checks.observe.snapshot import ObstacleError


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of an exercise's cell.

    Attributes:
        source: The cell's text.
        stopped: The exception that ended it, if one did.
        made: The names that it defined, or gave another value.
        defines: The names that its text defines, had it run to its end.
    """

    source: str
    stopped: Trouble | None
    made: Mapping[str, Any]
    defines: Collection[str]


def observe(
    exercise: type[Exercise],
    names: Mapping[str, Any],
    source: str | None,
    seed: int | None = None,
    run: CellRun | None = None,
) -> Observation:
    """The evidence of one exercise, from the learner's names as they are now.

    Args:
        exercise: The exercise.
        names: The learner's names, as in a notebook's globals.
        source: The exercise's cell as last run; None when none was found.
        seed: What to draw the random data from; a fresh one when None.
        run: What became of that cell, where somebody looked.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    observation = Observation(
        exercise=exercise.id, attempt=look(exercise, names, source, run), seed=seed
    )
    if not observation.attempt.complete:
        return observation
    started = time.perf_counter()
    try:
        with Lab(names, tuple(exercise.needs), seed) as lab:
            seen = exercise().observe(lab)
        observation.seen = json.loads(json.dumps(seen))
    except LearnersError as error:
        observation.trouble = error.trouble
    except ObstacleError as error:
        observation.obstacle = str(error)
    except Exception as error:
        if _passed_through_a_cell(error):
            observation.trouble = trouble(error)
        else:
            observation.fault = traceback.format_exc()
    observation.ms = round((time.perf_counter() - started) * 1000, 1)
    return observation


def look(
    exercise: type[Exercise],
    names: Mapping[str, Any],
    source: str | None,
    run: CellRun | None = None,
) -> Attempt:
    """Which of the needed names are there, and whether each is the kind of thing it should be."""
    attempt = Attempt(source=source)
    file = filecells.parse(source) if source else None
    if file and file.differs:
        attempt.edited = file.path
    if run is not None:
        made = [name for name in exercise.needs if name in run.made]
        attempt.stopped = run.stopped
        if run.stopped:
            cut = set(run.defines) - set(made)
            attempt.unmade = [name for name in exercise.needs if name in cut]
        attempt.stale = [name for name in made if names.get(name) is not run.made[name]]
    for name, kind in exercise.needs.items():
        if name not in names:
            attempt.missing.append(name)
            continue
        value = names[name]
        if value is ... or isinstance(value, Placeholder):
            attempt.unfilled.append(name)
        elif not _is_a(value, kind):
            attempt.wrong.append(f"`{name}` should be {_called(kind)}; {_what_it_is(value)}.")
    return attempt


def _is_a(value: Any, kind: Any) -> bool:
    if kind is Model:
        return isinstance(value, type) and inspect(value, raiseerr=False) is not None
    return isinstance(value, kind)


def _called(kind: Any) -> str:
    if kind is Model:
        return "a class mapped by SQLAlchemy"
    if kind is Callable:
        return "something to call, such as a function"
    if isinstance(kind, tuple):
        return " or ".join(_called(one) for one in kind)
    return _article(kind.__name__)


def _what_it_is(value: Any) -> str:
    if isinstance(value, type):
        return "this class is not"
    return f"it is {_article(type(value).__name__)}"


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _passed_through_a_cell(error: BaseException) -> bool:
    return any(is_learners(frame.filename) for frame in traceback.extract_tb(error.__traceback__))
