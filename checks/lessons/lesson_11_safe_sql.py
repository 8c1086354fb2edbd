"""Lesson 11, safe SQL: values beside the statement, names from a list, fields from a schema."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from sqlalchemy import Engine

from checks.exercise import Exercise, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab

REFUSED = (400, 401, 403, 422)
_NO_COLUMN = "shoe_size"


class Exploit(Exercise):
    """The value of `attack`, searched for, answers with the name and the password of everybody in
    `staff`."""

    id = "11.exploit"
    title = "The exploit"
    needs = {"attack": str, "leaky": FastAPI, "engine": Engine}
    hints = (
        "Take the search for `sqlite_master` apart: what ends the string, what begins the second "
        "SELECT, what makes a comment of the rest?",
        "The table of contents told you the columns of `staff`. The search has three columns, so "
        "your SELECT needs three as well.",
        "`zzzz' UNION SELECT id, name, password FROM staff --`",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        people = _hire(lab, 3)
        answer = lab.request("GET", "/search", app="leaky", params={"q": lab["attack"]})
        return {"people": people, "answer": answer}

    @requirement(2, shows="answer")
    def reads_the_passwords(self, seen: Seen) -> None:
        """The answer holds every name and every password."""
        answer, people = seen.step("answer"), seen["people"]
        got = _texts(answer.body)
        read = [one["name"] for one in people if one["name"] in got and one["password"] in got]
        expect(
            len(read) == len(people),
            saw=f"{answer.heard}, and told the passwords of {len(read)} of {len(people)} people "
            "whom the check had put into `staff`.",
            wanted="It should tell all of them, with their names.",
        )

    @mistake(shows="answer", marks=("sql",))
    def wrong_number_of_columns(self, seen: Seen) -> bool:
        """The database understood you, and counts: both SELECTs of a UNION need the same number of
        columns. The search has three."""
        return "same number of result columns" in seen.step("answer").error_message

    @mistake(shows="answer", marks=("sql",))
    def no_such_thing(self, seen: Seen) -> bool:
        """The string is broken open and the database runs your SELECT, but it asks for a table or a
        column that is not there. The search for `sqlite_master` lists them all."""
        message = seen.step("answer").error_message
        return "no such table" in message or "no such column" in message

    @mistake(shows="answer", marks=("sql",))
    def the_rest_is_still_there(self, seen: Seen) -> bool:
        """The database cannot read the statement: look at its end on the timeline. Behind your text
        the app adds `%'`, and that is no SQL. Make a comment of it: end with `--`."""
        answer = seen.step("answer")
        sql = " ".join(answer.timeline.statements)
        second = _only_one(answer) and "UNION" in sql.upper()
        return (second or _unreadable(answer)) and not _comment_at_the_end(sql)

    @mistake(shows="answer", marks=("sql",))
    def second_statement(self, seen: Seen) -> bool:
        """Behind the `;` you begin a second statement, and SQLite's driver takes one at a time.
        Stay in the first: `UNION SELECT ...` puts the rows of another table below the books."""
        return _only_one(seen.step("answer"))

    @mistake(shows="answer", marks=("sql",))
    def not_yet_sql(self, seen: Seen) -> bool:
        """You are out of the string: the database reads your text as SQL, and stumbles. The error
        says near which word; read the whole statement on the timeline, as the database does."""
        return _unreadable(seen.step("answer"))

    @mistake(shows="answer", marks=("sql",))
    def still_inside_the_string(self, seen: Seen) -> bool:
        """On the timeline your whole text stands between the apostrophes: the app looked for a book
        with that title. An apostrophe of your own ends the string."""
        answer = seen.step("answer")
        return answer.status == 200 and "'" not in "".join(
            sql.partition("LIKE '%")[2].rpartition("%'")[0] for sql in answer.timeline.statements
        )

    @mistake(shows="answer", marks=("sql",))
    def only_books(self, seen: Seen) -> bool:
        """You are out of the string: the condition is yours. But a condition only chooses among
        books. To read another table, put its rows below them: `UNION SELECT ...`."""
        answer = seen.step("answer")
        return answer.status == 200 and "UNION" not in " ".join(answer.timeline.statements).upper()

    @mistake(shows="answer", marks=("sql",))
    def not_both_columns(self, seen: Seen) -> bool:
        """You read the table `staff`, but not both the name and the password, or not of everybody.
        Three columns of the answer are yours to fill: `id, name, password`."""
        answer = seen.step("answer")
        return answer.status == 200 and "staff" in " ".join(answer.timeline.statements).lower()


class CloseBoth(Exercise):
    """Nothing that a client sends becomes part of a statement, and honest people notice nothing."""

    id = "11.close_both"
    title = "Close both"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "On the timeline of a safe request the statement has a `?` where the value belongs. Which "
        "ways of writing a query do that by themselves?",
        "`select(Book.id, Book.title, Book.price).where(...)`; a `where` takes several conditions, "
        "and all must hold. For the wildcards, `contains` has an argument.",
        "Search: `.where(Book.title.contains(q, autoescape=True))`. Login: `select(Staff.id, "
        "Staff.name).where(Staff.name == given.name, Staff.password == given.password)`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        person, quoted = _hire(lab, 2, apostrophe=True)
        word, other = lab.word(), lab.word()
        titles = {
            "plain": f"The {word} of it",
            "quoted": f"{other}'s tale",
            "percent": f"{word}%{other}",
            "not_percent": f"{word}, {other}",
            "underscore": f"{other}_{word}",
            "not_underscore": f"{other}-{word}",
        }
        for title in titles.values():
            _shelve(lab, title)

        def search(q: str) -> Any:
            return lab.request("GET", "/search", params={"q": q})

        def attack(q: str) -> dict[str, Any]:
            return {"sent": q, "step": search(q)}

        def login(name: str, password: str) -> Any:
            sent = {"name": name, "password": password}
            return lab.request("POST", "/login", json=sent)

        nothing = lab.word()
        union = f"UNION SELECT id, password, name FROM staff WHERE 'a' <> '{nothing}' --"
        nested = union.replace("UNION", "UNIUNIONON").replace("SELECT", "SELSELECTECT")
        return {
            "titles": titles,
            "person": person,
            "secrets": [person["password"], quoted["password"]],
            "marker": word,
            "plain": search(f"{word} of"),
            "quoted": search(f"{other}'s"),
            "percent": search(f"{word}%{other}"),
            "underscore": search(f"{other}_{word}"),
            "searches": [
                attack(f"{nothing}' {union}"),
                attack(f"{nothing}' OR 1=1 --"),
                attack(f"{nothing}' union select id, password, name from staff where '%' like '"),
                attack(f"{nothing}' {nested.replace('--', '-UNION-')}"),
                attack(f"{nothing}\\' OR 1=1 --"),
            ],
            "welcome": login(person["name"], person["password"]),
            "quoted_welcome": login(quoted["name"], quoted["password"]),
            "wrong_password": login(person["name"], nothing),
            "logins": [
                login(f"{person['name']}' --", nothing),
                login(person["name"], "' OR '1'='1"),
                login(f"{person['name']}' /*", nothing),
                login(f"{nothing}' oR 1=1 --", nothing),
                login("\\", " OR 1=1 --"),
            ],
        }

    @requirement(1, shows="quoted")
    def honest_searches(self, seen: Seen) -> None:
        """A search finds every title that contains `q`, apostrophes and all."""
        for name in ("plain", "quoted"):
            step, title = seen.step(name), seen["titles"][name]
            found = _titles(step.body)
            expect(
                step.status == 200 and found == [title],
                saw=f"{_found(step)}, when asked for a part of the title *{title}*.",
                wanted="It should be that book and no other.",
            )

    @requirement(2, shows="plain")
    def closed_search(self, seen: Seen) -> None:
        """No search reads another table, or a book that was not asked for."""
        for one in seen["searches"]:
            step = Seen(one).step("step")
            got = _texts(step.body)
            expect(
                step.status < 500,
                saw=f"{step.heard}, to a search for `{one['sent']}`.",
                wanted="It should find nothing, and say so with an empty list.",
                why="A 500 tells an attacker where to dig.",
            )
            expect(
                not set(seen["secrets"]) & got,
                saw="A search answered with passwords from `staff`.",
                wanted="It should look for titles, whatever it is given.",
            )
            expect(
                not _titles(step.body),
                saw=f"A search for something that no title contains found "
                f"{_listed(_titles(step.body))}.",
                wanted="It should find nothing.",
            )

    @requirement(2, shows="welcome")
    def closed_login(self, seen: Seen) -> None:
        """The right password opens the door; nothing else does."""
        for name in ("welcome", "quoted_welcome"):
            step = seen.step(name)
            expect(
                step.status == 200,
                saw=f"{step.heard}, to the right name with the right password.",
                wanted="That should be a 200, for a name with an apostrophe as well.",
            )
        for step in [seen.step("wrong_password"), *seen.steps("logins")]:
            expect(
                step.status in REFUSED,
                saw=f"{step.heard}, without the right password.",
                wanted="That should be a 401.",
            )

    @requirement(1, shows="percent")
    def wildcards_stand_for_themselves(self, seen: Seen) -> None:
        """`%` and `_` in `q` are looked for as they are."""
        for name in ("percent", "underscore"):
            step, title = seen.step(name), seen["titles"][name]
            expect(
                _titles(step.body) == [title],
                saw=f"{_found(step)}, when asked for *{title}*.",
                wanted="Only that title contains it.",
            )

    @requirement(1, shows="plain")
    def values_beside_statements(self, seen: Seen) -> None:
        """The value is never part of a statement."""
        for step in (seen.step("plain"), seen.step("welcome")):
            expect(
                not _pasted(step, seen),
                saw=f"The statement of `{step.asked}` has the client's own words in it.",
                wanted="It should have a `?` there, and the value beside it.",
                why="Whatever filters the value first is a list of the tricks that somebody knew.",
            )

    @mistake(marks=("sql",))
    def placeholder_in_quotes(self, seen: Seen) -> bool:
        """The placeholder stands inside apostrophes, and there it is text like any other: the
        database waits for no value and is handed one. Take the apostrophes away, and join the
        wildcards to the value: `LIKE '%' || :q || '%'`."""
        return any(
            "Incorrect number of bindings" in step.error_message
            and any("?" in quoted for sql in step.timeline.statements for quoted in _quoted(sql))
            for step in (seen.step("plain"), seen.step("welcome"))
        )

    @mistake()
    def question_mark(self, seen: Seen) -> bool:
        """`text()` knows its parameters by name: write `:q` where the value belongs, and hand over
        `{"q": q}`. SQLAlchemy turns the name into the `?` that you saw on timelines."""
        said = ("Incorrect number of bindings", "List argument must consist only of dictionaries")
        messages = [seen.step(name).error_message for name in ("plain", "welcome")]
        return any(one in message for message in messages for one in said)

    @mistake()
    def values_left_at_home(self, seen: Seen) -> bool:
        """The statement has a place for a value, and nobody hands one over: `execute` takes the
        values as its second argument, `session.execute(wanted, {"q": q})`."""
        messages = [seen.step(name).error_message for name in ("plain", "welcome")]
        return any("A value is required for bind parameter" in one for one in messages)

    @mistake(marks=("sql",))
    def whole_objects(self, seen: Seen) -> bool:
        """The statement is safe, and asks for too much: `select(Book)` gives whole objects, which
        are no JSON, and `cost` is among them. Select the columns that the client is to see."""
        steps = seen.step("plain"), seen.step("welcome")
        return any("Unable to serialize unknown type" in step.error_message for step in steps)

    @mistake(shows="welcome", marks=("sql",))
    def login_is_open(self, seen: Seen) -> bool:
        """The search is closed; the door is not: `name' --` is let in with any password, since the
        rest of your statement becomes a comment. The login needs the same cure."""
        return (
            any(step.status == 200 for step in seen.steps("logins"))
            and not _pasted(seen.step("plain"), seen)
            and _pasted(seen.step("welcome"), seen)
        )

    @mistake(shows="welcome", marks=("sql",))
    def any_password(self, seen: Seen) -> bool:
        """A wrong password opens the door, without any trick: look at the WHERE on the timeline. It
        needs the name *and* the password. `where(one, other)` demands both; Python's `and` between
        them throws one away."""
        return seen.step("wrong_password").status == 200

    @mistake(shows="plain", marks=("sql",))
    def search_is_open(self, seen: Seen) -> bool:
        """The first trick of part 1 still works: what comes behind an apostrophe is read as SQL. On
        the timeline the client's words are part of the statement. Bind them."""
        return _pasted(seen.step("plain"), seen) and _finds(seen["searches"][0])

    @mistake(shows="plain", marks=("sql",))
    def forbidden_words(self, seen: Seen) -> bool:
        """The plain attack fails, and another one works: small letters, or a word that is put
        together by taking another out of its middle. A list of forbidden words is a list of the
        tricks that you know; a bound value needs none."""
        return _pasted(seen.step("plain"), seen) and any(map(_finds, seen["searches"]))

    @mistake(shows="quoted")
    def honest_apostrophes(self, seen: Seen) -> bool:
        """Attackers are kept out, and so is everybody with an apostrophe: a filter refuses or
        changes it. A bound value may hold any character, so there is nothing to filter."""
        refused = seen.step("quoted"), seen.step("quoted_welcome")
        plain = _titles(seen.step("plain").body) and seen.step("welcome").status == 200
        found = _titles(refused[0].body) == [seen["titles"]["quoted"]]
        return bool(plain) and not (found and refused[1].status == 200)

    @mistake(shows="plain", marks=("sql",))
    def escaped_by_hand(self, seen: Seen) -> bool:
        """Every attack failed this time: you escape the value, and then paste it all the same. It
        holds as long as nobody forgets it once, and around a number it holds nothing. Let the
        value travel beside the statement."""
        return _pasted(seen.step("plain"), seen) or _pasted(seen.step("welcome"), seen)

    @mistake(shows="percent")
    def wildcards_still_match(self, seen: Seen) -> bool:
        """No SQL gets in any more, but `%` and `_` still mean *anything* to LIKE, so a search for
        `100%` finds more than it should. `contains(q, autoescape=True)` makes them plain."""
        more = [
            name
            for name in ("percent", "underscore")
            if len(_titles(seen.step(name).body)) > 1
            and seen["titles"][name] in _titles(seen.step(name).body)
        ]
        return bool(more)

    @mistake(shows="plain")
    def whole_titles_only(self, seen: Seen) -> bool:
        """A part of a title finds nothing: you compare the whole. The wildcards that stood around
        `{q}` have been lost; `contains` brings them back."""
        plain, quoted = seen.step("plain"), seen.step("quoted")
        return plain.status == 200 and not _titles(plain.body) and not _titles(quoted.body)


