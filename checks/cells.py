"""What became of an exercise's cell when it last ran: the names it made, or what stopped it.

A cell that raises leaves the names of its last good run behind, and the next cell may give them
away. A check that looks at names alone judges an answer that is no longer on the screen.
"""

from __future__ import annotations

import ast
import gc
from collections.abc import Callable, Mapping
from typing import Any

from checks import course
from checks.observe.lab import trouble
from checks.observe.run import CellRun

_runs: dict[str, CellRun] = {}
_before: dict[str, Any] = {}


def follow(shell: Any) -> None:
    """Keep what each exercise's cell does from now on. Following a shell twice does no harm."""
    if getattr(shell, "_dog_eared_follows", False):
        return
    shell._dog_eared_follows = True
    forget()  # those of another shell, where a process has had more than one

    def after(result: Any) -> None:
        source = result.info.raw_cell if result.info else ""
        error = result.error_before_exec or result.error_in_exec
        ended(source or "", error, shell.user_ns, shell.transform_cell)
        # Coroutines that nobody awaited, as a MissingGreenlet leaves them, say so when they are
        # collected: beside the cell that made them, and not in the midst of a later one.
        if gc.isenabled():  # a lesson on leaks switches the collector off
            gc.collect(1)

    shell.events.register("pre_run_cell", lambda info: begins(info.raw_cell or "", shell.user_ns))
    shell.events.register("post_run_cell", after)


def forget() -> None:
    """Begin anew: no cell has run."""
    _runs.clear()
    _before.clear()


def begins(source: str, names: Mapping[str, Any]) -> None:
    """A cell is about to run on these names."""
    _before.clear()
    if course.answered_in(source):
        _before.update(names)


def ended(
    source: str,
    error: BaseException | None,
    names: Mapping[str, Any],
    as_python: Callable[[str], str] = str,
) -> None:
    """A cell has run.

    Args:
        source: Its text.
        error: What it raised, if anything.
        names: The names as they are now.
        as_python: Makes plain Python of a text with magics.
    """
    for exercise in course.answered_in(source):
        _runs[exercise] = CellRun(
            source,
            None if error is None else trouble(error),
            _made(names),
            _defined_in(source, as_python),
        )
    _before.clear()


def last_run(exercise: str, source: str | None) -> CellRun | None:
    """The last run of an exercise's cell, if it was seen and the cell had this text."""
    run = _runs.get(exercise)
    same = run is not None and source is not None and run.source.split() == source.split()
    return run if same else None


def _made(names: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in names.items()
        if not name.startswith("_") and _before.get(name, _before) is not value
    }


def _defined_in(source: str, as_python: Callable[[str], str]) -> set[str]:
    """The names that a cell's text defines at its top level; none where it cannot be read."""
    try:
        body = ast.parse(as_python(source)).body  # `!pip ...` is no Python yet
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = set()
    for one in body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(one.name)
        else:
            found |= {
                node.id
                for node in ast.walk(one)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
    return found
