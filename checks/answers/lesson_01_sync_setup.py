"""Answers to lesson 01, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

_MEMORY = (
    'create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)'
)

_BASE = """\
class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


"""

_API = """\
class NewUser(BaseModel):
    username: str
    password: str


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    username: str


@asynccontextmanager
async def make_tables(app: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine)
    yield


app = FastAPI(lifespan=make_tables)
"""

_READ = """
@app.get("/users/{user_id}", response_model=UserOut)
def read_user(user_id: int, session: SessionDep) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise HTTPException(404, "No such user.")
    return user
"""

_ADD = """
@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep) -> User:
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return user
"""

_DEP = '\n\nSessionDep = Annotated[Session, Depends(get_db, scope="function")]\n'

ANSWERS: tuple[Answer, ...] = (
    # -- 01.engine ------------------------------------------------------------------------------
    right(
        "01.engine",
        "a file in a temporary folder",
        """
import os, tempfile
engine = create_engine("sqlite:///" + os.path.join(tempfile.mkdtemp(), "users.db"))
SessionLocal = sessionmaker(bind=engine, expire_on_commit=False)
""",
    ),
    right(
        "01.engine",
        "with the flags of old tutorials",
        f"""
from sqlalchemy.pool import StaticPool

engine = {_MEMORY.replace("sqlite://", "sqlite:///:memory:")}
SessionLocal = sessionmaker(autocommit=False, autoflush=False, bind=engine)
""",
    ),
    right(
        "01.engine",
        "configured later",
        f"""
SessionLocal = sessionmaker()
engine = {_MEMORY}
SessionLocal.configure(bind=engine)
""",
    ),
    wrong(
        "01.engine",
        "plain memory",
        """
engine = create_engine("sqlite://")
SessionLocal = sessionmaker(engine)
""",
        "a_database_for_each_thread",
    ),
    wrong(
        "01.engine",
        "half a rule",
        """
engine = create_engine("sqlite:///:memory:", connect_args={"check_same_thread": False})
SessionLocal = sessionmaker(engine)
""",
        "a_database_for_each_thread",
    ),
    wrong(
        "01.engine",
        "the other half",
        """
engine = create_engine("sqlite://", poolclass=StaticPool)
SessionLocal = sessionmaker(engine)
""",
        "one_thread_only",
    ),
    wrong(
        "01.engine",
        "the factory knows no engine",
        f"""
engine = {_MEMORY}
SessionLocal = sessionmaker()
""",
        "not_bound",
    ),
    wrong(
        "01.engine",
        "two engines",
        f"""
engine = {_MEMORY}
SessionLocal = sessionmaker({_MEMORY})
""",
        "another_engine",
    ),
    wrong(
        "01.engine",
        "autocommit in the factory",
        f"""
engine = {_MEMORY}
SessionLocal = sessionmaker(engine, autocommit=True)
""",
        "old_autocommit",
    ),
    wrong(
        "01.engine",
        "autocommit in the engine",
        f"""
engine = {_MEMORY.replace(")", ', isolation_level="AUTOCOMMIT")')}
SessionLocal = sessionmaker(engine)
""",
        "keeps_everything",
    ),
    wrong(
        "01.engine",
        "a session in place of the factory",
        f"""
engine = {_MEMORY}
SessionLocal = sessionmaker(engine)()
""",
    ),
    wrong(
        "01.engine",
        "an async engine",
        """
from sqlalchemy.ext.asyncio import create_async_engine
engine = create_async_engine("sqlite+aiosqlite://")
SessionLocal = sessionmaker(engine)
""",
    ),
    wrong(
        "01.engine",
        "a misspelt URL",
        """
engine = create_engine("sqllite://")
SessionLocal = sessionmaker(engine)
""",
    ),
    # -- 01.user_model --------------------------------------------------------------------------
    right(
        "01.user_model",
        "the classic spelling, with care",
        _BASE
        + """
