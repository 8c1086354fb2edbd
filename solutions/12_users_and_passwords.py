# %% [markdown]
# # 12 Users and passwords
#
# When you are through, your service takes people in under names that nobody can take twice, keeps passwords that
# nobody can read, you included, writes to exactly those whom it has taken in, and lets no hash out of the house.
#
# The mail provider was down from two to three at night, and nobody woke up for that. At nine there is a queue at
# support: *"I registered. I got an error. I tried again, and now my name is taken. By whom?"* By themselves. Forty-one
# accounts that cannot be confirmed and cannot be registered again. You will make one of them below, and then a
# registration that cannot.

# %% [markdown]
# ## The people
#
# All models in one cell. A user has two names: `username`, which must be unique, and `display_name`, which is how they
# like it spelled. Why two, part 2 will tell; what the second table is for, part 3.

# %% tags=["setup"]
import hashlib
import secrets
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel, SecretStr
from sqlalchemy import Dialect, ForeignKey, MetaData, String, TypeDecorator
from sqlalchemy import create_engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from checks import TODO, check, hint, progress, solution, trace


# %% tags=["setup"]
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


class User(Base):
    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    email: Mapped[str]
    hashed_password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)


class Letter(Base):  # mail that waits to be sent: part 3
    __tablename__ = "letter"

    id: Mapped[int] = mapped_column(primary_key=True)
    recipient: Mapped[str]
    body: Mapped[str]
    is_sent: Mapped[bool] = mapped_column(default=False)


# %% tags=["setup"]
engine = create_engine(f"sqlite:///{Path(tempfile.mkdtemp()) / 'dog_eared.db'}")
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)


def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:  # commits, or rolls back
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]  # before the response


def start_over() -> None:
    """No users, no letters."""
    with SessionLocal.begin() as session:
        for model in (Letter, User):
            session.execute(delete(model))


def count(model: type[Base]) -> int:
    with SessionLocal() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


# %% [markdown]
# # 1. A password that nobody can read
#
# Suppose that one day a copy of the table gets out: a backup, a laptop, a lesson-11 sort of query. What has the thief
# got? Here is such a copy, from a shop that has heard that one does not store passwords, and stores their SHA-256:

# %%
stolen = {
    name: hashlib.sha256(password.encode()).hexdigest()
    for name, password in (
        ("ada", "middlemarch"),
        ("bob", "letmein"),
        ("cleo", "middlemarch"),
        ("dan", "nine-otters-in-a-teapot"),
    )
}

# %% [markdown]
# The thief has a list of passwords that people use. Real ones have billions of lines; seven will do.
#
# **Predict.** How many of the four does it open?

# %%
often_used = ["123456", "password", "letmein", "qwerty", "dragon", "middlemarch", "iloveyou"]
by_hash = {hashlib.sha256(guess.encode()).hexdigest(): guess for guess in often_used}

for name, digest in stolen.items():
    print(f"{name:5} {digest[:12]}...  {by_hash.get(digest, '?')}")

# %% [markdown]
# Three. Nobody had to reverse SHA-256. Two things were wrong:
#
# - **The same password has the same hash.** The list was hashed once and opens every table in the world. And without
#   any list, the table itself says that Ada and Cleo chose alike.
# - **It is quick**, as a hash for files should be. How quick, against one that is made for passwords?

# %%
strong = PasswordHash.recommended()


def milliseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def a_thousand_guesses() -> None:
    for number in range(1000):
        hashlib.sha256(f"middlemarch{number}".encode()).hexdigest()


print(f"a thousand guesses at SHA-256: {milliseconds(a_thousand_guesses):6.1f} ms")
print(f"one guess at argon2:           {milliseconds(lambda: strong.hash('middlemarch')):6.1f} ms")

# %% [markdown]
# Divide: a guess at argon2 costs as much as a hundred thousand at SHA-256, give or take a machine. You pay that once
# for each login, and do not notice. The thief pays it for each guess, for each user, and does. Nor does a rack of
# graphics cards help much: argon2 is [memory-hard](https://www.rfc-editor.org/rfc/rfc9106.html), and every single guess
# wants 64 MiB to itself.
#
# What such a hash looks like:

# %%
first, second = strong.hash("middlemarch"), strong.hash("middlemarch")
_, kind, version, costs, salt, tag = first.split("$")

print("the same password, the same hash:", first == second)
print(kind, "|", version, "|", costs, "|", len(salt), "characters of salt |", len(tag), "of hash")

# %% [markdown]
# Everything that is needed to check a password later is in that one string: the kind (argon2**id**), its version, the
# costs (memory in KiB, passes, lanes), a **salt** that is drawn for each hash, and the hash itself. So keep it in one
# text column and never take it apart. And never compare two hashes: hash the same password twice and they differ.
# `verify` takes salt and costs from the stored one and does the work again.
#
# ## What it should cost
#
# Too cheap is a gift to the thief, too dear a gift to whoever wants to bring your server down with logins. Measure it
# where it will run:

# %%
for memory, passes, lanes in ((1024, 1, 1), (19_456, 2, 1), (65_536, 3, 4), (131_072, 3, 4)):
    hasher = Argon2Hasher(memory_cost=memory, time_cost=passes, parallelism=lanes)
    took = min(milliseconds(lambda: hasher.hash("middlemarch")) for _ in range(2))
    print(f"memory {memory // 1024:3} MiB, passes {passes}, lanes {lanes}: {took:7.1f} ms")

