"""The warm process: everything imported once, shut in, then one fork for each submission.

Started by `fork.py`, with a socket on which it is sent the line of each submission. It never sees a
submission itself: that goes down the line, to the fork.
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
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from checks import course, filecells
from checks.cells import follow, last_run
from checks.exercise import Exercise
from checks.grading import cells, sandbox
from checks.grading.guard import Guard, handlers, made_up, watch
from checks.grading.outcome import Limits
from checks.grading.plan import Plan
from checks.grading.sandbox import IsolationError
from checks.grading.wire import LONGEST, Body, Names, Say, clean, speak
from checks.observe import collecting
from checks.observe.evidence import Attempt, Observation
from checks.observe.lab import trouble
from checks.observe.raised import where
from checks.observe.run import observe


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
        return ast.parse(filecells.as_python(source))
    except SyntaxError:  # other magics
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
        asked = "from checks import TODO, check, hint, progress, solution, trace"
        for source in (asked, "seen", "1/0", "await __import__('asyncio').sleep(0)", "%time 1"):
            await cells.run(shell, source, lambda error: None)

    asyncio.run(run())


# -- serving --------------------------------------------------------------------------------------
def main(number: int) -> None:
    """Serve until the grader is gone.

    Args:
        number: The file descriptor on which the grader speaks.
    """
    warnings.simplefilter("ignore")
    control = socket.socket(fileno=number)
    try:
        sandbox.move_out(os.pidfd_open(os.getppid()))
        root, limits = _instructions(control)
        serving = _Serving(control, warm_up(), limits)
        project = course.root()
        hidden = ("checks/answers", "checks/tests", "solutions", "lessons", "work", ".git")
        sandbox.lock_in(
            root,
            [*sandbox.libraries(project), project / "checks"],
            [project / name for name in hidden],
        )
        serving.rehearse()
    except (IsolationError, OSError) as error:
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
    serving.serve()


def _instructions(control: socket.socket) -> tuple[Path, Limits]:
    said = json.loads(control.recv(1 << 16))
    return Path(said["root"]), Limits(**said["limits"])


class _Serving:
    """Forks submissions and buries them."""

    def __init__(
        self,
        control: socket.socket,
        exercises: Mapping[str, Iterable[type[Exercise]]],
        limits: Limits,
    ) -> None:
        self._control, self._exercises, self._limits = control, exercises, limits
        self._nursery = sandbox.Nursery()
        self._shell = cells.make_shell()
        self._guard = Guard()
        self._children: dict[int, int] = {}  # pidfd: pid

    def rehearse(self) -> None:
        """Shut one fork in that runs nothing, to know that it can be done.

        Raises:
            IsolationError: it cannot.
        """
        reading, writing = os.pipe()
        child = self._nursery.fork()
        if not child:
            try:
                self._nursery.enter(self._limits)
                os.write(writing, b"\n")
            except IsolationError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            why = said.read().decode().strip()
        _, status = os.waitpid(child, 0)
        if why or status:
            raise IsolationError(why or "the first fork died")

    def serve(self) -> None:
        """Fork a submission for each line that is handed over, until no more come."""
        while True:
            ready, _, _ = select.select([self._control.fileno(), *self._children], [], [])
            for one in ready:
                if one in self._children:
                    os.waitpid(self._children.pop(one), 0)
                    os.close(one)
                    continue
                message, handed, _, _ = socket.recv_fds(self._control, 16, 1)
                if not message:
                    return
                with socket.socket(fileno=handed[0]) as channel:
                    self._fork(channel)

    def _fork(self, channel: socket.socket) -> None:
        """Fork, and hand the grader what it can end the fork by, whatever becomes of its number."""
        try:
            child = self._nursery.fork()
        except (IsolationError, OSError) as error:
            with contextlib.suppress(OSError):
                channel.sendall(json.dumps({"cannot": str(error)}).encode() + b"\n")
            return
        if not child:
            self._control.close()
            _become_submission(
                channel, self._nursery, self._shell, self._guard, self._exercises, self._limits
            )
        handle = os.pidfd_open(child)
        self._children[handle] = child
        with contextlib.suppress(OSError):  # the grader has hung up
            socket.send_fds(channel, [b"\n"], [handle])


def _become_submission(
    channel: socket.socket,
    nursery: sandbox.Nursery,
    shell: cells.Shell,
    guard: Guard,
    exercises: Mapping[str, Iterable[type[Exercise]]],
    limits: Limits,
) -> None:
    """The fork's whole life."""
    try:
        nursery.enter(limits)
        readline = channel.makefile("rb").readline
        opening = json.loads(readline())
        secret, plan = bytes.fromhex(opening["secret"]), Plan.from_json(opening["plan"])
        _keep_only(channel.fileno())
        cells.silence()
        random.seed()
        tempfile.tempdir = None  # found again, now that there is a folder to write in
        gc.enable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        run = _Run(plan, {one.id: one for one in exercises[plan.lesson]}, shell, guard)
        say = speak(channel, readline, secret, run.look)
        next(say)
        secret = opening = b""
        asyncio.run(run.go(say.send))
    except IsolationError as error:
        channel.sendall(b"\n" + json.dumps({"cannot": str(error)}).encode() + b"\n")
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
        self._ran: list[str] = []
        self._reached: set[str] = set()
        self._reaches: list[str] = []  # for what, of what no answer needs
        self._handlers: list[Any] = []

    async def go(self, say: Callable[[Say], None]) -> None:
        """Run everything, telling the grader what is reached and seen."""

        def observe_now(exercise: str, names: Mapping[str, Any]) -> None:
            if exercise in self._exercises:
                self._reached.add(exercise)
                say(("reached", exercise, names))

        def reached_for(what: str) -> None:
            try:
                say(("sign", what, None))
            except ValueError:  # while it is speaking
                self._reaches.append(what)

        follow(self._shell)
        collecting.collector = observe_now
        self._handlers = handlers()
        watch(reached_for)
        namespace = self._shell.user_ns
        for part in self._plan.parts:
            say(("cell", part.place, None))
            before, self._reached = self._reached, set()
            self._ran.append(part.source)
            raised: list[BaseException] = []
            await cells.run(self._shell, part.source, raised.append)
            for error in raised:
                say(("raised", _error(part.place, error), None))
            for exercise in part.observe:
                if exercise not in self._reached:
                    observe_now(exercise, namespace)
            self._reached |= before
        say(("cell", None, None))
        for exercise in self._plan.exercises:
            if exercise not in self._reached:
                observe_now(exercise, namespace)
        say(("done", True, None))

    def look(self, exercise: str, names: Names, told: Body) -> Body:
        """Observe one exercise; a defect of ours is a fault of the check, not the learner's end."""
        try:
            return self._look(exercise, names, told)
        except Exception:
            ours = Observation(
                exercise=exercise,
                attempt=Attempt(),
                fault=traceback.format_exc(),
                seed=told["seed"],
            )
            return {"observed": clean(ours.model_dump()), "nonce": told["nonce"]}

    def _look(self, exercise: str, names: Names, told: Body) -> Body:
        """What an observation stands on is whole meanwhile, or else that is reported."""
        replaced = self._guard.restore()
        names = names or {}
        card = self._exercises[exercise]
        source = next(
            (one for one in reversed(self._ran) if exercise in course.answered_in(one)), None
        )
        try:
            seen = observe(card, names, source, told["seed"], last_run(exercise, source))
            body = _fitting(clean(seen.model_dump()))
        except BaseException as error:  # an exit() in an endpoint, say
            seen = Observation(
                exercise=exercise,
                attempt=Attempt(source=source),
                trouble=trouble(error),
                seed=told["seed"],
            )
            body = clean(seen.model_dump())
        replaced += self._guard.restore()
        reaches, self._reaches = self._reaches, []
        if handlers() != self._handlers:
            reaches.append("signals, whose handlers see the grader's frames")
        return {
            "observed": body,
            "nonce": told["nonce"],
            "replaced": sorted(set(replaced))[:20],
            "made_up": made_up(names, card.needs),
            "reaches": reaches,
        }


def _fitting(body: Body) -> Body:
    """What was observed, unless it is more than a grader takes in."""
    if len(json.dumps(body)) > LONGEST - 10_000:
        raise OverflowError(f"what your code answers is more than {LONGEST >> 20} MB")
    return body


def _error(place: int, error: BaseException) -> Body:
    try:
        message = str(error)[:300]
        at = where(error)
    except BaseException:  # whatever a submission's own exceptions do
        message, at = "", None
    said: Body = clean({"type": type(error).__name__, "message": message, "cell": place, "at": at})
    return said
