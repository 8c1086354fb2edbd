"""What the pages share: whatever came with a submission made harmless, file names, the frame.

Names, messages and evidence were written by strangers. They reach a page only through here: bounded
in length, freed of characters that do not belong into a page, without paths of this machine, and
escaped. The pages hold no script and ask no other place for anything, and their policy forbids
both, should something slip through all the same.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import sys
import tempfile
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import quote

from checks import course, show
from checks.errors import CourseError
from checks.observe import picture
from checks.observe.evidence import Attempt, Observation
from checks.observe.timeline import KINDS
from checks.verdict import Finding, Status, Verdict

# -- words ----------------------------------------------------------------------------------------
_LONGEST = 2000  # characters of one text on a page
_LONGEST_NAME = 80  # characters of a learner's name on a page


def safe(text: object, longest: int = _LONGEST) -> str:
    """A stranger's text as a part of HTML: cleaned, shortened, escaped."""
    return html.escape(clean(text, longest))


def prose(text: object, longest: int = _LONGEST) -> str:
    """A text as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", safe(text, longest))


def name(learner: str) -> str:
    """A learner's name as HTML, kept from turning the direction of the text around it."""
    return f"<bdi>{safe(' '.join(learner.split()), _LONGEST_NAME) or 'no name'}</bdi>"


def clean(text: object, longest: int = _LONGEST) -> str:
    """A stranger's text without control characters and without paths of this machine."""
    cut = str(text)[: longest + 1]
    shown = "".join(one if _belongs(one) else "\N{REPLACEMENT CHARACTER}" for one in cut)
    shown = _own_paths().sub("…", shown)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _belongs(character: str) -> bool:
    if character in "\n\t":
        return True
    # Controls, lone surrogates, and what is unassigned; of the format characters the joiners only,
    # without which some scripts cannot be written.
    kind = unicodedata.category(character)
    return kind not in ("Cc", "Cs", "Cn", "Co", "Cf") or character in "\u200c\u200d"


@cache
def _own_paths() -> re.Pattern[str]:
    places = {course.root(), Path.home(), Path.cwd(), Path(tempfile.gettempdir())}
    places |= {Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent}
    own = sorted({str(place) for place in places if len(place.parts) > 1}, key=len, reverse=True)
    return re.compile("|".join(rf"{re.escape(path)}(?![\w.-])" for path in own))


# -- file names -----------------------------------------------------------------------------------
_PLAIN = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_HASHED = re.compile(r".*-[0-9a-f]{16}")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
_LONGEST_FILE = 100  # bytes of a cleaned name: Unicode takes up to four of them a character


def feedback_file(learner: str, lesson: str) -> PurePosixPath:
    """Where a learner's page on a lesson lies below the folder of all feedback.

    Args:
        learner: The learner's name, whatever it is.
        lesson: The lesson's number.
    """
    try:
        title = course.lesson(lesson).name
    except CourseError:
        title = file_name(lesson)
    return PurePosixPath(file_name(learner), f"{title}.html")


