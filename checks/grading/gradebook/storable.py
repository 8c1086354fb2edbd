"""A submission as any database and any file can hold it, so that none is lost over a letter."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, replace
from datetime import UTC
from typing import Any

from checks.grading.graded import Graded
from checks.grading.outcome import Raised
from checks.verdict import Report

_LONGEST_NAME = 200  # characters; an index of PostgreSQL does not hold a key of any length
_LARGEST = 1024  # bits of a whole number


def storable(graded: Graded) -> Graded:
    """Replace what cannot be held; what can be is left as it is.

    NUL and half characters become marks, numbers beyond all bounds become words.
    """
    report = _held(graded.report.model_dump())
    for one in report["exercises"]:
        evidence = one["evidence"]
        if evidence and isinstance(evidence["ms"], str):
            evidence["ms"] = 0.0
        if evidence and isinstance(evidence["seed"], str):
            evidence["seed"] = 0
    return replace(
        graded,
        learner=name_of(graded.learner),
        lesson=name_of(graded.lesson),
        file=_held(graded.file),
        digest=_held(graded.digest),
        checks=_held(graded.checks),
        report=Report.model_validate(report),
        raised=tuple(Raised(**_held(asdict(one))) for one in graded.raised),
        graded_at=graded.graded_at.astimezone(UTC) if graded.graded_at.tzinfo else graded.graded_at,
        answers=_held(dict(graded.answers)),
        look=tuple(map(_held, graded.look)),
        notes=tuple(map(_held, graded.notes)),
    )


def name_of(name: str) -> str:
    """A name as a key. One that had to change ends in a mark of its own, so that two stay two."""
    held: str = _held(name)
    if held == name and len(name) <= _LONGEST_NAME:
        return name
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{held[: _LONGEST_NAME - 13]}~{mark}"


def _held(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity, but Python reads 1e999 as one
    if isinstance(value, int) and value.bit_length() > _LARGEST:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, list):
        return [_held(one) for one in value]
    if isinstance(value, dict):
        return {_held(key): _held(one) for key, one in value.items()}
    return value
