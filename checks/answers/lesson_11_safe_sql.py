"""Answers to lesson 11, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong
from checks.verdict import Status


def _both(search: str, login: str) -> str:
    """The app of exercise 11.2, with two ways of asking: each a statement, and its values."""
    return f"""\
app = FastAPI()

@app.get("/search")
def search_books(q: str) -> list[dict[str, Any]]:
    values: dict[str, Any] = {{}}
{_indented(search)}
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(wanted, values).mappings()]

@app.post("/login")
def login(given: Credentials) -> dict[str, Any]:
    values: dict[str, Any] = {{}}
{_indented(login)}
    with SessionLocal() as session:
        person = session.execute(wanted, values).mappings().first()
    if person is None:
        raise HTTPException(401, "Wrong name or password.")
    return dict(person)
"""


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in body.strip().splitlines())


_SEARCH = """
wanted = select(Book.id, Book.title, Book.price).where(Book.title.contains(q, autoescape=True))
"""
_LOGIN = """
wanted = select(Staff.id, Staff.name).where(
    Staff.name == given.name, Staff.password == given.password
)
"""
_OPEN_SEARCH = """
wanted = text(f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'")
"""
_OPEN_LOGIN = """
wanted = text(
    f"SELECT id, name FROM staff WHERE name = '{given.name}' "
    f"AND password = '{given.password}'"
)
"""


def _sorted(
    body: str, signature: str = 'sort: str = "title"', order: str = "order, Book.id"
) -> str:
    return f"""\
app = FastAPI()

@app.get("/books")
def list_books({signature}) -> list[dict[str, Any]]:
{_indented(body)}
    wanted = select(Book.id, Book.title, Book.price).order_by({order})
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(wanted).mappings()]
"""


_SORTS = """
sorts = {
    "title": Book.title, "-title": Book.title.desc(),
    "price": Book.price, "-price": Book.price.desc(),
}
"""


def _two(sign_up: str, change: str, schemas: str = "") -> str:
    return f"""\
{schemas.strip()}

app = FastAPI()

@app.post("/customers", status_code=201)
{sign_up.strip()}
        session.add(customer)
        session.flush()
        return {{"id": customer.id, "name": customer.name, "email": customer.email}}

@app.patch("/customers/{{customer_id}}")
{change.strip()}
        return {{"id": customer.id, "name": customer.name, "email": customer.email}}
"""


_SCHEMAS = """
class NewCustomer(BaseModel):
    name: str
    email: str

class Changes(BaseModel):
    name: str | None = None
    email: str | None = None
"""
_SIGN_UP = """
def sign_up(new: NewCustomer) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = Customer(**new.model_dump())
"""
_OPEN_SIGN_UP = """
def sign_up(new: dict[str, Any]) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = Customer(**new)
"""


def _change(loop: str, kind: str = "Changes") -> str:
    indented = "\n".join(f"        {line}" for line in loop.strip().splitlines())
    return f"""
def change_customer(customer_id: int, changes: {kind}) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = session.get(Customer, customer_id)
        if customer is None:
            raise HTTPException(404, "No such customer.")
{indented}
"""


_CHANGE = _change("""
for name, value in changes.model_dump(exclude_unset=True).items():
    setattr(customer, name, value)
""")

_OPEN_CHANGE = _change(
    """
for name, value in changes.items():
    setattr(customer, name, value)