# %% [markdown]
# How to choose:
#
# 1. **Not below a floor.** [OWASP](https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html)
#    draws it at 19 MiB, 2 passes, 1 lane: the second line.
# 2. **Memory first**: as much as you have, divided by the logins that run at once. FastAPI runs up to
#    [40 `def` endpoints](https://anyio.readthedocs.io/en/stable/threads.html#adjusting-the-default-maximum-worker-thread-count)
#    at a time, so the third line may ask for 40 × 64 MiB, which is 2.5 GiB. In a container with 512 MiB that is a short
#    evening.
# 3. **Then passes**, until a login takes what you are willing to wait: 50 to 300 milliseconds are usual.
#
# The third line is what `PasswordHash.recommended()` gives you. It is the second recommendation of
# [RFC 9106](https://www.rfc-editor.org/rfc/rfc9106.html#section-4), the one for machines short of memory.
#
# Hashing is work for the processor, so it belongs into a `def` endpoint. In an `async def` it stops everybody else for
# as long as it takes; lesson 05 measures that.
#
# ## When the cost goes up
#
# In three years machines are faster and you double the cost. The old hashes stay as cheap as they were: nobody can hash
# a password again without the password. But there is a moment when you know it, and that is a login.
#
# For the rest of this lesson the hasher is a cheap one, so that neither you nor a check has to wait. Do not take it
# home; the recipe at the end has the right one.

# %% tags=["setup"]
passwords = PasswordHash((Argon2Hasher(memory_cost=1024, time_cost=1, parallelism=1),))

# %% [markdown]
# **Predict** the three answers of `verify_and_update`: the right password for a hash of today's cost, for one of last
# year's, and a wrong one for last year's.

# %%
last_year = PasswordHash((Argon2Hasher(memory_cost=64, time_cost=1, parallelism=1),))
old, new = last_year.hash("middlemarch"), passwords.hash("middlemarch")

for password, stored in (("middlemarch", new), ("middlemarch", old), ("guess", old)):
    fits, newer = passwords.verify_and_update(password, stored)
    print(f"{password:12} {stored.split('$')[3]:12} ->", fits, newer and newer.split("$")[3])

# %% [markdown]
# Two answers in one: whether it fits, and, only where it fits and the cost is out of date, a new hash to put in place
# of the old. Mind both halves: a pair is *true* whatever is in it, and the second half is `None` most of the time.
# ([pwdlib's guide](https://frankie567.github.io/pwdlib/guide/))

# %% [markdown]
# ## Exercise 12.1: hash and verify
#
# Write both functions, with `passwords`:
#
# - `hash_password` gives what is to be kept of a password;
# - `check_password` says whether this is the user's password, `True` or `False`. When it is, and the hash that is kept
#   was made at another cost than today's, it puts a new hash of it into `user.hashed_password`. Whoever called it
#   commits; in all other cases the user stays as they are.


# %% exercise="12.hash_and_verify"
# BEGIN STARTER
# def hash_password(password: str) -> str:
#     return TODO
#
#
# def check_password(user: User, password: str) -> bool:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def hash_password(password: str) -> str:
    return passwords.hash(password)


def check_password(user: User, password: str) -> bool:
    fits, newer = passwords.verify_and_update(password, user.hashed_password)
    if newer is not None:
        user.hashed_password = newer
    return fits


# END SOLUTION

# %% check="12.hash_and_verify"
check("12.hash_and_verify")

# %% [markdown]
# # 2. A name that is taken once
#
# ## Between a look and a leap
#
# Lesson 01 left a gap open. Here is the endpoint that everybody writes first: look whether the name is there, and if
# not, put it in.


# %%
class NewUser(BaseModel):
    username: str
    email: str
    password: str


def plain_user(new: NewUser) -> User:
    """As most people begin: the name is what was typed."""
    return User(
        username=new.username,
        display_name=new.username,
        email=new.email,
        hashed_password=passwords.hash(new.password),
    )


looking = FastAPI()


@looking.post("/users", status_code=201)
def look_then_insert(new: NewUser, session: SessionDep) -> None:
    if session.scalar(select(User.id).where(User.username == new.username)):
        raise HTTPException(409, "That name is taken.")
    meanwhile()
    session.add(plain_user(new))


# %% [markdown]
# `meanwhile()` stands for what takes time between the two. In real life that is the hashing: a hundred milliseconds
# wide, the gap is a barn door. Here it is a barrier at which two requests wait for each other, so that they meet for
# certain.
#
# **Predict.** What do they hear?

# %% tags=["recorded"]
import threading
from concurrent.futures import ThreadPoolExecutor

barrier = threading.Barrier(2)


def meanwhile() -> None:
    barrier.wait(timeout=10)


def register_ada(number: int) -> int:
    client = TestClient(looking, raise_server_exceptions=False)
    ada = {"username": "ada", "email": f"ada{number}@example.com", "password": "middlemarch"}
    return client.post("/users", json=ada).status_code


start_over()
with ThreadPoolExecutor(2) as both:
    print(sorted(both.map(register_ada, range(2))), "and the table has", count(User))

# %% [markdown]
# Both looked, both saw nobody, both leapt. The database let one in, since the column is unique, and the other hears
# 500: not a word about the name. Without `unique=True` there would now be two Adas, and no error at all.
#
# The look is a courtesy. **The constraint is the decision**, so ask the constraint: insert, flush, and translate.


