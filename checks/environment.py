"""Environment variables for processes that are started meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def variables(**values: str | None) -> Iterator[None]:
    """Set these while the block runs; None takes one away.

    Afterwards all variables are as they were, also those that the block itself has changed.
    """
    before = dict(os.environ)
    try:
        _put({**before, **values})
        yield
    finally:
        _put({**dict.fromkeys(os.environ), **before})


def _put(values: Mapping[str, str | None]) -> None:
    """Make each of these what it says; only what differs is touched."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        elif os.environ.get(name) != value:
            os.environ[name] = value
