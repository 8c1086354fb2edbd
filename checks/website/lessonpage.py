"""A lesson as a Markdown page, and the list of all lessons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import Any

from checks import course
from checks.website import highlight, prose
from checks.website.lesson import Cell, Content
from checks.website.outputs import Drawn
from checks.words import counted


def render(content: Content, drawn: dict[str, Drawn]) -> str:
    """A lesson's page.

    Args:
        content: The lesson.
        drawn: The outputs of its cells, by id.
    """
    entries = {entry.id: entry for entry in content.lesson.exercises}
    in_parts = _in_parts(content.cells)
    blocks = [front_matter(content.heading, content.description), f"# {content.heading}"]
    blocks.append(_facts(content))
    for card, cells in groupby(_in_cards(content.cells), key=lambda pair: pair[0]):
        inside = [
            _block(cell, content, entries, drawn, deeper=cell.id in in_parts) for _, cell in cells
        ]
        if card:
            named = card.replace(".", "-").replace("_", "-")
            opening = (
                f'<section class="de-exercise" id="exercise-{named}" data-exercise="{card}" '
                'markdown="1">'
            )
            inside = [opening, *inside, "</section>"]
        blocks += inside
    blocks.append(cells_data(content.lesson.number, content.lesson.name, _for_browser(content)))
    return "\n\n".join(block for block in blocks if block) + "\n"


def front_matter(title: str, description: str) -> str:
    """What the site engine reads of a page before its text."""
    return f"---\ntitle: {json.dumps(title)}\ndescription: {json.dumps(description)}\n---"


def cells_data(number: str, name: str, cells: list[dict[str, Any]]) -> str:
    """What running in the page needs to know of a page's cells, as an island of JSON."""
    data = json.dumps({"lesson": number, "name": name, "cells": cells})
    safe = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="de-lesson">{safe}</script>'


def cell_html(
    identity: str, role: str, code: str, output: str = "", exercise: str | None = None
) -> str:
    """One code cell: its source, and what it gives below it."""
    belongs = f' data-exercise="{exercise}"' if exercise else ""
    return (
        f'<div class="de-cell" id="cell-{identity}" data-cell="{identity}" data-role="{role}"'
        f"{belongs}>{highlight.python(code)}"
        f'<div class="de-output" data-output data-search-exclude>{output}</div></div>'
    )


def index(contents: Iterable[Content]) -> str:
    """The page that lists the lessons, part by part."""
    blocks = [
        front_matter("Lessons", "Every lesson of the course, what it is for and what it asks."),
        "# Lessons",
        "A lesson is one notebook: half an hour of reading and running, and exercises that are "
        "checked by what your code did. Each stands alone, and they build on each other in this "
        "order. Below each title: how things are when you are through.",
    ]
    for part, members in groupby(contents, key=lambda one: one.lesson.part):
        blocks += [f"## {part.title}", _cards(_lesson_card(one) for one in members)]
    return "\n\n".join(blocks) + "\n"


def part_cards(contents: Iterable[Content]) -> str:
    """The course for the home page: each part's promise, and the way to its lessons."""
    return _cards(
        _part_card(part, list(members))
        for part, members in groupby(contents, key=lambda one: one.lesson.part)
    )


# -- pieces ------------------------------------------------------------------------------------
def _cards(cards: Iterable[str]) -> str:
    return '<div class="de-lessons" markdown="1">\n\n' + "\n\n".join(cards) + "\n\n</div>"


def _lesson_card(content: Content) -> str:
    return (
        f"-   **[{content.heading}]({content.lesson.name}.md)**\n\n"
        f"    {content.promise}\n\n"
        f'    <span class="de-soft">{_size(content)}</span>'
    )


def _part_card(part: course.Part, contents: list[Content]) -> str:
    ways = [f"[{one.heading}](lessons/{one.lesson.name}.md)" for one in contents]
    exercises = counted(sum(len(one.lesson.exercises) for one in contents), "exercise")
    return (
        f"-   **{part.title}**\n\n    {part.promise}\n\n    {'<br>'.join(ways)}\n\n"
        f'    <span class="de-soft">{exercises}</span>'
    )


def _facts(content: Content) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in content.versions)
    lines = [f'<p class="de-facts">{escape(_size(content))}']
    if versions:
        lines.append(f'<br><span class="de-soft">Run with {escape(versions)}</span>')
    name = content.lesson.name
    return (
        "".join(lines) + f"</p>\n\n{_download('the notebook', f'{name}.ipynb')} "
        f"{_download('the solved one', f'{name}.solved.ipynb')}\n"
        "{ .de-buttons }"
    )


def _download(what: str, file: str) -> str:
    return f'[Download {what}]({file}){{ .md-button download="{file}" }}'


def _size(content: Content) -> str:
    many = len(content.lesson.exercises)
    minutes = counted(content.minutes, "minute")
    exercises = counted(many, "exercise")
    points = f"{content.points:g} points" if content.lesson.graded else "for no points"
    return f"{minutes} to read · {exercises}, {points}"