""",
    "dict[str, Any]",
)

ANSWERS: tuple[Answer, ...] = (
    # -- 11.1 ---------------------------------------------------------------------------------
    right(
        "11.exploit", "a union", 'attack = "zzzz\' UNION SELECT id, name, password FROM staff --"'
    ),
    right(
        "11.exploit",
        "both in one column, small letters, another comment",
        "attack = \"' union all select 1, name || ':' || password, name || password from staff /*\"\n"
        'attack = "nobody\' union select password, name, 0 from staff; --"',
    ),
    right(
        "11.exploit",
        "without a comment, by a condition that takes up the rest",
        "attack = \"zzzz' UNION SELECT id, name, password FROM staff WHERE '' LIKE '\"",
    ),
    wrong(
        "11.exploit",
        "all books",
        'attack = "\' OR 1=1 --"',
        "only_books",
    ),
    wrong(
        "11.exploit",
        "never out of the string",
        'attack = "UNION SELECT id, name, password FROM staff --"',
        "still_inside_the_string",
    ),
    wrong(
        "11.exploit",
        "an apostrophe of the wrong kind",
        'attack = "zzzz\\" UNION SELECT id, name, password FROM staff --"',
        "still_inside_the_string",
    ),
    wrong(
        "11.exploit",
        "two columns",
        'attack = "zzzz\' UNION SELECT name, password FROM staff --"',
        "wrong_number_of_columns",
    ),
    wrong(
        "11.exploit",
        "a table that is not there",
        'attack = "zzzz\' UNION SELECT id, name, password FROM users --"',
        "no_such_thing",
    ),
    wrong(
        "11.exploit",
        "a column that is not there",
        'attack = "zzzz\' UNION SELECT id, username, password FROM staff --"',
        "no_such_thing",
    ),
    wrong(
        "11.exploit",
        "no comment",
        'attack = "zzzz\' UNION SELECT id, name, password FROM staff"',
        "the_rest_is_still_there",
    ),
    wrong(
        "11.exploit",
        "a second statement",
        'attack = "zzzz\'; SELECT id, name, password FROM staff --"',
        "second_statement",
    ),
    wrong(
        "11.exploit",
        "a semicolon at the end, and no comment",
        'attack = "zzzz\' UNION SELECT id, name, password FROM staff;"',
        "the_rest_is_still_there",
    ),
    wrong("11.exploit", "an apostrophe alone", 'attack = "\'"', "the_rest_is_still_there"),
    wrong(
        "11.exploit",
        "another database's comment",
        'attack = "zzzz\' UNION SELECT id, name, password FROM staff #"',
        "the_rest_is_still_there",
    ),
    wrong(
        "11.exploit",
        "a bracket that was never opened",
        'attack = "zzzz\') UNION SELECT id, name, password FROM staff --"',
        "not_yet_sql",
    ),
    wrong(
        "11.exploit",
        "a union without its SELECT",
        'attack = "zzzz\' UNION id, name, password FROM staff --"',
        "not_yet_sql",
    ),
    wrong(
        "11.exploit",
        "the people of the lesson, typed",
        "attack = \"zzzz' UNION SELECT 1, 'ada', 'fallingleaf' --\"",
    ),
    wrong(
        "11.exploit",
        "names alone",
        'attack = "zzzz\' UNION SELECT id, name, id FROM staff --"',
        "not_both_columns",
    ),
    wrong(
        "11.exploit",
        "the one that the lesson knows",
        "attack = \"zzzz' UNION SELECT id, name, password FROM staff WHERE name = 'ada' --\"",
        "not_both_columns",
    ),
    wrong("11.exploit", "empty", 'attack = ""', "still_inside_the_string"),
    wrong("11.exploit", "no text", "attack = None"),
    # -- 11.2 ---------------------------------------------------------------------------------
    right("11.close_both", "select and contains", _both(_SEARCH, _LOGIN)),
    right(
        "11.close_both",
        "text with parameters, the wildcards escaped by hand",
        _both(
            """
wanted = text("SELECT id, title, price FROM book WHERE title LIKE '%' || :q || '%' ESCAPE '!'")
for special in "!%_":
    q = q.replace(special, "!" + special)
values = {"q": q}
""",
            """
wanted = text("SELECT id, name FROM staff WHERE name = :name AND password = :password")
values = given.model_dump()
""",
        ),
    ),
    right(
        "11.close_both",
        "instr, and comparing in Python",
        """\
from sqlalchemy import func

app = FastAPI()

@app.get("/search")
def search_books(q: str) -> list[dict[str, Any]]:
    with SessionLocal() as session:
        found = session.scalars(select(Book).where(func.instr(Book.title, q) > 0))
        return [{"id": one.id, "title": one.title, "price": one.price} for one in found]

