"""The recipes: each lesson's copy-ready code, taken from the executed lesson."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from checks.website import prose
from checks.website.lesson import Content, missing_imports
from checks.website.lessonpage import front_matter
from checks.website.outputs import Drawn


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe.

    Attributes:
        content: Its lesson.
        cell: The id of its cell.
        code: The whole of it, runnable on its own.
        saying: The prose above it in the lesson.
    """

    content: Content
    cell: str
    code: str
    saying: str


def find(content: Content) -> list[Recipe]:
    """A lesson's recipes: its cells tagged `recipe`, with the imports that stand further up."""
    found = []
    before: list[str] = []
    saying = ""
    for cell in content.cells:
        if cell.role == "prose":
            saying = cell.shipped
        elif "recipe" in cell.tags:
            above = missing_imports(cell.solved, before)
            code = "\n".join([*above, cell.solved]) if above else cell.solved
            found.append(Recipe(content, cell.id, code, _below_heading(saying)))
        if cell.role != "prose":
            before.append(cell.solved)
    return found


def page(contents: Iterable[Content], drawn: dict[str, dict[str, Drawn]]) -> str:
    """The page of all recipes.

    Args:
        contents: The lessons.
        drawn: Their outputs, by lesson and cell.
    """
    blocks = [
        front_matter(
            "Recipes",
            "Copy-ready code from each lesson: whole, typed, run, and never retyped.",
        ),
        "# Recipes",
        "The code to take home. Each block is a whole file; it was run when its lesson was built, "
        "and this page is made from what ran. The lesson says why it looks as it does.",
    ]
    for content in contents:
        for recipe in find(content):
            lesson = content.lesson
            shown = drawn[lesson.number].get(recipe.cell, Drawn())
            blocks += [
                f"## {content.heading} {{ #{lesson.name.replace('_', '-')} }}",
                recipe.saying,
                f"From [lesson {lesson.number}](lessons/{lesson.name}.md#cell-{recipe.cell}).",
                prose.fence(recipe.code, title=f"{lesson.slug}.py"),
            ]
            if shown.html:
                blocks.append(
                    '<div class="de-output"><p class="de-soft">Run, it says:</p>'
                    f"{shown.html}</div>"
                )
    return "\n\n".join(filter(None, blocks)) + "\n"


def _below_heading(source: str) -> str:
    """What a prose cell says below its last heading."""
    lines = source.splitlines()
    headings = [number for number, line in enumerate(lines) if line.startswith("#")]
    return "\n".join(lines[headings[-1] + 1 if headings else 0 :]).strip()
