"""Passwords and second factors below the pages: the rules of ASVS 5 and NIST SP 800-63B, RFC 4226 and RFC 6238."""

from __future__ import annotations

import base64
from hashlib import sha1

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from hypothesis import given
from hypothesis import strategies as st

from auctor.web.accounts.breached import is_breached
from auctor.web.accounts.passwords import PasswordRefused, checked, common_passwords, hashed, matches
from auctor.web.accounts.pending import Pending
from auctor.web.accounts.second_factor import accepted_step, new_recovery_codes, new_totp_key, qr_svg, totp_uri


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "elevensigns",
        "Password2026!",
        "P@ssw0rd2026!!",
        "passwordpassword",
        "qwertyuiopas",
        "1234567890123",
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "zyxwvutsrqpo",
        "1qaz2wsx3edc",
        "justinbieber",
        "auctor-auctor-auctor",
        "adalovelace1",
        "LetMeIn12345!",
        "x" * 1001,
    ],
)
def test_what_is_guessed_first_is_refused_and_never_repeated(password: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        checked(password, about=("adalovelace",))
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "tr0ub4dor&3 et mon chien",
        "пароль для больницы",
        "        . ,       ;  :x",
        "v9$K!2mQz@7L",
        "several words that nobody would put together " * 20,
    ],
)
def test_anything_else_is_taken_as_it_comes(password: str) -> None:
    assert checked(password) == password


def test_the_list_holds_three_thousand_common_ones() -> None:
    assert len(common_passwords()) >= 3000


@given(st.sets(st.text(max_size=12), max_size=40), st.text(max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_a_password_is_found_in_a_file_of_breaches_if_and_only_if_it_is_there(
    tmp_path_factory: pytest.TempPathFactory, known: set[str], other: str, end: str
) -> None:
    known |= {"correct horse battery staple"}
    file = tmp_path_factory.getbasetemp() / "breached.txt"
    digests = sorted(sha1(password.encode()).hexdigest().upper() for password in known)
    file.write_bytes("".join(f"{digest}:{k}{end}" for k, digest in enumerate(digests)).encode())
    assert all(is_breached(password, file) for password in known)
    assert is_breached(other, file) == (other in known)
    with pytest.raises(PasswordRefused, match="breach of another site"):
        checked("correct horse battery staple", breached=str(file))
    assert checked("incorrect horse battery staple", breached=str(file))


def test_the_hash_is_argon2id_with_the_parameters_that_owasp_gives() -> None:
    found = extract_parameters(hashed("correct horse battery staple"))
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (47_104, 1, 1)
    assert found.salt_len >= 16


def test_case_blanks_and_every_sign_count() -> None:
    kept = hashed("Correct horse battery ")
    assert matches("Correct horse battery ", kept)
    assert not any(matches(other, kept) for other in ("correct horse battery ", "Correct horse battery", "Correct horse battery  "))
    assert not matches("anything at all", None)
    assert not matches("anything at all", "not a hash")


# RFC 6238, appendix B, SHA-1: the last six of the eight digits printed there
RFC_6238 = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"}


@pytest.mark.parametrize(("now", "code"), RFC_6238.items())
def test_codes_are_those_of_the_rfc(now: int, code: str) -> None:
    key = base64.b32encode(b"12345678901234567890").decode()
    step = now // 30
    assert accepted_step(key, code, after=step - 1, now=now) == step
    assert accepted_step(key, code, after=step, now=now) is None  # each once
    assert accepted_step(key, code, after=0, now=now + 30) == step  # a clock half a minute off
    assert accepted_step(key, code, after=0, now=now + 90) is None


@given(st.text(max_size=12))
def test_no_other_text_is_a_code(text: str) -> None:
    key = base64.b32encode(b"12345678901234567890").decode()
    assert "".join(text.split()) in {"755224", "287082"} or accepted_step(key, text, after=-1, now=15) is None


def test_keys_and_codes_are_random_and_the_picture_holds_the_address() -> None:
    assert len(new_totp_key()) == 32
    codes = new_recovery_codes() + new_recovery_codes()
    assert len(set(codes)) == 20
    picture = qr_svg(totp_uri("A" * 32, account="ada"))
    assert picture.startswith("<svg") and "style=" not in picture and "script" not in picture


def test_a_note_is_taken_once_and_forgotten_after_five_minutes() -> None:
    clock = [0.0]
    pending = Pending(clock=lambda: clock[0])
    pending.put("second", "browser", account="a1")
    assert pending.look("second", "other") is None
    assert pending.take("second", "browser") == {"account": "a1"}
    assert pending.take("second", "browser") is None
    pending.put("second", "browser", account="a1")
    clock[0] = 301.0
    assert pending.look("second", "browser") is None
