"""Grading past one machine: a real scheduler, real workers, the same grades as here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import blocks, course
from checks.answers import Answer
from checks.errors import CourseError
from checks.grading import assess, cluster, grade, plan
from checks.grading.cluster import ClusterRunner
from checks.grading.fork import ForkRunner
from checks.grading.outcome import Ended, Job, Limits, Outcome, Raised
from checks.observe.evidence import Attempt, Observation
from checks.tests.conftest import require
from checks.verdict import Status

LIMITS = Limits(cell=5)

needs_workers = pytest.mark.skipif(
    sys.platform != "linux", reason="workers fork into namespaces, which Linux alone has"
)


# -- submissions ----------------------------------------------------------------------------------
def lesson() -> course.Lesson:
    return course.lesson("00")


@cache
def answers() -> tuple[Answer, ...]:
    found: tuple[Answer, ...] = import_module(f"checks.answers.lesson_{lesson().name}").ANSWERS
    return found


def submission(*put: Answer) -> plan.Plan:
    """The solved lesson with other answers in some of its cells."""
    notebook = json.loads(lesson().solved_notebook.read_bytes())
    found = course.exercise_cells(notebook).answers
    for answer in put:
        cell = notebook["cells"][found[answer.exercise][0]]
        cell["source"] = blocks.marked(answer.exercise, answer.code)
    return plan.make(notebook, lesson())


def one_that_takes(seconds: float) -> plan.Plan:
    return plan.Plan(lesson().name, (plan.Part(0, f"import time; time.sleep({seconds})"),), ())


def grades(outcomes: Iterable[tuple[Job, Outcome]]) -> dict[str, list[tuple[Status, float]]]:
    return {
        job.key: [
            (one.status, one.points)
            for one in assess.report(lesson(), job.plan, outcome, job.key).exercises
        ]
        for job, outcome in outcomes
    }


# -- a cluster ------------------------------------------------------------------------------------
class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path, processes: ExitStack, **environment: str) -> None:
        self._folder, self._processes = folder, processes
        self._environment = {**os.environ, **environment}
        file = folder / "scheduler.json"
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(file))
        self.address = self._written(file)

    def start_worker(self, revived: bool = False) -> subprocess.Popen[bytes]:
        """One more worker, with a nanny that starts it again when it dies, or without."""
        nanny = "--nanny" if revived else "--no-nanny"
        return self._start("dask_worker", self.address, nanny, "--nthreads", "1")

    def _start(self, command: str, *arguments: str) -> subprocess.Popen[bytes]:
        own = ("--host", "127.0.0.1", "--no-dashboard")
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", *arguments, *own],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process

    def _written(self, file: Path) -> str:
        for _ in range(300):
            if file.exists() and (text := file.read_text()):
                return str(json.loads(text)["address"])
            time.sleep(0.1)
        raise TimeoutError("the scheduler does not start")


@pytest.fixture(scope="module")
def processes() -> Iterator[ExitStack]:
    require(find_spec("distributed"), "distributed is not installed.")
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def two(processes: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster of two workers that lives as long as this module's tests."""
    made = Cluster(tmp_path_factory.mktemp("two"), processes)
    for _ in range(2):
        made.start_worker()
    return made


@pytest.fixture(scope="module")
def there(two: Cluster) -> Iterator[ClusterRunner]:
    """What runs submissions on those two."""
    with ClusterRunner(two.address, LIMITS) as running:
        yield running


