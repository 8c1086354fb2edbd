"""Lesson 08, migrations in production: rows, running apps, other people's branches, drift."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from checks.exercise import Exercise, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.observe.project import Outcome, Project
from checks.observe.snapshot import ObstacleError

SHOP = "bookshop_08"
VERSIONS = "migrations/versions"


class SplitTheName(Exercise):
    """`first_name` and `last_name` stand beside `full_name`, filled in for everybody; no row is
    lost, and the old app goes on."""

    id = "08.split"
    title = "First name, last name"
    needs = {}
    hints = (
        "Two columns first, which may be NULL, since the old app knows nothing of them. Then the "
        "rows: what does part 4 say about where they come from?",
        'In Python: `first, _, rest = name.partition(" ")` is content with any number of spaces. '
        "Update row by row, `WHERE id = ...`, through a `sa.table(...)` of your own.",
        "connection = op.get_bind(); for row in connection.execute(sa.select(customer.c.id, "
        "customer.c.full_name)).all(): connection.execute(sa.update(customer)"
        ".where(customer.c.id == row.id).values(first_name=first, last_name=rest))",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        one, two, three, four = (lab.word().title() for _ in range(4))
        names = [f"{one} {two}", three, f"{four} K. Le {two}", f"{three} O'{one}", f"{one} {two}"]
        late, new = lab.word().title(), lab.word().title()
        seen: dict[str, Any] = {"names": names, "late": late}
        with _copy_of_the_shop(lab) as project:
            _leave_only(project, "0002_split_the_name.py", {"0001_customers.py": _CUSTOMERS})
            seen["empty"] = project.upgrade("0002")
            project.drop_database()
            seen["made"] = project.upgrade("0001")
            for number, name in enumerate(names):
                _sign_up(project, f"{number}@x.org", full_name=name)
            seen["up"] = project.upgrade("0002")
            seen["rows"] = project.rows("SELECT * FROM customer ORDER BY id")
            seen["old_app"] = _sign_up(project, "late@x.org", full_name=late)
            seen["old_app_reads"] = project.rows("SELECT full_name FROM customer ORDER BY id")
            seen["new_app"] = _sign_up(
                project, "new@x.org", full_name=f"{new} {two}", first_name=new, last_name=two
            )
            seen["down"] = project.downgrade("0001")
            seen["rows_below"] = project.rows("SELECT * FROM customer ORDER BY id")
            came = ((seen["old_app"], late), (seen["new_app"], f"{new} {two}"))
            seen["expected_below"] = [*names, *(name for done, name in came if done["ok"])]
        with _copy_of_the_shop(lab) as project:
            _leave_only(project, "0002_split_the_name.py", {"0001_customers.py": _CUSTOMERS})
            (project.path / "shop/models.py").write_text(_MODELS_OF_THE_FUTURE, encoding="utf-8")
            project.upgrade("0001")
            _sign_up(project, "old@x.org", full_name=names[0])
            seen["later"] = project.upgrade("0002")
        return seen

    @requirement(2)
    def everybody_is_there(self, seen: Seen) -> None:
        """After the upgrade everybody is there, with the full name as it was and both its parts."""
        for what, outcome in (("with customers", seen["up"]), ("without rows", seen["empty"])):
            expect(
                outcome["ok"],
                saw=f"On a database {what}, the upgrade ended in {_told(outcome)}.",
                wanted="It should run.",
            )
        rows = _rows(seen["rows"])
        columns = {column for row in rows for column in row}
        expect(
            columns >= {"first_name", "last_name"},
            saw=f"After the upgrade the table has {', '.join(sorted(columns)) or 'no rows'}.",
            wanted="It should have first_name and last_name as well.",
        )
        full = [row.get("full_name") for row in rows]
        expect(
            full == seen["names"],
            saw=f"Five customers were there; afterwards `full_name` reads {_list(full)}.",
            wanted=f"It should read as before: {_list(seen['names'])}.",
        )
        for row in rows:
            first, _, rest = row["full_name"].partition(" ")
            parts = row.get("first_name"), row.get("last_name")
            expect(
                parts[0] == first and (parts[1] or "") == rest,
                saw=f"`{row['full_name']}` became {_parts(parts)}.",
                wanted=f"It should be {_parts((first, rest))}: all before the first space, and all "
                "after it.",
            )

    @requirement(1)
    def the_old_app_goes_on(self, seen: Seen) -> None:
        """The old app, which knows `email` and `full_name` only, still writes and reads; the new
        one writes all."""
        _expect_upgraded(seen)
        old, new = seen["old_app"], seen["new_app"]
        expect(
            old["ok"],
            saw=f"After the upgrade, the old app's INSERT ended in {_told(old)}.",
            wanted="It should go through: that app is still running when you migrate.",
        )
        names = [row.get("full_name") for row in _rows(seen["old_app_reads"])]
        expect(
            names == [*seen["names"], seen["late"]],
            saw=f"The old app read these names: {_list(names)}.",
            wanted="It should read every name, as before.",
        )
        expect(
            new["ok"],
            saw=f"The new app's INSERT, with all three names, ended in {_told(new)}.",
            wanted="It should go through.",
        )

    @requirement(1)
    def there_is_a_way_back(self, seen: Seen) -> None:
        """The downgrade takes both columns away, and loses nobody."""
        _expect_upgraded(seen)
        expect(
            seen["down"]["ok"],
            saw=f"The downgrade ended in {_told(seen['down'])}.",
            wanted="It should run.",
        )
        rows = _rows(seen["rows_below"])
        columns = {column for row in rows for column in row}
        expect(
            columns == {"id", "email", "full_name"},
            saw=f"After the downgrade the table has {', '.join(sorted(columns)) or 'no rows'}.",
            wanted="It should have email, full_name and id, as revision 0001 made it.",
        )
        expect(
            [row["full_name"] for row in rows] == seen["expected_below"],
            saw=f"After the downgrade the names are {_list([r['full_name'] for r in rows])}.",
            wanted="Everybody should be there, who signed up in between as well: "
            f"{_list(seen['expected_below'])}.",
        )

    @requirement(1)
    def it_stands_alone(self, seen: Seen) -> None:
        """It still runs when the models have moved on."""
        _expect_upgraded(seen)
        expect(
            seen["later"]["ok"],
            saw="With a `shop/models.py` from next year, the upgrade ended in "
            f"{_told(seen['later'])}.",
            wanted="It should run: the revision stays as it is, whatever the models become.",
        )

    @mistake()
    def follows_nobody(self, seen: Seen) -> bool:
        """On an empty database your revision ran before there was a table to change: it does not
        say whom it follows. `down_revision = "0001"`."""
        return "no such table" in _message(seen["empty"])

    @mistake()
    def imports_the_models(self, seen: Seen) -> bool:
        """Your revision uses `shop.models`, and those speak of another day than the table: of
        columns that come later, and next year of other names. Then no empty database can be set up
        any more. Say `op.execute("UPDATE ...")`, or describe the columns that you need with
        `sa.table(...)`, in the revision itself."""
        broken = not seen["later"]["ok"]
        return broken and (bool(seen["up"]["ok"]) or "shop.models" in _message(seen["later"]))

    @mistake()
    def another_id(self, seen: Seen) -> bool:
        """No revision is called 0002 any more, and those after it ask for that one. Leave the
        line `revision = "0002"` as it was."""
        return "Can't locate revision identified by '0002'" in _message(seen["up"])

    @mistake()
    def execute_gives_nothing(self, seen: Seen) -> bool:
        """`op.execute` sends a statement and gives nothing back. To read rows, ask the connection:
        `op.get_bind().execute(...)`."""
        read = r"'NoneType' object (is not iterable|has no attribute '(all|fetch\w*|scalars)')"
        return bool(re.search(read, _message(seen["up"])))

    @mistake()
    def text_is_no_statement(self, seen: Seen) -> bool:
        """A connection takes no plain text for a statement. Wrap it: `sa.text("SELECT ...")`."""
        return "Not an executable object" in _message(seen["up"])

    @mistake()
    def dropped_the_full_name(self, seen: Seen) -> bool:
        """`full_name` is gone, and the old app still asks for it: every sign-up is a 500 until the
        last server is replaced. This revision only *expands*; contracting comes later, in another
        one."""
        return "full_name" in _message(seen["old_app"]) and _no_such(seen["old_app"])

    @mistake()
    def not_null_at_once(self, seen: Seen) -> bool:
        """A new column may not be NULL, and there is nobody to give it a value: not for the rows
        that are there, and not for those that the old app writes. `nullable=True`, for now."""
        refused = "Cannot add a NOT NULL column" in _message(seen["up"])
        return refused or "NOT NULL constraint failed" in _message(seen["old_app"])

    @mistake()
    def expects_two_words(self, seen: Seen) -> bool:
        """Your code expects each name to have exactly two words, and one of these has one, another
        four. `name.partition(" ")` always gives three parts: before, the space, after."""
        error = seen["up"]["error"] or {}
        return error.get("type") in ("ValueError", "IndexError")

    @mistake()
    def pasted_into_sql(self, seen: Seen) -> bool:
        """A name with an apostrophe broke your SQL: it was pasted into the statement. Pass values
        as parameters, as `.values(first_name=first)` does."""
        return "syntax error" in _message(seen["up"])

    @mistake()
    def same_for_everybody(self, seen: Seen) -> bool:
        """Everybody has the same first name: each of your UPDATEs was for the whole table. Add
        `.where(customer.c.id == row.id)`."""
        found = {row.get("first_name") for row in _rows(seen["rows"])}
        return len(found) == 1 and found != {None}

    @mistake()
    def nobody_was_copied(self, seen: Seen) -> bool:
        """The columns are there, and empty: nothing fills them for the customers that there are.
        Do that in the same `upgrade`, after adding them."""
        rows = _rows(seen["rows"])
        return bool(rows) and all("first_name" in r and not r["first_name"] for r in rows)

    @mistake()
    def at_the_last_space(self, seen: Seen) -> bool:
        """Names of more than two words are split elsewhere than at the first space: part of the
        name is lost, or on the wrong side. `name.partition(" ")` splits at the first and keeps the
        rest together."""
        rows = _rows(seen["rows"])
        wrong = [str(row.get("full_name")) for row in rows if not _is_split(row)]
        return bool(wrong) and all(name.count(" ") > 1 for name in wrong)

    @mistake()
    def kept_the_space(self, seen: Seen) -> bool:
        """The space itself has stayed with one of the names. `instr` gives the place of the space:
        the first name ends one before it, the last name begins one after it."""
        return any(
            not _is_split(row) and _is_split({k: str(v or "").strip() for k, v in row.items()})
            for row in _rows(seen["rows"])
        )

    @mistake()
    def lost_the_short_names(self, seen: Seen) -> bool:
        """A name of one word is all first name, and there is no space in it to look for.
        `name.partition(" ")` gives it whole, as its first part; in SQL, `instr(full_name, ' ')` is
        0 there, and `instr(full_name || ' ', ' ')` is not."""
        rows = [row for row in _rows(seen["rows"]) if "first_name" in row]
        short = [row for row in rows if " " not in str(row.get("full_name"))]
        return any(row.get("first_name") != row.get("full_name") for row in short)

    @mistake()
    def no_way_back(self, seen: Seen) -> bool:
        """The downgrade reports success and leaves the columns: from now on this database is not
        where it says it is. Drop them, both."""
        left = {column for row in _rows(seen["rows_below"]) for column in row}
        return bool(seen["down"]["ok"]) and bool(left & {"first_name", "last_name"})


class ThreeSteps(Exercise):
    """`customer.country` becomes NOT NULL in three steps, and at no time is anybody turned away or
    lost."""

    id = "08.not_null"
    title = "Three steps"
    needs = {"step_1": Callable, "step_2": Callable, "step_3": Callable}
    hints = (
        "The table above the exercise says which step does what. Who still writes NULL, and until "
        "when?",
        "`alter_column` takes `server_default=...` and `nullable=...`; on SQLite inside a batch. "
        "The fill is an UPDATE, and it is needed twice.",
        "step_3: `op.execute(\"UPDATE customer SET country = 'GB' WHERE country IS NULL\")`, then "
        '`with op.batch_alter_table("customer") as customer: customer.alter_column("country", '
        "nullable=False)`",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        with _live_table() as engine:
            lab.watch(engine)
            seen: dict[str, Any] = {"sign_ups": [], "expected": {}}

            def sign_up(who: str, after: int, **country: str | None) -> None:
                email = f"{lab.word()}@x.org"
                columns = {"email": email} | country
                outcome = _inserted(engine, columns)
                stored = _countries(engine).get(email)
                seen["sign_ups"].append({"who": who, "after": after, "stored": stored} | outcome)
                if outcome["ok"]:
                    seen["expected"][email] = country.get("country") or "GB"

            sign_up("given", 0, country="FR")
            sign_up("null", 0, country=None)
            for number in (1, 2, 3):
                name = f"step_{number}"
                step = lab.call(f"{name}()", _as_a_revision(engine, lab[name]))
                seen[name] = step | {"timeline": _without_questions(step["timeline"])}
                seen[f"after_{number}"] = _countries(engine)
                sign_up("silent", number)
                sign_up("given", number, country="DE")
                if number < 3:
                    sign_up("null", number, country=None)
            seen["refused"] = _inserted(engine, {"email": "nobody@x.org", "country": None})
            seen["last"] = _countries(engine)
            seen["twice"] = _inserted(engine, {"email": next(iter(seen["expected"]))})
        return seen

    @requirement(1)
    def nobody_is_turned_away(self, seen: Seen) -> None:
        """Every step runs, and at no time is a customer turned away who has a right to sign up."""
        for step in _steps(seen):
            expect(
                step.error is None,
                saw=f"`{step.asked}` ended in {step.error}: {step.error_message}.",
                wanted="It should run, with the rows that were there by then.",
            )
        for one in seen["sign_ups"]:
            expect(
                one["ok"],
                saw=f"After step {one['after']}, a customer was turned away by the database at "
                f"{_APPS[one['who']]}: {_told(one)}.",
                wanted="That app is still running then, so it should go through.",
            )

    @requirement(1)
    def silence_is_a_country(self, seen: Seen) -> None:
        """From step 1 on, who leaves the country out gets 'GB'."""
        for number in (1, 2, 3):
            silent = _silent(seen, number)
            found = f"`country` is {silent['stored']!r}" if silent["ok"] else "was turned away"
            expect(
                silent["stored"] == "GB",
                saw=f"After step {number}, somebody signed up without the column `country`, and "
                f"{found}.",
                wanted="It should be 'GB', from the database's own default.",
            )

    @requirement(2)
    def all_have_one(self, seen: Seen) -> None:
        """After step 2 whoever was there before has a country, and whoever had one has kept it."""
        before, after = seen["after_1"], seen["after_2"]
        lost = [email for email in before if email not in after]
        expect(
            not lost,
            saw=f"{len(lost)} of the customers were gone after step 2.",
            wanted="They should all be there.",
        )
        without = [email for email, country in after.items() if country is None]
        expect(
            not without,
            saw=f"After step 2, {len(without)} of {len(after)} customers had no country.",
            wanted="Everybody who was there should have one.",
        )
        _expect_kept(seen["expected"], after)

    @requirement(2)
    def null_is_refused(self, seen: Seen) -> None:
        """After step 3 NULL is refused, everybody is there with a country, and an email is still
        unique."""
        expect(
            not seen["refused"]["ok"],
            saw="After step 3, a customer with NULL for a country was let in.",
            wanted="The database should refuse it.",
        )
        missing = [email for email in seen["expected"] if email not in seen["last"]]
        expect(
            not missing,
            saw=f"At the end {len(missing)} of the customers were gone.",
            wanted="They should all be there.",
        )
        _expect_kept(seen["expected"], seen["last"])
        expect(
            not seen["twice"]["ok"],
            saw="At the end an email that was taken went in again.",
            wanted="It should still be unique.",
        )

    @mistake()
    def on_another_database(self, seen: Seen) -> bool:
        """A step of yours opened a connection of its own, perhaps by `migrate`. The check runs your
        steps itself, each on the database that it is about. Use `op` there, and leave engines and
        `migrate` out."""
        return any(len(step.timeline.of("checkout")) > 1 for step in _steps(seen))

    @mistake(shows="step_1")
    def alters_without_a_batch(self, seen: Seen) -> bool:
        """SQLite cannot change a column, and says so as `near "ALTER": syntax error`. Put it in a
        batch: `with op.batch_alter_table("customer") as customer: customer.alter_column(...)`."""
        return any('near "ALTER"' in step.error_message for step in _steps(seen))

    @mistake()
    def too_early(self, seen: Seen) -> bool:
        """You ask for NOT NULL before step 3, while there are rows without a country and an app
        that writes more of them. It comes last, when that app is gone."""
        first, second, _ = _steps(seen)
        early = any("NOT NULL" in step.error_message for step in (first, second))
        return early or any(
            one["who"] == "null" and "NOT NULL" in _message(one) for one in seen["sign_ups"]
        )

    @mistake(shows="step_2")
    def equals_null(self, seen: Seen) -> bool:
        """`country = NULL` is true of no row, not even of one whose country is NULL: your UPDATE
        found nobody. Ask `country IS NULL`."""
        sent = " ".join(_steps(seen)[1].timeline.writes)
        return None in seen["after_2"].values() and bool(re.search(r"(?i)\bWHERE\b.*= *NULL", sent))

    @mistake(shows="step_3")
    def no_last_sweep(self, seen: Seen) -> bool:
        """`step_3` fell over a row that the last old app had written *after* your fill, in step 2.
        So fill once more in `step_3`, right before the constraint; then it cannot happen again."""
        filled = None not in seen["after_2"].values()
        return filled and "NOT NULL constraint failed" in _steps(seen)[2].error_message

    @mistake(shows="step_1")
    def quoted_twice(self, seen: Seen) -> bool:
        """The country of whoever leaves it out has quotes *in* it. A text for `server_default` is
        quoted for you: `server_default="GB"`."""
        return any(_silent(seen, number)["stored"] == "'GB'" for number in (1, 2, 3))

    @mistake(shows="step_1")
    def no_server_default(self, seen: Seen) -> bool:
        """After step 1, who leaves the country out has none. The database needs a default of its
        own, `server_default="GB"`; a `default=` is known to Python alone, and the migration is
        over by then."""
        silent = _silent(seen, 1)
        return silent["ok"] and silent["stored"] is None and _steps(seen)[0].error is None

    @mistake(shows="step_2")
    def filled_everybody(self, seen: Seen) -> bool:
        """Customers who had a country have another one now: your UPDATE was for everybody. Add
        `WHERE country IS NULL`, which also makes it harmless to run again."""
        return any(
            seen["last"].get(email) not in (None, country) and country != "GB"
            for email, country in seen["expected"].items()
        )

    @mistake(shows="step_2")
    def deleted_them(self, seen: Seen) -> bool:
        """Customers are gone. A row without a country is still somebody's account. Fill it, do not
        delete it."""
        return any(email not in seen["last"] for email in seen["expected"])

    @mistake(shows="step_3")
    def lost_the_default(self, seen: Seen) -> bool:
        """After step 3, nobody could sign up who leaves the country out: the default was taken
        away again, and silence is NULL without it. Leave `server_default` out of `step_3`."""
        there_before = _silent(seen, 2)["stored"] == "GB"
        return there_before and "NOT NULL" in _message(_silent(seen, 3))

    @mistake(shows="step_3")
    def still_nullable(self, seen: Seen) -> bool:
        """All is filled, and NULL is still let in: the constraint is missing. `step_3` ends in
        `alter_column("country", nullable=False)`, in a batch."""
        ran = all(step.error is None for step in _steps(seen))
        return ran and bool(seen["refused"]["ok"])


class OneHead(Exercise):
    """The two branches are one again: there is one head, and every database finds the way there and
    back."""

    id = "08.merge"
    title = "One head"
    needs = {}
    hints = (
        "A revision says whom it follows in `down_revision`. This one follows two.",
        "`down_revision` takes a tuple of ids.",
        'down_revision = ("0003_phone", "0003_points")',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        name = lab.word()
        with _copy_of_the_shop(lab) as project:
            _leave_only(project, "0004_merge.py", _BRANCHES)
            revisions = project.revisions()
            seen["loaded"] = {"ok": True} if isinstance(revisions, list) else revisions
            known = revisions if isinstance(revisions, list) else []
            seen["heads"] = [one["revision"] for one in known if one["head"]]
            for start in ("base", "0003_phone", "0003_points"):
                project.drop_database()
                if start != "base":
                    project.upgrade(start)
                    _sign_up(project, "here@x.org", full_name=name)
                up = project.upgrade("head")
                found = project.rows("SELECT * FROM customer")
                columns = project.schema().get("customer", {}).get("columns", {})
                seen[start] = {"up": up, "rows": found, "columns": sorted(columns)}
            seen["down"] = project.downgrade("base")
            seen["left"] = sorted(project.schema())
        seen["name"] = name
        return seen

    @requirement(1)
    def there_is_one_head(self, seen: Seen) -> None:
        """There is one head."""
        expect(
            seen["loaded"]["ok"],
            saw=f"Alembic cannot read the revisions: {_told(seen['loaded'])}.",
            wanted="It should find all of them, and one head.",
        )
        heads = seen["heads"]
        expect(
            len(heads) == 1,
            saw=f"There are {len(heads)} heads: {', '.join(heads)}.",
            wanted="There should be one, which follows both.",
        )

    @requirement(1)
    def every_database_gets_there(self, seen: Seen) -> None:
        """`upgrade head` works from nothing and from either branch, and keeps who is there."""
        for start, words in _STARTS.items():
            one = seen[start]
            expect(
                one["up"]["ok"],
                saw=f"From {words}, `upgrade head` ended in {_told(one['up'])}.",
                wanted="It should run.",
            )
            missing = {"phone", "points"} - set(one["columns"])
            expect(
                not missing,
                saw=f"From {words}, `upgrade head` left the table without "
                f"{' and '.join(sorted(missing))}.",
                wanted="It should have both.",
            )
            names = [row.get("full_name") for row in _rows(one["rows"])]
            expect(
                start == "base" or names == [seen["name"]],
                saw=f"From {words}, one customer was there before, and {len(names)} after.",
                wanted="The customer should still be there.",
            )

    @requirement(1)
    def there_is_a_way_back(self, seen: Seen) -> None:
        """`downgrade base` finds the way back."""
        expect(
            seen["down"]["ok"] and seen["left"] == ["alembic_version"],
            saw=f"`downgrade base` ended in {_told(seen['down'])}."
            if not seen["down"]["ok"]
            else f"`downgrade base` left {', '.join(seen['left'])}.",
            wanted="It should run, and leave nothing but alembic_version.",
        )

    @mistake()
    def two_in_one_text(self, seen: Seen) -> bool:
        """Both ids stand in one text, so Alembic looks for one revision of that name. Make it a
        tuple of two texts: `("0003_phone", "0003_points")`."""
        return "," in _unknown(seen)

    @mistake()
    def follows_nobody_known(self, seen: Seen) -> bool:
        """There is no revision of a name that your `down_revision` has. It takes their ids, as
        their own files say after `revision =`: 0003_phone and 0003_points."""
        return bool(_unknown(seen))

    @mistake()
    def names_an_ancestor(self, seen: Seen) -> bool:
        """0002 comes before both branches already, and Alembic loses its way when a revision
        follows it as well. Name the two heads in `down_revision`, and nothing else."""
        error = seen["base"]["up"]["error"] or {}
        return (error.get("type"), error.get("message")) == ("KeyError", "'0002'")

    @mistake()
    def still_two_heads(self, seen: Seen) -> bool:
        """There are still two heads. A merge has both of them in its `down_revision`, as a tuple;
        `depends_on` orders revisions, and does not tie branches together."""
        return len(seen["heads"]) == 2 and "0004" in seen["heads"]

    @mistake()
    def a_new_beginning(self, seen: Seen) -> bool:
        """Your revision follows nobody, so it is a third head and a second beginning. Name both
        branches in `down_revision`."""
        return len(seen["heads"]) > 2

    @mistake()
    def does_it_again(self, seen: Seen) -> bool:
        """Your merge adds a column that its branch has added already. Both branches run before it;
        there is nothing left for it to do."""
        return any("duplicate column" in _message(seen[start]["up"]) for start in _STARTS)

    @mistake()
    def undoes_too_much(self, seen: Seen) -> bool:
        """On the way down, your merge drops what the branches below it are about to drop as well.
        It did nothing on the way up; so nothing is to be undone."""
        return not seen["down"]["ok"] and "no such column" in _message(seen["down"])


class DriftTest(Exercise):
    """The test passes while models and migrations agree, and fails on every kind of drift."""

    id = "08.drift"
    title = "A test that can fail"
    needs = {}
    hints = (
        "The test compares two things. Where does the first come from, and where the second?",
        "`create_all` makes the tables from the models, and `stamp` says that the migrations have "
        "run. Let them run instead.",
        'command.upgrade(config, "head"), then command.check(config); both on the connection in '
        '`config.attributes["connection"]`',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        trees: dict[str, Any] = {}
        for name, (models, migrations) in _TREES.items():
            with _copy_of_the_shop(lab) as project:
                _leave_only(project, "", {"0001_books.py": _BOOKS, **migrations})
                (project.path / "shop/models.py").write_text(models, encoding="utf-8")
                if name == "clean_beside_old":
                    project.write("CREATE TABLE book (id INTEGER)")
                database = project.path / "bookshop.db"
                before = database.read_bytes() if database.exists() else None
                tests = project.run_tests("test_migrations.py")
                after = database.read_bytes() if database.exists() else None
                trees[name] = {"tests": tests, "touched": after != before}
        return {"trees": trees}

    @requirement(1)
    def it_passes_when_all_is_well(self, seen: Seen) -> None:
        """It passes while models and migrations agree."""
        _expect_tests(seen)
        for name in _CLEAN:
            tests = seen["trees"][name]["tests"]
            failed = [one for one in tests if not one["ok"]]
            expect(
                not failed,
                saw=f"{_CLEAN[name]}, `{failed[0]['name']}` ended in {_told(failed[0])}."
                if failed
                else "",
                wanted="It should pass: nothing has drifted there.",
            )

    @requirement(2)
    def it_notices_drift(self, seen: Seen) -> None:
        """It fails when models and migrations say different things."""
        _expect_tests(seen)
        for name in _DRIFTED:
            expect(
                _failed(seen, name),
                saw=f"The test passed although {_DRIFTED[name]}.",
                wanted="It should fail.",
                why="The deploy will find out instead.",
            )

    @requirement(1)
    def it_runs_the_migrations(self, seen: Seen) -> None:
        """It fails when the migrations do not lead from an empty database to one head."""
        _expect_tests(seen)
        for name in _BROKEN:
            expect(
                _failed(seen, name),
                saw=f"The test passed although {_BROKEN[name]}.",
                wanted="It should fail.",
            )

    @requirement(1)
    def it_keeps_to_itself(self, seen: Seen) -> None:
        """It leaves the developer's database alone."""
        _expect_tests(seen)
        touched = [name for name, tree in seen["trees"].items() if tree["touched"]]
        expect(
            not touched,
            saw="The test wrote to `bookshop.db`, the developer's own database.",
            wanted="It should work on a fresh one of its own, in `tmp_path` or in memory.",
            why="Its tables depend on what somebody has tried last.",
        )

    @mistake()
    def no_test(self, seen: Seen) -> bool:
        """pytest would find nothing in your file: it looks for functions whose names begin with
        `test_`, and passes over all others without a word."""
        return not _tests(seen, "clean")

    @mistake()
    def checks_without_migrating(self, seen: Seen) -> bool:
        """Your test asks `check` about a database on which the migrations have not run: "Target
        database is not up to date." Run them first, `command.upgrade(config, "head")`, on the same
        connection."""
        return any("not up to date" in _message(one) for one in _tests(seen, "clean"))

    @mistake()
    def in_the_developers_database(self, seen: Seen) -> bool:
        """Your test works in `bookshop.db`, where the developer's own tables are: it changes them,
        and its verdict depends on them. Hand Alembic a connection to a fresh database, in
        `config.attributes["connection"]`."""
        return any(tree["touched"] for tree in seen["trees"].values())

    @mistake()
    def makes_tables_too(self, seen: Seen) -> bool:
        """Your test runs the migrations and makes tables from the models besides: what a migration
        forgets, `create_all` then makes up for. Take it out; every table is the migrations'
        business."""
        made_twice = any("already exists" in _message(one) for one in _tests(seen, "clean"))
        noticed = {one for one in _DRIFTED if _failed(seen, one)}
        return made_twice or noticed == set(_DRIFTED) - {"table"}

    @mistake()
    def agrees_with_itself(self, seen: Seen) -> bool:
        """Your test passed in a tree whose only new revision cannot run, so it never ran it, or
        swallowed the error. Tables that `create_all` makes *are* the models, and will always agree
        with them; `stamp` only claims that the migrations have run. Start from an empty database,
        `upgrade`, and let every exception out."""
        well = not any(_failed(seen, name) for name in _CLEAN)
        return well and not _failed(seen, "cannot_run") and not _failed(seen, "column")

    @mistake()
    def never_compares(self, seen: Seen) -> bool:
        """Your test runs the migrations and never asks what came of it: it passed in every tree
        that has drifted. `command.check(config)` does the comparing, and raises."""
        return _failed(seen, "cannot_run") and not any(_failed(seen, one) for one in _DRIFTED)

    @mistake()
    def compares_names(self, seen: Seen) -> bool:
        """Your test compares names, of tables or of columns, and drift is in the details: types,
        NULL, defaults, indexes. `command.check(config)` compares all that Alembic can."""
        noticed = [_failed(seen, one) for one in _DRIFTED]
        return any(noticed) and not all(noticed) and not _failed(seen, "nullable")

    @mistake()
    def any_number_of_heads(self, seen: Seen) -> bool:
        """Your test upgrades to `heads`, all of them, and so it passes when there are two. The
        deploy says `head`, and stops. Say `head` as well."""
        return _failed(seen, "cannot_run") and not _failed(seen, "two_heads")


