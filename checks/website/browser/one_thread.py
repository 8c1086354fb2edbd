"""Web code that wants threads, on the one thread of a web page.

`install` has to come before `starlette.testclient` or `sqlalchemy.ext.asyncio` are imported. It
works on any Python, which is how the tests compare both worlds. It leans on names that AnyIO,
aiosqlite and asyncio keep to themselves, so their versions are pinned.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple, cast
from weakref import WeakKeyDictionary

from checks.errors import StandstillError
from checks.website.browser import greenlets, threads

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class _Clock:
    """What a loop without input or output waits on: the time until its next timer."""

    def select(self, timeout: float | None) -> Sequence[Any]:
        if timeout is None:
            raise StandstillError(
                "Everything waits for something else, and there is no other thread to bring it."
            )
        if timeout > 0:
            time.sleep(timeout)
        return ()

    def close(self) -> None: ...


class NestedLoop(asyncio.BaseEventLoop):
    """An event loop that does no input or output and may run while another one is running."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Clock()
        self._thread = threads.new()

    def _process_events(self, events: Sequence[Any]) -> None: ...

    def _write_to_self(self) -> None: ...

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Args], Result], *args: *Args
    ) -> asyncio.Future[Result]:
        """Call the function in place, and give a future that has its result already."""
        future: asyncio.Future[Result] = self.create_future()
        try:
            with _in_a_worker(self):
                future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def drive(self, future: Future[Any]) -> None:
        """Run until the future is done; whoever runs outside stands still meanwhile."""
        try:
            with _off_the_loop(), threads.inside(self._thread):
                self.run_until_complete(asyncio.wrap_future(future, loop=self))
        except BaseException:
            if not future.done():  # its own failure is for whoever asks for its result
                raise


@contextmanager
def _off_the_loop() -> Iterator[None]:
    """What the block does, it does as another thread would: no event loop is running there."""
    loop = asyncio._get_running_loop()
    task = asyncio.current_task(loop) if loop else None
    if loop and task:
        asyncio.tasks._leave_task(loop, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if loop and task:
            asyncio.tasks._enter_task(loop, task)


class PortalFuture(Future[Any]):
    """What a portal's task comes to, and the loop that brings it about."""

    def __init__(self, loop: NestedLoop) -> None:
        super().__init__()
        self.loop = loop


class InlinePortal:
    """`anyio.from_thread.BlockingPortal`, as far as TestClient and the lab use it."""

    def __init__(self, loop: NestedLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    def start_task_soon(
        self, function: Callable[..., Any], *args: Any, name: object = None, **options: Any
    ) -> PortalFuture:
        """Begin a task; it gets on whenever somebody waits for something on this portal."""
        future = PortalFuture(self._loop)

        async def run() -> None:
            try:
                value = function(*args, **options)
                future.set_result(await value if inspect.isawaitable(value) else value)
            except BaseException as error:
                future.set_exception(error)

        task = self._loop.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return future

    def start_task(
        self, function: Callable[..., Any], *args: Any, name: object = None
    ) -> tuple[PortalFuture, Any]:
        """Begin a task and wait until it says that it has started."""
        ready = PortalFuture(self._loop)

        class Status:
            def started(self, value: Any = None) -> None:
                ready.set_result(value)

        future = self.start_task_soon(function, *args, task_status=Status())
        self._loop.drive(ready)
        return future, ready.result()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a function on the portal's loop and wait for its value."""
        future = self.start_task_soon(function, *args)
        self._loop.drive(future)
        return future.result()


@contextmanager
def start_blocking_portal(
    backend: str = "asyncio", backend_options: dict[str, Any] | None = None, *, name: object = None
) -> Iterator[InlinePortal]:
    """Stand in for AnyIO's portal, which would start a thread for its loop."""
    loop = NestedLoop()
    try:
        yield InlinePortal(loop)
    finally:
        loop.close()


def _wait(futures: Iterable[Future[Any]]) -> None:
    """Stand in for `concurrent.futures.wait`: there is nobody else to bring them about."""
    for future in futures:
        if not future.done():
            cast(PortalFuture, future).loop.drive(future)


_workers: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


@contextmanager
def _in_a_worker(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """What the block does, it does in the one worker thread that a loop has here."""
    with threads.inside(_workers.setdefault(loop, threads.new())), _off_the_loop():
        yield


async def _run_here(
    backend: Any,
    function: Callable[..., Any],
    args: Sequence[Any],
    abandon_on_cancel: bool = False,
    limiter: object = None,
) -> Any:
    """Stand in for AnyIO's worker threads: an `async` step aside, then the call, in place."""
    await backend.checkpoint()
    with _in_a_worker(asyncio.get_running_loop()):
        return contextvars.copy_context().run(function, *args)


class _QueueThatActs:
    """Stand in for the queue of aiosqlite: what is put in is done at once."""

    def __init__(self) -> None:
        self._thread = threads.new()

    def put_nowait(self, item: tuple[Any, Callable[[], Any]]) -> None:
        future, function = item
        try:
            with threads.inside(self._thread):
                value = function()
        except BaseException as error:
            if future is None:
                raise
            future.set_exception(error)
        else:
            if future is not None:
                future.set_result(value)


class _NoThread:
    """Stand in for the thread of aiosqlite, which then has nothing to do."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.daemon = True

    def start(self) -> None: ...

    def is_alive(self) -> bool:
        return False

    def join(self, timeout: float | None = None) -> None: ...


def install() -> None:
    """Put the stand-ins in place."""
    # A page's own sleep gives way to the browser, on whatever loop happens to be current.
    time.sleep = getattr(time.sleep, "__wrapped__", time.sleep)
    sys.modules["greenlet"] = cast(Any, greenlets)
    threads.install()

    from_thread = cast(Any, importlib.import_module("anyio.from_thread"))
    from_thread.start_blocking_portal = start_blocking_portal
    backend = cast(Any, importlib.import_module("anyio._backends._asyncio")).AsyncIOBackend
    backend.run_sync_in_worker_thread = classmethod(_run_here)

    cast(Any, importlib.import_module("starlette.testclient")).wait_futures = _wait

    core = cast(Any, importlib.import_module("aiosqlite.core"))
    core.SimpleQueue, core.Thread = _QueueThatActs, _NoThread