# %%
def insert_user(session: Session, user: User) -> None:
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "That name is taken.") from error


start_over()
for _ in range(2):
    try:
        with SessionLocal.begin() as session:
            insert_user(
                session, User(username="ada", display_name="Ada", email="", hashed_password="")
            )
        print("registered")
    except HTTPException as error:
        print(error.status_code, error.detail)

# %% [markdown]
# No gap, and one statement fewer. Does every `IntegrityError` mean that the name is taken? In this table, which has
# one constraint that an input can break, yes. Where there are several, look which it was: SQLite says
# `UNIQUE constraint failed: user.username`, and PostgreSQL names the constraint, in `error.orig.diag.constraint_name`
# with psycopg, which is one more reason for naming them.
#
# ## Ada, ADA and Аda
#
# A unique column compares characters. People do not. **Predict** how many of these six the database takes in:

# %%
look_alikes = ["ada", "Ada", "ADA", "Ａｄａ", "ᴬᴰᴬ", "аda"]

start_over()
for name in look_alikes:
    with SessionLocal.begin() as session:
        session.add(User(username=name, display_name=name, email="", hashed_password=""))

print(count(User), "of", len(look_alikes))

# %% [markdown]
# All of them, and each can now write reviews under what looks like Ada's name. `COLLATE NOCASE` and SQLite's `lower()`
# know [the twenty-six letters of ASCII](https://www.sqlite.org/datatype3.html#collating_sequences) and nothing else. So
# names are brought into one form **in Python, in one function**, and it is that form which is unique:


# %% tags=["setup"]
def canonical(name: str) -> str:
    """The form in which two names are compared: without case, without fancy letters."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)  # folding may have undone it


# %%
for name in [*look_alikes, "Straße", "STRASSE", "Jose\u0301"]:
    form = canonical(name)
    print(f"{len(name)} -> {len(form)} characters:  {name} -> {form}")

# %% [markdown]
# - **NFKC** replaces what is only a manner of writing: full-width and raised letters, ligatures, an `e` with a
#   separate accent. ([Unicode normalization forms](https://www.unicode.org/reports/tr15/))
# - **`casefold()`** is `lower()` for comparing: it knows that `ß` and `SS` are one.
# - `username` holds the canonical form and is unique. `display_name` holds what was typed, for showing.
# - The same function at **every** door: registering, logging in, searching, inviting.
#
# ## The wrong way round
#
# Lower case first, or normalizing first? It looks like a matter of taste.
#
# **Predict.** What does the other order make of `ᴬᴰᴬ`, and what when it is applied once more?


# %%
def canonical_in_haste(name: str) -> str:
    return unicodedata.normalize("NFKC", name.lower())


once = canonical_in_haste("ᴬᴰᴬ")
print(once, "->", canonical_in_haste(once))

# %% [markdown]
# Once, it is `ADA`: raised capitals have no lower case, and only afterwards do they become letters that have. Twice, it is
# `ada`. Suppose that registering applies the function once, and resetting a password twice, because two people wrote
# those. Then whoever registers `ᴬᴰᴬ` may reset the password of `ada`. That is how accounts at
# [Spotify](https://engineering.atspotify.com/2013/06/creative-usernames) were taken over in 2013.
#
# A canonical form must not change when it is formed again. For single characters that can be settled by asking them,
# here the first 65,536:

# %%
letters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]

for form in (canonical_in_haste, canonical):
    unstable = [letter for letter in letters if form(form(letter)) != form(letter)]
    print(f"{form.__name__:20} unstable: {' '.join(unstable[:12]) or 'none'}")

# %% [markdown]
# ## What remains
#
# One of the six look-alikes is still another name. **Why?**

# %%
for name in ("ada", "аda"):
    print([unicodedata.name(letter) for letter in canonical(name)])

# %% [markdown]
# A Cyrillic letter is not a manner of writing a Latin one; it is another letter, and no normalization will or should
# change that. What helps is a decision: let **handles** come from a short alphabet (`[a-z0-9._-]`, checked after
# `canonical`), and let **display names** be anything at all. The price is that José's handle is `jose`; his name is
# still José.
#
# Passwords come in two spellings as well, depending on the keyboard:

# %%
typed_here, typed_there = "jos\u00e9", "jose\u0301"  # one character, or two

print("as they are:", passwords.verify(typed_there, passwords.hash(typed_here)))
nfc = [unicodedata.normalize("NFC", typed) for typed in (typed_here, typed_there)]
print("normalized: ", passwords.verify(nfc[1], passwords.hash(nfc[0])))

# %% [markdown]
# Normalize those with NFC, before hashing and before verifying, and fold nothing: case is worth having in a password.
# ([RFC 8265](https://www.rfc-editor.org/rfc/rfc8265.html#section-4.2) says the same, at length.)

# %% [markdown]
# # 3. A user and a letter
#
# A new user gets a letter with a link, to confirm the address. Here is the mail server, and a switch that turns it off:


# %% tags=["setup"]
class MailServer:
    """Stands in for a real one."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.is_down = False

    def send(self, recipient: str, body: str) -> None:
        if self.is_down:
            raise ConnectionError("mail.example.com does not answer")
        self.sent.append((recipient, body))


mailer = MailServer()
WELCOME = "Welcome to Dog-Eared! Please confirm your address: https://..."

