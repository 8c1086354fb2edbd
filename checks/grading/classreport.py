"""The class at a glance: one page for whoever teaches it, made in one pass over all submissions."""

from __future__ import annotations

import difflib
import html
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from math import log10
from pathlib import Path, PurePosixPath

from checks import charts, course, show
from checks.errors import CourseError
from checks.grading import page, similar
from checks.grading.graded import Graded
from checks.grading.outcome import Ended
from checks.verdict import Status, Verdict
from checks.words import counted

NAME = "report.html"

_MOST_TOLD = 500  # items of one kind that want a look
_MOST_OPEN = 5  # of them before the rest is folded
_MOST_WHERE = 40  # links of one mistake
_MOST_ALIKE = 100  # groups of similar answers
_MOST_LINES = 120  # lines of an answer shown
_LONGEST_LINE = 200  # characters
_GROUP = 250  # learners of the list before it is folded into groups

_ATTEMPTED = (Status.PASSED, Status.FAILED, Status.TIMED_OUT, Status.DIED, Status.FAULT)
_KINDS = [charts.Kind(status.value, status.words) for status in Status]

_RUN_TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)  # seconds, the upper ends of the columns


def write(graded: Iterable[Graded], notices: Sequence[str], out: Path) -> Path:
    """Write the report of a class to `report.html`; whole, or not at all.

    Each submission is counted and let go: of its evidence nothing is kept.

    Args:
        graded: Every submission, once.
        notices: Sentences on what came in and could not be graded.
        out: Where the folder `feedback` lies too: the report links into it.

    Returns:
        Where it lies.

    Raises:
        OSError: it cannot be written.
    """
    with similar.Comparison() as answers:
        seen = _Class()
        for one in graded:
            seen.add(one)
            _compare_later(answers, one)
        groups = answers.alike()
    with page.writing(out / NAME) as file:
        for part in _page(seen, notices, groups):
            file.write(part)
    return out / NAME


# -- counting -------------------------------------------------------------------------------------
@dataclass(slots=True)
class _Requirement:
    text: str
    met: int = 0


@dataclass(slots=True)
class _Exercise:
    title: str
    statuses: Counter[Status] = field(default_factory=Counter)
    requirements: dict[str, _Requirement] = field(default_factory=dict)


@dataclass(slots=True)
class _Mistake:
    """One way to fail: a named mistake, or a requirement that nobody's mistake explains."""

    title: str
    message: str
    named: bool
    count: int = 0
    where: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Lesson:
    points: Counter[float] = field(default_factory=Counter)
    most: float = 0
    exercises: dict[str, _Exercise] = field(default_factory=dict)
    stops: Counter[str] = field(default_factory=Counter)
    all_passed: int = 0
    mistakes: dict[tuple[str, str], _Mistake] = field(default_factory=dict)
    seconds: array[float] = field(default_factory=lambda: array("f"))
    ended: Counter[Ended] = field(default_factory=Counter)

    @property
    def submissions(self) -> int:
        return self.points.total()


@dataclass(slots=True)
class _Looks:
    """What of one kind wants a human's look: as many as a page can tell, and how many there are."""

    count: int = 0
    told: list[tuple[str, str, str]] = field(default_factory=list)  # learner, lesson, sentence

    def add(self, learner: str, lesson: str, sentence: str) -> None:
        self.count += 1
        if len(self.told) < _MOST_TOLD:
            self.told.append((learner, lesson, page.clean(sentence, 400)))


@dataclass(frozen=True, slots=True)
class _Mark:
    """A learner's lesson in the list of learners."""

    points: float
    most: float
    statuses: tuple[Status, ...]
    look: bool


