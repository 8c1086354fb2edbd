# %% [markdown]
# # 07 Alembic
#
# When you are through, a change to a model becomes a change to a database that has customers in it: written down,
# reviewed, applied, taken back, and with every row still there.
#
# It is 2 a.m., the deploy was green, and the authors' page is blank. Last night somebody renamed a column in a model and
# let a tool write the migration. It ran without an error, and the tool's own check says that all is well. Every author
# in the shop is now called nothing at all. You will do it yourself in part 3, and then you will do it right.

# %% tags=["setup"]
import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy.exc import DBAPIError

from checks import check, hint, progress, solution, trace
from checks.shell import alembic, inside

# %% [markdown]
# # 1. `create_all` is not a migration
#
# This lesson is about files, so the shop is a project this time: a folder `demo_07` beside this notebook, with a package
# `shop` in it. Open it in an editor whenever you like. A cell that begins with `%%writefile` writes a file.
#
# What happens to it is one story, so run it in order. Should it get muddled, begin again with this cell:

# %%
DEMO = Path("demo_07")

if DEMO.exists():  # from an earlier run; you may have written something in there
    shutil.rmtree("demo_07_before", ignore_errors=True)
    DEMO.rename("demo_07_before")
(DEMO / "shop").mkdir(parents=True)

print("demo_07 is new. If there was one, it is now called demo_07_before.")

# %% file="demo_07/shop/database.py"
"""Where the shop keeps its data."""

import os
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

HERE = Path(__file__).parent.parent
URL = os.environ.get("BOOKSHOP_URL", f"sqlite:///{HERE / 'bookshop.db'}")

engine = create_engine(URL)
SessionLocal = sessionmaker(engine)

# %% file="demo_07/shop/models.py"
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


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


# %% [markdown]
# And the app. As in most tutorials, and in the earlier lessons of this course, it makes its own tables when it starts:

# %% file="demo_07/shop/main.py"
"""The shop's API."""

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import select

from shop.database import SessionLocal, engine
from shop.models import Author, Base

Base.metadata.create_all(engine)

app = FastAPI()


class NewAuthor(BaseModel):
    name: str


@app.post("/authors", status_code=201)
def add_author(new: NewAuthor) -> None:
    with SessionLocal.begin() as session:
        session.add(Author(name=new.name))


@app.get("/authors")
def list_authors() -> list[str]:
    with SessionLocal() as session:
        return [author.name for author in session.scalars(select(Author).order_by(Author.id))]


# %% [markdown]
# Two helpers. `ask` starts the app from the files as they are *now*, sends one request and stops it again; think of it
# as a deploy and a customer. `edit` changes a piece of a file and shows it as a diff.


# %%
def ask(method: str, path: str, body: Any = None, **environment: str) -> None:
    """Deploy the app as its files are now, and send it one request."""
    with inside(DEMO, **environment):
        from shop.main import app, engine

        try:
            answer = TestClient(app).request(method, path, json=body)
            print(f"{method} {path}: {answer.status_code} {'' if body else answer.json()}".rstrip())
        except DBAPIError as error:  # to a client, a 500
            print(f"{method} {path}: 500 {type(error).__name__}: {error.orig}")
        finally:
            engine.dispose()


def edit(file: str, old: str, new: str) -> None:
    """Replace some lines of a file, and show which."""
    path = DEMO / file
    content = path.read_text(encoding="utf-8")
    if not (old in new and new in content):  # this cell has run before
        path.write_text(content.replace(old, new), encoding="utf-8")
    print(file)
    for sign, lines in (("-", old), ("+", new)):
        for line in lines.strip("\n").splitlines():
            print(sign, line)


# %%
ask("POST", "/authors", {"name": "George Eliot"})
ask("POST", "/authors", {"name": "Jane Austen"})
ask("GET", "/authors")

# %% [markdown]
# The shop wants to know when its authors were born. One line in the model:

# %%
edit(
    "shop/models.py",
    "    name: Mapped[str]\n",
    "    name: Mapped[str]\n    born: Mapped[int | None]\n",
)

# %% [markdown]
# **Predict.** The app starts again, and `create_all` runs again. What does the list of authors look like?

# %%
ask("GET", "/authors")

