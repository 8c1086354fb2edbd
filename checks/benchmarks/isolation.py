"""What isolation costs: `python -m checks.benchmarks.isolation [SUBMISSIONS]`.

Solved lessons are run with all isolation and, in turn, in fresh forks of a warm process that shuts
nothing in, so that a busy machine weighs on both alike. Then the same submissions by one worker and
by two.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from statistics import median

from checks import course
from checks.grading import plan
from checks.grading.fork import ForkRunner
from checks.grading.outcome import Ended, Job, Limits

LESSONS = ("00", "01")
MOST = 1.3  # times the cells' own run time
LEAST = 1.8  # times as many by two workers as by one


class BareRunner(ForkRunner):
    """Runs submissions in forks, not shut in."""

    warm = "checks.benchmarks.bare"


def jobs() -> dict[str, Job]:
    """The solved lessons, by number."""
    found = {}
    for number in LESSONS:
        lesson = course.lesson(number)
        notebook = json.loads(lesson.solved_notebook.read_bytes())
        found[number] = Job(number, plan.make(notebook, lesson))
    return found


def seconds(runner: ForkRunner, several: Sequence[Job]) -> float:
    """How long a runner takes for some submissions."""
    started = time.perf_counter()
    for job, outcome in runner.run(several):
        if outcome.ended is not Ended.WELL or not outcome.observed:
            raise SystemExit(f"Lesson {job.key} did not run: {outcome.ended} {outcome.why}")
    return time.perf_counter() - started


def main(submissions: int) -> None:
    """Measure and print."""
    if os.access("/dev/shm", os.W_OK):  # a shut in submission's folder is in memory as well
        tempfile.tempdir = "/dev/shm"
    if (load := os.getloadavg()[0]) > 1:
        print(
            f"This machine is busy with something else (load {load:.1f}): two workers cannot show "
            "what they can do. Run this again when it is not."
        )
    every = jobs()
    with ExitStack() as stack:
        shut, bare = (stack.enter_context(kind(Limits(), 1)) for kind in (ForkRunner, BareRunner))
        for number, job in every.items():
            pairs = [(seconds(shut, [job]), seconds(bare, [job])) for _ in range(submissions)]
            isolated, own = (median(column) for column in zip(*pairs, strict=True))
            print(
                f"lesson {number}: {isolated * 1000:.0f} ms isolated, {own * 1000:.0f} ms in a bare"
                f" fork, {isolated / own:.2f} times (at most {MOST})"
            )
    many = list(islice((job for _ in range(submissions) for job in every.values()), submissions))
    with ExitStack() as stack:
        runners = [stack.enter_context(ForkRunner(Limits(), workers)) for workers in (1, 2)]
        rounds = [[seconds(runner, many) for runner in runners] for _ in range(3)]
        one, two = (median(column) for column in zip(*rounds, strict=True))
    print(
        f"{submissions} submissions: {one:.1f} s by one worker, {two:.1f} s by two, "
        f"{one / two:.2f} times as fast (at least {LEAST})"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
