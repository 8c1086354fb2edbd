# %% [markdown]
# # 08 Migrations in production
#
# When you are through, you change a database while customers are using it. No row is lost, no running version of the
# app breaks, and a test goes red on the day when models and migrations part company.
#
# It is 2 a.m., and the migration is *fine*. It renamed a column, as lesson 07 taught, and kept every row. But three of
# Dog-Eared's four servers still run yesterday's code, which asks for the old name, and they will do so until the roll-out
# reaches them. Three customers in four see an error page. Nothing is wrong with the database; it is merely early.

# %% tags=["setup"]
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import CheckConstraint, Column, Connection, Engine, Enum, ForeignKey, Index, Integer
from sqlalchemy import MetaData, Numeric, String, Table, UniqueConstraint
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateTable, SchemaItem

from checks import TODO, check, hint, progress, solution, trace
from checks.shell import alembic

# %% [markdown]
# Three helpers. A migration is the function `upgrade()` in a revision's file; to look at many of them, we skip the file and
# keep the function. `migrate` runs one as Alembic would: one connection, one transaction, and `op` at work on it.


# %% tags=["setup"]
def fresh(*statements: str) -> Engine:
    """An engine on a new SQLite file, in which these statements have run."""
    engine = create_engine(f"sqlite:///{Path(tempfile.mkdtemp()) / 'shop.db'}")
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    return engine


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