# %% [markdown]
# `create_all` looks at each table's *name*. What is missing it makes; what is there it leaves alone, whatever the model
# says by now. ([Its documentation](https://docs.sqlalchemy.org/en/21/core/metadata.html#sqlalchemy.schema.MetaData.create_all)
# puts it in a half sentence.) "Delete the file and start again" is what one does about it, until the day the file has
# customers in it.
#
# From that day on you need the *difference* between the database as it is and as the models want it, as a script that
# runs once in each database, in order. That is a **migration**, and Alembic keeps them.

# %% [markdown]
# # 2. From nothing to `head`
#
# We start again this one time. The database goes, the column goes, and the line with `create_all` goes for good:

# %%
(DEMO / "bookshop.db").unlink(missing_ok=True)
edit("shop/models.py", "    born: Mapped[int | None]\n", "")
edit("shop/main.py", "Base.metadata.create_all(engine)\n\n", "")
edit("shop/main.py", "import Author, Base", "import Author")

# %% [markdown]
# ## `alembic init`
#
# `alembic(command, folder)` below does what the command line after the `$` does in a terminal that stands in the folder.
# It is there because this lesson also runs in a web page, where there is no terminal. In JupyterLab you can open one
# (*File, New, Terminal*), type `cd demo_07` and the same command, and see the same.

# %%
with redirect_stdout(io.StringIO()):  # it names its files in whatever order the disk has them
    alembic("init migrations", DEMO)

print(*sorted(path.relative_to(DEMO).as_posix() for path in DEMO.rglob("*.*")), sep="\n")

# %% [markdown]
# | file | is | you |
# | --- | --- | --- |
# | `alembic.ini` | settings: where the migrations are, which address, what is logged | touch it once, if at all |
# | `migrations/env.py` | a program that Alembic runs on **every** command, to learn of your models and get a connection | wire it once |
# | `migrations/script.py.mako` | the template of a migration | leave alone |
# | `migrations/versions/` | the migrations, called *revisions*, one file each | write, review, commit to git |
#
# Two things Alembic cannot know: where the database is, and what the models are. Let it say so itself:

# %%
alembic('revision --autogenerate -m "first"', DEMO)

# %% [markdown]
# `driver` is from `alembic.ini`, where the address still reads `driver://user:pass@localhost/dbname`. We do what the
# tutorials do, and write ours in there:

# %%
edit("alembic.ini", "driver://user:pass@localhost/dbname", "sqlite:///bookshop.db")
alembic('revision --autogenerate -m "first"', DEMO)

# %% [markdown]
# `--autogenerate` compares two things: the database, and a `MetaData` that `env.py` shows it. Ours shows `None`:

# %%
edit(
    "migrations/env.py",
    "target_metadata = None",
    "import shop.models\n\ntarget_metadata = shop.models.Base.metadata",
)
alembic('revision --autogenerate -m "first" --rev-id 0001', DEMO)

# %% [markdown]
# It has found a table that the models have and the database does not, and written a revision about it. (Alembic makes up
# ids like `1975ea83b712`. `--rev-id` gives this lesson readable ones.)
#
# ## What is in a revision


# %%
def show(revision: str) -> None:
    """A revision's file, from its ids on."""
    (path,) = DEMO.glob(f"migrations/versions/{revision}_*.py")
    content = path.read_text(encoding="utf-8")
    print(content[content.index("revision: str") :].rstrip())


show("0001")

# %% [markdown]
# - **`revision` and `down_revision`** chain the files together. The order comes from these two lines, not from the
#   files' names, and the last one in the chain is called `head`.
# - **`upgrade`** says what to do. **`downgrade`** says how to undo it, and nobody but you makes sure that it does.
# - It says *operations*, not models. This file must still do the same in two years, when `Author` looks quite different;
#   so a revision **never imports your models**.
#
# Nothing has happened to the database yet. To see what *would* happen, have the SQL without running it:

# %%
alembic("upgrade head --sql", DEMO)

# %% [markdown]
# Whoever looks after your production database will like you for this. Note the table `alembic_version`: one row that
# says which revision this database is at. It is all that Alembic ever knows of a database.
#
# ## `upgrade`
#
# **Predict.** `current` asks at which revision a database is. What does it say before, and what after?

# %%
alembic("current", DEMO)
alembic("upgrade head", DEMO)
alembic("current", DEMO)

# %%
ask("POST", "/authors", {"name": "George Eliot"})
ask("POST", "/authors", {"name": "Jane Austen"})
ask("GET", "/authors")

# %% [markdown]
# `upgrade head` again does nothing, since nothing is left to do. That is the point of the version: each revision runs
# once in each database, and a deploy may say `upgrade head` every time.
#
# And the way back:

