# %% [markdown]
# # 13 The current user
#
# When you are through, a password is sent once and a token after that, every endpoint knows in one small query who is
# asking, a forged token is worth nothing, a stolen one little, and *log out* means it.
#
# Ten past two. Somebody of the staff phones from a train: the laptop is gone, and the shop was open on it. You close
# the account, `is_active = false`, and go back to bed. At four the prices are still changing, under that name. They
# will go on changing until the token on the laptop expires, and it was made to be convenient: it is good for thirty
# days.

# %% [markdown]
# ## The people
#
# All models in one cell. `User` is lesson 12's, as far as we need her. What the other two are for, part 4 will tell.

# %% tags=["setup"]
import base64
import hashlib
import json
import logging
import secrets
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel
from sqlalchemy import BigInteger, ForeignKey, create_engine, delete, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from checks import TODO, check, hint, progress, solution, trace


# %% tags=["setup"]
class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    email: Mapped[str]
    hashed_password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)


class Login(Base):  # part 4
    __tablename__ = "login"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)  # seconds since 1970, as in a token


class RefreshToken(Base):  # part 4
    __tablename__ = "refresh_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    login_id: Mapped[int] = mapped_column(ForeignKey("login.id"), index=True)
    hashed: Mapped[str] = mapped_column(unique=True)
    is_used: Mapped[bool] = mapped_column(default=False)


# %% tags=["setup"]
engine = create_engine(
    f"sqlite:///{Path(tempfile.mkdtemp()) / 'dog_eared.db'}", hide_parameters=True
)
Base.metadata.create_all(engine)
SessionLocal = sessionmaker(engine)


def get_session() -> Iterator[Session]:
    with SessionLocal.begin() as session:  # commits, or rolls back
        yield session


SessionDep = Annotated[Session, Depends(get_session, scope="function")]  # before the response

passwords = PasswordHash((Argon2Hasher(memory_cost=1024, time_cost=1, parallelism=1),))  # cheap


def start_over() -> None:
    """Two users, Ada and Bob, and nobody logged in."""
    with SessionLocal.begin() as session:
        for model in (RefreshToken, Login, User):
            session.execute(delete(model))
        for number, name in enumerate(("Ada", "Bob"), start=1):
            session.add(
                User(
                    id=number,
                    username=name.lower(),
                    display_name=name,
                    email=f"{name.lower()}@example.com",
                    hashed_password=passwords.hash("middlemarch"),
                )
            )


start_over()

# %% [markdown]
# # 1. A password once, a token after
#
# HTTP forgets. Each request has to say again who is asking, and it cannot say it with the password: that would be in
# every request, sooner or later in a log, and it would cost what lesson 12 made it cost. What might come instead?
# Measured:


# %%
def milliseconds(work: Callable[[], object], times: int) -> float:
    """How long it takes, on average: a browser's clock does not see a single quick one."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) * 1000 / times


strong, a_key = PasswordHash.recommended(), secrets.token_bytes(32)
kept = strong.hash("middlemarch")
signed = jwt.encode({"sub": "1"}, a_key, algorithm="HS256")

for what, work, times in (
    ("a password verified", lambda: strong.verify("middlemarch", kept), 3),
    ("a signature verified", lambda: jwt.decode(signed, a_key, algorithms=["HS256"]), 300),
):
    print(f"{what:21} {milliseconds(work, times):9.3f} ms")

# %% [markdown]
# So the password is sent once. What the client gets for it is a note, *"this is user 1, until a quarter past"*, signed
# by us. Anybody may carry the note; nobody but us can write one.
#
# ## What it looks like
#
# The usual note is a [JWT](https://www.rfc-editor.org/rfc/rfc7519.html), a JSON Web Token. Here is one, made with a key
# that is no secret, since you are reading it:

# %%
DEMO_KEY = b"this key is printed in a notebook"
claims = {"sub": "1", "aud": "access", "exp": 1_900_000_000}

token = jwt.encode(claims, DEMO_KEY, algorithm="HS256")
print(*token.split("."), sep="\n")

# %% [markdown]
# **Predict.** What can somebody read in it who has found it and does **not** have the key?


# %%
def opened(part: str) -> Any:
    """What a part of a token says."""
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def closed(content: Any) -> str:
    """A part of a token that says this."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


header, payload, signature = token.split(".")
print(opened(header))
print(opened(payload))

# %% [markdown]
# Everything. A JWT is **signed, not encrypted**: base64 is an alphabet, not a lock. So nothing goes into it that its
# bearer, or the next person to find it, must not read.
#
# What the signature does is something else. Let Ada's note be changed to Bob's:

# %%
forged = f"{header}.{closed(opened(payload) | {'sub': '2'})}.{signature}"


def try_token(token: str, key: bytes = DEMO_KEY, **options: Any) -> None:
    try:
        print("taken:", jwt.decode(token, key, **options))
    except jwt.PyJWTError as error:
        print(f"{type(error).__name__}: {error}")


try_token(token, algorithms=["HS256"], audience="access")
try_token(forged, algorithms=["HS256"], audience="access")

# %% [markdown]
# One character of the payload has changed, so the signature would have to change altogether, and only the key can make
# that one.
#
# ## What it says
#
# | claim | says | |
# | --- | --- | --- |
# | `sub` | whom it is about | the user's id: names change, and a freed name gets a new owner |
# | `exp` | until when | seconds since 1970 |
# | `aud` | what it is good for | so that a token for one purpose does not open another: part 3 |
# | `iat` | when it was issued | if you like |
#
# Three of them bite.
#
# **Predict.** An id is a number, so why not `"sub": 1`?

