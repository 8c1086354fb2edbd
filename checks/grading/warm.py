"""The warm process: everything imported once, shut in, then one fork for each submission.

Started by `fork.py` as `python -m checks.grading.warm`, with a socket on which it is sent the line
of each submission. It never sees a submission itself: that goes down the line, to the fork.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from checks import course, notebook
from checks.exercise import Exercise
from checks.grading import cells, sandbox
from checks.grading.guard import Guard
from checks.grading.outcome import Limits
from checks.grading.plan import Plan
from checks.grading.sandbox import IsolationError
from checks.grading.wire import Line, Signer, signer
from checks.observe.evidence import Attempt, Observation
from checks.observe.lab import trouble
from checks.observe.run import observe
from checks.observe.trace import where

CONTROL = 3  # the file descriptor on which the grader speaks


# -- warming up -----------------------------------------------------------------------------------
def warm_up() -> dict[str, tuple[type[Exercise], ...]]:
    """Import whatever lessons use; returns every lesson's exercises by the lesson's name.

    What is only imported while something runs is found by running something, in a fork that is
    thrown away: this process must stay at one thread, or its forks may hang.
    """
    exercises = {
        lesson.name: tuple(entry.card for entry in lesson.exercises)
        for lesson in course.catalogue()
    }
    for module in sorted(_imported_by_lessons()):
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    for module in _imported_while(_sample):
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    return exercises


def _imported_by_lessons() -> set[str]:
    found = set()
    for lesson in course.catalogue():
        for cell in json.loads(lesson.solved_notebook.read_bytes())["cells"]:
            source = course.source_of(cell) if cell["cell_type"] == "code" else ""
            for node in ast.walk(_parsed(source)):
                if isinstance(node, ast.Import):
                    found |= {one.name for one in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module)
    return found - {"checks"}


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:  # magics
        return ast.Module([], [])


def _imported_while(act: Any) -> list[str]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            before = set(sys.modules)
            act()
            os.write(writing, json.dumps(sorted(set(sys.modules) - before)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        found = said.read()
    os.waitpid(child, 0)
    return [one for one in json.loads(found or b"[]") if not one.startswith("__")]


def _sample() -> None:
    """What every lesson does somewhere: apps sync and async, requests, a traceback, a warning."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient
    from pydantic import BaseModel
    from sqlalchemy import StaticPool, create_engine, text
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.orm import Session

    from checks import trace

    class Sent(BaseModel):
        word: str

    engine = create_engine(
        "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
    )
    later = create_async_engine("sqlite+aiosqlite://")
    app = FastAPI()

    def sync(sent: Sent) -> int:
        with Session(engine) as session:
            return int(session.execute(text("SELECT 1")).scalar_one())

    async def eventually() -> int:
        async with later.connect() as connection:
            return int((await connection.execute(text("SELECT 1"))).scalar_one())

    app.post("/")(sync)
    app.get("/")(eventually)
    with trace(app, engine, later) as seen, TestClient(app) as client:
        client.post("/", json={"word": "warm"})
        client.get("/")
    shell = cells.make_shell()

    async def run() -> None:
        shell.user_ns["seen"] = seen
        for source in ("seen", "1/0", "await __import__('asyncio').sleep(0)", "%time 1"):
            await cells.run(shell, source, lambda error: None)

    asyncio.run(run())


# -- serving --------------------------------------------------------------------------------------
def main() -> None:
    """Serve until the grader is gone."""
    warnings.simplefilter("ignore")
    sandbox.die_with(os.getppid())
    control = socket.socket(fileno=CONTROL)
    root, limits = _instructions(control)
    exercises = warm_up()
    shell = cells.make_shell()
    guard = Guard()
    try:
        package = course.root() / "checks"
        sandbox.lock_in(
            root, [*sandbox.libraries(), package], [package / "answers", package / "tests"]
        )
    except IsolationError as error:
        control.send(json.dumps({"cannot": str(error)}).encode())
        return
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        control.send(
            json.dumps({"cannot": f"{threads} threads run before the first fork"}).encode()
        )
        return
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": true}')
    _serve(control, shell, guard, exercises, limits)


def _instructions(control: socket.socket) -> tuple[Path, Limits]:
    said = json.loads(control.recv(1 << 16))
    return Path(said["root"]), Limits(**said["limits"])