# %%
alembic("downgrade base", DEMO)
ask("GET", "/authors")
alembic("upgrade head", DEMO)
ask("GET", "/authors")
alembic("history", DEMO)

# %% [markdown]
# Down and up again, and both authors are gone: the way down was `drop_table`. A downgrade takes back the *schema*. What
# becomes of the rows is up to whoever writes it, which part 4 is about. So, once more:

# %%
ask("POST", "/authors", {"name": "George Eliot"})
ask("POST", "/authors", {"name": "Jane Austen"})

# %% [markdown]
# ## The same from Python
#
# Every command is a function in `alembic.command`, which is how tests and tools use it. One thing first: `env.py` sets up
# logging for the whole process, as befits a command. In a test that would silence every logger made before. So `env.py`
# asks:

# %%
edit(
    "migrations/env.py",
    "if config.config_file_name is not None:",
    'if config.config_file_name and config.attributes.get("configure_logger", True):',
)

# %% [markdown]
# `config.attributes` is a dict for what you and your `env.py` agree upon; the name in it is our own. And now `check`:
# is there anything that the models say and a database at `head` does not?

# %%
from alembic import command
from alembic.config import Config

with inside(DEMO):
    config = Config("alembic.ini", attributes={"configure_logger": False})
    command.check(config)

# %% [markdown]
# ## Two addresses
#
# Now the shop goes live. Its data is elsewhere there, and the variable `BOOKSHOP_URL` says where. (It is usually called
# `DATABASE_URL`. Ours is not, lest this lesson meet one that you have set for something real.)
#
# **Predict.** We migrate, then a customer asks for the authors:

# %%
LIVE = "sqlite:///live.db"  # relative: it will lie in demo_07

alembic("upgrade head", DEMO, BOOKSHOP_URL=LIVE)
ask("GET", "/authors", BOOKSHOP_URL=LIVE)

# %% [markdown]
# Alembic found nothing to do, and the customer sees a 500. The app went to the address in `BOOKSHOP_URL`; Alembic went to
# the one in `alembic.ini`, your own database, which was up to date anyway. Somebody whose `alembic.ini` names the *live*
# one will meet the same thing from the other side.
#
# **One address, said in one place**, and `env.py` takes it from where the app takes it. `env.py` is a program, so that
# is an import.

# %% [markdown]
# ## Your project
#
# For the exercises you have a project of your own: `bookshop_07`. What you write in there stays; only a cell that is a
# file overwrites that file when it runs. So work in the cells, or, if you would rather work in the editor, copy what you
# have into the cell when you are done: the check looks at both, and the cell is what you hand in.

# %% tags=["setup"]
SHOP = Path("bookshop_07")

if not (SHOP / "alembic.ini").exists():
    (SHOP / "shop").mkdir(parents=True, exist_ok=True)
    with redirect_stdout(io.StringIO()):
        alembic("init migrations", SHOP)


# %% [markdown]
# Its Base and its models are two modules, as they are in most projects that have grown:

# %% tags=["setup"] file="bookshop_07/shop/base.py"
"""What all models stand on."""

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase


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


# %% tags=["setup"] file="bookshop_07/shop/models.py"
"""What the shop knows about."""

from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from shop.base import Base


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (CheckConstraint("copies >= 0", name="copies_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    copies: Mapped[int] = mapped_column(server_default="0")
    price: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))


# %% tags=["setup"] file="bookshop_07/shop/database.py"
"""Where the shop keeps its data."""

import os
from pathlib import Path

HERE = Path(__file__).parent.parent
URL = os.environ.get("BOOKSHOP_URL", f"sqlite:///{HERE / 'bookshop.db'}")

# %% [markdown]
# ## Exercise 7.1: wire `env.py`
#
# Here is what `alembic init` has written, a little shortened. Wire it, so that
#
# - Alembic works on the database at `shop.database.URL`, the app's own address, and nowhere else; with `--sql` too;
# - `--autogenerate` and `check` know **every** model of the shop, whatever `shop.base` may tell you;
# - any address will do. Passwords have a `%` in them sooner or later, and `alembic.ini` reads that as one of its own
#   signs.

# %% exercise="07.env" file="bookshop_07/migrations/env.py"
from logging.config import fileConfig

# BEGIN STARTER
# from alembic import context
# from sqlalchemy import engine_from_config, pool
# END STARTER
# BEGIN SOLUTION
from alembic import context
from sqlalchemy import NullPool, create_engine

