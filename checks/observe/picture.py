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
    "begin": ("┌", "begin"),
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
_ANSWERED = "the client has its answer"
_EMPTY = (
    "Nothing was recorded. Send a request inside the `with trace(app, engine) as seen:` block, to "
    "that app, and give trace the engine that it uses."
)
_MOST_ROWS = 60  # rows of one request drawn before the rest is folded away


@dataclass
class _Row:
    """One line of the picture: an event, or several of the same statement."""

    event: _Event
    same: list[_Event] = field(default_factory=list)
    late: bool = False  # the client had its answer before this

    @property
    def total_ms(self) -> float:
        return sum(one.detail.get("ms") or 0 for one in (self.event, *self.same))

    @property
    def total_rows(self) -> int:
        return sum(one.detail.get("rows") or 0 for one in (self.event, *self.same))


@dataclass
class _Group:
    """What is drawn together: one request, or several that overlap, or what came between."""

    events: list[_Event]
    tagged: bool  # more than one request: each row says which

    @property
    def start(self) -> float:
        return self.events[0].at_ms

    @property
    def rows(self) -> list[_Row]:
        rows: list[_Row] = []
        answered: set[int] = set()
        for event in self.events:
            if event.kind == "request" and not self.tagged:
                continue  # it is the heading
            last = rows[-1] if rows else None
            if last and _repeats(last.event, event):
                last.same.append(event)
                continue
            late = event.request in answered
            rows.append(_Row(event, late=late))
            if event.kind == "body":
                answered.add(event.request)
        return rows


# -- HTML -----------------------------------------------------------------------------------------
def as_html(timeline: Iterable[_Event], marks: Collection[str] = ()) -> str:
    """The timeline as HTML that stands on its own, readable in light and dark.

    Args:
        timeline: The events.
        marks: Kinds of event to point at.
    """
    events = list(timeline)
    if not events:
        return f'<div class="de-timeline">{STYLE}<p>{_code(_EMPTY)}</p></div>'
    drawn = "".join(_group_html(group, marks) for group in _groups(events))
    return f'<div class="de-timeline">{STYLE}{drawn}</div>'


def _group_html(group: _Group, marks: Collection[str]) -> str:
    several = _several(group.events)
    lines: list[str] = []
    for row, following in _with_next(group.rows):
        lines.append(_row_html(row, group, marks, several))
        if row.event.kind == "body" and following and following.late:
            lines.append(f'<li class="answered"><span>{_ANSWERED}</span></li>')
    shown, rest = lines[:_MOST_ROWS], lines[_MOST_ROWS:]
    listed = f"<ol>{''.join(shown)}</ol>"
    if rest:
        listed += (
            f"<details><summary>{len(rest)} more events</summary><ol>{''.join(rest)}</ol></details>"
        )
    return f"<section>{_heading_html(group)}{listed}</section>"


def _heading_html(group: _Group) -> str:
    if group.tagged or group.events[0].kind != "request":
        return ""
    asked = group.events[0].detail
    status = _status(group.events)
    tone = "bad" if status >= 500 or not status else "odd" if status >= 400 else "good"
    answer = str(status) if status else "no response"
    return (
        f'<p class="request"><b>{escape(str(asked.get("method")))}</b> '
        f"{escape(str(asked.get('path')))} "
        f'<span class="status {tone}">{answer}</span> '
        f'<span class="ms">{_ms(group.events[-1].at_ms - group.start)}</span></p>'
    )


def _row_html(row: _Row, group: _Group, marks: Collection[str], several: set[str]) -> str:
    event = row.event
    sign, word = _WORDS.get(event.kind, ("?", escape(event.kind)))
    failed = event.detail.get("failed")
    classes = [escape(event.kind)]
    if failed or event.kind == "error":
        classes.append("failed")
    if row.late and event.kind in ("commit", "sql", "error"):
        classes.append("late")
    if event.kind in marks:
        classes.append("marked")
    tag = f'<span class="tag">#{event.request}</span>' if group.tagged else ""
    return (
        f'<li class="{" ".join(classes)}">'
        f'<span class="at">+{_ms(event.at_ms - group.start)}</span>{tag}'
        f'<span class="kind"><i aria-hidden="true">{sign}</i> {word}</span>'
        f'<span class="what">{_detail_html(row, several)}'
        f"{_failure_html(failed)}</span></li>"
    )


def _failure_html(failed: Any) -> str:
    return f' <strong class="refused">refused: {escape(str(failed))}</strong>' if failed else ""


def _detail_html(row: _Row, several: set[str]) -> str:
    event, detail = row.event, row.event.detail
    if event.kind == "sql":
        count = f' <b class="times">× {len(row.same) + 1}</b>' if row.same else ""
        facts = _facts(row)
        params = _params(detail)
        sql = f"<code>{_sql_html(str(detail.get('sql', '')))}</code>{count}"
        if not row.same:
            asked = f' <span class="params">{escape(params)}</span>' if params else ""
            return f'{sql}{asked} <span class="ms">{facts}</span>'
        every = "".join(
            f"<li>{escape(_params(one.detail))}</li>" for one in (event, *row.same)[:_MOST_ROWS]
        )
        return (
            f'<details><summary>{sql} <span class="ms">{facts}</span></summary>'
            f'<ul class="params">{every}</ul></details>'
        )
    return escape(_detail_text(row, several))


