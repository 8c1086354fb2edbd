"""Lesson 12, users and passwords: hashes, registration and its mail, login, and no leaks."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import argon2
from fastapi import Depends, FastAPI
from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel, ConfigDict, create_model
from sqlalchemy import Engine, StaticPool, create_engine, insert, select
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.orm import Session

from checks.exercise import Exercise, Model, Seen, Step, expect, mistake, requirement
from checks.observe.lab import Lab
from checks.words import counted

_YEARS_AGO = PasswordHash((Argon2Hasher(memory_cost=16, time_cost=1, parallelism=1),))


class HashAndVerify(Exercise):
    """What is kept of a password is an argon2 hash; the right password is told from others; a hash
    of an old cost is replaced when the right one comes."""

    id = "12.hash_and_verify"
    title = "Hash and verify"
    needs = {
        "hash_password": Callable,
        "check_password": Callable,
        "passwords": PasswordHash,
        "User": Model,
    }
    hints = (
        "Both functions are a line or two. The cell above the exercise uses all you need.",
        "`passwords.verify_and_update(password, user.hashed_password)` gives two things: whether "
        "it fits, and a new hash or None. Take them apart.",
        "fits, newer = passwords.verify_and_update(...); if newer is not None: "
        "user.hashed_password = newer; return fits",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        password, other = f"{lab.word(10)}-ü", lab.word(12)
        current = lab["passwords"]
        kept, old = current.hash(password), _YEARS_AGO.hash(password)
        seen: dict[str, Any] = {"password": password, "kept": kept, "old": old}
        seen["hashed"] = lab.call("hash_password(...)", lab["hash_password"], password)
        seen["again"] = lab.call("hash_password(...)", lab["hash_password"], password)
        seen["verifies"] = [_fits(password, seen[name]["body"]) for name in ("hashed", "again")]
        for name, given, stored in (
            ("right", password, kept),
            ("wrong", other, kept),
            ("right_old", password, old),
            ("wrong_old", other, old),
        ):
            user = lab["User"](hashed_password=stored)
            asked = f"check_password(user, {'the right one' if given == password else 'another'})"
            seen[name] = lab.call(asked, lab["check_password"], user, given)
            now = user.hashed_password
            seen[f"{name}_hash"] = now if isinstance(now, str) else None
        renewed = seen["right_old_hash"]
        seen["renewed"] = {
            "fits": _fits(password, renewed),
            "cost": _cost(renewed),
            "wanted": _cost(kept),
        }
        return seen

    @requirement(1)
    def keeps_a_hash(self, seen: Seen) -> None:
        """`hash_password` gives an argon2 hash, with a salt of its own each time."""
        hashed, again = seen.step("hashed"), seen.step("again")
        expect(
            hashed.error is None,
            saw=f"`hash_password` ended in {_ending(hashed)}",
            wanted="It should give a hash: mend that first.",
        )
        expect(
            all(seen["verifies"]),
            saw=f"`hash_password` gave `{_shortened(hashed.body)}`.",
            wanted="It should be an argon2 hash against which the password verifies.",
        )
        expect(
            hashed.body != again.body,
            saw="The same password was hashed twice, and the two hashes are the same.",
            wanted="Each should have a salt of its own.",
            why="One guess then opens everybody who chose that password.",
        )

    @requirement(2, shows="wrong")
    def tells_right_from_wrong(self, seen: Seen) -> None:
        """`check_password` says True to the right password and False to any other."""
        for name in ("right", "right_old", "wrong", "wrong_old"):
            step, wanted = seen.step(name), name.startswith("right")
            cost = "an older cost" if name.endswith("old") else "today's cost"
            expect(
                step.error is None,
                saw=f"`{step.asked}` ended in {_ending(step)}",
                wanted=f"It should say `{wanted}`.",
            )
            expect(
                step.body is wanted,
                saw=f"`{step.asked}` said `{step.body}`, for a hash of {cost}.",
                wanted=f"It should say `{wanted}`.",
            )

    @requirement(2, shows="right_old")
    def renews(self, seen: Seen) -> None:
        """When the right password comes, a hash of an old cost is replaced by one of today's."""
        renewed = seen["renewed"]
        expect(
            renewed["fits"] and renewed["cost"] == renewed["wanted"],
            saw="After the right password, the user's hash is "
            f"`{_shortened(seen['right_old_hash'])}`.",
            wanted=f"It should be a hash of the same password at the cost `{renewed['wanted']}`.",
        )

    @requirement(1, shows="wrong_old")
    def leaves_the_rest(self, seen: Seen) -> None:
        """In all other cases the hash stays as it is."""
        for name, stored in (("right", "kept"), ("wrong", "kept"), ("wrong_old", "old")):
            expect(
                seen[f"{name}_hash"] == seen[stored],
                saw=f"`{seen.step(name).asked}` changed the user's hash, which was "
                f"`{_shortened(seen[stored])}`, to `{_shortened(seen[f'{name}_hash'])}`.",
                wanted="It should stay as it was.",
            )

    @mistake()
    def kept_the_password(self, seen: Seen) -> bool:
        """`hash_password` gives the password itself back, and that is what would be kept. Whoever
        gets a copy of the table can read it. Give `passwords.hash(password)`."""
        return seen["password"] in str(seen.step("hashed").body)

    @mistake()
    def a_hash_for_files(self, seen: Seen) -> bool:
        """That is a hash, but not one for passwords: a hash such as SHA-256 is made to be quick,
        and a thief tries millions in a second. Give `passwords.hash(password)`."""
        said = str(seen.step("hashed").body)
        return re.fullmatch(r"[0-9a-f$:]{32,}|pbkdf.*|<\d+ bytes>", said) is not None

    @mistake()
    def one_salt_for_all(self, seen: Seen) -> bool:
        """Two hashes of one password are the same: the salt is fixed. Leave it out, and `hash`
        draws one each time."""
        return all(seen["verifies"]) and seen.step("hashed").body == seen.step("again").body

    @mistake(shows="wrong")
    def true_whatever_is_in_it(self, seen: Seen) -> bool:
        """`check_password` returns both halves of what `verify_and_update` gives. A pair is true
        whatever is in it, so `if check_password(...)` lets **everybody** in. Take it apart, and
        return the first half."""
        return isinstance(seen.step("wrong").body, list)

    @mistake(shows="right")
    def compared_hashes(self, seen: Seen) -> bool:
        """Even the right password is refused: the hash of what was typed never equals the hash that
        is kept, since each has a salt of its own. Let `passwords` verify."""
        said = [seen.step(name).body for name in ("right", "right_old", "wrong")]
        return said == [False, False, False]

    @mistake(shows="right")
    def refused_what_is_up_to_date(self, seen: Seen) -> bool:
        """The right password is refused where its hash is of today's cost: there is no new hash
        then, and you took that for a no. Whether it fits is the *first* half of what
        `verify_and_update` gives; return that."""
        return seen.step("right").body is False and seen.step("right_old").body is True

    @mistake(shows="right")
    def said_nothing(self, seen: Seen) -> bool:
        """`check_password` returns nothing, and Python makes that None, which lets nobody in. End
        it with `return fits`."""
        steps = [seen.step(name) for name in ("right", "wrong", "wrong_old")]
        return all(step.error is None and step.body is None for step in steps)

    @mistake(shows="right", marks=("error",))
    def wrong_way_round(self, seen: Seen) -> bool:
        """The hash and the password are the wrong way round: "This hash can't be identified" was
        said of the password. It is `verify(password, hash)`, the password first."""
        return "Unknown" in (seen.step("right").error or "")

    @mistake(shows="wrong_old")
    def whoever_guesses_moves_in(self, seen: Seen) -> bool:
        """A **wrong** password was tried, and from then on it is the user's: its hash was put in
        place of theirs. Hash anew only when the password fits; `verify_and_update` minds that."""
        return any(
            _hash_is_new(seen, name, stored)
            for name, stored in (("wrong", "kept"), ("wrong_old", "old"))
        )

    @mistake(shows="right")
    def wiped(self, seen: Seen) -> bool:
        """After a check the user has no hash at all, and can never log in again: the second half of
        `verify_and_update` is None where nothing has to change, and you have kept that. Assign it
        only `if newer is not None`."""
        return any(seen[f"{name}_hash"] is None for name in ("right", "wrong", "wrong_old"))

    @mistake(shows="right_old")
    def never_renewed(self, seen: Seen) -> bool:
        """The right password came, and the hash of an old cost is still there. `verify` only
        verifies; `verify_and_update` also gives the new hash, which belongs into
        `user.hashed_password`."""
        return bool(seen["right_old_hash"] == seen["old"]) and seen.step("right_old").body is True

    @mistake(shows="right")
    def renewed_each_time(self, seen: Seen) -> bool:
        """The hash was of today's cost, and was replaced all the same: twice the work, and an
        UPDATE, at each login. Take the new one only where `verify_and_update` gives one."""
        return _hash_is_new(seen, "right", "kept")


