"""Evidence: what was seen of one exercise, as data that can be stored and judged again."""

from __future__ import annotations

import ast
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from checks import filecells

OBSERVATION_TYPE = "application/vnd.dog-eared.observation+json"  # an observation as an output


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Trouble(_Data):
    """An exception that came out of the learner's code."""

    type: str
    message: str
    where: str | None = None


class Attempt(_Data):
    """What the learner has put there, before anything is tried.

    Attributes:
        source: The text of the exercise's cell as last run; None when no such cell ran.
        missing: Needed names that are not defined.
        unfilled: Needed names that still hold a placeholder.
        wrong: A sentence for each needed name that holds the wrong kind of thing.
        stopped: The exception that ended the cell's last run, if one did.
        stale: Needed names that this run was to make and that hold something else by now.
        unmade: Needed names that the cell's text makes and this run, cut short, did not.
        edited: The file that the cell writes, where it holds something else by now.
    """

    source: str | None = None
    missing: list[str] = []
    unfilled: list[str] = []
    wrong: list[str] = []
    stopped: Trouble | None = None
    stale: list[str] = []
    unmade: list[str] = []
    edited: str | None = None

    @property
    def complete(self) -> bool:
        """True when everything needed is there and is the kind of thing it should be."""
        return not (self.missing or self.unfilled or self.wrong or self.edited)


class Observation(_Data):
    """One exercise as observed once.

    Attributes:
        exercise: Its id, such as `03.tell_the_truth`.
        attempt: What the learner had put there.
        seen: What the exercise's `observe` wrote down, by step.
        trouble: The learner's exception that ended the observation, if one did.
        obstacle: Why nothing could be observed (a locked database, say), as a sentence.
        fault: A defect of the check itself, as a traceback for its authors.
        seed: What the random data was drawn from.
        ms: How long observing took, in milliseconds.
    """

    exercise: str
    attempt: Attempt
    seen: dict[str, JsonValue] = {}
    trouble: Trouble | None = None
    obstacle: str | None = None
    fault: str | None = None
    seed: int = 0
    ms: float = 0.0


_DEEPEST, _MOST, _LONGEST = 12, 1000, 20_000
_SPEAKS_FOR_ITSELF = ("datetime", "decimal", "uuid")  # modules whose types have a plain `str`


def storable(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair becomes a replacement character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


def plain(value: Any, depth: int = 0) -> JsonValue:
    """Any value as JSON: containers and numbers as they are, everything else described.

    Never calls the learner's own methods (`__repr__`, `__eq__`, lazy attributes): an object becomes
    its type's name, and a mapped one the column values already loaded.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value  # type: ignore[no-any-return]
    if kind is str:
        return storable(value[:_LONGEST])
    if depth >= _DEEPEST:
        return "…"
    if kind is dict:
        items = list(value.items())[:_MOST]
        return {str(plain(k, depth + 1)): plain(v, depth + 1) for k, v in items}
    if kind in (list, tuple, set, frozenset):
        return [plain(one, depth + 1) for one in list(value)[:_MOST]]
    if kind.__module__ in _SPEAKS_FOR_ITSELF:
        return str(value)
    if kind is bytes:
        return f"<{len(value)} bytes>"
    described: dict[str, JsonValue] = {"type": kind.__name__}
    try:
        held: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:  # slots
        return described
    if issubclass(kind, BaseModel):
        return described | {k: plain(v, depth + 1) for k, v in held.items()}
    if "_sa_instance_state" in held:
        for name, loaded in held.items():
            if type(loaded) in (bool, int, float, str, type(None)):
                described[name] = plain(loaded, depth + 1)
    return described


def same_code(one: str, other: str) -> bool:
    """True when two cells say the same to Python, whatever their comments and spacing."""
    try:
        return _tree(one) == _tree(other)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return one.split() == other.split()


def _tree(source: str) -> str:
    return ast.dump(ast.parse(filecells.as_python(source)))
