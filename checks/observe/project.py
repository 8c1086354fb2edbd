"""A copy of the learner's project folder, to run Alembic on without leaving a trace in theirs."""

from __future__ import annotations

import asyncio
import importlib
import inspect as inspect_code
import io
import logging
import logging.config
import os
import runpy
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import NullPool, create_engine, inspect, text

from checks.environment import variables
from checks.observe.evidence import plain
from checks.observe.snapshot import ObstacleError
from checks.observe.trace import said

_LEFT_BEHIND = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.db", "*.db-*")

Outcome = dict[str, Any]


class Project:
    """A project with migrations, copied to where its database is a fresh one.

    While it is open, the working folder is the copy, its modules are imported anew, and
    `asyncio.run` works although a loop is running, as an async `env.py` needs it.

    Args:
        folder: The learner's folder, beside their notebook.
        run: Runs an async function to its end.
        database: The SQLite file that the project's URL names, relative to the project.
        environment: Environment variables to set meanwhile.

    Attributes:
        path: The copy.
    """

    path: Path

    def __init__(
        self,
        folder: str,
        run: Callable[[Callable[[], Any]], Any],
        database: str,
        environment: Mapping[str, str],
    ) -> None:
        self._folder = Path(folder)
        self._run = run
        self._database = database
        self._environment = environment
        self._stack = ExitStack()

    # -- Alembic's commands -------------------------------------------------------------------
    def upgrade(self, revision: str = "head") -> Outcome:
        """Run `alembic upgrade`."""
        return self.alembic("upgrade", revision)

    def downgrade(self, revision: str = "base") -> Outcome:
        """Run `alembic downgrade`."""
        return self.alembic("downgrade", revision)

    def check(self) -> Outcome:
        """Run `alembic check`: whether models and migrations agree."""
        return self.alembic("check")

    def alembic(self, command: str, *arguments: str, **options: Any) -> Outcome:
        """Run one of Alembic's commands by its name in `alembic.command`.

        Returns:
            `ok`; `error` with the exception's `type` and `message`, or None; and what was
            `printed`.
        """
        from alembic import command as commands
        from alembic.config import Config

        printed = io.StringIO()
        config = Config(str(self.path / "alembic.ini"), stdout=printed, output_buffer=printed)
        error = None
        try:
            with (
                redirect_stdout(printed),
                redirect_stderr(printed),
                warnings.catch_warnings(action="ignore"),
            ):
                getattr(commands, command)(config, *arguments, **options)
        except Exception as raised:
            error = {"type": type(raised).__name__, "message": said(raised)}
        except SystemExit as raised:  # how Alembic's helpers end on files that they cannot load
            error = {"type": "SystemExit", "message": str(raised.code)}
        return {"ok": error is None, "error": error, "printed": printed.getvalue()}

    def revisions(self) -> list[dict[str, Any]] | Outcome:
        """The project's revisions, newest first; an outcome that is not ok where they are broken.

        Each has `revision`, `down` (a list), `heads` (whether it is one) and `file`.
        """
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        try:
            with warnings.catch_warnings(action="ignore"):  # what is wrong, it raises as well
                script = ScriptDirectory.from_config(Config(str(self.path / "alembic.ini")))
                heads = script.get_heads()
                known = list(script.walk_revisions())
        except Exception as raised:
            error = {"type": type(raised).__name__, "message": said(raised)}
            return {"ok": False, "error": error, "printed": ""}
        return [
            {
                "revision": one.revision,
                "down": list(one._versioned_down_revisions),
                "head": one.revision in heads,
                "file": Path(one.path).name,
            }
            for one in known
        ]

    # -- tests --------------------------------------------------------------------------------
    def run_tests(self, file: str) -> list[Outcome]:
        """Call the test functions of a file as pytest would; a web page has no pytest.

        Args:
            file: The file, relative to the project.

        Returns:
            An outcome for each, in order, with its `name`; one named after the file where that
            cannot be loaded. The one fixture is `tmp_path`. Who skips has not failed.
        """
        sys.path.insert(0, str((self.path / file).parent))  # as pytest does; put back on leaving
        loaded: dict[str, Any] = {}
        outcome = self._tried(file, lambda: loaded.update(runpy.run_path(file)))
        if not outcome["ok"]:
            return [outcome]
        tests = {
            name: test
            for name, test in loaded.items()
            if name.startswith("test") and inspect_code.isfunction(test)
        }
        return [self._tried(name, partial(self._call_test, test)) for name, test in tests.items()]

    def _call_test(self, test: Callable[..., Any]) -> None:
        asked = [
            name
            for name, one in inspect_code.signature(test).parameters.items()
            if one.default is one.empty
        ]
        if unknown := [name for name in asked if name != "tmp_path"]:
            raise LookupError(f"there is no fixture {unknown[0]!r} here, only tmp_path")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            result = test(**dict.fromkeys(asked, Path(folder)))
            if inspect_code.iscoroutine(result):
                self._run(lambda: result)

    def _tried(self, name: str, act: Callable[[], object]) -> Outcome:
        printed = io.StringIO()
        error = None
        try:
            with (
                redirect_stdout(printed),
                redirect_stderr(printed),
                _alembic_prints_where_all_do(),
                warnings.catch_warnings(action="ignore"),
            ):
                act()
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # pytest's own, fail() and skip(), are no Exceptions
            if type(raised).__name__ != "Skipped":
                error = {"type": type(raised).__name__, "message": said(raised)}
        return {"name": name, "ok": error is None, "error": error, "printed": printed.getvalue()}

    # -- the database -------------------------------------------------------------------------
    def schema(self) -> dict[str, Any]:
        """Each table's `columns` (type, nullable), `unique` columns, `indexes` and `references`."""
        with self._connect() as connection:
            found = inspect(connection)
            return {
                table: {
                    "columns": {
                        one["name"]: {"type": str(one["type"]), "nullable": bool(one["nullable"])}
                        for one in found.get_columns(table)
                    },
                    "unique": [list(u["column_names"]) for u in found.get_unique_constraints(table)]
                    + [
                        list(one["column_names"])
                        for one in found.get_indexes(table)
                        if one["unique"]
                    ],
                    "indexes": [list(one["column_names"]) for one in found.get_indexes(table)],
                    "references": [
                        {"columns": list(key["constrained_columns"]), "to": key["referred_table"]}
                        for key in found.get_foreign_keys(table)
                    ],
                }
                for table in found.get_table_names()
            }

    def rows(self, statement: str, **params: Any) -> list[dict[str, Any]] | Outcome:
        """What a statement reads from the database; an outcome that is not ok where it fails."""
        return self._asked(statement, params, read=True)

    def write(self, statement: str, **params: Any) -> Outcome:
        """Change the database and commit."""
        done = self._asked(statement, params, read=False)
        return done if isinstance(done, dict) else {"ok": True, "error": None, "printed": ""}

    def drop_database(self) -> None:
        """Begin with an empty database again."""
        for path in self.path.glob(f"{self._database}*"):
            path.unlink()

    def _asked(
        self, statement: str, params: Mapping[str, Any], read: bool
    ) -> list[dict[str, Any]] | Outcome:
        try:
            with self._connect() as connection:
                result = connection.execute(text(statement), params)
                found = result.mappings().all() if read else []
                connection.commit()
        except Exception as raised:
            error = {"type": type(raised).__name__, "message": said(raised)}
            return {"ok": False, "error": error, "printed": ""}
        return [{key: plain(value) for key, value in row.items()} for row in found]

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        engine = create_engine(f"sqlite:///{self.path / self._database}", poolclass=NullPool)
        with engine.connect() as connection:
            yield connection

    # -- coming and going ---------------------------------------------------------------------
    def __enter__(self) -> Self:
        if not self._folder.is_dir():
            raise ObstacleError(
                f"There is no folder `{self._folder}` beside this notebook. Run the cell that "
                "makes it, further up, then check again."
            )
        try:
            place = self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="dog-eared-", ignore_cleanup_errors=True)
            )
            self.path = Path(place, self._folder.name).resolve()
            own = self._folder.resolve()
            shutil.copytree(own, self.path, ignore=_LEFT_BEHIND)
            for settings in (*self.path.glob("*.ini"), *self.path.glob("*.toml")):
                _replace_in(settings, str(own), str(self.path))  # where the migrations are
            self._stack.enter_context(modules_anew(own, self.path))
            self._stack.enter_context(chdir(self.path))
            self._stack.enter_context(variables(**self._environment))
            self._stack.enter_context(logging_untouched())
            self._stack.enter_context(asyncio_run_by(self._run))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_bytes()
    path.write_bytes(text.replace(old.encode(), new.encode()))


