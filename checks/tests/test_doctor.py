"""`checks doctor` and `checks reset`, as typed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from checks import course, doctor
from checks.tests.test_check_command import in_process

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on which no line of the doctor's table breaks."""
    from rich.console import Console

    monkeypatch.setattr("checks.terminal.console", Console(highlight=False, width=250))


def test_where_nothing_needed_is_missing_it_is_0(capsys: Captured) -> None:
    needed = [one for one in doctor.report() if one.ok is False]
    exit_code, out, err = in_process(capsys, "doctor")
    assert (exit_code, err) == (1 if needed else 0, "")
    assert f"Python  {sys.version.split()[0]}" in " ".join(out.split()).replace(
        "Python ", "Python  "
    )
    for name in ("fastapi", "sqlalchemy", "SQLite", "Your copies", "Chromium", "git"):
        assert name in out


def test_what_is_optional_and_missing_is_named_with_advice_and_still_0(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_strangers", lambda requirements: [])
    monkeypatch.setenv("CHECKS_CHROMIUM", "/nowhere")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    exit_code, out, _ = in_process(capsys, "doctor")
    said = " ".join(out.split())
    assert exit_code == 0
    assert "○ optional Chromium not found Only browser tests need it: install chromium" in said
    assert "○ optional git not found Updates of the course come through it." in said


def test_what_is_needed_and_missing_is_1_and_says_what_to_do(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pinned = tmp_path / "requirements.txt"
    pinned.write_text(
        "# pinned\nfastapi==0.0.1\nno-such-package==1.0  # via x\nx==1;python_version<'3'"
    )
    monkeypatch.setattr(doctor, "BASE", pinned)
    monkeypatch.setattr(doctor, "_ROOM", 2**60)
    exit_code, out, _ = in_process(capsys, "doctor")
    said = " ".join(out.split())
    assert exit_code == 1
    assert "no-such-package missing, not 1.0 Run `python3 checks lab`" in said
    assert "✗ mend Pinned packages fastapi" in said
    assert "Free disk space" in said and "Free some: databases and notebooks." in said


# -- reset ----------------------------------------------------------------------------------------
@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder whose path looks like markup, with lesson 00 begun."""
    folder = tmp_path / "[red] work"
    folder.mkdir()
    text = course.lesson("00").lesson_notebook.read_text(encoding="utf-8")
    begun = text.replace("return TODO", "return 7")
    (folder / "00_start_here.ipynb").write_text(begun, encoding="utf-8")
    monkeypatch.setenv("CHECKS_WORK", str(folder))
    return folder


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "Lesson 00"),
        (("--exercise", "opening_hours"), "00.opening_hours"),
        (("--exercise", "00.opening_hours", "--exercise", "keep_the_book"), "00.opening_hours, 00"),
    ],
)
def test_reset_says_where_the_old_copy_is(
    work: Path, options: tuple[str, ...], what: str, capsys: Captured
) -> None:
    exit_code, out, err = in_process(capsys, "reset", "0", *options)
    assert (exit_code, err) == (0, "")
    (kept,) = work.glob("*.before-reset-*.ipynb")
    assert out.startswith(what) and f"is as it came, in {work / '00_start_here.ipynb'}." in out
    assert f"Your old copy is {kept.name}, beside it." in out
    assert "return 7" in kept.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("77",), "There is no lesson '77'; choose among 00, 01"),
        (("00", "--exercise", "opening"), "There is no exercise '00.opening'. Did you mean"),
        (("00", "--exercise", "03.last_copy"), "03.last_copy is not in lesson 00; choose among"),
    ],
)
def test_a_reset_of_nothing_is_2_and_one_sentence(
    work: Path, arguments: tuple[str, ...], says: str, capsys: Captured
) -> None:
    exit_code, out, err = in_process(capsys, "reset", *arguments)
    assert (exit_code, out) == (2, "")
    assert err.startswith(says) and err.count("\n") == 1
    assert len(list(work.iterdir())) == 1
