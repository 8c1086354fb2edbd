"""Lesson 07, Alembic: env.py, a first revision, a rename that keeps its rows, a way back.

Each exercise is a file of a project. It is tried in a copy of that project in which all other files
are as the course has them, so that none waits for another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from checks.exercise import Exercise, Seen, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.observe.project import Project

PROJECT = "bookshop_07"
VERSIONS = "migrations/versions"

Outcome = Mapping[str, Any]


class WireEnv(Exercise):
    """Alembic works on the app's own database, whatever its address, and knows all of its
    models."""

    id = "07.env"
    title = "Wire env.py"
    needs = {}
    hints = (
        "`env.py` is a program: what it needs to know of the shop, it can import. The current "
        "folder is on its path, so `from shop...` works.",
        "`from shop.models import Base`: importing the module that holds the models is what puts "
        "them into `Base.metadata`. And `from shop.database import URL`.",
        "target_metadata = Base.metadata; connectable = create_engine(URL, poolclass=NullPool); "
        "and `url=URL` in the part for `--sql`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        name, odd = lab.word(), f"{lab.word()}_100%_{lab.word()}"
        given = SHOP_1 | {f"{VERSIONS}/0001_first.py": FIRST}
        seen: dict[str, Any] = {"asked": f"sqlite:///{name}.db", "odd": f"sqlite:///{odd}.db"}
        with _project(lab, given, f"{name}.db", BOOKSHOP_URL=seen["asked"]) as project:
            seen["upgrade"] = project.upgrade()
            seen["tables"] = _tables(project)
            seen["files"] = _databases(project)
            seen["check"] = project.check()
            seen["sql"] = project.alembic("upgrade", "head", sql=True)
        with _project(lab, given) as project:
            seen["unset"] = project.upgrade()
            seen["unset_tables"] = _tables(project)
        with _project(lab, given, f"{odd}.db", BOOKSHOP_URL=seen["odd"]) as project:
            seen["percent"] = project.upgrade()
            seen["percent_tables"] = _tables(project)
        return seen

    @requirement(2)
    def the_apps_database(self, seen: Seen) -> None:
        """`upgrade` works on the database at `shop.database.URL`."""
        expect(
            _ok(seen["upgrade"]) and "book" in seen["tables"],
            saw=f"With `BOOKSHOP_URL={seen['asked']}`, `alembic upgrade head` "
            + _came_to(seen["upgrade"], f"made no tables there{_elsewhere(seen)}")
            + ".",
            wanted="The tables should be in the app's database.",
            why="A migration of another database is no migration of yours.",
        )
        expect(
            _ok(seen["unset"]) and "book" in seen["unset_tables"],
            saw="With no `BOOKSHOP_URL` set, `alembic upgrade head` "
            + _came_to(seen["unset"], "made no tables in `bookshop.db`")
            + ".",
            wanted="It should work on the app's default database then, as the app does.",
        )

    @requirement(1)
    def every_model(self, seen: Seen) -> None:
        """`check` and `--autogenerate` know every model."""
        expect(
            _ok(seen["check"]),
            saw="Models and migrations agree, and `alembic check` "
            + _came_to(seen["check"], like=seen["upgrade"])
            + ".",
            wanted="It should find nothing.",
            why="A table that Alembic knows no model of is a table that the next draft drops.",
        )

    @requirement(1)
    def without_running_it(self, seen: Seen) -> None:
        """`upgrade head --sql` prints the SQL."""
        sql = seen["sql"]
        expect(
            sql["ok"] and "CREATE TABLE book" in sql["printed"],
            saw="`alembic upgrade head --sql` "
            + _came_to(sql, "printed no CREATE TABLE", like=seen["upgrade"])
            + ".",
            wanted="It should print what `upgrade` would send to that kind of database.",
        )

    @requirement(1)
    def any_address(self, seen: Seen) -> None:
        """An address with a `%` in it works as well."""
        expect(
            _ok(seen["percent"]) and "book" in seen["percent_tables"],
            saw=f"With `BOOKSHOP_URL={seen['odd']}`, `alembic upgrade head` "
            + _came_to(seen["percent"], "made no tables there", like=seen["upgrade"])
            + ".",
            wanted="It should work with that address as with any other.",
            why="Passwords in addresses are percent-encoded: `p@ss` is `p%40ss`.",
        )

    @mistake()
    def still_the_template(self, seen: Seen) -> bool:
        """Alembic still goes to the address in `alembic.ini`, which is a placeholder:
        `driver://user:pass@localhost/dbname`. Import `URL` from `shop.database` in `env.py` and
        make the engine from it."""
        return "dialects:driver" in _error(seen["upgrade"])

    @mistake()
    def imported_from_outside(self, seen: Seen) -> bool:
        """`env.py` imports something that is not there. It runs in the project's folder, which is
        on its path (`prepend_sys_path = .`), so the shop's modules are `shop.models` and
        `shop.database`."""
        return seen["upgrade"]["error"] is not None and seen["upgrade"]["error"]["type"] in (
            "ModuleNotFoundError",
            "ImportError",
        )

    @mistake()
    def the_base_alone(self, seen: Seen) -> bool:
        """Alembic was shown a `Base` that knows no models, so it takes both tables for leftovers
        and would drop them. A model enters `Base.metadata` when its module is **imported**:
        import `shop.models` in `env.py`."""
        return "remove_table" in _error(seen["check"])

    @mistake()
    def no_metadata(self, seen: Seen) -> bool:
        """`target_metadata` is still None, so there is nothing to compare the database with. Set
        it to `Base.metadata`."""
        return "MetaData object" in _error(seen["check"])

    @mistake()
    def the_base_for_its_metadata(self, seen: Seen) -> bool:
        """`target_metadata` is not a `MetaData`. That is an attribute of the Base: write
        `Base.metadata`."""
        told = ("has no attribute 'sorted_tables'", "has no attribute 'metadata'")
        return any(one in _error(seen[name]) for name in ("check", "upgrade") for one in told)

    @mistake()
    def only_the_variable(self, seen: Seen) -> bool:
        """`env.py` asks the environment itself, and where `BOOKSHOP_URL` is not set it is lost; the
        app has a default for that. Import the app's `URL` instead of working it out again."""
        return _ok(seen["upgrade"]) and not _ok(seen["unset"])

    @mistake()
    def another_database(self, seen: Seen) -> bool:
        """`upgrade` was content, and the app's database has no tables: Alembic went to another
        one. An address that is written down twice will differ one day; let `env.py` import `URL`
        from `shop.database`."""
        return _ok(seen["upgrade"]) and "book" not in seen["tables"]

    @mistake()
    def read_as_an_ini(self, seen: Seen) -> bool:
        """The address went through `set_main_option`, and an ini file takes `%` for a sign of its
        own. Make the engine from `URL` directly, or double the sign: `URL.replace("%", "%%")`."""
        return "interpolation" in _error(seen["percent"]) or "'%'" in _error(seen["percent"])

    @mistake()
    def forgot_sql(self, seen: Seen) -> bool:
        """Online all is well; with `--sql` Alembic still reads `alembic.ini`. `env.py` configures
        twice, once for each mode: pass `url=URL` in `run_migrations_offline` as well."""
        return not _ok(seen["sql"]) and _ok(seen["upgrade"])

    @mistake()
    def stops(self, seen: Seen) -> bool:
        """`env.py` stops with an error, see below. It is a program of its own and knows only what
        it imports. Mend that line, run the cell, check again."""
        return not _ok(seen["upgrade"])


