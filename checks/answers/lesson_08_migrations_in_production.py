"""Answers to lesson 08, as people write them."""

from __future__ import annotations

import textwrap

from checks.answers import Answer, right, wrong
from checks.filecells import magic
from checks.verdict import Status

_VERSIONS = "bookshop_08/migrations/versions"
_COLUMNS = """\
op.add_column("customer", sa.Column("first_name", sa.String()))
op.add_column("customer", sa.Column("last_name", sa.String()))
"""
_DROPS = """\
op.drop_column("customer", "first_name")
op.drop_column("customer", "last_name")
"""
_TABLE = """\
customer = sa.table(
    "customer",
    sa.column("id"),
    sa.column("full_name"),
    sa.column("first_name"),
    sa.column("last_name"),
)
connection = op.get_bind()
"""
_LOOP = "for row in connection.execute(sa.select(customer.c.id, customer.c.full_name)).all():\n"
_SAVE = """\
    connection.execute(
        sa.update(customer)
        .where(customer.c.id == row.id)
        .values(first_name=first, last_name=last)
    )
"""


def _split(up: str, down: str = _DROPS, imports: str = "") -> str:
    """The revision that splits the name."""
    return (
        magic(f"{_VERSIONS}/0002_split_the_name.py")
        + f"import sqlalchemy as sa\nfrom alembic import op\n{imports}\n"
        + 'revision = "0002"\ndown_revision = "0001"\n\n\n'
        + f"def upgrade() -> None:\n{textwrap.indent(up, '    ')}\n\n"
        + f"def downgrade() -> None:\n{textwrap.indent(down, '    ')}\n"
    )


def _merge(header: str, up: str = "pass", down: str = "pass", imports: str = "") -> str:
    """The revision that merges."""
    return (
        magic(f"{_VERSIONS}/0004_merge.py")
        + f"{imports}\n{header}\n\n\n"
        + f"def upgrade() -> None:\n    {up}\n\n\ndef downgrade() -> None:\n    {down}\n"
    )


def _test(body: str, imports: str = "", name: str = "test_drift(tmp_path)") -> str:
    """A file with one test."""
    return (
        magic("bookshop_08/test_migrations.py")
        + "from pathlib import Path\n\nfrom alembic import command\nfrom alembic.config import Config\n"
        + f"from sqlalchemy import create_engine\n{imports}\n\nHERE = Path(__file__).parent\n\n\n"
        + f"def {name}:\n"
        + textwrap.indent(body, "    ")
    )


_HANDED = """\
config = Config(str(HERE / "alembic.ini"))
engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
with engine.begin() as connection:
    config.attributes["connection"] = connection
"""

_STEP_1 = """\
def step_1():
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", server_default="GB")


"""
_FILL = "op.execute(\"UPDATE customer SET country = 'GB' WHERE country IS NULL\")\n"
_STEP_2 = f"def step_2():\n    {_FILL}\n\n"
_STEP_3 = f"""\
def step_3():
    {_FILL}    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", nullable=False)
"""

