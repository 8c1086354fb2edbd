"""What observing stands on, put back when a submission has replaced it; and what it reached for.

A submission runs in the process in which it is observed, so it can replace `TestClient.request` or
`json.dumps`. Before anything is observed the originals come back, and what had been replaced is
reported; so is what was replaced meanwhile, when the observation is over. A watch on the
interpreter's own events reports, at once and for good, code of the submission's that reaches for
frames, for other objects by the garbage collector, for tracing, or for memory by ctypes.

What this cannot do: stop, or always see, somebody who rewrites the interpreter itself. Code in the
same process can read what the process knows; a signal handler is handed the frame that it
interrupts, and from there the way leads to the key that lines are signed with; an endpoint can
replace a function of the lab's while it is called, by one that answers in its place and puts the
original back (the tests have it, to keep this honest). Who goes that far can forge evidence. What
he gets is his own points; not the grader, whose judge runs elsewhere, not anybody else's work, and
not the solutions, which are public anyhow.
"""

from __future__ import annotations

import builtins
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import CellType, FrameType, FunctionType, ModuleType
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from checks.observe.raised import is_learners

_TRUSTED = (
    "checks",
    "builtins",
    "json",
    "random",
    "sqlite3.dbapi2",
    "sqlalchemy.event",
    "sqlalchemy.engine",
    "sqlalchemy.pool",
    "sqlalchemy.dialects.sqlite",
    "starlette.testclient",
    "httpx2",
    "anyio",
)
# Replaced by IPython in every notebook, by this package when it grades, or by a cache.
_LET_BE = {
    ("builtins", "_"),
    ("builtins", "input"),
    ("builtins", "help"),
    ("builtins", "exit"),
    ("builtins", "quit"),
    ("builtins", "open"),
    ("builtins", "display"),
    ("builtins", "get_ipython"),
    ("checks.observe.collecting", "collector"),
}
_ABSENT: Any = object()

Place = tuple[dict[str, Any] | Mapping[str, Any], Any, str, Any, str]
Code = tuple[FunctionType, Any, Any, Any, tuple[Any, ...], str]


class Guard:
    """Remembers what the modules that observing stands on hold, and how their functions read."""

    def __init__(self) -> None:
        self._modules = {name: module for name, module in sys.modules.items() if _is_trusted(name)}
        self._places: list[Place] = []
        self._codes: list[Code] = []
        self._owners: list[tuple[Any, frozenset[str], str]] = []
        seen: set[int] = set()
        for name, module in sorted(self._modules.items()):
            if isinstance(module, ModuleType):
                self._remember(module, name, seen)

    def _remember(self, owner: Any, called: str, seen: set[int]) -> None:
        if id(owner) in seen:
            return
        seen.add(id(owner))
        held = vars(owner)
        if called != "builtins":
            self._owners.append((owner, frozenset(held), called))
        for name, value in list(held.items()):
            if (called, name) in _LET_BE or not _matters(owner, name, value):
                continue
            self._places.append((held, owner, name, value, f"{called}.{name}"))
            for function in _functions_of(value):
                if id(function) not in seen:
                    seen.add(id(function))
                    self._codes.append(_code_of(function, f"{called}.{name}"))
            if isinstance(value, type) and _is_trusted(value.__module__) and called != "builtins":
                self._remember(value, f"{value.__module__}.{value.__qualname__}", seen)

    def restore(self) -> list[str]:
        """Put back what was replaced; returns its names."""
        found = []
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                found.append(f"sys.modules[{name!r}]")
        for function, code, defaults, kwdefaults, cells, called in self._codes:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not kwdefaults
            ):
                function.__code__, function.__defaults__ = code, defaults
                function.__kwdefaults__ = kwdefaults
                found.append(called)
            for cell, content in cells:
                if _content(cell) is not content:
                    cell.cell_contents = content
                    found.append(called)
        for held, owner, name, value, called in self._places:
            if held.get(name, _ABSENT) is not value:
                setattr(owner, name, value)
                found.append(called)
        for owner, names, called in self._owners:
            if len(vars(owner)) != len(names):
                found += self._take_out(owner, names, called)
        return found

    def _take_out(self, owner: Any, names: frozenset[str], called: str) -> Iterator[str]:
        """A name that was not there can stand before a builtin's or a base class's."""
        for name in set(vars(owner)) - names:
            if isinstance(owner, ModuleType):
                hides = name in vars(builtins)
            else:
                behind = owner.__mro__[1:]
                hides = name in _HOOKS or any(callable(vars(one).get(name)) for one in behind)
            if hides and (not name.startswith("__") or name in _HOOKS):
                delattr(owner, name)
                yield f"{called}.{name}"


