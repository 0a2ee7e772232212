"""`application(settings)`: the FastAPI application with its middleware, its routers, and refusals as pages or JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from auctor import __version__
from auctor.errors import AuctorError
from auctor.web.accounts.reception import Reception
from auctor.web.api.problems import Malformed, is_api, problem
from auctor.web.middleware.body import BodyLimit
from auctor.web.middleware.forgery import ForgeryGuard
from auctor.web.middleware.headers import SecurityHeaders
from auctor.web.middleware.refusal import status_of
from auctor.web.middleware.visit import DutyFirst, SignInNeeded, Visits
from auctor.web.operate.following import Following
from auctor.web.operate.logs import event
from auctor.web.operate.metrics import Metrics
from auctor.web.operate.watch import Watch, account_of, route_of
from auctor.web.pages.visits import clinic_at
from auctor.web.settings import Settings
from auctor.web.store import Store

# each has `router`, an APIRouter
ROUTERS = tuple(f"auctor.web.{part}.routes" for part in ("operate", "accounts", "pages", "api", "emr"))
SIGN_IN = "/sign-in"
EVENTS = {401, 403, 404, 429}


class Refused(AuctorError):
    """What the web server itself refuses: an unknown address, a wrong method, a form that cannot be read."""


def application(settings: Settings, *, store: Store | None = None) -> FastAPI:
    """The application of one installation, over its store (opened, and brought up to date, unless one is given).

    Routes find `app.state.settings`, `.store`, `.reception` (accounts), `.metrics`, `.records` (the hospital's FHIR servers) and
    `.interface` (HL7 v2; None where it is not set up). RecordError and CaseError for a file of partners or of a site that cannot be used.
    """
    opened = store or open_store(settings)
    app = FastAPI(title="auctor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan)
    app.state.settings, app.state.store = settings, opened
    app.state.reception, app.state.metrics = Reception.over(opened, settings), Metrics()
    _join(app, settings)
    for name in ROUTERS:
        app.include_router(import_module(name).router)
    _handle(app)
    _wrap(app, settings)
    return app


def _join(app: FastAPI, settings: Settings) -> None:
    """The hospital's systems: its FHIR servers and their hook, SMART and CDS Hooks where partners are named, HL7 v2 where a site is."""
    from auctor.web.emr.fhir_hook import hook_router
    from auctor.web.emr.records import Records

    state = app.state
    state.open_clinic = lambda: _clinic(app)
    state.records = Records(settings=settings, clinic=state.open_clinic)
    state.interface = None
    if settings.partners_file:
        from auctor.web.emr.routes import partners_router

        if state.records.partners.fhir:
            app.include_router(hook_router(state.records.hook_key, state.records.ring))
        app.include_router(partners_router)
    if settings.hl7_site_file:
        from auctor.web.emr.interface import Interface

        state.interface = Interface.of(settings, state.open_clinic)


def _clinic(app: FastAPI) -> Any:
    """The clinic over the application's store, made on first use."""
    from auctor.web.service.clinic import Clinic
    from auctor.web.service.engine import Engine
    from auctor.web.service.workers import Workers

    if not hasattr(app.state, "clinic"):
        engine = Engine(workers=Workers(processes=app.state.settings.engine_processes))
        app.state.clinic = Clinic(store=app.state.store, engine=engine, destination=app.state.records.destination)
    return app.state.clinic


def open_store(settings: Settings) -> Store:
    """The installation's store; its audit checkpoints lie in the data folder. Raises StoreError, StoreUnavailable."""
    return Store.open(settings.database, secret=settings.key("store"), checkpoints=settings.data_folder / "auctor.checkpoints")


def _wrap(app: FastAPI, settings: Settings) -> None:
    """The middleware; the last added is the outermost."""
    app.add_middleware(ForgeryGuard, settings=settings, exempt=_signed)
    app.add_middleware(Visits, doorkeeper=app.state.reception, settings=settings, refuse=_refuse)
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False)
    app.add_middleware(Watch, metrics=app.state.metrics)
    app.add_middleware(SecurityHeaders, settings=settings)


def _signed(path: str) -> bool:
    """Routes that no cookie opens: each call carries a token of its own, signed by the hospital's system."""
    return path.startswith(("/cds-services/", "/emr/fhir/hook/"))


