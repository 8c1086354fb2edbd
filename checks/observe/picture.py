"""The timeline as a picture: HTML for notebooks and pages, plain text for terminals."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from typing import Any, Protocol

from pygments.lexers.sql import SqlLexer
from pygments.token import Token


class _Event(Protocol):
    kind: str
    at_ms: float
    request: int
    detail: dict[str, Any]


# What each kind is called, and a sign for it. The word says it; the sign only helps the eye.
_WORDS = {
    "request": ("▶", "request"),
    "session_open": ("◇", "session opened"),
    "checkout": ("↗", "connection out"),
    "begin": ("○", "begin"),
    "sql": ("≡", "SQL"),
    "savepoint": ("⚑", "savepoint"),
    "release": ("⚐", "release"),
    "rollback_to": ("↶", "roll back to"),
    "commit": ("✔", "commit"),
    "rollback": ("↩", "rollback"),
    "error": ("✖", "exception"),
    "response": ("◀", "response"),
    "chunk": ("‹", "chunk"),
    "body": ("■", "body sent"),
    "checkin": ("↙", "connection back"),
    "session_close": ("◆", "session closed"),
    "note": ("✎", "note"),
}
_EMPTY = (
    "Nothing was recorded. Send a request inside the `with trace(app, engine) as seen:` block, to "
    "that app, and give trace the engine that it uses."
)
_MOST_ROWS = 60  # rows of one request drawn before the rest is folded away
_MOST_LANES = 4  # requests at once that get a column of their own
_LONGEST_SQL = 1200  # characters drawn of a statement; `seen.statements` has it all
_LONGEST_TEXT = 400  # and of anything else
_FACTS_ROOM = 22  # characters kept for rows and time, so that lines break alike whatever they are


@dataclass
class _Row:
    """One line of the picture: an event, or several of the same statement."""

    event: _Event
    same: list[_Event] = field(default_factory=list)
    late: bool = False  # the client had its answer before this
    last_word: bool = False  # the last byte has left, and the request still goes on
    within: str = ""  # where in a transaction: "first", "inside", "last", or outside of any

    @property
    def events(self) -> list[_Event]:
        return [self.event, *self.same]

    @property
    def times(self) -> str:
        return f"× {len(self.events)}" if self.same and self.event.kind == "sql" else ""

    @property
    def sign(self) -> str:
        return "✖" if self.failed else _WORDS.get(self.event.kind, ("?", ""))[0]

    @property
    def word(self) -> str:
        return _WORDS.get(self.event.kind, ("?", _text(self.event.kind)))[1]

    @property
    def blocks(self) -> str:
        """Where the event loop was held up; empty where it was not."""
        if not self.event.detail.get("blocks"):
            return ""
        place = _text(self.event.detail.get("where") or "")
        return f"on the event loop: everybody waits{f', {place}' if place else ''}"

    @property
    def failed(self) -> str:
        refused = self.event.detail.get("failed")
        return _text(refused) if refused else ""


@dataclass
class _Group:
    """What is drawn together: one request, or several that overlap, or what came between."""

    events: list[_Event]
    tagged: bool  # more than one request: each row says which

    def at(self, event: _Event) -> str:
        """How long after the beginning something happened."""
        return _ms(_number(event.at_ms) - _number(self.events[0].at_ms))

    @property
    def requested(self) -> bool:
        return self.events[0].kind == "request" and not self.tagged

    @property
    def lanes(self) -> list[int]:
        """The requests, in the order in which they came; none where there are too many."""
        numbers = list(dict.fromkeys(one.request for one in self.events if one.request))
        return numbers if len(numbers) <= _MOST_LANES else []

    def lane(self, row: _Row) -> int:
        """The column of a row's request, from 0."""
        return self.lanes.index(row.event.request) if row.event.request in self.lanes else 0

    @property
    def rows(self) -> list[_Row]:
        rows: list[_Row] = []
        bodies: dict[int, _Row] = {}
        for event in self.events:
            if event.kind == "request" and not self.tagged:
                continue  # it is the heading
            last = rows[-1] if rows else None
            if last and _repeats(last.event, event):
                last.same.append(event)
                continue
            row = _Row(event)
            rows.append(row)
            if answered := bodies.get(event.request):
                row.late = answered.last_word = True
            elif event.kind == "body" and event.request:
                bodies[event.request] = row
        if not self.tagged:
            _bracket(rows)
        return rows


