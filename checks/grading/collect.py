"""Folders and zips of submissions, as they arrive, to one notebook for each learner and lesson."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks import course
from checks.errors import CourseError
from checks.grading import read
from checks.grading.files import (
    Allowance,
    BombError,
    FileError,
    Found,
    LargeError,
    Source,
    Trouble,
    found,
    shown,
)
from checks.grading.learners import Layout, Owner, labels

_NOTEBOOK = re.compile(r"(?P<stem>.*)\.ipynb(?:\.(?:txt|json))?", re.IGNORECASE | re.DOTALL)
_NAMED = 3  # files that one line names
_LINES = 10  # about one learner
_NBGRADERS = "timestamp.txt"


@dataclass(frozen=True)
class Submission:
    """One learner's file for one lesson.

    Attributes:
        learner: Whose it is, as the gradebook shows it.
        lesson: The lesson's number: `03`.
        file: Where it lay among the submissions; never a path of this machine.
        digest: The SHA-256 of its bytes; of a file that is too large to be read, of its size.
        trouble: Why it is no readable notebook, for the learner; empty when it is one.
        notes: Sentences on how it came in, such as a second copy that was not graded.
        source: Where its bytes are; of this machine, so not to be shown.
    """

    learner: str
    lesson: str
    file: str
    digest: str
    trouble: str
    notes: tuple[str, ...]
    source: Source = field(repr=False)

    def read(self) -> dict[str, Any]:
        """The notebook as nbformat 4 JSON, read again from where it lies.

        Raises:
            CourseError: it is gone, or not what it was, or was never readable.
        """
        if self.trouble:
            raise read.UnreadableError(self.trouble)
        try:
            data = self.source.read(read.LARGEST)
        except FileError as error:
            raise CourseError(f"{self.file} {error}") from error
        if _digest(data) != self.digest:
            raise CourseError(f"{self.file} changed while it was graded. Grade it again.")
        return read.notebook(data)


@dataclass(frozen=True)
class Collected:
    """What came in.

    Attributes:
        submissions: By learner and lesson, in that order; one of each.
        notices: What else there was, a line each.
    """

    submissions: tuple[Submission, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A notebook file that has been looked at."""

    file: Found
    owner: Owner
    lesson: str | None
    sure: bool  # the file itself says which lesson it is
    digest: str
    trouble: str
    solved: bool  # it lies where the course keeps its solutions


class _Notices:
    """Lines for the instructor, of which nobody's files can make too many."""

    def __init__(self) -> None:
        self._about: dict[str, list[str]] = {}

    def add(self, about: str, line: str) -> None:
        self._about.setdefault(about, []).append(line)

    def lines(self) -> Iterator[str]:
        for about, lines in self._about.items():
            most = _LINES if about else len(lines)
            yield from lines[:most]
            if len(lines) > most:
                yield f"{len(lines) - most} more lines like these about {shown(about)}."


def collect(place: Path, lesson: str | None = None) -> Collected:
    """The submissions in a folder, in a zip, or in one notebook.

    Args:
        place: What the instructor points at.
        lesson: The one lesson to be graded, where it is only one.

    Raises:
        CourseError: nothing at all can be read there, or there is no such lesson.
    """
    wanted = course.lesson(lesson).number if lesson is not None else None
    allowance = Allowance()
    files, troubles = _files(place, allowance)
    notebooks = [one for one in files if _NOTEBOOK.fullmatch(one.parts[-1])]
    others = [one for one in files if not _NOTEBOOK.fullmatch(one.parts[-1])]
    if not files and not troubles:
        raise CourseError(f"{place} is empty. Name the folder or zip that holds the submissions.")
    layout = Layout((one.parts for one in notebooks), _top(place))
    notices = _Notices()
    for line in layout.notices:
        notices.add("", line)
    for trouble in troubles:
        owner = layout.owner(trouble.parts)
        notices.add(owner.name if owner else "", str(trouble))
    if beside := [one for one in notebooks if layout.owner(one.parts) is None]:
        notices.add(
            "",
            f"Only {shown('/'.join(layout.base))} was read, as nbgrader lays courses out; "
            f"{_listed(beside)} beside it {'was' if len(beside) == 1 else 'were'} not.",
        )
    looked_at = list(_look(notebooks, layout, wanted, allowance, notices))
    submissions = _sorted_out(looked_at, wanted, notices)
    _leave_out(others, layout, notices)
    return Collected(submissions, tuple(notices.lines()))


