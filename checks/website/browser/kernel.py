"""The kernel behind a page's cells: one namespace, `await` at top level, outputs as in Jupyter."""

from __future__ import annotations

import ast
import base64
import builtins
import inspect
import io
import linecache
import os
import pprint
import sys
import tempfile
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from checks import filecells, show
from checks.journal import Journal, Record
from checks.words import counted

Message = dict[str, Any]
Send = Callable[[Message], None]

_MOST_OUTPUT = 256 * 1024  # characters that one cell may print; a page has to hold them
_FORMATS = {
    "text/html": "_repr_html_",
    "image/png": "_repr_png_",
    "image/svg+xml": "_repr_svg_",
}
_NO_THREADS = "can't start new thread"


class Kernel:
    """Runs cells and tells of everything that they show, as plain messages.

    Args:
        send: Takes each message: `{"type": "stream" | "display" | "error" | "note", ...}`.
        progress: The file that `check` and `hint` write down in.
    """

    def __init__(self, send: Send, progress: Path) -> None:
        from checks import cells  # brings SQLAlchemy, which must find the stand-ins in place

        self._cells = cells
        self._send = send
        self._journal = Journal(progress)
        self._told = self._journal.kept_record()
        self._count = 0
        os.environ["CHECKS_PROGRESS"] = str(progress)
        self.restart()

    def restart(self) -> None:
        """Forget every name, and begin in an empty folder."""
        os.chdir(tempfile.mkdtemp())
        module = types.ModuleType("__main__")  # a module's, as annotations look there
        sys.modules["__main__"] = module
        self.names: dict[str, Any] = vars(module)
        # Python looks for the builtins there when it has a warning to give.
        self.names.update(__builtins__=builtins, In=[""], display=self._display)
        self._cells.forget()

    def remember(self, record: Record) -> None:
        """Take up the progress that the page has kept."""
        self._journal.take_in(record)
        self._told = self._journal.kept_record()

    async def run(self, cell: str, source: str) -> bool:
        """Run one cell; True where it came to its end.

        Args:
            cell: The cell's id, for the names of its frames.
            source: Its text.
        """
        self._count += 1
        self.names["In"].append(source)
        self._cells.begins(source, self.names)
        raised = None
        with self._showing():
            try:
                value = await self._value_of(f"<cell {cell} {self._count}>", source)
                if value is not None:
                    self.names["_"] = value
                    self._display(value)
                return True
            except BaseException as error:  # exit() and Ctrl-C are the reader's as well
                raised = error
                self._send({"type": "error", **_told(error)})
                if _NO_THREADS in str(error):
                    self._send({"type": "note", "text": NO_THREADS})
                return False
            finally:
                self._cells.ended(source, raised, self.names)
                self._tell_progress()

    async def _value_of(self, filename: str, source: str) -> Any:
        if file := filecells.parse(source):
            print(file.write())
            return None
        lines = source.splitlines(True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        tree = ast.parse(source, filename)
        last = None
        shown = not source.rstrip().endswith(";")
        if shown and tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body[-1].value)
            del tree.body[-1]
        await self._executed(compile(tree, filename, "exec", _FLAGS, True))
        return await self._executed(compile(last, filename, "eval", _FLAGS, True)) if last else None

    async def _executed(self, code: types.CodeType) -> Any:
        value = types.FunctionType(code, self.names)()
        if code.co_flags & inspect.CO_COROUTINE:
            value = await value
        return value

    @contextmanager
    def _showing(self) -> Iterator[None]:
        """What is printed and what the checks show goes to the page."""
        room = _Room(_MOST_OUTPUT)
        outside = sys.stdout, sys.stderr, show.front_end
        out, err = (_Stream(self._send, name, room) for name in ("stdout", "stderr"))
        sys.stdout, sys.stderr = out, err
        show.front_end = lambda data: self._send({"type": "display", "data": dict(data)})
        try:
            yield
        finally:
            out.flush()
            err.flush()
            sys.stdout, sys.stderr, show.front_end = outside

    def _display(self, *values: Any) -> None:
        """Show values as Jupyter does: the richest form that each of them knows."""
        for value in values:
            self._send({"type": "display", "data": forms_of(value)})

    def _tell_progress(self) -> None:
        now = self._journal.kept_record()
        if now == self._told:
            return
        fresh = now.attempts[len(self._told.attempts) :]
        self._told = now
        self._send(
            {
                "type": "progress",
                "attempts": [one.model_dump(mode="json") for one in fresh],
                "hints": now.hints,
            }
        )


