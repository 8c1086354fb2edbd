"""A pytest plugin: notebooks that tests run draw the same data each time, and leave no progress.

It is named in `pyproject.toml`, so that it also holds where only a notebook is run.
"""

from __future__ import annotations

import os

import pytest

from checks.authoring.build import SEED


def pytest_configure(config: pytest.Config) -> None:
    """Not for what somebody handed in: that is judged on data which it cannot foresee."""
    if config.getoption("--submission", None) is None:
        settle()


def settle() -> None:
    """Set what kernels inherit."""
    os.environ["CHECKS_PROGRESS"] = "off"
    os.environ["CHECKS_SEED"] = SEED
