"""What a timeline shows of statements, parameters and paths: no secrets, and nothing endless."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import unquote_plus

from starlette.types import Scope

from checks.observe.evidence import storable

_SECRET = re.compile(r"passw|secret|token|hash|api_?key", re.IGNORECASE)
_HIDDEN = "•••"
_LONGEST_VALUE = 120  # characters of one parameter
_MOST_VALUES = 10  # of a list given as one parameter
_SPEAKS_FOR_ITSELF = ("datetime", "decimal", "uuid", "pathlib", "ipaddress", "fractions")
_SPACE = re.compile(
    r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*(?:\n|$)|/\*.*?\*/)|\s+""", re.DOTALL
)


def one_line(statement: str) -> str:
    """A statement without its layout; what it quotes, and comments, stay as they are."""
    return _SPACE.sub(lambda found: found[1] or " ", storable(statement)).strip()


def speaks_of_a_secret(statement: str) -> bool:
    """Whether the values in a statement, or with it, may be secrets."""
    return bool(_SECRET.search(statement))


def parameters(params: Any, withheld: bool) -> Any:
    """Parameters as JSON values, with what looks like a secret left out.

    Args:
        params: Named or positional parameters.
        withheld: Whether to leave out every value.
    """
    if isinstance(params, Mapping):
        return {
            storable(str(name)): _HIDDEN if withheld or _SECRET.search(str(name)) else _plain(value)
            for name, value in params.items()
        }
    if isinstance(params, Sequence) and not isinstance(params, str | bytes):
        return [_HIDDEN if withheld else _plain(value) for value in params]
    return _HIDDEN if withheld else _plain(params)


def _plain(value: Any) -> Any:
    """A parameter as a JSON value; nothing of the learner's is called to describe it."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if value.bit_length() <= 128 else f"<an integer of {value.bit_length()} bits>"
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind in (bytes, bytearray, memoryview):
        return f"<{len(value)} bytes>"
    if kind in (list, tuple, set, frozenset):
        some = [_plain(one) for one in list(value)[:_MOST_VALUES]]
        return some if len(value) <= _MOST_VALUES else [*some, f"… {len(value)} in all"]
    if kind is dict:
        return {
            storable(str(name)[:_LONGEST_VALUE]): _plain(one)
            for name, one in list(value.items())[:_MOST_VALUES]
        }
    if issubclass(kind, Enum):
        return _plain(value._name_)
    if kind.__module__ in _SPEAKS_FOR_ITSELF:
        return _plain(str(value))
    if not issubclass(kind, str):
        return f"<{kind.__name__}>"
    text = str.__str__(value)
    return storable(text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…")


def path(scope: Scope) -> str:
    """What was asked for, as typed; query values that look like secrets are left out."""
    query = scope.get("query_string", b"").decode("latin-1")
    pairs = []
    for pair in query.split("&") if query else ():
        name, equals, _ = pair.partition("=")
        secret = equals and _SECRET.search(unquote_plus(name))
        pairs.append(f"{name}={_HIDDEN}" if secret else pair)
    return storable(scope["path"] + ("?" + "&".join(pairs) if pairs else ""))
