"""The recipes: each lesson's copy-ready code, taken from the executed lesson."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from checks import filecells
from checks.website import prose
from checks.website.lesson import Content, needs
from checks.website.lessonpage import front_matter
from checks.website.outputs import Drawn


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe.

    Attributes:
        content: Its lesson.
        cell: The id of its cell.
        code: What ran, with the imports that stand further up in the lesson.
        stands_on: Names of the lesson that it uses, as models.
        saying: The prose above it in the lesson.
        file: The file of a project that it is, as `migrations/env.py`; None for the others.
    """

    content: Content
    cell: str
    code: str
    stands_on: tuple[str, ...]
    saying: str
    file: str | None = None


def find(content: Content) -> list[Recipe]:
    """A lesson's recipes: its cells tagged `recipe`, with the imports that stand further up."""
    found = []
    before: list[str] = []
    saying = ""
    for cell in content.cells:
        if cell.role == "prose":
            saying = cell.shipped
        elif "recipe" in cell.tags and (written := filecells.parse(cell.solved)):
            _, _, inside = written.path.partition("/")
            below = _below_heading(saying)
            found.append(Recipe(content, cell.id, written.text, (), below, inside))
        elif "recipe" in cell.tags:
            needed = needs(cell.solved, before)
            code = "\n".join([*needed.imports, cell.solved])
            found.append(Recipe(content, cell.id, code, needed.names, _below_heading(saying)))
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
        "The code to take home. Each block was run when its lesson was built, and this page is "
        "made from what ran. The lesson says why it looks as it does.",
    ]
    for content in contents:
        for recipe in find(content):
            lesson = content.lesson
            shown = drawn[lesson.number].get(recipe.cell, Drawn())
            blocks += [
                f"## {content.heading} {{ #{lesson.name.replace('_', '-')} }}",
                recipe.saying,
                f"From [lesson {lesson.number}](lessons/{lesson.name}.md#cell-{recipe.cell}). "
                + _standing(recipe),
                prose.fence(recipe.code, title=recipe.file or f"{lesson.slug}.py"),
            ]
            if shown.html and not recipe.file:
                blocks.append(
                    f'<div class="de-output"><p class="de-soft">Run, it says:</p>{shown.html}</div>'
                )
    return "\n\n".join(filter(None, blocks)) + "\n"


def _standing(recipe: Recipe) -> str:
    if recipe.file:
        return f"It is the file `{recipe.file}` of a project, and stands on that project's modules."
    if not recipe.stands_on:
        return "It is whole: a file of its own."
    named = ", ".join(f"`{name}`" for name in recipe.stands_on)
    return f"It stands on the lesson's {named}: put yours in their place."


def _below_heading(source: str) -> str:
    """What a prose cell says below its last heading."""
    lines = source.splitlines()
    headings = [number for number, line in enumerate(lines) if line.startswith("#")]
    return "\n".join(lines[headings[-1] + 1 if headings else 0 :]).strip()