def _bracket(rows: Iterable[_Row]) -> None:
    """Mark which rows stand in a transaction, from its begin to its end."""
    open_on: Any = None
    since: list[_Row] = []
    for row in rows:
        kind, connection = row.event.kind, row.event.detail.get("connection")
        if open_on is None:
            if kind == "begin" and connection is not None and not row.failed:
                open_on, since = connection, [row]
            continue
        since.append(row)
        if kind in ("commit", "rollback") and connection == open_on:
            for inside in since:
                inside.within = "inside"
            since[0].within, since[-1].within = "first", "last"
            open_on = None


# -- HTML -----------------------------------------------------------------------------------------
def as_html(timeline: Iterable[_Event], marks: Collection[str] = ()) -> str:
    """The timeline as HTML that stands on its own, readable in light and dark.

    Without its styles, as in a notebook that is not trusted, it still reads as a list.

    Args:
        timeline: The events.
        marks: Kinds of event to point at; `sql UPDATE` means statements that begin so, and
            `session_open again` a session that was used after it had been closed.
    """
    events = list(timeline)
    if not events:
        return f'<div class="de-timeline">{STYLE}<p>{_code(_EMPTY)}</p></div>'
    drawn = "".join(_group_html(group, marks) for group in _groups(events))
    return f'<div class="de-timeline">{STYLE}{drawn}</div>'


def _is_marked(event: _Event, marks: Collection[str]) -> bool:
    if event.kind in marks:
        return True
    if event.kind == "session_open":
        return bool(event.detail.get("reopened")) and "session_open again" in marks
    begins = [mark[4:].upper() for mark in marks if mark.startswith("sql ")]
    return event.kind == "sql" and str(event.detail.get("sql")).upper().startswith(tuple(begins))


def _group_html(group: _Group, marks: Collection[str]) -> str:
    several = _several(group)
    lines: list[str] = []
    for row in group.rows:
        lines.append(_row_html(row, group, marks, several))
        if row.last_word:
            inside = "inside" if row.within in ("first", "inside") else ""
            lines.append(
                f'<li class="answered"><span class="at"></span><span class="in {inside}"></span>'
                f"<span>{_answered(row, group)}</span></li>"
            )
    shown, rest = lines[:_MOST_ROWS], lines[_MOST_ROWS:]
    listed = f"<ol>{''.join(shown)}</ol>"
    if rest:
        listed += (
            f"<details><summary>{len(rest)} more events</summary><ol>{''.join(rest)}</ol></details>"
        )
    return f"<section>{_heading_html(group)}{listed}</section>"


def _heading_html(group: _Group) -> str:
    if not group.requested:
        return ""
    method, path, status, facts = _heading(group)
    code = _status(group.events)
    tone = "bad" if code >= 500 or not code else "odd" if code >= 400 else "good"
    return (
        f'<p class="asked"><b>{escape(method)}</b> {escape(path)} '
        f'<span class="status {tone}">{status}</span> <span class="facts">{facts}</span></p>'
    )


def _row_html(row: _Row, group: _Group, marks: Collection[str], several: set[str]) -> str:
    event = row.event
    classes = [event.kind] if event.kind in _WORDS else []
    if row.failed or event.kind == "error":
        classes.append("failed")
    if row.late and event.kind in ("commit", "sql", "error"):
        classes.append("late")
    marked = _is_marked(event, marks)
    if marked:
        classes.append("marked")
    cells = [f'<span class="at">{"<b>→</b> " if marked else ""}+{group.at(event)}</span>']
    if group.tagged:
        tag = f"#{event.request}" if event.request else ""
        cells.append(f'<span class="tag lane{group.lane(row)}">{tag}</span>')
    else:
        cells.append(f'<span class="in {row.within}"></span>')
    times = f" <b>{row.times}</b>" if row.times else ""
    cells.append(
        f'<span class="kind"><i aria-hidden="true">{row.sign}</i> {escape(row.word)}{times}</span>'
    )
    alarms = [row.blocks, f"refused: {row.failed}" if row.failed else ""]
    said = "".join(f" <strong>{escape(alarm)}</strong>" for alarm in alarms if alarm)
    if what := _detail_html(row, several) + said:
        cells.append(f'<span class="what">{what}</span>')
    if facts := _facts(row):
        cells.append(f'<span class="facts">{facts}</span>')
    return f'<li class="{" ".join(classes)}">{" ".join(cells)}</li>'