@pytest.fixture
def empty(processes: ExitStack, tmp_path: Path) -> Cluster:
    """A cluster without workers, which gives a submission up when it has lost one."""
    return Cluster(tmp_path, processes, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")


# -- what it is for -------------------------------------------------------------------------------
@needs_workers
def test_a_class_gets_the_same_grades_as_here(there: ClusterRunner) -> None:
    jobs = [Job("endless", one_that_takes(60))]
    jobs += [Job(one.name, submission(one)) for one in answers()]
    with ForkRunner(LIMITS, workers=2) as here:
        expected = grades(here.run(jobs))
    assert grades(there.run(jobs)) == expected
    assert {one[0].value for grade in expected.values() for one in grade} >= {"passed", "failed"}


@needs_workers
def test_no_more_is_read_than_is_on_its_way(there: ClusterRunner) -> None:
    read = ended = 0

    def jobs() -> Iterator[Job]:
        nonlocal read
        for number in range(20):
            read += 1
            yield Job(str(number), one_that_takes(0))

    for _, outcome in there.run(jobs()):
        ended += 1
        assert outcome.ended is Ended.WELL
        assert read - ended <= 3 * 2
    assert ended == 20


# -- what goes wrong ------------------------------------------------------------------------------
@needs_workers
def test_a_worker_killed_in_the_middle_costs_time_only(two: Cluster, there: ClusterRunner) -> None:
    third = two.start_worker()
    jobs = [Job(f"{one.name} {again}", submission(one)) for one in answers() for again in "ab"]
    ended = []
    for one in there.run(jobs):
        ended.append(one)
        if len(ended) == 5:
            third.kill()
    found = grades(ended)
    assert len(ended) == len(found) == len(jobs)
    for answer in answers():
        assert found[f"{answer.name} a"] == found[f"{answer.name} b"]
        assert answer.status in [status for status, _ in found[f"{answer.name} a"]]


def test_what_loses_every_worker_has_died_and_its_neighbours_have_not(
    empty: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = b"+" + Outcome().to_json()

    def fatal_to_its_worker(plan: bytes, limits: bytes, wanted: str) -> bytes:
        if b"sleep(7)" in plan:
            os.kill(os.getpid(), signal.SIGKILL)
        return well

    monkeypatch.setattr(cluster, "run_here", fatal_to_its_worker)
    empty.start_worker(revived=True)
    jobs = [
        Job("good", one_that_takes(1)),
        Job("bad", one_that_takes(7)),
        Job("next", one_that_takes(1)),
    ]
    with ClusterRunner(empty.address, LIMITS) as there:
        ended = {job.key: outcome for job, outcome in there.run(jobs)}
    assert {key: one.ended for key, one in ended.items()} == {
        "good": Ended.WELL,
        "bad": Ended.DIED,
        "next": Ended.WELL,
    }
    assert assess.trouble(ended["bad"]).startswith(
        "A cell, nobody knows which, ended Python itself (each worker of the cluster that ran it "
        "was lost)"
    )


def test_a_scheduler_that_goes_is_one_sentence(
    empty: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = b"+" + Outcome().to_json()
    monkeypatch.setattr(cluster, "run_here", lambda plan, limits, wanted: well)
    empty.start_worker()
    jobs = (Job(str(number), one_that_takes(0)) for number in range(100_000))
    with (
        pytest.raises(CourseError, match=r"is gone\. Start it and run the command again"),
        ClusterRunner(empty.address, LIMITS) as there,
    ):
        for _ in there.run(jobs):
            empty.scheduler.kill()


def test_no_scheduler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    require(find_spec("distributed"), "distributed is not installed.")
    monkeypatch.setattr(cluster, "_CONNECTING", 0.5)
    for address in ("tcp://127.0.0.1:9", "127.0.0.1", "nonsense://x", "", "tcp://[", "a b:c"):
        with pytest.raises(CourseError, match="No Dask scheduler answers at"):
            ClusterRunner(address, LIMITS).__enter__()


def test_no_workers_is_one_sentence(empty: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECTING", 2)
    with pytest.raises(CourseError, match="has no workers: start some with `dask worker"):
        ClusterRunner(empty.address, LIMITS).__enter__()


def test_no_dask_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match=r"pip install -e \"\.\[cluster\]\""):
        ClusterRunner("tcp://127.0.0.1:9", LIMITS).__enter__()


@pytest.fixture
def _anew() -> Iterator[None]:
    cluster.about.cache_clear()
    yield
    cluster.about.cache_clear()


@pytest.mark.usefixtures("_anew")
def test_workers_with_other_checks_are_one_sentence(
    two: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grade, "checks_digest", lambda number: f"mine of {number}")
    with pytest.raises(CourseError, match=r"has other checks for lesson 00, 01.* than"):
        ClusterRunner(two.address, LIMITS).__enter__()


@pytest.mark.usefixtures("_anew")
def test_workers_with_other_versions_are_one_sentence(
    two: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "version", lambda package: "0.1")
    with pytest.raises(CourseError, match=r"has distributed .* the grading machine 0\.1"):
        ClusterRunner(two.address, LIMITS).__enter__()


@needs_workers
@pytest.mark.usefixtures("_anew")
def test_a_worker_that_comes_late_is_compared_too(
    there: ClusterRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = json.dumps({**json.loads(cluster.about()), "Python": "2.7"})
    monkeypatch.setattr(there, "_own", other)
    with pytest.raises(CourseError, match=r"the grading machine 2\.7"):
        list(there.run([Job("one", submission())]))


# -- what comes back ------------------------------------------------------------------------------
def test_nothing_that_a_worker_answers_is_unpickled(
    there: ClusterRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "unpickled"

    def answer(plan: bytes, limits: bytes, wanted: str) -> Any:
        class Trap:
            def __reduce__(self) -> Any:
                return os.mkdir, (str(mark),)

        return Trap()

    monkeypatch.setattr(cluster, "run_here", answer)
    with pytest.raises(CourseError, match="cannot run the grader"):
        list(there.run([Job("one", submission())]))
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:Sending large graph")  # the answer travels out with the test
@pytest.mark.parametrize("said", [7, b"+[]", b'+{"ended": "splendidly"}', b"+" + b"9" * 20_000_000])
def test_an_answer_that_is_no_outcome_is_a_look_not_a_crash(
    there: ClusterRunner, monkeypatch: pytest.MonkeyPatch, said: object
) -> None:
    monkeypatch.setattr(cluster, "run_here", lambda plan, limits, wanted: said)
    ((_, outcome),) = there.run([Job("one", submission())])
    assert (outcome.ended, outcome.why) == (
        Ended.DIED,
        "the worker that ran it sent what is no outcome",
    )


short = st.text(max_size=100)
outcomes = st.builds(
    Outcome,
    ended=st.sampled_from(Ended),
    cell=st.none() | st.integers(0, 10_000),
    observed=st.lists(
        st.builds(
            Observation,
            exercise=short,
            attempt=st.builds(Attempt, source=st.none() | short),
            seen=st.dictionaries(short, st.integers() | short | st.lists(short)),
        ),
        max_size=3,
    ),
    raised=st.lists(
        st.builds(Raised, st.integers(0, 99), short, short, st.none() | short), max_size=3
    ),
    signs=st.lists(short, max_size=3),
    seconds=st.floats(0, 1e6),
    why=short,
)


@given(outcomes)
def test_an_outcome_arrives_as_it_was_sent(outcome: Outcome) -> None:
    arrived = Outcome.from_json(outcome.to_json(), most=1 << 20)
    # What a database cannot hold is replaced, so it is compared as it would be after that.
    assert arrived == Outcome.from_json(arrived.to_json(), most=1 << 20)
    assert (arrived.ended, arrived.cell, arrived.seconds) == (
        outcome.ended,
        outcome.cell,
        outcome.seconds,
    )
    assert len(arrived.observed) == len(outcome.observed)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
fields = st.sampled_from(["ended", "cell", "observed", "raised", "signs", "seconds", "why"])


@given(
    st.binary()
    | st.builds(lambda data: json.dumps(data).encode(), anything)
    | st.builds(lambda data: json.dumps(data).encode(), st.dictionaries(fields, anything))
    | st.sampled_from([b"[" * 200_000, b'{"seconds": 1e999}', b"9" * 10_000])
)
def test_whatever_arrives_is_an_outcome_or_refused(text: bytes) -> None:
    try:
        found = Outcome.from_json(text, most=1 << 20)
    except ValueError:
        return
    assert isinstance(found.ended, Ended)
    assert all(isinstance(one, Observation) for one in found.observed)
    assert 0 <= found.seconds < float("inf")
