"""Submissions that attack: each gets its status, its neighbours theirs, and nothing else."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from checks import course
from checks.grading import assess, fork, plan, seccomp
from checks.grading.fork import ForkRunner, NoIsolationError
from checks.grading.outcome import Ended, Job, Limits, Outcome
from checks.tests import hostile
from checks.tests.conftest import require
from checks.tests.hostile import Hostile
from checks.verdict import Status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")

LIMITS = Limits(cell=5, total=30, memory=512)
LESSON = course.lesson("00")
FIRST, SECOND = "00.opening_hours", "00.keep_the_book"
WRONG = ("session.commit()\n    return", "session.rollback()\n    return")
MARKER = "dog-eared-hostile-marker"


# -- what is run ----------------------------------------------------------------------------------
def solved(change: Callable[[list[dict[str, Any]]], None] = lambda cells: None) -> Job:
    """Lesson 00, solved, and then changed."""
    notebook = json.loads(LESSON.solved_notebook.read_bytes())
    change(notebook["cells"])
    return Job("solved", plan.make(notebook, LESSON))


def wrong() -> Job:
    """A usual mistake in the second exercise: never committed."""

    def flush_instead(cells: list[dict[str, Any]]) -> None:
        cell = answer_of(cells, SECOND)
        source = course.source_of(cell)
        assert WRONG[0] in source
        cell["source"] = source.replace(*WRONG)

    return solved(flush_instead)


def answer_of(cells: list[dict[str, Any]], exercise: str) -> dict[str, Any]:
    return next(cell for cell in cells if f"# exercise: {exercise}" in course.source_of(cell))


def job_of(one: Hostile, fill: dict[str, str]) -> Job:
    """Lesson 00 with an attack in its place."""
    code = one.code
    for name, value in fill.items():
        code = code.replace(name, value)

    def attack(cells: list[dict[str, Any]]) -> None:
        answer = answer_of(cells, SECOND)
        if one.place == "within":
            answer["source"] = course.source_of(answer) + "\n" + code
            return
        own = {"cell_type": "code", "source": code, "metadata": {}, "outputs": []}
        place = {"first": 0, "before": cells.index(answer), "last": len(cells)}[one.place]
        cells.insert(place, own)

    return solved(attack)


def statuses(job: Job, outcome: Outcome) -> tuple[Status, ...]:
    report = assess.report(LESSON, job.plan, outcome, "a.ipynb")
    json.dumps(report.model_dump(mode="json"), allow_nan=False).encode()
    return tuple(one.status for one in report.exercises)


# -- what must not change -------------------------------------------------------------------------
@dataclass
class Outside:
    """The machine around: canaries, what listens, and what of it a submission reached."""

    folders: list[Path]
    reached: list[str] = field(default_factory=list)
    fill: dict[str, str] = field(default_factory=dict)

    def state(self) -> dict[str, str]:
        """A hash of every file that an attack might change."""
        found = {}
        for folder in self.folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def listen(self, server: socket.socket, name: str) -> None:
        """Note whoever connects."""

        def accept() -> None:
            while True:
                try:
                    server.accept()
                except OSError:
                    return
                self.reached.append(name)

        server.listen()
        threading.Thread(target=accept, daemon=True).start()


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("canaries")
    canary = folder / "gradebook.sqlite"
    canary.write_text("points")
    folder.chmod(0o777)
    canary.chmod(0o666)
    around = Outside([folder, LESSON.solved_notebook.parent, LESSON.lesson_notebook.parent])
    abstract = f"dog-eared-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as hidden,
        socket.socket(socket.AF_UNIX) as on_file,
    ):
        hidden.bind(f"\0{abstract}")
        on_file.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        for one, name in ((server, "port"), (hidden, "abstract"), (on_file, "socket")):
            around.listen(one, name)
        secret = (canary, folder, Path("/etc/passwd"), Path("/etc/shadow"), Path.home() / ".ssh")
        homes = (Path("/home"), Path.home() / ".bashrc", Path("/sys"), Path("/var"), Path("/run"))
        around.fill = {
            "{port}": str(server.getsockname()[1]),
            "{abstract}": abstract,
            "{socket!r}": repr(str(folder / "socket")),
            "{paths}": ", ".join(repr(str(path)) for path in (*secret, *homes)),
            "{marker}": MARKER,
        }
        yield around


@pytest.fixture(scope="module")
def runner() -> Iterator[ForkRunner]:
    try:
        shut = ForkRunner(LIMITS, 2).__enter__()
    except NoIsolationError as error:
        require(False, str(error))
        raise
    with shut:
        yield shut


def open_files(pid: int | str) -> int:
    gc.collect()
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def submissions(runner: ForkRunner) -> list[int]:
    """Every process of a submission: below the warm process, which has one above it."""
    return below(runner.process)[1:]


def below(pid: int) -> list[int]:
    """Every process that descends from one and has not ended."""
    found, todo = [], [pid]
    while todo:
        here = Path("/proc", str(todo.pop()))
        try:
            for thread in (here / "task").iterdir():
                children = [int(one) for one in (thread / "children").read_text().split()]
                todo += children
                found += [one for one in children if not is_dead(one)]
        except OSError:
            continue
    return found


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def marked() -> list[int]:
    """Processes that an attack has started to outlive it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if MARKER.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [one for one in found if one != os.getpid()]