# %%
numbered = jwt.encode(claims | {"sub": 1}, DEMO_KEY, algorithm="HS256")
print("issued.")
try_token(numbered, algorithms=["HS256"], audience="access")

# %% [markdown]
# The standard wants a string. Issuing does not mind; it is **reading** that refuses, in another function, perhaps after
# the deployment. So `str(user.id)`.
#
# And one without `exp`: when does it end?

# %%
eternal = jwt.encode({"sub": "1", "aud": "access"}, DEMO_KEY, algorithm="HS256")

try_token(eternal, algorithms=["HS256"], audience="access")
try_token(eternal, algorithms=["HS256"], audience="access", options={"require": ["exp", "sub"]})

# %% [markdown]
# Never. What is not there cannot have expired, so say at the reading end what must be there: `require`.
#
# The third is whose clock `exp` is on:

# %%
noon = datetime(2030, 1, 1, 12)  # no time zone: noon where you sit
read = jwt.decode(jwt.encode({"exp": noon}, DEMO_KEY), DEMO_KEY, algorithms=["HS256"])
print(datetime.fromtimestamp(read["exp"], UTC))

# %% [markdown]
# Noon in Greenwich, wherever you sit. A token from `datetime.now() + timedelta(minutes=15)` lives for hours too long in
# Berlin, and is dead at birth in New York. `datetime.now(UTC)`.
# ([PyJWT on registered claims](https://pyjwt.readthedocs.io/en/stable/usage.html#registered-claim-names))
#
# **How long?** As long as you could bear that somebody else has it: minutes. Here, fifteen. That nobody wants to type a
# password every fifteen minutes is true, and part 4's business.

# %% [markdown]
# ## The login
#
# Here are our own key, and lesson 12's login as a function. The key comes out of the environment in real life, not out
# of the repository: whoever has it can be anybody.

# %% tags=["setup"]
KEY = secrets.token_bytes(32)
LIFETIME = timedelta(minutes=15)
NOBODYS_HASH = passwords.hash(secrets.token_urlsafe())


def authenticate(session: Session, username: str, password: str) -> int | None:
    """The id of the user whose name and password these are; equal work for everybody else."""
    columns = select(User.id, User.hashed_password, User.is_active)
    user = session.execute(columns.where(User.username == username.casefold())).one_or_none()
    fits = passwords.verify(password, user.hashed_password if user else NOBODYS_HASH)
    return user.id if user and fits and user.is_active else None


# %% [markdown]
# How the password gets here is settled too, by [OAuth2](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.3): a
# **form**, not JSON, with `username` and `password`; and back comes JSON with `access_token` and `token_type`. FastAPI
# has the form as a dependency, and the *Authorize* button of `/docs` fills it in:


# %%
echoing = FastAPI()


