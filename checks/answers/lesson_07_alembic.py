"""Answers to lesson 07, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong
from checks.verdict import Status

ENV = "%%writefile bookshop_07/migrations/env.py\n"
FIRST = "%%writefile bookshop_07/migrations/versions/0001_first.py\n"
RENAME = "%%writefile bookshop_07/migrations/versions/0002_full_name.py\n"
CENTS = "%%writefile bookshop_07/migrations/versions/0003_cents.py\n"


def _env(
    *,
    imports: str = "from shop.database import URL\nfrom shop.models import Base\n",
    metadata: str = "Base.metadata",
    offline: str = "URL",
    engine: str = "create_engine(URL, poolclass=NullPool)",
    first: str = "",
) -> str:
    return f"""{ENV}\
from logging.config import fileConfig

from alembic import context
from sqlalchemy import NullPool, create_engine, engine_from_config, pool
{imports}
config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)
{first}
target_metadata = {metadata}


def run_migrations_offline() -> None:
    url = {offline}
    context.configure(url=url, target_metadata=target_metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    connectable = {engine}
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""


_FROM_INI = {
    "offline": 'config.get_main_option("sqlalchemy.url")',
    "engine": "engine_from_config(config.get_section(config.config_ini_section, {}), "
    'prefix="sqlalchemy.", poolclass=pool.NullPool)',
}


def _revision(head: str, number: str, down: str, upgrade: str, downgrade: str) -> str:
    def body(text: str) -> str:
        return "\n".join(f"    {line}" if line else "" for line in text.strip().splitlines())

    return f"""{head}\
import sqlalchemy as sa
from alembic import op

revision = {number!r}
down_revision = {down}


def upgrade() -> None:
{body(upgrade)}


def downgrade() -> None:
{body(downgrade)}
"""


_AUTHOR = """
op.create_table(
    "author",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
)
"""
_INDEX = 'op.create_index("ix_author_name", "author", ["name"])\n'
_BOOK = """
op.create_table(
    "book",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("isbn", sa.String, nullable=False, unique=True),
    sa.Column("title", sa.String, nullable=False),
    sa.Column("copies", sa.Integer, nullable=False, server_default="0"),
    sa.Column("price", sa.Numeric(8, 2)),
    sa.Column("author_id", sa.Integer, sa.ForeignKey("author.id"), nullable=False),
    sa.CheckConstraint("copies >= 0", name="copies_not_negative"),
)
"""
_DROP = 'op.drop_table("book")\nop.drop_table("author")\n'


def _first(
    author: str = _AUTHOR, index: str = _INDEX, book: str = _BOOK, downgrade: str = _DROP
) -> str:
    return _revision(FIRST, "0001", "None", author + index + book, downgrade)


def _rename(upgrade: str, downgrade: str) -> str:
    return _revision(RENAME, "0002", '"0001"', upgrade, downgrade)


_RENAMED = """
op.drop_index("ix_author_name", "author")
op.alter_column("author", "name", new_column_name="full_name")
op.create_index("ix_author_full_name", "author", ["full_name"])
"""
_RENAMED_BACK = """
op.drop_index("ix_author_full_name", "author")
op.alter_column("author", "full_name", new_column_name="name")
op.create_index("ix_author_name", "author", ["name"])
"""
_LOST = """
op.add_column("author", sa.Column("full_name", sa.String(), nullable=False, server_default=""))
op.drop_index("ix_author_name", table_name="author")
op.create_index("ix_author_full_name", "author", ["full_name"])
op.drop_column("author", "name")
"""
_LOST_BACK = """
op.add_column("author", sa.Column("name", sa.String(), nullable=False, server_default=""))
op.drop_index("ix_author_full_name", table_name="author")
op.create_index("ix_author_name", "author", ["name"])
op.drop_column("author", "full_name")
"""

_IN_CENTS = """
op.add_column("book", sa.Column("price_cents", sa.Integer(), nullable=True))
op.execute("UPDATE book SET price_cents = CAST(ROUND(price * 100) AS INTEGER)")
op.drop_column("book", "price")
"""
_PRICE = 'op.add_column("book", sa.Column("price", sa.Numeric(8, 2), nullable=True))\n'
_FILL = 'op.execute("UPDATE book SET price = price_cents / 100.0")\n'
_NO_CENTS = 'op.drop_column("book", "price_cents")\n'


def _cents(downgrade: str, upgrade: str = _IN_CENTS) -> str:
    return _revision(CENTS, "0003", '"0002"', upgrade, downgrade)


ANSWERS: tuple[Answer, ...] = (
    # -- 07.env -----------------------------------------------------------------------------------
    right("07.env", "an engine from the app's URL", _env()),
    right(
        "07.env",
        "through the ini file, with the sign doubled",
        _env(
            first='config.set_main_option("sqlalchemy.url", URL.replace("%", "%%"))\n', **_FROM_INI
        ),
    ),
    right(
        "07.env",
        "short, the base and the models imported apart",
        f"""{ENV}\
import shop.models
from alembic import context
from shop.base import Base
from shop.database import URL
from sqlalchemy import create_engine

if context.is_offline_mode():
    context.configure(url=URL, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = create_engine(URL)
    with engine.begin() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        context.run_migrations()
    engine.dispose()
""",
    ),
    right(
        "07.env",
        "async",
        f"""{ENV}\
import asyncio

from alembic import context
from shop.database import URL
from shop.models import Base
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine


def run(connection):
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    engine = create_async_engine(make_url(URL).set(drivername="sqlite+aiosqlite"))
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():
    context.configure(url=URL, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(main())
""",
    ),
    wrong(
        "07.env",
        "only the metadata",
        _env(imports="from shop.models import Base\n", **_FROM_INI),
        "still_the_template",
    ),
    wrong(
        "07.env",
        "the package by the folder's name",
        _env(imports="from shop.database import URL\nfrom bookshop_07.shop.models import Base\n"),
        "imported_from_outside",
    ),
    wrong(
        "07.env",
        "the Base without the models",
        _env(imports="from shop.base import Base\nfrom shop.database import URL\n"),
        "the_base_alone",
    ),
    wrong("07.env", "only the address", _env(metadata="None"), "no_metadata"),
    wrong("07.env", "the class", _env(metadata="Base"), "the_base_for_its_metadata"),
    wrong(
        "07.env",
        "its own look at the environment",
        _env(
            imports="import os\n\nfrom shop.models import Base\n\nURL = os.environ['BOOKSHOP_URL']\n"
        ),
        "only_the_variable",
    ),
    wrong(
        "07.env",
        "the address written down again",
        _env(imports='from shop.models import Base\n\nURL = "sqlite:///bookshop.db"\n'),
        "another_database",
    ),
    wrong(
        "07.env",
        "through the ini file, as it is",
        _env(first='config.set_main_option("sqlalchemy.url", URL)\n', **_FROM_INI),
        "read_as_an_ini",
    ),
    wrong("07.env", "online only", _env(offline=_FROM_INI["offline"]), "forgot_sql"),
    wrong("07.env", "a slip", _env(engine="create_engine(URL, poolclass=NullPol)"), "stops"),
    wrong("07.env", "the pool by its place", _env(engine="create_engine(URL, NullPool)"), "stops"),
    wrong(
        "07.env",
        "the module for its Base",
        _env(
            imports="import shop.models\nfrom shop.database import URL\n",
            metadata="shop.models.metadata",
        ),
        "the_base_for_its_metadata",
    ),
    wrong("07.env", "a bracket open", _env(metadata="(Base.metadata")),
    wrong(
        "07.env",
        "without the line that makes it a file",
        _env().removeprefix(ENV),
        status=Status.NOT_RUN,
    ),
    # -- 07.first_revision ------------------------------------------------------------------------
    right("07.first_revision", "by hand, constraints in the columns", _first()),
    right(
        "07.first_revision",
        "as drafted",
        _revision(
            FIRST,
            "0001",
            "None",
            """
# ### commands auto generated by Alembic - please adjust! ###
op.create_table('author',
sa.Column('id', sa.Integer(), nullable=False),
sa.Column('name', sa.String(), nullable=False),
sa.PrimaryKeyConstraint('id', name=op.f('pk_author'))
)
op.create_index(op.f('ix_author_name'), 'author', ['name'], unique=False)
op.create_table('book',
sa.Column('id', sa.Integer(), nullable=False),
sa.Column('isbn', sa.String(), nullable=False),
sa.Column('title', sa.String(), nullable=False),
sa.Column('copies', sa.Integer(), server_default='0', nullable=False),
sa.Column('price', sa.Numeric(precision=8, scale=2), nullable=True),
sa.Column('author_id', sa.Integer(), nullable=False),
sa.CheckConstraint('copies >= 0', name=op.f('ck_book_copies_not_negative')),
sa.ForeignKeyConstraint(['author_id'], ['author.id'], name=op.f('fk_book_author_id_author')),
sa.PrimaryKeyConstraint('id', name=op.f('pk_book')),
sa.UniqueConstraint('isbn', name=op.f('uq_book_isbn'))
)
# ### end Alembic commands ###
""",
            """
op.drop_table('book')
op.drop_index(op.f('ix_author_name'), table_name='author')
op.drop_table('author')
""",
        ),
    ),
    right(
        "07.first_revision",
        "in SQL, under an id of its own",
        _revision(
            FIRST,
            "ae1027a6acf",
            "None",
            '''
op.execute("CREATE TABLE author (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR NOT NULL)")
op.execute("CREATE INDEX ix_author_name ON author (name)")
op.execute("""
    CREATE TABLE book (
        id INTEGER NOT NULL PRIMARY KEY,
        isbn VARCHAR NOT NULL,
        title VARCHAR NOT NULL,
        copies INTEGER NOT NULL DEFAULT 0,
        price NUMERIC(8, 2),
        author_id INTEGER NOT NULL,
        CONSTRAINT ck_book_copies_not_negative CHECK (copies >= 0),
        CONSTRAINT uq_book_isbn UNIQUE (isbn),
        CONSTRAINT fk_book_author_id_author FOREIGN KEY (author_id) REFERENCES author (id)
    )
""")
''',
            _DROP,
        ),
    ),
    wrong(
        "07.first_revision",
        "the models make their tables",
        FIRST
        + """\
from alembic import op
from shop.models import Base

revision = "0001"
down_revision = None


def upgrade():
    Base.metadata.create_all(op.get_bind())


def downgrade():
    Base.metadata.drop_all(op.get_bind())
""",
        "asks_the_models",
    ),
    wrong(
        "07.first_revision",
        "down in the order of up",
        _first(downgrade='op.drop_table("author")\nop.drop_table("book")\n'),
        "parents_first",
    ),
    wrong("07.first_revision", "no downgrade", _first(downgrade="pass"), "no_way_back"),
    wrong(
        "07.first_revision",
        "without the CHECK",
        _first(
            book=_BOOK.replace(
                '    sa.CheckConstraint("copies >= 0", name="copies_not_negative"),\n', ""
            )
        ),
        "forgot_the_check",
    ),
    wrong(
        "07.first_revision",
        "a default of Python's",
        _first(book=_BOOK.replace('server_default="0"', "default=0")),
        "a_default_in_python",
    ),
    wrong("07.first_revision", "without the index", _first(index=""), "no_index"),
    wrong(
        "07.first_revision",
        "every column may be NULL",
        _first(
            author=_AUTHOR.replace(", nullable=False", ""),
            book=_BOOK.replace(", nullable=False", ""),
        ),
        "may_be_null",
    ),
    wrong(
        "07.first_revision",
        "an ISBN that need not be unique",
        _first(book=_BOOK.replace(", unique=True", "")),
        "taken_twice",
    ),
    wrong(
        "07.first_revision",
        "no foreign key",
        _first(book=_BOOK.replace('sa.ForeignKey("author.id"), ', "")),
        "points_nowhere",
    ),
    wrong(
        "07.first_revision",
        "only the authors",
        _first(book="", downgrade='op.drop_table("author")'),
        "not_as_the_models_say",
    ),
    wrong(
        "07.first_revision",
        "money in a float",
        _first(book=_BOOK.replace("sa.Numeric(8, 2)", "sa.Float()")),
        "not_as_the_models_say",
    ),
    wrong(
        "07.first_revision",
        "half a downgrade",
        _first(downgrade='op.drop_table("book")'),
        "no_way_back",
    ),
    wrong(
        "07.first_revision",
        "a CHECK like any other",
        _first(book=_BOOK.replace(', name="copies_not_negative"', "")),
        "a_check_without_a_name",
    ),
    wrong(
        "07.first_revision",
        "after a revision that is not there",
        _first().replace("down_revision = None", 'down_revision = "0000"'),
        "another_chain",
    ),
    wrong(
        "07.first_revision",
        "no id",
        _first().replace("revision = '0001'\n", "", 1),
        "another_chain",
    ),
    wrong(
        "07.first_revision",
        "without the op",
        _first(index=_INDEX.replace("op.", "")),
        "stops",
    ),
    wrong(
        "07.first_revision",
        "written to a file of another name",
        _first().replace("0001_first.py", "0001_shop.py"),
        status=Status.NOT_RUN,
    ),
    wrong(
        "07.first_revision",
        "not Python",
        FIRST + "revision = '0001'\ndef upgrade() -> None:\n    op.create_table(\n",
    ),
    # -- 07.rename --------------------------------------------------------------------------------
    right("07.rename", "a rename", _rename(_RENAMED, _RENAMED_BACK)),
    right(
        "07.rename",
        "in SQL",
        _rename(
            """
op.execute("ALTER TABLE author RENAME COLUMN name TO full_name")
op.execute("DROP INDEX ix_author_name")
op.execute("CREATE INDEX ix_author_full_name ON author (full_name)")
""",
            """
op.execute("ALTER TABLE author RENAME COLUMN full_name TO name")
op.execute("DROP INDEX ix_author_full_name")
op.execute("CREATE INDEX ix_author_name ON author (name)")
""",
        ),
    ),
    right(
        "07.rename",
        "copied before the drop",
        _rename(
            _LOST.replace(
                'op.drop_index("ix_author_name"',
                'op.execute("UPDATE author SET full_name = name")\nop.drop_index("ix_author_name"',
            ),
            _LOST_BACK.replace(
                'op.drop_index("ix_author_full_name"',
                'op.execute("UPDATE author SET name = full_name")\n'
                'op.drop_index("ix_author_full_name"',
            ),
        ),
    ),
    right(
        "07.rename",
        "in a batch",
        _rename(
            """
with op.batch_alter_table("author") as batch:
    batch.drop_index("ix_author_name")
    batch.alter_column("name", new_column_name="full_name")
op.create_index("ix_author_full_name", "author", ["full_name"])
""",
            """
with op.batch_alter_table("author") as batch:
    batch.drop_index("ix_author_full_name")
    batch.alter_column("full_name", new_column_name="name")
op.create_index("ix_author_name", "author", ["name"])
""",
        ),
    ),
    wrong(
        "07.rename",
        "a default with words in it, dropped all the same",
        _rename(_LOST.replace('""', 'sa.text("NULL")').replace("=False", "=True"), _LOST_BACK),
        "lost_the_names",
    ),
    wrong(
        "07.rename",
        "as autogenerate wrote it",
        _rename(
            _LOST.replace(', server_default=""', ""), _LOST_BACK.replace(', server_default=""', "")
        ),
        "no_value_for_the_rows",
    ),
    wrong(
        "07.rename",
        "copied after the drop",
        _rename(_LOST + 'op.execute("UPDATE author SET full_name = name")\n', _RENAMED_BACK),
        "copied_too_late",
    ),
    wrong(
        "07.rename",
        "the column dropped under its index",
        _rename(
            """
op.add_column("author", sa.Column("full_name", sa.String(), nullable=False, server_default=""))
op.execute("UPDATE author SET full_name = name")
op.drop_column("author", "name")
""",
            _RENAMED_BACK,
        ),
        "the_index_in_the_way",
    ),
    wrong(
        "07.rename",
        "the old column kept, to be safe",
        _rename(
            """
op.add_column("author", sa.Column("full_name", sa.String(), nullable=False, server_default=""))
op.execute("UPDATE author SET full_name = name")
op.create_index("ix_author_full_name", "author", ["full_name"])
""",
            'op.drop_index("ix_author_full_name", "author")\n'
            'op.drop_column("author", "full_name")\n',
        ),
        "both_columns",
    ),
    wrong(
        "07.rename",
        "only the column",
        _rename(
            'op.alter_column("author", "name", new_column_name="full_name")',
            'op.alter_column("author", "full_name", new_column_name="name")',
        ),
        "the_index_stayed_behind",
    ),
    wrong(
        "07.rename",
        "nullable, copied, left so",
        _rename(
            """
op.add_column("author", sa.Column("full_name", sa.String()))
op.execute("UPDATE author SET full_name = name")
op.drop_index("ix_author_name", "author")
op.drop_column("author", "name")
op.create_index("ix_author_full_name", "author", ["full_name"])
""",
            _RENAMED_BACK,
        ),
        "optional_now",
    ),
    wrong(
        "07.rename",
        "only the way up",
        _rename(_RENAMED, _LOST_BACK),
        "lost_on_the_way_back",
    ),
    wrong("07.rename", "no way back", _rename(_RENAMED, "pass"), "no_way_back"),
    wrong("07.rename", "refuses", _rename(_RENAMED, "raise NotImplementedError"), "refuses"),
    wrong(
        "07.rename",
        "the index in the batch",
        _rename(
            """
with op.batch_alter_table("author") as batch:
    batch.drop_index("ix_author_name")
    batch.alter_column("name", new_column_name="full_name")
    batch.create_index("ix_author_full_name", ["full_name"])
""",
            _RENAMED_BACK,
        ),
        "in_one_batch",
    ),
    wrong(
        "07.rename",
        "after nothing",
        _revision(RENAME, "0002", "None", _RENAMED, _RENAMED_BACK),
        "another_chain",
    ),
    wrong(
        "07.rename",
        "an operation that there is not",
        _rename('op.rename_column("author", "name", "full_name")', _RENAMED_BACK),
        "stops",
    ),
    wrong(
        "07.rename",
        "a slip in the UPDATE",
        _rename(
            _LOST.replace(
                'op.drop_index("ix_author_name"',
                'op.execute("UPDATE author SET full_name = nmae")\nop.drop_index("ix_author_name"',
            ),
            _RENAMED_BACK,
        ),
        "stops",
    ),
    # -- 07.downgrade -----------------------------------------------------------------------------
    right("07.downgrade", "three steps", _cents(_PRICE + _FILL + _NO_CENTS)),
    right(
        "07.downgrade",
        "in Core, row by row",
        _cents(
            _PRICE
            + """
book = sa.table("book", sa.column("id"), sa.column("price"), sa.column("price_cents"))
bind = op.get_bind()
for row in bind.execute(sa.select(book.c.id, book.c.price_cents)).all():
    if row.price_cents is not None:
        bind.execute(
            sa.update(book).where(book.c.id == row.id).values(price=row.price_cents / 100)
        )
"""
            + _NO_CENTS
        ),
    ),
    right(
        "07.downgrade",
        "in a batch, with a CAST",
        _cents(
            """
with op.batch_alter_table("book") as batch:
    batch.add_column(sa.Column("price", sa.Numeric(8, 2)))
op.execute("UPDATE book SET price = CAST(price_cents AS NUMERIC) / CAST(100 AS FLOAT)")
with op.batch_alter_table("book") as batch:
    batch.drop_column("price_cents")
"""
        ),
    ),
    wrong(
        "07.downgrade",
        "upgrade changed as well",
        _cents(_PRICE + _FILL + _NO_CENTS, upgrade=_IN_CENTS.replace("price * 100", "price")),
        "upgrade_is_broken",
    ),
    wrong(
        "07.downgrade",
        "refuses",
        _cents('raise NotImplementedError("there is no way back")'),
        "refuses",
    ),
    wrong("07.downgrade", "an empty return", _cents("return None"), "did_nothing"),
    wrong(
        "07.downgrade",
        "filled after the drop",
        _cents(_PRICE + _NO_CENTS + _FILL),
        "filled_too_late",
    ),
    wrong("07.downgrade", "the cents kept", _cents(_PRICE + _FILL), "both_columns"),
    wrong("07.downgrade", "the column alone", _cents(_PRICE + _NO_CENTS), "an_empty_column"),
    wrong(
        "07.downgrade",
        "whole numbers",
        _cents(_PRICE + _FILL.replace("100.0", "100") + _NO_CENTS),
        "cents_cut_off",
    ),
    wrong(
        "07.downgrade",
        "a rename only",
        _cents(
            _PRICE + _FILL.replace(" / 100.0", "") + _NO_CENTS,
        ),
        "not_divided",
    ),
    wrong(
        "07.downgrade",
        "nothing for no price",
        _cents(
            _PRICE
            + _FILL.replace("price_cents / 100.0", "COALESCE(price_cents, 0) / 100.0")
            + _NO_CENTS
        ),
        "for_nothing",
    ),
    wrong(
        "07.downgrade",
        "another type",
        _cents(_PRICE.replace("sa.Numeric(8, 2)", "sa.Float()") + _FILL + _NO_CENTS),
        "another_type",
    ),
    wrong(
        "07.downgrade",
        "the cents renamed",
        _cents(
            'op.alter_column("book", "price_cents", new_column_name="price")\n'
            'op.execute("UPDATE book SET price = price / 100.0")\n'
        ),
        "another_type",
    ),
    wrong(
        "07.downgrade", "filled before it is there", _cents(_FILL + _NO_CENTS), "nothing_to_fill"
    ),
    wrong(
        "07.downgrade",
        "a price for each",
        _cents(_PRICE.replace("nullable=True", "nullable=False") + _FILL + _NO_CENTS),
        "must_have_a_price",
    ),
    wrong(
        "07.downgrade",
        "a price for each, with a default",
        _cents(
            _PRICE.replace("nullable=True", 'nullable=False, server_default="0"')
            + _FILL
            + _NO_CENTS
        ),
        "must_have_a_price",
    ),
    wrong(
        "07.downgrade",
        "a slip in the UPDATE",
        _cents(_PRICE + _FILL.replace("price_cents", "cents") + _NO_CENTS),
        "stops",
    ),
    wrong(
        "07.downgrade",
        "after the first",
        _cents(_PRICE + _FILL + _NO_CENTS).replace('"0002"', '"0001"'),
        "another_chain",
    ),
)