def _in_parts(cells: Iterable[Cell]) -> set[str]:
    """The cells from the first numbered part on, by id.

    A notebook's parts are headings of the first rank, as its title is. On a page they are of the
    second, so that whatever stands under them goes one deeper as well.
    """
    listed = list(cells)
    first_rank = [
        place
        for place, cell in enumerate(listed)
        if cell.role == "prose" and any(rank == 1 for rank, _ in prose.headings([cell.shipped]))
    ]
    return {cell.id for cell in listed[first_rank[1] :]} if len(first_rank) > 1 else set()


def _in_cards(cells: Iterable[Cell]) -> Iterator[tuple[str, Cell]]:
    """Each cell with the exercise whose card it stands in, or nothing.

    A card begins at the last heading above its exercise and ends with its check.
    """
    waiting: list[Cell] = []
    for cell in cells:
        waiting.append(cell)
        if cell.role != "check":
            continue
        exercise = cell.exercise or ""
        start = next(
            (
                place
                for place in range(len(waiting) - 1, -1, -1)
                if waiting[place].role == "prose"
                and _last_heading(waiting[place].shipped) is not None
            ),
            0,
        )
        yield from (("", one) for one in waiting[:start])
        before, statement = _cut(waiting[start])
        if before:
            yield "", before
        yield exercise, statement
        yield from ((exercise, one) for one in waiting[start + 1 :])
        waiting = []
    yield from (("", one) for one in waiting)


def _last_heading(source: str) -> int | None:
    """The line at which the last heading of a prose cell stands."""
    last, fenced = None, False
    for number, line in enumerate(source.splitlines()):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and line.startswith("#"):
            last = number
    return last


def _cut(cell: Cell) -> tuple[Cell | None, Cell]:
    """A prose cell, cut at its last heading."""
    at = _last_heading(cell.shipped) or 0
    lines = cell.shipped.splitlines()
    above, below = "\n".join(lines[:at]).strip(), "\n".join(lines[at:])
    return (_saying(cell, above) if above else None), _saying(cell, below)


def _saying(cell: Cell, source: str) -> Cell:
    return Cell(cell.id, cell.role, source, source, cell.exercise, cell.tags, cell.outputs)


def _block(
    cell: Cell,
    content: Content,
    entries: dict[str, course.ExerciseEntry],
    drawn: dict[str, Drawn],
    deeper: bool,
) -> str:
    shown = drawn.get(cell.id, Drawn())
    match cell.role:
        case "prose":
            source = cell.shipped
            if source.startswith("# ") and source[2:].startswith(content.heading):
                source = source.partition("\n")[2]
            return prose.for_site(source, int(deeper))
        case "exercise":
            entry = entries[cell.exercise or ""]
            made = cell_html(cell.id, "exercise", cell.shipped, exercise=entry.id)
            return "\n\n".join([_demands(entry), made, *_hints(entry), _solution(cell)])
        case "check":
            output = (
                '<details class="de-solved"><summary>What a solved one shows</summary>'
                f"{shown.html}</details>"
            )
            return cell_html(cell.id, "check", cell.shipped, output, cell.exercise)
        case "code":
            made = cell_html(cell.id, "code", cell.shipped, shown.html)
            return "\n\n".join(filter(None, [made, _sent(shown)]))


def _sent(shown: Drawn) -> str:
    if not shown.statements:
        return ""
    many = sum(_times(one) for one in shown.statements)
    label = "The SQL that it sent: " + counted(many, "statement")
    listed = "\n".join(f"{one};" if "  -- " not in one else one for one in shown.statements)
    return _folded("de-sql", label, prose.fence(listed, "sql"))


def _times(statement: str) -> int:
    _, _, repeated = statement.rpartition("  -- ")
    return int(repeated.split()[0]) if "  -- " in statement else 1


def _demands(entry: course.ExerciseEntry) -> str:
    demanded = entry.card.requirements()
    many = entry.card.points()
    if not many:
        lines = [f"- {one.text}" for one in demanded]
        return _folded("de-demands", "What is checked", "\n".join(lines))
    lines = [f"- {one.text} *({one.points:g})*" for one in demanded]
    label = "What is checked: " + counted(many, "point")
    return _folded("de-demands", label, "\n".join(lines))


def _hints(entry: course.ExerciseEntry) -> list[str]:
    hints = entry.card.hints
    return [
        _folded(f'de-hint" data-hint="{number}', f"Hint {number} of {len(hints)}", hint)
        for number, hint in enumerate(hints, 1)
    ]


def _solution(cell: Cell) -> str:
    return (
        '<details class="de-solution" data-search-exclude><summary>Solution</summary>'
        f"{highlight.python(cell.solved)}</details>"
    )


def _folded(kind: str, summary: str, inside: str) -> str:
    return (
        f'<details class="{kind}" markdown="1"><summary>{summary}</summary>\n\n'
        f"{inside}\n\n</details>"
    )


def _for_browser(content: Content) -> list[dict[str, Any]]:
    return [
        {
            "id": cell.id,
            "role": cell.role,
            "exercise": cell.exercise,
            "source": cell.shipped,
            "recorded": cell.id in content.recorded,
        }
        for cell in content.cells
        if cell.role != "prose"
    ]
