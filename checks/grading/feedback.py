"""What one learner gets back for one lesson: a page that stands on its own."""

from __future__ import annotations

from pathlib import Path

from checks import course, show
from checks.grading import page as pages
from checks.grading.graded import Graded
from checks.grading.outcome import Ended, Raised
from checks.verdict import Finding, Status, Verdict

_MOST_RAISED = 30  # exceptions told of
_MOST_OPEN = 5  # of them before the rest is folded: the first tell of the cause
_MOST_FINDINGS = 30


def write(graded: Graded, lesson: course.Lesson, folder: Path) -> Path:
    """Write a learner's page to `<learner>/<lesson>.html`; whole, or not at all.

    Args:
        graded: The submission.
        lesson: Its lesson.
        folder: The folder of all feedback.

    Returns:
        Where it lies.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / pages.feedback_file(graded.learner, lesson.number)
    with pages.writing(path) as file:
        file.write(page(graded, lesson))
    return path


def page(graded: Graded, lesson: course.Lesson) -> str:
    """A learner's page: points, what stopped the run, each exercise with what its code did.

    Says nothing of other learners, of the machine that graded, or of what only a grader looks at.

    Args:
        graded: The submission.
        lesson: Its lesson.
    """
    hints = {entry.id: entry.card.hints for entry in lesson.exercises}
    verdicts = graded.report.exercises
    title = f"{lesson.number} {lesson.title}"
    parts = [
        pages.head(f"{title}: feedback", _STYLE),
        f'<p class="soft">Dog-Eared · feedback</p><h1>{pages.safe(title)}</h1>',
        f'<p class="who">{pages.name(graded.learner)}</p>',
        _summary(graded),
        _trouble(graded),
        _raised(graded.raised),
        *(
            _exercise(number, one, hints.get(one.exercise, ()))
            for number, one in enumerate(verdicts, 1)
        ),
        f'<p class="soft end">Graded {graded.graded_at:%Y-%m-%d %H:%M} UTC, from '
        f"{pages.safe(_file(graded.file), 120)}.</p>",
        pages.FOOT,
    ]
    return "\n".join(part for part in parts if part)


def _file(place: str) -> str:
    """The last part only: folders and archives may be named after others."""
    return place.replace("\\", "/").replace("!", "/").rsplit("/", 1)[-1] or "your notebook"


def _summary(graded: Graded) -> str:
    report = graded.report
    passed = sum(one.status is Status.PASSED for one in report.exercises)
    rows = "".join(_line(number, one) for number, one in enumerate(report.exercises, 1))
    points = f"<b>{report.points:g}</b> of {report.max_points:g} points"
    exercises = f"{passed} of {len(report.exercises)} exercises passed"
    return (
        (f'<p class="points">{points}</p><p>' if report.max_points else "<p>For no points: ")
        + f"{exercises}.</p>"
        '<table class="list"><caption class="unseen">The exercises and their points</caption>'
        '<thead class="unseen"><tr><th scope="col">Exercise</th><th scope="col">Status</th>'
        f'<th scope="col">Points</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _line(number: int, verdict: Verdict) -> str:
    sign, tone = show.status_style(verdict.status)[0], pages.TONES[verdict.status]
    title = pages.safe(verdict.title, 100)
    return (
        f'<tr><th scope="row"><a href="#exercise-{number}">{title}</a></th>'
        f'<td class="tone {tone}"><b aria-hidden="true">{sign}</b> {verdict.status.words}</td>'
        f'<td class="number">{_points(verdict)}</td></tr>'
    )


def _points(one: Verdict | Finding) -> str:
    return f"{one.points:g} of {one.max_points:g}" if one.max_points else ""


def _trouble(graded: Graded) -> str:
    message = graded.report.message
    if not message and graded.ended is Ended.WELL:
        return ""
    said = message or "The run of your notebook ended before its time."
    return (
        '<section class="box bad"><h2>What stopped your notebook</h2>'
        f"<p>{pages.safe(said)}</p></section>"
    )


def _raised(raised: tuple[Raised, ...]) -> str:
    if not raised:
        return ""
    lines = [
        f"<li>Cell {one.cell + 1}: <b>{pages.safe(one.type, 100)}</b>"
        f"{': ' + pages.safe(one.message, 300) if one.message else ''}"
        f"{_at(one.at)}</li>"
        for one in raised[:_MOST_RAISED]
    ]
    more = len(raised) - _MOST_RAISED
    rest = f"<p>And {more} more.</p>" if more > 0 else ""
    if folded := "".join(lines[_MOST_OPEN:]):
        rest = (
            f"<details><summary>{len(raised) - _MOST_OPEN} more</summary><ul>{folded}</ul>{rest}"
            "</details>"
        )
    count = "One cell" if len(raised) == 1 else f"{len(raised)} cells"
    return (
        f'<section class="box"><h2>{count} raised an exception</h2>'
        "<p>The cells below went on all the same. Where a lesson raises on purpose, nothing is "
        f"wrong.</p><ul>{''.join(lines[:_MOST_OPEN])}</ul>{rest}</section>"
    )


def _at(line: str | None) -> str:
    return f"<br><code>{pages.safe(line, 300)}</code>" if line else ""


def _exercise(number: int, verdict: Verdict, hints: tuple[str, ...]) -> str:
    points = _findings(verdict.findings) if verdict.status is Status.PASSED else ""
    read_next = _hints(hints) if verdict.status is Status.FAILED and hints else ""
    return (
        f'<section id="exercise-{number}"><h2 class="unseen">{pages.safe(verdict.title, 100)}</h2>'
        f"{pages.card(verdict)}{points}{read_next}</section>"
    )


def _hints(hints: tuple[str, ...]) -> str:
    folded = "".join(
        f"<details><summary>Hint {number} of {len(hints)}</summary><p>{pages.prose(hint)}</p>"
        "</details>"
        for number, hint in enumerate(hints, 1)
    )
    return (
        '<div class="below"><p>Stuck? Open one at a time, from a nudge to nearly there:</p>'
        f"{folded}</div>"
    )


def _findings(findings: list[Finding]) -> str:
    """The points of a pass, requirement by requirement; the card of a failure has them itself."""
    if not findings:
        return ""
    lines = "".join(
        f'<li><b class="tone good">✓</b> {pages.prose(one.text)} '
        f'<span class="soft">{_points(one)}</span></li>'
        for one in findings[:_MOST_FINDINGS]
    )
    return (
        '<div class="below"><details><summary>What was checked, one by one</summary>'
        f"<ul>{lines}</ul></details></div>"
    )


_STYLE = (
    ".page .who{font-size:1.15rem;font-weight:600;overflow-wrap:anywhere}"
    ".page .points{font-size:1.15rem;margin-top:1em}.page .points b{font-size:2.2rem}"
    ".page .list{margin:.8em 0 1.2em;min-width:min(100%,34rem)}"
    ".page .box h2{font-size:1.05rem;margin:.2em 0}"
    ".page .box ul{padding-left:1.2em;margin:.4em 0}"
    ".page section{margin:1.4em 0 0;scroll-margin-top:1em}"
    ".page .below{font-size:.95rem;padding:.1em 0 0 1.2em}"
    ".page .below ul{list-style:none;padding:0;margin:.3em 0}"
    ".page .end{margin-top:2.5em;font-size:.9rem}"
)