def _detail_html(row: _Row, several: set[str]) -> str:
    if row.event.kind != "sql":
        return escape(_detail(row, several))
    sql = f"<code>{_sql_html(_sql(row))}</code>"
    if task := _task(row, several):
        sql += f" <b>{task}</b>"
    if not row.same:
        params = _params(row.event.detail)
        return f'{sql} <span class="params">with {escape(params)}</span>' if params else sql
    each = [_params(one.detail) for one in row.events]
    if not any(each):
        return sql
    listed = "".join(f"<li>{escape(params)}</li>" for params in each[:_MOST_ROWS])
    more = f"<li>and {len(each) - _MOST_ROWS} more</li>" if len(each) > _MOST_ROWS else ""
    return f'<details><summary>{sql}</summary><ul class="params">{listed}{more}</ul></details>'


def _sql_html(sql: str) -> str:
    pieces = []
    for token, text in SqlLexer(stripnl=False, ensurenl=False).get_tokens(sql):
        shown = escape(text)
        if token in Token.Keyword:
            shown = f"<b>{shown}</b>"
        elif token in Token.Literal.String or token in Token.Literal.Number:
            shown = f"<em>{shown}</em>"
        elif token in Token.Comment:
            shown = f"<i>{shown}</i>"
        pieces.append(shown)
    return "".join(pieces).replace("</b> <b>", " ")


# -- plain text -----------------------------------------------------------------------------------
_BRACKET = {"first": "┌", "inside": "│", "last": "└"}


def as_text(timeline: Iterable[_Event], marks: Collection[str] = (), width: int = 100) -> str:
    """The timeline as plain text.

    Args:
        timeline: The events.
        marks: Kinds of event to point at; `sql UPDATE` means statements that begin so, and
            `session_open again` a session that was used after it had been closed.
        width: Where lines break, in characters.
    """
    events = list(timeline)
    if not events:
        return _EMPTY
    return "\n\n".join(
        "\n".join(line.rstrip() for line in _group_text(group, marks, width))
        for group in _groups(events)
    )


def _group_text(group: _Group, marks: Collection[str], width: int) -> Iterator[str]:
    if group.requested:
        method, path, status, facts = _heading(group)
        yield f"{method} {path}  {status}  {facts}"
    several = _several(group)
    lanes = max(1, len(group.lanes))
    for row in group.rows:
        event = row.event
        point = "→" if _is_marked(event, marks) else " "
        if group.tagged:
            tag = f"#{event.request}" if event.request else ""
            side = f"{'   ' * group.lane(row)}{tag}".ljust(3 * lanes)
        else:
            side = _BRACKET.get(row.within, "").ljust(2)
        called = f"{row.word} {row.times}".rstrip()
        head = f"{point}{'+' + group.at(event):>10} {side}{row.sign} {called:<15} "
        yield from _filled(head, _pieces(row, several), _facts(row), width)
        if row.last_word:
            inside = "│ " if row.within in ("first", "inside") else ""
            yield f"{'':>12}{inside}{' ' + _answered(row, group) + ' ':-^44}"


def _filled(head: str, pieces: Iterable[str], facts: str, width: int) -> Iterator[str]:
    """Pieces beside their head, each on a line of its own where it does not fit the last one.

    The facts stand at the end, or on a new line.
    """
    inner = max(20, width - len(head))
    lines = [""]
    for piece in pieces:
        if not lines[-1]:
            lines.pop()
        elif len(lines[-1]) + 2 + len(piece) <= inner:
            piece = f"{lines.pop()}  {piece}"
        lines += textwrap.wrap(piece, inner, break_long_words=False) or [""]
    if facts and lines[-1] and len(lines[-1]) + _FACTS_ROOM > inner:
        lines.append("")
    if facts:
        lines[-1] = f"{lines[-1]}  ({facts})".strip()
    for number, line in enumerate(lines):
        yield (head if number == 0 else " " * len(head)) + line


