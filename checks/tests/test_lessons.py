"""Every lesson: as shipped it runs through with nothing attempted; nothing has drifted."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import course
from checks.authoring import build

MASTERS = [lesson.master for lesson in course.catalogue()]
EACH = pytest.mark.parametrize("path", MASTERS, ids=[path.stem for path in MASTERS])


@EACH
def test_as_shipped_it_runs_and_nothing_is_attempted(path: Path) -> None:
    build.as_shipped(path)


@EACH
def test_nothing_has_drifted_from_the_master(path: Path) -> None:
    # Outputs are compared by nbval, which runs the solved notebooks.
    assert build.drift(path, execute=False) == []
