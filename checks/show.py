"""Verdicts, hints, solutions and progress as people see them: HTML, plain text, a terminal."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from checks.observe import picture
from checks.observe.evidence import same_code
from checks.observe.timeline import Timeline
from checks.verdict import Finding, Status, Verdict
from checks.words import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from checks.course import Lesson
    from checks.journal import Standing

_LONGEST_BODY = 400  # characters of a response shown on a card
_WIDTH = 88  # characters of a line of text
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_STRESS = re.compile(r"(?<![^\s(])(\*{1,2})(?=\w)([^*]+)(?<=\w)\1(?!\w)")

front_end: Callable[[Mapping[str, Any]], None] | None = None  # shows cards where no IPython does

# A sign, a rich style and a tone for each status. The word beside them says the same.
_LOOKS = {
    Status.PASSED: ("✓", "green", "good"),
    Status.FAILED: ("✗", "red", "bad"),
    Status.NOT_ATTEMPTED: ("○", "dim", "calm"),
    Status.NOT_RUN: ("◌", "yellow", "odd"),
    Status.TIMED_OUT: ("◷", "red", "bad"),
    Status.DIED: ("✗", "red", "bad"),
    Status.UNREADABLE: ("?", "red", "bad"),
    Status.FAULT: ("!", "magenta", "odd"),
}


def status_style(status: Status) -> tuple[str, str]:
    """A sign and a rich style for a status."""
    return _LOOKS[status][0], _LOOKS[status][1]


def _points(verdict: Verdict) -> str:
    """What was earned; nothing where there is nothing to earn, as in a project."""
    if not verdict.max_points:
        return ""
    return f"{verdict.points:g} of {verdict.max_points:g} points"


# -- cards ----------------------------------------------------------------------------------------
def card_html(verdict: Verdict, next_step: str = "") -> str:
    """A verdict as a card.

    Args:
        verdict: The verdict.
        next_step: What the learner may do now.
    """
    sign, _, tone = _LOOKS[verdict.status]
    head = (
        f'<p class="head {tone}"><b>{sign} {verdict.status.words}</b> '
        f'<span class="title">{escape(verdict.title)}</span> '
        f'<span class="soft">{_points(verdict)}</span></p>'
    )
    parts = [head]
    if verdict.status is Status.PASSED:
        parts.append(f"<p>{_rich(verdict.statement)}</p>")
    else:
        if verdict.status is Status.FAILED and verdict.statement:
            parts.append(f'<p class="soft">{_rich(verdict.statement)}</p>')
        parts.append(f'<p class="message">{_rich(verdict.message)}</p>')
        parts.append(_findings_html(verdict))
    parts.append(_step_html(verdict))
    if next_step:
        parts.append(f'<p class="next">{_rich(_quoted_calls(next_step))}</p>')
    return _printable(f'<div class="de-card {tone}">{_STYLE}{"".join(parts)}</div>')


def card_text(verdict: Verdict, next_step: str = "", width: int = _WIDTH) -> str:
    """A verdict as plain text.

    Args:
        verdict: The verdict.
        next_step: What the learner may do now.
        width: Where lines break, in characters.
    """
    sign, _, _ = _LOOKS[verdict.status]
    points = f" ({told})" if (told := _points(verdict)) else ""
    lines = [f"{sign} {verdict.status.words}: {verdict.title}{points}"]
    if verdict.status is Status.FAILED and verdict.statement:
        lines += _filled(verdict.statement, width=width)
    lines += _filled(verdict.message, width=width)
    if verdict.status is Status.FAILED:
        for finding in verdict.findings:
            sign = "✓" if finding.met else "✗"
            points = f" ({finding.points:g}/{finding.max_points:g})" if finding.max_points else ""
            lines += _filled(f"{sign} {finding.text}{points}", "  ", "    ", width)
            if not finding.met:
                lines += _filled(_told(finding, verdict), "      ", width=width)
        if step := _shown_step(verdict):
            lines.append("")
            if exchange := _exchange(step):
                lines += _filled(exchange, "  ", width=width)
            drawn = _drawn(picture.as_text, step, verdict.marks, max(width, 60) - 2)
            lines.append(textwrap.indent(drawn, "  "))
    if next_step:
        lines += ["", next_step]
    return _printable("\n".join(line.rstrip() for line in lines))


def card_rich(verdict: Verdict, width: int = _WIDTH + 4) -> RenderableType:
    """A verdict for a terminal of so many columns, with colour where it has any."""
    from rich.panel import Panel
    from rich.text import Text

    _, style = status_style(verdict.status)
    width = min(width, _WIDTH + 4)
    text = Text(card_text(verdict, width=width - 4))  # the frame and its padding
    return Panel(text, border_style=style, title=verdict.exercise, width=width)


def exception_of(verdict: Verdict) -> tuple[str, str]:
    """Type and message of the exception that a card tells of; empty where there is none."""
    evidence = verdict.evidence
    if evidence and evidence.trouble:
        return evidence.trouble.type, evidence.trouble.message
    step = _shown_step(verdict) or {}
    error = step.get("error")
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("type")), str(error.get("message"))


def _findings_html(verdict: Verdict) -> str:
    if verdict.status is not Status.FAILED or not verdict.findings:
        return ""
    lines = []
    for one in verdict.findings:
        sign, tone = ("✓", "good") if one.met else ("✗", "bad")
        said = "met" if one.met else "not met"
        told = "" if one.met else f'<span class="told">{_rich(_told(one, verdict))}</span>'
        points = f" {one.points:g}/{one.max_points:g}" if one.max_points else ""
        lines.append(
            f'<li><b class="{tone}" role="img" aria-label="{said}">{sign}</b> {_rich(one.text)}'
            f'<span class="soft">{points}</span>{told}</li>'
        )
    return f"<ul>{''.join(lines)}</ul>"


def _told(finding: Finding, verdict: Verdict) -> str:
    """What was seen, wanted and why, less what the message above it has said already."""
    pieces = [finding.saw, finding.wanted, finding.why]
    first_missed = next((one for one in verdict.findings if not one.met), None)
    if verdict.mistake is None and finding is first_missed:
        pieces = [finding.why]
    return " ".join(piece for piece in pieces if piece)


def _step_html(verdict: Verdict) -> str:
    step = _shown_step(verdict)
    if step is None:
        return ""
    exchange = _exchange(step)
    drawn = f"<p>{_rich(exchange)}</p>" if exchange else ""
    drawn += _drawn(picture.as_html, step, verdict.marks)
    title = "What your code did"
    if verdict.status is Status.PASSED:
        return f"<details><summary>{title}</summary>{drawn}</details>"
    return f"<details open><summary>{title}</summary>{drawn}</details>"


def _shown_step(verdict: Verdict) -> Mapping[str, Any] | None:
    """The step whose timeline explains the verdict; for a pass, the first there is."""
    seen = verdict.evidence.seen if verdict.evidence else {}
    if verdict.shows:
        step: Any = seen.get(verdict.shows)
        if isinstance(step, list) and step:  # pages, say: the last one tells most
            step = step[-1]
        return step if _is_step(step) else None
    if verdict.status is Status.PASSED:
        steps: list[Any] = [step for step in seen.values() if _is_step(step)]
        return steps[0] if steps else None
    return None


def _is_step(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("timeline")) and "asked" in value


def _drawn(draw: Callable[..., str], step: Mapping[str, Any], *how: Any) -> str:
    """A step's timeline as a picture; nothing where it is evidence that nobody observed."""
    try:
        return draw(Timeline.from_json(step["timeline"]), *how)
    except Exception:
        return ""