# %% [markdown]
# A database can roll back; a mail cannot. So there is no transaction around both, and one has to come first. The two
# obvious ways, and the second of them in two tempers, while the client waits or when the client has gone:


# %%
def make_user(new: NewUser) -> User:
    return User(
        username=canonical(new.username),
        display_name=new.username,
        email=new.email,
        hashed_password=passwords.hash(new.password),
    )


# %%
ways = FastAPI()


@ways.exception_handler(IntegrityError)
async def name_is_taken(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "That name is taken."}, 409)


@ways.post("/before-commit", status_code=201)
def before_commit(new: NewUser) -> None:
    with SessionLocal.begin() as session:
        session.add(make_user(new))
        mailer.send(new.email, WELCOME)


@ways.post("/after-commit", status_code=201)
def after_commit(new: NewUser) -> None:
    with SessionLocal.begin() as session:
        session.add(make_user(new))
    mailer.send(new.email, WELCOME)


@ways.post("/background", status_code=201)
def background(new: NewUser, tasks: BackgroundTasks) -> None:
    with SessionLocal.begin() as session:
        session.add(make_user(new))
    tasks.add_task(mailer.send, new.email, WELCOME)


# %% [markdown]
# First the night of the incident: Ada registers while the mail server is down, and tries again when it is back.
#
# **Predict**, for each way: what she hears, both times, and how many letters she has in the end.


# %%
def register(path: str, name: str, email: str) -> int:
    client = TestClient(ways, raise_server_exceptions=False)
    new = {"username": name, "email": email, "password": "middlemarch"}
    return client.post(path, json=new).status_code


def night_of_the_incident(path: str) -> None:
    start_over()
    mailer.sent.clear()
    mailer.is_down = True
    at_night = register(path, "Ada", "ada@example.com")
    mailer.is_down = False
    next_day = register(path, "Ada", "ada@example.com")
    print(
        f"{path:15} {at_night}, then {next_day}  users: {count(User)}  letters:", len(mailer.sent)
    )


for path in ("/before-commit", "/after-commit", "/background"):
    night_of_the_incident(path)

# %% [markdown]
# - **Before the commit**: an honest error and no user, so the second try works. It looks good. Wait for the next cell.
# - **After the commit**: she hears 500, but the user is there. The second try says *taken*. That is the queue at support.
# - **In the background**: she hears 201, and no letter ever comes. Nobody is told, and there is nothing to try again
#   from: the letter was a function call in the memory of a process.
#
# Next, a mail server in best health, and a name that is taken. Bob would like to be called Ada, too:

# %%
for path in ("/before-commit", "/after-commit", "/background"):
    start_over()
    register(path, "Ada", "ada@example.com")
    mailer.sent.clear()
    heard = register(path, "ADA", "bob@example.com")
    print(f"{path:15} Bob hears {heard}, letters to him: {len(mailer.sent)}")

# %% [markdown]
# *Before the commit*, Bob is welcomed to an account that does not exist; the link in his letter leads nowhere. (A
# `flush()` before sending catches this one. It does not catch a commit that fails, and while the mail server thinks, the
# transaction is open and a connection is out: lesson 06.)
#
# So: before the commit, a letter without a user; after it, a user without a letter. Decide which is worse, or change
# the question.
#
# ## The outbox
#
# What can be made true together with the user? Only another row. So the request does not *send* the letter, it *writes
# it down*, in the same transaction:


# %%
@ways.post("/outbox", status_code=201)
def outbox(new: NewUser) -> None:
    with SessionLocal.begin() as session:
        session.add(make_user(new))
        session.add(Letter(recipient=new.email, body=WELCOME))


# %% [markdown]
# User and letter, or neither. Somebody else delivers: a small process beside the server, or a job that runs every few
# seconds. It can fail as often as it likes, since what it has to do is still written down.


# %% tags=["setup"]
def deliver() -> int:
    """Send the letters that wait; gives how many could not be sent and wait on."""
    unsent = select(Letter.id, Letter.recipient, Letter.body).where(Letter.is_sent.is_(False))
    with SessionLocal() as session:
        waiting = session.execute(unsent.order_by(Letter.id)).all()
    failed = 0
    for letter in waiting:  # no transaction is open while the mail server thinks
        try:
            mailer.send(letter.recipient, letter.body)
        except OSError:
            failed += 1
            continue
        with SessionLocal.begin() as session:
            session.execute(update(Letter).where(Letter.id == letter.id).values(is_sent=True))
    return failed


# %% [markdown]
# The same night, and the same Bob. **Predict** again.

# %%
night_of_the_incident("/outbox")
deliver()
print("delivered:      letters:", len(mailer.sent))

heard = register("/outbox", "ADA", "bob@example.com")
deliver()
to_bob = [recipient for recipient, _ in mailer.sent if recipient == "bob@example.com"]
print(f"Bob hears {heard}, letters to him: {len(to_bob)}")

# %% [markdown]
# 201 the first time, and true: she is registered. The 409 of the second try is nobody's worry, since nobody who has
# heard 201 tries again. One letter, when the server is back; none for Bob.
#
# What is the price? Suppose that the deliverer dies between the sending and the writing down. **Predict** how many
# letters Ada gets.

# %%
start_over()
mailer.sent.clear()
register("/outbox", "Ada", "ada@example.com")