# %% tags=["setup"]
def migrate(engine: Engine, step: Callable[[], None]) -> None:
    """Run a function as the `upgrade()` of a revision, and tell how it ended."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with engine.connect() as connection:
                context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
                with context.begin_transaction(), Operations.context(context):
                    step()
            ended = "done"
        except Exception as error:
            ended = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    print(f"{step.__name__}: {ended}")
    for warning in warned:
        print("  a warning:", str(warning.message).split(";")[0])


# %% [markdown]
# # 1. A name for everything
#
# Most tables in the world are made like the first of these two.
#
# **Predict.** What is its `UNIQUE` constraint called?

# %% tags=["setup"]
NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# %%
for metadata in (MetaData(), MetaData(naming_convention=NAMING)):
    customer = Table(
        "customer",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("email", String, unique=True),
    )
    print(str(CreateTable(customer)).strip(), "\n")

# %% [markdown]
# Nothing. That does no harm until somebody wants it gone. Families share an address, so the constraint must go, and
# `drop_constraint` wants a name:

# %%
nameless = fresh("CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR, UNIQUE (email))")


def share_an_address() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.drop_constraint("uq_customer_email", type_="unique")


migrate(nameless, share_an_address)

# %% [markdown]
# PostgreSQL would have made up a name (`customer_email_key`), SQLite does not, others number theirs: a revision that was
# written for one database does not run on the next. The `naming_convention` that our Base has carried since lesson 01 is
# for this day. It costs five lines at the start, and it cannot be had later without a migration of its own.
# ([The importance of naming constraints](https://alembic.sqlalchemy.org/en/latest/naming.html))
#
# If it *is* later: on SQLite a batch can be told what the names would have been.


# %%
def share_an_address_at_last() -> None:
    with op.batch_alter_table("customer", naming_convention=NAMING) as customer:
        customer.drop_constraint("uq_customer_email", type_="unique")


migrate(nameless, share_an_address_at_last)
print(rows(nameless, "SELECT sql FROM sqlite_master WHERE name = 'customer'")[0][0])

# %% [markdown]
# # 2. Moving house: batch mode
#
# SQLite's `ALTER TABLE` can add a column, drop one, and rename. It cannot change one:

# %%
BOOKS = (
    "CREATE TABLE book (id INTEGER PRIMARY KEY, title VARCHAR)",
    "INSERT INTO book (title) VALUES ('Middlemarch'), (NULL)",
)


def needs_a_title() -> None:
    op.alter_column("book", "title", nullable=False)


migrate(fresh(*BOOKS), needs_a_title)

# %% [markdown]
# So Alembic moves house. `batch_alter_table` collects what you want, and does it by way of a second table. **Predict**
# its four statements; then see what was sent:


# %%
def needs_a_title() -> None:
    with op.batch_alter_table("book") as book:
        book.alter_column("title", nullable=False)


CHECKED = "CREATE TABLE book (id INTEGER PRIMARY KEY, title VARCHAR, CHECK (title <> ''))"

books = fresh(CHECKED)
with trace(books) as seen:
    migrate(books, needs_a_title)

for statement in seen.statements[-4:]:
    print(" ".join(statement.split()))

# %% [markdown]
# Create, copy, drop, rename. Three things go wrong in a move.
#
# ## What had no name stays behind
#
# The `CHECK` is gone: compare the new table with the old one. Alembic reads a table's constraints back from the database,
# and a `CHECK` without a name it leaves out, with no more than the warning above. Named, it comes along:

# %%
named = fresh(CHECKED.replace("CHECK (", "CONSTRAINT ck_book_title CHECK ("))
migrate(named, needs_a_title)
print(rows(named, "SELECT sql FROM sqlite_master WHERE name = 'book'")[0][0])

# %% [markdown]
# ## A failed move blocks the door
#
# Now with rows. One of our books has no title, so this must fail, and it does. You mend the data and try again.
# **Predict** what the second attempt says.


# %%
def find_a_title_first() -> None:
    op.execute("UPDATE book SET title = 'Untitled' WHERE title IS NULL")
    needs_a_title()


books = fresh(*BOOKS)
migrate(books, needs_a_title)
migrate(books, find_a_title_first)
rows(books, "SELECT name FROM sqlite_master")

# %% [markdown]
# `_alembic_tmp_book already exists`: the half-furnished new house is still standing, and from now on **every** batch on
# that table ends here. Was it not a transaction? It was not. Python's `sqlite3` says BEGIN before an INSERT and not
# before a CREATE, so the table was made outside, and there was nothing to roll back to. You have met the cure in lesson
# 03: keep the driver from guessing, and say BEGIN yourself.


# %% tags=["setup"]
def say_begin(engine: Engine) -> Engine:
    """SQLite's transactions begin where SQLAlchemy's do, and hold CREATE and DROP as well."""

    @event.listens_for(engine, "connect")
    def take_over(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


# %%
books = say_begin(fresh(*BOOKS))
migrate(books, needs_a_title)
migrate(books, find_a_title_first)
rows(books, "SELECT name FROM sqlite_master")

# %% [markdown]
# It fails as a whole, and then it works. In a project the two listeners stand in `env.py`, as they do in yours, below. A
# database that is stuck already needs one statement: `DROP TABLE _alembic_tmp_book`.
#
# ## Everybody on the lease moves out
#
# Lesson 02 switched foreign keys on, with a listener on the engine. A conscientious colleague has migrations use the same
# engine. Ada has two orders, and her table gets a longer column. **Predict** how many orders she has afterwards.

# %%
keyed = fresh(
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR(20))",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY,"
    " customer_id INTEGER REFERENCES customer (id) ON DELETE CASCADE)",
    "INSERT INTO customer VALUES (1, 'ada@example.org')",
    "INSERT INTO orders VALUES (1, 1), (2, 1)",
)
keyed.dispose()


@event.listens_for(keyed, "connect")
def enforce_foreign_keys(dbapi_connection: Any, record: Any) -> None:
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


def longer_addresses() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("email", type_=String(200))


migrate(keyed, longer_addresses)
print("customers:", rows(keyed, "SELECT * FROM customer"))
print("orders:   ", rows(keyed, "SELECT * FROM orders"))

# %% [markdown]
# None, and the migration says *done*. With foreign keys on, SQLite's `DROP TABLE`
# [deletes the rows first](https://www.sqlite.org/foreignkeys.html#fk_schemacommands), each with its cascade; and a batch
# drops the old table. So **migrations run with foreign keys off**, on an engine of their own (off is what SQLite does
# unless told), and ask afterwards whether anything points nowhere: `PRAGMA foreign_key_check`.
#
# All of this is SQLite's. PostgreSQL alters in place, in a transaction, and `batch_alter_table` is a plain `ALTER` there.
# What comes next is everybody's.

# %% [markdown]
# # 3. Two apps, one database
#
# A deploy is not a moment. Servers are replaced one after another, and for a while the old app and the new one serve
# requests **against the same database**. Here they are, in SQL, so that you can see what each asks of the table. (An ORM
# asks for the same: every column that its model has, by name.)


# %%
def version(engine: Engine, insert: str, query: str) -> TestClient:
    """A version of the app: how it writes a customer down, and how it reads them."""
    app = FastAPI()

    @app.post("/customers", status_code=201)
    def add(email: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(insert), {"email": email})

    @app.get("/customers")
    def everybody() -> list[str | None]:
        with engine.connect() as connection:
            return list(connection.scalars(text(query)))

    return TestClient(app, raise_server_exceptions=False)


# %% [markdown]
# The column `mail` is to be called `email`. **Predict** the four status codes:

# %%
CUSTOMERS = "CREATE TABLE customer (id INTEGER PRIMARY KEY, mail VARCHAR NOT NULL)"

live = fresh(CUSTOMERS)
old = version(live, "INSERT INTO customer (mail) VALUES (:email)", "SELECT mail FROM customer")
new = version(live, "INSERT INTO customer (email) VALUES (:email)", "SELECT email FROM customer")


def rename() -> None:
    op.alter_column("customer", "mail", new_column_name="email")


for moment in ("before", "after"):
    for name, app in (("old", old), ("new", new)):
        print(f"{moment:7} {name} app:", app.post("/customers?email=ada@example.org").status_code)
    if moment == "before":
        migrate(live, rename)

# %% [markdown]
# There is no moment at which both work: not before, not after, not during. However quick the migration is, it comes too
# early for one of the two. So the change is taken apart into steps, each of which **both neighbours** survive:
#
# 1. **Expand**: add what is new beside what is old. Nobody misses anything.
# 2. **Migrate**: new versions write both, the old rows are copied over, then new versions read the new column.
# 3. **Contract**: take the old column away, when nobody asks for it any more.
#
# In full it takes three migrations, a copy, and four versions of the app:


# %%
def expand() -> None:
    op.add_column("customer", Column("email", String))  # may be NULL: version 1 knows nothing of it


def backfill() -> None:
    op.execute("UPDATE customer SET email = mail WHERE email IS NULL")


def relax() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("email", nullable=False)
        customer.alter_column("mail", nullable=True)  # version 4 will not write it


def contract() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.drop_column("mail")


# %%
OLD, NEW = "SELECT mail FROM customer", "SELECT email FROM customer"
BOTH = "INSERT INTO customer (mail, email) VALUES (:email, :email)"
VERSIONS = {
    "1: mail": ("INSERT INTO customer (mail) VALUES (:email)", OLD),
    "2: writes both, reads mail": (BOTH, OLD),
    "3: writes both, reads email": (BOTH, NEW),
    "4: email": ("INSERT INTO customer (email) VALUES (:email)", NEW),
}

# %% [markdown]
# **Predict.** Which version can live with which table? Four versions, four states of the table, one request to write and
# one to read for each pair:

# %%
STEPS = (expand, relax, contract)


def lives(app: TestClient) -> bool:
    """Whether this version serves both requests."""
    written = app.post("/customers?email=ada@example.org").status_code
    return written == 201 and app.get("/customers").status_code == 200


def table_after(count: int) -> Engine:
    """A database that has taken the first few steps."""
    engine = fresh(CUSTOMERS)
    for step in STEPS[:count]:
        with engine.begin() as connection:
            with Operations.context(MigrationContext.configure(connection)):
                step()
    return engine


print(f"{'version':30}" + "".join(f"{s:>10}" for s in ("start", "expand", "relax", "contract")))
for name, (insert, query) in VERSIONS.items():
    found = [lives(version(table_after(count), insert, query)) for count in range(4)]
    print(f"{name:30}" + "".join(f"{'yes' if ok else '-':>10}" for ok in found))

# %% [markdown]
# Read it as a staircase, from the top left to the bottom right. A step to the right is a migration, a step down is a
# deploy, and you may stand only on a *yes*; while you deploy, you stand on two rows at once. From 1 to 4 directly there is
# no way.
#
# ## In between
#
# Statuses are not everything. (From 2 to 4 they would let you jump; but version 2 reads `mail`, which version 4 no longer
# writes.) We have expanded, and the deploy of version 2 is under way:

# %%
live = fresh(CUSTOMERS)
apps = [version(live, insert, query) for insert, query in VERSIONS.values()]

apps[0].post("/customers?email=ada@example.org")
migrate(live, expand)
apps[0].post("/customers?email=bob@example.org")
apps[1].post("/customers?email=cleo@example.org")

rows(live, "SELECT mail, email FROM customer")

# %% [markdown]
# Both serve. Somebody is impatient, copies the rows over and deploys version 3, while one server still runs version 1.
# **Predict** what version 3 makes of its next customer.

# %%
migrate(live, backfill)
print(apps[2].get("/customers").json())

apps[0].post("/customers?email=dora@example.org")  # the last server with version 1
print(apps[2].get("/customers").json())

# %% [markdown]
# Nothing failed, and a customer has no address. The backfill must come when **no one is left who writes the old way
# only**: after version 2 is everywhere, before version 3. Once more, then, now that version 1 is gone:

# %%
migrate(live, backfill)
print(apps[2].get("/customers").json(), "- version 3")
migrate(live, relax)
print(apps[3].post("/customers?email=emil@example.org").status_code, "- version 4")
print(apps[2].get("/customers").json()[-1], "- version 3, while it is being replaced")
migrate(live, contract)
print(len(apps[3].get("/customers").json()), "customers, none lost")

# %% [markdown]
# The `WHERE email IS NULL` is what allowed us to run it twice. A backfill that can be repeated is one that can be
# interrupted.
#
# Is every change worth four versions? No. If you can close the shop for a minute, rename and be done. Adding a table or a
# nullable column is an *expand* already and needs one deploy; dropping something unused is a *contract*. It is renames,
# splits, changed types and new constraints that need the staircase.
# ([ParallelChange](https://martinfowler.com/bliki/ParallelChange.html) is its name in the literature.)

# %% [markdown]
# # 4. Rows move too
#
# A revision that changes rows is a **data migration**. It must do the same next year as it does today, and there is one
# popular way to make sure that it does not. Here is the model, as it is in June:


# %% tags=["setup"]
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    country: Mapped[str | None]  # new in June


# %% [markdown]
# And here is a revision of January's, when there was no `country`. It has run everywhere, long ago, without a complaint.
#
# **Predict.** Today a new colleague sets up an empty database, and all revisions run, from the first.


# %%
def lower_case() -> None:
    session = Session(op.get_bind())
    for customer in session.scalars(select(Customer)):
        customer.email = customer.email.lower()
    session.flush()


JANUARY = (
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR NOT NULL)",
    "INSERT INTO customer (email) VALUES ('Ada@Example.org')",
)
migrate(fresh(*JANUARY), lower_case)

# %% [markdown]
# The model speaks of a column that January's table does not have. **A revision imports no models.** It says what it needs
# itself: in SQL, which also does the work where the rows are,


# %%
def lower_case() -> None:
    op.execute("UPDATE customer SET email = lower(email)")


migrate(fresh(*JANUARY), lower_case)

# %% [markdown]
# or, where it takes Python, with a table of its own that has the columns of that day and no more:

# %%
from sqlalchemy import column, table, update


def lower_case() -> None:
    customer = table("customer", column("id"), column("email"))
    connection = op.get_bind()
    for row in connection.execute(select(customer)).all():
        changed = update(customer).where(customer.c.id == row.id)
        connection.execute(changed.values(email=row.email.lower()))


january = fresh(*JANUARY)
migrate(january, lower_case)
rows(january, "SELECT email FROM customer")

# %% [markdown]
# ## Your project
#
# A folder `bookshop_08` beside this notebook. As in lesson 07, a cell that is a file overwrites that file when you run it,
# and nothing else in the folder is touched; the cell is what you hand in.

# %% tags=["setup"]
SHOP = Path("bookshop_08")

if not (SHOP / "alembic.ini").exists():
    (SHOP / "shop").mkdir(parents=True, exist_ok=True)
    with redirect_stdout(io.StringIO()):
        alembic("init migrations", SHOP)

print(f"Your project is the folder {SHOP}.")

# %% tags=["setup"] file="bookshop_08/shop/database.py"
"""Where the shop keeps its data."""

import os
from pathlib import Path

HERE = Path(__file__).parent.parent
URL = os.environ.get("BOOKSHOP_URL", f"sqlite:///{HERE / 'bookshop.db'}")

# %% tags=["setup"] file="bookshop_08/shop/models.py"
"""What the shop knows about."""

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    phone: Mapped[str | None]
    points: Mapped[int] = mapped_column(server_default="0")


# %% [markdown]
# `env.py` has what part 2 asks for: an engine of its own, foreign keys off, and BEGIN said aloud. `transactional_ddl`
# tells Alembic that it may now rely on that, so that an `upgrade` over several revisions is all or nothing.

# %% tags=["setup"] file="bookshop_08/migrations/env.py"
"""How Alembic gets to the shop's database and its models."""