@echoing.post("/token")
def who_is_there(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> str:
    return form.username


ada = {"username": "ada", "password": "middlemarch"}
client = TestClient(echoing)
print(client.post("/token", data=ada).status_code, client.post("/token", json=ada).status_code)

# %% [markdown]
# (The standard has since been [amended](https://www.rfc-editor.org/rfc/rfc9700.html#section-2.4), and forbids this
# flow: *other* people's apps should never see your users' passwords. Where form and server are both yours, as here,
# nobody else sees them, and what is left of OAuth2 is the shape of a form.)

# %% [markdown]
# ## Exercise 13.1: issue a token
#
# - `issue_token(user_id)` gives an access token: signed with `KEY` by HS256, about that user (`sub`), for the audience
#   `"access"`, and good for `LIFETIME` from now;
# - `POST /token` takes the form. The right password: `{"access_token": ..., "token_type": "bearer"}`. Anything else: 401,
#   with the header `WWW-Authenticate: Bearer`, and the same words for all.
#
# `authenticate` is yours to use.


# %% exercise="13.issue_a_token"
# BEGIN STARTER
# def issue_token(user_id: int) -> str:
#     claims = TODO
#     return jwt.encode(claims, KEY, algorithm="HS256")
# END STARTER
# BEGIN SOLUTION
def issue_token(user_id: int) -> str:
    claims = {"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + LIFETIME}
    return jwt.encode(claims, KEY, algorithm="HS256")


# END SOLUTION
app = FastAPI()


@app.post("/token")
# BEGIN STARTER
# def log_in(
#     form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
# ) -> dict[str, str]:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def log_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
) -> dict[str, str]:
    user_id = authenticate(session, form.username, form.password)
    if user_id is None:
        raise HTTPException(401, "Wrong username or password.", {"WWW-Authenticate": "Bearer"})
    return {"access_token": issue_token(user_id), "token_type": "bearer"}


# END SOLUTION

# %% check="13.issue_a_token"
check("13.issue_a_token")

# %% [markdown]
# # 2. Who is asking?
#
# The client sends its token along with each request, in a header: `Authorization: Bearer eyJ...`. This takes it out:

# %% tags=["setup"]
bearer = OAuth2PasswordBearer(tokenUrl="token")  # where /docs finds the login
BearerToken = Annotated[str, Depends(bearer)]


def with_token(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


# %% [markdown]
# Nothing of it is verified: `bearer` gives you what stands behind the word. An endpoint that takes the token at its
# word:


# %%
trusting = FastAPI()


@trusting.get("/me")
def me_by_token(token: BearerToken) -> dict[str, int]:
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="access")
    return {"id": int(claims["sub"])}


def token_for(user_id: int, **other: Any) -> str:
    """An access token for trying things out."""
    usual = {"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + LIFETIME}
    return jwt.encode(usual | other, KEY, algorithm="HS256")


bobs = token_for(2)
client = TestClient(trusting)
print(client.get("/me", headers=with_token(bobs)).json())

refused = client.get("/me")
print(refused.status_code, refused.json(), refused.headers["www-authenticate"])

# %% [markdown]
# Works, asks no database, and says 401 to whoever brings nothing. Now it is ten past two, and Bob's account is closed.
#
# **Predict.** What does Bob's token get?

# %%
with SessionLocal.begin() as session:
    session.execute(update(User).where(User.username == "bob").values(is_active=False))

with trace(trusting, engine) as seen:
    print(client.get("/me", headers=with_token(bobs)).json())
seen

# %% [markdown]
# In. There is the timeline: nobody asked. The token says what was true **when it was issued**, and for as long as it
# lives. Whatever may change in between, *is she still with us* before all, has to be looked up.
#
# Here is how that is mostly done:


# %%
generous = FastAPI()


@generous.get("/me")
def me_by_object(token: BearerToken, session: SessionDep) -> dict[str, str]:
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="access")
    user = session.get(User, int(claims["sub"]))
    if user is None or not user.is_active:
        raise HTTPException(401)
    return {"name": user.display_name}


# %% [markdown]
# **Predict.** Which columns does this fetch?

# %%
with trace(generous, engine) as seen:
    TestClient(generous).get("/me", headers=with_token(token_for(1)))
print(seen.statements[0])

# %% [markdown]
# All of them, for a name. So the hash and the e-mail address are fetched on *every request of the whole service*, and
# handed to every endpoint that asks who is there. One `return user`, one `log.info(vars(user))`, and lesson 12 begins
# again.
#
# ## One query, three columns
#
# What do endpoints need? Say it as a type, and fetch that:


# %% tags=["setup"]
@dataclass(frozen=True, slots=True)
class CurrentUser:
    id: int
    username: str
    display_name: str


# %%
wanted = select(User.id, User.username, User.display_name)

with trace(engine) as seen, SessionLocal() as session:
    row = session.execute(wanted.where(User.id == 1, User.is_active)).one_or_none()
    print(row and CurrentUser(*row))
print(seen.statements[0])

# %% [markdown]
# A `frozen` dataclass is no ORM object: it cannot load anything later, cannot be written back by mistake, and stays
# what it is when the session has gone. `is_active` stands in the WHERE, where nobody can forget to look at it: closed
# and never existed are one case, no row.
#
# It is one look-up by primary key, and one per **request**: FastAPI calls a dependency once for all who ask for it
# ([unless told otherwise](https://fastapi.tiangolo.com/tutorial/dependencies/sub-dependencies/#using-the-same-dependency-multiple-times)).
#
# Last, what to say when it is not to be. Three things are right about this one: 401 means *I do not know who you are*
# (403 would be *I do, and no*; lesson 14), the header says in
# [the standard's words](https://www.rfc-editor.org/rfc/rfc6750.html#section-3.1) what is wrong, and the body says
# nothing.


# %% tags=["setup"]
def unauthorized() -> HTTPException:
    """What everybody hears whose token is not taken, whatever the reason."""
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return HTTPException(401, "Please log in.", challenge)


# %% [markdown]
# ## Exercise 13.2: the dependency
#
# Write `get_current_user`:
#
# - a good token of an active user: their `CurrentUser`, in **one** query, of no more columns than it takes;
# - a token that is expired, signed with another key, for another audience, without `exp`, or no token at all but
#   rubbish; a user who is closed, or gone: `unauthorized()`.


# %% exercise="13.current_user"
# BEGIN STARTER
# def get_current_user(token: BearerToken, session: SessionDep) -> CurrentUser:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def get_current_user(token: BearerToken, session: SessionDep) -> CurrentUser:
    try:
        claims = jwt.decode(
            token,
            KEY,
            algorithms=["HS256"],
            audience="access",
            options={"require": ["exp", "sub"]},
        )
    except jwt.InvalidTokenError as error:
        raise unauthorized() from error
    columns = select(User.id, User.username, User.display_name)
    row = session.execute(
        columns.where(User.id == int(claims["sub"]), User.is_active)
    ).one_or_none()
    if row is None:
        raise unauthorized()
    return CurrentUser(*row)


# END SOLUTION
app = FastAPI()


@app.get("/me")
def read_me(me: Annotated[CurrentUser, Depends(get_current_user)]) -> CurrentUser:
    return me


# %% check="13.current_user"
check("13.current_user")

# %% [markdown]
# # 3. Tokens that others made
#
# Change sides. You would like to be Ada, and have no key.
#
# ## No signature at all
#
# The header of a token says how it is signed. The standard knows a way called
# [`none`](https://www.rfc-editor.org/rfc/rfc7518.html#section-3.6). Here is a reader that goes by the header, as
# [several libraries did](https://auth0.com/blog/critical-vulnerabilities-in-json-web-token-libraries/) in 2015:


# %%
def read_as_in_2015(token: str) -> Any:
    header, payload, _ = token.split(".")
    algorithm = opened(header)["alg"]
    if algorithm == "none":
        return opened(payload)  # no signature, so nothing to verify
    return jwt.decode(token, KEY, algorithms=[algorithm], audience="access")


unsigned = f"{closed({'alg': 'none'})}.{closed(claims)}."

# %% [markdown]
# **Predict.** What does that give, and what does PyJWT make of the same token?

# %%
print("in 2015: taken:", read_as_in_2015(unsigned))
try_token(unsigned, KEY, algorithms=["HS256"], audience="access")

# %% [markdown]
# Ada, without any key. The error was to let **the token say how it is to be checked**. That is why `decode` insists on
# `algorithms`, and why what you put there must be a constant:

# %%
try_token(unsigned, KEY)
try_token(unsigned, KEY, algorithms=[jwt.get_unverified_header(unsigned)["alg"]])

# %% [markdown]
# The second asks the token again. PyJWT saves you from the worst, with an `InvalidKeyError`; but that one is *not* an
# `InvalidTokenError`, so it goes past your `except` and becomes a 500.
#
# Today's spelling of the same hole is this, mostly written "only to see who it is, before we verify":

# %%
old_and_forged = jwt.encode({"sub": "1", "aud": "x", "exp": 5}, b"some other key" * 3)
jwt.decode(old_and_forged, options={"verify_signature": False})

# %% [markdown]
# Expired, for another audience, signed by anybody: taken. `verify_signature: False` turns off **all** of it.
#
# ## A key that can be guessed
#
# You have a token of your own; everybody does who has an account. It is a riddle that checks its own answers. No
# server is asked, nothing is logged, and HMAC is quick:

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    mine = jwt.encode({"sub": "2"}, "secret", algorithm="HS256")
    for guess in ("changeme", "password", "dog-eared", "secret"):
        try:
            jwt.decode(mine, guess, algorithms=["HS256"])
            print("the key is", guess)
        except jwt.InvalidSignatureError:
            print("not", guess)
print(f"{said[0].category.__name__}: {said[0].message}")

# %% [markdown]
# The fourth guess, and you are everybody. Lists of such keys
# [can be had](https://github.com/wallarm/jwt-secrets). PyJWT does warn; take it at its word. Thirty-two bytes from
# `secrets.token_bytes(32)`, or none.
#
# ## A token that was meant for something else
#
# Lesson 12 writes a letter with a link to confirm an address. A colleague made the link with what was at hand: a JWT,
# the same key, good for a week. It has travelled by mail and lies in an inbox, a proxy's log, a browser's history.

# %%
in_a_week = datetime.now(UTC) + timedelta(days=7)
in_the_letter = jwt.encode({"sub": "1", "exp": in_a_week}, KEY, algorithm="HS256")
better_letter = jwt.encode({"sub": "1", "exp": in_a_week, "aud": "confirm"}, KEY, algorithm="HS256")

without_audience = jwt.decode(in_the_letter, KEY, algorithms=["HS256"])
print("taken, for user", without_audience["sub"])
try_token(in_the_letter, KEY, algorithms=["HS256"], audience="access")
try_token(better_letter, KEY, algorithms=["HS256"], audience="access")

# %% [markdown]
# The signature is ours and the date is right. Nothing is wrong with the token except that it is not for this door. So
# every token names its purpose, in `aud`, and every reader asks for the one that it serves. With `audience=` given,
# PyJWT also refuses a token that names none.
# ([RFC 8725, section 3.12](https://www.rfc-editor.org/rfc/rfc8725.html#section-3.12))
#
# ## What to say, and to whom
#
# PyJWT is precise: *expired*, *signature failed*, *audience doesn't match*. Pass that on, and whoever tries keys hears
# which try came further. *"This account is closed"* is worse: it tells a thief that the token is good and only the
# account is not. The client can do the same one thing in every case, get a new token. So it hears the same one thing.
#
# **You** want to know, though, and that is what a log is for. Mind what goes in. A token that is refused today because
# the account is closed is a good token when it is opened again; one refused by mistake is a good token **now**. The
# log, its provider, and the ticket into which it was pasted then hold a key each. The kind of the error is enough:

# %%
try:
    jwt.decode(token_for(1, exp=5), KEY, algorithms=["HS256"], audience="access")
except jwt.InvalidTokenError as error:
    print(f"a token was refused: {type(error).__name__}")

# %% [markdown]
# For the same reason a token goes into a header and never into a URL. URLs are logged by everybody on the way.

# %% [markdown]
# ## Exercise 13.3: the rejected tokens
#
# Here is a `/me` as it was found, by somebody who had read about all this in a hurry. It lets in what it should not,
# tells what it should not, and keeps what it should not. Mend it:
#
# - a good token of an active user: 200, with `id`, `username` and `display_name`, and nothing else;
# - whatever else comes, expired, forged, `alg: none`, for another purpose, without `exp`, about nobody, rubbish, of a
#   closed account: the **same** 401;
# - the log says that a token was refused, of a closed account's too, and never which.


# %% exercise="13.rejected_tokens"
log = logging.getLogger("dog_eared")
app = FastAPI()


# BEGIN STARTER
# def get_current_user(token: BearerToken, session: SessionDep) -> User:
#     algorithm = jwt.get_unverified_header(token)["alg"]
#     try:
#         if algorithm == "none":
#             claims = jwt.decode(token, options={"verify_signature": False})
#         else:
#             claims = jwt.decode(token, KEY, algorithms=[algorithm], options={"verify_aud": False})
#     except jwt.ExpiredSignatureError as error:
#         raise HTTPException(401, "Your token has expired.") from error
#     except jwt.InvalidTokenError as error:
#         log.warning("refused %s: %s", token, error)
#         raise HTTPException(401, f"Bad token: {error}") from error
#     user = session.get(User, int(claims["sub"]))
#     if user is None:
#         raise HTTPException(404, "No such user.")
#     if not user.is_active:
#         raise HTTPException(403, "This account is closed.")
#     return user
#
#
# @app.get("/me")
# def read_me(me: Annotated[User, Depends(get_current_user)]):
#     return me
# END STARTER
# BEGIN SOLUTION
def get_current_user(token: BearerToken, session: SessionDep) -> CurrentUser:
    try:
        claims = jwt.decode(
            token,
            KEY,
            algorithms=["HS256"],
            audience="access",
            options={"require": ["exp", "sub"]},
        )
        user_id = int(claims["sub"])
    except (jwt.InvalidTokenError, ValueError) as error:
        log.warning("a token was refused: %s", type(error).__name__)
        raise unauthorized() from error
    columns = select(User.id, User.username, User.display_name)
    row = session.execute(columns.where(User.id == user_id, User.is_active)).one_or_none()
    if row is None:
        log.warning("a token was refused: user %s is closed or gone", user_id)
        raise unauthorized()
    return CurrentUser(*row)


@app.get("/me")
def read_me(me: Annotated[CurrentUser, Depends(get_current_user)]) -> CurrentUser:
    return me


# END SOLUTION

# %% check="13.rejected_tokens"
check("13.rejected_tokens")

# %% [markdown]
# # 4. Ending it
#
# ## Log out
#
# A client logs out by forgetting its token. The thief's copy does not forget, and the server has nothing to forget: it
# keeps no list. To end a login, there has to be a login, as a row:
#
# - `Login` is one login of one user, on one device. It ends at `expires_at`. To end it *now*, set that to now.
# - The access token names it, in a claim `sid`. The current user's query joins it.


# %% tags=["setup"]
@dataclass(frozen=True, slots=True)
class Visit:
    """Who is asking, and by which login."""

    user_id: int
    login_id: int
    username: str


def now() -> int:
    return int(time.time())


def get_visit(token: BearerToken, session: SessionDep) -> Visit:
    options = {"require": ["exp", "sub", "sid"]}
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="access", options=options)
    except jwt.InvalidTokenError as error:
        raise unauthorized() from error
    row = session.execute(
        select(User.id, Login.id, User.username)
        .join(Login, Login.user_id == User.id)
        .where(Login.id == claims["sid"], Login.expires_at > now())
        .where(User.id == int(claims["sub"]), User.is_active)
    ).one_or_none()
    if row is None:
        raise unauthorized()
    return Visit(*row)