def _exchange(step: Mapping[str, Any]) -> str:
    """The request and its answer in a line."""
    if not step.get("status"):
        return ""
    sent = step.get("sent")
    with_body = f" with `{_short(sent)}`" if sent is not None else ""
    heard = f"`{step['asked']}`{with_body} answered {step['status']}"
    body = step.get("body")
    return f"{heard}, without a body." if body == "" else f"{heard}: `{_short(body)}`"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("`", "'")
    return text if len(text) <= _LONGEST_BODY else text[: _LONGEST_BODY - 1] + "…"


# -- the report on a lesson -----------------------------------------------------------------------
def report_text(lesson: str, verdicts: Iterable[Verdict], demanded: Demanded) -> str:
    """What of a lesson is met and what is open, line by line, as plain text.

    Args:
        lesson: What the lesson is called.
        verdicts: One on each of its exercises.
        demanded: What each exercise requires, in words, by its id.
    """
    met, parts = _report(verdicts, demanded)
    lines = [f"{lesson}: {met}."]
    for verdict, rows in parts:
        sign, _, _ = _LOOKS[verdict.status]
        lines += ["", f"{sign} {verdict.status.words}: {verdict.title}"]
        for status, text in rows:
            lines += _filled(f"{_LOOKS[status][0]} {text}", "  ", "    ")
        if _needs_a_word(verdict):
            lines += _filled(verdict.message, "  ")
    return _printable("\n".join(lines))


