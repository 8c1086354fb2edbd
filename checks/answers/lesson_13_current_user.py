"""Answers to lesson 13, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

# -- 13.issue_a_token ----------------------------------------------------------------------------
_LOG_IN = """

app = FastAPI()


@app.post("/token")
def log_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
) -> dict[str, str]:
    user_id = authenticate(session, form.username, form.password)
    if user_id is None:
        raise HTTPException(401, "Wrong username or password.", {"WWW-Authenticate": "Bearer"})
    return {"access_token": issue_token(user_id), "token_type": "bearer"}
"""

_ISSUE = """
def issue_token(user_id: int) -> str:
    claims = {"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + LIFETIME}
    return jwt.encode(claims, KEY, algorithm="HS256")
"""


def _issued(claims: str, signed: str = 'KEY, algorithm="HS256"') -> str:
    return f"""
def issue_token(user_id: int) -> str:
    return jwt.encode({claims}, {signed})
{_LOG_IN}"""


# -- 13.current_user and 13.rejected_tokens ------------------------------------------------------
_DECODE = """jwt.decode(
            token, KEY, algorithms=["HS256"], audience="access", options={"require": ["exp", "sub"]}
        )"""

_ROW = """
    row = session.execute(
        select(User.id, User.username, User.display_name)
        .where(User.id == int(claims["sub"]), User.is_active)
    ).one_or_none()
    if row is None:
        raise unauthorized()
    return CurrentUser(*row)
"""

_ME = """

app = FastAPI()


@app.get("/me")
def read_me(me: Annotated[CurrentUser, Depends(get_current_user)]) -> CurrentUser:
    return me
"""


def _reading(
    decode: str = _DECODE,
    caught: str = "jwt.InvalidTokenError",
    refusal: str = "raise unauthorized()",
    row: str = _ROW,
) -> str:
    return f"""
def get_current_user(token: BearerToken, session: SessionDep) -> CurrentUser:
    try:
        claims = {decode}
    except {caught} as error:
        {refusal}
{row}{_ME}"""


_SAFE_ROW = """
    try:
        user_id = int(claims["sub"])
    except ValueError:
        raise unauthorized()
    row = session.execute(
        select(User.id, User.username, User.display_name).where(User.id == user_id, User.is_active)
    ).one_or_none()
    if row is None:
        raise unauthorized()
    return CurrentUser(*row)
"""


def _mended(
    decode: str = _DECODE,
    caught: str = "jwt.InvalidTokenError",
    refusal: str = "raise unauthorized()",
    row: str = _SAFE_ROW,
) -> str:
    return f"""
log = logging.getLogger("dog_eared")
{_reading(decode, caught, refusal, row)}"""


def _decoding(options: str) -> str:
    return f"jwt.decode(token, KEY, {options})"


# -- 13.revoke -----------------------------------------------------------------------------------
_BEGIN = """
class Refresh(BaseModel):
    refresh_token: str


app = FastAPI()
app.include_router(doors)

"""

_OUT = """

@app.post("/logout", status_code=204)
def log_out(visit: VisitDep, session: SessionDep) -> None:
    session.execute(update(Login).where(Login.id == visit.login_id).values(expires_at=now()))
"""

_REFRESH = """

@app.post("/refresh")
def refresh(sent: Refresh) -> Tokens:
    tokens = rotate(sent.refresh_token)
    if tokens is None:
        raise unauthorized()
    return tokens
"""

_END = "session.execute(update(Login).where(Login.id == token.login_id).values(expires_at=now()))"
_TAKE = """session.execute(
            update(RefreshToken)
            .where(RefreshToken.id == token.id, RefreshToken.is_used.is_(False))
            .values(is_used=True)
        ).rowcount == 0"""
_USER = """session.scalar(
            select(User.id)
            .join(Login, Login.user_id == User.id)
            .where(Login.id == token.login_id, Login.expires_at > now(), User.is_active)
        )"""


def _rotating(
    used: str = f"if {_TAKE}:\n            {_END}\n            return None",
    user: str = _USER,
    issue: str = "issue_tokens(session, user_id, token.login_id)",
    unknown: str = "return None",
    out: str = _OUT,
) -> str:
    return f"""{_BEGIN}
def rotate(sent: str) -> Tokens | None:
    with SessionLocal.begin() as session:
        token = session.execute(
            select(RefreshToken.id, RefreshToken.login_id, RefreshToken.is_used)
            .where(RefreshToken.hashed == fingerprint(sent))
        ).one_or_none()
        if token is None:
            {unknown}
        {used}
        user_id = {user}
        if user_id is None:
            return None
        return {issue}
{_REFRESH}{out}"""


ANSWERS: tuple[Answer, ...] = (
    # -- 13.issue_a_token -------------------------------------------------------------------------
    right(
        "13.issue_a_token",
        "seconds, and what else is usual",
        """
import uuid

def issue_token(user_id):
    issued = int(time.time())
    claims = dict(
        sub=f"{user_id}",
        aud=["access"],
        iat=issued,
        nbf=issued,
        exp=issued + int(LIFETIME.total_seconds()),
        jti=uuid.uuid4().hex,
    )
    return jwt.encode(claims, KEY)

app = FastAPI()

class Token(BaseModel):
    access_token: str
    token_type: str = "Bearer"

@app.post("/token", response_model=Token)
def log_in(session: SessionDep, form: OAuth2PasswordRequestForm = Depends()):
    if user_id := authenticate(session, form.username, form.password):
        return {"access_token": issue_token(user_id)}
    raise HTTPException(status_code=401, headers={"WWW-Authenticate": "Bearer"})
""",
    ),
    right(
        "13.issue_a_token",
        "the clock of another city",
        """
from datetime import timezone

def issue_token(user_id: int) -> str:
    expires = datetime.now(timezone(timedelta(hours=9))) + LIFETIME
    return jwt.encode({"sub": str(user_id), "aud": "access", "exp": expires}, KEY, "HS256")
"""
        + _LOG_IN,
    ),
    wrong(
        "13.issue_a_token",
        "on the clock on the wall",
        _issued('{"sub": str(user_id), "aud": "access", "exp": datetime.now() + LIFETIME}'),
        "another_time",
    ),
    wrong(
        "13.issue_a_token",
        "looked up by hand, the closed as well",
        _ISSUE
        + """
app = FastAPI()

@app.post("/token")
def log_in(
    form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep
) -> dict[str, str]:
    user = session.scalar(select(User).where(User.username == form.username))
    if user is None or not passwords.verify(form.password, user.hashed_password):
        raise HTTPException(401, "Wrong username or password.", {"WWW-Authenticate": "Bearer"})
    return {"access_token": issue_token(user.id), "token_type": "bearer"}
""",
        "let_the_closed_in",
    ),
    wrong(
        "13.issue_a_token",
        "JSON",
        _ISSUE
        + """
class Credentials(BaseModel):
    username: str
    password: str

app = FastAPI()

@app.post("/token")
def log_in(sent: Credentials, session: SessionDep) -> dict[str, str]:
    user_id = authenticate(session, sent.username, sent.password)
    if user_id is None:
        raise HTTPException(401, "Wrong username or password.", {"WWW-Authenticate": "Bearer"})
    return {"access_token": issue_token(user_id), "token_type": "bearer"}
""",
        "took_json",
    ),
    wrong(
        "13.issue_a_token",
        "for None, too",
        _ISSUE
        + """
app = FastAPI()

@app.post("/token")
def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep):
    user_id = authenticate(session, form.username, form.password)
    return {"access_token": issue_token(user_id), "token_type": "bearer"}