def _top(place: Path) -> str:
    try:
        whole = place.resolve()
    except (OSError, RuntimeError):
        whole = place
    name = whole.name if place.is_dir() or place.suffix.lower() == ".zip" else whole.parent.name
    return name or "submissions"


def _files(place: Path, allowance: Allowance) -> tuple[list[Found], list[Trouble]]:
    """What is there.

    Raises:
        CourseError: nothing that could be read.
    """
    try:
        facts = place.stat()
        if _NOTEBOOK.fullmatch(place.name) and place.is_file():
            # A link is what the instructor named here, not what a learner left there.
            alone = Source(place.resolve())
            return [Found((place.name,), alone, facts.st_size, facts.st_mtime)], []
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no such name"
        raise CourseError(f"{place} cannot be read ({why}). Check the name.") from error
    if not place.is_dir() and place.suffix.lower() != ".zip":
        raise CourseError(
            f"{place} is no folder, zip or notebook. Name what holds the submissions."
        )
    files: list[Found] = []
    troubles: list[Trouble] = []
    try:
        for one in found(place.resolve(), allowance):
            if isinstance(one, Found):
                files.append(one)
            elif not one.parts:
                raise CourseError(f"{place} {one.why}")
            else:
                troubles.append(one)
    except FileError as error:
        raise CourseError(f"{place} {error}") from error
    return files, troubles


def _look(
    notebooks: Iterable[Found],
    layout: Layout,
    wanted: str | None,
    allowance: Allowance,
    notices: _Notices,
) -> Iterator[_Read]:
    """Each notebook read once, and let go again."""
    for file in notebooks:
        owner = layout.owner(file.parts)
        if owner is None:
            continue
        notebook, digest, trouble = None, _digest(f"{file.size} bytes".encode()), ""
        try:
            if file.size > read.LARGEST:
                raise read.too_large(file.size)
            allowance.take(file.source, file.size)
            data = file.source.read(read.LARGEST)
            digest = _digest(data)
            notebook = read.notebook(data)
        except LargeError:
            trouble = str(read.too_large(max(file.size, read.LARGEST)))
        except FileError as error:
            trouble = f"The file {error}"
            if isinstance(error, BombError):
                notices.add(owner.name, f"{file.shown} {error}")
        except read.UnreadableError as error:
            trouble = str(error)
        lesson, sure = _lesson(notebook, file, owner, layout), True
        if lesson is None and trouble:
            lesson, sure = wanted, False
        if lesson is None:
            notices.add(
                owner.name,
                f"{file.shown} is of no lesson: "
                + (trouble or "no cell of it is marked, and its name says no lesson's number."),
            )
            continue
        solved = "solutions" in file.parts[len(owner.download) :]
        yield _Read(file, owner, lesson, sure, digest, trouble, solved)


def _lesson(
    notebook: dict[str, Any] | None, file: Found, owner: Owner, layout: Layout
) -> str | None:
    """Which lesson: by the notebook, else by its name, else by its folders' names."""
    lesson = course.lesson_of_notebook(notebook, "")
    if lesson is not None:
        return lesson.number
    at = len(owner.download)
    own = (
        [owner.file, *file.parts[at + 1 :]] if owner.id else file.parts[at + 1 :] or file.parts[at:]
    )
    names = [_lesson_in(one) for one in reversed(own)]
    # A learner may be called 03; the folder of a class or a zip says a lesson's whole name.
    names += [_lesson_in(one, whole=True) for one in reversed(file.parts[: at + 1])]
    names.append(_lesson_in(layout.top, whole=True))
    return next((one for one in names if one), None)


def _lesson_in(name: str, whole: bool = False) -> str | None:
    """The lesson that a name says anywhere, or begins with the number of."""
    plain = name.lower().replace("-", "_")
    # A project's number begins with a lesson's, so it is looked for before that one.
    for lesson in sorted(course.catalogue(), key=lambda one: len(one.number), reverse=True):
        place = plain.find(lesson.name)
        if place >= 0 and not plain[max(0, place - 1) : place].isalnum():
            return lesson.number
        end = r"(?!\d)" if lesson.graded else r"(?![^\W_])"
        if not whole and re.match(lesson.number + end, plain):
            return lesson.number
    return None