mailer.send("ada@example.com", WELCOME)  # sent, and then the process died
deliver()  # the next one
len(mailer.sent)

# %% [markdown]
# Two. An outbox delivers **at least once**. Write it down first and send afterwards, and it is *at most once*: then a
# death in between loses the letter. There is no third order. A second welcome is a smile, so take at least once; where
# twice would hurt, as with money, send the letter's id along and let the receiver ignore what it has had.
#
# | | mail server down | name taken, or commit fails | for |
# | --- | --- | --- | --- |
# | before the commit | error, nothing kept | **letter without user** | nothing |
# | after it, in the request | **user without letter**, and an error | right | what the client can ask for again: "send me another" |
# | after it, in the background | **user without letter**, in silence | right | what may get lost |
# | outbox | right, later | right | what must arrive |

# %% [markdown]
# ## Exercise 12.2: atomic registration
#
# Write `POST /users`, which takes a `NewUser`:
#
# - 201 with `{"id": ...}`; the user is kept, with `username` in canonical form, `display_name` as it was typed, and a
#   hash; and a `Letter` to their address waits in the outbox;
# - 409 when the name is taken, in whatever spelling, and also when two requests ask for it **at the same moment**; then
#   there is no letter either;
# - whether the mail server is up does not matter to the client;
# - when the commit fails: an error, no user, no letter.
#
# `canonical`, `passwords`, `SessionDep` and `WELCOME` are yours to use; `deliver()` will deliver.


# %% exercise="12.registration"
class NewUser(BaseModel):
    username: str
    email: str
    password: str


app = FastAPI()


@app.post("/users", status_code=201)
# BEGIN STARTER
# def register_user(new: NewUser, session: SessionDep) -> dict[str, int]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def register_user(new: NewUser, session: SessionDep) -> dict[str, int]:
    user = User(
        username=canonical(new.username),
        display_name=new.username,
        email=new.email,
        hashed_password=passwords.hash(new.password),
    )
    session.add(user)
    session.add(Letter(recipient=new.email, body=WELCOME))
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409, "That name is taken.") from error
    return {"id": user.id}


# END SOLUTION


# %% check="12.registration"
check("12.registration")

# %% [markdown]
# # 4. A login that does not tell
#
# Whoever wants to try passwords wants to know first where it is worth while. Here is a login that helps:


# %%
class Credentials(BaseModel):
    username: str
    password: str


def find(session: Session, username: str) -> User | None:
    return session.scalar(select(User).where(User.username == canonical(username)))


talkative = FastAPI()


@talkative.post("/login")
def log_in_talking(sent: Credentials, session: SessionDep) -> dict[str, int]:
    user = find(session, sent.username)
    if user is None:
        raise HTTPException(404, f"There is no {sent.username}.")
    if not strong.verify(sent.password, user.hashed_password):
        raise HTTPException(401, "Wrong password.")
    return {"id": user.id}


# %% [markdown]
# The leak is in the words. So one status and one sentence for both, and then it does not tell any more. Does it?


# %%
def same_words(sent: Credentials, session: SessionDep) -> dict[str, int]:
    user = find(session, sent.username)
    if user is None or not strong.verify(sent.password, user.hashed_password):
        raise HTTPException(401, "Wrong username or password.")
    return {"id": user.id}


talkative.post("/login-same-words")(same_words)

start_over()
with SessionLocal.begin() as session:
    session.add(
        User(
            username="ada", display_name="Ada", email="", hashed_password=strong.hash("middlemarch")
        )
    )

# %% [markdown]
# **Predict.** A wrong password for Ada, who exists, and for Zoe, who does not. Both hear the same. Who hears it sooner?


# %%
def guess(username: str, path: str) -> int:
    sent = {"username": username, "password": "guess"}
    return TestClient(talkative).post(path, json=sent).status_code


def time_login(path: str) -> None:
    took: dict[str, list[float]] = {"ada": [], "zoe": []}
    for username in [*took] * 4:  # in turns: what else the machine does is fair to both
        took[username].append(milliseconds(lambda: guess(username, path)))
    for username, times in took.items():
        print(f"{path:18} {username} {guess(username, path)} {min(times):7.1f} ms")


time_login("/login-same-words")

# %% [markdown]
# Zoe, by far: `or` stops at the first half, and for her nobody has to hash. The clock tells what the words no longer do,
# over any network.
#
# ## Equal work
#
# The cure is to do the work for Zoe, too: verify what was sent against the hash of a password that nobody has, made once,
# at today's cost, when the server starts.

# %%
DECOY = strong.hash(secrets.token_urlsafe())


@talkative.post("/login-equal-work")
def log_in_with_equal_work(sent: Credentials, session: SessionDep) -> dict[str, int]:
    user = find(session, sent.username)
    fits = strong.verify(sent.password, user.hashed_password if user else DECOY)
    if user is None or not fits:
        raise HTTPException(401, "Wrong username or password.")
    return {"id": user.id}


time_login("/login-equal-work")