from shop.database import URL
from shop.models import Base

# END SOLUTION

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name, disable_existing_loggers=False)

# BEGIN STARTER
# target_metadata = None
# END STARTER
# BEGIN SOLUTION
target_metadata = Base.metadata
# END SOLUTION


def run_migrations_offline() -> None:  # with --sql
    # BEGIN STARTER
    # url = config.get_main_option("sqlalchemy.url")
    # context.configure(url=url, target_metadata=target_metadata, literal_binds=True)
    # END STARTER
    # BEGIN SOLUTION
    context.configure(url=URL, target_metadata=target_metadata, literal_binds=True)
    # END SOLUTION
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    # BEGIN STARTER
    # settings = config.get_section(config.config_ini_section, {})
    # connectable = engine_from_config(settings, prefix="sqlalchemy.", poolclass=pool.NullPool)
    # END STARTER
    # BEGIN SOLUTION
    connectable = create_engine(URL, poolclass=NullPool)
    # END SOLUTION
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()

# %% check="07.env"
check("07.env")

# %% [markdown]
# ## Exercise 7.2: the first revision
#
# Write your shop's first revision: after `upgrade` a fresh database is all that `shop/models.py` says, and `downgrade`
# leaves nothing behind. By hand; or, once exercise 7.1 has passed, let Alembic draft it, as everybody does. A draft
# continues what is in `versions/` already, and begins from the models as they are; so run the cell with the models above
# once more, and then, in a new cell:
#
# ```python
# for file in (SHOP / "migrations/versions").glob("*.py"):
#     file.unlink()  # the cells below still have them
# alembic('revision --autogenerate -m "first" --rev-id 0001', SHOP)
# print((SHOP / "migrations/versions/0001_first.py").read_text())
# ```
#
# Read it, and put what you want of it into the cell below.

# %% exercise="07.first_revision" file="bookshop_07/migrations/versions/0001_first.py"
"""The shop's first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


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
    op.create_table(
        "author",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_author")),
    )
    op.create_index(op.f("ix_author_name"), "author", ["name"])
    op.create_table(
        "book",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("isbn", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default="0", nullable=False),
        sa.Column("price", sa.Numeric(8, 2), nullable=True),
        sa.Column("author_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("copies >= 0", name=op.f("ck_book_copies_not_negative")),
        sa.ForeignKeyConstraint(
            ["author_id"], ["author.id"], name=op.f("fk_book_author_id_author")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_book")),
        sa.UniqueConstraint("isbn", name=op.f("uq_book_isbn")),
    )


def downgrade() -> None:
    op.drop_table("book")
    op.drop_index(op.f("ix_author_name"), table_name="author")
    op.drop_table("author")


# END SOLUTION

# %% check="07.first_revision"
check("07.first_revision")

# %% [markdown]
# # 3. The rename that lost everybody
#
# Back to the demonstration. Its `env.py`, wired as in your exercise, from here on; everything goes by the app's address:

# %%
edit(
    "migrations/env.py",
    "import shop.models\n",
    "import shop.models\nfrom shop.database import URL\n\n"
    'config.set_main_option("sqlalchemy.url", URL.replace("%", "%%"))\n',
)
alembic("upgrade head", DEMO, BOOKSHOP_URL=LIVE)
ask("GET", "/authors", BOOKSHOP_URL=LIVE)

# %% [markdown]
# (`%%` is how an ini file spells `%`. It is the smallest change; not to go through the ini file at all is nicer.)
#
# And now last night's release. `name` is to be called `full_name`, in the model and in the app. (First a backup, by
# somebody who has been here before.)

# %%
shutil.copy(DEMO / "bookshop.db", DEMO / "backup.db")

edit("shop/models.py", "    name: Mapped[str]", "    full_name: Mapped[str]")
edit("shop/main.py", "Author(name=new.name)", "Author(full_name=new.name)")
edit("shop/main.py", "author.name for", "author.full_name for")

# %%
alembic('revision --autogenerate -m "full name" --rev-id 0002', DEMO)

# %% [markdown]
# Look at the two things that it has detected. Alembic sees a database with a column `name`, and models with a column
# `full_name`. That somebody *renamed* one into the other is not written anywhere that it could look; so it says: one
# came, one went. ([What autogenerate does not detect](https://alembic.sqlalchemy.org/en/latest/autogenerate.html#what-does-autogenerate-detect-and-what-does-it-not-detect)
# has it near the top of its list.)
#
# **Predict.** Nobody looked. What does `upgrade` do to our two authors?

# %%
alembic("upgrade head", DEMO)

# %% [markdown]
# It refuses! A column that must have a value was added to a table with rows, and there is no value. (PostgreSQL says it
# as clearly: *column "full_name" of relation "author" contains null values*.) This error is the last person in the house
# who is looking out for your authors. At half past eleven at night, this is what happens to it:

# %%
edit(
    "migrations/versions/0002_full_name.py",
    "sa.Column('full_name', sa.String(), nullable=False)",
    "sa.Column('full_name', sa.String(), nullable=False, server_default='')",
)
alembic("upgrade head", DEMO)
alembic("check", DEMO)

# %% [markdown]
# Green. And `check` finds that models and database agree, in which it is right.

# %%
ask("GET", "/authors")

# %% [markdown]
# Two authors, no names. `check` compares *schemas*. No tool in this lesson looks at rows; only you do.
#
# **Predict.** There is a way back, and Alembic wrote that as well. Does it help?

# %%
alembic("downgrade -1", DEMO)

# %% [markdown]
# It is the same script mirrored: it adds an empty `name` and drops `full_name`, and here it does not even run. Had it
# run, the column would be back and the names would not. **What a migration has dropped, only a backup brings back.**
#
# So: the backup, and a second try.

# %%
shutil.copy(DEMO / "backup.db", DEMO / "bookshop.db")
alembic("current", DEMO)

# %% [markdown]
# ## The right revision
#
# A rename is one operation, and you have to say it, because only you know it:

# %% file="demo_07/migrations/versions/0002_full_name.py"
"""An author's name is a full name."""