def _serve(
    control: socket.socket,
    shell: cells.Shell,
    guard: Guard,
    exercises: Mapping[str, Iterable[type[Exercise]]],
    limits: Limits,
) -> None:
    children: dict[int, int] = {}  # pidfd: pid
    while True:
        ready, _, _ = select.select([control.fileno(), *children], [], [])
        for one in ready:
            if one in children:
                os.waitpid(children.pop(one), 0)
                os.close(one)
                continue
            message, handed, _, _ = socket.recv_fds(control, 16, 1)
            if not message:
                return
            child = os.fork()
            if not child:
                control.close()
                for handle in children:
                    os.close(handle)
                _become_submission(handed[0], shell, guard, exercises, limits)
            os.close(handed[0])
            children[os.pidfd_open(child)] = child


def _become_submission(
    handle: int,
    shell: cells.Shell,
    guard: Guard,
    exercises: Mapping[str, Iterable[type[Exercise]]],
    limits: Limits,
) -> None:
    """The fork's whole life."""
    try:
        channel = socket.socket(fileno=handle)
        sandbox.enter(limits, lambda pid: channel.sendall(b'{"pid": %d}\n' % pid))
        line = Line(channel)
        secret = bytes.fromhex(line.receive()["secret"])
        plan = Plan.from_json(line.receive()["plan"])
        _keep_only(channel.fileno())
        cells.silence()
        random.seed()
        gc.enable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run = _Run(plan, {one.id: one for one in exercises[plan.lesson]}, shell, guard)
        asyncio.run(run.go(line, signer(secret)))
    except IsolationError as error:
        channel.sendall(json.dumps({"cannot": str(error)}).encode() + b"\n")
    finally:
        os._exit(0)  # past every exit handler of the submission's


def _keep_only(handle: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, handle)
    os.closerange(handle + 1, 1024)


class _Run:
    """One submission's run: cells in order, each exercise observed when its check is reached."""

    def __init__(
        self,
        plan: Plan,
        exercises: Mapping[str, type[Exercise]],
        shell: cells.Shell,
        guard: Guard,
    ) -> None:
        self._plan, self._exercises = plan, exercises
        self._shell, self._guard = shell, guard

    async def go(self, line: Line, sign: Signer) -> None:
        """Run everything, telling the grader what is reached and seen."""
        reached: set[str] = set()
        ran: list[str] = []

        def look(exercise: str, names: Mapping[str, Any]) -> None:
            if exercise not in self._exercises:
                return
            reached.add(exercise)
            line.send(sign, {"reached": exercise})
            told = line.receive()
            if "seed" in told:
                self._guard_and_observe(line, sign, exercise, names, ran, told)

        notebook.collector = look
        namespace = self._shell.user_ns
        for part in self._plan.parts:
            line.send(sign, {"cell": part.place})
            before, reached = reached, set()
            ran.append(part.source)
            raised: list[BaseException] = []
            await cells.run(self._shell, part.source, raised.append)
            for error in raised:
                line.send(sign, _error(part.place, error))
            for exercise in part.observe:
                if exercise not in reached:
                    look(exercise, namespace)
            reached |= before
        line.send(sign, {"cell": None})
        for exercise in self._plan.exercises:
            if exercise not in reached:
                look(exercise, namespace)
        line.send(sign, {"done": True})

    def _guard_and_observe(
        self,
        line: Line,
        sign: Signer,
        exercise: str,
        names: Mapping[str, Any],
        ran: list[str],
        told: Mapping[str, Any],
    ) -> None:
        replaced = self._guard.restore()
        card = self._exercises[exercise]
        source = next((one for one in reversed(ran) if exercise in course.marks(one)), None)
        try:
            seen = observe(card, names, source, told["seed"])
        except BaseException as error:  # an exit() in an endpoint, say
            seen = Observation(
                exercise=exercise, attempt=Attempt(source=source), trouble=trouble(error)
            )
        replaced += self._guard.restore()
        line.send(
            sign,
            {
                "observed": seen.model_dump(mode="json"),
                "nonce": told["nonce"],
                "replaced": sorted(set(replaced))[:20],
            },
        )


def _error(place: int, error: BaseException) -> dict[str, Any]:
    try:
        message = str(error)[:300]
    except Exception:
        message = ""
    return {"raised": type(error).__name__, "message": message, "cell": place, "at": where(error)}


if __name__ == "__main__":
    main()