# %% [markdown]
# Half-cures, all of them seen in the wild:
#
# | half-cure | what is left |
# | --- | --- |
# | `time.sleep(0.1)` for unknown names | 100 ms is not what hashing takes, least of all under load |
# | a random sleep | a hundred tries, and the average tells |
# | a decoy hash of another cost | another cost is another time: see the table in part 1 |
# | hashing the decoy anew at each login | twice the work: now *unknown* is the slow one |
# | `if not user.is_active: raise ...` before verifying | tells which accounts are closed |
# | `404` in `POST /password-reset` | the next door; say "if we know you, you have mail", through the outbox |
#
# A check cannot trust a clock, and neither should your tests. What it can do is *count*: how often did somebody hash or
# verify, and at what cost, for a user who exists and one who does not?
#
# Registering tells too: *taken* is a kind of *known*. For a public name that is no loss. For an **e-mail address** it
# would be: there, answer as always, and let the letter say "you already have an account".
# ([OWASP on authentication](https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html#authentication-and-error-messages))

# %% [markdown]
# ## Exercise 12.3: a login that does not tell
#
# This login has four faults. Mend it, so that
#
# - the right password answers 200 with `{"id": ...}`, however the name is spelled;
# - a wrong password, an unknown name and a closed account (`is_active` is false) hear the **same**: status, body, and
#   work. Count the verifications;
# - a hash of last year's cost is replaced when its owner logs in, and only then.


# %% exercise="12.login"
class Credentials(BaseModel):
    username: str
    password: str


app = FastAPI()

# BEGIN STARTER
# @app.post("/login")
# def log_in(sent: Credentials, session: SessionDep) -> dict[str, int]:
#     user = session.scalar(select(User).where(User.username == sent.username))
#     if user is None:
#         raise HTTPException(401, "Wrong username or password.")
#     if not user.is_active:
#         raise HTTPException(403, "This account is closed.")
#     if not passwords.verify(sent.password, user.hashed_password):
#         raise HTTPException(401, "Wrong username or password.")
#     return {"id": user.id}
# END STARTER
# BEGIN SOLUTION
NOBODYS_HASH = passwords.hash(secrets.token_urlsafe())


@app.post("/login")
def log_in(sent: Credentials, session: SessionDep) -> dict[str, int]:
    user = session.scalar(select(User).where(User.username == canonical(sent.username)))
    stored = user.hashed_password if user else NOBODYS_HASH
    fits, newer = passwords.verify_and_update(sent.password, stored)
    if user is None or not fits or not user.is_active:
        raise HTTPException(401, "Wrong username or password.")
    if newer is not None:
        user.hashed_password = newer
    return {"id": user.id}


# END SOLUTION


# %% check="12.login"
check("12.login")

# %% [markdown]
# # 5. A hash that cannot get out
#
# A hash that has left is a password that can be guessed at home. It has more doors than the one you know from lesson 01,
# where an endpoint returned the object and FastAPI sent all of it.
#
# **The log.** Ada registers twice, and somebody logs the exception, as one should:

# %%
start_over()


def register_twice(engine: Any) -> str:
    try:
        with Session(engine) as session:
            for _ in range(2):
                session.add(
                    User(username="ada", display_name="", email="", hashed_password="$argon2id$...")
                )
                session.flush()
    except IntegrityError as error:
        return str(error)
    return "no error"


print(register_twice(engine))

# %% [markdown]
# The parameters of the statement are in the message, and so is the hash: on disk, at the log provider, in the ticket.
# One word turns that off, for errors as for `echo=True`:

# %%
quiet = create_engine(engine.url, hide_parameters=True)
print(register_twice(quiet).splitlines()[2])
quiet.dispose()

# %% [markdown]
# ([`hide_parameters`](https://docs.sqlalchemy.org/en/21/core/engines.html#sqlalchemy.create_engine.params.hide_parameters))
# It hides what SQLAlchemy would have said. A server may quote the row itself: lesson 11 catches PostgreSQL at it, and
# logs the kind of error and the statement instead.
#
# **The 422.** A client forgets the e-mail address. **Predict** what the answer repeats.

# %%
chatty = FastAPI()


@chatty.post("/users")
def never_called(new: NewUser) -> None: ...


forgot = {"username": "ada", "password": "nine-otters-in-a-teapot"}
TestClient(chatty).post("/users", json=forgot).json()["detail"][0]

# %% [markdown]
# The password itself, in plain text, back to the sender and into whatever records responses on the way. `SecretStr` in
# the schema does not help, for this is what came in *before* there was a schema. Leave `input` out:


# %%
tactful = FastAPI()


@tactful.exception_handler(RequestValidationError)
async def say_what_is_wrong(request: Request, error: RequestValidationError) -> JSONResponse:
    said = [{key: one[key] for key in ("loc", "msg", "type")} for one in error.errors()]
    return JSONResponse({"detail": said}, 422)


tactful.post("/users")(never_called)
TestClient(tactful).post("/users", json=forgot).json()["detail"][0]

# %% [markdown]
# ## Discipline, and better than discipline
#
# The door of lesson 01 is shut by a `response_model` on each endpoint. That is a habit, and habits are kept forty times
# out of forty-one. Can the *model* see to it that a hash does not get out, even when somebody returns the object?
#
# The first idea is not to load it: a `deferred` column is left out of every SELECT until somebody asks.


# %%
class NoteBase(DeclarativeBase):
    pass


class Note(NoteBase):
    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    secret: Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)


NoteBase.metadata.create_all(engine)
notes = FastAPI()


@notes.post("/notes")
def add_note(session: SessionDep):
    note = Note(secret="(the hash)")
    session.add(note)
    session.flush()
    return note


@notes.get("/notes/{note_id}")
def read_note(note_id: int, session: SessionDep):
    return session.get(Note, note_id)


