"""A server-rendered page: a template of this package on the base of the pages, with the session's form token in it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from auctor import __version__
from auctor.web.middleware.forgery import FIELD, csrf_token
from auctor.web.pages.language import COOKIE, LANGUAGES, language, preferred

if TYPE_CHECKING:
    from jinja2 import Environment

OWN, BASE = Path(__file__).parent / "templates", Path(__file__).parents[1] / "pages" / "templates"


def page(request: Request, template: str, *, title: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The template with what `base.html` needs: the reader's language, who is signed in, and `csrf_field` for each form."""
    visit = request.state.visit
    tongue = language(preferred(request.cookies.get(COOKIE), request.headers.get("accept-language")))
    common = {
        "title": tongue.say(title),
        "lang": tongue.code,
        "languages": LANGUAGES,
        "say": tongue.say,
        "actor": visit.found,
        "csrf_token": csrf_token(request),
        "csrf_field": csrf_field(request),
        "here": request.url.path,
        "section": "account",
        "guard": None,
        "version": __version__,
        "error": None,
    }
    return HTMLResponse(_templates().get_template(template).render(common | context), status)


def csrf_field(request: Request) -> Any:
    """The hidden field that each form carries, as markup."""
    from markupsafe import Markup

    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token(request))


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(loader=FileSystemLoader([OWN, BASE]), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
