"""What became of an exercise's cell when it last ran: the names it made, or what stopped it.

A cell that raises leaves the names of its last good run behind, and the next cell may give them
away. A check that looks at names alone judges an answer that is no longer on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks import course
from checks.observe.evidence import Trouble
from checks.observe.lab import trouble
from checks.observe.run import CellRun

_runs: dict[str, CellRun] = {}
_before: dict[str, Any] = {}


def follow(shell: Any) -> None:
    """Keep what each exercise's cell does from now on. Following a shell twice does no harm."""
    events, names = shell.events, shell.user_ns
    if getattr(shell, "_dog_eared_follows", False):
        return
    shell._dog_eared_follows = True
    _runs.clear()  # those of another shell, where a process has had more than one

    def before(info: Any) -> None:
        _before.clear()
        if course.answered_in(info.raw_cell or ""):
            _before.update(names)

    def after(result: Any) -> None:
        source = result.info.raw_cell if result.info else ""
        error = result.error_before_exec or result.error_in_exec
        for exercise in course.answered_in(source or ""):
            _runs[exercise] = CellRun(source, _stopped_by(error), _made(names))
        _before.clear()

    events.register("pre_run_cell", before)
    events.register("post_run_cell", after)


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


def _stopped_by(error: BaseException | None) -> Trouble | None:
    return None if error is None else trouble(error)
