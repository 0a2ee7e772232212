"""Second factors: time-based codes (RFC 6238), each accepted once, and recovery codes for the day a phone is lost."""

from __future__ import annotations

import hmac
import secrets
import time
from hashlib import sha256

STEP_S, DIGITS = 30, 6
DRIFT = 1  # steps that a clock may be off
CODES, CODE_SIGNS = 10, 28
SIGNS = "abcdefghijklmnopqrstuvwxyz234567"  # of base32: 5 bits each


def new_totp_key() -> str:
    """160 random bits in base32, as authenticator apps take them."""
    import pyotp

    return pyotp.random_base32(32)


def totp_uri(key: str, *, account: str, issuer: str = "auctor") -> str:
    """The otpauth: address that the QR code holds."""
    import pyotp

    return pyotp.TOTP(key).provisioning_uri(name=account, issuer_name=issuer)


def qr_svg(uri: str) -> str:
    """The address as a QR code: one SVG element without scripts or styles, 4 modules of margin."""
    import segno

    return segno.make(uri, error="m").svg_inline(scale=5, border=4, svgclass="qr", lineclass="", omitsize=False)


def accepted_step(key: str, code: str, *, after: int, now: float | None = None) -> int | None:
    """The time step of a right code, None for a wrong one or one of step `after` or before (a code is good once).

    >>> import pyotp
    >>> step = accepted_step("A" * 32, pyotp.TOTP("A" * 32).at(3000), after=0, now=3000)
    >>> step, accepted_step("A" * 32, pyotp.TOTP("A" * 32).at(3000), after=100, now=3000)
    (100, None)
    """
    import pyotp

    current = int((time.time() if now is None else now) // STEP_S)
    given = "".join(code.split())
    right = [
        s for s in range(max(0, current - DRIFT), current + DRIFT + 1) if hmac.compare_digest(_code(pyotp.HOTP(key), s), given.encode())
    ]
    return right[-1] if right and right[-1] > after else None


def _code(otp: object, step: int) -> bytes:
    return str(otp.at(step)).encode()  # type: ignore[attr-defined]


def new_recovery_codes() -> tuple[str, ...]:
    """Ten codes of 140 random bits, in groups of four."""
    plain = ("".join(secrets.choice(SIGNS) for _ in range(CODE_SIGNS)) for _ in range(CODES))
    return tuple("-".join(text[i : i + 4] for i in range(0, len(text), 4)) for text in plain)


def fingerprint(secret: str) -> str:
    """What is kept of a random secret of 112 bits or more (a session's token, a key, a recovery code): SHA-256, as it needs no stretching.

    >>> fingerprint("ABCD-efgh") == fingerprint("abcdefgh")
    False
    """
    return sha256(secret.encode()).hexdigest()


def recovery_fingerprint(code: str) -> str:
    """The same for a recovery code as a person types it: case, hyphens and blanks do not count."""
    return fingerprint("".join(sign for sign in code.lower() if sign.isalnum()))