""",
        "let_everybody_in",
    ),
    wrong(
        "13.issue_a_token",
        "found, so let in",
        _ISSUE
        + """
app = FastAPI()

@app.post("/token")
def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], session: SessionDep):
    user_id = session.scalar(select(User.id).where(User.username == form.username))
    if user_id is None:
        raise HTTPException(401, "Wrong username or password.", {"WWW-Authenticate": "Bearer"})
    return {"access_token": issue_token(user_id), "token_type": "bearer"}
""",
        "let_everybody_in",
    ),
    wrong(
        "13.issue_a_token",
        "the refusal returned",
        (_ISSUE + _LOG_IN)
        .replace("raise HTTP", "return HTTP")
        .replace(") -> dict[str, str]:\n    user", "):\n    user"),
        "returned_the_refusal",
    ),
    wrong(
        "13.issue_a_token",
        "a number for sub",
        _issued('{"sub": user_id, "aud": "access", "exp": datetime.now(UTC) + LIFETIME}'),
        "a_number",
    ),
    wrong(
        "13.issue_a_token",
        "the name for sub",
        """
def issue_token(user_id):
    with SessionLocal() as session:
        name = session.scalar(select(User.username).where(User.id == user_id))
    claims = {"sub": name, "aud": "access", "exp": datetime.now(UTC) + LIFETIME}
    return jwt.encode(claims, KEY, algorithm="HS256")
