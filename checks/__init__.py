"""What a notebook imports: `from checks import check, hint, solution, progress, trace, TODO`.

Everything is loaded on first use, so that `import checks` costs nothing and needs nothing but the
standard library: the commands start from it on a machine where nothing is installed yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checks.exercise import TODO as TODO
    from checks.notebook import check as check
    from checks.notebook import hint as hint
    from checks.notebook import progress as progress
    from checks.notebook import solution as solution
    from checks.observe.trace import trace as trace

_HOMES = {
    "TODO": "checks.exercise",
    "check": "checks.notebook",
    "hint": "checks.notebook",
    "progress": "checks.notebook",
    "solution": "checks.notebook",
    "trace": "checks.observe.trace",
}

__all__ = ["TODO", "check", "hint", "progress", "solution", "trace"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'checks' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
