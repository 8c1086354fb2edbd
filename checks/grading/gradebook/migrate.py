"""A database brought to the tables that this program knows, or refused."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from checks.errors import CourseError
from checks.grading.gradebook.engine import VERSION_TABLE

_TURN = 0x6A_7B_03  # PostgreSQL's advisory lock: one migrates, the others wait and find it done


def config(connection: Connection) -> Config:
    """Alembic's configuration, working on a connection of ours."""
    made = Config(str(Path(__file__).with_name("alembic.ini")))
    made.attributes["connection"] = connection
    return made


def upgrade(connection: Connection) -> None:
    """Make or migrate the gradebook's tables, in the transaction that the connection is in.

    Raises:
        CourseError: the database is of something else, or newer than this program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
    where = connection.engine.url.render_as_string()
    scripts = ScriptDirectory.from_config(config(connection))
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    present = context.get_current_heads()
    tables = inspect(connection).get_table_names()
    if tables and VERSION_TABLE not in tables:
        raise CourseError(
            f"{where} is a database of something else (it holds {', '.join(tables[:3])}): give "
            "the gradebook a database of its own with --gradebook."
        )
    known = {script.revision for script in scripts.walk_revisions()}
    if unknown := [one for one in present if one not in known]:
        raise CourseError(
            f"The gradebook {where} is newer than this program (it is at {unknown[0]}): update "
            "the course with `git pull`, then run this again."
        )
    if present != tuple(scripts.get_heads()):
        command.upgrade(config(connection), "head")
