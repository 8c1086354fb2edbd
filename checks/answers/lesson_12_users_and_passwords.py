"""Answers to lesson 12, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

_HASH = """
def hash_password(password: str) -> str:
    return passwords.hash(password)

"""

_CHECK = """
def check_password(user: User, password: str) -> bool:
    fits, newer = passwords.verify_and_update(password, user.hashed_password)
    if newer is not None:
        user.hashed_password = newer
    return fits
"""

_REGISTER = """
class NewUser(BaseModel):
    username: str
    email: str
    password: str


app = FastAPI()

"""

_USER = """\
User(
        username=canonical(new.username),
        display_name=new.username,
        email=new.email,
        hashed_password=passwords.hash(new.password),
    )"""

_LOGIN = """
class Credentials(BaseModel):
    username: str
    password: str


app = FastAPI()
DECOY = passwords.hash("a password that nobody has")


@app.post("/login")
def log_in(sent: Credentials, session: SessionDep) -> dict[str, int]:
    user = session.scalar(select(User).where(User.username == canonical(sent.username)))
    refused = HTTPException(401, "Wrong username or password.")
"""

_FIND = """
    if newer:
        user.hashed_password = newer
    return {"id": user.id}
"""

_BASE = """
class AccountBase(DeclarativeBase):
    pass

"""

_HIDDEN = """
class Hidden(TypeDecorator):
    impl = String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else value.get_secret_value()

    def process_result_value(self, value, dialect):
        return None if value is None else SecretStr(value)


class Account(AccountBase):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[SecretStr] = mapped_column(Hidden)

"""

_PLAIN = """
class Account(AccountBase):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[str]
"""

_ADD = """
def add_account(session, username, hashed):
    account = Account(username=username, hashed_password=hashed)
    session.add(account)
    session.flush()
    return account

"""

_LOOK = """
def find_hash(session, username):
    return session.scalar(select(Account.hashed_password).where(Account.username == username))
"""

ANSWERS: tuple[Answer, ...] = (
    # -- 12.hash_and_verify -----------------------------------------------------------------------
    right(
        "12.hash_and_verify",
        "verified and updated by hand",
        """
hash_password = passwords.hash

def check_password(user, password):
    if not passwords.verify(password, user.hashed_password):
        return False
    if passwords.current_hasher.check_needs_rehash(user.hashed_password):
        user.hashed_password = hash_password(password)
    return True
""",
    ),
    right(
        "12.hash_and_verify",
        "or what was there",
        _HASH
        + """
def check_password(user, password):
    fits, newer = passwords.verify_and_update(password, user.hashed_password)
    user.hashed_password = newer or user.hashed_password
    return fits
""",
    ),
    wrong(
        "12.hash_and_verify",
        "the password itself",
        """
def hash_password(password):
    return password

def check_password(user, password):
    return user.hashed_password == password
""",
        "kept_the_password",
    ),
    wrong(
        "12.hash_and_verify",
        "a hash for files",
        """
def hash_password(password):
    return hashlib.sha256(password.encode()).hexdigest()

def check_password(user, password):
    return hash_password(password) == user.hashed_password
""",
        "a_hash_for_files",
    ),
    wrong(
        "12.hash_and_verify",
        "a pinch of the same salt",
        """
def hash_password(password):
    return passwords.hash(password, salt=b"dog-eared-pepper")
"""
        + _CHECK,
        "one_salt_for_all",
    ),
    wrong(
        "12.hash_and_verify",
        "both halves",
        _HASH
        + """
def check_password(user, password):
    return passwords.verify_and_update(password, user.hashed_password)
""",
        "true_whatever_is_in_it",
    ),
    wrong(
        "12.hash_and_verify",
        "two hashes compared",
        _HASH
        + """
def check_password(user, password):
    return user.hashed_password == hash_password(password)
""",
        "compared_hashes",
    ),
    wrong(
        "12.hash_and_verify",
        "the wrong way round",
        _HASH
        + """
def check_password(user, password):
    return passwords.verify(user.hashed_password, password)
""",
        "wrong_way_round",
    ),
    wrong(
        "12.hash_and_verify",
        "hashed anew before it is known to fit",
        _HASH
        + """
def check_password(user, password):
    fits = passwords.verify(password, user.hashed_password)
    if passwords.current_hasher.check_needs_rehash(user.hashed_password):
        user.hashed_password = passwords.hash(password)
    return fits
