"""WebAuthn: a passkey or security key is registered for an account and answers a challenge at sign-in (py_webauthn checks it)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from auctor.errors import AuctorError
from auctor.web.settings import Settings


class PasskeyRefused(AuctorError):
    """An answer that does not belong to the challenge, the place or the key."""


@dataclass(frozen=True, kw_only=True)
class Passkey:
    """What is kept of an authenticator; identifier and key in base64url."""

    credential_id: str
    public_key: str
    sign_count: int
    transports: tuple[str, ...] = ()


def new_challenge() -> str:
    """32 random bytes in base64url; good for one answer."""
    return secrets.token_urlsafe(32)


def creation_options(settings: Settings, *, account_id: str, login: str, name: str, challenge: str, have: Sequence[str]) -> dict[str, Any]:
    """What `navigator.credentials.create` takes as JSON. `have` are the identifiers already registered, which are refused again."""
    from webauthn import base64url_to_bytes, generate_registration_options, options_to_json
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=_place(settings),
        rp_name="auctor",
        user_id=account_id.encode(),
        user_name=login,
        user_display_name=name,
        challenge=base64url_to_bytes(challenge),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in have],
    )
    return dict(json.loads(options_to_json(options)))


def request_options(settings: Settings, *, challenge: str, allowed: Sequence[str] = ()) -> dict[str, Any]:
    """What `navigator.credentials.get` takes as JSON. Without `allowed` the browser offers every passkey it has for this place."""
    from webauthn import base64url_to_bytes, generate_authentication_options, options_to_json
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor, UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=_place(settings),
        challenge=base64url_to_bytes(challenge),
        allow_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(one)) for one in allowed],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return dict(json.loads(options_to_json(options)))


def registered(settings: Settings, answer: str, *, challenge: str) -> Passkey:
    """The passkey of an answer to `creation_options`. Raises `PasskeyRefused`."""
    from webauthn import base64url_to_bytes, verify_registration_response
    from webauthn.helpers import bytes_to_base64url
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        found = verify_registration_response(
            credential=answer,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=_place(settings),
            expected_origin=sorted(settings.origins),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise _refused(error) from None
    transports = json.loads(answer).get("response", {}).get("transports") or ()
    return Passkey(
        credential_id=bytes_to_base64url(found.credential_id),
        public_key=bytes_to_base64url(found.credential_public_key),
        sign_count=found.sign_count,
        transports=tuple(str(one)[:20] for one in transports)[:8],
    )


def credential_of(answer: str) -> str:
    """The identifier of the passkey that an answer claims to be from, empty where it cannot be read."""
    try:
        return str(json.loads(answer)["id"])
    except (ValueError, KeyError, TypeError):
        return ""


def new_sign_count(settings: Settings, answer: str, *, challenge: str, passkey: Passkey) -> int:
    """The authenticator's counter after a right answer to `request_options`. Raises `PasskeyRefused`, also when the counter ran back."""
    from webauthn import base64url_to_bytes, verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        found = verify_authentication_response(
            credential=answer,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=_place(settings),
            expected_origin=sorted(settings.origins),
            credential_public_key=base64url_to_bytes(passkey.public_key),
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise _refused(error) from None
    return found.new_sign_count


def _place(settings: Settings) -> str:
    return str(urlsplit(settings.origin).hostname)


def _refused(error: Exception) -> PasskeyRefused:
    return PasskeyRefused(where="passkey", what=f"was not accepted ({type(error).__name__})", remedy="try again, or sign in another way")
