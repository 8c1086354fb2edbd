"""Lesson 13, the current user: access tokens, the dependency that reads them, and their end."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

import jwt
from fastapi import FastAPI
from pwdlib import PasswordHash
from sqlalchemy import Engine, insert, select, update

from checks.exercise import Exercise, Model, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.observe.timeline import Timeline

_LIFETIME = 15 * 60  # seconds, as the lesson's LIFETIME
_SLACK = 60  # seconds that a busy machine may take
_LIBRARIES = ("asyncio", "httpx", "httpcore", "python_multipart", "sqlalchemy", "anyio")


class IssueAToken(Exercise):
    """The right password is answered with a token that is signed, about that user, for one purpose,
    and good for a quarter of an hour; anything else with 401."""

    id = "13.issue_a_token"
    title = "Issue a token"
    needs = {
        "app": FastAPI,
        "engine": Engine,
        "KEY": bytes,
        "User": Model,
        "passwords": PasswordHash,
        "issue_token": Callable,
    }
    hints = (
        "Three claims will do. Two of them are in the example at the top of the lesson as they "
        "have to be; the third must be counted from now.",
        'The claims are `{"sub": str(user_id), "aud": "access", "exp": ...}`, and a time with a '
        "time zone is `datetime.now(UTC)`.",
        "`user_id = authenticate(session, form.username, form.password)`; if it is None, "
        '`raise HTTPException(401, "...", {"WWW-Authenticate": "Bearer"})`.',
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        password, key = lab.word(12), lab["KEY"]
        name, shut = lab.word(), lab.word()
        hashed = lab["passwords"].hash(password)
        user = _person(lab, name, hashed)
        _person(lab, shut, hashed, is_active=False)

        def log_in(username: str, given: str) -> Any:
            return lab.request("POST", "/token", data={"username": username, "password": given})

        seen: dict[str, Any] = {"user": user, "username": name}
        seen["secrets"] = {"password": password, "hash": hashed, "e-mail": f"{name}@example.com"}
        with _east_of_greenwich(lab["issue_token"]):
            seen["by_hand"] = lab.call(f"issue_token({user})", lab["issue_token"], user)
            seen["right"] = log_in(name, password)
        seen["now"] = int(time.time())
        for step in ("by_hand", "right"):
            seen[f"{step}_token"] = _read(_access_token(seen[step]), key)
        seen["wrong"] = log_in(name, lab.word(12))
        seen["unknown"] = log_in(lab.word(), password)
        seen["closed"] = log_in(shut, password)
        return seen

    @requirement(1, shows="right")
    def lets_in(self, seen: Seen) -> None:
        """`POST /token` takes the form, and answers the right password as OAuth2 wants it."""
        right = seen.step("right")
        expect(
            right.status == 200,
            saw=f"{right.heard}, for the right name and password, sent as a form.",
            wanted="That should be a 200.",
        )
        body = right.body if isinstance(right.body, dict) else {}
        expect(
            isinstance(body.get("access_token"), str)
            and str(body.get("token_type")).lower() == "bearer",
            saw=f"The body was `{_shortened(right.body)}`.",
            wanted='It should be `{"access_token": ..., "token_type": "bearer"}`.',
        )

    @requirement(2, shows="right")
    def whom_it_is_about(self, seen: Seen) -> None:
        """The token is signed with `KEY` by HS256, about that user, for the audience `access`."""
        for step in ("by_hand", "right"):
            asked, token = seen.step(step).asked, seen[f"{step}_token"]
            expect(
                token["signed"] and token["alg"] == "HS256",
                saw=f"What `{asked}` gave {_what_is_wrong(token)}.",
                wanted="It should be a JWT that is signed with `KEY` by HS256.",
            )
            claims = token["claims"]
            expect(
                claims.get("sub") == str(seen["user"])
                and claims.get("aud") in ("access", ["access"]),
                saw=f"The token of `{asked}` says `sub={claims.get('sub')!r}` and "
                f"`aud={claims.get('aud')!r}`.",
                wanted=f'It should say `sub="{seen["user"]}"` and `aud="access"`.',
            )

    @requirement(2, shows="right")
    def until_when(self, seen: Seen) -> None:
        """It is good for `LIFETIME`, and then no more."""
        for step in ("by_hand", "right"):
            expires = seen[f"{step}_token"]["claims"].get("exp")
            left = expires - seen["now"] if isinstance(expires, int | float) else None
            expect(
                left is not None and abs(left - _LIFETIME) <= _SLACK,
                saw=f"The token of `{seen.step(step).asked}` "
                + ("has no `exp`." if left is None else f"expires in {_duration(left)}."),
                wanted="It should expire in 15 minutes.",
                why="Whoever finds it may use it until then.",
            )

    @requirement(1, shows="right")
    def tells_nothing(self, seen: Seen) -> None:
        """Nothing is in it that its bearer must not read."""
        said = json.dumps([seen[f"{step}_token"]["claims"] for step in ("by_hand", "right")])
        for what, value in seen["secrets"].items():
            expect(
                value not in said,
                saw=f"The user's {what} is in the token.",
                wanted="It should not be there.",
                why="A token is signed, not encrypted: anybody who has it can read it.",
            )

    @requirement(2, shows="wrong")
    def keeps_out(self, seen: Seen) -> None:
        """A wrong password, an unknown name and a closed account hear the same 401."""
        first = seen.step("wrong")
        for name, what in (
            ("wrong", "a wrong password"),
            ("unknown", "an unknown name"),
            ("closed", "a closed account"),
        ):
            step = seen.step(name)
            expect(
                step.status == 401,
                saw=f"{step.heard}, for {what}.",
                wanted="That should be a 401.",
            )
            expect(
                step.headers.get("www-authenticate", "").lower().startswith("bearer"),
                saw=f"The 401 for {what} came without the header `WWW-Authenticate: Bearer`.",
                wanted="It should have it.",
                why="A 401 has to say how one can be let in.",
            )
            expect(
                _answer(step) == _answer(first),
                saw=f"A wrong password heard `{_shortened(first.body)}`, and {what} "
                f"`{_shortened(step.body)}`.",
                wanted="They should hear the same.",
            )

    @mistake(shows="right")
    def took_json(self, seen: Seen) -> bool:
        """The form was refused with 422: your endpoint reads JSON. OAuth2 wants a form, and `/docs`
        sends one: `form: Annotated[OAuth2PasswordRequestForm, Depends()]`."""
        return seen.step("right").status == 422

    @mistake(shows="wrong")
    def returned_the_refusal(self, seen: Seen) -> bool:
        """The HTTPException was returned, not raised, so the refusal is no refusal. `raise` it."""
        return seen.step("wrong").returned_the_exception

    @mistake(shows="wrong")
    def let_everybody_in(self, seen: Seen) -> bool:
        """A **wrong** password got a token. `authenticate` gives None for it; look at that before
        you issue anything."""
        return any(seen.step(name).status == 200 for name in ("wrong", "unknown"))

    @mistake(shows="closed")
    def let_the_closed_in(self, seen: Seen) -> bool:
        """A **closed** account got a token. `authenticate` gives None for one; whoever looks users
        up without it has to ask for `is_active`, too."""
        return seen.step("closed").status == 200

    @mistake()
    def a_number(self, seen: Seen) -> bool:
        """`sub` is a number. Issuing does not mind, and every reader refuses it: "Subject must be a
        string". Write `str(user_id)`."""
        return type(_claims(seen).get("sub")) in (int, float)

    @mistake()
    def a_name(self, seen: Seen) -> bool:
        """`sub` is the user's name. Names change, and a name that has become free gets a new owner,
        who then owns the old tokens as well. Use the id."""
        return bool(_claims(seen).get("sub") == seen["username"])

    @mistake()
    def never_expires(self, seen: Seen) -> bool:
        """The token has no `exp`: whoever finds it, in ten years' time, is that user. Add
        `"exp": datetime.now(UTC) + LIFETIME`."""
        return seen["right_token"]["signed"] and "exp" not in _claims(seen)

    @mistake(shows="right")
    def a_duration(self, seen: Seen) -> bool:
        """`exp` was given a length of time. It is the **moment** when the token ends: now, and that
        much. `datetime.now(UTC) + LIFETIME`."""
        return "timedelta is not JSON" in seen.step("right").error_message

    @mistake()
    def another_time(self, seen: Seen) -> bool:
        """The token does not expire in a quarter of an hour. `exp` is a point in time, in seconds
        since 1970, or a datetime **with** a time zone: `datetime.now(UTC) + LIFETIME`. (Without a
        zone it is taken for Greenwich's, and the check is made where clocks are nine hours
        ahead.)"""
        expires = _claims(seen).get("exp")
        return isinstance(expires, int) and abs(expires - seen["now"] - _LIFETIME) > _SLACK

    @mistake()
    def good_for_anything(self, seen: Seen) -> bool:
        """The token does not say what it is good for: a token from a letter and one for the API
        look alike. Add `"aud": "access"`."""
        return seen["right_token"]["signed"] and "aud" not in _claims(seen)

    @mistake()
    def told_secrets(self, seen: Seen) -> bool:
        """Something is in the token that its bearer must not read. base64 is an alphabet, not a
        lock: a token is signed, not encrypted. `sub`, `aud` and `exp` are enough."""
        said = json.dumps(_claims(seen))
        return any(value in said for value in seen["secrets"].values())

    @mistake()
    def another_key(self, seen: Seen) -> bool:
        """It is a JWT, but not one that `KEY` and HS256 can verify, so nobody will take it. Sign it
        with `jwt.encode(claims, KEY, algorithm="HS256")`."""
        token = seen["right_token"]
        return bool(token["alg"]) and not (token["signed"] and token["alg"] == "HS256")

    @mistake(shows="wrong")
    def refused_without_a_challenge(self, seen: Seen) -> bool:
        """The 401 has no `WWW-Authenticate` header, and a 401 must say how one can be let in:
        `HTTPException(401, "...", {"WWW-Authenticate": "Bearer"})`."""
        wrong = seen.step("wrong")
        return wrong.status == 401 and "www-authenticate" not in wrong.headers