@contextmanager
def modules_anew(own: Path, copy: Path) -> Iterator[None]:
    """Modules of the learner's folder come from the copy meanwhile, and are theirs again after."""

    def of(folder: Path) -> dict[str, Any]:
        within = str(folder) + os.sep  # there are thousands of modules, so no Path for each
        return {
            name: module
            for name, module in list(sys.modules.items())
            if any(place.startswith(within) for place in _places(module))
        }

    kept, path, bytecode = of(own), list(sys.path), sys.dont_write_bytecode
    for name in kept:
        del sys.modules[name]
    sys.path[:] = [one for one in path if Path(one or ".").resolve() != own]
    sys.dont_write_bytecode = True  # a file that changes within a second would be read from it
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name in of(copy):
            del sys.modules[name]
        sys.modules.update(kept)
        sys.path[:] = path
        sys.dont_write_bytecode = bytecode
        importlib.invalidate_caches()


def _places(module: Any) -> list[str]:
    """Where a module comes from; a package without an `__init__.py` has no file, but a path."""
    held = getattr(module, "__dict__", {})  # some modules answer to every name
    named = (held.get("__file__"), *(held.get("__path__") or ()))
    return [one for one in named if isinstance(one, str)]


@contextmanager
def _alembic_prints_where_all_do() -> Iterator[None]:
    """Alembic prints to what was standard output when it was imported, unless told otherwise."""
    from alembic import config as home

    class_: Any = home.Config

    def print_stdout(config: Any, text: str, *values: Any) -> None:
        print(text % values if values else text)

    real, class_.print_stdout = class_.print_stdout, print_stdout
    try:
        yield
    finally:
        class_.print_stdout = real


@contextmanager
def logging_untouched() -> Iterator[None]:
    """An `env.py` sets up the whole process's logging; not from in here."""
    real = logging.config.fileConfig
    level = logging.getLogger("alembic").level
    logging.config.fileConfig = lambda *args, **options: None
    logging.getLogger("alembic").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.config.fileConfig = real
        logging.getLogger("alembic").setLevel(level)


@contextmanager
def asyncio_run_by(run: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
    """`asyncio.run` refuses where a loop is running, as one always is in a notebook."""
    real = asyncio.run
    asyncio.run = lambda main, **options: run(lambda: main)
    try:
        yield
    finally:
        asyncio.run = real