def _pieces(row: _Row, several: set[str]) -> Iterator[str]:
    if row.event.kind == "sql":
        yield _sql(row)
        if task := _task(row, several):
            yield task
        if not row.same and (params := _params(row.event.detail)):
            yield f"with {params}"
    elif detail := _detail(row, several):
        yield detail
    if row.blocks:
        yield row.blocks[:17].upper() + row.blocks[17:]
    if row.failed:
        yield f"REFUSED: {row.failed}"


# -- what both say --------------------------------------------------------------------------------
def _heading(group: _Group) -> tuple[str, str, str, str]:
    """Method, path, status and, in a line, what else there is to know of a request."""
    asked = group.events[0].detail
    sent = sum(event.kind == "sql" for event in group.events)
    took = group.at(group.events[-1])
    return (
        _text(asked.get("method")),
        _text(asked.get("path")),
        str(_status(group.events) or "no response"),
        ", ".join([*([_count(sent, "statement")] if sent else []), took]),
    )


def _answered(row: _Row, group: _Group) -> str:
    return f"the client{f' of #{row.event.request}' if group.tagged else ''} has its answer"


def _detail(row: _Row, several: set[str]) -> str:
    """What there is to say of anything but a statement."""
    event, detail = row.event, row.event.detail
    match event.kind:
        case "request":
            return f"{_text(detail.get('method'))} {_text(detail.get('path'))}"
        case "response":
            return _text(detail.get("status"))
        case "error":
            place = f" at {_text(detail['where'])}" if detail.get("where") else ""
            said = _DRIVERS.sub("", _text(detail.get("message")))
            return f"{_text(detail.get('type'))}: {said}{place}"
        case "note":
            return _text(detail.get("text"))
        case "savepoint" | "release" | "rollback_to":
            return _text(detail.get("name"))
        case "chunk":
            size = _count(sum(_number(one.detail.get("size")) for one in row.events), "byte")
            said = f"× {len(row.events)}, {size}" if row.same else size
            read = _number(detail.get("read"))
            return f"{said}, the first after {_count(read, 'row')}" if read else said
        case "body":  # the end of a stream has none
            last = _number(detail.get("size"))
            return _count(last, "byte") if last else ""
        case "begin":
            spelt = _text(detail.get("sql") or "")
            return spelt if spelt.upper() != "BEGIN" else ""
        case "session_open" | "session_close":
            number = f"session {_text(detail.get('session'))}" if "session" in several else ""
            again = "again, after it was closed" if detail.get("reopened") else ""
            return " ".join(piece for piece in (number, again) if piece)
        case "checkout" | "checkin" | "commit" | "rollback":
            connection = detail.get("connection")
            return (
                f"connection {_text(connection)}" if "connection" in several and connection else ""
            )
    return ""


# SQLAlchemy puts the driver's own error in front: "(sqlite3.IntegrityError) UNIQUE constraint ...".
_DRIVERS = re.compile(r"^\([\w.]+\) ")
_VALUES = re.compile(r"(\((?:\?|%s)(?:, (?:\?|%s))*\))((?:, \1){2,})")


def _sql(row: _Row) -> str:
    """A statement; the many equal rows of one INSERT are counted rather than drawn."""
    sql = _text(row.event.detail.get("sql", ""), _LONGEST_SQL * 20)
    counted = _VALUES.sub(lambda m: f"{m[1]}, … × {m[2].count(m[1]) + 1}", sql)
    return counted if len(counted) <= _LONGEST_SQL else counted[: _LONGEST_SQL - 1] + "…"


def _task(row: _Row, several: set[str]) -> str:
    """Who sent a statement, where there is more than one task."""
    number = row.event.detail.get("task")
    return f"task {_text(number)}" if "task" in several and number is not None else ""


def _groups(events: Sequence[_Event]) -> list[_Group]:
    runs = [list(run) for _, run in groupby(events, key=lambda event: event.request)]
    numbers = [run[0].request for run in runs if run[0].request]
    if len(numbers) == len(set(numbers)):
        return [_Group(run, tagged=False) for run in runs]
    return [_Group(list(events), tagged=True)]