@app.post("/login")
def login(given: Credentials) -> dict[str, Any]:
    with SessionLocal() as session:
        person = session.scalar(select(Staff).where(Staff.name == given.name))
        if person is None or person.password != given.password:
            raise HTTPException(401)
        return {"id": person.id, "name": person.name}
""",
    ),
    wrong("11.close_both", "only the search", _both(_SEARCH, _OPEN_LOGIN), "login_is_open"),
    wrong("11.close_both", "only the login", _both(_OPEN_SEARCH, _LOGIN), "search_is_open"),
    wrong(
        "11.close_both",
        "an f-string without text()",
        _both(
            """
query = "SELECT id, title, price FROM book WHERE title LIKE '%" + q + "%'"
wanted = text(query)
""",
            _LOGIN,
        ),
        "search_is_open",
    ),
    wrong(
        "11.close_both",
        "the placeholder in quotes",
        _both(
            """
wanted = text("SELECT id, title, price FROM book WHERE title LIKE '%:q%'")
values = {"q": q}
""",
            _LOGIN,
        ),
        "placeholder_in_quotes",
    ),
    wrong(
        "11.close_both",
        "one of two placeholders in quotes",
        _both(
            _SEARCH,
            """
wanted = text("SELECT id, name FROM staff WHERE name = :name AND password = ':password'")
values = given.model_dump()
""",
        ),
        "placeholder_in_quotes",
    ),
    wrong(
        "11.close_both",
        "a question mark, and its values as a tuple",
        """\
app = FastAPI()

@app.get("/search")
def search_books(q: str) -> list[dict[str, Any]]:
    wanted = text("SELECT id, title, price FROM book WHERE title LIKE ?")
    with SessionLocal() as session:
        return [dict(row) for row in session.execute(wanted, (f"%{q}%",)).mappings()]
""",
        "question_mark",
    ),
    wrong(
        "11.close_both",
        "question marks, and no values",
        _both(_SEARCH, 'wanted = text("SELECT id, name FROM staff WHERE name = ?")'),
        "question_mark",
    ),
    wrong(
        "11.close_both",
        "the values left at home",
        _both(
            "wanted = text(\"SELECT id, title, price FROM book WHERE title LIKE '%' || :q || '%'\")",
            _LOGIN,
        ),
        "values_left_at_home",
    ),
    wrong(
        "11.close_both",
        "whole books",
        _both(_SEARCH.replace("Book.id, Book.title, Book.price", "Book"), _LOGIN),
        "whole_objects",
    ),
    wrong(
        "11.close_both",
        "only the beginning of a title",
        _both(_SEARCH.replace("contains", "startswith"), _LOGIN),
    ),
    wrong(
        "11.close_both",
        "an f-string inside of a select",
        _both(
            """
wanted = select(Book.id, Book.title, Book.price).where(text(f"title LIKE '%{q}%'"))
""",
            _LOGIN,
        ),
        "search_is_open",
    ),
    wrong(
        "11.close_both",
        "apostrophes doubled",
        _both(
            """