VisitDep = Annotated[Visit, Depends(get_visit)]

# %% [markdown]
# And what a login gives away. Besides the access token there is a second one, of which more in a moment:


# %% tags=["setup"]
class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"


def fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def issue_tokens(session: Session, user_id: int, login_id: int) -> Tokens:
    """A pair of tokens for a login; of the second the database keeps a fingerprint."""
    claims = {"sub": str(user_id), "sid": login_id, "aud": "access"}
    expiring = claims | {"exp": datetime.now(UTC) + LIFETIME}
    refresh = secrets.token_urlsafe(32)
    session.add(RefreshToken(login_id=login_id, hashed=fingerprint(refresh)))
    session.flush()
    access = jwt.encode(expiring, KEY, algorithm="HS256")
    return Tokens(access_token=access, refresh_token=refresh)


def start_login(session: Session, user_id: int) -> Tokens:
    login = Login(user_id=user_id, expires_at=now() + 30 * 24 * 3600)
    session.add(login)
    session.flush()
    return issue_tokens(session, user_id, login.id)


# %% tags=["setup"]
doors = APIRouter()


@doors.post("/token")
def open_login(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
) -> Tokens:
    user_id = authenticate(session, form.username, form.password)
    if user_id is None:
        raise unauthorized()
    return start_login(session, user_id)