# %% [markdown]
# **Predict.** Both return the object. What does each send?

# %%
client = TestClient(notes)
posted = client.post("/notes").json()
print("POST", sorted(posted.items()))
print("GET ", client.get(f"/notes/{posted['id']}").json())

# %% [markdown]
# Reading is safe; the object that was just made still holds what it was made with. Close, and no cure.
#
# What about a value that keeps its own mouth shut? Pydantic has one. You know it from settings:

# %%
from fastapi.encoders import jsonable_encoder

shy = SecretStr("$argon2id$...")
print(repr(shy), f"{shy}", jsonable_encoder({"hashed_password": shy}))
print(shy.get_secret_value()[:9], "is only to be had by asking for it by name")

# %% [markdown]
# As a column's value it would be safe in every object, old or new, in JSON and in a log. The column only has to learn
# that this is what its values look like in Python. A `TypeDecorator` says how a value goes in and how it comes out.
# Here is one that does something else, an e-mail address whose domain is always in lower case:


# %%
class Address(TypeDecorator[str]):
    impl = String
    cache_ok = True  # two of these always make the same SQL

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """On its way into the database."""
        if value is None:
            return None
        box, at, domain = value.rpartition("@")
        return box + at + domain.lower()

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """On its way out, as it is."""
        return value


going_in = Address().process_bind_param("Ada@EXAMPLE.com", engine.dialect)
going_in

# %% [markdown]
# It is used as any type is: `email: Mapped[str] = mapped_column(Address)`.
# ([Augmenting existing types](https://docs.sqlalchemy.org/en/21/core/custom_types.html#augmenting-existing-types))
#
# Another cure with the same effect: the hashes live in a **table of their own**, and `User` has neither the column nor a
# relationship to it. What an object does not have it cannot tell.

# %% [markdown]
# ## Exercise 12.4: a response that cannot leak
#
# Rewrite this `Account`, in whichever way you like, so that no endpoint can send its hash by accident. Endpoints will
# return it as it is: just read, just added, in a list, inside a dictionary, through a schema that asks for every column
# it has; and somebody will log it, with all that it holds.
#
# - An account as it is returned still shows `id` and `username`;
# - `add_account(session, username, hashed)` takes the hash as a plain string, keeps account and hash, and returns the
#   account, with its id;
# - `find_hash(session, username)` is the one door: it gives the hash as a plain string, or None where there is no such
#   account.


# %% exercise="12.cannot_leak"
class AccountBase(DeclarativeBase):
    pass


# BEGIN STARTER
# class Account(AccountBase):
#     __tablename__ = "account"
#
#     id: Mapped[int] = mapped_column(primary_key=True)
#     username: Mapped[str] = mapped_column(unique=True)
#     hashed_password: Mapped[str]
#
#
# def add_account(session: Session, username: str, hashed: str) -> Account:
#     account = Account(username=username, hashed_password=hashed)
#     session.add(account)
#     session.flush()
#     return account
#
#
# def find_hash(session: Session, username: str) -> str | None:
#     return session.scalar(select(Account.hashed_password).where(Account.username == username))
# END STARTER
# BEGIN SOLUTION
class Hidden(TypeDecorator[SecretStr]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: SecretStr | None, dialect: Dialect) -> str | None:
        return None if value is None else value.get_secret_value()

    def process_result_value(self, value: str | None, dialect: Dialect) -> SecretStr | None:
        return None if value is None else SecretStr(value)


class Account(AccountBase):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[SecretStr] = mapped_column(Hidden)


def add_account(session: Session, username: str, hashed: str) -> Account:
    account = Account(username=username, hashed_password=SecretStr(hashed))
    session.add(account)
    session.flush()
    return account


def find_hash(session: Session, username: str) -> str | None:
    found = session.scalar(select(Account.hashed_password).where(Account.username == username))
    return None if found is None else found.get_secret_value()


# END SOLUTION


# %% check="12.cannot_leak"
check("12.cannot_leak")

# %% [markdown]
# Which of the two is better? The shy value is one class, and every query stays as it was. The table of its own also
# shuts out raw SQL, a careless `SELECT *` in a report, and the colleague who may read `user` and need not read more:
# databases grant rights by table. Both are belts. The `response_model` on each endpoint remains the braces, and it is
# what documents your API.

# %% [markdown]
# # Recap
#
# ## The recipe
#
# The hasher, the forms of a name and a password, and a column that keeps its mouth shut:

# %% tags=["recipe"]
import secrets
import unicodedata

from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from pydantic import BaseModel, Field, SecretStr
from sqlalchemy import Dialect, MetaData, StaticPool, String, TypeDecorator
from sqlalchemy import create_engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

hasher = PasswordHash.recommended()
DECOY_HASH = hasher.hash(secrets.token_urlsafe())