from alembic import op

revision: str = "0002"
down_revision: str = "0001"


def upgrade() -> None:
    op.alter_column("author", "name", new_column_name="full_name")


def downgrade() -> None:
    op.alter_column("author", "full_name", new_column_name="name")


# %%
alembic("upgrade head", DEMO)
alembic("check", DEMO)
ask("GET", "/authors")

# %% [markdown]
# And down, and up again:

# %%
alembic("downgrade -1", DEMO)
alembic("upgrade head", DEMO)
ask("GET", "/authors")

# %% [markdown]
# How to review a draft, then. Each line of this table has bitten somebody:
#
# | when you see | ask |
# | --- | --- |
# | `drop_column` beside `add_column`, `drop_table` beside `create_table` | is that a rename? |
# | any `drop_` | who still reads it, and where is the backup? |
# | `add_column(..., nullable=False)` | what do the rows that are there get? (lesson 08) |
# | a `drop_table` of something you know nothing of | have its models been imported in `env.py`? |
# | `pass` | what has it not seen? (lesson 08 has the list) |
# | a downgrade | does it bring the *rows* back as well? |

# %% [markdown]
# ## Exercise 7.3: repair the rename
#
# The same night, in your own shop: `Author.name` has become `full_name`. Here there is an index on it, and our naming
# convention has put the column's name into the index's.

# %% tags=["setup"] file="bookshop_07/shop/models.py"
"""What the shop knows about."""

from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from shop.base import Base


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str] = mapped_column(index=True)


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (CheckConstraint("copies >= 0", name="copies_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    copies: Mapped[int] = mapped_column(server_default="0")
    price: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))


# %% [markdown]
# Below is the revision as it was about to be deployed. Repair it, in any way you like, so that
#
# - after `upgrade` every author still has their name, now in `full_name`, and nothing of `name` is left;
# - `alembic check` has nothing to say;
# - after `downgrade` every author has their name in `name` again.

# %% exercise="07.rename" file="bookshop_07/migrations/versions/0002_full_name.py"
"""An author's name is a full name."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


# BEGIN STARTER
# def upgrade() -> None:
#     op.add_column(
#         "author", sa.Column("full_name", sa.String(), nullable=False, server_default="")
#     )
#     op.drop_index("ix_author_name", table_name="author")
#     op.create_index("ix_author_full_name", "author", ["full_name"])
#     op.drop_column("author", "name")
#
#
# def downgrade() -> None:
#     op.add_column("author", sa.Column("name", sa.String(), nullable=False, server_default=""))
#     op.drop_index("ix_author_full_name", table_name="author")
#     op.create_index("ix_author_name", "author", ["name"])
#     op.drop_column("author", "full_name")
# END STARTER
# BEGIN SOLUTION
def upgrade() -> None:
    op.drop_index("ix_author_name", table_name="author")
    op.alter_column("author", "name", new_column_name="full_name")
    op.create_index("ix_author_full_name", "author", ["full_name"])


def downgrade() -> None:
    op.drop_index("ix_author_full_name", table_name="author")
    op.alter_column("author", "full_name", new_column_name="name")
    op.create_index("ix_author_name", "author", ["name"])


# END SOLUTION

# %% check="07.rename"
check("07.rename")

# %% [markdown]
# # 4. The way back
#
# When a deploy goes wrong at night, `downgrade -1` is the plan. It is the one script that nobody has ever run until the
# moment at which it must work. Here is one as they are found in the wild:

# %% file="demo_07/migrations/versions/0003_born.py"
"""When an author was born."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str = "0002"


