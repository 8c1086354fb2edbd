"""`results.jsonl`: an object a line, for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from checks.grading.exports.out import written
from checks.grading.graded import Graded


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Graded], None]]:
    """Open the file and take submissions.

    `report` in each line is exactly what `checks check --json` prints, and holds to its schema;
    what only a grader knows stands beside it: `learner`, `graded_at` (ISO 8601, UTC), `ended`,
    `seconds`, `look` (what a human should look at) and `notes`.

    Raises:
        CourseError: it cannot be written.
    """
    with written(path) as file:

        def line(graded: Graded) -> None:
            about = {
                "learner": graded.learner,
                "graded_at": graded.graded_at.isoformat(),
                "ended": graded.ended.value,
                "seconds": graded.seconds,
                "look": list(graded.look),
                "notes": list(graded.notes),
                "report": graded.report.model_dump(),
            }
            file.write(json.dumps(about, ensure_ascii=False, allow_nan=False) + "\n")

        yield line
