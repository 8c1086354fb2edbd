"""The set-up on a fresh machine: what goes wrong is one sentence, and nothing stays half made."""

from __future__ import annotations

import ast
import errno
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import course
from checks.doctor import pinned
from checks.setup import command, environment, install, pip_output
from checks.tests.conftest import require

CHECKS = course.root() / "checks"
PYTHON = getattr(sys, "_base_executable", sys.executable)  # the one that no environment is around
LOCAL = ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
OFFLINE = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "0",
    "PIP_NO_CACHE_DIR": "1",
}


# -- what pip says ------------------------------------------------------------------------------
PIP_SAYS = {
    "network": (
        "WARNING: Retrying (Retry(total=0, ...)) after connection broken by "
        "'NewConnectionError(...: [Errno 111] Connection refused')': /simple/rich/",
        "ERROR: Could not find a version that satisfies the requirement rich==14 (from versions: "
        "none)",
        "ERROR: No matching distribution found for rich==14",
    ),
    "disk is full": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    ),
    "cannot be written": (
        "ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file system: "
        "'/somewhere/.venv/lib'",
    ),
    "certificate": (
        "WARNING: Retrying (Retry(total=0)) after connection broken by "
        "'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))'",
        "ERROR: No matching distribution found for rich==14",
    ),
    "nothing that fits Python 3.11": (
        "ERROR: Could not find a version that satisfies the requirement rich==14 (from versions: "
        "9.9)",
        "ERROR: No matching distribution found for rich==14",
    ),
    "answered with an error": ("ERROR: HTTP error 503 while getting https://index/rich.whl",),
    "compiling it failed": (
        "  error: subprocess-exited-with-error",
        "ERROR: Failed building wheel",
    ),
}


@pytest.mark.parametrize("cause", PIP_SAYS)
def test_each_failure_of_pip_is_explained_in_a_sentence_that_says_what_to_do(cause: str) -> None:
    said = pip_output.explain(PIP_SAYS[cause], folder="F", temporary="T", python="3.11")
    assert said and cause in said
    assert ": " in said and "run the command" in said
    assert "\n" not in said and said.endswith(".")


def test_trouble_that_pip_got_over_is_not_blamed() -> None:
    lines = [
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError'",
        "Collecting rich==14",
        "  Downloading rich-14-py3-none-any.whl (240 kB)",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    ]
    said = pip_output.explain(lines, folder="F", temporary="T", python="3.11")
    assert said and "disk is full" in said


@given(st.lists(st.text(max_size=60), max_size=20))
def test_whatever_pip_says_is_read_without_an_error(lines: list[str]) -> None:
    reader = pip_output.Reader(total=3)
    for line in lines:
        step = reader.feed(line)
        assert step is None or 1 <= step.done <= step.total
    pip_output.explain(lines, folder="F", temporary="T", python="3.11")
    assert pip_output.last_error(lines)


def test_progress_counts_what_this_platform_needs() -> None:
    reader = pip_output.Reader(pip_output.pins("a==1\nb==2 ; sys_platform == 'win32'\n  # via a\n"))
    assert reader.feed("Ignoring b: markers 'sys_platform == \"win32\"' don't match") is None
    step = reader.feed("Collecting a==1 (from -r requirements.txt (line 1))")
    assert str(step) == "Downloading 1 of 1: a"
    assert str(reader.feed("Installing collected packages: a")) == "Installing 1 of 1: a"


# -- before anything can run --------------------------------------------------------------------
def test_a_python_that_is_too_old_hears_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(CHECKS / "__main__.py"), run_name="__main__")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "needs Python 3.11 or newer and this is Python 3.9" in said
    assert said.count("\n") == 1


def test_the_file_that_says_so_parses_on_old_pythons() -> None:
    source = (CHECKS / "__main__.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 4))
    new = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Match)
    assert not any(isinstance(node, new) for node in ast.walk(tree))
    assert not any(getattr(node, "returns", None) for node in ast.walk(tree))


def test_the_set_up_needs_the_standard_library_alone() -> None:
    files = [*(CHECKS / "setup").glob("*.py"), CHECKS / "__main__.py", CHECKS / "errors.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                first = name.split(".")[0]
                assert first in sys.stdlib_module_names or first == "checks", (file, name)
                if first == "checks":
                    assert name.startswith(("checks.setup", "checks.errors")), (file, name)


@pytest.mark.parametrize("file", [environment.BASE, environment.TEST])
def test_every_package_is_pinned_and_the_tests_get_the_same_ones(file: str) -> None:
    text = (course.root() / file).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line[:1].isalnum()]
    assert lines and all("==" in line.split(";")[0] for line in lines)
    base = dict(pinned(course.root() / environment.BASE))
    assert base.items() <= dict(pinned(course.root() / environment.TEST)).items()


