"""Trying an answer on its lesson: the cells that the exercise stands on, the answer, the check."""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import inspect
import linecache
import sys
import tempfile
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from checks import blocks, filecells
from checks.authoring import master
from checks.exercise import Exercise
from checks.judge import judge
from checks.observe.run import observe
from checks.verdict import Verdict


class Rehearsal:
    """One lesson's cells, ready to try answers on.

    Args:
        path: The lesson's master.
        exercises: The lesson's exercises by id.
    """

    def __init__(self, path: Path, exercises: dict[str, type[Exercise]]) -> None:
        self._cells = master.read(path)
        self._exercises = exercises

    def verdict(self, exercise: str, code: str, seed: int | None = None) -> Verdict:
        """What the check says of an answer.

        The answer runs after the `setup` cells above it and the solutions of the exercises that it
        stands on. An answer whose cell raises is judged as the learner would judge it who ignores
        the traceback and runs the check.
        """
        card = self._exercises[exercise]
        with in_empty_folder():
            names = run_cells(self._before(card), fresh_names())
            source = blocks.marked(exercise, code)
            with contextlib.suppress(Exception):  # the traceback is in the learner's notebook
                run_cells([source], names)
            verdict = judge(card, observe(card, names, source, seed), self.starter(exercise))
            names.clear()  # FastAPI and typing cache functions; through them, all of it would stay
            return verdict

    def starter(self, exercise: str) -> str:
        """The exercise's cell as the lesson ships it."""
        return self._cell(exercise).blanked

    def solution(self, exercise: str) -> str:
        """The exercise's cell as the master solves it."""
        return self._cell(exercise).solved

    def _cell(self, exercise: str) -> master.Cell:
        return next(c for c in self._cells if c.role == "exercise" and c.exercise == exercise)

    def _before(self, card: type[Exercise]) -> Iterable[str]:
        for cell in self._cells:
            if cell.role == "exercise":
                if cell.exercise == card.id:
                    return
                if cell.exercise in card.after:
                    yield cell.solved
            elif "setup" in cell.tags:
                yield cell.solved


@contextlib.contextmanager
def in_empty_folder() -> Iterator[None]:
    """Work in a folder of one's own: cells may write files beside their notebook."""
    with (
        tempfile.TemporaryDirectory(prefix="dog-eared-", ignore_cleanup_errors=True) as folder,
        contextlib.chdir(folder),
    ):
        yield


def fresh_names() -> dict[str, Any]:
    """An empty namespace that is a module's, as a notebook's is: annotations look there."""
    module = types.ModuleType("rehearsed_lesson")
    sys.modules[module.__name__] = module
    vars(module)["__builtins__"] = builtins  # where Python looks when it has a warning to give
    return vars(module)


def run_cells(sources: Iterable[str], names: dict[str, Any]) -> dict[str, Any]:
    """Run cells one after the other in one namespace, with `await` at top level, as Jupyter does.

    Raises:
        Exception: whatever a cell raises.
    """

    async def run_all() -> None:
        for number, source in enumerate(sources, 1):
            if file := filecells.parse(source):
                file.write()
                continue
            filename = f"<cell {number} {abs(hash(source))}>"
            linecache.cache[filename] = (
                len(source),
                None,
                source.splitlines(True),
                filename,
            )
            code = compile(
                source, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
            result = types.FunctionType(code, names)()
            if inspect.iscoroutine(result):
                await result

    asyncio.run(run_all())
    return names