"""
        + _LOG_IN,
        "a_name",
    ),
    wrong(
        "13.issue_a_token",
        "for ever",
        _issued('{"sub": str(user_id), "aud": "access"}'),
        "never_expires",
    ),
    wrong(
        "13.issue_a_token",
        "the lifetime as it is",
        _issued('{"sub": str(user_id), "aud": "access", "exp": LIFETIME}'),
        "a_duration",
    ),
    wrong(
        "13.issue_a_token",
        "the lifetime instead of the end of it",
        _issued('{"sub": str(user_id), "aud": "access", "exp": int(LIFETIME.total_seconds())}'),
        "another_time",
    ),
    wrong(
        "13.issue_a_token",
        "milliseconds",
        _issued('{"sub": str(user_id), "aud": "access", "exp": int(time.time() * 1000) + 900}'),
        "another_time",
    ),
    wrong(
        "13.issue_a_token",
        "thirty days, for comfort",
        _issued(
            '{"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + timedelta(days=30)}'
        ),
        "another_time",
    ),
    wrong(
        "13.issue_a_token",
        "for no purpose",
        _issued('{"sub": str(user_id), "exp": datetime.now(UTC) + LIFETIME}'),
        "good_for_anything",
    ),
    wrong(
        "13.issue_a_token",
        "the whole user",
        """
def issue_token(user_id):
    with SessionLocal() as session:
        user = session.get(User, user_id)
    about = {} if user is None else {"email": user.email, "hash": user.hashed_password}
    claims = {"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + LIFETIME}
    return jwt.encode(claims | about, KEY, algorithm="HS256")
"""
        + _LOG_IN,
        "told_secrets",
    ),
    wrong(
        "13.issue_a_token",
        "the key of the demonstration",
        _issued(
            '{"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + LIFETIME}',
            "b'thirty-two bytes that are printed'",
        ),
        "another_key",
    ),
    wrong(
        "13.issue_a_token",
        "not signed at all",
        _issued(
            '{"sub": str(user_id), "aud": "access", "exp": datetime.now(UTC) + LIFETIME}',
            'None, algorithm="none"',
        ),
        "another_key",
    ),
    wrong(
        "13.issue_a_token",
        "a plain 401",
        _ISSUE + _LOG_IN.replace(', {"WWW-Authenticate": "Bearer"}', ""),
        "refused_without_a_challenge",
    ),
    wrong(
        "13.issue_a_token",
        "no JWT",
        """
def issue_token(user_id):
    return f"token-for-{user_id}"
"""
        + _LOG_IN,
    ),
    # -- 13.current_user --------------------------------------------------------------------------
    right(
        "13.current_user",
        "an object with three columns loaded",
        """
from sqlalchemy.orm import load_only

def get_current_user(token: BearerToken, session: SessionDep) -> CurrentUser:
    refused = unauthorized()
    try:
        claims = jwt.decode(token, key=KEY, algorithms=("HS256",), audience=["access"],
                            options={"require": ["exp", "sub", "aud"]})
        user = session.scalars(
            select(User)
            .options(load_only(User.username, User.display_name))
            .where(User.id == int(claims["sub"]), User.is_active == True)
        ).one()
    except Exception:
        raise refused
    return CurrentUser(id=user.id, username=user.username, display_name=user.display_name)
"""
        + _ME,
    ),
    right(
        "13.current_user",
        "is_active looked at in Python, and read in steps",
        """
def user_id_in(token: BearerToken) -> int:
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="access")
        if not claims.get("exp"):
            raise unauthorized()
        return int(claims["sub"])
    except (jwt.PyJWTError, KeyError, ValueError) as error:
        raise unauthorized() from error


def get_current_user(
    user_id: Annotated[int, Depends(user_id_in)], session: SessionDep
) -> CurrentUser:
    found = session.execute(
        select(User.id, User.username, User.display_name, User.is_active).where(User.id == user_id)
    ).first()
    if not found or not found.is_active:
        raise unauthorized()
    return CurrentUser(found.id, found.username, found.display_name)