""",
        "whoever_guesses_moves_in",
    ),
    wrong(
        "12.hash_and_verify",
        "None for a hash",
        _HASH
        + """
def check_password(user, password):
    fits, user.hashed_password = passwords.verify_and_update(password, user.hashed_password)
    return fits
""",
        "wiped",
    ),
    wrong(
        "12.hash_and_verify",
        "only verified",
        _HASH
        + """
def check_password(user, password):
    return passwords.verify(password, user.hashed_password)
""",
        "never_renewed",
    ),
    wrong(
        "12.hash_and_verify",
        "a new one each time",
        _HASH
        + """
def check_password(user, password):
    if passwords.verify(password, user.hashed_password):
        user.hashed_password = passwords.hash(password)
        return True
    return False
""",
        "renewed_each_time",
    ),
    # -- 12.registration --------------------------------------------------------------------------
    right(
        "12.registration",
        "a block of its own",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
            session.flush()
            answer = {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return answer
""",
    ),
    right(
        "12.registration",
        "a courtesy look, and delivered at once if possible",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, tasks: BackgroundTasks):
    user = {_USER}
    with SessionLocal() as session:
        if session.scalar(select(User.id).where(User.username == user.username)):
            raise HTTPException(409, "Taken.")
        session.add(user)
        session.add(Letter(recipient=new.email, body=WELCOME))
        try:
            session.flush()
            user_id = user.id
            session.commit()
        except IntegrityError:
            session.rollback()
            raise HTTPException(409, "Taken.")
    tasks.add_task(deliver)
    return {{"id": user_id}}
""",
    ),
    right(
        "12.registration",
        "on conflict, nothing",
        _REGISTER
        + """
from sqlalchemy.dialects.sqlite import insert as upsert

@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    values = dict(
        username=canonical(new.username),
        display_name=new.username,
        email=new.email,
        hashed_password=passwords.hash(new.password),
        is_active=True,
    )
    user_id = session.scalar(upsert(User).values(values).on_conflict_do_nothing().returning(User.id))
    if user_id is None:
        raise HTTPException(409, "Taken.")
    session.add(Letter(recipient=new.email, body=WELCOME))
    return {"id": user_id}
