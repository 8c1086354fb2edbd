"""The commands: `checks lab`, `checks check FILE`, ... each a thin front end over one module."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from checks.course import Lesson

# What a command needs is imported inside it: `checks lab` should not wait for what only
# `checks build` uses.

app = typer.Typer(
    help="Dog-Eared: SQLAlchemy in FastAPI, a course that runs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

site = typer.Typer(
    help="The site, where every lesson is read and run in a browser.",
    no_args_is_help=True,
)
app.add_typer(site, name="site")


class Lms(StrEnum):
    """A learning management system whose import format `grade` writes."""

    CANVAS = "canvas"
    MOODLE = "moodle"


PASSED, SOMETHING_DID_NOT, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130

TimeoutOption = Annotated[float, typer.Option(min=0.1, help="Seconds that one cell may take.")]
LessonArgument = Annotated[str, typer.Argument(metavar="NN", help="A lesson's number, as 03.")]


def main() -> None:
    """Run the command line; every expected failure is one sentence and exit code 2."""
    from checks.errors import CourseError

    try:
        app(prog_name="checks")
    except CourseError as error:
        _give_up(error)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer's answer to Ctrl-C
            print("\nStopped.", file=sys.stderr)
        raise
    except BrokenPipeError:  # the reader of our output went away: `checks ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


# -- learners ----------------------------------------------------------------------------------
@app.command()
def lab(
    browser: Annotated[bool, typer.Option(help="Open the address, or only print it.")] = True,
    port: Annotated[int | None, typer.Option(help="Use this port.")] = None,
) -> None:
    """Open the lessons in JupyterLab, in your own copies under work/."""
    from checks import server, workspace

    for change in workspace.fill():
        if change.what != "copied":
            print(change.sentence)
    sys.exit(server.serve(workspace.folder(), "00_start_here.ipynb", port, browser))


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(help="A notebook anywhere, or a lesson's number for your own copy.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    timeout: TimeoutOption = 60,
) -> None:
    """Run a notebook and judge every exercise: exit 0 all passed, 1 not all, 2 could not run."""
    from checks import terminal
    from checks.grading import kernel
    from checks.grading.read import UnreadableError
    from checks.verdict import Status

    file = _notebook(file)
    try:
        with terminal.progress(f"Running {file.name}", quiet=as_json) as step:
            report = kernel.check_notebook(file, timeout, step)
    except UnreadableError as error:
        if as_json:
            print(kernel.unreadable(file, str(error)).model_dump_json(indent=2))
        _give_up(error)
    terminal.record(file, report.exercises)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        terminal.show_report(report)
    passed = all(one.status is Status.PASSED for one in report.exercises)
    sys.exit(PASSED if passed else SOMETHING_DID_NOT)


@app.command()
def watch(
    timeout: TimeoutOption = 60,
) -> None:
    """Check again whatever notebook in work/ you save; hints and more on single keys."""
    from checks import watching, workspace

    workspace.fill()
    watching.watch(workspace.folder(), timeout)


@app.command()
def exercises(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List every exercise: lesson, points, the names that you define or the file you write."""
    from checks import course, terminal

    if as_json:
        listed: list[dict[str, object]] = [
            {
                "lesson": entry.card.lesson(),
                "exercise": entry.id,
                "title": entry.card.title,
                "points": entry.card.points(),
                "names": list(entry.card.needs),
                "file": entry.file,
            }
            for lesson in course.catalogue()
            for entry in lesson.exercises
        ]
        print(json.dumps({"version": 1, "exercises": listed}, indent=2))
    else:
        terminal.show_exercises()


@app.command()
def progress(
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="FILE", help="Take in what a page or --export wrote."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it into a file that a page can import."),
    ] = None,
) -> None:
    """Show how far you have come; take it to another place."""
    from checks import journal, terminal, workspace

    kept = journal.journal(workspace.folder())
    if import_:
        fresh = kept.take_in(journal.read_record(import_))
        print(f"{'1 attempt is' if fresh == 1 else f'{fresh} attempts are'} new.")
    if export:
        journal.write_record(export, kept.kept_record())
        print(f"Written to {export}; a lesson's page imports it under More.")
    if not import_ and not export:
        terminal.show_progress()


@app.command()
def reset(
    lesson: LessonArgument,
    exercise: Annotated[
        list[str] | None, typer.Option(help="Only this exercise; may be given again.")
    ] = None,
) -> None:
    """Get a lesson, or one exercise of it, back as it came. Your old copy is kept."""
    from checks import course, workspace

    found = course.lesson(lesson)
    known = [entry.id for entry in found.exercises]
    wanted = [_full_id(found, one) for one in exercise or ()]
    for one in wanted:
        if one not in known:
            course.find(one)  # says which exercise comes nearest
            _give_up(f"{one} is not in lesson {found.number}; choose among {', '.join(known)}.")
    kept = workspace.reset(found, wanted)
    what = ", ".join(wanted) or f"Lesson {found.number}"
    print(f"{what} is as it came, in {workspace.folder() / found.lesson_notebook.name}.")
    if kept:
        print(f"Your old copy is {kept.name}, beside it. If it is open in JupyterLab, reload it.")


