"""What observing stands on, put back when a submission has replaced it.

A submission runs in the process in which it is observed, so it can replace `TestClient.request` or
`json.dumps`. Before anything is observed the originals come back, and what had been replaced is
reported. This detects and undoes what people do; it does not stop somebody who rewrites the
interpreter's memory. That is why the verdict is made elsewhere, and why signs are shown to a human.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

_TRUSTED = (
    "checks",
    "builtins",
    "json",
    "hmac",
    "random",
    "sqlite3.dbapi2",
    "sqlalchemy.event",
    "starlette.testclient",
    "httpx2",
    "anyio",
)
_KINDS = (FunctionType, type, staticmethod, classmethod, property, type(len), type(str.join))
# Replaced by the recorder itself while it listens, and by IPython in every notebook.
_LET_BE = {("builtins", "input"), ("builtins", "help"), ("builtins", "exit"), ("builtins", "quit")}

Place = tuple[Any, str, Any, str]  # whose, which name, the original, what to call it


class Guard:
    """Remembers the functions and classes of the modules that observing stands on."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._codes: list[tuple[FunctionType, Any, Any, Any, str]] = []
        for name, module in sorted(sys.modules.items()):
            if isinstance(module, ModuleType) and _is_trusted(name):
                self._remember(module, name)

    def _remember(self, module: ModuleType, name: str) -> None:
        for owner, attribute, value, called in _functions(module, name):
            if (name, attribute) in _LET_BE:
                continue
            self._places.append((owner, attribute, value, called))
            if isinstance(value, FunctionType):
                self._codes.append(
                    (value, value.__code__, value.__defaults__, value.__kwdefaults__, called)
                )

    def restore(self) -> list[str]:
        """Put back what was replaced; returns its names."""
        found = []
        for function, code, defaults, kwdefaults, called in self._codes:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not kwdefaults
            ):
                function.__code__, function.__defaults__ = code, defaults
                function.__kwdefaults__ = kwdefaults
                found.append(called)
        for owner, attribute, value, called in self._places:
            if vars(owner).get(attribute) is not value:
                setattr(owner, attribute, value)
                found.append(called)
        return found


def _is_trusted(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in _TRUSTED)


def _functions(module: ModuleType, name: str) -> Iterator[Place]:
    for attribute, value in list(vars(module).items()):
        if not isinstance(value, _KINDS) or attribute.startswith("__"):
            continue
        yield module, attribute, value, f"{name}.{attribute}"
        if isinstance(value, type) and value.__module__ == name and name != "builtins":
            for inner, method in list(vars(value).items()):
                if isinstance(method, _KINDS) and inner not in ("__dict__", "__weakref__"):
                    yield value, inner, method, f"{name}.{attribute}.{inner}"
