"""Which way submissions are run: shut in, in plain Jupyter kernels, or on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from checks.grading.grade import Runner
from checks.grading.outcome import Limits

_MISSING = (
    "Submissions are not shut in{why}: they see this machine's files and network, and their limits "
    "are time alone. Grade only notebooks that you trust."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the instructor chose.

    Attributes:
        limits: What each submission may use.
        workers: How many run at once.
        isolation: Whether to shut submissions in.
        faithful: Whether to run a sample in Jupyter as well, and compare.
        scheduler: The address of a Dask scheduler to run them on; None for this machine.
    """

    limits: Limits
    workers: int
    isolation: bool = True
    faithful: bool = False
    scheduler: str | None = None

    def runner(self) -> Runner:
        """What runs the submissions.

        Raises:
            CourseError: on entering it, where isolation or the cluster cannot be had.
        """
        if self.scheduler:
            from checks.grading.cluster import ClusterRunner

            return ClusterRunner(self.scheduler, self.limits)
        if self._shut_in:
            from checks.grading.fork import ForkRunner

            return ForkRunner(self.limits, self.workers)
        from checks.grading.kernel import KernelRunner

        return KernelRunner(self.limits, self.workers)

    @property
    def reference(self) -> Callable[[], Runner] | None:
        """What runs a sample a second time, where that was asked for: plain Jupyter."""
        if not self.faithful:
            return None
        from checks.grading.kernel import KernelRunner

        return lambda: KernelRunner(self.limits, self.workers)

    @property
    def warning(self) -> str:
        """What isolation is missing, as a sentence; empty when none is."""
        if self.scheduler or self._shut_in:
            return ""
        here = "" if sys.platform == "linux" else " on this system, which has no namespaces"
        return _MISSING.format(why=here)

    @property
    def _shut_in(self) -> bool:
        return self.isolation and sys.platform == "linux"