ANSWERS: tuple[Answer, ...] = (
    # -- 08.split -------------------------------------------------------------------------------
    right(
        "08.split",
        "in SQL alone",
        _split(
            _COLUMNS
            + '''op.execute("""
    UPDATE customer SET
        first_name = substr(full_name, 1, instr(full_name || ' ', ' ') - 1),
        last_name = substr(full_name, instr(full_name || ' ', ' ') + 1)
""")
'''
        ),
    ),
    right(
        "08.split",
        "in a batch, row by row, without a last name where there is none",
        _split(
            """\
with op.batch_alter_table("customer") as batch:
    batch.add_column(sa.Column("first_name", sa.String(), nullable=True))
    batch.add_column(sa.Column("last_name", sa.String(), nullable=True))
connection = op.get_bind()
rows = connection.execute(sa.text("SELECT id, full_name FROM customer")).fetchall()
for id_, name in rows:
    first, *rest = name.split(" ", 1)
    connection.execute(
        sa.text("UPDATE customer SET first_name = :f, last_name = :l WHERE id = :i"),
        {"f": first, "l": rest[0] if rest else None, "i": id_},
    )
""",
            """\
with op.batch_alter_table("customer") as batch:
    batch.drop_column("last_name")
    batch.drop_column("first_name")
""",
        ),
    ),
    right(
        "08.split",
        "NOT NULL with a default, and a session on the connection",
        _split(
            """\
for name in ("first_name", "last_name"):
    op.add_column("customer", sa.Column(name, sa.String(), nullable=False, server_default=""))
session = Session(op.get_bind())
for row in session.execute(sa.text("SELECT id, full_name FROM customer")).all():
    first, _, last = row.full_name.partition(" ")
    session.execute(
        sa.text("UPDATE customer SET first_name = :f, last_name = :l WHERE id = :i"),
        {"f": first, "l": last, "i": row.id},
    )
session.flush()
""",
            imports="from sqlalchemy.orm import Session\n",
        ),
    ),
    wrong(
        "08.split",
        "with the app's model",
        _split(
            _COLUMNS
            + """\
from shop.models import Customer
session = Session(op.get_bind())
for customer in session.scalars(sa.select(Customer).options(load_only(Customer.full_name))):
    customer.first_name, _, customer.last_name = customer.full_name.partition(" ")
session.flush()
""",
            imports="from sqlalchemy.orm import Session, load_only\n",
        ),
        "imports_the_models",
    ),
    wrong(
        "08.split",
        "with the app's model, which asks for what comes later",
        _split(
            _COLUMNS
            + """\
session = Session(op.get_bind())
for customer in session.scalars(sa.select(Customer)):
    customer.first_name, _, customer.last_name = customer.full_name.partition(" ")
session.flush()
""",
            imports="from shop.models import Customer\nfrom sqlalchemy.orm import Session\n",
        ),
        "imports_the_models",
    ),
    wrong(
        "08.split",
        "with the app's table, imported at the top",
        _split(
            _COLUMNS
            + """\
customer = Customer.__table__
connection = op.get_bind()
"""
            + _LOOP
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE,
            imports="from shop.models import Customer\n",
        ),
        "imports_the_models",
    ),
    wrong(
        "08.split",
        "and drops the full name",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE
            + 'op.drop_column("customer", "full_name")\n',
            """\
op.add_column("customer", sa.Column("full_name", sa.String(), nullable=False, server_default=""))
op.execute("UPDATE customer SET full_name = trim(first_name || ' ' || last_name)")
"""
            + _DROPS,
        ),
        "dropped_the_full_name",
    ),
    wrong(
        "08.split",
        "required columns at once",
        _split(
            'op.add_column("customer", sa.Column("first_name", sa.String(), nullable=False))\n'
            'op.add_column("customer", sa.Column("last_name", sa.String(), nullable=False))\n'
        ),
        "not_null_at_once",
    ),
    wrong(
        "08.split",
        "required as soon as they are filled",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE
            + """\
with op.batch_alter_table("customer") as batch:
    batch.alter_column("first_name", nullable=False)
    batch.alter_column("last_name", nullable=False)
"""
        ),
        "not_null_at_once",
    ),
    wrong(
        "08.split",
        "first, last = split()",
        _split(_COLUMNS + _TABLE + _LOOP + "    first, last = row.full_name.split()\n" + _SAVE),
        "expects_two_words",
    ),
    wrong(
        "08.split",
        "the second word by its number",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    words = row.full_name.split(" ")\n    first, last = words[0], words[1]\n'
            + _SAVE
        ),
        "expects_two_words",
    ),
    wrong(
        "08.split",
        "SQL in an f-string",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + """\
    first, _, last = row.full_name.partition(" ")
    op.execute(
        f"UPDATE customer SET first_name='{first}', last_name='{last}' WHERE id={row.id}"
    )
"""
        ),
        "pasted_into_sql",
    ),
    wrong(
        "08.split",
        "an UPDATE without a WHERE",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + """\
    first, _, last = row.full_name.partition(" ")
    connection.execute(sa.update(customer).values(first_name=first, last_name=last))
"""
        ),
        "same_for_everybody",
    ),
    wrong("08.split", "the columns alone", _split(_COLUMNS), "nobody_was_copied"),
    wrong("08.split", "a comment alone", _split("pass  # later\n", "pass\n")),
    wrong("08.split", "a command that there is not", _split('op.add_columns("customer")\n')),
    wrong(
        "08.split",
        "fills what is not there yet",
        _split('op.execute("UPDATE customer SET first_name = full_name")\n' + _COLUMNS),
    ),
    wrong(
        "08.split",
        "under a name of its own",
        _split(_COLUMNS).replace('revision = "0002"', 'revision = "split"', 1),
        "another_id",
    ),
    wrong(
        "08.split",
        "reads by op.execute",
        _split(
            _COLUMNS
            + _TABLE
            + 'for row in op.execute("SELECT id, full_name FROM customer"):\n'
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE
        ),
        "execute_gives_nothing",
    ),
    wrong(
        "08.split",
        "plain text for a statement",
        _split(
            _COLUMNS
            + _TABLE
            + 'for row in connection.execute("SELECT id, full_name FROM customer").all():\n'
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE
        ),
        "text_is_no_statement",
    ),
    wrong(
        "08.split",
        "at the last space",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + """\
    first, space, last = row.full_name.rpartition(" ")
    if not space:
        first, last = last, ""
"""
            + _SAVE
        ),
        "at_the_last_space",
    ),
    wrong(
        "08.split",
        "the first word and the last, and none between",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + """\
    words = row.full_name.split()
    first, last = words[0], words[-1] if len(words) > 1 else ""
"""
            + _SAVE
        ),
        "at_the_last_space",
    ),
    wrong(
        "08.split",
        "one place too far",
        _split(
            _COLUMNS
            + '''op.execute("""
    UPDATE customer SET
        first_name = substr(full_name, 1, instr(full_name || ' ', ' ')),
        last_name = substr(full_name, instr(full_name || ' ', ' ') + 1)
""")
'''
        ),
        "kept_the_space",
    ),
    wrong(
        "08.split",
        "rpartition, which puts a single word last",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    first, _, last = row.full_name.rpartition(" ")\n'
            + _SAVE
        ),
        "lost_the_short_names",
    ),
    wrong(
        "08.split",
        "instr without the extra space",
        _split(
            _COLUMNS
            + '''op.execute("""
    UPDATE customer SET
        first_name = substr(full_name, 1, instr(full_name, ' ') - 1),
        last_name = substr(full_name, instr(full_name, ' ') + 1)
""")
'''
        ),
        "lost_the_short_names",
    ),
    wrong(
        "08.split",
        "only those with a space",
        _split(
            _COLUMNS
            + '''op.execute("""
    UPDATE customer SET
        first_name = substr(full_name, 1, instr(full_name, ' ') - 1),
        last_name = substr(full_name, instr(full_name, ' ') + 1)
    WHERE full_name LIKE '% %'
""")
'''
        ),
        "lost_the_short_names",
    ),
    wrong(
        "08.split",
        "a downgrade that does nothing",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE,
            "pass\n",
        ),
        "no_way_back",
    ),
    wrong(
        "08.split",
        "a downgrade that takes the table along",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE,
            'op.drop_table("customer")\n',
        ),
    ),
    wrong(
        "08.split",
        "follows nobody",
        _split(
            _COLUMNS
            + _TABLE
            + _LOOP
            + '    first, _, last = row.full_name.partition(" ")\n'
            + _SAVE
        ).replace('down_revision = "0001"', "down_revision = None"),
        "follows_nobody",
    ),
    wrong(
        "08.split",
        "does not read as Python",
        _split(_COLUMNS).replace("def upgrade()", "def upgrade("),
    ),
    # -- 08.not_null ----------------------------------------------------------------------------
    right(
        "08.not_null",
        "with a table of its own, and the default said again",
        """\
from sqlalchemy import column, table, update

customer = table("customer", column("country"))


def fill():
    op.execute(update(customer).where(customer.c.country.is_(None)).values(country="GB"))


def step_1():
    with op.batch_alter_table("customer") as batch:
        batch.alter_column("country", existing_type=String(), server_default=text("'GB'"))


def step_2():
    fill()


def step_3():
    fill()
    with op.batch_alter_table("customer") as batch:
        batch.alter_column(
            "country", existing_type=String(), nullable=False, server_default="GB"
        )
""",
    ),
    right(
        "08.not_null",
        "row by row, and always recreated",
        f"""\
def step_1():
    with op.batch_alter_table("customer", recreate="always") as batch:
        batch.alter_column("country", server_default="GB")


def step_2():
    connection = op.get_bind()
    for row in connection.execute(text("SELECT id, country FROM customer")).all():
        connection.execute(
            text("UPDATE customer SET country = :country WHERE id = :id"),
            {{"country": row.country or "GB", "id": row.id}},
        )


{_STEP_3}""",
    ),
    right(
        "08.not_null",
        "moves house by hand",
        f"""\
def move(null, default):
    op.execute(
        "CREATE TABLE moved (id INTEGER PRIMARY KEY, email VARCHAR NOT NULL,"
        f" country VARCHAR {{null}} DEFAULT 'GB', CONSTRAINT uq_customer_email UNIQUE (email))"
    )
    op.execute("INSERT INTO moved SELECT id, email, country FROM customer")
    op.execute("DROP TABLE customer")
    op.rename_table("moved", "customer")


def step_1():
    move("", "GB")


{_STEP_2}def step_3():
    step_2()
    move("NOT NULL", "GB")
""",
    ),
    wrong(
        "08.not_null",
        "without a batch",
        """\
def step_1():
    op.alter_column("customer", "country", server_default="GB")


"""
        + _STEP_2
        + _STEP_3,
        "alters_without_a_batch",
    ),
    wrong(
        "08.not_null",
        "all at once, first",
        """\
def step_1():
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", server_default="GB", nullable=False)


"""
        + _STEP_2
        + _STEP_3,
        "too_early",
    ),
    wrong(
        "08.not_null",
        "fills and closes in step 2",
        _STEP_1 + _STEP_3.replace("step_3", "step_2") + "\n\ndef step_3():\n    pass\n",
        "too_early",
    ),
    wrong(
        "08.not_null",
        "never sweeps",
        _STEP_1 + _STEP_2 + _STEP_3.replace(f"    {_FILL}", ""),
        "no_last_sweep",
    ),
    wrong(
        "08.not_null",
        "a default with quotes",
        _STEP_1.replace('"GB"', '''"'GB'"''') + _STEP_2 + _STEP_3,
        "quoted_twice",
    ),
    wrong(
        "08.not_null",
        "no default at all",
        "def step_1():\n    pass\n\n\n" + _STEP_2 + _STEP_3,
        "no_server_default",
    ),
    wrong(
        "08.not_null",
        "the default in step 3",
        "def step_1():\n    pass\n\n\n"
        + _STEP_2
        + _STEP_3.replace("nullable=False", 'nullable=False, server_default="GB"'),
        "no_server_default",
    ),
    wrong(
        "08.not_null",
        "a first step that does not run",
        _STEP_1.replace("op.batch_alter_table", "op.batch_alter") + _STEP_2 + _STEP_3,
    ),
    wrong(
        "08.not_null",
        "the column once more",
        "def step_1():\n"
        '    op.add_column("customer", Column("country", String, server_default="GB"))\n\n\n'
        + _STEP_2
        + _STEP_3,
    ),
    wrong(
        "08.not_null",
        "on an engine of its own",
        """\
live = fresh("CREATE TABLE customer (id INTEGER PRIMARY KEY, country VARCHAR)")


def with_default():
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", server_default="GB")


def step_1():
    migrate(live, with_default)


"""
        + _STEP_2
        + _STEP_3,
        "on_another_database",
    ),
    wrong(
        "08.not_null",
        "equals NULL",
        _STEP_1 + _STEP_2.replace("IS NULL", "= NULL") + _STEP_3.replace("IS NULL", "= NULL"),
        "equals_null",
    ),
    wrong(
        "08.not_null",
        "fills in the third step only",
        _STEP_1 + "def step_2():\n    pass\n\n\n" + _STEP_3,
    ),
    wrong(
        "08.not_null",
        "fills everybody",
        _STEP_1 + _STEP_2.replace(" WHERE country IS NULL", "") + _STEP_3,
        "filled_everybody",
    ),
    wrong(
        "08.not_null",
        "deletes who has none",
        _STEP_1
        + 'def step_2():\n    op.execute("DELETE FROM customer WHERE country IS NULL")\n\n\n'
        + _STEP_3,
        "deleted_them",
    ),
    wrong(
        "08.not_null",
        "takes the default away again",
        _STEP_1
        + _STEP_2
        + _STEP_3.replace("nullable=False", "nullable=False, server_default=None"),
        "lost_the_default",
    ),
    wrong(
        "08.not_null",
        "never says NOT NULL",
        _STEP_1 + _STEP_2 + f"def step_3():\n    {_FILL}",
        "still_nullable",
    ),
    wrong(
        "08.not_null",
        "a new table without its UNIQUE",
        _STEP_1
        + _STEP_2
        + f"""\
def step_3():
    {_FILL}    op.execute(
        "CREATE TABLE moved (id INTEGER PRIMARY KEY, email VARCHAR NOT NULL,"
        " country VARCHAR NOT NULL DEFAULT 'GB')"
    )
    op.execute("INSERT INTO moved SELECT id, email, country FROM customer")
    op.execute("DROP TABLE customer")
    op.rename_table("moved", "customer")
""",
    ),
    wrong(
        "08.not_null",
        "drops the table",
        'def step_1():\n    op.drop_table("customer")\n\n\n' + _STEP_2 + _STEP_3,
        "deleted_them",
    ),
    wrong(
        "08.not_null",
        "a TODO left",
        _STEP_1 + _STEP_2 + "def step_3():\n    return TODO\n",
        status=Status.NOT_ATTEMPTED,
    ),
    # -- 08.merge -------------------------------------------------------------------------------
    right(
        "08.merge",
        "as `alembic merge` writes it",
        _merge(
            """\
revision: str = "0004"
down_revision: Union[str, Sequence[str], None] = ("0003_points", "0003_phone")
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None""",
            imports="from typing import Sequence, Union\n",
        ),
    ),
    right(
        "08.merge",
        "a list, and an id of its own",
        _merge('revision = "a1b2c3"\ndown_revision = ["0003_phone", "0003_points"]'),
    ),
    right(
        "08.merge",
        "with something to do",
        _merge(
            'revision = "0004"\ndown_revision = ("0003_phone", "0003_points")',
            up='op.execute("UPDATE customer SET points = 10 WHERE phone IS NOT NULL")',
            imports="from alembic import op\n",
        ),
    ),
    wrong(
        "08.merge",
        "the other one alone",
        _merge('revision = "0004"\ndown_revision = "0003_points"'),
        "still_two_heads",
    ),
    wrong(
        "08.merge",
        "depends on the other",
        _merge('revision = "0004"\ndown_revision = "0003_phone"\ndepends_on = "0003_points"'),
        "still_two_heads",
    ),
    wrong(
        "08.merge",
        "a misspelt parent",
        _merge('revision = "0004"\ndown_revision = ("0003_phone", "0003_point")'),
        "follows_nobody_known",
    ),
    wrong(
        "08.merge",
        "by file name",
        _merge('revision = "0004"\ndown_revision = ("0003_phone.py", "0003_points.py")'),
        "follows_nobody_known",
    ),
    wrong(
        "08.merge",
        "both in one text",
        _merge('revision = "0004"\ndown_revision = "0003_phone, 0003_points"'),
        "two_in_one_text",
    ),
    wrong(
        "08.merge",
        "follows the one before as well",
        _merge('revision = "0004"\ndown_revision = ("0003_phone", "0003_points", "0002")'),
        "names_an_ancestor",
    ),
    wrong(
        "08.merge",
        "follows nobody",
        _merge('revision = "0004"\ndown_revision = None'),
        "a_new_beginning",
    ),
    wrong(
        "08.merge",
        "adds the columns again",
        _merge(
            'revision = "0004"\ndown_revision = ("0003_phone", "0003_points")',
            up='op.add_column("customer", sa.Column("phone", sa.String()))',
            imports="import sqlalchemy as sa\nfrom alembic import op\n",
        ),
        "does_it_again",
    ),
    wrong(
        "08.merge",
        "drops them on the way down",
        _merge(
            'revision = "0004"\ndown_revision = ("0003_phone", "0003_points")',
            down='op.drop_column("customer", "phone")',
            imports="from alembic import op\n",
        ),
        "undoes_too_much",
    ),
    wrong(
        "08.merge",
        "empties the table",
        _merge(
            'revision = "0004"\ndown_revision = ("0003_phone", "0003_points")',
            up='op.execute("DELETE FROM customer")',
            imports="from alembic import op\n",
        ),
    ),
    # -- 08.drift -------------------------------------------------------------------------------
    right(
        "08.drift",
        "by the environment, and with the difference in the message",
        _test(
            """\
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

config = Config(str(HERE / "alembic.ini"))
engine = create_engine("sqlite://")
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    assert compare_metadata(context, Base.metadata) == []
""",
            imports="from shop.models import Base\n",
            name="test_no_drift()",
        ),
    ),
    right(
        "08.drift",
        "two tests",
        _test(_HANDED + '    command.upgrade(config, "head")\n    command.check(config)\n')
        + """

def test_one_head():
    from alembic.script import ScriptDirectory

    assert len(ScriptDirectory.from_config(Config(str(HERE / "alembic.ini"))).get_heads()) == 1
""",
    ),
    right(
        "08.drift",
        "by the app's own address",
        _test(
            """\
import os

os.environ["BOOKSHOP_URL"] = f"sqlite:///{tmp_path / 'own.db'}"
try:
    config = Config("alembic.ini")
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")
finally:
    del os.environ["BOOKSHOP_URL"]
"""
        ),
    ),
    right(
        "08.drift",
        "by the app's own address, which it leaves set",
        _test(
            """\
import os

os.environ["BOOKSHOP_URL"] = f"sqlite:///{tmp_path / 'own.db'}"
config = Config(str(HERE / "alembic.ini"))
command.upgrade(config, "head")
command.check(config)
"""
        ),
    ),
    wrong(
        "08.drift",
        "made from the models, with another stamp",
        _test(
            _HANDED
            + """\
    Base.metadata.create_all(connection)
    command.stamp(config, "head")
    command.check(config)
""",
            imports="from shop.models import Base\n",
        ),
        "agrees_with_itself",
    ),
    wrong(
        "08.drift",
        "made from the models, then migrated",
        _test(
            _HANDED
            + """\
    Base.metadata.create_all(connection)
    command.upgrade(config, "head")
    command.check(config)
""",
            imports="from shop.models import Base\n",
        ),
        "makes_tables_too",
    ),
    wrong(
        "08.drift",
        "migrated, then made up for from the models",
        _test(
            _HANDED
            + """\
    command.upgrade(config, "head")
    Base.metadata.create_all(connection)
    command.check(config)
""",
            imports="from shop.models import Base\n",
        ),
        "makes_tables_too",
    ),
    wrong(
        "08.drift",
        "swallows what is raised",
        _test(
            _HANDED
            + """\
    try:
        command.upgrade(config, "head")
        command.check(config)
    except Exception as error:
        print(error)
"""
        ),
        "agrees_with_itself",
    ),
    wrong(
        "08.drift",
        "upgrades, and that is all",
        _test(_HANDED + '    command.upgrade(config, "head")\n'),
        "never_compares",
    ),
    wrong(
        "08.drift",
        "checks at once",
        _test(_HANDED + "    command.check(config)\n"),
        "checks_without_migrating",
    ),
    wrong(
        "08.drift",
        "in the developer's database",
        _test(
            """\
config = Config(str(HERE / "alembic.ini"))
command.upgrade(config, "head")
command.check(config)
"""
        ),
        "in_the_developers_database",
    ),
    wrong(
        "08.drift",
        "compares the tables' names",
        _test(
            _HANDED
            + """\
    command.upgrade(config, "head")
    found = set(inspect(connection).get_table_names()) - {"alembic_version"}
    assert found == set(Base.metadata.tables)
""",
            imports="from shop.models import Base\nfrom sqlalchemy import inspect\n",
        ),
        "compares_names",
    ),
    wrong(
        "08.drift",
        "compares the columns' names",
        _test(
            _HANDED
            + """\
    command.upgrade(config, "head")
    for name, table in Base.metadata.tables.items():
        columns = {one["name"] for one in inspect(connection).get_columns(name)}
        assert columns == set(table.columns.keys())
""",
            imports="from shop.models import Base\nfrom sqlalchemy import inspect\n",
        ),
        "compares_names",
    ),
    wrong(
        "08.drift",
        "all heads",
        _test(_HANDED + '    command.upgrade(config, "heads")\n    command.check(config)\n'),
        "any_number_of_heads",
    ),
    wrong(
        "08.drift",
        "a test that pytest does not find",
        _test(
            _HANDED + '    command.upgrade(config, "head")\n    command.check(config)\n',
            name="check_migrations(tmp_path)",
        ),
        "no_test",
    ),
    wrong(
        "08.drift",
        "overlooks defaults",
        _test(
            _HANDED
            + """\
    command.upgrade(config, "head")
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    assert not compare_metadata(MigrationContext.configure(connection), Base.metadata)
""",
            imports="from shop.models import Base\n",
        ),
    ),
    wrong(
        "08.drift",
        "with a fixture of its own",
        _test("command.check(config)\n", name="test_drift(config)"),
    ),
    wrong("08.drift", "always fails", _test("assert False\n")),
)
