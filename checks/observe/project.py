"""A copy of the learner's project folder, to run Alembic on without leaving a trace in theirs."""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import logging.config
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Self

from sqlalchemy import NullPool, create_engine, inspect, text

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
            script = ScriptDirectory.from_config(Config(str(self.path / "alembic.ini")))
            heads = script.get_heads()
            return [
                {
                    "revision": one.revision,
                    "down": list(one._versioned_down_revisions),
                    "head": one.revision in heads,
                    "file": Path(one.path).name,
                }
                for one in script.walk_revisions()
            ]
        except Exception as raised:
            error = {"type": type(raised).__name__, "message": said(raised)}
            return {"ok": False, "error": error, "printed": ""}

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
            self._stack.enter_context(_modules_anew(own, self.path))
            self._stack.enter_context(chdir(self.path))
            self._stack.enter_context(_variables(self._environment))
            self._stack.enter_context(_logging_untouched())
            self._stack.enter_context(_asyncio_run_by(self._run))
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
def _modules_anew(own: Path, copy: Path) -> Iterator[None]:
    """Modules of the learner's folder come from the copy meanwhile, and are theirs again after."""

    def of(folder: Path) -> dict[str, Any]:
        return {
            name: module
            for name, module in list(sys.modules.items())
            if (file := getattr(module, "__file__", None)) and folder in Path(file).parents
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


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _logging_untouched() -> Iterator[None]:
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
def _asyncio_run_by(run: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
    """`asyncio.run` refuses where a loop is running, as one always is in a notebook."""
    real = asyncio.run
    asyncio.run = lambda main, **options: run(lambda: main)
    try:
        yield
    finally:
        asyncio.run = real
