"""How long `check()` takes in a notebook: `python -m checks.benchmarks.check`.

Every exercise's own solution is checked in a real IPython shell, card and journal included, after
the cells of its lesson. The bar is a median under 100 ms. What the processor did is printed beside
it: the rest is waiting, for the disk above all, where a lesson's database is a file.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import chdir
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from checks import course
from checks.authoring import master

TIMES = 15  # checks of each exercise; the first warms up and does not count


def main() -> None:
    """Print each exercise's median, the median over all, and the slowest."""
    # Lessons may put files where they run.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["CHECKS_PROGRESS"] = str(Path(folder, "progress.sqlite"))
        taken = {
            exercise: (statistics.median(walls), statistics.median(processors))
            for lesson in course.catalogue()
            for exercise, (walls, processors) in _times(lesson).items()
        }
    print(f"{'':<24} {'wall':>10} {'processor':>13}")
    for exercise, (wall, processor) in taken.items():
        print(f"{exercise:<24} {wall:7.1f} ms {processor:10.1f} ms")
    median = [statistics.median(one) for one in zip(*taken.values(), strict=True)]
    print(f"{'median':<24} {median[0]:7.1f} ms {median[1]:10.1f} ms")
    slowest = max(taken, key=taken.__getitem__)
    print(f"slowest: {slowest}")


def _times(lesson: course.Lesson) -> dict[str, tuple[list[float], list[float]]]:
    """Wall and processor milliseconds of each check of a lesson's exercises, in order."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    if shell.history_manager:
        shell.history_manager.enabled = False  # nothing goes into this account's history
    found: dict[str, tuple[list[float], list[float]]] = {}
    for cell in master.read(lesson.master):
        if cell.role == "prose":
            continue
        if cell.role == "check" and cell.exercise:
            walls, processors = zip(*(_time(shell, cell.solved) for _ in range(TIMES)), strict=True)
            found[cell.exercise] = [*walls[1:]], [*processors[1:]]
        else:
            with capture_output():
                shell.run_cell(cell.solved, store_history=True).raise_error()
    return found


def _time(shell: InteractiveShell, cell: str) -> tuple[float, float]:
    with capture_output() as said:
        wall, processor = time.perf_counter(), time.process_time()
        shell.run_cell(cell).raise_error()
        taken = time.perf_counter() - wall, time.process_time() - processor
    assert "✓ passed" in said.outputs[0].data["text/plain"], said.outputs[0].data["text/plain"]
    return taken[0] * 1000, taken[1] * 1000


if __name__ == "__main__":
    main()
