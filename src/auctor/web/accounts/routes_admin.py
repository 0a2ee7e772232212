"""The pages of the administration: accounts and wards."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.forms import AtReception, session_of
from auctor.web.accounts.permissions import Verb, may
from auctor.web.accounts.reception import Reception
from auctor.web.middleware.refusal import status_of
from auctor.web.pages.rendering import page

router = APIRouter(prefix="/admin", include_in_schema=False, dependencies=[Depends(session_of)])
Text = Annotated[str, Form(max_length=2000)]
Words = Annotated[list[str] | None, Form()]
Manager = Annotated[Actor, may(Verb.MANAGE_ACCOUNTS)]
WardManager = Annotated[Actor, may(Verb.MANAGE_WARDS)]


@router.get("/accounts")
def accounts(request: Request, reception: AtReception, actor: Manager) -> Response:
    """Every account."""
    return _accounts(request, reception, actor)


@router.post("/accounts")
def add_account(
    request: Request,
    reception: AtReception,
    actor: Manager,
    *,
    login: Text,
    name: Text,
    roles: Words = None,
    wards: Words = None,
    subject: Text = "",
) -> Response:
    """A new account; its first password is on the page that answers, and nowhere else."""
    try:
        _, first = reception.directory.add(
            actor, login=login, name=name, roles=roles or (), wards=wards or (), oidc_subject=subject.strip()
        )
    except AuctorError as error:
        return _accounts(request, reception, actor, error=error)
    return _accounts(request, reception, actor, first_password=first, for_login=login)


@router.get("/accounts/{account_id}")
def account(request: Request, reception: AtReception, actor: Manager, account_id: str) -> Response:
    """One account."""
    return _account(request, reception, actor, account_id)


@router.post("/accounts/{account_id}")
def change_account(
    request: Request,
    reception: AtReception,
    actor: Manager,
    account_id: str,
    *,
    name: Text,
    roles: Words = None,
    wards: Words = None,
    reason: Text = "",
) -> Response:
    """New name, roles and wards."""
    try:
        reception.directory.change(actor, account_id, name=name, roles=roles or (), wards=wards or (), reason=reason)
    except AuctorError as error:
        return _account(request, reception, actor, account_id, error=error)
    return RedirectResponse("/admin/accounts", 303)


@router.post("/accounts/{account_id}/end-sessions")
def end_sessions(reception: AtReception, actor: Manager, account_id: str) -> Response:
    """Sign an account out everywhere."""
    reception.directory.end_sessions(actor, account_id)
    return RedirectResponse(f"/admin/accounts/{account_id}", 303)


@router.post("/accounts/{account_id}/reset")
def reset_account(request: Request, reception: AtReception, actor: Manager, account_id: str, factors: Text = "") -> Response:
    """A new first password; with `factors` the second factors go too."""
    first = reception.directory.reset(actor, account_id, factors=bool(factors))
    login = reception.directory.person(actor, account_id).login
    return _accounts(request, reception, actor, first_password=first, for_login=login)


@router.post("/accounts/{account_id}/close")
def close_account(request: Request, reception: AtReception, actor: Manager, account_id: str) -> Response:
    """Close an account."""
    return _activity(request, reception, actor, account_id, active=False)


@router.post("/accounts/{account_id}/open")
def open_account(request: Request, reception: AtReception, actor: Manager, account_id: str) -> Response:
    """Open a closed account again."""
    return _activity(request, reception, actor, account_id, active=True)


@router.get("/wards")
def wards(request: Request, reception: AtReception, actor: WardManager) -> Response:
    """Every ward."""
    return _wards(request, reception, actor)


@router.post("/wards")
def add_ward(request: Request, reception: AtReception, actor: WardManager, ward: Text, name: Text) -> Response:
    """A new ward."""
    try:
        reception.directory.add_ward(actor, ward, name)
    except AuctorError as error:
        return _wards(request, reception, actor, error=error)
    return RedirectResponse("/admin/wards", 303)


@router.post("/wards/{ward_id}")
def change_ward(reception: AtReception, actor: WardManager, ward_id: str, name: Text, active: Text = "") -> Response:
    """Rename a ward, or take it out of use."""
    reception.directory.change_ward(actor, ward_id, name=name, active=bool(active))
    return RedirectResponse("/admin/wards", 303)


def _activity(request: Request, reception: Reception, actor: Actor, account_id: str, *, active: bool) -> Response:
    try:
        reception.directory.set_active(actor, account_id, active)
    except AuctorError as error:
        return _account(request, reception, actor, account_id, error=error)
    return RedirectResponse("/admin/accounts", 303)


def _accounts(request: Request, reception: Reception, actor: Actor, **shown: Any) -> Response:
    context: dict[str, Any] = {
        "people": reception.directory.people(actor),
        "roles": [(role.value, role.value) for role in Role],
        "wards": _ward_choices(reception, actor),
        "provider": reception.provider is not None,
        "first_password": "",
        "section": "admin",
    }
    return page(request, "accounts.html", title="Accounts", status=_status(shown), **(context | shown))


def _account(request: Request, reception: Reception, actor: Actor, account_id: str, **shown: Any) -> Response:
    context: dict[str, Any] = {
        "person": reception.directory.person(actor, account_id),
        "roles": [(role.value, role.value) for role in Role],
        "wards": _ward_choices(reception, actor),
        "section": "admin",
    }
    return page(request, "account.html", title="Account", status=_status(shown), **(context | shown))


def _wards(request: Request, reception: Reception, actor: Actor, **shown: Any) -> Response:
    context: dict[str, Any] = {"wards": reception.directory.wards(actor), "section": "admin"}
    return page(request, "wards.html", title="Wards", status=_status(shown), **(context | shown))


def _ward_choices(reception: Reception, actor: Actor) -> list[tuple[str, str]]:
    return [(ward.id, f"{ward.name} ({ward.id})") for ward in reception.directory.wards(actor)]


def _status(shown: dict[str, Any]) -> int:
    error = shown.get("error")
    return status_of(error) if error else 200