def _handle(app: FastAPI) -> None:
    app.add_exception_handler(SignInNeeded, _ask_to_sign_in)
    app.add_exception_handler(DutyFirst, _duty_first)
    app.add_exception_handler(AuctorError, _refuse)
    app.add_exception_handler(HTTPException, _not_here)
    app.add_exception_handler(RequestValidationError, _unreadable)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Between start and stop. A stop comes after the running requests ended: the engine's workers end too, and the store is let go.

    Every committed change has written its audit checkpoint already.
    """
    event("start", version=__version__)
    state = app.state
    following = Following(clinic_at(app), minutes=state.settings.silent_minutes)
    if state.records.partners.fhir:
        state.records.start()
    if state.interface is not None:
        event("hl7.listen", port=await state.interface.start())
    yield
    if state.interface is not None:
        await state.interface.stop()
    await run_in_threadpool(following.stop)
    await run_in_threadpool(state.records.stop)
    if hasattr(app.state, "clinic"):
        await run_in_threadpool(app.state.clinic.engine.stop)
    app.state.store.close()
    event("stop")


def wants_json(request: Request) -> bool:
    """Whether the sender is a program rather than a browser's page."""
    programs = request.url.path.startswith(("/api/", "/cds-services", "/emr/", "/health/")) or request.state.visit.by_key
    return programs or "application/json" in request.headers.get("accept", "")


def _ask_to_sign_in(request: Request, error: Exception) -> Response:
    if is_api(request.url.path):
        needed = Refused(where="request", what="no valid key or session", remedy="send an API key as bearer token")
        return problem(needed, 401, {"www-authenticate": "Bearer"})
    if wants_json(request):
        fields = {
            "kind": "SignInNeeded",
            "where": "request",
            "what": "no valid key or session",
            "remedy": "send an API key as bearer token",
        }
        return JSONResponse({"error": fields}, 401, {"www-authenticate": "Bearer"})
    shown = urlsplit(request.headers.get("hx-current-url", "")).path  # a fragment is no page to go back to
    here = shown or request.url.path if request.method == "GET" else "/account" if getattr(error, "again", False) else "/"
    there = f"{SIGN_IN}?next={quote(here)}"
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"hx-redirect": there})
    return RedirectResponse(there, 303)


def _duty_first(request: Request, error: Exception) -> Response:
    if request.headers.get("hx-request"):
        return Response(status_code=403, headers={"hx-redirect": "/account"})
    return RedirectResponse("/account", 303)


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, AuctorError)
    status = status_of(error)
    if status in EVENTS:
        event("refused", kind=type(error).__name__, status=status, route=route_of(request.scope), account=account_of(request.scope))
    headers = {"retry-after": str(error.seconds)} if hasattr(error, "seconds") else {}
    if is_api(request.url.path):
        return problem(error, status, headers)
    if wants_json(request):
        fields = {"kind": type(error).__name__, "where": error.where, "what": error.what, "remedy": error.remedy}
        return JSONResponse({"error": fields}, status, headers)
    from auctor.web.pages.rendering import refused

    answer = refused(request, error, status=status, back="/", part="hx-request" in request.headers)
    answer.headers.update(headers)
    return answer


def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refused = _as_refusal(error.status_code)
    answer = problem(refused, error.status_code) if is_api(request.url.path) else _refuse(request, refused)
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    if error.status_code == 405 and is_api(request.url.path):
        from auctor.web.api.routes import allowed

        answer.headers["allow"] = allowed(request.url.path)
    return answer


def _as_refusal(status: int) -> Refused:
    what = {404: "there is no such page", 405: "this is not done here in this way"}.get(status, "the request cannot be answered")
    return Refused(where="address", what=what, remedy="go back to the start page")


def _unreadable(request: Request, error: Exception) -> Response:
    """A form or document of the wrong shape: names of fields and what is wrong with them, never what was in them."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "request"
    if is_api(request.url.path):
        what, remedy = first["type"].replace("_", " "), "send what /api/v1/openapi.json describes"
        return problem(Malformed(where=where[:80], what=what, remedy=remedy), 400)
    return _refuse(request, Refused(where=where[:80], what=first["type"].replace("_", " "), remedy="check the field"))