from typing import Any

from alembic import context
from shop.database import URL
from shop.models import Base
from sqlalchemy import Connection, NullPool, create_engine, event


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        compare_server_default=True,  # see part 7
        render_as_batch=True,  # drafts say batch_alter_table
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    engine = create_engine(URL, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def take_over(dbapi_connection: Any, record: Any) -> None:
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def say_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with engine.connect() as connection:
        run(connection)

# %% tags=["setup"] file="bookshop_08/migrations/versions/0001_customers.py"
"""Customers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "customer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customer"),
        sa.UniqueConstraint("email", name="uq_customer_email"),
    )


def downgrade() -> None:
    op.drop_table("customer")


# %% [markdown]
# ## Exercise 8.1: first name, last name
#
# Marketing wants to write "Dear Ursula". Write the revision that splits `full_name` into `first_name` and `last_name`:
# its *expand*, and the copying of the rows that are there.
#
# - What stands before the first space is the first name, the rest is the last name. A name without a space is a first
#   name; its `last_name` is an empty text or NULL, as you like.
# - No row is lost, and `full_name` stays as it is. (The rule is wrong for half of mankind, and
#   [so is every other](https://www.w3.org/International/questions/qa-personal-names). A reason not to throw away what
#   people have typed.)
# - The old app, which knows `email` and `full_name` only, goes on serving.
# - `downgrade` takes both columns away again, and nothing else.
# - The revision still runs when `shop/models.py` has moved on.

# %% exercise="08.split" file="bookshop_08/migrations/versions/0002_split_the_name.py"
"""A first and a last name."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


# BEGIN STARTER
# def upgrade() -> None:
#     pass
#
#
# def downgrade() -> None:
#     pass
# END STARTER
# BEGIN SOLUTION
def upgrade() -> None:
    op.add_column("customer", sa.Column("first_name", sa.String(), nullable=True))
    op.add_column("customer", sa.Column("last_name", sa.String(), nullable=True))
    customer = sa.table(
        "customer",
        sa.column("id"),
        sa.column("full_name"),
        sa.column("first_name"),
        sa.column("last_name"),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(customer.c.id, customer.c.full_name)).all():
        first, _, last = row.full_name.partition(" ")
        connection.execute(
            sa.update(customer)
            .where(customer.c.id == row.id)
            .values(first_name=first, last_name=last)
        )


def downgrade() -> None:
    op.drop_column("customer", "last_name")
    op.drop_column("customer", "first_name")


# END SOLUTION

# %% check="08.split"
check("08.split")

# %% [markdown]
# The rest of the staircase would follow: an app that writes all three, a second copy for what the old one wrote
# meanwhile, an app that reads the parts, and one quiet day the end of `full_name`. Or not: it is a column worth keeping.

# %% [markdown]
# # 5. NOT NULL on a table that is alive
#
# Tax law has arrived. Every customer must have a `country`, and some have none. In a hurry:

# %%
WITH_COUNTRY = (
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR NOT NULL, country VARCHAR)",
    "INSERT INTO customer (email, country) VALUES ('ada@x.org', 'FR'), ('bob@x.org', NULL)",
)


