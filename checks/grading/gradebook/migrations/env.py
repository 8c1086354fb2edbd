"""What Alembic runs: on the gradebook's own connection, or on `-x url=...` for contributors."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from checks.errors import CourseError
from checks.grading.gradebook import engine, models


def run(connection: Connection) -> None:
    """Run the migrations on a connection."""
    context.configure(
        connection=connection,
        target_metadata=models.Base.metadata,
        version_table=engine.VERSION_TABLE,
        render_as_batch=True,
        transactional_ddl=True,  # SQLite can, once nobody but us begins its transactions
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
elif url := context.get_x_argument(as_dictionary=True).get("url"):
    with engine.make(url).begin() as own:
        run(own)
else:
    raise CourseError("Say which database: alembic -c ... -x url=sqlite:///scratch.sqlite ...")
