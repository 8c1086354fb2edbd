"""A stand-in for greenlet, where no stack can be switched, as far as SQLAlchemy uses it.

The function of a greenlet runs in place, to its end. What it hands over to be awaited is driven to
its end in place as well, which is possible because here the database answers at once. Everything
else is SQLAlchemy's own: `MissingGreenlet` comes where it always comes.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import Any


class GreenletExit(BaseException):
    """How greenlet ends one that is no longer wanted; never raised here."""


class greenlet:  # noqa: N801  (greenlet's own name)
    """One function that is run by the first `switch`."""

    gr_context: Context | None = None

    def __init__(
        self, run: Callable[..., Any] | None = None, parent: greenlet | None = None
    ) -> None:
        self.run = run
        self.parent = parent
        self.dead = False
        self._has_awaited = False
        self._outcome: tuple[Any, BaseException | None] | None = None

    def switch(self, *args: Any, **options: Any) -> Any:
        """Run the function; or, called on the parent from inside it, await what is given."""
        if _running[-1].parent is self:
            _running[-1]._has_awaited = True
            return _driven(args[0])
        if self._outcome is None:
            self._outcome = self._run(args, options)
            if self._has_awaited:  # SQLAlchemy counts the switches: let it see one
                return _nothing()
        self.dead = True
        value, error = self._outcome
        if error is not None:
            raise error
        return value

    def throw(self, *exception: Any) -> Any:
        """End with an exception."""
        raised = exception[1] if len(exception) > 1 else exception[0]
        self._outcome = (None, raised)
        return self.switch()

    def _run(self, args: Any, options: Any) -> tuple[Any, BaseException | None]:
        assert self.run is not None
        _running.append(self)
        try:
            return self.run(*args, **options), None
        except BaseException as error:
            return None, error
        finally:
            _running.pop()


_running: list[greenlet] = [greenlet()]


def getcurrent() -> greenlet:
    """The greenlet that is running."""
    return _running[-1]


async def _nothing() -> None:
    return None


def _driven(awaitable: Awaitable[Any]) -> Any:
    steps: Any = awaitable if inspect.iscoroutine(awaitable) else awaitable.__await__()
    try:
        steps.send(None)
    except StopIteration as stop:
        return stop.value
    if isinstance(steps, Generator) or inspect.iscoroutine(steps):
        steps.close()
    raise RuntimeError("This would have to wait for another task, and a web page has one thread.")