def _sql_html(sql: str) -> str:
    pieces = []
    for token, text in SqlLexer(stripnl=False, ensurenl=False).get_tokens(sql):
        shown = escape(text)
        if token in Token.Keyword:
            shown = f"<b>{shown}</b>"
        elif token in Token.Literal.String or token in Token.Literal.Number:
            shown = f"<em>{shown}</em>"
        pieces.append(shown)
    return "".join(pieces).replace("</b> <b>", " ")


# -- plain text -----------------------------------------------------------------------------------
def as_text(timeline: Iterable[_Event], marks: Collection[str] = (), width: int = 100) -> str:
    """The timeline as plain text.

    Args:
        timeline: The events.
        marks: Kinds of event to point at.
        width: Where lines break, in characters.
    """
    events = list(timeline)
    if not events:
        return _EMPTY
    lines: list[str] = []
    for group in _groups(events):
        if lines:
            lines.append("")
        lines += _group_text(group, marks, width)
    return "\n".join(lines)


def _group_text(group: _Group, marks: Collection[str], width: int) -> Iterator[str]:
    first = group.events[0]
    if first.kind == "request" and not group.tagged:
        status = _status(group.events) or "no response"
        took = _ms(group.events[-1].at_ms - group.start)
        yield f"{first.detail.get('method')} {first.detail.get('path')}  {status}  {took}"
    several = _several(group.events)
    for row, following in _with_next(group.rows):
        event = row.event
        sign, word = _WORDS.get(event.kind, ("?", event.kind))
        point = "→" if event.kind in marks else " "
        tag = f"#{event.request} " if group.tagged else ""
        head = f"{point}{'+' + _ms(event.at_ms - group.start):>10} {tag}{sign} {word:<15} "
        text = _detail_text(row, several)
        if failed := event.detail.get("failed"):
            text = f"{text}  REFUSED: {failed}".strip()
        yield (
            textwrap.fill(
                text,
                width,
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
            ).rstrip()
            or head.rstrip()
        )
        if event.kind == "body" and following and following.late:
            yield f"{'':>12}{' ' + _ANSWERED + ' ':-^44}"


def _detail_text(row: _Row, several: set[str]) -> str:
    event, detail = row.event, row.event.detail
    match event.kind:
        case "sql":
            count = f" × {len(row.same) + 1}" if row.same else ""
            params = "" if row.same else _params(detail)
            pieces = (f"{detail.get('sql', '')}{count}", params, _facts(row))
            return "  ".join(piece for piece in pieces if piece)
        case "request":
            return f"{detail.get('method')} {detail.get('path')}"
        case "response":
            return str(detail.get("status"))
        case "error":
            place = f" at {detail['where']}" if detail.get("where") else ""
            return f"{detail.get('type')}: {detail.get('message')}{place}"
        case "note":
            return str(detail.get("text"))
        case "savepoint" | "release" | "rollback_to":
            return str(detail.get("name"))
        case "chunk":
            return f"× {len(row.same) + 1}" if row.same else f"{detail.get('size')} bytes"
        case "body":
            return f"{detail.get('size')} bytes"
        case "begin":
            spelt = detail.get("sql") or ""
            return spelt if spelt.upper() != "BEGIN" else ""
        case "session_open" | "session_close":
            number = f"session {detail.get('session')}" if "session" in several else ""
            again = "again, after it was closed" if detail.get("reopened") else ""
            return " ".join(piece for piece in (number, again) if piece)
        case "checkout" | "checkin" | "commit" | "rollback":
            return f"connection {detail.get('connection')}" if "connection" in several else ""
    return ""


# -- shared ---------------------------------------------------------------------------------------
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
    return bool(last.detail.get("sql") == event.detail.get("sql"))


def _several(events: Iterable[_Event]) -> set[str]:
    """Which of sessions and connections there is more than one of, so that they need numbers."""
    found: dict[str, set[Any]] = {"session": set(), "connection": set()}
    for event in events:
        for name, numbers in found.items():
            if name in event.detail:
                numbers.add(event.detail[name])
    return {name for name, numbers in found.items() if len(numbers) > 1}


def _with_next(rows: list[_Row]) -> Iterator[tuple[_Row, _Row | None]]:
    following: list[_Row | None] = [*rows[1:], None]
    return zip(rows, following, strict=False)  # no rows: a request, and nothing that it did


def _status(events: Iterable[_Event]) -> int:
    statuses = [event.detail.get("status") for event in events if event.kind == "response"]
    return statuses[-1] if statuses and isinstance(statuses[-1], int) else 0