def _sorted_out(
    looked_at: Sequence[_Read], wanted: str | None, notices: _Notices
) -> tuple[Submission, ...]:
    called = labels((one.owner, one.lesson) for one in looked_at if not one.solved)
    named = [
        (called.get((one.owner.name, one.owner.key), one.owner.name), one) for one in looked_at
    ]
    busy = {learner for learner, one in named if not one.solved}
    copies: dict[tuple[str, str], list[_Read]] = {}
    of_others: list[Found] = []
    for learner, one in named:
        if one.solved:
            if learner not in busy:
                notices.add(
                    learner,
                    f"{one.file.shown} lies in a folder of solutions and was left out, and nothing "
                    f"else came from {shown(learner)}. Ask for their own work.",
                )
        elif wanted is not None and one.lesson != wanted:
            of_others.append(one.file)
        else:
            copies.setdefault((learner, str(one.lesson)), []).append(one)
    if of_others:
        verb = "is of another lesson" if len(of_others) == 1 else "are of other lessons"
        notices.add("", f"{_listed(of_others)} {verb} than {wanted} and left out.")
    by_name: dict[str, set[str]] = {}
    for (name, _), label in called.items():
        by_name.setdefault(name, set()).add(label)
    for name, several in by_name.items():
        if len(several) > 1:
            notices.add(
                "",
                f"{shown(name)} is what {len(several)} learners are called; they are told apart as "
                f"{', '.join(sorted(map(shown, several))[:_NAMED])}. See that each is right.",
            )
    return tuple(
        _chosen(learner, lesson, of_one) for (learner, lesson), of_one in sorted(copies.items())
    )


def _chosen(learner: str, lesson: str, copies: list[_Read]) -> Submission:
    """The copy that is graded: the last saved of those that can be."""
    own = course.lesson(lesson).name
    order: tuple[tuple[Callable[[_Read], Any], str], ...] = (
        (lambda one: bool(one.trouble), "this one can be read"),
        (lambda one: not one.sure, "this one says that it is of this lesson"),
        (lambda one: -one.file.saved, "this one was saved later"),
        (lambda one: -one.owner.upload, "this one was handed in later"),
        (lambda one: _own_name(one) != own, "this one has the lesson's own name"),
        (
            lambda one: len(one.file.shown),
            "both were saved at one time, this one's name is shorter",
        ),
        (lambda one: one.file.parts, "both were saved at one time, this one's name comes first"),
        (lambda one: [-at for at in one.file.source.members], "this one stands last in the zip"),
    )
    best, *rest = sorted(copies, key=lambda one: [by(one) for by, _ in order])
    notes = []
    if best.owner.late:
        notes.append("Canvas marked it as late.")
    for other in rest[:_NAMED]:
        why = next((said for by, said in order if by(best) != by(other)), "it is the same file")
        same = "A" if best.trouble or other.digest != best.digest else "An identical"
        notes.append(f"{same} second copy, {other.file.shown}, was not graded: {why}.")
    if len(rest) > _NAMED:
        notes.append(f"{len(rest) - _NAMED} more copies were not graded either.")
    return Submission(
        learner=learner,
        lesson=lesson,
        file=best.file.shown,
        digest=best.digest,
        trouble=best.trouble,
        notes=tuple(notes),
        source=best.file.source,
    )


def _own_name(one: _Read) -> str:
    match = _NOTEBOOK.fullmatch(one.owner.file or one.file.parts[-1])
    return match["stem"] if match else one.file.parts[-1]


def _leave_out(others: Iterable[Found], layout: Layout, notices: _Notices) -> None:
    """A line for each learner whose files are not all notebooks or what those have written."""
    written = {"solutions"}.union(*(lesson.folders for lesson in course.catalogue()))
    by_owner: dict[str, list[Found]] = {}
    for file in others:
        owner = layout.owner(file.parts)
        if owner and file.parts[-1] != _NBGRADERS and not written & set(file.parts):
            by_owner.setdefault(owner.name, []).append(file)
    for name, files in by_owner.items():
        verb = "is no notebook" if len(files) == 1 else "are no notebooks"
        line = f"{_listed(files)} {verb}. Only notebooks and zips of them are graded."
        notices.add(name, line)


def _listed(files: Sequence[Found]) -> str:
    names = [one.shown for one in files[:_NAMED]]
    if len(files) > _NAMED:
        names.append(f"{len(files) - _NAMED} more")
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