def report_html(lesson: str, verdicts: Iterable[Verdict], demanded: Demanded) -> str:
    """The report as a card.

    Args:
        lesson: What the lesson is called.
        verdicts: One on each of its exercises.
        demanded: What each exercise requires, in words, by its id.
    """
    met, parts = _report(verdicts, demanded)
    shown = [f'<p class="head"><b>{met}</b> <span class="title">{escape(lesson)}</span></p>']
    for verdict, rows in parts:
        sign, _, tone = _LOOKS[verdict.status]
        shown.append(
            f'<p class="lesson"><b class="{tone}">{sign} {verdict.status.words}</b> '
            f'<span class="title">{escape(verdict.title)}</span></p>'
        )
        listed = "".join(
            f'<li><b class="{_LOOKS[status][2]}" role="img" aria-label="{_SAID[status]}">'
            f"{_LOOKS[status][0]}</b> {_rich(text)}</li>"
            for status, text in rows
        )
        shown.append(f"<ul>{listed}</ul>")
        if _needs_a_word(verdict):
            shown.append(f"<p>{_rich(verdict.message)}</p>")
    return _printable(f'<div class="de-card calm">{_STYLE}{"".join(shown)}</div>')


Demanded = Mapping[str, Sequence[str]]
_Part = tuple[Verdict, list[tuple[Status, str]]]
_SAID = {Status.PASSED: "met", Status.FAILED: "not met", Status.NOT_ATTEMPTED: "not looked at yet"}


def _report(verdicts: Iterable[Verdict], demanded: Demanded) -> tuple[str, list[_Part]]:
    """How many requirements are met, and how each came out; unjudged ones are not attempted."""
    parts: list[_Part] = []
    for verdict in verdicts:
        if verdict.findings:
            looked = [(one.met, one.text) for one in verdict.findings]
            rows = [(Status.PASSED if met else Status.FAILED, text) for met, text in looked]
        else:
            rows = [(Status.NOT_ATTEMPTED, text) for text in demanded[verdict.exercise]]
        parts.append((verdict, rows))
    every = [status for _, rows in parts for status, _ in rows]
    return f"{every.count(Status.PASSED)} of {len(every)} met", parts


def _needs_a_word(verdict: Verdict) -> bool:
    """Whether the lines do not say how it stands: it could not be judged."""
    return not verdict.findings and verdict.status is not Status.NOT_ATTEMPTED


# -- hints and solutions --------------------------------------------------------------------------
def hint_html(title: str, number: int, total: int, text: str) -> str:
    """One hint as a card."""
    return (
        f'<div class="de-card odd">{_STYLE}<p class="head odd"><b>Hint {number} of {total}</b> '
        f'<span class="title">{escape(title)}</span></p><p>{_rich(text)}</p></div>'
    )