"""
        + _ME,
    ),
    wrong(
        "13.current_user",
        "the refusal returned",
        _reading(refusal="return unauthorized()"),
        "returned_the_refusal",
    ),
    wrong(
        "13.current_user",
        "the refusal of nobody returned",
        _reading(row=_ROW.replace("raise", "return")),
        "returned_the_refusal",
    ),
    wrong(
        "13.current_user",
        "not verified",
        _reading('jwt.decode(token, options={"verify_signature": False})'),
        "took_any_signature",
    ),
    wrong(
        "13.current_user",
        "expired is fine",
        _reading(
            _decoding(
                'algorithms=["HS256"], audience="access", '
                'options={"verify_exp": False, "require": ["exp", "sub"]}'
            )
        ),
        "took_an_expired_one",
    ),
    wrong(
        "13.current_user",
        "nothing required",
        _reading(_decoding('algorithms=["HS256"], audience="access"')),
        "took_an_endless_one",
    ),
    wrong(
        "13.current_user",
        "no audience",
        _reading(_decoding('algorithms=["HS256"], options={"require": ["exp", "sub"]}')),
        "forgot_the_audience",
    ),
    wrong(
        "13.current_user",
        "any audience",
        _reading(
            _decoding(
                'algorithms=["HS256"], options={"verify_aud": False, "require": ["exp", "sub"]}'
            )
        ),
        "took_it_for_anything",
    ),
    wrong(
        "13.current_user",
        "the closed as well",
        _reading(row=_ROW.replace(", User.is_active", "")),
        "let_the_closed_in",
    ),
    wrong(
        "13.current_user",
        "the token is enough",
        _reading(row='    return CurrentUser(int(claims["sub"]), "somebody", "Somebody")\n'),
        "believed_the_token",
    ),
    wrong(
        "13.current_user",
        "only the expired caught",
        _reading(caught="jwt.ExpiredSignatureError"),
        "a_bad_token_is_a_500",
    ),
    wrong(
        "13.current_user",
        "there is always one",
        _reading(row=_ROW.replace(".one_or_none()", ".one()")),
        "nobody_at_home",
    ),
    wrong(
        "13.current_user",
        "a 404 and a 403",
        _reading(
            row=_ROW.replace("raise unauthorized()", 'raise HTTPException(404, "No such user.")')
        ),
        "said_why",
    ),
    wrong(
        "13.current_user",
        "with PyJWT's own words",
        _reading(
            refusal='raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error'
        ),
        "said_why",
    ),
    wrong(
        "13.current_user",
        "the whole user",
        _reading(
            row="""
    user = session.get(User, int(claims["sub"]))
    if user is None or not user.is_active:
        raise unauthorized()
    return CurrentUser(user.id, user.username, user.display_name)
"""
        ),
        "fetched_everything",
    ),
    wrong(
        "13.current_user",
        "two queries where one would do",
        _reading(
            row=_ROW.replace(
                "    row =",
                """    if not session.scalar(select(User.is_active).where(User.id == int(claims["sub"]))):
        raise unauthorized()
    row =""",
            )
        ),
    ),
    # -- 13.rejected_tokens -----------------------------------------------------------------------
    right(
        "13.rejected_tokens",
        "read in one function, looked up in another",
        """
log = logging.getLogger("dog_eared")
app = FastAPI()


