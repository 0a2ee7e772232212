"""A page from a template: escaping on, an unknown name is an error, the reader's language, the form token and the patient's guard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from auctor import __version__
from auctor.errors import AuctorError
from auctor.web.middleware.forgery import FIELD, csrf_token
from auctor.web.middleware.visit import language_cookie
from auctor.web.pages.engine_words import engine
from auctor.web.pages.language import LANGUAGES, Language, language, preferred
from auctor.web.pages.words import field_name, notice_words

FOLDERS = (Path(__file__).parent / "templates", Path(__file__).parents[1] / "accounts" / "templates")


class Blank(dict[str, Any]):
    """The values of a form; a field that was not sent is empty."""

    def __missing__(self, key: str) -> str:
        return ""

    def __getattr__(self, key: str) -> Any:
        return self[key]


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The one template environment: autoescape and StrictUndefined."""
    return Environment(loader=FileSystemLoader(FOLDERS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def language_of(request: Request) -> Language:
    """What the reader chose (cookie), else what the browser asks for, else the installation's."""
    settings = request.app.state.settings
    return language(preferred(request.cookies.get(language_cookie(settings)), request.headers.get("accept-language"), settings.language))


def words(tongue: Language) -> dict[str, Any]:
    """What every template has, whoever reads it."""
    return {
        "say": tongue.say,
        "lang": tongue.code,
        "languages": LANGUAGES,
        "version": __version__,
        "field_name": lambda where: field_name(str(where), tongue),
        "notice": lambda found: notice_words(found, tongue),
        "engine": lambda text: engine(text, tongue),
        "error": None,
        "guard": None,
        "section": "",
        "form": Blank(),
    }


def text(template: str, tongue: Language, context: Mapping[str, Any]) -> str:
    """A template as text, without a request: the report."""
    return environment().get_template(template).render({**words(tongue), **context})


def page(
    request: Request, template: str, *, title: str, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """A template as an answer. `guard` (patient, course, revision) goes into the page and into the headers that the guard reads."""
    tongue = language_of(request)
    visit = getattr(request.state, "visit", None)
    token = Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token(request)) if visit is not None else Markup("")
    shared = {
        **words(tongue),
        "title": tongue.say(title),
        "actor": None if visit is None else visit.actor,
        "csrf_field": token,
        "idle_s": 60 * request.app.state.settings.session_idle_minutes,
        "here": escape(request.url.path),
    }
    filled = {**shared, **context}
    filled["elsewhere"] = _elsewhere(request, filled["guard"])
    answer = HTMLResponse(environment().get_template(template).render(filled), status_code=status, headers=dict(headers or {}))
    guard = filled["guard"]
    if guard is not None:
        answer.headers["X-Auctor-Patient"] = guard.patient
        answer.headers["X-Auctor-Course"] = guard.course
    return answer


def _elsewhere(request: Request, guard: Any) -> bool:
    """Whether the session was opened from the hospital's record for another patient than this page's (requirement 19)."""
    launched, visit = getattr(request.app.state, "launched_for", None), getattr(request.state, "visit", None)
    if launched is None or guard is None or visit is None or visit.found is None:
        return False
    patient = launched(visit.found.session_id)
    return patient is not None and patient != guard.patient


def refused(request: Request, error: AuctorError, *, status: int, back: str = "/work", part: bool = False) -> HTMLResponse:
    """A refusal as a page, or as a fragment; it shows no patient."""
    template = "refused_part.html" if part else "refused.html"
    return page(
        request, template, title="Not possible", status=status, error=error, heading=language_of(request).say("Not possible"), back=back
    )
