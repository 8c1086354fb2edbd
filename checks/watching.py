"""Watch mode: check again whatever notebook is saved, show where the learner stands."""

from __future__ import annotations

from pathlib import Path

from checks import course, show, terminal, workspace
from checks.errors import CourseError
from checks.grading import kernel
from checks.journal import Journal, journal
from checks.keys import QUIT, pressed
from checks.terminal import console
from checks.verdict import Report, Status, Verdict

_EVERY = 0.3  # seconds between looks at the folder


def watch(folder: Path, timeout: float) -> None:
    """Run until `q` or Ctrl-C. Keys: h hint, n next, l list, c check, r reset, q quit."""
    watching = _Watching(folder, timeout, journal(workspace.folder()))
    watching.welcome()
    with pressed() as next_key:
        while (key := next_key(_EVERY)) != QUIT:
            if saved := watching.saved():
                watching.check(saved)
            elif key:
                watching.on(key)


class _Watching:
    def __init__(self, folder: Path, timeout: float, kept: Journal) -> None:
        self._folder, self._timeout, self._journal = folder, timeout, kept
        self._times = self._look()
        self._file: Path | None = None
        self._report: Report | None = None
        self._asked_reset = False

    # -- the folder -----------------------------------------------------------------------------
    def _look(self) -> dict[Path, int]:
        times = {}
        for path in course.files(self._folder, ".ipynb"):
            try:
                times[path] = path.stat().st_mtime_ns
            except OSError:  # replaced at this very moment; seen at the next look
                continue
        return times

    def saved(self) -> Path | None:
        """The lesson saved since the last look, if any."""
        now = self._look()
        changed = [path for path, time in now.items() if self._times.get(path) != time]
        self._times |= now
        lessons = {lesson.lesson_notebook.name for lesson in course.catalogue()}
        return next((path for path in changed if path.name in lessons), None)

    # -- what is shown --------------------------------------------------------------------------
    def welcome(self) -> None:
        """Where the learner stands, before anything is saved."""
        terminal.show_progress()
        console.print(f"\nWatching {self._folder}. Save a lesson to have it checked.")
        self._keys()

    def check(self, path: Path) -> None:
        """Check a notebook and show the exercise to work on."""
        self._file, self._asked_reset = path, False
        try:
            with terminal.progress(f"Checking {path.name}") as step:
                self._report = kernel.check_notebook(path, self._timeout, step)
        except CourseError as error:
            console.print(str(error), style="red", markup=False)
            self._keys()
            return
        terminal.record(path, self._report.exercises)
        console.clear()
        terminal.show_report(self._report)
        self._keys()

    def on(self, key: str) -> None:
        """Do what a key asks for."""
        asked_reset, self._asked_reset = self._asked_reset, False
        if key == "c" and self._file:
            self.check(self._file)
            return
        if key == "l":
            terminal.show_progress()
        elif key == "c":
            console.print("There is nothing to check again yet. Save a lesson first.")
        elif key == "h":
            self._hint()
        elif key == "n":
            self._next()
        elif key == "r":
            self._reset(confirmed=asked_reset)
        self._keys()

    def _keys(self) -> None:
        console.print("\n[dim]h hint · n next · l list · c check · r reset · q quit[/]")

    def _open(self) -> Verdict | None:
        report = self._report
        waiting = (
            [one for one in report.exercises if one.status is not Status.PASSED] if report else []
        )
        return waiting[0] if waiting else None

    def _hint(self) -> None:
        verdict = self._open()
        if verdict is None:
            console.print("Nothing is waiting for a hint here. Save a lesson, or press n.")
            return
        card = course.find(verdict.exercise).card
        number = self._journal.next_hint(card.id, len(card.hints))
        print(show.hint_text(card.title, number, len(card.hints), card.hints[number - 1]))

    def _next(self) -> None:
        standings = self._journal.standings()
        for lesson in course.catalogue():
            for entry in lesson.exercises:
                standing = standings.get(entry.id)
                if standing is None or standing.status is not Status.PASSED:
                    console.print(
                        f"Next: [bold]{entry.id}[/] {entry.card.title}, in "
                        f"{lesson.lesson_notebook.name}.\n{entry.card.statement()}"
                    )
                    return
        console.print("Every exercise has passed. That was the course.")

    def _reset(self, confirmed: bool) -> None:
        verdict = self._open()
        if verdict is None or self._file is None:
            console.print("There is no open exercise to reset. Save a lesson first.")
        elif not confirmed:
            self._asked_reset = True
            console.print(f"Press r again to get {verdict.exercise} back as it came.")
        else:
            lesson = course.lesson(verdict.lesson)
            try:
                kept = workspace.reset(lesson, [verdict.exercise])
            except CourseError as error:
                console.print(str(error), style="red", markup=False)
                return
            self._times = self._look()  # a check now would wipe the next line off the screen
            old = f" Your old copy is {kept.name}, beside it." if kept else ""
            console.print(
                f"{verdict.exercise} is as it came.{old} If the notebook is open in an editor, "
                "reload it."
            )
