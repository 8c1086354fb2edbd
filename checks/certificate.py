"""The certificate: what was passed and when, with a checksum over it.

What a checksum can say, and what not: it tells whether the text is still the one that was made,
so a changed name, a mistyped date or a lost line shows. Verifying then compares each line with a
journal. Neither proves who did the work, since anybody can compute a checksum and keep a journal;
whoever needs that grades the notebooks themselves with `checks grade`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from checks import course
from checks.errors import CourseError
from checks.journal import Standing
from checks.verdict import Status

NOBODY = "A reader of Dog-Eared"

_TITLE = "Dog-Eared: SQLAlchemy in FastAPI. Certificate"
_FORM = "dog-eared certificate 1"  # a new number when what is hashed changes
_LONGEST_NAME = 100  # characters
_LINE = re.compile(
    rf"^ *(?P<exercise>{course.EXERCISE}) +(?P<points>\d+(?:\.\d+)?) points? +"
    r"passed (?P<at>\S+) *$",
    re.MULTILINE | re.ASCII,
)
_NAME = re.compile(r"^ *Name: *(?P<name>.*?) *$", re.MULTILINE)
_SUM = re.compile(r"^ *Checksum: *(?P<sum>[0-9a-f]{64}) *$", re.MULTILINE)


class CertificateError(CourseError):
    """No certificate, or none that can be read, as a sentence."""


@dataclass(frozen=True, slots=True)
class Passed:
    """One exercise that was passed.

    Attributes:
        exercise: Its id.
        points: What it earned.
        at: When it first passed, ISO 8601 in UTC, to the second.
    """

    exercise: str
    points: float
    at: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who passed what."""

    name: str
    passed: Sequence[Passed]

    @property
    def checksum(self) -> str:
        """SHA-256, as hexadecimal digits, of name and exercises in this order."""
        lines = [_FORM, self.name]
        lines += [f"{one.exercise} {one.points:g} {one.at}" for one in self.passed]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def text(self) -> str:
        """The certificate as one reads, keeps and sends it."""
        total = sum(one.points for one in self.passed)
        width = max((len(one.exercise) for one in self.passed), default=0)
        lines = [
            _TITLE,
            "",
            f"Name: {self.name}",
            f"Passed: {len(self.passed)} exercises, {total:g} points, "
            f"the last of them on {max(one.at for one in self.passed)[:10]}",
            "",
            *(
                f"  {one.exercise:{width}}  {one.points:g} points  passed {one.at}"
                for one in self.passed
            ),
            "",
            f"Checksum: {self.checksum}",
            "It tells whether this text is as it was made, not who did the work.",
            "Verify it with: checks certificate --verify FILE",
        ]
        return "\n".join(lines)


def award(name: str, standings: Mapping[str, Standing]) -> Certificate:
    """The certificate of whoever has passed every exercise of the course, projects aside.

    Args:
        name: Whom to name.
        standings: How far they have come, by exercise.

    Raises:
        CertificateError: an exercise is still open, or nobody can be called that.
    """
    graded = [lesson for lesson in course.catalogue() if lesson.graded]
    entries = [entry for lesson in graded for entry in lesson.exercises]
    passed = [
        Passed(entry.id, found.points, moment(found.passed_at))
        for entry in entries
        if (found := standings.get(entry.id)) and found.status is Status.PASSED and found.passed_at
    ]
    if missing := [entry.id for entry in entries if entry.id not in {p.exercise for p in passed}]:
        named = ", ".join(missing[:3]) + (" and more" if len(missing) > 3 else "")
        raise CertificateError(
            f"Not yet: {len(passed)} of {len(entries)} exercises have passed. Go on with {named}."
        )
    return Certificate(plain_name(name), passed)


def plain_name(name: str) -> str:
    """A name on one line, composed and trimmed, as the checksum sees it.

    Raises:
        CertificateError: nothing is left of it, or too much.
    """
    printable = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in name)
    made = unicodedata.normalize("NFC", " ".join(printable.split()))
    if not made or len(made) > _LONGEST_NAME:
        raise CertificateError(f"A name has 1 to {_LONGEST_NAME} characters; give another one.")
    return made


def moment(at: str) -> str:
    """A time as the certificate gives it: `2026-11-25T09:30:00Z`."""
    found = datetime.fromisoformat(at)
    known = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return known.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> Certificate:
    """The certificate that a text holds, whose checksum is right.

    Raises:
        CertificateError: it holds none, or it is not as it was made.
    """
    text = text.replace("\r\n", "\n")
    name, checksum = _NAME.search(text), _SUM.search(text)
    lines = list(_LINE.finditer(text))
    if name is None or checksum is None or not lines:
        raise CertificateError(
            "That is no certificate of this course: it needs the lines `Name:`, one for each "
            "exercise, and `Checksum:`. Give the whole text, as `checks certificate` prints it."
        )
    found = Certificate(
        unicodedata.normalize("NFC", name["name"]),
        [Passed(one["exercise"], float(one["points"]), one["at"]) for one in lines],
    )
    if found.checksum != checksum["sum"]:
        raise CertificateError(
            "The checksum does not fit: name, exercises, points or times are not as they were when "
            "it was made. Ask for the original."
        )
    return found


def differences(certificate: Certificate, standings: Mapping[str, Standing]) -> list[str]:
    """Where a certificate says otherwise than a journal, a sentence each."""
    found = []
    for one in certificate.passed:
        kept = standings.get(one.exercise)
        if kept is None or kept.passed_at is None:
            found.append(f"{one.exercise}: the journal knows of no pass.")
        elif (at := moment(kept.passed_at)) != one.at:
            found.append(f"{one.exercise}: the journal has the first pass at {at}, not {one.at}.")
        elif kept.points != one.points:
            found.append(
                f"{one.exercise}: the journal has {kept.points:g} points, not {one.points:g}."
            )
    return found
