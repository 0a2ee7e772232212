"""Every HTML route of the application, from the files beside this one, with the static files and the reader's language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from auctor.web.accounts.permissions import Verb, allowed
from auctor.web.middleware.visit import CurrentActor, cookie, language_cookie
from auctor.web.pages import routes_courses, routes_facts, routes_patients, routes_questions, routes_results, routes_silent
from auctor.web.pages.language import LANGUAGES
from auctor.web.pages.rendering import page

STATIC = Path(__file__).parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".txt": "text/plain"}
A_YEAR = 365 * 24 * 3600

router = APIRouter(include_in_schema=False)


@router.get("/")
def start(request: Request) -> Response:
    """The start page is the work list; for who reads no patients the administration, else one's own account."""
    actor = request.state.visit.actor
    if actor is None or allowed(actor, Verb.READ):
        return RedirectResponse("/work", 303)
    return RedirectResponse("/admin/accounts" if allowed(actor, Verb.MANAGE_ACCOUNTS) else "/account", 303)


@router.get("/help")
def help_page(request: Request, actor: CurrentActor) -> Response:
    """How a case goes, and how things are written."""
    return page(request, "help.html", title="Help", section="help")


@router.post("/language")
def choose_language(request: Request, code: Annotated[str, Form()], next: Annotated[str, Form()] = "/") -> Response:
    """Remember the reader's language in a cookie and go back."""
    there = next if next.startswith("/") and not next.startswith("//") and "\\" not in next else "/"
    answer = RedirectResponse(there, 303)
    if code in LANGUAGES:
        settings = request.app.state.settings
        answer.headers.append("set-cookie", cookie(settings, language_cookie(settings), code, seconds=A_YEAR))
    return answer


@router.get("/static/{path:path}")
def static(path: str) -> Response:
    """A file of ours; nothing outside the folder."""
    file = (STATIC / path).resolve()
    if not file.is_relative_to(STATIC) or not file.is_file() or file.suffix not in TYPES:
        return PlainTextResponse("no such file", 404)
    return Response(file.read_bytes(), media_type=TYPES[file.suffix], headers={"cache-control": "max-age=3600"})


for part in (routes_patients, routes_courses, routes_facts, routes_questions, routes_results, routes_silent):
    router.include_router(part.router)