# -- the trees of the drift test ----------------------------------------------------------------
_BASE = """
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
"""

_BOOK = """
class Book(Base):
    __tablename__ = "book"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    shelf: Mapped[str | None]
    copies: Mapped[int] = mapped_column(server_default="0")
"""

_TAG = """
class Tag(Base):
    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
"""


def _revision(number: str, after: str | None, up: str, down: str) -> str:
    """The text of a revision's file."""
    return (
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f"revision = {number!r}\ndown_revision = {after!r}\n\n"
        f"def upgrade():\n    {up}\n\ndef downgrade():\n    {down}\n"
    )


def _adds(number: str, after: str, table: str, column: str, more: str = "") -> str:
    """A revision that adds a column of text."""
    return _revision(
        number,
        after,
        f'op.add_column("{table}", sa.Column("{column}", sa.{more or "String()"}))',
        f'op.drop_column("{table}", "{column}")',
    )


_BOOKS = _revision(
    "0001",
    None,
    """op.create_table(
        "book",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("shelf", sa.String(), nullable=True),
        sa.Column("copies", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_book"),
    )""",
    'op.drop_table("book")',
)

_CLEAN = {
    "clean": "Where models and migrations agree",
    "clean_beside_old": "Where they agree, and an old `bookshop.db` lies in the folder",
}
_DRIFTED = {
    "column": "a model has a column that no migration makes",
    "table": "there is a model whose table no migration makes",
    "index": "a model has an index that no migration makes",
    "nullable": "a column may be NULL in the database and not in the model",
    "default": "a column's server default is another in the model",
    "forgotten": "a migration makes a column that no model has",
}
_BROKEN = {
    "cannot_run": "a revision does not run on an empty database",
    "two_heads": "there are two heads",
}
_TREES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "clean": (_BASE + _BOOK, {}),
    "clean_beside_old": (_BASE + _BOOK, {}),
    "column": (_BASE + _BOOK + "    pages: Mapped[int | None]\n", {}),
    "table": (_BASE + _BOOK + _TAG, {}),
    "index": (
        _BASE
        + _BOOK.replace("title: Mapped[str]", "title: Mapped[str] = mapped_column(index=True)"),
        {},
    ),
    "nullable": (_BASE + _BOOK.replace("str | None", "str"), {}),
    "default": (_BASE + _BOOK.replace('"0"', '"1"'), {}),
    "forgotten": (_BASE + _BOOK, {"0002_pages.py": _adds("0002", "0001", "book", "pages")}),
    "cannot_run": (_BASE + _BOOK, {"0002_ghost.py": _adds("0002", "0001", "ghost", "pages")}),
    "two_heads": (
        _BASE + _BOOK + "    pages: Mapped[str | None]\n    cover: Mapped[str | None]\n",
        {
            "0002_pages.py": _adds("0002_pages", "0001", "book", "pages"),
            "0002_cover.py": _adds("0002_cover", "0001", "book", "cover"),
        },
    ),
}


