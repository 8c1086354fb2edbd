"""`python -m checks.tests.page_kernel [--one-thread] < CELLS`: the page's kernel in this Python.

Reads a JSON list of cells, writes the JSON list of what the kernel said of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from checks.website.browser import one_thread
from checks.website.browser.kernel import Kernel


async def _run(cells: list[str]) -> list[list[dict[str, Any]]]:
    said: list[list[dict[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(lambda message: said[-1].append(message), Path(folder, "progress.sqlite"))
        for number, source in enumerate(cells):
            said.append([])
            await kernel.run(f"cell-{number}", source)
    return said


if __name__ == "__main__":
    if "--one-thread" in sys.argv:
        one_thread.install()
    print(json.dumps(asyncio.run(_run(json.load(sys.stdin)))))