from sqlalchemy import Column, Integer, String

class User(Base):
    __tablename__ = "user"
    id = Column(Integer, primary_key=True)
    username = Column(String(50), unique=True, index=True, nullable=False)
    hashed_password = Column(String, nullable=False)
""",
    ),
    right(
        "01.user_model",
        "a named constraint, and more columns",
        _BASE
        + """
from datetime import datetime
from sqlalchemy import String, UniqueConstraint, func

class User(Base):
    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("username", name="uq_user_username"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(50))
    hashed_password: Mapped[str]
    joined: Mapped[datetime] = mapped_column(server_default=func.now())
    nickname: Mapped[str | None]
""",
    ),
    right(
        "01.user_model",
        "a unique index",
        _BASE
        + """
from sqlalchemy import Index

class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    hashed_password: Mapped[str]
    __table_args__ = (Index(None, "username", unique=True),)
""",
    ),
    wrong(
        "01.user_model",
        "an index for unique",
        _BASE
        + """
class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(index=True)
    hashed_password: Mapped[str]
""",
        "not_unique",
    ),
    wrong(
        "01.user_model",
        "neither",
        _BASE
        + """
class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    hashed_password: Mapped[str]
""",
        "not_unique",
    ),
    wrong(
        "01.user_model",
        "the pair is unique",
        _BASE
        + """
from sqlalchemy import UniqueConstraint

class User(Base):
    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("username", "hashed_password"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(index=True)
    hashed_password: Mapped[str]
""",
        "unique_together",
    ),
    wrong(
        "01.user_model",
        "classic and nullable",
        _BASE
        + """
from sqlalchemy import Column, Integer, String

class User(Base):
    __tablename__ = "user"
    id = Column(Integer, primary_key=True, index=True)
    username = Column(String, unique=True, index=True)
    hashed_password = Column(String)
""",
        "may_be_null",
    ),
    wrong(
        "01.user_model",
        "an optional hash",
        _BASE
        + """
class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str | None]
""",
        "may_be_null",
    ),
    wrong(
        "01.user_model",
        "an id that is text",
        _BASE
        + """
class User(Base):
    __tablename__ = "user"
    id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str]
""",
        "not_numbered",
    ),
    wrong(
        "01.user_model",
        "another table",
        _BASE
        + """
class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str]
""",
    ),
    wrong(
        "01.user_model",
        "keeps the password",
        _BASE
        + """
class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    password: Mapped[str]
""",
    ),
    wrong(
        "01.user_model",
        "annotations without Mapped",
        _BASE
        + """
class User(Base):
    __tablename__ = "user"
    id: int = mapped_column(primary_key=True)
    username: str = mapped_column(unique=True, index=True)
    hashed_password: str = mapped_column()
""",
    ),
    wrong(
        "01.user_model",
        "a schema in place of a model",
        _BASE
        + """
class User(BaseModel):
    id: int
    username: str
    hashed_password: str
""",
    ),
    # -- 01.get_db ------------------------------------------------------------------------------
    right(
        "01.get_db",
        "step by step",
        """
def get_db():
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
        raise
    finally:
        db.close()
"""
        + _DEP,
    ),
    right(
        "01.get_db",
        "two blocks",
        """
def get_db() -> Iterator[Session]:
    with SessionLocal() as session, session.begin():
        yield session

from typing import TypeAlias
SessionDep: TypeAlias = Annotated[Session, Depends(get_db, scope="function")]
""",
    ),
    right(
        "01.get_db",
        "else, and closing rolls back",
        """
def get_db():
    session = SessionLocal()
    try:
        yield session
    except BaseException:
        session.rollback()
        raise
    else:
        session.commit()
    finally:
        session.close()
"""
        + _DEP,
    ),
    wrong(
        "01.get_db",
        "the most copied one: it never commits",
        """