def eventually(holds: Callable[[], bool], within: float = 10) -> bool:
    """Whether something comes to hold, given time that only a failure takes."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# -- attacks --------------------------------------------------------------------------------------
@pytest.mark.parametrize("one", hostile.ALL, ids=lambda one: one.name)
def test_hostile(one: Hostile, runner: ForkRunner, outside: Outside) -> None:
    before, files = outside.state(), open_files("self")
    attack, honest, mistaken = job_of(one, outside.fill), solved(), wrong()
    outcomes = {id(job): outcome for job, outcome in runner.run([attack, honest, mistaken, honest])}

    mine = outcomes[id(attack)]
    assert (mine.ended, statuses(attack, mine)) == (one.ended, one.statuses), (mine.why, mine)
    for sign in one.signs:
        assert any(sign in said for said in mine.signs), mine.signs
    if not one.signs:
        assert mine.signs in ([], ["It reached for memory, by ctypes."])
    raised = [f"{said.type}: {said.message}" for said in mine.raised]
    assert not one.raises or any(one.raises in said for said in raised), raised
    assert mine.seconds < LIMITS.total + 5

    for job, wanted in ((honest, Status.PASSED), (mistaken, Status.FAILED)):
        theirs = outcomes[id(job)]
        assert (theirs.ended, statuses(job, theirs)) == (Ended.WELL, (Status.PASSED, wanted))
        assert theirs.signs == []

    assert outside.state() == before
    assert outside.reached == []
    assert eventually(lambda: not submissions(runner) and not marked())
    assert open_files("self") <= files


def test_random_data_is_told_when_a_check_is_reached_and_never_before(runner: ForkRunner) -> None:
    """Two runs of the same notebook see other data."""
    titles = set()
    for _, outcome in runner.run([solved(), solved()]):
        titles.add(str(outcome.observed[1].seen["title"]))
        assert [one.exercise for one in outcome.observed] == [FIRST, SECOND]
    assert len(titles) == 2


def test_every_honest_lesson_is_without_signs() -> None:
    lessons = [one for one in course.catalogue() if one.solved_notebook.exists()]
    jobs = [
        Job(one.number, plan.make(json.loads(one.solved_notebook.read_bytes()), one))
        for one in lessons
    ]
    patient = Limits(cell=60, total=300, memory=LIMITS.memory)  # lesson 05 measures for a while
    with ForkRunner(patient, 1) as runner:
        for job, outcome in runner.run(jobs):
            report = assess.report(course.lesson(job.key), job.plan, outcome, "a.ipynb")
            assert outcome.ended is Ended.WELL, (job.key, outcome.why)
            assert outcome.signs == [], job.key
            assert {one.status for one in report.exercises} == {Status.PASSED}, job.key


# -- what the grader survives ---------------------------------------------------------------------
def test_another_warm_process_takes_over(runner: ForkRunner) -> None:
    """What was in flight when it died is run again."""
    first = runner.process
    slow = solved(
        lambda cells: cells.insert(
            0, {"cell_type": "code", "source": "__import__('time').sleep(1)"}
        )
    )
    killed = False
    count = 0
    jobs = [slow, solved(), solved(), solved()]
    for job, outcome in runner.run(jobs):
        count += 1
        assert statuses(job, outcome) == (Status.PASSED, Status.PASSED)
        if not killed:
            os.kill(first, 9)
            killed = True
    assert count == 4
    assert runner.process != first


def test_a_killed_grader_leaves_nothing(tmp_path: Path) -> None:
    script = """