""",
    ),
    wrong(
        "12.registration",
        "the password itself",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER.replace("passwords.hash(new.password)", "new.password")}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {{"id": user.id}}
""",
        "kept_the_password",
    ),
    wrong(
        "12.registration",
        "sent before the commit",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add(user)
            mailer.send(new.email, WELCOME)
            session.flush()
            return {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
""",
        "mailed_before_the_commit",
    ),
    wrong(
        "12.registration",
        "flushed, sent, and then committed",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER}
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    mailer.send(new.email, WELCOME)
    return {{"id": user.id}}
""",
        "mailed_before_the_commit",
    ),
    wrong(
        "12.registration",
        "sent after the commit",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add(user)
            session.flush()
            answer = {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    mailer.send(new.email, WELCOME)
    return answer
""",
        "a_user_without_a_letter",
    ),
    wrong(
        "12.registration",
        "in the background",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep, tasks: BackgroundTasks):
    user = {_USER}
    session.add(user)
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    tasks.add_task(mailer.send, new.email, WELCOME)
    return {{"id": user.id}}
""",
        "the_letter_is_lost",
    ),
    wrong(
        "12.registration",
        "sent, or a shrug",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add(user)
            session.flush()
            answer = {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    try:
        mailer.send(new.email, WELCOME)
    except ConnectionError:
        pass
    return answer
""",
        "the_letter_is_lost",
    ),
    wrong(
        "12.registration",
        "no letter",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER}
    session.add(user)
    Letter(recipient=new.email, body=WELCOME)
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {{"id": user.id}}
""",
        "no_letter",
    ),
    wrong(
        "12.registration",
        "belt and braces",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
            session.flush()
            answer = {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    try:
        mailer.send(new.email, WELCOME)
    except ConnectionError:
        pass
    return answer
""",
        "two_letters",
    ),
    wrong(
        "12.registration",
        "the letter first, in a transaction of its own",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    with SessionLocal.begin() as session:
        session.add(Letter(recipient=new.email, body=WELCOME))
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add(user)
            session.flush()
            return {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
""",
        "a_letter_of_its_own",
    ),
    wrong(
        "12.registration",
        "the letter afterwards, in a transaction of its own",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    try:
        with SessionLocal.begin() as session:
            session.add(user)
            session.flush()
            answer = {{"id": user.id}}
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    with SessionLocal.begin() as session:
        session.add(Letter(recipient=new.email, body=WELCOME))
    return answer
""",
        "two_transactions",
    ),
    wrong(
        "12.registration",
        "looked first",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    if session.scalar(select(User.id).where(User.username == canonical(new.username))):
        raise HTTPException(409, "Taken.")
    user = {_USER}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    session.flush()
    return {{"id": user.id}}
""",
        "looked_first",
    ),
    wrong(
        "12.registration",
        "as it was typed",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER.replace("canonical(new.username)", "new.username")}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {{"id": user.id}}
""",
        "as_it_was_typed",
    ),
    wrong(
        "12.registration",
        "in lower case",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER.replace("canonical(new.username)", "new.username.lower()")}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {{"id": user.id}}
""",
        "as_it_was_typed",
    ),
    wrong(
        "12.registration",
        "the name that was shown is lost",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER.replace("display_name=new.username", "display_name=canonical(new.username)")}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {{"id": user.id}}
""",
    ),
    wrong(
        "12.registration",
        "no word to the client",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: SessionDep):
    user = {_USER}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    session.flush()
    return {{"id": user.id}}
""",
        "taken_is_a_500",
    ),
    wrong(
        "12.registration",
        "never committed",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser):
    user = {_USER}
    with SessionLocal() as session:
        session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
        try:
            session.flush()
        except IntegrityError:
            raise HTTPException(409, "Taken.")
        return {{"id": user.id}}
""",
        "never_committed",
    ),
    wrong(
        "12.registration",
        "a dependency that commits too late",
        _REGISTER
        + f"""
@app.post("/users", status_code=201)
def register_user(new: NewUser, session: Annotated[Session, Depends(get_session)]):
    user = {_USER}
    session.add_all([user, Letter(recipient=new.email, body=WELCOME)])
    try:
        session.flush()
    except IntegrityError:
        raise HTTPException(409, "Taken.")
    return {{"id": user.id}}
""",
        "answered_too_soon",
    ),
    # -- 12.login ---------------------------------------------------------------------------------
    right(
        "12.login",
        "columns, and a transaction for the new hash",
        """
class Credentials(BaseModel):
    username: str
    password: str


app = FastAPI()
NOBODY = passwords.hash(secrets.token_hex())


@app.post("/login")
def log_in(sent: Credentials) -> dict[str, int]:
    query = select(User.id, User.hashed_password, User.is_active)
    with SessionLocal() as session:
        row = session.execute(query.where(User.username == canonical(sent.username))).first()
    fits, newer = passwords.verify_and_update(sent.password, row[1] if row else NOBODY)
    if not (row and fits and row.is_active):
        raise HTTPException(401, "No.", headers={"WWW-Authenticate": "Bearer"})
    if newer:
        with SessionLocal.begin() as session:
            session.get_one(User, row.id).hashed_password = newer
    return {"id": row.id}
""",
    ),
    right(
        "12.login",
        "a decoy made when it is first needed",
        """
from functools import cache

class Credentials(BaseModel):
    username: str
    password: str


@cache
def decoy() -> str:
    return passwords.hash("nobody")


app = FastAPI()


@app.post("/login")
def log_in(sent: Credentials, session: SessionDep):
    user = session.scalar(select(User).where(User.username == canonical(sent.username)))
    if user is None:
        passwords.verify(sent.password, decoy())
        raise HTTPException(401, "Wrong username or password.")
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password)
    if fits and user.is_active:
        if newer:
            user.hashed_password = newer
        return {"id": user.id}
    raise HTTPException(401, "Wrong username or password.")
""",
    ),
    right(
        "12.login",
        "argon2-cffi itself, with the same costs",
        """
import argon2

class Credentials(BaseModel):
    username: str
    password: str


app = FastAPI()
hasher = argon2.PasswordHasher(memory_cost=1024, time_cost=1, parallelism=1)
DECOY = hasher.hash("nobody")


@app.post("/login")
def log_in(sent: Credentials, session: SessionDep):
    user = session.scalar(select(User).where(User.username == canonical(sent.username)))
    try:
        hasher.verify(user.hashed_password if user else DECOY, sent.password)
    except argon2.exceptions.VerificationError:
        raise HTTPException(401, "Wrong username or password.")
    if user is None or not user.is_active:
        raise HTTPException(401, "Wrong username or password.")
    if hasher.check_needs_rehash(user.hashed_password):
        user.hashed_password = hasher.hash(sent.password)
    return {"id": user.id}
""",
    ),
    wrong(
        "12.login",
        "a pair is always true",
        _LOGIN
        + """
    stored = user.hashed_password if user else DECOY
    if not passwords.verify_and_update(sent.password, stored) or user is None or not user.is_active:
        raise refused
    return {"id": user.id}
""",
        "everybody_gets_in",
    ),
    wrong(
        "12.login",
        "closed accounts forgotten",
        _LOGIN
        + """
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else DECOY)
    if user is None or not fits:
        raise refused