_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
NO_THREADS = (
    "A web page has one thread, so this cell cannot run here as it is. Its recorded result stands; "
    "download the notebook to run it on your computer."
)


def forms_of(value: Any) -> dict[str, str]:
    """A value by media type, as Jupyter would show it; pictures in base64."""
    forms = {"text/plain": _plain(value)}
    if isinstance(value, type):
        return forms
    for media, method in _FORMATS.items():
        form = getattr(value, method, None)
        try:
            made = form() if callable(form) else None
        except Exception:  # as in Jupyter: whatever cannot be made is left out
            continue
        if isinstance(made, bytes):
            made = base64.b64encode(made).decode()
        if isinstance(made, str):
            forms[media] = made
    return forms


def _plain(value: Any) -> str:
    if type(value) in (dict, list, tuple, set, frozenset):
        return pprint.pformat(value, width=80, sort_dicts=False)
    return repr(value)


class _Room:
    """How much a cell may still print."""

    def __init__(self, characters: int) -> None:
        self.left = characters

    def cut(self, text: str) -> str:
        if self.left <= 0:
            return ""
        kept = text[: self.left]
        self.left -= len(text)
        if self.left <= 0:
            kept += "\n… and more, which is not shown.\n"
        return kept


class _Stream(io.TextIOBase):
    """What a cell prints, sent line by line."""

    def __init__(self, send: Send, name: str, room: _Room) -> None:
        self._send, self._name, self._room = send, name, room
        self._held = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._held += text
        if "\n" in text or len(self._held) > 4096:
            self.flush()
        return len(text)

    def flush(self) -> None:
        held, self._held = self._held, ""
        if text := self._room.cut(held):
            self._send({"type": "stream", "name": self._name, "text": text})


# -- what went wrong -------------------------------------------------------------------------------
def _told(error: BaseException) -> Message:
    return {
        "name": type(error).__name__,
        "message": _message_of(error),
        "traceback": "\n".join(_lines(error)),
    }


def _lines(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """A traceback with the reader's own lines, and other people's counted."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _lines(earlier, seen | {id(error)})
        link = "This caused:" if error.__cause__ else "While that was being handled:"
        yield from ("", link, "")
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith("<cell"):
        yield f"  Line {error.lineno}:"
        yield f"    {(error.text or '').rstrip()}"
        yield f"    {' ' * ((error.offset or 1) - 1)}^"
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename != __file__
        ]
        for own, group in groupby(frames, lambda frame: frame.filename.startswith("<cell")):
            if own:
                for frame in group:
                    inside = "" if frame.name == "<module>" else f", in {frame.name}"
                    yield f"  Line {frame.lineno}{inside}:"
                    yield f"    {frame.line}"
            else:
                yield f"  … {_elsewhere(list(group))}"
    yield f"{type(error).__name__}: {_message_of(error)}".rstrip(": ")


def _elsewhere(frames: list[traceback.FrameSummary]) -> str:
    packages = dict.fromkeys(_package(frame.filename) for frame in frames)
    calls = counted(len(frames), "call")
    return f"{calls} in {', '.join(packages)}"


def _package(filename: str) -> str:
    parts = Path(filename).parts
    if "site-packages" in parts:
        return Path(parts[parts.index("site-packages") + 1]).stem
    return "checks" if "checks" in parts else "Python"


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # the reader's own exception
        return "(its message cannot be shown)"