def upgrade() -> None:
    op.add_column("author", sa.Column("born", sa.Integer(), nullable=True))


def downgrade() -> None:
    pass


# %% [markdown]
# **Predict.** Up, down, up. What does each of the three say?

# %%
alembic("upgrade head", DEMO)
alembic("downgrade -1", DEMO)
alembic("upgrade head", DEMO)

# %% [markdown]
# `downgrade` reported success: it ran your function, which did nothing, and wrote 0002 into `alembic_version`. From then
# on the database is not where it says it is, and the next deploy is the one that finds out. A downgrade that cannot be
# written should `raise`: that at least leaves the version as it is.
#
# So try the way back before you need it. It takes four lines, and they belong in the tests:

# %%
edit("migrations/versions/0003_born.py", "    pass\n", '    op.drop_column("author", "born")\n')
edit(
    "shop/models.py",
    "    full_name: Mapped[str]\n",
    "    full_name: Mapped[str]\n    born: Mapped[int | None]\n",
)

# %%
with inside(DEMO, BOOKSHOP_URL="sqlite:///trial.db"):
    config = Config("alembic.ini", attributes={"configure_logger": False})
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    command.upgrade(config, "head")
    command.check(config)

# %% [markdown]
# That was an empty database. With rows in it a way back has more to prove; exercise 7.4 has some.
#
# Our own database is still not where it says it is. The column *is* there, so all that it needs is to be told so: `stamp`
# writes a version and runs nothing.

# %%
alembic("stamp 0003", DEMO)
alembic("check", DEMO)

# %% [markdown]
# ## Exercise 7.4: there and back
#
# Your shop counts its money in cents from now on. The way up is written, and right.

# %% tags=["setup"] file="bookshop_07/shop/models.py"
"""What the shop knows about."""

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shop.base import Base


