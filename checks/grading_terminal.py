"""What `checks grade` prints: how far it is, and what a human should look at."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from checks import show
from checks.grading import grade as grading
from checks.grading.grade import Options, Tally
from checks.grading.runners import Choice

GRADED, SOME_NEED_A_LOOK, NOTHING_GRADED = 0, 1, 2

_EVERY = 10.0  # seconds between lines where there is no terminal
_MOST_LINES = 40  # of what needs a look; the report has all

_console = Console(stderr=True, highlight=False)


def grade(options: Options, choice: Choice) -> int:
    """Grade a class, showing how far it is; returns the exit code."""
    if not options.rejudge and choice.warning:
        print(choice.warning, file=sys.stderr)
    try:
        with _progress() as tell:
            tally = grading.grade(options, choice.runner, tell, choice.reference)
    except KeyboardInterrupt:
        if not options.rejudge:
            print("\nWhat is graded is kept. Say the same again to go on.", file=sys.stderr)
        raise
    return _summary(options, tally)


def _summary(options: Options, tally: Tally) -> int:
    kept = f", {tally.kept} unchanged since they were graded" if tally.kept else ""
    print(f"{tally.done} graded{kept}. Open {options.out / 'report.html'}.")
    if tally.stale:
        print(
            f"{tally.stale} of the unchanged were judged by earlier checks: --rejudge judges their "
            "evidence anew, --again runs them anew."
        )
    if tally.compared:
        told = "verdicts that differ are below" if tally.differing else "all verdicts are the same"
        print(f"{tally.compared} were run in Jupyter as well; {told}.")
    for line in tally.notices[:_MOST_LINES]:
        print(f"  {line}")
    if not tally.done + tally.kept:
        print(
            "Nothing could be graded. Name the folder or zip that holds the notebooks.",
            file=sys.stderr,
        )
        return NOTHING_GRADED
    if not tally.look:
        return GRADED
    print(f"{len(tally.look)} need a look:")
    for line in tally.look[:_MOST_LINES]:
        print(f"  {line}")
    if len(tally.look) > _MOST_LINES:
        print(f"  ... and {len(tally.look) - _MOST_LINES} more, in report.html.")
    return SOME_NEED_A_LOOK


# -- progress -------------------------------------------------------------------------------------
class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


@contextmanager
def _progress() -> Iterator[grading.Progress]:
    """A bar on a terminal; elsewhere a line now and then."""
    if not _console.is_terminal:
        yield _Lines().tell
        return
    bar = Progress(
        TextColumn("Grading"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=_console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda tally: bar.update(
            task,
            completed=tally.done + tally.kept,
            total=tally.total,
            description=_statuses(tally),
        )


class _Lines:
    def __init__(self) -> None:
        self._started = self._told = time.monotonic()

    def tell(self, tally: Tally) -> None:
        """Print a line when the last is long ago, or all is done."""
        now, finished = time.monotonic(), tally.done + tally.kept
        if now - self._told < _EVERY and finished < tally.total:
            return
        self._told = now
        rate = tally.done / max(now - self._started, 0.001)
        left = f", {(tally.total - finished) / rate:.0f} s left" if tally.done else ""
        print(
            f"{finished} of {tally.total}, {rate:.1f}/s{left}. {_statuses(tally)}",
            file=sys.stderr,
            flush=True,
        )


def _statuses(tally: Tally) -> str:
    return "  ".join(
        f"{show.status_style(status)[0]} {count} {status.words}"
        for status, count in tally.statuses.most_common()
    )
