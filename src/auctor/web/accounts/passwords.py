"""Passwords: argon2id hashes, and the rules of OWASP ASVS 5 chapter 6.2 (twelve signs, no composition rules, no common one)."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from auctor.errors import AuctorError
from auctor.web.accounts.breached import is_breached

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST, LONGEST = 12, 1000
MEMORY_KIB, PASSES = 47_104, 1  # OWASP's password storage cheat sheet, its first recommendation
ENDS = re.compile(r"^[\W\d_]+|[\W\d_]+$")
RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "1234567890",
    "qwertyuiopasdfghjklzxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qwertzuiopasdfghjklyxcvbnm",
)
SPELLINGS = str.maketrans("01345$@!", "oieassai")


class PasswordRefused(AuctorError):
    """A new password that is too short, too long or easily guessed. Never carries the password."""


def hashed(password: str) -> str:
    """The argon2id hash of a password, with its parameters and salt, as one line."""
    return _hasher().hash(password)


def matches(password: str, kept: str | None) -> bool:
    """Whether the password made this hash. Without one (no such account) the same work is done, so that the answer takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _hasher().verify(kept or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than today's, and is due at the next sign-in."""
    return _hasher().check_needs_rehash(kept)


def checked(password: str, *, about: tuple[str, ...] = (), breached: str = "") -> str:
    """A new password that keeps the rules, as it came. `about` are words of the person or place that must not make it up.

    `breached` names a file of passwords known from breaches (`breached.is_breached`).

    >>> checked("correct horse battery staple")
    'correct horse battery staple'
    >>> checked("Password2026!")
    Traceback (most recent call last):
    auctor.web.accounts.passwords.PasswordRefused: password: is a common password with something before or after it; ...
    """
    if len(password) < SHORTEST:
        raise _refused(f"has fewer than {SHORTEST} signs")
    if len(password) > LONGEST:
        raise _refused(f"has more than {LONGEST} signs")
    if reason := _guessable(password.casefold(), tuple(word.casefold() for word in about)):
        raise _refused(reason)
    if breached and is_breached(password, Path(breached)):
        raise _refused("is known from a breach of another site")
    return password


def _refused(what: str) -> PasswordRefused:
    return PasswordRefused(
        where="password", what=what, remedy="several words that do not belong together make a good one; any sign is welcome"
    )


def _guessable(password: str, about: tuple[str, ...]) -> str:
    """Why it would be among an attacker's first guesses, or nothing."""
    core = ENDS.sub("", password)
    forms = {password, core} | {form.translate(SPELLINGS) for form in (password, core)}
    forms |= {_once(form) for form in forms}
    if len(set(password)) < 5:
        return "repeats a few signs"
    if any(form in common_passwords() for form in forms):
        return "is a common password with something before or after it"
    if any(_is_run(form) for form in forms if len(form) >= 4):
        return "follows the keyboard or the alphabet"
    return "is made of a name that belongs to the account" if _of_names(password, (*about, "auctor")) else ""


def _once(text: str) -> str:
    """`catcat` is `cat`: the shortest part that repeats to the whole."""
    found = re.fullmatch(r"(.+?)\1+", text)
    return found[1] if found else text


def _of_names(password: str, names: tuple[str, ...]) -> bool:
    """Whether fewer than six letters or digits are left once the names are taken out."""
    left = password
    for name in (name for name in names if len(name) > 2):
        left = left.replace(name, "")
    return left != password and sum(sign.isalnum() for sign in left) < 6


def _is_run(text: str) -> bool:
    return any(text in run * 3 or text in run[::-1] * 3 for run in RUNS)


@cache
def common_passwords() -> frozenset[str]:
    """The list beside this file, folded to lower case."""
    text = files("auctor.web.accounts").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.casefold() for line in text.splitlines() if not line.startswith("#"))


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)


@cache
def _nobodys() -> str:
    """A hash that no password is meant to match."""
    import secrets

    return hashed(secrets.token_hex())