def in_a_hurry() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", nullable=False)


live = say_begin(fresh(*WITH_COUNTRY))
migrate(live, in_a_hurry)

# %% [markdown]
# You knew that. So fill the gaps first, and then it works; on the database. Here is the app that is running meanwhile. It
# uses the model of part 4, in which a country may be missing:


# %%
def customers(engine: Engine) -> TestClient:
    """The app as it has been since June: it does not ask for a country."""
    app = FastAPI()

    @app.post("/customers", status_code=201)
    def add(email: str) -> None:
        with Session(engine) as session, session.begin():
            session.add(Customer(email=email))

    return TestClient(app, raise_server_exceptions=False)


def fill_and_close() -> None:
    op.execute("UPDATE customer SET country = 'GB' WHERE country IS NULL")
    in_a_hurry()


migrate(live, fill_and_close)
customers(live).post("/customers?email=cleo@x.org").status_code

# %% [markdown]
# From that second on nobody can sign up. So the column needs a default *in the database*, which fills in for an app that
# says nothing.
#
# **Predict.** The column may still be NULL, and now it has a server default. Cleo signs up at the same old app. What is her
# country?


# %%
def with_default() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", server_default="GB")


live = say_begin(fresh(*WITH_COUNTRY))
migrate(live, with_default)
with trace(live) as seen:
    customers(live).post("/customers?email=cleo@x.org")

print(rows(live, "SELECT email, country FROM customer"))
seen