class _Class:
    """The whole class in numbers."""

    def __init__(self) -> None:
        self.lessons: dict[str, _Lesson] = {}
        self.learners: dict[str, dict[str, _Mark]] = {}
        self.signs, self.ended, self.unreadable, self.notes = (_Looks() for _ in range(4))
        self.faults: dict[str, _Looks] = {}
        self.submissions = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, one: Graded) -> None:
        self.submissions += 1
        self.first = min(self.first or one.graded_at, one.graded_at)
        self.last = max(self.last or one.graded_at, one.graded_at)
        lesson = self.lessons.setdefault(one.lesson, _Lesson())
        report = one.report
        lesson.points[report.points] += 1
        lesson.most = max(lesson.most, report.max_points)
        lesson.all_passed += all(v.status is Status.PASSED for v in report.exercises)
        lesson.ended[one.ended] += 1
        unreadable = any(v.status is Status.UNREADABLE for v in report.exercises)
        if not unreadable:
            lesson.seconds.append(one.seconds)
            self._count_stop(lesson, report.exercises)
        for verdict in report.exercises:
            known = lesson.exercises.setdefault(verdict.exercise, _Exercise(verdict.title))
            known.statuses[verdict.status] += 1
            for finding in verdict.findings:
                asked = known.requirements.setdefault(finding.name, _Requirement(finding.text))
                asked.met += finding.met
            if verdict.status is Status.FAILED:
                self._count_mistake(lesson, verdict, one)
            elif verdict.status is Status.FAULT:
                looks = self.faults.setdefault(verdict.exercise, _Looks())
                looks.add(one.learner, one.lesson, "")
        self._note_looks(one, unreadable)
        self.learners.setdefault(one.learner, {})[one.lesson] = _Mark(
            report.points,
            report.max_points,
            tuple(v.status for v in report.exercises),
            bool(one.look),
        )

    def _count_stop(self, lesson: _Lesson, verdicts: Sequence[Verdict]) -> None:
        attempted = [v.exercise for v in verdicts if _attempted(v)]
        lesson.stops[attempted[-1] if attempted else ""] += 1

    def _count_mistake(self, lesson: _Lesson, verdict: Verdict, one: Graded) -> None:
        missed = next((finding for finding in verdict.findings if not finding.met), None)
        if verdict.mistake:
            message = page.clean(verdict.message)
        elif missed:
            message = page.clean(missed.text)
        else:  # names missing, code that raised: the message speaks of one learner's code
            message = "The answer could not be tried: it does not run, or a name is not defined."
        key = verdict.mistake or (missed.name if missed else "")
        found = lesson.mistakes.setdefault(
            (verdict.exercise, key), _Mistake(verdict.title, message, bool(verdict.mistake))
        )
        found.count += 1
        if len(found.where) < _MOST_WHERE:
            found.where.append((one.learner, one.lesson))

    def _note_looks(self, one: Graded, unreadable: bool) -> None:
        message = one.report.message
        if unreadable:
            self.unreadable.add(one.learner, one.lesson, message)
        if one.ended is not Ended.WELL:
            self.ended.add(one.learner, one.lesson, message)
        faulty = any(v.status is Status.FAULT for v in one.report.exercises)
        signs = [
            sentence
            for sentence in one.look
            if not (message and message in sentence)
            and not (faulty and sentence.startswith("The check of"))
        ]
        if signs:
            self.signs.add(one.learner, one.lesson, " ".join(signs))
        if one.notes:
            self.notes.add(one.learner, one.lesson, " ".join(one.notes))


def _attempted(verdict: Verdict) -> bool:
    """True when there was an answer, though it may have been waiting for an earlier exercise."""
    if verdict.status is Status.NOT_RUN:
        return verdict.evidence is not None and verdict.evidence.attempt.source is not None
    return verdict.status in _ATTEMPTED


def _compare_later(answers: similar.Comparison, one: Graded) -> None:
    for exercise, answer in one.answers.items():
        if not answers.expects(exercise):
            try:
                entry = course.find(exercise)
                answers.expect(exercise, entry.card.needs, (entry.starter, entry.solution))
            except CourseError:
                continue
        answers.add(exercise, one.learner, answer)


# -- the page -------------------------------------------------------------------------------------
def _page(seen: _Class, notices: Sequence[str], groups: Sequence[similar.Alike]) -> Iterator[str]:
    yield page.head("Class report", charts.STYLE + _STYLE)
    yield _heading(seen)
    yield from _look(seen, notices, groups)
    for number in sorted(seen.lessons):
        yield from _lesson(number, seen.lessons[number])
    yield from _alike(groups)
    yield from _learners(seen)
    yield page.FOOT


