"""The number by which a learning management system knows a learner again.

Both write it into the names that they give to what is downloaded. Only such a name counts: a
learner chooses what is within their own folder, and could otherwise choose whose grade it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from checks.grading.learners import cleaned

_MOODLE = re.compile(r"(?P<name>.*?)_(?P<id>\d{1,18})_assignsubmission_")
_CANVAS = re.compile(r"(?P<name>.+?)_(?:LATE_)?(?P<id>\d{1,18})_\d+_", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Identity:
    """A learner, as a system names them.

    Attributes:
        name: The name.
        number: The number.
    """

    name: str
    number: str


def moodle(learner: str, file: str) -> Identity | None:
    """The participant in `Jane Doe_1234_assignsubmission_file_/03.ipynb`, or None."""
    return _found(_MOODLE, learner, file)


def canvas(learner: str, file: str) -> Identity | None:
    """The user in `doejane_LATE_1234_5678_03.ipynb`, or None."""
    if moodle(learner, file):
        return None
    return _found(_CANVAS, learner, file)


def _found(pattern: re.Pattern[str], learner: str, file: str) -> Identity | None:
    """The first part of the path that is the learner's says it, if any does."""
    for part in file.split("/"):
        if part in (learner, f"{learner}.ipynb"):
            return None
        match = pattern.match(part)
        if match and _is(learner, match["name"], match["id"]):
            return Identity(cleaned(match["name"]), match["id"])
    return None


def _is(learner: str, name: str, number: str) -> bool:
    """Whether a label is this name's, alone or told apart by the number."""
    label = cleaned(name)
    return learner == label or learner.startswith((f"{label} ({number})", f"{label} ({number}, "))