q = q.replace("'", "''")
wanted = text(f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'")
""",
            """
name, password = given.name.replace("'", "''"), given.password.replace("'", "''")
wanted = text(f"SELECT id, name FROM staff WHERE name = '{name}' AND password = '{password}'")
""",
        ),
        "escaped_by_hand",
    ),
    wrong(
        "11.close_both",
        "apostrophes refused",
        _both(
            """
if "'" in q:
    raise HTTPException(400, "No apostrophes, please.")
wanted = text(f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'")
""",
            _LOGIN,
        ),
        "honest_apostrophes",
    ),
    wrong(
        "11.close_both",
        "apostrophes taken away",
        _both(_SEARCH.replace("contains(q", 'contains(q.replace("\'", "")'), _LOGIN),
        "honest_apostrophes",
    ),
    wrong(
        "11.close_both",
        "bad words taken away",
        _both(
            """
for word in ("UNION", "SELECT", "OR", "--", ";"):
    q = q.replace(word, "")
wanted = text(f"SELECT id, title, price FROM book WHERE title LIKE '%{q}%'")
""",
            _LOGIN,
        ),
        "forbidden_words",
    ),
    wrong(
        "11.close_both",
        "wildcards left",
        _both(_SEARCH.replace(", autoescape=True", ""), _LOGIN),
        "wildcards_still_match",
    ),
    wrong(
        "11.close_both",
        "equal, not contained",
        _both(_SEARCH.replace(".contains(q, autoescape=True)", " == q"), _LOGIN),
        "whole_titles_only",
    ),
    wrong(
        "11.close_both",
        "or instead of and",
        _both(
            _SEARCH,
            "wanted = select(Staff.id, Staff.name).where(\n"
            "    (Staff.name == given.name) | (Staff.password == given.password)\n)",
        ),
        "any_password",
    ),
    wrong(
        "11.close_both",
        "Python's and",
        _both(
            _SEARCH,
            "wanted = select(Staff.id, Staff.name).where(\n"
            "    Staff.name == given.name and Staff.password == given.password\n)",
        ),
        "any_password",
    ),
    wrong(
        "11.close_both",
        "the password forgotten",
        _both(_SEARCH, "wanted = select(Staff.id, Staff.name).where(Staff.name == given.name)"),
        "any_password",
    ),
    # -- 11.3 ---------------------------------------------------------------------------------
    right(
        "11.allow_list",
        "a dictionary",
        _sorted(
            _SORTS
            + 'if sort not in sorts:\n    raise HTTPException(422, "No.")\norder = sorts[sort]'
        ),
    ),
    right(
        "11.allow_list",
        "a Literal, 422 by FastAPI",
        "from typing import Literal\n\n"
        + _sorted(
            """
column = {"title": Book.title, "price": Book.price}[sort.removeprefix("-")]
order = column.desc() if sort.startswith("-") else column
""",
            'sort: Literal["title", "-title", "price", "-price"] = "title"',
        ),
    ),
    right(
        "11.allow_list",
        "an Enum, sorted in Python",
        """\
from enum import StrEnum

class By(StrEnum):
    TITLE = "title"
    TITLE_DOWN = "-title"
    PRICE = "price"
    PRICE_DOWN = "-price"

app = FastAPI()

@app.get("/books")
def list_books(sort: By = By.TITLE) -> list[dict[str, Any]]:
    with SessionLocal() as session:
        wanted = select(Book.id, Book.title, Book.price).order_by(Book.id)
        found = [dict(row) for row in session.execute(wanted).mappings()]
    key = sort.strip("-")
    return sorted(found, key=lambda one: one[key], reverse=sort.startswith("-"))
""",
    ),
    wrong("11.allow_list", "pasted", _sorted("order = text(sort)"), "pasted"),
    wrong(
        "11.allow_list",
        "pasted, after the word that it begins with was looked at",
        _sorted(
            'if "password" in sort or ";" in sort:\n    raise HTTPException(422)\n'
            'down = sort.startswith("-")\norder = text(sort.strip("-") + (" DESC" if down else ""))'
        ),
        "pasted",
    ),
    wrong(
        "11.allow_list",
        "bound",
        _sorted("from sqlalchemy import bindparam\norder = bindparam('sort', sort)", order="order"),
        "bound",
    ),
    wrong(
        "11.allow_list",
        "any attribute",
        _sorted(
            'column = getattr(Book, sort.strip("-"), None)\n'
            "if column is None:\n    raise HTTPException(422)\n"
            'order = column.desc() if sort.startswith("-") else column'
        ),
        "any_column",
    ),
    wrong(
        "11.allow_list",
        "any column of the table",
        _sorted(
            'column = Book.__table__.columns.get(sort.removeprefix("-"))\n'
            "if column is None:\n    raise HTTPException(422)\n"
            'order = column.desc() if sort.startswith("-") else column'
        ),
        "any_column",
    ),
    wrong(
        "11.allow_list",
        "quietly by title",
        _sorted(_SORTS + "order = sorts.get(sort, Book.title)"),
        "quietly_otherwise",
    ),
    wrong(
        "11.allow_list",
        "quietly by id",
        _sorted(_SORTS + "order = sorts.get(sort, Book.id)"),
        "quietly_otherwise",
    ),
    wrong(
        "11.allow_list",
        "the ids are on offer, too",
        _sorted("""
if sort.removeprefix("-") not in ("id", "title", "price"):
    raise HTTPException(422, "No.")
column = getattr(Book, sort.removeprefix("-"))
order = column.desc() if sort.startswith("-") else column
"""),
    ),
    wrong(
        "11.allow_list",
        "any number of minuses",
        _sorted("""
if sort.strip("-") not in ("title", "price"):
    raise HTTPException(422, "No.")
column = getattr(Book, sort.strip("-"))
order = column.desc() if sort.startswith("-") else column
"""),
    ),
    wrong(
        "11.allow_list",
        "refused with 404",
        _sorted(
            _SORTS + "if sort not in sorts:\n    raise HTTPException(404)\norder = sorts[sort]"
        ),
    ),
    wrong(
        "11.allow_list",
        "the string as it came",
        _sorted("""
if sort not in ("title", "-title", "price", "-price"):
    raise HTTPException(422, "No.")
order = sort
"""),
    ),
    wrong(
        "11.allow_list",
        "the ids turned round as well",
        _sorted(
            """
if sort.removeprefix("-") not in ("title", "price"):
    raise HTTPException(422, "No.")
column = getattr(Book, sort.removeprefix("-"))
order = (column.desc(), Book.id.desc()) if sort.startswith("-") else (column, Book.id)
""",
            order="*order",
        ),
        "equals_upside_down",
    ),
    wrong(
        "11.allow_list",
        "the list turned round in Python",
        """\
app = FastAPI()

@app.get("/books")
def list_books(sort: str = "title") -> list[dict[str, Any]]:
    if sort.removeprefix("-") not in ("title", "price"):
        raise HTTPException(422, "No.")
    column = getattr(Book, sort.removeprefix("-"))
    wanted = select(Book.id, Book.title, Book.price).order_by(column, Book.id)
    with SessionLocal() as session:
        found = [dict(row) for row in session.execute(wanted).mappings()]
    return found[::-1] if sort.startswith("-") else found
""",
        "equals_upside_down",
    ),
    wrong(
        "11.allow_list",
        "a KeyError",
        _sorted(_SORTS + "order = sorts[sort]"),
        "crashes_instead",
    ),
    wrong(
        "11.allow_list",
        "no order among equals",
        _sorted(
            _SORTS
            + 'if sort not in sorts:\n    raise HTTPException(422, "No.")\norder = sorts[sort]',
            order="order",
        ),
        "no_order_among_equals",
    ),
    wrong(
        "11.allow_list",
        "the minus thrown away",
        _sorted(
            'if sort.removeprefix("-") not in ("title", "price"):\n    raise HTTPException(400)\n'
            'order = getattr(Book, sort.removeprefix("-"))'
        ),
        "minus_is_ignored",
    ),
    # -- 11.4 ---------------------------------------------------------------------------------
    right("11.two_columns", "two schemas", _two(_SIGN_UP, _CHANGE, _SCHEMAS)),
    right(
        "11.two_columns",
        "strict schemas, fields by name",
        _two(
            """
def sign_up(new: NewCustomer) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = Customer(name=new.name, email=new.email)
""",
            _change("""
if changes.name is not None:
    customer.name = changes.name
if changes.email is not None:
    customer.email = changes.email
"""),
            """
class NewCustomer(BaseModel, extra="forbid"):
    name: str
    email: str

class Changes(BaseModel, extra="forbid"):
    name: str | None = None
    email: str | None = None
""",
        ),
    ),
    right(
        "11.two_columns",
        "a list of what is allowed, by hand",
        _two(
            """
def sign_up(new: dict[str, Any]) -> dict[str, Any]:
    with SessionLocal.begin() as session:
        customer = Customer(**{name: new[name] for name in ("name", "email")})
""",
            _change(
                """
for name in ("name", "email"):
    if name in changes:
        setattr(customer, name, changes[name])
""",
                "dict[str, Any]",
            ),
        ),
    ),
    wrong("11.two_columns", "only signing up", _two(_SIGN_UP, _OPEN_CHANGE, _SCHEMAS), "wide_open"),
    wrong(
        "11.two_columns",
        "only changing",
        _two(_OPEN_SIGN_UP, _CHANGE, _SCHEMAS),
        "only_one_of_two",
    ),
    wrong(
        "11.two_columns",
        "everything that the model has",
        _two(
            _SIGN_UP,
            _change(
                """
for name, value in changes.items():
    if hasattr(customer, name):
        setattr(customer, name, value)
""",
                "dict[str, Any]",
            ),
            _SCHEMAS,
        ),
        "wide_open",
    ),
    wrong(
        "11.two_columns",
        "a list of the forbidden",
        _two(
            _SIGN_UP,
            _change(
                """
for name, value in changes.items():
    if name not in ("is_staff", "credit"):
        setattr(customer, name, value)
""",
                "dict[str, Any]",
            ),
            _SCHEMAS,
        ),
        "id_forgotten",
    ),
    wrong(
        "11.two_columns",
        "one of the forbidden",
        _two(
            _SIGN_UP,
            _change(
                """
changes.pop("is_staff", None)
for name, value in changes.items():
    setattr(customer, name, value)
""",
                "dict[str, Any]",
            ),
            _SCHEMAS,
        ),
        "credit_for_all",
    ),
    wrong(
        "11.two_columns",
        "a schema taken for a dictionary",
        _two(_SIGN_UP, _OPEN_CHANGE.replace("dict[str, Any])", "Changes)"), _SCHEMAS),
        "schema_is_no_dict",
    ),
    wrong(
        "11.two_columns",
        "a schema spread",
        _two(_SIGN_UP.replace(".model_dump()", ""), _CHANGE, _SCHEMAS),
        "schema_is_no_dict",
    ),
    wrong(
        "11.two_columns",
        "optional, and without a default",
        _two(_SIGN_UP, _CHANGE, _SCHEMAS.replace(" | None = None", " | None")),
        "everything_or_nothing",
    ),
    wrong(
        "11.two_columns",
        "both fields read",
        _two(
            _SIGN_UP,
            _change(
                """
customer.name = changes["name"]
customer.email = changes["email"]
""",
                "dict[str, Any]",
            ),
            _SCHEMAS,
        ),
        "everything_or_nothing",
    ),
    wrong(
        "11.two_columns",
        "extra fields allowed",
        _two(
            _SIGN_UP,
            _CHANGE,
            _SCHEMAS.replace("class Changes(BaseModel)", 'class Changes(BaseModel, extra="allow")'),
        ),
        "wide_open",
    ),
    wrong(
        "11.two_columns",
        "one schema for reading and writing",
        _two(
            "def sign_up(new: CustomerOut) -> dict[str, Any]:\n"
            "    with SessionLocal.begin() as session:\n"
            "        customer = Customer(**new.model_dump(exclude_unset=True))",
            _CHANGE,
            _SCHEMAS + "\nclass CustomerOut(NewCustomer):\n    id: int | None = None\n",
        ),
        "chooses_its_id",
    ),
    wrong(
        "11.two_columns",
        "what was not sent is None",
        _two(_SIGN_UP, _CHANGE.replace("exclude_unset=True", ""), _SCHEMAS),
        "overwrites_the_rest",
    ),
    wrong(
        "11.two_columns",
        "both fields demanded",
        _two(_SIGN_UP, _CHANGE.replace("changes: Changes", "changes: NewCustomer"), _SCHEMAS),
        "everything_or_nothing",
    ),
    wrong(
        "11.two_columns",
        "a crash keeps them out",
        _two(
            _SIGN_UP,
            _change(
                """
for name, value in changes.items():
    if name not in {"name", "email"}:
        raise ValueError(name)
    setattr(customer, name, value)
""",
                "dict[str, Any]",
            ),
            _SCHEMAS,
        ),
        "crashes_instead",
    ),
    wrong(
        "11.two_columns",
        "not changed",
        _two(_OPEN_SIGN_UP, _OPEN_CHANGE),
        status=Status.NOT_ATTEMPTED,
    ),
)