@doors.get("/me")
def read_visit(visit: VisitDep) -> dict[str, str]:
    return {"username": visit.username}


# %% [markdown]
# Ada logs in on her phone and on her laptop, and ends the laptop's login.
#
# **Predict.** What does each hear afterwards, and how many queries does it take to know?

# %%
start_over()
shop = FastAPI()
shop.include_router(doors)
client = TestClient(shop)
phone, laptop = (client.post("/token", data=ada).json() for _ in range(2))

with SessionLocal.begin() as session:
    session.execute(update(Login).where(Login.id == 2).values(expires_at=now()))

with trace(shop, engine) as seen:
    for device in (phone, laptop):
        answer = client.get("/me", headers=with_token(device["access_token"]))
        print(answer.status_code, answer.json())
seen

# %% [markdown]
# At once, and still one query each: a join along two keys. *Log out everywhere*, and every change of a password should
# do that, is the same UPDATE with `Login.user_id == ...`.
#
# ## What belongs where
#
# | | in the token | in the database |
# | --- | --- | --- |
# | **what cannot change** while it lives: who, which login, for what, until when | yes | |
# | **what can**: closed, logged out, name, roles | | yes |
# | **what its bearer must not read** | never | yes |
#
# Then what is the JWT for, if we ask the database anyway? Honestly: not for much. It keeps forgeries and rubbish from
# ever reaching the database, and it lets another service read who is asking without ours. A long random string with a
# row of its own, a *session id*, would do as well here, and lesson 16 uses one. The JWT pays where asking is dear or
# impossible, and its price is then always the same: what you do not ask, you learn `LIFETIME` later.
#
# ## The second token
#
# After fifteen minutes the access token is dead, and nobody wants to type. So the client has a **refresh token**. It
# goes to one endpoint only, `/refresh`, which gives a new pair for it. It is no JWT: it will be looked up in any case,
# so all it needs to be is impossible to guess. The database keeps its SHA-256. That was a scandal for passwords, in
# lesson 12; why not here?

