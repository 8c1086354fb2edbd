"""What a terminal in a project's folder would do, for notebooks: a web page has no terminal."""

from __future__ import annotations

import io
import logging
import shlex
import sys
import textwrap
import warnings
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import anyio.from_thread
from alembic.config import CommandLine, Config

from checks.environment import variables
from checks.observe.project import asyncio_run_by, logging_untouched, modules_anew

_WIDTH = 100
_CHATTER = ("Context impl ", "Will assume ", "setting up autogenerate plugin")


@contextmanager
def inside(folder: str | Path, **environment: str) -> Iterator[None]:
    """Work in a project's folder: its modules are imported as they are now, and forgotten after.

    Args:
        folder: The project's folder.
        environment: Environment variables to set meanwhile.
    """
    place = Path(folder).resolve()
    with modules_anew(place, place), chdir(place), variables(**environment):
        sys.path.insert(0, str(place))
        yield


def alembic(command: str, folder: str | Path, **environment: str) -> None:
    """Run a command line of Alembic's in a project's folder, and print what a terminal would show.

    Left out are three lines that Alembic logs each time, and all of a traceback but its end. An
    `env.py` may call `asyncio.run` although a loop is running. Logging stays as it was.

    Args:
        command: What follows `alembic` in a terminal: `upgrade head`.
        folder: The project's folder, in which the terminal would stand.
        environment: Environment variables to set meanwhile.
    """
    settings = "".join(f"{name}={value} " for name, value in environment.items())
    shown = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(inside(folder, **environment))
        stack.enter_context(asyncio_run_by(_to_its_end))
        stack.enter_context(logging_untouched())
        stack.enter_context(_logged_to(shown))
        stack.enter_context(redirect_stdout(shown))
        stack.enter_context(redirect_stderr(shown))
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        try:
            _CommandLine("alembic").main(shlex.split(command))
        except SystemExit:
            pass  # it has said why
        except Exception as error:
            kind = type(error)
            module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
            shown.write(f"{module}{kind.__qualname__}: {error}")
    here = f"{Path(folder).resolve()}"
    said = shown.getvalue().replace(f"{here}/", "").replace(f"{here}\\", "")
    lines = [line for line in said.splitlines() if not line.startswith("(Background on ")]
    print("\n".join([f"$ {settings}alembic {command}", *map(_folded, lines)]).rstrip())


def _folded(line: str) -> str:
    """A line as a terminal of that width would show it, but for breaking it between words."""
    if len(line) <= _WIDTH:
        return line
    return "\n".join(
        textwrap.wrap(
            line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    )


class _CommandLine(CommandLine):
    def run_cmd(self, config: Config, options: Namespace) -> None:
        config.stdout = sys.stdout  # as it is now, not as it was when Alembic was imported
        super().run_cmd(config, options)


@contextmanager
def _logged_to(stream: io.StringIO) -> Iterator[None]:
    """Alembic's log as its own `alembic.ini` formats it."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)-5.5s [%(name)s] %(message)s"))
    handler.addFilter(lambda record: not record.getMessage().startswith(_CHATTER))
    handler.addFilter(lambda record: record.name != "alembic.util.messaging")  # printed as well
    logger = logging.getLogger("alembic")
    propagates = logger.propagate
    logger.setLevel(logging.INFO)  # put back by `logging_untouched`
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _to_its_end(function: Callable[[], Awaitable[Any]]) -> Any:
    with anyio.from_thread.start_blocking_portal() as portal:
        return portal.call(function)
