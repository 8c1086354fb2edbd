"""What the learner's code raised, in a line, and the line of theirs that it came from."""

from __future__ import annotations

import linecache
import re
import sys
from pathlib import Path

from checks.observe import tracebacks
from checks.observe.evidence import storable

_LEARNERS = re.compile(r"ipykernel_\d+|<ipython-input|<cell")
_VALIDATION = ("ResponseValidationError", "ValidationError")


def described(target: object) -> str:
    """What kind of thing it is, with its article: `a str`, `the class Book`."""
    kind = type(target)
    if isinstance(target, type):
        return f"the class {target.__name__}"
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}"


def said(error: BaseException) -> str:
    """What an exception says, in a line; a learner's own may not be able to say it."""
    try:
        return storable(first_line(_in_words(error)))
    except Exception:
        return "(its message cannot be shown)"


def _in_words(error: BaseException) -> str:
    """What an exception says; a validation error's details, which it keeps on further lines."""
    listed = getattr(error, "errors", None)
    if type(error).__name__ not in _VALIDATION or not callable(listed):
        return str(error)
    told = [
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}, and it is "
        f"{described(one['input']) if one['input'] is not None else 'None'}"
        for one in listed()
    ]
    return "; ".join(told)


def first_line(text: str) -> str:
    """A text's first line, at most 300 characters of it."""
    first = text.strip().splitlines()[0] if text.strip() else ""
    return first if len(first) <= 300 else first[:299] + "…"


def is_learners(filename: str) -> bool:
    """True for code typed into a notebook cell, by the name that its compiler gave it."""
    return bool(_LEARNERS.search(filename))


def where(error: BaseException) -> str | None:
    """The learner's own line that an exception passed through last, or None.

    The deepest frame that belongs to a notebook cell, as `line 12: user.books.append(book)`.
    """
    found = None
    walk = error.__traceback__
    tracebacks.keep(error)
    while walk is not None:
        name = walk.tb_frame.f_code.co_filename
        if is_learners(name):
            found = (name, walk.tb_lineno)
        walk = walk.tb_next
    return _place(*found) if found else None


def sent_from() -> str | None:
    """The learner's own line that is nearest to whoever asks, or None."""
    frame = sys._getframe(1)
    while frame and not is_learners(frame.f_code.co_filename):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return _place(frame.f_code.co_filename, frame.f_lineno)


def _place(name: str, number: int) -> str:
    line = linecache.getline(name, number).strip()
    return f"line {number}: {line}" if line else f"line {number} of {Path(name).name}"
