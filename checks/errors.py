"""What may go wrong in ways that one sentence explains."""

from __future__ import annotations


class CourseError(Exception):
    """An expected failure: says what is wrong, where, and what to do. Shown without traceback."""


class StandstillError(BaseException):
    """There is one thread, and it waits for what only itself could bring about.

    Not an `Exception`: an app that answers 500 to those must not answer this one.
    """