def file_name(text: str) -> str:
    """A name that every file system takes, and that no other text gets.

    A plain lower-case one stays as it is. Any other loses what may not be in a file name and gains
    the beginning of its own hash, so that `Ann Lee`, `ann/lee` and `ANN LEE` remain three.
    """
    plain = len(text) <= _LONGEST_FILE and _PLAIN.fullmatch(text)
    if plain and not _HASHED.fullmatch(text) and not _RESERVED.fullmatch(text):
        return text
    letters = unicodedata.normalize("NFC", text[: 4 * _LONGEST_FILE]).casefold()
    kept = "".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in letters)
    readable = "-".join(kept.split()).lstrip("".join(one for one in kept if _is_mark(one)))
    readable = readable.encode()[:_LONGEST_FILE].decode(errors="ignore").strip("-")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{readable or 'learner'}-{digest}"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def link(path: PurePosixPath) -> str:
    """A relative path as the value of an `href`."""
    return html.escape(quote(str(path)))


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """A file that is there whole or not at all: a temporary one, renamed when all went well.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# -- cards ----------------------------------------------------------------------------------------
TONES = {
    Status.PASSED: "good",
    Status.FAILED: "bad",
    Status.NOT_ATTEMPTED: "soft",
    Status.NOT_RUN: "odd",
    Status.TIMED_OUT: "bad",
    Status.DIED: "bad",
    Status.UNREADABLE: "bad",
    Status.FAULT: "odd",
}

_STYLES = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_MOST_EVENTS = 300  # of a timeline
_MOST_ITEMS, _DEEPEST = 30, 4  # of values in evidence
_LONGEST_VALUE = 400
_NUMBERS = ("ms", "rows", "many", "size", "session", "connection", "status")


def card(verdict: Verdict) -> str:
    """A verdict as the same card as in the notebook, its style left to the frame.

    Args:
        verdict: The verdict, with evidence of any shape.
    """
    return _STYLES.sub("", show.card_html(_harmless(verdict)))


def _harmless(verdict: Verdict) -> Verdict:
    """The verdict with clean texts, and of its evidence what the card draws, in its shape."""
    shown = _shown(verdict)
    evidence = (
        Observation(exercise=verdict.exercise, attempt=Attempt(), seen={"shown": _step(shown)})
        if shown
        else None
    )
    return verdict.model_copy(
        update={
            "title": clean(verdict.title),
            "statement": clean(verdict.statement),
            "message": clean(verdict.message),
            "findings": [_finding(one) for one in verdict.findings[:_MOST_ITEMS]],
            "shows": "shown" if shown else None,
            "evidence": evidence,
        }
    )


def _finding(one: Finding) -> Finding:
    words = {field: clean(getattr(one, field)) for field in ("text", "saw", "wanted", "why")}
    return one.model_copy(update=words)


def _shown(verdict: Verdict) -> Mapping[str, Any] | None:
    seen = verdict.evidence.seen if verdict.evidence else {}
    if verdict.shows:
        candidates = [seen.get(verdict.shows)]
    else:
        candidates = list(seen.values()) if verdict.status is Status.PASSED else []
    return next((one for one in candidates if isinstance(one, dict) and "asked" in one), None)


def _step(step: Mapping[str, Any]) -> Any:
    timeline = step.get("timeline")
    events = timeline if isinstance(timeline, list) else []
    drawn = [_event(one) for one in events[:_MOST_EVENTS] if isinstance(one, dict)]
    if len(events) > _MOST_EVENTS:
        left = f"{len(events) - _MOST_EVENTS} more events are not shown."
        drawn.append({"kind": "note", "at_ms": drawn[-1]["at_ms"] if drawn else 0.0})
        drawn[-1] |= {"request": 0, "detail": {"text": left}}
    sent = step.get("sent")
    return {
        "asked": clean(step.get("asked"), _LONGEST_VALUE),
        "status": int(_number(step.get("status"))),
        "sent": None if sent is None else _value_text(sent),
        "body": _value_text(step.get("body")),
        "timeline": drawn,
    }


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    kind, detail = event.get("kind"), event.get("detail")
    known = kind if isinstance(kind, str) and kind in KINDS else "note"
    details = detail if isinstance(detail, dict) else {}
    return {
        "kind": known,
        "at_ms": float(_number(event.get("at_ms"))),
        "request": int(_number(event.get("request"))),
        "detail": {
            clean(key, 40): _number(value) if key in _NUMBERS else _value(value)
            for key, value in list(details.items())[:_MOST_ITEMS]
            if not (key in _NUMBERS and value is None)
        },
    }


def _number(value: Any) -> float | int:
    if isinstance(value, int | float) and abs(value) < 1e12:  # so neither infinite nor no number
        return value
    return 0


def _value(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) < 1e18 else "a huge number"
    if isinstance(value, dict) and depth < _DEEPEST:
        items = list(value.items())[:_MOST_ITEMS]
        return {clean(key, 80): _value(one, depth + 1) for key, one in items}
    if isinstance(value, list) and depth < _DEEPEST:
        return [_value(one, depth + 1) for one in value[:_MOST_ITEMS]]
    return clean(value, _LONGEST) if isinstance(value, str) else "…"


def _value_text(value: Any) -> str:
    known = _value(value)
    return clean(known if isinstance(known, str) else json.dumps(known, ensure_ascii=False), 2000)


# -- the frame ------------------------------------------------------------------------------------
def head(title: str, style: str = "") -> str:
    """A page from its beginning to the opening of its main part.

    Args:
        title: What the tab says; not yet escaped.
        style: CSS of the page's own, beside what cards and all pages need.
    """
    # Paper is white, whatever the screen is.
    sheet = (_SHEET + style).replace("@media(prefers-", "@media screen and (prefers-")
    allowed = b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{allowed}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="data:,">\n<title>{safe(title, 200)}</title>\n'
        f'<style>{sheet}</style>\n</head>\n<body>\n<main class="page">\n'
    )


FOOT = "</main>\n</body>\n</html>\n"

_SAMPLE = Verdict(
    lesson="00",
    exercise="00.sample",
    title="",
    status=Status.PASSED,
    points=0,
    max_points=0,
    message="",
    evidence=Observation(
        exercise="00.sample",
        attempt=Attempt(),
        seen={"step": {"asked": "", "timeline": [{"kind": "note", "at_ms": 0}]}},
    ),
)

PAPER = {"light": "#ffffff", "dark": "#0d1117"}

_SHEET = "".join(dict.fromkeys(_STYLES.findall(show.card_html(_SAMPLE)))) + (
    picture.themed(".page")
    + f"html{{color-scheme:light dark;background:{PAPER['light']}}}"
    + f"@media(prefers-color-scheme:dark){{html{{background:{PAPER['dark']}}}}}"
    + (
        "body{margin:0}"
        ".page{color:var(--ink);font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;"
        "padding:1.5rem 1rem 4rem}"
        ".page h1{font-size:1.75rem;line-height:1.2;margin:.1em 0 .3em}"
        ".page h2{font-size:1.3rem;line-height:1.3;margin:2.2em 0 .5em}"
        ".page h3{font-size:1.05rem;margin:1.6em 0 .4em}"
        ".page p{margin:.4em 0}"
        ".page bdi{overflow-wrap:anywhere}.page table bdi{overflow-wrap:break-word}"
        ".page a{color:var(--key)}"
        ".page a:focus-visible,.page summary:focus-visible{outline:2px solid var(--key);"
        "outline-offset:2px;border-radius:.2em}"
        ".page summary{cursor:pointer}"
        ".page .soft{color:var(--soft)}"
        ".page .tone.good{color:var(--good)}.page .tone.bad{color:var(--bad)}"
        ".page .tone.odd{color:var(--odd)}.page .tone.soft{color:var(--soft)}"
        ".page .unseen{position:absolute;width:1px;height:1px;overflow:hidden;"
        "clip-path:inset(50%);white-space:nowrap}"
        ".page table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
        ".page th,.page td{text-align:left;vertical-align:top;padding:.3em .8em .3em 0;"
        "border-bottom:1px solid var(--line);overflow-wrap:break-word}"
        ".page th{font-weight:600;color:var(--soft)}"
        ".page tbody th{color:var(--ink);font-weight:400}"
        ".page .number{text-align:right}.page td.number,.page td.tone{white-space:nowrap}"
        ".page .wide{overflow-x:auto}"
        ".page pre,.page code{font-family:ui-monospace,monospace;font-size:.9em}"
        ".page pre{overflow-x:auto;margin:.3em 0}"
        ".page code{overflow-wrap:anywhere}"
        ".page .box{border:1px solid var(--line);border-left:5px solid var(--odd);"
        "border-radius:.4em;padding:.5em .9em;margin:.8em 0;overflow-wrap:anywhere}"
        ".page .box.bad{border-left-color:var(--bad)}"
        ".page .de-card{max-width:none}"
        "@media print{html{color-scheme:light}.page{max-width:none;padding:0;font-size:11pt}"
        ".de-card,.page .box{break-inside:avoid-page}}"
    )
)
