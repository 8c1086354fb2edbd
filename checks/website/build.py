"""Building the site and serving it: our pages first, then the site engine."""

from __future__ import annotations

import logging
import os
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks import course
from checks.errors import CourseError
from checks.website import bundle, pages, study
from checks.website.lesson import Content

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

_MARK = ".dog-eared-site"  # in a folder that may be emptied, since it was built by us
_RUN = "assets/run/boot.mjs"


@dataclass(frozen=True, slots=True)
class Built:
    """What was built.

    Attributes:
        out: The folder.
        lessons: How many lessons it has.
        missing: What it could not be given, a sentence each; empty when it is whole.
    """

    out: Path
    lessons: int
    missing: tuple[str, ...] = ()


def build(out: Path | None = None) -> Built:
    """Build the site.

    Args:
        out: The folder to build into: a new one, or one that was built before.

    Raises:
        CourseError: a page cannot be made, a link leads nowhere, or the folder holds other things.
    """
    root = course.root()
    place = (out or root / ".site").resolve()
    _claim(place)
    contents, missing = _generate(root)
    _render(_config(root, place, contents, runs=not missing))
    return Built(place, len(contents), missing)


def serve(port: int = 8000, browser: bool = True) -> None:
    """Build the site, serve it on this machine, and build again when a source changes.

    Raises:
        CourseError: a page cannot be made, or the port is taken.
    """
    from mkdocs.livereload import LiveReloadServer

    root = course.root()
    built = build()

    def again() -> None:
        try:
            contents, missing = _generate(root)
            _render(_config(root, built.out, contents, runs=not missing))
        except CourseError as error:  # half a sentence was saved: the next save may mend it
            print(error)

    server = LiveReloadServer(
        builder=again, host="127.0.0.1", port=port, root=str(built.out), mount_path="/"
    )
    for watched in ("site", "solutions", "lessons", "mkdocs.yml"):
        server.watch(str(root / watched))
    for sentence in built.missing:
        print(sentence)
    print(f"The site is at {server.url}; Ctrl+C stops it.")
    if browser:
        webbrowser.open(server.url)
    try:
        server.serve()  # type: ignore[no-untyped-call]
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise CourseError(f"Port {port} is taken. Name another with --port.") from error
    finally:
        server.shutdown()


def _generate(root: Path) -> tuple[list[Content], tuple[str, ...]]:
    """Write everything that the engine finds among its sources, and tell what cannot be had."""
    docs = root / "site"
    contents = pages.write(root, docs)
    study.write(root, docs)
    try:
        bundle.write(root, docs)
    except bundle.BundleError as error:
        return contents, (str(error),)
    return contents, ()


def _claim(place: Path) -> None:
    """Make the folder ours to empty, unless it holds what somebody else put there."""
    mark = place / _MARK
    if place.exists() and not mark.exists() and (not place.is_dir() or any(place.iterdir())):
        raise CourseError(
            f"{place} holds something that is no site of ours, and building would empty it. "
            "Name another folder with --out."
        )
    place.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _config(root: Path, place: Path, contents: list[Content], runs: bool) -> MkDocsConfig:
    """The engine's configuration, with what only this moment knows.

    Args:
        root: The repository.
        place: Where the site goes.
        contents: The lessons.
        runs: Whether cells can be run; if not, no page offers it.
    """
    from mkdocs.config import load_config

    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")  # Material's own notice, on each build
    config = load_config(str(root / "mkdocs.yml"), site_dir=str(place), strict=True)
    docs = Path(config.docs_dir)
    config.nav = _navigation(config.nav or [], contents, docs)
    # Relative to the folder that one happens to stand in, as the engine has it, will not do.
    config.mdx_configs["pymdownx.snippets"]["base_path"] = [str(docs)]
    if not runs:
        config.extra_javascript = [
            one for one in config.extra_javascript if str(getattr(one, "path", one)) != _RUN
        ]
    return config


def _navigation(entries: list[Any], contents: list[Content], docs: Path) -> list[Any]:
    """The navigation with all lessons, and without pages that are not there."""
    made: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            listed = [entry] if (docs / entry).is_file() else []
            if entry == "lessons/index.md":
                listed += [one.page for one in contents]
            made += listed
        else:
            ((title, inside),) = entry.items()
            if isinstance(inside, list):
                if below := _navigation(inside, contents, docs):
                    made.append({title: below})
            elif (docs / inside).is_file():
                made.append({title: inside})
    return made


def _render(config: MkDocsConfig) -> None:
    """Run the engine; whatever it warns of stops the build."""
    from mkdocs.commands.build import build as render
    from mkdocs.exceptions import Abort

    with _heard() as lines:
        try:
            config.plugins.on_startup(command="build", dirty=False)
            render(config)
        except Abort as stopped:
            lines.append(str(stopped))
        finally:
            config.plugins.on_shutdown()
    if lines:
        raise CourseError("The site does not hold:\n" + "\n".join(f"- {line}" for line in lines))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The engine's warnings, as they come."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, listener = logging.getLogger("mkdocs"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield lines
    finally:
        logger.removeHandler(listener)