class FirstRevision(Exercise):
    """A fresh database becomes what the models say, and empty again; in two years as today."""

    id = "07.first_revision"
    title = "The first revision"
    needs = {}
    hints = (
        "Let Alembic draft it, and compare the draft with `shop/models.py` line by line.",
        "`op.create_table` takes a name, then columns and constraints: `sa.Column`, "
        "`sa.ForeignKeyConstraint`, `sa.UniqueConstraint`, `sa.CheckConstraint`. The index is an "
        "operation of its own.",
        "downgrade mirrors upgrade, last thing first: drop `book`, then `author`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        author, isbn = lab.number(10, 9999), lab.word(13)
        book = "INSERT INTO book (id, isbn, title, author_id) VALUES (:id, :isbn, 'Emma', :author)"
        negative = (
            "INSERT INTO book (id, isbn, title, author_id, copies)"
            " VALUES (3, 'another', 'Emma', :author, -1)"
        )
        seen: dict[str, Any] = {}
        with _project(lab, SHOP_1 | STRICT, keep="0001_first.py") as project:
            seen["upgrade"] = project.upgrade()
            seen["schema"] = project.schema()
            seen["check"] = project.check()
            seen["author"] = project.write(
                "INSERT INTO author (id, name) VALUES (:id, 'Jane Austen')", id=author
            )
            seen["book"] = project.write(book, id=1, isbn=isbn, author=author)
            seen["copies"] = project.rows("SELECT copies FROM book WHERE id = 1")
            seen["same_isbn"] = project.write(book, id=2, isbn=isbn, author=author)
            seen["negative"] = project.write(negative, author=author)
            seen["downgrade"] = project.downgrade()
            seen["left"] = _tables(project)
            seen["again"] = project.upgrade()
        with _project(lab, SHOP_2 | STRICT, keep="0001_first.py") as project:
            seen["later"] = project.upgrade()
            seen["later_schema"] = project.schema()
        return seen

    @requirement(2)
    def as_the_models_say(self, seen: Seen) -> None:
        """After `upgrade`, `alembic check` finds no difference."""
        expect(
            _ok(seen["upgrade"]),
            saw=f"`alembic upgrade head` {_came_to(seen['upgrade'])}.",
            wanted="It should run on an empty database.",
        )
        expect(
            _ok(seen["check"]),
            saw=f"After `upgrade`, `alembic check` {_came_to(seen['check'])}.",
            wanted="The tables should be as the models say.",
        )

    @requirement(1)
    def what_check_does_not_see(self, seen: Seen) -> None:
        """The default of `copies`, and the CHECK on it, are there as well."""
        expect(
            "book" in seen["schema"],
            saw="There is no table `book` yet.",
            wanted="It should be there, with both.",
        )
        expect(
            _ok(seen["book"]) and seen["copies"] == [{"copies": 0}],
            saw="A book was put in with nothing said of its copies, and "
            + (
                f"the database refused it ({_error(seen['book'])})"
                if not _ok(seen["book"])
                else f"it came to have {_value(seen['copies'])}"
            )
            + ".",
            wanted="It should have 0 copies: the model says `server_default`.",
        )
        expect(
            not _ok(seen["negative"]),
            saw="A book with -1 copies was accepted.",
            wanted="The model has a CheckConstraint; the database should refuse it.",
            why="`alembic check` compares neither defaults nor CHECKs. You are the one who does.",
        )

    @requirement(1)
    def leaves_nothing(self, seen: Seen) -> None:
        """After `downgrade` nothing is left, and `upgrade` works again."""
        expect(
            _ok(seen["upgrade"]) and _ok(seen["downgrade"]) and not seen["left"],
            saw="With rows in the tables, `alembic downgrade base` "
            + _came_to(seen["downgrade"], f"left {', '.join(seen['left']) or 'nothing'} behind")
            + "."
            if _ok(seen["upgrade"])
            else "There was no way up, so there is no way down.",
            wanted="It should take away both tables.",
        )
        expect(
            _ok(seen["again"]),
            saw=f"After that, `alembic upgrade head` {_came_to(seen['again'])}.",
            wanted="It should run again.",
        )

    @requirement(1)
    def the_same_in_two_years(self, seen: Seen) -> None:
        """When the models have moved on, this revision still makes the same tables."""
        expect(
            _ok(seen["later"])
            and "book" in seen["schema"]
            and seen["later_schema"] == seen["schema"],
            saw="In a checkout whose models have changed, this revision "
            + _came_to(seen["later"], "makes other tables than before")
            + "."
            if "book" in seen["schema"]
            else "It makes no table `book` yet.",
            wanted="It should make the tables of its day.",
            why="The revisions after it begin where it ended.",
        )

    @mistake()
    def asks_the_models(self, seen: Seen) -> bool:
        """The revision takes the tables from today's models. When those change, it changes with
        them, and the revisions that come after it find their work already done. Spell the tables
        out with `op.create_table`."""
        was, is_now = seen["schema"].get("author"), seen["later_schema"].get("author")
        return _ok(seen["upgrade"]) and was is not None and was != is_now

    @mistake()
    def another_chain(self, seen: Seen) -> bool:
        """Alembic cannot tell where this file belongs: that is in its lines `revision` and
        `down_revision`, and nothing comes before the first. Put them back as they came:
        `revision = "0001"`, `down_revision = None`."""
        return _chain_is_broken(seen["upgrade"])

    @mistake()
    def a_check_without_a_name(self, seen: Seen) -> bool:
        """A CHECK has no name here, and our naming convention makes the whole name of the one that
        you give it. Write `sa.CheckConstraint("copies >= 0", name="copies_not_negative")`."""
        return "constraint is explicitly named" in _error(seen["upgrade"])

    @mistake()
    def parents_first(self, seen: Seen) -> bool:
        """`downgrade` drops `author` while there are books that point at it, and the database
        refuses. Take away last what was made first: `book`, then `author`."""
        return "FOREIGN KEY" in _error(seen["downgrade"])

    @mistake()
    def no_way_back(self, seen: Seen) -> bool:
        """`downgrade` reports success, and a table is still there that the database says it does
        not have. The next `upgrade` fails on it. Drop both, `book` before `author`."""
        return _ok(seen["upgrade"]) and _ok(seen["downgrade"]) and bool(seen["left"])

    @mistake()
    def forgot_the_check(self, seen: Seen) -> bool:
        """The CHECK on `copies` has not come along. `alembic check` does not compare those, so
        nothing but you will notice: `sa.CheckConstraint("copies >= 0",
        name="copies_not_negative")`."""
        return _ok(seen["check"]) and _ok(seen["negative"])

    @mistake()
    def a_default_in_python(self, seen: Seen) -> bool:
        """`copies` has no default in the database: a `default=` is only used by SQLAlchemy, and
        never gets there. The model says `server_default="0"`; so must the revision."""
        book = seen["book"]
        return "book.copies" in _error(book) or (_ok(book) and seen["copies"] == [{"copies": None}])

    @mistake()
    def no_index(self, seen: Seen) -> bool:
        """The index on `author.name` is missing. In a revision it is an operation of its own:
        `op.create_index("ix_author_name", "author", ["name"])`."""
        return "author" in seen["schema"] and "'add_index'" in _error(seen["check"])

    @mistake()
    def may_be_null(self, seen: Seen) -> bool:
        """A column that must have a value may be NULL in your table. `sa.Column` allows that unless
        you say `nullable=False`; it is `Mapped[str]` that does not, and a revision has no
        `Mapped`."""
        return "modify_nullable" in _error(seen["check"])

    @mistake()
    def taken_twice(self, seen: Seen) -> bool:
        """Two books with the same ISBN were accepted. The model says `unique=True`; the revision
        needs a `sa.UniqueConstraint("isbn")`."""
        return _ok(seen["same_isbn"]) and _ok(seen["book"])

    @mistake()
    def points_nowhere(self, seen: Seen) -> bool:
        """`book.author_id` is a number like any other: no foreign key ties it to `author`. Add
        `sa.ForeignKeyConstraint(["author_id"], ["author.id"])`."""
        book = seen["schema"].get("book")
        return book is not None and not book["references"]

    @mistake()
    def not_as_the_models_say(self, seen: Seen) -> bool:
        """The tables are made, and they are not those of the models; what differs stands below.
        Lay the revision beside `shop/models.py`, make it say the same, run the cell, check again.
        """
        return bool(_differences(seen["check"]))

    @mistake()
    def stops(self, seen: Seen) -> bool:
        """The revision stops with an error, see below. It needs an `upgrade` and a `downgrade`, and
        knows only what it imports: `op` for what is done, `sa` for columns. Mend that line, run
        the cell, check again."""
        return not _ok(seen["upgrade"]) or not _ok(seen["downgrade"])


class RepairTheRename(Exercise):
    """A renamed column keeps its rows, on the way up and on the way down."""

    id = "07.rename"
    title = "Repair the rename"
    needs = {}
    hints = (
        "What has to become of the values in `name` before the column goes? Or need it go at all?",
        "`op.alter_column` can give a column another name. The index has the old name in its own "
        "and has to be made anew.",
        'op.alter_column("author", "name", new_column_name="full_name"), between dropping '
        "`ix_author_name` and creating `ix_author_full_name`; and the mirror of it in downgrade.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        names = [f"{lab.word().title()} {lab.word().title()}" for _ in range(3)]
        seen: dict[str, Any] = {"names": names}
        given = SHOP_2 | GIVEN | {f"{VERSIONS}/0001_first.py": FIRST}
        with _project(lab, given, keep="0002_full_name.py") as project:
            project.upgrade("0001")
            for name in names:
                project.write("INSERT INTO author (name) VALUES (:name)", name=name)
            seen["upgrade"] = project.upgrade()
            seen["up_rows"] = _column(project, "SELECT full_name FROM author ORDER BY id")
            seen["schema"] = project.schema()
            seen["check"] = project.check()
            seen["downgrade"] = project.downgrade("0001")
            seen["down_rows"] = _column(project, "SELECT name FROM author ORDER BY id")
            seen["down_columns"] = sorted(project.schema().get("author", {}).get("columns", ()))
            seen["again"] = project.upgrade()
            seen["again_rows"] = _column(project, "SELECT full_name FROM author ORDER BY id")
        return seen

    @requirement(2)
    def the_names_survive(self, seen: Seen) -> None:
        """After `upgrade`, every author has their name in `full_name`."""
        expect(
            _ok(seen["upgrade"]) and seen["up_rows"] == seen["names"],
            saw="Three authors had names. `alembic upgrade head` "
            + _came_to(seen["upgrade"], f"left {_listed(seen['up_rows'])} in `full_name`")
            + ".",
            wanted=f"It should hold {_listed(seen['names'])}.",
        )

    @requirement(1)
    def as_the_models_say(self, seen: Seen) -> None:
        """Nothing of `name` is left, and `alembic check` finds no difference."""
        columns = _columns(seen["schema"], "author")
        expect(
            _ok(seen["upgrade"]),
            saw="There was no way up, so there is nothing to compare.",
            wanted="The table should be as the models say.",
        )
        expect(
            "name" not in columns and _ok(seen["check"]),
            saw="After `upgrade`, "
            + (
                "the column `name` is still there."
                if "name" in columns
                else f"`alembic check` {_came_to(seen['check'])}."
            ),
            wanted="The table should be as the models say.",
        )

    @requirement(2)
    def the_way_back(self, seen: Seen) -> None:
        """After `downgrade`, every author has their name in `name`; and `upgrade` works again."""
        expect(
            _ok(seen["upgrade"]) and _ok(seen["downgrade"]) and seen["down_rows"] == seen["names"],
            saw="After that, `alembic downgrade` "
            + _came_to(seen["downgrade"], f"left {_listed(seen['down_rows'])} in `name`")
            + "."
            if _ok(seen["upgrade"])
            else "There was no way up, so there is no way down.",
            wanted=f"It should hold {_listed(seen['names'])} again.",
        )
        expect(
            "full_name" not in seen["down_columns"]
            and _ok(seen["again"])
            and seen["again_rows"] == seen["names"],
            saw="After `downgrade`, the column `full_name` is still there."
            if "full_name" in seen["down_columns"]
            else "Going up once more "
            + _came_to(seen["again"], f"left {_listed(seen['again_rows'])} in `full_name`")
            + ".",
            wanted="Down and up again, all should be as it was.",
        )

    @mistake()
    def lost_the_names(self, seen: Seen) -> bool:
        """All went through, and nobody has a name any more: a new column was added and the old one
        dropped, with its values in it. Rename the column with `op.alter_column(...,
        new_column_name=...)`, or copy the values before you drop it."""
        rows = seen["up_rows"]
        return _ok(seen["upgrade"]) and _as_many(rows, seen) and not any(rows)

    @mistake()
    def another_chain(self, seen: Seen) -> bool:
        """Alembic cannot tell where this file belongs: that is in its lines `revision` and
        `down_revision`. Put them back as they came: `revision = "0002"`, `down_revision = "0001"`.
        """
        return _chain_is_broken(seen["upgrade"])

    @mistake()
    def no_value_for_the_rows(self, seen: Seen) -> bool:
        """A column that must have a value was added to a table with rows, and nobody said which.
        Do not look for a default; the value is in the other column. Rename that."""
        error = _error(seen["upgrade"])
        return "Cannot add a NOT NULL column" in error or "NOT NULL constraint failed" in error

    @mistake()
    def copied_too_late(self, seen: Seen) -> bool:
        """The values were to be copied from a column that was gone already. Copy first, drop
        after."""
        up, down = _error(seen["upgrade"]), _error(seen["downgrade"])
        return up.endswith(") no such column: name") or down.endswith(") no such column: full_name")

    @mistake()
    def the_index_in_the_way(self, seen: Seen) -> bool:
        """The column cannot go while an index stands on it. Drop `ix_author_name` first."""
        return "after drop column" in _error(seen["upgrade"]) or "after drop column" in _error(
            seen["downgrade"]
        )

    @mistake()
    def both_columns(self, seen: Seen) -> bool:
        """The names are in `full_name`, and `name` is still there beside it. Both will be written
        to, by somebody, and will not stay the same. Drop the old one when it has been copied."""
        return "name" in _columns(seen["schema"], "author") and seen["up_rows"] == seen["names"]

    @mistake()
    def the_index_stayed_behind(self, seen: Seen) -> bool:
        """The column has its new name, and the index its old one, or there is none. Drop
        `ix_author_name` and create `ix_author_full_name`."""
        error = _error(seen["check"])
        return seen["up_rows"] == seen["names"] and "_index'" in error

    @mistake()
    def optional_now(self, seen: Seen) -> bool:
        """The names are there, but from now on an author may be without one: the new column was
        added as nullable, and stayed so. Rename the column instead, which keeps it as it was."""
        return seen["up_rows"] == seen["names"] and "modify_nullable" in _error(seen["check"])

    @mistake()
    def lost_on_the_way_back(self, seen: Seen) -> bool:
        """Up is right. On the way down all names are lost, by the mirror of the old mistake: one
        column added, one dropped. Rename it back."""
        rows = seen["down_rows"]
        return (
            seen["up_rows"] == seen["names"]
            and _ok(seen["downgrade"])
            and _as_many(rows, seen)
            and not any(rows)
        )

    @mistake()
    def no_way_back(self, seen: Seen) -> bool:
        """Up is right. `downgrade` reports success and has done nothing: the database is at 0001 by
        its own account, and still has `full_name`. Rename it back."""
        return (
            seen["up_rows"] == seen["names"]
            and _ok(seen["downgrade"])
            and "name" not in seen["down_columns"]
            and "full_name" in seen["down_columns"]
        )

    @mistake()
    def refuses(self, seen: Seen) -> bool:
        """Up is right, and `downgrade` refuses. That is the honest thing where data cannot come
        back. Here it can: all names are in `full_name`. Rename it back."""
        return _refused(seen["downgrade"])

    @mistake()
    def in_one_batch(self, seen: Seen) -> bool:
        """A batch knows the columns by the names that they had when it began, so an index on the
        new name cannot be made inside it. Create the index below the block, with
        `op.create_index`."""
        told = ("KeyError: 'full_name'", "KeyError: 'name'")
        return _error(seen["upgrade"]) in told or _error(seen["downgrade"]) in told

    @mistake()
    def stops(self, seen: Seen) -> bool:
        """The revision stops with an error, see below. It needs an `upgrade` and a `downgrade`, and
        `op.alter_column("author", "name", new_column_name="full_name")` renames a column. Mend
        that line, run the cell, check again."""
        return not _ok(seen["upgrade"]) or not _ok(seen["downgrade"])


class ThereAndBack(Exercise):
    """A downgrade brings back the table and what was in it."""

    id = "07.downgrade"
    title = "There and back"
    needs = {}
    hints = (
        "Read `upgrade` from its last line to its first, and undo each.",
        "Three steps, in this order: add `price`, fill it from `price_cents`, drop `price_cents`. "
        "Try it with a book for 7.50.",
        'op.execute("UPDATE book SET price = price_cents / 100.0"): with `/ 100` the database '
        "divides whole numbers, and NULL stays NULL by itself.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        cents = [lab.number(10, 90) * 100 + lab.number(1, 99), lab.number(3, 9) * 100, 5, None, 0]
        seen: dict[str, Any] = {"cents": cents}
        given = SHOP_3 | GIVEN
        given |= {f"{VERSIONS}/0001_first.py": FIRST, f"{VERSIONS}/0002_full_name.py": RENAME}
        with _project(lab, given, keep="0003_cents.py") as project:
            project.upgrade("0002")
            project.write("INSERT INTO author (id, full_name) VALUES (1, 'Jane Austen')")
            for number, one in enumerate(cents):
                project.write(
                    "INSERT INTO book (isbn, title, author_id, price)"
                    " VALUES (:isbn, 'Emma', 1, :price)",
                    isbn=f"{number}",
                    price=None if one is None else one / 100,
                )
            seen["before"] = project.schema()
            seen["upgrade"] = project.upgrade()
            seen["up_rows"] = _column(project, "SELECT price_cents FROM book ORDER BY id")
            seen["downgrade"] = project.downgrade("0002")
            seen["after"] = project.schema()
            seen["down_rows"] = _column(project, "SELECT price FROM book ORDER BY id")
            seen["again"] = project.upgrade()
            seen["again_rows"] = _column(project, "SELECT price_cents FROM book ORDER BY id")
            seen["check"] = project.check()
        return seen

    @requirement(2)
    def the_table_is_back(self, seen: Seen) -> None:
        """After `downgrade`, the table is as revision 0002 left it."""
        was, is_now = (_columns(seen[when], "book") for when in ("before", "after"))
        expect(
            _ok(seen["downgrade"]) and was == is_now,
            saw="`alembic downgrade 0002` "
            + _came_to(seen["downgrade"], _difference(was, is_now))
            + ".",
            wanted="`book` should have `price`, a NUMERIC(8, 2) that may be NULL, and no "
            "`price_cents`.",
        )

    @requirement(2)
    def the_prices_are_back(self, seen: Seen) -> None:
        """Every book costs what it cost before; a book without a price has none."""
        wanted = [None if one is None else one / 100 for one in seen["cents"]]
        expect(
            _as_money(seen["down_rows"]) == seen["cents"],
            saw=f"After `downgrade`, the prices are {_listed(seen['down_rows'])}."
            if seen["down_rows"]
            else "After `downgrade`, `book` has no `price`.",
            wanted=f"The prices should be {_listed(wanted)}.",
        )

    @requirement(1)
    def and_up_again(self, seen: Seen) -> None:
        """Another `upgrade` brings back the cents."""
        expect(
            _ok(seen["downgrade"]),
            saw="There was no way down, so there is none up again.",
            wanted="Down and up again, all should be as it was.",
        )
        expect(
            _ok(seen["again"]) and seen["again_rows"] == seen["cents"],
            saw="Going up once more "
            + _came_to(seen["again"], f"left {_listed(seen['again_rows'])} in `price_cents`")
            + ".",
            wanted=f"It should come to {_listed(seen['cents'])} again.",
        )
        expect(
            _ok(seen["check"]),
            saw=f"After going up once more, `alembic check` {_came_to(seen['check'])}.",
            wanted="The table should be as the models say.",
        )

    @mistake()
    def another_chain(self, seen: Seen) -> bool:
        """Alembic cannot tell where this file belongs: that is in its lines `revision` and
        `down_revision`. Put them back as they came: `revision = "0003"`, `down_revision = "0002"`.
        """
        return _chain_is_broken(seen["upgrade"])

    @mistake()
    def upgrade_is_broken(self, seen: Seen) -> bool:
        """`upgrade`, which was right, does not do its work any more. Put it back as it was; the way
        down is what is asked for."""
        return bool(seen["up_rows"] != seen["cents"])

    @mistake()
    def refuses(self, seen: Seen) -> bool:
        """`downgrade` refuses. That is the honest thing where data cannot come back, and better
        than `pass`. Here it can: `price_cents` holds all there is to know. Undo the three steps of
        `upgrade`, last one first."""
        return _refused(seen["downgrade"])

    @mistake()
    def did_nothing(self, seen: Seen) -> bool:
        """`downgrade` reports success and has done nothing: the database says it is at 0002, and
        still has `price_cents` and no `price`. The next `upgrade` fails on that. Undo all three
        steps of `upgrade`."""
        now = _columns(seen["after"], "book")
        return _ok(seen["downgrade"]) and "price" not in now and "price_cents" in now

    @mistake()
    def filled_too_late(self, seen: Seen) -> bool:
        """The prices were to come from a column that was gone already. Fill `price` first, and
        drop `price_cents` after."""
        return "no such column: price_cents" in _error(seen["downgrade"])

    @mistake()
    def nothing_to_fill(self, seen: Seen) -> bool:
        """There is no `price` to fill: `upgrade` has dropped it. Add it first, with
        `op.add_column("book", sa.Column("price", sa.Numeric(8, 2)))`."""
        return _error(seen["downgrade"]).endswith(") no such column: price")

    @mistake()
    def must_have_a_price(self, seen: Seen) -> bool:
        """`price` was added as NOT NULL, and there are books without one. It may be NULL: leave out
        `nullable=False`, and a default with it."""
        return "NOT NULL" in _error(seen["downgrade"])

    @mistake()
    def both_columns(self, seen: Seen) -> bool:
        """The prices are back, and `price_cents` is still there beside them: the table is not as
        0002 left it, and the next `upgrade` cannot add what is there. Drop it, last."""
        now = _columns(seen["after"], "book")
        return _ok(seen["downgrade"]) and {"price", "price_cents"} <= now.keys()

    @mistake()
    def an_empty_column(self, seen: Seen) -> bool:
        """The column is back, and it is empty: every price is lost. `add_column` only makes room;
        fill it, before `price_cents` goes."""
        rows = seen["down_rows"]
        empty = len(rows) == len(seen["cents"]) and not any(rows)
        return _ok(seen["downgrade"]) and empty

    @mistake()
    def cents_cut_off(self, seen: Seen) -> bool:
        """The books have become cheaper: a whole number divided by a whole number is a whole number
        in SQLite and PostgreSQL, so 1299 / 100 is 12. Divide by `100.0`."""
        cut = [None if one is None else one // 100 * 100 for one in seen["cents"]]
        return [one or 0 for one in _as_money(seen["down_rows"])] == [one or 0 for one in cut]

    @mistake()
    def not_divided(self, seen: Seen) -> bool:
        """The books have become a hundred times as dear: cents were copied into `price` as they
        are. Divide them by 100.0."""
        priced = [one for one in seen["cents"] if one]
        return [one for one in _as_money(seen["down_rows"]) if one] == [one * 100 for one in priced]

    @mistake()
    def for_nothing(self, seen: Seen) -> bool:
        """A book that had no price now costs 0, and somebody will order it. NULL divided by
        anything is NULL, so leave out whatever turns it into a number, a default included."""
        rows, nothing = seen["down_rows"], seen["cents"].index(None)
        return len(rows) > nothing and bool(rows[nothing] == 0)

    @mistake()
    def another_type(self, seen: Seen) -> bool:
        """`price` is back with another type than it had. Renamed cents are still an INTEGER, on
        which PostgreSQL would round; a FLOAT cannot hold 0.10. Add the column as
        `sa.Numeric(8, 2)`, fill it, and drop `price_cents`."""
        was, now = (_columns(seen[when], "book").get("price") for when in ("before", "after"))
        return bool(was and now and was["type"] != now["type"])

    @mistake()
    def stops(self, seen: Seen) -> bool:
        """`downgrade` stops with an error, see below. Three operations are all it takes: an
        `op.add_column`, an `op.execute` with an UPDATE in quotation marks, and an
        `op.drop_column`. Mend that line, run the cell, check again."""
        return not _ok(seen["downgrade"])


# -- the project around a file ------------------------------------------------------------------
@contextmanager
def _project(
    lab: Lab,
    files: Mapping[str, str],
    database: str = "bookshop.db",
    keep: str | None = None,
    **environment: str,
) -> Iterator[Project]:
    """A copy of the learner's project in which these files are ours, and no other revision is.

    Args:
        lab: The lab.
        files: The texts, by path.
        database: The database file to look into.
        keep: The learner's revision to keep, by its file's name.
        environment: Environment variables to set meanwhile.
    """
    with lab.project(PROJECT, database=database, **environment) as project:
        versions = project.path / VERSIONS
        versions.mkdir(parents=True, exist_ok=True)
        for path in versions.glob("*.py"):
            if path.name != keep:
                path.unlink()
        for name, content in files.items():
            path = project.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        yield project


def _tables(project: Project) -> list[str]:
    return sorted(set(project.schema()) - {"alembic_version"})


def _databases(project: Project) -> list[str]:
    return sorted(path.name for path in project.path.glob("*.db") if path.stat().st_size)


def _column(project: Project, statement: str) -> list[Any]:
    """The values of a statement's one column; none where it cannot be asked."""
    rows = project.rows(statement)
    return [] if isinstance(rows, dict) else [value for row in rows for value in row.values()]


# -- what is asked of the evidence ----------------------------------------------------------------
def _ok(outcome: Outcome) -> bool:
    return bool(outcome["ok"])


def _error(outcome: Outcome) -> str:
    error = outcome["error"] or {"type": "", "message": ""}
    return ": ".join(part for part in (error["type"], error["message"]) if part)


def _differences(outcome: Outcome) -> list[str]:
    """What `check` has found, in words."""
    return list((outcome["error"] or {}).get("differences", ()))


def _refused(outcome: Outcome) -> bool:
    """Whether somebody has written `raise`."""
    error = outcome["error"]
    return error is not None and error["type"] in ("NotImplementedError", "RuntimeError")


def _chain_is_broken(outcome: Outcome) -> bool:
    """Whether Alembic cannot bring the revisions in an order, or ours is not where it was."""
    told = "KeyError: '[0-9a-f]+'$|Multiple head|Self-loop|Cycle|revision id from filename"
    return re.search(told, _error(outcome)) is not None


def _came_to(outcome: Outcome, otherwise: str = "ran", like: Outcome | None = None) -> str:
    """What a command came to, to follow its name: its error, or what else is wrong.

    Args:
        outcome: The command's.
        otherwise: What to say where it has not failed.
        like: The outcome of a command that was told of already; the same error is not told twice.
    """
    if outcome["ok"]:
        return otherwise
    if like and outcome["error"] == like["error"]:
        return "failed in the same way"
    if found := _differences(outcome):
        return f"finds: {_few(found)}"
    error = _error(outcome)
    return f"failed (`{error[:240]}{'…' if len(error) > 240 else ''}`)"


def _few(clauses: list[str], most: int = 4) -> str:
    more = len(clauses) - most
    return "; ".join(clauses[:most] + ([f"and {more} more"] if more > 0 else []))


def _elsewhere(seen: Seen) -> str:
    others = [name for name in seen["files"] if not seen["asked"].endswith(name)]
    return f", but in {', '.join(others)}" if others else ""


def _value(rows: Any) -> str:
    value = rows[0]["copies"] if isinstance(rows, list) and rows else None
    return "no value" if value is None else f"`{value}`"


def _columns(schema: Mapping[str, Any], table: str) -> dict[str, Any]:
    return dict(schema.get(table, {}).get("columns", {}))


def _difference(was: Mapping[str, Any], is_now: Mapping[str, Any]) -> str:
    found = [f"took `{name}` away" for name in was.keys() - is_now.keys()]
    found += [f"left `{name}` there" for name in is_now.keys() - was.keys()]
    for name in sorted(was.keys() & is_now.keys()):
        if was[name] != is_now[name]:
            nullable = "may be NULL" if is_now[name]["nullable"] else "may not be NULL"
            found.append(f"made `{name}` {is_now[name]['type']} that {nullable}")
    return ", and ".join(found)


def _as_many(rows: list[Any], seen: Seen) -> bool:
    return len(rows) == len(seen["names"])


def _as_money(prices: list[Any]) -> list[int | None]:
    """Prices in cents; what is no number counts as none."""
    return [round(one * 100) if isinstance(one, int | float) else None for one in prices]


def _listed(values: list[Any]) -> str:
    if not values:
        return "nothing"
    return ", ".join(
        "NULL" if one is None else f"`{one}`" if one != "" else "`''`" for one in values
    )


# -- the course's own files -----------------------------------------------------------------------
BASE = """\
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
"""

MODELS = """\
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
"""
RENAMED = MODELS.replace("    name: Mapped", "    full_name: Mapped")
IN_CENTS = RENAMED.replace(
    "    price: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))\n",
    "    price_cents: Mapped[int | None]\n",
)

DATABASE = """\
import os
from pathlib import Path

HERE = Path(__file__).parent.parent
URL = os.environ.get("BOOKSHOP_URL", f"sqlite:///{HERE / 'bookshop.db'}")
"""

ENV = """\
from alembic import context
from sqlalchemy import NullPool, create_engine

from shop.database import URL
from shop.models import Base

with create_engine(URL, poolclass=NullPool).connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""

ENFORCED = ENV.replace(  # a table that others point at cannot be dropped, as on PostgreSQL
    "from sqlalchemy import NullPool, create_engine\n",
    "from sqlalchemy import NullPool, create_engine, event\n",
).replace(
    "with create_engine(URL, poolclass=NullPool).connect() as connection:\n",
    """\
engine = create_engine(URL, poolclass=NullPool)
event.listen(engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA foreign_keys = ON"))
with engine.connect() as connection:
""",
)

INI = """\
[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
path_separator = os
"""

FIRST = """\
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
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


def downgrade():
    op.drop_table("book")
    op.drop_index(op.f("ix_author_name"), table_name="author")
    op.drop_table("author")
"""

RENAME = """\
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.drop_index("ix_author_name", table_name="author")
    op.alter_column("author", "name", new_column_name="full_name")
    op.create_index("ix_author_full_name", "author", ["full_name"])


def downgrade():
    op.drop_index("ix_author_full_name", table_name="author")
    op.alter_column("author", "full_name", new_column_name="name")
    op.create_index("ix_author_name", "author", ["name"])
"""

SHOP = {"shop/base.py": BASE, "shop/database.py": DATABASE}
SHOP_1 = SHOP | {"shop/models.py": MODELS}
SHOP_2 = SHOP | {"shop/models.py": RENAMED}
SHOP_3 = SHOP | {"shop/models.py": IN_CENTS}
GIVEN = {"alembic.ini": INI, "migrations/env.py": ENV}

STRICT = GIVEN | {"migrations/env.py": ENFORCED}

EXERCISES = (WireEnv, FirstRevision, RepairTheRename, ThereAndBack)