# %% [markdown]
# None. Look at what was sent: the ORM names every column of *its* model, and for one without a value, and without a
# default that it knows of, it sends NULL. A default fills in for silence, and this is not silence. (For apps whose model
# has no such column, and for whoever writes SQL by hand, it works.)
#
# So it takes three steps, and a deploy between them:
#
# | step | migration | who writes what |
# | --- | --- | --- |
# | 1 | a server default | new apps send a country, or leave it to the default; old ones still write NULL |
# | 2 | fill the rows that are there | the same |
# | 3 | when the last old app is gone: fill what it has written since, then NOT NULL | everybody writes a country |
#
# ## Exercise 8.2: three steps
#
# Write the three as functions; in a project each would be the `upgrade()` of a revision of its own. The check runs them
# one by one, and lets customers sign up in between: at an app that sends a country, at one that leaves the column out,
# and, until just before step 3, at one that sends NULL.
#
# - After `step_1`, who leaves the country out gets `'GB'`. After `step_2`, whoever was there before has one. After
#   `step_3` NULL is refused, and leaving it out still works.
# - Nobody is lost, and whoever has a country keeps it.
# - The table is `customer (id, email, country)`, its email unique, on SQLite.


# %% exercise="08.not_null"
# BEGIN STARTER
# def step_1() -> None:
#     return TODO
#
#
# def step_2() -> None:
#     return TODO
#
#
# def step_3() -> None:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def step_1() -> None:
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", server_default="GB")


def step_2() -> None:
    op.execute("UPDATE customer SET country = 'GB' WHERE country IS NULL")


def step_3() -> None:
    op.execute("UPDATE customer SET country = 'GB' WHERE country IS NULL")
    with op.batch_alter_table("customer") as customer:
        customer.alter_column("country", nullable=False)


# END SOLUTION


# %% check="08.not_null"
check("08.not_null")

# %% [markdown]
# # 6. Two heads
#
# On Monday you branch off and add a phone number. So does a colleague, with loyalty points. Each of you writes the
# revision that follows 0002, and each is reviewed, tested and merged. Git is content: they are different files.

# %% tags=["setup"] file="bookshop_08/migrations/versions/0003_phone.py"
"""A phone number."""

import sqlalchemy as sa
from alembic import op

