"""`application(settings)`: the FastAPI application with its middleware, its routers, and refusals as pages or JSON."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from auctor import __version__
from auctor.errors import AuctorError
from auctor.web.middleware.body import BodyLimit
from auctor.web.middleware.headers import SecurityHeaders
from auctor.web.middleware.visit import Doorkeeper, SignInNeeded, Visits
from auctor.web.settings import Settings

# each has `router`, an APIRouter
ROUTERS = tuple(f"auctor.web.{part}.routes" for part in ("operate", "accounts", "pages", "api", "emr"))
SIGN_IN = "/sign-in"


def application(settings: Settings, *, doorkeeper: Doorkeeper) -> FastAPI:
    """The application of one installation. `app.state.settings` holds the settings for the routes."""
    app = FastAPI(title="auctor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.settings = settings
    for name in ROUTERS:
        if _exists(name):
            app.include_router(import_module(name).router)
    app.add_exception_handler(SignInNeeded, _ask_to_sign_in)
    app.add_exception_handler(AuctorError, _refuse)
    # the last added is the outermost
    app.add_middleware(Visits, doorkeeper=doorkeeper, cookie=cookie_name(settings))
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts))
    app.add_middleware(SecurityHeaders, settings=settings)
    return app


def cookie_name(settings: Settings) -> str:
    """The session cookie: with https bound to this host by its prefix, which a sister domain cannot set."""
    return "__Host-auctor" if settings.https else "auctor"


def _exists(module: str) -> bool:
    return find_spec(module.rpartition(".")[0]) is not None and find_spec(module) is not None


def wants_json(request: Request) -> bool:
    """Whether the sender is a program rather than a browser's page."""
    return request.url.path.startswith(("/api/", "/cds-services", "/fhir/")) or "application/json" in request.headers.get("accept", "")


def _ask_to_sign_in(request: Request, error: Exception) -> Response:
    if wants_json(request) or request.state.visit.by_key:
        return JSONResponse({"error": {"kind": "SignInNeeded", "what": "no valid key or session"}}, 401, {"www-authenticate": "Bearer"})
    there = f"{SIGN_IN}?next={quote(request.url.path)}"
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"hx-redirect": SIGN_IN})
    return RedirectResponse(there if request.method == "GET" else SIGN_IN, 303)


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, AuctorError)
    if wants_json(request):
        fields = {"kind": type(error).__name__, "where": error.where, "what": error.what, "remedy": error.remedy}
        return JSONResponse({"error": fields}, 422)
    return PlainTextResponse(str(error), 422)