def _facts(row: _Row) -> str:
    facts = []
    if any(one.detail.get("rows") is not None for one in (row.event, *row.same)):
        rows = row.total_rows
        facts.append("1 row" if rows == 1 else f"{rows} rows")
    if any(one.detail.get("ms") is not None for one in (row.event, *row.same)):
        facts.append(_ms(row.total_ms))
    return ", ".join(facts)


def _params(detail: dict[str, Any]) -> str:
    params, many = detail.get("params"), detail.get("many")
    if many:
        sets = [_set(one) for one in params] if isinstance(params, list) else []
        more = ", …" if many > len(sets) else ""
        return f"{many} sets: " + "; ".join(sets) + more
    return _set(params)


def _set(params: Any) -> str:
    if isinstance(params, dict):
        return ", ".join(f"{name}={value!r}" for name, value in params.items())
    if isinstance(params, list):
        return ", ".join(repr(value) for value in params)
    return "" if params is None else repr(params)


def _ms(value: float) -> str:
    """Milliseconds with their unit, always spelt the same way: stored outputs are sanitised."""
    return f"{value:.1f} ms"


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


_LIGHT = (
    "--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#c1121f;--odd:#8a5a00;"
    "--key:#0550ae;--value:#0a6b5b;--late:#fff1e5;--mark:#fff8c5"
)
_DARK = (
    "--ink:#e6edf3;--soft:#9da7b3;--line:#3d444d;--good:#57d364;--bad:#ff8a82;--odd:#e3b341;"
    "--key:#79c0ff;--value:#7ee0c6;--late:#3d2314;--mark:#3b3200"
)


def themed(scope: str) -> str:
    """The colours of a class of ours, in light and dark, wherever the page says which it is."""
    dark = (
        f"[data-jp-theme-light=false] {scope},.vscode-dark {scope},"
        f"[data-md-color-scheme=slate] {scope}"
    )
    unsaid = "body:not([data-jp-theme-light]):not([data-md-color-scheme]):not(.vscode-light)"
    return (
        f"{scope}{{{_LIGHT}}}{dark}{{{_DARK}}}"
        f"@media(prefers-color-scheme:dark){{{unsaid} {scope}{{{_DARK}}}}}"
    )


STYLE = (
    "<style>"
    + themed(".de-timeline")
    + (
        ".de-timeline{color:var(--ink);font:13px/1.5 system-ui,sans-serif;max-width:60em}"
        ".de-timeline section{margin:.3em 0 .9em;border-left:3px solid var(--line);"
        "padding-left:.7em}"
        ".de-timeline .request{margin:0 0 .2em;font-size:14px}"
        ".de-timeline .status{font-weight:700;padding:0 .4em;border:1px solid;border-radius:.3em}"
        ".de-timeline .good{color:var(--good)}.de-timeline .bad{color:var(--bad)}"
        ".de-timeline .odd{color:var(--odd)}"
        ".de-timeline ol{list-style:none;margin:0!important;padding:0!important}"
        ".de-timeline li{display:flex;flex-wrap:wrap;gap:0 .7em;margin:0!important;padding:0 .3em;"
        "border-radius:.25em}"
        ".de-timeline .at{flex:0 0 5.2em;text-align:right;font-variant-numeric:tabular-nums}"
        ".de-timeline .at,.de-timeline .ms,.de-timeline .params{color:var(--soft)}"
        ".de-timeline .kind{flex:0 0 9.2em;white-space:nowrap}"
        ".de-timeline .kind i{display:inline-block;width:1.2em;font-style:normal;text-align:center}"
        ".de-timeline .what{flex:1 1 15em;min-width:0;overflow-wrap:anywhere}"
        ".de-timeline code{font:12px/1.5 ui-monospace,monospace;background:none;padding:0;"
        "color:inherit;white-space:normal}"
        ".de-timeline code b{color:var(--key);font-weight:600}"
        ".de-timeline code em{color:var(--value);font-style:normal}"
        ".de-timeline .times{color:var(--odd);font-size:14px}"
        ".de-timeline .commit .kind{color:var(--good);font-weight:700}"
        ".de-timeline .rollback .kind,.de-timeline .rollback_to .kind{color:var(--odd);"
        "font-weight:700}"
        ".de-timeline .response .kind,.de-timeline .body .kind{font-weight:700}"
        ".de-timeline .failed .kind,.de-timeline .refused{color:var(--bad);font-weight:700}"
        ".de-timeline .late{background:var(--late)}"
        ".de-timeline .marked{background:var(--mark);outline:1px solid var(--odd)}"
        ".de-timeline .marked .at::before{content:'→ ';color:var(--odd);font-weight:700}"
        ".de-timeline .answered{align-items:center;color:var(--soft);font-style:italic}"
        ".de-timeline .answered::before,.de-timeline .answered::after{content:'';flex:1;"
        "border-top:2px dashed var(--odd)}"
        ".de-timeline details>summary{cursor:pointer}"
        ".de-timeline ul.params{margin:.1em 0 .3em 1.2em!important;padding:0!important;"
        "list-style:disc}"
        ".de-timeline ul.params li{display:list-item}"
        ".de-timeline .tag{color:var(--key);font-weight:700}"
    )
    + "</style>"
)