def _heading(seen: _Class) -> str:
    when = ""
    if seen.first and seen.last:
        when = f", graded {seen.first:%Y-%m-%d %H:%M}"
        if seen.last != seen.first:
            when += f" to {seen.last:%Y-%m-%d %H:%M}"
        when += " UTC"
    rows = "".join(_lesson_row(number, seen.lessons[number]) for number in sorted(seen.lessons))
    head = "".join(
        f'<th scope="col"{" class=number" if place else ""}>{title}</th>'
        for place, title in enumerate(
            ("Lesson", "Handed in", "Median", "All passed", "Nothing tried", "Ended early")
        )
    )
    return (
        '<p class="soft">Dog-Eared · grading</p><h1>Class report</h1>'
        f"<p>{counted(len(seen.learners), 'learner')}, {counted(seen.submissions, 'submission')}"
        f'{when}.</p><div class="glance"><div class="wide"><table class="lessons">'
        f"<thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{_verdicts(seen)}</div>"
    )


def _verdicts(seen: _Class) -> str:
    rows = []
    for number in sorted(seen.lessons):
        statuses = Counter[Status]()
        for exercise in seen.lessons[number].exercises.values():
            statuses += exercise.statuses
        total = statuses.total()
        rows.append(
            charts.Row(
                _title(number),
                f"{_share(statuses[Status.PASSED], total)} passed",
                {status.value: _percent(count, total) for status, count in statuses.items()},
            )
        )
    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    return charts.bars("All verdicts, in %", said, rows, _KINDS, whole=100)