# -- a small repository, set up for real --------------------------------------------------------
@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one package that the small repository needs, fetched once."""
    folder = tmp_path_factory.mktemp("wheels")
    pin = dict(pinned(course.root() / environment.BASE))["flit-core"]
    asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    done = subprocess.run([*asked, f"flit_core=={pin}"], check=False, capture_output=True)
    require(done.returncode == 0, "The package index cannot be reached; this test needs it.")
    return folder


@pytest.fixture
def repository(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The set-up's own files around one package and a command that says what it was given."""
    root = tmp_path / "Dog Eared é"
    (root / "checks" / "tests").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "errors.py"):
        shutil.copy(CHECKS / name, root / "checks")
    shutil.copytree(CHECKS / "setup", root / "checks" / "setup")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(course.root() / name, root)
    (wheel,) = wheels.iterdir()
    pin = "flit_core=={}\n".format(wheel.name.split("-")[1])
    for name in (environment.BASE, environment.TEST):
        (root / name).write_text(pin, encoding="utf-8")
    (root / "checks" / "cli.py").write_text("import sys\nprint('ran', sys.argv[1:])\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return root


def run(
    root: Path, *words: str, cwd: Path | None = None, online: bool = True
) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if online or name not in LOCAL}
    return subprocess.run(
        [PYTHON, str(root / "checks"), *words],
        cwd=cwd or root,
        env=variables if online else variables | OFFLINE,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def python_of(folder: Path) -> Path:
    return folder.joinpath(*(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


def assert_one_sentence(done: subprocess.CompletedProcess[str], part: str) -> None:
    assert done.returncode == 2, done.stderr
    assert part in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.network
def test_from_nothing_to_the_command_and_then_nothing_to_do(
    repository: Path, tmp_path: Path
) -> None:
    first = run(repository, "exercises", "--json", cwd=tmp_path)
    assert first.stdout == "ran ['exercises', '--json']\n", first.stderr
    assert "Making .venv" in first.stderr
    second = run(repository, "exercises", cwd=tmp_path)
    assert (second.stdout, second.stderr) == ("ran ['exercises']\n", "")
    python = python_of(repository / ".venv")
    straight = subprocess.run(
        [python, "-m", "checks.cli", "x"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert straight.stdout == "ran ['x']\n", straight.stderr  # the package is on its path


@pytest.mark.network
def test_changed_pins_update_the_environment_and_a_failed_update_leaves_it_usable(
    repository: Path,
) -> None:
    assert run(repository, "x").returncode == 0
    pins = repository / environment.BASE
    kept = pins.read_text()
    pins.write_text(f"{kept}rich==14.0.0\n")
    assert_one_sentence(run(repository, "x", online=False), "index cannot be reached")
    pins.write_text(kept)
    again = run(repository, "x", online=False)
    assert again.stdout == "ran ['x']\n", again.stderr
    pins.write_text(f"# a comment\n{kept}")
    updated = run(repository, "x")
    assert updated.returncode == 0
    stamp = json.loads((repository / ".venv" / environment.STAMP).read_text())
    assert stamp["requirements"] == environment._hash(pins)


@pytest.mark.network
def test_without_a_network_nothing_stays_behind(repository: Path) -> None:
    before = sorted(path.name for path in repository.iterdir())
    assert_one_sentence(run(repository, "lab", online=False), "index cannot be reached")
    assert sorted(path.name for path in repository.iterdir()) == before


@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a POSIX thing.")
def test_a_killed_set_up_is_taken_up_by_the_next_run(repository: Path) -> None:
    with subprocess.Popen(
        [PYTHON, str(repository / "checks"), "x"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as first:
        marker = repository / ".venv" / environment.MARKER
        until = time.monotonic() + 30
        while not marker.exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGKILL)
    assert marker.exists()
    second = run(repository, "x")
    assert second.stdout == "ran ['x']\n"
    assert "was interrupted. It is made anew." in second.stderr
    assert not marker.exists()


@pytest.mark.network
@pytest.mark.skipif(os.name == "nt", reason="A running Python cannot be replaced on Windows.")
def test_a_broken_environment_is_made_anew(repository: Path) -> None:
    assert run(repository, "x").returncode == 0
    python = python_of(repository / ".venv")
    python.unlink()  # a link to the system's Python: never write through it
    python.write_text("junk")
    mended = run(repository, "x")
    assert mended.stdout == "ran ['x']\n", mended.stderr
    assert ".venv is broken: its Python does not start. It is made anew." in mended.stderr


@pytest.mark.network
def test_an_activated_environment_is_used_and_none_is_made(
    repository: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", own], check=True)
    done = subprocess.run(
        [python_of(own), repository / "checks", "x"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "ran ['x']\n", done.stderr
    assert f"Using the active environment, {own}." in done.stderr
    assert not (repository / ".venv").exists()


# -- what cannot be arranged everywhere, arranged in here ---------------------------------------
@pytest.fixture
def unactivated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(sys, "executable", PYTHON)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)


@pytest.mark.network
@pytest.mark.parametrize(
    ("number", "part"),
    [(errno.EROFS, "cannot be written"), (errno.EACCES, "cannot"), (errno.ENOSPC, "disk is full")],
)
def test_a_folder_that_takes_no_files(
    number: int,
    part: str,
    repository: Path,
    unactivated: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(environment.SetupError, match=part):
        command.ensure(root=repository)
    assert not (repository / ".venv").exists()


@pytest.mark.network
def test_a_python_without_venv(
    repository: Path, unactivated: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    with pytest.raises(environment.SetupError, match=r"comes without venv and ensurepip: install"):
        command.ensure(root=repository)
    assert not (repository / ".venv").exists()


@pytest.mark.network
def test_something_else_is_called_venv(repository: Path, unactivated: None) -> None:
    (repository / ".venv").write_text("mine")
    with pytest.raises(environment.SetupError, match="is not a folder: move it away"):
        command.ensure(root=repository)
    assert (repository / ".venv").read_text() == "mine"


def test_help_is_given_before_anything_is_installed(
    tmp_path: Path,
    unactivated: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main(["--help"]) == 0
    assert "python3 checks lab" in capfd.readouterr().out
    assert not (tmp_path / ".venv").exists()