class AllowList(Exercise):
    """`GET /books?sort=...` sorts by what is on offer, refuses everything else, and has one order
    among equals."""

    id = "11.allow_list"
    title = "Sorting by allow-list"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "Write down the four values that a client may send, and what each means as SQL. A "
        "dictionary is a good place for it.",
        'What is not in the dictionary gets `raise HTTPException(422, ...)`. `"-price"` is '
        "`Book.price.desc()`.",
        "`order_by` takes several: `.order_by(sorts[sort], Book.id)`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        lab.write("DELETE FROM book")
        prices = [30, 10, 20, 20, 10, 30]
        words = sorted(lab.word() for _ in range(5))
        titles = [words[4], words[0], words[2], words[2], words[1], words[3]]
        costs = lab.random.sample(range(1, 100), 6)
        for place, (title, price) in enumerate(zip(titles, prices, strict=True)):
            _shelve(lab, title, price=price, cost=costs[place])
        books = lab.rows("SELECT id, title, price, cost FROM book ORDER BY id")

        def ask(**params: str) -> Any:
            return lab.request("GET", "/books", params=params)

        nonsense = ("-cost", "id", "metadata", "price, title", "price DESC", "PRICE", "", "--price")
        trick = "(CASE WHEN (SELECT count(*) FROM staff) >= 0 THEN book.id ELSE -book.id END)"
        return {
            "books": books,
            "default": ask(),
            "title": ask(sort="title"),
            "-title": ask(sort="-title"),
            "price": ask(sort="price"),
            "-price": ask(sort="-price"),
            "trick": ask(sort=trick),
            "cost": ask(sort="cost"),
            "others": [{"sent": one, "step": ask(sort=one)} for one in nonsense],
        }

    @requirement(2, shows="-price")
    def sorts_as_asked(self, seen: Seen) -> None:
        """`title`, `-title`, `price` and `-price` sort as they say, and `title` is the default."""
        for name in ("default", "title", "-title", "price", "-price"):
            step, key = seen.step(name), name.strip("-").replace("default", "title")
            values = [one.get(key) for one in _dicts(step.body)]
            wanted = sorted((one[key] for one in seen["books"]), reverse=name.startswith("-"))
            asked = "no `sort`" if name == "default" else f"`sort={name}`"
            expect(
                step.status == 200,
                saw=f"{step.heard}, to {asked}.",
                wanted="That is on offer, so it should be a 200.",
            )
            expect(
                values == wanted,
                saw=f"To {asked} the {key}s came as {_listed([str(one) for one in values])}.",
                wanted=f"Sorted by `{key}`, {'down' if name[0] == '-' else 'up'}wards, they are "
                f"{_listed([str(one) for one in wanted])}.",
            )

    @requirement(2, shows="trick")
    def refuses_the_rest(self, seen: Seen) -> None:
        """Everything else is refused with 422 or 400: expressions, other columns, nonsense."""
        offered = [{"sent": "cost", "step": seen["cost"]}, *seen["others"]]
        for one in ({"sent": "(CASE WHEN (SELECT ...", "step": seen["trick"]}, *offered):
            step = Seen(one).step("step")
            expect(
                step.status in (400, 422),
                saw=f"{step.heard}, to `sort={one['sent']}`.",
                wanted="That is not on offer, so it should be a 422 or a 400.",
            )

    @requirement(1, shows="-price")
    def equals_by_id(self, seen: Seen) -> None:
        """Books that are equal come in the order of their ids, upwards and downwards."""
        for name in ("price", "-price", "title", "-title"):
            pairs, wanted = _pairs(seen, name), _sorted_pairs(seen, name)
            expect(
                pairs == wanted,
                saw=f"`sort={name}` gave the ids {_ids(pairs)}.",
                wanted=f"With equals by id, they are {_ids(wanted)}.",
                why="Without one order among equals, a book is on two pages, or on none.",
            )

    @mistake(shows="trick", marks=("sql",))
    def pasted(self, seen: Seen) -> bool:
        """A whole SELECT came in as `sort`, and stands in your ORDER BY: this answer is sorted by
        what is in `staff`. That is the blind injection of part 3. Look the order up in a list of
        what you offer."""
        return any("staff" in sql for sql in seen.step("trick").timeline.statements)

    @mistake(shows="price", marks=("sql",))
    def bound(self, seen: Seen) -> bool:
        """The name of the column is bound as a value, so the database sorts by a constant, which is
        not at all. Nothing gets in, and nothing is sorted. Names come from a list."""
        return any(
            "ORDER BY ?" in " ".join(sql.split()) or "ORDER BY (?" in " ".join(sql.split())
            for sql in seen.step("price").timeline.statements
        )

    @mistake(shows="cost", marks=("sql",))
    def any_column(self, seen: Seen) -> bool:
        """`sort=cost` is answered: the catalogue in the order of what Dog-Eared paid. The column is
        looked up on the model, and the model has more than you offer. List what you do offer."""
        by_cost = [one["id"] for one in sorted(seen["books"], key=lambda one: int(one["cost"]))]
        return [one.get("id") for one in _dicts(seen.step("cost").body)] == by_cost

    @mistake(shows="cost")
    def quietly_otherwise(self, seen: Seen) -> bool:
        """What is not on your list is answered all the same, quietly in another order. Nothing gets
        in; but a client that misspells `price` gets a list in the wrong order, and no word about
        it. Refuse it."""
        return seen.step("cost").status == 200

    @mistake(shows="trick")
    def crashes_instead(self, seen: Seen) -> bool:
        """What is not on your list ends in a 500: safe, but it says "our fault" to a mistake of the
        client's, and wakes somebody. Raise `HTTPException(422, ...)`, or declare the parameter as
        an Enum or a `Literal`."""
        others = [Seen(one).step("step") for one in seen["others"]]
        return any(step.status >= 500 for step in (seen.step("trick"), seen.step("cost"), *others))

    @mistake(shows="-price")
    def minus_is_ignored(self, seen: Seen) -> bool:
        """`-price` sorts upwards like `price`. A minus in front means downwards: `.desc()`."""
        return _pairs(seen, "-price") == _pairs(seen, "price") and bool(_pairs(seen, "price"))

    @mistake(shows="-price", marks=("sql",))
    def equals_upside_down(self, seen: Seen) -> bool:
        """Books of one price come by falling ids when sorted downwards: you turned the whole order
        round, and the ids with it. Turn round what the client asked for, and let `Book.id` behind
        it rise."""
        statements = seen.step("-price").timeline.statements
        return _equals_fall(seen, "-price") and any(map(_ordered_by_id, statements))

    @mistake(shows="-price", marks=("sql",))
    def no_order_among_equals(self, seen: Seen) -> bool:
        """Books of one price come by falling ids when sorted downwards: nobody asked for an order
        among equals, and the database walked its index from the far end. End the order with
        `Book.id`."""
        return _equals_fall(seen, "-price")


