"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from checks.tests import same_data

same_data.settle()

# The same examples on every run, however slow the machine is at the moment.
settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")


@pytest.fixture(autouse=True)
def _back_where_it_began() -> Iterator[None]:
    """A kernel in this process works in a folder of its own; the next test does not."""
    here = Path.cwd()
    yield
    os.chdir(here)


def require(what: object, missing: str) -> None:
    """Skip a test whose tool is missing, unless everything is to run, as in CI."""
    if what:
        return
    if os.environ.get("CHECKS_REQUIRE_ALL"):
        pytest.fail(f"{missing} (CHECKS_REQUIRE_ALL is set, so nothing may be skipped.)")
    pytest.skip(missing)