"""
        + _FIND,
        "closed_gets_in",
    ),
    wrong(
        "12.login",
        "a made-up decoy",
        _LOGIN
        + """
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else "x")
    if user is None or not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "no_hash_at_all",
    ),
    wrong(
        "12.login",
        "no look at None",
        _LOGIN
        + """
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password)
    if not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "nobody_at_home",
    ),
    wrong(
        "12.login",
        "404 and 401",
        _LOGIN
        + """
    if user is None:
        raise HTTPException(404, "No such user.")
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password)
    if not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "told_by_its_words",
    ),
    wrong(
        "12.login",
        "the sentence names the name",
        _LOGIN
        + """
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else DECOY)
    if user is None:
        raise HTTPException(401, "Unknown username.")
    if not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "told_by_its_words",
    ),
    wrong(
        "12.login",
        "403 for closed accounts",
        _LOGIN
        + """
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else DECOY)
    if user is None or not fits:
        raise refused
    if not user.is_active:
        raise HTTPException(403, "This account is closed.")
"""
        + _FIND,
        "told_that_it_is_closed",
    ),
    wrong(
        "12.login",
        "the same words",
        _LOGIN
        + """
    if user is None:
        raise refused
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password)
    if not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "no_work_for_strangers",
    ),
    wrong(
        "12.login",
        "the same words and a nap",
        _LOGIN
        + """
    if user is None or not user.is_active:
        time.sleep(0.002)
        raise refused
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password)
    if not fits:
        raise refused
"""
        + _FIND,
        "no_work_for_strangers",
    ),
    wrong(
        "12.login",
        "the active ones only",
        _LOGIN
        + """
    if user is not None and not user.is_active:
        raise refused
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else DECOY)
    if user is None or not fits:
        raise refused
"""
        + _FIND,
        "no_work_for_the_closed",
    ),
    wrong(
        "12.login",
        "a cheaper decoy",
        _LOGIN
        + """
    decoy = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$RQmk4nXcJDMPXCcFYfMStA"
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else decoy)
    if user is None or not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "a_cheaper_decoy",
    ),
    wrong(
        "12.login",
        "a fresh decoy each time",
        _LOGIN
        + """
    stored = user.hashed_password if user else passwords.hash("nobody")
    fits, newer = passwords.verify_and_update(sent.password, stored)
    if user is None or not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "twice_the_work",
    ),
    wrong(
        "12.login",
        "as it was typed",
        _LOGIN.replace("canonical(sent.username)", "sent.username")
        + """
    fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user else DECOY)
    if user is None or not fits or not user.is_active:
        raise refused
"""
        + _FIND,
        "as_it_was_typed",
    ),
    wrong(
        "12.login",
        "only verified",
        _LOGIN
        + """
    fits = passwords.verify(sent.password, user.hashed_password if user else DECOY)
    if user is None or not fits or not user.is_active:
        raise refused
    return {"id": user.id}
""",
        "never_renewed",
    ),
    # -- 12.cannot_leak ---------------------------------------------------------------------------
    right(
        "12.cannot_leak",
        "a table of its own",
        _BASE
        + """
class Account(AccountBase):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)


class Secret(AccountBase):
    __tablename__ = "secret"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    hashed_password: Mapped[str]


def add_account(session: Session, username: str, hashed: str) -> Account:
    account = Account(username=username)
    session.add(account)
    session.flush()
    session.add(Secret(account_id=account.id, hashed_password=hashed))
    return account


def find_hash(session: Session, username: str) -> str | None:
    query = select(Secret.hashed_password).join(Account, Account.id == Secret.account_id)
    return session.scalar(query.where(Account.username == username))
""",
    ),
    right(
        "12.cannot_leak",
        "deferred, raising, and forgotten once it is written",
        _BASE
        + _PLAIN.replace(
            "Mapped[str]\n", "Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)\n"
        )
        + """

def add_account(session, username, hashed):
    session.add(Account(username=username, hashed_password=hashed))
    session.flush()
    session.expunge_all()
    return session.scalars(select(Account).where(Account.username == username)).one()

"""
        + _LOOK,
    ),
    right(
        "12.cannot_leak",
        "a type that hides, untyped",
        _BASE
        + _HIDDEN
        + _ADD.replace("=hashed)", "=SecretStr(hashed))")
        + """
def find_hash(session, username):
    account = session.scalars(select(Account).filter_by(username=username)).first()
    return account.hashed_password.get_secret_value() if account else None
""",
    ),
    wrong(
        "12.cannot_leak",
        "only the repr",
        _BASE
        + _PLAIN
        + """
    def __repr__(self):
        return f"Account({self.username})"

"""
        + _ADD
        + _LOOK,
        "under_another_name",
    ),
    wrong(
        "12.cannot_leak",
        "an underscore",
        _BASE
        + _PLAIN.replace(
            "hashed_password: Mapped[str]",
            '_hashed_password: Mapped[str] = mapped_column("hashed_password")',
        )
        + "\n"
        + _ADD.replace("hashed_password=", "_hashed_password=")
        + _LOOK.replace("Account.hashed", "Account._hashed"),
        "under_another_name",
    ),
    wrong(
        "12.cannot_leak",
        "deferred",
        _BASE
        + _PLAIN.replace(
            "Mapped[str]\n", "Mapped[str] = mapped_column(deferred=True, deferred_raiseload=True)\n"
        )
        + "\n"
        + _ADD
        + _LOOK,
        "only_what_is_read",
    ),
    wrong(
        "12.cannot_leak",
        "deferred, and loaded for whoever asks",
        _BASE
        + _PLAIN.replace("Mapped[str]\n", "Mapped[str] = mapped_column(deferred=True)\n")
        + """

def add_account(session, username, hashed):
    account = Account(username=username, hashed_password=hashed)
    session.add(account)
    session.flush()
    session.expire(account)
    session.refresh(account, ["id", "username"])
    return account

"""
        + _LOOK,
        "for_whoever_asks",
    ),
    wrong(
        "12.cannot_leak",
        "taken off after loading",
        _BASE
        + """
from sqlalchemy import event

class Account(AccountBase):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    hashed_password: Mapped[str]


@event.listens_for(Account, "load")
def forget(account, context):
    account.__dict__.pop("hashed_password", None)


def add_account(session, username, hashed):
    account = Account(username=username, hashed_password=hashed)
    session.add(account)
    session.flush()
    account.__dict__.pop("hashed_password", None)
    return account

"""
        + _LOOK,
        "not_after_a_refresh",
    ),
    wrong(
        "12.cannot_leak",
        "its own idea of a dict",
        _BASE
        + _PLAIN
        + """
    def __iter__(self):
        yield "id", self.id
        yield "username", self.username

"""
        + _ADD
        + _LOOK,
        "quiet_on_paper_only",
    ),
    wrong(
        "12.cannot_leak",
        "related, and loaded along",
        _BASE
        + """
from sqlalchemy.orm import relationship

class Account(AccountBase):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    secret: Mapped["Secret"] = relationship(lazy="joined")


class Secret(AccountBase):
    __tablename__ = "secret"

    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    hashed_password: Mapped[str]


def add_account(session, username, hashed):
    account = Account(username=username, secret=Secret(hashed_password=hashed))
    session.add(account)
    session.flush()
    return account


def find_hash(session, username):
    query = select(Secret.hashed_password).join(Account, Account.id == Secret.account_id)
    return session.scalar(query.where(Account.username == username))
""",
        "under_another_name",
    ),
    wrong(
        "12.cannot_leak",
        "a plain string for a shy column",
        _BASE + _HIDDEN + _ADD + _LOOK,
        "given_as_plain_text",
    ),
    wrong(
        "12.cannot_leak",
        "stars",
        _BASE
        + _HIDDEN.replace("value.get_secret_value()", "str(value)")
        + _ADD.replace("=hashed)", "=SecretStr(hashed))")
        + """
def find_hash(session, username):
    found = session.scalar(select(Account.hashed_password).where(Account.username == username))
    return found and found.get_secret_value()
""",
        "stars_for_a_hash",
    ),
    wrong(
        "12.cannot_leak",
        "the door gives it wrapped",
        _BASE + _HIDDEN + _ADD.replace("=hashed)", "=SecretStr(hashed))") + _LOOK,
        "still_wrapped",
    ),
)