def hint_text(title: str, number: int, total: int, text: str) -> str:
    """One hint as plain text."""
    return "\n".join([f"Hint {number} of {total}: {title}", *_filled(text)])


def solution_html(title: str, own: str, solved: str) -> str:
    """The course's solution beside the learner's cell: what to take out and what to put in."""
    lines = []
    for line in _difference(own, solved):
        tone = {"-": "out", "+": "in"}.get(line[:1], "same")
        lines.append(f'<span class="{tone}">{escape(line)}</span>')
    return (
        f'<div class="de-card good">{_STYLE}<p class="head good"><b>Solution</b> '
        f'<span class="title">{escape(title)}</span></p>'
        f"<p>{_compared(own, solved)}</p><pre>{chr(10).join(lines)}</pre></div>"
    )


def solution_text(title: str, own: str, solved: str) -> str:
    """The course's solution beside the learner's cell, as plain text."""
    return "\n".join([f"Solution: {title}", _compared(own, solved), "", *_difference(own, solved)])


def _compared(own: str, solved: str) -> str:
    if not own.strip():
        return "The course's way:"
    if same_code(own, solved):
        return "Yours and the course's are the same, to the letter that counts."
    return "From your cell (-) to the course's (+). Another way that passes is just as right:"


def _difference(own: str, solved: str) -> list[str]:
    if not own.strip() or same_code(own, solved):
        return solved.splitlines()
    compared = difflib.ndiff(own.splitlines(), solved.splitlines())
    return [line.rstrip() for line in compared if not line.startswith("?")]


# -- progress -------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Row:
    """One exercise in a list of progress.

    Attributes:
        lesson: Its lesson's number and title.
        exercise: Its id.
        title: Its name.
        status: How it stands.
        points: The most ever earned of `max_points`.
        hints: Hints read.
    """

    lesson: str
    exercise: str
    title: str
    status: Status
    points: float
    max_points: float
    hints: int


def progress_rows(lessons: Iterable[Lesson], standings: Mapping[str, Standing]) -> list[Row]:
    """The catalogue and what the journal says of it, exercise by exercise."""
    rows = []
    for lesson in lessons:
        for entry in lesson.exercises:
            standing = standings.get(entry.id)
            rows.append(
                Row(
                    lesson=f"{lesson.number} {lesson.title}",
                    exercise=entry.id,
                    title=entry.card.title,
                    status=standing.status if standing else Status.NOT_ATTEMPTED,
                    points=standing.points if standing else 0,
                    max_points=entry.card.points(),
                    hints=standing.hints if standing else 0,
                )
            )
    return rows


def progress_text(rows: Sequence[Row]) -> str:
    """Progress as plain text."""
    lines = [_summary(rows)]
    for lesson, own in _by_lesson(rows):
        done = sum(row.status is Status.PASSED for row in own)
        bar = "█" * done + "░" * (len(own) - done)
        lines += ["", f"{lesson}  {bar}  {done} of {len(own)}"]
        for row in own:
            sign, _, _ = _LOOKS[row.status]
            lines.append(f"  {sign} {row.status.words:<13} {row.title}{_hints(row)}")
    return "\n".join(lines)


def progress_html(rows: Sequence[Row]) -> str:
    """Progress as a card."""
    parts = [f'<p class="head"><b>{_summary(rows)}</b></p>']
    for lesson, own in _by_lesson(rows):
        done = sum(row.status is Status.PASSED for row in own)
        listed = "".join(
            f'<li><b class="{_LOOKS[row.status][2]}">{_LOOKS[row.status][0]}</b> '
            f'{escape(row.title)} <span class="soft">{row.status.words}{_hints(row)}</span></li>'
            for row in own
        )
        parts.append(
            f'<p class="lesson"><b>{escape(lesson)}</b> <progress max="{len(own)}" value="{done}" '
            f'aria-label="{done} of {len(own)} passed">'
            f'</progress> <span class="soft">{done} of {len(own)}</span></p><ul>{listed}</ul>'
        )
    return f'<div class="de-card calm">{_STYLE}{"".join(parts)}</div>'


