"""What the commands print: reports, progress, builds. Colour where there is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from checks import certificate, course, show, workspace
from checks.journal import journal
from checks.verdict import Report, Status, Verdict

console = Console(highlight=False)
_messages = Console(stderr=True, highlight=False)

Step = Callable[[int, int], None]

_MOST_NAMED = 5  # differences, before the rest is only counted


@contextmanager
def progress(title: str, quiet: bool = False) -> Iterator[Step]:
    """A progress bar on standard error while a terminal is there to show it.

    Yields:
        What to call with (done, total).
    """
    if quiet or not _messages.is_terminal:
        yield lambda done, total: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_messages,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def record(file: Path, verdicts: Sequence[Verdict]) -> None:
    """Write verdicts into the learner's journal when the notebook is the learner's own."""
    if workspace.folder().resolve() in file.resolve().parents:
        kept = journal(workspace.folder())
        for verdict in verdicts:
            kept.record(verdict)


def show_report(report: Report) -> None:
    """Every exercise in a line; then a card for the first that needs work."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for one in report.exercises:
        glyph, style = show.status_style(one.status)
        table.add_row(
            f"[{style}]{glyph} {one.status.words}[/]",
            one.exercise,
            one.title,
            f"{one.points:g}/{one.max_points:g}" if one.max_points else "",
        )
    console.print(table)
    open_ones = [one for one in report.exercises if one.status is not Status.PASSED]
    started = [one for one in open_ones if one.status is not Status.NOT_ATTEMPTED]
    if report.message:
        console.print(report.message, style="yellow", markup=False)
    if open_ones:
        console.print()
        console.print(show.card_rich((started or open_ones)[0], console.width))
    passed = len(report.exercises) - len(open_ones)
    total = (
        f"{report.points:g} of {report.max_points:g} points"
        if report.max_points or not report.exercises
        else f"{passed} of {len(report.exercises)} exercises passed, for no points,"
    )
    console.print(f"\n{total} in {report.file}.", markup=False)


def show_exercises() -> None:
    """The catalogue, lesson by lesson."""
    for lesson in course.catalogue():
        console.print(f"\n[bold]{lesson.number} {lesson.title}[/]")
        for entry in lesson.exercises:
            card = entry.card
            wanted = ", ".join([*card.needs, *filter(None, [entry.file])])
            points = f"{card.points():g} points" if card.points() else "no points"
            line = f"  {entry.id}  {card.title}, {points}{': ' if wanted else ''}{wanted}"
            console.print(line, soft_wrap=True)


def show_progress() -> None:
    """The journal, lesson by lesson."""
    standings = journal(workspace.folder()).standings()
    print(show.progress_text(show.progress_rows(course.catalogue(), standings)))


def show_certificate(name: str) -> None:
    """The learner's certificate.

    Raises:
        CertificateError: an exercise is still open, or nobody can be called that.
    """
    print(certificate.award(name, journal(workspace.folder()).standings()).text)


def verify_certificate(text: str) -> bool:
    """Tell what a certificate is worth; True when the learner's journal says the same.

    Raises:
        CertificateError: it is none, or it is not as it was made.
    """
    found = certificate.parse(text)
    kept = journal(workspace.folder())
    wrong = certificate.differences(found, kept.standings())
    where = f"The journal {kept.path or 'in memory'}"
    print("The checksum fits: the text is as it was made.")
    if wrong:
        print(f"{where} does not confirm it:")
        print(*(f"  {sentence}" for sentence in wrong[:_MOST_NAMED]), sep="\n")
        if len(wrong) > _MOST_NAMED:
            print(f"  ... and {len(wrong) - _MOST_NAMED} more.")
        print("If it was earned elsewhere, take that record in: checks progress --import FILE")
        return False
    print(
        f"{where} confirms all {len(found.passed)} passes of {found.name}. That says that text and "
        "record agree, not who did the work."
    )
    return True


def show_doctor() -> bool:
    """What `doctor` finds; True when nothing needed is missing."""
    from checks import doctor

    found = doctor.report()
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    words = {True: "[green]✓ fine[/]", None: "[yellow]○ optional[/]", False: "[red]✗ mend[/]"}
    for one in found:
        # Text: a path may hold square brackets, which would be read as markup.
        table.add_row(words[one.ok], one.name, Text(one.value), Text(one.advice))
    console.print(table)
    return all(one.ok is not False for one in found)


def build(number: str | None, check: bool) -> int:
    """Build notebooks, or tell what drifted; returns the exit code."""
    from checks.authoring import build as authoring
    from checks.authoring import master, schema

    root = course.root()
    masters = master.find(root, number)
    drifted: list[str] = []
    if check and not schema.is_current(root):
        drifted.append("checks/report.schema.json is not what a report is. Run `checks build`.")
    elif not check and schema.write(root):
        console.print("checks/report.schema.json: written")
    with progress("Checking" if check else "Building") as step:
        for done, path in enumerate(masters):
            step(done, len(masters))
            if check:
                drifted += authoring.drift(path)
            else:
                changed = authoring.build(path)
                console.print(f"{path.stem}: {', '.join(changed) or 'unchanged'}")
    for line in drifted:
        console.print(line, markup=False)
    if check and not drifted:
        many = f"{len(masters)} lessons are as their masters say."
        console.print("The lesson is as its master says." if len(masters) == 1 else many)
    return 1 if drifted else 0
