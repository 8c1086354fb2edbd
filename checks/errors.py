"""What may go wrong in ways that one sentence explains."""

from __future__ import annotations


class CourseError(Exception):
    """An expected failure: says what is wrong, where, and what to do. Shown without traceback."""