import json, sys
from checks import course
from checks.grading import plan
from checks.grading.fork import ForkRunner
from checks.grading.outcome import Job, Limits
lesson = course.lesson("00")
notebook = json.loads(lesson.solved_notebook.read_bytes())
notebook["cells"].insert(0, {"cell_type": "code", "source": "import os, time\\n"
    "for _ in range(3):\\n    if not os.fork():\\n        os.setsid(); time.sleep(1000)\\n"
    "print(open('/proc/self/stat').read()); time.sleep(1000)"})
with ForkRunner(Limits(cell=100), 2) as runner:
    print(runner.process, flush=True)
    list(runner.run([Job("x", plan.make(notebook, lesson))] * 2))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as grader:
        assert grader.stdout
        warm = int(grader.stdout.readline())
        assert eventually(lambda: len(below(warm)) == 9, 30)
        family = [warm, *below(warm)]
        grader.kill()
    assert eventually(lambda: all(is_dead(one) for one in family))
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert len(list(tmp_path.iterdir())) <= 1
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_a_run_that_is_given_up_ends_what_was_in_flight(runner: ForkRunner) -> None:
    loop = solved(
        lambda cells: cells.insert(0, {"cell_type": "code", "source": "while True: pass"})
    )
    running = runner.run([solved(), loop])
    next(running)
    running.close()
    assert eventually(lambda: not submissions(runner))
    assert [statuses(job, outcome) for job, outcome in runner.run([solved()])] == [
        (Status.PASSED, Status.PASSED)
    ]


