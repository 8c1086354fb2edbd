"""The learner's own copies: brought, refreshed, reset, and never lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checks import course, workspace
from checks.workspace import WorkspaceError

NAME = "00_start_here.ipynb"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one lesson, and a work folder in it."""
    root = tmp_path / "dog-eared"
    (root / "lessons").mkdir(parents=True)
    shutil.copy(course.lesson("00").lesson_notebook, root / "lessons")
    monkeypatch.setattr(course, "root", lambda: root)
    monkeypatch.delenv("CHECKS_WORK", raising=False)
    return root


def lesson(root: Path) -> course.Lesson:
    """The lesson in that checkout, with the exercises of this one."""
    found = course.Lesson("00", "start_here", root)
    (root / "solutions").mkdir(exist_ok=True)
    shutil.copy(course.catalogue()[0].master, root / "solutions")
    return found


def edit(path: Path, old: str, new: str) -> bytes:
    """Change a word of a notebook; returns what is there now."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path.read_bytes()


def update(root: Path, word: str) -> bytes:
    """A course update changes the lesson."""
    return edit(root / "lessons" / NAME, "Ten minutes from now", f"{word} minutes from now")


def changes() -> list[tuple[str, str]]:
    return [(change.notebook, change.what) for change in workspace.fill()]


def test_lessons_are_copied_once(root: Path) -> None:
    assert changes() == [(NAME, "copied")]
    assert (root / "work" / NAME).read_bytes() == (root / "lessons" / NAME).read_bytes()
    assert changes() == []


def test_an_update_refreshes_what_nobody_touched_also_if_it_was_run(root: Path) -> None:
    workspace.fill()
    copy = root / "work" / NAME
    notebook = json.loads(copy.read_bytes())
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["outputs"], code["execution_count"] = [], 7
    copy.write_text(json.dumps(notebook), encoding="utf-8")
    new = update(root, "Eight")
    assert changes() == [(NAME, "refreshed")]
    assert copy.read_bytes() == new


def test_an_update_never_overwrites_work_and_is_offered_once(root: Path) -> None:
    workspace.fill()
    mine = edit(root / "work" / NAME, "return TODO", "return {}")
    new = update(root, "Eight")
    (change,) = workspace.fill()
    assert change.sentence == (
        f"{NAME} has an update (2 cells are new or changed). Yours is untouched; the new one is "
        "beside it as 00_start_here.updated.ipynb."
    )
    assert (root / "work" / NAME).read_bytes() == mine
    assert (root / "work" / "00_start_here.updated.ipynb").read_bytes() == new
    assert changes() == []


def test_two_updates_in_a_row(root: Path) -> None:
    workspace.fill()
    mine = edit(root / "work" / NAME, "return TODO", "return {}")
    offered = root / "work" / "00_start_here.updated.ipynb"
    update(root, "Eight")
    workspace.fill()
    edit(root / "lessons" / NAME, "Eight minutes", "Six minutes")
    assert changes() == [(NAME, "offered")]  # over the first offer, which nobody touched
    assert offered.read_bytes() == (root / "lessons" / NAME).read_bytes()
    begun = edit(offered, "return TODO", "return 1")  # the learner goes on in the new one
    newest = edit(root / "lessons" / NAME, "Six minutes", "Four minutes")
    (change,) = workspace.fill()
    assert change.beside == "00_start_here.updated (2).ipynb"
    assert (root / "work" / change.beside).read_bytes() == newest
    assert offered.read_bytes() == begun
    assert (root / "work" / NAME).read_bytes() == mine


def test_who_takes_the_new_one_is_refreshed_again(root: Path) -> None:
    workspace.fill()
    copy = root / "work" / NAME
    edit(copy, "return TODO", "return {}")
    update(root, "Eight")
    workspace.fill()
    (root / "work" / "00_start_here.updated.ipynb").replace(copy)
    edit(root / "lessons" / NAME, "Eight minutes", "Six minutes")
    assert changes() == [(NAME, "refreshed")]


def test_a_copy_that_was_deleted_comes_back(root: Path) -> None:
    workspace.fill()
    (root / "work" / NAME).unlink()
    assert changes() == [(NAME, "copied")]


@pytest.mark.parametrize("left", [None, b"", b"[]", b'{"a": 1}', b"\xff"])
def test_without_its_notes_nothing_that_differs_is_overwritten(
    root: Path, left: bytes | None
) -> None:
    workspace.fill()
    mine = edit(root / "work" / NAME, "return TODO", "return {}")
    notes = root / "work" / ".shipped.json"
    notes.unlink() if left is None else notes.write_bytes(left)
    assert changes() == [(NAME, "offered")]
    assert (root / "work" / NAME).read_bytes() == mine


def test_a_copy_that_is_no_notebook_any_more_is_kept_too(root: Path) -> None:
    workspace.fill()
    (root / "work" / NAME).write_text("<<<<<<< HEAD")
    update(root, "Eight")
    assert changes() == [(NAME, "offered")]
    assert (root / "work" / NAME).read_text() == "<<<<<<< HEAD"


# -- reset ----------------------------------------------------------------------------------------
def test_reset_brings_the_lesson_back_and_keeps_every_old_copy(root: Path) -> None:
    workspace.fill()
    copy, kept = root / "work" / NAME, []
    for number in range(3):  # within one second
        mine = edit(copy, "return TODO", f"return {number}")
        place = workspace.reset(lesson(root))
        assert place and place.read_bytes() == mine
        kept.append(place)
        assert copy.read_bytes() == (root / "lessons" / NAME).read_bytes()
    assert len(set(kept)) == 3
    assert workspace.reset(lesson(root)) is None  # nothing to keep
    assert changes() == []


def test_reset_of_one_exercise_leaves_the_others(root: Path) -> None:
    workspace.fill()
    copy = root / "work" / NAME
    edit(copy, "return TODO", "return 7")
    mine = edit(copy, "session.flush()", "session.commit()")
    kept = workspace.reset(lesson(root), ["00.opening_hours"])
    assert kept and kept.read_bytes() == mine
    text = copy.read_text(encoding="utf-8")
    assert "return TODO" in text and "return 7" not in text
    assert "session.commit()" in text


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda copy: copy.unlink(), "There is no 00_start_here.ipynb in"),
        (lambda copy: copy.write_text("{"), "is not a readable notebook. Reset the whole lesson"),
        (lambda copy: copy.write_text("[]"), "has no cell for 00.opening_hours any more."),
        (
            lambda copy: edit(copy, "# exercise: 00.opening", "# exercise: 00.closing"),
            "has no cell for 00.opening_hours any more. Reset the whole lesson instead",
        ),
    ],
)
def test_a_reset_that_cannot_be_is_one_sentence(
    root: Path, spoil: Callable[[Path], object], says: str
) -> None:
    workspace.fill()
    copy = root / "work" / NAME
    spoil(copy)
    before = sorted(path.name for path in copy.parent.iterdir())
    with pytest.raises(WorkspaceError) as told:
        workspace.reset(lesson(root), ["00.opening_hours"])
    assert says in str(told.value) and "\n" not in str(told.value)
    assert sorted(path.name for path in copy.parent.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_one_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file where the folder should be stands for a read-only one: nobody may write there."""
    (root / "blocked").write_text("")
    monkeypatch.setenv("CHECKS_WORK", str(root / "blocked" / "work"))
    for act in (workspace.fill, lambda: workspace.reset(lesson(root))):
        with pytest.raises(WorkspaceError, match=r"cannot be written \(.+\)[.;].*again\.$"):
            act()