def _summary(rows: Sequence[Row]) -> str:
    done = sum(row.status is Status.PASSED for row in rows)
    points, most = sum(row.points for row in rows), sum(row.max_points for row in rows)
    passed = f"{done} of {len(rows)} exercises passed"
    return f"{passed}, {points:g} of {most:g} points." if most else f"{passed}, for no points."


def _by_lesson(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.lesson, []).append(row)
    return list(grouped.items())


def _hints(row: Row) -> str:
    return f", {counted(row.hints, 'hint')} read" if row.hints else ""


# -- words ----------------------------------------------------------------------------------------
def _rich(text: str) -> str:
    """Text as HTML: escaped; `code`, *stress* and **more of it** as in Markdown."""
    prose_and_code = re.split(r"`([^`]+)`", escape(text, quote=False))
    return "".join(
        f"<code>{piece}</code>" if place % 2 else _STRESS.sub(_stressed, piece)
        for place, piece in enumerate(prose_and_code)
    )


def _stressed(found: re.Match[str]) -> str:
    tag = "strong" if found[1] == "**" else "em"
    return f"<{tag}>{found[2]}</{tag}>"


def _quoted_calls(text: str) -> str:
    return re.sub(r'(\w+\("[^"]*"\))', r"`\1`", text)


def _filled(
    text: str, indent: str = "", following: str | None = None, width: int = _WIDTH
) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent if following is None else following,
        break_long_words=False,
    )


def _printable(text: str) -> str:
    """Text that a terminal takes as text: what would steer it, or cannot be encoded, is shown."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_STYLE = (
    "<style>"
    + picture.themed(".de-card")
    + (
        ".de-card{color:var(--ink);font:14px/1.5 system-ui,sans-serif;max-width:60em;"
        "border:1px solid var(--line);border-left:5px solid var(--soft);border-radius:.4em;"
        "padding:.6em .9em;margin:.3em 0}"
        ".de-card.good{border-left-color:var(--good)}.de-card.bad{border-left-color:var(--bad)}"
        ".de-card.odd{border-left-color:var(--odd)}"
        ".de-card p{margin:.2em 0 .4em}.de-card .head{font-size:15px}"
        ".de-card .head.good b,.de-card b.good{color:var(--good)}"
        ".de-card .head.bad b,.de-card b.bad{color:var(--bad)}"
        ".de-card .head.odd b,.de-card b.odd{color:var(--odd)}"
        ".de-card .title{font-weight:600;margin:0 .4em}"
        ".de-card .soft{color:var(--soft)}.de-card .message{font-size:15px}"
        ".de-card ul{list-style:none;margin:.3em 0!important;padding:0!important}"
        ".de-card li{margin:.1em 0;padding:0}"
        ".de-card .told{display:block;padding-left:1.3em;color:var(--soft)}"
        ".de-card code{font:.92em ui-monospace,monospace;background:none;color:var(--key);"
        "padding:0;overflow-wrap:anywhere}"
        ".de-card pre{font:13px/1.5 ui-monospace,monospace;overflow-x:auto;margin:.3em 0;"
        "color:var(--ink);background:none}"
        ".de-card pre span{display:block}"
        ".de-card .out{color:var(--bad)}.de-card .in{color:var(--good)}"
        ".de-card summary{cursor:pointer;color:var(--soft)}.de-card details{margin:.3em 0}"
        ".de-card .next{border-top:1px solid var(--line);padding-top:.4em;margin-top:.5em}"
        ".de-card progress{width:8em;height:.8em;accent-color:var(--good)}"
    )
    + "</style>"
)
