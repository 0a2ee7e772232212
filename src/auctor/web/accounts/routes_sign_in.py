"""The pages of signing in and out, of the first start, and the one script of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from auctor.errors import AuctorError
from auctor.web.accounts.forms import AtReception, Knocking, OwnSession, onward_of, set_session, signed_in
from auctor.web.accounts.oidc import CALLBACK
from auctor.web.accounts.passwords import PasswordRefused
from auctor.web.accounts.setup import SetupRefused
from auctor.web.accounts.sign_in import SignInRefused
from auctor.web.middleware.forgery import csrf_token
from auctor.web.middleware.refusal import status_of
from auctor.web.middleware.visit import cookie, session_cookie
from auctor.web.pages.rendering import page

router = APIRouter(include_in_schema=False)
SCRIPT = Path(__file__).parent / "static" / "passkeys.js"
Text = Annotated[str, Form(max_length=2000)]


class PasskeyAnswer(BaseModel):
    """What the browser's authenticator answered, as JSON text, and where the person was going."""

    answer: str
    onward: str = "/"


@router.get("/static/accounts/passkeys.js")
def passkeys_script() -> Response:
    """The script that talks to passkeys."""
    return Response(SCRIPT.read_bytes(), media_type="text/javascript", headers={"cache-control": "max-age=3600"})


@router.get("/sign-in")
def sign_in_form(request: Request, reception: AtReception, next: str = "/") -> Response:
    """The form; the set-up page while there is no account."""
    return _form(request, reception, onward_of(next))


@router.post("/sign-in")
def sign_in(request: Request, reception: AtReception, browser: Knocking, login: Text, password: Text, onward: Text = "/") -> Response:
    """Password: on to the page asked for, or to the second step."""
    try:
        token = reception.sign_in.password(login, password, browser)
    except AuctorError as error:
        return _form(request, reception, onward_of(onward), error)
    if token is None:
        return _second(request, reception, browser, onward_of(onward))
    return signed_in(request, token, onward)


@router.post("/sign-in/code")
def sign_in_code(request: Request, reception: AtReception, browser: Knocking, code: Text, onward: Text = "/") -> Response:
    """Second step: a code of the authenticator, or a recovery code."""
    try:
        return signed_in(request, reception.sign_in.code(code, browser), onward)
    except AuctorError as error:
        return _second(request, reception, browser, onward_of(onward), error)


@router.post("/sign-in/passkey/options")
def passkey_options(reception: AtReception, browser: Knocking) -> dict[str, Any]:
    """What the browser needs to ask for a passkey."""
    return reception.sign_in.passkey_options(browser)


@router.post("/sign-in/passkey")
def sign_in_passkey(request: Request, reception: AtReception, browser: Knocking, given: PasskeyAnswer) -> Response:
    """The passkey's answer: the session's cookie, and where to go on to."""
    token = reception.sign_in.passkey(given.answer, browser)
    answer = JSONResponse({"onward": onward_of(given.onward)})
    set_session(request, answer, token)
    return answer


@router.post("/sign-in/oidc")
def begin_oidc(reception: AtReception, browser: Knocking, onward: Text = "/", again: Text = "") -> Response:
    """On to the hospital's provider; with `again` for a new sign-in there, as before a signature."""
    if reception.provider is None:
        raise SignInRefused("no hospital sign-in is set up")
    return RedirectResponse(reception.provider.begin(browser.visitor, onward=onward_of(onward), again=bool(again)), 303)


@router.get(CALLBACK)
def finish_oidc(request: Request, reception: AtReception, browser: Knocking) -> Response:
    """Back from the provider."""
    if reception.provider is None:
        raise SignInRefused("no hospital sign-in is set up")
    try:
        identity, onward = reception.provider.finish(browser.visitor, dict(request.query_params))
        token = reception.sign_in.identity(reception.identities.account_of(identity), browser)
        if identity.fresh:
            reception.sign_in.confirmed_at_provider(token)
    except AuctorError as error:
        return _form(request, reception, "/", error)
    return signed_in(request, token, onward)


@router.post("/sign-out")
def sign_out(request: Request, reception: AtReception, session: OwnSession) -> Response:
    """End this session and make the browser forget it."""
    reception.sessions.end(session.actor, session.session_id)
    settings = request.app.state.settings
    answer = RedirectResponse("/sign-in", 303, {"clear-site-data": '"cache", "storage"'})
    answer.headers.append("set-cookie", cookie(settings, session_cookie(settings), "", seconds=0))
    return answer


@router.get("/setup")
def setup_form(request: Request, reception: AtReception) -> Response:
    """The form for the first administrator; it asks for the token that `auctor serve` printed."""
    reception.setup.check()
    return _setup(request)


@router.post("/setup")
def setup(request: Request, reception: AtReception, browser: Knocking, *, token: Text, login: Text, name: Text, password: Text) -> Response:
    """Make the first administrator, and sign in."""
    try:
        reception.setup.make(token, login=login, name=name, password=password)
    except (PasswordRefused, SetupRefused) as error:
        return _setup(request, login=login, name=name, error=error)
    opened = reception.sign_in.password(login, password, browser)
    return signed_in(request, str(opened), "/admin/wards")


def _form(request: Request, reception: AtReception, onward: str, error: AuctorError | None = None) -> Response:
    provider = request.app.state.settings.oidc_name if reception.provider else ""
    status = status_of(error, 401) if error else 200
    token = csrf_token(request)
    answer = page(request, "sign_in.html", title="Sign in", status=status, onward=onward, provider=provider, csrf_token=token, error=error)
    return _retry_after(answer, error)


def _second(request: Request, reception: AtReception, browser: Knocking, onward: str, error: AuctorError | None = None) -> Response:
    factors, token = reception.sign_in.waiting(browser), csrf_token(request)
    status = status_of(error, 401) if error else 200
    answer = page(
        request, "second_factor.html", title="Second step", status=status, onward=onward, factors=factors, csrf_token=token, error=error
    )
    return _retry_after(answer, error)


def _retry_after(answer: Response, error: AuctorError | None) -> Response:
    if error is not None and hasattr(error, "seconds"):
        answer.headers["retry-after"] = str(error.seconds)
    return answer


def _setup(request: Request, *, login: str = "", name: str = "", error: AuctorError | None = None) -> Response:
    status = status_of(error) if error else 200
    return page(request, "setup.html", title="The first administrator", status=status, login=login, name=name, error=error)