class TwoColumns(Exercise):
    """A client may set `name` and `email` of a customer, and nothing else."""

    id = "11.two_columns"
    title = "Open two columns"
    needs = {"app": FastAPI, "engine": Engine}
    hints = (
        "FastAPI keeps what is not in a schema from ever reaching you. Which type do the two "
        "parameters have now?",
        "One schema for signing up, with both fields required; one for changing, with both "
        "optional. Then `model_dump()` is safe to spread.",
        "`class Changes(BaseModel): name: str | MISSING = MISSING`, the same for `email`, and in "
        "the endpoint `changes.model_dump(exclude_unset=True).items()`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        name, email, other = lab.word(), f"{lab.word()}@example.com", lab.word()
        lab.write(
            "INSERT INTO customer (id, name, email, credit, is_staff) VALUES (:id, :n, :e, 7, 0)",
            id=(eve := lab.number(1000, 9000)),
            n=name,
            e=email,
        )

        def row(customer: int) -> Any:
            found = lab.rows("SELECT * FROM customer WHERE id = :id", id=customer)
            return found[0] if found else None

        seen: dict[str, Any] = {"before": row(eve), "other": other}
        seen["honest"] = lab.request("PATCH", f"/customers/{eve}", json={"name": other})
        seen["after_honest"] = row(eve)
        seen["rows"] = {}
        for name, value in (("is_staff", True), ("credit", 500), ("id", eve + 1), (_NO_COLUMN, 42)):
            seen[name] = lab.request("PATCH", f"/customers/{eve}", json={name: value})
            seen["rows"][name] = row(eve) or row(eve + 1)
        new = {"name": lab.word(), "email": f"{lab.word()}@example.com"}
        seen["new"] = new
        seen["sign_up"] = lab.request("POST", "/customers", json=new)
        seen["signed_up"] = _customers(lab, new)
        new_too = {"name": lab.word(), "email": f"{lab.word()}@example.com"}
        seen["wished_id"] = eve + 77
        greed = {**new_too, "is_staff": True, "credit": 500, "id": seen["wished_id"]}
        seen["greedy_sign_up"] = lab.request("POST", "/customers", json=greed)
        seen["greedy_signed_up"] = _customers(lab, new_too)
        return seen

    @requirement(1, shows="honest")
    def honest_changes(self, seen: Seen) -> None:
        """A change changes what was sent, and leaves the rest."""
        step = seen.step("honest")
        wanted = {**seen["before"], "name": seen["other"]}
        expect(
            step.status == 200,
            saw=f"{step.heard}, to a new name.",
            wanted="That should be a 200.",
        )
        expect(
            seen["after_honest"] == wanted,
            saw=f"After a new name was sent, the row is `{seen['after_honest']}`.",
            wanted=f"Only the name should have changed: `{wanted}`.",
        )

    @requirement(2, shows="is_staff")
    def closed_to_changes(self, seen: Seen) -> None:
        """No change reaches `is_staff`, `credit` or `id`."""
        for name, after in seen["rows"].items():
            step = seen.step(name)
            expect(
                after == seen["after_honest"],
                saw=f"After `{name}` was sent, the row is `{after}`.",
                wanted="It should be as before: a client may set `name` and `email`.",
            )
            expect(
                step.status < 500,
                saw=f"{step.heard}, to a change of `{name}`.",
                wanted="Drop it (200) or refuse it (422).",
            )

    @requirement(2, shows="greedy_sign_up")
    def closed_sign_up(self, seen: Seen) -> None:
        """Signing up makes a customer like every other, whatever is sent along."""
        step, made = seen.step("sign_up"), seen["signed_up"]
        expect(
            step.status == 201 and len(made) == 1,
            saw=f"{step.heard}, to a name and an address, and {len(made)} such customers are "
            "there.",
            wanted="That should be a 201, and one.",
        )
        greedy, rows = seen.step("greedy_sign_up"), seen["greedy_signed_up"]
        expect(
            greedy.status < 500,
            saw=f"{greedy.heard}, to a sign-up with `is_staff`, `credit` and `id` in it.",
            wanted="Drop them (201) or refuse them (422).",
        )
        got = [one for one in rows if one["is_staff"] or one["credit"] or _wished(seen, one)]
        expect(
            not got,
            saw=f"Somebody who sent `is_staff`, `credit` and `id` along is `{rows[:1]}` now.",
            wanted="Nobody begins as staff, with credit, or with an id of their own choice.",
        )

    @mistake(shows="is_staff", marks=("sql UPDATE",))
    def wide_open(self, seen: Seen) -> bool:
        """`{"is_staff": true}` makes a member of staff of anybody: the endpoint sets whatever it is
        sent. A schema with the two fields lets nothing else through."""
        after = seen["rows"]["is_staff"]
        return bool(after and after["is_staff"])

    @mistake(shows="credit", marks=("sql UPDATE",))
    def credit_for_all(self, seen: Seen) -> bool:
        """`is_staff` is kept out, and `credit` gets in: you list what is forbidden, and the list is
        not complete. It never will be. List what is allowed."""
        return _changed(seen, "credit")

    @mistake(shows="id", marks=("sql UPDATE",))
    def id_forgotten(self, seen: Seen) -> bool:
        """`is_staff` and `credit` are kept out, and the row has another `id` now: whoever sends one
        gets it. A list of what is forbidden is never complete. List what is allowed."""
        return _changed(seen, "id")

    @mistake()
    def schema_is_no_dict(self, seen: Seen) -> bool:
        """The parameter is a schema now, and the code below still takes it for a dictionary:
        `model_dump()` makes one of it. `exclude_unset=True` leaves out what was not sent."""
        said = ("has no attribute 'items'", "must be a mapping", "object is not subscriptable")
        messages = [seen.step(name).error_message for name in ("honest", "sign_up")]
        return any(one in message for message in messages for one in said)

    @mistake(shows="greedy_sign_up", marks=("sql INSERT",))
    def only_one_of_two(self, seen: Seen) -> bool:
        """Changing is closed; signing up is not: whoever sends `is_staff` along begins as staff.
        Signing up needs a schema, too, with the two fields and no others."""
        return any(one["is_staff"] or one["credit"] for one in seen["greedy_signed_up"])

    @mistake(shows="greedy_sign_up", marks=("sql INSERT",))
    def chooses_its_id(self, seen: Seen) -> bool:
        """Whoever signs up chooses an id: it is in your schema, or the one that you read with is
        used for writing. The database hands out ids."""
        return any(_wished(seen, one) for one in seen["greedy_signed_up"])

    @mistake(shows="honest", marks=("sql UPDATE",))
    def overwrites_the_rest(self, seen: Seen) -> bool:
        """A new name was sent, and the address is gone or the request failed for want of one:
        fields that were not sent came along as None. `model_dump(exclude_unset=True)` leaves them
        out."""
        after, before = seen["after_honest"], seen["before"]
        failed = "NOT NULL" in seen.step("honest").error_message
        return failed or bool(after and after["email"] != before["email"])

    @mistake(shows="honest")
    def everything_or_nothing(self, seen: Seen) -> bool:
        """A change of the name alone fails: the schema demands both fields, or the code reads both
        without asking whether they were sent. What a client may leave out has a default; `| None`
        alone gives it none."""
        return seen.step("honest").status == 422 or seen.step("honest").error == "KeyError"

    @mistake()
    def crashes_instead(self, seen: Seen) -> bool:
        """Something that is no column ends in a 500. Safe by luck, and somebody is woken for it.
        With a schema, FastAPI drops it, or refuses it with 422."""
        crashed = [step for step in map(seen.step, seen["rows"]) if step.status >= 500]
        honest = seen.step("honest").status < 400 and seen.step("sign_up").status < 400
        return honest and bool(crashed or seen.step("greedy_sign_up").status >= 500)


# -- what several of them ask -----------------------------------------------------------------
def _hire(lab: Lab, number: int, apostrophe: bool = False) -> list[dict[str, Any]]:
    lab.write("DELETE FROM staff")
    people: list[dict[str, Any]] = [
        {"name": lab.word(), "password": lab.word(12)} for _ in range(number)
    ]
    if apostrophe:
        people[-1]["name"] = f"{people[-1]['name'][0]}'{people[-1]['name']}"
    for one in people:
        lab.write("INSERT INTO staff (name, password) VALUES (:name, :password)", **one)
    return people


def _shelve(lab: Lab, title: str, price: int = 5, cost: int = 1) -> None:
    lab.write(
        "INSERT INTO book (title, price, cost) VALUES (:title, :price, :cost)",
        title=title,
        price=price,
        cost=cost,
    )


def _customers(lab: Lab, sent: dict[str, Any]) -> list[dict[str, Any]]:
    return lab.rows("SELECT * FROM customer WHERE name = :name AND email = :email", **sent)


def _dicts(body: Any) -> list[dict[str, Any]]:
    return [one for one in body if isinstance(one, dict)] if isinstance(body, list) else []


def _titles(body: Any) -> list[str]:
    return [str(one.get("title")) for one in _dicts(body)]


def _texts(body: Any) -> set[str]:
    """Every text that stands somewhere in an answer."""
    if isinstance(body, dict):
        return set().union(*map(_texts, body.values()))
    if isinstance(body, list):
        return set().union(*map(_texts, body))
    return {str(body)}


def _listed(found: list[str]) -> str:
    return ", ".join(f"*{one}*" for one in found[:6]) or "nothing"


def _ids(pairs: list[tuple[Any, Any]]) -> str:
    return ", ".join(str(pair[1]) for pair in pairs) or "of nothing"


def _pairs(seen: Seen, name: str) -> list[tuple[Any, Any]]:
    """What was sorted by and the id, of each book in an answer."""
    key = name.strip("-")
    return [(one.get(key), one.get("id")) for one in _dicts(seen.step(name).body)]


def _sorted_pairs(seen: Seen, name: str) -> list[tuple[Any, Any]]:
    """The same as they should be."""
    key = name.strip("-")
    pairs = [(one[key], one["id"]) for one in seen["books"]]  # by id
    return sorted(pairs, key=lambda pair: pair[0], reverse=name.startswith("-"))


def _equals_fall(seen: Seen, name: str) -> bool:
    """Whether the books are sorted, and among equals by falling ids."""
    upwards = _sorted_pairs(seen, name.removeprefix("-"))
    return _pairs(seen, name) == upwards[::-1]


def _ordered_by_id(sql: str) -> bool:
    return re.search(r"\bID\b", sql.upper().rpartition("ORDER BY")[2]) is not None


def _pasted(step: Step, seen: Seen) -> bool:
    """Whether the client's own words stand in a statement."""
    words = (seen["marker"], seen["person"]["name"], seen["person"]["password"])
    return any(word in sql for sql in step.timeline.statements for word in words)


def _finds(attack: dict[str, Any]) -> bool:
    return bool(_titles(Seen(attack).step("step").body))


def _wished(seen: Seen, customer: dict[str, Any]) -> bool:
    return bool(customer["id"] == seen["wished_id"])


def _changed(seen: Seen, name: str) -> bool:
    """Whether a column got another value, the honest change apart."""
    after = seen["rows"][name]
    return bool(after and after[name] != seen["before"][name])


def _unreadable(step: Step) -> bool:
    return "syntax error" in step.error_message or "unrecognized token" in step.error_message


def _only_one(step: Step) -> bool:
    return "one statement at a time" in step.error_message


def _quoted(sql: str) -> list[str]:
    """What stands between apostrophes."""
    return sql.split("'")[1::2]


def _found(step: Step) -> str:
    """A sentence for a card: what a search answered with."""
    return f"{step.heard} with {_listed(_titles(step.body))}" if step.status == 200 else step.heard


def _comment_at_the_end(sql: str) -> bool:
    return "--" in sql.rpartition("UNION")[2] or "/*" in sql


EXERCISES: tuple[type[Exercise], ...] = (Exploit, CloseBoth, AllowList, TwoColumns)
