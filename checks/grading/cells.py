"""Running a notebook's cells in this process as Jupyter runs them, without a kernel.

What cells print and show is formatted, as in a notebook, and thrown away: nobody marks outputs.
"""

from __future__ import annotations

import builtins
import getpass
import sys
from collections.abc import Callable
from io import TextIOBase
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class Nowhere(TextIOBase):
    """A stream that takes everything and keeps nothing."""

    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, text: str) -> int:
        """Forget a text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The file descriptor that it stands for."""
        return self._number

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """What texts would be written in."""
        return "utf-8"


class _Hook(DisplayHook):
    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        pass

    def finish_displayhook(self) -> None:
        pass


class _Publisher(DisplayPublisher):
    def publish(self, data: Any, metadata: Any = None, source: Any = None, **options: Any) -> None:
        pass


class Shell(InteractiveShell):
    """IPython without a terminal, a history file or a front end."""

    def init_virtualenv(self) -> None:
        """The environment is already the right one."""

    def enable_gui(self, gui: Any = None) -> None:
        """There is none."""

    def ask_exit(self) -> None:
        """What `exit` calls; as in Jupyter under nbclient, the notebook goes on."""

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **options: Any) -> None:
        """Remember the exception, as for `%tb`; laying a deep one out would take seconds."""
        self._get_exc_info(exc_tuple)  # type: ignore[no-untyped-call]


def make_shell() -> Shell:
    """The one shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.display_pub_class = _Publisher
    shell: Shell = Shell.instance(config=config, displayhook_class=_Hook)
    return shell


def silence() -> None:
    """Send what is printed nowhere, and refuse to ask anybody anything."""
    sys.stdout, sys.stderr = Nowhere(1), Nowhere(2)

    def no_input(*prompt: object) -> str:
        raise RuntimeError("input() has nobody to ask here: put the value into the cell.")

    vars(builtins)["input"] = vars(getpass)["getpass"] = no_input


async def run(shell: Shell, source: str, raised: Callable[[BaseException], None]) -> None:
    """Run one cell; tell what it raised, if anything.

    Must be awaited on one event loop for all cells, as a kernel's cells are.
    """
    try:
        transformed: str = shell.transform_cell(source)  # type: ignore[no-untyped-call]
        trouble = None
    except Exception:
        transformed, trouble = source, sys.exc_info()
    try:
        result = await shell.run_cell_async(
            source,
            store_history=True,
            transformed_cell=transformed,
            preprocessing_exc_tuple=trouble,
        )
        shell.events.trigger("post_execute")  # IPython leaves these two to whoever awaits it
        shell.events.trigger("post_run_cell", result)
    except BaseException as error:  # a cell's own SystemExit and the like come here
        raised(error)
        return
    if failure := result.error_before_exec or result.error_in_exec:
        raised(failure)