revision = "0003_phone"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("customer", sa.Column("phone", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("customer", "phone")


# %% tags=["setup"] file="bookshop_08/migrations/versions/0003_points.py"
"""Loyalty points."""

import sqlalchemy as sa
from alembic import op

revision = "0003_points"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("customer", sa.Column("points", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("customer", "points")


# %% [markdown]
# **Predict.** The deploy says `alembic upgrade head`, as it has done every day.

# %%
monday = Path(tempfile.mkdtemp()) / "monday"  # a copy of your project, without any merge
shutil.copytree(SHOP, monday, ignore=shutil.ignore_patterns("0004_*", "*.db"))

alembic("upgrade head", monday)
alembic("heads", monday)

# %% [markdown]
# There is no *the* head any more. `upgrade heads` would get you through the night (and leaves a database with two rows in
# `alembic_version`), but the next person who wants to write a revision is stopped too: it would not know whom to follow.
#
# There are two ways out. If one of the two has run nowhere yet, let it follow the other: change its `down_revision`, and
# the history is a line again. If both have run somewhere, on a colleague's machine or on the staging server, history must
# not be rewritten, and a **merge revision** ties them together. It has two parents and, as a rule, nothing to do.
# ([Working with branches](https://alembic.sqlalchemy.org/en/latest/branches.html))
#
# Merging says nothing about the order of the two: one database may take phone first, another points. When they touch the
# same column, that matters, and the merge is where you look.
#
# ## Exercise 8.3: one head
#
# Below is what a hurried colleague committed. Make it a merge:
#
# - there is one head, and `upgrade head` brings a database there from nothing, from `0003_phone` and from `0003_points`,
#   with everybody who was in it;
# - `downgrade base` finds the way back.

# %% exercise="08.merge" file="bookshop_08/migrations/versions/0004_merge.py"
"""Phone and points, together again."""

revision = "0004"
# BEGIN STARTER
# down_revision = "0003_phone"
# END STARTER
# BEGIN SOLUTION
down_revision = ("0003_phone", "0003_points")
# END SOLUTION


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass


# %% check="08.merge"
check("08.merge")

# %% [markdown]
# `alembic merge heads -m "phone and points"` writes that file for you. That a test goes red when there are two heads is
# better still, and part of the next exercise.

# %% [markdown]
# # 7. What autogenerate does not see
#
# Drafts are written by comparing a database with the models, and `alembic check` makes the same comparison. What is it
# blind to? Here is a table, and a way to ask what is noticed when the models say something else:


# %%
def shop(*items: SchemaItem, without: str = "") -> MetaData:
    """A table of books: with these columns in place of its own, with extras, without one."""
    metadata = MetaData(naming_convention=NAMING)
    Table("author", metadata, Column("id", Integer, primary_key=True))
    own = (
        Column("id", Integer, primary_key=True),
        Column("title", String(50), nullable=False),
        Column("isbn", String(13)),
        Column("copies", Integer, server_default="0"),
        Column("kind", Enum("new", "used", name="kind")),
        Column("author_id", Integer),
    )
    replaced = {item.name for item in items if isinstance(item, Column)} | {without}
    Table("book", metadata, *(one for one in own if one.name not in replaced), *items)
    return metadata


def noticed(engine: Engine, models: MetaData, **options: Any) -> str:
    """What autogenerate would write to turn the standard shop into this one."""
    shop().drop_all(engine)
    shop().create_all(engine)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts=options), models)
    names = [one[0][0] if isinstance(one, list) else one[0] for one in found]
    return ", ".join(names) or "-"


# %% [markdown]
# **Predict**, line by line, which of these it notices.

# %%
CHANGES = {
    "a new column": shop(Column("pages", Integer)),
    "a column left out": shop(without="isbn"),
    "a column renamed": shop(Column("isbn13", String(13)), without="isbn"),
    "another type": shop(Column("copies", Numeric, server_default="0")),
    "a longer string": shop(Column("title", String(500), nullable=False)),
    "NOT NULL": shop(Column("isbn", String(13), nullable=False)),
    "an index": shop(Index(None, "title")),
    "a UNIQUE constraint": shop(UniqueConstraint("isbn")),
    "a foreign key": shop(Column("author_id", Integer, ForeignKey("author.id"))),
    "a CHECK constraint": shop(CheckConstraint("copies >= 0", name="copies")),
    "another server default": shop(Column("copies", Integer, server_default="1")),
    "one more value in an Enum": shop(Column("kind", Enum("new", "used", "lost", name="kind"))),
    "a comment": shop(Column("title", String(50), nullable=False, comment="as on the cover")),
}

for change, models in CHANGES.items():
    print(f"{change:28}", noticed(create_engine("sqlite://"), models))

# %% [markdown]
# A rename it takes for two other things; lesson 07 mourned the authors. The last four it does not see at all. (Comments
# are SQLite's doing, it has none.) One of the four is a switch that is off by default:

# %%
default = CHANGES["another server default"]
noticed(create_engine("sqlite://"), default, compare_server_default=True)

# %% [markdown]
# Nor does it see what is not in the models in the first place: views, triggers, functions, permissions, and rows. So:
# turn the switch on, write `CHECK`s and enum values by hand, and do not read *no changes* as *no difference*.
# ([What autogenerate detects](https://alembic.sqlalchemy.org/en/latest/autogenerate.html#what-does-autogenerate-detect-and-what-does-it-not-detect))
#
# ## The gate
#
# Everything that it does see can stop a merge, if a test asks. That is what `alembic check` is for: it ends with an error
# when the models say anything that the migrations do not.
#
# ## Exercise 8.4: a test that can fail
#
# The test below stands in your project. It has been green for a year, through every drift there was. Find out why it
# cannot fail, and mend it:
#
# - it passes when migrations and models agree;
# - it fails when a model has a column, an index or a table that no migration makes; when a migration makes what no model
#   has; when a revision does not run on an empty database; when there are two heads;
# - it works on a database of its own. The developer's, `bookshop.db`, is none of its business.
#
# The check calls your test as pytest would, in eight trees that have drifted in different ways, and in two that have not.
# It can give it pytest's `tmp_path` (a fresh folder), and no other fixture.

# %% exercise="08.drift" file="bookshop_08/test_migrations.py"
"""Models and migrations agree."""

from pathlib import Path

from alembic import command
from alembic.config import Config

# BEGIN STARTER
# from shop.models import Base
# END STARTER
from sqlalchemy import create_engine

HERE = Path(__file__).parent


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
    config = Config(str(HERE / "alembic.ini"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        # BEGIN STARTER
        # Base.metadata.create_all(connection)
        # command.stamp(config, "heads")
        # command.check(config)
        # END STARTER
        # BEGIN SOLUTION
        command.upgrade(config, "head")
        command.check(config)
        # END SOLUTION


# %% check="08.drift"
check("08.drift")


# %% [markdown]
# # 8. Locks and long tables
#
# On SQLite a migration keeps everybody waiting, and there are few of you. On a server the question is *who* waits, and for
# how long. The cells of this part start a real PostgreSQL and put a hundred thousand customers into it.

# %% tags=["recorded"]
from checks.servers import start_postgresql

server = start_postgresql()

if server:
    postgres = create_engine(server.url)
    with postgres.begin() as connection:
        for statement in (
            "DROP TABLE IF EXISTS customer",
            "CREATE TABLE customer (id serial PRIMARY KEY, email text)",
            "INSERT INTO customer (email) SELECT n || '@x.org' FROM generate_series(1, 100000) n",
            "ALTER TABLE customer ADD CONSTRAINT has_id CHECK (id > 0) NOT VALID",
        ):
            connection.exec_driver_sql(statement)


# %% tags=["recorded"]
def may_others(statement: str) -> str:
    """Whether another connection gets this done, or has to wait for a lock."""
    with postgres.connect() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        try:
            connection.exec_driver_sql(statement)
        except OperationalError:
            return "wait"
        return "go on"


READ = "SELECT email FROM customer WHERE id = 1"
WRITE = "UPDATE customer SET email = email WHERE id = 1"

# %% [markdown]
# **Predict**, for each of these, whether the others can still read and write while it is going on, and whether it writes
# the whole table anew (which is what takes long).

# %% tags=["recorded"]
ALTER = "ALTER TABLE customer "
DDL = (
    ALTER + "ADD COLUMN phone text",
    ALTER + "ADD COLUMN points integer NOT NULL DEFAULT 0",
    ALTER + "ADD COLUMN token uuid DEFAULT gen_random_uuid()",
    ALTER + "ALTER COLUMN id TYPE bigint",
    ALTER + "ALTER COLUMN email SET NOT NULL",
    ALTER + "ADD CONSTRAINT has_email CHECK (email IS NOT NULL) NOT VALID",
    ALTER + "VALIDATE CONSTRAINT has_id",  # which came NOT VALID with the table
    "CREATE INDEX ON customer (email)",
)


# %% tags=["recorded"]
def file_of_the_table(connection: Connection) -> int | None:
    return connection.scalar(text("SELECT pg_relation_filenode('customer')"))


if server:
    print(f"{ALTER + '...':64}readers  writers  rewritten")
    for change in DDL:
        with postgres.connect() as connection:  # never committed
            file = file_of_the_table(connection)
            connection.exec_driver_sql(change)
            rewritten = "yes" if file_of_the_table(connection) != file else "-"
            told = f"{change.removeprefix(ALTER):64}{may_others(READ):9}{may_others(WRITE):9}"
            print(told + rewritten)

# %% [markdown]
# Nearly every `ALTER TABLE` takes the strongest lock there is, `ACCESS EXCLUSIVE`: even reading has to wait. It is held
# **until the transaction ends**, so the length is what matters. A column with a constant default takes no time, as its
# value is noted beside the table; a default that differs from row to row, or another type, writes every row. Which is
# which is in [ALTER TABLE's notes](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES).
#
# `SET NOT NULL` writes nothing and *reads* every row under that lock. A long table goes another way: a constraint that is
# `NOT VALID` is there at once and holds for new rows; `VALIDATE` reads all the old ones, and everybody goes on. After it,
# `SET NOT NULL` has nothing left to look at. So on PostgreSQL step 3 has three parts, each a revision of its own and a
# transaction of its own, lest `VALIDATE` run under the lock of the first:


# %% tags=["recorded"]
def demand() -> None:
    op.create_check_constraint(
        "has_email", "customer", "email IS NOT NULL", postgresql_not_valid=True
    )


def look_at_the_old_ones() -> None:
    op.execute("ALTER TABLE customer VALIDATE CONSTRAINT has_email")


def settle() -> None:
    op.alter_column("customer", "email", nullable=False)
    op.drop_constraint("has_email", "customer")


if server:
    for step in (demand, look_at_the_old_ones, settle):
        migrate(postgres, step)

# %% [markdown]
# ## The queue behind you
#
# "My migration takes a millisecond." It does, once it has its lock. Somebody has left a transaction open, which has read
# one row. **Predict** what a customer sees who wants to read that row, too.

# %% tags=["recorded"]
import threading


def add_phone() -> None:
    op.add_column("customer", Column("phone", String))


if server:
    report = postgres.connect()
    report.exec_driver_sql(READ)  # and then lunch

    migration = threading.Thread(target=migrate, args=(postgres, add_phone))
    migration.start()
    waiting = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while migration.is_alive() and not rows(postgres, waiting):
        pass

    print("waiting:  ", rows(postgres, waiting))
    print("a reader: ", may_others(READ))
    report.close()
    migration.join()
    print("a reader: ", may_others(READ))

# %% [markdown]
# Two readers get along. But the migration waits for the first, and everybody who comes later queues up **behind the
# migration**. The shop is down, and nothing at all is running. So a migration must not be ready to wait for long: with
# `lock_timeout` it gives up, the queue moves on, and you try again in a minute.


# %% tags=["recorded"]
def add_fax() -> None:
    op.execute("SET LOCAL lock_timeout = '200ms'")
    op.add_column("customer", Column("fax", String))


if server:
    with postgres.connect() as report:
        report.exec_driver_sql(READ)
        migrate(postgres, add_fax)
    migrate(postgres, add_fax)

# %% [markdown]
# ## Indexes, and long fills
#
# `CREATE INDEX`, says the table's last line, makes all writers wait until it is done. `CONCURRENTLY` lets them write, and
# insists on not being in a transaction, in which Alembic has just put you:


# %% tags=["recorded"]
def index() -> None:
    op.create_index("ix_customer_email", "customer", ["email"], postgresql_concurrently=True)


def index_outside() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(  # what an earlier attempt has left
            "ix_customer_email", if_exists=True, postgresql_concurrently=True
        )
        index()


if server:
    migrate(postgres, index)
    migrate(postgres, index_outside)

# %% [markdown]
# `autocommit_block` commits what came before it, so give such a revision nothing else to do. And it may fail halfway, by
# `lock_timeout` for one, as it waits for everybody who is writing. Then an index
# [marked invalid](https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY) stays
# behind, which no query uses: hence the `drop_index`.
#
# The same goes for filling a long table. One `UPDATE` over all rows is one transaction that keeps each of them locked to
# the end. In portions, each committed by itself, nobody waits for longer than a portion takes:


# %% tags=["recorded"]
def in_portions() -> None:
    portion = (
        "UPDATE customer SET phone = '' WHERE id IN"
        " (SELECT id FROM customer WHERE phone IS NULL LIMIT 20000)"
    )
    with op.get_context().autocommit_block():
        while changed := op.get_bind().exec_driver_sql(portion).rowcount:
            print(changed, "rows")


if server:
    migrate(postgres, in_portions)

# %% [markdown]
# Last, part 7's question, put to PostgreSQL. What of the blind spots is left?

# %% tags=["recorded"]
if server:
    with postgres.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS customer")
    for change, models in list(CHANGES.items())[-4:]:
        print(f"{change:28}", noticed(postgres, models, compare_server_default=True))

# %% [markdown]
# # Recap
#
# ## The recipe
#
# `migrations/env.py` for production: SQLite or PostgreSQL, sync or async, one migration at a time, and none that waits for
# long.

# %% tags=["recipe"] file="bookshop_08/migrations/env.py"
"""How Alembic gets to the shop's database and its models."""

import asyncio
import time
from typing import Any

from alembic import context
from shop.database import URL
from shop.models import Base
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

POSTGRESQL = make_url(URL).get_backend_name() == "postgresql"


def queue_up(dbapi_connection: Any) -> None:
    """On PostgreSQL: one migration at a time, and none that keeps the shop waiting for long."""
    cursor = dbapi_connection.cursor()
    cursor.execute("SET lock_timeout = '3s'")
    while True:
        cursor.execute("SELECT pg_try_advisory_lock(8)")
        (mine,) = cursor.fetchone()
        dbapi_connection.commit()  # a CONCURRENTLY would wait for a transaction that waits here
        if mine:
            return
        time.sleep(1)


def prepare(engine: Engine) -> None:
    """Tell each new connection what its database must know before a schema is changed."""

    @event.listens_for(engine, "connect")
    def on_connect(dbapi_connection: Any, record: Any) -> None:
        if POSTGRESQL:
            queue_up(dbapi_connection)
        else:
            dbapi_connection.isolation_level = None  # SQLite; its foreign keys stay off

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if not POSTGRESQL:
            connection.exec_driver_sql("BEGIN")


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        transaction_per_migration=POSTGRESQL,  # hold locks for one revision, not for all
        compare_server_default=True,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
        if not POSTGRESQL and connection.exec_driver_sql("PRAGMA foreign_key_check").all():
            raise RuntimeError("Rows point nowhere: see PRAGMA foreign_key_check.")


def run_sync() -> None:
    engine = create_engine(URL, poolclass=NullPool)
    prepare(engine)
    with engine.connect() as connection:
        run(connection)


async def run_async() -> None:
    engine = create_async_engine(URL, poolclass=NullPool)
    prepare(engine.sync_engine)
    async with engine.connect() as connection:
        await connection.run_sync(run)


if context.is_offline_mode():  # --sql
    context.configure(url=URL, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (handed_over := context.config.attributes.get("connection")) is not None:
    run(handed_over)
elif make_url(URL).get_dialect().is_async:
    asyncio.run(run_async())
else:
    run_sync()

# %% [markdown]
# It takes a synchronous address and an asynchronous one,

# %%
(SHOP / "trial.db").unlink(missing_ok=True)
alembic("upgrade 0003_points", SHOP, BOOKSHOP_URL="sqlite:///trial.db")
alembic("downgrade 0001", SHOP, BOOKSHOP_URL="sqlite+aiosqlite:///trial.db")
alembic("current", SHOP, BOOKSHOP_URL="sqlite:///trial.db")

# %% [markdown]
# and PostgreSQL's two, asked for in one go:

# %% tags=["recorded"]
if server:
    for driver in ("postgresql+psycopg", "postgresql+asyncpg"):
        address = server.url.set(database="postgres", drivername=driver)
        os.environ["BOOKSHOP_URL"] = address.render_as_string(hide_password=False)
        with postgres.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS customer, alembic_version")
        alembic("upgrade 0003_points", SHOP)
        alembic("current", SHOP)
        del os.environ["BOOKSHOP_URL"]
    postgres.dispose()

# %% [markdown]
# ## The rules
#
# - Every constraint has a name, from the first table on.
# - On SQLite: BEGIN said aloud, foreign keys off while migrating, checked afterwards.
# - Old and new app share the database for a while. Each step must be one that both survive: expand, migrate, contract.
# - Backfill when no one is left who writes the old way only, before anybody reads the new. `WHERE ... IS NULL`, so that it
#   can be run again.
# - A revision says what it needs itself. It imports no models.
# - NOT NULL comes last: a default for those who are silent, a fill, a sweep, and then the constraint.
# - One head; a merge when there are two.
# - `alembic check` on a database that the migrations have made, in the test suite.
# - On PostgreSQL: `lock_timeout`, short transactions, `NOT VALID` then `VALIDATE` in a revision of its own, `CONCURRENTLY`
#   outside, long fills in portions.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `ValueError: No such constraint: 'uq_customer_email'` | it never had a name; give `batch_alter_table` a `naming_convention` |
# | `UserWarning: Unnamed CHECK constraint on reflected table ...` | a batch has left it behind |
# | `OperationalError: near "ALTER": syntax error` | SQLite cannot change a column; `batch_alter_table` |
# | `IntegrityError: NOT NULL constraint failed: _alembic_tmp_book.title` | NOT NULL, on rows that have none |
# | `OperationalError: table _alembic_tmp_book already exists` | an earlier batch failed halfway; drop it, and say BEGIN |
# | `OperationalError: no such column: customer.country` | a model from today, on a table from then; or the new app, ahead of its migration |
# | `CommandError: Multiple head revisions are present for given argument 'head'` | two revisions follow the same one; merge |
# | `LockNotAvailable: canceling statement due to lock timeout` | somebody holds the table; nothing has changed, try again |
# | `ActiveSqlTransaction: CREATE INDEX CONCURRENTLY cannot run inside a transaction block` | `autocommit_block` |
#
# ## In production
#
# - Migrate as a step of its own, once, by one process, before the new version starts. Where you cannot be sure of *once*,
#   let them queue: `env.py` above takes an
#   [advisory lock](https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS).
# - Expanding goes before the deploy, contracting after it, by days if you like.
# - With expand and contract the way back needs no downgrade: the previous *app* runs on the expanded table. Lesson 07's way
#   down is for the night on which you were too bold.
# - Try a migration on a copy with as many rows as the original. A hundred rows say nothing about a lock.
# - An async app needs no async migrations. They are one connection and one statement after the other; if there is a
#   synchronous driver at hand, use that.
#
# ## Read more
#
# - Alembic: [Batch migrations](https://alembic.sqlalchemy.org/en/latest/batch.html),
#   [Naming constraints](https://alembic.sqlalchemy.org/en/latest/naming.html),
#   [Branches](https://alembic.sqlalchemy.org/en/latest/branches.html),
#   [Cookbook](https://alembic.sqlalchemy.org/en/latest/cookbook.html)
# - PostgreSQL: [Explicit locking](https://www.postgresql.org/docs/current/explicit-locking.html),
#   [ALTER TABLE](https://www.postgresql.org/docs/current/sql-altertable.html)
# - SQLite: [Making other kinds of table schema changes](https://www.sqlite.org/lang_altertable.html#otheralter)