class Registration(Exercise):
    """A new user and the letter to them are kept in one transaction or not at all; a taken name is
    a 409, however it is spelled and however close the race."""

    id = "12.registration"
    title = "Atomic registration"
    needs = {
        "app": FastAPI,
        "engine": Engine,
        "mailer": object,
        "deliver": Callable,
        "passwords": PasswordHash,
    }
    hints = (
        "Who may be asked whether a name is free, so that the answer still holds when you use it? "
        "And what can be kept together with a user, so that the letter is not forgotten?",
        "Add a `User` and a `Letter` to the one session and `flush()`. An IntegrityError there is "
        "your 409; `SessionDep` commits, or rolls both back. The mail server is not asked.",
        "session.add(Letter(recipient=new.email, body=WELCOME)) beside the user; try: "
        "session.flush() / except IntegrityError: raise HTTPException(409, ...)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        seen: dict[str, Any] = {"password": lab.word(12)}

        def new(name: str, email: str | None = None) -> tuple[str, str, Any]:
            address = email or f"{lab.word()}@example.com"
            return (
                "POST",
                "/users",
                {"username": name, "email": address, "password": seen["password"]},
            )

        def sent(asked: tuple[str, str, Any]) -> Any:
            return lab.request(asked[0], asked[1], json=asked[2])

        # Full-width letters and capitals: only the canonical form shows that they are one name.
        plain, race, refused, night = (lab.word() for _ in range(4))
        typed = plain[0].upper() + plain[1:]
        wide = "".join(chr(ord(letter) + 0xFEE0) for letter in plain.upper())
        good = new(typed)
        with lab.watching(lab["mailer"], "send") as mails:
            seen["good"] = sent(good)
            seen["after_good"] = _kept(lab, good)
            seen["typed"], seen["canonical"] = typed, _canonical(typed)
            lab.call("deliver()", lab["deliver"])
            seen["letters"] = [one["args"][0] for one in mails].count(good[2]["email"])

            taken, other_case, fancy = new(typed), new(plain.upper()), new(wide)
            for name, asked in (("taken", taken), ("other_case", other_case), ("fancy", fancy)):
                seen[name] = sent(asked)
                seen[f"after_{name}"] = _kept(lab, asked)
            first, second = new(race), new(race)
            seen["first"], seen["second"] = lab.interleave(first, second)
            seen["after_race"] = [_kept(lab, asked) for asked in (first, second)]

            failed = new(refused)
            with lab.commit_fails():
                seen["refused"] = sent(failed)
            seen["after_refused"] = _kept(lab, failed)
            lab.call("deliver()", lab["deliver"])
            addresses = [one["args"][0] for one in mails]
            turned_away = (taken, other_case, fancy, failed)
            seen["stray"] = [
                name
                for name, asked in zip(
                    ("taken", "other_case", "fancy", "refused"), turned_away, strict=True
                )
                if asked[2]["email"] in addresses
            ]
        at_night = new(night)
        down = ConnectionError("mail.example.com does not answer")
        with lab.watching(lab["mailer"], "send", failing=down):
            seen["down"] = sent(at_night)
        seen["after_down"] = _kept(lab, at_night)
        with lab.watching(lab["mailer"], "send") as mails:
            lab.call("deliver()", lab["deliver"])
            seen["in_the_morning"] = [one["args"][0] for one in mails].count(at_night[2]["email"])
        return seen

    @requirement(2, shows="good")
    def registers(self, seen: Seen) -> None:
        """A new user hears 201 with an `id`, and is kept with their names and a hash."""
        good, kept = seen.step("good"), seen["after_good"]["users"]
        expect(
            good.status == 201,
            saw=f"{good.heard}.",
            wanted="A new user should be answered with 201.",
        )
        body = good.body if isinstance(good.body, dict) else {}
        expect(
            len(kept) == 1 and body.get("id") == kept[0]["id"],
            saw=f"The body was `{_shortened(good.body)}`, and the table has "
            f"{counted(len(kept), 'user')} with that address.",
            wanted="There should be one, and its `id` in the body.",
        )
        names = {"username": kept[0]["username"], "display_name": kept[0]["display_name"]}
        wanted = {"username": seen["canonical"], "display_name": seen["typed"]}
        expect(
            names == wanted,
            saw=f"`{seen['typed']}` was typed, and `{names}` was kept.",
            wanted=f"It should be `{wanted}`.",
        )
        expect(
            kept[0]["fits"],
            saw=f"For its hash, the user has `{_shortened(kept[0]['hashed_password'])}`.",
            wanted="It should be what `passwords` makes of the password.",
        )
        expect(
            "argon2" not in json.dumps(body),
            saw="The user's hash is in the answer.",
            wanted='Answer with `{"id": user.id}` and nothing else.',
            why="With the hash at home, a thief guesses without being counted.",
        )

    @requirement(1, shows="good")
    def one_letter(self, seen: Seen) -> None:
        """They get exactly one letter, once somebody delivers."""
        expect(
            seen["letters"] == 1,
            saw=f"After `deliver()`, {counted(seen['letters'], 'letter')} had gone to them.",
            wanted="It should be exactly one.",
        )

    @requirement(2, shows="taken")
    def taken(self, seen: Seen) -> None:
        """A taken name is a 409, in whatever spelling, and leaves neither user nor letter."""
        for name, spelled in (
            ("taken", "spelled as before"),
            ("other_case", "in capitals"),
            ("fancy", "in full-width letters"),
        ):
            step, after = seen.step(name), seen[f"after_{name}"]
            expect(
                step.status == 409,
                saw=f"{step.heard}, for the same name {spelled}.",
                wanted="That should be a 409.",
            )
            expect(
                not after["users"] and not after["letters"] and name not in seen["stray"],
                saw=f"The name, {spelled}, was turned away, and still {_left(after)} "
                f"{'had gone out' if name in seen['stray'] else 'stayed'}.",
                wanted="Whoever is turned away should leave nothing behind.",
            )

    @requirement(2, shows="first")
    def the_race(self, seen: Seen) -> None:
        """Of two who ask for a name at the same moment, one is registered; the other hears 409."""
        heard = [seen.step("first").status, seen.step("second").status]
        users = sum(len(one["users"]) for one in seen["after_race"])
        letters = sum(len(one["letters"]) for one in seen["after_race"])
        expect(
            sorted(heard) == [201, 409],
            saw=f"Two asked for one name at once. They heard {heard[0]} and {heard[1]}.",
            wanted="One should hear 201 and the other 409.",
        )
        expect(
            users == 1 and letters == 1,
            saw=f"Two asked for one name at once. Afterwards there were {counted(users, 'user')} "
            f"and {counted(letters, 'letter')}.",
            wanted="There should be one of each.",
        )

    @requirement(2, shows="refused")
    def all_or_nothing(self, seen: Seen) -> None:
        """When the commit fails: an error, no user, no letter."""
        refused, after = seen.step("refused"), seen["after_refused"]
        expect(
            refused.status >= 400,
            saw=f"The commit failed, and {refused.heard}.",
            wanted="The client should hear an error.",
        )
        expect(
            not after["users"] and not after["letters"] and "refused" not in seen["stray"],
            saw=f"The commit failed, and still {_left(after)} "
            f"{'had gone out' if 'refused' in seen['stray'] else 'stayed'}.",
            wanted="There should be nothing.",
        )
        commits = seen.step("good").timeline.commits_keeping("INSERT")
        expect(
            commits <= 1,
            saw=f"A good registration took {commits} commits.",
            wanted="User and letter should be kept by the same one.",
            why="Whatever dies between two commits leaves one without the other.",
        )

    @requirement(1, shows="down")
    def the_mail_server_may_be_down(self, seen: Seen) -> None:
        """With the mail server down: 201 all the same, and the letter comes when it is back."""
        down = seen.step("down")
        expect(
            down.status == 201,
            saw=f"The mail server was down, and {down.heard}.",
            wanted="A client should not notice.",
        )
        expect(
            seen["in_the_morning"] == 1,
            saw="The mail server was down. When it was back and `deliver()` had run, "
            f"{counted(seen['in_the_morning'], 'letter')} had gone to the new user.",
            wanted="It should be exactly one.",
        )

    @mistake(shows="good")
    def kept_the_password(self, seen: Seen) -> bool:
        """The password itself is in the table: see the INSERT. Keep
        `passwords.hash(new.password)`."""
        return any(one["is_password"] for one in seen["after_good"]["users"])

    @mistake(shows="good", marks=("commit",))
    def never_committed(self, seen: Seen) -> bool:
        """The client heard 201, and nothing was committed: leaving the session threw the user away.
        Use `SessionDep`, or a `with SessionLocal.begin()` block."""
        good = seen.step("good")
        return good.status == 201 and bool(good.timeline.writes) and not good.timeline.commits

    @mistake(shows="good", marks=("error",))
    def committed_for_the_dependency(self, seen: Seen) -> bool:
        """You commit, and `SessionDep` has begun the transaction and means to end it itself: after
        your commit its session is no more to be used. Say `flush()` where you say `commit()`; the
        commit comes when the endpoint is through."""
        return "closed transaction" in seen.step("good").error_message

    @mistake(shows="refused", marks=("response", "commit"))
    def answered_too_soon(self, seen: Seen) -> bool:
        """The commit failed when the client had its 201 already: it stands below the response.
        Use `SessionDep` as it is, or commit before you return."""
        refused = seen.step("refused")
        return refused.status == 201 and refused.timeline.order("response", "commit")

    @mistake(shows="taken")
    def mailed_before_asking(self, seen: Seen) -> bool:
        """A letter went to somebody who is **not** registered: it was sent before the database had
        been asked, and a mail cannot be rolled back. Write it down, as a `Letter` in the same
        session, and let `deliver()` send it."""
        return _mailed(seen, "taken", "other_case", "fancy")

    @mistake(shows="refused", marks=("commit",))
    def mailed_before_the_commit(self, seen: Seen) -> bool:
        """The commit failed, and a letter had gone out before it, to somebody who is **not**
        registered. A mail cannot be rolled back. Write it down, as a `Letter` in the same session,
        and let `deliver()` send it."""
        return _mailed(seen, "refused")

    @mistake(shows="taken", marks=("commit",))
    def a_letter_of_its_own(self, seen: Seen) -> bool:
        """A letter waits for somebody who was turned away: it was kept in a transaction of its
        own, before the user's. Put both into one session and let one commit keep them."""
        return any(
            seen[f"after_{name}"]["letters"] and not seen[f"after_{name}"]["users"]
            for name in ("taken", "refused")
        )

    @mistake(shows="good", marks=("error",))
    def numbered_too_late(self, seen: Seen) -> bool:
        """The user has no `id` yet: the database gives it one at the INSERT, and that is sent at
        the next `session.flush()`. Flush before you return."""
        good = seen.step("good")
        return good.error == "ResponseValidationError" and "it is None" in good.error_message

    @mistake(shows="taken")
    def returned_the_error(self, seen: Seen) -> bool:
        """The HTTPException was returned, not raised, so it went out as the body of a 201. Write
        `raise HTTPException(409, ...)`."""
        return seen.step("taken").returned_the_exception

    @mistake(shows="down", marks=("error",))
    def a_user_without_a_letter(self, seen: Seen) -> bool:
        """The mail server was down, the client heard an error, and the user is there: the next try
        will say *taken*, and no letter ever comes. That is the queue at support. Do not send in
        the request; write a `Letter` into the same transaction."""
        return seen.step("down").status >= 400 and bool(seen["after_down"]["users"])

    @mistake(shows="down")
    def the_letter_is_lost(self, seen: Seen) -> bool:
        """The mail server was down, the client heard 201, and no letter ever comes: it was a call
        in the memory of a process, in the background or in a `try`, and nothing is left to try
        again from. Keep it as a `Letter` row."""
        sent_by_itself = bool(seen["letters"]) and not seen["after_good"]["letters"]
        return sent_by_itself and not seen["in_the_morning"]

    @mistake(shows="good")
    def no_letter(self, seen: Seen) -> bool:
        """The user is registered, and there is no letter to their address: neither sent nor
        waiting. Add a `Letter(recipient=new.email, body=WELCOME)` to the session."""
        return seen.step("good").status == 201 and not seen["letters"]

    @mistake(shows="good")
    def two_letters(self, seen: Seen) -> bool:
        """Two letters for one user: the request sends one itself, and `deliver()` sends the one
        that waits. Leave the sending to `deliver()`."""
        return bool(seen["letters"] > 1)

    @mistake(shows="other_case")
    def as_it_was_typed(self, seen: Seen) -> bool:
        """The same name in capitals was taken in as another one. What must be unique is the
        canonical form: `username=canonical(new.username)`."""
        return seen.step("taken").status == 409 and seen.step("other_case").status == 201

    @mistake(shows="fancy")
    def in_small_letters_only(self, seen: Seen) -> bool:
        """The same name in full-width letters was taken in as another one: lower case is only half
        of the canonical form. Let `canonical(new.username)` be what is unique."""
        return seen.step("other_case").status == 409 and seen.step("fancy").status == 201

    @mistake(shows="taken", marks=("error",))
    def taken_is_a_500(self, seen: Seen) -> bool:
        """The database refused the second user, as it should, and nobody told the client what that
        means. Catch the IntegrityError where the INSERT is sent, at a `session.flush()`, or around
        the whole transaction, and raise `HTTPException(409, ...)`."""
        return seen.step("taken").error == "IntegrityError"

    @mistake(shows="first", marks=("sql SELECT", "sql INSERT"))
    def looked_first(self, seen: Seen) -> bool:
        """You look whether the name is free, and in the race both saw that it was. The database let
        one in, and the other heard 500. Keep the look if you like it; the decision is the
        constraint's: catch its IntegrityError as well, and answer 409."""
        heard = sorted([seen.step("first").status, seen.step("second").status])
        return heard == [201, 500]

    @mistake(shows="good", marks=("commit",))
    def two_transactions(self, seen: Seen) -> bool:
        """User and letter are kept by separate commits. Pull the plug between them and there is a
        user without a letter. Put both into one session, and commit once."""
        return seen.step("good").timeline.commits_keeping("INSERT") > 1


class LoginThatDoesNotTell(Exercise):
    """The right password lets in; wrong password, unknown name and closed account cannot be told
    apart, neither by what is answered nor by the work that is done."""

    id = "12.login"
    title = "A login that does not tell"
    needs = {"app": FastAPI, "engine": Engine, "passwords": PasswordHash, "User": Model}
    hints = (
        "Three cases must look alike. In how many of them does your code get as far as verifying?",
        "Make a hash of a password that nobody has, once, above the endpoint. Verify against the "
        "user's hash or, where there is no user, that one; and only then look at what is wrong.",
        "fits, newer = passwords.verify_and_update(sent.password, user.hashed_password if user "
        "else NOBODYS_HASH); if user is None or not fits or not user.is_active: raise "
        "HTTPException(401, ...)",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        table, current = lab["User"].__table__, lab["passwords"]
        password, guess = lab.word(12), lab.word(12)
        open_, closed, old = (lab.word() for _ in range(3))
        for name, active, hashed in (
            (open_, True, current.hash(password)),
            (closed, False, current.hash(password)),
            (old, True, _YEARS_AGO.hash(password)),
        ):
            lab.write(
                insert(table).values(
                    username=name,
                    display_name=name.title(),
                    email=f"{name}@example.com",
                    hashed_password=hashed,
                    is_active=active,
                )
            )

        def log_in(name: str, given: str) -> Any:
            return lab.request("POST", "/login", json={"username": name, "password": given})

        def watched(name: str, given: str) -> tuple[Any, list[str]]:
            with lab.watching(argon2.PasswordHasher, "hash", "verify") as calls:
                step = log_in(name, given)
            return step, sorted(_work(call) for call in calls)

        def stored(name: str) -> str:
            found = lab.rows(select(table.c.hashed_password).where(table.c.username == name))
            return str(found[0]["hashed_password"]) if found else ""

        log_in(lab.word(), guess)  # a decoy may be made when it is first needed
        seen: dict[str, Any] = {"work": {}, "kept_before": stored(open_)}
        for name, user, given in (
            ("right", open_, password),
            ("wrong", open_, guess),
            ("unknown", lab.word(), guess),
            ("closed", closed, password),
            ("closed_wrong", closed, guess),
        ):
            seen[name], seen["work"][name] = watched(user, given)
        seen["other_case"] = log_in(open_.upper(), password)
        seen["kept_after"] = stored(open_)
        seen["old_before"] = stored(old)
        seen["old_wrong"] = log_in(old, guess)
        seen["old_after_wrong"] = stored(old)
        seen["old_right"] = log_in(old, password)
        seen["old_after_right"] = stored(old)
        seen["renewed"] = _fits(password, seen["old_after_right"])
        seen["costs"] = {"today": _cost(current.hash(guess)), "old": _cost(seen["old_after_right"])}
        return seen

    @requirement(1, shows="right")
    def lets_in(self, seen: Seen) -> None:
        """The right password is answered with 200 and the `id`, however the name is spelled."""
        for name, spelled in (("right", "as registered"), ("other_case", "in capitals")):
            step = seen.step(name)
            expect(
                step.status == 200,
                saw=f"{step.heard}, for the right password and the name {spelled}.",
                wanted="That should be a 200.",
            )
            body = step.body if isinstance(step.body, dict) else {}
            expect(
                isinstance(body.get("id"), int) and "argon2" not in json.dumps(body),
                saw=f"The body was `{_shortened(step.body)}`.",
                wanted="It should hold the user's `id`, and no hash.",
            )

    @requirement(1, shows="wrong")
    def keeps_out(self, seen: Seen) -> None:
        """A wrong password, an unknown name and a closed account are answered with 401."""
        for name, what in _TURNED_AWAY:
            step = seen.step(name)
            expect(
                step.status == 401,
                saw=f"{step.heard}, for {what}.",
                wanted="That should be a 401.",
            )

    @requirement(2, shows="unknown")
    def in_the_same_words(self, seen: Seen) -> None:
        """They hear the same, to the letter."""
        wrong = _answer(seen.step("wrong"))
        for name, what in _TURNED_AWAY[1:]:
            answer = _answer(seen.step(name))
            expect(
                answer == wrong,
                saw=f"A wrong password was answered with {wrong[0]} and `{_shortened(wrong[1])}`, "
                f"and {what} with {answer[0]} and `{_shortened(answer[1])}`.",
                wanted="The two should be the same, headers and all.",
                why="Who can tell them apart knows where guessing is worth while.",
            )

    @requirement(2, shows="unknown")
    def with_the_same_work(self, seen: Seen) -> None:
        """They cost the same: as many verifications, at the same cost."""
        work = seen["work"]
        expect(
            bool(work["wrong"]),
            saw="For a wrong password nobody verified anything.",
            wanted="`passwords` should verify it.",
        )
        for name, what in _TURNED_AWAY[1:]:
            expect(
                work[name] == work["wrong"],
                saw=f"A wrong password took {_work_in_words(work['wrong'])}, and {what} "
                f"{_work_in_words(work[name])}.",
                wanted="It should be the same for both.",
                why="Hashing is slow on purpose, so a clock can tell whether it was done.",
            )

    @requirement(1, shows="old_right")
    def renews(self, seen: Seen) -> None:
        """A hash of an old cost is replaced when its owner logs in, and only then."""
        expect(
            seen["old_after_wrong"] == seen["old_before"]
            and seen["kept_after"] == seen["kept_before"],
            saw="A hash was replaced although the password was wrong, or its cost today's.",
            wanted="It should stay as it was.",
        )
        costs = seen["costs"]
        expect(
            seen["renewed"] and costs["old"] == costs["today"],
            saw="The owner of a hash of an old cost logged in, and it is now "
            f"`{_shortened(seen['old_after_right'])}`.",
            wanted=f"It should be a hash of their password at the cost `{costs['today']}`.",
        )

    @mistake(shows="wrong")
    def everybody_gets_in(self, seen: Seen) -> bool:
        """A **wrong** password was let in. What `verify_and_update` gives is a pair, and a pair is
        true whatever is in it: take it apart, and look at its first half."""
        return seen.step("wrong").status == 200

    @mistake(shows="closed")
    def closed_gets_in(self, seen: Seen) -> bool:
        """A closed account was let in. Look at `user.is_active` as well, after verifying."""
        return seen.step("closed").status == 200

    @mistake(shows="unknown", marks=("error",))
    def no_hash_at_all(self, seen: Seen) -> bool:
        """An unknown name is a 500: what was verified against is no hash ("This hash can't be
        identified"). The decoy must be a real one: `passwords.hash(secrets.token_urlsafe())`."""
        return "Unknown" in (seen.step("unknown").error or "")

    @mistake(shows="unknown", marks=("error",))
    def nobody_at_home(self, seen: Seen) -> bool:
        """An unknown name is a 500: there is no user, and your code went on with `None`. Choose
        what to verify against, `user.hashed_password if user else NOBODYS_HASH`."""
        return seen.step("unknown").error in ("AttributeError", "TypeError")

    @mistake(shows="unknown")
    def told_by_its_words(self, seen: Seen) -> bool:
        """An unknown name and a wrong password are answered differently. That is a list of your
        users, for whoever asks often enough. Take one status and one sentence for both."""
        return _answer(seen.step("unknown")) != _answer(seen.step("wrong"))

    @mistake(shows="closed")
    def told_that_it_is_closed(self, seen: Seen) -> bool:
        """A closed account is answered differently from a wrong password, so anybody can find out
        which accounts are closed. Give it the same 401, in the same words."""
        wrong = _answer(seen.step("wrong"))
        return any(_answer(seen.step(name)) != wrong for name in ("closed", "closed_wrong"))

    @mistake(shows="unknown")
    def no_work_for_strangers(self, seen: Seen) -> bool:
        """The words are the same, and for an unknown name nobody verifies: the answer comes a
        hundred milliseconds sooner, and that tells. (`or` stops at its first half, too.) Verify
        against a decoy hash, and decide afterwards. A `sleep` is no substitute."""
        work = seen["work"]
        return bool(work["wrong"]) and not work["unknown"]

    @mistake(shows="closed")
    def no_work_for_the_closed(self, seen: Seen) -> bool:
        """A closed account is turned away before anything is verified, so it is turned away sooner.
        Verify first, then look at `is_active`."""
        work = seen["work"]
        return bool(work["wrong"]) and not (work["closed"] and work["closed_wrong"])

    @mistake(shows="unknown")
    def a_cheaper_decoy(self, seen: Seen) -> bool:
        """For an unknown name there is as much to verify, but at another cost, and another cost is
        another time. Make the decoy with the hasher that makes the users' hashes, `passwords`."""
        work = seen["work"]
        return len(work["unknown"]) == len(work["wrong"]) and work["unknown"] != work["wrong"]

    @mistake(shows="unknown")
    def twice_the_work(self, seen: Seen) -> bool:
        """For an unknown name more is hashed than for a known one: now it is the slow answer that
        tells. Make the decoy once, above the endpoint."""
        work = seen["work"]
        return len(work["unknown"]) > len(work["wrong"])

    @mistake(shows="other_case")
    def as_it_was_typed(self, seen: Seen) -> bool:
        """The right password was refused because the name was typed in capitals. At this door, too,
        the canonical form is looked for: `User.username == canonical(sent.username)`."""
        return seen.step("right").status == 200 and seen.step("other_case").status == 401

    @mistake(shows="right", marks=("error",))
    def wiped(self, seen: Seen) -> bool:
        """At a login with the right password, `None` was put in place of the user's hash; only NOT
        NULL has saved it. The second half of `verify_and_update` is None where nothing has to
        change. Assign it only `if newer is not None`."""
        return "NOT NULL" in seen.step("right").error_message

    @mistake(shows="old_right")
    def never_renewed(self, seen: Seen) -> bool:
        """The owner of a hash of an old cost logged in, and it is as old as before. Let
        `verify_and_update` make the new one, put it into `user.hashed_password`, and see that it
        is committed."""
        right = seen.step("old_right").status == 200
        return right and bool(seen["old_after_right"] == seen["old_before"])


class CannotLeak(Exercise):
    """Whatever an endpoint does with an account, its hash does not get out; and `find_hash` still
    finds it."""

    id = "12.cannot_leak"
    title = "A response that cannot leak"
    needs = {"Account": Model, "add_account": Callable, "find_hash": Callable}
    hints = (
        "FastAPI sends what the object holds. Either it does not hold the hash, or what it holds "
        "does not say it.",
        "A `TypeDecorator` that turns the stored text into a `SecretStr` when it comes out, and "
        "back when it goes in; or a table of its own for hashes, with no relationship to it.",
        "process_bind_param returns `value.get_secret_value()`, process_result_value returns "
        "`SecretStr(value)`; then hashed_password: Mapped[SecretStr] = mapped_column(Hidden), "
        "SecretStr(hashed) in add_account and get_secret_value() in find_hash.",
    )

    def observe(self, lab: Lab) -> dict[str, Any]:
        account, add, find = lab["Account"], lab["add_account"], lab["find_hash"]
        metadata = account.__table__.metadata
        own = create_engine(
            "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
        )
        name, fresh, hashed = lab.word(), lab.word(), f"$argon2id${lab.word(20)}"

        def opened() -> Iterator[Session]:
            with Session(own) as session, session.begin():
                yield session

        def read(session: Session) -> Any:
            return session.scalars(select(account).where(account.username == name)).one()

        def refreshed(session: Session) -> Any:
            found = read(session)
            session.refresh(found)
            return found

        def in_a_session(work: Callable[[Session], Any]) -> Callable[[], Any]:
            def act() -> Any:
                with Session(own) as session, session.begin():
                    return work(session)

            return act

        made = lab.call("create_all()", metadata.create_all, own)
        keep = in_a_session(lambda session: getattr(add(session, name, hashed), "id", None))
        kept = lab.call("add_account(...)", keep)
        probe = _probe(
            opened,
            {
                "fresh": lambda session: add(session, fresh, hashed),
                "read": read,
                "refreshed": refreshed,
                "listed": lambda session: {"accounts": [read(session)]},
                "schema": lambda session: _everything(account, read(session)),
            },
        )
        seen: dict[str, Any] = {"name": name, "fresh_name": fresh, "hash": hashed}
        seen |= {"made": made, "kept": kept, "leaks": []}
        for where in ("fresh", "read", "refreshed", "listed", "schema"):
            seen[where] = lab.request("GET", f"/{where}", app=probe)
        log = in_a_session(lambda session: _logged(read(session)))
        seen["logged"] = lab.call("print(account)", log)
        for where in (*_SENT, "schema", "logged"):
            if hashed in json.dumps(seen[where]["body"]):
                seen["leaks"].append(where)
        for where, asked, whose in (
            ("found", name, "..."),
            ("found_fresh", fresh, "..."),
            ("nobody", lab.word(), "a name that nobody has"),
        ):
            look = in_a_session(partial(_ask, find, asked))
            seen[where] = lab.call(f"find_hash(session, {whose})", look)
        own.dispose()
        return seen

    @requirement(1, shows="kept")
    def keeps_the_hash(self, seen: Seen) -> None:
        """`add_account` keeps account and hash; `find_hash` gives the hash, or None."""
        for name in ("made", "kept", "found", "found_fresh", "nobody"):
            step = seen.step(name)
            expect(
                step.error is None,
                saw=f"`{step.asked}` ended in {_ending(step)}",
                wanted="Mend that first: without it, nothing else can be shown.",
            )
        expect(
            isinstance(seen.step("kept").body, int),
            saw=f"The account that `add_account` returned had `{seen.step('kept').body}` for "
            "its id.",
            wanted="It should have been flushed, and so be numbered.",
        )
        for name in ("found", "found_fresh"):
            expect(
                seen.step(name).body == seen["hash"],
                saw=f"`{seen['hash']}` was kept, and `find_hash` gave "
                f"`{_shortened(seen.step(name).body)}`.",
                wanted="It should give the same string.",
                why="Without it nobody can log in.",
            )
        expect(
            seen.step("nobody").body is None,
            saw=f"`find_hash` gave `{seen.step('nobody').body}` for a name that nobody has.",
            wanted="It should give None.",
        )

    @requirement(1, shows="read")
    def still_shows_the_rest(self, seen: Seen) -> None:
        """An account that an endpoint returns shows its `id` and `username`."""
        for where, name in (("read", seen["name"]), ("fresh", seen["fresh_name"])):
            step = seen.step(where)
            body = step.body if isinstance(step.body, dict) else {}
            expect(
                step.status == 200 and isinstance(body.get("id"), int),
                saw=f"An endpoint returned an account {_SENT[where]}, and answered {step.status} "
                f"with `{_shortened(step.body)}`.",
                wanted="It should answer 200 with the `id` and the `username`.",
            )
            expect(
                body.get("username") == name,
                saw=f"The body was `{_shortened(step.body)}`.",
                wanted=f"Its `username` should be `{name}`.",
            )

    @requirement(3, shows="fresh")
    def never_sends_it(self, seen: Seen) -> None:
        """No endpoint that returns an account sends its hash."""
        for where, what in _SENT.items():
            step = seen.step(where)
            expect(
                step.status == 200,
                saw=f"An endpoint returned an account {what}, and answered {step.status} "
                f"({step.error}: {step.error_message}).",
                wanted="Only an account that can be returned shows what it keeps to itself.",
            )
            expect(
                where not in seen["leaks"],
                saw=f"An endpoint returned an account {what}, and the hash was in the answer: "
                f"`{_shortened(step.body, 200)}`.",
                wanted="It should not be.",
                why="With the hash at home, a thief guesses without being counted.",
            )

    @requirement(1, shows="schema")
    def not_even_by_name(self, seen: Seen) -> None:
        """Nor does a schema that asks for every column."""
        expect(
            seen.step("read").status == 200,
            saw="No account could be read, so no schema could ask it for anything.",
            wanted="An account should be read, and keep its hash to itself.",
        )
        expect(
            "schema" not in seen["leaks"],
            saw="A schema had a field for each column of `Account`, as a careless `AccountOut` "
            f"may, and sent `{_shortened(seen.step('schema').body, 200)}`.",
            wanted="The hash should not be in it.",
        )

    @requirement(1, shows="logged")
    def nor_logs_it(self, seen: Seen) -> None:
        """Nor is it in a log line that shows the account, or all that it holds."""
        logged = seen.step("logged")
        expect(
            logged.error is None,
            saw=f"Reading an account and printing it ended in {_ending(logged)}",
            wanted="It should print, without its hash.",
        )
        expect(
            "logged" not in seen["leaks"],
            saw="An account was logged, and so was its hash: "
            f"`{_around(seen['hash'], str(seen.step('logged').body))}`.",
            wanted="It should not be in there.",
        )

    @mistake(shows="kept", marks=("error",))
    def given_as_plain_text(self, seen: Seen) -> bool:
        """The column's values hide themselves now, and `add_account` gives it a plain string. Wrap
        it on the way in: `SecretStr(hashed)`."""
        return "get_secret_value" in seen.step("kept").error_message

    @mistake(shows="kept", marks=("error",))
    def never_unwrapped(self, seen: Seen) -> bool:
        """The database's driver was given the SecretStr itself, and it takes plain strings only. To
        make one on the way in is the work of `process_bind_param`: return
        `value.get_secret_value()` there, and give the column that type."""
        message = seen.step("kept").error_message
        return "SecretStr" in message and "get_secret_value" not in message

    @mistake(shows="nobody", marks=("error",))
    def nobody_has_no_secret(self, seen: Seen) -> bool:
        """For a name that nobody has, the SELECT gives None, which has no `get_secret_value()`.
        Return None then."""
        found, nobody = seen.step("found"), seen.step("nobody")
        return found.body == seen["hash"] and "NoneType" in nobody.error_message

    @mistake(shows="found")
    def stars_for_a_hash(self, seen: Seen) -> bool:
        """The hash has become stars, and nobody will ever log in with those: a `SecretStr` was
        turned into text with `str()`. Text is to be had by asking for it by name,
        `get_secret_value()`."""
        body = seen.step("found").body
        return isinstance(body, str) and "**" in body

    @mistake(shows="found")
    def still_wrapped(self, seen: Seen) -> bool:
        """`find_hash` gives the hash as it came out of the column, still hidden, and no hasher can
        verify against that. It is the one door: `get_secret_value()` belongs there."""
        body = seen.step("found").body
        return isinstance(body, dict) and "Secret" in str(body.get("type"))

    @mistake(shows="fresh")
    def only_what_is_read(self, seen: Seen) -> bool:
        """An account that was read is discreet, and one that was **just added** tells its hash: it
        still holds what it was made with. That is what `deferred` leaves open. Let the value hide
        itself, or keep it in another table."""
        return "fresh" in seen["leaks"] and "read" not in seen["leaks"]

    @mistake(shows="refreshed")
    def not_after_a_refresh(self, seen: Seen) -> bool:
        """The hash was taken off the object, and came back when the session loaded it again. What
        is a column of `Account` will be loaded one day; let its value hide itself, or keep it in
        another table."""
        leaks = set(seen["leaks"])
        return bool(leaks) and leaks <= {"refreshed", "schema"} and "refreshed" in leaks

    @mistake(shows="schema")
    def for_whoever_asks(self, seen: Seen) -> bool:
        """No endpoint sends the hash by itself, but a schema that names it gets it: the attribute
        is there and gives plain text. Let the value hide itself, or give `Account` no such
        attribute."""
        return bool(seen["leaks"] == ["schema"])

    @mistake(shows="logged")
    def quiet_on_paper_only(self, seen: Seen) -> bool:
        """Answers are discreet, and the log is not: the object itself still holds the hash, as
        plain text. Let the value hide itself, or keep it in another table."""
        return "logged" in seen["leaks"] and not set(seen["leaks"]) & set(_SENT)

    @mistake(shows="read")
    def under_another_name(self, seen: Seen) -> bool:
        """The hash goes out: look at the answer on this card. FastAPI sends all that an object
        holds, related objects as well, whatever the attribute is called and whatever `__repr__`
        says. Let the *value* hide itself (a `TypeDecorator` with `SecretStr`), or keep it in
        another table, to which `Account` has no relationship."""
        return "read" in seen["leaks"]


_TURNED_AWAY = (
    ("wrong", "a wrong password"),
    ("unknown", "an unknown name"),
    ("closed", "a closed account with its right password"),
    ("closed_wrong", "a closed account with a wrong password"),
)

_SENT = {
    "fresh": "that it had just added",
    "read": "that it had read",
    "refreshed": "that it had read and refreshed",
    "listed": "in a list, in a dictionary",
}


# -- hashes ------------------------------------------------------------------------------------
def _fits(password: str, hashed: Any) -> bool:
    """Whether this is an argon2 hash of the password."""
    if not isinstance(hashed, str):
        return False
    try:
        return _YEARS_AGO.verify(password, hashed)
    except PwdlibError:
        return False


def _cost(hashed: Any) -> str:
    """`m=1024,t=1,p=1`; empty where it is no hash."""
    found = re.search(r"\$(m=\d+,t=\d+,p=\d+)\$", str(hashed))
    return found[1] if found else ""


def _work(call: dict[str, Any]) -> str:
    """The cost of hashing or verifying once: both compute one hash."""
    if call["method"] == "hash":
        return _cost(call["value"])
    return _cost(call["args"][0] if call["args"] else "")


def _hash_is_new(seen: Seen, name: str, stored: str) -> bool:
    now = seen[f"{name}_hash"]
    return now is not None and bool(now != seen[stored])


# -- names, users and letters ------------------------------------------------------------------
def _canonical(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def _kept(lab: Lab, asked: tuple[str, str, Any]) -> dict[str, Any]:
    """What the database has of whoever sent this: users, and letters to them."""
    sent = asked[2]
    users = lab.rows(
        "SELECT id, username, display_name, hashed_password FROM user WHERE email = :email",
        email=sent["email"],
    )
    for user in users:
        user["fits"] = _fits(sent["password"], user["hashed_password"])
        user["is_password"] = sent["password"] in str(user["hashed_password"])
    letters = lab.rows("SELECT id FROM letter WHERE recipient = :email", email=sent["email"])
    return {"users": users, "letters": letters}


def _mailed(seen: Seen, *turned_away: str) -> bool:
    """Whether one of these had a letter that was not written down first."""
    return any(
        name in seen["stray"] and not seen[f"after_{name}"]["letters"] for name in turned_away
    )


# -- an app that is careless with accounts -----------------------------------------------------
def _probe(
    opened: Callable[[], Iterator[Session]], returned: dict[str, Callable[[Session], Any]]
) -> FastAPI:
    """An endpoint for each of these, which returns what it is given as it is."""
    probe = FastAPI()
    given: Any = Depends(opened, scope="function")

    def endpoint(work: Callable[[Session], Any]) -> Callable[..., Any]:
        def answer(session: Any = given) -> Any:
            return work(session)

        return answer

    for path, work in returned.items():
        probe.get(f"/{path}", response_model=None)(endpoint(work))
    return probe


def _ask(find: Callable[[Session, str], Any], name: str, session: Session) -> Any:
    return find(session, name)


def _everything(account: Any, found: Any) -> Any:
    """An account through a schema that has a field for each of its columns."""
    names = inspect_mapped(account).column_attrs.keys()
    fields: dict[str, Any] = dict.fromkeys(names, (Any, ...))
    schema: type[BaseModel] = create_model(
        "Everything", __config__=ConfigDict(from_attributes=True), **fields
    )
    return schema.model_validate(found).model_dump(mode="json")


def _logged(found: Any) -> str:
    return f"{found!r} {found} {vars(found)}"


# -- how it is put -----------------------------------------------------------------------------
def _answer(step: Step) -> tuple[int, Any, dict[str, str]]:
    return step.status, step.body, dict(step.headers)


def _work_in_words(work: list[str]) -> str:
    if not work:
        return "no verification"
    return f"{counted(len(work), 'verification')} (`{'`, `'.join(work)}`)"


def _ending(step: Step) -> str:
    return f"{step.error}: {step.error_message.rstrip('.')}."


def _around(found: str, text: str, margin: int = 30) -> str:
    """The piece of the text that shows it."""
    at = text.find(found)
    begin, end = max(at - margin, 0), at + len(found) + 2
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"


def _left(kept: dict[str, Any]) -> str:
    return "a user" if kept["users"] else "a letter"


def _shortened(value: Any, longest: int = 60) -> str:
    text = str(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


EXERCISES = (HashAndVerify, Registration, LoginThatDoesNotTell, CannotLeak)