def get_db():
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()
"""
        + _DEP,
        "never_committed",
    ),
    wrong(
        "01.get_db",
        "the default scope",
        """
def get_db():
    with SessionLocal.begin() as session:
        yield session

SessionDep = Annotated[Session, Depends(get_db)]
""",
        "after_the_answer",
    ),
    wrong(
        "01.get_db",
        "one session for all",
        """
db = SessionLocal()

def get_db():
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
        raise
"""
        + _DEP,
        "one_for_all",
    ),
    wrong(
        "01.get_db",
        "calls the dependency",
        """
def get_db():
    with SessionLocal.begin() as session:
        yield session

SessionDep = Annotated[Session, Depends(get_db())]
""",
        "called_it",
    ),
    wrong(
        "01.get_db",
        "yields the factory",
        """
def get_db():
    yield SessionLocal
"""
        + _DEP,
        "a_factory_for_a_session",
    ),
    wrong(
        "01.get_db",
        "async with, on a session that is not",
        """
async def get_db():
    async with SessionLocal() as session:
        yield session
"""
        + _DEP,
        "asynchronous",
    ),
    wrong(
        "01.get_db",
        "commits in finally",
        """
def get_db():
    db = SessionLocal()
    try:
        yield db
    finally:
        db.commit()
        db.close()
"""
        + _DEP,
        "committed_anyway",
    ),
    wrong(
        "01.get_db",
        "swallows the exception",
        """
def get_db():
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception as error:
        print("rolled back:", type(error).__name__)
        db.rollback()
    finally:
        db.close()
"""
        + _DEP,
        "swallowed",
    ),
    wrong(
        "01.get_db",
        "a context manager",
        """
from contextlib import contextmanager

@contextmanager
def get_db():
    with SessionLocal.begin() as session:
        yield session
"""
        + _DEP,
        "decorated",
    ),
    wrong(
        "01.get_db",
        "closes on success only",
        """
def get_db():
    db = SessionLocal()
    yield db
    db.commit()
    db.close()
"""
        + _DEP,
        "not_closed_on_errors",
    ),
    wrong(
        "01.get_db",
        "never closes",
        """
def get_db():
    db = SessionLocal()
    try:
        yield db
        db.commit()
    except Exception:
        db.rollback()
        raise
"""
        + _DEP,
        "never_closed",
    ),
    wrong(
        "01.get_db",
        "no Annotated",
        """
def get_db():
    with SessionLocal.begin() as session:
        yield session

SessionDep = Depends(get_db, scope="function")
""",
        "no_alias",
    ),
    wrong(
        "01.get_db",
        "returns the session",
        """
def get_db():
    return SessionLocal()

SessionDep = Annotated[Session, Depends(get_db)]
""",
        "returned_it",
    ),
    wrong(
        "01.get_db",
        "turns every error into a 500",
        """
def get_db():
    try:
        with SessionLocal.begin() as session:
            yield session
    except Exception as error:
        raise HTTPException(500, "database error") from error
"""
        + _DEP,
    ),
    wrong(
        "01.get_db",
        "calls the session",
        """
def get_db():
    with SessionLocal().begin() as session:
        yield session
"""
        + _DEP,
        "a_transaction_for_a_session",
    ),
    # -- 01.users_api ---------------------------------------------------------------------------
    right(
        "01.users_api",
        "looks first, returns schemas",
        _API
        + """
@app.post("/users", status_code=201)
def add_user(new: NewUser, session: SessionDep) -> UserOut:
    if session.scalar(select(User.id).where(User.username == new.username)) is not None:
        raise HTTPException(status_code=409, detail="taken")
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    session.flush()
    return UserOut(id=user.id, username=user.username)


@app.get("/users/{user_id}")
def read_user(user_id: int, session: SessionDep) -> UserOut:
    user = session.scalars(select(User).where(User.id == user_id)).one_or_none()
    if not user:
        raise HTTPException(status_code=404)
    return UserOut.model_validate(user)