def _repeats(last: _Event, event: _Event) -> bool:
    if last.kind != event.kind or last.request != event.request:
        return False
    if event.kind == "chunk":
        return True
    if event.kind != "sql" or last.detail.get("failed") or event.detail.get("failed"):
        return False
    same = ("sql", "task", "blocks", "where")
    return all(last.detail.get(name) == event.detail.get(name) for name in same)


def _several(group: _Group) -> set[str]:
    """What there is more than one of, so that it needs numbers: sessions, connections, tasks."""
    found: dict[str, set[str]] = {"session": set(), "connection": set()}
    if not group.tagged:  # each request is a task, and their numbers say it all
        found["task"] = set()
    for event in group.events:
        for name, numbers in found.items():
            if event.detail.get(name) is not None:
                numbers.add(str(event.detail[name]))
    return {name for name, numbers in found.items() if len(numbers) > 1}


def _status(events: Iterable[_Event]) -> int:
    statuses = [event.detail.get("status") for event in events if event.kind == "response"]
    return statuses[-1] if statuses and type(statuses[-1]) is int else 0


def _facts(row: _Row) -> str:
    facts = []
    if any(one.detail.get("rows") is not None for one in row.events):
        facts.append(_count(sum(_number(one.detail.get("rows")) for one in row.events), "row"))
    if any(one.detail.get("ms") is not None for one in row.events):
        facts.append(_ms(sum(_number(one.detail.get("ms")) for one in row.events)))
    return ", ".join(facts)


def _params(detail: dict[str, Any]) -> str:
    params, many = detail.get("params"), detail.get("many")
    if not many:
        return _set(params)
    sets = [_set(one) for one in params] if isinstance(params, list) else []
    more = "; …" if _number(many) > len(sets) else ""
    return f"{_count(_number(many), 'set')}: " + "; ".join(sets) + more


def _set(params: Any) -> str:
    if isinstance(params, dict):
        return ", ".join(f"{_text(name)}={_value(value)}" for name, value in params.items())
    if isinstance(params, list):
        return ", ".join(_value(value) for value in params)
    return "" if params is None else _value(params)


def _value(value: Any) -> str:
    return _text(value if value == "•••" else repr(value))


def _count(number: float, noun: str) -> str:
    return f"{number:.0f} {noun}{'' if number == 1 else 's'}"


def _number(value: Any) -> float:
    """A number that can be drawn; 0 for what a timeline from elsewhere may hold instead."""
    usable = isinstance(value, int | float) and abs(value) < 1e15
    return value if usable else 0


def _ms(value: float) -> str:
    """Milliseconds with their unit, always spelt the same way: stored outputs are sanitised."""
    return f"{_number(value):.1f} ms"


_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def _text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    """Any text in a line, with nothing in it that steers a terminal or a page."""
    text = " ".join(str(value)[: longest + 1].split())
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return _UNSEEN.sub(lambda m: chr(0x2400 + ord(m[0])) if m[0] < " " else "\ufffd", short)


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


# Checked by a test: on each ground of its theme every colour of text has the contrast of WCAG AA.
LIGHT = {
    "ink": "#1f2328",
    "soft": "#59636e",
    "line": "#d1d9e0",
    "good": "#1a7f37",
    "bad": "#c1121f",
    "odd": "#8a5a00",
    "key": "#0550ae",
    "value": "#0a6b5b",
    "late": "#fff1e5",
    "mark": "#fff8c5",
}
DARK = {
    "ink": "#e6edf3",
    "soft": "#9da7b3",
    "line": "#3d444d",
    "good": "#57d364",
    "bad": "#ff8a82",
    "odd": "#e3b341",
    "key": "#79c0ff",
    "value": "#7ee0c6",
    "late": "#3d2314",
    "mark": "#3b3200",
}


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in colours.items())