# %%
print(f"guesses to try: {2**256:.0e}; at a billion a second, {2**256 / 1e9 / 3.2e7:.0e} years")

# %% [markdown]
# Because nobody has a list of likely ones. A salt and a slow hash make up for passwords that people choose; this one no
# one chose.
#
# ## A stolen one
#
# A refresh token is worth thirty days. Suppose a thief has copied it, and it can be used as often as one likes: then
# thief and owner go on side by side, and nobody notices. So let each be good **once**: `/refresh` gives a new one and
# marks the old one as used. Then:
#
# | | thief | owner | |
# | --- | --- | --- | --- |
# | first | copies token A | has token A | |
# | then | sends A, gets B | | A is used |
# | later | | sends A | **A comes a second time** |
#
# Now the server knows that two people have the same token. It cannot know which of them is which: it would look the
# same if the owner had been first. So it ends the **login**, with all its tokens, the thief's B included. The owner
# types a password; the thief has none. That is *rotation with reuse detection*
# ([RFC 9700, section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700.html#section-4.14.2)).
#
# ## The alarm that takes itself back
#
# Here it is, written as everybody writes it at first:


# %%
class Refresh(BaseModel):
    refresh_token: str


hasty = FastAPI()
hasty.include_router(doors)


@hasty.post("/refresh")
def refresh_in_haste(sent: Refresh, session: SessionDep) -> Tokens:
    found = select(RefreshToken).where(RefreshToken.hashed == fingerprint(sent.refresh_token))
    token = session.scalar(found)
    if token is None:
        raise unauthorized()
    login = session.get_one(Login, token.login_id)
    if token.is_used:
        login.expires_at = now()  # the alarm
        session.flush()
        raise unauthorized()
    token.is_used = True
    return issue_tokens(session, login.user_id, login.id)


# %%
start_over()
client = TestClient(hasty)
token_a = client.post("/token", data=ada).json()
token_b = client.post("/refresh", json={"refresh_token": token_a["refresh_token"]}).json()

with trace(hasty, engine) as seen:
    again = client.post("/refresh", json={"refresh_token": token_a["refresh_token"]})
print("A, a second time:", again.status_code)

# %% [markdown]
# Refused, and the login has been ended.
#
# **Predict.** What does the thief's B get now?

# %%
thief = client.post("/refresh", json={"refresh_token": token_b["refresh_token"]})
print("B:", thief.status_code)
seen

# %% [markdown]
# A new pair. There is the UPDATE that ended the login, and below it a rollback. `raise` left the session's block as an
# error, and what happens to a transaction that is left by an error you know from lesson 03. The alarm took itself back.
#
# **Decide inside the transaction, refuse outside of it**: a function that returns `None` when the answer is no, its
# `with SessionLocal.begin()` closed and committed, and an endpoint that raises.
#
# ## Twice at once
#
# One gap is left. Two requests with the same token at the same moment, here as two sessions:

# %%
start_over()
with SessionLocal.begin() as session:
    start_login(session, user_id=1)

look, is_good = select(RefreshToken.is_used), RefreshToken.is_used.is_(False)
with SessionLocal() as one, SessionLocal() as other:
    print("is it used?", one.scalar(look), other.scalar(look))

mark = update(RefreshToken).where(is_good).values(is_used=True)
for _ in range(2):
    with SessionLocal.begin() as session:
        print("rows marked:", session.execute(mark).rowcount)

# %% [markdown]
# Both have looked, and both would go on. The UPDATE that says in its WHERE what it takes for granted decides it, as it
# did for the last copy in lesson 03: one row for the first, none for the second. Whoever gets none, of a token that
# exists, has come second, and is the alarm.

# %% [markdown]
# ## Exercise 13.4: refresh and log out
#
# Write the two that are missing. `POST /refresh` takes `{"refresh_token": ...}`:
#
# - a good one, of a login that goes on and a user who is active: 200 with new `Tokens` of the **same** login. Each is good
#   once;
# - anything else, unknown, used, of an ended login, of a closed user: `unauthorized()`;
# - one that comes a second time, be it at the same moment: this also **ends its login**, and no other.
#
# `POST /logout`, with the access token: 204, and this login is over, and no other. What the database holds of a refresh
# token stays a fingerprint.


# %% exercise="13.revoke"
class Refresh(BaseModel):
    refresh_token: str


app = FastAPI()
app.include_router(doors)


# BEGIN STARTER
# @app.post("/refresh")
# def refresh(sent: Refresh) -> Tokens:
#     return TODO
#
#
# @app.post("/logout", status_code=204)
# def log_out(visit: VisitDep, session: SessionDep) -> None:
#     return TODO
# END STARTER
# BEGIN SOLUTION
def end_login(session: Session, login_id: int) -> None:
    session.execute(update(Login).where(Login.id == login_id).values(expires_at=now()))