def handle(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def typed(password: SecretStr) -> str:
    return unicodedata.normalize("NFC", password.get_secret_value())


class Hash(TypeDecorator[SecretStr]):  # shows itself to nobody who does not ask by name
    impl = String
    cache_ok = True

    def process_bind_param(self, value: SecretStr | None, dialect: Dialect) -> str | None:
        return None if value is None else value.get_secret_value()

    def process_result_value(self, value: str | None, dialect: Dialect) -> SecretStr | None:
        return None if value is None else SecretStr(value)


class Model(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Member(Model):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    email: Mapped[str]
    hashed_password: Mapped[SecretStr] = mapped_column(Hash)
    is_active: Mapped[bool] = mapped_column(default=True)


class Outgoing(Model):  # the outbox, which `deliver` empties
    __tablename__ = "outgoing"

    id: Mapped[int] = mapped_column(primary_key=True)
    recipient: Mapped[str]
    body: Mapped[str]
    is_sent: Mapped[bool] = mapped_column(default=False)


database = create_engine(  # a file or a server needs only the first and the last argument
    "sqlite://",
    connect_args={"check_same_thread": False},
    poolclass=StaticPool,
    hide_parameters=True,
)
Sessions = sessionmaker(database)


class MemberIn(BaseModel):
    username: str = Field(min_length=3, max_length=30)
    email: str
    password: SecretStr = Field(min_length=8, max_length=1000)


class MemberOut(BaseModel):
    id: int
    display_name: str


class Login(BaseModel):
    username: str
    password: SecretStr


api = FastAPI()


@api.post("/members", status_code=201)
def register_member(new: MemberIn) -> MemberOut:
    hashed = SecretStr(hasher.hash(typed(new.password)))  # before the transaction begins
    member = Member(
        username=handle(new.username),
        display_name=new.username,
        email=new.email,
        hashed_password=hashed,
    )
    try:
        with Sessions.begin() as session:
            session.add_all([member, Outgoing(recipient=new.email, body="Welcome!")])
            session.flush()
            out = MemberOut(id=member.id, display_name=member.display_name)
    except IntegrityError as error:
        raise HTTPException(409, "That name is taken.") from error
    return out


@api.post("/login")
def log_in_member(sent: Login) -> MemberOut:
    with Sessions() as session:  # closed, and its connection given back, before we hash
        member = session.scalar(select(Member).where(Member.username == handle(sent.username)))
    stored = member.hashed_password.get_secret_value() if member else DECOY_HASH
    fits, newer = hasher.verify_and_update(typed(sent.password), stored)
    if member is None or not fits or not member.is_active:
        raise HTTPException(401, "Wrong username or password.")
    if newer is not None:
        replace = update(Member).values(hashed_password=SecretStr(newer))
        unchanged = Member.hashed_password == member.hashed_password  # since we looked
        with Sessions.begin() as session:
            session.execute(replace.where(Member.id == member.id, unchanged))
    return MemberOut(id=member.id, display_name=member.display_name)


Model.metadata.create_all(database)
client = TestClient(api)
ada = {"username": "Ada", "email": "ada@example.com", "password": "nine-otters-in-a-teapot"}
for path, sent in (("/members", ada), ("/members", ada), ("/login", ada)):
    print(path, client.post(path, json=sent).status_code)

# %% [markdown]
# ## The rules
#
# - argon2 by a library, the whole string in one column, `verify` and never `==`.
# - Measure the cost where it runs; floor 19 MiB and 2 passes; memory times logins at once must fit.
# - Hash in a `def` endpoint, and with no transaction open.
# - `verify_and_update` at each login, and a `None` is not a hash.
# - The constraint decides, the look does not: insert, flush, 409.
# - One canonical form, one function, every door. Shown is what was typed.
# - The letter is a row in the same transaction. Somebody else delivers it, at least once.
# - Unknown, wrong, closed: the same words and the same work.
# - Secrets that hide themselves, `hide_parameters=True`, no `input` in a 422; and a `response_model` all the same.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `IntegrityError: UNIQUE constraint failed: user.username` | the name is taken; somebody may have been quicker between your look and your INSERT |
# | `UnknownHashError: This hash can't be identified.` | what was given to `verify` as a hash is none: arguments the wrong way round, an empty column, a made-up decoy |
# | `StatementError: (builtins.AttributeError) 'str' object has no attribute 'get_secret_value'` | a plain string was put into a column whose values hide themselves |
# | `InvalidRequestError: 'Note.secret' is not available due to raiseload=True` | a deferred column was touched without having been asked for |
#
# ## In production
#
# - Several deliverers on PostgreSQL: let each take letters with `with_for_update(skip_locked=True)`, so that no two
#   hold the same one. Wait longer after each failure, give up some day, and look at the age of the oldest letter: that
#   is the number to raise an alarm on.
# - The link in a letter is a secret while it is valid. Keep only its hash (SHA-256 will do for a long random token),
#   write the letter when it is sent, or empty the row when it has gone.
# - An address belongs to whoever has confirmed it, not to who has typed it. So it is unique among the confirmed:
#   a partial unique index, lesson 10.
# - Equal work makes every login dear, also for whoever sends a thousand. Throttle by name and by address: lesson 15.
# - `hashed_password` at last year's cost betrays, by its time, that its owner exists and has not been here lately. It
#   heals as people log in; those who never come may be asked for a new password.
#
# ## Read more
#
# - OWASP: [Password storage](https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html),
#   [Authentication](https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html)
# - [RFC 9106](https://www.rfc-editor.org/rfc/rfc9106.html), Argon2;
#   [RFC 8265](https://www.rfc-editor.org/rfc/rfc8265.html), usernames and passwords in Unicode
# - SQLAlchemy: [Custom types](https://docs.sqlalchemy.org/en/21/core/custom_types.html);
#   FastAPI: [OAuth2 with hashing](https://fastapi.tiangolo.com/tutorial/security/oauth2-jwt/), which lesson 13 takes up