def themed(scope: str) -> str:
    """The colours of a class of ours, in light and dark, wherever the page says which it is."""
    dark = (
        f"[data-jp-theme-light=false] {scope},.vscode-dark {scope},"
        f".vscode-high-contrast:not(.vscode-high-contrast-light) {scope},"
        f"[data-md-color-scheme=slate] {scope}"
    )
    unsaid = (
        "body:not([data-jp-theme-light]):not([data-md-color-scheme]):not(.vscode-light)"
        ":not(.vscode-high-contrast-light)"
    )
    return (
        f"{scope}{{{_variables(LIGHT)}}}{dark}{{{_variables(DARK)}}}"
        f"@media(prefers-color-scheme:dark){{{unsaid} {scope}{{{_variables(DARK)}}}}}"
    )


def _scoped(rules: str) -> str:
    """Rules that hold within a timeline only: one a line, `selector{...}`."""
    return "".join(f".de-timeline {rule.strip()}" for rule in rules.strip().splitlines())


STYLE = (
    "<style>"
    + themed(".de-timeline")
    + ".de-timeline{color:var(--ink);font:13px/1.5 system-ui,sans-serif;max-width:66em;"
    "container-type:inline-size}"
    + _scoped(
        """
        section{margin:.3em 0 .9em;border-left:3px solid var(--line);padding-left:.7em}
        .asked{margin:0 0 .2em;font-size:14px;overflow-wrap:anywhere}
        .status{font-weight:700;padding:0 .4em;border:1px solid;border-radius:.3em}
        .good{color:var(--good)}
        .bad{color:var(--bad)}
        .odd{color:var(--odd)}
        ol{list-style:none;margin:0!important;padding:0!important}
        ol>li{display:flex;gap:0 .7em;margin:0!important;padding:0 .3em;border-radius:.25em}
        .at{flex:0 0 5.6em;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
        .at,.de-timeline .facts,.de-timeline .params{color:var(--soft)}
        .at b{color:var(--odd)}
        .in{flex:0 0 .5em;margin-right:-.3em;box-sizing:border-box}
        .first,.de-timeline .inside,.de-timeline .last{border-left:2px solid var(--soft)}
        .first{border-top:2px solid var(--soft);margin-top:.65em;border-radius:4px 0 0}
        .last{border-bottom:2px solid var(--soft);margin-bottom:.65em;border-radius:0 0 0 4px}
        .tag{color:var(--key);font-weight:700}
        .lane1{padding-left:2em}
        .lane2{padding-left:4em}
        .lane3{padding-left:6em}
        .kind{flex:0 0 10.2em;white-space:nowrap}
        .kind i{display:inline-block;width:1.2em;font-style:normal;text-align:center}
        .kind b{color:var(--odd);font-size:14px}
        .what{flex:1 1 0;min-width:0;overflow-wrap:anywhere}
        .what .params{display:block}
        ol .facts{margin-left:auto;text-align:right;white-space:nowrap}
        .what code{font:12px/1.5 ui-monospace,monospace;white-space:normal}
        .what code{background:none!important;padding:0!important;color:inherit}
        code b{color:var(--key);font-weight:600}
        code em{color:var(--value);font-style:normal}
        .commit .kind{color:var(--good);font-weight:700}
        .rollback .kind,.de-timeline .rollback_to .kind{color:var(--odd);font-weight:700}
        .response .kind,.de-timeline .body .kind{font-weight:700}
        .failed .kind,.de-timeline .what strong{color:var(--bad);font-weight:700}
        .late{background:var(--late)}
        .marked{background:var(--mark);outline:1px solid var(--odd)}
        .answered{color:var(--soft);font-style:italic}
        .answered span:last-child{flex:1;display:flex;align-items:center;gap:.7em}
        .answered span:last-child::before{content:'';flex:1;border-top:2px dashed var(--odd)}
        .answered span:last-child::after{content:'';flex:1;border-top:2px dashed var(--odd)}
        summary{cursor:pointer}
        ul.params{margin:.1em 0 .3em 1.2em!important;padding:0!important;list-style:disc}
        """
    )
    # On a phone the time stands beside one running text.
    + "@container(max-width:34em){"
    + _scoped(
        """
        ol>li:not(.answered){display:block;padding-left:5.6em}
        .at{float:left;min-width:5em;margin:0 .4em 0 -5.5em;font-size:12px}
        .in,.de-timeline .answered .at{display:none}
        .kind{margin-right:.4em}
        ol .facts{white-space:normal}
        .what details,.de-timeline .what .params{margin-left:0}
        """
    )
    + "}</style>"
)