def rotate(token: str) -> Tokens | None:
    this = RefreshToken.hashed == fingerprint(token)
    with SessionLocal.begin() as session:
        login_id = session.scalar(select(RefreshToken.login_id).where(this))
        if login_id is None:
            return None
        first = session.execute(
            update(RefreshToken).where(this, RefreshToken.is_used.is_(False)).values(is_used=True)
        )
        if first.rowcount == 0:
            end_login(session, login_id)
            return None
        user_id = session.scalar(
            select(User.id)
            .join(Login, Login.user_id == User.id)
            .where(Login.id == login_id, Login.expires_at > now(), User.is_active)
        )
        return issue_tokens(session, user_id, login_id) if user_id else None


@app.post("/refresh")
def refresh(sent: Refresh) -> Tokens:
    tokens = rotate(sent.refresh_token)
    if tokens is None:
        raise unauthorized()
    return tokens


@app.post("/logout", status_code=204)
def log_out(visit: VisitDep, session: SessionDep) -> None:
    end_login(session, visit.login_id)


# END SOLUTION

# %% check="13.revoke"
check("13.revoke")

# %% [markdown]
# Reuse detection has an honest price: a client that loses the answer to its refresh, in a tunnel say, sends the same
# token again, and is thrown out. Some services give the old token a few seconds of grace. That is a window for a thief
# as well, and where the client can, a lock around its refresh is better.

# %% [markdown]
# # Recap
#
# ## The recipe
#
# Login, current user, rotation and logout, on three tables:

# %% tags=["recipe"]
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from pydantic import BaseModel
from sqlalchemy import BigInteger, ForeignKey, StaticPool, create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

# From the environment, or each process makes its own and refuses the others' tokens.
SIGNING_KEY = bytes.fromhex(os.environ.get("SIGNING_KEY", "")) or secrets.token_bytes(32)
ACCESS_SECONDS, LOGIN_SECONDS = 15 * 60, 30 * 24 * 3600
hasher = PasswordHash.recommended()
DECOY_HASH = hasher.hash(secrets.token_urlsafe())


class Model(DeclarativeBase):
    pass


class Member(Model):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[str]  # lesson 12 hides it better
    is_active: Mapped[bool] = mapped_column(default=True)


class MemberLogin(Model):
    __tablename__ = "member_login"

    id: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), index=True)
    expires_at: Mapped[int] = mapped_column(BigInteger)  # seconds since 1970


class MemberRefresh(Model):
    __tablename__ = "member_refresh"

    id: Mapped[int] = mapped_column(primary_key=True)
    login_id: Mapped[int] = mapped_column(ForeignKey("member_login.id"), index=True)
    hashed: Mapped[str] = mapped_column(unique=True)
    is_used: Mapped[bool] = mapped_column(default=False)


database = create_engine(  # a file or a server needs only the first and the last argument
    "sqlite://",
    connect_args={"check_same_thread": False},
    poolclass=StaticPool,
    hide_parameters=True,
)
Sessions = sessionmaker(database)


def open_session() -> Iterator[Session]:
    with Sessions.begin() as session:
        yield session


DbSession = Annotated[Session, Depends(open_session, scope="function")]