def read_token(token: str) -> int | None:
    try:
        claims = jwt.decode(
            token, KEY, algorithms=["HS256"], audience="access", options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError as error:
        log.info("refused: %r", error)
        return None
    return int(claims["sub"]) if claims["sub"].isdecimal() else None


@app.get("/me")
def read_me(token: BearerToken, session: SessionDep) -> CurrentUser:
    user_id = read_token(token)
    found = user_id is not None and session.execute(
        select(User.id, User.username, User.display_name).where(User.id == user_id, User.is_active)
    ).one_or_none()
    if not found:
        log.info("nobody's, or of a closed account")
        raise unauthorized()
    return CurrentUser(*found)
""",
    ),
    right(
        "13.rejected_tokens",
        "one try around all, and a response model",
        """
log = logging.getLogger("dog_eared")
app = FastAPI()


class Me(BaseModel):
    id: int
    username: str
    display_name: str


def get_current_user(token: BearerToken, session: SessionDep) -> User:
    try:
        claims = jwt.decode(
            token, KEY, algorithms=["HS256"], audience="access", options={"require": ["exp", "sub"]}
        )
        user = session.get(User, int(claims["sub"]))
        if user is None or not user.is_active:
            raise LookupError("closed or gone")
    except Exception as error:
        log.exception("a token was refused")
        raise unauthorized() from None
    return user


@app.get("/me", response_model=Me)
def read_me(me: Annotated[User, Depends(get_current_user)]):
    return me
""",
    ),
    wrong(
        "13.rejected_tokens",
        "the refusal returned, and sent",
        _mended(refusal="log.warning(type(error).__name__)\n        return unauthorized()").replace(
            "get_current_user)]) -> CurrentUser", "get_current_user)])"
        ),
        "returned_the_refusal",
    ),
    wrong(
        "13.rejected_tokens",
        "unsigned if it says so",
        _mended(
            f"""(
            jwt.decode(token, options={{"verify_signature": False}})
            if token.endswith(".")
            else {_DECODE}
        )"""
        ),
        "took_it_unsigned",
    ),
    wrong(
        "13.rejected_tokens",
        "never verified",
        _mended('jwt.decode(token, options={"verify_signature": False})'),
        "took_any_signature",
    ),
    wrong(
        "13.rejected_tokens",
        "expired is fine",
        _mended(
            _decoding(
                'algorithms=["HS256"], audience="access", '
                'options={"verify_exp": False, "require": ["exp", "sub"]}'
            )
        ),
        "took_an_expired_one",
    ),
    wrong(
        "13.rejected_tokens",
        "a day of patience",
        _mended(
            _decoding(
                'algorithms=["HS256"], audience="access", leeway=86_400, '
                'options={"require": ["exp", "sub"]}'
            )
        ),
        "took_an_expired_one",
    ),
    wrong(
        "13.rejected_tokens",
        "the audience as it was",
        _mended(
            _decoding(
                'algorithms=["HS256"], options={"verify_aud": False, "require": ["exp", "sub"]}'
            )
        ),
        "took_it_for_anything",
    ),
    wrong(
        "13.rejected_tokens",
        "nothing required",
        _mended(
            _decoding('algorithms=["HS256"], audience="access"'),
            row=_SAFE_ROW.replace('claims["sub"]', 'claims.get("sub", "0")'),
        ),
        "took_an_endless_one",
    ),
    wrong(
        "13.rejected_tokens",
        "the closed as well",
        _mended(row=_SAFE_ROW.replace(", User.is_active", "")),
        "let_the_closed_in",
    ),
    wrong(
        "13.rejected_tokens",
        "the header read outside of the try",
        _mended().replace(
            "    try:\n        claims",
            """    if jwt.get_unverified_header(token)["alg"] != "HS256":
        raise unauthorized()
    try:
        claims""",
            1,
        ),
        "rubbish_is_a_500",
    ),
    wrong(
        "13.rejected_tokens",
        "what the token says, and none",
        _mended(
            _decoding(
                'algorithms=["HS256", "none"], audience="access", '
                'options={"require": ["exp", "sub"]}'
            )
        ),
        "unsigned_is_a_500",
    ),
    wrong(
        "13.rejected_tokens",
        "int outside of the try",
        _mended(row=_ROW),
        "about_nobody_is_a_500",
    ),
    wrong(
        "13.rejected_tokens",
        "sub not required",
        _mended(
            _decoding(
                'algorithms=["HS256"], audience="access", options={"require": ["exp"]}',
            )
        ),
        "about_nobody_is_a_500",
    ),
    wrong(
        "13.rejected_tokens",
        "closed is a 403",
        _mended(
            row=_SAFE_ROW.replace(
                "    if row is None:\n        raise unauthorized()",
                '    if row is None:\n        raise HTTPException(403, "This account is closed.")',
            )
        ),
        "told_that_it_is_closed",
    ),
    wrong(
        "13.rejected_tokens",
        "with PyJWT's own words",
        _mended(
            refusal='raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error',
            row=_SAFE_ROW.replace(
                "raise unauthorized()",
                'raise HTTPException(401, "Signature verification failed", '
                '{"WWW-Authenticate": "Bearer"})',
            ),
        ),
        "said_why",
    ),
    wrong(
        "13.rejected_tokens",
        "the whole user sent",
        """
log = logging.getLogger("dog_eared")
app = FastAPI()


def get_current_user(token: BearerToken, session: SessionDep) -> User:
    try:
        claims = jwt.decode(
            token, KEY, algorithms=["HS256"], audience="access", options={"require": ["exp", "sub"]}
        )
        user_id = int(claims["sub"])
    except (jwt.InvalidTokenError, ValueError):
        raise unauthorized()
    user = session.get(User, user_id)
    if user is None or not user.is_active:
        raise unauthorized()
    return user


@app.get("/me")
def read_me(me: Annotated[User, Depends(get_current_user)]):
    return me
""",
        "sent_the_hash",
    ),
    wrong(
        "13.rejected_tokens",
        "the token in the log",
        _mended(
            refusal='log.warning("refused %s: %s", token, error)\n'
            "        raise unauthorized() from error"
        ),
        "logged_the_token",
    ),
    wrong(
        "13.rejected_tokens",
        "printed, to see what comes in",
        _mended(refusal="raise unauthorized()").replace(
            "    try:\n        claims", "    print(token)\n    try:\n        claims", 1
        ),
        "logged_the_token",
    ),
    wrong(
        "13.rejected_tokens",
        "only the signature, for debugging",
        _mended(
            refusal='log.debug("bad signature %s", token.rpartition(".")[2])\n'
            "        raise unauthorized() from error"
        ),
        "logged_the_token",
    ),
    wrong("13.rejected_tokens", "in silence", _mended(), "refused_in_silence"),
    wrong(
        "13.rejected_tokens",
        "of a closed account no word",
        _mended(
            refusal='log.warning("refused: %s", type(error).__name__)\n'
            "        raise unauthorized() from error"
        ),
        "refused_in_silence",
    ),
    # -- 13.revoke --------------------------------------------------------------------------------
    right("13.revoke", "looked first, and the UPDATE decides", _rotating()),
    right(
        "13.revoke",
        "the alarm committed before it is raised",
        _BEGIN
        + """
@app.post("/refresh")
def refresh(sent: Refresh, session: SessionDep) -> Tokens:
    login_id = session.scalar(
        update(RefreshToken)
        .where(RefreshToken.hashed == fingerprint(sent.refresh_token), ~RefreshToken.is_used)
        .values(is_used=True)
        .returning(RefreshToken.login_id)
    )
    if login_id is None:
        known = select(RefreshToken.login_id).where(
            RefreshToken.hashed == fingerprint(sent.refresh_token)
        )
        session.execute(
            update(Login).where(Login.id.in_(known.scalar_subquery())).values(expires_at=now())
        )
        session.commit()
        raise unauthorized()
    login = session.get_one(Login, login_id)
    user = session.get_one(User, login.user_id)
    if login.expires_at <= now() or not user.is_active:
        raise unauthorized()
    return issue_tokens(session, user.id, login.id)


@app.post("/logout", status_code=204)
def log_out(visit: VisitDep, session: SessionDep) -> None:
    login = session.get_one(Login, visit.login_id)
    login.expires_at = 0
""",
    ),
    right(
        "13.revoke",
        "the login's tokens and the login are deleted",
        _BEGIN
        + """
def forget(session, login_id):
    session.execute(delete(RefreshToken).where(RefreshToken.login_id == login_id))
    session.execute(delete(Login).where(Login.id == login_id))


@app.post("/refresh")
def refresh(sent: Refresh):
    this = RefreshToken.hashed == fingerprint(sent.refresh_token)
    with SessionLocal.begin() as session:
        taken = session.execute(
            update(RefreshToken).where(this, RefreshToken.is_used == False).values(is_used=True)
        )
        row = session.execute(
            select(Login.id, Login.user_id, Login.expires_at, User.is_active)
            .join(RefreshToken, RefreshToken.login_id == Login.id)
            .join(User, User.id == Login.user_id)
            .where(this)
        ).one_or_none()
        answer = None
        if row and not taken.rowcount:
            forget(session, row.id)
        elif row and row.is_active and row.expires_at > now():
            answer = issue_tokens(session, row.user_id, row.id)
    if answer is None:
        raise unauthorized()
    return answer


@app.post("/logout", status_code=204)
def log_out(visit: VisitDep):
    with SessionLocal.begin() as session:
        forget(session, visit.login_id)
""",
    ),
    wrong(
        "13.revoke",
        "the refusal returned",
        _rotating().replace("raise unauthorized()", "return unauthorized()"),
        "returned_the_refusal",
    ),
    wrong(
        "13.revoke",
        "no commit",
        _rotating().replace("with SessionLocal.begin()", "with SessionLocal()"),
        "never_committed",
    ),
    wrong(
        "13.revoke",
        "a new login",
        _rotating(issue="start_login(session, user_id)"),
        "a_new_login_each_time",
    ),
    wrong("13.revoke", "never marked", _rotating(used="pass"), "good_for_ever"),
    wrong(
        "13.revoke",
        "ended, and raised in the same breath",
        _BEGIN
        + f"""
@app.post("/refresh")
def refresh(sent: Refresh, session: SessionDep) -> Tokens:
    token = session.scalar(
        select(RefreshToken).where(RefreshToken.hashed == fingerprint(sent.refresh_token))
    )
    if token is None:
        raise unauthorized()
    if {_TAKE}:
        {_END}
        raise unauthorized()
    user_id = {_USER}
    if user_id is None:
        raise unauthorized()
    return issue_tokens(session, user_id, token.login_id)
{_OUT}""",
        "the_alarm_took_itself_back",
    ),
    wrong(
        "13.revoke",
        "refused, and that is all",
        _rotating(used=f"if token.is_used or {_TAKE}:\n            return None"),
        "no_alarm",
    ),
    wrong(
        "13.revoke",
        "refused by the UPDATE, and that is all",
        _rotating(used=f"if {_TAKE}:\n            return None"),
        "no_alarm",
    ),
    wrong(
        "13.revoke",
        "whenever the login ends",
        _rotating(user=_USER.replace("Login.expires_at > now(), ", "")),
        "refreshed_what_was_over",
    ),
    wrong(
        "13.revoke",
        "looked, then marked",
        _rotating(
            used=f"""if token.is_used:
            {_END}
            return None
        session.execute(
            update(RefreshToken).where(RefreshToken.id == token.id).values(is_used=True)
        )"""
        ),
        "both_at_once",
    ),
    wrong(
        "13.revoke",
        "an alarm only for who looks too late",
        _rotating(
            used=f"""if token.is_used:
            {_END}
            return None
        if {_TAKE}:
            return None"""
        ),
        "no_alarm_in_the_race",
    ),
    wrong(
        "13.revoke",
        "logged out everywhere",
        _rotating(out=_OUT.replace("Login.id == visit.login_id", "Login.user_id == visit.user_id")),
        "ended_everything",
    ),
    wrong(
        "13.revoke",
        "every login of the user is ended",
        _rotating(
            used=f"""if {_TAKE}:
            owner = select(Login.user_id).where(Login.id == token.login_id).scalar_subquery()
            session.execute(update(Login).where(Login.user_id == owner).values(expires_at=now()))
            return None"""
        ),
        "ended_everything",
    ),
    wrong(
        "13.revoke",
        "logged out of the second token",
        _rotating(
            out="""

@app.post("/logout", status_code=204)
def log_out(visit: VisitDep, session: SessionDep) -> None:
    session.execute(delete(RefreshToken).where(RefreshToken.login_id == visit.login_id))
"""
        ),
        "still_logged_in",
    ),
    wrong(
        "13.revoke",
        "logged out in a session that nobody commits",
        _rotating(
            out="""

@app.post("/logout", status_code=204)
def log_out(visit: VisitDep) -> None:
    with SessionLocal() as session:
        session.execute(update(Login).where(Login.id == visit.login_id).values(expires_at=now()))
"""
        ),
        "still_logged_in",
    ),
    wrong(
        "13.revoke",
        "the closed as well",
        _rotating(user=_USER.replace(", User.is_active", "")),
        "refreshed_the_closed",
    ),
    wrong(
        "13.revoke",
        "says that it does not know it",
        _rotating(unknown='raise HTTPException(401, "Unknown refresh token.")'),
        "said_why",
    ),
    wrong(
        "13.revoke",
        "a token of its own, kept as it is",
        _rotating(
            issue="""renewed(session, user_id, token.login_id)""",
        )
        .replace("fingerprint(sent)", "kept_form(sent)")
        .replace(
            "def rotate",
            """def kept_form(token):
    return token if token.startswith("r-") else fingerprint(token)


def renewed(session, user_id, login_id):
    tokens = issue_tokens(session, user_id, login_id)
    own = "r-" + secrets.token_urlsafe(32)
    session.execute(
        update(RefreshToken)
        .where(RefreshToken.hashed == fingerprint(tokens.refresh_token))
        .values(hashed=own)
    )
    return Tokens(access_token=tokens.access_token, refresh_token=own)


def rotate""",
            1,
        ),
        "kept_as_it_is",
    ),
)