def _tests(seen: Seen, tree: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = seen["trees"][tree]["tests"]
    return found


def _expect_tests(seen: Seen) -> None:
    expect(
        bool(_tests(seen, "clean")),
        saw="There is no test in `test_migrations.py`.",
        wanted="There should be a function whose name begins with `test_`.",
    )


def _failed(seen: Seen, tree: str) -> bool:
    """Whether any test failed there, as a gate sees it."""
    return any(not one["ok"] for one in _tests(seen, tree))


# -- what an exercise's own revision stands on ---------------------------------------------------
_CUSTOMERS = _revision(
    "0001",
    None,
    """op.create_table(
        "customer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customer"),
        sa.UniqueConstraint("email", name="uq_customer_email"),
    )""",
    'op.drop_table("customer")',
)

_BRANCHES = {
    "0001_customers.py": _CUSTOMERS,
    "0002_split_the_name.py": _revision("0002", "0001", "pass", "pass"),
    "0003_phone.py": _adds("0003_phone", "0002", "customer", "phone"),
    "0003_points.py": _adds(
        "0003_points", "0002", "customer", "points", 'Integer(), server_default="0", nullable=False'
    ),
}

_MODELS_OF_THE_FUTURE = (
    _BASE
    + """
class Client(Base):
    __tablename__ = "client"

    id: Mapped[int] = mapped_column(primary_key=True)
    called: Mapped[str]
"""
)

_STARTS = {
    "base": "an empty database",
    "0003_phone": "0003_phone",
    "0003_points": "0003_points",
}


_GIVEN = ("shop/database.py", "shop/models.py", "migrations/env.py")
_TEMPLATES = "target_metadata = None"  # in the env.py that `alembic init` writes


def _copy_of_the_shop(lab: Lab) -> Project:
    """The learner's project, on its own database whatever BOOKSHOP_URL says at the moment.

    Raises:
        ObstacleError: a file is missing in it that the notebook gives.
    """
    for path in (Path(SHOP, one) for one in _GIVEN):
        if Path(SHOP).is_dir() and not (path.exists() and _TEMPLATES not in _text(path)):
            raise ObstacleError(
                f"`{path.as_posix()}` is not what this notebook makes of it. Run the cell that "
                f"begins with `%%writefile {path.as_posix()}`, further up, then check again."
            )
    return lab.project(SHOP, BOOKSHOP_URL=None)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _leave_only(project: Project, own: str, given: Mapping[str, str]) -> None:
    """Of the copy's revisions leave the exercise's own, beside those that it stands on."""
    folder = project.path / VERSIONS
    for path in folder.glob("*.py"):
        if path.name != own:
            path.unlink()
    for name, content in given.items():
        (folder / name).write_text(content, encoding="utf-8")


def _sign_up(project: Project, email: str, **columns: str) -> Outcome:
    values = {"email": email} | columns
    names = ", ".join(values)
    return project.write(
        f"INSERT INTO customer ({names}) VALUES ({', '.join(f':{name}' for name in values)})",
        **values,
    )


def _expect_upgraded(seen: Seen) -> None:
    expect(
        seen["up"]["ok"],
        saw="As the upgrade did not get through, this could not be tried.",
        wanted="Mend the upgrade first.",
    )


def _unknown(seen: Seen) -> str:
    """The id that Alembic has looked for and not found."""
    error = seen["loaded"].get("error") or {}
    return str(error["message"]) if error.get("type") == "KeyError" else ""


# -- a table that is alive -----------------------------------------------------------------------
_APPS = {
    "given": "an app that sends a country",
    "silent": "an app that leaves the column out",
    "null": "an app that sends NULL",
}


@contextmanager
def _live_table() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        engine = create_engine(f"sqlite:///{Path(folder, 'live.db')}", poolclass=NullPool)

        @event.listens_for(engine, "connect")
        def take_over(dbapi_connection: Any, record: Any) -> None:
            dbapi_connection.isolation_level = None
            dbapi_connection.execute("PRAGMA synchronous = OFF")  # gone in a moment, power or not

        @event.listens_for(engine, "begin")
        def say_begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")

        with engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE customer (id INTEGER PRIMARY KEY, email VARCHAR NOT NULL,"
                " country VARCHAR, CONSTRAINT uq_customer_email UNIQUE (email))"
            )
        yield engine


def _as_a_revision(engine: Engine, step: Callable[[], Any]) -> Callable[[], None]:
    """The step, to be run as Alembic runs an `upgrade`."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    def run() -> None:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
            with context.begin_transaction(), Operations.context(context):
                step()

    return run


def _inserted(engine: Engine, columns: Mapping[str, str | None]) -> dict[str, Any]:
    names = ", ".join(columns)
    values = ", ".join(f":{name}" for name in columns)
    try:
        with engine.begin() as connection:
            connection.execute(
                text(f"INSERT INTO customer ({names}) VALUES ({values})"), dict(columns)
            )
    except SQLAlchemyError as error:
        message = str(error).splitlines()[0]
        return {
            "ok": False,
            "error": {"type": type(error).__name__, "message": message},
        } | dict(columns)
    return {"ok": True, "error": None} | dict(columns)


def _countries(engine: Engine) -> dict[str, Any]:
    """Everybody's country, by email; nobody where the table is not as it was."""
    try:
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT email, country FROM customer")).all()
    except SQLAlchemyError:
        return {}
    return {str(row.email): row.country for row in rows}


def _without_questions(timeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A timeline without what a batch asks SQLite about the table first, a dozen statements."""
    asked = re.compile(r"PRAGMA \w+\.\w+\(|SELECT sql FROM \(SELECT \* FROM sqlite_master")
    return [
        one for one in timeline if one["kind"] != "sql" or not asked.match(one["detail"]["sql"])
    ]


def _steps(seen: Seen) -> list[Step]:
    return [seen.step(f"step_{number}") for number in (1, 2, 3)]


def _silent(seen: Seen, after: int) -> dict[str, Any]:
    """The sign-up that left the country out, after this step."""
    found = (one for one in seen["sign_ups"] if (one["who"], one["after"]) == ("silent", after))
    return next(found)


def _expect_kept(expected: Mapping[str, str], found: Mapping[str, Any]) -> None:
    for email, country in expected.items():
        if email in found:
            expect(
                found[email] == country,
                saw=f"A customer's country should be {country!r} and is {found[email]!r}.",
                wanted="Who has a country keeps it; who has none gets 'GB'.",
            )


# -- how it is put ------------------------------------------------------------------------------
def _rows(found: Any) -> list[dict[str, Any]]:
    """Rows, or none where the statement failed."""
    return found if isinstance(found, list) else []


def _message(outcome: Mapping[str, Any]) -> str:
    return str((outcome.get("error") or {}).get("message", ""))


def _no_such(outcome: Mapping[str, Any]) -> bool:
    message = _message(outcome)
    return "has no column" in message or "no such column" in message


def _told(outcome: Mapping[str, Any]) -> str:
    """The error, without a full stop and without the place of the copy that it happened in."""
    error = outcome.get("error") or {}
    message = re.sub(r" \([^()]*[/\\][^()]*\.py\)", "", str(error.get("message")))
    return f"{error.get('type')}: {message.rstrip('.')}"


def _list(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values) or "nothing"


def _parts(parts: tuple[Any, Any]) -> str:
    return f"{parts[0]!r} and {parts[1]!r}"


def _is_split(row: Mapping[str, Any]) -> bool:
    """Whether the two names are what stands before the full name's first space, and after it."""
    first, _, rest = str(row.get("full_name")).partition(" ")
    return (row.get("first_name"), row.get("last_name") or "") == (first, rest)


EXERCISES = (SplitTheName, ThreeSteps, OneHead, DriftTest)