class TokenPair(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"


@dataclass(frozen=True, slots=True)
class CurrentMember:
    id: int
    username: str
    login_id: int


def refused() -> HTTPException:
    return HTTPException(
        401, "Please log in.", {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    )


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def issue_pair(session: Session, member_id: int, login_id: int) -> TokenPair:
    claims = {
        "sub": str(member_id),
        "sid": login_id,
        "aud": "access",
        "exp": int(time.time()) + ACCESS_SECONDS,
    }
    fresh = secrets.token_urlsafe(32)
    session.add(MemberRefresh(login_id=login_id, hashed=hash_of(fresh)))
    access = jwt.encode(claims, SIGNING_KEY, algorithm="HS256")
    return TokenPair(access_token=access, refresh_token=fresh)


token_header = OAuth2PasswordBearer(tokenUrl="token")


def get_member(token: Annotated[str, Depends(token_header)], session: DbSession) -> CurrentMember:
    try:
        claims = jwt.decode(
            token,
            SIGNING_KEY,
            algorithms=["HS256"],
            audience="access",
            options={"require": ["exp", "sub", "sid"]},
        )
        member_id, login_id = int(claims["sub"]), int(claims["sid"])
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise refused() from error
    row = session.execute(
        select(Member.id, Member.username, MemberLogin.id)
        .join(MemberLogin, MemberLogin.member_id == Member.id)
        .where(MemberLogin.id == login_id, MemberLogin.expires_at > int(time.time()))
        .where(Member.id == member_id, Member.is_active)
    ).one_or_none()
    if row is None:
        raise refused()
    return CurrentMember(*row)


MemberDep = Annotated[CurrentMember, Depends(get_member)]


def end_logins(session: Session, *which: Any) -> None:
    session.execute(update(MemberLogin).where(*which).values(expires_at=int(time.time())))


def rotated(token: str) -> TokenPair | None:
    this = MemberRefresh.hashed == hash_of(token)
    unused = MemberRefresh.is_used.is_(False)
    mark = update(MemberRefresh).where(this, unused).values(is_used=True)
    with Sessions.begin() as session:  # decide in here, refuse out there
        login_id = session.scalar(mark.returning(MemberRefresh.login_id))
        if login_id is None:  # unknown, and nothing ends; or used before, and its login does
            known = select(MemberRefresh.login_id).where(this)
            end_logins(session, MemberLogin.id.in_(known))
            return None
        member_id = session.scalar(
            select(Member.id)
            .join(MemberLogin, MemberLogin.member_id == Member.id)
            .where(MemberLogin.id == login_id, MemberLogin.expires_at > int(time.time()))
            .where(Member.is_active)
        )
        return issue_pair(session, member_id, login_id) if member_id else None


api = FastAPI()


@api.post("/token")
def open_the_door(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], response: Response
) -> TokenPair:
    response.headers["Cache-Control"] = "no-store"
    columns = select(Member.id, Member.hashed_password, Member.is_active)
    with Sessions() as session:  # closed before we hash
        found = session.execute(columns.where(Member.username == form.username)).one_or_none()
    fits = hasher.verify(form.password, found.hashed_password if found else DECOY_HASH)
    if found is None or not fits or not found.is_active:
        raise refused()
    with Sessions.begin() as session:
        login = MemberLogin(member_id=found.id, expires_at=int(time.time()) + LOGIN_SECONDS)
        session.add(login)
        session.flush()
        return issue_pair(session, found.id, login.id)


class RefreshIn(BaseModel):
    refresh_token: str


@api.post("/refresh")
def refresh_pair(sent: RefreshIn, response: Response) -> TokenPair:
    response.headers["Cache-Control"] = "no-store"
    pair = rotated(sent.refresh_token)
    if pair is None:
        raise refused()
    return pair


@api.get("/me")
def who_am_i(me: MemberDep) -> CurrentMember:
    return me


@api.post("/logout", status_code=204)
def log_me_out(me: MemberDep, session: DbSession) -> None:
    end_logins(session, MemberLogin.id == me.login_id)


@api.post("/logout-everywhere", status_code=204)
def log_me_out_everywhere(me: MemberDep, session: DbSession) -> None:
    end_logins(session, MemberLogin.member_id == me.id)


Model.metadata.create_all(database)
with Sessions.begin() as session:
    session.add(Member(username="ada", hashed_password=hasher.hash("middlemarch")))

client = TestClient(api)
pair = client.post("/token", data={"username": "ada", "password": "middlemarch"}).json()
bearer_of = {"Authorization": f"Bearer {pair['access_token']}"}
print("me", client.get("/me", headers=bearer_of).status_code)
for attempt in ("once", "twice"):
    sent = {"refresh_token": pair["refresh_token"]}
    print(f"refreshed {attempt}", client.post("/refresh", json=sent).status_code)
print("me", client.get("/me", headers=bearer_of).status_code)

# %% [markdown]
# ## The rules
#
# - A token is signed, not encrypted: nothing goes in that its bearer must not read.
# - `sub` is a string, `exp` is there and in UTC, `aud` says what for.
# - Reading: `algorithms` a constant, `audience` given, `exp` and `sub` required. Never `verify_signature: False`.
# - A key is 32 random bytes out of the environment.
# - What can change is looked up, in one query, of the columns that are needed.
# - One 401 for all; the log gets the kind of the error and never the token.
# - A login is a row, and ending it is an UPDATE.
# - Refresh tokens: random, once, kept as a fingerprint. The second use ends the login.
# - Decide inside the transaction, refuse outside of it.
#
# ## Messages met
#
# | message | what happened |
# | --- | --- |
# | `ExpiredSignatureError: Signature has expired` | `exp` is over. The signature is fine, whatever it says |
# | `InvalidSignatureError: Signature verification failed` | another key, or somebody has changed the token |
# | `InvalidAlgorithmError: The specified alg value is not allowed` | the token names an algorithm that is not in `algorithms`: `none`, for one |
# | `InvalidAudienceError: Audience doesn't match` | a token for another purpose |
# | `InvalidSubjectError: Subject must be a string` | `sub` was issued as a number |
# | `MissingRequiredClaimError: Token is missing the "exp" claim` | it would never have expired; `require` has seen it |
# | `DecodeError: It is required that you pass in a value for the "algorithms" argument when calling decode().` | the token shall not choose |
# | `InsecureKeyLengthWarning: The HMAC key is 6 bytes long` | a key that can be guessed |
#
# ## In production
#
# - **Changing the key** logs everybody out, unless the old one is still read for `LIFETIME`: name keys in the header
#   (`kid`), sign with the new, read with both. If it has leaked, do log everybody out.
# - **Several services** should not share a key that can write. Sign with a private key (EdDSA, RS256) and let them
#   verify with the public one.
# - **In a browser**, script that gets into your page can read what your own script can. Keep the refresh token in an
#   `HttpOnly` cookie, and then read lesson 16.
# - **Caches** on the way must not keep an answer that holds tokens: `Cache-Control: no-store`, as in the recipe
#   ([RFC 6749, section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)).
# - **Clocks** of several machines differ. `leeway=10` is seconds of patience.
# - **Rows** of logins and used tokens pile up. A nightly job deletes the logins that are over, with their tokens; not the
#   used tokens of one that goes on, which have to be known in order to be recognised.
# - Look at **reuse** as at an alarm: count it, and tell the user.
#
# ## Read more
#
# - [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725.html), JWT best practice, and
#   [RFC 9700](https://www.rfc-editor.org/rfc/rfc9700.html), OAuth 2.0 security: short, and made of incidents
# - [PyJWT's usage examples](https://pyjwt.readthedocs.io/en/stable/usage.html);
#   FastAPI: [Get current user](https://fastapi.tiangolo.com/tutorial/security/get-current-user/)
# - OWASP: [Session management](https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html)