# Special methods that come before what a class does; others are left as caches of Python's.
_HOOKS = {"__getattribute__", "__getattr__", "__setattr__", "__call__", "__eq__", "__new__"}
_HOOKS |= {"__init__", "__enter__", "__exit__", "__iter__", "__next__", "__getitem__", "__del__"}


def made_up(names: Mapping[str, Any], needs: Iterable[str]) -> list[str]:
    """Which of the needed names hold an engine that is none of SQLAlchemy's own, or altered."""
    found = []
    for name in needs:
        value = names.get(name)
        if isinstance(value, AsyncEngine):
            genuine = type(value) is AsyncEngine  # it has slots: nothing can be laid over a method
            value = value.sync_engine if genuine else None
        elif isinstance(value, Engine):
            genuine = True
        else:
            continue
        if not genuine or type(value) is not Engine or _covers_methods(value):
            found.append(name)
    return found


def _covers_methods(engine: Engine) -> bool:
    """Whether one of its methods is hidden by something of its own."""
    return any(callable(getattr(Engine, one, None)) for one in vars(engine) if one != "dispatch")


def handlers() -> list[Any]:
    """What handles each signal; a handler is handed the frame that it interrupts."""
    return [signal.getsignal(one) for one in sorted(signal.valid_signals())]


def _is_trusted(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in _TRUSTED)


def _matters(owner: Any, name: str, value: Any) -> bool:
    """Functions, classes and modules everywhere; in this package's modules, constants as well."""
    if name.startswith("__") and not callable(value):
        return False
    if callable(value) or isinstance(value, ModuleType | property | cached_property):
        return name not in ("__loader__", "__annotate__", "__class_getitem__")
    if isinstance(value, staticmethod | classmethod):
        return True
    return (
        isinstance(owner, ModuleType)
        and owner.__name__.startswith("checks.")
        and isinstance(value, int | float | str | bytes | tuple | frozenset)
    )


def _functions_of(value: Any) -> Iterator[FunctionType]:
    """The functions in a value: itself, a property's, what a decorator wraps."""
    todo, found = [value], 0
    while todo and found < 20:
        one, found = todo.pop(), found + 1
        if isinstance(one, FunctionType):
            yield one
            todo.append(vars(one).get("__wrapped__"))
        elif isinstance(one, staticmethod | classmethod):
            todo.append(one.__func__)
        elif isinstance(one, property):
            todo += [one.fget, one.fset, one.fdel]
        elif isinstance(one, cached_property):
            todo.append(one.func)


def _code_of(function: FunctionType, called: str) -> Code:
    return (
        function,
        function.__code__,
        function.__defaults__,
        function.__kwdefaults__,
        tuple((cell, _content(cell)) for cell in function.__closure__ or ()),
        called,
    )


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing in it yet
        return _ABSENT


# -- what a submission reaches for ----------------------------------------------------------------
_REACHES = {
    "sys._getframe": "the grader's frames",
    "sys._current_frames": "the grader's frames",
    "gc.get_objects": "the grader's objects",
    "gc.get_referrers": "the grader's objects",
    "gc.get_referents": "the grader's objects",
    "sys.settrace": "every step of the grader",
    "sys.setprofile": "every step of the grader",
    "ctypes.dlopen": "memory, by ctypes",
    "ctypes.dlsym": "memory, by ctypes",
    "ctypes.cdata": "memory, by ctypes",
    "ctypes.string_at": "memory, by ctypes",
}
_FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_ON_BEHALF = {"inspect", "traceback", "ctypes", "threading", "bdb", "asyncio.base_tasks"}
_ON_BEHALF |= {"IPython.core.interactiveshell"}  # its open()


def watch(seen: Callable[[str], None]) -> None:
    """Tell of each thing that the submission reaches for that no answer needs. For good.

    Only what its own code does counts, or what a module does for it that is made for such things:
    libraries look into frames all the time.

    Args:
        seen: Told what, once each.
    """
    told: set[str] = set()
    busy = False
    getframe, learners = sys._getframe, is_learners

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        what = _what(event, args)
        if what is None or what in told or busy:
            return
        busy = True
        try:
            frame: FrameType | None = getframe(1)
            if frame is not None and frame.f_globals.get("__name__") in _ON_BEHALF:
                frame = frame.f_back
            if frame is not None and learners(frame.f_code.co_filename):
                told.add(what)
                seen(what)
        finally:
            busy = False

    def _what(event: str, args: tuple[Any, ...]) -> str | None:
        if event == "object.__getattr__":
            return "the grader's frames" if args[1] in _FRAMES else None
        if event == "object.__setattr__":
            return "the code of functions" if args[1] == "__code__" else None
        if event == "open":
            path = args[0]
            memory = isinstance(path, str) and path.startswith("/proc") and path.endswith("/mem")
            return "memory, by /proc" if memory else None
        return _REACHES.get(event)

    sys.addaudithook(hook)