""",
    ),
    right(
        "01.users_api",
        "a savepoint, and columns in place of the object",
        _API
        + """
@app.post("/users", status_code=201)
def add_user(new: NewUser, session: SessionDep) -> dict[str, int | str]:
    user = User(username=new.username, hashed_password=hash_password(new.password))
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise HTTPException(409, "That name is taken.")
    return {"id": user.id, "username": user.username}


@app.get("/users/{user_id}", response_model=UserOut)
def read_user(user_id: int, session: SessionDep):
    row = session.execute(select(User.id, User.username).where(User.id == user_id)).first()
    if row is None:
        raise HTTPException(404)
    return row
""",
    ),
    wrong(
        "01.users_api",
        "hands the request's fields to the model",
        _API
        + """
@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep):
    user = User(**new.model_dump())
    session.add(user)
    session.flush()
    return user
"""
        + _READ,
        "fields_of_the_request",
    ),
    wrong(
        "01.users_api",
        "no response model",
        _API
        + """
@app.post("/users", status_code=201)
def add_user(new: NewUser, session: SessionDep):
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    session.refresh(user)
    return user
"""
        + _READ,
        "leaked",
    ),
    wrong(
        "01.users_api",
        "echoes what came in",
        _API
        + """
@app.post("/users", status_code=201)
def add_user(new: NewUser, session: SessionDep):
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {"id": user.id, **new.model_dump()}
"""
        + _READ,
        "leaked",
    ),
    wrong(
        "01.users_api",
        "the password as it came",
        _API + _ADD.replace("hash_password(new.password)", "new.password") + _READ,
        "kept_the_password",
    ),
    wrong(
        "01.users_api",
        "nobody catches the IntegrityError",
        _API
        + """
@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep):
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    session.flush()
    return user
"""
        + _READ,
        "taken_is_a_500",
    ),
    wrong(
        "01.users_api",
        "catches it around the add, where nothing is sent",
        _API
        + """
@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep):
    user = User(username=new.username, hashed_password=hash_password(new.password))
    try:
        session.add(user)
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    session.flush()
    return user
"""
        + _READ,
        "taken_is_a_500",
    ),
    wrong(
        "01.users_api",
        "forgets the flush",
        _API
        + """
@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep):
    if session.scalar(select(User).where(User.username == new.username)):
        raise HTTPException(409, "Taken.")
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    return user
"""
        + _READ,
        "never_flushed",
    ),
    wrong(
        "01.users_api",
        "commits and refreshes, as everywhere",
        _API
        + """
@app.post("/users", status_code=201, response_model=UserOut)
def add_user(new: NewUser, session: SessionDep):
    user = User(username=new.username, hashed_password=hash_password(new.password))
    session.add(user)
    session.commit()
    session.refresh(user)
    return user
"""
        + _READ,
        "commits_itself",
    ),
    wrong(
        "01.users_api",
        "null for nobody",
        _API
        + _ADD
        + """
@app.get("/users/{user_id}", response_model=UserOut | None)
def read_user(user_id: int, session: SessionDep):
    return session.get(User, user_id)
""",
        "nobody_at_home",
    ),
    wrong(
        "01.users_api",
        "a 500 for nobody",
        _API
        + _ADD
        + """
@app.get("/users/{user_id}")
def read_user(user_id: int, session: SessionDep) -> UserOut:
    user = session.get(User, user_id)
    return UserOut(id=user.id, username=user.username)
""",
        "nobody_at_home",
    ),
    wrong(
        "01.users_api",
        "200 for something new",
        _API + _ADD.replace(", status_code=201", "") + _READ,
    ),
    wrong(
        "01.users_api",
        "400 for a taken name",
        _API + _ADD.replace("409", "400") + _READ,
    ),
    wrong(
        "01.users_api",
        "only half of it",
        _API + _ADD,
    ),
)
