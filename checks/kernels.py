"""A Jupyter kernel for one notebook, set up alike wherever the project runs one."""

from __future__ import annotations

from typing import Any

from nbclient import NotebookClient


def client(notebook: Any, timeout: float) -> NotebookClient:
    """What runs a notebook's cells, going on after a cell that raises.

    Args:
        notebook: The notebook, as nbformat has it.
        timeout: The most that one cell may take, in seconds.
    """
    return NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        allow_errors=True,
        coalesce_streams=True,  # what a cell prints with pauses is still one output
        # Without this the kernel says on our terminal that it listens on TCP, on loopback, and what
        # it thinks of being stopped in the middle of a cell.
        extra_arguments=["--log-level=CRITICAL"],
    )