def test_what_a_submission_says_may_break_the_reading_of_it_alone(
    runner: ForkRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fork._Submission._allow

    def fall_over(one: Any, exercise: str) -> None:
        if one.job.key == "bad":
            raise RuntimeError("not foreseen")
        real(one, exercise)

    monkeypatch.setattr(fork._Submission, "_allow", fall_over)
    good = solved()
    bad = Job("bad", good.plan)
    outcomes = {job.key: outcome for job, outcome in runner.run([bad, good])}
    assert outcomes["bad"].ended is Ended.DIED
    assert "not foreseen" in outcomes["bad"].why
    assert outcomes["solved"].ended is Ended.WELL


def test_memory_and_descriptors_stay_flat(runner: ForkRunner) -> None:
    def resident(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def run(times: int) -> list[int]:
        job = solved()
        assert all(one.ended is Ended.WELL for _, one in runner.run([job] * times))
        assert eventually(lambda: not submissions(runner))
        warm = below(runner.process)[0]
        files = [open_files(pid) for pid in ("self", warm)]
        return [resident(os.getpid()), resident(warm), *files]

    before, after = run(10), run(40)
    assert after[1] - before[1] < 2 << 20
    assert after[0] - before[0] < 4 << 20
    assert after[2:] == before[2:]


def test_system_calls_have_the_numbers_that_the_kernel_gives_them() -> None:
    """As far as this machine's headers tell."""
    headers = (
        sorted(Path("/usr/include").glob("**/asm/unistd_64.h")),
        [Path("/usr/include/asm-generic/unistd.h")],
    )
    require(all(found and found[0].exists() for found in headers), "Needs the kernel's headers.")
    for column, found in enumerate(headers):
        define = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")
        numbers = {name: int(number) for name, number in define.findall(found[0].read_text())}
        for name, both in {**seccomp._REFUSED, **seccomp._LOOKED_INTO}.items():
            assert numbers.get(name, both[column]) == both[column], name


# -- where isolation cannot be had ----------------------------------------------------------------
def in_a_namespace(prepare: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a root that is none outside, after a shell command."""
    return subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            f"{prepare}; exec {script}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


RUN_ONE = (
    "import json; from checks import course; from checks.grading import plan;"
    "from checks.grading.fork import ForkRunner; from checks.grading.outcome import Job, Limits;"
    "lesson = course.lesson('00');"
    "job = Job('x', plan.make(json.loads(lesson.solved_notebook.read_bytes()), lesson));"
    "runner = ForkRunner(Limits(), 1).__enter__();"
    "print([(o.ended.value, len(o.observed), o.signs) for _, o in runner.run([job])]);"
    "runner.__exit__(None, None, None)"
)


def test_it_says_so_when_the_kernel_refuses() -> None:
    done = in_a_namespace(
        "echo 0 > /proc/sys/user/max_user_namespaces", f'"{sys.executable}" -c "{RUN_ONE}"'
    )
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert "NoIsolationError: Submissions cannot be shut in on this machine: unshare:" in last
    assert last.endswith("--no-isolation.")


def test_without_a_proc_of_its_own() -> None:
    """A container that masks a part of /proc lets nobody mount another one."""
    done = in_a_namespace("mount -t tmpfs none /proc/sys", f'"{sys.executable}" -c "{RUN_ONE}"')
    assert done.stdout.strip() == "[('well', 2, [])]", done.stderr


ODD = "Ödes Verzeichnis, mit Leerzeichen"

UNDER_ATTACK = f"""
import json
from checks import course
from checks.grading import assess, plan
from checks.grading.fork import ForkRunner
from checks.grading.outcome import Job, Limits
lesson = course.lesson("00")
assert "{ODD}" in str(course.root()), course.root()
jobs = []
for attack in json.loads(input()):
    notebook = json.loads(lesson.solved_notebook.read_bytes())
    mark = "# exercise: {SECOND}"
    cell = next(one for one in notebook["cells"] if mark in "".join(one["source"]))
    cell["source"] = "".join(cell["source"]) + "\\n" + attack
    jobs.append(Job(str(len(jobs)), plan.make(notebook, lesson)))
with ForkRunner(Limits(cell=4, memory=512), 2) as runner:
    found = {{job.key: (job, outcome) for job, outcome in runner.run(jobs)}}
for key in map(str, range(len(jobs))):
    job, outcome = found[key]
    report = assess.report(lesson, job.plan, outcome, "x")
    raised = [f"{{one.type}}: {{one.message}}" for one in outcome.raised]
    print(json.dumps([outcome.ended, [one.status for one in report.exercises], raised]))
"""


@pytest.fixture
def odd_installation(tmp_path: Path) -> Path:
    """The course in place in a folder with spaces and letters beyond ASCII; its interpreter."""
    project = tmp_path / ODD
    for name in ("checks", "lessons", "solutions"):
        shutil.copytree(
            course.root() / name, project / name, ignore=shutil.ignore_patterns("__py*")
        )
    venv.create(project / ".venv", symlinks=True)
    packages = next((project / ".venv").glob("lib/*/site-packages"))
    others = [place for place in sys.path if place.endswith("-packages")]
    (packages / "course.pth").write_text("\n".join([str(project), *others]), encoding="utf-8")
    return project / ".venv/bin/python"


def test_as_an_ordinary_user_in_a_folder_with_an_odd_name(odd_installation: Path) -> None:
    """As somebody whose other processes a submission of his could kill."""
    everything = {one.name: one for one in hostile.ALL}
    chosen = [
        everything[name]
        for name in (
            "a loop",
            "killing everybody",
            "killing whoever can be reached",
            "a daemon that keeps the line open",
            "mounts, namespaces and other refused calls",
            "writing everywhere",
            "reading other processes",
            "memory in many processes",
            "reading solutions and answers",
        )
    ]
    somebody = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    done = subprocess.run(
        [*(somebody if os.geteuid() == 0 else []), str(odd_installation), "-c", UNDER_ATTACK],
        input=json.dumps([one.code for one in chosen]) + "\n",
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"LANG": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    for one, line in zip(chosen, done.stdout.splitlines(), strict=True):
        ended, stati, raised = json.loads(line)
        assert (ended, tuple(stati)) == (one.ended, one.statuses), (one.name, line)
        assert not one.raises or any(one.raises in said for said in raised), (one.name, raised)