def _lesson_row(number: str, lesson: _Lesson) -> str:
    early = lesson.submissions - lesson.ended[Ended.WELL]
    cells = (
        str(lesson.submissions),
        f"{_median(lesson.points):g} of {lesson.most:g}" if lesson.most else "no points",
        _share(lesson.all_passed, lesson.submissions),
        str(lesson.stops[""]),
        str(early),
    )
    return (
        f'<tr><th scope="row"><a href="#lesson-{page.safe(number)}">'
        f"{page.safe(_title(number))}</a></th>"
        + "".join(f'<td class="number">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _look(seen: _Class, notices: Sequence[str], groups: Sequence[similar.Alike]) -> Iterator[str]:
    lists = [
        _list("Signs of tampering", _SIGNS, seen.signs.count, _items(seen.signs)),
        _list("Checks that broke", _FAULTS, len(seen.faults), _faults(seen.faults)),
        _list("Could not be read", _UNREADABLE, seen.unreadable.count, _items(seen.unreadable)),
        _list("Ended before their time", _ENDED, seen.ended.count, _items(seen.ended)),
        _list("Answers that are alike", _ALIKE, len(groups), _alike_items(groups)),
        _list("Graded, but not as they came", _NOTES, seen.notes.count, _items(seen.notes)),
        _list("Not graded", _NOTICES, len(notices), _notices(notices)),
    ]
    yield '<section class="look"><h2 id="look">Look at these first</h2>'
    if any(lists):
        yield f'<div class="boxes">{"".join(lists)}</div>'
    else:
        yield "<p>Nothing asks for a human's eye: no sign of tampering, nothing that broke, no two "
        yield "answers alike.</p>"
    yield "</section>"


_SIGNS = (
    "Something that grading relies on was replaced, written to or reached for. Verdicts are made "
    "where the submission never runs, but what was observed of it may be forged: read it before "
    "you trust its points."
)
_FAULTS = (
    "The course's defects, never a learner's zero. Report them; when they are mended, "
    "<code>checks grade --rejudge</code> judges again without running anything."
)
_UNREADABLE = "No cell of these was run. Ask for the notebook again."
_ENDED = "What stands below the cell that ended the run was not run, and earned nothing."
_ALIKE = "A hint to look, never a verdict: people who learn together write alike."
_NOTES = "Each learner's lesson counts once; this is what else there was."
_NOTICES = "These lay among the submissions and are none."


def _list(title: str, said: str, count: int, items: Sequence[str]) -> str:
    """One kind of what wants a look; nothing when there is nothing."""
    if not items:
        return ""
    shown, rest = items[:_MOST_OPEN], items[_MOST_OPEN:]
    folded = ""
    if rest:
        folded = f"<details><summary>{len(rest)} more</summary><ul>{''.join(rest)}</ul></details>"
    untold = count - len(items)
    more = f"<p>And {untold} more that are not listed.</p>" if untold > 0 else ""
    return (
        f'<div class="box"><h3><b class="badge">{count}</b> {title}</h3><p class="soft">{said}</p>'
        f"<ul>{''.join(shown)}</ul>{folded}{more}</div>"
    )


def _items(looks: _Looks) -> list[str]:
    return [
        f"<li>{_to(learner, lesson)}, lesson {page.safe(lesson)}: {page.safe(sentence)}</li>"
        for learner, lesson, sentence in looks.told
    ]


def _faults(faults: dict[str, _Looks]) -> list[str]:
    items = []
    for exercise, looks in sorted(faults.items()):
        where = ", ".join(_to(learner, lesson) for learner, lesson, _ in looks.told[:_MOST_WHERE])
        items.append(
            f"<li>{page.safe(_exercise_title(exercise))} (<code>{page.safe(exercise)}</code>), "
            f"{counted(looks.count, 'time')}: {where}</li>"
        )
    return items


def _alike_items(groups: Sequence[similar.Alike]) -> list[str]:
    return [
        f'<li><a href="#alike-{place}">{_names(one.learners)}</a>: '
        f"{page.safe(_exercise_title(one.exercise))}, {_likeness(one)}</li>"
        for place, one in enumerate(groups[:_MOST_ALIKE], 1)
    ]


def _notices(notices: Sequence[str]) -> list[str]:
    return [f"<li>{page.safe(one, 400)}</li>" for one in notices[:_MOST_TOLD]]


# -- a lesson -------------------------------------------------------------------------------------
def _lesson(number: str, lesson: _Lesson) -> Iterator[str]:
    yield f'<section><h2 id="lesson-{page.safe(number)}">{page.safe(_title(number))}</h2>'
    yield '<div class="plots">'
    yield _scores(lesson) if lesson.most else _requirements(lesson)
    yield _passes(lesson)
    yield _stops(lesson)
    yield _run_times(lesson)
    yield "</div>"
    yield from _mistakes(lesson)
    yield "</section>"


def _scores(lesson: _Lesson) -> str:
    tenths = Counter[int]()
    for points, count in lesson.points.items():
        part = points / lesson.most
        tenths[10 if part >= 1 else max(0, int(part * 10))] += count
    labels = [*(f"{ten}0" if ten else "0" for ten in range(10)), "all"]
    columns = [(label, tenths[ten]) for ten, label in enumerate(labels)]
    said = (
        f"The median is {_median(lesson.points):g} of {lesson.most:g} points; "
        f"{tenths[10]} of {lesson.submissions} have them all."
    )
    return charts.histogram("Points", said, columns, "from this % of the points", "submissions")


def _requirements(lesson: _Lesson) -> str:
    """Instead of points, which a project has none of: what was mended, and what is left."""
    total = lesson.submissions
    rows = "".join(
        f'<tr><th scope="row">{page.prose(one.text, 200)}</th>'
        f'<td class="number">{one.met} of {total}</td></tr>'
        for exercise in lesson.exercises.values()
        for one in exercise.requirements.values()
    )
    if not rows:
        return ""
    return (
        "<figure><figcaption>Requirements met</figcaption>"
        f'<table class="met"><tbody>{rows}</tbody></table></figure>'
    )


def _passes(lesson: _Lesson) -> str:
    rows = []
    for one in lesson.exercises.values():
        total = one.statuses.total()
        rows.append(
            charts.Row(
                page.clean(one.title, 60),
                f"{_share(one.statuses[Status.PASSED], total)} passed",
                {status.value: _percent(count, total) for status, count in one.statuses.items()},
            )
        )
    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    return charts.bars("Verdicts of each exercise, in %", said, rows, _KINDS, whole=100)


def _stops(lesson: _Lesson) -> str:
    total = lesson.stops.total()
    titles = {"": "nothing attempted"} | {
        exercise: page.clean(one.title, 60) for exercise, one in lesson.exercises.items()
    }
    rows = [
        charts.Row(title, f"{lesson.stops[key]} of {total}", {"count": lesson.stops[key]})
        for key, title in titles.items()
    ]
    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    kinds = [charts.Kind("count", "submissions")]
    return charts.bars("The last exercise attempted", said, rows, kinds, whole=total)


def _run_times(lesson: _Lesson) -> str:
    times = sorted(lesson.seconds)
    ends = [*_RUN_TIMES, float("inf")]
    counts = [0] * len(ends)
    place = 0
    for time in times:
        while time >= ends[place]:
            place += 1
        counts[place] += 1
    labels = [f"<{end:g}" for end in _RUN_TIMES] + [f"{_RUN_TIMES[-1]}+"]
    if times:
        slow = times[min(len(times) - 1, int(len(times) * 0.95))]
        said = (
            f"The median is {_seconds(times[len(times) // 2])}, 95 in 100 took less than "
            f"{_seconds(slow)}, the longest {_seconds(times[-1])}. "
        )
    else:
        said = "Nothing was run. "
    ended = lesson.ended
    said += (
        f"Timed out: {ended[Ended.TIMED_OUT]}; died: {ended[Ended.DIED]}; "
        f"used more than allowed: {ended[Ended.TOO_MUCH]}."
    )
    columns = list(zip(labels, counts, strict=True))
    plot = charts.histogram("Run times", said, columns, "seconds", "submissions")
    return f'<div class="told">{plot}<p class="soft">{said}</p></div>'


def _mistakes(lesson: _Lesson) -> Iterator[str]:
    if not lesson.mistakes:
        return
    items = [
        _mistake(one)
        for one in sorted(lesson.mistakes.values(), key=lambda one: (-one.count, one.title))
    ]
    yield "<h3>What went wrong, the most frequent first</h3>"
    yield f'<ul class="mistakes">{"".join(items[:_MOST_OPEN])}</ul>'
    if rest := items[_MOST_OPEN:]:
        yield f"<details><summary>{len(rest)} more</summary>"
        yield f'<ul class="mistakes">{"".join(rest)}</ul></details>'


def _mistake(one: _Mistake) -> str:
    kind = "" if one.named else '<span class="soft">no named mistake fits: </span>'
    shown = ", ".join(_to(*where) for where in one.where[:_MOST_OPEN])
    if rest := ", ".join(_to(*where) for where in one.where[_MOST_OPEN:]):
        untold = one.count - len(one.where)
        rest += f" and {untold} more" if untold else ""
        shown += f"<details><summary>{one.count - _MOST_OPEN} more</summary>{rest}</details>"
    return (
        f'<li><b class="times">{one.count}</b><div><p><b>{page.safe(one.title)}.</b> '
        f'{kind}{page.prose(one.message)}</p><div class="where">{shown}</div></div></li>'
    )


# -- alike ----------------------------------------------------------------------------------------
def _alike(groups: Sequence[similar.Alike]) -> Iterator[str]:
    if not groups:
        return
    yield (
        '<section><h2 id="alike">Answers that are alike</h2>'
        "<p>A hint to look, never a verdict. Answers are compared as Python reads them: names of "
        "one's own, comments, imports and layout do not count. Nor does what an answer shares with "
        "the starter or the course's solution, nor a form that more than "
        f"{similar.FEW} learners (and more than {similar.SHARE:.0%} of them) arrived at, nor an "
        "answer with little of its own. What is left is alike where hardly anybody else is. "
        "Talk before you judge.</p>"
    )
    for place, one in enumerate(groups[:_MOST_ALIKE], 1):
        yield f'<article class="alike" id="alike-{place}"><h3>{_names(one.learners)}</h3>'
        yield f"<p>{page.safe(_exercise_title(one.exercise))}: {_likeness(one)}.</p>"
        lesson = one.exercise.partition(".")[0]
        yield f"<p>{', '.join(_to(who, lesson) for who in one.learners[:_MOST_WHERE])}</p>"
        yield _sides(one)
        yield "</article>"
    if len(groups) > _MOST_ALIKE:
        yield f"<p>And {len(groups) - _MOST_ALIKE} more groups that are not shown.</p>"
    yield "</section>"


def _likeness(one: similar.Alike) -> str:
    if one.to_the_letter:
        return "the same to the letter, comments and spacing included"
    if one.likeness == 1:
        return "the same but for names, comments or layout"
    return f"{one.likeness:.0%} of what is their own is the same"


def _sides(one: similar.Alike) -> str:
    """Both answers beside each other, the lines that differ marked."""
    left, right = (_lines(text) for text in one.sides)
    rows = []
    matcher = difflib.SequenceMatcher(a=left, b=right, autojunk=False)
    for what, start, end, other_start, other_end in matcher.get_opcodes():
        for offset in range(max(end - start, other_end - other_start)):
            sides = []
            for lines, place, last in ((left, start, end), (right, other_start, other_end)):
                line = lines[place + offset] if place + offset < last else None
                tone = "" if what == "equal" else ' class="differs"' if line is not None else ""
                mark = "" if what == "equal" or line is None else '<i aria-hidden="true">≠</i>'
                sides.append(f"<td{tone}>{mark}<code>{html.escape(line or '')}</code></td>")
            rows.append(f"<tr>{''.join(sides)}</tr>")
    head = "".join(f'<th scope="col">{page.name(who)}</th>' for who in one.learners[:2])
    return (
        "<details><summary>Both sides</summary>"
        f'<div class="wide" tabindex="0"><table class="sides"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _lines(text: str) -> list[str]:
    lines = [page.clean(line, _LONGEST_LINE) for line in text.strip("\n").splitlines()]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"… {len(lines) - _MOST_LINES} more lines"]
    return lines


# -- the learners ---------------------------------------------------------------------------------
def _learners(seen: _Class) -> Iterator[str]:
    yield f'<section><h2 id="learners">{counted(len(seen.learners), "learner")}, by name</h2>'
    names = sorted(seen.learners, key=lambda one: (_sorted_as(one), one))
    numbers = sorted(seen.lessons)
    folded = len(names) > _GROUP
    for start in range(0, len(names), _GROUP):
        group = names[start : start + _GROUP]
        if folded:
            yield f"<details><summary>{page.name(group[0])} to {page.name(group[-1])}</summary>"
        head = "".join(f'<th scope="col">{page.safe(_title(number))}</th>' for number in numbers)
        yield (
            '<div class="wide"><table class="learners"><thead><tr><th scope="col">Learner</th>'
            f"{head}</tr></thead><tbody>"
        )
        for learner in group:
            marks = seen.learners[learner]
            cells = "".join(_mark(learner, number, marks.get(number)) for number in numbers)
            yield f'<tr><th scope="row">{page.name(learner)}</th>{cells}</tr>'
        yield "</tbody></table></div>"
        if folded:
            yield "</details>"
    signs = ", ".join(f"{show.status_style(status)[0]} {status.words}" for status in _sign_each())
    yield f'<p class="soft">{signs}; ⚑ wants a look.</p></section>'


def _sign_each() -> Iterator[Status]:
    """One status for each sign, the first that has it."""
    signs = set[str]()
    for status in Status:
        sign = show.status_style(status)[0]
        if sign not in signs:
            signs.add(sign)
            yield status


def _mark(learner: str, number: str, mark: _Mark | None) -> str:
    if mark is None:
        return '<td class="soft">–</td>'
    signs = "".join(
        f'<span class="tone {page.TONES[status]}" title="{status.words}">'
        f"{show.status_style(status)[0]}</span>"
        for status in mark.statuses
    )
    flag = ' <b class="tone odd" title="wants a look">⚑</b>' if mark.look else ""
    earned = f"{mark.points:g} of {mark.most:g}" if mark.most else "no points"
    return (
        f'<td><a href="{_address(learner, number)}">{earned}</a> '
        f'<span class="signs">{signs}</span>{flag}</td>'
    )


# -- words ----------------------------------------------------------------------------------------
def _address(learner: str, lesson: str) -> str:
    return page.link(PurePosixPath("feedback") / page.feedback_file(learner, lesson))


def _to(learner: str, lesson: str) -> str:
    return f'<a href="{_address(learner, lesson)}">{page.name(learner)}</a>'


def _names(learners: Sequence[str]) -> str:
    shown = [page.name(one) for one in learners[:3]]
    more = len(learners) - len(shown)
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _sorted_as(learner: str) -> str:
    """A name as a list of names has it: accents and capitals do not count."""
    apart = unicodedata.normalize("NFKD", learner[:200]).casefold()
    return "".join(one for one in apart if not unicodedata.combining(one))


@cache
def _title(number: str) -> str:
    try:
        return f"{number} {course.lesson(number).title}"
    except CourseError:
        return page.clean(number, 40)


@cache
def _exercise_title(exercise: str) -> str:
    try:
        return f"{exercise.partition('.')[0]} {course.find(exercise).card.title}"
    except CourseError:
        return page.clean(exercise, 60)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1)


def _seconds(seconds: float) -> str:
    digits = max(0, 1 - int(log10(seconds))) if seconds > 0.01 else 2
    return f"{seconds:.{digits}f} s"


def _median(values: Counter[float]) -> float:
    half, passed = values.total() / 2, 0
    for value in sorted(values):
        passed += values[value]
        if passed >= half:
            return value
    return 0


_STYLE = (
    ".page{max-width:72rem}"
    ".page .look h3{margin:.2em 0}.page .look ul{margin:.3em 0;padding-left:1.2em}"
    ".page .badge{color:var(--bad)}"
    ".page .glance{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));"
    "gap:1rem 3rem}.page .glance>*{min-width:0}"
    ".page .lessons{font-size:.93rem}.page .lessons tbody th{min-width:7.5rem}"
    ".page .boxes{columns:2 26rem;column-gap:.8rem}"
    ".page .look .box{padding:.4em .9em;margin:0 0 .8rem;font-size:.93rem;break-inside:avoid;"
    "overflow-wrap:anywhere}"
    ".page .plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));"
    "gap:2rem 3rem;margin:1rem 0}"
    ".page .told{min-width:0}.page .told p{font-size:.85rem}"
    ".page .mistakes{list-style:none;padding:0;margin:0}"
    ".page .mistakes>li{display:flex;gap:.8em;border-top:1px solid var(--line);padding:.5em 0}"
    ".page .times{flex:0 0 2.2em;font-size:1.25rem;line-height:1.3;"
    "font-variant-numeric:tabular-nums}"
    ".page .mistakes div{min-width:0}.page .mistakes p{margin:0}"
    ".page .where{font-size:.9rem}"
    ".page .alike{border-top:1px solid var(--line);padding:.2em 0 .6em}"
    ".page .sides{width:100%;table-layout:fixed;min-width:40rem}"
    ".page .sides td{height:1.5em;padding:0 .4em 0 1.2em;border:0;position:relative}"
    ".page .sides code{white-space:pre-wrap}.page .sides .differs{background:var(--mark)}"
    ".page .sides i{position:absolute;left:.2em;font-style:normal;color:var(--odd)}"
    ".page .signs{letter-spacing:.15em;white-space:nowrap}"
    ".page .learners td{white-space:nowrap}"
    ".page .learners tbody th{min-width:8rem}"
    ".page .learners th:first-child{position:sticky;left:0;"  # in sight with twenty lessons, too
    f"background:{page.PAPER['light']}}}"
    "@media(prefers-color-scheme:dark){.page .learners th:first-child{"
    f"background:{page.PAPER['dark']}}}}}"
    ".page .learners bdi{overflow-wrap:anywhere}"
    ".page .met{font-size:.93rem;width:100%}"
)
