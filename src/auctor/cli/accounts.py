"""`auctor account` and `auctor ward`: who may sign in to the clinical application, from the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auctor.cli.command import AsJson
from auctor.cli.serve import ConfigFile, installation
from auctor.cli.terminal import out, put_json, put_table

if TYPE_CHECKING:
    from auctor.web.accounts.actor import Actor
    from auctor.web.accounts.directory import Directory, Person

Login = Annotated[str, typer.Argument(metavar="LOGIN", show_default=False, help="The account's login.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit trail.")]
ROLES = "viewer, author, signer or administrator"


def add_account(
    login: Login,
    *,
    name: Annotated[str, typer.Option(help="The person's name; default: the login.")] = "",
    role: Annotated[list[str] | None, typer.Option(help=f"{ROLES}; may be given again.")] = None,
    ward: Annotated[list[str] | None, typer.Option(help="A ward whose patients the account sees; may be given again.")] = None,
    subject: Annotated[str, typer.Option(help="The subject (sub) at the hospital sign-in; then there is no password.")] = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Add an account and print its first password, which is shown this once and holds for three days."""
    with _directory(config) as (directory, actor):
        account_id, first = directory.add(actor, login=login, name=name, roles=role or (), wards=ward or (), oidc_subject=subject)
    if as_json:
        put_json({"id": account_id, "login": login, "first_password": first})
    elif first:
        out().print(f"{login}: first password {first}", markup=False, soft_wrap=True)
    else:
        out().print(f"{login}: signs in at the hospital's provider", markup=False)


def list_accounts(*, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the accounts with their roles, wards and second factors."""
    with _directory(config) as (directory, actor):
        people = directory.people(actor)
    if as_json:
        put_json([_shown(one) for one in people])
        return
    from rich.table import Table

    table = Table("login", "name", "roles", "wards", "second factor", "state")
    for one in people:
        factors = ", ".join([*(["authenticator"] if one.totp else []), *([f"{one.passkeys} passkey(s)"] if one.passkeys else [])])
        table.add_row(one.login, one.name, ", ".join(one.roles), ", ".join(one.wards), factors, "active" if one.active else "closed")
    put_table(table)


def disable_account(login: Login, *, reason: Reason = "", config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Close an account: its sessions end, its keys stop. It is never deleted, as the audit trail names it."""
    with _directory(config) as (directory, actor):
        person = directory.find(actor, login)
        directory.set_active(actor, person.id, False, reason=reason)
    if as_json:
        put_json({"id": person.id, "login": person.login, "active": False})
    else:
        out().print(f"{person.login}: closed", markup=False)


def reset_account(
    login: Login,
    *,
    factors: Annotated[bool, typer.Option("--factors", help="The second factors are lost too: remove them.")] = False,
    reason: Reason = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print a new first password; every session of the account ends. Second factors stay without --factors."""
    with _directory(config) as (directory, actor):
        person = directory.find(actor, login)
        first = directory.reset(actor, person.id, factors=factors, reason=reason)
    if as_json:
        put_json({"id": person.id, "login": person.login, "first_password": first})
    else:
        out().print(f"{person.login}: first password {first}", markup=False, soft_wrap=True)


def reseal_accounts(
    old: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, show_default=False, help="The secret before: 64 hexadecimal digits."),
    ],
    *,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Seal second factors anew under the installation's new secret, so that nobody has to set one up again."""
    from dataclasses import replace

    with _directory(config) as (directory, actor):
        from auctor.web.store.sealing import Sealer

        settings = replace(installation(config), secret=old.read_text().strip())
        renewed = directory.reseal(actor, Sealer(settings.key("store")))
    if as_json:
        put_json({"resealed": renewed})
    else:
        out().print(f"{renewed} sealed anew", markup=False)


def add_ward(
    ward: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="A short name that stays, such as icu.")],
    *,
    name: Annotated[str, typer.Option(help="The ward's name; default: the short name.")] = "",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a ward."""
    with _directory(config) as (directory, actor):
        directory.add_ward(actor, ward, name)
    if as_json:
        put_json({"id": ward, "name": name or ward})
    else:
        out().print(f"{ward}: added", markup=False)


def list_wards(*, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the wards."""
    with _directory(config) as (directory, actor):
        wards = [{"id": ward.id, "name": ward.name, "active": ward.active} for ward in directory.wards(actor)]
    if as_json:
        put_json(wards)
        return
    from rich.table import Table

    table = Table("id", "name", "state")
    for ward in wards:
        table.add_row(str(ward["id"]), str(ward["name"]), "in use" if ward["active"] else "out of use")
    put_table(table)


@contextmanager
def _directory(config: Path | None) -> Iterator[tuple[Directory, Actor]]:
    """The accounts of this installation, and who sits at this machine: whoever may read its secret may administer it."""
    settings = installation(config)
    from getpass import getuser

    from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
    from auctor.web.accounts.directory import Directory
    from auctor.web.app import open_store

    store = open_store(settings)
    administrator = frozenset({Role.ADMINISTRATOR})
    actor = Actor(account_id=None, login=f"system:{getuser()}", roles=administrator, wards=frozenset({EVERY_WARD}), channel="cli")
    try:
        yield Directory(store=store, oidc_issuer=settings.oidc_issuer), actor
    finally:
        store.close()


def _shown(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "login": person.login,
        "name": person.name,
        "roles": list(person.roles),
        "wards": list(person.wards),
        "active": person.active,
        "totp": person.totp,
        "passkeys": person.passkeys,
        "subject": person.oidc_subject,
    }