class Author(Base):
    __tablename__ = "author"

    id: Mapped[int] = mapped_column(primary_key=True)
    full_name: Mapped[str] = mapped_column(index=True)


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (CheckConstraint("copies >= 0", name="copies_not_negative"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    copies: Mapped[int] = mapped_column(server_default="0")
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    price_cents: Mapped[int | None]


# %% [markdown]
# Write the way down. After `downgrade`, the table is as revision 0002 left it (`price` is a `NUMERIC(8, 2)` that may be
# NULL) and every book costs what it cost before, to the cent; a book without a price has none. After another `upgrade`,
# all is as it was.

# %% exercise="07.downgrade" file="bookshop_07/migrations/versions/0003_cents.py"
"""Prices in cents."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("book", sa.Column("price_cents", sa.Integer(), nullable=True))
    op.execute("UPDATE book SET price_cents = CAST(ROUND(price * 100) AS INTEGER)")
    op.drop_column("book", "price")


# BEGIN STARTER
# def downgrade() -> None:
#     pass
# END STARTER
# BEGIN SOLUTION
def downgrade() -> None:
    op.add_column("book", sa.Column("price", sa.Numeric(8, 2), nullable=True))
    op.execute("UPDATE book SET price = price_cents / 100.0")
    op.drop_column("book", "price_cents")


# END SOLUTION

# %% check="07.downgrade"
check("07.downgrade")

# %% [markdown]
# # 5. `create_all` beside migrations
#
# A colleague adds reviews. She also puts `create_all` back into the app: "so that it works on my machine". It does.

# %%
edit(
    "shop/models.py",
    "    born: Mapped[int | None]\n",
    "    born: Mapped[int | None]\n\n\nclass Review(Base):\n"
    '    __tablename__ = "review"\n\n'
    "    id: Mapped[int] = mapped_column(primary_key=True)\n"
    "    words: Mapped[str]\n",
)
edit("shop/main.py", "import Author\n", "import Author, Base\n\nBase.metadata.create_all(engine)\n")
ask("GET", "/authors")

# %% [markdown]
# **Predict.** She has started her app once, and now has the migration written. What is in it?

# %%
alembic('revision --autogenerate -m "reviews" --rev-id 0004', DEMO)
show("0004")

# %% [markdown]
# Nothing. Autogenerate compares models with *the database that you point it at*, and `create_all` has just made the table
# there. She would commit an empty migration, and `check` on her machine would be content.
#
# You delete it. Your own app has not run yet, so from your database comes the draft that she should have got:

# %%
(DEMO / "migrations/versions/0004_reviews.py").unlink(missing_ok=True)

YOURS = "sqlite:///yours.db"
alembic("upgrade head", DEMO, BOOKSHOP_URL=YOURS)
alembic('revision --autogenerate -m "reviews" --rev-id 0004', DEMO, BOOKSHOP_URL=YOURS)

# %% [markdown]
# You commit that one. She pulls it, and upgrades:

# %%
alembic("upgrade head", DEMO)

# %% [markdown]
# Two programs are making tables, and each believes that it is alone. From here on no two databases of the team are alike.
# This is **drift**, and the cure is to have one of the two: take `create_all` out of the app. (In tests that begin with
# an empty database it may stay; lesson 17 weighs that.)

# %%
edit("shop/main.py", "import Author, Base\n\nBase.metadata.create_all(engine)\n", "import Author\n")

# %% [markdown]
# ## `stamp`: a database that was there before
#
# Her database has the table already, made by other means; so has every database that lived with `create_all` before its
# team met Alembic. `stamp` says: *take it as done*.

# %%
alembic("stamp head", DEMO)
alembic("check", DEMO)

# %% [markdown]
# **Predict.** `stamp` believes whatever it is told. What does it say of a database with nothing in it?

# %%
EMPTY = "sqlite:///empty.db"
alembic("stamp head", DEMO, BOOKSHOP_URL=EMPTY)
alembic("current", DEMO, BOOKSHOP_URL=EMPTY)
alembic("check", DEMO, BOOKSHOP_URL=EMPTY)

# %% [markdown]
# "At head", and not a table to be seen. So never `stamp` without a `check` after it, and look at what it finds before you
# believe either. To adopt Alembic on a database that is alive: draft the first revision against an **empty** one, review
# it, `stamp` the live one, `check` it, and write a second revision for whatever `check` still finds.

# %% [markdown]
# # 6. An async `env.py`
#
# Alembic itself is synchronous, and so are your revisions; they need not change. Only `env.py` has to open its
# connection in another way. `alembic init -t async migrations` writes such a one. In essence:
#
# ```python
# async def run_async_migrations() -> None:
#     engine = create_async_engine(URL, poolclass=NullPool)
#     async with engine.connect() as connection:
#         await connection.run_sync(do_run_migrations)  # from here on all is as before
#     await engine.dispose()
#
#
# asyncio.run(run_async_migrations())
# ```
#
# `run_sync` is lesson 04's: it gives synchronous code a connection that awaits behind its back. In a terminal this is all
# there is to it. (With PostgreSQL there is even less: `postgresql+psycopg://` serves both kinds of engine, so that an
# async app can have a synchronous `env.py`.)
#
# The trap is that last line. A test, a notebook or an app at start-up has a loop running already:

# %% tags=["recorded"]
import asyncio


async def migrate() -> None: ...


coroutine = migrate()
try:
    asyncio.run(coroutine)  # what env.py does, called from here
except RuntimeError as error:
    print(f"{type(error).__name__}: {error}")
finally:
    coroutine.close()

# %% [markdown]
# Whoever already has a connection can hand it over, in `config.attributes`, into which `env.py` looks first
# ([Sharing a connection](https://alembic.sqlalchemy.org/en/latest/cookbook.html#sharing-a-connection-across-one-or-more-programmatic-migration-commands)).
# The recipe below does; it is one `env.py` for all of them.

# %% [markdown]
# # Recap
#
# ## The recipe
#
# `migrations/env.py`: the app's own address, sync or async, from a terminal, from a test, or with `--sql`.

# %% tags=["recipe"] file="demo_07/migrations/env.py"
"""How Alembic gets to the shop's database and its models."""

import asyncio
from logging.config import fileConfig

from alembic import context
from shop.database import URL
from shop.models import Base  # importing the models is what fills the metadata
from sqlalchemy import Connection, NullPool, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine

config = context.config
if config.config_file_name and config.attributes.get("configure_logger", True):
    fileConfig(config.config_file_name, disable_existing_loggers=False)


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


def run_sync() -> None:
    engine = create_engine(URL, poolclass=NullPool)
    with engine.connect() as connection:
        run(connection)


async def run_async() -> None:
    engine = create_async_engine(URL, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():  # --sql
    context.configure(url=URL, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (handed_over := config.attributes.get("connection")) is not None:
    run(handed_over)
elif make_url(URL).get_dialect().is_async:
    asyncio.run(run_async())
else:
    run_sync()

# %% [markdown]
# It takes an async address:

# %%
alembic("current", DEMO, BOOKSHOP_URL="sqlite+aiosqlite:///yours.db")
alembic("upgrade head", DEMO, BOOKSHOP_URL="sqlite+aiosqlite:///yours.db")

# %% [markdown]
# And an async connection, from inside a loop; as a test would do it, on a database in memory:

# %%
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine


def upgrade(connection: Connection) -> None:
    with inside(DEMO):
        config = Config("alembic.ini")
        config.attributes |= {"connection": connection, "configure_logger": False}
        command.upgrade(config, "head")


memory = create_async_engine("sqlite+aiosqlite://")
with trace(memory) as seen:
    async with memory.begin() as connection:
        await connection.run_sync(upgrade)
await memory.dispose()

seen

# %% [markdown]
# Under the flight recorder a migration is nothing mysterious: your operations as SQL, after each revision the one row in
# `alembic_version`, and a single commit, which is made by whoever handed over the connection.

# %% [markdown]
# ## The rules
#
# - `create_all` makes what is missing and changes nothing. Migrations, or `create_all`, never both on one database.
# - One address: `env.py` imports the app's own.
# - `env.py` imports **all** models; a table that it has not heard of is a table to be dropped.
# - A draft is a draft. Read it, and look for renames first.
# - `check` and `upgrade` look at schemas. Only a look at rows shows that the rows are there.
# - A revision imports no models.
# - Try the way down, with rows, before you need it. If there is none, `raise`.
# - `stamp`, then `check`.
# - Once a revision has run anywhere but on your machine, it is history: write the next one, do not edit it.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `OperationalError: no such column: author.born` | the model has moved on, and the database has not |
# | `NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:driver` | `alembic.ini` still holds the address from the template |
# | `CommandError: Can't proceed with --autogenerate option; environment script ... does not provide a MetaData object` | `target_metadata` in `env.py` is still None |
# | `OperationalError: Cannot add a NOT NULL column with default value NULL` | a required column on a table with rows; is it a rename? |
# | `OperationalError: duplicate column name: born` | the database is further than its version says: a downgrade that did nothing |
# | `OperationalError: table review already exists` | something else has made it: `create_all` in the app |
# | `AutogenerateDiffsDetected: New upgrade operations detected` | models and database differ: the next revision, or a `stamp` that lied |
# | `CommandError: Target database is not up to date.` | there are revisions that this database has not run; `upgrade head` first |
# | `RuntimeError: asyncio.run() cannot be called from a running event loop` | an async `env.py` inside a loop; hand it a connection |
#
# ## In production
#
# - Migrate as a step of its own, by **one** process, before the new app starts. In the app's start-up, four workers would
#   do it at once.
# - The old app is still serving while you migrate. A rename breaks it the same second, rows or no rows; lesson 08 does it
#   in steps that both versions of the app can live with.
# - On PostgreSQL a revision runs in a transaction and fails as a whole. On SQLite it does not, and what was done before
#   the error stays done; lesson 08 has the cure.
# - A backup before the migration, and a restore that somebody has tried.
# - `fileConfig` without `disable_existing_loggers=False` silences every logger that your app has made before; the template
#   leaves it out.
#
# ## Read more
#
# - Alembic: [Tutorial](https://alembic.sqlalchemy.org/en/latest/tutorial.html),
#   [Auto generating migrations](https://alembic.sqlalchemy.org/en/latest/autogenerate.html),
#   [Operation reference](https://alembic.sqlalchemy.org/en/latest/ops.html),
#   [Cookbook](https://alembic.sqlalchemy.org/en/latest/cookbook.html)
# - SQLite: [ALTER TABLE](https://www.sqlite.org/lang_altertable.html)