class TheCurrentUser(Exercise):
    """A good token is read as its user, with one query of no more columns than it takes; any other
    is a 401."""

    id = "13.current_user"
    title = "The dependency"
    needs = {
        "app": FastAPI,
        "engine": Engine,
        "KEY": bytes,
        "User": Model,
        "get_current_user": Callable,
    }
    hints = (
        "Two halves: what the token says, and what the database says of that. Each has its own way "
        "of saying no, and both come to `unauthorized()`.",
        '`jwt.decode(token, KEY, algorithms=["HS256"], audience="access", options={"require": '
        '["exp", "sub"]})` in a `try`; `jwt.InvalidTokenError` is what all its refusals have in '
        "common.",
        "`row = session.execute(select(User.id, User.username, User.display_name).where(User.id == "
        'int(claims["sub"]), User.is_active)).one_or_none()`; None is a refusal, else '
        "`CurrentUser(*row)`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        seen = _attacked(lab)
        seen["nothing"] = lab.request("GET", "/me")
        return seen

    @requirement(1, shows="good")
    def knows_them(self, seen: Seen) -> None:
        """A good token is answered with its user, and no other."""
        _is_their_user(seen)

    @requirement(2, shows="good")
    def one_small_query(self, seen: Seen) -> None:
        """It takes one query, and that fetches no hash and no e-mail address."""
        statements = seen.step("good").timeline.statements
        expect(
            len(statements) == 1,
            saw=f"A good token took {len(statements)} statements.",
            wanted="It should take one query.",
            why="It is sent for every request of the whole service.",
        )
        for column in ("hashed_password", "email"):
            expect(
                column not in statements[0],
                saw=f"The query fetches `{column}`.",
                wanted="It should fetch `id`, `username` and `display_name`.",
                why="What is not fetched cannot be logged, returned or leaked.",
            )

    @requirement(2, shows="closed")
    def looks_them_up(self, seen: Seen) -> None:
        """A good token of a user who is closed, or gone, is a 401."""
        _are_refused(seen, ("closed", "gone"))

    @requirement(2)
    def refuses_bad_tokens(self, seen: Seen) -> None:
        """A token that is expired, forged, unsigned, for another purpose, endless, or rubbish is a
        401, the same for all."""
        _are_refused(seen, _FORGERIES)
        _hear_the_same(seen, (*_FORGERIES, "closed", "gone"))

    @requirement(1, shows="nothing")
    def refuses_none(self, seen: Seen) -> None:
        """Whoever brings no token hears 401, and how to bring one."""
        step = seen.step("nothing")
        expect(
            step.status == 401 and "www-authenticate" in step.headers,
            saw=f"{step.heard}, without a token.",
            wanted="It should be a 401 with `WWW-Authenticate`.",
        )

    @mistake(marks=("error",))
    def returned_the_refusal(self, seen: Seen) -> bool:
        """`unauthorized()` was returned, not raised: so the exception **is** the current user, and
        the endpoint goes on with it. `raise` it."""
        return _returned(seen, *_FORGERIES, "closed", "gone")

    @mistake(shows="forged")
    def took_any_signature(self, seen: Seen) -> bool:
        """A token that was signed with **another key**, or with none, was let in: nobody looked at
        the signature. Give `jwt.decode` the key and `algorithms=["HS256"]`, and leave
        `verify_signature` alone."""
        return _got_in(seen, "forged", "none", "tampered")

    @mistake(shows="expired")
    def took_an_expired_one(self, seen: Seen) -> bool:
        """An **expired** token was let in. `jwt.decode` looks at `exp` by itself, unless it is told
        not to."""
        return _got_in(seen, "expired")

    @mistake(shows="endless")
    def took_an_endless_one(self, seen: Seen) -> bool:
        """A token without `exp` was let in, and will be for ever: what is not there cannot have
        expired. `options={"require": ["exp", "sub"]}`."""
        return _got_in(seen, "endless")

    @mistake(shows="good", marks=("error",))
    def forgot_the_audience(self, seen: Seen) -> bool:
        """Even a good token is refused: it names an audience, and your `decode` does not say which
        it serves. Give it `audience="access"`."""
        return not _got_in(seen, "good") and _got_in(seen, "no_purpose")

    @mistake(shows="other_purpose")
    def took_it_for_anything(self, seen: Seen) -> bool:
        """A token that was issued for something else, to confirm an address, was let in. Ask for
        your own purpose: `audience="access"`."""
        return _got_in(seen, "other_purpose", "no_purpose")

    @mistake(shows="closed")
    def let_the_closed_in(self, seen: Seen) -> bool:
        """A closed account was let in, and that is the incident from the top of the lesson. Put
        `User.is_active` into the WHERE."""
        return _got_in(seen, "closed") and bool(seen.step("good").timeline.statements)

    @mistake(shows="closed")
    def believed_the_token(self, seen: Seen) -> bool:
        """Nobody asked the database, so a user who is closed, or gone, is let in until the token
        expires. Look the user up."""
        return _got_in(seen, "closed", "gone") and not seen.step("good").timeline.statements

    @mistake(shows="expired", marks=("error",))
    def a_bad_token_is_a_500(self, seen: Seen) -> bool:
        """A bad token is a 500: what `jwt.decode` raises was not caught, or only some of it.
        `except jwt.InvalidTokenError` has expired, forged and all the rest."""
        return any(seen.step(name).status == 500 for name in _FORGERIES)

    @mistake(shows="gone", marks=("error",))
    def nobody_at_home(self, seen: Seen) -> bool:
        """A token of a user who is gone is a 500: there was no row, and your code went on. Ask with
        `one_or_none()`, and refuse where it is None."""
        return seen.step("gone").status == 500 or seen.step("closed").status == 500

    @mistake(shows="closed")
    def said_why(self, seen: Seen) -> bool:
        """Not everybody hears the same 401: that tells whoever tries how far they came. All
        refusals are `unauthorized()`."""
        return _tells_them_apart(seen, (*_FORGERIES, "closed", "gone"))

    @mistake(shows="good", marks=("sql SELECT",))
    def fetched_everything(self, seen: Seen) -> bool:
        """The hash of the user's password is fetched with every request: `session.get(User, ...)`
        and `select(User)` take all columns. Name those that you need: `select(User.id,
        User.username, User.display_name)`."""
        return any("hashed_password" in sql for sql in seen.step("good").timeline.statements)


class TheRejectedTokens(Exercise):
    """Whatever is not a good token of an active user hears the same 401; neither the answer nor the
    log says anything that helps a thief."""

    id = "13.rejected_tokens"
    title = "The rejected tokens"
    needs = {"app": FastAPI, "engine": Engine, "KEY": bytes, "User": Model}
    hints = (
        "Go through it line by line, and ask of each: who decides here, we or the token? And what "
        "does its sender learn?",
        "One `jwt.decode`, with constants only, in the `try`; what else can go wrong with a token, "
        "such as `int(...)`, in there too; one `unauthorized()` for all.",
        '`algorithms=["HS256"], audience="access", options={"require": ["exp", "sub"]}`; '
        "`except (jwt.InvalidTokenError, ValueError) as error`: log `type(error).__name__`; and "
        "return a `CurrentUser` of a row that was asked for with `User.is_active`.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        return _attacked(lab)

    @requirement(1, shows="good")
    def knows_them(self, seen: Seen) -> None:
        """A good token is answered with `id`, `username` and `display_name`, and nothing else."""
        _is_their_user(seen)
        body = seen.step("good").body
        extra = sorted(set(body) - {"id", "username", "display_name"})
        expect(
            not extra,
            saw=f"The answer also holds {_listed(extra)}.",
            wanted="It should hold `id`, `username` and `display_name`.",
        )

    @requirement(3, shows="none")
    def forgeries(self, seen: Seen) -> None:
        """A token that we did not issue, not for this, or not for so long, is a 401."""
        _are_refused(seen, _FORGERIES)

    @requirement(2, shows="closed")
    def nobodies(self, seen: Seen) -> None:
        """So is one of a user who is closed, or gone, or about nobody at all."""
        _are_refused(seen, _NOBODIES)

    @requirement(2, shows="closed")
    def in_the_same_words(self, seen: Seen) -> None:
        """All of them hear the same, to the letter."""
        _hear_the_same(seen, (*_FORGERIES, *_NOBODIES))

    @requirement(2)
    def the_log(self, seen: Seen) -> None:
        """The log says that a token was refused, and neither a token nor its signature is in it."""
        expect(
            not seen["logged"],
            saw=f"{_TOKENS.get((seen['logged'] or [''])[0], 'A good token')} was logged, so that "
            "its signature can be read there.",
            wanted="The log should say that a token was refused, and why; not which.",
            why="The account may be opened again, or the refusal be a mistake; then whoever reads "
            "the log has the key.",
        )
        expect(
            not seen["unsaid"],
            saw=f"{_TOKENS[(seen['unsaid'] or ['expired'])[0]]} was refused, and no log says so.",
            wanted="The log should say that a token was refused, and why; not which.",
            why="Whoever tries keys, or a stolen token, is otherwise seen by nobody.",
        )

    @mistake(marks=("error",))
    def returned_the_refusal(self, seen: Seen) -> bool:
        """`unauthorized()` was returned, not raised: so the exception **is** the current user, and
        the endpoint goes on with it. `raise` it."""
        return _returned(seen, *_FORGERIES, *_NOBODIES)

    @mistake(shows="none")
    def took_it_unsigned(self, seen: Seen) -> bool:
        """A token **without any signature** was let in, since it said so itself: `alg: none`. Who
        lets a token say how it is checked has no check. No branch for it, and
        `algorithms=["HS256"]`."""
        return _got_in(seen, "none") and not _got_in(seen, "forged")

    @mistake(shows="forged")
    def took_any_signature(self, seen: Seen) -> bool:
        """A token that was signed with **another key** was let in: nobody looked at the signature.
        `verify_signature: False` turns off everything; leave it alone."""
        return _got_in(seen, "forged", "tampered")

    @mistake(shows="expired")
    def took_an_expired_one(self, seen: Seen) -> bool:
        """An **expired** token was let in. `jwt.decode` looks at `exp` by itself, unless it is told
        not to."""
        return _got_in(seen, "expired")

    @mistake(shows="other_purpose")
    def took_it_for_anything(self, seen: Seen) -> bool:
        """A token that was issued for something else, to confirm an address, was let in, with our
        own signature. `audience="access"`, and no `verify_aud: False`."""
        return _got_in(seen, "other_purpose", "no_purpose")

    @mistake(shows="endless")
    def took_an_endless_one(self, seen: Seen) -> bool:
        """A token without `exp` was let in, and will be for ever. `options={"require": ["exp",
        "sub"]}`."""
        return _got_in(seen, "endless")

    @mistake(shows="closed")
    def let_the_closed_in(self, seen: Seen) -> bool:
        """A closed account was let in. Put `User.is_active` into the WHERE."""
        return _got_in(seen, "closed")

    @mistake(shows="garbage", marks=("error",))
    def rubbish_is_a_500(self, seen: Seen) -> bool:
        """Rubbish instead of a token is a 500: something reads the token outside of the `try`, most
        likely `get_unverified_header`. It is not needed at all."""
        return any(seen.step(name).status == 500 for name in ("garbage", "opaque"))

    @mistake(shows="none", marks=("error",))
    def unsigned_is_a_500(self, seen: Seen) -> bool:
        """A token with `alg: none` is a 500. `algorithms` still has what the token says, or "none",
        and PyJWT then raises an `InvalidKeyError`, which is no `InvalidTokenError`. Write
        `algorithms=["HS256"]`."""
        return seen.step("none").status == 500

    @mistake(shows="odd", marks=("error",))
    def about_nobody_is_a_500(self, seen: Seen) -> bool:
        """A token of ours that is about nobody (no `sub`, or one that is no number) is a 500. Read
        `int(claims["sub"])` inside the `try`, require `sub`, and catch ValueError as well."""
        return any(seen.step(name).status == 500 for name in ("odd", "subjectless"))

    @mistake(shows="closed")
    def told_that_it_is_closed(self, seen: Seen) -> bool:
        """A good token of a closed account hears something else than a bad one, so its finder knows
        that it is good. The same `unauthorized()`."""
        return _answer(seen.step("closed")) != _answer(seen.step("forged"))

    @mistake(shows="expired")
    def said_why(self, seen: Seen) -> bool:
        """The answer says what is wrong with the token: *expired* is "your key is right", to
        whoever tries keys. The client can do one thing in any case, get a new token: one
        `unauthorized()` for all."""
        return _tells_them_apart(seen, (*_FORGERIES, *_NOBODIES))

    @mistake(shows="good")
    def sent_the_hash(self, seen: Seen) -> bool:
        """`/me` sends the hash of the password: it returns the whole user. Fetch the three columns,
        and return a `CurrentUser`."""
        return "hashed_password" in json.dumps(seen.step("good").body)

    @mistake()
    def logged_the_token(self, seen: Seen) -> bool:
        """A token is in the log, whole or its signature. It may well be a good one: of an account
        that is opened again, or refused by mistake. Log `type(error).__name__`, and not the
        token."""
        return bool(seen["logged"])

    @mistake()
    def refused_in_silence(self, seen: Seen) -> bool:
        """Tokens are refused as they should be, and nothing is logged of it, or not of all: of one
        that is forged, say, and not of a closed account's. Call `log.warning(...)` wherever you
        refuse, with the kind of the error and without the token."""
        return bool(seen["unsaid"])


class Revoke(Exercise):
    """A refresh token is good once; its second use, be it at the same moment, ends its login and no
    other; so does logging out."""

    id = "13.revoke"
    title = "Refresh and log out"
    needs = {
        "app": FastAPI,
        "engine": Engine,
        "KEY": bytes,
        "User": Model,
        "Login": Model,
        "RefreshToken": Model,
        "passwords": PasswordHash,
    }
    hints = (
        "For the second use something has to be written *and* refused. Which of the two closes the "
        "transaction?",
        "A function with its own `with SessionLocal.begin()` that gives Tokens or None; the "
        "endpoint raises where it is None. In it: mark the token with an UPDATE that has "
        "`is_used.is_(False)` in its WHERE, and look at the `rowcount`.",
        "A `rowcount` of 0, of a token that exists: `update(Login).where(Login.id == login_id)"
        ".values(expires_at=now())`, and return None. Of 1: join Login and User, with "
        "`Login.expires_at > now()` and `User.is_active`, and `issue_tokens` for the same login.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        return _lived_through(lab)

    @requirement(2, shows="refreshed")
    def refreshes(self, seen: Seen) -> None:
        """A good refresh token gives a new pair, that works, of the same login; and so on."""
        for name, what in (("refreshed", "A good refresh token"), ("refreshed_again", "The next")):
            step = seen.step(name)
            expect(
                step.status == 200 and _pair(step.body) is not None,
                saw=f"{step.heard} and `{_shortened(step.body)}`, for {what.lower()}.",
                wanted="It should be a 200 with new `Tokens`.",
            )
        works = seen.step("me_refreshed")
        expect(
            works.status == 200 and seen["is_new"],
            saw="The pair was the old one."
            if works.status == 200
            else f"{works.heard}, for the new access token.",
            wanted="The new access token should be let in, and the refresh token be another.",
        )
        expect(
            seen["sids"][0] == seen["sids"][1],
            saw=f"The login had been {seen['sids'][0]}, and the new access token names "
            f"{seen['sids'][1]}.",
            wanted="It should be the same login.",
        )

    @requirement(2, shows="reused")
    def good_once(self, seen: Seen) -> None:
        """A refresh token that has been used is refused."""
        step = seen.step("reused")
        expect(
            step.status == 401,
            saw=f"{step.heard}, for a refresh token that had been used.",
            wanted="That should be a 401.",
        )

    @requirement(3, shows="reused")
    def reuse_ends_the_login(self, seen: Seen) -> None:
        """Its second use ends the login, newest tokens and all, and no other."""
        for name, what in (
            ("newest_refresh", "the newest refresh token of that login"),
            ("newest_me", "the newest access token of that login"),
        ):
            step = seen.step(name)
            expect(
                step.status == 401,
                saw=f"A refresh token had come a second time. Afterwards {step.heard}, for {what}.",
                wanted="It should be a 401: the login is over.",
                why="One of the two who have that token is a thief, and may be the one with the "
                "newest.",
            )
        for name in ("phone_me", "phone_refresh"):
            step = seen.step(name)
            expect(
                step.status == 200,
                saw=f"A refresh token of the laptop had come a second time. Afterwards "
                f"{step.heard}, for the same user's phone.",
                wanted="Another login should go on.",
            )

    @requirement(3, shows="first")
    def the_race(self, seen: Seen) -> None:
        """Two who come with one token at the same moment do not both get a pair; and the login is
        over."""
        heard = [seen.step("first").status, seen.step("second").status]
        expect(
            heard.count(200) <= 1 and all(status in (200, 401) for status in heard),
            saw=f"Two came with the same token at once. They heard {heard[0]} and {heard[1]}.",
            wanted="One should hear 200 at most, and the other 401.",
        )
        for step in seen.steps("after_race"):
            expect(
                step.status == 401,
                saw="Two came with the same token at once, and one was refused. Afterwards "
                f"{step.heard}, for the other's new tokens.",
                wanted="It should be a 401: a token has come twice, and the login is over.",
            )

    @requirement(2, shows="logged_out")
    def logs_out(self, seen: Seen) -> None:
        """`POST /logout` answers 204 and ends this login, with both its tokens, and no other."""
        out = seen.step("logged_out")
        expect(out.status == 204, saw=f"{out.heard}.", wanted="It should be a 204.")
        for name, what in (("out_me", "access"), ("out_refresh", "refresh")):
            step = seen.step(name)
            expect(
                step.status == 401,
                saw=f"After logging out, {step.heard}, for the {what} token.",
                wanted="It should be a 401.",
            )
        stays = seen.step("stays_me")
        expect(
            stays.status == 200,
            saw=f"After logging out on one device, {stays.heard}, on another.",
            wanted="Another login should go on.",
        )

    @requirement(2, shows="closed")
    def refuses_the_rest(self, seen: Seen) -> None:
        """A closed user, a login that is over, and what is no refresh token hear the same 401."""
        first = seen.step("unknown")
        for name, what in _NOT_REFRESHED.items():
            step = seen.step(name)
            expect(
                step.status == 401 and _answer(step) == _answer(first),
                saw=f"{step.heard} and `{_shortened(step.body)}`, for {what}.",
                wanted="It should be the same 401 for all.",
            )

    @requirement(1)
    def keeps_a_fingerprint(self, seen: Seen) -> None:
        """No refresh token stands in the database."""
        expect(
            not seen["kept"],
            saw=f"A refresh token stands in the table `{(seen['kept'] or [''])[0]}`, as it is.",
            wanted="There should be its fingerprint.",
            why="Whoever gets a copy of the table is then everybody who is logged in.",
        )

    @mistake(marks=("error",))
    def returned_the_refusal(self, seen: Seen) -> bool:
        """`unauthorized()` was returned, not raised, so the refusal is no refusal. `raise` it, and
        outside of the transaction."""
        return _returned(seen, "reused", *_NOT_REFRESHED)

    @mistake(shows="refreshed", marks=("commit",))
    def never_committed(self, seen: Seen) -> bool:
        """A pair was issued and nothing was committed, so the database does not know the new
        refresh token. `with SessionLocal.begin()`, or `SessionDep`, commits."""
        step = seen.step("refreshed")
        inserted = any(sql.startswith("INSERT") for sql in step.timeline.writes)
        kept = step.timeline.commits_keeping("INSERT")
        return step.status == 200 and inserted and not kept

    @mistake(shows="refreshed")
    def a_new_login_each_time(self, seen: Seen) -> bool:
        """Each refresh begins a **new login**, so the tokens have no family: when one comes a
        second time, an old login is ended and the thief's goes on. Issue the new pair for the same
        login: `issue_tokens(session, user_id, login_id)`."""
        sids = seen["sids"]
        return seen.step("refreshed").status == 200 and None not in sids and sids[0] != sids[1]

    @mistake(shows="reused")
    def good_for_ever(self, seen: Seen) -> bool:
        """A refresh token was taken a second time: thief and owner go on side by side. Mark it as
        used, in the same transaction that makes the new one."""
        return seen.step("reused").status == 200

    @mistake(shows="reused", marks=("sql UPDATE", "rollback"))
    def the_alarm_took_itself_back(self, seen: Seen) -> bool:
        """You ended the login, and the exception then rolled that back: see the UPDATE, and what
        stands below it. The thief's newest token is as good as before. Decide inside the
        transaction and refuse **outside** of it: let a function with its own `with
        SessionLocal.begin()` give None, and raise where it is None."""
        timeline = seen.step("reused").timeline
        kept = timeline.commits_keeping("UPDATE", "DELETE")
        return _goes_on(seen) and _writes_to_login(timeline) and not kept

    @mistake(shows="reused")
    def no_alarm(self, seen: Seen) -> bool:
        """The old token is refused, and nothing else happens: if the **thief** was first, they have
        the newest one and go on for as long as they like. A second use ends the login."""
        return _goes_on(seen) and not _writes_to_login(seen.step("reused").timeline)

    @mistake(shows="newest_refresh")
    def refreshed_what_was_over(self, seen: Seen) -> bool:
        """A login that is over was refreshed all the same. Ask for `Login.expires_at > now()` where
        you ask whose token it is."""
        return seen.step("ended").status == 200

    @mistake(shows="first", marks=("sql SELECT", "sql UPDATE"))
    def both_at_once(self, seen: Seen) -> bool:
        """Two came with one token at the same moment, and **both** got a pair: each had looked and
        seen that it was good before the other had marked it. Let the UPDATE decide: `is_used` is
        false in its WHERE, and `rowcount` says whether it was you. (`with_for_update` is no
        lock on SQLite.)"""
        return [seen.step("first").status, seen.step("second").status] == [200, 200]

    @mistake(shows="first")
    def no_alarm_in_the_race(self, seen: Seen) -> bool:
        """Two came with one token at the same moment. One was refused, as it should be, and the
        login goes on. A `rowcount` of 0 is a second use as well: end the login there, too."""
        heard = sorted([seen.step("first").status, seen.step("second").status])
        return heard == [200, 401] and any(one.status == 200 for one in seen.steps("after_race"))

    @mistake(shows="phone_me")
    def ended_everything(self, seen: Seen) -> bool:
        """Another device of the same user was logged out as well. `Login.id == ...`, the one login,
        and not all that the user has."""
        return seen.step("phone_me").status == 401 or seen.step("stays_me").status == 401

    @mistake(shows="out_me")
    def still_logged_in(self, seen: Seen) -> bool:
        """After logging out, a token still works. Do not look for tokens: end the login, with
        `expires_at=now()`, and both are worth nothing. (And see that it is committed.)"""
        if seen.step("logged_out").status != 204:
            return False
        return any(seen.step(name).status == 200 for name in ("out_me", "out_refresh"))

    @mistake(shows="closed")
    def refreshed_the_closed(self, seen: Seen) -> bool:
        """A closed account got a new pair. `User.is_active` belongs into this query, too."""
        return seen.step("closed").status == 200

    @mistake()
    def said_why(self, seen: Seen) -> bool:
        """Not everything that is refused hears the same: that tells a thief whether the token is
        known, used, or too late. `unauthorized()` for all."""
        refused = [seen.step(name) for name in (*_NOT_REFRESHED, "reused")]
        return len({repr(_answer(step)) for step in refused}) > 1 and all(
            400 <= step.status < 500 for step in refused
        )

    @mistake()
    def kept_as_it_is(self, seen: Seen) -> bool:
        """The refresh token itself stands in the database: a backup that gets out is everybody who
        is logged in. Keep `fingerprint(token)`; `issue_tokens` does."""
        return bool(seen["kept"])


# -- tokens, good and bad ------------------------------------------------------------------------
_TOKENS = {
    "expired": "An expired token",
    "forged": "A token signed with another key",
    "none": "A token with `alg: none` and no signature",
    "tampered": "A token with another user's id written into it",
    "other_purpose": "A token for confirming an address",
    "no_purpose": "A token without `aud`",
    "endless": "A token without `exp`",
    "opaque": "A refresh token",
    "garbage": "Rubbish",
    "closed": "A token of a closed account",
    "gone": "A token of a user who is gone",
    "subjectless": "A token without `sub`",
    "odd": "A token whose `sub` is no number",
}
_NOBODIES = ("closed", "gone", "subjectless", "odd")
_FORGERIES = tuple(name for name in _TOKENS if name not in _NOBODIES)
_NOT_REFRESHED = {
    "unknown": "a refresh token that nobody has issued",
    "access": "an access token",
    "ended": "a refresh token of a login that has expired",
    "closed": "a refresh token of a closed account",
}


def _person(lab: Lab, name: str, hashed: str, *, is_active: bool = True) -> int:
    """A new user in the learner's database; gives the id."""
    table = lab["User"].__table__
    lab.write(
        insert(table).values(
            username=name,
            display_name=name.title(),
            email=f"{name}@example.com",
            hashed_password=hashed,
            is_active=is_active,
        )
    )
    found = lab.rows(select(table.c.id).where(table.c.username == name))
    return int(found[0]["id"])


def _bad_tokens(lab: Lab, key: bytes, victim: int, attacker: int) -> dict[str, str]:
    """What an attacker sends who would like to be the victim, by the names of `_TOKENS`."""
    later = int(time.time()) + _LIFETIME
    good = {"sub": str(victim), "aud": "access", "exp": later}

    def ours(**other: Any) -> str:
        claims = {name: value for name, value in (good | other).items() if value is not None}
        return jwt.encode(claims, key, algorithm="HS256")

    head, _, signature = ours(sub=str(attacker)).split(".")
    return {
        "expired": ours(exp=later - 2 * _LIFETIME),
        "forged": jwt.encode(good, secrets.token_bytes(32), algorithm="HS256"),
        "none": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(good)}.",
        "tampered": f"{head}.{_part(good)}.{signature}",
        "other_purpose": ours(aud="confirm"),
        "no_purpose": ours(aud=None),
        "endless": ours(exp=None),
        "opaque": secrets.token_urlsafe(32),
        "garbage": f"{lab.word()}.{lab.word()}",
        "subjectless": ours(sub=None),
        "odd": ours(sub=lab.word()),
    }


def _attacked(lab: Lab) -> dict[str, Any]:
    """`GET /me` with a good token and with every bad one, and what was logged meanwhile."""
    key, name = lab["KEY"], lab.word()
    hashed = f"$argon2id${lab.word(20)}"
    victim, attacker = _person(lab, name, hashed), _person(lab, lab.word(), hashed)
    shut, gone = _person(lab, lab.word(), hashed, is_active=False), victim + 1000
    usual = {"aud": "access", "exp": int(time.time()) + _LIFETIME}
    tokens = _bad_tokens(lab, key, victim, attacker)
    for who, number in (("good", victim), ("closed", shut), ("gone", gone)):
        tokens[who] = jwt.encode({"sub": str(number)} | usual, key, algorithm="HS256")
    seen: dict[str, Any] = {"user": {"id": victim, "username": name, "display_name": name.title()}}
    said: dict[str, str] = {}
    for what, token in tokens.items():
        with _listening() as heard:
            seen[what] = lab.request("GET", "/me", headers={"Authorization": f"Bearer {token}"})
        said[what] = "\n".join(heard).strip()
    text = "\n".join(said.values())
    seen["logged"] = sorted(
        what
        for what, token in tokens.items()
        if any(len(part) > 30 and part in text for part in (token, token.rpartition(".")[2]))
    )
    seen["unsaid"] = [what for what in ("expired", "forged", "closed") if not said[what]]
    return seen


class _Ahead(datetime):
    """Where clocks are nine hours ahead of Greenwich's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) if tz else cls.now(UTC).replace(tzinfo=None) + timedelta(hours=9)


@contextmanager
def _east_of_greenwich(function: Callable[..., Any]) -> Iterator[None]:
    """Tell a local time that is not Greenwich's, wherever this machine may be.

    In the names that the function sees, since a page cannot change its zone.
    """
    names = getattr(function, "__globals__", {})
    moved = names.get("datetime") is datetime
    if moved:
        names["datetime"] = _Ahead
    try:
        yield
    finally:
        if moved:
            names["datetime"] = datetime


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Whatever is logged, at any level, or printed meanwhile; nobody else hears it."""
    heard: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith(_LIBRARIES):
                heard.append(logging.Formatter().format(record))

    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = [Kept()]
    root.setLevel(logging.DEBUG)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield heard
            heard.append(printed.getvalue())
    finally:
        root.handlers = handlers
        root.setLevel(level)


def _lived_through(lab: Lab) -> dict[str, Any]:
    """Logins, refreshes, thefts and ends of several devices."""
    password = lab.word(12)
    hashed = lab["passwords"].hash(password)
    name, shut = lab.word(), lab.word()
    _person(lab, name, hashed)
    closing = _person(lab, shut, hashed)
    login, user = lab["Login"].__table__, lab["User"].__table__
    issued: set[str] = set()
    seen: dict[str, Any] = {}

    def pair(step: Mapping[str, Any]) -> dict[str, str]:
        found = _pair(step.get("body")) or {"access_token": "", "refresh_token": ""}
        issued.add(found["refresh_token"])
        return found

    def device(username: str = name) -> dict[str, str]:
        form = {"username": username, "password": password}
        return pair(lab.request("POST", "/token", data=form))

    def refresh(token: str) -> Any:
        step = lab.request("POST", "/refresh", json={"refresh_token": token})
        pair(step)
        return step

    def me(tokens: Mapping[str, str], method: str = "GET", path: str = "/me") -> Any:
        return lab.request(
            method, path, headers={"Authorization": f"Bearer {tokens['access_token']}"}
        )

    laptop, phone = device(), device()
    seen["refreshed"] = refresh(laptop["refresh_token"])
    second = pair(seen["refreshed"])
    seen["me_refreshed"] = me(second)
    seen["is_new"] = second["refresh_token"] != laptop["refresh_token"]
    seen["sids"] = [_sid(one["access_token"]) for one in (laptop, second)]
    seen["refreshed_again"] = refresh(second["refresh_token"])
    newest = pair(seen["refreshed_again"])
    seen["reused"] = refresh(laptop["refresh_token"])
    seen["newest_refresh"] = refresh(newest["refresh_token"])
    seen["newest_me"] = me(newest)
    seen["phone_me"] = me(phone)
    seen["phone_refresh"] = refresh(phone["refresh_token"])

    tablet = device()
    request = ("POST", "/refresh", {"refresh_token": tablet["refresh_token"]})
    seen["first"], seen["second"] = lab.interleave(request, request)
    winners = [pair(seen[name]) for name in ("first", "second") if seen[name]["status"] == 200]
    seen["after_race"] = [me(one) for one in winners]
    seen["after_race"] += [refresh(one["refresh_token"]) for one in winners]

    leaving, staying = device(), device()
    seen["logged_out"] = me(leaving, "POST", "/logout")
    seen["out_me"] = me(leaving)
    seen["out_refresh"] = refresh(leaving["refresh_token"])
    seen["stays_me"] = me(staying)

    seen["unknown"] = refresh(secrets.token_urlsafe(32))
    seen["access"] = refresh(staying["access_token"])
    expiring = device()
    lab.write(
        update(login)
        .where(login.c.id == _sid(expiring["access_token"]))
        .values(expires_at=int(time.time()) - 10)
    )
    seen["ended"] = refresh(expiring["refresh_token"])
    closed = device(shut)
    lab.write(update(user).where(user.c.id == closing).values(is_active=False))
    seen["closed"] = refresh(closed["refresh_token"])

    seen["kept"] = sorted(
        table.name
        for table in user.metadata.tables.values()
        if any(token and token in json.dumps(lab.rows(select(table))) for token in issued)
    )
    return seen


# -- what the evidence says ----------------------------------------------------------------------
def _is_their_user(seen: Seen) -> None:
    good, user = seen.step("good"), seen["user"]
    expect(
        good.status == 200,
        saw=f"{good.heard}, for a good token.",
        wanted="That should be a 200.",
    )
    body = good.body if isinstance(good.body, dict) else {}
    expect(
        {name: body.get(name) for name in user} == user,
        saw=f"A good token of `{user}` was answered with `{_shortened(good.body, 120)}`.",
        wanted="It should be that user.",
    )


def _are_refused(seen: Seen, names: tuple[str, ...]) -> None:
    for name in names:
        step = seen.step(name)
        expect(
            step.status == 401,
            saw=f"{_TOKENS[name]} was sent. {step.heard}.",
            wanted="That should be a 401.",
        )
        expect(
            "www-authenticate" in step.headers,
            saw=f"{_TOKENS[name]} heard a 401 without `WWW-Authenticate`.",
            wanted="A 401 should have it; `unauthorized()` has.",
        )


def _hear_the_same(seen: Seen, names: tuple[str, ...]) -> None:
    first = seen.step("garbage")
    for name in names:
        step = seen.step(name)
        expect(
            _answer(step) == _answer(first),
            saw=f"{_TOKENS['garbage']} heard {first.status} `{_shortened(first.body)}`, and "
            f"{_TOKENS[name].replace('A', 'a', 1)} {step.status} `{_shortened(step.body)}`.",
            wanted="They should hear the same, headers and all.",
            why="Whoever can tell them apart knows how far they came.",
        )


def _returned(seen: Seen, *names: str) -> bool:
    return any(seen.step(name).returned_the_exception for name in names)


def _got_in(seen: Seen, *names: str) -> bool:
    return any(200 <= seen.step(name).status < 300 for name in names)


def _tells_them_apart(seen: Seen, names: tuple[str, ...]) -> bool:
    steps = [seen.step(name) for name in names]
    return all(step.status in (400, 401, 403, 404) for step in steps) and (
        len({repr(_answer(step)) for step in steps}) > 1
    )


def _goes_on(seen: Seen) -> bool:
    """Whether the login goes on although one of its tokens was refused at its second use."""
    return seen.step("reused").status in (401, 403) and (
        seen.step("newest_refresh").status == 200 or seen.step("newest_me").status == 200
    )


def _writes_to_login(timeline: Timeline) -> bool:
    return any(re.match(r'(UPDATE|DELETE FROM) "?login\b', sql) for sql in timeline.writes)


def _claims(seen: Seen) -> dict[str, Any]:
    claims: dict[str, Any] = seen["right_token"]["claims"]
    return claims or seen["by_hand_token"]["claims"]


def _answer(step: Step) -> tuple[int, Any, dict[str, str]]:
    return step.status, step.body, dict(step.headers)


def _what_is_wrong(token: Mapping[str, Any]) -> str:
    if not token["alg"]:
        return "is no JWT"
    return "is not signed with `KEY`" if token["alg"] == "HS256" else f"is by `{token['alg']}`"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if abs(seconds) < 300 else f"{seconds // 60:,} minutes"


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shortened(value: Any, longest: int = 60) -> str:
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


# -- reading what came back ----------------------------------------------------------------------
def _access_token(step: Mapping[str, Any]) -> Any:
    body = step["body"]
    return body.get("access_token") if isinstance(body, dict) else body


def _pair(body: Any) -> dict[str, str] | None:
    """Both tokens of an answer, where it has both."""
    names = ("access_token", "refresh_token")
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
        return None
    return {name: body[name] for name in names}


def _read(token: Any, key: bytes) -> dict[str, Any]:
    """What a token says, and whether it is signed with the key; whatever it may be."""
    said: dict[str, Any] = {"alg": None, "claims": {}, "signed": False}
    if not isinstance(token, str):
        return said
    try:
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return said
    said |= {"alg": whole["header"].get("alg"), "claims": whole["payload"]}
    try:
        jwt.PyJWS().decode(token, key, algorithms=["HS256"])
    except jwt.PyJWTError:
        return said
    return said | {"signed": True}


def _sid(token: str) -> Any:
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("sid")
    except jwt.PyJWTError:
        return None


def _part(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


EXERCISES = (IssueAToken, TheCurrentUser, TheRejectedTokens, Revoke)