@app.command()
def certificate(
    name: Annotated[str | None, typer.Option(help="Whom it names.")] = None,
    verify: Annotated[
        str | None,
        typer.Option(metavar="FILE|TEXT", help="Check one instead; - reads standard input."),
    ] = None,
) -> None:
    """Print what you have passed, with a checksum; or verify such a text against the record."""
    from checks import certificate as certificates
    from checks import terminal

    if verify is None:
        terminal.show_certificate(name or certificates.NOBODY)
    else:
        confirmed = terminal.verify_certificate(_text_or_file(verify))
        sys.exit(PASSED if confirmed else SOMETHING_DID_NOT)


@app.command()
def doctor() -> None:
    """Tell what is installed, what is optional and missing, and what to do about it."""
    from checks import terminal

    sys.exit(PASSED if terminal.show_doctor() else SOMETHING_DID_NOT)


# -- instructors -------------------------------------------------------------------------------
@app.command()
def grade(
    submissions: Annotated[Path, typer.Argument(help="A folder or zip of notebooks.")],
    out: Annotated[Path, typer.Option(help="Where grades, feedback and report go.")],
    lesson: Annotated[str | None, typer.Option(metavar="NN", help="Only this lesson.")] = None,
    only: Annotated[str | None, typer.Option(metavar="LEARNER", help="Only this one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="How many run at once.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one cell may take.")] = 30,
    memory: Annotated[int, typer.Option(min=64, help="MB that a submission may use.")] = 1024,
    formats: Annotated[
        list[Lms] | None, typer.Option("--format", help="Export for this LMS, too.")
    ] = None,
    gradebook: Annotated[
        str | None, typer.Option(metavar="URL", help="A database for the record.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler to run them on.")
    ] = None,
    rejudge: Annotated[bool, typer.Option("--rejudge", help="Run nothing; judge again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run unchanged ones, too.")] = False,
    isolation: Annotated[bool, typer.Option(help="Shut submissions in.")] = True,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="Run a sample in Jupyter as well, and compare.")
    ] = False,
) -> None:
    """Grade a class: exit 0 all graded, 1 some need a look, 2 nothing could be graded."""
    from checks import grading_terminal
    from checks.grading.grade import Options
    from checks.grading.outcome import Limits
    from checks.grading.runners import Choice

    options = Options(
        place=submissions,
        out=out,
        lesson=lesson,
        only=only,
        gradebook=gradebook,
        formats=tuple(one.value for one in formats or ()),
        rejudge=rejudge,
        again=again,
    )
    limits = Limits(cell=timeout, total=5 * timeout, memory=memory)
    choice = Choice(limits, workers or os.cpu_count() or 1, isolation, faithful, scheduler)
    sys.exit(grading_terminal.grade(options, choice))


# -- contributors ------------------------------------------------------------------------------
@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(context: typer.Context) -> None:
    """Run the tests. Whatever follows goes to pytest: `checks test -k transactions`."""
    from checks import course

    # pytest starts where its settings are; a file that is named is found from where we are.
    here = os.environ | {"CHECKS_CALLED_FROM": str(Path.cwd())}
    command = [sys.executable, "-m", "pytest", *context.args]
    sys.exit(subprocess.call(command, cwd=course.root(), env=here))


@app.command()
def build(
    lesson: Annotated[str | None, typer.Argument(metavar="[NN]", help="Only this lesson.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 and name what drifted.")
    ] = False,
) -> None:
    """Make the notebooks of a lesson, or of all, from their masters."""
    from checks import terminal

    sys.exit(terminal.build(lesson, check))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NN_slug", help="As 04_async_setup.")],
) -> None:
    """Begin a lesson: its master, checks and answers, with one exercise that works."""
    from checks import course
    from checks.authoring import scaffold

    for path in scaffold.new(name, course.root()):
        print(path.relative_to(course.root()))
    number = name.partition("_")[0]
    print(f"Next: write the lesson, then `checks build {number}` and `checks test -k {name}`.")


@site.command("build")
def build_site(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it goes; .site if you do not say.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when something of it is missing.")
    ] = False,
) -> None:
    """Build the site from the lessons."""
    from checks.website import build as website

    built = website.build(out)
    for sentence in built.missing:
        print(sentence, file=sys.stderr)
    print(f"{built.lessons} lessons: open {built.out / 'index.html'} through `checks site serve`.")
    sys.exit(SOMETHING_DID_NOT if strict and built.missing else PASSED)


@site.command("serve")
def serve_site(
    port: Annotated[int, typer.Option(help="Use this port.")] = 8000,
    browser: Annotated[bool, typer.Option(help="Open the address, or only print it.")] = True,
) -> None:
    """Build the site, serve it on this machine, and build again whenever a source changes."""
    from checks.website import build as website

    website.serve(port, browser)


# -- helpers -----------------------------------------------------------------------------------
def _full_id(lesson: Lesson, exercise: str) -> str:
    return exercise if "." in exercise else f"{lesson.number}.{exercise}"


def _notebook(named: Path) -> Path:
    """A notebook's path, where a lesson's number stands for the learner's copy."""
    from checks import course, workspace

    if named.exists() or not re.fullmatch(course.NUMBER, course.padded(str(named))):
        return named
    return workspace.folder() / course.lesson(str(named)).lesson_notebook.name


def _text_or_file(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if "\n" in given:
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        _give_up(f"{given} is no text file that can be read; name the file, or give its text.")


def _give_up(why: object) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(COULD_NOT_RUN)


if __name__ == "__main__":
    main()
